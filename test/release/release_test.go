// SPDX-License-Identifier: MIT

// Package release tests release-deltas, scripts/swu-recompress and
// scripts/yocto with the tools as they are built.
package release

import (
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"swudelta/internal/tooltest"
)

// suite puts the tools and copies of the scripts on PATH before the tests run.
// The copies do not find a bin folder beside them, which may be of another time.
type suite struct{ *testing.M }

func (s suite) Run() int {
	dir, err := os.MkdirTemp("", "release")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	tools, scripts := filepath.Join(dir, "tools"), filepath.Join(dir, "scripts")
	if err := os.CopyFS(scripts, os.DirFS(filepath.Join(tooltest.Root(), "scripts"))); err != nil {
		log.Print(err)
		return 1
	}
	build := exec.Command("go", "build", "-trimpath", "-o", tools+"/", "./cmd/...")
	build.Dir, build.Stderr = tooltest.Root(), os.Stderr
	if err := build.Run(); err != nil {
		log.Printf("build the tools: %v", err)
		return 1
	}
	os.Setenv("PATH", strings.Join([]string{tools, scripts, os.Getenv("PATH")}, ":"))
	return s.M.Run()
}

func TestMain(m *testing.M) {
	testscript.Main(suite{m}, map[string]func(){"mkswu": mkswu})
}

func TestScripts(t *testing.T) {
	tooltest.Need(t, "flock", "cmp")
	tooltest.Scripts(t, "testdata/script")
}

// mkswu OUTPUT BLOCK...: an SWU with one gzip image, of 32 KiB for each number.
// The same number is the same block, and nothing compresses it.
func mkswu() {
	log.SetFlags(0)
	must := func(err error) {
		if err != nil {
			log.Fatalf("mkswu: %v", err)
		}
	}
	dir, err := os.MkdirTemp("", "mkswu")
	must(err)
	defer os.RemoveAll(dir)
	image, err := os.Create(filepath.Join(dir, "rootfs.img.gz"))
	must(err)
	digest := sha256.New()
	z := gzip.NewWriter(io.MultiWriter(image, digest))
	for _, arg := range os.Args[2:] {
		seed, err := strconv.ParseUint(arg, 10, 64)
		must(err)
		_, err = io.CopyN(z, rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)}), 32<<10)
		must(err)
	}
	must(z.Close())
	must(image.Close())
	description := fmt.Sprintf("software = { version = \"1.0\"; images: ( { filename = \"rootfs.img.gz\"; sha256 = \"%x\"; compressed = \"zlib\"; } ); };\n", digest.Sum(nil))
	must(os.WriteFile(filepath.Join(dir, "sw-description"), []byte(description), 0o666))
	pack := exec.Command("swu-pack", "-C", dir, "-o", os.Args[1])
	pack.Stdin, pack.Stderr = strings.NewReader("sw-description\nrootfs.img.gz\n"), os.Stderr
	must(pack.Run())
}

// TestRank holds the choice against the best of all choices.
func TestRank(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		const full = 1000
		n := 1 + random.IntN(9)
		var table strings.Builder
		saved := make([]int, n)
		for i := range n {
			devices, bytes := random.IntN(50), random.IntN(full*5/4)
			saved[i] = max(0, devices*(full-bytes))
			fmt.Fprintf(&table, "s%d\t%d\t%d\n", i, devices, bytes)
		}
		best := 0
		for set := range 1 << n {
			sum, members := 0, 0
			for i := range n {
				if set>>i&1 == 1 {
					sum += saved[i]
					members++
				}
			}
			if members <= 4 {
				best = max(best, sum)
			}
		}

		rank := exec.Command("release-deltas", "--rank", strconv.Itoa(full), "/dev/stdin")
		rank.Stdin, rank.Stderr = strings.NewReader(table.String()), os.Stderr
		out, err := rank.Output()
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")[1:]
		if len(lines) != n {
			t.Fatalf("got %d rows for %d\n%s", len(lines), n, out)
		}
		got := 0
		for _, line := range lines {
			field := strings.Split(line, "\t")
			i, _ := strconv.Atoi(field[0][1:])
			if field[3] != strconv.Itoa(saved[i]) {
				t.Errorf("%s: saves %s, want %d", field[0], field[3], saved[i])
			}
			if field[5] == "1" {
				got += saved[i]
			}
		}
		if got != best {
			t.Errorf("the first update saves %d, the best one %d\n%s\n%s", got, best, table.String(), out)
		}
	}
}

