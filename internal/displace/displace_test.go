// SPDX-License-Identifier: MIT

package displace

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"swudelta/internal/fault"
)

// programs are the pairs under testdata: NAME.1 and NAME.2.
var programs = []string{"x86-64", "i386", "arm64", "arm", "thumb", "riscv64", "object"}

func program(t testing.TB, name string) (old, new []byte) {
	t.Helper()
	var err error
	if old, err = os.ReadFile(filepath.Join("testdata", name+".1")); err != nil {
		t.Fatal(err)
	}
	if new, err = os.ReadFile(filepath.Join("testdata", name+".2")); err != nil {
		t.Fatal(err)
	}
	return old, new
}

func image(b []byte) Image { return Image{R: bytes.NewReader(b), Size: int64(len(b))} }

// found is a pair with its plan as the decoder has it.
type found struct {
	old, new []byte
	copies   []Copy
	plan     []byte
	*Predictor
}

func find(t testing.TB, old, new []byte, o, n Image) found {
	t.Helper()
	before := copiesOf(old, new)
	plan, copies, err := Find(o, n, before, func() {})
	if err != nil {
		t.Fatal(err)
	}
	stated, err := plan.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	read, err := Parse(stated, int64(len(old)), int64(len(new)))
	if err != nil {
		t.Fatal(err)
	}
	again, _ := read.AppendBinary(nil)
	if !bytes.Equal(again, stated) {
		t.Fatalf("the plan was read as another one:\n%x\n%x", stated, again)
	}
	p, err := New(read, copies, bytes.NewReader(old))
	if err != nil {
		t.Fatal(err)
	}
	return found{old, new, copies, stated, p}
}

// TestPredict holds each program against how many bytes of it differ without
// and with prediction, and the predicted bytes against their digest: another
// prediction is another format.
func TestPredict(t *testing.T) {
	want := map[string]struct {
		before, after int
		digest        string
	}{
		"x86-64":  {852, 366, "5a83696b92766fcd"},
		"i386":    {897, 388, "523c2ea836b831f0"},
		"arm64":   {852, 412, "0a65d5219b152dc0"},
		"arm":     {648, 288, "0bad4f73f340cea5"},
		"thumb":   {635, 189, "e004343e3f69aff5"},
		"riscv64": {861, 320, "9e6b0c2914106b4e"},
		"object":  {1130, 448, "1901af0d15306286"},
	}
	for _, name := range programs {
		old, new := program(t, name)
		f := find(t, old, new, image(old), image(new))
		plain, predicted := differences(t, f.Predictor, old, new, f.copies)
		sum := sha256.Sum256(append(predicted, f.plan...))
		digest := hex.EncodeToString(sum[:8])
		w := want[name]
		if before, after := nonzero(plain), nonzero(predicted); before != w.before || after != w.after || digest != w.digest {
			t.Errorf("%q: {%d, %d, %q}, want {%d, %d, %q}", name, before, after, digest, w.before, w.after, w.digest)
		}
	}
}

// TestPredictCuts predicts copies in stretches of random lengths, which must
// not change a byte of the result.
func TestPredictCuts(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, name := range programs {
		old, new := program(t, name)
		f := find(t, old, new, image(old), image(new))
		for _, longest := range []int{1, 3, 17, 400, 3000} {
			cutCopiesAnyhow(t, f.Predictor, f.Clone(), f.copies, old, func() int { return 1 + r.IntN(longest) })
		}
	}
}

// cutCopiesAnyhow compares whole copies, as p predicts them, with the stretches
// that q predicts.
func cutCopiesAnyhow(t testing.TB, p, q *Predictor, copies []Copy, old []byte, length func() int) {
	t.Helper()
	for _, c := range copies {
		whole := bytes.Clone(old[c.Old : c.Old+c.Len])
		parts := bytes.Clone(whole)
		marks, partMarks := make([]byte, c.Len), make([]byte, c.Len)
		if err := p.Predict(whole, marks, c.New, c.Old); err != nil {
			t.Fatal(err)
		}
		for at := int64(0); at < c.Len; {
			n := min(int64(length()), c.Len-at)
			if err := q.Predict(parts[at:at+n], partMarks[at:at+n], c.New+at, c.Old+at); err != nil {
				t.Fatal(err)
			}
			at += n
		}
		for i := range whole {
			if whole[i] != parts[i] || marks[i] != partMarks[i] {
				t.Fatalf("copy of %d bytes from %d to %d: byte %d is %#x (mark %#x) in one piece, %#x (mark %#x) in parts",
					c.Len, c.Old, c.New, i, whole[i], marks[i], parts[i], partMarks[i])
			}
		}
	}
}

