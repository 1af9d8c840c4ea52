// SPDX-License-Identifier: MIT

package mix

// Contexts is how many contexts a [Predictor] mixes. It is small because each costs time
// for each bit, most of all where its history is not in a near cache, and because a
// good fifth context makes a delta smaller by less than a hundredth.
const Contexts = 4

const (
	// predictorLimit is the limit of the counts of a predictor's probabilities.
	predictorLimit = 255
	// firstWeight is what each prediction counts at first, in units of 1/65536. The
	// predictions are not independent of each other, so all of them together count a
	// little more than one.
	firstWeight = 18000
	// learning is the logarithm of what the error times a prediction is divided by
	// when a weight learns from it.
	learning = 14
)

// Predictor foretells bits of one kind, and codes them. Its predictions are those of
// the histories in some contexts, and one more, of a probability that the caller has. It
// weighs them in stretched form. It has several sets of weights, of which the caller
// chooses one for each bit by what it knows: in one set, one context may count much, in
// another one little.
type Predictor struct {
	maps    [Contexts]forecasts
	weights [][Contexts + 1]int32 // in units of 1/65536; the last one is that of Prob
}

// NewPredictor returns a predictor with some sets of weights.
func NewPredictor(sets int) *Predictor {
	p := &Predictor{weights: make([][Contexts + 1]int32, sets)}
	for i := range p.maps {
		p.maps[i].reset()
	}
	for i := range p.weights {
		for j := range p.weights[i] {
			p.weights[i][j] = firstWeight
		}
	}
	return p
}

// Code codes a bit with a set of weights, and learns from it. The histories are those in the contexts
// of the bit, and p4 is one more prediction of it. All of them are arguments, and the steps are written
// out for each, which takes half of the time of loops over fields; and for each outcome, so that a
// processor that foretells the branch goes on with the bit while the interval is still computed, which
// takes a tenth less.
func (p *Predictor) Code(c *Coder, bit, set int, p4 *Prob, h0, h1, h2, h3 *uint8) int {
	p0, p1, p2, p3 := &p.maps[0][*h0], &p.maps[1][*h1], &p.maps[2][*h2], &p.maps[3][*h3]
	x0, x1, x2, x3, x4 := p0.stretched, p1.stretched, p2.stretched, p3.stretched, p4.Stretch()
	w := &p.weights[set]
	sum := (int64(x0)*int64(w[0]) + int64(x1)*int64(w[1]) + int64(x2)*int64(w[2]) +
		int64(x3)*int64(w[3]) + int64(x4)*int64(w[4])) >> 16
	probability := int32(squashTable[min(max(sum, -StretchLimit), StretchLimit)+StretchLimit])
	if c.Code(bit, probability) != 0 {
		err := 1<<16 - probability
		w[0] += learn(x0, err)
		w[1] += learn(x1, err)
		w[2] += learn(x2, err)
		w[3] += learn(x3, err)
		w[4] += learn(x4, err)
		p0.learn(1)
		p1.learn(1)
		p2.learn(1)
		p3.learn(1)
		p4.Update(1, predictorLimit)
		Add(h0, 1)
		Add(h1, 1)
		Add(h2, 1)
		Add(h3, 1)
		return 1
	}
	err := -probability
	w[0] += learn(x0, err)
	w[1] += learn(x1, err)
	w[2] += learn(x2, err)
	w[3] += learn(x3, err)
	w[4] += learn(x4, err)
	p0.learn(0)
	p1.learn(0)
	p2.learn(0)
	p3.learn(0)
	p4.Update(0, predictorLimit)
	Add(h0, 0)
	Add(h1, 0)
	Add(h2, 0)
	Add(h3, 0)
	return 0
}

// Guess is what half a byte is expected to be, with one more prediction for each bit.
type Guess struct {
	Half int      // 16 more than the four bits; 0: there is no guess
	Fits *[2]Prob // by the guessed bit, while the bits before it are those of the guess
	None *Prob    // otherwise
}

// CodeHalf codes half a byte, top bit first, each bit as Code does: it is faster than four calls, since
// the interval stays in registers. The slots have the histories. The sets of weights are those from set
// on: one for each place in a slot, and 32 behind it another one for while the guess fits.
func (p *Predictor) CodeHalf(c *Coder, half, set int, g *Guess, s0, s1, s2, s3 *Slot) int {
	weights := (*[48][Contexts + 1]int32)(p.weights[set:])
	low, high, value, decoding := c.low, c.high, c.value, c.decoding
	node := 1
	for k := 3; k >= 0; k-- {
		n := node & 15
		h0, h1, h2, h3 := &s0[n], &s1[n], &s2[n], &s3[n]
		p0, p1, p2, p3 := &p.maps[0][*h0], &p.maps[1][*h1], &p.maps[2][*h2], &p.maps[3][*h3]
		p4, w := g.None, &weights[n]
		if g.Half>>(k+1) == node {
			p4, w = &g.Fits[g.Half>>k&1], &weights[n+32]
		}
		x0, x1, x2, x3, x4 := p0.stretched, p1.stretched, p2.stretched, p3.stretched, p4.Stretch()
		sum := (int64(x0)*int64(w[0]) + int64(x1)*int64(w[1]) + int64(x2)*int64(w[2]) +
			int64(x3)*int64(w[3]) + int64(x4)*int64(w[4])) >> 16
		err := -int32(squashTable[min(max(sum, -StretchLimit), StretchLimit)+StretchLimit])
		mid := low + uint32(uint64(high-low)*uint64(uint32(-err))>>16)
		one := half>>k&1 != 0
		if decoding {
			one = value <= mid
		}
		if one {
			high, err = mid, err+1<<16
			node = node<<1 | 1
			p0.learn(1)
			p1.learn(1)
			p2.learn(1)
			p3.learn(1)
			p4.Update(1, predictorLimit)
			Add(h0, 1)
			Add(h1, 1)
			Add(h2, 1)
			Add(h3, 1)
		} else {
			low = mid + 1
			node <<= 1
			p0.learn(0)
			p1.learn(0)
			p2.learn(0)
			p3.learn(0)
			p4.Update(0, predictorLimit)
			Add(h0, 0)
			Add(h1, 0)
			Add(h2, 0)
			Add(h3, 0)
		}
		w[0] += learn(x0, err)
		w[1] += learn(x1, err)
		w[2] += learn(x2, err)
		w[3] += learn(x3, err)
		w[4] += learn(x4, err)
		if (low^high)>>24 == 0 {
			c.low, c.high = low, high
			c.shifts()
			low, high, value = c.low, c.high, c.value
		}
	}
	c.low, c.high = low, high
	return node & 15
}

// learn returns by how much the weight of a prediction changes for an error.
func learn(prediction, err int32) int32 {
	return (prediction*err + 1<<(learning-1)) >> learning
}
