// SPDX-License-Identifier: MIT

package diffapi

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"swudelta/internal/codec"
	"swudelta/internal/digest"
	"swudelta/internal/pamz"
	"swudelta/internal/pamztest"
	"swudelta/internal/tooltest"
)

func vector(name string) string {
	return filepath.Join(tooltest.Root(), "internal", "pamz", "testdata", name)
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func write(t *testing.T, path string, b []byte) string {
	t.Helper()
	if err := os.WriteFile(path, b, 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

// folder is an empty folder that must hold nothing but the named files when the
// test ends.
func folder(t *testing.T, files ...string) string {
	t.Helper()
	dir := t.TempDir()
	t.Cleanup(func() {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, e := range entries {
			names = append(names, e.Name())
		}
		if got, want := strings.Join(names, " "), strings.Join(files, " "); got != want {
			t.Errorf("files left behind: got %q, want %q", got, want)
		}
	})
	return dir
}

// own is a file of the delta of our own format.
func own(name string) string {
	return filepath.Join(tooltest.Root(), "internal", "native", "testdata", "vector", name)
}

func TestApplyOwnFormat(t *testing.T) {
	t.Setenv("TMPDIR", folder(t))
	var s Session
	target := filepath.Join(folder(t, "target"), "target")
	if n := s.Apply(own("source"), own("delta"), target); n != 0 {
		t.Fatalf("%+v", *s.Error(0))
	}
	if !bytes.Equal(read(t, target), read(t, own("target"))) {
		t.Error("wrong target")
	}
}

func TestApply(t *testing.T) {
	t.Setenv("TMPDIR", folder(t))
	var s Session
	for _, v := range []struct{ diff, source, target string }{
		{"minimal.v0.le", "minimal", "minimal"},
		{"minimal.v0.be", "minimal", "minimal"},
		{"minimal.v2", "minimal", "minimal"},
		{"nested", "nested", "nested"},
		{"misc", "misc", "misc"},
		{"zstdcomp", "zstdcomp", "zstdcomp"},
	} {
		if _, err := codec.OpenZstd(codec.ZstdOptions{}); err != nil && v.diff == "zstdcomp" {
			t.Skip("no libzstd with the bytes of 1.5.0 (scripts/get-libzstd 1.5.0 makes one)")
		}
		target := filepath.Join(folder(t, "target"), "target")
		if n := s.Apply(vector(v.source+".source"), vector(v.diff+".diff"), target); n != 0 {
			t.Fatalf("%s: %+v", v.diff, *s.Error(0))
		}
		if s.ErrorCount() != 0 || s.Error(0) != nil {
			t.Errorf("%s: an error after success", v.diff)
		}
		if !bytes.Equal(read(t, target), read(t, vector(v.target+".target"))) {
			t.Errorf("%s: wrong target", v.diff)
		}
	}
}

// TestCodes holds the numbers of faults against those of the reference library
// of generation 1.0; where that one crashes or blocks, there must be an error
// all the same.
func TestCodes(t *testing.T) {
	t.Setenv("TMPDIR", folder(t))
	source, diff := vector("nested.source"), vector("nested.diff")
	good := read(t, diff)
	dir := t.TempDir()
	variant := func(name string, change func(b []byte) []byte) string {
		return write(t, filepath.Join(dir, name), change(bytes.Clone(good)))
	}
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o666); err != nil {
		t.Fatal(err)
	}
	newer := read(t, own("delta"))
	newer[8]++
	cut := read(t, own("delta"))[:500]
	damaged := read(t, own("delta"))
	damaged[len(damaged)-1]++
	changed := read(t, source)
	changed[len(changed)/2] ^= 1
	for _, c := range []struct {
		name, source, diff string
		code               int
		text               string
	}{
		{"no diff", source, filepath.Join(dir, "absent"), 20300, "no such file"},
		{"no source", filepath.Join(dir, "absent"), diff, 20300, "no such file"},
		{"diff is a folder", source, dir, 20300, "neither a regular file"},
		{"diff is a pipe", source, pipe, 20300, "neither a regular file"},
		{"source is a pipe", pipe, diff, 20300, "neither a regular file"},
		{"empty diff", source, variant("empty", func(b []byte) []byte { return nil }), 30000, ""},
		{"cut diff", source, variant("cut", func(b []byte) []byte { return b[:200] }), 20000, ""},
		{"other magic", source, variant("magic", func(b []byte) []byte { b[0] ^= 1; return b }), 30000, ""},
		{"other version", source, variant("version", func(b []byte) []byte { b[4] = 7; return b }), 30001, ""},
		{"trailing byte", source, variant("long", func(b []byte) []byte { return append(b, 0) }), 30002, ""},
		{"other target hash", source, variant("hash", func(b []byte) []byte { b[30] ^= 1; return b }), 30009, ""},
		{"of a later version", own("source"), write(t, filepath.Join(dir, "newer"), newer), 60000, "for a newer version of the library"},
		{"own format, cut", own("source"), write(t, filepath.Join(dir, "cut2"), cut), 20000, "the end of the file"},
		{"own format, damaged", own("source"), write(t, filepath.Join(dir, "damaged"), damaged), 30009, "section closing: wrong digest"},
		{"own format, source of another length", own("target"), own("delta"), 31100, "want 2177"},
		{"source of another length", vector("basic.source"), diff, 31100, ""},
		{"source of other content", write(t, filepath.Join(dir, "changed"), changed), diff, 30009, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			target := filepath.Join(folder(t), "target")
			s := new(Session)
			done := make(chan int, 1)
			go func() { done <- s.Apply(c.source, c.diff, target) }()
			select {
			case n := <-done:
				if n != 1 || s.ErrorCount() != 1 || s.Error(1) != nil || s.Error(-1) != nil {
					t.Fatalf("got %d errors, want 1", n)
				}
			case <-time.After(time.Minute):
				t.Fatal("blocks")
			}
			e := s.Error(0)
			if e.Code != c.code || !strings.Contains(e.Text, c.text) {
				t.Errorf("got %d %q, want %d and %q", e.Code, e.Text, c.code, c.text)
			}
		})
	}
}

// TestDamage flips bytes all over a delta: there is an error or the right
// target, and nothing is left behind.
func TestDamage(t *testing.T) {
	good, want := read(t, vector("nested.diff")), read(t, vector("nested.target"))
	target := filepath.Join(t.TempDir(), "target")
	diff := filepath.Join(t.TempDir(), "diff")
	t.Setenv("TMPDIR", folder(t))
	var s Session
	for i := 0; i < len(good); i += 1 + len(good)/200 {
		b := bytes.Clone(good)
		b[i] ^= 0x10
		write(t, diff, b)
		if s.Apply(vector("nested.source"), diff, target) == 0 {
			if !bytes.Equal(read(t, target), want) {
				t.Fatalf("byte %d: success with a wrong target", i)
			}
			os.Remove(target)
		} else if s.Error(0).Code == 0 || s.Error(0).Text == "" {
			t.Errorf("byte %d: %+v", i, *s.Error(0))
		}
		if entries, _ := os.ReadDir(filepath.Dir(target)); len(entries) != 0 {
			t.Fatalf("byte %d: %v is left behind", i, entries)
		}
	}
}

// TestEnvironment checks the numbers of faults that are none of the data's.
func TestEnvironment(t *testing.T) {
	if e := describe(io.ErrShortWrite); e.Code != 1 || e.Text != "Failed to apply diff. Exception: short write" {
		t.Errorf("got %+v", *e)
	}
	t.Setenv("TMPDIR", filepath.Join(t.TempDir(), "absent"))
	// More than is staged in memory.
	content := make([]byte, 20<<20)
	var packed, delta bytes.Buffer
	zw := gzip.NewWriter(&packed)
	zw.Write(content)
	zw.Close()
	all := pamz.NewItem(int64(len(content)), digest.Sum(content), pamz.GzDecompression(pamztest.NewAsset(packed.Bytes())))
	chunk := pamz.NewItem(10, digest.Sum(content[:10]), pamz.Region(all, 0, 10))
	d := &pamz.Diff{TargetLength: 10, TargetSHA256: chunk.SHA256, Chunks: []*pamz.Item{chunk}}
	if err := pamz.Encode(&delta, d); err != nil {
		t.Fatal(err)
	}
	var s Session
	diff := write(t, filepath.Join(t.TempDir(), "diff"), delta.Bytes())
	if s.Apply(vector("misc.source"), diff, filepath.Join(t.TempDir(), "target")) != 1 || s.Error(0).Code != 21000 {
		t.Errorf("no scratch space: got %+v", s.Error(0))
	}
}

func TestTarget(t *testing.T) {
	t.Setenv("TMPDIR", folder(t))
	source, diff := vector("minimal.source"), vector("minimal.v0.le.diff")
	want := read(t, vector("minimal.target"))
	var s Session

	t.Run("replaced", func(t *testing.T) {
		target := filepath.Join(folder(t, "target"), "target")
		write(t, target, bytes.Repeat([]byte("old"), 100))
		if err := os.Chmod(target, 0o640); err != nil {
			t.Fatal(err)
		}
		if s.Apply(source, diff, target) != 0 || !bytes.Equal(read(t, target), want) {
			t.Error(s.Error(0))
		}
		if info, err := os.Stat(target); err != nil || info.Mode() != 0o640 {
			t.Errorf("got mode %v, %v", info.Mode(), err)
		}
	})
	t.Run("kept on failure", func(t *testing.T) {
		target := filepath.Join(folder(t, "target"), "target")
		write(t, target, []byte("old"))
		if s.Apply(vector("basic.source"), diff, target) != 1 || string(read(t, target)) != "old" {
			t.Error("changed")
		}
	})
	t.Run("through a link", func(t *testing.T) {
		dir := folder(t, "file", "link")
		write(t, filepath.Join(dir, "file"), nil)
		if err := os.Symlink("file", filepath.Join(dir, "link")); err != nil {
			t.Fatal(err)
		}
		if s.Apply(source, diff, filepath.Join(dir, "link")) != 0 || !bytes.Equal(read(t, filepath.Join(dir, "file")), want) {
			t.Error(s.Error(0))
		}
	})
	t.Run("is the source", func(t *testing.T) {
		target := write(t, filepath.Join(folder(t, "file"), "file"), read(t, source))
		if s.Apply(target, diff, target) != 0 || !bytes.Equal(read(t, target), want) {
			t.Error(s.Error(0))
		}
	})
	for name, target := range map[string]string{
		"folder":           t.TempDir(),
		"in no folder":     filepath.Join(t.TempDir(), "absent", "target"),
		"device":           "/dev/null",
		"empty":            "",
		"ends in a slash":  t.TempDir() + "/absent/",
		"contains a NUL":   t.TempDir() + "/a\x00b",
		"read-only folder": "/proc/target",
	} {
		t.Run(name, func(t *testing.T) {
			if s.Apply(source, diff, target) != 1 || s.Error(0).Code != 20301 {
				t.Errorf("got %+v, want number 20301", s.Error(0))
			}
		})
	}
}

// TestPanic checks that the host survives a fault of ours.
func TestPanic(t *testing.T) {
	err := func() (err error) {
		defer recoverTo(&err)
		panic("boom")
	}()
	if e := describe(err); e.Code != 1 || !strings.Contains(e.Text, "boom") {
		t.Errorf("got %+v", *e)
	}
}
