// SPDX-License-Identifier: MIT

package native

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"swudelta/internal/bsdiff"
	"swudelta/internal/digest"
	"swudelta/internal/tooltest"
)

// applyNamed names a folder with deltas for [TestApplyNamed].
const applyNamed = "SWUDELTA_NATIVE_DELTAS"

// TestOtherArchitectures runs this package's tests as programs of other architectures, and
// lets them apply deltas that were made here, of programs of all kinds and, if
// SWUDELTA_NATIVE_LARGE is set, of a target that is larger than 2 GiB: emulated, that
// takes many minutes.
func TestOtherArchitectures(t *testing.T) {
	if testing.Short() {
		t.Skip("takes minutes")
	}
	dir := t.TempDir()
	makePrograms(t, dir)
	if os.Getenv("SWUDELTA_NATIVE_LARGE") != "" {
		makeLarge(t, dir)
	}
	for _, arch := range []struct{ name, emulator, libc, loader string }{
		{"arm", "qemu-arm-static", "/usr/arm-linux-gnueabihf", "/lib/ld-linux-armhf.so.3"},
		{"arm64", "qemu-aarch64-static", "/usr/aarch64-linux-gnu", "/lib/ld-linux-aarch64.so.1"},
	} {
		t.Run(arch.name, func(t *testing.T) {
			tooltest.Need(t, arch.emulator)
			if _, err := os.Stat(arch.libc + arch.loader); err != nil {
				t.Skipf("no C library of the architecture: %v", err)
			}
			tests := filepath.Join(t.TempDir(), "tests")
			build := exec.Command("go", "test", "-c", "-ldflags", "-I "+arch.loader, "-o", tests, ".")
			build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOARCH="+arch.name)
			if out, err := build.CombinedOutput(); err != nil {
				t.Fatalf("build: %v\n%s", err, out)
			}
			run := exec.Command(arch.emulator, tests, "-test.v", "-test.short", "-test.run",
				"^Test(Vector|ApplyNamed|RoundTrip|FarOperations|Ahead|WrongSource)$")
			run.Env = append(os.Environ(), "QEMU_LD_PREFIX="+arch.libc, applyNamed+"="+dir)
			out, err := run.CombinedOutput()
			if err != nil || !bytes.Contains(out, []byte("--- PASS: TestApplyNamed")) {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// TestApplyNamed applies the deltas in a folder, which know what they make.
func TestApplyNamed(t *testing.T) {
	dir := os.Getenv(applyNamed)
	if dir == "" {
		t.Skipf("%s names no folder", applyNamed)
	}
	names, err := filepath.Glob(filepath.Join(dir, "*.delta"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no deltas in %s: %v", dir, err)
	}
	for _, name := range names {
		if err := applyFile(name, options(t)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// applyFile applies a delta to the file beside it.
func applyFile(name string, o ApplyOptions) error {
	delta, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	source, err := os.ReadFile(strings.TrimSuffix(name, ".delta") + ".source")
	if err != nil {
		return err
	}
	d, err := Open(bytes.NewReader(delta), int64(len(delta)))
	if err != nil {
		return err
	}
	return d.Apply(io.Discard, bytes.NewReader(source), int64(len(source)), o)
}

// put writes a delta and its source to a folder.
func put(t *testing.T, dir, name string, delta, source []byte) {
	for suffix, b := range map[string][]byte{".delta": delta, ".source": source} {
		if err := os.WriteFile(filepath.Join(dir, name+suffix), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// makePrograms makes deltas of small programs, with predicted displacements.
func makePrograms(t *testing.T, dir string) {
	folder := filepath.Join("..", "displace", "testdata")
	names, err := filepath.Glob(filepath.Join(folder, "*.1"))
	if err != nil || len(names) < 5 {
		t.Fatalf("programs %v, error %v", names, err)
	}
	predicted := 0
	for _, name := range names {
		old, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		new, err := os.ReadFile(strings.TrimSuffix(name, "1") + "2")
		if err != nil {
			t.Fatal(err)
		}
		s := patched(old, new)
		delta := s.encode(t)
		s.check(t, delta, ApplyOptions{})
		if bytes.Contains(delta[headSize:], []byte{byte(TypeDisplacements), 0, 0, 0, 0, 0, 0, 0}) {
			predicted++
		}
		put(t, dir, filepath.Base(name), delta, old)
	}
	if predicted < len(names)/2 {
		t.Errorf("only %d of %d deltas predict anything", predicted, len(names))
	}
}

// patched is a scene in which new is made from old as a patch says.
func patched(old, new []byte) *scene {
	s := &scene{source: old, target: new}
	at, pos := int64(0), int64(0)
	for _, c := range bsdiff.Diff(old, new, bsdiff.Options{}).Controls {
		lo := max(0, -pos)
		hi := max(lo, min(c.Add, int64(len(old))-pos))
		for _, o := range []Op{{Literal, lo, 0}, {Copy, hi - lo, pos + lo}, {Literal, c.Add - hi + c.Extra, 0}} {
			if o.Len > 0 {
				s.in.Ops = append(s.in.Ops, o)
			}
		}
		at += c.Add + c.Extra
		pos += c.Add + c.Seek
	}
	s.in.Old = []Stream{{Length: int64(len(old)), Size: int64(len(old))}}
	s.in.New = []Segment{{Length: at}}
	s.in.OldSide, s.in.NewSide = old, new
	s.sums()
	return s
}

// A target larger than 2 GiB is made here.
func TestLarge(t *testing.T) {
	if testing.Short() {
		t.Skip("hashes some gigabytes")
	}
	dir := t.TempDir()
	makeLarge(t, dir)
	if err := applyFile(filepath.Join(dir, "large.delta"), options(t)); err != nil {
		t.Error(err)
	}
}

// makeLarge makes a delta whose target is a little larger than 2 GiB, by hand, since
// the encoder would have it in memory.
func makeLarge(t *testing.T, dir string) {
	const middle = int64(1<<31 + 12345)
	source := []byte("the start and the end")
	ops := []Op{{Copy, 9, 0}, {Fill, middle, 7}, {Copy, 7, 14}, {Stored, 4, 0}}
	sum := digest.NewWriter(io.Discard)
	sum.Write(source[:9])
	fill := bytes.Repeat([]byte{7}, 1<<20)
	for n := middle; n > 0; n -= int64(len(fill)) {
		sum.Write(fill[:min(n, int64(len(fill)))])
	}
	fmt.Fprintf(sum, "%s.bye", source[14:])
	d := &Delta{
		TargetLength: middle + 20, TargetSHA256: sum.Sum(),
		SourceLength: int64(len(source)), SourceSHA256: digest.Sum(source),
		Old: []Stream{{Length: int64(len(source)), Size: int64(len(source))}},
		New: []Segment{{Length: middle + 20}},
	}
	operations, err := encodeOps(ops)
	if err != nil {
		t.Fatal(err)
	}
	e := &encoder{}
	e.add(TypeContent, d.appendContent(nil))
	e.add(TypeOperations, operations)
	e.add(TypeStored, []byte(".bye"))
	if err := e.assemble(d); err != nil {
		t.Fatal(err)
	}
	put(t, dir, "large", e.file, source)
}
