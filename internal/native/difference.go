// SPDX-License-Identifier: MIT

package native

import (
	"math/bits"

	"swudelta/internal/fault"
	"swudelta/internal/mix"
)

const (
	// stretchSize is how much of a copy is predicted and coded at a time, in bytes.
	stretchSize = 1 << 16
	// margin is how many bytes before and behind a byte its contexts look at, at most.
	margin = 2
	// idle is after how many bytes without a difference their number is coded, instead of
	// a flag for each of them.
	idle = 64

	flagLog         = 16 // of the number of histories of each context of flags
	flagSituations  = 4 * 256
	valueLog        = 15 // of the number of slots
	valueSituations = 4 * 4
	skipContexts    = 64
	differencesSize = mix.Contexts<<flagLog + 16<<valueLog + 1<<18 // memory, in bytes
)

// differences is the model of how new bytes differ from those that a copy predicts.
//
// Most stretches of a copy have no difference, or a few. So it is first coded how
// many bytes are as predicted until one is not, or that all are; from a difference
// on there is a flag for each byte, until there was none for a while. In code and tables,
// differences come at the distances of the fields that changed, and their values
// repeat: of two that follow each other in one field, the second depends on the first.
type differences struct {
	flags  *bitModel
	values *byteModel
	none   [32]mix.Prob // whether nothing differs in what is left, by its size in bits
	skips  *number
	skip   int // the last number, in bits

	past     uint32   // a bit for each of the last bytes: whether it differed; the latest lowest
	last     [3]uint8 // the last differences, the latest first
	same     [8]uint8 // the last difference at each place of a run of differences
	hits     [8]uint8 // how often in a row it was the one before it, up to 7
	run      int      // how many differences there are in this run
	distance int      // bytes since the last difference
	gap      uint8    // how far the last difference was from the one before, up to 255
}

func newDifferences() *differences {
	m := &differences{
		flags:  newBitModel(flagLog, flagSituations),
		values: newByteModel(valueLog, valueSituations),
		skips:  newNumber(skipContexts),
	}
	even(m.none[:])
	return m
}

// site is what a byte's contexts look at.
type site struct {
	before, here, behind, behind2 uint32 // predicted bytes
	mark                          uint32 // what the predictor knows of the byte
	align                         uint32 // of the byte in the new side
}

func siteOf(predicted, marks []byte, i int, at int64) site {
	w := predicted[i : i+2*margin+1]
	return site{
		before: uint32(w[1]), here: uint32(w[2]), behind: uint32(w[3]), behind2: uint32(w[4]),
		mark: uint32(marks[i]), align: uint32(at+int64(i)) & 7,
	}
}

// stretch codes new, for which predicted has a prediction for each byte, between margin
// old bytes on either side; the marks are those of the predictor. It lies at at in the
// new side. A decoder fills new.
func (m *differences) stretch(c *mix.Coder, predicted, marks, new []byte, at int64) error {
	for i := 0; i < len(new); i++ {
		if i == 0 || m.distance >= idle {
			k, err := m.equal(c, predicted[margin+i:margin+len(new)], new[i:], i == 0)
			if err != nil {
				return err
			}
			if i += k; i == len(new) {
				break
			}
			s := siteOf(predicted, marks, i, at)
			new[i] = m.value(c, &s, new[i])
			continue
		}
		s := siteOf(predicted, marks, i, at)
		if m.differs(c, &s, new[i]) {
			new[i] = m.value(c, &s, new[i])
		} else {
			new[i] = byte(s.here)
			m.pass(1)
		}
	}
	return nil
}

// pass notes that n bytes did not differ.
func (m *differences) pass(n int) {
	m.past <<= uint(min(n, 31))
	if m.distance += n; m.distance > 3 {
		m.run = 0
	}
}

// equal codes how many bytes are as predicted before one is not, or that all are.
func (m *differences) equal(c *mix.Coder, predicted, new []byte, first bool) (int, error) {
	n, k, none := len(new), 0, 0
	if !c.Decoding() {
		for k < n && new[k] == predicted[k] {
			k++
		}
		if k == n {
			none = 1
		}
	}
	if flag(c, &m.none[bits.Len(uint(n))], none) == 1 {
		k = n
	} else {
		context := min(m.skip, skipContexts/2-1)
		if first {
			context = skipContexts/2 + min(bits.Len(uint(n)), skipContexts/2-1)
		}
		v := m.skips.code(c, context, int64(k))
		if v >= int64(n) {
			return 0, fault.Dataf("%d equal bytes where a copy has %d", v, n)
		}
		k = int(v)
		m.skip = bits.Len(uint(k))
	}
	copy(new[:k], predicted)
	m.pass(k)
	return k, nil
}

// differs codes whether a byte differs. It mixes, with the mark of the byte,
//
//   - which of the last sixteen bytes did;
//   - the predicted byte and its neighbours, since opcodes tell where addresses are;
//   - how far the last difference is, and how far it was from the one before, for tables.
func (m *differences) differs(c *mix.Coder, s *site, new byte) bool {
	recent := m.past & 255
	hashes := [mix.Contexts]uint32{
		hash(m.past&0xffff, s.mark),
		hash(m.past&15|s.mark<<8, s.here|s.before<<8),
		hash(recent|s.mark<<16, s.here|s.behind<<8|s.behind2<<16),
		hash(uint32(min(m.distance, 255))|s.align<<8, uint32(m.gap)),
	}
	bit := 0
	if uint32(new) != s.here {
		bit = 1
	}
	return m.flags.code(c, bit, &hashes, int(recent|min(s.mark, 3)<<8)) == 1
}

// value codes the difference of a byte that differs, and returns the byte. It guesses the
// one at the same place of the last run of differences, and mixes the differences
// before, which of the last bytes differed, and the predicted byte and its
// neighbours.
func (m *differences) value(c *mix.Coder, s *site, new byte) byte {
	place := min(m.run, 7)
	turn := min(place, 3)
	last := uint32(m.last[0])
	hashes := [mix.Contexts]uint32{
		hash(s.here|s.behind<<8, s.mark),
		hash(m.past&255, s.mark|1<<8),
		hash(s.here|s.before<<8, uint32(turn)|2<<8),
		hash(last|uint32(m.last[1])<<8|uint32(m.last[2])<<16, uint32(min(m.distance, 15))|3<<8),
	}
	g := guess{int(m.same[place]), int(m.hits[place])<<3 | place}
	difference := m.values.code(c, new-byte(s.here), &hashes, g, turn<<2|int(m.past&3))
	m.note(difference)
	return byte(s.here) + difference
}

// note puts a difference before the next byte.
func (m *differences) note(difference byte) {
	m.last = [3]uint8{difference, m.last[0], m.last[1]}
	place := min(m.run, 7)
	if difference == m.same[place] {
		m.hits[place] = min(m.hits[place]+1, 7)
	} else {
		m.hits[place] = 0
	}
	m.same[place] = difference
	m.run++
	m.gap = uint8(min(m.distance, 255))
	m.distance = 0
	m.past = m.past<<1 | 1
}

func hash(a, b uint32) uint32 { return mix.Hash(mix.Hash(1, a), b) }
