// SPDX-License-Identifier: MIT

package packages

import (
	"debug/elf"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"swudelta/internal/tooltest"
)

// tagged returns a checkout of the sources as they are, with the tag v0.1.0 and a
// section of CHANGELOG.md for it, and a function that runs git there.
func tagged(t *testing.T) (dir string, git func(args ...string)) {
	t.Helper()
	dir = copySources(t)
	log := filepath.Join(dir, "CHANGELOG.md")
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	text = []byte(strings.Replace(string(text), "\n## Unreleased\n", "\n## 0.1.0 (2025-01-31)\n", 1))
	if err := os.WriteFile(log, text, 0o666); err != nil {
		t.Fatal(err)
	}
	date := "2025-01-31T12:00:00Z"
	git = func(args ...string) {
		t.Helper()
		command(t, []string{"GIT_AUTHOR_DATE=" + date, "GIT_COMMITTER_DATE=" + date}, "git",
			append([]string{"-C", dir, "-c", "user.name=n", "-c", "user.email=n@example.org"}, args...)...)
	}
	git("init", "-q")
	git("add", "-A")
	git("commit", "-q", "-m", "c")
	git("tag", "-a", "-m", "release", "v0.1.0")
	return dir, git
}

// TestReleaseRefused has tags that are not fit to be released: nothing is written.
func TestReleaseRefused(t *testing.T) {
	tooltest.Need(t, "git", "jq")
	dir, git := tagged(t)
	git("tag", "v0.2.0")
	for tag, want := range map[string]string{
		"v0.3.0": "release: there is no tag v0.3.0\n",
		"v0.2.0": "release: CHANGELOG.md of v0.2.0 has no section \"## 0.2.0\"\n",
	} {
		out := filepath.Join(t.TempDir(), "out")
		cmd := exec.Command(filepath.Join(dir, "scripts", "release"), "-o", out, tag)
		messages, _ := cmd.CombinedOutput()
		if list, _ := os.ReadDir(out); cmd.ProcessState.ExitCode() != 3 || string(messages) != want || len(list) > 0 {
			t.Errorf("%s: %v %q, %d files", tag, cmd.ProcessState, messages, len(list))
		}
	}
}

// TestRelease makes a release twice, in different folders, and compares all files. The
// SBOM has what the programs say that they are made of.
func TestRelease(t *testing.T) {
	if os.Getenv("SWUDELTA_FULL") == "" {
		t.Skip("takes minutes: only with SWUDELTA_FULL=1, as scripts/check-packages runs it")
	}
	tooltest.Need(t, "git", "jq", "scdoc", "gcc", "sha256sum", "tar")
	arch := map[string]string{"amd64": "amd64", "arm64": "arm64", "arm": "armhf"}[runtime.GOARCH]
	dir, _ := tagged(t)
	one, two := t.TempDir(), t.TempDir()
	command(t, nil, filepath.Join(dir, "scripts", "release"), "-o", one, "v0.1.0", arch)
	other := filepath.Join(t.TempDir(), "a", "place", "of", "another", "length")
	if err := os.CopyFS(other, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	command(t, nil, filepath.Join(other, "scripts", "release"), "-o", two, "v0.1.0", arch)
	command(t, nil, "diff", "-r", one, two)
	command(t, nil, "sh", "-c", `cd "$0" && sha256sum --strict --quiet -c SHA256SUMS && [ $(ls | wc -l) = $(($(wc -l <SHA256SUMS) + 1)) ]`, one)

	tree := t.TempDir()
	command(t, nil, "tar", "-C", tree, "--strip-components=1", "-xzf", filepath.Join(one, "swudelta-0.1.0-linux-"+arch+".tar.gz"))
	bin := filepath.Join(tree, "bin")
	checkApply(t, filepath.Join(bin, "bsapply"))
	var bom struct {
		Components []struct{ Name, Version string }
	}
	text, err := os.ReadFile(filepath.Join(one, "swudelta-0.1.0.cdx.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &bom); err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{}
	for _, c := range bom.Components {
		got[c.Name+"@"+c.Version] = true
	}
	want := map[string]bool{"zstd@1.5.0": true, "std@" + runtime.Version(): true}
	programs, _ := filepath.Glob(bin + "/*")
	// Scripts lie among them, on which "go version" fails.
	programs = slices.DeleteFunc(programs, func(path string) bool {
		f, err := elf.Open(path)
		if err == nil {
			f.Close()
		}
		return err != nil
	})
	for line := range strings.Lines(command(t, nil, "go", append([]string{"version", "-m"}, programs...)...)) {
		if f := strings.Fields(line); len(f) > 2 && f[0] == "dep" {
			want[f[1]+"@"+f[2]] = true
		}
	}
	for name := range want {
		if !got[name] {
			t.Errorf("the SBOM has no %s", name)
		}
	}
	if len(got) != len(want) {
		t.Errorf("the SBOM has %d components, want %d: %v", len(got), len(want), got)
	}
}
