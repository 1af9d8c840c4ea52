// SPDX-License-Identifier: MIT

// Package report tells where the bytes of a delta go: which parts of the file they are in, and
// what of the target they are for.
//
// A delta is traced (pamz.go, native.go): each byte of the target's content comes from somewhere,
// of which a Span says what kind of place that is. The bytes of the file lie in pools, such as a
// compressed stream, and each span takes a share of the pools that it uses. A stream is compressed
// as a whole, so the shares are estimates; the pools are exact, and the sum of all costs is the
// size of the file. Layouts give spans the names of files.
//
// A Report is shown as a page for a browser (html.go) or as text (text.go).
package report

import (
	"cmp"
	"slices"

	"swudelta/internal/layout"
)

// Kind is where content comes from.
type Kind uint8

// Kinds of spans, from what costs least to what costs most.
const (
	Zero    Kind = iota // zeros
	Kept                // from the source, where most of it is
	Moved               // from elsewhere in the source, or from an earlier place of the target
	Opened              // a compressed member, made again from its content
	Patched             // from the source, with differences
	New                 // in the delta
	kinds
)

// String names the kind.
func (k Kind) String() string {
	return [kinds]string{"zero", "kept", "moved", "opened", "patched", "new"}[k]
}

// Span is a range of a member's content that has one origin.
type Span struct {
	Off, Len int64
	Kind     Kind
	Changed  int64   // bytes that differ from the source, of Patched; 0 where that is not known
	Cost     float64 // bytes of the delta

	from int64 // in the source, of what came from there unchanged or with differences; else -1
}

// End is the offset behind the span.
func (s Span) End() int64 { return s.Off + s.Len }

// Member is a part of the target with content of its own.
type Member struct {
	Name   string
	Off    int64  // in the target
	Stored int64  // bytes of the target
	Closed string // how the content is compressed there; empty: it is not
	Size   int64  // of the content, which the spans tile
	Spans  []Span
	Layout *layout.Layout // of the content, if it is known
}

// Part is a part of the file.
type Part struct {
	Name  string
	Bytes int64
}

// Report is what is known of a delta.
type Report struct {
	Name           string // of the file
	Format         string
	Size           int64 // of the file, in bytes
	Source, Target Content
	Memory, Tmp    int64  // what a device needs, in bytes
	Needs          string // what kind of device that is
	Account        []Part // of the file; the sum is Size
	Members        []*Member
}

// Content is a file by its length and digest.
type Content struct {
	Length int64
	SHA256 string
}

// Total is what some content costs, by kind.
type Total struct {
	Bytes [kinds]int64
	Cost  [kinds]float64
}

func (t *Total) add(s Span) {
	t.Bytes[s.Kind] += s.Len
	t.Cost[s.Kind] += s.Cost
}

// Len is the sum of all kinds, in bytes of content.
func (t *Total) Len() (n int64) {
	for _, v := range t.Bytes {
		n += v
	}
	return n
}

// Sum is the sum of all kinds, in bytes of the delta.
func (t *Total) Sum() (sum float64) {
	for _, v := range t.Cost {
		sum += v
	}
	return sum
}

// Total returns the sum over all members. What of the file is for nothing in particular, such as
// its header, is not in it.
func (r *Report) Total() (t Total) {
	for _, m := range r.Members {
		for _, s := range m.Spans {
			t.add(s)
		}
	}
	return t
}

// Item is something of the target that has a name, with its part of the delta.
type Item struct {
	Name string
	Total
	Reason string
}

// eachPart calls each for the parts of spans in a range, with their share of the cost.
func eachPart(spans []Span, off, n int64, each func(Span)) {
	i, _ := slices.BinarySearchFunc(spans, off, func(s Span, at int64) int { return cmp.Compare(s.End(), at+1) })
	for ; i < len(spans) && spans[i].Off < off+n; i++ {
		each(spans[i].cut(off, n))
	}
}

// cut returns the part of the span in a range, with its share of the cost.
func (s Span) cut(off, n int64) Span {
	from, to := max(s.Off, off), min(s.End(), off+n)
	part := s
	part.Off, part.Len = from, to-from
	if s.from >= 0 {
		part.from += from - s.Off
	}
	if part.Len < s.Len {
		share := float64(part.Len) / float64(s.Len)
		part.Cost = s.Cost * share
		part.Changed = int64(float64(s.Changed) * share)
	}
	return part
}

// Label names what lies in a range of the target, and returns it. What is stored as it is may have
// been a part of more. It is nil, if the range is no part of one member.
func (r *Report) Label(off, stored int64, name string) *Member {
	for i, m := range r.Members {
		if off < m.Off || off+stored > m.Off+m.Stored || m.Closed != "" && m.Stored > stored {
			continue
		}
		if m.Closed != "" {
			m.Name = name
			return m
		}
		before, named, behind := m.part(m.Off, off), m.part(off, off+stored), m.part(off+stored, m.Off+m.Stored)
		named.Name = name
		r.Members = slices.Replace(r.Members, i, i+1, slices.DeleteFunc([]*Member{before, named, behind}, func(m *Member) bool { return m.Size == 0 })...)
		return named
	}
	return nil
}

// part returns a range of the target that lies in the member, which is stored as it is.
func (m *Member) part(from, to int64) *Member {
	p := &Member{Name: "target at " + Size(from), Off: from, Stored: to - from, Size: to - from}
	eachPart(m.Spans, from-m.Off, to-from, func(s Span) {
		s.Off -= from - m.Off
		p.Spans = append(p.Spans, s)
	})
	p.settle()
	return p
}

// Cells divides the content of all members into about n cells of the same size, each in one
// member, and returns what each has.
func (r *Report) Cells(n int) (list []Cell) {
	total := int64(0)
	for _, m := range r.Members {
		total += m.Size
	}
	size := int64(4 << 10)
	for size < (total+int64(n)-1)/int64(n) {
		size *= 2
	}
	for _, m := range r.Members {
		for at := int64(0); at < m.Size; at += size {
			c := Cell{Member: m, Off: at, Len: min(size, m.Size-at)}
			eachPart(m.Spans, at, c.Len, c.add)
			list = append(list, c)
		}
	}
	return list
}

// Cell is a range of a member's content.
type Cell struct {
	*Member
	Off, Len int64
	Total
}

// Kind is what most of the cell is.
func (c *Cell) Kind() (best Kind) {
	for k := range kinds {
		if c.Bytes[k] > c.Bytes[best] {
			best = k
		}
	}
	return best
}
