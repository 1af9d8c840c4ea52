// SPDX-License-Identifier: MIT

package bsdiff

import (
	"encoding/binary"
	"math"
	"math/bits"

	"swudelta/internal/span"
)

// Numbers that limit the search for time; doc/engine.md, "Tuned constants", says on what they were
// tuned, and how flat the optima are.
const (
	none         = -1
	maxKnown     = 48      // diagonals that are candidates at a time
	idleLimit    = 4096    // bytes after which a diagonal that is of no use is dropped
	history      = 512     // how far back a diagonal may be entered, in bytes
	coarseAfter  = 256     // extra bytes at a time after which the search gets coarser
	maxStride    = 8       // bytes from one search to the next, then
	maxSegments  = 1 << 20 // segments up to which none is dropped
	common       = 64      // matches up to which one nearby is looked for, in bytes
	similar      = 64      // suffixes on either side among which it is looked for
	reenterMatch = 4       // bytes that must match before an idle diagonal is entered
	coherent     = 8       // cost statistics are updated while at most so many of the last 32 bytes differ
	backCost     = 400 * bit
)

// state is the best path that ends on a diagonal or, as matcher.fresh, among
// the extra bytes.
type state struct {
	cost   int64
	diag   int
	start  int32 // where in new it came onto the diagonal
	prev   int32 // the segment before
	id     int32 // its own segment, once something has followed it, or none
	run    int32 // bytes of new up to here are known to be equal
	used   int32 // where it was last better than a change from another path
	at     int32 // the last byte that differed
	gap    uint8 // class of the distance from that to the one before it
	recent recent
	last   uint32 // a bit for each of the last 32 bytes: it differed
}

// idle is a diagonal whose path is not cheaper than entering it anew.
type idle struct {
	diag   int
	used   int32
	recent recent
}

// slot is a number below 256 for a diagonal.
func slot(diag int) uint8 { return uint8(uint32(diag) * 0x9e3779b1 >> 24) }

// recent holds the latest differences on a diagonal, with their distances.
type recent [8]uint16

// has reports whether a difference came lately, and notes it.
func (r *recent) has(gap int, v byte) bool {
	key := uint16(min(gap, 255))<<8 | uint16(v)
	for i, k := range r {
		if k == key {
			copy(r[1:i+1], r[:i])
			r[0] = key
			return true
		}
	}
	copy(r[1:], r[:])
	r[0] = key
	return false
}

// segment is a part of a path: from start to the start of the next one the path
// stays on a diagonal, or takes extra bytes.
type segment struct {
	diag  int
	start int32
	prev  int32
}

// extraDiag is the diagonal of a segment of extra bytes.
const extraDiag = math.MinInt

// junction is what a diagonal can be entered from at some position: the best
// diagonal, and the extra bytes.
type junction struct {
	cost, freshCost       int64 // cost is negative where there is no diagonal
	diag                  int
	id, start, prev       int32 // as those of a state
	freshStart, freshPrev int32
}

// finder finds places of the old side that bytes of the new side may come from.
type finder struct {
	sorted   *index // of these two one is nil
	hashed   *grams
	filter   *filter
	old, new []byte
	copies   []Copy  // that are still to come
	longRun  int     // matches from which on nothing else is looked for, in bytes
	steps    []steps // by stride; none: they are not looked for
	// Which of the 64 strings from hasFrom on may be in the old side.
	has     uint64
	hasFrom int
	// At which of the 64 positions from endsFrom on windows of steps end.
	ends     [len(strides)]uint64
	endsFrom int
}

// paths are those that may become part of the cheapest one.
type paths struct {
	active    []state // on diagonals
	best      int     // the cheapest of them
	fresh     state   // the path that takes extra bytes
	idle      []idle
	idleSlots [256]uint8 // how many of them have a diagonal of each slot
	segments  []segment
	lastFresh int32             // the latest segment of extra bytes, or none
	ring      [history]junction // of the positions up to the current one
	ringFrom  int
}

