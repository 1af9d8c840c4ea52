// SPDX-License-Identifier: MIT

package bzip2

import "slices"

var (
	optUnit  = 8192
	optDiv   = 4
	optPrune = 1.02
)

// encode writes the blocks of a window and returns their ends in src.
func (k *worker) encode(w *bitWriter, src []byte) (ends []int) {
	// Units
	k.window = k.window[:0]
	var raw, coded []int // ends
	for p := 0; p < len(src); {
		b, n := rle(k.window[len(k.window):], src[p:], optUnit)
		_ = b
		k.window = append(k.window, b...)
		p += n
		raw = append(raw, p)
		coded = append(coded, len(k.window))
	}
	cuts := []int{len(raw)}
	if optDP {
		cuts = k.split(coded)
	}
	a := 0
	for _, c := range cuts {
		lo, clo := 0, 0
		if a > 0 {
			lo, clo = raw[a-1], coded[a-1]
		}
		k.block(w, src[lo:raw[c-1]], k.window[clo:coded[c-1]])
		ends = append(ends, raw[c-1])
		a = c
	}
	return ends
}

// split returns the ends of blocks, in units.
func (k *worker) split(coded []int) []int {
	n := len(coded)
	last, _ := k.sort(k.window)
	last = slices.Clone(last)
	// Unit of each row
	size := len(k.window)
	k.unit = slices.Grow(k.unit[:0], size)[:size]
	k.spread = slices.Grow(k.spread[:0], size)[:size]
	of := make([]uint8, size)
	at := 0
	for u, e := range coded {
		for ; at < e; at++ {
			of[at] = uint8(u)
		}
	}
	for i, p := range k.sa[:size] {
		// the text is rotated
		q := int(p) + k.turn
		if q >= size {
			q -= size
		}
		k.unit[i] = of[q]
	}
	start := func(u int) int {
		if u == 0 {
			return 0
		}
		return coded[u-1]
	}
	best := make([]int64, n+1)
	from := make([]int, n+1)
	single := map[[2]int]int64{}
	relax := func() {
		for j := 1; j <= n; j++ {
			best[j] = 1 << 60
		}
		for j := 1; j <= n; j++ {
			for i := j - 1; i >= 0; i-- {
				if c, ok := single[[2]int{i, j}]; ok && best[i]+c < best[j] {
					best[j], from[j] = best[i]+c, i
				}
			}
		}
	}
	pass := func(length, offset int) {
		// offset in 0..length-1: spans start at offset + m*length
		var next [257]int
		type span struct{ i, j int }
		var spans []span
		for u := range n {
			i := u
			if (u-offset)%length == 0 && u+length <= n && k.worth(i, i+length, single, best) {
				spans = append(spans, span{i, i + length})
			}
		}
		if len(spans) == 0 {
			return
		}
		var bucket [256]int
		for u := range bucket {
			bucket[u] = -1
		}
		for m, s := range spans {
			next[m] = start(s.i)
			for u := s.i; u < s.j; u++ {
				bucket[u] = m
			}
		}
		for i, u := range k.unit {
			b := bucket[u]
			if b < 0 {
				continue
			}
			k.spread[next[b]] = last[i]
			next[b]++
		}
		for _, s := range spans {
			part := k.spread[start(s.i):coded[s.j-1]]
			var used [256]bool
			for _, c := range part {
				used[c] = true
			}
			var alpha int
			k.mtf, alpha = moveToFront(k.mtf[:0], part, &used)
			single[[2]int{s.i, s.j}] = k.estimate(k.mtf, alpha) + 48 + 32 + 25 + 16 + 18 + int64(alpha/16+1)*16
		}
	}
	for i := range best {
		best[i] = -1
	}
	for length := 1; length <= n; {
		step := max(1, length/optDiv)
		for offset := 0; offset < length; offset += step {
			pass(length, offset)
		}
		relax()
		switch {
		case length < 4:
			length++
		case length&(length-1) == 0:
			length += length / 2
		default:
			length += length / 3
		}
	}
	if _, ok := single[[2]int{0, n}]; !ok {
		pass(n, 0)
	}
	relax()
	var cuts []int
	for j := n; j > 0; j = from[j] {
		cuts = append(cuts, j)
	}
	slices.Reverse(cuts)
	return cuts
}

func (k *worker) worth(i, j int, single map[[2]int]int64, best []int64) bool {
	if best[j] < 0 || j-i <= 2 {
		return true
	}
	// sub spans
	m := 0.0
	ok := false
	for a := i; a < j; a++ {
		for b := a + (j-i)/2; b <= min(j, a+(j-i)*3/4); b++ {
			if c, has := single[[2]int{a, b}]; has {
				ok = true
				r := float64(best[b]-best[a]) / float64(c)
				m = max(m, r)
			}
		}
	}
	return !ok || m*optPrune >= 1
}
