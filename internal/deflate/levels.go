// SPDX-License-Identifier: MIT

package deflate

const (
	// minLookahead is by how much the greatest distance of zlib and GNU gzip is less
	// than the window.
	minLookahead = maxMatch + minMatch + 1
	// usualWindow is that of an encoder with all of its window.
	usualWindow = maxWindow - minLookahead
	// usualTokens is how many tokens a block of zlib has at its usual memory level, and
	// gzipTokens one of GNU gzip.
	usualTokens = 1<<14 - 1
	gzipTokens  = 1<<15 - 1
)

// zlibLevels is how many of allLevels are of zlib and GNU gzip.
const zlibLevels = 9

// allLevels are the parameters of the levels 1 to 9 of zlib and GNU gzip, as their documentation and
// sources state them, and then of libdeflate. Their numbers stand in scripts.
var allLevels = append(zlibParams(), quadParams()...)

func zlibParams() (out []params) {
	for i, l := range [zlibLevels]struct{ good, lazy, nice, chain int }{
		{4, 4, 8, 4}, {4, 5, 16, 8}, {4, 6, 32, 32}, {4, 4, 16, 16}, {8, 16, 32, 32},
		{8, 16, 128, 128}, {8, 32, 128, 256}, {32, 128, 258, 1024}, {32, 258, 258, 4096},
	} {
		p := params{style: lazy, good: l.good, lazy: l.lazy, nice: l.nice, chain: l.chain, hashBits: 15, window: usualWindow, tooFar: 4096}
		if i < 3 {
			p.style = greedy
		}
		out = append(out, p)
	}
	return out
}

func quadParams() (out []params) {
	for _, l := range []struct {
		style               style
		hashBits            uint
		chain, nice, tooFar int
	}{
		{quadGreedy, 15, 2, 32, 0}, {quadGreedy, 16, 6, 10, 4096}, {quadGreedy, 16, 12, 14, 4096}, {quadGreedy, 16, 16, 30, 4096},
		{quadLazy, 16, 16, 30, 8192}, {quadLazy, 16, 35, 65, 8192}, {quadLazy, 16, 100, 130, 8192},
		{quadLazy2, 16, 300, 258, 8192}, {quadLazy2, 16, 600, 258, 8192},
	} {
		out = append(out, params{style: l.style, hashBits: l.hashBits, chain: l.chain, nice: l.nice, window: usualWindow, tooFar: l.tooFar})
	}
	return out
}

// with returns parameters of a level whose blocks end as is usual.
func (p params) with(truncate, fresh bool) params {
	p.truncate, p.fresh = truncate, fresh
	if p.blockTokens = usualTokens; truncate {
		p.blockTokens = gzipTokens
	}
	return p
}