// matcher finds the cheapest path.
type matcher struct {
	finder
	paths
	diffs    *differences
	literals *literals
	progress func(n int64)
	reported int // offset in the new side up to which progress was told; negative: in the old side
}

// reportEvery is how many bytes of the new side go by between two reports of progress.
const reportEvery = 4 << 10

func newMatcher(old, new []byte, opt Options) *matcher {
	m := &matcher{
		finder:   finder{old: old, new: new, longRun: opt.Effort.longRun(), hasFrom: -64, endsFrom: -64},
		paths:    paths{fresh: state{prev: none, id: none, at: -history}, lastFresh: none},
		diffs:    newDifferences(),
		literals: newLiterals(),
		progress: opt.Progress,
		reported: -len(old),
	}
	if len(old) > 0 {
		// A patch starts on diagonal 0, free of charge.
		m.active = append(m.active, state{prev: none, id: none, at: -history})
	}
	return m
}

// report tells progress that everything up to an offset in the new side was dealt with.
func (m *matcher) report(i int) {
	if m.progress != nil {
		m.progress(int64(i - m.reported))
	}
	m.reported = i
}

// path returns the segments of the best path, last one first.
func (m *matcher) path() []segment {
	search, limit := 0, maxSegments
	for i := 0; i < len(m.new); {
		if i-m.reported >= reportEvery {
			m.report(i)
		}
		if end := m.known(i); end > 0 {
			search = max(search, end-gram/2)
		}
		if i >= search {
			search = i + m.search(i)
		}
		m.findSteps(i)
		if len(m.active) > 0 {
			b := &m.active[m.best]
			m.follow(b, i)
			if int(b.run)-i >= gram {
				// A better match must begin before the end of this one.
				search = max(search, int(b.run)-gram/2)
			}
			if int(b.run)-i >= m.longRun {
				search = max(search, int(b.run))
				if to := m.jump(i); to > i {
					i = to
					m.ringFrom = i
					continue
				}
			}
		}
		m.step(i)
		i++
		if len(m.segments) >= limit {
			m.collect()
			m.ringFrom = i
			limit = max(maxSegments, 2*len(m.segments))
		}
	}
	m.report(len(m.new))
	end := m.freshSegment(m.fresh.start, m.fresh.prev)
	if len(m.active) > 0 && m.active[m.best].cost <= m.fresh.cost {
		end = m.segmentOf(&m.active[m.best])
	}
	var path []segment
	for ; end != none; end = m.segments[end].prev {
		path = append(path, m.segments[end])
	}
	return path
}

// collect drops the segments that no path contains. It makes the ring invalid.
func (m *matcher) collect() {
	live := make([]bool, len(m.segments))
	mark := func(id int32) {
		if id != none {
			live[id] = true
		}
	}
	for k := range m.active {
		mark(m.active[k].id)
		mark(m.active[k].prev)
	}
	mark(m.fresh.prev)
	// What comes before a segment stands before it.
	for k := len(live) - 1; k >= 0; k-- {
		if live[k] {
			mark(m.segments[k].prev)
		}
	}
	moved := make([]int32, len(m.segments))
	move := func(id *int32) {
		if *id != none {
			*id = moved[*id]
		}
	}
	n := int32(0)
	for k, s := range m.segments {
		if live[k] {
			move(&s.prev)
			m.segments[n], moved[k] = s, n
			n++
		}
	}
	m.segments = m.segments[:n]
	for k := range m.active {
		move(&m.active[k].id)
		move(&m.active[k].prev)
	}
	move(&m.fresh.prev)
	m.lastFresh = none
}

// segmentOf returns the segment that a path on a diagonal ends with.
func (m *matcher) segmentOf(s *state) int32 {
	if s.id == none {
		s.id = int32(len(m.segments))
		m.segments = append(m.segments, segment{s.diag, s.start, s.prev})
	}
	return s.id
}

// freshSegment returns the segment of extra bytes from start on, behind prev.
func (m *matcher) freshSegment(start, prev int32) int32 {
	if k := m.lastFresh; k != none && m.segments[k].start == start && m.segments[k].prev == prev {
		return k
	}
	m.lastFresh = int32(len(m.segments))
	m.segments = append(m.segments, segment{extraDiag, start, prev})
	return m.lastFresh
}

