// SPDX-License-Identifier: MIT

package deflate

import "math/bits"

// coder is an adaptive binary arithmetic coder. The same calls describe a value
// on both sides: an encoder writes the value that it is given, a decoder returns
// the one that was written. Only integers are used, so all machines agree.
type coder struct {
	low, high uint32
	decoding  bool
	out       []byte // written
	in        []byte // yet to be read
	value     uint32
	missing   int // bytes that were read behind the end
}

// prob is the probability that a bit is 1, and how many bits it has learnt from.
// It is kept finer than the coder uses it, so that it comes close to its ends.
type prob struct {
	p uint32 // of 1<<probBits, less half of that, so that the zero value is a half
	n uint32
}

const (
	probBits = 24
	probHalf = 1 << (probBits - 1)
)

// slowest is how many bits a probability remembers at most. Flags that are nearly
// always the same cost next to nothing only if it remembers many.
const slowest = 250

// pace is 65536/(n+1.5).
var pace [slowest + 1]int64

func init() {
	for n := range pace {
		pace[n] = int64(65536 * 2 / (2*n + 3))
	}
}

// split is the share of 1 in units of 1/65536, never all or nothing.
func (p *prob) split() uint32 {
	return min(max((p.p+probHalf)&(1<<probBits-1)>>(probBits-16), 1), 65535)
}

func (p *prob) learn(bit int) {
	v := int64((p.p + probHalf) & (1<<probBits - 1))
	v += (int64(bit)*(1<<probBits-1) - v) * pace[p.n] >> 16
	p.p = uint32(v-probHalf) & (1<<probBits - 1)
	if p.n < slowest {
		p.n++
	}
}

func newEncoder() *coder { return &coder{high: 1<<32 - 1} }

func newDecoder(in []byte) *coder {
	c := &coder{high: 1<<32 - 1, decoding: true, in: in}
	for range 4 {
		c.value = c.value<<8 | c.byte()
	}
	return c
}

func (c *coder) byte() uint32 {
	if len(c.in) == 0 {
		c.missing++
		return 0
	}
	b := c.in[0]
	c.in = c.in[1:]
	return uint32(b)
}

// bit codes a bit under an adaptive probability.
func (c *coder) bit(p *prob, bit int) int {
	mid := c.low + uint32(uint64(c.high-c.low)*uint64(p.split())>>16)
	if c.decoding {
		bit = 0
		if c.value <= mid {
			bit = 1
		}
	}
	if bit == 1 {
		c.high = mid
	} else {
		c.low = mid + 1
	}
	p.learn(bit)
	for (c.low^c.high)>>24 == 0 {
		if c.decoding {
			c.value = c.value<<8 | c.byte()
		} else {
			c.out = append(c.out, byte(c.high>>24))
		}
		c.low <<= 8
		c.high = c.high<<8 | 255
	}
	return bit
}

// finish returns what was written.
func (c *coder) finish() []byte {
	c.out = append(c.out, byte(c.high>>24), byte(c.high>>16), byte(c.high>>8), byte(c.high))
	for n := len(c.out); n > 0 && c.out[n-1] == 0; n-- {
		c.out = c.out[:n-1] // a decoder reads zeros behind the end
	}
	return c.out
}

func (c *coder) flag(p *prob, v bool) bool {
	bit := 0
	if v {
		bit = 1
	}
	return c.bit(p, bit) == 1
}

// tree codes a value below 1<<n, bit by bit from the highest, each under the
// probability that the bits before it lead to. It has 1<<n probabilities.
func (c *coder) tree(p []prob, n uint, v int) int {
	node := 1
	for i := n; i > 0; i-- {
		node = node<<1 | c.bit(&p[node], v>>(i-1)&1)
	}
	return node - 1<<n
}

// numbers are the probabilities of values of any size: how many bits one has,
// and the two below the highest; the rest are as likely as not.
type numbers struct {
	size  [64]prob
	below [64][4]prob
}

// number codes a value below 1<<62.
func (c *coder) number(p *numbers, v uint64) uint64 {
	n := c.tree(p.size[:], 6, bits.Len64(v))
	if n < 2 {
		return uint64(n)
	}
	out := uint64(1)
	node := 1
	for i := n - 2; i >= 0; i-- {
		q := &prob{}
		if node < 4 {
			q = &p.below[n][node]
		}
		bit := c.bit(q, int(v>>i&1))
		node = node<<1 | bit
		out = out<<1 | uint64(bit)
	}
	return out
}
