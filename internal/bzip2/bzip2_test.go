// SPDX-License-Identifier: MIT

package bzip2

import (
	"bytes"
	stdbzip2 "compress/bzip2"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"swudelta/internal/tooltest"
)

func encode(t testing.TB, src []byte, workers int) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Encode(&b, src, workers); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func checkDecodes(t testing.TB, stream, want []byte) {
	t.Helper()
	got, err := io.ReadAll(stdbzip2.NewReader(bytes.NewReader(stream)))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("decodes to other %d bytes, want %d", len(got), len(want))
	}
}

func random(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }

func noise(n int, seed uint64) []byte {
	r := random(seed)
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// differences are like the diff stream of a program's patch: zeros, and here
// and there a changed address, in stretches of different habits.
func differences(n int, seed uint64) []byte {
	r := random(seed)
	b := make([]byte, n)
	for at := 0; at < n; {
		end := min(n, at+20_000+r.IntN(200_000))
		gap, kinds := 8+r.IntN(300), 1+r.IntN(20)
		values := noise(kinds, r.Uint64())
		for at < end {
			at += 4 * (1 + r.IntN(gap))
			if at+2 < end {
				b[at] = values[r.IntN(kinds)]
				b[at+1] = byte(r.IntN(3))
			}
		}
	}
	return b
}

// fibonacci is the text that has the most ways to be read as periodic.
func fibonacci(n int) []byte {
	a, b := []byte("a"), []byte("ab")
	for len(b) < n {
		a, b = b, slices.Concat(b, a)
	}
	return b[:n]
}

type sample struct {
	name string
	data []byte
}

func samples() []sample {
	list := []sample{{"empty", nil}}
	add := func(name string, data []byte) { list = append(list, sample{name, data}) }
	for _, n := range []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 254, 255, 256, 257, 258, 259, 260, 261, 262, 263, 264, 518, 519, 522, 523} {
		run := bytes.Repeat([]byte{'a'}, n)
		add(fmt.Sprintf("run of %d", n), run)
		add(fmt.Sprintf("run of %d inside", n), slices.Concat([]byte("xb"), run, []byte("bx"), run))
		add(fmt.Sprintf("run of %d of 255", n), slices.Concat(bytes.Repeat([]byte{255}, n), run))
	}
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	add("every byte", every)
	add("every byte, many times", bytes.Repeat(every, 300))
	add("noise", noise(100_000, 1))
	for d := -1; d <= 1; d++ {
		add(fmt.Sprintf("block limit%+d", d), noise(maxBlock+d, 2))
		add(fmt.Sprintf("unit limit%+d", d), noise(unitSize+d, 3))
		// A run whose coded form ends there: 5 bytes.
		add(fmt.Sprintf("run at the block limit%+d", d), slices.Concat(noise(maxBlock-5+d, 2), make([]byte, 200), []byte("end")))
		add(fmt.Sprintf("runs up to the block limit%+d", d), make([]byte, maxBlock/5*259+d))
	}
	add("zeros", make([]byte, 5_000_000))
	add("ab", bytes.Repeat([]byte("ab"), 500_000))
	add("aab, cut", bytes.Repeat([]byte("aab"), 300_000)[:899_999])
	add("period 1000", bytes.Repeat(noise(1000, 4), 1000))
	add("period 1000, cut", bytes.Repeat(noise(1000, 4), 1000)[:999_998])
	add("fibonacci", fibonacci(1_000_000))
	add("descending", bytes.Repeat([]byte("zyxwvutsrqponmlkjihgfedcba"), 20_000))
	add("differences", differences(8_000_000, 5))
	add("mixture", slices.Concat(noise(300_000, 6), differences(4_000_000, 7), bytes.Repeat([]byte("text and text, "), 30_000), noise(50_000, 8)))
	return list
}

func TestDecoders(t *testing.T) {
	for _, s := range samples() {
		t.Run(s.name, func(t *testing.T) {
			small := encode(t, s.data, 2)
			checkDecodes(t, small, s.data)
			if s.name != "mixture" {
				return
			}
			var quick bytes.Buffer
			if err := (Encoder{Workers: 2, Quick: true}).Encode(&quick, s.data); err != nil {
				t.Fatal(err)
			}
			checkDecodes(t, quick.Bytes(), s.data)
			if len(small) > quick.Len() {
				t.Errorf("%d bytes, and %d quickly", len(small), quick.Len())
			}
		})
	}
}

