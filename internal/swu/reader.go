// SPDX-License-Identifier: MIT

package swu

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"strings"

	"swudelta/internal/fault"
)

const bufferSize = 64 << 10

// Reader reads an archive from start to end, without seeking and in constant
// memory but for the names. Next goes to the next member, whose data Read then
// delivers.
type Reader struct {
	br      *bufio.Reader
	off     int64   // in the archive, of the next byte from br
	cur     *Header // nil before the first Next
	left    int64   // bytes of the current member still to be read
	sum     uint32  // of those that were read
	members census
	trailer *Trailer
	err     error // of all further calls
}

// NewReader returns a Reader on r. It reads r to its end.
func NewReader(r io.Reader) *Reader {
	return &Reader{br: bufio.NewReaderSize(r, bufferSize)}
}

// Next goes to the next member and returns its header, which the caller may
// keep. Data of the previous member that was not read is read now, and its
// checksum is verified. The error is io.EOF only if a trailer came and everything
// behind it was read and is in order. Truncation is io.ErrUnexpectedEOF, and like
// all that is wrong with the archive a fault of the data, with its offset.
func (r *Reader) Next() (*Header, error) {
	if r.err != nil {
		return nil, r.err
	}
	h, err := r.next()
	if err != nil {
		r.err = err
		return nil, err
	}
	return h, nil
}

// Read reads data of the current member; io.EOF is its end. A checksum that
// does not fit is an error with, or instead of, the last bytes.
func (r *Reader) Read(p []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	if r.left == 0 {
		return 0, io.EOF
	}
	if len(p) == 0 {
		return 0, nil
	}
	n, err := r.br.Read(p[:min(int64(len(p)), r.left)])
	r.off += int64(n)
	r.left -= int64(n)
	r.sum += sum(p[:n])
	switch {
	case r.left == 0:
		r.err = r.verify()
	case err != nil:
		r.err = r.readError(err, "the data of member %q", r.cur.Name)
	}
	return n, r.err
}

// Trailer returns the end of the archive, or nil until Next has returned
// io.EOF.
func (r *Reader) Trailer() *Trailer { return r.trailer }

func (r *Reader) next() (*Header, error) {
	if _, err := io.Copy(io.Discard, struct{ io.Reader }{r}); err != nil {
		return nil, err
	}
	if r.cur != nil {
		if err := r.zeros("the padding after the data of member %q", r.cur.Name); err != nil {
			return nil, err
		}
	}
	h, err := r.header()
	if err != nil {
		return nil, err
	}
	r.cur, r.left, r.sum = h, h.Size, 0
	if r.left == 0 {
		if err := r.verify(); err != nil {
			return nil, err
		}
	}
	if h.Name == trailerName {
		if err := r.end(h); err != nil {
			return nil, err
		}
		return nil, io.EOF
	}
	if err := r.members.add(h); err != nil {
		return nil, fault.At(h.HeaderOffset, "%w", err)
	}
	return h, nil
}

// header reads a header with its name and padding.
func (r *Reader) header() (*Header, error) {
	h := &Header{HeaderOffset: r.off}
	b := make([]byte, headerSize)
	n, err := io.ReadFull(r.br, b)
	if !IsArchive(b[:n]) && !strings.HasPrefix(string(Newc), string(b[:n])) {
		return nil, fault.At(r.off, "%w", notArchive(b[:n]))
	}
	r.off += int64(n)
	switch {
	case err == io.EOF && r.cur == nil:
		return nil, fault.Dataf("empty, want a cpio archive: %w", io.ErrUnexpectedEOF)
	case err == io.EOF:
		return nil, fault.At(r.off, "archive ends without a trailer, behind member %q: %w", r.cur.Name, io.ErrUnexpectedEOF)
	case err != nil:
		return nil, r.readError(err, "the header of a member")
	}
	if err := h.parse(b); err != nil {
		return nil, fault.At(h.HeaderOffset, "%w", err)
	}

	size := h.Fields.Get(NameSize)
	if size < 2 || size > maxNameSize {
		return nil, fault.At(h.HeaderOffset, "name of %d bytes, want 2 to %d, counting its NUL", size, maxNameSize)
	}
	name := make([]byte, size)
	n, err = io.ReadFull(r.br, name)
	r.off += int64(n)
	if err != nil {
		return nil, r.readError(err, "the name of a member")
	}
	plain := bytes.TrimRight(name, "\x00")
	if len(plain) == 0 || len(plain) == len(name) || bytes.IndexByte(plain, 0) >= 0 {
		return nil, fault.At(h.HeaderOffset, "name %q: want NULs at its end and nowhere else", name)
	}
	h.Name, h.NamePadding = string(plain), len(name)-len(plain)-1
	if err := r.zeros("the padding after the name of member %q", h.Name); err != nil {
		return nil, err
	}
	h.Offset = r.off
	return h, nil
}

