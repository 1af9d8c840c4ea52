// SPDX-License-Identifier: MIT

package pamz_test

import (
	"bytes"
	"io"
	"testing"

	"swudelta/internal/apply"
	"swudelta/internal/digest"
	"swudelta/internal/pamz"
	"swudelta/internal/pamztest"
)

// TestAccount adds up the bytes of each vector.
func TestAccount(t *testing.T) {
	for _, v := range pamztest.Vectors {
		file := pamztest.File(t, v.Name+".diff")
		d := pamztest.Decode(t, file)
		about, err := d.Describe(apply.NewViewer())
		if err != nil {
			t.Fatal(err)
		}
		if about.Size != int64(len(file)) {
			t.Errorf("%s: got a size of %d, want %d", v.Name, about.Size, len(file))
		}
		if d.Pooled() { // may hold what is not needed
			continue
		}
		var table, inline int64
		for _, r := range about.Recipes {
			table += r.Table
			inline += r.Inline
		}
		if table != d.Account.Table || inline+8 != d.Account.Inline {
			t.Errorf("%s: got %d bytes of table and %d of inline assets, want %d and %d", v.Name, table, inline+8, d.Account.Table, d.Account.Inline)
		}
	}
}

func TestEncodeRefuses(t *testing.T) {
	b := pamztest.NewBuilder(t, 1, []byte("source"))
	many := make([]pamz.Param, 256)
	for i := range many {
		many[i].Item = b.Zero(1)
	}
	for name, d := range map[string]*pamz.Diff{
		"version":        {Form: pamz.Form{Version: 3}},
		"no recipe":      {Chunks: []*pamz.Item{{}}},
		"parameters":     {Chunks: []*pamz.Item{pamz.NewItem(256, digest.SHA256{}, &pamz.Recipe{Op: pamz.OpConcatenation, Params: many})}},
		"length":         {TargetLength: -1},
		"zlib":           {Chunks: []*pamz.Item{b.Inflate([]byte("x"), 0)}},
		"asset":          {Chunks: []*pamz.Item{pamz.NewItem(2, digest.SHA256{}, pamz.InlineAsset([]byte("x")))}},
		"remainder":      {Chunks: []*pamz.Item{pamz.NewItem(2, digest.SHA256{}, pamz.Remainder([]byte("x")))}},
		"v2 asset":       {Form: pamz.Form{Version: 2}, TargetLength: 3, Chunks: []*pamz.Item{pamz.NewItem(2, digest.SHA256{1}, pamz.InlineAsset([]byte("x"))), b.Zero(1)}},
		"v2 remainder":   {Form: pamz.Form{Version: 2}, TargetLength: 3, Chunks: []*pamz.Item{pamz.NewItem(2, digest.SHA256{1}, pamz.Remainder([]byte("x"))), b.Zero(1)}},
		"v2 no source":   {Form: pamz.Form{Version: 2}, TargetLength: 3, Chunks: []*pamz.Item{b.CopySource(0, 2), b.Zero(1)}},
		"v2 nested":      {Form: pamz.Form{Version: 2}, TargetLength: 3, Chunks: []*pamz.Item{pamz.NewItem(2, digest.SHA256{1}, pamz.Nested(b.Zero(1), b.Zero(2))), b.Zero(1)}},
		"v2 compression": {Form: pamz.Form{Version: 2}, TargetLength: 3, Chunks: []*pamz.Item{pamz.NewItem(2, digest.SHA256{1}, pamz.ZstdCompression(b.Zero(1), 1, 5, 3)), b.Zero(1)}},
		"v2 unstated":    {Form: pamz.Form{Version: 2}, TargetLength: 3, Chunks: []*pamz.Item{b.Region(pamztest.Unstated(b.Asset([]byte("three"))), 1, 2), b.Zero(1)}},
		"v2 copy":        {Form: pamz.Form{Version: 2}, TargetLength: 3, Chunks: []*pamz.Item{b.Zero(1), pamz.NewItem(2, digest.SHA256{1}, pamztest.CopyTarget(0, 2, digest.SHA256{1}))}},
	} {
		if err := pamz.Encode(&bytes.Buffer{}, d); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	r, w := io.Pipe()
	r.Close()
	if err := pamz.Encode(w, &pamz.Diff{}); err == nil {
		t.Error("writer that fails: no error")
	}
}

// TestPoolForm encodes a tree for version 2 and reads it back.
func TestPoolForm(t *testing.T) {
	b := pamztest.NewBuilder(t, 1, pamztest.NewBuilder(t, 2, nil).Text(4000))
	whole := b.CopySource(0, 4000)
	twice := b.Asset([]byte("the same"))
	d, target := b.Diff(2, pamz.BigEndian,
		whole,                              // the source itself: needs no recipe
		twice, b.Asset([]byte("the same")), // stored once
		b.Region(whole, 0, 4000), // nothing but the whole
		b.Concat(twice),
		b.Item([]byte("rest"), pamz.Remainder([]byte("rest"))),
		b.Item([]byte("rest"), pamztest.CopyTarget(12016, 4, digest.Sum([]byte("rest")))),
		b.Zero(0),
	)
	file := pamztest.Encode(t, d)
	again := pamztest.Decode(t, file)
	got, err := applyBytes(again, b.Source, apply.Options{Strict: true, Scratch: pamztest.Scratch(t)})
	if err != nil || !bytes.Equal(got, target) {
		t.Fatal(err)
	}
	if n := bytes.Count(file, []byte("the same")); n != 1 {
		t.Errorf("an asset is stored %d times", n)
	}
	if !bytes.Equal(pamztest.Encode(t, again), file) {
		t.Error("encoded again it has other bytes")
	}
	// A target that is the source.
	d, target = b.Diff(2, pamz.BigEndian, whole)
	again = pamztest.Decode(t, pamztest.Encode(t, d))
	got, err = applyBytes(again, b.Source, apply.Options{})
	if err != nil || !bytes.Equal(got, target) {
		t.Error(err)
	}
}
