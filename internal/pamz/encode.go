// SPDX-License-Identifier: MIT

package pamz

import (
	"bufio"
	"bytes"
	"compress/flate"
	"encoding/binary"
	"fmt"
	"io"

	"swudelta/internal/digest"
)

const (
	magic      = "PAMZ"
	hashSHA256 = 0x800C // type number that precedes a digest
	hashSize   = 4 + 32 // type and digest
)

// Encode writes d: version 0 or 1 in d.Order, or version 2. Inline assets are stored
// in the order in which the recipes lie in the file, the remainder is deflated.
// The same tree gives the same bytes. What a file cannot hold (more than
// MaxParams parameters, a negative length, recipes of another version) is an
// error; whether a device accepts the delta is for Check to say.
func Encode(w io.Writer, d *Diff) error {
	e := &encoder{w: bufio.NewWriterSize(w, 64<<10), order: binary.ByteOrder(binary.LittleEndian)}
	if d.Order == BigEndian {
		e.order = binary.BigEndian
	}
	switch d.Version {
	case 0:
		e.diff(d)
	case 1:
		e.pool(d)
	case 2:
		e.order = binary.BigEndian
		e.pool(d)
	default:
		return fmt.Errorf("encode delta: version %d", d.Version)
	}
	if e.err == nil {
		e.err = e.w.Flush()
	}
	if e.err != nil {
		return fmt.Errorf("encode delta: %w", e.err)
	}
	return nil
}

type encoder struct {
	w     *bufio.Writer
	order binary.ByteOrder
	err   error // sticky

	assets []*Item // with OpInlineAsset, in stream order
	rest   []*Item // with OpRemainder, in stream order
}

func (e *encoder) fail(format string, args ...any) {
	if e.err == nil {
		e.err = fmt.Errorf(format, args...)
	}
}

func (e *encoder) bytes(b []byte) {
	if e.err == nil {
		_, e.err = e.w.Write(b)
	}
}

func (e *encoder) u8(v uint8) { e.bytes([]byte{v}) }

func (e *encoder) u32(v uint32) {
	var b [4]byte
	e.order.PutUint32(b[:], v)
	e.bytes(b[:])
}

func (e *encoder) u64(v uint64) {
	var b [8]byte
	e.order.PutUint64(b[:], v)
	e.bytes(b[:])
}

func (e *encoder) length(v int64) {
	if v < 0 {
		e.fail("negative length or offset %d", v)
	}
	e.u64(uint64(v))
}

func (e *encoder) hash(sum digest.SHA256) {
	e.u32(hashSHA256)
	e.bytes(sum[:])
}

func (e *encoder) diff(d *Diff) {
	e.bytes([]byte(magic))
	e.u64(0)
	e.length(d.TargetLength)
	e.hash(d.TargetSHA256)
	e.length(d.SourceLength)
	if d.SourceLength > 0 {
		e.hash(d.SourceSHA256)
	}
	e.u64(uint64(len(d.Chunks)))
	for _, c := range d.Chunks {
		e.length(c.Length)
		e.hash(c.SHA256)
		if c.Recipe == nil {
			e.fail("chunk without recipe")
			return
		}
		e.recipe(c, 0)
	}
	var total int64
	for _, a := range e.assets {
		total += a.Length
	}
	e.length(total)
	for _, a := range e.assets {
		e.asset(a)
	}
	e.remainder(d)
}

func (e *encoder) recipe(result *Item, depth int) {
	r := result.Recipe
	switch {
	case depth > MaxDepth:
		e.fail("recipes nested more than %d deep", MaxDepth)
		return
	case r.Op > OpGzDecompression || r.Op == OpInlineAssetCopy:
		e.fail("%v does not exist in version 0", r.Op)
		return
	case len(r.Params) > MaxParams:
		e.fail("%v with %d parameters, at most %d", r.Op, len(r.Params), MaxParams)
		return
	case r.Op == OpInlineAsset:
		e.assets = append(e.assets, result)
	case r.Op == OpRemainder:
		e.rest = append(e.rest, result)
	}
	e.u8(uint8(r.Op))
	e.u8(uint8(len(r.Params)))
	for _, p := range r.Params {
		if p.Item == nil {
			e.u8(1)
			e.u64(p.Number)
			continue
		}
		e.u8(0)
		e.u8(uint8(p.Item.Kind))
		if p.Item.Kind == Chunk {
			e.length(p.Item.Offset)
		}
		e.length(p.Item.Length)
		e.hash(p.Item.SHA256)
		if p.Item.Recipe == nil {
			e.u8(0)
			continue
		}
		e.u8(1)
		e.recipe(p.Item, depth+1)
	}
}

// asset writes the content of an inline asset.
func (e *encoder) asset(a *Item) {
	r := a.Recipe.Open()
	if r.Size() != a.Length {
		e.fail("inline asset: got %d bytes, want %d", r.Size(), a.Length)
	}
	if e.err == nil {
		_, e.err = io.Copy(e.w, r)
	}
}

// remainder writes the remainder section: as it was, if d was decoded and has
// the same pieces in the same order.
func (e *encoder) remainder(d *Diff) {
	rest := d.Rest
	var offset int64
	for _, item := range e.rest {
		if rest == nil || item.Recipe.Rest != rest || item.Recipe.Offset != offset {
			rest = nil
			break
		}
		offset += item.Length
	}
	if rest == nil {
		var err error
		if rest, err = deflate(e.rest); err != nil {
			e.fail("remainder: %w", err)
			return
		}
	}
	e.length(rest.Size)
	e.length(rest.Stream.Size())
	if e.err == nil {
		_, e.err = io.Copy(e.w, io.NewSectionReader(rest.Stream, 0, rest.Stream.Size()))
	}
}

// deflate compresses the remainder's pieces. Which encoder does it matters to
// no decoder; the standard library's gives the same bytes for the same toolchain.
func deflate(pieces []*Item) (*Deflated, error) {
	var buf bytes.Buffer
	rest := &Deflated{}
	if len(pieces) > 0 {
		fw, err := flate.NewWriter(&buf, flate.BestCompression)
		if err != nil {
			return nil, err
		}
		w := digest.NewWriter(fw)
		for _, item := range pieces {
			if int64(len(item.Recipe.Data)) != item.Length {
				return nil, fmt.Errorf("got %d bytes, want %d", len(item.Recipe.Data), item.Length)
			}
			if _, err := w.Write(item.Recipe.Data); err != nil {
				return nil, err
			}
		}
		if err := fw.Close(); err != nil {
			return nil, err
		}
		rest.Size, rest.SHA256 = w.Len(), w.Sum()
	}
	rest.Stream = io.NewSectionReader(bytes.NewReader(buf.Bytes()), 0, int64(buf.Len()))
	return rest, nil
}
