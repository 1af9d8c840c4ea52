// SPDX-License-Identifier: MIT

package plan

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"swudelta/internal/codec"
	"swudelta/internal/content"
	"swudelta/internal/progress"
	"swudelta/internal/tooltest"
)

func TestMakeNative(t *testing.T) {
	o := optionsFor(t, "native")
	old := random(1, 1<<20)
	new := edits(old)
	other := random(5, 1<<20)
	words := fmt.Appendf(nil, "%x", random(11, 500<<10))
	// Runs of every kind, the same content more than once, and a source with two streams.
	mixed := slices.Concat(old[:300<<10], make([]byte, 400<<10), new, old[300<<10:500<<10], new[:200<<10], random(9, 100<<10), other)
	desc := func(v string) member {
		return member{"sw-description", fmt.Appendf(nil, "software = { version = %q; };\n", v)}
	}
	for _, c := range []struct {
		name           string
		source, target []byte
		most           int // bytes of the delta
	}{
		{"plain files", old, new, 140 << 10},
		{"gzip to canonical gzip", gzipped(t, old), canonicalGzip(t, new), 140 << 10},
		{"zstd to canonical zstd", canonical(t, old), canonical(t, new), 140 << 10},
		{"gzip to plain", gzipped(t, old), new, 140 << 10},
		{"SWU", archive(t, desc("1"), member{"root.ext4.gz", gzipped(t, old)}),
			archive(t, desc("2"), member{"root.ext4.zst", canonical(t, new)}), 141 << 10},
		{"two streams to all kinds of runs", slices.Concat(gzipped(t, old), gzipped(t, other)), canonicalGzip(t, mixed), 250 << 10},
		{"images that swap names", archive(t, desc("1"), member{"a.gz", gzipped(t, old)}, member{"b.gz", gzipped(t, other)}),
			archive(t, desc("2"), member{"b.zst", canonical(t, new)}, member{"a.zst", canonical(t, other[100:])}), 141 << 10},
		{"an image of two others", archive(t, desc("1"), member{"a", old}, member{"b", other}),
			archive(t, desc("2"), member{"c", slices.Concat(other[:700<<10], new, other)}), 141 << 10},
		{"an unchanged member", archive(t, desc("1"), member{"a", old}, member{"b", other}),
			archive(t, desc("2"), member{"a", new}, member{"b", other}), 141 << 10},
		{"only unchanged members", archive(t, desc("1"), member{"b", other}), archive(t, desc("2"), member{"c", other}), 1 << 10},
		{"a compressed file in an image", slices.Concat(other, gzipped(t, words), old[:9000]), slices.Concat(other, gzipped(t, edits(words)), old[:9000]), 165 << 10},
		{"and deeper", archive(t, desc("1"), member{"a.gz", gzipped(t, slices.Concat(other, gzipped(t, slices.Concat(old[:5000], gzipped(t, words), other[:999])), old))}),
			archive(t, desc("2"), member{"a.gz", gzipped(t, slices.Concat(other[10:], gzipped(t, slices.Concat(old[:5000], gzipped(t, edits(words)), other[:999])), old))}), 165 << 10},
		{"a new compressed file", other, slices.Concat(other, gzipped(t, words)), 545 << 10},
		{"shrunk to zeros", old, make([]byte, 1<<20), 1 << 10},
		{"all of the source and more", gzipped(t, old), slices.Concat(old, old[:100]), 1 << 10},
		{"nothing in common", random(6, 1<<20), append(random(7, 1<<20), make([]byte, 1<<20)...), 1<<20 + 1000},
		{"tiny", []byte("old"), bytes.Repeat([]byte("new "), 300), 1100},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := Make(input(c.source), input(c.target), o)
			if err != nil {
				t.Fatal(err)
			}
			if len(r.Delta) > c.most {
				t.Errorf("got %d bytes, want at most %d", len(r.Delta), c.most)
			}
			if got := applied(t, c.source, r.Delta); !bytes.Equal(got, c.target) {
				t.Error("applying the delta does not give the target")
			}
			if c.name != "plain files" {
				return
			}
			more := o
			more.Workers = 7
			again, err := Make(input(c.source), input(c.target), more)
			if err != nil || !bytes.Equal(again.Delta, r.Delta) {
				t.Errorf("another delta with more workers: %v", err)
			}
		})
	}
}

