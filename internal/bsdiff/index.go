// SPDX-License-Identifier: MIT

package bsdiff

import (
	"cmp"
	"encoding/binary"
	"math/bits"
	"slices"

	"swudelta/internal/span"
)

// gram is the length of the shortest match that is looked for, in bytes. What
// is shorter is rarely worth the control entry that leads to it.
const gram = 8

// multiplier is the golden ratio as a fraction of 2^64: its products spread well.
const multiplier = 0x9e3779b97f4a7c15

// index answers where in a text the longest matches of a string are: as a suffix array does, but
// suffixes are sorted where they are asked for only. In two releases of an image an eighth of them
// are; most others are passed over by long matches. Suffixes whose first grams have the same
// hash are a bucket.
type index struct {
	text  []byte
	at    []int32 // where suffixes begin, bucket after bucket
	start []int32 // where in at each bucket begins
	// sorted has a bit for each bucket: its suffixes ascend. The others are in the order of the text.
	sorted []uint64
	shift  uint // of a hash, to the number of the bucket
	// depth is up to how many bytes suffixes are compared; those that are equal so far are in the
	// order of the text.
	depth   int
	budget  int64   // bytes that may be compared until depth becomes leastDepth
	keys    []key   // memory for sorting
	entries []entry // memory for a round of fill
	filter
}

const (
	// fullDepth makes little difference: see doc/engine.md, "Tuned constants".
	fullDepth  = 4 << 10 // bytes
	leastDepth = common  // bytes
	// fullShare is how many bytes may be compared for each byte of the text until the depth becomes
	// least: what repeats itself all over would take any time. Small images take up to 25; packs of
	// the native profile lose 0.1 % with 64.
	fullShare = 512
)

// filter has a bit set for the hash of each gram of a text: most strings that are
// new altogether are told at the price of one look.
type filter struct {
	set   []uint64
	shift uint
}

// clear empties the filter, and makes it large enough for n grams. It uses the memory that
// it has.
func (f *filter) clear(n int) {
	size := filterBits(n)
	f.set, f.shift = cleared(f.set, 1<<(size-6)), uint(64-size)
}

// filterBits returns how many bits a filter of n grams has, as a power of two: four to eight for each.
func filterBits(n int) int { return max(bits.Len(uint(n))+2, 6) }

// filterMemory is what the filter of n grams takes, in bytes.
func filterMemory(n int64) int64 { return 1 << (filterBits(int(n)) - 3) }

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

// Hashes are divided into parts by their first bits, some of which are dealt with in each round: so
// what is filled of tables and filter at a time lies in a cache, which takes a fourth of the time,
// and the entries of a round take a byte for each byte of the text.
const (
	partBits   = 8
	parts      = 1 << partBits
	rounds     = 8
	roundParts = parts / rounds
)

// entry is the place of a gram, with the bits of its hash that follow the number of the part.
type entry struct {
	at   int32
	rest uint32
}

const entrySize = 8 // bytes

// buckets returns how many buckets the index of n bytes has, as a power of two.
func buckets(n int) int { return max(bits.Len(uint(n))-3, partBits) }

// indexMemory is what the index of n bytes takes, in bytes.
func indexMemory(n int64) int64 {
	return 4*n + 4<<buckets(int(n)) + filterMemory(n) + entrySize*n/rounds
}

// fill makes x the index of ranges of a text. It uses the memory that x has, and calls passed after
// each round. Of grams that follow themselves, as in a hole, only the first one is of use.
func (x *index) fill(text []byte, ranges []span.Range, passed func()) {
	n := total(ranges)
	size := buckets(n)
	x.text, x.shift = text, uint(64-size)
	x.start = cleared(x.start, 1<<size+1)
	x.sorted = cleared(x.sorted, 1<<size/64)
	x.depth, x.budget = fullDepth, fullShare*int64(n)
	x.filter.clear(n)

	var count [parts]int
	eachGram(text, ranges, func(_ int, h uint64) { count[h>>(64-partBits)]++ })
	sum := 0
	for _, c := range count {
		sum += c
	}
	x.at = slices.Grow(x.at[:0], sum)[:sum]
	done := 0
	for round := 0; round < parts; round += roundParts {
		var next [roundParts]int
		sum := 0
		for k, c := range count[round:][:roundParts] {
			next[k] = sum
			sum += c
		}
		x.entries = slices.Grow(x.entries[:0], sum)[:sum]
		entries := x.entries
		eachGram(text, ranges, func(i int, h uint64) {
			if k := h>>(64-partBits) - uint64(round); k < roundParts {
				entries[next[k]] = entry{int32(i), uint32(h << partBits >> 32)}
				next[k]++
			}
		})
		for k := range next {
			part := uint64(round+k) << (64 - partBits)
			n := count[round+k]
			x.fillPart(part, entries[:n], done)
			entries = entries[n:]
			done += n
		}
		passed()
	}
	x.start[1<<size] = int32(sum)
}

