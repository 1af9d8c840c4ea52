// SPDX-License-Identifier: MIT

package plan

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"swudelta/internal/fault"
	"swudelta/internal/progress"
	"swudelta/internal/swu"
	"swudelta/internal/tooltest"
)

var random, edits, scatter = tooltest.Random, tooltest.Edits, tooltest.Scatter

func input(b []byte) Input { return Input{ReaderAt: bytes.NewReader(b), Size: int64(len(b))} }

func gzipped(t testing.TB, b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	w.Write(b)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

type member struct {
	name string
	data []byte
}

func archive(t testing.TB, members ...member) []byte {
	var out bytes.Buffer
	w := swu.NewWriter(&out)
	for _, m := range members {
		h := swu.NewHeader(m.name, int64(len(m.data)))
		sum, _, err := swu.Checksum(bytes.NewReader(m.data))
		if err != nil {
			t.Fatal(err)
		}
		h.Fields.Set(swu.Check, sum)
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(m.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestMake(t *testing.T) {
	o := options(t)
	old := random(1, 2<<20)
	new := edits(old)
	text := bytes.Repeat([]byte("a line of text\n"), 4000)
	desc := func(v string) member {
		return member{"sw-description", fmt.Appendf(nil, "software = { version = %q; };\n", v)}
	}
	for _, c := range []struct {
		name           string
		source, target []byte
		most           int // bytes of the delta
	}{
		{"plain files", old, new, 280 << 10},
		{"gzip to canonical zstd", gzipped(t, old), canonical(t, new), 280 << 10},
		{"zstd to canonical zstd", canonical(t, old), canonical(t, new), 280 << 10},
		{"gzip to plain", gzipped(t, old), new, 280 << 10},
		{"SWU", archive(t, desc("1"), member{"root.ext4.gz", gzipped(t, old)}),
			archive(t, desc("2"), member{"root.ext4.zst", canonical(t, new)}), 281 << 10},
		{"images that swap names", archive(t, desc("1"), member{"a.gz", gzipped(t, old)}, member{"b.gz", gzipped(t, random(5, 1<<20))}),
			archive(t, desc("2"), member{"b.zst", canonical(t, new)}, member{"a.zst", canonical(t, scatter(random(5, 1<<20)))}), 300 << 10},
		{"an image of two others", archive(t, desc("1"), member{"a", old}, member{"b", random(5, 1<<20)}),
			archive(t, desc("2"), member{"c", slices.Concat(old, random(5, 1<<20))}), 3 << 10},
		{"a member that is no image", archive(t, desc("1"), member{"notes", text}),
			archive(t, desc("2"), member{"notes", append(bytes.Clone(text), "more"...)}), 3 << 10},
		{"nothing in common", random(6, 1<<20), append(random(7, 1<<20), make([]byte, 1<<20)...), 1<<20 + 3000},
		{"shrunk to zeros", old, make([]byte, 1<<20), 3 << 10},
		{"a tiny source", []byte("x"), bytes.Repeat([]byte("swu"), 100000), 3 << 10},
		{"target inside source", old, old[1000 : 1<<20], 3 << 10},
		{"empty members", archive(t, desc("1"), member{"e", nil}, member{"a", old}), archive(t, desc("2"), member{"e", nil}, member{"a", new}), 281 << 10},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := Make(input(c.source), input(c.target), o)
			if err != nil {
				t.Fatal(err)
			}
			if got := applied(t, c.source, r.Delta); !bytes.Equal(got, c.target) {
				t.Error("applying the delta does not give the target")
			}
			if len(r.Delta) > c.most {
				t.Errorf("got %d bytes, want at most %d", len(r.Delta), c.most)
			}
		})
	}
}

func TestMakeRefuses(t *testing.T) {
	o := options(t)
	small := o
	small.DeviceMemory = 8 << 20
	noTmp := o
	noTmp.DeviceTmp = 1000
	old := random(1, 1<<20)
	good := archive(t, member{"sw-description", []byte("x")}, member{"a.gz", gzipped(t, old)})
	for _, c := range []struct {
		name           string
		source, target []byte
		o              Options
		want           string
	}{
		{"same", old, old, o, "same"},
		{"empty source", nil, old, o, "empty"},
		{"empty target", old, nil, o, "empty"},
		{"not smaller", old, random(2, 5000), o, "not smaller"},
		{"truncated SWU", good[:len(good)/2], old, o, "source"},
		{"truncated target", old, good[:len(good)/2], o, "target"},
		{"too little memory", old, edits(old), small, "device"},
		{"too little temporary space", gzipped(t, old), edits(old), noTmp, "temporary space"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Make(input(c.source), input(c.target), c.o)
			if err == nil || !fault.IsData(err) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want a fault of the data with %q", err, c.want)
			}
		})
	}
}

