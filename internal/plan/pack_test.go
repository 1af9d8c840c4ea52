// SPDX-License-Identifier: MIT

package plan

import (
	"slices"
	"testing"
)

func TestGaps(t *testing.T) {
	const k = surrounding
	spans := []span{{0, k}, {2 * k, 3 * k}, {9 * k, 10 * k}, {20 * k, 21 * k}}
	ranges := mergeSpans(slices.Clone(spans), 7*k, mergeGap)
	if want := []span{{0, 10 * k}, {20 * k, 21 * k}}; !slices.Equal(ranges, want) {
		t.Fatalf("ranges %v, want %v", ranges, want)
	}
	// What lies between the first two is near both; of the rest, the middle is filler.
	if got, want := gaps(ranges, spans), []span{{4 * k, 8 * k}}; !slices.Equal(got, want) {
		t.Errorf("gaps %v, want %v", got, want)
	}
	p := &pack{ranges: []span{{5, 10 * k}, {20 * k, 40 * k}}, filler: []span{{4 * k, 8 * k}, {30 * k, 35 * k}}}
	got := p.unsorted()
	if len(got) != 2 || got[0].At != 4*k-5 || got[0].Len != 4*k || got[1].At != 10*k-5+10*k || got[1].Len != 5*k {
		t.Errorf("unsorted %v", got)
	}
}

func TestWiden(t *testing.T) {
	for _, c := range []struct {
		n           int
		want, added []span
	}{
		{0, []span{{10, 20}, {50, 90}}, nil},
		{5, []span{{10, 20}, {50, 95}}, []span{{90, 95}}},
		{12, []span{{10, 22}, {50, 100}}, []span{{20, 22}, {90, 100}}},
		{1000, []span{{10, 50}, {50, 100}}, []span{{20, 50}, {90, 100}}},
	} {
		ranges := []span{{10, 20}, {50, 90}}
		if added := widen(ranges, c.n, 100); !slices.Equal(ranges, c.want) || !slices.Equal(added, c.added) {
			t.Errorf("%d: %v, added %v, want %v, %v", c.n, ranges, added, c.want, c.added)
		}
	}
}
