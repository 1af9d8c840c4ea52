// SPDX-License-Identifier: MIT

package match

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"swudelta/internal/tooltest"
)

var random, edits, scatter = tooltest.Random, tooltest.Edits, tooltest.Scatter

// checkPieces rebuilds the target from the pieces.
func checkPieces(t *testing.T, old, target []byte, pieces []piece) {
	t.Helper()
	var out []byte
	for _, p := range pieces {
		if p.at != len(out) || p.n <= 0 {
			t.Fatalf("piece %+v, want one at %d", p, len(out))
		}
		switch p.kind {
		case inOld:
			out = append(out, old[p.off:p.off+p.n]...)
		case isZero:
			out = append(out, make([]byte, p.n)...)
		case repeated:
			if p.off+p.n > p.at {
				t.Fatalf("piece %+v repeats what comes later", p)
			}
			out = append(out, out[p.off:p.off+p.n]...)
		case inPack:
			out = append(out, target[p.at:p.end()]...)
		}
	}
	if !bytes.Equal(out, target) {
		t.Fatal("the pieces do not make the target")
	}
}

func count(pieces []piece, kind kind) int {
	return total(pieces, func(p piece) int {
		if p.kind == kind {
			return p.n
		}
		return 0
	})
}

func TestDivide(t *testing.T) {
	old := random(1, 4<<20)
	target := edits(old)
	limits := thresholds{copy: 64 << 10, zero: 16 << 10, repeat: 8 << 10}
	pieces := divide(testIndex(old), target, nil, limits, nil).pieces
	checkPieces(t, old, target, pieces)
	k := len(old) / 8
	for _, c := range []struct {
		kind kind
		want int
	}{{inOld, 5 * k}, {isZero, 100 << 10}, {repeated, k}, {inPack, 3*k + 1000}} {
		if got := count(pieces, c.kind); got < c.want-200 || got > c.want+200 {
			t.Errorf("source %d: got %d bytes, want about %d", c.kind, got, c.want)
		}
	}
	for _, p := range pieces {
		if p.kind == inOld && p.n < limits.copy || p.kind == isZero && p.n < limits.zero || p.kind == repeated && p.n < limits.repeat {
			t.Errorf("piece %+v is too short", p)
		}
	}
}

// Content that repeats itself must neither stall nor be taken apart wrongly.
func TestDivideDegenerate(t *testing.T) {
	limits := thresholds{copy: 64 << 10, zero: 16 << 10, repeat: 8 << 10}
	period := bytes.Repeat(random(3, 37), 1<<20/37)
	for _, c := range []struct {
		name        string
		old, target []byte
	}{
		{"empty old", nil, random(1, 200<<10)},
		{"empty target", random(1, 1000), nil},
		{"all zero", make([]byte, 1<<20), make([]byte, 3<<20)},
		{"all ones", bytes.Repeat([]byte{1}, 1<<20), bytes.Repeat([]byte{1}, 3<<20)},
		{"period", period, period[11:]},
		{"short", []byte("abc"), []byte("abcd")},
		{"same", random(4, 1<<20), random(4, 1<<20)},
		{"zeros between", make([]byte, 1<<20), bytes.Repeat(append(make([]byte, 20000), 1), 50)},
	} {
		t.Run(c.name, func(t *testing.T) {
			checkPieces(t, c.old, c.target, divide(testIndex(c.old), c.target, nil, limits, nil).pieces)
		})
	}
}

func FuzzDivide(f *testing.F) {
	f.Add([]byte("hello"), uint64(1), uint16(300))
	f.Add(random(1, 5000), uint64(7), uint16(40))
	f.Fuzz(func(t *testing.T, old []byte, seed uint64, cuts uint16) {
		r := rand.New(rand.NewPCG(seed, 2))
		var target []byte
		for range cuts % 64 {
			switch n := r.IntN(200); {
			case len(old) > 0 && r.IntN(2) == 0:
				from := r.IntN(len(old))
				target = append(target, old[from:min(from+n, len(old))]...)
			case len(target) > 0 && r.IntN(2) == 0:
				from := r.IntN(len(target))
				target = append(target, target[from:min(from+n, len(target))]...)
			case r.IntN(2) == 0:
				target = append(target, make([]byte, n)...)
			default:
				target = append(target, random(seed, n)...)
			}
		}
		checkPieces(t, old, target, divide(testIndex(old), target, nil, thresholds{copy: 40, zero: 16, repeat: 40}, nil).pieces)
	})
}

// testLimits are about those of the stock library.
func testLimits(pack int) Limits {
	return Limits{Pack: pack, EntryMemory: 390, PatchMemory: 14 << 20, RangeCost: 8}
}

// testPacks makes packs of a division that take at most that many bytes each.
func testPacks(old *Index, target []byte, d *division, pack int) []*pack {
	f := &finder{
		Options: Options{Effort: Effort{OldShare: 1.2}, Memory: 1 << 30},
		old:     &Side{Index: old}, target: target, division: d, hints: newHints(nil, nil),
	}
	return f.makePacks(testLimits(pack), nil)
}

