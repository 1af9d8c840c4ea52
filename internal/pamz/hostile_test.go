// SPDX-License-Identifier: MIT

package pamz_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"swudelta/internal/apply"
	"swudelta/internal/codec"
	"swudelta/internal/device/devices"
	"swudelta/internal/digest"
	"swudelta/internal/errnum"
	"swudelta/internal/fault"
	"swudelta/internal/pamz"
	"swudelta/internal/pamztest"
)

// raw writes fields as they stand in a file.
type raw struct {
	bytes.Buffer
	order binary.ByteOrder
}

func (r *raw) u8(v ...byte) *raw { r.Write(v); return r }

func (r *raw) u32(v uint32) *raw {
	var b [4]byte
	r.order.PutUint32(b[:], v)
	r.Write(b[:])
	return r
}

func (r *raw) u64(v ...uint64) *raw {
	for _, v := range v {
		var b [8]byte
		r.order.PutUint64(b[:], v)
		r.Write(b[:])
	}
	return r
}

func (r *raw) hash(content string) *raw { return r.sum(digest.Sum([]byte(content))) }

func (r *raw) sum(sum digest.SHA256) *raw {
	r.u32(pamz.HashSHA256)
	r.Write(sum[:])
	return r
}

// head starts a version 0 file for the target "target" without source.
func head() *raw {
	r := &raw{order: binary.LittleEndian}
	r.WriteString(pamz.Magic)
	return r.u64(0, 6).hash("target").u64(0)
}

// chunk is head with one chunk up to its recipe.
func chunk() *raw { return head().u64(1, 6).hash("target") }

// end adds an inline section and an empty remainder.
func (r *raw) end(inline string) *raw {
	r.u64(uint64(len(inline)))
	r.WriteString(inline)
	return r.u64(0, 0)
}

// pool starts a version 2 file for the target "target" with source "source".
func poolHead() *raw {
	r := &raw{order: binary.BigEndian}
	r.WriteString(pamz.Magic)
	r.u64(2, 6).hash("target").u64(6).hash("source")
	r.Write(make([]byte, 4)) // no names
	return r
}

// set adds a set of one recipe up to its numbers.
func (r *raw) set(result string, op uint32) *raw {
	r.u64(1, uint64(len(result))).hash(result)
	return r.u32(op)
}

// item adds an item's definition.
func (r *raw) item(content string) *raw { return r.u64(uint64(len(content))).hash(content) }

// poolEnd adds the sections.
func (r *raw) poolEnd(inline string) *raw {
	r.u64(uint64(len(inline)))
	if inline != "" {
		r.hash(inline)
		r.WriteString(inline)
	}
	return r.u64(0).u32(0)
}

// archive ends a version 2 file without sets and sections, with one archive in it
// that claims to have more bytes than it has.
func archive(inner *raw, more int) *raw {
	r := poolHead().u64(0).u64(0).u64(0).u32(1).u64(uint64(inner.Len() + more)).hash("unverified")
	r.Write(inner.Bytes())
	return r
}

func archives(n int) *raw {
	r := poolHead().u64(0).poolEnd("target")
	for range n {
		r = archive(r, 0)
	}
	return r
}

