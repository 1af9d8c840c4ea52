// SPDX-License-Identifier: MIT

package codec

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"

	"swudelta/internal/fault"
)

// GzipMember reads the content of one gzip member, and tells where it ends.
type GzipMember struct{ decoder }

// NewGzipMember returns the content of the first gzip member (RFC 1952) in r. What
// follows is left alone. Checksum and length are verified.
func NewGzipMember(r io.Reader) (*GzipMember, error) {
	g := &GzipMember{decoder{kind: "gzip", src: newSource(r)}}
	z, err := gzip.NewReader(g.src.Reader)
	if err != nil {
		return nil, g.fail(err)
	}
	z.Multistream(false)
	g.r = z
	return g, nil
}

// Used returns the length of the member as it is stored, in bytes, when its content is
// read.
func (g *GzipMember) Used() int64 { return g.src.pos() }

// DeflateMember reads the content of a raw deflate stream, and tells where it ends.
type DeflateMember struct{ decoder }

// NewDeflateMember returns the content of the deflate stream (RFC 1951) that r begins with.
// What follows is left alone.
func NewDeflateMember(r io.Reader) *DeflateMember {
	s := newSource(r)
	return &DeflateMember{decoder{kind: "deflate", src: s, r: flate.NewReader(s.Reader)}}
}

// Used returns the length of the stream, in bytes, when its content is read.
func (d *DeflateMember) Used() int64 { return d.src.pos() }

// NewStreamReader returns the content of r, which is of a kind that can be undone: one
// gzip member, or zstd frames with windows of at most maxWindow bytes. Anything
// behind that is a data fault.
func NewStreamReader(r io.Reader, kind Kind, maxWindow int64) (io.ReadCloser, error) {
	switch kind {
	case KindGzip:
		return NewGzipReader(r, false)
	case KindZstd:
		return NewZstdReader(r, maxWindow)
	}
	return nil, fmt.Errorf("codec: no reader for a stream of kind %v", kind)
}

// ZstdFrames returns the length, in bytes, of the zstd frames (RFC 8878 section 3.1)
// that r, of size bytes, begins with, and the widest of their windows; skippable frames count.
// Blocks are skipped, not decoded. What follows the last frame is not looked at, and may be
// anything. A frame that is cut short is a data fault.
func ZstdFrames(r io.ReaderAt, size int64) (n, window int64, err error) {
	end := int64(0)
	for {
		var magic [4]byte
		if n, err := r.ReadAt(magic[:], end); n < len(magic) {
			if err == io.EOF {
				err = nil
			}
			return end, window, err
		}
		if Detect(magic[:]) != KindZstd {
			return end, window, nil
		}
		n, w, err := ZstdFrame(r, end)
		if err != nil {
			return 0, 0, err
		}
		window = max(window, w)
		if end += n; end > size {
			return 0, 0, zstdCut(end - n)
		}
	}
}

func zstdCut(at int64) error {
	return fault.Dataf("zstd stream: frame at offset %d: %w", at, io.ErrUnexpectedEOF)
}

// ZstdFrame returns the length of the zstd frame at an offset, and its window (0 if it is to be
// skipped), in bytes. Blocks are skipped, not decoded. A frame that is cut short is a data fault.
func ZstdFrame(r io.ReaderAt, at int64) (length, window int64, err error) {
	var head [8]byte
	read := func(p []byte, off int64) error {
		if n, err := r.ReadAt(p, off); n < len(p) {
			if err == io.EOF {
				return zstdCut(at)
			}
			return err
		}
		return nil
	}
	if err := read(head[:5], at); err != nil {
		return 0, 0, err
	}
	if head[3] == 0x18 { // a skippable frame: magic number, length, content
		if err := read(head[:], at); err != nil {
			return 0, 0, err
		}
		return 8 + int64(binary.LittleEndian.Uint32(head[4:])), 0, nil
	}
	descriptor := head[4]
	single := descriptor>>5&1 == 1
	next := at + 5 + [...]int64{0, 1, 2, 4}[descriptor&3] // the dictionary's number
	if !single {
		if err := read(head[:1], next); err != nil {
			return 0, 0, err
		}
		window = 1 << (10 + head[0]>>3)
		window += window / 8 * int64(head[0]&7)
		next++
	}
	size := int64(1) << (descriptor >> 6) // of the field for the length of the content
	if size == 1 && !single {
		size = 0
	}
	if single { // the window is all of the content
		var field [8]byte
		if err := read(field[:size], next); err != nil {
			return 0, 0, err
		}
		v := binary.LittleEndian.Uint64(field[:])
		if size == 2 {
			v += 256
		}
		window = int64(min(v, math.MaxInt64))
	}
	next += size
	for {
		if err := read(head[:3], next); err != nil {
			return 0, 0, err
		}
		block := uint32(head[0]) | uint32(head[1])<<8 | uint32(head[2])<<16
		next += 3
		if block>>1&3 == 1 { // one byte, repeated
			next++
		} else {
			next += int64(block >> 3)
		}
		if block&1 == 1 {
			break
		}
	}
	if descriptor>>2&1 == 1 {
		next += 4 // the checksum
	}
	return next - at, window, nil
}
