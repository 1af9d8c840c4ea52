// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"swudelta/internal/tooltest"
)

// TestPair: swu-unpack and swu-pack undo each other, with a file or a pipe
// between them, for every real archive at hand.
func TestPair(t *testing.T) {
	bin := t.TempDir()
	if out, err := exec.Command("go", "build", "-o", bin, "swudelta/cmd/swu-unpack", "swudelta/cmd/swu-pack").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	t.Run("samples", func(t *testing.T) {
		samples, _ := filepath.Glob(filepath.Join(tooltest.Root(), "internal", "swu", "testdata", "*.swu"))
		pair(t, bin, samples)
	})
	t.Run("corpus", func(t *testing.T) {
		corpus, _ := filepath.Glob(filepath.Join(tooltest.Corpus(t), "*", "*.swu"))
		pair(t, bin, corpus)
	})
	t.Run("cpio", func(t *testing.T) {
		tooltest.Need(t, "cpio")
		dir := t.TempDir()
		for name, data := range map[string]string{"sw-description": "s", "a": strings.Repeat("a", 1000), "empty": "", "line\nfeed": "l", "\xff": "f"} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		var made []string
		for _, format := range []string{"newc", "crc"} {
			cmd := exec.Command("cpio", "-0", "-o", "-H", format, "--quiet", "-F", format)
			cmd.Dir, cmd.Stdin = dir, strings.NewReader("sw-description\x00a\x00empty\x00line\nfeed\x00\xff\x00")
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("cpio: %v\n%s", err, out)
			}
			made = append(made, filepath.Join(dir, format))
		}
		pair(t, bin, made)
	})
}

func pair(t *testing.T, bin string, archives []string) {
	if len(archives) < 2 {
		t.Fatalf("%d archives", len(archives))
	}
	for _, path := range archives {
		cmd := exec.Command("sh", "-e", "-c", `
			export PATH="$1:$PATH"
			mkdir a b
			swu-unpack -z -C a "$2" > list
			swu-pack -z -C a list > one
			swu-unpack -z -C b < "$2" | swu-pack -z -C b -o two`, "sh", bin, path)
		cmd.Dir = t.TempDir()
		if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%s: %v\n%s", path, err, out)
			continue
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"one", "two"} {
			if got, err := os.ReadFile(filepath.Join(cmd.Dir, name)); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s: %s: not the same, %v", path, name, err)
			}
		}
	}
}
