// SPDX-License-Identifier: MIT

package main_test

import (
	"bytes"
	"debug/elf"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"swudelta/internal/codec"
	"swudelta/internal/tooltest"
)

// machine is where the library and the program that loads it run.
type machine struct {
	arch     string // Debian's name
	compiler string
	emulator []string // and its options; none for this machine
}

var (
	native = map[string]machine{
		"amd64": {"amd64", "gcc", nil},
		"arm64": {"arm64", "gcc", nil},
		"arm":   {"armhf", "gcc", nil},
	}[runtime.GOARCH]
	foreign = []machine{
		{"arm64", "aarch64-linux-gnu-gcc", []string{"qemu-aarch64", "-L", "/usr/aarch64-linux-gnu"}},
		{"armhf", "arm-linux-gnueabihf-gcc", []string{"qemu-arm", "-L", "/usr/arm-linux-gnueabihf"}},
	}
)

// agent is the program of testdata/agent.c beside a fresh library.
type agent struct {
	machine
	dir string
	env []string
}

func newAgent(t *testing.T, m machine) *agent {
	t.Helper()
	tooltest.Need(t, m.compiler)
	if m.emulator != nil {
		tooltest.Need(t, m.emulator[0])
	}
	a := &agent{m, t.TempDir(), os.Environ()}
	command(t, filepath.Join(tooltest.Root(), "scripts", "build-libadudiffapi"), "-o", filepath.Join(a.dir, "libadudiffapi.so"), m.arch)
	command(t, m.compiler, "-Wall", "-Wextra", "-Werror", "-pthread", "-o", filepath.Join(a.dir, "agent"), "testdata/agent.c", "-ldl")
	return a
}

func command(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
	return string(out)
}

