// SPDX-License-Identifier: MIT

package deflate

import "bytes"

// survey is what a first look at a stream tells of its encoder.
type survey struct {
	parts       []int64     // bytes of content before each flush, and behind the last
	empty       bool        // there are flushes
	counts      map[int]int // how many blocks have so many tokens
	farthest    int         // distance
	sampleSize  int64       // bytes of content that the sample covers
	sampleCount int
}

// sampleTokens is how many tokens an encoder is judged by.
const sampleTokens = 1 << 16

// look reads a stream to its end.
func look(p *parser) (*survey, error) {
	v := &survey{counts: map[int]int{}}
	last := int64(0)
	for !p.done {
		b, err := p.next()
		if err != nil {
			return nil, err
		}
		if b.kind == stored && b.size == 0 && !b.final {
			v.parts = append(v.parts, p.total-last)
			last = p.total
			v.empty = true
		}
		if b.kind != stored && !p.done {
			v.counts[len(b.tokens)]++
		}
		for _, t := range b.tokens {
			v.farthest = max(v.farthest, int(t.distance))
		}
		if v.sampleCount < sampleTokens {
			v.sampleCount += len(b.tokens)
			v.sampleSize = p.total
		}
	}
	v.parts = append(v.parts, p.total-last)
	return v, nil
}

// levels are the parameters of the levels 1 to 9 of zlib and GNU gzip, as their
// documentation and sources state them: good, lazy, nice, chain.
var levels = [9][4]int{
	{4, 4, 8, 4}, {4, 5, 16, 8}, {4, 6, 32, 32}, {4, 4, 16, 16}, {8, 16, 32, 32},
	{8, 16, 128, 128}, {8, 32, 128, 256}, {32, 128, 258, 1024}, {32, 258, 258, 4096},
}

// choose returns the parameters under which the stream is predicted best.
func (v *survey) choose(src, content []byte) (params, bool) {
	base := params{hashBits: 15, window: maxWindow - minLookahead, tooFar: 4096, blockTokens: 1<<14 - 1}
	base.window = maxWindow
	for size := maxWindow; size >= 1<<9 && v.farthest <= size-minLookahead; size /= 2 {
		base.window = size - minLookahead
	}
	most := 0
	for n, k := range v.counts {
		if k > most && n&(n+1) == 0 && n > 1 {
			base.blockTokens, most = n, k
		}
	}
	if v.counts[1<<15-1] > 0 || v.truncated() {
		base.blockTokens, base.truncate = 1<<15-1, true
	}
	best, least, flushed := base, -1, false
	try := func(p params, f bool) {
		n := v.misses(src, content, p, f, least)
		if least < 0 || n < least {
			best, least, flushed = p, n, f
		}
	}
	for i := len(levels) - 1; i >= 0; i-- {
		l := levels[i]
		p := base
		if p.style = lazy; i < 3 {
			p.style = greedy
		}
		p.good, p.lazy, p.nice, p.chain = l[0], l[1], l[2], l[3]
		p.truncate = p.truncate && i >= 2
		try(p, v.empty)
	}
	if v.empty {
		try(best, false)
		p := best
		p.fresh = true
		try(p, true)
	}
	if best.window < maxWindow {
		p := best
		p.window = maxWindow - minLookahead
		try(p, flushed)
	}
	p := best
	p.short = 5
	try(p, flushed)
	for _, bits := range []uint{16, 14, 13, 12, 11, 10, 9, 8} {
		p := best
		p.hashBits = bits
		try(p, flushed)
	}
	if least > sampleTokens/256 {
		for _, l := range quadLevels {
			p := base
			p.style, p.hashBits, p.chain, p.nice, p.tooFar = l.style, l.hashBits, l.chain, l.nice, l.tooFar
			try(p, flushed)
		}
	}
	return best, flushed
}

// quadLevels are the parameters of the levels 1 to 9 of libdeflate.
var quadLevels = []struct {
	style               style
	hashBits            uint
	chain, nice, tooFar int
}{
	{quadGreedy, 15, 2, 32, 0}, {quadGreedy, 16, 6, 10, 4096}, {quadGreedy, 16, 12, 14, 4096}, {quadGreedy, 16, 16, 30, 4096},
	{quadLazy, 16, 16, 30, 8192}, {quadLazy, 16, 35, 65, 8192}, {quadLazy, 16, 100, 130, 8192},
	{quadLazy2, 16, 300, 258, 8192}, {quadLazy2, 16, 600, 258, 8192},
}

// minLookahead is by how much the greatest distance of zlib and GNU gzip is less
// than the window.
const minLookahead = maxMatch + minMatch + 1

// truncated reports whether blocks end where GNU gzip looks whether they should.
func (v *survey) truncated() bool {
	for n := range v.counts {
		if n > 0 && n&0xfff == 0 {
			return true
		}
	}
	return false
}

// misses counts the tokens of the sample that p does not predict, up to most if
// that is not negative.
func (v *survey) misses(src, content []byte, p params, flushed bool, most int) int {
	m := newMatcher(p, bytes.NewReader(content), int64(len(content)))
	in := &parser{bitReader: bitReader{src: src}, limit: int64(len(content))}
	parts := v.parts
	n := 0
	next := func() error {
		if !flushed {
			return m.begin(int64(len(content)))
		}
		n := parts[0]
		parts = parts[1:]
		return m.begin(m.pos + n)
	}
	if next() != nil {
		return n
	}
	seen := 0
	for !in.done && seen < sampleTokens {
		b, err := in.next()
		if err != nil {
			return n
		}
		if b.kind == stored {
			m.pos += int64(b.size)
			if b.size == 0 && flushed && !b.final {
				err = next()
			} else {
				err = m.begin(m.end)
			}
			if err != nil {
				return n
			}
			continue
		}
		for _, t := range b.tokens {
			guess, err := m.predict()
			if err != nil {
				return n
			}
			if guess != t {
				n++
			}
			if most >= 0 && n > most {
				return n
			}
			if m.accept(t, guess) != nil {
				return n
			}
		}
		seen += len(b.tokens)
	}
	return n
}
