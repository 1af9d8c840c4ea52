// SPDX-License-Identifier: MIT

package devices

import (
	"slices"
	"strings"
	"testing"

	"swudelta/internal/device/stocklib"
	"swudelta/internal/digest"
	"swudelta/internal/pamz"
	"swudelta/internal/pamztest"
)

// patchInSource returns a delta with a patch that lies in its source, in the middle of what
// is concatenated there, two deltas further out; it makes the first n of 1000 bytes.
func patchInSource(b *pamztest.Builder, n int) *pamz.Item {
	old := b.CopySource(0, 1000)
	patch := b.Asset(b.Patch(b.Content[old], b.Content[old]))
	size := len(b.Content[patch])
	all := b.Concat(b.CopySource(7, 3000), b.Region(b.Concat(b.Zero(2), patch), 1, size+1), b.Zero(3))
	return b.Nested(pamz.LittleEndian, all, func(b *pamztest.Builder) []*pamz.Item {
		return []*pamz.Item{b.Nested(pamz.LittleEndian, b.CopySource(1, len(b.Source)-1), func(b *pamztest.Builder) []*pamz.Item {
			return []*pamz.Item{b.Item(b.Source[:n], pamz.BSDiff(b.CopySource(3000, size), b.CopySource(0, 1000))), b.Zero(1)}
		})}
	})
}

