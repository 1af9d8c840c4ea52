// SPDX-License-Identifier: MIT

package match

import (
	"slices"
	"testing"

	"swudelta/internal/span"
)

func TestGaps(t *testing.T) {
	const k = margin
	spans := []Range{Between(0, k), Between(2*k, 3*k), Between(9*k, 10*k), Between(20*k, 21*k)}
	ranges := Merge(slices.Clone(spans), 7*k, mergeGap)
	if want := []Range{Between(0, 10*k), Between(20*k, 21*k)}; !slices.Equal(ranges, want) {
		t.Fatalf("ranges %v, want %v", ranges, want)
	}
	// What lies between the first two is near both; of the rest, the middle is filler.
	if got, want := gaps(ranges, spans), []Range{Between(4*k, 8*k)}; !slices.Equal(got, want) {
		t.Errorf("gaps %v, want %v", got, want)
	}
	p := &pack{ranges: []Range{Between(5, 10*k), Between(20*k, 40*k)}, idle: []Range{Between(4*k, 8*k), Between(30*k, 35*k)}}
	got := p.skipped()
	if len(got) != 2 || got[0].Off != 4*k-5 || got[0].Len != 4*k || got[1].Off != 10*k-5+10*k || got[1].Len != 5*k {
		t.Errorf("skipped %v", got)
	}
}

// What is copied as a whole is left out of the search in a large old side, up to the bounds of its
// ranges, also where these touch.
func TestLeaveOut(t *testing.T) {
	const m = 1 << 20
	copied := []Range{Between(0, 5*m), Between(20*m, 50*m), Between(70*m, 71*m)}
	p := &pack{ranges: []Range{Between(2*m, 10*m), Between(15*m, 30*m), Between(30*m, 60*m)}, idle: []Range{Between(4*m, 6*m)}}
	p.leaveOut(copied)
	if want := []Range{Between(2*m, 6*m), Between(20*m, 50*m)}; !slices.Equal(p.idle, want) {
		t.Errorf("idle %v, want %v", p.idle, want)
	}
	want := []span.Range{{Off: 0, Len: 4 * m}, {Off: 13 * m, Len: 10 * m}, {Off: 23 * m, Len: 20 * m}}
	if got := p.skipped(); !slices.Equal(got, want) {
		t.Errorf("skipped %v, want %v", got, want)
	}
	p = &pack{ranges: []Range{Between(0, searchAll)}}
	if p.leaveOut(copied); p.idle != nil {
		t.Errorf("idle %v in a small old side, want nothing", p.idle)
	}
}

func TestWiden(t *testing.T) {
	for _, c := range []struct {
		n           int
		want, added []Range
	}{
		{0, []Range{Between(10, 20), Between(50, 90)}, nil},
		{5, []Range{Between(10, 20), Between(50, 95)}, []Range{Between(90, 95)}},
		{12, []Range{Between(10, 22), Between(50, 100)}, []Range{Between(20, 22), Between(90, 100)}},
		{1000, []Range{Between(10, 50), Between(50, 100)}, []Range{Between(20, 50), Between(90, 100)}},
	} {
		ranges := []Range{Between(10, 20), Between(50, 90)}
		if added := widen(ranges, c.n, 100); !slices.Equal(ranges, c.want) || !slices.Equal(added, c.added) {
			t.Errorf("%d: %v, added %v, want %v, %v", c.n, ranges, added, c.want, c.added)
		}
	}
}
