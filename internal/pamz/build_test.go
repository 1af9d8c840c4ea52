// SPDX-License-Identifier: MIT

package pamz

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"io"
	"math/rand"
	"slices"
	"testing"

	"github.com/klauspost/compress/zstd"

	"swudelta/internal/bsdiff"
	"swudelta/internal/codec"
	"swudelta/internal/digest"
	"swudelta/internal/suffix"
)

// builder makes trees whose content is known.
type builder struct {
	t       testing.TB
	rand    *rand.Rand
	source  []byte
	content map[*Item][]byte
	zstd    *codec.Zstd // nil: no zstd_compression
	bzip2   *codec.Bzip2
	zlib    *codec.Zlib // nil: no zlib recipes
	mute    bool        // items that are only read may have no digest
}

func newBuilder(t testing.TB, seed int64, source []byte) *builder {
	b := &builder{t: t, rand: rand.New(rand.NewSource(seed)), source: source, content: map[*Item][]byte{}}
	b.bzip2, _ = codec.OpenBzip2()
	return b
}

// text is n bytes that compress somewhat.
func (b *builder) text(n int) []byte {
	words := []string{"delta ", "chunk ", "source ", "target\n", "recipe ", "\x00\x00\x00\x00", "0123456789"}
	var out []byte
	for len(out) < n {
		out = append(out, words[b.rand.Intn(len(words))]...)
		out = append(out, byte(b.rand.Intn(256)))
	}
	return out[:n:n]
}

func (b *builder) item(content []byte, r *Recipe) *Item {
	it := NewItem(int64(len(content)), digest.Sum(content), r)
	b.content[it] = content
	return it
}

func (b *builder) asset(content []byte) *Item { return b.item(content, InlineAsset(content)) }

func (b *builder) copySource(off, n int) *Item {
	return b.item(b.source[off:off+n], CopySource(int64(off)))
}

func (b *builder) region(it *Item, off, n int) *Item {
	return b.item(b.content[it][off:off+n], Region(it, int64(off), int64(n)))
}

// concat nests concatenations where Concatenation does, but states their digests.
func (b *builder) concat(list ...*Item) *Item {
	for len(list) > MaxParams {
		var outer []*Item
		for group := range slices.Chunk(list, MaxParams) {
			outer = append(outer, b.concat(group...))
		}
		list = outer
	}
	var all []byte
	for _, it := range list {
		all = append(all, b.content[it]...)
	}
	return b.item(all, Concatenation(list...))
}

func (b *builder) zero(n int) *Item { return b.item(make([]byte, n), AllZero(int64(n))) }

func (b *builder) gz(content []byte) []byte {
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	w.Write(content)
	w.Close()
	return buf.Bytes()
}

func (b *builder) gunzip(content []byte) *Item {
	return b.item(content, GzDecompression(b.asset(b.gz(content))))
}

func (b *builder) inflate(content []byte, container int64) *Item {
	var buf bytes.Buffer
	var w io.WriteCloser
	switch container {
	case ContainerRaw:
		w, _ = flate.NewWriter(&buf, 6)
	case ContainerGzip:
		w = gzip.NewWriter(&buf)
	default:
		w = zlib.NewWriter(&buf)
	}
	w.Write(content)
	w.Close()
	return b.item(content, ZlibDecompression(b.asset(buf.Bytes()), container))
}

