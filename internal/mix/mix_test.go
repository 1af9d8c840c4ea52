// SPDX-License-Identifier: MIT

package mix

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"testing/iotest"

	"swudelta/internal/digest"
	"swudelta/internal/fault"
)

// The tables are what their formulas say.
func TestTables(t *testing.T) {
	for x := int32(-StretchLimit); x <= StretchLimit; x++ {
		want := 65536 / (1 + math.Exp(-float64(x)/256))
		if got := float64(Squash(x)); math.Abs(got-want) > 0.501 {
			t.Errorf("Squash(%d) = %v, want %v", x, got, want)
		}
		if x > -StretchLimit && Squash(x) < Squash(x-1) {
			t.Errorf("Squash(%d) < Squash(%d)", x, x-1)
		}
		if x != 0 && Squash(x)+Squash(-x) != 65536 {
			t.Errorf("Squash(%d) + Squash(%d) = %d", x, -x, Squash(x)+Squash(-x))
		}
	}
	if Squash(math.MaxInt32) != Squash(StretchLimit) || Squash(math.MinInt32) != Squash(-StretchLimit) {
		t.Error("Squash does not limit its argument")
	}
	for p := int32(0); p < 65536; p++ {
		q := (float64(p>>4)*16 + 8) / 65536
		if got, want := float64(Stretch(p)), 256*math.Log(q/(1-q)); math.Abs(got-want) > 32 || math.Abs(want) < 1500 && math.Abs(got-want) > 2 {
			t.Fatalf("Stretch(%d) = %v, want %v", p, got, want)
		}
	}
}

// The numbers below are a part of the format: they were computed on amd64, and hold
// on every architecture.
func TestTablesAreTheSameEverywhere(t *testing.T) {
	var b []byte
	for _, v := range squashTable {
		b = binary.LittleEndian.AppendUint16(b, v)
	}
	for _, v := range stretchTable {
		b = binary.LittleEndian.AppendUint16(b, uint16(v))
	}
	for _, v := range reciprocals {
		b = binary.LittleEndian.AppendUint32(b, uint32(v))
	}
	for _, v := range next {
		b = append(b, v[0], v[1])
	}
	var h forecasts
	h.reset()
	for _, f := range h {
		b = binary.LittleEndian.AppendUint32(b, uint32(f.prob))
	}
	if got, want := digest.Sum(b).Hex(), "8194f3d4a4dabeb8303ca9836ee584458a2426f0b179984486c04c06cf506921"; got != want {
		t.Errorf("tables have digest %s, want %s", got, want)
	}
}

func TestHistories(t *testing.T) {
	if n := len(histories); n != 199 {
		t.Fatalf("%d histories", n)
	}
	for i, h := range histories {
		for bit := uint8(0); bit < 2; bit++ {
			n := histories[next[i][bit]]
			if !n.allowed() {
				t.Errorf("%v is followed by %v", h, n)
			}
			if bit == 1 && (n.ones == 0 || n.zeros > h.zeros) || bit == 0 && (n.zeros == 0 || n.ones > h.ones) {
				t.Errorf("%v is followed by %v with a %d", h, n, bit)
			}
		}
	}
	// Many ones, then a zero: the ones count less, but are not forgotten.
	var h uint8
	for range 100 {
		Add(&h, 1)
	}
	if got := histories[h]; got != (history{0, 40, 0}) {
		t.Errorf("after 100 ones: %v", got)
	}
	Add(&h, 0)
	if got := histories[h]; got != (history{1, 14, 0}) {
		t.Errorf("after a zero more: %v", got)
	}
}

func TestProb(t *testing.T) {
	p := NewProb(32768)
	for range 2000 {
		p.Update(1, 1023)
	}
	if p.P() < 65400 {
		t.Errorf("after 2000 ones: %d", p.P())
	}
	for range 100000 {
		p.Update(0, 255)
	}
	if p.P() > 600 || uint32(p)&1023 > 1023 {
		t.Errorf("after 100000 zeros: %d", p.P())
	}
	// Neither end leaves the range.
	for _, bit := range []int{0, 1} {
		p := NewProb(32768)
		for range 1 << 16 {
			before := p.P()
			p.Update(bit, 0)
			if bit == 1 && p.P() < before || bit == 0 && p.P() > before {
				t.Fatalf("%d: from %d to %d", bit, before, p.P())
			}
		}
	}
}