// A compressed file and a program that lie in pieces of an image, between which are tables, and in other
// pieces than those of the source, are put together.
func TestNativePieces(t *testing.T) {
	tooltest.Need(t, "mke2fs")
	image := func(first int, words []byte) []byte {
		dir := t.TempDir()
		tree, image := filepath.Join(dir, "tree"), filepath.Join(dir, "image")
		if err := os.Mkdir(tree, 0o777); err != nil {
			t.Fatal(err)
		}
		for name, b := range map[string][]byte{"a": random(3, first), "b.gz": gzipped(t, words)} {
			if err := os.WriteFile(filepath.Join(tree, name), b, 0o666); err != nil {
				t.Fatal(err)
			}
		}
		cmd := exec.Command("mke2fs", "-q", "-F", "-t", "ext4", "-b", "1024", "-g", "256", "-O", "^flex_bg,^has_journal,^resize_inode",
			"-U", "6f1c5a70-3b1e-4c1a-9d5e-0a7a6b1f2c3d", "-d", tree, image, "2M")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		b, err := os.ReadFile(image)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	words := fmt.Appendf(nil, "%x", random(11, 500<<10))
	source, target := image(20000, words), image(50000, edits(words))
	r, err := Make(input(source), input(target), optionsFor(t, "native"))
	if err != nil {
		t.Fatal(err)
	}
	var why bytes.Buffer
	if r.Explain(&why); !bytes.Contains(why.Bytes(), []byte(": put together")) {
		t.Errorf("nothing was put together:\n%s", &why)
	}
	if n := len(r.Delta); n > 200<<10 { // closed, the file has some 580,000 bytes
		t.Errorf("%d bytes", n)
	}
}

func TestNativeLimits(t *testing.T) {
	o := optionsFor(t, "native")
	old := fmt.Appendf(nil, "%x", random(1, 1<<19))
	for _, limit := range []func(*Options){
		func(o *Options) { o.DeviceMemory = 10 << 20 },
		func(o *Options) { o.DeviceTmp = 1<<20 - 1 },
	} {
		small := o
		limit(&small)
		if _, err := Make(input(gzipped(t, old)), input(edits(old)), small); !errors.Is(err, ErrDevice) {
			t.Errorf("error %v, want %v", err, ErrDevice)
		}
	}
	if _, err := Make(input(old), input([]byte("short")), o); !errors.Is(err, ErrNotSmaller) {
		t.Errorf("error %v, want %v", err, ErrNotSmaller)
	}
}

// TestNativeCorpus makes deltas of real images. The limits are a little above what was measured.
func TestNativeCorpus(t *testing.T) {
	dir := tooltest.Corpus(t)
	if testing.Short() {
		t.Skip("-short")
	}
	o := optionsFor(t, "native")
	for pair, most := range map[string]int{"patch": 49_000, "minor": 524_000} {
		t.Run(pair, func(t *testing.T) {
			source, target := image(t, filepath.Join(dir, pair, "source.swu")), image(t, filepath.Join(dir, pair, "target.swu"))
			o.Progress = progress.New(nil)
			still := watch(o.Progress)
			r, err := Make(input(source), input(target), o)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%d bytes", len(r.Delta))
			still(t)
			if len(r.Delta) > most && len(source) == 32<<20 {
				t.Errorf("%d bytes, want at most %d", len(r.Delta), most)
			}
		})
	}
}

// watch looks at a meter until the function that it returns is called. That fails where it stood still
// for more than a share of the time: of a share a busy machine changes little.
func watch(m *progress.Meter) (still func(t *testing.T)) {
	quit, done := make(chan bool), make(chan bool)
	start := time.Now()
	var longest time.Duration
	var where string
	go func() {
		defer close(done)
		var last progress.State
		changed := start
		for ticks := time.Tick(5 * time.Millisecond); ; {
			select {
			case <-quit:
				return
			case <-ticks:
			}
			now, _ := m.Now()
			now.Elapsed = 0
			if d := time.Since(changed); d > longest {
				longest, where = d, last.Stage
			}
			if now != last {
				last, changed = now, time.Now()
			}
		}
	}()
	return func(t *testing.T) {
		t.Helper()
		close(quit)
		<-done
		const most = 0.15
		share := float64(longest) / float64(time.Since(start))
		t.Logf("progress stood still for at most %.1f %% of the time, in stage %q", 100*share, where)
		if share > most {
			t.Errorf("want at most %.0f %%", 100*most)
		}
	}
}

// image returns the content of the last member of a SWU.
func image(t *testing.T, path string) []byte {
	f, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	members, err := content.Members(input(f))
	if err != nil {
		t.Fatal(err)
	}
	r, _, err := codec.NewReader(members[len(members)-1].Open())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