// TestMalformed has files with one fault each, and the reference's number of it.
func TestMalformed(t *testing.T) {
	long := strings.Repeat("x", 300)
	for name, c := range map[string]struct {
		code int
		file *raw
	}{
		"magic":                 {errnum.Magic, (&raw{}).u8('P', 'A', 'M', 'X', 0, 0, 0, 0, 0, 0, 0, 0)},
		"empty":                 {errnum.Magic, &raw{}},
		"version 3":             {errnum.Version, (&raw{order: binary.LittleEndian}).u8('P', 'A', 'M', 'Z').u64(3, 1).hash("")},
		"md5":                   {errnum.HashType, (&raw{order: binary.LittleEndian}).u8('P', 'A', 'M', 'Z').u64(0, 6).u32(0x8003).u64(0, 0, 0, 0, 0)},
		"good":                  {0, chunk().u8(6, 0).end("target")},
		"wide number":           {0, chunk().u8(255, 6, 0, 0, 0, 0).end("target")},
		"trailing":              {errnum.FileSize, chunk().u8(6, 0).end("target").u8(0)},
		"inline short":          {errnum.InlineBytes, chunk().u8(6, 0).end("targe")},
		"inline long":           {errnum.InlineBytes, chunk().u8(6, 0).end("target ")},
		"inline huge":           {errnum.Short, chunk().u8(6, 0).u64(1 << 40)},
		"length":                {errnum.Other, chunk().u8(6, 0).u64(math.MaxUint64)},
		"chunks":                {errnum.Short, head().u64(1 << 40)},
		"chunks overlong":       {errnum.Lengths, head().u64(1, 7).hash("target!").u8(6, 0).end("target!")},
		"chunks too few":        {errnum.Lengths, head().u64(1, 5).hash("targe").u8(6, 0).end("targe")},
		"target length":         {errnum.Other, (&raw{order: binary.LittleEndian}).u8('P', 'A', 'M', 'Z').u64(0, 1<<63).hash("")},
		"recipe 14":             {errnum.Other, chunk().u8(14, 0).end("")},
		"recipe 2^24":           {errnum.Other, chunk().u8(255, 0, 0, 0, 1, 0).end("")},
		"inline_asset_copy":     {errnum.Other, chunk().u8(9, 0).end("target")},
		"parameter type":        {errnum.ParamType, chunk().u8(7, 1, 2).u64(0).end("")},
		"recipe flag":           {errnum.Other, chunk().u8(0, 1, 0, 0).u64(6).hash("target").u8(2).end("")},
		"parameter missing":     {errnum.ParamCount, chunk().u8(7, 0).end("")},
		"parameter more":        {errnum.ParamCount, chunk().u8(6, 1, 1).u64(0).end("target")},
		"number for item":       {errnum.ParamForItem, chunk().u8(0, 1, 1).u64(0).end("")},
		"number in concat":      {errnum.ParamForItem, chunk().u8(2, 1, 1).u64(0).end("")},
		"item for number":       {errnum.ParamForNumber, chunk().u8(7, 1, 0, 0).u64(6).hash("target").u8(1, 6, 0).end("target")},
		"no recipe":             {errnum.NoRecipe, chunk().u8(0, 1, 0, 0).u64(6).hash("target").u8(0).end("")},
		"no source":             {errnum.OutOfBounds, chunk().u8(7, 1, 1).u64(0).end("")},
		"copy_source overflow":  {errnum.OutOfBounds, chunk().u8(7, 1, 1).u64(math.MaxUint64 - 2).end("")},
		"region":                {errnum.OutOfBounds, chunk().u8(1, 3, 0, 0).u64(6).hash("target").u8(1, 6, 0, 1).u64(1).u8(1).u64(6).end("target")},
		"region length":         {errnum.Hash, chunk().u8(1, 3, 0, 0).u64(6).hash("target").u8(1, 6, 0, 1).u64(0).u8(1).u64(5).end("target")},
		"all_zero":              {errnum.Hash, chunk().u8(12, 1, 1).u64(7).end("")},
		"all_zero content":      {errnum.Hash, chunk().u8(12, 1, 1).u64(6).end("")},
		"concatenation":         {errnum.Lengths, chunk().u8(2, 1, 0, 0).u64(5).hash("targe").u8(1, 6, 0).end("targe")},
		"concatenation of none": {errnum.Lengths, chunk().u8(2, 0).end("")},
		"content":               {errnum.Hash, chunk().u8(6, 0).end("tarGet")},
		"copy too early":        {errnum.OutOfBounds, chunk().u8(0, 1, 0, 1).u64(0, 6).hash("target").u8(0).end("")},
		"copy beyond":           {errnum.OutOfBounds, chunk().u8(0, 1, 0, 1).u64(1, 6).hash("target").u8(0).end("")},
		"copy far beyond":       {errnum.Other, chunk().u8(0, 1, 0, 1).u64(math.MaxUint64-1, 6).hash("target").u8(0).end("")},
		"zstd":                  {errnum.Zstd, chunk().u8(11, 1, 0, 0).u64(300).hash(long).u8(1, 6, 0).end(long)},
		"zstd_compression":      {errnum.NumberTooLarge, chunk().u8(10, 4, 0, 0).u64(6).hash("target").u8(1, 6, 0, 1).u64(1).u8(1).u64(5).u8(1).u64(1 << 31).end("target")},
		"gzip":                  {errnum.Inflate, chunk().u8(13, 1, 0, 0).u64(300).hash(long).u8(1, 6, 0).end(long)},
		"gzip short":            {errnum.InflateShort, chunk().u8(13, 1, 0, 0).u64(4).hash("\x1f\x8b\x08\x00").u8(1, 6, 0).end("\x1f\x8b\x08\x00")},
		"bsdiff":                {errnum.BSPatch, chunk().u8(3, 2, 0, 0).u64(300).hash(long).u8(1, 6, 0, 0, 0).u64(1).hash("y").u8(1, 6, 0).end(long + "y")},
		"nested":                {errnum.Magic, chunk().u8(4, 2, 0, 0).u64(300).hash(long).u8(1, 6, 0, 0, 0).u64(1).hash("y").u8(1, 6, 0).end(long + "y")},
		"remainder short":       {errnum.InflateShort, chunk().u8(5, 0).end("")},
		"remainder corrupt":     {errnum.Inflate, chunk().u8(5, 0).u64(0).u64(6, 2).u8(0xff, 0xff)},
		"remainder cut":         {errnum.InflateShort, chunk().u8(5, 0).u64(0).u64(6, 1).u8(0x4b)},

		"v2 good":            {0, poolHead().u64(0).poolEnd("target")},
		"v2 nothing":         {errnum.Other, poolHead().u64(0).poolEnd("")},
		"v2 sets":            {errnum.Short, poolHead().u64(1 << 40)},
		"v2 recipes":         {errnum.Short, poolHead().u64(1, 1<<40)},
		"v2 inline digest":   {errnum.Other, poolHead().u64(0).u64(6).hash("target").u8([]byte("tarGet")...).u64(0).u32(0)},
		"v2 self":            {errnum.SelfReferential, poolHead().u64(1).set("target", pamz.PoolChain).u64(0, 1).item("target").poolEnd("")},
		"v2 circle":          {errnum.Other, poolHead().u64(2).set("target", pamz.PoolSlice).u64(1, 0, 1).item("tarGet").set("tarGet", pamz.PoolSlice).u64(1, 0, 1).item("target").poolEnd("")},
		"v2 circle with way": {0, poolHead().u64(3).set("target", pamz.PoolSlice).u64(1, 0, 1).item("target!").set("target!", pamz.PoolChain).u64(0, 2).item("target").item("!").set("target!", pamz.PoolSlice).u64(1, 1, 1).item("xtarget!").poolEnd("xtarget!")},
		"v2 slice":           {errnum.SliceOutOfBounds, poolHead().u64(1).set("target", pamz.PoolSlice).u64(1, 1, 1).item("source").poolEnd("")},
		"v2 slice numbers":   {errnum.ParamCount, poolHead().u64(1).set("target", pamz.PoolSlice).u64(0, 1).item("source").poolEnd("")},
		"v2 chain":           {errnum.Lengths, poolHead().u64(1).set("target", pamz.PoolChain).u64(0, 1).item("longer than it").poolEnd("")},
		"v2 chain of none":   {errnum.Lengths, poolHead().u64(1).set("target", pamz.PoolChain).u64(0, 0).poolEnd("")},
		"v2 zstd":            {errnum.NoZstdCompression, poolHead().u64(1).set("other", pamz.PoolZstdCompression).u64(0, 1).item("source").poolEnd("target")},
		"v2 level":           {errnum.ZlibLevel, poolHead().u64(1).set("target", pamz.PoolZlibCompression).u64(2, 1, 10, 1).item("source").poolEnd("")},
		"v2 container":       {errnum.Container, poolHead().u64(1).set("target", pamz.PoolZlibCompression).u64(2, 3, 9, 1).item("source").poolEnd("")},
		"v2 recipe 8":        {errnum.Other, poolHead().u64(1).set("target", 8).u64(0, 0).poolEnd("")},
		"v2 content":         {errnum.Hash, poolHead().u64(1).set("target", pamz.PoolSlice).u64(1, 0, 1).item("source").poolEnd("")},
		"v2 archive":         {0, archives(1)},
		"v2 archives":        {0, archives(pamz.MaxNested)},
		"v2 deep archives":   {errnum.Other, archives(pamz.MaxNested + 1)},
		"v2 long archive":    {0, archive(archives(0).u64(0), 0)},
		"v2 archive beyond":  {errnum.Short, archive(archives(0), 1)},
		"v2 archive overrun": {errnum.Short, archive(archives(0), -1)},
		"v2 archive v0":      {errnum.Version, archive(chunk().u8(6, 0).end("target"), 0)},
		"v2 empty item":      {errnum.Other, poolHead().u64(1).set("target", pamz.PoolChain).u64(0, 1, 0).poolEnd("")},
	} {
		t.Run(name, func(t *testing.T) {
			file := c.file.Bytes()
			d, err := pamz.Decode(bytes.NewReader(file), int64(len(file)))
			if err == nil {
				if _, err := d.Describe(apply.NewViewer()); err != nil {
					t.Error(err)
				}
				for _, k := range devices.All[:2] {
					if _, _, err := k.Check(d); err != nil {
						t.Error(err)
					}
				}
				var got []byte
				if got, err = applyBytes(d, []byte("source"), apply.Options{Scratch: pamztest.Scratch(t), Zlib: pamztest.OpenZlib}); err == nil && string(got) != "target" {
					t.Errorf("success with target %q", got)
				}
			}
			if c.code == 0 {
				if err != nil {
					t.Error(err)
				}
				return
			}
			pamztest.WantError(t, err, c.code)
		})
	}
}

