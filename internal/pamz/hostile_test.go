// SPDX-License-Identifier: MIT

package pamz

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"swudelta/internal/codec"
	"swudelta/internal/digest"
	"swudelta/internal/fault"
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
	r.u32(hashSHA256)
	r.Write(sum[:])
	return r
}

// head starts a version 0 file for the target "target" without source.
func head() *raw {
	r := &raw{order: binary.LittleEndian}
	r.WriteString(magic)
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
	r.WriteString(magic)
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
		"magic":                 {codeMagic, (&raw{}).u8('P', 'A', 'M', 'X', 0, 0, 0, 0, 0, 0, 0, 0)},
		"empty":                 {codeMagic, &raw{}},
		"version 1":             {codeVersion, (&raw{order: binary.LittleEndian}).u8('P', 'A', 'M', 'Z').u64(1, 1).hash("")},
		"md5":                   {codeHashType, (&raw{order: binary.LittleEndian}).u8('P', 'A', 'M', 'Z').u64(0, 6).u32(0x8003).u64(0, 0, 0, 0, 0)},
		"good":                  {0, chunk().u8(6, 0).end("target")},
		"wide number":           {0, chunk().u8(255, 6, 0, 0, 0, 0).end("target")},
		"trailing":              {codeFileSize, chunk().u8(6, 0).end("target").u8(0)},
		"inline short":          {codeInlineBytes, chunk().u8(6, 0).end("targe")},
		"inline long":           {codeInlineBytes, chunk().u8(6, 0).end("target ")},
		"inline huge":           {codeShort, chunk().u8(6, 0).u64(1 << 40)},
		"length":                {codeOther, chunk().u8(6, 0).u64(math.MaxUint64)},
		"chunks":                {codeShort, head().u64(1 << 40)},
		"chunks overlong":       {codeLengths, head().u64(1, 7).hash("target!").u8(6, 0).end("target!")},
		"chunks too few":        {codeLengths, head().u64(1, 5).hash("targe").u8(6, 0).end("targe")},
		"target length":         {codeOther, (&raw{order: binary.LittleEndian}).u8('P', 'A', 'M', 'Z').u64(0, 1<<63).hash("")},
		"recipe 14":             {codeOther, chunk().u8(14, 0).end("")},
		"recipe 2^24":           {codeOther, chunk().u8(255, 0, 0, 0, 1, 0).end("")},
		"inline_asset_copy":     {codeOther, chunk().u8(9, 0).end("target")},
		"parameter type":        {codeParamType, chunk().u8(7, 1, 2).u64(0).end("")},
		"recipe flag":           {codeOther, chunk().u8(0, 1, 0, 0).u64(6).hash("target").u8(2).end("")},
		"parameter missing":     {codeParamCount, chunk().u8(7, 0).end("")},
		"parameter more":        {codeParamCount, chunk().u8(6, 1, 1).u64(0).end("target")},
		"number for item":       {codeParamForItem, chunk().u8(0, 1, 1).u64(0).end("")},
		"number in concat":      {codeParamForItem, chunk().u8(2, 1, 1).u64(0).end("")},
		"item for number":       {codeParamForNumber, chunk().u8(7, 1, 0, 0).u64(6).hash("target").u8(1, 6, 0).end("target")},
		"no recipe":             {codeNoRecipe, chunk().u8(0, 1, 0, 0).u64(6).hash("target").u8(0).end("")},
		"no source":             {codeOutOfBounds, chunk().u8(7, 1, 1).u64(0).end("")},
		"copy_source overflow":  {codeOutOfBounds, chunk().u8(7, 1, 1).u64(math.MaxUint64 - 2).end("")},
		"region":                {codeOutOfBounds, chunk().u8(1, 3, 0, 0).u64(6).hash("target").u8(1, 6, 0, 1).u64(1).u8(1).u64(6).end("target")},
		"region length":         {codeHash, chunk().u8(1, 3, 0, 0).u64(6).hash("target").u8(1, 6, 0, 1).u64(0).u8(1).u64(5).end("target")},
		"all_zero":              {codeHash, chunk().u8(12, 1, 1).u64(7).end("")},
		"all_zero content":      {codeHash, chunk().u8(12, 1, 1).u64(6).end("")},
		"concatenation":         {codeLengths, chunk().u8(2, 1, 0, 0).u64(5).hash("targe").u8(1, 6, 0).end("targe")},
		"concatenation of none": {codeLengths, chunk().u8(2, 0).end("")},
		"content":               {codeHash, chunk().u8(6, 0).end("tarGet")},
		"copy too early":        {codeOutOfBounds, chunk().u8(0, 1, 0, 1).u64(0, 6).hash("target").u8(0).end("")},
		"copy beyond":           {codeOutOfBounds, chunk().u8(0, 1, 0, 1).u64(1, 6).hash("target").u8(0).end("")},
		"copy far beyond":       {codeOther, chunk().u8(0, 1, 0, 1).u64(math.MaxUint64-1, 6).hash("target").u8(0).end("")},
		"zstd":                  {codeZstd, chunk().u8(11, 1, 0, 0).u64(300).hash(long).u8(1, 6, 0).end(long)},
		"zstd_compression":      {codeNumberTooLarge, chunk().u8(10, 4, 0, 0).u64(6).hash("target").u8(1, 6, 0, 1).u64(1).u8(1).u64(5).u8(1).u64(1 << 31).end("target")},
		"gzip":                  {codeInflate, chunk().u8(13, 1, 0, 0).u64(300).hash(long).u8(1, 6, 0).end(long)},
		"gzip short":            {codeInflateShort, chunk().u8(13, 1, 0, 0).u64(4).hash("\x1f\x8b\x08\x00").u8(1, 6, 0).end("\x1f\x8b\x08\x00")},
		"bsdiff":                {codeBSPatch, chunk().u8(3, 2, 0, 0).u64(300).hash(long).u8(1, 6, 0, 0, 0).u64(1).hash("y").u8(1, 6, 0).end(long + "y")},
		"nested":                {codeMagic, chunk().u8(4, 2, 0, 0).u64(300).hash(long).u8(1, 6, 0, 0, 0).u64(1).hash("y").u8(1, 6, 0).end(long + "y")},
		"remainder short":       {codeInflateShort, chunk().u8(5, 0).end("")},
		"remainder corrupt":     {codeInflate, chunk().u8(5, 0).u64(0).u64(6, 2).u8(0xff, 0xff)},
		"remainder cut":         {codeInflateShort, chunk().u8(5, 0).u64(0).u64(6, 1).u8(0x4b)},

		"v2 good":            {0, poolHead().u64(0).poolEnd("target")},
		"v2 nothing":         {codeOther, poolHead().u64(0).poolEnd("")},
		"v2 sets":            {codeShort, poolHead().u64(1 << 40)},
		"v2 recipes":         {codeShort, poolHead().u64(1, 1<<40)},
		"v2 inline digest":   {codeOther, poolHead().u64(0).u64(6).hash("target").u8([]byte("tarGet")...).u64(0).u32(0)},
		"v2 self":            {codeSelfReferential, poolHead().u64(1).set("target", poolChain).u64(0, 1).item("target").poolEnd("")},
		"v2 circle":          {codeOther, poolHead().u64(2).set("target", poolSlice).u64(1, 0, 1).item("tarGet").set("tarGet", poolSlice).u64(1, 0, 1).item("target").poolEnd("")},
		"v2 circle with way": {0, poolHead().u64(3).set("target", poolSlice).u64(1, 0, 1).item("target!").set("target!", poolChain).u64(0, 2).item("target").item("!").set("target!", poolSlice).u64(1, 1, 1).item("xtarget!").poolEnd("xtarget!")},
		"v2 slice":           {codeSliceOutOfBounds, poolHead().u64(1).set("target", poolSlice).u64(1, 1, 1).item("source").poolEnd("")},
		"v2 slice numbers":   {codeParamCount, poolHead().u64(1).set("target", poolSlice).u64(0, 1).item("source").poolEnd("")},
		"v2 chain":           {codeLengths, poolHead().u64(1).set("target", poolChain).u64(0, 1).item("longer than it").poolEnd("")},
		"v2 chain of none":   {codeLengths, poolHead().u64(1).set("target", poolChain).u64(0, 0).poolEnd("")},
		"v2 zstd":            {codeNoZstdCompression, poolHead().u64(1).set("other", poolZstdCompression).u64(0, 1).item("source").poolEnd("target")},
		"v2 level":           {codeZlibLevel, poolHead().u64(1).set("target", poolZlibCompression).u64(2, 1, 10, 1).item("source").poolEnd("")},
		"v2 container":       {codeContainer, poolHead().u64(1).set("target", poolZlibCompression).u64(2, 3, 9, 1).item("source").poolEnd("")},
		"v2 recipe 8":        {codeOther, poolHead().u64(1).set("target", 8).u64(0, 0).poolEnd("")},
		"v2 content":         {codeHash, poolHead().u64(1).set("target", poolSlice).u64(1, 0, 1).item("source").poolEnd("")},
		"v2 archive":         {0, archives(1)},
		"v2 archives":        {0, archives(maxNested)},
		"v2 deep archives":   {codeOther, archives(maxNested + 1)},
		"v2 long archive":    {0, archive(archives(0).u64(0), 0)},
		"v2 archive beyond":  {codeShort, archive(archives(0), 1)},
		"v2 archive overrun": {codeShort, archive(archives(0), -1)},
		"v2 archive v0":      {codeVersion, archive(chunk().u8(6, 0).end("target"), 0)},
		"v2 empty item":      {codeOther, poolHead().u64(1).set("target", poolChain).u64(0, 1, 0).poolEnd("")},
	} {
		t.Run(name, func(t *testing.T) {
			file := c.file.Bytes()
			d, err := Decode(bytes.NewReader(file), int64(len(file)))
			if err == nil {
				if _, err := d.Describe(); err != nil {
					t.Error(err)
				}
				for _, p := range []Profile{Profile10, Profile30} {
					if _, _, err := Check(d, p); err != nil {
						t.Error(err)
					}
				}
				var got []byte
				if got, err = applyBytes(d, []byte("source"), ApplyOptions{Scratch: scratch(t), Zlib: openZlib}); err == nil && string(got) != "target" {
					t.Errorf("success with target %q", got)
				}
			}
			if c.code == 0 {
				if err != nil {
					t.Error(err)
				}
				return
			}
			wantError(t, err, c.code)
		})
	}
}

