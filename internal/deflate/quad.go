// SPDX-License-Identifier: MIT

package deflate

import (
	"encoding/binary"
	"math/bits"

	"swudelta/internal/span"
)

// libdeflate looks for copies of four bytes and more along a chain of places whose
// four bytes have the same hash, and for one of three bytes at the last place
// with the same hash of three alone. Above level 4 it is lazy like zlib, but it
// weighs distances too, and from level 8 on it looks two bytes ahead. Level 1 has
// the last two places of each hash, and no copies of three bytes.

// tripleBits is how many hashes of three bytes there are, in bits.
const tripleBits = 15

// quadAhead is how many bytes must be left for a search.
const quadAhead = 5

func quadHash(v uint32, n uint) uint32 { return v * 0x1e35a7bd >> (32 - n) }

// learnQuad makes the content before pos known. i is where pos is in the view.
func (m *matcher) learnQuad(pos int64, i int) {
	for ; m.known < pos && m.known+quadAhead <= m.end; m.known++ {
		v := binary.LittleEndian.Uint32(m.view.buf[i-int(pos-m.known):])
		place := uint32(m.known) + placeBase
		h := &m.head[quadHash(v, m.hashBits)]
		m.hops.set(place, *h)
		*h = place
		m.triples[quadHash(v<<8>>8, tripleBits)] = place
	}
}

// searchQuad looks for a copy at pos of more than least bytes at up to chain places.
func (m *matcher) searchQuad(pos int64, i, least, chain int) match {
	m.learnQuad(pos, i)
	left := int(min(m.end-pos, maxMatch))
	if left < quadAhead {
		return match{}
	}
	buf := m.view.buf
	now := buf[i : i+left]
	first := binary.LittleEndian.Uint32(now)
	at := uint32(pos) + placeBase
	best := match{length: least}
	nice := min(m.nice, left)
	if least >= nice {
		return match{}
	}
	if least < minMatch {
		if d := at - m.triples[quadHash(first<<8>>8, tripleBits)]; d > 0 && d < maxWindow {
			if old := buf[i-int(d):]; old[0] == now[0] && old[1] == now[1] && old[2] == now[2] {
				best = match{minMatch, int(d)}
			}
		}
	}
	d := at - m.head[quadHash(first, m.hashBits)]
	for ; chain > 0 && d > 0 && d < maxWindow; chain-- {
		m.work++
		old := buf[i-int(d):]
		if old[best.length] == now[best.length] && binary.LittleEndian.Uint32(old) == first {
			if n := span.CommonPrefix(old, now); n > best.length {
				best = match{n, int(d)}
				if n >= nice {
					break
				}
			}
		}
		d += m.hops.of(at - d)
	}
	if best.distance == 0 {
		return match{}
	}
	return best
}

// predictQuad returns the token at pos that libdeflate would choose. i is where pos
// is in the view.
func (m *matcher) predictQuad(i int) token {
	here := m.here
	switch {
	case m.forced > 0, here.length < minMatch, here.length == minMatch && here.distance > m.tooFar:
		return m.literal
	case m.style == quadGreedy || here.length >= m.nice:
	default:
		better := func(than int, next match) bool {
			return next.length >= here.length &&
				4*(next.length-here.length)+bits.Len(uint(here.distance))-bits.Len(uint(next.distance)) > than
		}
		if m.next, m.has = m.searchQuad(m.pos+1, i+1, here.length-1, m.chain>>1), true; better(2, m.next) {
			return m.literal
		}
		if m.style == quadLazy2 {
			// The one in between is a literal, too.
			if later := m.searchQuad(m.pos+2, i+2, here.length-1, m.chain>>2); better(6, later) {
				m.next, m.forced = later, 2
				return m.literal
			}
		}
	}
	return token{uint16(here.length), uint16(here.distance)}
}

// acceptQuad goes on at pos, behind the token t that the encoder did choose.
func (m *matcher) acceptQuad(t, predicted token, i int) {
	switch {
	case t != predicted || t.distance > 0:
		m.forced = 0
	case m.forced > 0:
		if m.forced--; m.forced == 0 {
			m.here = m.next
		}
		return
	case m.has:
		m.here = m.next
		return
	}
	m.here = m.searchQuad(m.pos, i, minMatch-1, m.chain)
}
