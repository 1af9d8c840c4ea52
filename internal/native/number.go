// SPDX-License-Identifier: MIT

package native

import (
	"math/bits"

	"swudelta/internal/mix"
)

const (
	// maxNumber bounds numbers, so that sums of a few of them stay in 64 bits.
	maxNumber = 1<<60 - 1
	// leading is how many bits of a number behind its first one have probabilities of
	// their own.
	leading = 3
	// numberLimit is the limit of the count of probabilities in numbers and flags.
	numberLimit = 60
)

// number is the model of one kind of number: its length in bits, by a context, then
// the few bits behind the first one, by the length, then the others as they are.
type number struct {
	size   [][64]mix.Prob // a tree of six bits
	detail [64][1 << leading]mix.Prob
}

func newNumber(contexts int) *number {
	n := &number{size: make([][64]mix.Prob, contexts)}
	for i := range n.size {
		even(n.size[i][:])
	}
	for i := range n.detail {
		even(n.detail[i][:])
	}
	return n
}

// even sets probabilities to one half.
func even(p []mix.Prob) {
	for i := range p {
		p[i] = mix.NewProb(1 << 15)
	}
}

// flag codes one bit by a probability alone.
func flag(c *mix.Coder, p *mix.Prob, bit int) int {
	bit = c.Code(bit, min(max(p.P(), 32), 65536-32))
	p.Update(bit, numberLimit)
	return bit
}

// tree codes a number of some bits, top bit first, each by a probability for what came
// before it in the number.
func tree(c *mix.Coder, p []mix.Prob, width int, v int) int {
	node := 1
	for k := width - 1; k >= 0; k-- {
		node = node<<1 | flag(c, &p[node], v>>k&1)
	}
	return node - 1<<width
}

// code codes v, 0 <= v <= maxNumber. What it decodes may be larger, but not negative.
func (n *number) code(c *mix.Coder, context int, v int64) int64 {
	w := uint64(v) + 1
	size := tree(c, n.size[context][:], 6, bits.Len64(w)-1) // bits behind the first one
	size = min(size, 61)
	x := uint64(1)
	for k := size - 1; k >= 0; k-- {
		bit := int(w >> k & 1)
		if x < 1<<leading {
			bit = flag(c, &n.detail[size][x], bit)
		} else {
			bit = c.Code(bit, 1<<15)
		}
		x = x<<1 | uint64(bit)
	}
	return int64(x - 1)
}

// zigzag maps numbers of both signs to those without: 0, -1, 1, -2 ... to 0, 1, 2, 3 ...
func zigzag(v int64) int64 { return v<<1 ^ v>>63 }

func unzigzag(v int64) int64 { return int64(uint64(v)>>1) ^ -(v & 1) }