// TestDeep nests recipes and deltas.
func TestDeep(t *testing.T) {
	b := newBuilder(t, 1, []byte("source"))
	it := b.copySource(0, 6)
	for range maxDepth {
		it = b.concat(it)
	}
	d, target := b.diff(0, LittleEndian, it)
	if got, err := applyBytes(decodeBytes(t, encodeBytes(t, d)), b.source, ApplyOptions{}); err != nil || !bytes.Equal(got, target) {
		t.Errorf("%d levels: %v", maxDepth, err)
	}
	d.Chunks[0] = b.concat(it)
	if err := Encode(&bytes.Buffer{}, d); err == nil {
		t.Errorf("%d levels can be encoded", maxDepth+1)
	}
	if _, err := applyBytes(d, b.source, ApplyOptions{}); err == nil {
		t.Errorf("%d levels can be applied", maxDepth+1)
	}
	file := head()
	file.u64(1, 6).hash("target")
	for range 1000 {
		file.u8(2, 1, 0, 0).u64(6).hash("target").u8(1)
	}
	file.u8(6, 0).end("target")
	_, err := Decode(bytes.NewReader(file.Bytes()), int64(file.Len()))
	wantError(t, err, codeOther)

	it = b.copySource(0, 6)
	for i := range maxNested + 1 {
		it = b.nested(LittleEndian, b.copySource(0, 6), func(inner *builder) []*Item {
			if i == 0 {
				return []*Item{inner.copySource(0, 6)}
			}
			return []*Item{it}
		})
		// A nested delta's own items refer to its own source, which is the same.
		d, target := b.diff(0, LittleEndian, it)
		d = decodeBytes(t, encodeBytes(t, d))
		got, err := applyBytes(d, b.source, ApplyOptions{})
		_, describeErr := d.Describe()
		_, violations, checkErr := Check(d, Profile10)
		if describeErr != nil || checkErr != nil {
			t.Fatal(describeErr, checkErr)
		}
		if i < maxNested {
			if err != nil || !bytes.Equal(got, target) || len(violations) > 0 {
				t.Errorf("%d deltas: %v, %v", i+1, err, violations)
			}
			continue
		}
		wantError(t, err, codeOther)
		if len(violations) == 0 {
			t.Errorf("%d deltas: no rule is broken", i+1)
		}
	}
}

