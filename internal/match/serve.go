// SPDX-License-Identifier: MIT

package match

import "slices"

const (
	// A new side is compared with the candidates in stretches of sampleLen bytes, one in
	// each sampleEvery.
	sampleLen   = 64 << 10
	sampleEvery = 512 << 10
	// sampleAll is the size of a new side, in bytes, up to which all of it is compared.
	sampleAll = 16 << 20
	// leastServed: a further candidate is chosen if at least 1/leastServed of the anchors in
	// common are in it and in none that was chosen before. Each candidate is unpacked on
	// the device. Members of the same kind shared 1/300 or less with another, two halves of
	// an image 1/2: anything between separates them.
	leastServed = 64
)

// Serve returns which candidates for the old side serve a new side, in their order: first the
// one that named returns for how many anchors each has in common, or none, if that is less
// than 0; then, as long as there are any that serve what those before do not, the one that
// does most of it. At least one is returned.
func Serve(new *Side, candidates []*Side, named func(anchors []int) int) []int {
	if len(candidates) == 1 {
		return []int{0}
	}
	s := newSample(new, candidates)
	all := s.anchors()
	var out []int
	counts := s.counts()
	take := func(i int) {
		out = append(out, i)
		s.remove(i)
		counts = s.counts()
	}
	first := named(counts)
	if first >= 0 && counts[first] > all/leastServed {
		take(first)
	}
	for {
		best := 0
		for i := range counts {
			if counts[i] > counts[best] {
				best = i
			}
		}
		if counts[best] == 0 || counts[best] <= all/leastServed {
			break
		}
		take(best)
	}
	if len(out) == 0 {
		out = append(out, max(first, 0))
	}
	slices.Sort(out)
	return out
}

// sample has, for each anchor of a part of a new side, a bit for each candidate that has it.
type sample struct {
	candidates int
	words      int // for an anchor
	bits       []uint64
}

func newSample(new *Side, candidates []*Side) *sample {
	s := &sample{candidates: len(candidates), words: (len(candidates) + 63) / 64}
	look := func(from, to int) {
		anchors(new.Data, from, to, sparseBits, func(batch []anchor) int {
			base := len(s.bits)
			s.bits = append(s.bits, make([]uint64, len(batch)*s.words)...)
			for i, c := range candidates {
				c.Index.touch(batch)
				for j, a := range batch {
					c.Index.lookup(new.Data, a, func(int) bool {
						s.bits[base+j*s.words+i/64] |= 1 << (i % 64)
						return false
					})
				}
			}
			return 0
		})
	}
	every := sampleEvery
	if len(new.Data) < sampleAll {
		every = sampleLen
	}
	for at := 0; at < len(new.Data); at += every {
		eachStretch(new.Zeros, at, min(at+sampleLen, len(new.Data)), look)
	}
	return s
}

// anchors is how many anchors any candidate has.
func (s *sample) anchors() (n int) {
	for at := 0; at < len(s.bits); at += s.words {
		if slices.ContainsFunc(s.bits[at:at+s.words], func(w uint64) bool { return w != 0 }) {
			n++
		}
	}
	return n
}

// counts is how many of the anchors each candidate has.
func (s *sample) counts() []int {
	n := make([]int, s.candidates)
	for at := 0; at < len(s.bits); at += s.words {
		for i := range n {
			n[i] += int(s.bits[at+i/64] >> (i % 64) & 1)
		}
	}
	return n
}

// remove takes out the anchors of a candidate.
func (s *sample) remove(i int) {
	for at := 0; at < len(s.bits); at += s.words {
		if s.bits[at+i/64]>>(i%64)&1 == 1 {
			clear(s.bits[at : at+s.words])
		}
	}
}
