// SPDX-License-Identifier: MIT

package bzip2

// Suffix sorting by induction: G. Nong, S. Zhang, W. H. Chan, "Linear Suffix
// Array Construction by Almost Pure Induced-Sorting", DCC 2009. In its terms,
// with an imagined sentinel behind the text that is smaller than any symbol: a
// suffix is of type S if it is smaller than its right neighbour, else of type L;
// an LMS position is one of type S whose left neighbour is of type L.
//
// There is no array of types: a position is stored with its complement (^p)
// when its left neighbour is not to be induced in the pass at hand.

// symbol is what texts are made of: bytes, and names of substrings in the texts
// of the recursion.
type symbol interface{ byte | int32 }

// sortSuffixes fills sa, which is as long as text, with the start positions of
// text's suffixes in ascending order. The symbols are below k. It takes linear
// time, whatever the text, and keeps its counters in work when they fit.
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
		starts(bucket, count)
		induceL(sa, text, bucket, true)
		ends(bucket, count)
		selectLMS(sa, text, bucket)
		sortLMS(sa, text, m)

		// Put them into their buckets again, now in order. The write is never
		// left of the read.
		clear(sa[m:])
		ends(bucket, count)
		for i := m - 1; i >= 0; i-- {
			p := sa[i]
			sa[i] = 0
			c := text[p]
			bucket[c]--
			sa[bucket[c]] = p
		}
	}
	starts(bucket, count)
	induceL(sa, text, bucket, false)
	ends(bucket, count)
	induceS(sa, text, bucket)
}

// sortLMS takes the m LMS positions, ordered by their substrings, from the end
// of sa and leaves them, ordered by their suffixes, at its start.
func sortLMS[T symbol](sa []int32, text []T, m int) {
	n := len(text)
	sorted := sa[n-m:]

	// An LMS substring reaches up to and including the next LMS position. No two
	// of them are neighbours, so half the array holds a number for each.
	slot := sa[:(n+1)/2]
	clear(slot)
	next := -1
	eachLMS(text, func(p int) {
		// The last one ends in the sentinel and equals no other.
		length := 0
		if next >= 0 {
			length = next - p + 1
		}
		slot[p/2] = int32(length)
		next = p
	})
	// Number the substrings in order, equal ones alike.
	name := int32(0)
	prev, prevLen := 0, -1
	for _, p := range sorted {
		q, length := int(p), int(slot[p/2])
		if length != prevLen || !equal(text[q:q+length], text[prev:prev+length]) {
			name++
		}
		slot[p/2] = name
		prev, prevLen = q, length
	}
	if int(name) == m {
		copy(sa, sorted)
		return
	}

	// The names, in text order, are a text with the same order of suffixes.
	names := sa[n-m:]
	j := m
	for i := len(slot) - 1; i >= 0; i-- {
		if v := slot[i]; v != 0 {
			j--
			names[j] = v - 1
		}
	}
	sortSuffixes(sa[:m], names, int(name), sa[m:n-m])
	j = m
	eachLMS(text, func(p int) {
		j--
		names[j] = int32(p)
	})
	for i, v := range sa[:m] {
		sa[i] = names[v]
	}
}

func equal[T symbol](a, b []T) bool {
	b = b[:len(a)]
	for i, v := range a {
		if v != b[i] {
			return false
		}
	}
	return true
}

// eachLMS calls f for the LMS positions of text from right to left.
func eachLMS[T symbol](text []T, f func(p int)) {
	s := false
	right := text[len(text)-1]
	for p := len(text) - 2; p >= 0; p-- {
		c := text[p]
		if c < right {
			s = true
		} else if c > right {
			if s {
				f(p + 1)
			}
			s = false
		}
		right = c
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
		if v == 0 || text[v-1] < c {
			v = ^v
		}
		b := bucket[c]
		sa[b] = v
		bucket[c] = b + 1
	}
}

// selectLMS is induceS for the sorting of LMS substrings: it leaves the LMS
// positions alone, in order, at the end of sa.
func selectLMS[T symbol](sa []int32, text []T, bucket []int32) {
	top := len(sa)
	for j := len(sa) - 1; j >= 0; j-- {
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
		if v != 0 && text[v-1] > c {
			v = ^v
		}
		b := bucket[c] - 1
		sa[b] = v
		bucket[c] = b
	}
}

// induceS sorts the suffixes of type S into the ends of their buckets, out of
// the L entries that are positive, and makes all entries positive.
func induceS[T symbol](sa []int32, text []T, bucket []int32) {
	for j := len(sa) - 1; j >= 0; j-- {
		v := sa[j]
		if v <= 0 {
			sa[j] = v ^ v>>31
			continue
		}
		v--
		c := text[v]
		if v == 0 || text[v-1] > c {
			v = ^v
		}
		b := bucket[c] - 1
		sa[b] = v
		bucket[c] = b
	}
}
