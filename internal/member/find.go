// SPDX-License-Identifier: MIT

package member

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"slices"

	"swudelta/internal/digest"
	"swudelta/internal/fault"
	"swudelta/internal/progress"
	"swudelta/internal/span"
)

// Member is a member that was found and opened.
type Member struct {
	Number
	Off, Len   int64         // of the bytes as stored, in what it was found in
	Stored     []byte        // these bytes
	SHA256     digest.SHA256 // of them
	OpenParams []byte
	Content    []byte
	Members    []*Member // in Content: in order, apart from each other

	// CloseParams make the stored bytes of Content again, if Closed.
	CloseParams []byte
	Closed      bool
	Reason      string // why it cannot be closed
}

// End is the offset behind the member.
func (m *Member) End() int64 { return m.Off + m.Len }

// Close finds out how the member is closed again. The error is ErrUnclosable if it cannot be, and
// then m.Reason says why.
func (m *Member) Close(libs *Libraries) error { return m.CloseProgress(libs, func(int64) {}) }

// CloseProgress is Close that calls progress with each number of bytes of content that were dealt
// with: together they are all.
func (m *Member) CloseProgress(libs *Libraries, progress func(n int64)) error {
	left := int64(len(m.Content))
	params, err := formats[m.Number].Analyse(m.Stored, m.Content, libs, func(n int64) {
		n = min(n, left)
		left -= n
		progress(n)
	})
	progress(left)
	if err != nil {
		m.Reason = err.Error()
		return err
	}
	m.CloseParams, m.Closed = params, true
	return nil
}

// Finder finds members. The limits are those of one file: what is beyond them stays closed.
type Finder struct {
	// Load keeps content where it can be addressed.
	Load func(io.Reader) ([]byte, error)
	// Depth is how deep members may nest. Default: 6.
	Depth int
	// Count is how many members are opened. Default: 16384.
	Count int
	// Content is how many bytes their content may have together. Default: 2 GiB.
	Content int64
	// Only are the formats that are looked for. Default: all.
	Only []Number
	// Scattered returns the files of an image that lie in several pieces: for each its ranges,
	// in order and apart. Default: none.
	Scattered func(image []byte) [][]span.Range
	// Progress is told how many bytes there are to open and to search, and how many that was
	// done with. Default: nobody is.
	Progress *progress.Stage
}

const (
	// leastMember is the length, in bytes, below which it does not pay to open a member: what a
	// delta has to say about it is as long.
	leastMember = 128
	// greatestRatio is how much longer than a member its content may be. Deflate reaches 1032, and
	// what comes near it is a bomb or nothing but zeros.
	greatestRatio = 1000
	// smallContent, in bytes, is kept in memory.
	smallContent = 1 << 20
)

func (f *Finder) defaults() {
	if f.Load == nil {
		f.Load = io.ReadAll
	}
	if f.Depth == 0 {
		f.Depth = 6
	}
	if f.Count == 0 {
		f.Count = 1 << 14
	}
	if f.Content == 0 {
		f.Content = 2 << 30
	}
	if f.Scattered == nil {
		f.Scattered = func([]byte) [][]span.Range { return nil }
	}
}

// Find returns the members in b, and those in their content, and so on. What looks like a
// member and cannot be opened is none. An error is one of Load.
func (f *Finder) Find(b []byte) ([]*Member, error) {
	f.defaults()
	return f.find(b, f.Depth)
}

// magic is one magic number.
type magic struct {
	text   string
	number Number
	// table returns the members in b, which begins with the magic number of what holds them, in order
	// and apart; nil: the number is that of a member.
	table func(b []byte) []Found
}

// magics are all magic numbers, by their first two bytes, little endian.
var magics = sortMagics()

func sortMagics() map[uint16][]magic {
	out := map[uint16][]magic{}
	add := func(m magic) {
		key := binary.LittleEndian.Uint16([]byte(m.text))
		out[key] = append(out[key], m)
	}
	for _, n := range slices.Sorted(maps.Keys(formats)) {
		for _, text := range formats[n].Magics() {
			add(magic{text: text, number: n})
		}
	}
	add(magic{squashfsMagic, LZ4Block, squashfsTable})
	return out
}

// begins has a bit for each two bytes that a magic number begins with.
var begins = func() (set [1 << 16 / 64]uint64) {
	for key := range magics {
		set[key/64] |= 1 << (key % 64)
	}
	return set
}()

// search is a way through bytes, from front to back.
type search struct {
	*Finder
	b     []byte
	depth int
	// What is known to lie at the place that was reached or behind it:
	scattered [][]span.Range // files in pieces
	listed    []listed       // members that tables tell of
	next      int            // where the first of them begins
	tables    int            // how many were read
}

// listed is a member that a table tells of.
type listed struct {
	Found
	number Number
}