// end reads what follows the header of the trailer.
func (r *Reader) end(h *Header) error {
	if h.Size != 0 {
		return fault.At(h.HeaderOffset, "trailer with %d bytes of data", h.Size)
	}
	b := make([]byte, bufferSize)
	for {
		n, err := r.br.Read(b)
		if rest := bytes.TrimLeft(b[:n], "\x00"); len(rest) > 0 {
			return fault.At(r.off+int64(n-len(rest)), "byte 0x%02x after the trailer, want zeros only", rest[0])
		}
		r.off += int64(n)
		if err == io.EOF {
			break
		}
		if err != nil {
			return r.readError(err, "the zeros after the trailer")
		}
	}
	t := &Trailer{Header: *h}
	switch zeros := r.off - h.Offset; {
	case r.off%blockSize == 0:
		t.Extra = zeros - padding(h.Offset, blockSize)
	case zeros == 0:
		t.Extra = Unpadded
	default:
		// No archiver stops in the middle of its padding, but a copy may.
		return fault.At(r.off, "archive ends in the zeros after the trailer, want none or a size that is a multiple of %d: %w", blockSize, io.ErrUnexpectedEOF)
	}
	r.trailer = t
	return nil
}

// verify compares the checksum of the current member, which was read in full.
func (r *Reader) verify() error {
	if want := r.cur.Fields.Get(Check); r.cur.Format == CRC && r.sum != want {
		return fault.At(r.cur.Offset, "member %q: got checksum 0x%08x, want 0x%08x, for the data", r.cur.Name, r.sum, want)
	}
	return nil
}

// zeros reads padding up to a multiple of 4.
func (r *Reader) zeros(where string, name string) error {
	b := make([]byte, padding(r.off, 4))
	n, err := io.ReadFull(r.br, b)
	for i, c := range b[:n] {
		if c != 0 {
			return fault.At(r.off+int64(i), "byte 0x%02x in "+where+", want 0", c, name)
		}
	}
	r.off += int64(n)
	if err != nil {
		return r.readError(err, where, name)
	}
	return nil
}

// readError tells a truncated archive from one that cannot be read. What is
// the part of the archive that was being read.
func (r *Reader) readError(err error, what string, args ...any) error {
	what = fmt.Sprintf(what, args...)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return fault.At(r.off, "archive ends in %s: %w", what, io.ErrUnexpectedEOF)
	}
	return fmt.Errorf("read %s: %w", what, err)
}

// sum returns the sum of all bytes, modulo 2^32.
func sum(p []byte) uint32 {
	var s uint32
	for _, b := range p {
		s += uint32(b)
	}
	return s
}

// Checksum reads r to its end and returns what the field Check of a CRC member
// with that data holds, and the size in bytes.
func Checksum(r io.Reader) (check uint32, size int64, err error) {
	b := make([]byte, bufferSize)
	for {
		n, err := r.Read(b)
		check += sum(b[:n])
		size += int64(n)
		if err == io.EOF {
			return check, size, nil
		}
		if err != nil {
			return check, size, err
		}
	}
}
