// SPDX-License-Identifier: MIT

package match

import (
	"slices"
	"testing"
)

func TestContextRanges(t *testing.T) {
	all := Between(0, 600000)
	sites := []Site{{At: 50000, Range: all}, {At: 550010, Range: all}, {At: 10010, Range: all}}
	rangesAt := func(n int, at ...int) (out []Range) {
		for _, a := range at {
			out = append(out, Between(a-n, a+n))
		}
		return out
	}
	most, least := contexts[0].each, contexts[len(contexts)-1].each
	for _, c := range []struct {
		limit int
		want  []Range
	}{
		{1 << 30, rangesAt(most, 10010, 50000, 550010)},
		// With less room, less of each; with still less, fewer of them.
		{6 * least, rangesAt(least, 10010, 50000, 550010)},
		{6*least - 1, rangesAt(least, 10010, 50000)},
	} {
		if got := ContextRanges(sites, c.limit); !slices.Equal(got, c.want) {
			t.Errorf("limit %d: got %v, want %v", c.limit, got, c.want)
		}
	}
}

// Fresh bytes may leave no room at all in the window.
func TestContextRangesNoRoom(t *testing.T) {
	for _, sites := range [][]Site{nil, {{At: 5000, Range: Between(0, 10000)}}} {
		for _, limit := range []int{0, -1} {
			if got := ContextRanges(sites, limit); len(got) != 0 {
				t.Errorf("limit %d: got %v", limit, got)
			}
		}
	}
}
