// SPDX-License-Identifier: MIT

package bsdiff

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"swudelta/internal/span"
)

// Copies that are known do not change what a patch makes, and hardly its size,
// although most of the old side is not looked at.
func TestCopies(t *testing.T) {
	var w Workspace // used again, with larger and smaller sides
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(1, seed))
		old := make([]byte, 20_000+r.IntN(200_000))
		for i := range old {
			old[i] = byte(r.IntN(256))
		}
		var new []byte
		var copies []Copy
		for range 30 {
			n := min(1+r.IntN(20_000), len(old))
			at := r.IntN(len(old) - n + 1)
			run := bytes.Clone(old[at : at+n])
			if r.IntN(3) == 0 { // changed here and there, so no copy
				for i := r.IntN(100); i < n; i += 1 + r.IntN(100) {
					run[i]++
				}
			} else {
				copies = append(copies, Copy{New: len(new), Old: at, Len: n})
			}
			new = append(new, run...)
			for range r.IntN(200) {
				new = append(new, byte(r.IntN(256)))
			}
		}
		p := w.Diff(old, new, copies, nil, Options{})
		check(t, p, old, new)
		check(t, w.Diff(old, new, copies, nil, Options{Effort: Quick}), old, new)
		whole := Diff(old, new, Options{})
		// What is changed where something else was copied from is not found.
		if got, want := len(p.Extra), len(whole.Extra); len(copies) > 0 && got > want+len(new)/2 {
			t.Errorf("seed %d: %d extra bytes, %d without copies", seed, got, want)
		}
		if p := w.Diff(old, new, nil, nil, Options{}); len(p.Extra) != len(whole.Extra) || len(p.Controls) != len(whole.Controls) {
			t.Errorf("seed %d: a workspace makes another patch", seed)
		}
	}
}

func TestCopiesDegenerate(t *testing.T) {
	var w Workspace
	old := bytes.Repeat([]byte("0123456789abcdef"), 1000)
	for _, c := range []struct {
		new    []byte
		copies []Copy
	}{
		{nil, nil},
		{old, []Copy{{0, 0, len(old)}}},
		{append(bytes.Clone(old), old...), []Copy{{0, 0, len(old)}, {len(old), 0, len(old)}}},
		{old[:100], []Copy{{0, 0, 1}, {1, 1, 99}}},
	} {
		check(t, w.Diff(old, c.new, c.copies, nil, Options{}), old, c.new)
	}
	check(t, w.Diff(nil, old, nil, nil, Options{}), nil, old)
}

// What no copy has of the old side is indexed, and of each copy the edges.
func TestRemainder(t *testing.T) {
	const size = 100_000
	copies := []Copy{{Old: 50_000, Len: 10_000}, {Old: 0, Len: 2_000}, {Old: 55_000, Len: 20_000}, {Old: 90_000, Len: 10_000}, {Old: 40_000, Len: edge}}
	skipped := []span.Range{{Off: 80_000, Len: 3_000}}
	var indexed [size]bool
	end := int64(-1)
	for _, r := range remainder(size, copies, skipped) {
		if r.Off <= end {
			t.Errorf("a range begins at %d, the one before ends at %d", r.Off, end)
		}
		end = r.End()
		for p := range r.Len {
			indexed[r.Off+p] = true
		}
	}
	for p, is := range indexed {
		want := true
		for _, c := range append(copies, Copy{Old: 80_000, Len: 3_000}) {
			if p >= c.Old+edge && p < c.Old+c.Len-edge {
				want = false
			}
		}
		if is != want {
			t.Fatalf("position %d: indexed %v, want %v", p, is, want)
		}
	}
}
