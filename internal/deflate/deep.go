// SPDX-License-Identifier: MIT

package deflate

import "encoding/binary"

// A search that may look at many places goes deep. Copies of four bytes and more lie on a chain of
// their own, of the places with the same four bytes, which is far shorter than that of three. A copy
// that is longer than the best one has all of its bytes, and one more, so it lies on the chains of the
// four bytes at each offset in these: the search follows the one whose next place is the farthest away.
// What it does not look at could not have been taken, so it finds what a search along the chain of the
// first three bytes finds. That one ends after a number of places: those that are not looked at are
// counted by their numbers.

// deepChain is from how many places on a search goes deep.
const deepChain = 32

// quadChain has the chains of four bytes.
type quadChain struct {
	head  [1 << quadChainBits]uint32 // as that of three bytes
	hops  hops
	order [maxWindow]uint16 // the number of a place in its chain of three bytes, modulo 1<<16
}

const (
	quadChainBits = 15
	quadLen       = 4
)

// learn makes places known, of b from the first byte on, to both kinds of chains.
// A place of which three bytes alone are in b, at the end of the content, is on one of them.
func (q *quadChain) learn(m *matcher, b []byte, place uint32) {
	shift, mask := (m.hashBits+2)/3, uint32(1)<<m.hashBits-1
	head := m.head[:mask+1]
	for ; len(b) >= quadLen; b = b[1:] {
		v := binary.LittleEndian.Uint32(b)
		h := &head[(v<<(2*shift&31)^v>>8&255<<(shift&31)^v>>16&255)&mask]
		m.hops.set(place, *h)
		q.order[place%maxWindow] = q.order[*h%maxWindow] + 1
		*h = place
		h = &q.head[quadHash(v, quadChainBits)]
		q.hops.set(place, *h)
		*h = place
		place++
	}
}

// deep looks for a copy of now, at i in the view, that is longer than best: among up to chain places with
// the same three bytes, of which the first is at a distance, as linear does.
func (m *matcher) deep(at uint32, i int, now []byte, best match, distance, limit uint32, chain, nice int) match {
	q, buf := m.quads, m.view.buf
	newest := q.order[(at-distance)%maxWindow]
	if best.length < minMatch {
		best = match{minMatch, m.triple(at, i, now, distance, min(limit, uint32(m.tooFar)), chain)}
	}
	first := binary.LittleEndian.Uint32(now)
	distance, off := q.start(at, now, best.length, limit)
	end := binary.LittleEndian.Uint16(now[best.length-1:]) // what a longer copy has at its end
	steps := 0
	for ; distance <= limit; steps++ {
		j := i - int(distance)
		if binary.LittleEndian.Uint16(buf[j+best.length-1:]) == end {
			if n := common(buf[j:], now); n > best.length {
				if int(newest-q.order[(at-distance)%maxWindow]) >= chain {
					break
				}
				best = match{n, int(distance)}
				if n >= nice {
					break
				}
				end = binary.LittleEndian.Uint16(now[n-1:])
				off = q.farthest(at-distance, min(uint32(n)-quadLen, distance-1))
			}
		}
		// Places of the chain that come too late end the search, too.
		if steps%16 == 15 && binary.LittleEndian.Uint32(buf[j:]) == first &&
			int(newest-q.order[(at-distance)%maxWindow]) >= chain {
			break
		}
		distance += q.hops.of(at - distance + off)
	}
	m.work += int64(steps)
	return best
}

// triple returns the distance of the first place that has the first three bytes of now: 0 if there is none.
func (m *matcher) triple(at uint32, i int, now []byte, distance, limit uint32, chain int) int {
	first := binary.LittleEndian.Uint32(now) << 8
	for n := chain; n > 0 && distance <= limit; n-- {
		if binary.LittleEndian.Uint32(m.view.buf[i-int(distance):])<<8 == first {
			return int(distance)
		}
		distance += m.hops.of(at - distance)
	}
	return 0
}

// start returns where a search for a copy of more than length bytes starts: how far before it the first place
// is that may be one, and the offset in it whose chain the search follows.
func (q *quadChain) start(at uint32, now []byte, length int, limit uint32) (distance, off uint32) {
	distance = at - q.head[quadHash(binary.LittleEndian.Uint32(now), quadChainBits)]
	last := min(uint32(length)-quadLen+1, distance-1)
	for o := uint32(1); o <= last && distance <= limit; o++ {
		d := at + o - q.head[quadHash(binary.LittleEndian.Uint32(now[o:]), quadChainBits)]
		if d > distance {
			distance, off = d, o
		}
	}
	return distance, off
}

// farthest returns the offset, up to last, in the copy at a place whose chain hops farthest.
func (q *quadChain) farthest(place, last uint32) (off uint32) {
	most := q.hops.of(place)
	for o := uint32(1); o <= last; o++ {
		if h := q.hops.of(place + o); h > most {
			most, off = h, o
		}
	}
	return off
}
