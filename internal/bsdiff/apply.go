// SPDX-License-Identifier: MIT

package bsdiff

import (
	"bufio"
	"compress/bzip2"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"swudelta/internal/fault"
)

var streamNames = [3]string{"control", "diff", "extra"}

// Apply writes the new file to dst. The patch must make exactly newSize bytes.
//
// Memory is bounded by about 12 MiB (three bzip2 decoders and small buffers),
// whatever the sizes. Old positions outside the file count as zero bytes, and
// bytes after the extra stream are ignored, as bspatch(1) has it. A malformed
// patch is a data fault; errors of old, patch and dst are passed on as they are.
// On an error dst may have received a part of the new file.
func Apply(dst io.Writer, old io.ReaderAt, oldSize int64, patch io.ReaderAt, patchSize int64, newSize int64) error {
	h, err := Parse(patch, patchSize)
	if err != nil {
		return err
	}
	if h.NewSize != newSize {
		return fault.Dataf("patch makes %d bytes, want %d", h.NewSize, newSize)
	}
	a := applier{
		dst:  dst,
		old:  &window{r: old, size: oldSize},
		size: newSize,
		buf:  make([]byte, 2*blockSize),
	}
	at := int64(headerSize)
	for i, n := range [3]int64{h.Control, h.Diff, patchSize - headerSize - h.Control - h.Diff} {
		section := bufio.NewReaderSize(io.NewSectionReader(patch, at, n), blockSize)
		a.streams[i] = stream{streamNames[i], bzip2.NewReader(&oneStream{r: section})}
		at += n
	}
	return a.run()
}

type applier struct {
	dst     io.Writer
	old     *window
	size    int64
	streams [3]stream // control, diff, extra
	buf     []byte
}

func (a *applier) run() error {
	var done, pos, idle int64
	for entry := 0; done < a.size; entry++ {
		var raw [controlSize]byte
		if err := a.streams[0].fill(raw[:]); err != nil {
			return err
		}
		c := Control{decodeInt(raw[:]), decodeInt(raw[8:]), decodeInt(raw[16:])}
		if c.Add < 0 || c.Extra < 0 || c.Add > a.size-done || c.Extra > a.size-done-c.Add {
			return fault.Dataf("control entry %d: %d + %d bytes at %d do not fit a new size of %d", entry, c.Add, c.Extra, done, a.size)
		}
		if c.Add == 0 && c.Extra == 0 {
			// An entry that only seeks is legal, but bzip2 packs any number
			// of them into a few bytes: their number is held to that of the
			// bytes to be made.
			if idle++; idle > a.size {
				return fault.Dataf("control entry %d: too many entries that make nothing", entry)
			}
		}
		next, ok := sum(pos, c.Add, c.Seek)
		if !ok {
			return fault.Dataf("control entry %d: old position moves out of range", entry)
		}
		if err := a.add(pos, c.Add); err != nil {
			return err
		}
		if err := a.extra(c.Extra); err != nil {
			return err
		}
		done += c.Add + c.Extra
		pos = next
	}
	for i := range a.streams {
		if err := a.streams[i].end(); err != nil {
			return err
		}
	}
	return nil
}

// add writes n bytes of the diff stream plus the old bytes at pos.
func (a *applier) add(pos, n int64) error {
	for n > 0 {
		b := a.buf[:min(n, blockSize)]
		if err := a.streams[1].fill(b); err != nil {
			return err
		}
		lo, hi := max(pos, 0), min(pos+int64(len(b)), a.old.size)
		if lo < hi {
			o := a.buf[blockSize:][:hi-lo]
			if err := a.old.read(o, lo); err != nil {
				return fmt.Errorf("read old file at offset %d: %w", lo, err)
			}
			addBytes(b[lo-pos:], o)
		}
		if _, err := a.dst.Write(b); err != nil {
			return err
		}
		pos += int64(len(b))
		n -= int64(len(b))
	}
	return nil
}

// extra writes n bytes of the extra stream.
func (a *applier) extra(n int64) error {
	for n > 0 {
		b := a.buf[:min(n, blockSize)]
		if err := a.streams[2].fill(b); err != nil {
			return err
		}
		if _, err := a.dst.Write(b); err != nil {
			return err
		}
		n -= int64(len(b))
	}
	return nil
}

