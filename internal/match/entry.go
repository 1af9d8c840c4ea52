// SPDX-License-Identifier: MIT

package match

import (
	"slices"
)

// placed is a range of the target that a pack makes, and where it lies in the
// source of the table; or a range of zeros.
type placed struct {
	Range
	at   int
	zero bool
}

func sortPlaces(p []placed) []placed {
	slices.SortFunc(p, func(a, b placed) int { return a.Off - b.Off })
	return p
}

// tableBuilder turns pieces into entries of the table, and joins what can be joined.
type tableBuilder struct {
	target  []byte
	places  []placed
	entries []Entry

	// The entry that is being collected.
	n, off int
	zero   bool
}

// add adds the piece that follows on what was added before.
func (t *tableBuilder) add(p piece) {
	switch p.kind {
	case inOld:
		t.put(p.n, p.off, false)
	case isZero:
		t.put(p.n, 0, true)
	case inPack:
		t.copyPlaced(p.at, p.n, p.at)
	case repeated:
		t.copyPlaced(p.at, p.n, p.off)
	}
}

// copyPlaced adds entries for target[at:at+n], which equals target[same:same+n], out of
// packs. A range that is itself a repeat lies in no pack: it is followed to the range that it
// repeats.
func (t *tableBuilder) copyPlaced(at, n, same int) {
	for n > 0 {
		i, found := slices.BinarySearchFunc(t.places, same, func(p placed, v int) int {
			switch {
			case p.End() <= v:
				return -1
			case p.Off > v:
				return 1
			}
			return 0
		})
		if !found {
			panic("plan: a piece of the target is in no pack")
		}
		p := t.places[i]
		k := min(n, p.End()-same)
		p.at += same - p.Off
		p.Range = Between(at, at+k)
		t.put(k, p.at, p.zero)
		if at != same {
			// Later repeats may refer to this one.
			t.places = slices.Insert(t.places, t.position(at), p)
		}
		at, same, n = at+k, same+k, n-k
	}
}

// position is the index at which a place that starts at at is inserted.
func (t *tableBuilder) position(at int) int {
	i, _ := slices.BinarySearchFunc(t.places, at, func(p placed, v int) int { return p.Off - v })
	return i
}

func (t *tableBuilder) put(n, off int, zero bool) {
	if t.n > 0 && t.zero == zero && (zero || t.off+t.n == off) {
		t.n += n
		return
	}
	t.flush()
	t.n, t.off, t.zero = n, off, zero
}

func (t *tableBuilder) flush() {
	if t.n > 0 {
		t.entries = append(t.entries, Entry{Len: t.n, Off: t.off, Zero: t.zero})
		t.n = 0
	}
}

// newTable returns the table that scatters the old side, fresh bytes and the packs over the
// target.
func newTable(target []byte, pieces []piece, made []*madePack, oldSize, fresh int) *tableBuilder {
	// Where material of the target lies in the source of the table.
	var places []placed
	at := 0
	place := func(pieces []piece) {
		for _, p := range pieces {
			places = append(places, placed{Range: Between(p.at, p.end()), at: at})
			at += p.n
		}
	}
	for _, k := range made {
		at = oldSize + k.literals.End()
		place(k.direct)
	}
	at = oldSize + fresh
	for _, k := range made {
		place(k.material)
	}
	for _, p := range pieces {
		if p.kind == isZero { // a repeat may refer to it
			places = append(places, placed{Range: Between(p.at, p.end()), zero: true})
		}
	}
	t := &tableBuilder{target: target, places: sortPlaces(places)}
	for _, p := range pieces {
		t.add(p)
	}
	t.flush()
	return t
}
