// SPDX-License-Identifier: MIT

// Package bsdiff makes and applies BSDIFF40 patches.
//
// A patch rebuilds a new file out of an old one with three streams, each
// compressed by bzip2: control triples, difference bytes that are added to old
// bytes, and extra bytes that stand for themselves. The format is that of
// bsdiff 4 (bsdiff(1)); [Header] has its layout.
//
// Making a patch takes two steps, so that a caller may measure a patch before it is
// compressed:
//
//	patch := bsdiff.Diff(old, new, bsdiff.Options{})
//	sizes, err := patch.Encode(w, compress)
//
// [Apply] works in bounded memory on files of any size and trusts nothing that
// a patch says.
package bsdiff

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"

	"swudelta/internal/fault"
)

const (
	magic       = "BSDIFF40"
	headerSize  = 32
	controlSize = 24
)

// MaxSize is the largest old or new side, in bytes, that [Diff] takes.
const MaxSize = math.MaxInt32 - 1

// Control is one triple of the control stream: Add bytes of the diff stream are
// added to as many old bytes, then Extra bytes of the extra stream follow, then
// the old position moves by Seek bytes.
type Control struct {
	Add, Extra, Seek int64
}

// Patch holds the three streams of a patch as they are before compression.
type Patch struct {
	Controls []Control
	Diff     []byte // sum of all Add bytes: new minus old, modulo 256
	Extra    []byte // sum of all Extra bytes
}

// Sizes are the lengths of a patch's compressed streams, in bytes.
type Sizes struct {
	Control, Diff, Extra int64
}

// Total is the size of the whole patch, its header included.
func (s Sizes) Total() int64 { return headerSize + s.Control + s.Diff + s.Extra }

// Compressor writes src to dst as one bzip2 stream, a complete one (of 14 bytes)
// when src is empty.
type Compressor func(dst io.Writer, src []byte) error

// Header is the head of a BSDIFF40 patch. In the file it takes 32 bytes: the
// magic "BSDIFF40", then the three numbers in the order below as 8-byte little
// endian integers in sign and magnitude notation. The control stream starts
// behind it; the diff stream follows, then the extra stream, which has no
// length of its own.
type Header struct {
	Control int64 // compressed length of the control stream, in bytes
	Diff    int64 // compressed length of the diff stream, in bytes
	NewSize int64 // length of the new file, in bytes
}

// NewSize is the length of the file that the patch makes, in bytes.
func (p *Patch) NewSize() int64 {
	return int64(len(p.Diff)) + int64(len(p.Extra))
}

// Encode writes the patch as a BSDIFF40 file and reports the compressed size of
// each stream. All three are present even when empty, because appliers read the
// head of each bzip2 stream before they know whether they need it.
func (p *Patch) Encode(w io.Writer, compress Compressor) (Sizes, error) {
	var sizes Sizes
	control := make([]byte, 0, len(p.Controls)*controlSize)
	for _, c := range p.Controls {
		control = appendInt(control, c.Add)
		control = appendInt(control, c.Extra)
		control = appendInt(control, c.Seek)
	}
	var bufs [3]bytes.Buffer
	for i, stream := range [3][]byte{control, p.Diff, p.Extra} {
		if err := compress(&bufs[i], stream); err != nil {
			return sizes, fmt.Errorf("compress %s stream: %w", streamNames[i], err)
		}
		if bufs[i].Len() == 0 {
			return sizes, fmt.Errorf("compress %s stream: compressor wrote nothing", streamNames[i])
		}
	}
	sizes = Sizes{int64(bufs[0].Len()), int64(bufs[1].Len()), int64(bufs[2].Len())}
	head := append(make([]byte, 0, headerSize), magic...)
	head = appendInt(head, sizes.Control)
	head = appendInt(head, sizes.Diff)
	head = appendInt(head, p.NewSize())
	if _, err := w.Write(head); err != nil {
		return sizes, err
	}
	for i := range bufs {
		if _, err := w.Write(bufs[i].Bytes()); err != nil {
			return sizes, err
		}
	}
	return sizes, nil
}

// Parse reads and checks the head of a patch of the given size. The streams
// themselves are not looked at.
func Parse(patch io.ReaderAt, size int64) (Header, error) {
	var h Header
	if size < headerSize {
		return h, fault.Dataf("patch of %d bytes is shorter than its header", size)
	}
	var head [headerSize]byte
	if n, err := patch.ReadAt(head[:], 0); n < headerSize {
		return h, fmt.Errorf("read patch header: %w", noEOF(err))
	}
	if string(head[:8]) != magic {
		return h, fault.Dataf("not a BSDIFF40 patch")
	}
	h = Header{decodeInt(head[8:]), decodeInt(head[16:]), decodeInt(head[24:])}
	rest := size - headerSize
	if h.Control < 0 || h.Diff < 0 || h.Control > rest || h.Diff > rest-h.Control {
		return h, fault.Dataf("patch header: streams of %d and %d bytes do not fit into %d bytes", h.Control, h.Diff, size)
	}
	if h.NewSize < 0 {
		return h, fault.Dataf("patch header: new size is negative")
	}
	return h, nil
}

// IsPatch reports whether r starts as a BSDIFF40 patch does.
func IsPatch(r io.ReaderAt) bool {
	var head [len(magic)]byte
	n, _ := r.ReadAt(head[:], 0)
	return string(head[:n]) == magic
}

// appendInt appends v as the format has it: 8 bytes, little endian, magnitude
// with the sign in the top bit.
func appendInt(b []byte, v int64) []byte {
	u := uint64(v)
	if v < 0 {
		u = uint64(-v) | 1<<63
	}
	return binary.LittleEndian.AppendUint64(b, u)
}

func decodeInt(b []byte) int64 {
	u := binary.LittleEndian.Uint64(b)
	v := int64(u &^ (1 << 63))
	if u>>63 != 0 {
		return -v
	}
	return v
}

// sum adds a position and two offsets; ok is false where the result leaves the
// range of positions, which is far wider than any file.
func sum(pos, a, b int64) (int64, bool) {
	const limit = 1 << 62
	for _, v := range [2]int64{a, b} {
		if v > limit || v < -limit {
			return 0, false
		}
		pos += v
		if pos > limit || pos < -limit {
			return 0, false
		}
	}
	return pos, true
}
