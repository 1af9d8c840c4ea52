// SPDX-License-Identifier: MIT

package bsdiff

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/gabstv/go-bsdiff/pkg/bsdiff"
	"github.com/gabstv/go-bsdiff/pkg/bspatch"

	"swudelta/internal/codec"
	"swudelta/internal/fault"
	"swudelta/internal/tooltest"
)

// compressor is libbz2.
func compressor(t testing.TB) Compressor {
	t.Helper()
	lib, err := codec.OpenBzip2()
	if err != nil {
		tooltest.Need(t, "libbz2.so.1.0")
		t.Fatal(err)
	}
	return lib.Compress
}

func encoded(t testing.TB, p *Patch) []byte {
	t.Helper()
	var b bytes.Buffer
	sizes, err := p.Encode(&b, compressor(t))
	if err != nil {
		t.Fatal(err)
	}
	if sizes.Total() != int64(b.Len()) {
		t.Fatalf("sizes sum up to %d, want %d", sizes.Total(), b.Len())
	}
	return b.Bytes()
}

func apply(old, patch []byte, newSize int64) ([]byte, error) {
	var b bytes.Buffer
	err := Apply(&b, bytes.NewReader(old), int64(len(old)), bytes.NewReader(patch), int64(len(patch)), newSize)
	return b.Bytes(), err
}

// samples are pairs of files with what makes patches differ in them.
func samples() map[string][2][]byte {
	rnd := rand.New(rand.NewSource(3))
	text := []byte(strings.Repeat("It was the best of times, it was the worst of times. ", 300))
	code := randomBytes(rnd, 200_000, 256)
	moved := append(append(append([]byte(nil), code[120_000:]...), "in between"...), code[:130_000]...)
	for i := 40; i < len(moved); i += 40 {
		moved[i] += 8
	}
	return map[string][2][]byte{
		"empty":      {nil, nil},
		"from empty": {nil, text},
		"to empty":   {text, nil},
		"same":       {text, text},
		"text":       {text, bytes.ReplaceAll(text, []byte("worst"), []byte("very worst"))},
		"code":       {code, moved},
		"zeros":      {make([]byte, 300_000), append(make([]byte, 400_000), 1)},
		"edited":     {code, edited(rnd, code, 256)},
	}
}

func TestApply(t *testing.T) {
	for name, s := range samples() {
		old, new := s[0], s[1]
		patch := encoded(t, Diff(old, new, Options{}))
		for _, tail := range []string{"", "x", "BZ", strings.Repeat("trailing", 20000)} {
			got, err := apply(old, append(patch[:len(patch):len(patch)], tail...), int64(len(new)))
			if err != nil || !bytes.Equal(got, new) {
				t.Errorf("%s, with %d bytes behind the patch: %v", name, len(tail), err)
			}
		}
		for _, size := range []int64{int64(len(new)) - 1, int64(len(new)) + 1} {
			if _, err := apply(old, patch, size); !fault.IsData(err) {
				t.Errorf("%s, with a wrong size: %v", name, err)
			}
		}
	}
}

