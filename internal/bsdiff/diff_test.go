// SPDX-License-Identifier: MIT

package bsdiff

import (
	"bytes"
	"fmt"
	"math/rand"
	"testing"
	"time"
)

// edited makes a new file out of an old one: moved pieces, new ones, and
// changed bytes.
func edited(rnd *rand.Rand, old []byte, k int) []byte {
	var b []byte
	for c := rnd.Intn(10); c > 0; c-- {
		if rnd.Intn(2) == 0 && len(old) > 0 {
			at := rnd.Intn(len(old))
			b = append(b, old[at:at+rnd.Intn(len(old)-at)]...)
		} else {
			for n := rnd.Intn(50); n > 0; n-- {
				b = append(b, byte(rnd.Intn(k)))
			}
		}
	}
	for c := rnd.Intn(20); c > 0 && len(b) > 0; c-- {
		b[rnd.Intn(len(b))]++
	}
	return b
}

func randomBytes(rnd *rand.Rand, n, k int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rnd.Intn(k))
	}
	return b
}

// check holds a patch and its variant with fresh bytes moved against new.
func check(t testing.TB, p *Patch, old, new []byte) {
	t.Helper()
	if err := p.Check(old, new); err != nil {
		t.Fatal(err)
	}
	if got, err := p.Apply(old); err != nil || !bytes.Equal(got, new) {
		t.Fatalf("Apply does not make what Check has checked: %v", err)
	}
	q, fresh := p.MoveFresh(int64(len(old)), 8)
	if err := q.Check(append(old[:len(old):len(old)], fresh...), new); err != nil {
		t.Fatalf("with fresh bytes moved: %v", err)
	}
}

func TestDiffRandom(t *testing.T) {
	rnd := rand.New(rand.NewSource(1))
	for range 2000 {
		k := 1 + rnd.Intn(256)
		old := randomBytes(rnd, rnd.Intn(3000), k)
		new := edited(rnd, old, k)
		check(t, Diff(old, new, Options{}), old, new)
	}
}

func TestDiffEmpty(t *testing.T) {
	for _, c := range []struct{ old, new string }{
		{"", ""}, {"", "x"}, {"x", ""}, {"x", "x"}, {"", "longer than a match"}, {"longer than a match", "a match"},
	} {
		old, new := []byte(c.old), []byte(c.new)
		check(t, Diff(old, new, Options{}), old, new)
	}
}

// What matches is never taken from the extra stream.
func TestDiffFinds(t *testing.T) {
	rnd := rand.New(rand.NewSource(1))
	old := randomBytes(rnd, 1<<20, 256)
	for _, c := range []struct {
		name     string
		new      []byte
		controls int
		extra    int
	}{
		{"same", old, 1, 0},
		{"swapped halves", append(append([]byte(nil), old[1<<19:]...), old[:1<<19]...), 3, 0},
		{"cut", append(append([]byte(nil), old[:5000]...), old[9000:]...), 2, 0},
		{"inserted", append(append(append([]byte(nil), old[:5000]...), bytes.Repeat([]byte("new"), 100)...), old[5000:]...), 2, 300},
		{"shifted by one", old[1:], 2, 0},
	} {
		p := Diff(old, c.new, Options{})
		check(t, p, old, c.new)
		if len(p.Controls) > c.controls || len(p.Extra) != c.extra {
			t.Errorf("%s: %d control entries and %d extra bytes, want %d and %d", c.name, len(p.Controls), len(p.Extra), c.controls, c.extra)
		}
		for _, d := range p.Diff {
			if d != 0 {
				t.Errorf("%s: diff stream is not all zero", c.name)
				break
			}
		}
	}
}

// Long runs and periods are the worst case of searches that start over at each
// byte. A limit on time would depend on the machine, so a multiple of what an
// ordinary text of the same size takes is the limit.
func TestDiffRepetitive(t *testing.T) {
	const n = 128 << 10
	rnd := rand.New(rand.NewSource(1))
	zeros := make([]byte, n)
	spotted := func(every int) []byte {
		b := make([]byte, n)
		for i := rnd.Intn(every); i < n; i += 1 + rnd.Intn(2*every) {
			b[i] = byte(1 + rnd.Intn(255))
		}
		return b
	}
	period := func(p int) []byte { return bytes.Repeat(randomBytes(rnd, p, 256), n/p+1)[:n] }
	fibonacci := func() []byte {
		a, b := []byte("a"), []byte("ab")
		for len(b) < n {
			a, b = b, append(b[:len(b):len(b)], a...)
		}
		return b[:n]
	}()
	ordinary := randomBytes(rnd, n, 4)
	measure := func(old, new []byte) time.Duration {
		start := time.Now()
		p := Diff(old, new, Options{})
		q := quick(old, new)
		took := time.Since(start)
		for _, p := range []*Patch{p, q} {
			if err := p.Check(old, new); err != nil {
				t.Fatal(err)
			}
		}
		return took
	}
	// Wide enough for a busy machine: quadratic time would be minutes.
	limit := 20*measure(ordinary, randomBytes(rnd, n, 4)) + 10*time.Second
	for _, c := range []struct {
		name     string
		old, new []byte
	}{
		{"zeros", zeros, zeros},
		{"more zeros", zeros[:n/16], zeros},
		{"zeros against spots", zeros, spotted(1000)},
		{"spots against zeros", spotted(1000), zeros},
		{"spots", spotted(100), spotted(100)},
		{"dense spots", spotted(8), spotted(8)},
		{"zeros in noise", append(randomBytes(rnd, n/2, 256), zeros[:n/2]...), append(append(zeros[:n/4:n/4], randomBytes(rnd, n/2, 256)...), zeros[:n/4]...)},
		{"period 1000", period(1000), period(1000)},
		{"period 2", period(2), append([]byte("x"), period(2)...)},
		{"period 3", period(3), append([]byte("x"), period(3)...)},
		{"shifted period", bytes.Repeat([]byte("abcdefg"), n/7), bytes.Repeat([]byte("abcdefgh"), n/8)},
		{"fibonacci", fibonacci, fibonacci[n/3:]},
		{"fibonacci reversed", fibonacci, reversed(fibonacci)},
	} {
		took := measure(c.old, c.new)
		t.Logf("%-20s %v", c.name, took)
		if took > limit {
			t.Errorf("%s: took %v, want at most %v", c.name, took, limit)
		}
	}
}

func reversed(b []byte) []byte {
	r := make([]byte, len(b))
	for i, c := range b {
		r[len(b)-1-i] = c
	}
	return r
}

func TestDiffDeterministic(t *testing.T) {
	rnd := rand.New(rand.NewSource(7))
	old := randomBytes(rnd, 100000, 8)
	new := edited(rnd, old, 8)
	want := fmt.Sprint(Diff(old, new, Options{}))
	for range 3 {
		done := make(chan string)
		go func() { done <- fmt.Sprint(Diff(old, new, Options{})) }()
		if got := fmt.Sprint(Diff(old, new, Options{})); got != want || <-done != want {
			t.Fatal("two runs made different patches")
		}
	}
}

func FuzzDiff(f *testing.F) {
	f.Add([]byte("the quick brown fox jumps over the lazy dog"), []byte("the quick red fox jumped over the lazy dog"))
	f.Add([]byte{}, []byte("new"))
	f.Add(make([]byte, 300), make([]byte, 500))
	f.Fuzz(func(t *testing.T, old, new []byte) {
		check(t, Diff(old, new, Options{}), old, new)
		check(t, quick(old, new), old, new)
	})
}
