// SPDX-License-Identifier: MIT

package swu

import (
	"fmt"
	"io"
	"strconv"
	"unicode/utf8"

	"swudelta/internal/digest"
)

// Listing says what is in an archive, for people and, as JSON, for programs.
type Listing struct {
	Size    int64           `json:"size"` // of the archive, in bytes
	Members []ListingMember `json:"members"`
	Trailer ListingTrailer  `json:"trailer"`
}

// ListingMember says what is in a member. Offsets are bytes from the start of
// the archive.
type ListingMember struct {
	Name         string        `json:"name"`              // what is no UTF-8 is replaced by U+FFFD
	RawName      []byte        `json:"rawName,omitempty"` // base64 of the name, if it is not UTF-8
	Format       string        `json:"format"`            // newc or crc
	HeaderOffset int64         `json:"headerOffset"`
	Offset       int64         `json:"offset"` // of the data
	Size         int64         `json:"size"`
	SHA256       digest.SHA256 `json:"sha256"`
	Ino          uint32        `json:"ino"`
	Mode         uint32        `json:"mode"`
	UID          uint32        `json:"uid"`
	GID          uint32        `json:"gid"`
	NLink        uint32        `json:"nlink"`
	MTime        uint32        `json:"mtime"`
	DevMajor     uint32        `json:"devMajor"`
	DevMinor     uint32        `json:"devMinor"`
	RDevMajor    uint32        `json:"rdevMajor"`
	RDevMinor    uint32        `json:"rdevMinor"`
	Check        uint32        `json:"check"`
}

// ListingTrailer says how an archive ends.
type ListingTrailer struct {
	HeaderOffset int64 `json:"headerOffset"`
	Zeros        int64 `json:"zeros"` // bytes after the trailer
}

// Describe reads an archive of any members to its end and describes it.
func Describe(r io.Reader) (*Listing, error) {
	l := &Listing{Members: []ListingMember{}}
	a, err := Scan(r, func(h *Header, data io.Reader) error {
		sum, _, err := digest.SumReader(data)
		if err != nil {
			return err
		}
		m := ListingMember{
			Name: h.Name, Format: h.Format.String(), HeaderOffset: h.HeaderOffset, Offset: h.Offset, Size: h.Size, SHA256: sum,
			Ino: h.Fields.Get(Ino), Mode: h.Fields.Get(Mode), UID: h.Fields.Get(UID), GID: h.Fields.Get(GID),
			NLink: h.Fields.Get(NLink), MTime: h.Fields.Get(MTime),
			DevMajor: h.Fields.Get(DevMajor), DevMinor: h.Fields.Get(DevMinor),
			RDevMajor: h.Fields.Get(RDevMajor), RDevMinor: h.Fields.Get(RDevMinor), Check: h.Fields.Get(Check),
		}
		if !utf8.ValidString(h.Name) {
			m.RawName = []byte(h.Name)
		}
		l.Members = append(l.Members, m)
		return nil
	})
	if err != nil {
		return nil, err
	}
	l.Size = a.Size
	l.Trailer = ListingTrailer{a.Trailer.HeaderOffset, a.Size - a.Trailer.Offset}
	return l, nil
}

// WriteText writes a line per member: format, offset and size of the data, its
// SHA-256, and the name, quoted where a terminal should not get it as it is.
func (l *Listing) WriteText(w io.Writer) error {
	for _, m := range l.Members {
		name := m.Name
		if m.RawName != nil {
			name = string(m.RawName)
		}
		if q := strconv.Quote(name); q[1:len(q)-1] != name {
			name = q
		}
		if _, err := fmt.Fprintf(w, "%-4s %10d %10d %s %s\n", m.Format, m.Offset, m.Size, m.SHA256, name); err != nil {
			return err
		}
	}
	return nil
}
