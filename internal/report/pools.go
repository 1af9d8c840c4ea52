// SPDX-License-Identifier: MIT

package report

import (
	"slices"

	"swudelta/internal/fault"
)

// maxSpans bounds the spans of a delta, their uses, and the control entries of patches, together:
// up to 80 bytes of memory each.
const maxSpans = 8 << 20

// maxContent bounds the content of a member, in bytes.
const maxContent = 1 << 50

// pool is a number of bytes of the file that is for several spans, by their weights.
type pool struct {
	bytes  float64
	weight float64 // the sum of all uses
}

// use is a share of a pool.
type use struct {
	pool   *pool
	weight float64
}

// with returns uses and one more entry of a table.
func with(uses []use, table *pool) []use {
	if i := len(uses) - 1; i >= 0 && uses[i].pool == table {
		return uses
	}
	return append(slices.Clip(uses), use{table, 1})
}

// tracer collects the spans of one member after the other.
type tracer struct {
	spans []Span
	uses  [][]use // of each span
	count int     // of what maxSpans bounds, over all members
	ends  []ended
}

// ended is what was collected of a member.
type ended struct {
	member *Member
	uses   [][]use
}

// room counts n pieces, of which there may be maxSpans.
func (t *tracer) room(n int) error {
	if t.count += n; t.count > maxSpans {
		return fault.Dataf("the target consists of too many pieces")
	}
	return nil
}

// add appends a span of n bytes that comes from an offset in the source.
func (t *tracer) add(k Kind, n, from, changed int64, uses []use) error {
	if err := t.room(1 + len(uses)); err != nil {
		return err
	}
	off := int64(0)
	if i := len(t.spans) - 1; i >= 0 {
		off = t.spans[i].End()
	}
	if n > maxContent-off {
		return fault.Dataf("a member has more than %d bytes of content", int64(maxContent))
	}
	t.spans = append(t.spans, Span{Off: off, Len: n, Kind: k, Changed: changed, from: from})
	own := make([]use, len(uses))
	for i, u := range uses {
		own[i] = u
		u.pool.weight += u.weight
	}
	t.uses = append(t.uses, own)
	return nil
}

// end makes what was collected since the last end the spans of a member.
func (t *tracer) end(m *Member) {
	m.Spans = t.spans
	m.Size = 0
	if i := len(m.Spans) - 1; i >= 0 {
		m.Size = m.Spans[i].End()
	}
	t.ends = append(t.ends, ended{m, t.uses})
	t.spans, t.uses = nil, nil
}

// finish shares out the pools, and tells what was moved from what was kept.
func (t *tracer) finish() (list []*Member) {
	for _, e := range t.ends {
		for i, uses := range e.uses {
			for _, u := range uses {
				if u.pool.weight > 0 {
					e.member.Spans[i].Cost += u.pool.bytes * u.weight / u.pool.weight
				}
			}
		}
		e.member.settle()
		list = append(list, e.member)
	}
	return list
}

// settle tells what was moved from what was kept: most is where it was, but for what
// stands before the member.
func (m *Member) settle() {
	bytes := map[int64]int64{} // by displacement
	for _, s := range m.Spans {
		if s.copied() {
			bytes[s.from-s.Off] += s.Len
		}
	}
	most, best := int64(0), int64(-1)
	for d, n := range bytes {
		if n > best || n == best && d < most {
			most, best = d, n
		}
	}
	for i := range m.Spans {
		if s := &m.Spans[i]; s.copied() {
			if s.Kind = Kept; s.from-s.Off != most {
				s.Kind = Moved
			}
		}
	}
}

// copied reports whether the span is content of the source, as it is there.
func (s *Span) copied() bool { return s.from >= 0 && (s.Kind == Kept || s.Kind == Moved) }
