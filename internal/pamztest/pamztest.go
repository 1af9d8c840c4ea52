// SPDX-License-Identifier: MIT

// Package pamztest makes PAMZ deltas whose content is known, for tests of several packages.
package pamztest

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"io"
	"math/rand"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/klauspost/compress/zstd"

	"swudelta/internal/bsdiff"
	"swudelta/internal/codec"
	"swudelta/internal/digest"
	"swudelta/internal/errnum"
	"swudelta/internal/fault"
	"swudelta/internal/pamz"
	"swudelta/internal/tooltest"
)

// Builder makes trees whose content is known.
type Builder struct {
	t       testing.TB
	rand    *rand.Rand
	Source  []byte
	Content map[*pamz.Item][]byte
	Zstd    *codec.Zstd // nil: no zstd_compression
	Bzip2   *codec.Bzip2
	Zlib    *codec.Zlib // nil: no zlib recipes
	Mute    bool        // items that are only read may have no digest
}

// NewBuilder returns a builder of deltas for a source.
func NewBuilder(t testing.TB, seed int64, source []byte) *Builder {
	b := &Builder{t: t, rand: rand.New(rand.NewSource(seed)), Source: source, Content: map[*pamz.Item][]byte{}}
	b.Bzip2, _ = codec.OpenBzip2()
	return b
}

// Text is n bytes that compress somewhat.
func (b *Builder) Text(n int) []byte {
	words := []string{"delta ", "chunk ", "source ", "target\n", "recipe ", "\x00\x00\x00\x00", "0123456789"}
	var out []byte
	for len(out) < n {
		out = append(out, words[b.rand.Intn(len(words))]...)
		out = append(out, byte(b.rand.Intn(256)))
	}
	return out[:n:n]
}

// Item returns an item whose content is known.
func (b *Builder) Item(content []byte, r *pamz.Recipe) *pamz.Item {
	it := pamz.NewItem(int64(len(content)), digest.Sum(content), r)
	b.Content[it] = content
	return it
}

// Asset returns content that the delta holds.
func (b *Builder) Asset(content []byte) *pamz.Item { return b.Item(content, pamz.InlineAsset(content)) }

// CopySource returns n bytes of the source.
func (b *Builder) CopySource(off, n int) *pamz.Item {
	return b.Item(b.Source[off:off+n], pamz.CopySource(int64(off)))
}

// Region returns n bytes of an item.
func (b *Builder) Region(it *pamz.Item, off, n int) *pamz.Item {
	return b.Item(b.Content[it][off:off+n], pamz.Region(it, int64(off), int64(n)))
}

// Concat nests concatenations where Concatenation does, but states their digests.
func (b *Builder) Concat(list ...*pamz.Item) *pamz.Item {
	for len(list) > pamz.MaxParams {
		var outer []*pamz.Item
		for group := range slices.Chunk(list, pamz.MaxParams) {
			outer = append(outer, b.Concat(group...))
		}
		list = outer
	}
	var all []byte
	for _, it := range list {
		all = append(all, b.Content[it]...)
	}
	return b.Item(all, pamz.Concatenation(list...))
}

// Zero returns n zeros.
func (b *Builder) Zero(n int) *pamz.Item { return b.Item(make([]byte, n), pamz.AllZero(int64(n))) }

// Gzip compresses content.
func (b *Builder) Gzip(content []byte) []byte {
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	w.Write(content)
	w.Close()
	return buf.Bytes()
}

// Gunzip returns content that is made out of gzip.
func (b *Builder) Gunzip(content []byte) *pamz.Item {
	return b.Item(content, pamz.GzDecompression(b.Asset(b.Gzip(content))))
}

