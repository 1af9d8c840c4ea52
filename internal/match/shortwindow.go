// SPDX-License-Identifier: MIT

package match

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/bits"
	"slices"

	"swudelta/internal/progress"
	"swudelta/internal/span"
)

const (
	// shortWindow is the length of a short window, in bytes.
	shortWindow = 12
	// shortBits chooses one short window in eight bytes; where memory is short, one in more,
	// but no fewer than one in 1<<sparseShortBits.
	shortBits       = 3
	sparseShortBits = 7
	// minShortVotes is how many short windows must agree: fewer may do so by chance.
	minShortVotes = 4
	// shortPerAnchor is how many short windows have the weight of an anchor.
	shortPerAnchor = 2
	// minUnplacedShare: short windows are looked for only if at least 1/minUnplacedShare of the
	// material has no known place; the search is slow.
	minUnplacedShare = 24
)

// voteShortWindows adds the displacements of short windows to the votes of what is
// unresolved: code whose addresses have changed has hardly an anchor in common with what it
// was. A window counts only if the old side has it in one place, or in some with the same
// displacement. It takes at most memory bytes, and does nothing where these are too few. The
// stage counts bytes of the old side and of what is unresolved.
func voteShortWindows(old *Index, target []byte, material []piece, unresolved [][]unit, v []votes, memory int64, stage *progress.Stage) {
	var units []unit
	for _, s := range unresolved {
		for _, u := range s {
			if !span.AllZero(target[u.at:u.end()]) {
				units = append(units, u)
			}
		}
	}
	size := total(units, func(u unit) int { return u.n })
	if size < total(material, pieceLen)/minUnplacedShare {
		return
	}
	stage.Expect(int64(size + len(old.data)))
	x := newShortIndex(old.data, old.zeros, memory, stage)
	if x == nil {
		return
	}
	var moves []int
	for _, u := range units {
		moves = moves[:0]
		last, end := 0, 0
		x.each(target, u.at, u.end(), func(at, slot int, check uint8) {
			place := int(x.slots[slot])
			move := place - at
			if place <= ambiguous || x.checks[slot] != check || move == last && at < end || !bytes.Equal(old.data[place:place+shortWindow], target[at:at+shortWindow]) {
				return
			}
			last, end = move, at+shortWindow // a window that overlaps it is no second vote
			moves = append(moves, move)
		})
		slices.Sort(moves)
		most, move, first := 0, 0, 0
		for i := range moves {
			for !sameDisplacement(moves[i], moves[first]) {
				first++
			}
			if n := i - first + 1; n > most {
				most, move = n, moves[(i+first)/2]
			}
		}
		if most >= minShortVotes {
			v[u.at/placeUnit].add(move, int32(most/shortPerAnchor))
		}
		stage.Add(int64(u.n))
	}
}

// shortIndex finds short windows of the old side. What windows are the same is told by their
// hashes alone: to look at them all over the old side would bring all of it into memory.
type shortIndex struct {
	bits   int // zero bits of the hash of a window that is in it
	log    int
	slots  []uint32 // offsets, by hash; 0: none
	checks []uint8  // further bits of the hash
}

// shortSlot is the size of a slot with its check, in bytes.
const shortSlot = 5

// reportEvery is how many bytes go by between two reports of progress.
const reportEvery = 64 << 10

// ambiguous is the offset of what lies in places that are far from each other.
const ambiguous = 1

// newShortIndex returns an index of at most memory bytes, or nil.
func newShortIndex(old []byte, zeros []Range, memory int64, stage *progress.Stage) *shortIndex {
	x := &shortIndex{bits: shortBits}
	for ; ; x.bits++ {
		if x.log = bits.Len(uint(len(old)) >> x.bits); shortSlot<<x.log <= memory {
			break
		}
		if x.bits == sparseShortBits {
			return nil
		}
	}
	x.slots, x.checks = make([]uint32, 1<<x.log), make([]uint8, 1<<x.log)
	done := reporter{stage: stage}
	add := func(at, slot int, check uint8) {
		if at-done.told >= reportEvery {
			done.to(at)
		}
		switch place := int(x.slots[slot]); {
		case place == 0:
			x.slots[slot], x.checks[slot] = uint32(at), check
		case place > ambiguous && !sameDisplacement(place, at) && x.checks[slot] == check:
			x.slots[slot] = ambiguous
		}
	}
	limit := int(min(int64(len(old)), math.MaxUint32))
	eachStretch(zeros, 0, limit, func(from, to int) { x.each(old, from, to, add) })
	done.to(len(old))
	return x
}

// each calls use with the windows of data[from:to] that their hash chooses, their slots and
// their checks. It leaves out what begins with zeros.
func (x *shortIndex) each(data []byte, from, to int, use func(at, slot int, check uint8)) {
	for at := from; at+shortWindow <= to; at++ {
		a, b := binary.LittleEndian.Uint64(data[at:]), binary.LittleEndian.Uint32(data[at+8:])
		// The finalizer of splitmix64, between two odd factors.
		h := a*0x9e3779b97f4a7c15 ^ uint64(b)*0xbf58476d1ce4e5b9
		h = (h ^ h>>32) * 0x94d049bb133111eb
		if a != 0 && h>>(64-x.bits) == 0 {
			use(at, int(h<<x.bits>>(64-x.log)), uint8(h>>16))
		}
	}
}
