// SPDX-License-Identifier: MIT

package bsdiff

import (
	"bytes"
	"math/rand"
	"slices"
	"testing"

	"swudelta/internal/span"
)

// The suffixes around the place of a string have its longest match, as a look at all of them finds
// it, but that of grams that follow themselves only the first counts.
func TestIndexFind(t *testing.T) {
	rnd := rand.New(rand.NewSource(6))
	var x index
	for _, size := range []int{5000, 0, 1, 7, 8, 15, 16, 17, 100, 700} {
		for _, symbols := range []int{1, 2, 3, 256} {
			text := randomBytes(rnd, size, symbols)
			if rnd.Intn(2) == 0 { // as the greatest strings
				for i := range text {
					text[i] = ^text[i]
				}
			}
			if size > 300 {
				copy(text[size/2:], text[:size/3])
				for k := range 60 {
					text[k], text[100+k] = 0, 255
				}
			}
			ranges := []span.Range{{Off: 0, Len: int64(size)}}
			if size > 300 && symbols > 2 {
				ranges = []span.Range{{Off: 3, Len: 100}, {Off: 110, Len: 5}, {Off: 150, Len: int64(size - 150)}}
			}
			x.fill(text, ranges, func() {})
			if size == 5000 && symbols == 3 {
				x.budget = 0 // the depth becomes least at once
			}
			var indexed []int
			for _, r := range ranges {
				for i := r.Off; i+gram <= r.End(); i++ {
					if i == r.Off || !bytes.Equal(text[i:i+gram], text[i-1:i-1+gram]) {
						indexed = append(indexed, int(i))
					}
				}
			}
			for try := range 300 {
				s := randomBytes(rnd, gram+rnd.Intn(20), symbols)
				switch {
				case try%10 == 0:
					s = bytes.Repeat([]byte{255 * byte(rnd.Intn(2))}, gram+rnd.Intn(20))
				case size > gram && try%3 > 0:
					s = slices.Clone(text[rnd.Intn(size-gram+1):])
					s = s[:gram+rnd.Intn(len(s)-gram+1)]
					s[rnd.Intn(len(s))] += byte(rnd.Intn(2))
				}
				at := x.bucket(s)
				rank, left, right := x.find(at, s)
				want := 0
				for _, i := range indexed {
					want = max(want, span.CommonPrefix(s, text[i:]))
				}
				if want = min(want, x.depth); want < gram {
					want = 0
				}
				got := max(left, right)
				if got < gram {
					got = 0
				}
				if got != want {
					t.Fatalf("%d bytes of %d values, %x: found %d bytes, want %d", size, symbols, s, got, want)
				}
				if left > 0 && span.CommonPrefix(s, text[at[rank-1]:]) < left || right > 0 && span.CommonPrefix(s, text[at[rank]:]) < right {
					t.Fatalf("%d bytes of %d values, %x: fewer than %d and %d bytes are equal", size, symbols, s, left, right)
				}
				if x.filtered(s)&1 == 0 && want > 0 {
					t.Fatalf("%d bytes of %d values, %x is filtered out", size, symbols, s)
				}
				if !slices.IsSortedFunc(at, func(p, q int32) int {
					a, b := text[p:], text[q:]
					return bytes.Compare(a[:min(x.depth, len(a))], b[:min(x.depth, len(b))])
				}) {
					t.Fatalf("%d bytes of %d values: the bucket of %x is not sorted", size, symbols, s)
				}
			}
		}
	}
}
