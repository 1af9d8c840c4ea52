// SPDX-License-Identifier: MIT

package native

import "swudelta/internal/mix"

const (
	// slotHash spreads the nodes of a byte over the slots.
	slotHash = 0x3d4d51cb
	// maxSure bounds how sure a guess may be.
	maxSure = 63
	// firstGuess is the probability at first, of 65536, that a guessed bit comes.
	firstGuess = 50000
)

// byteModel is the model of bytes, of which each bit is foretold from the bits before it in
// some contexts, and by a guess of the whole byte.
type byteModel struct {
	slots   *mix.Slots
	bits    *mix.Predictor
	none    mix.Prob                 // where the guess is wrong, or there is none
	guesses [maxSure + 1][2]mix.Prob // by how sure the guess is, and the guessed bit
	without int                      // as in bitModel
}

// guess is what a byte is expected to be.
type guess struct {
	value int // 0 to 255; -1: there is none
	sure  int // up to maxSure: how often such guesses were right, in any measure
}

// newByteModel returns a model with 1<<log slots, and weights for as many situations.
func newByteModel(log uint, situations int) *byteModel {
	m := &byteModel{slots: mix.NewSlots(log), bits: mix.NewPredictor(situations * 2 * 32)}
	m.none = mix.NewProb(1 << 15)
	for i := range m.guesses {
		m.guesses[i] = [2]mix.Prob{mix.NewProb(65536 - firstGuess), mix.NewProb(firstGuess)}
	}
	return m
}

// code codes a byte in contexts of which hashes are given. Half a byte has one slot in each
// context.
func (m *byteModel) code(c *mix.Coder, b byte, hashes *[mix.Contexts]uint32, g guess, situation int) byte {
	leaveOut(hashes, m.without)
	half := mix.Guess{Fits: &m.guesses[g.sure&maxSure], None: &m.none}
	if g.value >= 0 {
		half.Half = 16 | g.value>>4
	}
	high := m.half(c, int(b>>4), situation<<6|16, hashes, 1, &half)
	if half.Half == 16|high {
		half.Half = 16 | g.value&15
	} else {
		half.Half = 0
	}
	low := m.half(c, int(b&15), situation<<6, hashes, 16|high, &half)
	return byte(high<<4 | low)
}

// half codes the bits v behind those of node, which is these behind a one.
func (m *byteModel) half(c *mix.Coder, v, set int, hashes *[mix.Contexts]uint32, node int, g *mix.Guess) int {
	slot := func(i int) *mix.Slot { return m.slots.Find(mix.Hash(hashes[i], uint32(node)*slotHash)) }
	return m.bits.CodeHalf(c, v, set, g, slot(0), slot(1), slot(2), slot(3))
}
