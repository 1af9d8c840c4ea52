// SPDX-License-Identifier: MIT

package native

import (
	"encoding/binary"
	"fmt"
	"io"

	"swudelta/internal/digest"
	"swudelta/internal/errnum"
	"swudelta/internal/fault"
)

// appendHeader appends the header of d: the fixed part, a table of the sections, and
// the digest of both.
func (d *Delta) appendHeader(b []byte) []byte {
	start := len(b)
	b = append(b, magic...)
	b = binary.LittleEndian.AppendUint16(b, Version)
	b = binary.LittleEndian.AppendUint16(b, 0)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(d.Sections)))
	b = binary.LittleEndian.AppendUint64(b, uint64(d.TargetLength))
	b = append(b, d.TargetSHA256[:]...)
	b = binary.LittleEndian.AppendUint64(b, uint64(d.SourceLength))
	b = append(b, d.SourceSHA256[:]...)
	b = binary.LittleEndian.AppendUint64(b, uint64(d.Need.Memory))
	b = binary.LittleEndian.AppendUint64(b, uint64(d.Need.Scratch))
	for _, s := range d.Sections {
		b = binary.LittleEndian.AppendUint32(b, uint32(s.Type))
		b = binary.LittleEndian.AppendUint32(b, 0)
		b = binary.LittleEndian.AppendUint64(b, uint64(s.Length))
		b = append(b, s.SHA256[:]...)
	}
	sum := digest.Sum(b[start:])
	return append(b, sum[:]...)
}

// Open reads the header and the content section of a delta of the given size, and
// checks them. The other sections are not looked at.
func Open(file io.ReaderAt, size int64) (*Delta, error) {
	d := &Delta{Size: size, file: file}
	if err := d.open(); err != nil {
		return nil, fmt.Errorf("native delta: %w", err)
	}
	return d, nil
}

func (d *Delta) open() error {
	head, err := d.read(0, headSize)
	if err != nil {
		return fmt.Errorf("header: %w", err)
	}
	if string(head[:len(magic)]) != magic {
		return fault.Dataf("not a native delta")
	}
	le := binary.LittleEndian
	if v := le.Uint16(head[8:]); v != Version {
		return newer("version %d", v)
	}
	count := le.Uint32(head[12:])
	if flags := le.Uint16(head[10:]); flags != 0 {
		return newer("flags %#x", flags)
	}
	if count > maxSections {
		return fault.At(12, "%d sections, at most %d are allowed", count, maxSections)
	}
	tableSize := int64(count) * sectionSize
	whole, err := d.read(0, headSize+tableSize+sumSize)
	if err != nil {
		return fmt.Errorf("header: %w", err)
	}
	end := headSize + tableSize
	if got := digest.Sum(whole[:end]); string(got[:]) != string(whole[end:]) {
		return errnum.New(errnum.Hash, fault.Dataf("header: wrong digest: it is damaged"))
	}
	numbers := []struct {
		at int
		v  *int64
	}{{16, &d.TargetLength}, {56, &d.SourceLength}, {96, &d.Need.Memory}, {104, &d.Need.Scratch}}
	for _, n := range numbers {
		u := le.Uint64(head[n.at:])
		if u > MaxSize {
			return fault.At(int64(n.at), "number %d out of range", u)
		}
		*n.v = int64(u)
	}
	copy(d.TargetSHA256[:], head[24:])
	copy(d.SourceSHA256[:], head[64:])
	at := end + sumSize
	for i := range int64(count) {
		row := whole[headSize+i*sectionSize:]
		s := Section{Type: Type(le.Uint32(row)), offset: at}
		if _, ok := typeNames[s.Type]; !ok {
			return newer("section type %d", s.Type)
		}
		if flags := le.Uint32(row[4:]); flags != 0 {
			return newer("flags %#x of section %v", flags, s.Type)
		}
		length := le.Uint64(row[8:])
		if length > uint64(d.Size-at) {
			return errnum.New(errnum.Short, fault.At(headSize+i*sectionSize+8, "section %v of %d bytes goes beyond the end of the file", s.Type, length))
		}
		s.Length = int64(length)
		copy(s.SHA256[:], row[16:])
		if i > 0 && s.Type <= d.Sections[i-1].Type {
			return fault.Dataf("section %v is not behind those of smaller types", s.Type)
		}
		d.Sections = append(d.Sections, s)
		at += s.Length
	}
	if at != d.Size {
		return fault.At(at, "%d bytes behind the last section", d.Size-at)
	}
	return d.openContent()
}

// read returns n bytes of the file.
func (d *Delta) read(at, n int64) ([]byte, error) {
	if n > d.Size-at {
		return nil, errnum.New(errnum.Short, fault.At(d.Size, "the file ends early"))
	}
	b := make([]byte, n)
	if got, err := d.file.ReadAt(b, at); got < len(b) {
		if err == io.EOF || err == nil {
			err = fault.At(at+int64(got), "the file ends early")
		}
		return nil, err
	}
	return b, nil
}

// section returns the section of a type: of no bytes, if there is none.
func (d *Delta) section(t Type) Section {
	for _, s := range d.Sections {
		if s.Type == t {
			return s
		}
	}
	return Section{Type: t}
}

// reader reads a section.
func (d *Delta) reader(t Type) *io.SectionReader {
	s := d.section(t)
	return io.NewSectionReader(d.file, s.offset, s.Length)
}

// verify holds all sections against their digests.
func (d *Delta) verify() error {
	for _, s := range d.Sections {
		got, n, err := digest.SumReader(io.NewSectionReader(d.file, s.offset, s.Length))
		if err == nil && n != s.Length {
			err = fault.At(s.offset+n, "the file ends early")
		}
		if err == nil && got != s.SHA256 {
			err = errnum.New(errnum.Hash, fault.Dataf("wrong digest: it is damaged"))
		}
		if err != nil {
			return fmt.Errorf("section %v: %w", s.Type, err)
		}
	}
	return nil
}
