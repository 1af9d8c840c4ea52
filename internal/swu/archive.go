// SPDX-License-Identifier: MIT

package swu

import (
	"fmt"
	"io"
	"slices"
)

// Archive is all that an archive consists of but the data.
type Archive struct {
	Members []*Header
	Trailer *Trailer // nil: the one that GNU cpio writes
	Size    int64    // in bytes, if the archive was read
}

// Member returns the member with that name, or nil.
func (a *Archive) Member(name string) *Header {
	for _, h := range a.Members {
		if h.Name == name {
			return h
		}
	}
	return nil
}

// Warnings says what is odd about an archive that is otherwise in order.
func (a *Archive) Warnings() []string {
	var w []string
	i := slices.IndexFunc(a.Members, func(h *Header) bool { return h.Name == Signature })
	if i >= 0 && i != 1 {
		w = append(w, fmt.Sprintf("%q is not the second member: clients that check signatures reject the archive", Signature))
	}
	if a.Size > 0 && a.Trailer.Extra == Unpadded {
		w = append(w, "no zeros after the trailer: the archive may be a copy cut short")
	}
	return w
}

// Index reads the archive in the first size bytes of r and returns where its
// members are. Everything that Reader checks has been checked, all checksums
// among it.
func Index(r io.ReaderAt, size int64) (*Archive, error) {
	return Scan(io.NewSectionReader(r, 0, size), nil)
}

// Scan reads an archive to its end and calls each, unless that is nil, with
// every member. Whatever each does must be taken back if Scan returns an error in
// the end: only then is it known that the archive is whole.
func Scan(r io.Reader, each func(h *Header, data io.Reader) error) (*Archive, error) {
	a := &Archive{}
	for sr := NewReader(r); ; {
		h, err := sr.Next()
		if err == io.EOF {
			a.Trailer, a.Size = sr.Trailer(), sr.off
			return a, nil
		}
		if err != nil {
			return nil, err
		}
		a.Members = append(a.Members, h)
		if each != nil {
			if err := each(h, sr); err != nil {
				return nil, err
			}
		}
	}
}
