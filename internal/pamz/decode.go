// SPDX-License-Identifier: MIT

package pamz

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"swudelta/internal/digest"
	"swudelta/internal/errnum"
)

// Limits on what a delta may ask for. Real ones have some thousands of items,
// six levels deep, and one delta inside another.
const (
	MaxDepth  = 100     // levels of recipes
	MaxNested = 8       // deltas inside deltas
	MaxItems  = 1 << 18 // items of a delta and those inside it; each takes about 150 bytes of memory
)

// Decode reads the structure of a delta of size bytes: version 0 in either byte
// order, which it finds out, or version 1 or 2. Contents are left where they are, so
// r must stay readable as long as the Diff is in use; nested deltas are decoded
// when they are applied. Every fault of the data is an *Error.
func Decode(r io.ReaderAt, size int64) (*Diff, error) { return decode(r, size, MaxItems) }

func decode(r io.ReaderAt, size int64, items int) (*Diff, error) {
	d := &decoder{file: r, size: size, order: binary.ByteOrder(binary.LittleEndian), limit: items}
	d.r = bufio.NewReaderSize(io.NewSectionReader(r, 0, size), 64<<10)
	diff, err := d.decode()
	if err != nil {
		return nil, fmt.Errorf("delta: %w", err)
	}
	diff.Items = d.items
	return diff, nil
}

type decoder struct {
	file  io.ReaderAt
	size  int64
	r     *bufio.Reader
	pos   int64 // of the next byte that r gives
	order binary.ByteOrder
	items int
	limit int // of items

	diff   *Diff
	assets []*Item // with OpInlineAsset, in stream order
	rest   []*Item // with OpRemainder, in stream order
}

// errorf makes an error with the reference's number code at the current place.
func (d *decoder) errorf(code int, format string, args ...any) error {
	return errnum.Errorf(code, "%w at offset %d", fmt.Errorf(format, args...), d.pos)
}

// bytes reads len(b) bytes.
func (d *decoder) bytes(b []byte) error {
	n, err := io.ReadFull(d.r, b)
	if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) {
		return d.errorf(errnum.Short, "%d bytes missing: %w", len(b)-n, io.ErrUnexpectedEOF)
	}
	d.pos += int64(n)
	return err
}

func (d *decoder) u8() (uint8, error) {
	var b [1]byte
	err := d.bytes(b[:])
	return b[0], err
}

func (d *decoder) u32() (uint32, error) {
	var b [4]byte
	err := d.bytes(b[:])
	return d.order.Uint32(b[:]), err
}

func (d *decoder) u64() (uint64, error) {
	var b [8]byte
	err := d.bytes(b[:])
	return d.order.Uint64(b[:]), err
}

// length reads a number of bytes or an offset.
func (d *decoder) length() (int64, error) {
	v, err := d.u64()
	if err == nil && v > math.MaxInt64/2 {
		// Half of the range, so that an offset plus a length cannot overflow.
		err = d.errorf(errnum.Other, "length or offset %d is out of range", v)
	}
	return int64(v), err
}

// count reads a number of things that take at least min bytes each.
func (d *decoder) count(code int, what string, min int64) (uint64, error) {
	n, err := d.u64()
	if err == nil && n > uint64((d.size-d.pos)/min) {
		err = d.errorf(code, "%d %s in %d bytes: %w", n, what, d.size-d.pos, io.ErrUnexpectedEOF)
	}
	return n, err
}

func (d *decoder) hash() (sum digest.SHA256, err error) {
	kind, err := d.u32()
	if err != nil {
		return sum, err
	}
	if kind != hashSHA256 {
		return sum, d.errorf(errnum.HashType, "hash type %#x, want %#x (SHA-256)", kind, hashSHA256)
	}
	return sum, d.bytes(sum[:])
}

