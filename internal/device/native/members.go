// SPDX-License-Identifier: MIT

package native

import (
	"bytes"
	"math"
	"sort"
	"time"

	"swudelta/internal/content"
	"swudelta/internal/member"
	format "swudelta/internal/native"
)

// The coded bytes that pieces of the new side take, about. Which members are opened is decided by
// them before anything is coded: what is opened for nothing wins little, and loses less.
const (
	costOp         = 3   // of an operation
	costDifference = 0.5 // of a byte that differs
	// costLiteral is of a byte of literals, in a member that its own format makes as small as it
	// could: the model of literals does better than that.
	costLiteral = 0.9
)

// made is a piece of the target: how it is made, and what its coded form takes, about.
type made struct {
	segments []format.Segment
	ops      []format.Op
	news     [][]byte
	cost     float64
}

func (m *made) plain(data []byte, ops ...format.Op) {
	if len(data) == 0 {
		return
	}
	if i := len(m.segments) - 1; i >= 0 && m.segments[i].Format == 0 {
		m.segments[i].Length += int64(len(data))
	} else {
		m.segments = append(m.segments, format.Segment{Length: int64(len(data))})
	}
	m.news = append(m.news, data)
	m.add(ops)
}

// close adds a member, with what its content is made of.
func (m *made) close(x *member.Member, inner made) {
	m.segments = append(m.segments, format.Segment{Format: x.Number, Length: x.Len, Params: x.CloseParams, Parts: inner.segments})
	m.news = append(m.news, inner.news...)
	m.add(inner.ops)
	m.cost += inner.cost + float64(len(x.CloseParams)+2*costOp)
}

func (m *made) add(ops []format.Op) {
	for _, o := range ops {
		m.ops = join(m.ops, o)
	}
}

// chooser decides which members of the target are opened. It has what is left of the operations
// that make the content of all of them, and of that content.
type chooser struct {
	*writer
	ops     []format.Op
	content []byte
	explain func(format string, args ...any)
}

// choose makes the next segments. ratio is what their content takes in coded literals, for each byte.
func (c *chooser) choose(list []content.Segment, ratio float64) (out made) {
	for _, s := range list {
		if s.Member == nil {
			data := c.content[:s.Len]
			ops := c.next(s.Len)
			out.plain(data, ops...)
			out.cost += c.cost(ops, data, ratio)
			continue
		}
		m := s.Member
		if m.Number == member.Pieces { // its content is the same bytes
			inner := c.choose(s.Parts, ratio)
			c.explain("%v of %d bytes at %d: put together", m.Number, m.Len, m.Off)
			out.close(m, inner)
			continue
		}
		inner := c.choose(s.Parts, costLiteral*float64(m.Len)/float64(len(m.Content)))
		cost := inner.cost + float64(len(m.CloseParams)+2*costOp)
		if cost >= float64(m.Len) {
			c.explain("%v of %d bytes at %d: stays closed: its content of %d would take %.0f", m.Number, m.Len, m.Off, len(m.Content), cost)
			out.plain(m.Stored, format.Op{Kind: format.Literal, Len: m.Len})
			out.cost += float64(m.Len)
			continue
		}
		c.explain("%v of %d bytes at %d: opened: content %d, closing %d, saves about %.0f", m.Number, m.Len, m.Off, len(m.Content), len(m.CloseParams), float64(m.Len)-cost)
		out.close(m, inner)
	}
	return out
}

// closing is how much processor time it takes to close segments, about, and that of what makes up most
// of size bytes.
func closing(list []format.Segment, size int64) (all, outer time.Duration, err error) {
	for _, s := range list {
		inner, _, err := closing(s.Parts, math.MaxInt64)
		if err != nil {
			return 0, 0, err
		}
		content := int64(0)
		for _, p := range s.Parts {
			content += p.Length
		}
		own, err := member.CloseTime(s.Format, s.Params, s.Length, content)
		if err != nil {
			return 0, 0, err
		}
		all += own + inner
		if s.Length > size/2 {
			outer = own
		}
	}
	return all, outer, nil
}

// next takes the operations for the next n bytes, and the content that they make.
func (c *chooser) next(n int64) (out []format.Op) {
	c.content = c.content[n:]
	for n > 0 {
		o := c.ops[0]
		if o.Len <= n {
			c.ops = c.ops[1:]
		} else {
			rest := o
			rest.Len -= n
			if o.Len = n; o.Kind == format.Copy {
				rest.Old += n
			}
			c.ops[0] = rest
		}
		out = append(out, o)
		n -= o.Len
	}
	return out
}

// cost is what operations take that make data.
func (c *chooser) cost(ops []format.Op, data []byte, ratio float64) (sum float64) {
	for _, o := range ops {
		switch sum += costOp; o.Kind {
		case format.Literal:
			sum += min(ratio, 1) * float64(o.Len)
		case format.Copy:
			sum += costDifference * float64(c.different(o.Old, data[:o.Len]))
		}
		data = data[o.Len:]
	}
	return sum
}

// different counts the bytes of the old side from at on that are not those of data.
func (w *writer) different(at int64, data []byte) (n int) {
	i := sort.Search(len(w.ends), func(i int) bool { return w.ends[i] > at })
	for ; len(data) > 0; i++ {
		old := w.olds[i]
		old = old[int64(len(old))-(w.ends[i]-at):]
		k := min(len(old), len(data))
		for j := 0; j < k; j += compared {
			a, b := old[j:min(j+compared, k)], data[j:min(j+compared, k)]
			if bytes.Equal(a, b) {
				continue
			}
			for x := range a {
				if a[x] != b[x] {
					n++
				}
			}
		}
		at, data = at+int64(k), data[k:]
	}
	return n
}

// compared is how many bytes are compared at a time.
const compared = 1 << 10

// prune leaves out streams that nothing is copied from: each would be opened for nothing on the
// device, and take up scratch space.
func (w *writer) prune() {
	keep := make([]bool, len(w.Old))   // the stream has a part in the old side
	needed := make([]bool, len(w.Old)) // or another one needs it
	for _, o := range w.Ops {
		if o.Kind != format.Copy {
			continue
		}
		for i := sort.Search(len(w.ends), func(i int) bool { return w.ends[i] > o.Old }); i < len(w.ends); i++ {
			keep[w.owner[i]] = true
			if w.ends[i] >= o.Old+o.Len {
				break
			}
		}
	}
	for i := len(w.Old) - 1; i >= 0; i-- {
		needed[i] = needed[i] || keep[i]
		if p := w.Old[i].Parent; needed[i] && p > 0 {
			needed[p-1] = true
		}
	}
	number := make([]int, len(w.Old)+1) // of streams, as Parent has them
	var streams []format.Stream
	for i, s := range w.Old {
		if !needed[i] {
			continue
		}
		s.Parent = number[s.Parent]
		s.Hidden = !keep[i]
		streams = append(streams, s)
		number[i+1] = len(streams)
	}
	moved := make([]int64, len(w.ends)) // by how much content of a stream moves
	var olds [][]byte
	removed := int64(0)
	for i, b := range w.olds {
		moved[i] = removed
		if keep[w.owner[i]] {
			olds = append(olds, b)
		} else {
			removed += int64(len(b))
		}
	}
	for i := range w.Ops {
		if o := &w.Ops[i]; o.Kind == format.Copy {
			o.Old -= moved[sort.Search(len(w.ends), func(i int) bool { return w.ends[i] > o.Old })]
		}
	}
	w.Old, w.olds = streams, olds
}
