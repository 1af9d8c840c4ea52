// SPDX-License-Identifier: MIT

package match

import (
	"bytes"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestVotes(t *testing.T) {
	var v votes
	for i, move := range []int{5, 1 << 40, 5, 6, -1 << 40, 1 << 42, 7, 1 << 40} {
		v.add(move, int32(i%2+1))
	}
	most := v[0]
	for _, o := range v {
		if o.n > most.n {
			most = o
		}
	}
	if !sameDisplacement(most.displacement, 5) {
		t.Errorf("the majority of %+v is %+v, want about 5", v, most)
	}
}

func TestArrange(t *testing.T) {
	const u = placeUnit
	far := 100 * displacementSlack
	v := make([]votes, 40)
	for i := range v {
		switch {
		case i < 10: // unit 7 is noDisplacement
			v[i].add(far+i, displacementCost)
		case i < 20: // 18 and 19 are noDisplacement
			v[i].add(0, displacementCost)
		case i < 30: // a single unit of another opinion
			v[i].add(2*far, displacementCost)
		}
	}
	v[7], v[18], v[19] = votes{}, votes{}, votes{}
	v[25] = votes{{displacement: 0, n: displacementCost}}
	ask := func([][]unit) {}
	got := arrange([][]piece{{{at: 0, n: 15 * u}, {at: 16 * u, n: 14 * u}, {at: 31*u + 5, n: 9*u - 5}}}, v, ask)
	if want := []piece{{at: 10 * u, n: 5 * u}, {at: 16 * u, n: 2 * u}, {at: 0, n: 10 * u}, {at: 20 * u, n: 10 * u}}; !slices.Equal(got.order, want) {
		t.Errorf("order %v, want %v", got.order, want)
	}
	if want := []piece{{at: 18 * u, n: 2 * u}, {at: 31*u + 5, n: 9*u - 5}}; !slices.Equal(got.unplaced, want) {
		t.Errorf("unplaced %v, want %v", got.unplaced, want)
	}
	if p := got.places[3]; p.at != 3*u || !sameDisplacement(p.off, 3*u+far) {
		t.Errorf("unit 3 is thought to come from %+v, want about %d", p, 3*u+far)
	}
	if got := arrange([][]piece{{{at: 20 * u, n: 10 * u}}}, v, ask); got.order != nil || got.unplaced != nil {
		t.Errorf("what is in order was arranged: %+v", got)
	}
	// Others know where what is unplaced comes from.
	got = arrange([][]piece{{{at: 0, n: 20 * u}}}, v, func(unresolved [][]unit) {
		for _, s := range unresolved {
			for _, w := range s {
				v[w.at/u].add(-far, 1)
			}
		}
	})
	if want := []piece{{at: 18 * u, n: 2 * u}, {at: 10 * u, n: 8 * u}, {at: 0, n: 10 * u}}; !slices.Equal(got.order, want) || got.unplaced != nil {
		t.Errorf("order %v, unplaced %v, want %v", got.order, got.unplaced, want)
	}
}

// Code with changed addresses has few anchors, but short windows that tell where it
// comes from.
func TestShortWindows(t *testing.T) {
	old := random(1, 4<<20)
	copy(old[1<<20:], old[3<<20:3<<20+8<<10]) // ambiguous
	const from, n = 2<<20 + 5, 64 << 10
	target := slices.Clone(old[from : from+n])
	for i := range target {
		if i%20 == 7 {
			target[i] ^= 0x55
		}
	}
	target = append(append(target, random(2, n)...), old[3<<20:3<<20+8<<10]...)
	var unresolved []unit
	for at := 0; at < len(target); at += placeUnit {
		unresolved = append(unresolved, unit{piece: piece{at: at, n: placeUnit}})
	}
	v := make([]votes, len(unresolved))
	voteShortWindows(testIndex(old), target, []piece{{n: len(target)}}, [][]unit{unresolved}, v, math.MaxInt64, nil)
	for i, o := range v {
		if known := o != (votes{}); known != (i < n/placeUnit) || known && !sameDisplacement(o[0].displacement, from) {
			t.Errorf("unit %d: %+v", i, o)
		}
	}
}

// Opinions that nobody else shares do not pile up, and change nothing.
func TestMovesNoise(t *testing.T) {
	const n = 20_000
	r := rand.New(rand.NewPCG(3, 4))
	units := make([]unit, n)
	v := make([]votes, n)
	for i := range units {
		units[i] = unit{piece: piece{at: i * placeUnit, n: placeUnit}, follows: i > 0}
		for range len(v[i]) {
			v[i].add(int(r.Uint64N(1<<50)), 1)
		}
	}
	v[0] = votes{{displacement: 5, n: displacementCost}}
	v[n-1] = votes{{displacement: 6, n: 1}}
	if got := displacements(units, v); !slices.Equal(got, []Range{Between(0, n)}) {
		t.Errorf("%d ranges, want one", len(got))
	}
}

// Where files lie in pieces, these belong together.
func TestInOrder(t *testing.T) {
	h := newHints(nil, []Object{
		{name: "a", pieces: []extent{{logical: 0, at: 5000, n: 1000}, {logical: 1000, at: 1000, n: 500}}},
		{name: "b", pieces: []extent{{logical: 0, at: 7000, n: 1000}, {logical: 1000, at: 2000, n: 1000}}},
	})
	got := h.inOrder([]piece{{at: 0, n: 2500}, {at: 5100, n: 3000}})
	want := [][]piece{
		{{at: 0, n: 1000}}, // of nothing
		{{at: 5100, n: 900}, {at: 1000, n: 500}},
		{{at: 1500, n: 500}},
		{{at: 7000, n: 1000}, {at: 2000, n: 500}},
		{{at: 6000, n: 1000}},
		{{at: 8000, n: 100}},
	}
	if !slices.EqualFunc(got, want, slices.Equal) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// Zeros among what is unplaced become entries of the table, also where something
// repeats them.
func TestZeros(t *testing.T) {
	target := slices.Concat(random(1, 20000), make([]byte, minMoved), random(2, 30000), make([]byte, minMoved-1), []byte{1})
	unplaced, zeros := withoutZeros(target, []piece{{at: 100, n: len(target) - 100}})
	if want := []piece{{at: 100, n: 19900}, {at: 20000 + minMoved, n: len(target) - 20000 - minMoved}}; !slices.Equal(unplaced, want) {
		t.Errorf("unplaced %v, want %v", unplaced, want)
	}
	d := &division{pieces: []piece{{at: 0, n: len(target)}, {kind: repeated, at: len(target), n: 20000, off: 15000}}}
	d.zero(zeros)
	want := []piece{
		{at: 0, n: 20000}, {kind: isZero, at: 20000, n: minMoved}, {at: 20000 + minMoved, n: len(target) - 20000 - minMoved},
		{kind: repeated, at: len(target), n: 20000, off: 15000},
	}
	if !slices.Equal(d.pieces, want) {
		t.Fatalf("pieces %v, want %v", d.pieces, want)
	}
	target = append(target, target[15000:35000]...)
	made := []*madePack{{pack: &pack{material: []piece{d.pieces[2], d.pieces[0]}}}}
	source := slices.Concat(target[d.pieces[2].at:d.pieces[2].end()], target[:20000])
	var got []byte
	for _, c := range newTable(target, d.pieces, made, 0, 0).entries {
		if c.Zero {
			got = append(got, make([]byte, c.Len)...)
			continue
		}
		got = append(got, source[c.Off:c.Off+c.Len]...)
	}
	if !bytes.Equal(got, target) {
		t.Error("the table makes something else")
	}
}

// An index of short windows has fewer of them where there is little memory, or is none.
func TestShortIndexFitsMemory(t *testing.T) {
	data := random(1, 4<<20)
	for _, c := range []struct {
		memory int64
		bits   int // 0: none
	}{{1 << 30, 3}, {1 << 20, 6}, {320 << 10, 7}, {100 << 10, 0}} {
		x := newShortIndex(data, nil, c.memory, nil)
		switch {
		case x == nil:
			if c.bits != 0 {
				t.Errorf("%d bytes: none", c.memory)
			}
		case x.bits != c.bits || int64(shortSlot*len(x.slots)) > c.memory:
			t.Errorf("%d bytes: one in %d windows, %d slots", c.memory, 1<<x.bits, len(x.slots))
		}
	}
}
