// SPDX-License-Identifier: MIT

package deflate

import "encoding/binary"

// A search that may look at many places leaps: a copy that is longer than the best one has all of
// its bytes, and one more, so it lies on the chains of the three bytes at each offset in these, and
// the search follows the one whose next place is the farthest away. What it does not look at could
// not have been taken, so it finds what a search along the chain of the first three bytes finds. That
// one ends after a number of places: those that a leap leaves out are counted by their numbers.

// leapChain is from how many places on a search leaps.
const leapChain = 64

// leap looks for a copy of now, which is at i in the view, that is longer than best. ok is false if it
// takes longer than a search of each place would.
func (m *matcher) leap(at uint32, i int, now []byte, best match, chain, nice int) (found match, ok bool) {
	buf, prev, order, limit := m.view.buf, m.prev, m.order, uint32(m.window)
	first := m.head[m.hash(now)]
	place, off := first, uint32(0) // where three bytes at off of a copy are
	if best.length >= minMatch {
		for o := min(uint32(best.length)-minMatch+1, at-first-1); o > 0; o-- {
			p := m.head[m.hash(now[o:])]
			if at-(p-o) > limit {
				return match{}, true
			}
			if at-(p-o) > at-(place-off) {
				place, off = p, o
			}
		}
	}
	newest := order[first%maxWindow]
	end := binary.LittleEndian.Uint16(now[best.length-1:]) // what a longer copy has at its end
	steps := chain
	for ; steps > 0; steps-- {
		copied := place - off
		distance := at - copied
		if distance >= limit && (distance > limit || copied != first) || copied == placeBase || int(distance) > i {
			break
		}
		old := buf[i-int(distance):]
		if binary.LittleEndian.Uint16(old[best.length-1:]) != end {
			place = prev[place%maxWindow]
			continue
		}
		n := common(old, now)
		if n <= best.length {
			place = prev[place%maxWindow]
			continue
		}
		if int(newest-order[copied%maxWindow]) >= chain {
			break
		}
		best = match{n, int(distance)}
		if n >= nice {
			break
		}
		end = binary.LittleEndian.Uint16(now[n-1:])
		place = prev[place%maxWindow]
		for o := min(uint32(n)-minMatch, distance-1); o > 0; o-- {
			if p := prev[(copied+o)%maxWindow]; at-(p-o) > at-(place-off) {
				place, off = p, o
			}
		}
	}
	m.work += int64(chain - steps)
	return best, steps > 0
}
