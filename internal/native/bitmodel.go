// SPDX-License-Identifier: MIT

package native

import "swudelta/internal/mix"

// bitModel is the model of one kind of bit. Each of its contexts has a table of histories
// by a hash. Contexts that share a history disturb each other a little, which costs less
// than checks would.
type bitModel struct {
	bits   *mix.Predictor
	tables [mix.Contexts][]uint8
	probs  []mix.Prob // by the situation
	shift  uint

	without int // 1 + a context that is left out, to measure what it is worth
}

// newBitModel returns a model with tables of 1<<log histories, and a probability and weights
// for each of some situations.
func newBitModel(log, situations int) *bitModel {
	m := &bitModel{bits: mix.NewPredictor(situations), probs: make([]mix.Prob, situations), shift: uint(32 - log)}
	for i := range m.tables {
		m.tables[i] = make([]uint8, 1<<log)
	}
	even(m.probs)
	return m
}

// code codes a bit in contexts of which hashes are given.
func (m *bitModel) code(c *mix.Coder, bit int, hashes *[mix.Contexts]uint32, situation int) int {
	leaveOut(hashes, m.without)
	history := func(i int) *uint8 { return &m.tables[i][hashes[i]>>m.shift] }
	return m.bits.Code(c, bit, situation, &m.probs[situation], history(0), history(1), history(2), history(3))
}

// leaveOut takes a context, counted from 1, out of those that are mixed; 0 is none.
func leaveOut(hashes *[mix.Contexts]uint32, context int) {
	if context > 0 {
		hashes[context-1] = 0
	}
}
