// SPDX-License-Identifier: MIT

package bsdiff

import (
	"math"
	"math/bits"
)

// Options tune [Diff]. The zero value is the default.
type Options struct{}

// Diff finds a patch that makes new out of old; sa is the suffix array of old.
// Both sides hold at most [MaxSize] bytes. The result depends on nothing but
// the arguments, none of which is kept or changed, so several new files may be
// matched against one old side at once.
//
// The patch is the one with the least estimated cost, in bits after compression,
// among those that the candidates allow. Call old position minus new position a
// diagonal: as long as a patch stays on one it pays for bytes that differ, a
// change of diagonal pays for a control entry, and a byte that is taken from the
// extra stream pays for itself. The candidates are the diagonals of the longest
// matches, kept for as long as they may be of use; over them the best path is
// found exactly, by dynamic programming (Viterbi).
func Diff(old []byte, sa []int32, new []byte, opt Options) *Patch {
	if len(sa) != len(old) || len(old) > MaxSize || len(new) > MaxSize {
		panic("bsdiff: sizes out of range")
	}
	m := &matcher{
		index: newIndex(old, sa),
		old:   old,
		new:   new,
		lit:   newLiterals(),
		fresh: state{prev: none, id: none},
	}
	if len(old) > 0 {
		m.states = append(m.states, state{prev: none, id: none})
	}
	m.scan()
	return m.patch()
}

// Costs are in sixteenths of a bit. They were fitted by what the patches of real
// file system images came to, compressed.
const (
	bit        = 16
	costDiff   = 9 * bit  // a byte that differs behind one that does not
	costDiffs  = 136      // a byte that differs behind another: more than it would cost as an extra byte
	costSwitch = 48 * bit // a control entry but for its seek
	costExtra  = 12 * bit // more, if extra bytes come before it
	costNever  = 1 << 30  // a byte from outside of the old side
)

func costSeek(distance int64) int64 {
	if distance < 0 {
		distance = -distance
	}
	return 4*bit + int64(bits.Len64(uint64(distance)))*bit
}

const (
	none      = -1
	maxStates = 16
	longRun   = 24  // matches from which on nothing else is looked for, in bytes
	history   = 512 // how far back a diagonal may be entered
	patience  = 256 // after how many useless bytes a diagonal is dropped
	neighbors = 4   // suffixes on either side that are candidates
)

// state is the best path that ends on a diagonal, or (matcher.fresh) among the
// extra bytes.
type state struct {
	diag  int64
	cost  int64
	start int  // where in new it came onto the diagonal
	prev  int  // the segment before, an index of matcher.segments, or none
	id    int  // the segment for this one, when it has been needed, or none
	run   int  // bytes of new up to here are known to be equal
	used  int  // where it was last better than a change from another one
	diff  bool // the last byte differed
}

// segment is a part of a path: from start to the start of the next one the path
// stays on diag, or takes extra bytes.
type segment struct {
	start int
	prev  int
	diag  int64
}

const extraDiag = math.MinInt64

// source is what a diagonal can be entered from at a position.
type source struct {
	best  state
	fresh state
}

type matcher struct {
	*index
	old, new []byte
	lit      *literals
	states   []state
	fresh    state
	best     int // index of the cheapest of states
	segments []segment
	ring     [history]source
	ringFrom int
}

// segmentOf makes the segment for a state.
func (m *matcher) segmentOf(s *state, diag int64) int {
	if s.id == none {
		s.id = len(m.segments)
		m.segments = append(m.segments, segment{s.start, s.prev, diag})
	}
	return s.id
}

func (m *matcher) same(d int64, i int) bool {
	p := int64(i) + d
	return p >= 0 && p < int64(len(m.old)) && m.old[p] == m.new[i]
}

func (m *matcher) runFrom(d int64, i int) int {
	p := int64(i) + d
	if p < 0 || p >= int64(len(m.old)) {
		return i
	}
	return i + matchLen(m.old[p:], m.new[i:])
}

func (m *matcher) scan() {
	n := len(m.new)
	search := 0
	for i := 0; i < n; {
		if i >= search {
			search = i + m.search(i)
		}
		if len(m.states) > 0 {
			b := &m.states[m.best]
			if b.run <= i {
				b.run = m.runFrom(b.diag, i)
			}
			if b.run-i >= longRun {
				search = max(search, b.run)
				if to := m.jump(i); to > i {
					i = to
					m.ringFrom = i
					continue
				}
			}
		}
		m.step(i)
		i++
	}
}