// Debian's bspatch and gabstv/go-bsdiff apply our patches, and we theirs.
func TestOracles(t *testing.T) {
	debian := true
	if _, err := exec.LookPath("bspatch"); err != nil {
		debian = false
	}
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	write := func(name string, b []byte) {
		if err := os.WriteFile(path(name), b, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	for name, s := range samples() {
		old, new := s[0], s[1]
		if len(old) == 0 || name == "zeros" {
			continue // the oracles fail at the first, and take minutes for the second
		}
		p := Diff(old, new, Options{})
		patch := encoded(t, p)
		if got, err := bspatch.Bytes(old, patch); err != nil || !bytes.Equal(got, new) {
			t.Errorf("%s: gabstv/go-bsdiff does not apply our patch: %v", name, err)
		}
		theirs, err := bsdiff.Bytes(old, new)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := apply(old, theirs, int64(len(new))); err != nil || !bytes.Equal(got, new) {
			t.Errorf("%s: patch of gabstv/go-bsdiff: %v", name, err)
		}
		if !debian || len(new) == 0 {
			continue // bsdiff does not take an empty new file
		}
		write("old", old)
		write("new", new)
		write("patch", patch)
		if out, err := exec.Command("bspatch", path("old"), path("out"), path("patch")).CombinedOutput(); err != nil {
			t.Errorf("%s: bspatch: %v: %s", name, err, out)
		} else if got, err := os.ReadFile(path("out")); err != nil || !bytes.Equal(got, new) {
			t.Errorf("%s: bspatch makes something else of our patch", name)
		}
		if out, err := exec.Command("bsdiff", path("old"), path("new"), path("patch")).CombinedOutput(); err != nil {
			t.Fatalf("%s: bsdiff: %v: %s", name, err, out)
		}
		theirs, err = os.ReadFile(path("patch"))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := apply(old, theirs, int64(len(new))); err != nil || !bytes.Equal(got, new) {
			t.Errorf("%s: patch of bsdiff: %v", name, err)
		}
		if len(patch) > len(theirs)+len(theirs)/50+64 {
			t.Errorf("%s: our patch has %d bytes, bsdiff's %d", name, len(patch), len(theirs))
		}
	}
	if !debian {
		tooltest.Need(t, "bsdiff", "bspatch")
	}
}

func TestTruncated(t *testing.T) {
	s := samples()["text"]
	old, new := s[0], s[1]
	patch := encoded(t, Diff(old, new, Options{}))
	for n := range patch {
		if _, err := apply(old, patch[:n], int64(len(new))); !fault.IsData(err) {
			t.Errorf("first %d of %d bytes: %v", n, len(patch), err)
		}
	}
}

// Any changed bit is noticed, but in what no decoder looks at.
func TestCorrupted(t *testing.T) {
	s := samples()["text"]
	old, new := s[0], s[1]
	patch := encoded(t, Diff(old, new, Options{}))
	for i := range patch {
		for bit := range 8 {
			bad := bytes.Clone(patch)
			bad[i] ^= 1 << bit
			got, err := apply(old, bad, int64(len(new)))
			if err != nil && !fault.IsData(err) {
				t.Fatalf("byte %d, bit %d: %v", i, bit, err)
			}
			if err == nil && !bytes.Equal(got, new) {
				t.Fatalf("byte %d, bit %d: wrong result without an error", i, bit)
			}
		}
	}
}

// raw makes a patch of any numbers and streams.
func raw(t testing.TB, newSize int64, controls []Control, diff, extra []byte) []byte {
	t.Helper()
	patch := encoded(t, &Patch{Controls: controls, Diff: diff, Extra: extra})
	copy(patch[24:], appendInt(nil, newSize))
	return patch
}

func TestHostile(t *testing.T) {
	old := []byte("0123456789")
	const far = math.MaxInt64
	for _, c := range []struct {
		name     string
		size     int64
		controls []Control
		diff     string
		want     string
	}{
		{"no entry", 5, nil, "abcde", "control stream"},
		{"too much diff", 5, []Control{{6, 0, 0}}, "abcdef", "do not fit"},
		{"too much extra", 5, []Control{{3, 3, 0}}, "abcdef", "do not fit"},
		{"negative diff", 5, []Control{{-1, 6, 0}}, "abcdef", "do not fit"},
		{"negative extra", 5, []Control{{6, -1, 0}}, "abcdef", "do not fit"},
		{"huge diff", 5, []Control{{far, 0, 0}}, "abcdef", "do not fit"},
		{"huge sum", 5, []Control{{far, far, 0}}, "abcdef", "do not fit"},
		{"huge seek", 5, []Control{{1, 0, far}, {4, 0, 0}}, "abcde", "out of range"},
		{"huge negative seek", 5, []Control{{1, 0, -far}, {4, 0, 0}}, "abcde", "out of range"},
		{"seeks that add up", 5, []Control{{1, 0, 1 << 61}, {1, 0, 1 << 61}, {1, 0, 1 << 61}, {2, 0, 0}}, "abcde", "out of range"},
		{"idle entries", 5, make([]Control, 7), "abcde", "make nothing"},
		{"more entries than make sense", 5, make([]Control, 100_000), "abcde", "control stream"},
		{"long diff", 5, []Control{{5, 0, 0}}, "abcdef", "longer"},
		{"long control", 5, []Control{{5, 0, 0}, {0, 0, 0}}, "abcde", "longer"},
		{"short diff", 5, []Control{{5, 0, 0}}, "abc", "diff stream"},
		{"short extra", 5, []Control{{1, 4, 0}}, "a", "extra stream"},
		{"huge new size", 1 << 62, []Control{{1 << 62, 0, 0}}, "abc", "diff stream"},
	} {
		_, err := apply(old, raw(t, c.size, c.controls, []byte(c.diff), nil), c.size)
		if !fault.IsData(err) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", c.name, err, c.want)
		}
	}
	header := func(control, diff, size int64) []byte {
		b := raw(t, size, nil, nil, nil)
		copy(b[8:], appendInt(appendInt(nil, control), diff))
		return b
	}
	for _, b := range [][]byte{
		nil,
		[]byte("BSDIFF40"),
		append([]byte("BSDIFF41"), make([]byte, 60)...),
		header(-1, 14, 0),
		header(14, -1, 0),
		header(far, far, 0),
		header(14, 29, 0),
		header(14, 14, -1),
		header(0, 14, 1),
		header(14, 28, 1), // no extra stream
	} {
		if _, err := apply(old, b, 1); !fault.IsData(err) {
			t.Errorf("header % x: %v", b, err)
		}
	}
}

// Positions before and behind the old file count as zero bytes.
func TestOutside(t *testing.T) {
	patch := raw(t, 9, []Control{{0, 0, -2}, {4, 0, 7}, {4, 0, 1000}, {1, 0, 0}}, []byte("aaaaaaaaa"), nil)
	got, err := apply([]byte("\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b"), patch, 9)
	if want := "aabckla" + "aa"; err != nil || string(got) != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}

type failing struct{ err error }

func (f failing) ReadAt([]byte, int64) (int, error) { return 0, f.err }
func (f failing) Write([]byte) (int, error)         { return 0, f.err }

// What the operating system is to blame for is no fault of the data.
func TestEnvironment(t *testing.T) {
	s := samples()["text"]
	old, new := s[0], s[1]
	patch := encoded(t, Diff(old, new, Options{}))
	n, size := int64(len(patch)), int64(len(new))
	in, from := bytes.NewReader(patch), bytes.NewReader(old)
	for i, err := range []error{
		Apply(failing{syscall.ENOSPC}, from, int64(len(old)), in, n, size),
		Apply(io.Discard, failing{syscall.EIO}, int64(len(old)), in, n, size),
		Apply(io.Discard, from, int64(len(old)), failing{syscall.EIO}, n, size),
	} {
		if fault.IsData(err) || !errors.Is(err, [...]error{syscall.ENOSPC, syscall.EIO, syscall.EIO}[i]) {
			t.Errorf("case %d: got %v", i, err)
		}
	}
	// The old file is shorter than its size: whoever gave the size is wrong.
	if err := Apply(io.Discard, from, int64(len(old))+100_000, in, n, size); err != nil && fault.IsData(err) {
		t.Errorf("got %v", err)
	}
	if _, err := (&Patch{}).Encode(io.Discard, func(io.Writer, []byte) error { return nil }); err == nil {
		t.Error("a compressor that writes nothing is accepted")
	}
	if _, err := (&Patch{}).Encode(failing{syscall.ENOSPC}, compressor(t)); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("got %v", err)
	}
}

