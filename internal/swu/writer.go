// SPDX-License-Identifier: MIT

package swu

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"swudelta/internal/fault"
)

var (
	// ErrWriteTooLong is returned for more data than the header announced.
	ErrWriteTooLong = errors.New("more data than the header says")
	errClosed       = errors.New("write after the archive's end")
)

// Writer writes an archive from start to end. WriteHeader begins a member, whose
// data is then given to Write.
type Writer struct {
	w       io.Writer
	off     int64
	cur     Header
	left    int64
	sum     uint32
	members census
	ended   bool  // the trailer is written
	err     error // of all further calls
}

// NewWriter returns a Writer on w.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

// WriteHeader finishes the current member, and fails if it got fewer bytes than
// its header says or others than its checksum says, and begins a new one. The
// fields FileSize and NameSize are taken from h.Size, h.Name and h.NamePadding, all others as
// they are; Check must hold the checksum of the data to come where h.Format is
// CRC.
func (w *Writer) WriteHeader(h *Header) error {
	if w.err == nil {
		w.err = w.begin(h)
	}
	return w.err
}

func (w *Writer) begin(h *Header) error {
	if w.ended {
		return errClosed
	}
	if h.Name == trailerName {
		return fault.Dataf("member name %q: reserved for the end of the archive", h.Name)
	}
	if err := w.finish(); err != nil {
		return err
	}
	if err := w.members.add(h); err != nil {
		return fault.Data(err)
	}
	return w.header(h)
}

// header writes a header with its name, and the padding on both sides of it.
func (w *Writer) header(h *Header) error {
	switch {
	case h.Size < 0 || h.Size > MaxSize:
		return fault.Dataf("member %q: %d bytes, want at most %d", h.Name, h.Size, int64(MaxSize))
	case h.Name == "" || h.NamePadding < 0 || h.nameSize() > maxNameSize || bytes.IndexByte([]byte(h.Name), 0) >= 0:
		return fault.Dataf("member name %q: want 1 to %d bytes other than NUL", h.Name, maxNameSize-1)
	case !IsArchive([]byte(h.Format)) || len(h.Format) != magicSize:
		return fault.Dataf("member %q: unknown format %q", h.Name, string(h.Format))
	case !validHex(h.Fields[:]):
		return fault.Dataf("member %q: header fields are not hexadecimal digits", h.Name)
	}
	w.cur, w.left, w.sum = *h, h.Size, 0
	w.cur.Fields.Set(FileSize, uint32(h.Size))
	w.cur.Fields.Set(NameSize, uint32(h.nameSize()))

	b := make([]byte, padding(w.off, 4), 2*headerSize+h.nameSize())
	b = append(b, w.cur.Format...)
	b = append(b, w.cur.Fields[:]...)
	b = append(b, h.Name...)
	b = append(b, make([]byte, 1+h.NamePadding)...)
	b = append(b, make([]byte, padding(w.off+int64(len(b)), 4))...)
	return w.write(b)
}

// finish checks the member that has been written.
func (w *Writer) finish() error {
	if w.left > 0 {
		return fmt.Errorf("member %q: %d bytes missing: %w", w.cur.Name, w.left, io.ErrUnexpectedEOF)
	}
	if want := w.cur.Fields.Get(Check); w.cur.Format == CRC && w.sum != want {
		return fmt.Errorf("member %q: data has checksum 0x%08x, its header says 0x%08x", w.cur.Name, w.sum, want)
	}
	return nil
}

// Write writes data of the current member.
func (w *Writer) Write(p []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	if int64(len(p)) > w.left {
		w.err = fmt.Errorf("member %q: %w", w.cur.Name, ErrWriteTooLong)
		return 0, w.err
	}
	w.left -= int64(len(p))
	w.sum += sum(p)
	if err := w.write(p); err != nil {
		w.err = err
		return 0, err
	}
	return len(p), nil
}

func (w *Writer) write(p []byte) error {
	n, err := w.w.Write(p)
	w.off += int64(n)
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	return err
}

// WriteTrailer finishes the current member and writes t with the zeros after
// it. Only Close may follow.
func (w *Writer) WriteTrailer(t *Trailer) error {
	if w.err == nil {
		w.err = w.end(t)
	}
	return w.err
}

func (w *Writer) end(t *Trailer) error {
	if w.ended {
		return errClosed
	}
	if t.Name != trailerName || t.Size != 0 || t.Extra != Unpadded && (t.Extra < 0 || t.Extra%blockSize != 0) {
		return fault.Dataf("trailer %q of %d bytes with %d bytes of zeros", t.Name, t.Size, t.Extra)
	}
	if err := w.finish(); err != nil {
		return err
	}
	if err := w.header(&t.Header); err != nil {
		return err
	}
	if err := w.finish(); err != nil {
		return err
	}
	w.ended = true
	block := make([]byte, 64<<10)
	for n := t.zeros(w.off); n > 0; {
		b := block[:min(n, int64(len(block)))]
		if err := w.write(b); err != nil {
			return err
		}
		n -= int64(len(b))
	}
	return nil
}

// Close finishes the archive with the trailer that GNU cpio writes, in the
// format of the last member, unless WriteTrailer was called. It does not close
// the underlying writer.
func (w *Writer) Close() error {
	if w.err != nil || w.ended {
		return w.err
	}
	f := w.cur.Format
	if f == "" {
		f = CRC
	}
	return w.WriteTrailer(newTrailer(f))
}
