// SPDX-License-Identifier: MIT

package bsdiff

import (
	"encoding/binary"
	"math"
	"math/bits"
	"slices"

	"swudelta/internal/span"
)

// gram is the length of the shortest match that is looked for, in bytes. What
// is shorter is rarely worth the control entry that leads to it.
const gram = 8

// multiplier is the golden ratio as a fraction of 2^64: its products spread well.
const multiplier = 0x9e3779b97f4a7c15

// index answers where in a text the longest match of a string is.
type index struct {
	text []byte
	sa   []int32
	// heads[j] is what the suffix sa[j*headEvery] begins with. The most of a search
	// is done in these, which are together, rather than in the text, where each
	// look is a wait for memory.
	heads []uint64
	// start[c] is where, in heads, those begin that start with the two bytes of c
	// or with something greater.
	start []int32
	filter
}

// filter has a bit set for the hash of each gram of a text: most strings that are
// new altogether are told at the price of one look.
type filter struct {
	set   []uint64
	shift uint
}

// clear empties the filter, and makes it large enough for n grams. It uses the memory that
// it has.
func (f *filter) clear(n int) {
	// Four to eight bits for each gram.
	size := max(bits.Len(uint(n))+2, 6)
	f.set, f.shift = cleared(f.set, 1<<(size-6)), uint(64-size)
}

// addAll makes f the filter of all grams of a text.
func (f *filter) addAll(text []byte) {
	f.clear(len(text))
	for i := 0; i+gram <= len(text); i++ {
		f.add(hash(text[i:]))
	}
}

// add adds a gram by its hash of 64 bits.
func (f *filter) add(h uint64) {
	h >>= f.shift
	f.set[h>>6] |= 1 << (h & 63)
}

// filtered tells which of the strings that start at the first 64 bytes of s may
// be in the text: bit i is that for s[i:]. One look-up does not wait for another.
func (f *filter) filtered(s []byte) (mask uint64) {
	for i := range min(64, len(s)-gram+1) {
		h := hash(s[i:]) >> f.shift
		mask |= f.set[h>>6] >> (h & 63) & 1 << i
	}
	return mask
}

// hash is of the first gram of s, 64 bits wide.
func hash(s []byte) uint64 { return binary.LittleEndian.Uint64(s) * multiplier }

// headEvery makes the suffixes between two heads fill a line of the cache.
const headEvery = 16

// fill makes x the index of a text with its suffix array, but for the filter. It uses the memory
// that x has.
func (x *index) fill(text []byte, sa []int32) {
	n := len(text)
	*x = index{text: text, sa: sa, heads: x.heads[:0], start: cleared(x.start, 1<<16+1), filter: x.filter}
	x.heads = slices.Grow(x.heads, n/headEvery+1)
	for r := 0; r < n; r += headEvery {
		x.heads = append(x.heads, head(text[sa[r]:]))
	}
	c := 0
	for j, h := range x.heads {
		for ; c <= int(h>>48); c++ {
			x.start[c] = int32(j)
		}
	}
	for ; c < len(x.start); c++ {
		x.start[c] = int32(len(x.heads))
	}
}

// head is the first gram of s as a number of the same order, with zeros for what
// s is short of.
func head(s []byte) uint64 {
	if len(s) >= gram {
		return binary.BigEndian.Uint64(s)
	}
	h := uint64(0)
	for k := range gram {
		h <<= 8
		if k < len(s) {
			h |= uint64(s[k])
		}
	}
	return h
}

// find returns the place of s, of at least a gram, among the suffixes: sa[rank-1]
// and sa[rank] are the starts of the suffixes around it, of which the first left
// and the first right bytes are those of s, where they are as many as a gram. Else
// the number is less than a gram, and may be 0. No byte of s is compared twice but
// in comparisons that succeed, so a search takes time O(log n + log n * longest
// match), and the latter only where the text repeats itself.
func (x *index) find(s []byte) (rank, left, right int) {
	h := head(s)
	j, end := int(x.start[h>>48]), int(x.start[h>>48+1])
	j += firstFrom(x.heads[j:end], h)
	if end == j || x.heads[j] > h {
		end = j
	} else if h < math.MaxUint64 {
		end = j + firstFrom(x.heads[j:end], h+1)
	}
	// Behind the last head that is less, up to the first one that is greater.
	lo, hi := max((j-1)*headEvery+1, 0), min(end*headEvery, len(x.sa))
	for lo < hi {
		mid := int(uint(lo+hi) / 2)
		k := min(left, right)
		t := x.text[x.sa[mid]:]
		k += span.CommonPrefix(s[k:], t[k:])
		if k == len(s) || k < len(t) && s[k] < t[k] {
			hi, right = mid, k
		} else {
			lo, left = mid+1, k
		}
	}
	return lo, left, right
}

// firstFrom returns where the first of the sorted heads is that is not below h, or
// how many there are.
func firstFrom(heads []uint64, h uint64) int {
	lo, hi := 0, len(heads)
	for lo < hi {
		if mid := int(uint(lo+hi) / 2); heads[mid] < h {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

// cleared returns n zeros, in the memory of s if there is enough of it: fresh
// memory costs more than the clearing.
func cleared[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	s = s[:n]
	clear(s)
	return s
}