// follow finds out how far from i on the bytes on a diagonal are equal.
func (f *finder) follow(s *state, i int) {
	if int(s.run) > i {
		return
	}
	if p := i + s.diag; p >= 0 && p < len(f.old) {
		s.run = int32(i + span.CommonPrefix(f.old[p:], f.new[i:]))
	}
}

// change is the cost of a control entry that leads from a diagonal to another.
func change(from, to int) int64 { return costSwitch + costSeek(to-from) }

// changeFresh is the cost of a control entry behind n extra bytes that
// themselves came behind the segment prev.
func (m *matcher) changeFresh(prev int32, n, to int) int64 {
	from := 0
	if prev != none {
		from = m.segments[prev].diag
	}
	return costSwitch + costSeek(to-from+n)
}

// jump passes over the bytes from i on that cost no candidate path anything, and returns
// where it ends: at i, if there are none.
func (m *matcher) jump(i int) int {
	b := &m.active[m.best]
	if m.fresh.cost < b.cost+costExtra {
		return i
	}
	to := int(b.run)
	for k := range m.active {
		s := &m.active[k]
		if k != m.best && s.cost < b.cost+change(b.diag, s.diag) {
			m.follow(s, i)
			to = min(to, int(s.run))
		}
	}
	if to-i < m.longRun/2 {
		return i
	}
	id := m.segmentOf(b)
	b.last = 0
	m.keep(func(k int, s *state) bool {
		return k == m.best || s.cost < b.cost+change(b.diag, s.diag)
	})
	b = &m.active[m.best]
	m.fresh = state{cost: b.cost + costExtra, start: int32(to), prev: id, at: b.at, gap: b.gap}
	return to
}

// keep makes those active states idle for which f is false.
func (m *matcher) keep(f func(k int, s *state) bool) {
	best, n := m.best, 0
	for k := range m.active {
		s := &m.active[k]
		if !f(k, s) {
			m.idle = append(m.idle, idle{s.diag, s.used, s.recent})
			m.idleSlots[slot(s.diag)]++
			continue
		}
		if k == best {
			m.best = n
		}
		n++
		if n <= k {
			m.active[n-1] = *s
		}
	}
	m.active = m.active[:n]
}

// junction is the junction at the current position.
func (m *matcher) junction() junction {
	j := junction{cost: -1, freshCost: m.fresh.cost, freshStart: m.fresh.start, freshPrev: m.fresh.prev}
	if len(m.active) > 0 {
		b := &m.active[m.best]
		j.cost, j.diag, j.id, j.start, j.prev = b.cost, b.diag, b.id, b.start, b.prev
	}
	return j
}