// TestBomb has 128 MiB in a few bytes.
func TestBomb(t *testing.T) {
	b := newBuilder(t, 1, []byte("source"))
	frame := b.asset(bytes.Repeat(zstdFrame(t, make([]byte, 16<<20)), 8))
	// Nobody looks at what follows the item's length, as on the device.
	d, target := b.diff(0, LittleEndian, b.item(make([]byte, 10), ZstdDecompression(frame)))
	if got, err := applyBytes(d, b.source, ApplyOptions{}); err != nil || !bytes.Equal(got, target) {
		t.Error(err)
	}
	// What the item claims is not what it is.
	all := NewItem(128<<20, digest.SHA256{1}, ZstdDecompression(frame))
	d, _ = b.diff(0, LittleEndian, b.item(make([]byte, 10), Region(all, 0, 10)))
	_, err := applyBytes(d, b.source, ApplyOptions{Scratch: scratch(t)})
	wantError(t, err, codeHash)
}

// TestWork has a delta that makes the same large item for every chunk.
func TestWork(t *testing.T) {
	b := newBuilder(t, 1, []byte("source"))
	big := make([]byte, 16<<20)
	frame := zstdFrame(t, big)
	bigItem := b.item(big, ZstdDecompression(b.asset(frame)))
	var chunks []*Item
	for i := range 40 {
		// Different each time by its last byte, so that none stands in for another.
		chunks = append(chunks, b.item(big[:1], Region(NewItem(bigItem.Length-int64(i), digest.Sum(big[i:]), ZstdDecompression(b.asset(frame))), 0, 1)))
	}
	d, _ := b.diff(0, LittleEndian, chunks...)
	_, err := applyBytes(d, b.source, ApplyOptions{Scratch: scratch(t)})
	wantError(t, err, codeOther)
}