// A small change of a large content is not matched with all of it.
func TestMakePacksSmall(t *testing.T) {
	old := random(1, 32<<20)
	target := bytes.Clone(old)
	const at, n = 20 << 20, 64 << 10
	copy(target[at:], scatter(old[at:at+n]))
	d := &division{pieces: []piece{{kind: inOld, n: at}, {kind: inPack, at: at, n: n}, {kind: inOld, at: at + n, n: len(old) - at - n, off: at + n}}}
	packs := testPacks(testIndex(old), target, d, 78<<20)
	if len(packs) != 1 || packs[0].oldSize() > 8<<20 {
		t.Fatalf("%d packs, the first with an old side of %d bytes", len(packs), packs[0].oldSize())
	}
	if got := overlap(packs[0].ranges, Between(at, at+n)); got < n*9/10 {
		t.Errorf("%d bytes of what serves it", got)
	}
}

func TestMakePacks(t *testing.T) {
	old := random(1, 8<<20)
	target := slices.Concat(scatter(old[4<<20:]), random(9, 1<<20), scatter(old[:4<<20]))
	idx := testIndex(old)
	pieces := []piece{{kind: inPack, at: 0, n: len(target)}}
	for _, budget := range []int{32 << 20, 8 << 20, 4 << 20, 1 << 20} {
		packs := testPacks(idx, target, &division{pieces: pieces}, budget)
		at := 0
		covered := 0
		for i, p := range packs {
			if n := p.newSize() + p.oldSize(); n > budget {
				t.Errorf("budget %d: pack %d takes %d", budget, i, n)
			}
			for _, m := range p.material {
				if m.at != at {
					t.Fatalf("budget %d: material at %d, want %d", budget, m.at, at)
				}
				at = m.end()
			}
			for j, r := range p.ranges {
				if r.Len <= 0 || r.End() > len(old) || j > 0 && r.Off <= p.ranges[j-1].End() {
					t.Errorf("budget %d: pack %d: range %+v", budget, i, r)
				}
			}
			covered += p.oldSize()
		}
		if at != len(target) {
			t.Errorf("budget %d: packs end at %d, want %d", budget, at, len(target))
		}
		if covered < len(old)*9/10 {
			t.Errorf("budget %d: only %d bytes of the old side are in packs", budget, covered)
		}
	}
}

func BenchmarkDivide(b *testing.B) {
	old := random(1, 32<<20)
	target := edits(old)
	b.SetBytes(int64(len(old) + len(target)))
	for b.Loop() {
		divide(testIndex(old), target, nil, thresholds{copy: 64 << 10, zero: 16 << 10, repeat: 8 << 10}, nil)
	}
}

// testIndex returns an index of all anchors.
func testIndex(data []byte) *Index {
	x, err := NewIndex(data, nil, math.MaxInt64, nil)
	if err != nil {
		panic(err)
	}
	return x
}

// Packs become smaller where there is little memory, and none is made with too little.
func TestPacksFitMemory(t *testing.T) {
	old := random(1, 8<<20)
	side := &Side{Data: old, Index: testIndex(old)}
	target := scatter(old)
	for _, c := range []struct {
		memory     int64
		least, max int // packs
	}{{1 << 30, 1, 1}, {40 << 20, 3, 50}, {1 << 20, 0, 0}, {-1, 0, 0}} {
		o := Options{Limits: testLimits(32 << 20), Effort: Effort{OldShare: 1.2}, Memory: c.memory}
		o.Run, o.Zeros, o.Repeat = 1<<20, 1<<20, 1<<20
		im, err := Find(side, &Side{Data: target}, o)
		switch {
		case (c.max == 0) != errors.Is(err, ErrMemory):
			t.Errorf("%d bytes of memory: %v", c.memory, err)
		case err == nil && (len(im.Packs) < c.least || len(im.Packs) > c.max):
			t.Errorf("%d bytes of memory: %d packs", c.memory, len(im.Packs))
		}
	}
}

// An index has fewer anchors where there is little memory, and finds long runs nevertheless.
func TestIndexFitsMemory(t *testing.T) {
	data := random(1, 8<<20)
	for _, memory := range []int64{8 << 20, 1 << 20, 0} {
		x, err := NewIndex(data, nil, memory, nil)
		if err != nil || x.Memory() > max(memory, leastIndex)+1<<10 {
			t.Fatalf("%d bytes: %v", memory, err)
		}
		found := 0
		copies(x, data, 0, len(data), 64<<10, func(p piece) { found += p.n })
		if found < len(data)-64<<10 {
			t.Errorf("%d bytes: %d found", memory, found)
		}
	}
	if _, err := NewIndex(random(1, 48<<20), nil, 0, nil); !errors.Is(err, ErrMemory) {
		t.Errorf("48 MiB without memory: %v", err)
	}
}
