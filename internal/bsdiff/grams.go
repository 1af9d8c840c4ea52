// SPDX-License-Identifier: MIT

package bsdiff

import (
	"encoding/binary"
	"math/bits"

	"swudelta/internal/span"
)

const (
	// gramEvery is how far apart the indexed grams of a text are, in bytes: a match of
	// gram + gramEvery - 1 bytes has one of them, wherever it lies.
	gramEvery = 4
	// gramWays is how many places of grams with the same hash are kept: the first ones.
	gramWays = 4
)

// grams answers where in a text matches of a string are: not the longest of all, as index
// does, but in a third of the memory.
type grams struct {
	filter
	text  []byte
	slots []int32 // where grams begin, plus 1; 0: none
	shift uint
}

// fill makes x the index of ranges of a text. It uses the memory that x has.
func (x *grams) fill(text []byte, ranges []span.Range) {
	n := total(ranges)
	log := max(bits.Len(uint(n/gramEvery)), 4)
	x.text, x.shift = text, uint(64-log)
	x.slots = cleared(x.slots, 1<<log+gramWays)
	x.filter.clear(n / gramEvery)
	last := uint64(0)
	for _, r := range ranges {
		for i := int(r.Off); i+gram <= int(r.End()); i += gramEvery {
			g := binary.LittleEndian.Uint64(text[i:])
			if g == last {
				continue // as in a hole: one place is as good as another
			}
			last = g
			h := g * multiplier
			x.filter.add(h)
			ways := x.ways(h)
			for k, at := range ways {
				if at == 0 {
					ways[k] = int32(i + 1)
					break
				}
			}
		}
	}
}

// ways returns the slots of the grams with a hash of 64 bits.
func (x *grams) ways(h uint64) []int32 {
	k := h >> x.shift
	return x.slots[k : k+gramWays]
}

// searchHashed looks for matches of what starts at i, and makes the longest one and the one
// closest to the best path candidates. It returns the length of the longest, or 0.
func (m *matcher) searchHashed(i int) int {
	s := m.new[i:]
	here := 0
	if len(m.active) > 0 {
		here = i + m.active[m.best].diag
	}
	best, longest, closest, length, least := 0, 0, 0, 0, 0
	for _, at := range m.hashed.ways(hash(s)) {
		if at == 0 {
			break
		}
		p := int(at - 1)
		n := span.CommonPrefix(s, m.hashed.text[p:])
		if n < gram {
			continue
		}
		away := max(p-here, here-p)
		if n > longest || n == longest && away < least {
			best, longest = p, n
		}
		if length == 0 || away < least {
			closest, length, least = p, n, away
		}
	}
	if longest == 0 {
		return 0
	}
	if closest != best {
		m.enter(closest-i, i, i+length)
	}
	m.enter(best-i, i, i+longest)
	return longest
}
