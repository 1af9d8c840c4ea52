// SPDX-License-Identifier: MIT

package stock30

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"math/bits"
	"os"
	"runtime/debug"

	"swudelta/internal/apply"
	"swudelta/internal/codec"
	"swudelta/internal/content"
	"swudelta/internal/device"
	"swudelta/internal/device/stocklib"
	"swudelta/internal/digest"
	"swudelta/internal/match"
	"swudelta/internal/pamz"
)

// The forms of deltas that the two generations read, beside version 0 in the same byte order.
// What both do with them is the same (doc/format.md).
var (
	Form21 = pamz.Form{Version: 1, Order: pamz.BigEndian}
	Form30 = pamz.Form{Version: 2, Order: pamz.BigEndian}
)

// Config is what a device needs.
type Config struct {
	Form pamz.Form   // of the deltas: Form21 or Form30
	Zstd *codec.Zstd // compresses what the delta carries
	Zlib *codec.Zlib // makes what the device makes
	// Scratch returns an unnamed temporary file.
	Scratch func() (*os.File, error)
}

// Device is a device with the stock library of generation 2.1 or 3.0. It implements
// device.Device.
type Device struct{ Config }

// New returns a device.
func New(c Config) *Device { return &Device{c} }

// Codecs returns what the library undoes, gzip and zstd, and makes: canonical gzip.
func (d *Device) Codecs() device.Codecs {
	return device.Codecs{
		MaxWindow:   stocklib.MaxWindow,
		Compressors: map[codec.Kind]func(io.Writer) (io.WriteCloser, error){codec.KindGzip: d.Zlib.NewCanonicalWriter},
		Remake:      d.remake, RemakeMemory: memberMemory,
	}
}

// memberMemory is what a member that is opened takes, in bytes: some eight items, and what is staged of it
// and of its counterpart in memory.
const memberMemory = 8*itemMemory + 8<<10

// remake returns the level at which zlib makes a gzip member, as the header says it. What GNU gzip
// made is the same up to the size of a block of zlib's, some tens of KiB of content.
func (d *Device) remake(stored, content []byte) (level int, ok bool) {
	levels := map[byte]int{0: 6, 2: 9, 4: 1} // by the flags of zlib's headers (RFC 1952 section 2.3.1)
	level, ok = levels[stored[8]]
	if !ok {
		return 0, false
	}
	rest := &expected{stored}
	err := d.Zlib.Deflate(rest, bytes.NewReader(content), codec.ContainerGzip, level)
	return level, err == nil && len(rest.want) == 0
}

// expected is a writer that takes what is wanted, and nothing else.
type expected struct{ want []byte }

func (e *expected) Write(p []byte) (int, error) {
	if !bytes.HasPrefix(e.want, p) {
		return 0, errors.New("other bytes")
	}
	e.want = e.want[len(p):]
	return len(p), nil
}

// Reach has no limit.
func (d *Device) Reach() int64 { return math.MaxInt64 }

// Limits returns the limits of matching, which are taken over from generation 1.0, but for what the
// process and each entry take: full-size images have 1.6 to 2 times as many items as entries. With less,
// their deltas would often be made twice.
func (d *Device) Limits(memory int64) match.Limits {
	l := stocklib.Limits(memory)
	l.Pack = int(min(memory-baseMemory-stocklib.PatchMemory, math.MaxInt))
	l.EntryMemory = itemMemory * 7 / 4
	// This makes more packs than memory asks for, each with more of the old side: with three rather than
	// two the delta of full-size patch is 1.1 % smaller.
	l.PatchMemory = 2 * stocklib.PatchMemory
	return l
}

