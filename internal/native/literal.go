// SPDX-License-Identifier: MIT

package native

import "swudelta/internal/mix"

const (
	// literalContexts is how many contexts of a literal byte have histories in slots.
	literalContexts = 6
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
	// slotHash spreads the nodes of a byte over the slots.
	slotHash = 0x3d4d51cb
)

// literals is the model of bytes that come from no old content. For each bit it mixes
//
//   - the bits before it in the byte, and these behind the last one, two, three, four
//     and six bytes, for text, code and tables of all kinds;
//   - the same behind the two bytes before the last one, for records whose fields
//     change in between;
//   - what followed when the last six or so bytes came before, and how long the repetition is.
//
// A byte in a long repetition takes one bit, which says that it goes on; so
// the time that it takes is an eighth of the others'.
type literals struct {
	slots *mix.Slots
	slot  [literalContexts]*mix.Slot
	maps  [literalContexts]mix.Histories
	order [256]mix.Prob // by the bits before in the byte
	mixer *mix.Mixer    // set by the repetition and the bits before in the byte
	other *mix.Mixer    // set by the last byte

	last uint64 // the last eight bytes, the latest lowest

	past   []byte   // the last bytes, at their position modulo its length
	mask   uint32   // that length, less one
	heads  []uint32 // by hash of the last bytes: the position behind them
	shift  uint     // of the hash
	at     uint32   // position of the next byte
	match  uint32   // position of the byte that the repetition foretells
	length int      // of the repetition, up to maxMatch; 0: there is none
	right  [64]mix.Prob
	goesOn [256]mix.Prob
}

// literalMemory is what a model with 1<<log slots and a window of 1<<window bytes takes.
func literalMemory(log, window int) int64 {
	return 16<<log + 1<<window + 4<<(window-bytesAPlace) + 1<<18
}

func newLiterals(log, window int) *literals {
	m := &literals{
		slots: mix.NewSlots(uint(log)),
		mixer: mix.NewMixer(3*256, 20000, 14),
		other: mix.NewMixer(256, 20000, 14),
		past:  make([]byte, 1<<window),
		mask:  1<<window - 1,
		heads: make([]uint32, 1<<(window-bytesAPlace)),
		shift: uint(32 - window + bytesAPlace),
	}
	for i := range m.maps {
		m.maps[i].Reset()
	}
	even(m.order[:])
	for i := range m.right {
		m.right[i] = mix.NewProb(50000)
	}
	for i := range m.goesOn {
		m.goesOn[i] = mix.NewProb(60000)
	}
	return m
}

// code codes one byte.
func (m *literals) code(c *mix.Coder, b byte) byte {
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
	b = m.byte(c, b, expected)
	m.push(b, int(b) == expected)
	return b
}

// note puts a byte that is stored behind the others, so that it can be repeated.
func (m *literals) note(b byte) {
	m.push(b, m.length > 0 && m.past[m.match&m.mask] == b)
}

// push puts a byte behind the others, and follows the repetition, or looks for one.
func (m *literals) push(b byte, foretold bool) {
	m.past[m.at&m.mask] = b
	m.at++
	m.last = m.last<<8 | uint64(b)
	switch {
	case !foretold:
		m.length = 0
	case m.length < maxMatch:
		m.length++
	}
	m.match++
	h := mix.Hash(mix.Hash(0, uint32(m.last)), uint32(m.last>>32)&0xffff) >> m.shift
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

// byte codes one byte bit by bit. A repetition foretells expected, unless that is -1.
func (m *literals) byte(c *mix.Coder, b byte, expected int) byte {
	last, before := uint32(m.last), uint32(m.last>>32)
	hashes := [literalContexts]uint32{
		mix.Hash(1, last&0xff),
		mix.Hash(2, last&0xffff),
		mix.Hash(3, last&0xffffff),
		mix.Hash(4, last),
		mix.Hash(mix.Hash(5, last), before&0xffff),
		mix.Hash(6, last&0xffff00),
	}
	node := 1
	in := &m.mixer.In
	for half := 4; half >= 0; half -= 4 {
		for i, h := range hashes {
			m.slot[i] = m.slots.Find(mix.Hash(h, uint32(node)*slotHash+uint32(i)))
		}
		sub := 1
		for k := half + 3; k >= half; k-- {
			for i, s := range m.slot {
				in[i] = m.maps[i][s[sub&15]].Stretch()
			}
			in[6] = m.order[node&255].Stretch()
			set, guess := 0, 0
			var right *mix.Prob
			if expected >= 0 && (expected|256)>>(k+1) == node {
				guess = expected >> k & 1
				right = &m.right[min(m.length, len(m.right)-1)]
				if in[7] = right.Stretch(); guess == 0 {
					in[7] = -in[7]
				}
				if set = 1; m.length >= longMatch-8 {
					set = 2
				}
			} else {
				in[7] = 0
			}
			m.other.In = *in
			x := (m.mixer.Mix(set<<8|node) + m.other.Mix(int(last&0xff))) >> 1
			bit := c.Code(int(b>>k)&1, min(max(mix.Squash(x), 16), 65536-16))
			m.mixer.Update(bit)
			m.other.Update(bit)
			for i, s := range m.slot {
				h := &s[sub&15]
				m.maps[i][*h].Update(bit, 255)
				mix.Add(h, bit)
			}
			m.order[node&255].Update(bit, 255)
			if right != nil {
				right.Update(1^bit^guess, 255)
			}
			node = node<<1 | bit
			sub = sub<<1 | bit
		}
	}
	return byte(node)
}