// A predictor learns which of its contexts is right, in each set of weights, and the
// decoder takes the same course.
func TestPredictorLearns(t *testing.T) {
	const n = 20000
	run := func(c *Coder, bits []int) (half int) {
		p := NewPredictor(2)
		r := rand.New(rand.NewPCG(1, 2))
		var tables [Contexts][16]uint8
		prob := NewProb(1 << 15)
		for i := range bits {
			set := i & 1
			var h [Contexts]*uint8
			for j := range tables {
				h[j] = &tables[j][r.Uint32()%16]
			}
			known := int(r.Uint32() & 1) // what one context knows in one set
			h[1+set*2] = &tables[1+set*2][known]
			bits[i] = p.Code(c, known^set, set, &prob, h[0], h[1], h[2], h[3])
			if i == n/2 {
				half = c.Len()
			}
		}
		return half
	}
	bits := make([]int, n)
	c := NewEncoder()
	half := run(c, bits)
	code := c.Finish()
	if late := len(code) - half; half > n/2/8/2 || late > n/2/8/20 {
		t.Errorf("the first %d bits took %d bytes, the others %d", n/2, half, late)
	}
	got := make([]int, n)
	c = NewDecoder(bytes.NewReader(code))
	run(c, got)
	if err := c.End(); err != nil || !slices.Equal(got, bits) {
		t.Errorf("decoded bits differ, error %v", err)
	}
}

func TestSlots(t *testing.T) {
	s := NewSlots(4)
	a := s.Find(0x12345678)
	a[1], a[5] = next[0][1], 7
	if b := s.Find(0x12345678); b != a || b[5] != 7 {
		t.Error("a context is not found again")
	}
	b := s.Find(0x12345679) // same place, other check
	if b == a || *b != (Slot{0x79}) {
		t.Errorf("another context: %v", *b)
	}
	// A third and a fourth one replace what has been used less.
	s.Find(0x1234567a)
	s.Find(0x1234567b)
	if c := s.Find(0x12345678); c != a || c[5] != 7 {
		t.Error("a used context was replaced before unused ones")
	}
}

// stream is bits and the probabilities that they are coded with.
type stream struct {
	bits []int
	p    []int32
}

func randomStream(seed uint64, n int) stream {
	r := rand.New(rand.NewPCG(seed, 0))
	var s stream
	for range n {
		p := int32(r.Uint32()%65535) + 1
		switch r.Uint32() % 4 {
		case 0:
			p = 1
		case 1:
			p = 65535
		}
		bit := 0
		if int32(r.Uint32()%65536) < p {
			bit = 1
		}
		if r.Uint32()%64 == 0 {
			bit ^= 1 // what is unlikely happens
		}
		s.bits = append(s.bits, bit)
		s.p = append(s.p, p)
	}
	return s
}

func (s stream) encode() []byte {
	c := NewEncoder()
	for i, b := range s.bits {
		if got := c.Code(b, s.p[i]); got != b {
			panic("an encoder changes a bit")
		}
	}
	return c.Finish()
}

func TestCoder(t *testing.T) {
	for seed := range uint64(200) {
		s := randomStream(seed, int(seed*seed))
		code := s.encode()
		c := NewDecoder(iotest.OneByteReader(bytes.NewReader(code)))
		if seed%2 == 0 {
			c = NewDecoder(bytes.NewReader(code))
		}
		for i, want := range s.bits {
			if got := c.Code(0, s.p[i]); got != want {
				t.Fatalf("stream %d: bit %d is %d, want %d", seed, i, got, want)
			}
		}
		if err := c.End(); err != nil {
			t.Fatalf("stream %d: %v", seed, err)
		}
		// One byte more, and one fewer.
		c = NewDecoder(bytes.NewReader(append(code, 0)))
		for i := range s.bits {
			c.Code(0, s.p[i])
		}
		if err := c.End(); err == nil || !fault.IsData(err) {
			t.Errorf("stream %d with a byte more: %v", seed, err)
		}
		c = NewDecoder(bytes.NewReader(code[:len(code)-1]))
		for i := range s.bits {
			c.Code(0, s.p[i])
		}
		if err := c.End(); err == nil || !fault.IsData(err) {
			t.Errorf("stream %d with a byte fewer: %v", seed, err)
		}
	}
}