// Write returns the delta as a PAMZ file of the form that the device reads.
func (d *Device) Write(delta *device.Delta) ([]byte, error) {
	diff := func(length int64, sum digest.SHA256, chunks ...*pamz.Item) *pamz.Diff {
		return &pamz.Diff{
			Form: d.Form, TargetLength: length, TargetSHA256: sum,
			SourceLength: delta.Source.Size, SourceSHA256: delta.SourceSHA256, Chunks: chunks,
		}
	}
	w := NewWriter(Options{Zstd: d.Zstd, Level: stocklib.ZstdLevel(delta.Effort), Window: bits.Len(stocklib.MaxWindow) - 1, Note: delta.Explain, Progress: delta.Progress})
	var chunks []*pamz.Item
	for _, m := range delta.Members {
		item, err := d.member(w, delta, m)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.Name, err)
		}
		alone := digest.NewWriter(io.Discard)
		if err := pamz.Encode(alone, diff(item.Length, item.SHA256, item)); err != nil {
			return nil, err
		}
		m.Cost = alone.Len()
		chunks = append(chunks, item)
	}
	var out bytes.Buffer
	err := pamz.Encode(&out, diff(delta.Target, delta.TargetSHA256, chunks...))
	return out.Bytes(), err
}

// member returns the chunk that makes a member.
func (d *Device) member(w *Writer, delta *device.Delta, m *device.Member) (*pamz.Item, error) {
	switch {
	case m.Copy != nil:
		return pamz.NewItem(m.Size, m.SHA256, pamz.CopySource(m.Copy.Off)), nil
	case m.Image == nil:
		return pamz.NewItem(m.Size, m.SHA256, pamz.Remainder(m.Literal)), nil
	}
	debug.FreeOSMemory() // zstd takes much, which Go's collector does not know about
	im, err := imageOf(delta, m)
	if err != nil {
		return nil, err
	}
	image, err := w.Image(im)
	if err != nil {
		return nil, err
	}
	return Member(image, m.Kind, m.Size, m.SHA256)
}

// imageOf returns what a match says in terms of this package.
func imageOf(delta *device.Delta, m *device.Member) (*Image, error) {
	from := m.Image
	members, stored := 0, int64(0)
	for _, s := range m.Segments {
		if s.Member != nil {
			members++
			stored += s.Len
		}
	}
	if members > 0 {
		delta.Explain("gzip members inside: %d opened, of %d bytes", members, stored)
	}
	im := &Image{Data: from.Target, SHA256: m.Content, Segments: m.Segments, Old: &Side{Data: from.Old}, Fresh: from.Fresh}
	for _, p := range m.Parts {
		part := Part{Stored: p.Range, Kind: p.Kind, Size: p.Size, Of: p.Of}
		if p.Kind != codec.KindPlain && p.Of == 0 {
			sum, n, err := digest.SumReader(delta.Source.Section(p.Range))
			if err == nil && n != p.Len {
				err = io.ErrUnexpectedEOF
			}
			if err != nil {
				return nil, err
			}
			part.SHA256 = sum
		}
		im.Old.Parts = append(im.Old.Parts, part)
	}
	// Old content between ranges of the dictionary costs the device memory, and the delta
	// nothing; a range does.
	limit := min(match.MaxContext, delta.Limits.Pack/3, stocklib.MaxWindow-len(from.Fresh))
	context := match.ContextRanges(from.Sites, limit)
	im.Context = ranges(match.Merge(context, limit-match.Total(context), limit))
	for _, p := range from.Packs {
		if len(p.New) > 0 {
			im.Packs = append(im.Packs, Pack{Patch: p.Patch, Ranges: ranges(p.Ranges), New: p.New, Fresh: wide(p.Fresh)})
		}
	}
	for _, e := range from.Entries {
		im.Entries = append(im.Entries, Entry{Len: int64(e.Len), Off: int64(e.Off), Zero: e.Zero})
	}
	return im, nil
}

func wide(r match.Range) Range { return Range{Off: int64(r.Off), Len: int64(r.Len)} }

func ranges(list []match.Range) []Range {
	out := make([]Range, len(list))
	for i, r := range list {
		out[i] = wide(r)
	}
	return out
}

// Try holds a delta against the rules of the library, and applies it. The library itself
// verifies nothing.
func (d *Device) Try(delta []byte, source content.Input, sourceSum *digest.Writer, report func(int64)) (device.Cost, error) {
	return stocklib.Try(delta, Check(d.Form), source, apply.Options{
		Zstd:      func() (*codec.Zstd, error) { return d.Zstd, nil },
		Zlib:      func() (*codec.Zlib, error) { return d.Zlib, nil },
		Scratch:   d.Scratch,
		SourceSum: sourceSum,
		Progress:  report,
	})
}
