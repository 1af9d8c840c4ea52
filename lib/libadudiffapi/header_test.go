// SPDX-License-Identifier: MIT

package main_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"swudelta/internal/tooltest"
)

// TestHeader compiles a program that uses the library by its header, in C and in
// C++, links it and has it apply deltas.
func TestHeader(t *testing.T) {
	if native.arch == "" {
		t.Skipf("no library for %s", runtime.GOARCH)
	}
	tooltest.Need(t, native.compiler, "g++")
	dir := t.TempDir()
	command(t, filepath.Join(tooltest.Root(), "scripts", "build-libadudiffapi"), "-o", filepath.Join(dir, "libadudiffapi.so"), native.arch)
	for _, compiler := range [][]string{{native.compiler, "-std=c99", "-pedantic"}, {"g++", "-x", "c++"}} {
		program, target := filepath.Join(dir, "caller"), filepath.Join(dir, "target")
		args := append(compiler[1:], "-Wall", "-Wextra", "-Werror", "-I.", "-o", program, "testdata/caller.c", "-L"+dir, "-ladudiffapi", "-Wl,-rpath,"+dir)
		command(t, compiler[0], args...)
		for _, c := range []struct{ source, diff, want string }{
			{"nested.source", "nested.diff", "0 0\n"},
			{"nested.diff", "nested.diff", "1 1\n31100 1\n"},
			{"nested.source", "absent", "1 1\n20300 1\n"},
		} {
			os.Remove(target)
			if got := command(t, program, vector(c.source), vector(c.diff), target); got != c.want {
				t.Errorf("%s: %s to %s: got %q, want %q", compiler[0], c.diff, c.source, got, c.want)
			}
			if strings.HasPrefix(c.want, "0") {
				sameFile(t, target, vector("nested.target"))
			}
		}
	}
}

// TestHeaderIsComplete holds the header against the list of exported functions.
func TestHeaderIsComplete(t *testing.T) {
	names := func(path, pattern string) []string {
		t.Helper()
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var list []string
		for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(string(b), -1) {
			list = append(list, m[1])
		}
		slices.Sort(list)
		return list
	}
	header, exports := names("adudiffapi.h", `(?m)\b(adu_diff_[a-z_]+)\(.*;$`), names("exports.map", `(?m)^ +(adu_[a-z_]+);$`)
	if len(header) != 6 || !slices.Equal(header, exports) {
		t.Errorf("header: %q\nexported: %q", header, exports)
	}
	// The package for devices carries it.
	if out, err := exec.Command("grep", "-c", "lib/libadudiffapi/adudiffapi.h", filepath.Join(tooltest.Root(), "scripts", "build-packages")).Output(); err != nil || string(out) != "1\n" {
		t.Errorf("scripts/build-packages does not install the header: %s", out)
	}
}
