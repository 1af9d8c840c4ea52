// SPDX-License-Identifier: MIT

// Package mix has the parts of a context-mixing coder: a binary arithmetic coder,
// adaptive probabilities, bit histories in hashed slots, and a predictor that mixes
// them. A model of some kind of data is put together from them: for each bit, every
// context that it looks at predicts the bit, the predictor weighs the predictions by
// how good they have been, and the arithmetic coder spends as many bits as the outcome
// was unlikely.
//
// Encoder and decoder run the same model over the same bits, so every operation
// here is on integers of a stated width, and every table is computed from a formula
// in integers: the results are the same on every architecture.
//
// Probabilities are those of a one bit. They come in two forms: as a fraction of
// 65536, and "stretched", which is ln(p/(1-p)) in units of 1/256, limited to
// ±[StretchLimit]. doc/native.md defines all of it bit for bit.
//
// The approach is that of the PAQ family of compressors (Mahoney, "Adaptive
// Weighing of Context Models for Lossless Data Compression", 2005).
package mix

import "math/bits"

// StretchLimit bounds stretched probabilities: 11 in natural units, beyond which a
// fraction of 65536 does not tell probabilities from 0 and 1.
const StretchLimit = 11 * 256

// squashTable[x+StretchLimit] is the probability whose stretched form is x.
var squashTable = makeSquash()

// stretchTable[i] is the stretched form of the probability (16i+8)/65536.
var stretchTable = makeStretch()

// makeSquash computes 65536/(1+exp(-x/256)), rounded to the nearest. Exponentials
// are in units of 2^-62.
func makeSquash() (t [2*StretchLimit + 1]uint16) {
	const one = uint64(1) << 62
	// exp(-1/256), by its series: the terms have alternating signs.
	step, term := one, one
	for k := uint64(1); term > 0; k++ {
		term /= 256 * k
		if k%2 == 1 {
			step -= term
		} else {
			step += term
		}
	}
	e := one // exp(-x/256)
	for x := 0; x <= StretchLimit; x++ {
		p, rest := bits.Div64(1<<14, 0, one+e) // 2^78 / (2^62 + e)
		if rest >= (one+e)/2 {
			p++
		}
		p = min(p, 65535)
		t[StretchLimit+x] = uint16(p)
		t[StretchLimit-x] = uint16(65536 - p)
		high, low := bits.Mul64(e, step)
		e = high<<2 | low>>62
	}
	return t
}

func makeStretch() (t [4096]int16) {
	x := -StretchLimit
	for i := range t {
		for x < StretchLimit && int(squashTable[x+StretchLimit]) < 16*i+8 {
			x++
		}
		t[i] = int16(x)
	}
	return t
}

// Squash returns the probability, of 65536, whose stretched form is x. It is never 0
// or 65536.
func Squash(x int32) int32 {
	return int32(squashTable[min(max(x, -StretchLimit), StretchLimit)+StretchLimit])
}

// Stretch returns the stretched form of a probability of 65536.
func Stretch(p int32) int32 { return int32(stretchTable[p>>4&4095]) }

// Prob is a probability that adapts to the bits that it has seen: 22 bits of
// fraction above 10 bits that count them. The first bits move it by much, later ones
// by as little as the limit of the count says.
type Prob uint32

// NewProb returns a probability of p/65536 that has seen nothing.
func NewProb(p int32) Prob { return Prob(uint32(p) << 16) }

// P is the probability, of 65536.
func (p Prob) P() int32 { return int32(p >> 16) }

// Stretch is the stretched form of the probability.
func (p Prob) Stretch() int32 { return int32(stretchTable[p>>20]) }

// reciprocals[n] is 65536/(n+1.5).
var reciprocals = func() (t [1024]int32) {
	for n := range t {
		t[n] = int32(2 * 65536 / (2*n + 3))
	}
	return t
}()

// Update moves the probability towards the bit that came. The count stops at limit,
// which is at most 1023.
func (p *Prob) Update(bit int, limit uint32) {
	v := uint32(*p)
	n := v & 1023
	now := int32(v >> 10)
	now += int32(int64(int32(bit)*(1<<22-1)-now) * int64(reciprocals[n]) >> 16)
	if n < limit {
		n++
	}
	*p = Prob(uint32(now)<<10 | n)
}
