// SPDX-License-Identifier: MIT

package match

import (
	"cmp"
	"math"
	"slices"
)

const (
	// placeUnit is the granularity in which the place of material is looked for, in
	// bytes.
	placeUnit = 4 << 10
	// displacementSlack is the difference, in bytes, up to which displacements count as the same.
	displacementSlack = 1 << 20
	// minMoved is the least that is worth being put elsewhere, in bytes.
	minMoved = 4 << 10
	// displacementCost is how many more anchors another displacement must have before material
	// is put elsewhere. Of 1 to 24, tried on shuffled images, 12 and 24 made the smallest
	// deltas.
	displacementCost = 12
	// gapCost is the same where material is torn apart anyway.
	gapCost = 1
	// maxStates is how many displacements the search keeps for each unit.
	maxStates = 16
)

// vote: n anchors agree on this displacement (old offset minus new offset).
type vote struct {
	displacement int
	n            int32 // 0: unused slot
}

// votes are the displacements that most anchors of a unit of the target have, found in one
// pass (Misra and Gries, 1982).
type votes [3]vote

func (v *votes) add(displacement int, n int32) {
	free, least := 0, int32(math.MaxInt32)
	for i := range v {
		if v[i].n > 0 && sameDisplacement(v[i].displacement, displacement) {
			v[i].n += n
			return
		}
		if v[i].n < least {
			free, least = i, v[i].n
		}
	}
	least = min(least, n)
	for i := range v {
		v[i].n -= least
	}
	if least == 0 || n > least {
		v[free] = vote{displacement, n - least}
	}
}

func sameDisplacement(a, b int) bool { return a-b < displacementSlack && b-a < displacementSlack }

// unit is a piece of material that lies in one placeUnit of the target.
type unit struct {
	piece
	displacement int
	known        bool // from anchors, not from neighbouring units
	follows      bool // belongs together with the unit before
}

// arrangement is another order of material.
type arrangement struct {
	order    []piece // that of the old side
	unplaced []piece // material without a known place
	places   []piece // where order lies in the old side (off), in the order of the target
}

// arrange returns material in the order in which the old side has it. Unplaced are long
// stretches without a known place between others that do not belong together. The material
// comes in groups that do. ask adds votes about what may be unplaced.
func arrange(groups [][]piece, v []votes, ask func(unresolved [][]unit)) (a arrangement) {
	var units []unit
	for _, group := range groups {
		follows := false
		for _, m := range group {
			for m.n > 0 {
				n := min(m.n, (m.at/placeUnit+1)*placeUnit-m.at)
				units = append(units, unit{piece: piece{at: m.at, n: n}, follows: follows})
				m.at, m.n = m.at+n, m.n-n
				follows = true
			}
		}
	}
	found, unresolved := segments(units, v)
	ask(unresolved)
	for _, s := range unresolved {
		more, unplaced := segments(s, v)
		found = append(found, more...)
		for _, l := range unplaced {
			for _, u := range l {
				a.unplaced = append(a.unplaced, u.piece)
			}
		}
	}
	for _, s := range found {
		for _, u := range s {
			u.off = u.at + u.displacement
			a.places = append(a.places, u.piece)
		}
	}
	slices.SortFunc(a.places, func(a, b piece) int { return cmp.Compare(a.at, b.at) })
	// What lies side by side in both is not torn apart.
	var runs []Range // of places
	for i, p := range a.places {
		if k := len(runs) - 1; k >= 0 && a.places[i-1].end() == p.at && sameDisplacement(a.places[i-1].off-a.places[i-1].at, p.off-p.at) {
			runs[k].Len++
		} else {
			runs = append(runs, Between(i, i+1))
		}
	}
	byPlace := func(x, y Range) int { return cmp.Compare(a.places[x.Off].off, a.places[y.Off].off) }
	if len(a.unplaced) == 0 && slices.IsSortedFunc(runs, byPlace) {
		return arrangement{}
	}
	slices.SortStableFunc(runs, byPlace)
	for _, r := range runs {
		for _, p := range a.places[r.Off:r.End()] {
			a.order = append(a.order, piece{at: p.at, n: p.n})
		}
	}
	a.order, a.unplaced = joined(a.order), joined(a.unplaced)
	return a
}

// segments cuts units into those that have moved together, and unresolved: stretches of
// at least minMoved bytes between them without a known place.
func segments(units []unit, v []votes) (found, unresolved [][]unit) {
	done := 0 // end of what is in found or unresolved
	// resolve divides the units from done to to, whose place is not known, between found and
	// unresolved, and returns where the next segment begins.
	resolve := func(to int) int {
		s := units[done:to]
		size := 0
		for _, u := range s {
			size += u.n
		}
		k := len(found) - 1
		switch {
		case len(s) == 0:
		case size >= minMoved || k < 0 && to == len(units):
			unresolved = append(unresolved, s)
		case k < 0:
			for i := range s {
				s[i].displacement = units[to].displacement
			}
			return done
		default:
			for i := range s {
				s[i].displacement = units[done-1].displacement
			}
			found[k] = found[k][:len(found[k])+len(s)]
		}
		return to
	}
	for _, s := range displacements(units, v) {
		first := slices.IndexFunc(units[s.Off:s.End()], func(u unit) bool { return u.known })
		if first < 0 {
			continue
		}
		last := s.End() - 1
		for !units[last].known {
			last--
		}
		begin := resolve(s.Off + first)
		found = append(found, units[begin:last+1])
		done = last + 1
	}
	resolve(len(units))
	return found, unresolved
}

// displacements says by how much each unit has most likely moved: as most anchors say, but that
// each change costs some. It returns the ranges of units without a change.
func displacements(units []unit, v []votes) []Range {
	type state struct {
		displacement int
		score        int32
		prev         int // index of the state of the unit before
		known        bool
		begins       bool // another displacement than that of from
	}
	const noDisplacement = math.MaxInt / 2
	columns := make([][]state, len(units))
	before := []state{{displacement: noDisplacement}} // best first
	for i, u := range units {
		cost := int32(gapCost)
		if u.follows {
			cost = displacementCost
		}
		if before[0].displacement == noDisplacement {
			cost = 0
		}
		other := before[0].score - cost
		var column []state
		here := v[u.at/placeUnit]
		for k, s := range before {
			if s.score <= other && k > 0 {
				break
			}
			s.prev, s.known, s.begins = k, false, false
			for j := range here {
				if h := &here[j]; h.n > 0 && sameDisplacement(h.displacement, s.displacement) {
					s.displacement, s.known = h.displacement, true
					s.score += h.n
					h.n = 0
				}
			}
			column = append(column, s)
		}
		for _, h := range here {
			if h.n > 0 {
				column = append(column, state{h.displacement, other + h.n, 0, true, true})
			}
		}
		slices.SortStableFunc(column, func(a, b state) int { return cmp.Compare(b.score, a.score) })
		column = column[:min(len(column), maxStates)]
		columns[i], before = column, column
	}
	var out []Range
	to, best := len(units), 0
	for i := len(units) - 1; i >= 0; i-- {
		s := columns[i][best]
		units[i].displacement, units[i].known = s.displacement, s.known
		if s.begins || i == 0 {
			out = append(out, Between(i, to))
			to = i
		}
		best = s.prev
	}
	slices.Reverse(out)
	return out
}

// joined joins pieces that follow on each other.
func joined(pieces []piece) (out []piece) {
	for _, p := range pieces {
		if k := len(out) - 1; k >= 0 && out[k].end() == p.at {
			out[k].n += p.n
		} else {
			out = append(out, p)
		}
	}
	return out
}
