// SPDX-License-Identifier: MIT

package bsdiff

import (
	"encoding/binary"
	"fmt"
	"io"

	"swudelta/internal/bzip2"
	"swudelta/internal/fault"
)

var streamNames = [3]string{"control", "diff", "extra"}

// Apply writes the new file to dst. The patch must make exactly newSize bytes.
//
// Memory is bounded by what [ApplyMemory] says, whatever the sizes. Old positions
// outside the file count as zero bytes, and bytes after each stream are ignored, as
// bspatch(1) has it. A malformed patch is a data fault; errors of old, patch and
// dst are passed on as they are. On an error dst may have received a part of the
// new file.
func Apply(dst io.Writer, old io.ReaderAt, oldSize int64, patch io.ReaderAt, patchSize int64, newSize int64) error {
	return new(Applier).Apply(dst, old, oldSize, patch, patchSize, newSize)
}

// ApplyMemory returns how much memory applying a patch takes at most, in bytes.
func ApplyMemory(newSize int64) int64 {
	return bzip2.MaxMemory(maxControl(newSize)) + 2*bzip2.MaxMemory(newSize) + (windowSlots+2)*blockSize
}

// maxControl returns the size of the longest control stream that makes sense, in
// bytes: as many entries as there are bytes to be made, and as many again that make
// nothing.
func maxControl(newSize int64) int64 { return (2*min(newSize, 1<<32) + 1) * controlSize }

// Applier applies patches, one after the other, and keeps the memory that it took
// for the largest. The zero value is ready for use.
type Applier struct {
	dst     io.Writer
	old     window
	size    int64
	streams [3]stream // control, diff, extra
	buf     []byte
}

// Memory returns how much memory is kept, in bytes.
func (a *Applier) Memory() int64 {
	n := int64(len(a.buf))
	for _, s := range a.streams {
		if s.r != nil {
			n += s.r.Memory()
		}
	}
	for _, s := range a.old.slots {
		n += int64(len(s.data))
	}
	return n
}

// Apply does what the function of that name does.
func (a *Applier) Apply(dst io.Writer, old io.ReaderAt, oldSize int64, patch io.ReaderAt, patchSize int64, newSize int64) error {
	h, err := Parse(patch, patchSize)
	if err != nil {
		return err
	}
	if h.NewSize != newSize {
		return fault.Dataf("patch makes %d bytes, want %d", h.NewSize, newSize)
	}
	a.dst, a.size = dst, newSize
	a.old.reset(old, oldSize)
	if a.buf == nil {
		a.buf = make([]byte, 2*blockSize)
	}
	at := int64(headerSize)
	for i, n := range [3]int64{h.Control, h.Diff, patchSize - headerSize - h.Control - h.Diff} {
		limit := newSize
		if i == 0 {
			limit = maxControl(newSize)
		}
		a.streams[i].open(streamNames[i], io.NewSectionReader(patch, at, n), limit)
		at += n
	}
	return a.run()
}

// Controls returns the control entries of a patch of the given size, as far as they are needed
// to make its new file. Whether they fit the other streams is for Apply to say.
func Controls(patch io.ReaderAt, size int64) ([]Control, error) {
	h, err := Parse(patch, size)
	if err != nil {
		return nil, err
	}
	var s stream
	s.open(streamNames[0], io.NewSectionReader(patch, headerSize, h.Control), maxControl(h.NewSize))
	var list []Control
	for done := int64(0); done < h.NewSize; {
		c, err := s.control()
		switch {
		case err != nil:
			return nil, err
		case c.Add < 0 || c.Extra < 0 || c.Add > h.NewSize-done || c.Extra > h.NewSize-done-c.Add:
			return nil, fault.Dataf("control entry %d does not fit a new size of %d", len(list), h.NewSize)
		case len(list) == maxControls:
			return nil, fault.Dataf("more than %d control entries", maxControls)
		}
		list = append(list, c)
		done += c.Add + c.Extra
	}
	return list, nil
}

// maxControls bounds what Controls returns: some 200 MB.
const maxControls = 1 << 23

func (s *stream) control() (Control, error) {
	var raw [controlSize]byte
	if err := s.fill(raw[:]); err != nil {
		return Control{}, err
	}
	return Control{decodeInt(raw[:]), decodeInt(raw[8:]), decodeInt(raw[16:])}, nil
}

func (a *Applier) run() error {
	var done, pos, idle int64
	for entry := 0; done < a.size; entry++ {
		c, err := a.streams[0].control()
		if err != nil {
			return err
		}
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
func (a *Applier) add(pos, n int64) error {
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
func (a *Applier) extra(n int64) error {
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
	r    *bzip2.Reader
}

// open starts to read the stream r, whose content has at most limit bytes.
func (s *stream) open(name string, r io.Reader, limit int64) {
	s.name = name
	if s.r == nil {
		s.r = bzip2.NewReader(r)
	} else {
		s.r.Reset(r)
	}
	s.r.Limit(limit)
}

func (s *stream) fill(b []byte) error {
	if _, err := io.ReadFull(s.r, b); err != nil {
		return s.fail(err)
	}
	return nil
}

// end verifies that the stream ends here, with the right sum.
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

// fail names the stream. One that ends where bytes are due is malformed.
func (s *stream) fail(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return fault.Dataf("%s stream of patch: too short: %w", s.name, io.ErrUnexpectedEOF)
	}
	return fmt.Errorf("%s stream of patch: %w", s.name, err)
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

// reset makes w a window on another file.
func (w *window) reset(r io.ReaderAt, size int64) {
	w.r, w.size = r, size
	for i := range w.slots {
		w.slots[i].block = -1
	}
}

// read fills b with the bytes at off, which lie within the file.
func (w *window) read(b []byte, off int64) error {
	for len(b) > 0 {
		block := off / blockSize
		slot := &w.slots[block%windowSlots]
		if slot.block != block {
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