func zstdFrame(t testing.TB, content []byte, opts ...zstd.EOption) []byte {
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

func (b *builder) unzstd(content []byte) *Item {
	return b.item(content, ZstdDecompression(b.asset(zstdFrame(b.t, content))))
}

func (b *builder) zstdDelta(content []byte, old *Item) *Item {
	return b.item(content, ZstdDelta(b.asset(zstdFrame(b.t, content, zstd.WithEncoderDictRaw(0, b.content[old]))), old))
}

func (b *builder) compress(it *Item, level int64) *Item {
	var buf bytes.Buffer
	w, err := b.zstd.NewCanonicalWriter(&buf, int(level))
	if err == nil {
		_, err = w.Write(b.content[it])
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		b.t.Fatal(err)
	}
	return b.item(buf.Bytes(), ZstdCompression(it, 1, 5, level))
}

func (b *builder) deflate(it *Item, container, level int64) *Item {
	var buf bytes.Buffer
	if err := b.zlib.Deflate(&buf, bytes.NewReader(b.content[it]), codec.Container(container), int(level)); err != nil {
		b.t.Fatal(err)
	}
	return b.item(buf.Bytes(), ZlibCompression(it, container, level))
}

// patch returns a BSDIFF40 patch; without libbz2 the test is skipped.
func (b *builder) patch(old, content []byte) []byte {
	if b.bzip2 == nil {
		b.t.Skip("no libbz2.so.1.0 to make patches with")
	}
	var buf bytes.Buffer
	p := bsdiff.Diff(old, suffix.Array(nil, old), content, bsdiff.Options{})
	if _, err := p.Encode(&buf, b.bzip2.Compress); err != nil {
		b.t.Fatal(err)
	}
	return buf.Bytes()
}

func (b *builder) bsdiff(content []byte, old *Item) *Item {
	return b.item(content, BSDiff(b.asset(b.patch(b.content[old], content)), old))
}

// diff makes a delta of chunks.
func (b *builder) diff(version int, order Order, chunks ...*Item) (*Diff, []byte) {
	var target []byte
	for _, c := range chunks {
		target = append(target, b.content[c]...)
	}
	if b.mute {
		for _, c := range chunks {
			b.unstate(c, true)
		}
	}
	d := &Diff{
		Version: version, Order: order, Chunks: chunks,
		TargetLength: int64(len(target)), TargetSHA256: digest.Sum(target),
		SourceLength: int64(len(b.source)), SourceSHA256: digest.Sum(b.source),
	}
	return d, target
}

func encodeBytes(t testing.TB, d *Diff) []byte {
	t.Helper()
	var buf bytes.Buffer
	if err := Encode(&buf, d); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// nested makes an item of a delta whose source is the item source.
func (b *builder) nested(order Order, source *Item, chunks func(*builder) []*Item) *Item {
	inner := &builder{t: b.t, rand: b.rand, source: b.content[source], content: b.content, zstd: b.zstd, bzip2: b.bzip2, mute: b.mute}
	d, target := inner.diff(0, order, chunks(inner)...)
	return b.item(target, Nested(b.asset(encodeBytes(b.t, d)), source))
}

// any makes an item of at least one byte, at most depth levels of recipes deep.
// Nested deltas exist in version 0 only, zlib recipes in version 2.
func (b *builder) any(version int, order Order, depth int) *Item {
	n := 1 + b.rand.Intn(3000)
	ops := 4
	if depth > 0 {
		ops = 14
	}
	sub := func() *Item { return b.any(version, order, depth-1) }
	switch b.rand.Intn(ops) {
	default:
		off := b.rand.Intn(len(b.source))
		return b.copySource(off, min(n, len(b.source)-off))
	case 1:
		return b.asset(b.text(n))
	case 2:
		return b.zero(n)
	case 3:
		return b.item(b.text(n), nil) // becomes remainder below
	case 4:
		it := sub()
		size := len(b.content[it])
		off := b.rand.Intn(size)
		return b.region(it, off, 1+b.rand.Intn(size-off))
	case 5:
		list := make([]*Item, 1+b.rand.Intn(5))
		for i := range list {
			list[i] = sub()
		}
		return b.concat(list...)
	case 6:
		old := sub()
		content := append(bytes.Clone(b.content[old]), b.text(100)...)
		content[b.rand.Intn(len(content))] ^= 0x55
		return b.bsdiff(content, old)
	case 7:
		return b.unzstd(b.text(n))
	case 8:
		return b.gunzip(b.text(n))
	case 9:
		old := sub()
		return b.zstdDelta(append(b.text(50), b.content[old]...), old)
	case 10:
		if version == 2 {
			return b.inflate(b.text(n), int64(b.rand.Intn(3)))
		}
		if order == BigEndian || b.zstd == nil {
			return sub()
		}
		return b.compress(sub(), 1+int64(b.rand.Intn(5)))
	case 11:
		if version == 2 {
			return b.deflate(sub(), int64(b.rand.Intn(3)), int64(b.rand.Intn(11)-1))
		}
		return b.nested(order, sub(), func(inner *builder) []*Item {
			return inner.chunks(version, order, depth-1)
		})
	case 12:
		it := sub()
		return b.item(b.content[it], items(OpCopy, it))
	}
}

// chunks makes some chunks, with copies of what lies before them.
func (b *builder) chunks(version int, order Order, depth int) []*Item {
	var list []*Item
	var target []byte
	for range 1 + b.rand.Intn(6) {
		c := b.any(version, order, depth)
		if version == 0 && len(target) > 0 && b.rand.Intn(4) == 0 {
			off := b.rand.Intn(len(target))
			n := 1 + b.rand.Intn(len(target)-off)
			c = b.item(target[off:off+n:off+n], CopyTarget(int64(off), int64(n), digest.Sum(target[off:off+n])))
		}
		list = append(list, c)
		target = append(target, b.content[c]...)
	}
	for _, c := range list {
		b.fill(c)
	}
	return list
}

// unstated takes the digest of an item away.
func unstated(it *Item) *Item {
	it.SHA256 = digest.SHA256{}
	return it
}

// unstate takes the digests of some items away that are only read; it is one, unless it is
// written.
func (b *builder) unstate(it *Item, written bool) {
	if !written && b.rand.Intn(3) > 0 {
		unstated(it)
	}
	for _, p := range it.Recipe.Params {
		if p.Item != nil && p.Item.Recipe != nil {
			op := it.Recipe.Op
			b.unstate(p.Item, op == OpZstdCompression || written && it.Recipe.passes())
		}
	}
}

// fill gives items without recipe one: remainder.
func (b *builder) fill(it *Item) {
	if it.Recipe == nil {
		if it.Kind != Chunk {
			it.Recipe = Remainder(b.content[it])
		}
		return
	}
	for _, p := range it.Recipe.Params {
		if p.Item != nil {
			b.fill(p.Item)
		}
	}
}
