// SPDX-License-Identifier: MIT

package plan

import (
	"io"
	"slices"

	"swudelta/internal/digest"
	"swudelta/internal/pamz"
)

// placed is a range of the target that a pack makes, and where it lies in the
// source of the table; or a range of zeros.
type placed struct {
	span
	at   int
	zero bool
}

func sortPlaces(p []placed) []placed {
	slices.SortFunc(p, func(a, b placed) int { return a.from - b.from })
	return p
}

// tableBuilder turns pieces into entries of the table, and joins what can be joined.
type tableBuilder struct {
	target  []byte
	places  []placed
	entries []*pamz.Item

	// The entry that is being collected.
	n, off int
	zero   bool
}

// add adds the piece that follows on what was added before.
func (t *tableBuilder) add(p piece) {
	switch p.from {
	case fromOld:
		t.put(p.n, p.off, false)
	case fromZero:
		t.put(p.n, 0, true)
	case fromPack:
		t.copyPlaced(p.at, p.n, p.at)
	case fromNew:
		t.copyPlaced(p.at, p.n, p.off)
	}
}

// copyPlaced makes target[at:at+n], which equals target[same:same+n], from
// packs. Where the equal range is itself a repeat of an earlier one, it is no
// place, and the piece that repeats it was recorded by repeat.
func (t *tableBuilder) copyPlaced(at, n, same int) {
	for n > 0 {
		i, found := slices.BinarySearchFunc(t.places, same, func(p placed, v int) int {
			switch {
			case p.to <= v:
				return -1
			case p.from > v:
				return 1
			}
			return 0
		})
		if !found {
			panic("plan: a piece of the target is in no pack")
		}
		p := t.places[i]
		k := min(n, p.to-same)
		p.at += same - p.from
		p.span = span{at, at + k}
		t.put(k, p.at, p.zero)
		if at != same {
			// Later repeats may refer to this one.
			t.places = slices.Insert(t.places, t.position(at), p)
		}
		at, same, n = at+k, same+k, n-k
	}
}

// position is where a place that starts at at belongs.
func (t *tableBuilder) position(at int) int {
	i, _ := slices.BinarySearchFunc(t.places, at, func(p placed, v int) int { return p.from - v })
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
	for t.n > 0 {
		n := min(t.n, maxNumber)
		r := pamz.CopySource(int64(t.off))
		if t.zero {
			r = pamz.AllZero(int64(n))
		}
		t.entries = append(t.entries, pamz.NewPart(int64(n), r))
		t.n, t.off = t.n-n, t.off+n
	}
}

// chunks returns the entries, several of them a chunk. The 1.0 library does not look at the
// digests of entries that it reads, which a region makes it do, so that a chunk needs
// one digest for all of them.
func (t *tableBuilder) chunks() (out []*pamz.Item) {
	at := 0 // in the target
	for list := t.entries; len(list) > 0; {
		k, n := 1, list[0].Length
		for k < min(len(list), pamz.MaxParams) && n+list[k].Length <= tableChunk {
			n += list[k].Length
			k++
		}
		whole := pamz.Chain(list[:k]...)
		sum, zero := digest.SHA256{}, k == 1 && list[0].Recipe.Op == pamz.OpAllZero
		if zero {
			sum = zeroSum(n)
		} else {
			sum = digest.Sum(t.target[at : at+int(n)])
		}
		chunk := pamz.NewItem(n, sum, whole.Recipe)
		if k > 1 {
			chunk.Recipe = pamz.Region(whole, 0, n)
		}
		out = append(out, chunk)
		list, at = list[k:], at+int(n)
	}
	return out
}

// zeroSum returns the digest of n zeros.
func zeroSum(n int64) digest.SHA256 {
	w := digest.NewWriter(io.Discard)
	zeros := make([]byte, min(n, 64<<10))
	for ; n > 0; n -= int64(len(zeros)) {
		w.Write(zeros[:min(n, int64(len(zeros)))])
	}
	return w.Sum()
}