// TestFullBlock fills a block to its last bytes with runs of each length, whose coded
// form must not reach beyond it.
func TestFullBlock(t *testing.T) {
	mixed := make([]byte, maxBlock)
	for i := range mixed {
		mixed[i] = byte(i) // no two are equal
	}
	for _, run := range []int{1, 2, 3, 4, 5, 260} {
		for left := range 7 {
			src := slices.Concat(mixed[:maxBlock-left], bytes.Repeat([]byte{7}, run), []byte("and so on"))
			if coded, _, n := codeRuns(nil, nil, src); len(coded) > maxBlock || n < maxBlock-left {
				t.Errorf("a run of %d with %d bytes left: %d of %d bytes in a block of %d", run, left, n, len(src), len(coded))
			}
			if run == 4 {
				checkDecodes(t, encode(t, src, 1), src)
			}
		}
	}
}

// TestProgram holds the encoder against the reference: it decodes our streams,
// and its own are not smaller.
func TestProgram(t *testing.T) {
	tooltest.Need(t, "bzip2")
	pipe := func(t *testing.T, in []byte, args ...string) []byte {
		cmd := exec.Command("bzip2", args...)
		cmd.Stdin = bytes.NewReader(in)
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	for _, s := range samples() {
		t.Run(s.name, func(t *testing.T) {
			ours := encode(t, s.data, 2)
			if !bytes.Equal(pipe(t, ours, "-dc"), s.data) {
				t.Error("bzip2 -dc makes something else of it")
			}
			theirs := pipe(t, s.data, "-9c")
			t.Logf("%d bytes, bzip2 -9 %d", len(ours), len(theirs))
			if len(ours) > len(theirs) {
				t.Errorf("%d bytes, bzip2 -9 needs %d", len(ours), len(theirs))
			}
			if strings.HasPrefix(s.name, "differences") && len(ours) > len(theirs)*95/100 {
				t.Errorf("%d bytes, more than 95 %% of bzip2 -9's %d", len(ours), len(theirs))
			}
		})
	}
}

// TestBspatch applies a patch whose three streams are ours.
func TestBspatch(t *testing.T) {
	tooltest.Need(t, "bspatch")
	diff, extra := differences(3_000_000, 9), noise(100_000, 10)
	old := noise(len(diff), 11)
	target := slices.Clone(old)
	for i, d := range diff {
		target[i] += d
	}
	target = append(target, extra...)
	var control []byte
	for _, v := range []int{len(diff), len(extra), 0} {
		control = binary.LittleEndian.AppendUint64(control, uint64(v))
	}
	c, d, x := encode(t, control, 1), encode(t, diff, 1), encode(t, extra, 1)
	patch := []byte("BSDIFF40")
	for _, v := range []int{len(c), len(d), len(target)} {
		patch = binary.LittleEndian.AppendUint64(patch, uint64(v))
	}
	patch = slices.Concat(patch, c, d, x)

	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	for name, data := range map[string][]byte{"old": old, "patch": patch} {
		if err := os.WriteFile(path(name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command("bspatch", path("old"), path("new"), path("patch")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	got, err := os.ReadFile(path("new"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, target) {
		t.Error("bspatch made another file")
	}
}

func TestWorkers(t *testing.T) {
	src := slices.Concat(noise(1_000_000, 12), differences(12_000_000, 13))
	want := encode(t, src, 1)
	checkDecodes(t, want, src)
	for _, workers := range []int{0, 2, 5} {
		if !bytes.Equal(encode(t, src, workers), want) {
			t.Errorf("%d workers give other bytes than one", workers)
		}
	}
}

// All bytes are told, and a window, which takes long, in many steps.
func TestProgress(t *testing.T) {
	src := differences(900_000, 7)
	var mu sync.Mutex
	told, most, steps := int64(0), int64(0), 0
	e := Encoder{Workers: 2, Progress: func(n int64) {
		mu.Lock()
		defer mu.Unlock()
		told, most, steps = told+n, max(most, n), steps+1
	}}
	if err := e.Encode(io.Discard, src); err != nil {
		t.Fatal(err)
	}
	if told != int64(len(src)) || steps < 16 || most > told/2 {
		t.Errorf("told %d of %d bytes in %d steps, %d at most", told, len(src), steps, most)
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestWriteError(t *testing.T) {
	if err := Encode(failing{}, []byte("x"), 1); err != io.ErrClosedPipe {
		t.Errorf("got %v", err)
	}
}

// TestSort holds the sorting against a plain one, on texts that have few
// symbols or are powers.
func TestSort(t *testing.T) {
	var tr transformer
	check := func(s []byte) {
		t.Helper()
		n := len(s)
		twice := slices.Concat(s, s)
		rows := make([]int, n)
		for i := range rows {
			rows[i] = i
		}
		slices.SortFunc(rows, func(a, b int) int { return bytes.Compare(twice[a:a+n], twice[b:b+n]) })
		last, origin := tr.sort(s)
		for i, r := range rows {
			if last[i] != twice[r+n-1] {
				t.Fatalf("%q: last column %q differs in row %d", s, last, i)
			}
		}
		if !bytes.Equal(twice[rows[origin]:rows[origin]+n], s) {
			t.Fatalf("%q: row %d is another rotation", s, origin)
		}
	}
	r := random(15)
	for range 3000 {
		s := make([]byte, 1+r.IntN(40))
		k := 1 + r.IntN(4)
		for i := range s {
			s[i] = byte('a' + r.IntN(k))
		}
		check(s)
		check(bytes.Repeat(s, 1+r.IntN(4)))
	}
	check(fibonacci(610))
	check(noise(2000, 16))
}

// TestComplete: every table is a complete code within the limit, whatever the
// counts.
func TestComplete(t *testing.T) {
	r := random(17)
	c := new(coder)
	for i := range 300 {
		count := make([]int32, 3+r.IntN(maxSymbols-2))
		if i%5 != 0 {
			for s := range count {
				count[s] = int32(r.Uint64N(1 << r.UintN(13)))
				if i%3 == 0 {
					count[s] >>= min(s, 31)
				}
			}
		}
		if i%7 == 0 {
			count[r.IntN(len(count))] = maxBlock
		}
		l := make([]uint8, len(count))
		c.completeTable(l, count)
		sum := 0
		for _, v := range l {
			if v < 1 || v > codeLimit {
				t.Fatalf("counts %v: length %d", count, v)
			}
			sum += whole >> v
		}
		if sum != whole {
			t.Fatalf("counts %v: lengths %v: Kraft sum %d/%d", count, l, sum, whole)
		}
	}
}

// TestSmooth holds what the lengths cost against the least that there is, found by
// trying all steps.
func TestSmooth(t *testing.T) {
	const bit, move = 16, 32 // as in smooth
	r := random(19)
	c := new(coder)
	for range 300 {
		count := make([]int32, 3+r.IntN(maxSymbols-2))
		for s := range count {
			if r.IntN(3) > 0 {
				count[s] = int32(r.Uint64N(1 << r.UintN(13)))
			}
		}
		weight := int64(r.Uint64N(uint64(2 * fair(count))))
		own := func(s, v int) int { return int(count[s])*v*bit + int(weight*bit>>v) }

		var least [codeLimit + 1]int // of the symbols so far, by the length of the last one
		for s := range count {
			var next [codeLimit + 1]int
			for v := 1; v <= codeLimit; v++ {
				next[v] = math.MaxInt
				for from := 1; from <= codeLimit; from++ {
					steps := max(v-from, from-v)
					if s == 0 {
						steps = 0
					}
					next[v] = min(next[v], least[from]+move*steps+own(s, v))
				}
			}
			least = next
		}

		l := make([]uint8, len(count))
		sum := c.smooth(l, count, weight)
		cost, kraft := (tableBits(l)-5-len(l))*bit, 0
		for s, v := range l {
			cost += own(s, int(v))
			kraft += whole >> v
		}
		if want := slices.Min(least[1:]); cost != want || sum != kraft {
			t.Fatalf("counts %v, weight %d: lengths %v cost %d, want %d; Kraft sum %d, want %d", count, weight, l, cost, want, sum, kraft)
		}
	}
}

func TestLog2(t *testing.T) {
	for _, c := range []struct {
		x    uint32
		want int
	}{{1, 0}, {2, 256}, {3, 405}, {1 << 17, 17 * 256}, {1<<32 - 1, 32*256 - 1}} {
		if got := log2(c.x); got != c.want {
			t.Errorf("log2(%d) is %d/256, want %d/256", c.x, got, c.want)
		}
	}
}

func TestChecksum(t *testing.T) {
	// The check value of the catalogues for CRC-32/BZIP2.
	if got := checksum([]byte("123456789")); got != 0xfc891918 {
		t.Errorf("got %#x", got)
	}
	if got := checksum(nil); got != crc32.ChecksumIEEE(nil) {
		t.Errorf("of nothing: got %#x", got)
	}
}

func FuzzEncode(f *testing.F) {
	f.Add([]byte(nil), uint16(1))
	f.Add([]byte("banana"), uint16(1))
	f.Add(bytes.Repeat([]byte{0}, 263), uint16(1))
	f.Add([]byte("abcaaaaaaaab"), uint16(700))
	f.Add(differences(5000, 18), uint16(20))
	f.Fuzz(func(t *testing.T, src []byte, times uint16) {
		src = bytes.Repeat(src, min(int(times), 1+100_000/(1+len(src))))
		checkDecodes(t, encode(t, src, 1), src)
	})
}
