// SPDX-License-Identifier: MIT

// Package packages tests the Debian packages that scripts/build-packages makes.
package packages

import (
	"bytes"
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"swudelta/internal/tooltest"
)

const version = "1.2.3"

// machine is an architecture of packages, and how to run its programs here.
type machine struct {
	arch, goarch string
	loader       string // of its programs
	sysroot      string // of Debian's cross libc
	emulator     string
}

var machines = []machine{
	{"amd64", "amd64", "/lib64/ld-linux-x86-64.so.2", "/usr/x86_64-linux-gnu", "qemu-x86_64"},
	{"arm64", "arm64", "/lib/ld-linux-aarch64.so.1", "/usr/aarch64-linux-gnu", "qemu-aarch64"},
	{"armhf", "arm", "/lib/ld-linux-armhf.so.3", "/usr/arm-linux-gnueabihf", "qemu-arm"},
}

func command(t *testing.T, env []string, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s%s", name, args, err, out, &stderr)
	}
	return string(out)
}

func vector(name string) string {
	return filepath.Join(tooltest.Root(), "internal", "pamz", "testdata", name)
}

// checkApply runs a bsapply on a delta that needs libzstd 1.5.0 in a place where
// no user has one.
func checkApply(t *testing.T, argv ...string) {
	t.Helper()
	target := filepath.Join(t.TempDir(), "target")
	argv = append(argv, "-o", target, vector("zstdcomp.source"), vector("zstdcomp.diff"))
	command(t, []string{"HOME=/nonexistent", "XDG_CACHE_HOME=/nonexistent"}, argv[0], argv[1:]...)
	got, err := os.ReadFile(target)
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(vector("zstdcomp.target"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("wrong target")
	}
}

// epoch is the time of all files in the packages.
var epoch = []string{"SOURCE_DATE_EPOCH=1700000000"}

// copySources copies the files that git knows, or would, to another place.
func copySources(t *testing.T) string {
	tooltest.Need(t, "git", "cp", "xargs")
	dir := filepath.Join(t.TempDir(), "another", "place")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	command(t, []string{"FROM=" + tooltest.Root(), "TO=" + dir}, "sh", "-c", `cd "$FROM" && git ls-files -z -co --exclude-standard | xargs -0 cp --parents -t "$TO"`)
	return dir
}

// TestVersion makes commits in one second and the next, with and without a tag, and
// has dpkg compare the versions.
func TestVersion(t *testing.T) {
	tooltest.Need(t, "git", "dpkg")
	dir := t.TempDir()
	script, err := os.ReadFile(filepath.Join(tooltest.Root(), "scripts", "version"))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "scripts", "version")
	if err := os.Mkdir(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, script, 0o777); err != nil {
		t.Fatal(err)
	}
	git := func(date string, args ...string) {
		t.Helper()
		command(t, []string{"GIT_AUTHOR_DATE=" + date, "GIT_COMMITTER_DATE=" + date}, "git",
			append([]string{"-C", dir, "-c", "user.name=n", "-c", "user.email=n@example.org"}, args...)...)
	}
	git("", "init", "-q")
	var versions []string
	for i, date := range []string{"2025-01-31T23:59:58Z", "2025-02-01T00:59:59+01:00", "2025-02-01T00:00:00Z", "2025-02-01T12:00:00Z", "2025-02-02T00:00:00Z", "2025-02-03T00:00:00Z"} {
		git(date, "commit", "-q", "--allow-empty", "-m", "c")
		if i == 3 {
			git(date, "tag", "-a", "-m", "release", "v0.1.0")
		}
		// As build-packages makes it Debian's.
		v := strings.ReplaceAll(strings.TrimPrefix(strings.TrimSpace(command(t, nil, path)), "v"), "-", "+")
		versions = append(versions, v)
	}
	if !strings.HasPrefix(versions[1], "0.0.0+git20250131235959.") || versions[3] != "0.1.0" || !strings.HasPrefix(versions[4], "0.1.0+1+g") {
		t.Errorf("got %q", versions)
	}
	for i := 1; i < len(versions); i++ {
		command(t, nil, "dpkg", "--compare-versions", versions[i-1], "lt", versions[i])
	}
}

