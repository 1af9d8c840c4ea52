// SPDX-License-Identifier: MIT

package bzip2

import (
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
type splitter struct {
	transformer
	coder
	column []byte  // the window's last column
	unit   []uint8 // the unit that each row starts in
	of     []uint8 // the unit of each byte
	spread []byte  // the last columns of parts, each where the part is

	cuts []cut
	cost [][]int // bits of the units from i to before j as a block; 0 if not known
}

// part is a range of units.
type part struct{ start, end int }

// lengths of blocks, in units, that are tried besides halves of halves.
var trialLengths = []int{1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192}

// split returns where the blocks of a window end, as numbers of units.
func (p *splitter) split(coded []byte, cuts []cut) []int {
	n := len(cuts)
	if n == 1 {
		return []int{1}
	}
	p.prepare(coded, cuts)

	// First by halves of halves, while that gains or is not far from it: this
	// tells about how large the blocks should be in which place.
	level := []part{{0, n}}
	p.evaluate(level)
	if p.noise(level[0]) {
		return []int{n}
	}
	for len(level) > 0 {
		var halves []part
		for _, q := range level {
			if m := (q.start + q.end) / 2; m > q.start {
				halves = append(halves, part{q.start, m}, part{m, q.end})
			}
		}
		p.evaluate(halves)
		level = level[:0]
		for ; len(halves) > 0; halves = halves[2:] {
			a, b := halves[0], halves[1]
			if p.cost[a.start][a.end]+p.cost[b.start][b.end] > p.cost[a.start][b.end]*103/100 {
				continue
			}
			for _, q := range halves[:2] {
				if !p.noise(q) {
					level = append(level, q)
				}
			}
		}
	}
	ends, bits := p.ends()

	// Then blocks of such sizes, and shorter ones, in more places. The denser the
	// material, the longer that takes and the less it gains.
	size := make([]int, n) // of the block that each unit is in; 0 where it is noise
	start := 0
	for _, end := range ends {
		if !p.noise(part{start, end}) {
			for u := start; u < end; u++ {
				size[u] = end - start
			}
		}
		start = end
	}
	places := 4
	if bits > 4*len(coded) {
		places = 2
	}
	for _, length := range trialLengths {
		step := max(1, length/places)
		for offset := 0; offset < length; offset += step {
			var parts []part
			for i := offset; i+length <= n; i += length {
				around := size[i : i+length]
				if p.cost[i][i+length] == 0 && length >= slices.Min(around)/8 && length <= 2*slices.Max(around) {
					parts = append(parts, part{i, i + length})
				}
			}
			p.evaluate(parts)
		}
	}
	ends, _ = p.ends()
	return ends
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

// evaluate estimates the costs of parts, which do not overlap.
func (p *splitter) evaluate(parts []part) {
	if len(parts) == 0 {
		return
	}
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

// ends returns the cheapest division of the window by the costs that are known,
// and what it costs.
func (p *splitter) ends() (ends []int, bits int) {
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
	return ends, best[n]
}