func (f *Finder) find(b []byte, depth int) (list []*Member, err error) {
	if depth == 0 {
		return nil, nil
	}
	f.Progress.Expect(int64(len(b)))
	searched := 0
	defer func() { f.Progress.Add(int64(len(b) - searched)) }()
	s := &search{Finder: f, b: b, depth: depth, scattered: f.Scattered(b)}
	s.pass(0)
	for at := 0; at+leastMember < len(b); at++ {
		key := uint16(b[at]) | uint16(b[at+1])<<8
		if begins[key/64]>>(key%64)&1 == 0 && at < s.next {
			continue
		}
		f.Progress.Add(int64(at - searched)) // something begins so every few KiB
		searched = at
		m, err := s.at(at, magics[key])
		if err != nil {
			return nil, err
		}
		if m != nil {
			list = append(list, m)
			at = int(m.End()) - 1
		}
		s.pass(at + 1)
	}
	return list, nil
}

// pass leaves out what begins before an offset: in a member, that is.
func (s *search) pass(at int) {
	for len(s.scattered) > 0 && int(s.scattered[0][0].Off) < at {
		s.scattered = s.scattered[1:]
	}
	for len(s.listed) > 0 && s.listed[0].At < at {
		s.listed = s.listed[1:]
	}
	s.next = len(s.b)
	if len(s.scattered) > 0 {
		s.next = min(s.next, int(s.scattered[0][0].Off))
	}
	if len(s.listed) > 0 {
		s.next = min(s.next, s.listed[0].At)
	}
}

// at returns the member at an offset, or that begins a little behind a magic number there, with those
// in its content: nil, if there is none.
func (s *search) at(at int, magics []magic) (*Member, error) {
	if len(s.scattered) > 0 && int(s.scattered[0][0].Off) == at {
		if m, err := s.gather(s.b, s.scattered[0], s.depth); m != nil || err != nil {
			return m, err
		}
	}
	if len(s.listed) > 0 && s.listed[0].At == at {
		return s.open(s.listed[0].number, s.listed[0].Found)
	}
	for _, g := range magics {
		if !bytes.HasPrefix(s.b[at:], []byte(g.text)) || s.Only != nil && !slices.Contains(s.Only, g.number) {
			continue
		}
		if g.table != nil {
			s.list(g, at)
			continue
		}
		found, ok := formats[g.number].Find(s.b[at:])
		if !ok {
			continue
		}
		found.At += at
		if m, err := s.open(g.number, found); m != nil || err != nil {
			return m, err
		}
	}
	return nil, nil
}

// maxTables is how many tables of images are read: each may take as long as its image, and
// their magic number has four bytes.
const maxTables = 64

// list remembers the members of a table that begins at an offset, unless it lies within another's.
func (s *search) list(g magic, at int) {
	if len(s.listed) > 0 || s.tables == maxTables {
		return
	}
	s.tables++
	for _, found := range g.table(s.b[at:]) {
		found.At += at
		s.listed = append(s.listed, listed{found, g.number})
	}
}

// open opens the member that was found, and what is in it: nil, if it is none.
func (s *search) open(n Number, found Found) (*Member, error) {
	m, err := s.Finder.open(s.b, n, found)
	if m != nil {
		m.Members, err = s.find(m.Content, s.depth-1)
	}
	if err != nil {
		return nil, err
	}
	return m, nil
}

// open opens the member that was found in b: nil, if it is none.
func (f *Finder) open(b []byte, n Number, found Found) (*Member, error) {
	if f.Count == 0 {
		return nil, nil
	}
	at := found.At
	rest := b[at:]
	if found.Len > 0 {
		rest = rest[:found.Len]
	}
	r, err := formats[n].Open(bytes.NewReader(rest), found.Params)
	if err != nil {
		return nil, ignoreData(err)
	}
	defer r.Close()
	limit := min(f.Content, int64(len(rest))*greatestRatio)
	content, err := f.load(io.LimitReader(opening{r, f.Progress}, limit+1))
	if err != nil {
		return nil, ignoreData(err)
	}
	m := &Member{Number: n, Off: int64(at), Len: int64(found.Len), OpenParams: found.Params, Content: content}
	if int64(len(content)) > limit {
		return nil, nil
	}
	if m.Len == 0 {
		m.Len = r.Used()
	}
	if m.Len < leastMember || m.Len > int64(len(rest)) || int64(len(content)) > m.Len*greatestRatio {
		return nil, nil
	}
	if len(found.Params) > MaxOpenParams {
		return nil, fmt.Errorf("%v: %d bytes of parameters", n, len(found.Params))
	}
	m.Stored = rest[:m.Len]
	if d, ok := formats[n].(doubtful); ok && !d.Intact(m.Stored, content) {
		return nil, nil
	}
	m.SHA256 = digest.Sum(m.Stored)
	f.Count--
	f.Content -= int64(len(content))
	return m, nil
}

// opening tells progress of content that there is no telling how much it is.
type opening struct {
	io.Reader
	stage *progress.Stage
}

func (o opening) Read(b []byte) (int, error) {
	n, err := o.Reader.Read(b)
	o.stage.Expect(int64(n))
	o.stage.Add(int64(n))
	return n, err
}

// load keeps content: in memory, if it is short.
func (f *Finder) load(r io.Reader) ([]byte, error) {
	var head bytes.Buffer
	_, err := io.CopyN(&head, r, smallContent)
	if err == io.EOF {
		return head.Bytes(), nil
	}
	if err != nil {
		return nil, err
	}
	return f.Load(io.MultiReader(&head, r))
}

func ignoreData(err error) error {
	if fault.IsData(err) {
		return nil
	}
	return err
}