func TestPackages(t *testing.T) {
	if os.Getenv("SWUDELTA_FULL") == "" {
		t.Skip("takes minutes: only with SWUDELTA_FULL=1, as scripts/check-packages runs it")
	}
	tooltest.Need(t, "dpkg-deb", "scdoc", "gcc")
	build := filepath.Join(tooltest.Root(), "scripts", "build-packages")
	dir := t.TempDir()
	for _, m := range machines {
		t.Run(m.arch, func(t *testing.T) {
			if m.goarch != runtime.GOARCH {
				tooltest.Need(t, filepath.Base(m.sysroot)+"-gcc", m.emulator)
			}
			paths := strings.Fields(command(t, epoch, build, "-o", dir, "-V", version, m.arch))
			want := []string{
				filepath.Join(dir, "swudelta_"+version+"_"+m.arch+".deb"),
				filepath.Join(dir, "swudelta-device_"+version+"_"+m.arch+".deb"),
			}
			if !slices.Equal(paths, want) {
				t.Fatalf("got %q, want %q", paths, want)
			}
			testContent(t, m, paths[0], "swudelta")
			testContent(t, m, paths[1], "swudelta-device")
			if m.goarch == runtime.GOARCH {
				// A copy of the sources elsewhere, without the history, gives the same bytes.
				again := strings.Fields(command(t, epoch, filepath.Join(copySources(t), "scripts", "build-packages"), "-o", t.TempDir(), "-V", version, m.arch))
				for i := range paths {
					command(t, nil, "cmp", paths[i], again[i])
				}
				t.Run("lintian", func(t *testing.T) {
					tooltest.Need(t, "lintian")
					command(t, nil, "lintian", append([]string{"--allow-root", "--fail-on", "error"}, paths...)...)
				})
				t.Run("apt", func(t *testing.T) { testApt(t, paths[0], paths[1]) })
			}
		})
	}
}

// testContent looks into a package and runs what is in it.
func testContent(t *testing.T, m machine, path, name string) {
	for field, want := range map[string]string{"Package": name, "Version": version, "Architecture": m.arch} {
		if got := strings.TrimSpace(command(t, nil, "dpkg-deb", "-f", path, field)); got != want {
			t.Errorf("%s: got %q, want %q", field, got, want)
		}
	}
	root := filepath.Join(t.TempDir(), "root")
	command(t, nil, "dpkg-deb", "-x", path, root)

	programs, err := filepath.Glob(filepath.Join(root, "usr/bin/*"))
	if err != nil || len(programs) == 0 {
		t.Fatal("no programs", err)
	}
	for _, p := range programs {
		if _, err := os.Stat(filepath.Join(root, "usr/share/man/man1", filepath.Base(p)+".1.gz")); err != nil {
			t.Error(err)
		}
		f, err := elf.Open(p)
		if err != nil {
			continue // a script
		}
		for _, s := range f.Progs {
			if s.Type != elf.PT_INTERP {
				continue
			}
			loader := make([]byte, s.Filesz)
			if _, err := s.ReadAt(loader, 0); err != nil {
				t.Fatal(err)
			}
			if got := strings.TrimRight(string(loader), "\x00"); got != m.loader {
				t.Errorf("%s: got loader %s, want %s", filepath.Base(p), got, m.loader)
			}
		}
		f.Close()
	}
	if m.goarch == runtime.GOARCH {
		return // installed and run by testApt
	}
	// The emulator looks for files below its root first: there are the libraries
	// of the machine and the package.
	if err := os.Symlink(filepath.Join(m.sysroot, "lib"), filepath.Join(root, "lib")); err != nil {
		t.Fatal(err)
	}
	// With addresses of 32 bits a command runs in a child (package tool). Where several threads run
	// a child of qemu may wait forever for a lock of the emulator itself (7.2; seen twice), so here
	// the command is told that it is the child: 2 is its standard error.
	bsapply := []string{"env", "SWUDELTA_SUPERVISED=2", m.emulator, "-L", root, filepath.Join(root, "usr/bin/bsapply")}
	if got, want := command(t, nil, bsapply[0], append(bsapply[1:], "--version")...), "bsapply v"+version+"\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	checkApply(t, bsapply...)
}