// stream is one bzip2 stream of a patch.
type stream struct {
	name string
	r    io.Reader
}

func (s *stream) fill(b []byte) error {
	if _, err := io.ReadFull(s.r, b); err != nil {
		return s.fail(err)
	}
	return nil
}

// end verifies that the stream ends here. The decoder checks the sum over the
// last block only when it is asked for what follows.
func (s *stream) end() error {
	switch _, err := io.ReadFull(s.r, make([]byte, 1)); err {
	case io.EOF:
		return nil
	case nil:
		return fault.Dataf("%s stream of patch is longer than its use", s.name)
	default:
		return s.fail(err)
	}
}

// fail tells a malformed stream from a patch file that cannot be read.
func (s *stream) fail(err error) error {
	var structural bzip2.StructuralError
	err = noEOF(err)
	if errors.As(err, &structural) || err == io.ErrUnexpectedEOF {
		return fault.Dataf("%s stream of patch: %w", s.name, err)
	}
	return fmt.Errorf("%s stream of patch: %w", s.name, err)
}

// endMark stands at the end of a bzip2 stream, before a sum of 32 bits.
const endMark = 0x177245385090

// oneStream hands out a bzip2 stream byte by byte and ends with it, where
// compress/bzip2 would take what follows for another stream, and complain.
// It knows the end by its mark of 48 bits, which may start at any bit.
type oneStream struct {
	r      io.ByteReader
	hi, lo uint64 // the last 16 bytes
}

func (o *oneStream) ReadByte() (byte, error) {
	tail := o.hi<<32 | o.lo>>32
	for range 8 { // up to seven bits fill the last byte
		if tail&(1<<48-1) == endMark {
			return 0, io.EOF
		}
		tail >>= 1
	}
	c, err := o.r.ReadByte()
	o.hi = o.hi<<8 | o.lo>>56
	o.lo = o.lo<<8 | uint64(c)
	return c, err
}

func (o *oneStream) Read(b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		if b[n], err = o.ReadByte(); err == nil {
			n++
		}
	}
	return n, err
}

const (
	blockSize   = 32 << 10
	windowSlots = 16
)

// window reads a file in aligned blocks and keeps the last few, because the
// entries of a patch are short and mostly lie near each other.
type window struct {
	r     io.ReaderAt
	size  int64
	slots [windowSlots]struct {
		data  []byte
		block int64
	}
}

// read fills b with the bytes at off, which lie within the file.
func (w *window) read(b []byte, off int64) error {
	for len(b) > 0 {
		block := off / blockSize
		slot := &w.slots[block%windowSlots]
		if slot.data == nil || slot.block != block {
			if slot.data == nil {
				slot.data = make([]byte, blockSize)
			}
			slot.block = -1
			start := block * blockSize
			n := min(blockSize, w.size-start)
			if got, err := w.r.ReadAt(slot.data[:n], start); int64(got) < n {
				return noEOF(err)
			}
			slot.block = block
		}
		n := copy(b, slot.data[off-block*blockSize:])
		b = b[n:]
		off += int64(n)
	}
	return nil
}

// addBytes adds src to dst, byte by byte and modulo 256. dst is at least as long.
func addBytes(dst, src []byte) {
	const top = 0x8080808080808080
	for len(src) >= 8 {
		a, b := binary.LittleEndian.Uint64(dst), binary.LittleEndian.Uint64(src)
		// Eight sums in one word: the top bits are kept out of the addition,
		// so no carry crosses a byte.
		binary.LittleEndian.PutUint64(dst, (a&^top+b&^top)^(a^b)&top)
		dst, src = dst[8:], src[8:]
	}
	for i, b := range src {
		dst[i] += b
	}
}

// subtractBytes subtracts src from dst, byte by byte and modulo 256. Both have
// the same length.
func subtractBytes(dst, src []byte) {
	const top = 0x8080808080808080
	for len(src) >= 8 {
		a, b := binary.LittleEndian.Uint64(dst), binary.LittleEndian.Uint64(src)
		binary.LittleEndian.PutUint64(dst, (a|top-b&^top)^^(a^b)&top)
		dst, src = dst[8:], src[8:]
	}
	for i, b := range src {
		dst[i] -= b
	}
}

// noEOF turns the end of a file into the error that it is where bytes are due.
func noEOF(err error) error {
	if err == nil || err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