// step takes byte i on all paths.
func (m *matcher) step(i int) {
	j := &m.ring[i%history]
	*j = m.junction()
	if len(m.active) == 0 {
		m.fresh.cost += m.literals.cost(m.new, i, true)
		return
	}
	b := &m.active[m.best]
	m.fresh.cost += m.literals.cost(m.new, i, m.fresh.cost <= b.cost)
	if int(b.run) <= i {
		m.reenter(i, j)
	}

	best, bestGap, bestLast, bestValue := 0, 0, uint8(0), byte(0)
	for k := range m.active {
		s := &m.active[k]
		gap, last, v := i-int(s.at), s.gap, byte(0)
		s.last <<= 1
		if i >= int(s.run) {
			if p := i + s.diag; p < 0 || p >= len(m.old) {
				s.cost += costNever
			} else {
				v = m.new[i] - m.old[p]
			}
		}
		if v == 0 {
			s.cost += m.diffs.same(gap, last)
		} else {
			c := m.diffs.differ(gap, last, v)
			if s.recent.has(gap, v) {
				c = min(c, costRecent)
			}
			s.cost += c
			s.gap = uint8(gapClass(gap))
			s.at = int32(i)
			s.last |= 1
		}
		if k == 0 || s.cost < m.active[best].cost {
			best, bestGap, bestLast, bestValue = k, gap, last, v
		}
	}
	m.best = best
	b = &m.active[best]
	// Learn what differences cost from paths that are likely to be taken, and from paths with
	// few differences even if extra bytes look cheaper: the estimate may just lack samples.
	if b.cost < m.fresh.cost || bits.OnesCount32(b.last) <= coherent {
		m.diffs.add(bestGap, bestLast, bestValue)
	}

	next := int32(i + 1)
	if c := b.cost + costExtra; c < m.fresh.cost {
		m.fresh = state{cost: c, start: next, prev: m.segmentOf(b), at: b.at, gap: b.gap}
	}
	length := int(next - m.fresh.start)
	if c := m.fresh.cost + m.changeFresh(m.fresh.prev, length, b.diag); c <= b.cost {
		*b = state{
			cost: c, diag: b.diag, start: next, prev: m.freshSegment(m.fresh.start, m.fresh.prev), id: none,
			run: b.run, used: b.used, at: m.fresh.at + int32(length), gap: m.fresh.gap, last: b.last, recent: b.recent,
		}
	} else {
		b.used = next
	}
	if len(m.active) > 1 {
		base := b.cost
		diag := b.diag
		m.keep(func(k int, s *state) bool {
			if k == best {
				return true
			}
			better := s.cost < base+change(diag, s.diag) && s.cost < m.fresh.cost+m.changeFresh(m.fresh.prev, length, s.diag)
			if better {
				s.used = next
			}
			return better
		})
	}
}

// reenter enters the idle diagonals on which the next few bytes are equal, and
// drops those that have not been of use for long.
func (m *matcher) reenter(i int, j *junction) {
	if i+reenterMatch > len(m.new) {
		return
	}
	want := binary.LittleEndian.Uint32(m.new[i:])
	n := 0
	for k := range m.idle {
		d := &m.idle[k]
		if i-int(d.used) > idleLimit {
			m.idleSlots[slot(d.diag)]--
			continue
		}
		p := i + d.diag
		if p < 0 || p+reenterMatch > len(m.old) || binary.LittleEndian.Uint32(m.old[p:]) != want {
			if n < k {
				m.idle[n] = *d
			}
			n++
			continue
		}
		m.idleSlots[slot(d.diag)]--
		s := state{cost: math.MaxInt64, diag: d.diag, id: none, run: int32(i + reenterMatch), used: d.used, recent: d.recent, at: int32(i - history)}
		m.enterAt(&s, int32(i), j, 0)
		m.active = append(m.active, s)
	}
	m.idle = m.idle[:n]
}

// enterAt has a path enter the diagonal of s at a position, if that is cheaper
// than what s holds; rest is what the diagonal costs from there on.
func (m *matcher) enterAt(s *state, at int32, j *junction, rest int64) {
	if j.cost >= 0 {
		if c := j.cost + change(j.diag, s.diag) + rest; c < s.cost {
			if j.id == none {
				j.id = int32(len(m.segments))
				m.segments = append(m.segments, segment{j.diag, j.start, j.prev})
			}
			s.cost, s.start, s.prev = c, at, j.id
		}
	}
	if c := j.freshCost + m.changeFresh(j.freshPrev, int(at-j.freshStart), s.diag) + rest; c < s.cost {
		s.cost, s.start, s.prev = c, at, m.freshSegment(j.freshStart, j.freshPrev)
	}
}

// search looks for the longest matches of what starts at i, and returns how far
// on the next search should be.
func (m *matcher) search(i int) int {
	if i-m.hasFrom >= 64 {
		m.hasFrom, m.has = i, m.filter.filtered(m.new[i:])
	}
	// Where there has been nothing but extra bytes for long, only every few bytes
	// are looked for; the way back finds the beginning of a match.
	stride := 1
	if len(m.active) == 0 || m.fresh.cost < m.active[m.best].cost {
		stride = min(1+(i-int(m.fresh.start))/coarseAfter, maxStride)
	}
	if m.has>>(i-m.hasFrom)&1 == 0 {
		return 1
	}
	longest := 0
	if m.hashed != nil {
		longest = m.searchHashed(i)
	} else {
		longest = m.searchSorted(i)
	}
	if longest >= m.longRun {
		return longest
	}
	return stride
}