// jump passes over the bytes from i on that no path in question pays for, and
// returns where it ends.
func (m *matcher) jump(i int) int {
	b := &m.states[m.best]
	if m.fresh.cost < b.cost+costExtra {
		return i
	}
	to := b.run
	for k := range m.states {
		s := &m.states[k]
		if k == m.best || s.cost >= b.cost+costSwitch+costSeek(s.diag-b.diag) {
			continue
		}
		if s.run <= i {
			s.run = m.runFrom(s.diag, i)
		}
		to = min(to, s.run)
	}
	if to-i < longRun/2 {
		return i
	}
	id := m.segmentOf(b, b.diag)
	b.diff = false
	for k := range m.states {
		s := &m.states[k]
		limit := b.cost + costSwitch + costSeek(s.diag-b.diag)
		if k == m.best || s.cost < limit {
			s.diff = false
			continue
		}
		*s = state{diag: s.diag, cost: limit, start: to, prev: id, id: none, run: s.run, used: s.used}
	}
	m.fresh = state{cost: b.cost + costExtra, start: to, prev: id, id: none}
	return to
}

// step takes byte i on all paths.
func (m *matcher) step(i int) {
	r := &m.ring[i%history]
	r.fresh = m.fresh
	r.best.cost = math.MaxInt64 / 2
	if len(m.states) > 0 {
		r.best = m.states[m.best]
	}
	m.fresh.cost += m.lit.cost(m.new, i, m.fresh.cost <= r.best.cost)
	best := 0
	for k := range m.states {
		s := &m.states[k]
		if i < s.run || m.same(s.diag, i) {
			s.diff = false
		} else if p := int64(i) + s.diag; p < 0 || p >= int64(len(m.old)) {
			s.cost += costNever
		} else if s.diff {
			s.cost += costDiffs
		} else {
			s.cost += costDiff
			s.diff = true
		}
		if s.cost < m.states[best].cost {
			best = k
		}
	}
	m.best = best
	if len(m.states) == 0 {
		return
	}
	b := &m.states[best]
	if c := b.cost + costExtra; c < m.fresh.cost {
		m.fresh = state{cost: c, start: i + 1, prev: m.segmentOf(b, b.diag), id: none}
	}
	from := int64(0) // the old position at which fresh bytes began, less their new one
	if m.fresh.prev != none {
		from = m.segments[m.fresh.prev].diag
	}
	gap := int64(i + 1 - m.fresh.start)
	keep := m.states[:0]
	for k := range m.states {
		s := m.states[k]
		viaBest := b.cost + costSwitch + costSeek(s.diag-b.diag)
		viaFresh := m.fresh.cost + costSwitch + costSeek(s.diag-from+gap)
		if k == best {
			viaBest = math.MaxInt64
		}
		if s.cost < min(viaBest, viaFresh) {
			s.used = i
		} else if viaBest <= viaFresh {
			s = state{diag: s.diag, cost: viaBest, start: i + 1, prev: m.segmentOf(b, b.diag), id: none, run: s.run, used: s.used}
		} else {
			s = state{diag: s.diag, cost: viaFresh, start: i + 1, prev: m.segmentOf(&m.fresh, extraDiag), id: none, run: s.run, used: s.used}
		}
		if i-s.used > patience && k != best {
			continue
		}
		if k == best {
			m.best = len(keep)
		}
		keep = append(keep, s)
	}
	m.states = keep
}

// search looks for the longest matches of what starts at i, and returns how far
// the next search should be.
func (m *matcher) search(i int) int {
	s := m.new[i:]
	if !m.has(s) {
		return 1
	}
	rank, left, right := m.find(s)
	longest := max(left, right)
	if longest < gram {
		return 1
	}
	type candidate struct {
		diag int64
		len  int
	}
	var list [2 * neighbors]candidate
	found := list[:0]
	least := max(gram, longest/2)
	for k, n := 0, left; k < neighbors && n >= least; k++ {
		found = append(found, candidate{int64(m.sa[rank-1-k]) - int64(i), n})
		if rank-2-k < 0 {
			break
		}
		n = matchLen(s[:n], m.old[m.sa[rank-2-k]:])
	}
	for k, n := 0, right; k < neighbors && n >= least; k++ {
		found = append(found, candidate{int64(m.sa[rank+k]) - int64(i), n})
		if rank+k+1 >= len(m.sa) {
			break
		}
		n = matchLen(s[:n], m.old[m.sa[rank+k+1]:])
	}
	for _, c := range found {
		m.enter(c.diag, i, i+c.len)
	}
	if longest >= longRun {
		return longest
	}
	return 1
}

