// SPDX-License-Identifier: MIT

package bsdiff

import (
	"bytes"
	"math/rand"
	"slices"
	"sort"
	"testing"

	"swudelta/internal/span"
	"swudelta/internal/suffix"
)

// The place of a string is that which a search through all suffixes finds.
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
			sa := suffix.Array(nil, text)
			x.fill(text, sa)
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
				shared := func(rank int) int {
					if rank < 0 || rank == len(sa) {
						return 0
					}
					n := span.CommonPrefix(s, text[sa[rank]:])
					if n < gram {
						return 0
					}
					return n
				}
				want := sort.Search(len(sa), func(k int) bool { return bytes.Compare(text[sa[k]:], s) >= 0 })
				rank, left, right := x.find(s)
				if left < gram {
					left = 0
				}
				if right < gram {
					right = 0
				}
				if rank != want || left != shared(want-1) || right != shared(want) {
					t.Fatalf("%d bytes of %d values, %x: found %d %d %d, want %d %d %d", size, symbols, s, rank, left, right, want, shared(want-1), shared(want))
				}
			}
		}
	}
}
