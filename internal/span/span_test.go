// SPDX-License-Identifier: MIT

package span

import (
	"bytes"
	"slices"
	"testing"
)

func TestCommon(t *testing.T) {
	a := []byte("0123456789abcdefghijklmnopqrstuvwxyz")
	for n := range len(a) + 1 {
		for i := range n {
			b := bytes.Clone(a[:n])
			b[i] ^= 0x80
			if got := CommonPrefix(a, b); got != i {
				t.Errorf("prefix: got %d, want %d of %d", got, i, n)
			}
			if got := CommonSuffix(a[:n], b); got != n-1-i {
				t.Errorf("suffix: got %d, want %d of %d", got, n-1-i, n)
			}
		}
		if got := CommonPrefix(a[:n], a); got != n {
			t.Errorf("prefix: got %d, want all of %d", got, n)
		}
		if got := CommonSuffix(a, a[len(a)-n:]); got != n {
			t.Errorf("suffix: got %d, want all of %d", got, n)
		}
	}
}

func TestAllZero(t *testing.T) {
	for n := range 20 {
		b := make([]byte, n)
		if !AllZero(b) {
			t.Errorf("%d zeros are none", n)
		}
		for i := range b {
			b[i] = 1
			if AllZero(b) {
				t.Errorf("%v are zeros", b)
			}
			b[i] = 0
		}
	}
}

func TestCompare(t *testing.T) {
	sorted := []Range{{0, 5}, {1, 2}, {1, 3}, {7, 0}}
	got := []Range{sorted[2], sorted[0], sorted[3], sorted[1]}
	slices.SortFunc(got, Range.Compare)
	if !slices.Equal(got, sorted) || got[1].End() != 3 {
		t.Errorf("got %v", got)
	}
}
