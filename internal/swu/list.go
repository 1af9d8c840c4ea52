// SPDX-License-Identifier: MIT

package swu

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"

	"swudelta/internal/fault"
)

// The list of an archive's members is what swu-unpack prints and swu-pack
// reads: one line per member, in order, and one for the trailer. A line has the
// magic and the 13 header fields as they are stored, separated by blanks, then a
// TAB and the name, which may be any bytes:
//
//	070702 00000000 000081A4 ... 0000000F 00009A3C<TAB>sw-description
//	070702 00000000 00000000 ... 0000000B 00000000 0<TAB>TRAILER!!!
//
// The trailer's line has one field more, Trailer.Extra as a decimal number or
// "none" where it is Unpadded. A line whose name has NULs as padding has as its
// last field how many, as in "+3" (Header.NamePadding); the number NAMESIZE alone
// would not tell them from a name that somebody has changed in the list.
//
// A line without such a beginning is a name, of a file that becomes a new
// member.

const unpaddedWord = "none"

// FormatList returns the list of members with delim, '\n' or NUL, behind every line.
// A name that has delim in it is a fault of the data.
func (a *Archive) FormatList(delim byte) ([]byte, error) {
	var b []byte
	line := func(h *Header, extra string) error {
		if strings.IndexByte(h.Name, delim) >= 0 {
			return fault.Dataf("member name %q: holds the end of a line", h.Name)
		}
		b = append(b, h.Format...)
		for i := range numFields {
			b = append(b, ' ')
			b = append(b, h.Fields.digits(i)...)
		}
		b = append(b, extra...)
		if h.NamePadding > 0 {
			b = fmt.Appendf(b, " +%d", h.NamePadding)
		}
		b = append(b, '\t')
		b = append(b, h.Name...)
		b = append(b, delim)
		return nil
	}
	for _, h := range a.Members {
		if err := line(h, ""); err != nil {
			return nil, err
		}
	}
	if t := a.Trailer; t != nil {
		extra := unpaddedWord
		if t.Extra != Unpadded {
			extra = strconv.FormatInt(t.Extra, 10)
		}
		if err := line(&t.Header, " "+extra); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// ReadList reads a list with delim, '\n' or NUL, behind every line. A name alone
// gets the header of NewHeader, with its place in the archive as inode number
// (from 0 on, as meta-swupdate has them) and mtime, in seconds since 1970. Sizes
// and checksums are those of the list; Measure makes them those of the files.
func ReadList(r io.Reader, delim byte, mtime uint32) (*Archive, error) {
	a := &Archive{}
	sc := bufio.NewScanner(r)
	sc.Buffer(nil, 2*maxNameSize)
	sc.Split(func(data []byte, atEOF bool) (int, []byte, error) {
		if i := bytes.IndexByte(data, delim); i >= 0 {
			return i + 1, data[:i], nil
		}
		if atEOF && len(data) > 0 {
			return len(data), data, nil
		}
		return 0, nil, nil
	})
	n := 0
	seen := map[string]bool{}
	for sc.Scan() {
		n++
		if err := a.addLine(sc.Text(), mtime, seen); err != nil {
			return nil, fault.Dataf("line %d of the list: %w", n, err)
		}
	}
	switch err := sc.Err(); {
	case err == bufio.ErrTooLong:
		return nil, fault.Dataf("line %d of the list: %w", n+1, err)
	case err != nil:
		return nil, fmt.Errorf("read the list: %w", err)
	case len(a.Members) == 0:
		return nil, fault.Dataf("no members in the list, want %q first", Description)
	}
	return a, nil
}

func (a *Archive) addLine(line string, mtime uint32, seen map[string]bool) error {
	if a.Trailer != nil {
		return fmt.Errorf("%q follows the trailer", line)
	}
	h, t, err := parseLine(line)
	if err != nil {
		return err
	}
	if t != nil {
		a.Trailer = t
		return nil
	}
	if h == nil {
		h = NewHeader(line, 0)
		h.Fields.Set(Ino, uint32(len(a.Members)))
		h.Fields.Set(MTime, mtime)
	}
	if err := h.check(); err != nil {
		return err
	}
	if err := checkFirst(len(a.Members), h.Name); err != nil {
		return err
	}
	if seen[h.Name] {
		return fmt.Errorf("second member with the name %q", h.Name)
	}
	if len(seen) == maxMembers {
		return fmt.Errorf("more than %d members", maxMembers)
	}
	seen[h.Name] = true
	a.Members = append(a.Members, h)
	return nil
}

// parseLine returns the header or the trailer in a line, and neither of them if
// the line is a name alone.
func parseLine(line string) (*Header, *Trailer, error) {
	fields, name, ok := strings.Cut(line, "\t")
	if !ok || !strings.HasPrefix(fields, "07070") {
		return nil, nil, nil
	}
	words := strings.Split(fields, " ")
	for i, w := range words {
		if i == 0 && !(len(w) == magicSize && IsArchive([]byte(w))) {
			return nil, nil, fmt.Errorf("magic %q, want %q or %q", w, Newc, CRC)
		}
		if 0 < i && i <= int(numFields) && len(w) != fieldSize {
			return nil, nil, fmt.Errorf("header field %d is %q, want %d hexadecimal digits", i, w, fieldSize)
		}
	}
	const count = 1 + int(numFields)
	namePadding := 0
	if last := words[len(words)-1]; strings.HasPrefix(last, "+") {
		n, err := strconv.ParseUint(last[1:], 10, 16)
		if err != nil || n == 0 || n > maxNameSize {
			return nil, nil, fmt.Errorf("padding of the name %q, want + and a number up to %d", last, maxNameSize)
		}
		namePadding, words = int(n), words[:len(words)-1]
	}
	want := count
	if name == trailerName {
		want++
	}
	if len(words) != want {
		return nil, nil, fmt.Errorf("%d words before the name %q, want %d", len(words), name, want)
	}
	h := &Header{Name: name, NamePadding: namePadding}
	if err := h.parse([]byte(strings.Join(words[:count], ""))); err != nil {
		return nil, nil, err
	}
	if name != trailerName {
		return h, nil, nil
	}
	extra, err := parseExtra(words[count])
	if err != nil {
		return nil, nil, err
	}
	return nil, &Trailer{Header: *h, Extra: extra}, nil
}

func parseExtra(s string) (int64, error) {
	if s == unpaddedWord {
		return Unpadded, nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 || n%blockSize != 0 {
		return 0, fmt.Errorf("zeros after the trailer %q, want a multiple of %d or %q", s, blockSize, unpaddedWord)
	}
	return n, nil
}