// TestFindAnywhere finds programs that lie somewhere in an image, whole or in
// extents that the layout knows, as well as those that are a file by
// themselves.
func TestFindAnywhere(t *testing.T) {
	old, new := program(t, "x86-64")
	alone := find(t, old, new, image(old), image(new))
	_, predicted := differences(t, alone.Predictor, old, new, alone.copies)

	inside := func(b []byte, at int) []byte {
		out := bytes.Repeat([]byte("between files "), 4000)
		copy(out[at:], b)
		return out
	}
	oldImage, newImage := inside(old, 4096), inside(new, 12345)
	f := find(t, oldImage, newImage, image(oldImage), image(newImage))
	_, got := differences(t, f.Predictor, oldImage, newImage, f.copies)
	if want := nonzero(predicted); nonzero(got) > want+want/4+20 {
		t.Errorf("inside an image %d bytes differ after prediction, alone %d", nonzero(got), want)
	}

	// The file in two extents, the second before the first.
	cut := 4096
	scattered := bytes.Repeat([]byte("between files "), 4000)
	copy(scattered[20480:], old[:cut])
	copy(scattered[8192:], old[cut:])
	o := image(scattered)
	o.Files = [][]Extent{{{20480, int64(cut)}, {8192, int64(len(old) - cut)}}}
	f = find(t, scattered, newImage, o, image(newImage))
	_, got = differences(t, f.Predictor, scattered, newImage, f.copies)
	if want := nonzero(predicted); nonzero(got) > want+want/4+60 {
		t.Errorf("in extents %d bytes differ after prediction, alone %d", nonzero(got), want)
	}
}

