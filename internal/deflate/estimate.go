// SPDX-License-Identifier: MIT

package deflate

import (
	"bytes"
	"maps"
	"slices"
)

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

// look reads a stream to its end. It calls reach with the offsets in the content that it comes to.
func look(p *parser, reach func(at int64)) (*survey, error) {
	v := &survey{counts: map[int]int{}}
	last := int64(0)
	for !p.done {
		b, err := p.next()
		if err != nil {
			return nil, err
		}
		reach(p.total)
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

// choose returns the parameters under which the stream is predicted best.
func (v *survey) choose(src, content []byte) (params, bool) {
	window, blockTokens := maxWindow, usualTokens
	for size := maxWindow; size >= 1<<9 && v.farthest <= size-minLookahead; size /= 2 {
		window = size - minLookahead
	}
	most := 0
	for _, n := range slices.Sorted(maps.Keys(v.counts)) {
		if k := v.counts[n]; k > most && n&(n+1) == 0 && n > 1 {
			blockTokens, most = n, k
		}
	}
	truncate := v.counts[gzipTokens] > 0 || v.truncated()
	if truncate {
		blockTokens = gzipTokens
	}
	// as returns a level with what is known of the blocks.
	as := func(l params, truncate bool) params {
		l.window, l.blockTokens, l.truncate = window, blockTokens, truncate
		return l
	}
	best, least, flushed := params{}, -1, false
	try := func(p params, f bool) {
		n := v.misses(src, content, p, f, least)
		if least < 0 || n < least {
			best, least, flushed = p, n, f
		}
	}
	for i := zlibLevels - 1; i >= 0; i-- {
		try(as(allLevels[i], truncate && i >= 2), v.empty)
	}
	if v.empty {
		try(best, false)
		p := best
		p.fresh = true
		try(p, true)
	}
	if p := best; p.window < maxWindow && p.window != usualWindow {
		p.window = usualWindow
		if n := v.misses(src, content, p, flushed, least); n <= least {
			best, least = p, n // the usual one takes fewer bytes to state
		}
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
		for _, l := range allLevels[zlibLevels:] {
			try(as(l, truncate), flushed)
		}
	}
	return best, flushed
}

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