// TestDeep nests recipes and deltas.
func TestDeep(t *testing.T) {
	b := pamztest.NewBuilder(t, 1, []byte("source"))
	it := b.CopySource(0, 6)
	for range pamz.MaxDepth {
		it = b.Concat(it)
	}
	d, target := b.Diff(0, pamz.LittleEndian, it)
	if got, err := applyBytes(pamztest.Decode(t, pamztest.Encode(t, d)), b.Source, apply.Options{}); err != nil || !bytes.Equal(got, target) {
		t.Errorf("%d levels: %v", pamz.MaxDepth, err)
	}
	d.Chunks[0] = b.Concat(it)
	if err := pamz.Encode(&bytes.Buffer{}, d); err == nil {
		t.Errorf("%d levels can be encoded", pamz.MaxDepth+1)
	}
	if _, err := applyBytes(d, b.Source, apply.Options{}); err == nil {
		t.Errorf("%d levels can be applied", pamz.MaxDepth+1)
	}
	file := head()
	file.u64(1, 6).hash("target")
	for range 1000 {
		file.u8(2, 1, 0, 0).u64(6).hash("target").u8(1)
	}
	file.u8(6, 0).end("target")
	_, err := pamz.Decode(bytes.NewReader(file.Bytes()), int64(file.Len()))
	pamztest.WantError(t, err, errnum.Other)

	it = b.CopySource(0, 6)
	for i := range pamz.MaxNested + 1 {
		it = b.Nested(pamz.LittleEndian, b.CopySource(0, 6), func(inner *pamztest.Builder) []*pamz.Item {
			if i == 0 {
				return []*pamz.Item{inner.CopySource(0, 6)}
			}
			return []*pamz.Item{it}
		})
		// A nested delta's own items refer to its own source, which is the same.
		d, target := b.Diff(0, pamz.LittleEndian, it)
		d = pamztest.Decode(t, pamztest.Encode(t, d))
		got, err := applyBytes(d, b.Source, apply.Options{})
		_, describeErr := d.Describe(apply.NewViewer())
		_, violations, checkErr := devices.All[0].Check(d)
		if describeErr != nil || checkErr != nil {
			t.Fatal(describeErr, checkErr)
		}
		if i < pamz.MaxNested {
			if err != nil || !bytes.Equal(got, target) || len(violations) > 0 {
				t.Errorf("%d deltas: %v, %v", i+1, err, violations)
			}
			continue
		}
		pamztest.WantError(t, err, errnum.Other)
		if len(violations) == 0 {
			t.Errorf("%d deltas: no rule is broken", i+1)
		}
	}
}

