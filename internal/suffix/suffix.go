// SPDX-License-Identifier: MIT

// Package suffix sorts suffixes, for the block sorting of bzip2.
//
// It works by induction: G. Nong, S. Zhang, W. H. Chan, "Linear Suffix
// Array Construction by Almost Pure Induced-Sorting", DCC 2009. In its terms,
// with an imagined sentinel behind the text that is smaller than any symbol: a
// suffix is of type S if it is smaller than its right neighbour, else of type L;
// an LMS position is one of type S whose left neighbour is of type L.
//
// What is done beyond the paper is about memory traffic, which is what the time
// goes into:
//
//   - No type array. A position is stored with its complement (^p) when its left
//     neighbour is not to be induced in the pass at hand. Who writes an entry has
//     just read the text next to it, so the pass that comes along later reads the
//     text for useful entries only.
//   - Most substrings between LMS positions are so short that they fit into the
//     table that otherwise holds their lengths, and are compared there.
//   - LMS positions go back into their buckets as blocks, without a look at the
//     text.
package suffix

import "math"

// MaxSize is the largest text, in bytes: positions are 32-bit, and the value
// above it is kept free.
const MaxSize = math.MaxInt32 - 1

// Array returns the start positions of all suffixes of text in ascending
// order of the suffixes. It works in linear time in the memory of the result,
// for which sa is used when its capacity suffices. The text has at most
// [MaxSize] bytes.
func Array(sa []int32, text []byte) []int32 {
	if len(text) > MaxSize {
		panic("suffix: text too large for 32-bit positions")
	}
	if cap(sa) < len(text) {
		sa = make([]int32, len(text))
	}
	sa = sa[:len(text)]
	sortSuffixes(sa, text, 256, nil)
	return sa
}

// symbol is what texts are made of: bytes, and names of substrings in the texts
// of the recursion.
type symbol interface{ byte | int32 }

// sortSuffixes fills sa with the suffix array of text, whose symbols are below
// k. It keeps its counters in work when they fit.
func sortSuffixes[T symbol](sa []int32, text []T, k int, work []int32) {
	n := len(text)
	if n < 2 {
		clear(sa)
		return
	}
	if len(work) < 2*k {
		work = make([]int32, 2*k)
	}
	count, bucket := work[:k:k], work[k:2*k:2*k]
	clear(count)
	for _, c := range text {
		count[c]++
	}

	// Sort the LMS substrings: the order in which their positions go into the
	// buckets does not matter here.
	clear(sa)
	ends(bucket, count)
	m := 0
	eachLMS(text, func(p int) {
		c := text[p]
		bucket[c]--
		sa[bucket[c]] = int32(p)
		m++
	})
	if m > 1 {
		var lms [256]int32 // how many there are in each bucket, for bytes
		if k <= len(lms) {
			copy(lms[:], bucket)
			ends(bucket, count)
			for c, end := range bucket {
				lms[c] = end - lms[c]
			}
		}
		starts(bucket, count)
		induceL(sa, text, bucket, true)
		ends(bucket, count)
		selectLMS(sa, text, bucket)
		sortLMS(sa, text, m, work[2*k:])

		// Put them into their buckets again, now in order. The write is never
		// left of the read.
		clear(sa[m:])
		ends(bucket, count)
		if k <= len(lms) {
			for c, i := k-1, m; i > 0; c-- {
				n, end := int(lms[c]), int(bucket[c])
				copy(sa[end-n:end], sa[i-n:i])
				clear(sa[i-n : min(i, end-n)])
				i -= n
			}
		} else {
			for i := m - 1; i >= 0; i-- {
				p := sa[i]
				sa[i] = 0
				c := text[p]
				bucket[c]--
				sa[bucket[c]] = p
			}
		}
	}
	starts(bucket, count)
	induceL(sa, text, bucket, false)
	ends(bucket, count)
	induceS(sa, text, bucket)
}