// enter makes a diagonal a candidate, at the best of the last few positions.
func (m *matcher) enter(diag int64, i, run int) {
	for k := range m.states {
		if s := &m.states[k]; s.diag == diag {
			s.run = max(s.run, run)
			s.used = i
			return
		}
	}
	best := state{diag: diag, cost: math.MaxInt64, id: none, run: run, used: i}
	consider := func(e int, b, f *state, rest int64) {
		if b != nil {
			if c := b.cost + costSwitch + costSeek(diag-b.diag) + rest; c < best.cost {
				best.cost, best.start, best.prev = c, e, m.segmentOf(b, b.diag)
			}
		}
		from := int64(0)
		if f.prev != none {
			from = m.segments[f.prev].diag
		}
		if c := f.cost + costSwitch + costSeek(diag-from+int64(e-f.start)) + rest; c < best.cost {
			best.cost, best.start, best.prev = c, e, m.segmentOf(f, extraDiag)
		}
	}
	var b *state
	if len(m.states) > 0 {
		b = &m.states[m.best]
	}
	consider(i, b, &m.fresh, 0)
	rest := int64(0)
	diff := false
	for e := i - 1; e >= m.ringFrom && e > i-history && rest < 400*bit && int64(e)+diag >= 0; e-- {
		if m.same(diag, e) {
			diff = false
		} else if diff {
			rest += costDiffs
		} else {
			rest += costDiff
			diff = true
		}
		r := &m.ring[e%history]
		b := &r.best
		if b.cost >= math.MaxInt64/2 {
			b = nil
		}
		consider(e, b, &r.fresh, rest)
	}
	if len(m.states) < maxStates {
		m.states = append(m.states, best)
	} else {
		worst := -1
		for k := range m.states {
			if k != m.best && (worst < 0 || m.states[k].used < m.states[worst].used) {
				worst = k
			}
		}
		m.states[worst] = best
	}
	if k := len(m.states) - 1; m.states[k].cost < m.states[m.best].cost {
		m.best = k
	}
}

// patch builds the streams for the best path.
func (m *matcher) patch() *Patch {
	n := len(m.new)
	last := m.segmentOf(&m.fresh, extraDiag)
	if len(m.states) > 0 && m.states[m.best].cost <= m.fresh.cost {
		b := &m.states[m.best]
		last = m.segmentOf(b, b.diag)
	}
	var path []segment
	for id := last; id != none; id = m.segments[id].prev {
		path = append(path, m.segments[id])
	}
	p := &Patch{}
	var c Control
	pos := int64(0) // old position
	end := func(next int64) {
		c.Seek = next - pos
		if c != (Control{}) {
			p.Controls = append(p.Controls, c)
		}
		c = Control{}
		pos = next
	}
	for k := len(path) - 1; k >= 0; k-- {
		s := path[k]
		to := n
		if k > 0 {
			to = path[k-1].start
		}
		if s.start >= to {
			continue
		}
		if s.diag == extraDiag {
			p.Extra = append(p.Extra, m.new[s.start:to]...)
			c.Extra += int64(to - s.start)
			continue
		}
		if at := int64(s.start) + s.diag; at != pos || c.Extra != 0 {
			end(at)
		}
		for i := s.start; i < to; i++ {
			var o byte
			if q := int64(i) + s.diag; q >= 0 && q < int64(len(m.old)) {
				o = m.old[q]
			}
			p.Diff = append(p.Diff, m.new[i]-o)
		}
		c.Add += int64(to - s.start)
		pos += int64(to - s.start)
	}
	end(pos)
	return p
}

// FreshRun is the default of [Patch.MoveFresh]: from how many bytes on a run of
// extra bytes is worth a second control entry, if the fresh bytes are coded as
// well as zstd -22 does it.
const FreshRun = 128

// MoveFresh moves runs of at least min extra bytes out of the patch, or, if min
// is 0, those that it pays for: they are returned as fresh, to be put behind the
// old side (of oldSize bytes), from where the returned patch copies them with a
// diff of zeros.
func (p *Patch) MoveFresh(oldSize int64, min int) (patch *Patch, fresh []byte) {
	if min <= 0 {
		min = FreshRun
	}
	q := &Patch{}
	diff, extra := p.Diff, p.Extra
	add := func(c Control) {
		if k := len(q.Controls) - 1; k >= 0 && q.Controls[k].Extra == 0 && q.Controls[k].Seek == 0 {
			q.Controls[k].Add += c.Add
			q.Controls[k].Extra = c.Extra
			q.Controls[k].Seek = c.Seek
			return
		}
		q.Controls = append(q.Controls, c)
	}
	pos := int64(0)
	for _, c := range p.Controls {
		q.Diff = append(q.Diff, diff[:c.Add]...)
		next := pos + c.Add + c.Seek
		if c.Extra >= int64(min) {
			at := oldSize + int64(len(fresh))
			fresh = append(fresh, extra[:c.Extra]...)
			q.Diff = append(q.Diff, make([]byte, c.Extra)...)
			add(Control{Add: c.Add, Seek: at - pos - c.Add})
			add(Control{Add: c.Extra, Seek: next - at - c.Extra})
		} else {
			q.Extra = append(q.Extra, extra[:c.Extra]...)
			add(c)
		}
		diff, extra = diff[c.Add:], extra[c.Extra:]
		pos = next
	}
	return q, fresh
}