// TestFindNothing has no program on one side, or the same program on both.
func TestFindNothing(t *testing.T) {
	old, _ := program(t, "x86-64")
	text := bytes.Repeat([]byte("no program "), 2000)
	for _, c := range []struct {
		name     string
		old, new []byte
	}{
		{"text", text, text[3:]}, {"program to text", old, text}, {"text to program", text, old},
		{"same", old, old}, {"empty", nil, nil},
	} {
		plan, copies, err := Find(image(c.old), image(c.new), copiesOf(c.old, c.new), func() {})
		if err != nil || !plan.Empty() {
			t.Errorf("%s: plan %v, error %v; want an empty one", c.name, plan, err)
		}
		if err := checkCopies(copies, int64(len(c.old)), int64(len(c.new))); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// TestParseTruncated cuts a plan at every byte and changes every byte of it.
func TestParseTruncated(t *testing.T) {
	old, new := program(t, "x86-64")
	f := find(t, old, new, image(old), image(new))
	for i := range f.plan {
		if _, err := Parse(f.plan[:i], int64(len(old)), int64(len(new))); !fault.IsData(err) {
			t.Errorf("cut to %d of %d bytes: error %v, want a fault of the data", i, len(f.plan), err)
		}
		for _, bit := range []byte{1, 0x40, 0x80, 0xff} {
			b := bytes.Clone(f.plan)
			b[i] ^= bit
			plan, err := Parse(b, int64(len(old)), int64(len(new)))
			if err != nil {
				if !fault.IsData(err) {
					t.Errorf("byte %d changed: error %v, want a fault of the data", i, err)
				}
				continue
			}
			p, err := New(plan, f.copies, bytes.NewReader(old))
			if err != nil {
				t.Fatal(err)
			}
			differences(t, p, old, new, f.copies)
		}
	}
	if _, err := Parse(append(f.plan, 0), int64(len(old)), int64(len(new))); !fault.IsData(err) {
		t.Errorf("a byte behind the plan: error %v, want a fault of the data", err)
	}
}

// TestParseRules states plans that break a rule each.
func TestParseRules(t *testing.T) {
	const size = 1 << 30
	one := func(segments []segment, ranges ...codeKind) *Plan {
		return &Plan{old: side{{segments: segments, ranges: ranges}}, new: side{{segments: []segment{{0, 100, 0}}}}}
	}
	at := []segment{{1000, 1000, 4096}, {4000, 100, 8192}}
	moved := func(moves ...move) *Plan {
		p := one(at)
		p.moves = moves
		return p
	}
	for _, c := range []struct {
		name string
		plan *Plan
		ok   bool
	}{
		{"good", one(at, codeKind{off: 1000, len: 5, kind: CodeArm}), true},
		{"segments overlap", one([]segment{{1000, 1000, 4096}, {1999, 100, 8192}}), false},
		{"segments out of order", one([]segment{{4000, 100, 8192}, {1000, 1000, 4096}}), false},
		{"empty segment", one([]segment{{1000, 0, 4096}}), false},
		{"segment leaves the file", one([]segment{{size - 10, 11, 4096}}), false},
		{"segment before the file", one([]segment{{-1, 11, 4096}}), false},
		{"addresses wrap", one([]segment{{0, 11, 1<<64 - 10}}), false},
		{"ranges overlap", one(at, codeKind{off: 1000, len: 5}, codeKind{off: 1004, len: 5}), false},
		{"range leaves the file", one(at, codeKind{off: size - 4, len: 5}), false},
		{"too many types", one(at, codeKind{off: 1000, len: typesLargest + 1, kind: Types}), false},
		{"move", moved(move{pairKey{0, 0}, piece{4096, 5000, 10}}), true},
		{"move of no module", moved(move{pairKey{1, 0}, piece{4096, 5000, 10}}), false},
		{"move to no module", moved(move{pairKey{0, -1}, piece{4096, 5000, 10}}), false},
		{"empty move", moved(move{pairKey{0, 0}, piece{4096, 5000, 0}}), false},
		{"move wraps", moved(move{pairKey{0, 0}, piece{1<<64 - 5, 5000, 10}}), false},
	} {
		b, err := c.plan.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Parse(b, size, size); (err == nil) != c.ok || err != nil && !fault.IsData(err) {
			t.Errorf("%s: error %v", c.name, err)
		}
	}
}

// TestNewCopies gives copies that do not fit.
func TestNewCopies(t *testing.T) {
	plan := &Plan{oldSize: 100, newSize: 50}
	for _, copies := range [][]Copy{
		{{-1, 0, 5}}, {{0, -1, 5}}, {{0, 0, -1}}, {{46, 0, 5}}, {{0, 96, 5}}, {{0, 0, 1 << 62}},
		{{10, 0, 5}, {14, 0, 5}}, {{10, 0, 5}, {4, 0, 5}}, {{1 << 62, 1 << 62, 1 << 62}},
	} {
		if _, err := New(plan, copies, bytes.NewReader(make([]byte, 100))); !fault.IsData(err) {
			t.Errorf("copies %v: error %v, want a fault of the data", copies, err)
		}
	}
	if _, err := New(plan, []Copy{{0, 50, 50}}, bytes.NewReader(make([]byte, 100))); err != nil {
		t.Error(err)
	}
}

// TestShortOldSide has an old side that ends too early.
func TestShortOldSide(t *testing.T) {
	old, new := program(t, "x86-64")
	f := find(t, old, new, image(old), image(new))
	plan, err := Parse(f.plan, int64(len(old)), int64(len(new)))
	if err != nil {
		t.Fatal(err)
	}
	p, err := New(plan, f.copies, bytes.NewReader(old[:100]))
	if err != nil {
		t.Fatal(err)
	}
	failed := false
	for _, c := range f.copies {
		failed = failed || p.Predict(bytes.Clone(old[c.Old:c.Old+c.Len]), nil, c.New, c.Old) != nil
	}
	if !failed {
		t.Error("no error, though the old side ends before its programs")
	}
}

// TestFlatten compares the map with what the rule says for every address: the
// longest piece counts, the first of equals, and a move before all.
func TestFlatten(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		var all []keyedPiece
		for range 1 + r.IntN(6) {
			all = append(all, keyedPiece{piece: piece{uint64(r.IntN(30)), uint64(1000 * (1 + r.IntN(50))), uint64(1 + r.IntN(12))}})
		}
		sortPieces(all)
		out := flatten(nil, all)
		for i := 1; i < len(out); i++ {
			if out[i].old < out[i-1].end() {
				t.Fatalf("%v overlap, from %v", out, all)
			}
		}
		for a := range uint64(50) {
			covered, kept := false, false
			for _, p := range all {
				covered = covered || a >= p.piece.old && a < p.end()
			}
			for _, p := range out {
				if a < p.old || a >= p.end() {
					continue
				}
				kept = true
				from := false
				for _, q := range all {
					from = from || q.shift() == p.shift() && a >= q.piece.old && a < q.end()
				}
				if !from {
					t.Fatalf("%d goes to %d, as no piece of %v says", a, a+p.shift(), all)
				}
			}
			if kept && !covered {
				t.Fatalf("%d is covered by %v, not by %v", a, out, all)
			}
		}
	}
}

// TestKernelSymbols finds a list of symbols among other numbers, with the
// entries of single processors in it that are no addresses.
func TestKernelSymbols(t *testing.T) {
	var b []byte
	for range 1000 {
		b = binary.LittleEndian.AppendUint32(b, 7)
	}
	first := len(b)
	v := uint32(1<<32 - 1)
	for i := range 2000 {
		if i == 900 {
			b = binary.LittleEndian.AppendUint32(b, 0x1000)
			v -= 5 << 20
		}
		b = binary.LittleEndian.AppendUint32(b, v)
		v -= uint32(i % 300 * 16)
	}
	end := len(b)
	for i := range 1000 {
		b = binary.LittleEndian.AppendUint32(b, uint32(i)*0x9E3779B1)
	}
	if lo, hi := kernelSymbols(b); lo != first || hi != end {
		t.Errorf("the list lies at %d to %d, want %d to %d", lo, hi, first, end)
	}
	if lo, hi := kernelSymbols(b[:first]); lo != 0 || hi != 0 {
		t.Errorf("a list at %d to %d where there is none", lo, hi)
	}
}

// FuzzPredict gives any plan and any copies of any bytes: no panic, nothing
// outside the stretch, the same bytes however it is cut.
func FuzzPredict(f *testing.F) {
	for _, name := range programs {
		old, new := program(f, name)
		p := find(f, old, new, image(old), image(new))
		var copies []byte
		for _, c := range p.copies {
			for _, v := range []int64{c.New, c.Old, c.Len} {
				copies = binary.AppendVarint(copies, v)
			}
		}
		f.Add(old, uint32(len(new)), p.plan, copies, uint64(7))
	}
	f.Fuzz(func(t *testing.T, old []byte, newSize uint32, stated, list []byte, seed uint64) {
		if len(old) > 1<<16 || newSize > 1<<17 {
			return
		}
		plan, err := Parse(stated, int64(len(old)), int64(newSize))
		if err != nil {
			if !fault.IsData(err) {
				t.Fatal(err)
			}
			return
		}
		var copies []Copy
		for len(list) > 0 {
			var v [3]int64
			for i := range v {
				n, k := binary.Varint(list)
				if k <= 0 {
					list = nil
					break
				}
				v[i], list = n, list[k:]
			}
			copies = append(copies, Copy{v[0], v[1], v[2]})
		}
		p, err := New(plan, copies, bytes.NewReader(old))
		if err != nil {
			if !fault.IsData(err) {
				t.Fatal(err)
			}
			return
		}
		r := rand.New(rand.NewPCG(seed, 0))
		cutCopiesAnyhow(t, p, p.Clone(), copies, old, func() int { return 1 + r.IntN(200) })
	})
}

// FuzzFind gives programs with changed bytes, as a build or an attacker may
// leave them.
func FuzzFind(f *testing.F) {
	f.Add(uint(0), []byte{0, 0, 0, 0, 20, 255})
	f.Add(uint(1), []byte{0, 40, 1, 0, 44, 200, 0, 60, 255})
	f.Fuzz(func(t *testing.T, which uint, changes []byte) {
		old, new := program(t, programs[which%uint(len(programs))])
		for ; len(changes) >= 3; changes = changes[3:] {
			at := int(changes[0])<<8 | int(changes[1])
			old[at%len(old)] = changes[2]
			new[(at+1)%len(new)] = changes[2]
		}
		copies := []Copy{{0, 0, int64(min(len(old), len(new))) / 2}}
		plan, better, err := Find(image(old), image(new), copies, func() {})
		if err != nil {
			t.Fatal(err)
		}
		p, err := New(plan, better, bytes.NewReader(old))
		if err != nil {
			t.Fatal(err)
		}
		differences(t, p, old, new, better)
	})
}

// BenchmarkPredict is the speed on x86-64 code, all of which is predicted.
func BenchmarkPredict(b *testing.B) {
	old, new := program(b, "x86-64")
	f := find(b, old, new, image(old), image(new))
	dst := make([]byte, len(old))
	for b.Loop() {
		for i := range f.blocks {
			f.blocks[i].at = -1
		}
		for _, c := range f.copies {
			if err := f.Predict(dst[:copy(dst, old[c.Old:c.Old+c.Len])], nil, c.New, c.Old); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.SetBytes(lengthOf(f.copies))
}