// block returns the n-th block of code in a language from a page of doc/.
func block(t *testing.T, page, language string, n int) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(tooltest.Root(), "doc", page))
	if err != nil {
		t.Fatal(err)
	}
	blocks := slices.Collect(strings.SplitSeq(string(text), "```"+language+"\n"))
	if len(blocks) <= n+1 {
		t.Fatalf("%s: has no block %d in %s", page, n, language)
	}
	code, _, _ := strings.Cut(blocks[n+1], "```")
	return code
}

// TestScale runs what doc/scale.md shows: steps handed out by GNU parallel, and by
// make.
func TestScale(t *testing.T) {
	const manifest = "--provider Contoso --name Gateway --version 3.0 --compat manufacturer=Contoso,model=GW-100 --script gw-update.sh"
	setUp := func(t *testing.T) func(string) string {
		dir := t.TempDir()
		sh := func(script string) string {
			t.Helper()
			cmd := exec.Command("bash", "-euc", script)
			cmd.Dir = dir
			cmd.Env = append(os.Environ(), "HOME="+dir, "SIGN={ printf \"\\210\\013\\004\"; mktemp -u XXXXXXXXXX | tr -d \"\\n\"; } >\"$1.sig\" && :")
			if cache, err := os.UserCacheDir(); err == nil {
				cmd.Env = append(cmd.Env, "XDG_CACHE_HOME="+cache)
			}
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%s: %v\n%s", script, err, out)
			}
			return string(out)
		}
		sh("mkdir old; echo '#!/bin/sh' >gw-update.sh; mkswu gw-3.0.swu 1 2 3 4; mkswu old/gw-2.8.swu 1 2 3 5; mkswu old/gw-2.9.swu 1 2 6 7; mkswu old/odd.swu 11 12 13 14")
		return sh
	}
	// A run that has nothing left to do prints the table alone.
	finished := func(t *testing.T, sh func(string) string) {
		t.Helper()
		for _, source := range []string{"gw-2.8", "gw-2.9"} {
			sh("bsapply old/" + source + ".swu out/upload/" + source + "-to-gw-3.0.diff | cmp - out/upload/gw-3.0-recompressed.swu")
		}
		out := sh("rm -r out/logs; release-deltas -o out --sign \"$SIGN\" " + manifest + " gw-3.0.swu old/*.swu; ls out/logs")
		if lines := strings.Count(out, "\n"); lines != 4 || !strings.HasPrefix(out, "source ") {
			t.Errorf("there was something left to do:\n%s", out)
		}
	}

	t.Run("parallel", func(t *testing.T) {
		tooltest.Need(t, "parallel")
		if out, _ := exec.Command("parallel", "--version").Output(); !strings.HasPrefix(string(out), "GNU parallel") {
			t.Skip("parallel is not GNU parallel")
		}
		script := block(t, "scale.md", "sh", 0)
		machines := "2/:,2/build2,4/build3"
		if !strings.Contains(script, machines) {
			t.Fatalf("the example has no %s", machines)
		}
		sh := setUp(t)
		sh(strings.Replace(script, machines, "2/:", 1))
		finished(t, sh)
		if jobs := sh("cut -f 7 out/joblog | grep -c 0"); jobs != "3\n" {
			t.Errorf("parallel has seen %s jobs, want 3", jobs)
		}
	})
	t.Run("make", func(t *testing.T) {
		tooltest.Need(t, "make")
		sh := setUp(t)
		sh("cat >Makefile <<'END'\n" + block(t, "scale.md", "make", 0) + "END")
		run := "make -j 2 TARGET=gw-3.0.swu SOURCES=\"$(echo old/*.swu)\" SIGN=\"--sign '$(printf %s \"$SIGN\" | sed 's/\\$/$$/g')'\" MANIFEST='" + manifest + "'"
		if out := sh(run); strings.Count(out, "--deltas-only") != 3 {
			t.Errorf("want three deltas by three rules:\n%s", out)
		}
		finished(t, sh)
		sh("sleep 0.01; touch old/gw-2.8.swu")
		if out := sh(run); strings.Count(out, "--deltas-only") != 1 || strings.Contains(out, "recompressed,") {
			t.Errorf("one source was touched:\n%s", out)
		}
		if out := sh(run); strings.Contains(out, "--deltas-only") {
			t.Errorf("nothing was touched:\n%s", out)
		}
	})
	t.Run("rank", func(t *testing.T) {
		sh := setUp(t)
		sh("printf 'gw-2.8,70\\ngw-2.9,400\\n' >devices.csv")
		if out := sh(block(t, "scale.md", "sh", 1)); !strings.Contains(out, "\ngw-2.9\t400\t-\t44879052800\t0.8511\t1\n") {
			t.Errorf("got %s", out)
		}
	})
}