// sortLMS takes the m LMS positions, ordered by their substrings, from the end
// of sa and leaves them, ordered by their suffixes, at its start. It may use work.
func sortLMS[T symbol](sa []int32, text []T, m int, work []int32) {
	n := len(text)
	sorted := sa[n-m:]

	// An LMS substring reaches up to and including the next LMS position. No two
	// of them are neighbours, so half the array holds a number for each.
	slot := sa[:(n+1)/2]
	clear(slot)
	// That is its length, or, for the shortest ones of bytes, which are the most,
	// the substring itself, as a number above all lengths.
	_, bytes := any(text).([]byte)
	next := n
	eachLMS(text, func(p int) {
		key := uint32(next - p + 1)
		switch {
		case next == n:
			key = 0 // ends in the sentinel and equals no other
		case bytes && key == 3:
			key = ^(uint32(text[p])<<16 | uint32(text[p+1])<<8 | uint32(text[p+2]))
		case bytes && key == 4 && text[p] != 0:
			k := ^(uint32(text[p])<<24 | uint32(text[p+1])<<16 | uint32(text[p+2])<<8 | uint32(text[p+3]))
			if k > uint32(n) {
				key = k
			}
		}
		slot[p/2] = int32(key)
		next = p
	})
	// Number the substrings in order, equal ones alike.
	name := int32(0)
	prev, prevKey := 0, ^uint32(0)
	for _, p := range sorted {
		q, key := int(p), uint32(slot[p/2])
		if key != prevKey || key <= uint32(n) && !equal(text[q:q+int(key)], text[prev:prev+int(key)]) {
			name++
		}
		slot[p/2] = name
		prev, prevKey = q, key
	}
	if int(name) == m {
		copy(sa, sorted)
		return
	}

	// The names, in text order, are a text with the same order of suffixes.
	names := sa[n-m:]
	j := m
	for i := len(slot) - 1; j > 0; i-- {
		v := slot[i]
		names[j-1] = v - 1
		j -= int(uint32(-v) >> 31) // if v > 0
	}
	if between := sa[m : n-m]; len(between) > len(work) {
		work = between
	}
	sortSuffixes(sa[:m], names, int(name), work)
	j = m
	eachLMS(text, func(p int) {
		j--
		names[j] = int32(p)
	})
	for i, v := range sa[:m] {
		sa[i] = names[v]
	}
}

// less is -1 if a is less than b, else 0. A branch would have to wait for the text,
// and be wrong often; without one many positions are looked at meanwhile.
func less[T symbol](a, b T) int32 { return (int32(a) - int32(b)) >> 31 }

func equal[T symbol](a, b []T) bool {
	b = b[:len(a)]
	for i, v := range a {
		if v != b[i] {
			return false
		}
	}
	return true
}

// eachLMS calls f for the LMS positions of text from right to left. Types are as
// good as random, so there is no branch for them: positions are collected first.
func eachLMS[T symbol](text []T, f func(p int)) {
	var found [256]int32
	s := uint32(0) // 1: the right neighbour is of type S
	right := int32(text[len(text)-1])
	for p := len(text) - 2; p >= 0; {
		k := 0
		for ; p >= 0 && k < len(found); p-- {
			c := int32(text[p])
			less, greater := uint32(c-right)>>31, uint32(right-c)>>31
			found[k] = int32(p + 1)
			k += int(s & greater)
			s = less | s&^greater
			right = c
		}
		for _, p := range found[:k] {
			f(int(p))
		}
	}
}

// starts sets bucket[c] to the index at which the bucket of c starts.
func starts(bucket, count []int32) {
	at := int32(0)
	for c, n := range count {
		bucket[c] = at
		at += n
	}
}

// ends sets bucket[c] to the index behind the bucket of c.
func ends(bucket, count []int32) {
	at := int32(0)
	for c, n := range count {
		at += n
		bucket[c] = at
	}
}

// induceL sorts the suffixes of type L into the fronts of their buckets, out of
// the LMS positions at the buckets' ends. Afterwards the L entries whose left
// neighbour is of type S are positive. The others are complements, or, with
// drop set, 0.
func induceL[T symbol](sa []int32, text []T, bucket []int32, drop bool) {
	var mask int32
	if drop {
		mask = -1
	}
	// The sentinel induces the last position.
	n := len(text)
	c := text[n-1]
	v := int32(n - 1)
	if text[n-2] < c {
		v = ^v
	}
	sa[bucket[c]] = v
	bucket[c]++
	for j := range sa {
		v := sa[j]
		w := ^v
		sa[j] = w &^ (w >> 31 & mask)
		if v <= 0 {
			continue
		}
		v--
		c := text[v]
		if v == 0 {
			v = ^v
		} else {
			v ^= less(text[v-1], c)
		}
		b := bucket[c]
		sa[b] = v
		bucket[c] = b + 1
	}
}

// selectLMS is induceS for the sorting of LMS substrings: it leaves the LMS
// positions alone, in order, at the end of sa.
func selectLMS[T symbol](sa []int32, text []T, bucket []int32) {
	n := len(text)
	top := n
	for j := n - 1; j >= 0; j-- {
		v := sa[j]
		if v <= 0 {
			if v < 0 {
				top--
				sa[top] = ^v
			}
			continue
		}
		v--
		c := text[v]
		// What has a left neighbour of type L is an LMS position.
		if v != 0 {
			v ^= less(c, text[v-1])
		}
		b := bucket[c] - 1
		sa[b] = v
		bucket[c] = b
	}
}

// induceS sorts the suffixes of type S into the ends of their buckets, out of
// the L entries that are positive, and makes all entries positive.
func induceS[T symbol](sa []int32, text []T, bucket []int32) {
	n := len(text)
	for j := n - 1; j >= 0; j-- {
		v := sa[j]
		if v <= 0 {
			sa[j] = v ^ v>>31
			continue
		}
		v--
		c := text[v]
		if v == 0 {
			v = ^v
		} else {
			v ^= less(c, text[v-1])
		}
		b := bucket[c] - 1
		sa[b] = v
		bucket[c] = b
	}
}