// fillPart fills the buckets of a part, whose hashes begin with those of part, from index at on.
func (x *index) fillPart(part uint64, entries []entry, at int) {
	start := x.start[part>>x.shift:][:1<<(64-partBits-x.shift)]
	bucket := func(e entry) uint32 { return e.rest >> (x.shift - 32 + partBits) }
	for _, e := range entries {
		start[bucket(e)]++
		x.filter.add(part | uint64(e.rest)<<(32-partBits))
	}
	for b, c := range start {
		at += int(c)
		start[b] = int32(at)
	}
	for _, e := range slices.Backward(entries) {
		b := bucket(e)
		start[b]--
		x.at[start[b]] = e.at
	}
}

// eachGram calls f with the place and the hash of each gram in ranges of a text that does not follow
// itself.
func eachGram(text []byte, ranges []span.Range, f func(i int, h uint64)) {
	for _, r := range ranges {
		if r.Len < gram {
			continue
		}
		s := text[r.Off:r.End()]
		last := ^binary.LittleEndian.Uint64(s)
		for i := 0; i+gram <= len(s); i++ {
			if g := binary.LittleEndian.Uint64(s[i:]); g != last {
				last = g
				f(int(r.Off)+i, g*multiplier)
			}
		}
	}
}

// bucket returns the suffixes of the bucket of s, sorted.
func (x *index) bucket(s []byte) []int32 {
	b := hash(s) >> x.shift
	at := x.at[x.start[b]:x.start[b+1]]
	if bit := uint64(1) << (b & 63); x.sorted[b>>6]&bit == 0 {
		x.sorted[b>>6] |= bit
		x.sort(at)
		if x.budget < 0 {
			x.depth = leastDepth
		}
	}
	return at
}

// key is a suffix with its first bytes, as numbers of the same order.
type key struct {
	first, second uint64
	at            int32
}

// keyShare bounds the memory for keys, to three bytes for eight of the text: a bucket with more than
// this share of all suffixes is sorted without, which takes longer.
const keyShare = 64

// sort sorts suffixes.
func (x *index) sort(at []int32) {
	if len(at) < 2 {
		return
	}
	if len(at) > len(x.at)/keyShare {
		slices.SortFunc(at, x.compare)
		return
	}
	x.keys = x.keys[:0]
	for _, p := range at {
		t := x.text[p:]
		x.keys = append(x.keys, key{head(t), head(t[min(gram, len(t)):]), p})
	}
	slices.SortFunc(x.keys, func(a, b key) int {
		switch {
		case a.first != b.first:
			return cmp.Compare(a.first, b.first)
		case a.second != b.second:
			return cmp.Compare(a.second, b.second)
		}
		return x.compare(a.at, b.at)
	})
	for k := range at {
		at[k] = x.keys[k].at
	}
}

// compare compares the suffixes that begin at a and b.
func (x *index) compare(a, b int32) int {
	s, t := x.text[a:], x.text[b:]
	s, t = s[:min(x.depth, len(s))], t[:min(x.depth, len(t))]
	k := span.CommonPrefix(s, t)
	x.budget -= int64(k)
	switch {
	case k < len(s) && k < len(t):
		return cmp.Compare(s[k], t[k])
	case len(s) != len(t):
		return cmp.Compare(len(s), len(t))
	}
	return cmp.Compare(a, b)
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

// find returns the place of s among the suffixes of its bucket: at[rank-1] and at[rank] are the ones
// around it, of which the first left and the first right bytes are those of s, up to the depth.
func (x *index) find(at []int32, s []byte) (rank, left, right int) {
	s = s[:min(x.depth, len(s))]
	lo, hi := 0, len(at)
	for lo < hi {
		mid := int(uint(lo+hi) / 2)
		k := min(left, right)
		t := x.text[at[mid]:]
		k += span.CommonPrefix(s[k:], t[k:])
		if k == len(s) || k < len(t) && s[k] < t[k] {
			hi, right = mid, k
		} else {
			lo, left = mid+1, k
		}
	}
	return lo, left, right
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
