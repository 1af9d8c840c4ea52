// SPDX-License-Identifier: MIT

package bzip2

import (
	"cmp"
	"math"
	"slices"
)

// splitter decides where the blocks of a window end: of the ways to divide the
// window's units among blocks, the one whose estimated costs are least.
//
// The window is sorted once. The rows of a part of it, taken out of all rows in
// their order, are the part's own sorted rotations, but for the few that differ
// only beyond the part's end. So one walk over the rows gives the last columns of
// any number of parts that do not overlap.
//
// There are too many parts to evaluate them all. Tried are divisions into thirds of
// thirds, and then what differs little from the best one found.
type splitter struct {
	transformer
	coder
	column []byte  // the window's last column
	unit   []uint8 // the unit that each row starts in
	of     []uint8 // the unit of each byte
	spread []byte  // the last columns of parts, each where the part is

	cuts []cut
	cost [][]int // bits of the units from i to before j as a block; 0 if not known

	passed func() // called after each step
}

// part is a range of units.
type part struct{ start, end int }

// thirds divides a part of at least two units; of two, it makes two.
func (q part) thirds() (parts []part) {
	at := q.start
	for i := 1; i <= 3; i++ {
		if end := q.start + (q.end-q.start)*i/3; end > at {
			parts = append(parts, part{at, end})
			at = end
		}
	}
	return parts
}

// split returns where the blocks of a window end, as numbers of units. Ends are refined
// with the given shares, one after the other.
func (p *splitter) split(coded []byte, cuts []cut, shares []int) []int {
	n := len(cuts)
	if n == 1 {
		return []int{1}
	}
	p.prepare(coded, cuts)
	p.passed()
	all := part{0, n}
	p.evaluate([]part{all})
	if p.noise(all) {
		return []int{n}
	}
	p.explore(all)
	for _, share := range shares {
		p.refine(share)
	}
	return p.ends()
}

// explore evaluates the thirds of a part, the thirds of those and so on, while that
// gains or is not far from it. This tells about how large the blocks should be in which
// place.
func (p *splitter) explore(q part) {
	for level := []part{q}; len(level) > 0; {
		var parts []part
		for _, q := range level {
			parts = append(parts, q.thirds()...)
		}
		p.evaluate(parts)
		var next []part
		for _, q := range level {
			bits := 0
			for _, r := range q.thirds() {
				bits += p.cost[r.start][r.end]
			}
			if bits > p.cost[q.start][q.end]*101/100 {
				continue
			}
			for _, r := range q.thirds() {
				if r.end-r.start > 1 && !p.noise(r) {
					next = append(next, r)
				}
			}
		}
		level = next
	}
}

// refine evaluates what is near the cheapest division that is known: for any two
// neighbours, one block of both, and the two with the place between them moved to
// either side, by the given share of the block there. Three times, with shares that get
// smaller, this gains three quarters of what all parts that there are would gain, at
// about a hundredth of the work.
func (p *splitter) refine(share int) {
	var parts []part
	a, b := 0, 0
	for _, c := range p.ends() {
		if b > 0 && !(p.noise(part{a, b}) && p.noise(part{b, c})) {
			parts = append(parts, part{a, c})
			if m := b - max(1, (b-a)/share); m > a {
				parts = append(parts, part{a, m}, part{m, c})
			}
			if m := b + max(1, (c-b)/share); m < c {
				parts = append(parts, part{a, m}, part{m, c})
			}
		}
		a, b = b, c
	}
	p.evaluate(parts)
}

// prepare sorts the window.
func (p *splitter) prepare(coded []byte, cuts []cut) {
	n := len(coded)
	p.cuts = cuts
	last, _ := p.sort(coded)
	p.column = append(p.column[:0], last...)
	p.of = p.of[:0]
	for u, c := range cuts {
		for len(p.of) < c.coded {
			p.of = append(p.of, uint8(u))
		}
	}
	p.unit = slices.Grow(p.unit[:0], n)[:n]
	for i, q := range p.sa[:n] {
		at := int(q) + p.turn
		if at >= n {
			at -= n
		}
		p.unit[i] = p.of[at]
	}
	p.spread = slices.Grow(p.spread[:0], n)[:n]
	p.cost = make([][]int, len(cuts))
	for i := range p.cost {
		p.cost[i] = make([]int, len(cuts)+1)
	}
}

// start returns where unit u starts in the window.
func (p *splitter) start(u int) int {
	if u == 0 {
		return 0
	}
	return p.cuts[u-1].coded
}

// noise reports whether a block of the part would not be smaller than what is in
// it. Compressed files, of which there are many in images, take the longest and
// gain nothing by being cut.
func (p *splitter) noise(q part) bool {
	return p.cost[q.start][q.end] >= 8*(p.start(q.end)-p.start(q.start))
}

// evaluate estimates those costs of parts that are not known.
func (p *splitter) evaluate(parts []part) {
	parts = slices.DeleteFunc(parts, func(q part) bool { return p.cost[q.start][q.end] != 0 })
	slices.SortFunc(parts, func(a, b part) int { return cmp.Or(a.start-b.start, a.end-b.end) })
	parts = slices.Compact(parts)
	var apart []part // from which one walk gives the columns
	for len(parts) > 0 {
		apart = apart[:0]
		rest := parts[:0]
		end := 0
		for _, q := range parts {
			if q.start >= end {
				apart = append(apart, q)
				end = q.end
			} else {
				rest = append(rest, q)
			}
		}
		p.walk(apart)
		p.passed()
		parts = rest
	}
}

// walk estimates the costs of parts, which do not overlap.
func (p *splitter) walk(parts []part) {
	const none = math.MaxUint8
	var in [256]uint8 // the part that a unit is in
	for u := range in {
		in[u] = none
	}
	var next [256]int // where the next byte of a part goes
	for i, q := range parts {
		next[i] = p.start(q.start)
		for u := q.start; u < q.end; u++ {
			in[u] = uint8(i)
		}
	}
	for i, u := range p.unit {
		if q := in[u]; q != none {
			p.spread[next[q]] = p.column[i]
			next[q]++
		}
	}
	for _, q := range parts {
		last := p.spread[p.start(q.start):p.start(q.end)]
		used := bytesIn(last)
		syms, alpha := p.rank(last, used)
		p.cost[q.start][q.end] = headerBits + used.bits() + p.estimate(syms, alpha)
	}
}

// ends returns the cheapest division of the window by the costs that are known.
func (p *splitter) ends() (ends []int) {
	n := len(p.cuts)
	best := make([]int, n+1) // cost of the units before i
	from := make([]int, n+1) // where the last block of those starts
	for j := 1; j <= n; j++ {
		best[j] = math.MaxInt
		for i := range j {
			if c := p.cost[i][j]; c != 0 && best[i] != math.MaxInt && best[i]+c < best[j] {
				best[j], from[j] = best[i]+c, i
			}
		}
	}
	for j := n; j > 0; j = from[j] {
		ends = append(ends, j)
	}
	slices.Reverse(ends)
	return ends
}