func TestNumbers(t *testing.T) {
	for _, v := range []int64{0, 1, -1, 255, -256, math.MaxInt32, math.MinInt32, 1 << 40, math.MaxInt64, -math.MaxInt64} {
		b := appendInt(nil, v)
		if got := decodeInt(b); got != v {
			t.Errorf("%d: got %d", v, got)
		}
		if neg := b[7]&0x80 != 0; neg != (v < 0) {
			t.Errorf("%d: sign bit is %v", v, neg)
		}
	}
	if got := decodeInt(binary.LittleEndian.AppendUint64(nil, 1<<63)); got != 0 {
		t.Errorf("negative zero: got %d", got)
	}
}

func TestCheck(t *testing.T) {
	old, new := []byte("abcdef"), []byte("abcxefnew")
	good := Patch{Controls: []Control{{6, 3, 0}}, Diff: []byte{0, 0, 0, 'x' - 'd', 0, 0}, Extra: []byte("new")}
	if err := good.Check(old, new); err != nil {
		t.Fatal(err)
	}
	for _, p := range []Patch{
		{},
		{Controls: []Control{{6, 2, 0}}, Diff: good.Diff, Extra: good.Extra},
		{Controls: []Control{{7, 2, 0}}, Diff: good.Diff, Extra: good.Extra},
		{Controls: []Control{{-1, 3, 0}}, Diff: good.Diff, Extra: good.Extra},
		{Controls: []Control{{0, 0, 1}, {6, 3, 0}}, Diff: good.Diff, Extra: good.Extra},
		{Controls: good.Controls, Diff: make([]byte, 6), Extra: good.Extra},
		{Controls: good.Controls, Diff: good.Diff, Extra: []byte("old")},
	} {
		if err := p.Check(old, new); !fault.IsData(err) {
			t.Errorf("%v: got %v", p, err)
		}
	}
}

