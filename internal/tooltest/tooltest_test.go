// SPDX-License-Identifier: MIT

package tooltest

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// outcome is a testscript.T that notes how a script ended.
type outcome struct {
	skipped, log string
	failed       bool
}

func (o *outcome) Skip(args ...any)  { o.skipped = fmt.Sprint(args...); runtime.Goexit() }
func (o *outcome) Fatal(args ...any) { o.Log(args...); o.FailNow() }
func (o *outcome) FailNow()          { o.failed = true; runtime.Goexit() }
func (o *outcome) Log(args ...any)   { o.log += fmt.Sprintln(args...) }
func (o *outcome) Parallel()         {}
func (o *outcome) Verbose() bool     { return false }
func (o *outcome) Run(_ string, f func(testscript.T)) {
	done := make(chan struct{})
	go func() { defer close(done); f(o) }()
	<-done
}

// TestNeeds runs scripts that need a program which is there, and one that is not.
func TestNeeds(t *testing.T) {
	run := func(script string) outcome {
		t.Helper()
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "x.txtar"), []byte(script), 0o666); err != nil {
			t.Fatal(err)
		}
		var o outcome
		o.Run("", func(testscript.T) { testscript.RunT(&o, params(dir)) })
		return o
	}
	const missing = "needs sh no-such-program\nexists nothing\n"
	t.Setenv(requireTools, "")
	if o := run("needs sh ls\nexists nothing\n"); o.skipped != "" || !o.failed || !strings.Contains(o.log, "nothing does not exist") {
		t.Errorf("all are there: skipped %q, failed %v:\n%s", o.skipped, o.failed, o.log)
	}
	if o := run(missing); o.failed || o.skipped != "no-such-program is not installed" {
		t.Errorf("one is missing: skipped %q, failed %v:\n%s", o.skipped, o.failed, o.log)
	}
	t.Setenv(requireTools, "1")
	if o := run(missing); o.skipped != "" || !o.failed || !strings.Contains(o.log, "no-such-program is needed and not installed") {
		t.Errorf("one is missing that must be there: skipped %q, failed %v:\n%s", o.skipped, o.failed, o.log)
	}
}