// testApt installs the packages on this machine and removes them again.
func testApt(t *testing.T, all, device string) {
	tooltest.Need(t, "dpkg-query", "apt-get")
	if os.Getuid() != 0 {
		t.Skip("only root can install packages")
	}
	installed := func(name string) bool {
		out, _ := exec.Command("dpkg-query", "-W", "-f", "${Status}", name).Output()
		return strings.HasSuffix(string(out), " installed")
	}
	names := []string{"swudelta", "swudelta-device", "ms-adu_diffs"}
	if slices.ContainsFunc(names, installed) {
		t.Skip("one of the packages is installed here, and shall stay")
	}
	quiet := []string{"DEBIAN_FRONTEND=noninteractive"}
	apt := func(args ...string) string {
		t.Helper()
		return command(t, quiet, "apt-get", append([]string{"-qq", "--no-install-recommends", "-o", "APT::Sandbox::User=root", "-y"}, args...)...)
	}
	t.Cleanup(func() {
		if left := slices.DeleteFunc(names, func(n string) bool { return !installed(n) }); len(left) > 0 {
			exec.Command("dpkg", append([]string{"--purge"}, left...)...).Run()
		}
	})

	// Microsoft's package gives way to ours.
	command(t, quiet, "dpkg", "-i", microsoft(t))
	apt("install", device)
	if installed("ms-adu_diffs") || !installed("swudelta-device") {
		t.Fatal("the device's package does not take the place of ms-adu_diffs")
	}
	checkApply(t, "/usr/bin/bsapply")
	agent := filepath.Join(t.TempDir(), "agent")
	command(t, nil, "gcc", "-pthread", "-o", agent, filepath.Join(tooltest.Root(), "lib/libadudiffapi/testdata/agent.c"), "-ldl")
	target := filepath.Join(t.TempDir(), "target")
	if got := command(t, []string{"HOME=/nonexistent", "XDG_CACHE_HOME=/nonexistent"}, agent, "apply", vector("zstdcomp.source"), vector("zstdcomp.diff"), target); got != "0\n" {
		t.Errorf("libadudiffapi.so: %s", got)
	}
	command(t, nil, "cmp", target, vector("zstdcomp.target"))
	command(t, nil, "adu-deploy", "--help")

	// The two of ours do not stand side by side.
	apt("install", all)
	if installed("swudelta-device") || !installed("swudelta") {
		t.Fatal("the build host's package does not take the place of the device's")
	}
	checkApply(t, "/usr/bin/bsapply")
	demo, work := filepath.Join(tooltest.Root(), "testdata", "demo"), t.TempDir()
	output := func(name string) string { return filepath.Join(work, name) }
	command(t, []string{"HOME=/nonexistent", "XDG_CACHE_HOME=/nonexistent"}, "DiffGenTool", filepath.Join(demo, "source.swu"), filepath.Join(demo, "target.swu"),
		output("delta"), output("logs"), output("work"), output("recompressed.swu"))
	command(t, []string{"HOME=/nonexistent", "XDG_CACHE_HOME=/nonexistent"}, "bsapply", "-o", output("applied.swu"), filepath.Join(demo, "source.swu"), output("delta"))
	command(t, nil, "cmp", output("applied.swu"), output("recompressed.swu"))

	apt("purge", "swudelta")
	for _, path := range []string{"/usr/bin/bsapply", "/usr/lib/swudelta", "/usr/lib/libadudiffapi.so", "/usr/share/doc/swudelta", "/usr/share/man/man1/bsapply.1.gz"} {
		if _, err := os.Stat(path); !os.IsNotExist(err) {
			t.Errorf("after the removal: %s: %v", path, err)
		}
	}
}

// microsoft makes a package with the name and the file of Microsoft's.
func microsoft(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range map[string]string{
		"DEBIAN/control":           "Package: ms-adu_diffs\nVersion: 1.0.3\nArchitecture: all\nMaintainer: nobody <nobody@localhost>\nDescription: stand-in\n",
		"usr/lib/libadudiffapi.so": "stand-in\n",
	} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	deb := filepath.Join(t.TempDir(), "microsoft.deb")
	command(t, nil, "dpkg-deb", "--nocheck", "-b", root, deb)
	return deb
}

// TestFolders has scripts write where nothing can be written: they say so in their own words.
func TestFolders(t *testing.T) {
	tooltest.Need(t, "go", "gcc", "scdoc")
	for _, c := range []struct {
		argv []string
		want string
	}{
		{[]string{"build-libadudiffapi", "-o", "/nowhere/at/all"}, "/nowhere/at/all: there is no folder /nowhere/at"},
		{[]string{"build-libadudiffapi", "-o", "/proc/library"}, "/proc/library: nothing can be written to the folder /proc"},
		{[]string{"build-libadudiffapi", "-o", "/"}, "/: it is a folder, and a file is to be written"},
		{[]string{"build-packages", "-o", "/proc/packages", "amd64"}, "/proc/packages: the folder cannot be made"},
		{[]string{"get-libz", "1.3.1"}, "nothing can be written to the folder /proc/cache/swudelta"},
		{[]string{"get-libzstd", "1.5.7"}, "nothing can be written to the folder /proc/cache/swudelta"},
	} {
		cmd := exec.Command(filepath.Join(tooltest.Root(), "scripts", c.argv[0]), c.argv[1:]...)
		cmd.Env = append(os.Environ(), "XDG_CACHE_HOME=/proc/cache")
		out, _ := cmd.CombinedOutput()
		first, _, _ := strings.Cut(string(out), "\n")
		if cmd.ProcessState.ExitCode() != 1 || first != c.argv[0]+": "+c.want {
			t.Errorf("%q: %v, %s", c.argv, cmd.ProcessState, out)
		}
	}
}