func (d *decoder) decode() (*Diff, error) {
	// Magic number, version, target length and the type of its hash: the last
	// tells the byte order of version 0, whose number is the same in both.
	head, err := d.r.Peek(24)
	if len(head) < 4 || string(head[:4]) != magic {
		if err != nil && err != io.EOF {
			return nil, err
		}
		return nil, errnum.Errorf(errnum.Magic, "no PAMZ file: magic number %q", head[:min(4, len(head))])
	}
	version := uint64(0)
	if len(head) >= 12 {
		version = binary.BigEndian.Uint64(head[4:])
	}
	if version == 1 || version == 2 || len(head) == 24 && binary.BigEndian.Uint32(head[20:]) == hashSHA256 {
		d.order = binary.BigEndian
	}
	d.diff = &Diff{}
	if d.order == binary.BigEndian {
		d.diff.Order = BigEndian
	}
	if err := d.bytes(make([]byte, 4)); err != nil {
		return nil, err
	}
	if version, err = d.u64(); err != nil {
		return nil, err
	}
	switch version {
	case 0:
		return d.diff, d.legacy()
	case 1, 2:
		d.diff.Version = int(version)
		return d.diff, d.pool()
	}
	return nil, d.errorf(errnum.Version, "version %d is not known", version)
}

// legacy reads version 0 from the target length on.
func (d *decoder) legacy() (err error) {
	diff := d.diff
	if diff.TargetLength, err = d.length(); err != nil {
		return err
	}
	if diff.TargetSHA256, err = d.hash(); err != nil {
		return err
	}
	if diff.SourceLength, err = d.length(); err != nil {
		return err
	}
	if diff.SourceLength > 0 {
		if diff.SourceSHA256, err = d.hash(); err != nil {
			return err
		}
	}
	const minChunk = 8 + hashSize + 2
	chunks, err := d.count(errnum.Short, "chunks", minChunk)
	if err != nil {
		return err
	}
	diff.Account.Header = d.pos
	var end int64
	for range chunks {
		c := &Item{Kind: Chunk, Offset: end}
		if c.Length, err = d.length(); err != nil {
			return err
		}
		if c.SHA256, err = d.hash(); err != nil {
			return err
		}
		if err := d.recipe(c, 0); err != nil {
			return fmt.Errorf("chunk %d: %w", len(diff.Chunks), err)
		}
		if c.Length > diff.TargetLength-end {
			return d.errorf(errnum.Lengths, "chunk %d ends beyond the target's %d bytes", len(diff.Chunks), diff.TargetLength)
		}
		end += c.Length
		diff.Chunks = append(diff.Chunks, c)
	}
	if end != diff.TargetLength {
		return d.errorf(errnum.Lengths, "the chunks have %d bytes, the target has %d", end, diff.TargetLength)
	}
	diff.Account.Table = d.pos - diff.Account.Header
	if err := d.inline(); err != nil {
		return err
	}
	return d.remainder()
}

// enter counts one item.
func (d *decoder) enter(depth int) error {
	if depth > MaxDepth {
		return d.errorf(errnum.Other, "recipes nested more than %d deep", MaxDepth)
	}
	if d.items++; d.items > d.limit {
		return d.errorf(errnum.Other, "more than %d items", d.limit)
	}
	return nil
}

// recipe reads the recipe of result.
func (d *decoder) recipe(result *Item, depth int) error {
	if err := d.enter(depth); err != nil {
		return err
	}
	id, err := d.u8()
	if err != nil {
		return err
	}
	op := uint32(id)
	if id == 0xff {
		if op, err = d.u32(); err != nil {
			return err
		}
	}
	if op == uint32(OpInlineAssetCopy) {
		return d.errorf(errnum.Other, "%v: devices do not agree what it means", OpInlineAssetCopy)
	}
	if op > uint32(OpGzDecompression) {
		return d.errorf(errnum.Other, "recipe number %d is not known", op)
	}
	n, err := d.u8()
	if err != nil {
		return err
	}
	r := &Recipe{Op: Op(op)}
	result.Recipe = r
	if n > 0 {
		r.Params = make([]Param, n)
	}
	for i := range r.Params {
		if err := d.param(&r.Params[i], depth); err != nil {
			return err
		}
	}
	switch r.Op {
	case OpInlineAsset:
		d.assets = append(d.assets, result)
	case OpRemainder:
		d.rest = append(d.rest, result)
	}
	return nil
}