// The environment's errors stay its own, so that a build is tried again.
func TestMakeEnvironment(t *testing.T) {
	o := options(t)
	broken := errors.New("no space")
	o.Load = func(io.Reader) ([]byte, error) { return nil, broken }
	_, err := Make(input(random(1, 1<<20)), input(random(2, 1<<20)), o)
	if !errors.Is(err, broken) || fault.IsData(err) {
		t.Errorf("got %v", err)
	}
}

// Any number of workers gives the same bytes, and less memory on the device
// more packs.
func TestMakeDeterministic(t *testing.T) {
	o := options(t)
	old := random(1, 5<<20)
	var new []byte
	for at := 0; at < len(old); at += 64 << 10 {
		new = append(new, scatter(old[at:at+64<<10])...)
		new = append(new, random(uint64(at), 100)...)
	}
	o.DeviceMemory = 20 << 20
	var first []byte
	for _, workers := range []int{1, 7} {
		o.Workers = workers
		r, err := Make(input(old), input(new), o)
		if err != nil {
			t.Fatal(err)
		}
		if r.DeviceMemory > o.DeviceMemory {
			t.Errorf("the device needs %d bytes, more than %d", r.DeviceMemory, o.DeviceMemory)
		}
		var b bytes.Buffer
		if err := r.Explain(&b); err != nil || !strings.Contains(b.String(), "pack 2:") {
			t.Errorf("want at least three packs, got %v\n%s", err, b.String())
		}
		if first == nil {
			first = r.Delta
		} else if !bytes.Equal(first, r.Delta) {
			t.Errorf("%d workers make another delta", workers)
		}
	}
}

// Real updates: bounds on what is made of them.
func TestMakeCorpus(t *testing.T) {
	corpus := tooltest.Corpus(t)
	o := options(t)
	for _, c := range []struct {
		pair string
		most float64 // part of the recompressed SWU
	}{{"patch", 0.18}, {"minor", 0.3}} {
		t.Run(c.pair, func(t *testing.T) {
			source, err := os.ReadFile(filepath.Join(corpus, c.pair, "source.swu"))
			if err != nil {
				t.Fatal(err)
			}
			update, err := os.ReadFile(filepath.Join(corpus, c.pair, "target.swu"))
			if err != nil {
				t.Fatal(err)
			}
			target := recompressed(t, update, func(b []byte) []byte { return canonical(t, b) })
			o.Progress = progress.New(nil)
			still := watch(o.Progress)
			r, err := Make(input(source), input(target), o)
			if err != nil {
				t.Fatal(err)
			}
			still(t)
			part := float64(len(r.Delta)) / float64(len(target))
			t.Logf("%d bytes, %.2f %% of the target", len(r.Delta), 100*part)
			if part > c.most {
				t.Errorf("got %.4f of the target, want at most %.2f", part, c.most)
			}
		})
	}
}

// BenchmarkMake makes the deltas of the corpus's image pairs.
func BenchmarkMake(b *testing.B) {
	for _, pair := range []string{"patch", "minor"} {
		b.Run(pair, func(b *testing.B) {
			old, new := tooltest.Image(b, pair, "source"), tooltest.Image(b, pair, "target")
			b.SetBytes(int64(len(new)))
			for b.Loop() {
				r, err := Make(input(old), input(new), options(b))
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(len(r.Delta)), "delta-bytes")
			}
		})
	}
}