// TestBomb has 128 MiB in a few bytes.
func TestBomb(t *testing.T) {
	b := pamztest.NewBuilder(t, 1, []byte("source"))
	frame := b.Asset(bytes.Repeat(pamztest.ZstdFrame(t, make([]byte, 16<<20)), 8))
	// Nobody looks at what follows the item's length, as on the device.
	d, target := b.Diff(0, pamz.LittleEndian, b.Item(make([]byte, 10), pamz.ZstdDecompression(frame)))
	if got, err := applyBytes(d, b.Source, apply.Options{}); err != nil || !bytes.Equal(got, target) {
		t.Error(err)
	}
	// What the item claims is not what it is.
	all := pamz.NewItem(128<<20, digest.SHA256{1}, pamz.ZstdDecompression(frame))
	d, _ = b.Diff(0, pamz.LittleEndian, b.Item(make([]byte, 10), pamz.Region(all, 0, 10)))
	_, err := applyBytes(d, b.Source, apply.Options{Scratch: pamztest.Scratch(t)})
	pamztest.WantError(t, err, errnum.Hash)
}

// TestWork has a delta that makes the same large item for every chunk.
func TestWork(t *testing.T) {
	b := pamztest.NewBuilder(t, 1, []byte("source"))
	big := make([]byte, 16<<20)
	frame := pamztest.ZstdFrame(t, big)
	bigItem := b.Item(big, pamz.ZstdDecompression(b.Asset(frame)))
	var chunks []*pamz.Item
	for i := range 40 {
		// Different each time by its last byte, so that none stands in for another.
		chunks = append(chunks, b.Item(big[:1], pamz.Region(pamz.NewItem(bigItem.Length-int64(i), digest.Sum(big[i:]), pamz.ZstdDecompression(b.Asset(frame))), 0, 1)))
	}
	d, _ := b.Diff(0, pamz.LittleEndian, chunks...)
	_, err := applyBytes(d, b.Source, apply.Options{Scratch: pamztest.Scratch(t)})
	pamztest.WantError(t, err, errnum.Other)
}