// Inflate returns content that is made out of deflate.
func (b *Builder) Inflate(content []byte, container int64) *pamz.Item {
	var buf bytes.Buffer
	var w io.WriteCloser
	switch container {
	case pamz.ContainerRaw:
		w, _ = flate.NewWriter(&buf, 6)
	case pamz.ContainerGzip:
		w = gzip.NewWriter(&buf)
	default:
		w = zlib.NewWriter(&buf)
	}
	w.Write(content)
	w.Close()
	return b.Item(content, pamz.ZlibDecompression(b.Asset(buf.Bytes()), container))
}

// ZstdFrame compresses content.
func ZstdFrame(t testing.TB, content []byte, opts ...zstd.EOption) []byte {
	var buf bytes.Buffer
	w, err := zstd.NewWriter(&buf, append(opts, zstd.WithEncoderConcurrency(1))...)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// Unzstd returns content that is made out of zstd.
func (b *Builder) Unzstd(content []byte) *pamz.Item {
	return b.Item(content, pamz.ZstdDecompression(b.Asset(ZstdFrame(b.t, content))))
}

// ZstdDelta returns content that is made out of zstd and a dictionary.
func (b *Builder) ZstdDelta(content []byte, old *pamz.Item) *pamz.Item {
	return b.Item(content, pamz.ZstdDelta(b.Asset(ZstdFrame(b.t, content, zstd.WithEncoderDictRaw(0, b.Content[old]))), old))
}

// Compress returns an item compressed by libzstd.
func (b *Builder) Compress(it *pamz.Item, level int64) *pamz.Item {
	var buf bytes.Buffer
	w, err := b.Zstd.NewCanonicalWriter(&buf, int(level))
	if err == nil {
		_, err = w.Write(b.Content[it])
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		b.t.Fatal(err)
	}
	return b.Item(buf.Bytes(), pamz.ZstdCompression(it, 1, 5, level))
}

// Deflate returns an item compressed by zlib.
func (b *Builder) Deflate(it *pamz.Item, container, level int64) *pamz.Item {
	var buf bytes.Buffer
	if err := b.Zlib.Deflate(&buf, bytes.NewReader(b.Content[it]), codec.Container(container), int(level)); err != nil {
		b.t.Fatal(err)
	}
	return b.Item(buf.Bytes(), pamz.ZlibCompression(it, container, level))
}

// Patch returns a BSDIFF40 patch; without libbz2 the test is skipped.
func (b *Builder) Patch(old, content []byte) []byte {
	if b.Bzip2 == nil {
		b.t.Skip("no libbz2.so.1.0 to make patches with")
	}
	var buf bytes.Buffer
	p := bsdiff.Diff(old, content, bsdiff.Options{})
	if _, err := p.Encode(&buf, b.Bzip2.Compress); err != nil {
		b.t.Fatal(err)
	}
	return buf.Bytes()
}

// BSDiff returns content that is made by a patch.
func (b *Builder) BSDiff(content []byte, old *pamz.Item) *pamz.Item {
	return b.Item(content, pamz.BSDiff(b.Asset(b.Patch(b.Content[old], content)), old))
}

// Diff makes a delta of chunks.
func (b *Builder) Diff(version int, order pamz.Order, chunks ...*pamz.Item) (*pamz.Diff, []byte) {
	var target []byte
	for _, c := range chunks {
		target = append(target, b.Content[c]...)
	}
	if b.Mute {
		for _, c := range chunks {
			b.unstate(c, true)
		}
	}
	d := &pamz.Diff{
		Form: pamz.Form{Version: version, Order: order}, Chunks: chunks,
		TargetLength: int64(len(target)), TargetSHA256: digest.Sum(target),
		SourceLength: int64(len(b.Source)), SourceSHA256: digest.Sum(b.Source),
	}
	return d, target
}

// Encode returns a delta as a file.
func Encode(t testing.TB, d *pamz.Diff) []byte {
	t.Helper()
	var buf bytes.Buffer
	if err := pamz.Encode(&buf, d); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// Nested makes an item of a delta whose source is the item source.
func (b *Builder) Nested(order pamz.Order, source *pamz.Item, chunks func(*Builder) []*pamz.Item) *pamz.Item {
	inner := &Builder{t: b.t, rand: b.rand, Source: b.Content[source], Content: b.Content, Zstd: b.Zstd, Bzip2: b.Bzip2, Mute: b.Mute}
	d, target := inner.Diff(0, order, chunks(inner)...)
	return b.Item(target, pamz.Nested(b.Asset(Encode(b.t, d)), source))
}

// Any makes an item of at least one byte, at most depth levels of recipes deep.
// Nested deltas exist in version 0 only, zlib recipes in versions 1 and 2.
func (b *Builder) Any(version int, order pamz.Order, depth int) *pamz.Item {
	n := 1 + b.rand.Intn(3000)
	ops := 4
	if depth > 0 {
		ops = 14
	}
	sub := func() *pamz.Item { return b.Any(version, order, depth-1) }
	switch b.rand.Intn(ops) {
	default:
		off := b.rand.Intn(len(b.Source))
		return b.CopySource(off, min(n, len(b.Source)-off))
	case 1:
		return b.Asset(b.Text(n))
	case 2:
		return b.Zero(n)
	case 3:
		return b.Item(b.Text(n), nil) // becomes remainder below
	case 4:
		it := sub()
		size := len(b.Content[it])
		off := b.rand.Intn(size)
		return b.Region(it, off, 1+b.rand.Intn(size-off))
	case 5:
		list := make([]*pamz.Item, 1+b.rand.Intn(5))
		for i := range list {
			list[i] = sub()
		}
		return b.Concat(list...)
	case 6:
		old := sub()
		content := append(bytes.Clone(b.Content[old]), b.Text(100)...)
		content[b.rand.Intn(len(content))] ^= 0x55
		return b.BSDiff(content, old)
	case 7:
		return b.Unzstd(b.Text(n))
	case 8:
		return b.Gunzip(b.Text(n))
	case 9:
		old := sub()
		return b.ZstdDelta(append(b.Text(50), b.Content[old]...), old)
	case 10:
		if version > 0 {
			return b.Inflate(b.Text(n), int64(b.rand.Intn(3)))
		}
		if order == pamz.BigEndian || b.Zstd == nil {
			return sub()
		}
		return b.Compress(sub(), 1+int64(b.rand.Intn(5)))
	case 11:
		if version > 0 {
			return b.Deflate(sub(), int64(b.rand.Intn(3)), int64(b.rand.Intn(11)-1))
		}
		return b.Nested(order, sub(), func(inner *Builder) []*pamz.Item {
			return inner.Chunks(version, order, depth-1)
		})
	case 12:
		it := sub()
		return b.Item(b.Content[it], &pamz.Recipe{Op: pamz.OpCopy, Params: []pamz.Param{{Item: it}}})
	}
}

// Chunks makes some chunks, with copies of what lies before them.
func (b *Builder) Chunks(version int, order pamz.Order, depth int) []*pamz.Item {
	var list []*pamz.Item
	var target []byte
	for range 1 + b.rand.Intn(6) {
		c := b.Any(version, order, depth)
		if version == 0 && len(target) > 0 && b.rand.Intn(4) == 0 {
			off := b.rand.Intn(len(target))
			n := 1 + b.rand.Intn(len(target)-off)
			c = b.Item(target[off:off+n:off+n], CopyTarget(int64(off), int64(n), digest.Sum(target[off:off+n])))
		}
		list = append(list, c)
		target = append(target, b.Content[c]...)
	}
	for _, c := range list {
		b.fill(c)
	}
	return list
}

// Unstated takes the digest of an item away.
func Unstated(it *pamz.Item) *pamz.Item {
	it.SHA256 = digest.SHA256{}
	return it
}

// unstate takes the digests of some items away that are only read; it is one, unless it is
// written.
func (b *Builder) unstate(it *pamz.Item, written bool) {
	if !written && b.rand.Intn(3) > 0 {
		Unstated(it)
	}
	for _, p := range it.Recipe.Params {
		if p.Item != nil && p.Item.Recipe != nil {
			op := it.Recipe.Op
			b.unstate(p.Item, op == pamz.OpZstdCompression || written && it.Recipe.Passes())
		}
	}
}

// fill gives items without recipe one: remainder.
func (b *Builder) fill(it *pamz.Item) {
	if it.Recipe == nil {
		if it.Kind != pamz.Chunk {
			it.Recipe = pamz.Remainder(b.Content[it])
		}
		return
	}
	for part := range it.Recipe.Items() {
		b.fill(part)
	}
}

// NewAsset returns an item whose content data is stored as an inline asset.
func NewAsset(data []byte) *pamz.Item {
	return pamz.NewItem(int64(len(data)), digest.Sum(data), pamz.InlineAsset(data))
}

// CopyTarget takes the item's content from what was already written of this delta's
// target, at offset.
func CopyTarget(offset, length int64, sum digest.SHA256) *pamz.Recipe {
	from := &pamz.Item{Kind: pamz.Chunk, Offset: offset, Length: length, SHA256: sum}
	return &pamz.Recipe{Op: pamz.OpCopy, Params: []pamz.Param{{Item: from}}}
}

// Vector is a delta of testdata, with the stems of its source and target.
type Vector struct{ Name, Source, Target string }

// Vectors are the deltas in testdata of package pamz.
var Vectors = []Vector{
	{"minimal.v0.le", "minimal", "minimal"},
	{"minimal.v0.be", "minimal", "minimal"},
	{"minimal.v2", "minimal", "minimal"},
	{"basic", "basic", "basic"},
	{"v3basic", "basic", "basic"},
	{"delta", "basic", "delta"},
	{"misc", "misc", "misc"},
	{"nested", "nested", "nested"},
	{"zstdcomp", "zstdcomp", "zstdcomp"},
	{"zstdcomp300k", "zstdcomp300k", "zstdcomp300k"},
}

// File returns a file of testdata of package pamz.
func File(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(tooltest.Root(), "internal", "pamz", "testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Source returns the source of a vector, by its stem.
func Source(t testing.TB, name string) []byte {
	if name != "zstdcomp300k" {
		return File(t, name+".source")
	}
	zr, err := codec.NewZstdReader(bytes.NewReader(File(t, name+".target")[4:]), 0)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(zr)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// NeedZstd skips where no libzstd makes the bytes of version 1.5.0.
func NeedZstd(t testing.TB) func() (*codec.Zstd, error) {
	t.Helper()
	open := func() (*codec.Zstd, error) { return codec.OpenZstd(codec.ZstdOptions{}) }
	if _, err := open(); err != nil {
		t.Skipf("no libzstd with the bytes of 1.5.0 (scripts/get-libzstd 1.5.0 makes one): %v", err)
	}
	return open
}

// Scratch is an unlinked file that is closed when the test ends.
func Scratch(t testing.TB) func() (*os.File, error) {
	return func() (*os.File, error) {
		f, err := os.CreateTemp(t.TempDir(), "")
		if err == nil {
			os.Remove(f.Name())
			t.Cleanup(func() { f.Close() })
		}
		return f, err
	}
}

// Decode reads a delta.
func Decode(t testing.TB, b []byte) *pamz.Diff {
	t.Helper()
	d, err := pamz.Decode(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// WantError wants an error of the data with the reference's number.
func WantError(t testing.TB, err error, code int) {
	t.Helper()
	var e *errnum.Error
	if !errors.As(err, &e) || e.Code != code || !fault.IsData(err) {
		t.Errorf("got error %v, want a fault of the data with number %d", err, code)
	}
}

// OpenZlib opens the system's zlib.
func OpenZlib() (*codec.Zlib, error) { return codec.OpenZlib("") }