// TestRules breaks each rule once.
func TestRules(t *testing.T) {
	b := pamztest.NewBuilder(t, 1, pamztest.NewBuilder(t, 2, nil).Text(200000))
	open := pamztest.NeedZstd(t)
	b.Zstd, _ = open()
	text := b.Text(50000)
	forward := func() *pamz.Item { return b.Unzstd(text) }
	// The same kind of thing, out of the source file.
	gz := b.Gzip(text)
	b.Source = append(b.Source, gz...)
	packed := func() *pamz.Item {
		return b.Item(text, pamz.GzDecompression(b.CopySource(len(b.Source)-len(gz), len(gz))))
	}
	overlapping := func(inner *pamztest.Builder) []*pamz.Item {
		return []*pamz.Item{inner.CopySource(0, 100), inner.Concat(inner.CopySource(50, 100))}
	}
	repeated := func(inner *pamztest.Builder) []*pamz.Item {
		return []*pamz.Item{inner.CopySource(0, 100), inner.CopySource(0, 100), inner.CopySource(100, 100)}
	}
	old := b.CopySource(0, 1000)
	emptyBlock := b.Patch(b.Content[old], b.Content[old])
	h := 32 + int(emptyBlock[8]) + int(emptyBlock[16])
	cases := map[string]struct {
		kind  *Kind
		order pamz.Order
		item  *pamz.Item
		want  string // part of the violation; empty: none
	}{
		"good 1.0":          {s10, pamz.LittleEndian, b.Concat(old, b.Zero(10)), ""},
		"good 3.0":          {s30, pamz.BigEndian, b.Concat(old, b.Zero(10)), ""},
		"order 1.0":         {s10, pamz.BigEndian, old, "big endian"},
		"order 3.0":         {s30, pamz.LittleEndian, old, "little endian"},
		"empty item":        {s10, pamz.LittleEndian, b.Concat(old, b.Zero(0)), "an item is empty"},
		"large zero":        {s10, pamz.LittleEndian, pamz.NewItem(1<<31, digest.SHA256{}, pamz.AllZero(1<<31)), "number 2147483648"},
		"large region":      {s10, pamz.LittleEndian, pamz.NewItem(1, digest.SHA256{}, pamz.Region(pamz.NewItem(1<<32, digest.SHA256{}, pamz.AllZero(1<<32)), 1<<31, 1)), "number 2147483648"},
		"forward delta":     {s10, pamz.LittleEndian, b.Item(b.Content[old], pamz.BSDiff(b.Unzstd(b.Patch(b.Content[old], b.Content[old])), old)), "front to back"},
		"staged delta":      {s10, pamz.LittleEndian, b.Item(b.Content[old], pamz.BSDiff(b.Region(b.Unzstd(b.Patch(b.Content[old], b.Content[old])), 0, len(b.Patch(b.Content[old], b.Content[old]))), old)), ""},
		"inline delta 3.0":  {s30, pamz.BigEndian, b.Item(b.Content[old], pamz.BSDiff(b.Region(b.Asset(b.Patch(b.Content[old], b.Content[old])), 0, len(b.Patch(b.Content[old], b.Content[old]))), old)), "no inline asset"},
		"patch size":        {s10, pamz.LittleEndian, b.Item(text, pamz.BSDiff(b.Asset(b.Patch(b.Content[old], b.Content[old])), old)), "the patch makes 1000 bytes"},
		"no patch":          {s10, pamz.LittleEndian, b.Item(text, pamz.BSDiff(b.Asset(text), old)), "not a BSDIFF40 patch"},
		"empty block":       {s10, pamz.LittleEndian, b.Item(b.Content[old], pamz.BSDiff(b.Asset(emptyBlock[:h]), old)), "empty block"},
		"small in pieces":   {s10, pamz.LittleEndian, b.Compress(b.Concat(old, b.CopySource(5, 10)), 3), "in several pieces"},
		"large in pieces":   {s10, pamz.LittleEndian, b.Compress(b.Concat(b.CopySource(0, 30000), b.CopySource(5, 10000)), 3), ""},
		"compression 3.0":   {s30, pamz.BigEndian, b.Compress(old, 3), "refuses it"},
		"prefix":            {s10, pamz.LittleEndian, b.ZstdDelta(b.Content[old], old), "needs its prefix"},
		"no prefix":         {s10, pamz.LittleEndian, b.Item(text, pamz.ZstdDelta(b.Asset(pamztest.ZstdFrame(t, text)), old)), ""},
		"prefix 3.0":        {s30, pamz.BigEndian, b.ZstdDelta(b.Content[old][1:], old), ""},
		"overlap":           {s10, pamz.LittleEndian, b.Nested(pamz.LittleEndian, forward(), overlapping), "overlap"},
		"no overlap":        {s10, pamz.LittleEndian, b.Nested(pamz.LittleEndian, packed(), repeated), ""},
		"overlap in region": {s10, pamz.LittleEndian, b.Nested(pamz.LittleEndian, b.Region(forward(), 0, len(text)), overlapping), ""},
		"nested order":      {s10, pamz.LittleEndian, b.Nested(pamz.BigEndian, old, repeated), "big endian delta inside a little endian one"},
		"nested inside 3.0": {s30, pamz.BigEndian, b.Concat(b.Nested(pamz.BigEndian, old, repeated), b.Zero(1)), "not the recipe of a chunk"},
		"shared file":       {s10, pamz.LittleEndian, b.Nested(pamz.LittleEndian, forward(), repeated), "the one position in the delta file"},
		"own file":          {s10, pamz.LittleEndian, b.Nested(pamz.LittleEndian, b.Region(forward(), 0, len(text)), repeated), ""},
		"whole source":      {s30, pamz.BigEndian, b.CopySource(0, len(b.Source)), "the whole source"},
		"copy of no chunk":  {s30, pamz.BigEndian, b.Item(make([]byte, 2), pamztest.CopyTarget(0, 2, digest.Sum(make([]byte, 2)))), "no whole chunk"},
		"copy of a chunk":   {s30, pamz.BigEndian, b.Item(make([]byte, 3), pamztest.CopyTarget(0, 3, digest.Sum(make([]byte, 3)))), ""},
		"self 3.0":          {s30, pamz.BigEndian, b.Region(old, 0, 1000), "own result"},
		"remainder inside":  {s30, pamz.BigEndian, b.Concat(b.Item(text, pamz.Remainder(text)), b.Zero(1)), "not the recipe of a chunk"},
		"zlib":              {s10, pamz.LittleEndian, b.Inflate(text, pamz.ContainerRaw), "does not know"},
		"no recipe":         {s10, pamz.LittleEndian, b.Concat(b.Item(text, nil)), "no recipe"},
		"unstated":          {s10, pamz.LittleEndian, b.Region(pamztest.Unstated(b.CopySource(5, 10)), 0, 5), ""},
		"unstated 3.0":      {s30, pamz.BigEndian, b.Region(pamztest.Unstated(b.CopySource(5, 10)), 0, 5), "no digest: the library finds"},
		"unstated, written": {s10, pamz.LittleEndian, b.Concat(pamztest.Unstated(b.CopySource(5, 10)), b.Zero(1)), "no digest: the library verifies"},
		"unstated, forward": {s10, pamz.LittleEndian, b.Nested(pamz.LittleEndian, packed(), func(inner *pamztest.Builder) []*pamz.Item {
			return []*pamz.Item{inner.Region(pamztest.Unstated(inner.CopySource(5, 10)), 0, 5)}
		}), "no digest: the library finds what it keeps"},
		"unstated prefix":       {s10, pamz.LittleEndian, b.Region(pamztest.Unstated(b.Item(text, pamz.ZstdDelta(b.Asset(pamztest.ZstdFrame(t, text)), old))), 0, 5), "no digest: it does not show"},
		"patch elsewhere":       {s10, pamz.LittleEndian, patchInSource(b, 1000), ""},
		"patch elsewhere, size": {s10, pamz.LittleEndian, patchInSource(b, 999), "the patch makes 1000 bytes"},
		"copy_source":           {s10, pamz.LittleEndian, b.Item(text, pamz.CopySource(1<<40)), "50000 bytes at 1099511627776"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			// The first chunk keeps the item from being the target itself.
			d, _ := b.Diff(0, c.order, b.Zero(3), c.item)
			d.TargetLength = 3 + c.item.Length
			_, violations, err := c.kind.Check(d)
			if err != nil {
				t.Fatal(err)
			}
			if c.want == "" {
				if len(violations) > 0 {
					t.Errorf("got %v, want none", violations)
				}
				return
			}
			if !slices.ContainsFunc(violations, func(v stocklib.Violation) bool { return strings.Contains(v.String(), c.want) }) {
				t.Errorf("got %v, want one with %q", violations, c.want)
			}
		})
	}
}

