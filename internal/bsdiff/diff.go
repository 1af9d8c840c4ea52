// SPDX-License-Identifier: MIT

package bsdiff

import (
	"slices"

	"swudelta/internal/span"
)

// Options tune [Diff]. The zero value is the default.
type Options struct {
	Effort Effort
	// Progress is called with each number of bytes of both sides that were dealt with: those of
	// the old side while it is indexed.
	Progress func(n int64)
}

// Effort trades time for size. On file system images the levels are about half
// a percent of the diff stream and half as much time again apart.
type Effort int

// Levels of effort.
const (
	Default Effort = iota
	Fast
	Thorough
	// Quick has an index of few places only: of matches it finds one that is long, and one that is near.
	Quick
	// Unchanging has no index of steps either: tables of moved addresses cost more. What it finds is
	// part of the native format (package displace), and stays as it is.
	Unchanging
	// Quickest is like Unchanging, and is satisfied with shorter matches.
	Quickest
)

// sorts reports whether the longest matches are looked for.
func (e Effort) sorts() bool { return e < Quick }

// steps reports whether there is an index of steps.
func (e Effort) steps() bool { return e < Unchanging }

// Memory is what a patch takes with a Workspace, in bytes, for sides of that size of whose old
// side some is indexed: both sides, the indexes, the path, the streams of the patch twice and a half,
// and their encoders. An old side that repeats itself all over, or consists of tables, takes up to
// seven bytes more for each that is indexed.
func (e Effort) Memory(old, indexed, new int) int64 {
	const others = 16 << 20 // the path and the encoders, as measured
	index := 4 * int64(indexed)
	if e.sorts() {
		index = indexMemory(int64(indexed)) + int64(indexed) // for steps
	}
	return int64(old) + int64(old)/8 + index + int64(new)*7/2 + min(others, 16*int64(new))
}

// longRun is the length of matches from which on nothing else is looked for, in
// bytes.
func (e Effort) longRun() int {
	switch e {
	case Quickest:
		return 10
	case Fast, Quick, Unchanging:
		return 16
	case Thorough:
		return 32
	default:
		return 20
	}
}

// assemble makes the patch of a path.
func assemble(old, new []byte, path []segment) *Patch {
	extra, to := 0, len(new)
	for _, s := range path { // last one first
		if s.diag == extraDiag {
			extra += to - int(s.start)
		}
		to = int(s.start)
	}
	p := &Patch{Diff: make([]byte, 0, len(new)-extra), Extra: make([]byte, 0, extra)}
	var c Control
	pos := 0 // in old, behind what c adds
	end := func(next int) {
		c.Seek = int64(next - pos)
		if c != (Control{}) {
			p.Controls = append(p.Controls, c)
		}
		c = Control{}
		pos = next
	}
	for k := len(path) - 1; k >= 0; k-- {
		from, to, diag := int(path[k].start), len(new), path[k].diag
		if k > 0 {
			to = int(path[k-1].start)
		}
		if from == to {
			continue
		}
		if diag == extraDiag {
			p.Extra = append(p.Extra, new[from:to]...)
			c.Extra += int64(to - from)
			continue
		}
		if from+diag != pos || c.Extra != 0 {
			end(from + diag)
		}
		at := len(p.Diff)
		p.Diff = append(p.Diff, new[from:to]...)
		subtractBytes(p.Diff[at:], old[from+diag:to+diag])
		c.Add += int64(to - from)
		pos += to - from
	}
	end(pos)
	return p
}

// FreshRun is the default of [Patch.MoveFresh]: from how many bytes on a run of
// extra bytes is worth a second control entry, if the fresh bytes are coded as
// well as zstd -22 does it.
const FreshRun = 128

// CutFresh takes the runs of at least min extra bytes out of the patch: the
// returned patch makes what is left of the new side when they are cut out of it.
func (p *Patch) CutFresh(min int) (patch *Patch, runs []span.Range) {
	q := &Patch{Controls: slices.Clone(p.Controls), Diff: p.Diff, Extra: make([]byte, 0, len(p.Extra))}
	extra := p.Extra
	at := int64(0)
	for i, c := range p.Controls {
		at += c.Add
		if c.Extra >= int64(min) {
			runs = append(runs, span.Range{Off: at, Len: c.Extra})
			q.Controls[i].Extra = 0
		} else {
			q.Extra = append(q.Extra, extra[:c.Extra]...)
		}
		extra = extra[c.Extra:]
		at += c.Extra
	}
	return q, runs
}

// MoveFresh moves runs of at least min extra bytes out of the patch, or, if min
// is 0, those that it pays for: they are returned as fresh, to be put behind the
// old side (of oldSize bytes), from where the returned patch copies them with a
// diff of zeros.
func (p *Patch) MoveFresh(oldSize int64, min int) (patch *Patch, fresh []byte) {
	if min <= 0 {
		min = FreshRun
	}
	moved, runs := int64(0), 0
	for _, c := range p.Controls {
		if c.Extra >= int64(min) {
			moved += c.Extra
			runs++
		}
	}
	q := &Patch{Controls: make([]Control, 0, len(p.Controls)+runs), Diff: make([]byte, 0, int64(len(p.Diff))+moved), Extra: make([]byte, 0, int64(len(p.Extra))-moved)}
	fresh = make([]byte, 0, moved)
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
			q.Diff = q.Diff[:len(q.Diff)+int(c.Extra)] // zeros
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