// One Applier applies one patch after the other, broken ones among them.
func TestApplier(t *testing.T) {
	var a Applier
	for range 2 {
		for name, s := range samples() {
			old, new := s[0], s[1]
			patch := encoded(t, Diff(old, new, Options{}))
			run := func(patch []byte) ([]byte, error) {
				var b bytes.Buffer
				err := a.Apply(&b, bytes.NewReader(old), int64(len(old)), bytes.NewReader(patch), int64(len(patch)), int64(len(new)))
				return b.Bytes(), err
			}
			if _, err := run(patch[:len(patch)-1]); !fault.IsData(err) {
				t.Errorf("%s, cut: %v", name, err)
			}
			if got, err := run(patch); err != nil || !bytes.Equal(got, new) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// Neither the old file nor the new one is held in memory.
func TestApplyMemory(t *testing.T) {
	const size = 256 << 20
	p := Patch{Controls: []Control{{size, 0, 0}}, Diff: make([]byte, size)}
	patch := encoded(t, &p)
	p = Patch{}
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if err := Apply(io.Discard, zeroReader{}, size, bytes.NewReader(patch), int64(len(patch)), size); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > 16<<20 {
		t.Errorf("allocated %d bytes", used)
	}
}

type zeroReader struct{}

func (zeroReader) ReadAt(b []byte, _ int64) (int, error) {
	clear(b)
	return len(b), nil
}

func FuzzApply(f *testing.F) {
	old := []byte("It was the best of times, it was the worst of times.")
	f.Add(old, encoded(f, Diff(old, []byte("It was the worst of times, or was it?"), Options{})))
	f.Add(old, encoded(f, &Patch{Controls: []Control{{0, 0, -2}, {4, 1, 100}}, Diff: []byte("abcd"), Extra: []byte("e")}))
	f.Add([]byte{}, encoded(f, &Patch{}))
	f.Fuzz(func(t *testing.T, old, patch []byte) {
		h, err := Parse(bytes.NewReader(patch), int64(len(patch)))
		if err != nil {
			if !fault.IsData(err) {
				t.Fatal(err)
			}
			return
		}
		out := &limited{left: 1 << 20}
		err = Apply(out, bytes.NewReader(old), int64(len(old)), bytes.NewReader(patch), int64(len(patch)), h.NewSize)
		if err != nil && !fault.IsData(err) && !errors.Is(err, errLimit) {
			t.Fatal(err)
		}
		if err == nil && out.n != h.NewSize {
			t.Fatalf("made %d bytes, want %d", out.n, h.NewSize)
		}
	})
}

var errLimit = errors.New("limit of the test reached")

type limited struct{ n, left int64 }

func (l *limited) Write(b []byte) (int, error) {
	if l.left -= int64(len(b)); l.left < 0 {
		return 0, errLimit
	}
	l.n += int64(len(b))
	return len(b), nil
}
