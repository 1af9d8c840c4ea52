// SPDX-License-Identifier: MIT

package test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"swudelta/internal/tooltest"
)

// notRun are the commands of README.md that are no part of its session on a build
// host: they want a device, or are what scripts/check and TestMain do before.
var notRun = []string{
	"sdc-path --provider Contoso --install --owner adu:adu v1.swu",
	"CGO_ENABLED=0 go build -trimpath -o bin/ ./cmd/...",
	"scripts/get-libzstd 1.5.0",
	// As TestRelease does, which takes minutes.
	"scripts/build-packages -a amd64",
	"tar -C /usr/local --strip-components=1 -xzf packages/swudelta-[0-9]*-amd64.tar.gz",
}

var number = regexp.MustCompile(`[0-9]+`)

// TestReadme runs the commands of README.md one after the other on the pair of the
// demonstration, and holds what they print against what stands there. Sizes may be
// some per cent different: keys are, and the engine gets better.
func TestReadme(t *testing.T) {
	tooltest.Need(t, "bash", "openssl", "flock", "jq")
	text, err := os.ReadFile(filepath.Join(tooltest.Root(), "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	run := func(command string) string {
		t.Helper()
		cmd := exec.Command("bash", "-euo", "pipefail", "-c", command)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "ROOT="+tooltest.Root())
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s\n%v\n%s", command, err, out)
		}
		return string(out)
	}
	run(`cp "$ROOT/testdata/demo/source.swu" v1.swu && cp "$ROOT/testdata/demo/target.swu" v2.swu
cp "$ROOT/scripts/samples/swu-update.sh" .
openssl req -x509 -newkey rsa:2048 -noenc -keyout key.pem -out cert.pem -days 30 -subj /CN=demo \
  -addext extendedKeyUsage=emailProtection -addext keyUsage=digitalSignature 2>/dev/null`)

	blocks, ran := strings.Split(string(text), "```"), 0
	for i := 1; i < len(blocks); i += 2 {
		language, code, _ := strings.Cut(blocks[i], "\n")
		switch language {
		case "sh":
			run(code)
			ran++
		case "console":
			ran++
			for _, part := range strings.Split("\n"+code, "\n$ ")[1:] {
				lines := strings.Split(strings.TrimSuffix(part, "\n"), "\n")
				n := 1
				for strings.HasSuffix(lines[n-1], `\`) {
					n++
				}
				got := strings.Split(strings.TrimSuffix(run(strings.Join(lines[:n], "\n")), "\n"), "\n")
				if want := lines[n:]; !slices.EqualFunc(got, append(want, make([]string, max(0, 1-len(want)))...), alike) {
					t.Errorf("%s\ngot  %q\nwant %q", strings.Join(lines[:n], "\n"), got, want)
				}
			}
		}
	}
	if ran < 4 {
		t.Errorf("ran %d blocks of commands only", ran)
	}
	// What the two ways make is the same, but for the order of what is new in it.
	run("cmp by-hand.swu v2-recompressed.swu && bsapply v1.swu by-hand.diff | cmp - by-hand.swu")

	for i, line := range strings.Split(string(text), "\n") {
		if n := utf8.RuneCountInString(line); n > 100 {
			t.Errorf("README.md:%d: %d characters", i+1, n)
		}
		if command, ok := strings.CutPrefix(line, "    "); ok && !strings.HasPrefix(command, " ") && !slices.Contains(notRun, command) && !inFence(blocks, line) {
			t.Errorf("README.md:%d: no test runs %q", i+1, command)
		}
	}
}

func inFence(blocks []string, line string) bool {
	for i := 1; i < len(blocks); i += 2 {
		if strings.Contains(blocks[i], "\n"+line+"\n") {
			return true
		}
	}
	return false
}

// alike reports whether two lines are the same with numbers within 15 per cent.
func alike(a, b string) bool {
	if number.ReplaceAllString(a, "N") != number.ReplaceAllString(b, "N") {
		return false
	}
	x, y := number.FindAllString(a, -1), number.FindAllString(b, -1)
	for i := range x {
		n, _ := strconv.ParseFloat(x[i], 64)
		m, _ := strconv.ParseFloat(y[i], 64)
		if n > 1.15*m || m > 1.15*n {
			return false
		}
	}
	return true
}