// The code is hardly longer than what the probabilities say.
func TestCoderIsTight(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	c := NewEncoder()
	want := 0.0
	for range 200000 {
		p := int32(r.Uint32()%65535) + 1
		bit := 0
		if int32(r.Uint32()%65536) < p {
			bit = 1
			want -= math.Log2(float64(p) / 65536)
		} else {
			want -= math.Log2(1 - float64(p)/65536)
		}
		c.Code(bit, p)
	}
	if got := float64(len(c.Finish())) * 8; got > want*1.0005+64 {
		t.Errorf("%.0f bits, want %.0f", got, want)
	}
}

func TestDecoderReportsReadErrors(t *testing.T) {
	broken := errors.New("broken")
	c := NewDecoder(io.MultiReader(bytes.NewReader([]byte{1, 2, 3, 4, 5}), iotest.ErrReader(broken)))
	for range 100 {
		c.Code(0, 32768)
	}
	if err := c.Err(); !errors.Is(err, broken) || fault.IsData(err) {
		t.Errorf("error %v", err)
	}
}

func FuzzCoder(f *testing.F) {
	f.Add([]byte("some bytes"), uint64(3))
	f.Fuzz(func(t *testing.T, data []byte, seed uint64) {
		// What is decoded, whatever it is, encodes to something that decodes to it.
		r := rand.New(rand.NewPCG(seed, 1))
		n := min(len(data), 1000) * 8
		p := make([]int32, n)
		for i := range p {
			p[i] = int32(r.Uint32()%65535) + 1
		}
		c := NewDecoder(bytes.NewReader(data))
		s := stream{p: p}
		for i := range n {
			s.bits = append(s.bits, c.Code(0, p[i]))
		}
		c = NewDecoder(bytes.NewReader(s.encode()))
		for i, want := range s.bits {
			if got := c.Code(0, p[i]); got != want {
				t.Fatalf("bit %d is %d, want %d", i, got, want)
			}
		}
		if err := c.End(); err != nil {
			t.Fatal(err)
		}
	})
}

// CodeHalf codes what four calls of Code code, and learns the same.
func TestCodeHalf(t *testing.T) {
	const situations = 3
	r := rand.New(rand.NewPCG(3, 4))
	halves, fours := NewPredictor(situations*64), NewPredictor(situations*64)
	slots := [2]*Slots{NewSlots(8), NewSlots(8)}
	fits := [2][2]Prob{{NewProb(20000), NewProb(50000)}, {NewProb(20000), NewProb(50000)}}
	none := [2]Prob{NewProb(1 << 15), NewProb(1 << 15)}
	var coded []int
	c := NewEncoder()
	draw := func(r *rand.Rand) (hashes [Contexts]uint32, guess, set int) {
		for i := range hashes {
			hashes[i] = Hash(uint32(i), r.Uint32()%20)
		}
		if guess = r.IntN(17) + 15; guess == 15 {
			guess = 0
		}
		return hashes, guess, r.IntN(situations)<<6 | r.IntN(2)<<4
	}
	find := func(s *Slots, h [Contexts]uint32) (a, b, c, d *Slot) {
		return s.Find(h[0]), s.Find(h[1]), s.Find(h[2]), s.Find(h[3])
	}
	for range 5000 {
		hashes, guess, set := draw(r)
		coded = append(coded, int(hashes[0]>>7)&12|r.IntN(4))
		s0, s1, s2, s3 := find(slots[0], hashes)
		halves.CodeHalf(c, coded[len(coded)-1], set, &Guess{guess, &fits[0], &none[0]}, s0, s1, s2, s3)
	}
	code := c.Finish()
	r = rand.New(rand.NewPCG(3, 4))
	c = NewDecoder(bytes.NewReader(code))
	for i, want := range coded {
		hashes, guess, set := draw(r)
		r.IntN(4)
		s0, s1, s2, s3 := find(slots[1], hashes)
		node := 1
		for k := 3; k >= 0; k-- {
			prob, set := &none[1], set|node
			if guess>>(k+1) == node {
				prob, set = &fits[1][guess>>k&1], set|32
			}
			node = node<<1 | fours.Code(c, 0, set, prob, &s0[node], &s1[node], &s2[node], &s3[node])
		}
		if node&15 != want {
			t.Fatalf("half %d is %d, want %d", i, node&15, want)
		}
	}
	if err := c.End(); err != nil || !reflect.DeepEqual(halves, fours) || fits[0] != fits[1] || none[0] != none[1] {
		t.Errorf("the predictors have learned different things, error %v", err)
	}
}
