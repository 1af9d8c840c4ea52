// SPDX-License-Identifier: MIT

// Package swu reads and writes SWUpdate archives member by member, keeping
// every header field.
//
// A SWU is a cpio archive of the "new ASCII" kind (cpio(5), section "New ASCII
// Format"): per member a magic of 6 characters, 13 numbers of 8 hexadecimal
// digits, the name with a NUL, the data. Header with name, and data, are each
// padded with zeros to a multiple of 4 bytes, counted from the start of the
// archive. The member TRAILER!!! ends it, and zeros usually fill it up to a
// multiple of 512 bytes. Both variants of the magic occur, also in one archive.
//
// What Reader delivers and Writer is given again makes the same bytes again.
// Hence Reader refuses what could not be kept, though swupdate would overlook it:
// padding and bytes after the trailer that are not zero. It also refuses what
// swupdate understands differently than the sender meant: a name that occurs
// twice, and hard links without data of their own.
package swu

import (
	"encoding/hex"

	"swudelta/internal/fault"
)

// Format is the magic of a member.
type Format string

// The formats that swupdate reads.
const (
	Newc Format = "070701" // the field Check means nothing
	CRC  Format = "070702" // Check is the sum of the data's bytes, modulo 2^32
)

// String returns the name that cpio --format has for it.
func (f Format) String() string {
	switch f {
	case Newc:
		return "newc"
	case CRC:
		return "crc"
	}
	return string(f)
}

// Field numbers the fields of a header in the order in which they are stored.
type Field int

// The fields of a header. Swupdate looks at FileSize, NameSize and Check only.
const (
	Ino Field = iota
	Mode
	UID
	GID
	NLink
	MTime // seconds since 1970
	FileSize
	DevMajor
	DevMinor
	RDevMajor
	RDevMinor
	NameSize // counts the name's NUL and those that pad it
	Check
	numFields
)

const (
	magicSize  = 6
	fieldSize  = 8 // hexadecimal digits
	headerSize = magicSize + int(numFields)*fieldSize

	// MaxSize is the size in bytes of the largest member.
	MaxSize = 1<<32 - 1

	trailerName = "TRAILER!!!"
	blockSize   = 512 // what cpio fills up an archive to
)

// Bits of the field Mode (inode(7)).
const (
	modeType    = 0o170000
	modeDir     = 0o040000
	modeRegular = 0o100000
)

// Fields are the numbers of a header as stored: hexadecimal digits of either
// case.
type Fields [int(numFields) * fieldSize]byte

const zeroDigits = "00000000"

func (f *Fields) digits(i Field) []byte { return f[int(i)*fieldSize:][:fieldSize] }

// Get returns the value of a field.
func (f *Fields) Get(i Field) uint32 {
	var v uint32
	for _, c := range f.digits(i) {
		v = v<<4 | uint32(hexValue(c)&0xf)
	}
	return v
}

// Set changes a field. Digits that say v already stay as they are, whatever
// their case; new ones are upper case, as GNU cpio has them.
func (f *Fields) Set(i Field, v uint32) {
	d := f.digits(i)
	if validHex(d) && f.Get(i) == v {
		return
	}
	for j := range d {
		d[j] = "0123456789ABCDEF"[v>>(4*(fieldSize-1-j))&0xf]
	}
}

// hexValue returns the value of a digit, or -1.
func hexValue(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

func validHex(d []byte) bool {
	for _, c := range d {
		if hexValue(c) < 0 {
			return false
		}
	}
	return true
}

// Header describes one member.
type Header struct {
	Format Format
	Fields Fields
	Name   string // any bytes but NUL
	// NamePadding is how many NULs follow the one that ends the name. NameSize
	// counts them. Tools that align data, such as dracut-cpio, write them.
	NamePadding int
	Size        int64 // of the data, in bytes

	// Where Reader found the member, in bytes from the start of the archive.
	HeaderOffset int64 // of the header
	Offset       int64 // of the data
}

// NewHeader returns the header of a new member that holds a regular file, as
// reproducible as can be: owner root, mode 0644, no device number. What is left
// to set is Check (see Checksum).
func NewHeader(name string, size int64) *Header {
	h := &Header{Format: CRC, Name: name, Size: size}
	for i := range numFields {
		copy(h.Fields.digits(i), zeroDigits)
	}
	h.Fields.Set(Mode, modeRegular|0o644)
	h.Fields.Set(NLink, 1)
	h.Fields.Set(FileSize, uint32(size))
	h.Fields.Set(NameSize, uint32(len(name)+1))
	return h
}

// IsDir reports whether the member is a folder. One with data is a file to
// swupdate, which does not look at Mode, and hence here.
func (h *Header) IsDir() bool { return h.Size == 0 && h.Fields.Get(Mode)&modeType == modeDir }

// nameSize returns what NameSize counts.
func (h *Header) nameSize() int { return len(h.Name) + 1 + h.NamePadding }

// parse takes the fixed part of a header, which must be headerSize bytes long
// and begin with a magic that IsArchive knows.
func (h *Header) parse(b []byte) error {
	h.Format = Format(b[:magicSize])
	copy(h.Fields[:], b[magicSize:])
	for i := range numFields {
		if d := h.Fields.digits(i); !validHex(d) {
			return fault.Dataf("header field %d is %q, want %d hexadecimal digits", i+1, d, fieldSize)
		}
	}
	h.Size = int64(h.Fields.Get(FileSize))
	return nil
}

// Trailer ends an archive.
type Trailer struct {
	Header
	// Extra tells which zeros follow: so many bytes, a multiple of 512, beyond
	// those that fill the archive up to a multiple of 512. Unpadded: there are
	// none, although the trailer does not end at such a multiple.
	Extra int64
}

// Unpadded as a Trailer's Extra says that no zeros follow.
const Unpadded = -1

// zeros returns how many zeros follow a trailer that ends at offset end.
func (t *Trailer) zeros(end int64) int64 {
	if t.Extra == Unpadded {
		return 0
	}
	return padding(end, blockSize) + t.Extra
}

// newTrailer returns the trailer that GNU cpio writes.
func newTrailer(f Format) *Trailer {
	t := &Trailer{Header: *NewHeader(trailerName, 0)}
	t.Format = f
	t.Fields.Set(Mode, 0)
	return t
}

// padding returns how many bytes are missing at offset off to a multiple of n.
func padding(off, n int64) int64 { return (n - off%n) % n }

// IsArchive reports whether a file that begins with head is a cpio archive of a
// kind that swupdate reads. 6 bytes are enough.
func IsArchive(head []byte) bool {
	if len(head) < magicSize {
		return false
	}
	f := Format(head[:magicSize])
	return f == Newc || f == CRC
}

// notArchive explains what begins with head in place of a header.
func notArchive(head []byte) error {
	const want = "want " + string(Newc) + " (newc) or " + string(CRC) + " (crc)"
	head = head[:min(len(head), magicSize)]
	switch {
	case string(head) == "070707":
		return fault.Dataf("cpio format odc, which swupdate does not read: got magic %q, "+want, head)
	case len(head) >= 2 && (hex.EncodeToString(head[:2]) == "c771" || hex.EncodeToString(head[:2]) == "71c7"):
		return fault.Dataf("binary cpio format, which swupdate does not read: got magic %q, "+want, head)
	}
	return fault.Dataf("no header of a cpio archive: got magic %q, "+want, head)
}
