// SPDX-License-Identifier: MIT

package bsdiff

import (
	"encoding/binary"
	"math/bits"
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
	// start[c] is where, in sa, the suffixes begin that start with the two
	// bytes of c or with something greater.
	start []int32
	// filter has a bit set for the hash of each gram of the text: most strings
	// that are new altogether are told at the price of one look.
	filter []uint64
	shift  uint
}

func newIndex(text []byte, sa []int32) *index {
	x := &index{text: text, sa: sa, start: make([]int32, 1<<16+1)}
	n := len(text)
	count := make([]int32, 1<<16)
	for i := 0; i+1 < n; i++ {
		count[int(text[i])<<8|int(text[i+1])]++
	}
	at := int32(0)
	for c := range count {
		if c&0xff == 0 && n > 0 && int(text[n-1]) == c>>8 {
			at++ // the last suffix is a single byte, less than all pairs with it
		}
		x.start[c] = at
		at += count[c]
	}
	x.start[1<<16] = at

	// Four to eight bits for each position.
	size := max(bits.Len(uint(n))+2, 6)
	x.shift = uint(64 - size)
	x.filter = make([]uint64, 1<<(size-6))
	for i := 0; i+gram <= n; i++ {
		h := x.hash(text[i:])
		x.filter[h>>6] |= 1 << (h & 63)
	}
	return x
}

// hash is of the first gram of s.
func (x *index) hash(s []byte) uint64 {
	return binary.LittleEndian.Uint64(s) * multiplier >> x.shift
}

// filtered tells which of the strings that start at the first 64 bytes of s may
// be in the text: bit i is that for s[i:]. One look-up does not wait for another.
func (x *index) filtered(s []byte) (mask uint64) {
	for i := range min(64, len(s)-gram+1) {
		h := x.hash(s[i:])
		mask |= x.filter[h>>6] >> (h & 63) & 1 << i
	}
	return mask
}

// find returns the place of s among the suffixes: sa[rank-1] and sa[rank] are
// the starts of the suffixes around it, of which the first left and the first
// right bytes are those of s. No byte of s is compared twice but in
// comparisons that succeed, so a search takes time O(log n + log n * longest
// match), and the latter only where the text repeats itself.
func (x *index) find(s []byte) (rank, left, right int) {
	if len(s) < 2 {
		return 0, 0, 0
	}
	c := int(s[0])<<8 | int(s[1])
	lo, hi := int(x.start[c]), int(x.start[c+1])
	if c&0xff == 0xff && c < 1<<16-1 && hi > lo {
		// The bucket's end includes the lone last byte of the text, if that
		// is the next value: it belongs to the next bucket.
		if n := len(x.text); int(x.text[n-1]) == c>>8+1 {
			hi--
		}
	}
	if lo == hi {
		return lo, 0, 0
	}
	first, last := lo, hi
	left, right = 2, 2
	for lo < hi {
		mid := int(uint(lo+hi) / 2)
		k := min(left, right)
		t := x.text[x.sa[mid]:]
		k += matchLen(s[k:], t[k:])
		if k == len(s) || k < len(t) && s[k] < t[k] {
			hi, right = mid, k
		} else {
			lo, left = mid+1, k
		}
	}
	if lo == first {
		left = 0
	}
	if lo == last {
		right = 0
	}
	return lo, left, right
}

// matchLen counts the equal bytes that a and b start with.
func matchLen(a, b []byte) int {
	if len(a) > len(b) {
		a = a[:len(b)]
	}
	n := 0
	for len(a)-n >= 8 {
		x := binary.LittleEndian.Uint64(a[n:]) ^ binary.LittleEndian.Uint64(b[n:])
		if x != 0 {
			return n + bits.TrailingZeros64(x)/8
		}
		n += 8
	}
	for n < len(a) && a[n] == b[n] {
		n++
	}
	return n
}