// TestDoubling has a pool in which each item is twice the one before.
func TestDoubling(t *testing.T) {
	r := &raw{order: binary.BigEndian}
	def := func(i int) *raw { return r.u64(1 << i).sum(digest.Sum([]byte{byte(i)})) }
	const n = 60
	r.WriteString(magic)
	r.u64(2)
	def(0).u64(0).u32(0).u64(n + 1).u64(1)
	def(0).u32(poolSlice).u64(1, 5, 1)
	def(n)
	for i := 1; i <= n; i++ {
		r.u64(1)
		def(i).u32(poolChain).u64(0, 2)
		for range 2 {
			if i == 1 {
				r.item("x")
			} else {
				def(i - 1)
			}
		}
	}
	_ = r.poolEnd("x")
	d := decodeBytes(t, r.Bytes())
	_, err := applyBytes(d, nil, ApplyOptions{})
	wantError(t, err, codeHash)
	if _, err := d.Describe(); err != nil {
		t.Error(err)
	}
	if _, _, err := Check(d, Profile30); err != nil {
		t.Error(err)
	}
	decodeBytes(t, encodeBytes(t, d))
}

// TestMemoryLimit has codecs that want more than they may take. That is no fault of
// the data.
func TestMemoryLimit(t *testing.T) {
	b := newBuilder(t, 1, bytes.Repeat([]byte("source"), 1<<20))
	content := bytes.Repeat([]byte("0123456789abcdef"), 1<<19) // 8 MiB
	old := b.copySource(0, 6<<20)
	frame := b.asset(zstdFrame(t, content, zstd.WithWindowSize(8<<20)))
	items := map[string]*Item{
		"window": b.item(content, ZstdDecompression(frame)),
		"prefix": b.item(content, ZstdDelta(frame, old)),
	}
	if z, err := codec.OpenZstd(codec.ZstdOptions{}); err == nil {
		b.zstd = z
		items["compression"] = b.compress(b.copySource(0, 6<<20), 3)
	}
	for name, it := range items {
		d, target := b.diff(0, LittleEndian, it)
		opts := ApplyOptions{Memory: 4 << 20, Zstd: func() (*codec.Zstd, error) { return b.zstd, nil }}
		if _, err := applyBytes(d, b.source, opts); !errors.Is(err, ErrMemory) || fault.IsData(err) {
			t.Errorf("%s: %v", name, err)
		}
		opts.Memory = 64 << 20
		if got, err := applyBytes(d, b.source, opts); err != nil || !bytes.Equal(got, target) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestManyItems has more items than a file may have, at once and in deltas inside it.
func TestManyItems(t *testing.T) {
	b := newBuilder(t, 1, []byte("source"))
	chunks := make([]*Item, maxItems+1)
	for i := range chunks {
		chunks[i] = b.zero(1)
	}
	d, _ := b.diff(0, LittleEndian, chunks...)
	file := encodeBytes(t, d)
	_, err := Decode(bytes.NewReader(file), int64(len(file)))
	wantError(t, err, codeOther)

	old := func() *Item { return b.copySource(0, 6) }
	it := b.nested(LittleEndian, old(), func(*builder) []*Item { return chunks[:maxItems/2] })
	it = b.nested(LittleEndian, old(), func(*builder) []*Item { return append([]*Item{it}, chunks[:maxItems/2]...) })
	d, _ = b.diff(0, LittleEndian, it)
	d = decodeBytes(t, encodeBytes(t, d))
	_, err = applyBytes(d, b.source, ApplyOptions{})
	wantError(t, err, codeOther)
}

// TestViewer has a viewer that has little left to spend.
func TestViewer(t *testing.T) {
	b := newBuilder(t, 1, []byte("source"))
	inner := func() *Item {
		return b.nested(LittleEndian, b.copySource(0, 6), func(inner *builder) []*Item { return []*Item{inner.zero(1), inner.zero(2)} })
	}
	one, two := inner(), inner()
	d, _ := b.diff(0, LittleEndian, one, two)
	v := &viewer{work: 1000, items: 3}
	if _, err := v.nested(d, one); err != nil {
		t.Error(err)
	}
	_, err := v.nested(d, two)
	wantError(t, err, codeOther)
	v.items = 100
	if _, err := v.nested(d, two); err != nil {
		t.Error(err)
	}
	_, err = v.content(d, b.unzstd(make([]byte, 1001)))
	wantError(t, err, codeOther)
	_, err = v.content(d, b.concat(b.zero(1), b.copySource(0, 1)))
	wantError(t, err, codeOther)
	v.work = 1 << 40
	_, err = v.content(d, b.unzstd(make([]byte, viewSize+1)))
	wantError(t, err, codeOther)
}

// TestHugeStage claims lengths that no scratch file can have.
func TestHugeStage(t *testing.T) {
	b := newBuilder(t, 1, []byte("source"))
	it := b.gunzip([]byte("x"))
	for range 5 {
		it.Length = 1 << 61
		it = NewItem(it.Length, digest.SHA256{}, GzDecompression(it))
	}
	d, _ := b.diff(0, LittleEndian, b.item([]byte{0}, Region(it, 0, 1)))
	_, err := applyBytes(d, b.source, ApplyOptions{Scratch: scratch(t)})
	wantError(t, err, codeOther)
	a := arena{store: &memory{}, end: 1 << 61}
	if _, err := a.alloc(1<<61 + 1); err == nil {
		t.Error("room for more than 2^62 bytes")
	}
}
