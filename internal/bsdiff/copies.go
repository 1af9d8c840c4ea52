// SPDX-License-Identifier: MIT

package bsdiff

import (
	"slices"
	"sort"

	"swudelta/internal/span"
	"swudelta/internal/suffix"
)

// Copy is a run of Len bytes that lies at Old in the old side and at New in the
// new side.
type Copy struct{ New, Old, Len int }

// Workspace is memory that serves one patch after the other.
type Workspace struct {
	text  []byte
	sa    []int32
	index index
	grams grams
	steps [len(strides)]steps
	ends  []uint64 // where windows end, for one of steps after the other
}

// Diff finds a patch as the function [Diff] does. The copies, which are sorted by
// New and do not overlap in it, are known before: they are candidates, and what
// they have of the old side is of no other use. It need not be sorted, which is
// what large old sides cost most of the time; nor are the unsorted ranges of the
// old side, from which nothing is expected.
func (w *Workspace) Diff(old, new []byte, copies []Copy, unsorted []span.Range, opt Options) *Patch {
	if len(old) > MaxSize || len(new) > MaxSize {
		panic("bsdiff: sizes out of range")
	}
	parts := remainder(len(old), copies, unsorted)
	text := old
	if len(parts) != 1 || parts[0].n < len(old) {
		w.text = slices.Grow(w.text[:0], total(parts))
		for _, p := range parts {
			w.text = append(w.text, old[p.old:p.old+p.n]...)
		}
		text = w.text
	}
	m := newMatcher(old, new, opt)
	m.parts, m.copies = parts, copies
	if opt.Effort.sorts() {
		at, done := m.reported, int64(0)
		w.sa = suffix.ArrayProgress(w.sa, text, func(n int64) {
			done += n
			m.report(at + int(done*sortShare/16))
		})
	}
	w.equip(m, text, w.sa, opt.Effort)
	return assemble(old, new, m.path())
}

// sortShare is how many sixteenths of what is sorted of the old side are reported meanwhile; the
// rest is while the indexes are made.
const sortShare = 12

// equip gives m the indexes of a text, whose suffix array is sa, if the effort needs one.
func (w *Workspace) equip(m *matcher, text []byte, sa []int32, effort Effort) {
	const all = len(strides) + 2
	left, parts := -m.reported, all // what is not reported yet of the old side
	passed := func() {
		parts--
		m.report(-left / all * parts)
	}
	if effort.steps() {
		w.ends = cleared(w.ends, len(text)/64+1)
		for k, stride := range strides {
			w.steps[k].fill(text, stride, w.ends)
			passed()
		}
		m.steps = w.steps[:]
	}
	if effort.sorts() {
		w.index.fill(text, sa)
		passed()
		w.index.addAll(text)
		m.sorted, m.filter = &w.index, &w.index.filter
	} else {
		w.grams.fill(text)
		m.hashed, m.filter = &w.grams, &w.grams.filter
	}
	m.report(0)
}

// edge is what the ends of a copy leave of the old side on either side, in bytes,
// for what begins or ends near them.
const edge = 256

// part is a range of the old side that is sorted.
type part struct {
	at  int // offset in the sorted text
	old int // offset in the old side
	n   int // bytes
}

// remainder returns the parts of an old side that are sorted.
func remainder(size int, copies []Copy, unsorted []span.Range) []part {
	taken := slices.Clone(copies)
	for _, r := range unsorted {
		taken = append(taken, Copy{Old: int(r.Off), Len: int(r.Len)})
	}
	slices.SortFunc(taken, func(a, b Copy) int { return a.Old - b.Old })
	var parts []part
	at, done := 0, 0
	add := func(to int) {
		if done < to {
			parts = append(parts, part{at, done, to - done})
			at += to - done
		}
	}
	for _, c := range taken {
		if from, to := c.Old+edge, c.Old+c.Len-edge; from < to && to > done {
			add(from)
			done = max(done, to)
		}
	}
	add(size)
	return parts
}

// total is how many bytes parts have together.
func total(parts []part) int {
	if len(parts) == 0 {
		return 0
	}
	last := parts[len(parts)-1]
	return last.at + last.n
}

// oldAt returns where a position of the sorted text lies in the old side, and how
// many bytes from there on are sorted.
func (f *finder) oldAt(p int) (at, room int) {
	if f.parts == nil {
		return p, len(f.old) - p
	}
	k := sort.Search(len(f.parts), func(i int) bool { return f.parts[i].at > p }) - 1
	q := f.parts[k]
	return q.old + p - q.at, q.at + q.n - p
}

// sortedAt returns the position of the sorted text that is next to one of the old
// side.
func (f *finder) sortedAt(p int) int {
	if len(f.parts) == 0 {
		return p
	}
	k := max(sort.Search(len(f.parts), func(i int) bool { return f.parts[i].old > p })-1, 0)
	q := f.parts[k]
	return q.at + min(max(p-q.old, 0), q.n)
}

// match makes a position of the sorted text a candidate; the first n bytes there equal
// new[i:]. It returns the length of the match in the old side.
func (m *matcher) match(p, i, n int) int {
	at, room := m.oldAt(p)
	if n >= room {
		n = span.CommonPrefix(m.old[at:], m.new[i:]) // across the end of the part, or not
	}
	if n >= gram {
		m.enter(at-i, i, i+n)
	}
	return n
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
