// SPDX-License-Identifier: MIT

package native

import "swudelta/internal/mix"

// bitModel foretells one kind of bit from eight contexts, each of which has a table
// of histories by a hash. Contexts that share a history disturb each other a
// little, which costs less than checks would.
type bitModel struct {
	tables [mix.Inputs][]uint8
	maps   [mix.Inputs]mix.Histories
	mixer  *mix.Mixer
	shift  uint
	n      int64
}

// newBitModel returns a model with tables of 1<<log histories, and some sets of weights.
func newBitModel(log, sets int) *bitModel {
	m := &bitModel{mixer: mix.NewMixer(sets, 16000, 14), shift: uint(32 - log)}
	for i := range m.tables {
		m.tables[i] = make([]uint8, 1<<log)
		m.maps[i].Reset()
	}
	return m
}

// code codes a bit in contexts of which hashes are given; set is that of the weights.
func (m *bitModel) code(c *mix.Coder, bit int, hashes *[mix.Inputs]uint32, set int) int {
	m.n++
	var at [mix.Inputs]*uint8
	for i, h := range hashes {
		at[i] = &m.tables[i][h>>m.shift]
	}
	for i, h := range at {
		m.mixer.In[i] = m.maps[i][*h].Stretch()
	}
	p := mix.Squash(m.mixer.Mix(set))
	bit = c.Code(bit, min(max(p, 1), 65535))
	m.mixer.Update(bit)
	for i, h := range at {
		m.maps[i][*h].Update(bit, 1000)
		mix.Add(h, bit)
	}
	return bit
}
