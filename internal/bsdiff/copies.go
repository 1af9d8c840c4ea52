// SPDX-License-Identifier: MIT

package bsdiff

import (
	"slices"

	"swudelta/internal/span"
)

// Copy is a run of Len bytes that lies at Old in the old side and at New in the
// new side.
type Copy struct{ New, Old, Len int }

// Workspace is memory that serves one patch after the other.
type Workspace struct {
	index index
	grams grams
	steps [len(strides)]steps
	ends  []uint64 // where windows end, for one of steps after the other
}

// Diff is [Workspace.Diff] of whole files, of which nothing is known.
func Diff(old, new []byte, opt Options) *Patch {
	var w Workspace
	return w.Diff(old, new, nil, nil, opt)
}

// Diff finds a patch that makes new out of old. Both sides hold at most [MaxSize] bytes. The
// result depends on nothing but the arguments, none of which is kept or changed.
//
// The copies, which are sorted by New and do not overlap in it, are known before: they are
// candidates, and what they have of the old side is of no other use. It need not be indexed, nor
// need the ranges of the old side that are skipped, from which nothing is expected.
//
// The patch is the one with the least estimated cost, in bits after compression,
// among those that the candidates allow. Call old position minus new position a
// diagonal: as long as a patch stays on one it pays for bytes that differ, a
// change of diagonal pays for a control entry, and a byte that is taken from the
// extra stream pays for itself. The candidates are the diagonals of the longest
// matches, kept for as long as they may be of use; the best path over them is
// found by dynamic programming (Viterbi). What bytes cost is learnt on the way.
//
// [Effort.Memory] is what it takes.
func (w *Workspace) Diff(old, new []byte, copies []Copy, skipped []span.Range, opt Options) *Patch {
	if len(old) > MaxSize || len(new) > MaxSize {
		panic("bsdiff: sizes out of range")
	}
	m := newMatcher(old, new, opt)
	m.copies = copies
	w.equip(m, remainder(len(old), copies, skipped), opt.Effort)
	return assemble(old, new, m.path())
}

// equip gives m the indexes of ranges of the old side.
func (w *Workspace) equip(m *matcher, ranges []span.Range, effort Effort) {
	const all = len(strides) + rounds + 1
	left, parts := -m.reported, all // what is not reported yet of the old side
	passed := func() {
		parts--
		m.report(-left / all * parts)
	}
	if effort.steps() {
		w.ends = cleared(w.ends, len(m.old)/64+1)
		for k, stride := range strides {
			w.steps[k].fill(m.old, ranges, stride, w.ends)
			passed()
		}
		m.steps = w.steps[:]
	}
	if effort.sorts() {
		w.index.fill(m.old, ranges, passed)
		m.sorted, m.filter = &w.index, &w.index.filter
	} else {
		w.grams.fill(m.old, ranges)
		m.hashed, m.filter = &w.grams, &w.grams.filter
	}
	m.report(0)
}

// edge is what the ends of a copy leave of the old side on either side, in bytes,
// for what begins or ends near them.
const edge = 256

// remainder returns the ranges of an old side that are indexed.
func remainder(size int, copies []Copy, skipped []span.Range) []span.Range {
	taken := slices.Clone(copies)
	for _, r := range skipped {
		taken = append(taken, Copy{Old: int(r.Off), Len: int(r.Len)})
	}
	slices.SortFunc(taken, func(a, b Copy) int { return a.Old - b.Old })
	var ranges []span.Range
	done := 0
	add := func(to int) {
		if done < to {
			ranges = append(ranges, span.Range{Off: int64(done), Len: int64(to - done)})
		}
	}
	for _, c := range taken {
		if from, to := c.Old+edge, c.Old+c.Len-edge; from < to && to > done {
			add(from)
			done = max(done, to)
		}
	}
	add(size)
	return ranges
}

// Indexed is how many bytes of an old side [Workspace.Diff] indexes.
func Indexed(size int, copies []Copy, skipped []span.Range) int {
	return total(remainder(size, copies, skipped))
}

// total is how many bytes ranges have together.
func total(ranges []span.Range) int {
	n := int64(0)
	for _, r := range ranges {
		n += r.Len
	}
	return int(n)
}

// known makes the copy that i lies in a candidate. It returns where the copy
// ends, or 0 if there is none.
func (m *matcher) known(i int) int {
	for len(m.copies) > 0 && m.copies[0].New+m.copies[0].Len <= i {
		m.copies = m.copies[1:]
	}
	if len(m.copies) == 0 || m.copies[0].New > i {
		return 0
	}
	c := m.copies[0]
	m.copies = m.copies[1:]
	m.enter(c.Old-c.New, i, c.New+c.Len)
	return c.New + c.Len
}
