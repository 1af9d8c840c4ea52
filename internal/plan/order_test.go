// SPDX-License-Identifier: MIT

package plan

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestVote(t *testing.T) {
	var v vote
	for _, move := range []int{5, 1 << 30, 5, 6, -1 << 30, 7, 1 << 30} {
		v.add(move, 1)
	}
	if v.n != 1 || !near(v.move, 5) {
		t.Errorf("the majority is %+v, want about 5", v)
	}
}

func TestArrange(t *testing.T) {
	const u = placeUnit
	far := 100 * nearby
	votes := make([]vote, 40)
	for i := range votes {
		switch {
		case i < 10: // unit 7 is nowhere
			votes[i] = vote{far + i, leastVotes}
		case i < 20: // 18 and 19 are nowhere
			votes[i] = vote{0, leastVotes}
		case i < 30: // a single unit of another opinion
			votes[i] = vote{2 * far, leastVotes}
		}
	}
	votes[7].n, votes[18].n, votes[19].n = 0, 0, leastVotes-1
	votes[25].move = 0
	got, lost := arrange([]piece{{at: 0, n: 15 * u}, {at: 16 * u, n: 14 * u}, {at: 31*u + 5, n: 9*u - 5}}, votes)
	if want := []piece{{at: 10 * u, n: 5 * u}, {at: 16 * u, n: 2 * u}, {at: 0, n: 10 * u}, {at: 20 * u, n: 10 * u}}; !slices.Equal(got, want) {
		t.Errorf("order %v, want %v", got, want)
	}
	if want := []piece{{at: 18 * u, n: 2 * u}, {at: 31*u + 5, n: 9*u - 5}}; !slices.Equal(lost, want) {
		t.Errorf("lost %v, want %v", lost, want)
	}
	if got, lost := arrange([]piece{{at: 20 * u, n: 10 * u}, {at: 31 * u, n: 9 * u}}, votes); got != nil || lost != nil {
		t.Errorf("what is in order was arranged: %v, %v", got, lost)
	}
}

// Pieces of an image in another order cost little more than in order, although no
// pack can hold the old side of all of them, and some have nothing in common with
// theirs that would tell where they belong: tables of numbers that are all greater.
func TestMakeShuffled(t *testing.T) {
	const size = 64 << 10
	o := options(t)
	o.DeviceMemory = processMemory + 9<<20
	r := rand.New(rand.NewPCG(1, 2))
	var old []byte
	var pieces [][]byte
	for i := range 256 {
		if i%4 > 0 {
			b := random(uint64(i), size)
			old, pieces = append(old, b...), append(pieces, scatter(b))
			continue
		}
		number, b := r.Uint32(), []byte{}
		for range size / 8 {
			number += 4 + r.Uint32N(1000)
			old = binary.LittleEndian.AppendUint32(old, number)
			b = binary.LittleEndian.AppendUint32(b, number+0x4500)
		}
		old = append(old, random(uint64(1000+i), size/2)...)
		pieces = append(pieces, append(b, random(uint64(2000+i), size/2)...))
	}
	straight := slices.Concat(pieces...)
	r.Shuffle(len(pieces), func(i, k int) { pieces[i], pieces[k] = pieces[k], pieces[i] })
	var sizes [2]int
	for i, target := range [][]byte{straight, slices.Concat(pieces...)} {
		result, err := Make(input(old), input(target), o)
		if err != nil {
			t.Fatal(err)
		}
		sizes[i] = len(result.Delta)
		if result.DeviceMemory > o.DeviceMemory {
			t.Errorf("the device needs %d bytes, and has %d", result.DeviceMemory, o.DeviceMemory)
		}
	}
	if sizes[1] > sizes[0]*11/10 {
		t.Errorf("%d bytes, %d in another order", sizes[0], sizes[1])
	}
}
