// SPDX-License-Identifier: MIT

// Package torture looks for what breaks only now and then: tools that are ended at a
// random moment, disks that are full, inputs that change, files that were made to break
// a parser. doc/reliability.md has what it found, and scripts/torture runs it for hours.
package torture

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"swudelta/internal/tooltest"
)

var (
	times   = flag.Int("times", 1, "do so many times as many trials")
	first   = flag.Uint64("seed", 0, "the seed of the trials; 0 is one, too")
	results = flag.String("results", "", "append there FAULT, TRIALS and LOSSES, with tabs between, of each fault")
)

// used counts the blocks of seeds that were given away.
var used atomic.Uint64

// seed returns the first of a block of seeds that nobody else gets.
func seed() uint64 {
	const block = 1 << 20
	return *first*4096*block + used.Add(1)*block
}

// record adds to the results. A loss is a failure of the test, too.
func record(t *testing.T, fault string, trials, losses int) {
	t.Helper()
	if losses > 0 {
		t.Errorf("%s: %d of %d trials are lost", fault, losses, trials)
	}
	t.Logf("%s: %d trials, %d lost", fault, trials, losses)
	if *results == "" {
		return
	}
	f, err := os.OpenFile(*results, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o666)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := fmt.Fprintf(f, "%s\t%d\t%d\n", fault, trials, losses); err != nil {
		t.Fatal(err)
	}
}

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

// scratchDir is there as long as the tests run.
var scratchDir string

// run puts the tools and the scripts on PATH before the tests start.
func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "torture")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	scratchDir = dir
	bin, scripts := filepath.Join(dir, "bin"), filepath.Join(dir, "scripts")
	if out, err := buildTools(bin); err != nil {
		fmt.Fprintf(os.Stderr, "build the tools: %v\n%s", err, out)
		return 1
	}
	if err := os.CopyFS(scripts, os.DirFS(filepath.Join(tooltest.Root(), "scripts"))); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	os.Setenv("PATH", scripts+":"+bin+":"+os.Getenv("PATH"))
	return m.Run()
}
