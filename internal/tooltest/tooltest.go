// SPDX-License-Identifier: MIT

// Package tooltest is what the tests of several packages share: scripts that
// run commands, programs that serve as oracles, and the corpus of real updates.
package tooltest

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// Root returns the folder of go.mod.
func Root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..")
}

// requireTools is the variable with which no test may be skipped for want of a
// program.
const requireTools = "SWUDELTA_REQUIRE_TOOLS"

// Need skips the test where one of the programs is missing. Where
// SWUDELTA_REQUIRE_TOOLS is set, as scripts/check does, that is a failure.
func Need(t testing.TB, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err == nil {
			continue
		} else if os.Getenv(requireTools) != "" {
			t.Fatalf("%s is needed: %v", p, err)
		}
		t.Skipf("%s is not installed", p)
	}
}

// Corpus returns the folder of real update pairs, named by SWUDELTA_CORPUS or
// found beside the checkout. The test is skipped where there is none.
func Corpus(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("SWUDELTA_CORPUS")
	if dir == "" {
		dir = filepath.Join(Root(), "..", "shared", "corpus")
	}
	if _, err := os.Stat(filepath.Join(dir, "patch", "source.swu")); err != nil {
		t.Skipf("no corpus of real updates: %v (SWUDELTA_CORPUS names its folder)", err)
	}
	return dir
}

// Image returns the file system image in one of the corpus's small updates: pair
// is "patch" or "minor", side is "source" or "target".
func Image(t testing.TB, pair, side string) []byte {
	t.Helper()
	update, err := os.ReadFile(filepath.Join(Corpus(t), pair, side+".swu"))
	if err != nil {
		t.Fatal(err)
	}
	// The image is the only member that is compressed.
	member, err := gzip.NewReader(bytes.NewReader(update[bytes.Index(update, []byte("\x1f\x8b\x08")):]))
	if err != nil {
		t.Fatal(err)
	}
	member.Multistream(false)
	image, err := io.ReadAll(member)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

// Main registers the commands that scripts may run and runs the tests.
func Main(m *testing.M, commands map[string]func()) { testscript.Main(m, commands) }

// Scripts runs the test scripts in dir. Beyond the language of testscript they
// know
//
//	status N COMMAND ARG...   run COMMAND and want exit status N
//	needs PROGRAM...          skip the rest where one is missing, as Need does
func Scripts(t *testing.T, dir string) { testscript.Run(t, params(dir)) }

func params(dir string) testscript.Params {
	return testscript.Params{
		Dir:                 dir,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			tmp := filepath.Join(env.WorkDir, ".tmp")
			env.Setenv("TMPDIR", tmp)
			env.Setenv("ROOT", Root())
			env.Setenv("XDG_CACHE_HOME", cacheHome())
			env.Values[testKey{}] = env.T()
			return os.MkdirAll(tmp, 0o777)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"status": status, "needs": needs},
	}
}

// cacheHome is the user's cache folder, where libzstd versions are kept; the
// scripts run with a HOME of their own.
func cacheHome() string {
	dir, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return dir
}

// testKey is the key of a script's testscript.T among its values.
type testKey struct{}

func needs(ts *testscript.TestScript, neg bool, programs []string) {
	if neg || len(programs) == 0 {
		ts.Fatalf("usage: needs program...")
	}
	for _, p := range programs {
		// PATH of the script, not of the test.
		if slices.ContainsFunc(filepath.SplitList(ts.Getenv("PATH")), func(dir string) bool {
			_, err := exec.LookPath(filepath.Join(dir, p))
			return err == nil
		}) {
			continue
		}
		if os.Getenv(requireTools) != "" {
			ts.Fatalf("%s is needed and not installed", p)
		}
		ts.Value(testKey{}).(testscript.T).Skip(p + " is not installed")
	}
}

func status(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N command [args...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("exit status: got %d, want %d", got, want)
	}
}
