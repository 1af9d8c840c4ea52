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
