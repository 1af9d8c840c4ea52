// SPDX-License-Identifier: MIT

// Package test runs the pipeline from end to end: the scripts and the tools as
// they are built, on the updates of the demonstration and on others made for
// the purpose, up to installation by the real swupdate.
package test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"swudelta/internal/tooltest"
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

// run puts the tools and copies of the scripts on PATH before the tests start:
// beside its own place DiffGenTool would find a bin folder of another time.
func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "swudelta")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	bin, scripts := filepath.Join(dir, "bin"), filepath.Join(dir, "scripts")
	build := exec.Command("go", "build", "-trimpath", "-o", bin+"/", "./cmd/...")
	build.Dir = tooltest.Root()
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the tools: %v\n%s", err, out)
		return 1
	}
	if err := os.CopyFS(scripts, os.DirFS(filepath.Join(tooltest.Root(), "scripts"))); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	os.Setenv("PATH", scripts+":"+bin+":"+os.Getenv("PATH")+":/usr/sbin:/sbin")
	return m.Run()
}

func TestScripts(t *testing.T) {
	tooltest.Need(t, "bash", "flock", "openssl")
	tooltest.Scripts(t, "testdata/script")
}
