// SPDX-License-Identifier: MIT

package member

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"swudelta/internal/tooltest"
)

// family is a program with all that its levels and options are combined to.
type family struct {
	name      string
	program   []string
	levels    []string
	options   []string // each with each level
	file      bool     // it reads a file instead of a pipe
	mayDiffer bool     // what it makes need not be closed
}

// levels returns FORMAT of each number from first to last.
func levels(format string, first, last int) (out []string) {
	for i := first; i <= last; i++ {
		out = append(out, fmt.Sprintf(format, i))
	}
	return out
}

var families = []family{
	{name: "gzip", program: []string{"gzip", "-n"}, levels: levels("-%d", 1, 9), options: []string{"", "--rsyncable"}},
	{name: "lz4", program: []string{"lz4"}, levels: slices.Concat(levels("--fast=%d", 1, 10), levels("-%d", 1, 12)),
		options: []string{"", "-BD", "-BX", "-B4", "-B5 -BD", "-B6", "--no-frame-crc", "--favor-decSpeed"}},
	{name: "lz4, a file, with its size", program: []string{"lz4"}, levels: levels("-%d", 1, 12), options: []string{"--content-size"}, file: true},
	{name: "lz4, legacy", program: []string{"lz4", "-l"}, levels: levels("-%d", 1, 12), options: []string{""}},
	{name: "xz", program: []string{"xz"}, levels: slices.Concat(levels("-%d", 0, 9), levels("-%de", 0, 9)),
		options: []string{"", "-T2 --block-size=600000", "-T1 --block-size=600000 --check=sha256"}},
	{name: "xz, filters", program: []string{"xz"}, levels: []string{"--x86", "--delta=dist=4", "--arm"}, options: levels("--lzma2=preset=%d", 0, 9)},
	{name: "xz --format=lzma", program: []string{"xz", "--format=lzma"}, levels: slices.Concat(levels("-%d", 0, 9), levels("-%de", 0, 9)), options: []string{""}},
	{name: "zstd", program: []string{"zstd", "--ultra"}, levels: slices.Concat(levels("--fast=%d", 1, 5), levels("-%d", 1, 22)),
		options: []string{"", "--no-check", "--single-thread", "-T2", "--long=27"}},
	{name: "zstd, a file", program: []string{"zstd", "--ultra"}, levels: slices.Concat(levels("--fast=%d", 1, 5), levels("-%d", 1, 22)),
		options: []string{"", "--long=27 --no-check"}, file: true},
	{name: "zstd --no-content-size, a file", program: []string{"zstd", "--ultra"}, levels: levels("-%d", 1, 22),
		options: []string{"--no-content-size"}, file: true},
	{name: "zstd --rsyncable", program: []string{"zstd", "--rsyncable"}, levels: levels("-%d", 1, 19), options: []string{""}},
	{name: "bzip2", program: []string{"bzip2"}, levels: levels("-%d", 1, 9), options: []string{""}},
	{name: "pbzip2", program: []string{"pbzip2"}, levels: levels("-%d", 1, 9), options: []string{"", "-b1"}},
	{name: "lbzip2", program: []string{"lbzip2"}, levels: levels("-%d", 1, 9), options: []string{""}, mayDiffer: true},
	{name: "pixz", program: []string{"pixz"}, levels: levels("-%d", 0, 9), options: []string{""}},
}

// outcome is what became of one stream.
type outcome struct {
	stated int  // bytes of parameters
	exact  bool // without a patch
	err    error
}

// TestLevels closes what programs make of a program and of text at every level and in every form: the
// table of doc/engine.md. It takes minutes, and runs where SWUDELTA_LEVELS says which: "all", or
// names of families.
func TestLevels(t *testing.T) {
	which := os.Getenv("SWUDELTA_LEVELS")
	if which == "" {
		t.Skip("SWUDELTA_LEVELS names no programs")
	}
	elf, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	content := slices.Concat(elf[:600_000], text(700_000))
	file := filepath.Join(t.TempDir(), "content")
	if err := os.WriteFile(file, content, 0o666); err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if which != "all" && !slices.Contains(strings.Split(which, ";"), f.name) {
			continue
		}
		t.Run(f.name, func(t *testing.T) {
			tooltest.Need(t, f.program[0])
			var stated []int
			exact, patched, open := 0, 0, 0
			for _, option := range f.options {
				for _, level := range f.levels {
					args := slices.Concat(f.program[1:], []string{level}, strings.Fields(option))
					o := f.close(t, content, file, args)
					switch {
					case o.err != nil:
						open++
					case !o.exact:
						patched++
					default:
						exact++
						stated = append(stated, o.stated)
						continue
					}
					t.Logf("%s %q: %d bytes stated, %v", f.program[0], args, o.stated, o.err)
				}
			}
			if exact > 0 {
				t.Logf("%s: %d exact (%d to %d bytes stated), %d with a patch, %d not closed", f.name, exact, slices.Min(stated), slices.Max(stated), patched, open)
			}
			if patched+open > 0 && !f.mayDiffer {
				t.Errorf("%s: %d with a patch, %d not closed, and %d exact", f.name, patched, open, exact)
			}
		})
	}
}

// What zstd makes of a file, whose length it knows, is closed as what it makes of a pipe.
func TestZstdFiles(t *testing.T) {
	tooltest.Need(t, "zstd")
	content := text(400_000)
	file := filepath.Join(t.TempDir(), "content")
	if err := os.WriteFile(file, content, 0o666); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"-6"}, {"-12", "--no-check"}, {"-2", "--long=27"}, {"--fast=3"}, {"-9", "--no-content-size"}} {
		f := family{program: []string{"zstd"}, file: true}
		if o := f.close(t, content, file, args); o.err != nil || !o.exact {
			t.Errorf("zstd %q: %d bytes stated, %v", args, o.stated, o.err)
		}
	}
}

// close makes a stream and closes what is found in it.
func (f family) close(t *testing.T, content []byte, file string, args []string) outcome {
	t.Helper()
	var stream []byte
	if f.file {
		stream = output(t, nil, f.program[0], append(args, "-c", file)...)
	} else {
		stream = output(t, content, f.program[0], append(args, "-c")...)
	}
	list, err := (&Finder{}).Find(stream)
	if err != nil || len(list) != 1 || !bytes.Equal(list[0].Content, content) {
		return outcome{err: fmt.Errorf("%d members found: %v", len(list), err)}
	}
	m := list[0]
	libs := libraries()
	if err := m.Close(libs); err != nil {
		if !errors.Is(err, ErrUnclosable) {
			t.Fatal(err)
		}
		return outcome{err: err}
	}
	if err := Try(formats[m.Number], m.Stored, bytes.NewReader(content), m.CloseParams, libs); err != nil {
		t.Errorf("%q: %v", args, err)
	}
	o := outcome{stated: len(m.CloseParams), exact: true}
	if r, ok := formats[m.Number].(remade); ok {
		p, err := r.parse(m.CloseParams)
		o.exact, o.err = len(p.patch) == 0, err
	}
	return o
}
