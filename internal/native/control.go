// SPDX-License-Identifier: MIT

package native

import (
	"math/bits"

	"swudelta/internal/fault"
	"swudelta/internal/mix"
)

// Kind is where the bytes of an operation come from.
type Kind uint8

// Kinds of operations.
const (
	Copy    Kind = iota // from the old side, with differences
	Literal             // coded by the model of literals
	Stored              // as they are in the delta
	Fill                // one byte value again and again
)

// Op makes the next Len bytes of the new side.
type Op struct {
	Kind Kind
	Len  int64
	Old  int64 // of Copy: the offset in the old side; of Fill: the byte value
}

// recentDiagonals is how many diagonals a copy may refer to by a number.
const recentDiagonals = 15

// controls is the model of the list of operations. A copy lies on a diagonal: its offset in
// the old side less that in the new side. Most copies are on one that was used a
// short while ago, since it is behind an insertion that the material goes on where
// it was, so the last diagonals are named by how many others have come since.
type controls struct {
	kinds   [64]mix.Prob // by the last kind
	recent  [2][16]mix.Prob
	lengths *number
	moves   *number
	fills   [256]mix.Prob

	last  Kind
	diags [recentDiagonals]int64 // the latest first
	size  [4]int                 // of the last length of each kind, in bits
}

func newControls() *controls {
	m := &controls{lengths: newNumber(4 * 4 * 8), moves: newNumber(8), last: Copy}
	even(m.kinds[:])
	even(m.recent[0][:])
	even(m.recent[1][:])
	even(m.fills[:])
	return m
}

// code codes the operation that makes the new side from at on.
func (m *controls) code(c *mix.Coder, o Op, at int64) (Op, error) {
	before := m.last
	o.Kind = Kind(tree(c, m.kinds[int(before)*4:][:4], 2, int(o.Kind)))
	context := (int(o.Kind)*4+int(before))*8 + min(m.size[before]/3, 7)
	o.Len = 1 + m.lengths.code(c, context, o.Len-1)
	switch o.Kind {
	case Copy:
		d := m.diagonal(c, o.Old-at, min(m.size[before]/3, 7))
		o.Old = d + at
	case Fill:
		o.Old = int64(tree(c, m.fills[:], 8, int(o.Old)))
	}
	m.last = o.Kind
	m.size[o.Kind] = bits.Len64(uint64(o.Len))
	if o.Len > maxNumber || o.Old < 0 || o.Old > maxNumber {
		return o, fault.Dataf("operation for %d bytes from %d", o.Len, o.Old)
	}
	return o, nil
}

// diagonal codes a diagonal, and puts it in front of the others.
func (m *controls) diagonal(c *mix.Coder, d int64, context int) int64 {
	k := 0
	for k < recentDiagonals && m.diags[k] != d {
		k++
	}
	kind := 0
	if m.last == Copy {
		kind = 1
	}
	k = tree(c, m.recent[kind][:], 4, k)
	if k == recentDiagonals {
		d = m.diags[0] + unzigzag(m.moves.code(c, context, zigzag(d-m.diags[0])))
		k--
	} else {
		d = m.diags[k]
	}
	copy(m.diags[1:k+1], m.diags[:k])
	m.diags[0] = d
	return d
}