// searchSorted makes the strings candidates that are most like what starts at i. It
// returns the length of the longest match, or less than gram.
func (m *matcher) searchSorted(i int) int {
	s, x := m.new[i:], m.sorted
	at := x.bucket(s)
	rank, left, right := x.find(at, s)
	longest := max(left, right)
	if longest < gram {
		return longest
	}
	// What follows the strings most like this one is like what follows it.
	if left >= gram {
		m.enter(int(at[rank-1])-i, i, i+left)
	}
	if right >= gram {
		m.enter(int(at[rank])-i, i, i+right)
	}
	// Where there are many, as in tables, those near the place where the best
	// path is belong to the same table.
	if longest < common && len(m.active) > 0 {
		first, second := nearest(at, rank, i+m.active[m.best].diag)
		for _, p := range [...]int32{first, second} {
			if n := span.CommonPrefix(s[:longest], x.text[p:]); n >= gram {
				m.enter(int(p)-i, i, i+n)
			}
		}
	}
	return longest
}

// nearest returns which two of the suffixes around a rank are nearest to a
// position.
func nearest(at []int32, rank, position int) (first, second int32) {
	least, next := math.MaxInt, math.MaxInt
	first = at[max(rank-1, 0)]
	second = first
	for _, p := range at[max(rank-similar, 0):min(rank+similar, len(at))] {
		d := int(p) - position
		if d < 0 {
			d = -d
		}
		if d >= next {
			continue // as nearly all
		}
		if d < least {
			second, next = first, least
			first, least = p, d
		} else {
			second, next = p, d
		}
	}
	return first, second
}

// enter makes a diagonal a candidate whose bytes from i to run are equal. It is
// entered at the best of the last few positions.
func (m *matcher) enter(diag, i, run int) {
	for k := range m.active {
		if s := &m.active[k]; s.diag == diag {
			s.run = max(s.run, int32(run))
			return
		}
	}
	if m.idleSlots[slot(diag)] > 0 {
		for k := range m.idle {
			if d := &m.idle[k]; d.diag == diag {
				d.used = int32(i) // it is entered where it is of use
				return
			}
		}
	}
	s := state{cost: math.MaxInt64, diag: diag, id: none, run: int32(run), used: int32(i), at: int32(i - history)}
	now := m.junction()
	m.enterAt(&s, int32(i), &now, 0)
	// Going back, the diagonal is best entered where its bytes begin to be equal.
	rest, later := int64(0), i+gapFree
	from := max(m.ringFrom, i-history+1, -diag)
	for e := i - 1; e >= from && rest < backCost; e-- {
		v := m.new[e] - m.old[e+diag]
		if gap := later - e; v != 0 {
			rest += m.diffs.differ(gap, uint8(min(gap, gapExact)), v)
			if later > i {
				s.at = int32(e)
			}
			later = e
			continue
		} else if gap <= gapExact {
			rest += m.diffs.same(gap, uint8(gap))
		}
		if e == from || m.new[e-1] != m.old[e-1+diag] {
			m.enterAt(&s, int32(e), &m.ring[e%history], rest)
		}
	}
	if len(m.active)+len(m.idle) >= maxKnown && len(m.idle) > 0 {
		oldest := 0
		for k := range m.idle {
			if m.idle[k].used < m.idle[oldest].used {
				oldest = k
			}
		}
		m.idleSlots[slot(m.idle[oldest].diag)]--
		m.idle[oldest] = m.idle[len(m.idle)-1]
		m.idle = m.idle[:len(m.idle)-1]
	}
	m.active = append(m.active, s)
	if k := len(m.active) - 1; s.cost < m.active[m.best].cost {
		m.best = k
	}
}
