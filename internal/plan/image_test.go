// SPDX-License-Identifier: MIT

package plan

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"
)

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
	if got := applied(t, old, tight.Delta); !bytes.Equal(got, new) {
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
		if got := applied(t, old, result.Delta); !bytes.Equal(got, new) {
			t.Errorf("level %d: applying the delta does not give the target", o.Effort)
		}
	}
}

// Pieces of an image in another order cost little more than in order, although no
// pack can hold the old side of all of them, and some have nothing in common with
// theirs that would tell where they belong: tables of numbers that are all greater.
func TestMakeShuffled(t *testing.T) {
	const size = 64 << 10
	o := options(t)
	o.DeviceMemory = (18 + 9) << 20 // 9 MiB for a pack
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
	if sizes[1] > sizes[0]*108/100 {
		t.Errorf("%d bytes, %d in another order", sizes[0], sizes[1])
	}
}
