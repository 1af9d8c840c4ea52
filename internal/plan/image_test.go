// SPDX-License-Identifier: MIT

package plan

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"

	"swudelta/internal/bsdiff"
)

// Runs that are cut out of material and what is left of it make the material
// again, whatever pieces a run lies in.
func TestCutRuns(t *testing.T) {
	pieces := []piece{{at: 100, n: 50}, {at: 300, n: 10}, {at: 500, n: 100}}
	for _, c := range []struct {
		runs      []bsdiff.Run
		rest, cut []piece
	}{
		{nil, pieces, nil},
		{[]bsdiff.Run{{At: 0, Len: 160}}, nil, pieces},
		{[]bsdiff.Run{{At: 10, Len: 5}, {At: 55, Len: 25}},
			[]piece{{at: 100, n: 10}, {at: 115, n: 35}, {at: 300, n: 5}, {at: 520, n: 80}},
			[]piece{{at: 110, n: 5}, {at: 305, n: 5}, {at: 500, n: 20}}},
		{[]bsdiff.Run{{At: 45, Len: 20}, {At: 159, Len: 1}},
			[]piece{{at: 100, n: 45}, {at: 505, n: 94}},
			[]piece{{at: 145, n: 5}, {at: 300, n: 10}, {at: 500, n: 5}, {at: 599, n: 1}}},
	} {
		rest, cut := cutRuns(pieces, c.runs)
		if !slices.Equal(rest, c.rest) || !slices.Equal(cut, c.cut) {
			t.Errorf("%v: got %v and %v, want %v and %v", c.runs, rest, cut, c.rest, c.cut)
		}
	}
}

// A device with little temporary space gets a delta that needs less of it.
func TestMakeDeviceTmp(t *testing.T) {
	o := options(t)
	old := random(1, 4<<20)
	new := bytes.Clone(old)
	r := rand.New(rand.NewPCG(3, 4))
	for at := 0; at < len(new); at += 30 << 10 {
		new[at+r.IntN(1000)]++
	}
	free, err := Make(input(old), input(new), o)
	if err != nil {
		t.Fatal(err)
	}
	o.DeviceTmp = free.DeviceTmp / 4
	tight, err := Make(input(old), input(new), o)
	if err != nil {
		t.Fatal(err)
	}
	if tight.DeviceTmp > o.DeviceTmp {
		t.Errorf("needs %d bytes of temporary space, want at most %d", tight.DeviceTmp, o.DeviceTmp)
	}
	if got := applied(t, o, old, tight.Delta); !bytes.Equal(got, new) {
		t.Error("applying the delta does not give the target")
	}
}

// Each level of effort makes a delta that gives the target.
func TestMakeEffort(t *testing.T) {
	o := options(t)
	old := random(1, 1<<20)
	new := edits(old)
	for o.Effort = range efforts {
		result, err := Make(input(old), input(new), o)
		if err != nil {
			t.Fatal(err)
		}
		if got := applied(t, o, old, result.Delta); !bytes.Equal(got, new) {
			t.Errorf("level %d: applying the delta does not give the target", o.Effort)
		}
	}
}