// TestRulesOfDiff breaks the rules about the whole.
func TestRulesOfDiff(t *testing.T) {
	b := pamztest.NewBuilder(t, 1, b30)
	version2, _ := b.Diff(2, pamz.BigEndian, b.CopySource(0, 4), b.Zero(3))
	version1, _ := b.Diff(1, pamz.BigEndian, b.CopySource(0, 4), b.Zero(3))
	little1, _ := b.Diff(1, pamz.LittleEndian, b.CopySource(0, 4), b.Zero(3))
	single, _ := b.Diff(0, pamz.BigEndian, b.CopySource(0, 4))
	equal, _ := b.Diff(0, pamz.BigEndian, b.Asset([]byte("abcd")), b.Nested(pamz.BigEndian, b.CopySource(0, 10), func(inner *pamztest.Builder) []*pamz.Item {
		return []*pamz.Item{inner.CopySource(0, 1), inner.Asset([]byte("efgh"))}
	}), b.Asset(b.Text(300)))
	lengths, _ := b.Diff(0, pamz.LittleEndian, b.Zero(4))
	lengths.TargetLength++
	alone, _ := b.Diff(0, pamz.LittleEndian, b.Zero(4))
	alone.SourceLength = 0
	for _, c := range []struct {
		kind *Kind
		diff *pamz.Diff
		want string
	}{
		{s10, version2, "version 2, want 0"},
		{s30, version2, ""},
		{s21, version1, ""},
		{s21, version2, "version 2, want 1 or 0"},
		{s30, version1, "version 1, want 2 or 0"},
		{s10, version1, "version 1, want 0"},
		{s21, little1, "little endian, want big endian"},
		{s21, single, "only 1 chunk"},
		{s30, single, "only 1 chunk"},
		{s30, equal, ""},
		{s10, lengths, "the chunks have 4 bytes, the target has 5"},
		{s10, alone, "no source"},
	} {
		_, violations, err := c.kind.Check(c.diff)
		if err != nil || c.want == "" && len(violations) > 0 || c.want != "" && (len(violations) == 0 || !strings.HasPrefix(violations[0].Rule, c.want)) {
			t.Errorf("got %v, %v, want %q", violations, err, c.want)
		}
	}
}

// The stock kinds.
var s10, s21, s30 = All[0], All[1], All[2]

var b30 = []byte("a source of thirty bytes.......")

// TestSharedItems has an item that is in another one twice, which is in another one twice, and so on:
// whoever goes through each use of it does so for ever.
func TestSharedItems(t *testing.T) {
	b := pamztest.NewBuilder(t, 1, []byte("x"))
	it := b.CopySource(0, 1)
	for range 40 {
		// Nobody produces it, so that any digest will do.
		sum := digest.Sum([]byte(it.SHA256.Hex()))
		it = pamz.NewItem(2*it.Length, sum, &pamz.Recipe{Op: pamz.OpConcatenation, Params: []pamz.Param{{Item: it}, {Item: it}}})
	}
	content := []byte("ten bytes.")
	patched := b.Item(content, pamz.BSDiff(b.Asset(b.Patch(nil, content)), it))
	for _, version := range []int{1, 2} {
		d := &pamz.Diff{
			Form: pamz.Form{Version: version, Order: pamz.BigEndian}, TargetLength: patched.Length, TargetSHA256: patched.SHA256,
			SourceLength: 1, SourceSHA256: digest.Sum([]byte("x")), Chunks: []*pamz.Item{patched},
		}
		for _, k := range All {
			if k.Check == nil {
				continue
			}
			if _, violations, err := k.Check(d); err != nil || k.Name == "1.0" && len(violations) == 0 {
				t.Errorf("version %d, %s: %v, %v", version, k.Name, violations, err)
			}
		}
	}
}
