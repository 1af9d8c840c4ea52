// SPDX-License-Identifier: MIT

package plan

import (
	"bytes"
	"compress/gzip"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"swudelta/internal/codec"
	"swudelta/internal/digest"
	"swudelta/internal/swu"
	"swudelta/internal/tooltest"
)

var update = flag.Bool("update", false, "write testdata/golden.txt anew")

// recompressed is an update with its gzip members compressed by compress instead.
func recompressed(t testing.TB, update []byte, compress func([]byte) []byte) []byte {
	t.Helper()
	var members []member
	for r := swu.NewReader(bytes.NewReader(update)); ; {
		h, err := r.Next()
		if err == io.EOF {
			return archive(t, members...)
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if codec.Detect(data) == codec.KindGzip {
			g, err := gzip.NewReader(bytes.NewReader(data))
			if err != nil {
				t.Fatal(err)
			}
			if data, err = io.ReadAll(g); err != nil {
				t.Fatal(err)
			}
			data = compress(data)
		}
		members = append(members, member{h.Name, data})
	}
}

// goldenPair is a pair whose delta must not change.
type goldenPair struct {
	name           string
	source, target []byte
	memory         int64 // of the device, in bytes; 0: the default
}

// goldenPairs are small pairs of many shapes for a device that compresses images that
// way: the demonstration, synthetic ones, and those that SWUDELTA_CORPUS names.
func goldenPairs(t *testing.T, compress func([]byte) []byte) []goldenPair {
	old := random(1, 512<<10)
	new := edits(old)
	other := random(5, 256<<10)
	desc := func(v string) member {
		return member{"sw-description", fmt.Appendf(nil, "software = { version = %q; };\n", v)}
	}
	var shuffled []byte
	for i := range 64 {
		at := i * 37 % 64 * (8 << 10)
		shuffled = append(shuffled, scatter(old[at:at+8<<10])...)
	}
	long := bytes.Repeat(random(7, 3<<20), 2)
	copy(long[4<<20:], random(8, 100<<10))
	pairs := []goldenPair{
		{"plain files", old, new, 0},
		{"compressed images", gzipped(t, old), compress(new), 0},
		{"update", archive(t, desc("1"), member{"root.gz", gzipped(t, old)}), archive(t, desc("2"), member{"root.z", compress(new)}), 0},
		{"swapped images", archive(t, member{"a.gz", gzipped(t, old)}, member{"b.gz", gzipped(t, other)}),
			archive(t, member{"b.z", compress(new)}, member{"a.z", compress(scatter(other))}), 0},
		{"image of two", archive(t, member{"a", old}, member{"b", other}), archive(t, member{"c", slices.Concat(scatter(old), other)}), 0},
		{"unchanged and empty members", archive(t, member{"e", nil}, member{"a", old}, member{"b", other}),
			archive(t, member{"e", nil}, member{"a", old}, member{"b", scatter(other)}), 0},
		{"shuffled", old, shuffled, 0},
		{"two streams", slices.Concat(gzipped(t, old), gzipped(t, other)), slices.Concat(new, scatter(other)), 0},
		{"shrunk to zeros", old, make([]byte, 300<<10), 0},
		{"tiny source", []byte("x"), bytes.Repeat([]byte("swu"), 100000), 0},
		{"little in common", other, append(random(6, 200<<10), make([]byte, 1<<20)...), 0},
		{"several packs", long, scatter(long), 22 << 20},
	}
	named := func(name, dir string) {
		var sides [2][]byte
		for i, side := range []string{"source", "target"} {
			var err error
			if sides[i], err = os.ReadFile(filepath.Join(dir, side+".swu")); err != nil {
				t.Fatal(err)
			}
		}
		pairs = append(pairs, goldenPair{name, sides[0], recompressed(t, sides[1], compress), 0})
	}
	named("demo", filepath.Join(tooltest.Root(), "testdata", "demo"))
	if dir := os.Getenv("SWUDELTA_CORPUS"); dir != "" {
		named("patch", filepath.Join(dir, "patch"))
		named("minor", filepath.Join(dir, "minor"))
	}
	return pairs
}

// TestGolden holds the digests of deltas against those in testdata: a change of the
// program's structure changes none of them. A change that is to make deltas better changes
// them with -update, which keeps the lines of pairs that are not there.
func TestGolden(t *testing.T) {
	zstd, zlib := libraries(t)
	libraries := fmt.Sprintf("libzstd %s zlib %s", zstd.Version(), zlib.Version())
	file := filepath.Join("testdata", "golden.txt")
	head, want := readGolden(t, file)
	if head != libraries && !*update {
		t.Skipf("the digests are for %s, and here is %s", head, libraries)
	}
	if head != libraries {
		clear(want)
	}
	for device, compress := range map[string]func(testing.TB, []byte) []byte{"1.0": canonical, "3.0": canonicalGzip} {
		for _, p := range goldenPairs(t, func(b []byte) []byte { return compress(t, b) }) {
			name := device + " " + p.name
			t.Run(name, func(t *testing.T) {
				o := optionsFor(t, device)
				o.DeviceMemory = p.memory
				o.Note = nil
				r, err := Make(input(p.source), input(p.target), o)
				if err != nil {
					t.Fatal(err)
				}
				got := fmt.Sprintf("%s %d %d %d", digest.Sum(r.Delta).Hex(), len(r.Delta), r.DeviceMemory, r.DeviceTmp)
				if *update {
					want[name] = got
				} else if want[name] != got {
					t.Errorf("got digest, bytes, memory and temporary space on the device\n%s\nwant\n%s", got, want[name])
				}
			})
		}
	}
	if *update {
		writeGolden(t, file, libraries, want)
	}
}

// readGolden returns the libraries of the first line, and what each other line has behind
// the name of its pair.
func readGolden(t *testing.T, file string) (libraries string, lines map[string]string) {
	b, err := os.ReadFile(file)
	if err != nil && !*update {
		t.Fatal(err)
	}
	lines = map[string]string{}
	libraries, rest, _ := strings.Cut(string(b), "\n")
	for line := range strings.Lines(rest) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		lines[name] = value
	}
	return libraries, lines
}

func writeGolden(t *testing.T, file, libraries string, lines map[string]string) {
	var list []string
	for name, value := range lines {
		list = append(list, name+": "+value+"\n")
	}
	slices.Sort(list)
	if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(libraries+"\n"+strings.Join(list, "")), 0o666); err != nil {
		t.Fatal(err)
	}
}