// run starts the program and returns what it printed.
func (a *agent) run(t *testing.T, wantStatus int, args ...string) (string, *os.ProcessState) {
	t.Helper()
	argv := append(slices.Clone(a.emulator), filepath.Join(a.dir, "agent"))
	argv = append(argv, args...)
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(slices.Clone(a.env), "LD_LIBRARY_PATH="+a.dir)
	if a.emulator != nil {
		cmd.Env = append(slices.Clone(a.env), "QEMU_SET_ENV=LD_LIBRARY_PATH="+a.dir)
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(2*time.Minute, func() { syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	defer timer.Stop()
	cmd.Wait()
	if got := cmd.ProcessState.ExitCode(); got != wantStatus {
		t.Fatalf("%v: got %v, want exit status %d\n%s%s", args, cmd.ProcessState, wantStatus, &stdout, &stderr)
	}
	return stdout.String(), cmd.ProcessState
}

func vector(name string) string {
	return filepath.Join(tooltest.Root(), "internal", "pamz", "testdata", name)
}

func sameFile(t *testing.T, got, want string) {
	t.Helper()
	g, err := os.ReadFile(got)
	if err != nil {
		t.Fatal(err)
	}
	w, err := os.ReadFile(want)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(g, w) {
		t.Errorf("%s: wrong content", filepath.Base(got))
	}
}

// TestAgent loads the library on this machine.
func TestAgent(t *testing.T) {
	if native.arch == "" {
		t.Skipf("no library for %s", runtime.GOARCH)
	}
	a := newAgent(t, native)
	testLibrary(t, filepath.Join(a.dir, "libadudiffapi.so"))
	testAgent(t, a)
	testZstd(t, a)
	testMemory(t, a)
}

// TestForeignAgent loads the libraries of other machines in an emulator.
func TestForeignAgent(t *testing.T) {
	if os.Getenv("SWUDELTA_FULL") == "" {
		t.Skip("takes minutes: only with SWUDELTA_FULL=1")
	}
	for _, m := range foreign {
		if m.arch == native.arch {
			continue
		}
		t.Run(m.arch, func(t *testing.T) {
			a := newAgent(t, m)
			testLibrary(t, filepath.Join(a.dir, "libadudiffapi.so"))
			testAgent(t, a)

			get := exec.Command(filepath.Join(tooltest.Root(), "scripts", "get-libzstd"), "1.5.0")
			get.Env = append(os.Environ(), "CC="+m.compiler)
			library, err := get.Output()
			if err != nil {
				t.Fatal(err)
			}
			cache := filepath.Join(a.dir, "swudelta")
			if err := os.Mkdir(cache, 0o777); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(strings.TrimSpace(string(library)), filepath.Join(cache, "libzstd.so.1.5.0")); err != nil {
				t.Fatal(err)
			}
			a.env = append(a.env, "XDG_CACHE_HOME="+a.dir)
			testZstd(t, a)
		})
	}
}

// testLibrary looks at the library itself.
func testLibrary(t *testing.T, path string) {
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	symbols, err := f.DynamicSymbols()
	if err != nil {
		t.Fatal(err)
	}
	var exported []string
	for _, s := range symbols {
		if s.Section != elf.SHN_UNDEF && s.Name != "" { // sections have no name
			exported = append(exported, s.Name)
		}
	}
	slices.Sort(exported)
	want := []string{
		"adu_diff_apply",
		"adu_diff_apply_close_session",
		"adu_diff_apply_create_session",
		"adu_diff_apply_get_error_code",
		"adu_diff_apply_get_error_count",
		"adu_diff_apply_get_error_text",
	}
	if !slices.Equal(exported, want) {
		t.Errorf("exports %q", exported)
	}
	if name, err := f.DynString(elf.DT_SONAME); err != nil || !slices.Equal(name, []string{"libadudiffapi.so"}) {
		t.Errorf("got soname %q, %v", name, err)
	}
	if libs, err := f.ImportedLibraries(); err != nil || !slices.Equal(libs, []string{"libc.so.6"}) {
		t.Errorf("needs %q, %v", libs, err)
	}
	if flags, err := f.DynValue(elf.DT_FLAGS_1); err != nil || len(flags) != 1 || elf.DynFlag1(flags[0])&elf.DF_1_NODELETE == 0 {
		t.Errorf("got flags %v, %v, want NODELETE", flags, err)
	}
	if rel, _ := f.DynValue(elf.DT_TEXTREL); len(rel) != 0 {
		t.Error("its text must be relocated")
	}
}

// testAgent goes through all that the program does.
func testAgent(t *testing.T, a *agent) {
	source, diff, want := vector("nested.source"), vector("nested.diff"), vector("nested.target")
	for _, c := range []struct {
		mode    string
		stdout  string
		targets []string
	}{
		{"apply", "0\n", []string{""}},
		{"twice", "0\n0\n0\n", []string{""}},
		{"parallel", strings.Repeat("0\n", 8), []string{".0", ".1", ".2", ".3", ".4", ".5", ".6", ".7"}},
		{"misuse", "", []string{""}},
		{"signals", "0\n0\n", []string{""}},
		{"pipe", "0\n", []string{""}},
		{"child", "0\n", []string{""}},
	} {
		t.Run(c.mode, func(t *testing.T) {
			target := filepath.Join(t.TempDir(), "target")
			stdout, _ := a.run(t, 0, c.mode, source, diff, target)
			if stdout != c.stdout {
				t.Errorf("got %q, want %q", stdout, c.stdout)
			}
			for _, suffix := range c.targets {
				sameFile(t, target+suffix, want)
			}
		})
	}
	// The agent shows the last code as 0x90A00000 | code.
	t.Run("error", func(t *testing.T) {
		target := filepath.Join(t.TempDir(), "target")
		stdout, _ := a.run(t, 1, "apply", vector("basic.source"), diff, target)
		if !strings.HasPrefix(stdout, "1\n31100 ") || !strings.Contains(stdout, "bytes") {
			t.Errorf("got %q", stdout)
		}
		if _, err := os.Stat(target); !os.IsNotExist(err) {
			t.Errorf("target: %v", err)
		}
	})
}

// testZstd applies a delta that needs libzstd.
func testZstd(t *testing.T, a *agent) {
	t.Run("zstd", func(t *testing.T) {
		target := filepath.Join(t.TempDir(), "target")
		if a.emulator == nil {
			if _, err := codec.OpenZstd(codec.ZstdOptions{}); err != nil {
				t.Skipf("%v (scripts/get-libzstd 1.5.0 makes one that fits)", err)
			}
		}
		a.run(t, 0, "parallel", vector("zstdcomp.source"), vector("zstdcomp.diff"), target)
		for i := range 8 {
			sameFile(t, fmt.Sprintf("%s.%d", target, i), vector("zstdcomp.target"))
		}
	})
}

// testMemory applies a delta between real updates, whose images have 60 MiB.
func testMemory(t *testing.T, a *agent) {
	t.Run("memory", func(t *testing.T) {
		corpus := tooltest.Corpus(t)
		target := filepath.Join(t.TempDir(), "target")
		_, state := a.run(t, 0, "apply", filepath.Join(corpus, "patch", "source.swu"), filepath.Join(corpus, "..", "data", "pamz", "real", "patch.1.0.1.diff"), target)
		if peak := state.SysUsage().(*syscall.Rusage).Maxrss << 10; peak > 72<<20 {
			t.Errorf("peak of resident memory: %d bytes", peak)
		} else {
			t.Logf("peak of resident memory: %d bytes", peak)
		}
	})
}
