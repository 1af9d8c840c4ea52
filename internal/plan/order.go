// SPDX-License-Identifier: MIT

package plan

import (
	"cmp"
	"slices"
)

const (
	// placeUnit is the granularity in which the place of material is looked for, in
	// bytes.
	placeUnit = 4 << 10
	// nearby is by how much moves may differ that count as one, in bytes.
	nearby = 1 << 20
	// leastVotes is how many anchors must agree on where a unit comes from.
	leastVotes = 4
	// leastMoved is the least that is worth an entry of the table to be put elsewhere,
	// in bytes.
	leastMoved = 8 << 10
)

// vote is by how much most of a unit of the target has moved: its offset in the
// old side less that in the target. It is found in one pass over the anchors, by
// setting off different opinions against each other (Boyer and Moore's majority
// vote).
type vote struct {
	move int
	n    int32 // 0: nobody knows
}

func (v *vote) add(move int, n int32) {
	switch {
	case v.n == 0:
		v.move, v.n = move, n
	case near(v.move, move):
		v.n += n
	case v.n >= n:
		v.n -= n
	default:
		v.move, v.n = move, n-v.n
	}
}

func near(a, b int) bool { return a-b < nearby && b-a < nearby }

// arrange returns the material in the order in which the old side has it, and behind
// that what is lost: long stretches that nobody knows the place of, between others that
// do not belong together. What is known to have moved together stays together. It returns
// nothing if the material is in that order.
func arrange(material []piece, votes []vote) (order, lost []piece) {
	type segment struct {
		place  int // where it begins in the old side
		pieces []piece
	}
	var segments []segment
	var s segment
	first, last := -1, 0 // of s.pieces, with a known place
	move := 0            // of last
	// What may be the beginning of another segment: from the piece begin on.
	begin, other, size := -1, 0, 0
	// end ends the segment at the piece k. The next begins with what follows.
	end := func(k int) {
		pieces, rest := s.pieces[:k:k], s.pieces[k:]
		if first < 0 {
			first, last = k, k-1
		}
		for _, unknown := range [][]piece{pieces[:first], pieces[last+1:]} {
			if total(unknown, pieceLen) >= leastMoved {
				lost = append(lost, unknown...)
				clear(unknown)
			}
		}
		segments = append(segments, s)
		segments[len(segments)-1].pieces = pieces
		s = segment{pieces: rest}
		first, last, begin = -1, 0, -1
	}
	for _, m := range material {
		for m.n > 0 {
			unit := m.at / placeUnit
			p := piece{at: m.at, n: min(m.n, (unit+1)*placeUnit-m.at)}
			m.at, m.n = m.at+p.n, m.n-p.n
			s.pieces = append(s.pieces, p)
			k := len(s.pieces) - 1
			v := votes[unit]
			switch {
			case v.n < leastVotes:
			case first < 0:
				s.place = s.pieces[0].at + v.move
				first, last, move = k, k, v.move
			case near(v.move, move):
				last, move, begin = k, v.move, -1
			case begin < 0 || !near(v.move, other):
				begin, other, size = k, v.move, p.n
			default:
				other = v.move
				if size += p.n; size >= leastMoved {
					end(begin)
					s.place = s.pieces[0].at + other
					first, last, move = 0, len(s.pieces)-1, other
				}
			}
		}
	}
	end(len(s.pieces))
	byPlace := func(a, b segment) int { return cmp.Compare(a.place, b.place) }
	if slices.IsSortedFunc(segments, byPlace) {
		return nil, nil
	}
	slices.SortStableFunc(segments, byPlace)
	for _, s := range segments {
		order = append(order, s.pieces...)
	}
	return joined(order), joined(lost)
}

// joined joins pieces that follow on each other, and drops empty ones.
func joined(pieces []piece) (out []piece) {
	for _, p := range pieces {
		if k := len(out) - 1; k >= 0 && out[k].end() == p.at {
			out[k].n += p.n
		} else if p.n > 0 {
			out = append(out, p)
		}
	}
	return out
}
