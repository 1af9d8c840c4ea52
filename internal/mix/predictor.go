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
	// Histories are those in the contexts of the next bit.
	Histories [Contexts]*uint8
	// Prob is one more prediction of the next bit.
	Prob *Prob

	maps    [Contexts]Histories
	weights [][Contexts + 1]int32 // in units of 1/65536; the last one is that of Prob
}

// NewPredictor returns a predictor with some sets of weights.
func NewPredictor(sets int) *Predictor {
	p := &Predictor{weights: make([][Contexts + 1]int32, sets)}
	for i := range p.maps {
		p.maps[i].Reset()
	}
	for i := range p.weights {
		for j := range p.weights[i] {
			p.weights[i][j] = firstWeight
		}
	}
	return p
}

// Code codes a bit with a set of weights, and learns from it. Its steps are
// written out for each context, which takes two thirds of the time of loops.
func (p *Predictor) Code(c *Coder, bit, set int) int {
	h0, h1, h2, h3 := p.Histories[0], p.Histories[1], p.Histories[2], p.Histories[3]
	p0, p1, p2, p3, p4 := &p.maps[0][*h0], &p.maps[1][*h1], &p.maps[2][*h2], &p.maps[3][*h3], p.Prob
	x0, x1, x2, x3, x4 := p0.Stretch(), p1.Stretch(), p2.Stretch(), p3.Stretch(), p4.Stretch()
	w := &p.weights[set]
	sum := (int64(x0)*int64(w[0]) + int64(x1)*int64(w[1]) + int64(x2)*int64(w[2]) +
		int64(x3)*int64(w[3]) + int64(x4)*int64(w[4])) >> 16
	probability := int32(squashTable[min(max(sum, -StretchLimit), StretchLimit)+StretchLimit])
	bit = c.Code(bit, probability)

	err := int32(bit)<<16 - probability
	w[0] += learn(x0, err)
	w[1] += learn(x1, err)
	w[2] += learn(x2, err)
	w[3] += learn(x3, err)
	w[4] += learn(x4, err)
	p0.Update(bit, predictorLimit)
	p1.Update(bit, predictorLimit)
	p2.Update(bit, predictorLimit)
	p3.Update(bit, predictorLimit)
	p4.Update(bit, predictorLimit)
	Add(h0, bit)
	Add(h1, bit)
	Add(h2, bit)
	Add(h3, bit)
	return bit
}

// learn returns by how much the weight of a prediction changes for an error.
func learn(prediction, err int32) int32 {
	return (prediction*err + 1<<(learning-1)) >> learning
}
