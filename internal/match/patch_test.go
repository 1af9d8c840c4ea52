// SPDX-License-Identifier: MIT

package match

import (
	"slices"
	"testing"

	"swudelta/internal/bsdiff"
	"swudelta/internal/span"
)

// Runs that are cut out of material and what is left of it make the material
// again, whatever pieces a run lies in.
func TestCutRuns(t *testing.T) {
	pieces := []piece{{at: 100, n: 50}, {at: 300, n: 10}, {at: 500, n: 100}}
	for _, c := range []struct {
		runs      []span.Range
		rest, cut []piece
	}{
		{nil, pieces, nil},
		{[]span.Range{{Off: 0, Len: 160}}, nil, pieces},
		{[]span.Range{{Off: 10, Len: 5}, {Off: 55, Len: 25}},
			[]piece{{at: 100, n: 10}, {at: 115, n: 35}, {at: 300, n: 5}, {at: 520, n: 80}},
			[]piece{{at: 110, n: 5}, {at: 305, n: 5}, {at: 500, n: 20}}},
		{[]span.Range{{Off: 45, Len: 20}, {Off: 159, Len: 1}},
			[]piece{{at: 100, n: 45}, {at: 505, n: 94}},
			[]piece{{at: 145, n: 5}, {at: 300, n: 10}, {at: 500, n: 5}, {at: 599, n: 1}}},
	} {
		rest, cut := cutRuns(pieces, c.runs)
		if !slices.Equal(rest, c.rest) || !slices.Equal(cut, c.cut) {
			t.Errorf("%v: got %v and %v, want %v and %v", c.runs, rest, cut, c.rest, c.cut)
		}
	}
}

func TestInsertions(t *testing.T) {
	ranges := []Range{Between(0, 100000), Between(500000, 600000)}
	p := &bsdiff.Patch{Controls: []bsdiff.Control{
		{Add: 50000, Extra: 200},                // in the first range
		{Add: 10, Extra: 5, Seek: 60000},        // too short
		{Add: 40000, Extra: 300, Seek: -140000}, // in the second one, and where it goes on
		{Add: 10},
	}}
	want := []Site{{50000, ranges[0]}, {550010, ranges[1]}, {10010, ranges[0]}}
	if got := insertions(p, ranges, 128); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestUnion(t *testing.T) {
	s := []Range{Between(50, 60), Between(10, 20), Between(15, 30), Between(30, 40), Between(100, 100)}
	if got, want := Union(s), []Range{Between(10, 40), Between(50, 60)}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