func (d *decoder) param(p *Param, depth int) error {
	kind, err := d.u8()
	if err != nil {
		return err
	}
	switch kind {
	case 0:
		p.Item = &Item{}
		return d.item(p.Item, depth)
	case 1:
		p.Number, err = d.u64()
		return err
	}
	return d.errorf(errnum.ParamType, "parameter type %d is not known", kind)
}

func (d *decoder) item(it *Item, depth int) error {
	kind, err := d.u8()
	if err != nil {
		return err
	}
	it.Kind = Kind(kind)
	if it.Kind == Chunk {
		if it.Offset, err = d.length(); err != nil {
			return err
		}
	}
	if it.Length, err = d.length(); err != nil {
		return err
	}
	if it.SHA256, err = d.hash(); err != nil {
		return err
	}
	has, err := d.u8()
	if err != nil {
		return err
	}
	switch has {
	case 0:
		return nil
	case 1:
		return d.recipe(it, depth+1)
	}
	return d.errorf(errnum.Other, "recipe flag %d is neither 0 nor 1", has)
}

// skip passes over the next n bytes, which lie in the file, and returns them.
func (d *decoder) skip(n int64) (*io.SectionReader, error) {
	if n > d.size-d.pos {
		return nil, d.errorf(errnum.Short, "%d bytes missing: %w", n-(d.size-d.pos), io.ErrUnexpectedEOF)
	}
	s := io.NewSectionReader(d.file, d.pos, n)
	d.pos += n
	if n <= int64(d.r.Buffered()) {
		_, err := d.r.Discard(int(n))
		return s, err
	}
	d.r.Reset(io.NewSectionReader(d.file, d.pos, d.size-d.pos))
	return s, nil
}

// inline reads the section of inline assets and gives each asset its part.
func (d *decoder) inline() error {
	start := d.pos
	n, err := d.length()
	if err != nil {
		return err
	}
	section, err := d.skip(n)
	if err != nil {
		return err
	}
	var offset int64
	for _, a := range d.assets {
		if a.Length > n-offset {
			return d.errorf(errnum.InlineBytes, "inline assets have more than the section's %d bytes", n)
		}
		a.Recipe.section = io.NewSectionReader(section, offset, a.Length)
		offset += a.Length
	}
	if offset != n {
		return d.errorf(errnum.InlineBytes, "inline assets have %d bytes, their section has %d", offset, n)
	}
	d.diff.Account.Inline = d.pos - start
	return nil
}

// remainder reads the last section and gives each piece of it its place.
func (d *decoder) remainder() error {
	start := d.pos
	size, err := d.length()
	if err != nil {
		return err
	}
	n, err := d.length()
	if err != nil {
		return err
	}
	if n != d.size-d.pos {
		return d.errorf(errnum.FileSize, "the remainder has %d bytes, the file goes on for %d", n, d.size-d.pos)
	}
	section, err := d.skip(n)
	if err != nil {
		return err
	}
	rest := &Deflated{Size: size, Stream: section}
	var offset int64
	for _, item := range d.rest {
		if item.Length > size-offset {
			return d.errorf(errnum.InflateShort, "pieces of the remainder have more than its %d bytes", size)
		}
		item.Recipe.Rest, item.Recipe.Offset = rest, offset
		offset += item.Length
	}
	d.diff.Rest = rest
	d.diff.Account.Remainder = d.pos - start
	return nil
}

// DecodeNested decodes the delta of it, whose recipe is OpNested, if it has at most
// that many items.
func (d *Diff) DecodeNested(it *Item, delta *io.SectionReader, items int) (*Diff, error) {
	nested, err := decode(delta, delta.Size(), items)
	switch {
	case err != nil:
		return nil, err
	case nested.Pooled():
		return nil, errnum.Errorf(errnum.Version, "delta of version %d", nested.Version)
	case nested.Order != d.Order:
		return nil, errnum.Errorf(errnum.HashType, "%v delta inside a %v one", nested.Order, d.Order)
	case nested.TargetLength != it.Length:
		return nil, errnum.Errorf(errnum.Hash, "delta makes %d bytes, want %d", nested.TargetLength, it.Length)
	}
	if !it.Stated() {
		return nested, nil
	}
	return nested, errnum.Coded(errnum.Hash, digest.Check(nested.TargetSHA256, it.SHA256))
}
