// SPDX-License-Identifier: MIT

package suffix

import (
	"bytes"
	"index/suffixarray"
	"math/rand"
	"slices"
	"sort"
	"testing"

	"swudelta/internal/tooltest"
)

func naiveSuffixes(text []byte) []int32 {
	sa := make([]int32, len(text))
	for i := range sa {
		sa[i] = int32(i)
	}
	sort.Slice(sa, func(i, j int) bool { return bytes.Compare(text[sa[i]:], text[sa[j]:]) < 0 })
	return sa
}

func TestArrayShort(t *testing.T) {
	// All texts over small alphabets, up to some length.
	for _, c := range []struct{ k, n int }{{2, 14}, {3, 9}, {4, 7}} {
		for n := 0; n <= c.n; n++ {
			text := make([]byte, n)
			for {
				got := Array(nil, text)
				if want := naiveSuffixes(text); !slices.Equal(got, want) {
					t.Fatalf("%v: got %v, want %v", text, got, want)
				}
				i := 0
				for ; i < n; i++ {
					if text[i]++; int(text[i]) < c.k {
						break
					}
					text[i] = 0
				}
				if i == n {
					break
				}
			}
		}
	}
}

func TestArrayRandom(t *testing.T) {
	rnd := rand.New(rand.NewSource(1))
	var sa []int32
	for i := 0; i < 3000; i++ {
		text := make([]byte, rnd.Intn(400))
		k := 1 + rnd.Intn(1<<(1+rnd.Intn(8)))
		for j := range text {
			text[j] = byte(255 - rnd.Intn(k)*255/k)
		}
		for c := rnd.Intn(4); c > 0 && len(text) > 2; c-- {
			at := rnd.Intn(len(text))
			copy(text[at:], text[rnd.Intn(len(text)):])
		}
		sa = Array(sa, text)
		if want := naiveSuffixes(text); !slices.Equal(sa, want) {
			t.Fatalf("text %v: got %v, want %v", text, sa, want)
		}
	}
}

// The peer sorts the same image in the same run; it also makes an index of it.
func BenchmarkArray(b *testing.B) {
	image := tooltest.Image(b, "patch", "source")
	b.Run("own", func(b *testing.B) {
		b.SetBytes(int64(len(image)))
		sa := make([]int32, len(image))
		for b.Loop() {
			Array(sa, image)
		}
	})
	b.Run("index/suffixarray", func(b *testing.B) {
		b.SetBytes(int64(len(image)))
		for b.Loop() {
			suffixarray.New(image)
		}
	})
}
