// SPDX-License-Identifier: MIT

package bsdiff

import (
	"bytes"
	"math/rand"
	"testing"

	"swudelta/internal/span"
)

func quick(old, new []byte) *Patch {
	var w Workspace
	return w.Diff(old, new, nil, nil, Options{Effort: Quick})
}

// Patches with the index of few places make what they shall, of any sides.
func TestQuickRandom(t *testing.T) {
	rnd := rand.New(rand.NewSource(3))
	var w Workspace // used again, with larger and smaller sides
	for range 2000 {
		k := 1 + rnd.Intn(256)
		old := randomBytes(rnd, rnd.Intn(3000), k)
		new := edited(rnd, old, k)
		check(t, w.Diff(old, new, nil, nil, Options{Effort: Quick}), old, new)
		check(t, w.Diff(old, new, nil, nil, Options{Effort: Quickest}), old, new)
	}
	for _, c := range []struct{ old, new string }{
		{"", ""}, {"", "x"}, {"x", ""}, {"", "longer than a match"}, {"longer than a match", "a match"},
	} {
		check(t, quick([]byte(c.old), []byte(c.new)), []byte(c.old), []byte(c.new))
	}
}

// Each run that is moved is found, wherever it begins, if it is as long as the distance of
// the indexed grams asks for.
func TestQuickFinds(t *testing.T) {
	rnd := rand.New(rand.NewSource(4))
	old := randomBytes(rnd, 1<<16, 256)
	for shift := range gramEvery {
		run := old[1000+shift:][:600]
		p := quick(old, run)
		check(t, p, old, run)
		if len(p.Extra) != 0 {
			t.Errorf("a run at %d: %d extra bytes", 1000+shift, len(p.Extra))
		}
	}
	var x grams
	x.fill(old, []span.Range{{Len: int64(len(old))}})
	missed := 0
	for range 1000 {
		at := rnd.Intn(len(old) - gram - gramEvery)
		found := false
		for i := at; i < at+gramEvery; i++ {
			if x.filtered(old[i:])&1 == 0 {
				continue
			}
			for _, p := range x.ways(hash(old[i:])) {
				found = found || int(p) == i+1
			}
		}
		if !found {
			missed++ // its slots were taken
		}
	}
	if missed > 60 {
		t.Errorf("of 1000 strings of random bytes %d are not in the index", missed)
	}
	swapped := append(bytes.Clone(old[1<<15:]), old[:1<<15]...)
	if p := quick(old, swapped); len(p.Extra) > 0 || len(p.Controls) > 3 {
		t.Errorf("swapped halves: %d extra bytes, %d control entries", len(p.Extra), len(p.Controls))
	}
}