// TestDoubling has a pool in which each item is twice the one before.
func TestDoubling(t *testing.T) {
	r := &raw{order: binary.BigEndian}
	def := func(i int) *raw { return r.u64(1 << i).sum(digest.Sum([]byte{byte(i)})) }
	const n = 60
	r.WriteString(pamz.Magic)
	r.u64(2)
	def(0).u64(0).u32(0).u64(n + 1).u64(1)
	def(0).u32(pamz.PoolSlice).u64(1, 5, 1)
	def(n)
	for i := 1; i <= n; i++ {
		r.u64(1)
		def(i).u32(pamz.PoolChain).u64(0, 2)
		for range 2 {
			if i == 1 {
				r.item("x")
			} else {
				def(i - 1)
			}
		}
	}
	_ = r.poolEnd("x")
	d := pamztest.Decode(t, r.Bytes())
	_, err := applyBytes(d, nil, apply.Options{})
	pamztest.WantError(t, err, errnum.Other) // so many pieces
	if _, err := d.Describe(apply.NewViewer()); err != nil {
		t.Error(err)
	}
	if _, _, err := devices.All[1].Check(d); err != nil {
		t.Error(err)
	}
	pamztest.Decode(t, pamztest.Encode(t, d))
}

// TestMemoryLimit has codecs that want more than they may take. That is no fault of
// the data.
func TestMemoryLimit(t *testing.T) {
	b := pamztest.NewBuilder(t, 1, bytes.Repeat([]byte("source"), 1<<20))
	content := bytes.Repeat([]byte("0123456789abcdef"), 1<<19) // 8 MiB
	old := b.CopySource(0, 6<<20)
	frame := b.Asset(pamztest.ZstdFrame(t, content, zstd.WithWindowSize(8<<20)))
	items := map[string]*pamz.Item{
		"window": b.Item(content, pamz.ZstdDecompression(frame)),
		"prefix": b.Item(content, pamz.ZstdDelta(frame, old)),
	}
	if z, err := codec.OpenZstd(codec.ZstdOptions{}); err == nil {
		b.Zstd = z
		items["compression"] = b.Compress(b.CopySource(0, 6<<20), 3)
	}
	for name, it := range items {
		d, target := b.Diff(0, pamz.LittleEndian, it)
		opts := apply.Options{Memory: 4 << 20, Zstd: func() (*codec.Zstd, error) { return b.Zstd, nil }}
		if _, err := applyBytes(d, b.Source, opts); !errors.Is(err, apply.ErrMemory) || fault.IsData(err) {
			t.Errorf("%s: %v", name, err)
		}
		opts.Memory = 64 << 20
		if got, err := applyBytes(d, b.Source, opts); err != nil || !bytes.Equal(got, target) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestManyItems has more items than a file may have, at once and in deltas inside it.
func TestManyItems(t *testing.T) {
	b := pamztest.NewBuilder(t, 1, []byte("source"))
	chunks := make([]*pamz.Item, pamz.MaxItems+1)
	for i := range chunks {
		chunks[i] = b.Zero(1)
	}
	d, _ := b.Diff(0, pamz.LittleEndian, chunks...)
	file := pamztest.Encode(t, d)
	_, err := pamz.Decode(bytes.NewReader(file), int64(len(file)))
	pamztest.WantError(t, err, errnum.Other)

	old := func() *pamz.Item { return b.CopySource(0, 6) }
	it := b.Nested(pamz.LittleEndian, old(), func(*pamztest.Builder) []*pamz.Item { return chunks[:pamz.MaxItems/2] })
	it = b.Nested(pamz.LittleEndian, old(), func(*pamztest.Builder) []*pamz.Item { return append([]*pamz.Item{it}, chunks[:pamz.MaxItems/2]...) })
	d, _ = b.Diff(0, pamz.LittleEndian, it)
	d = pamztest.Decode(t, pamztest.Encode(t, d))
	_, err = applyBytes(d, b.Source, apply.Options{})
	pamztest.WantError(t, err, errnum.Other)
}

// TestHugeStage claims lengths that no scratch file can have.
func TestHugeStage(t *testing.T) {
	b := pamztest.NewBuilder(t, 1, []byte("source"))
	it := b.Gunzip([]byte("x"))
	for range 5 {
		it.Length = 1 << 61
		it = pamz.NewItem(it.Length, digest.SHA256{}, pamz.GzDecompression(it))
	}
	d, _ := b.Diff(0, pamz.LittleEndian, b.Item([]byte{0}, pamz.Region(it, 0, 1)))
	_, err := applyBytes(d, b.Source, apply.Options{Scratch: pamztest.Scratch(t)})
	pamztest.WantError(t, err, errnum.Other)
}
