// SPDX-License-Identifier: MIT

package native

import "swudelta/internal/mix"

const (
	// Logarithms of the number of slots, and of how far back a literal may repeat other
	// ones, in bytes; there is a remembered place for each 16 of these.
	leastSlots, mostSlots   = 10, 22
	leastWindow, mostWindow = 12, 26
	bytesAPlace             = 4 // log
	// leastMatch is the shortest repetition that foretells a byte.
	leastMatch = 6
	// longMatch is from which length on one bit says that a repetition goes on.
	longMatch = 24
	maxMatch  = 255
	// storedPlaces is for how many stored bytes there is one remembered place.
	storedPlaces = 4
)

// literals is the model of bytes that come from no old content. For each bit it mixes
//
//   - the bits before it in the byte, behind the last byte and behind the last two, for
//     text, code and tables of all kinds;
//   - the same behind the two bytes before the last one, for records whose fields
//     change in between;
//   - the same behind the byte four before, at each of four places, for tables;
//   - what followed when the last six or so bytes came before, and how long the repetition
//     is; without one, the old byte that a copy would give here which went on after its
//     end: often it was changed into the new one, or stayed.
//
// A byte in a long repetition takes one bit, which says that it goes on; so
// the time that it takes is an eighth of the others'.
type literals struct {
	bytes *byteModel

	last uint64 // the last eight bytes, the latest lowest

	past   []byte   // the last bytes, at their position modulo its length
	mask   uint32   // that length, less one
	heads  []uint32 // by hash of the last bytes: the position behind them
	shift  uint     // of the hash
	at     uint32   // position of the next byte
	match  uint32   // position of the byte that the repetition foretells
	length int      // of the repetition, up to maxMatch; 0: there is none
	kept   int      // how often in a row the old byte came, up to less than leastMatch
	goesOn [256]mix.Prob
}

// literalMemory is what a model with 1<<log slots and a window of 1<<window bytes takes.
func literalMemory(log, window int) int64 {
	return 16<<log + 1<<window + 4<<(window-bytesAPlace) + 1<<16
}

func newLiterals(log, window int) *literals {
	m := &literals{
		bytes: newByteModel(uint(log), 3),
		past:  make([]byte, 1<<window),
		mask:  1<<window - 1,
		heads: make([]uint32, 1<<(window-bytesAPlace)),
		shift: uint(32 - window + bytesAPlace),
	}
	for i := range m.goesOn {
		m.goesOn[i] = mix.NewProb(60000)
	}
	return m
}

// code codes one byte. At its place, a copy that went on would have the old byte.
func (m *literals) code(c *mix.Coder, b, old byte) byte {
	expected := -1
	if m.length > 0 {
		expected = int(m.past[m.match&m.mask])
	}
	if m.length >= longMatch {
		on := 0
		if int(b) == expected {
			on = 1
		}
		if flag(c, &m.goesOn[m.length], on) == 1 {
			m.push(byte(expected), true)
			return byte(expected)
		}
		m.length, expected = 0, -1
	}
	last := uint32(m.last)
	hashes := [mix.Contexts]uint32{
		mix.Hash(1, last&0xff000000|m.at&3),
		mix.Hash(2, last&0xff),
		mix.Hash(3, last&0xffff),
		mix.Hash(4, last&0xffff00),
	}
	g, situation := guess{expected, min(m.length, maxSure)}, 1
	switch {
	case m.length >= longMatch-8:
		situation = 2
	case m.length == 0:
		g, situation = guess{int(old), m.kept}, 0
	}
	b = m.bytes.code(c, b, &hashes, g, situation)
	if b == old {
		m.kept = min(m.kept+1, leastMatch-1)
	} else {
		m.kept = 0
	}
	m.push(b, int(b) == expected)
	return b
}

// push puts a byte behind the others, and follows the repetition, or looks for one.
func (m *literals) push(b byte, foretold bool) {
	h := m.put(b)
	switch {
	case !foretold:
		m.length = 0
	case m.length < maxMatch:
		m.length++
	}
	m.match++
	if m.length == 0 {
		m.match = m.heads[h]
		for m.length < 32 && m.past[(m.match-1-uint32(m.length))&m.mask] == m.past[(m.at-1-uint32(m.length))&m.mask] {
			m.length++
		}
		if m.length < leastMatch {
			m.length = 0
		}
	}
	m.heads[h] = m.at
}

// put puts a byte behind the others, and returns the hash of the last ones.
func (m *literals) put(b byte) uint32 {
	m.past[m.at&m.mask] = b
	m.at++
	m.last = m.last<<8 | uint64(b)
	return mix.Hash(mix.Hash(0, uint32(m.last)), uint32(m.last>>32)&0xffff) >> m.shift
}

// note puts stored bytes behind the others, so that they can be repeated.
func (m *literals) note(b []byte) {
	for _, v := range b {
		if h := m.put(v); m.at%storedPlaces == 0 {
			m.heads[h] = m.at
		}
	}
	m.length = 0
}
