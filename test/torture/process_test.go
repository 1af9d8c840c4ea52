// SPDX-License-Identifier: MIT

package torture

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"swudelta/internal/tooltest"
)

func buildTools(dir string) ([]byte, error) {
	cmd := exec.Command("go", "build", "-trimpath", "-o", dir+"/", "./cmd/...")
	cmd.Dir = tooltest.Root()
	return cmd.CombinedOutput()
}

// job is one use of a tool or a script, in a folder that has the inputs. It is run by a
// shell, with $OUT as the folder for what it makes.
type job struct {
	name    string
	command string
	outputs []string // files below $OUT; none: it is not held against another run
	slow    bool     // not in a short run
}

// jobs are of every tool and script that writes something.
var jobs = []job{
	{"swu-unpack", `swu-unpack -C "$OUT/members" v2.swu`, []string{"members/sw-description", "members/gateway-rootfs.ext4.gz"}, false},
	{"swu-pack", `swu-pack -C members -o "$OUT/a.swu" list`, []string{"a.swu"}, false},
	{"zrecompress", `zrecompress -o "$OUT/a.zst" members/gateway-rootfs.ext4.gz`, []string{"a.zst"}, false},
	{"swdesc", `swdesc --set gateway-rootfs.ext4.gz=members/gateway-rootfs.ext4.gz -o "$OUT/a" members/sw-description`, []string{"a"}, false},
	{"swu-sign", `swu-sign --scheme rsa --key key.pem -o "$OUT/a.sig" members/sw-description`, []string{"a.sig"}, false},
	{"extdump", `extdump -o "$OUT/a.json" image`, []string{"a.json"}, false},
	{"bsdelta", `bsdelta -1 -o "$OUT/a.diff" v1.swu v2r.swu`, []string{"a.diff"}, false},
	{"bsdelta --device native", `bsdelta -1 --device native -o "$OUT/a.diff" v1.swu v2.swu`, []string{"a.diff"}, true},
	{"bsapply", `bsapply -o "$OUT/a.swu" v1.swu v1-v2.diff`, []string{"a.swu"}, false},
	{"bsdump", `bsdump --check 1.0 -o "$OUT/a.json" v1-v2.diff`, []string{"a.json"}, false},
	{"adu-manifest", `adu-manifest --seed --provider P --name N --version 1.0 --compat a=b --script install.sh --created 2025-01-15T10:00:00Z -o "$OUT/a.json" v1.swu`, []string{"a.json"}, false},
	{"sdc-path", `sdc-path --provider P --base "$OUT" --install v1.swu`, nil, false},
	{"adu-deploy", `adu-deploy -q -o "$OUT/a" --base "$OUT/cache" --files . --run-script seed.json`, nil, false},
	{"swu-recompress", `swu-recompress -o "$OUT/a.swu" v2.swu`, []string{"a.swu"}, false},
	{"DiffGenTool", `DiffGenTool -q -1 v1.swu v2.swu "$OUT/a.diff" "$OUT/logs" "$OUT/work" "$OUT/a.swu"`, []string{"a.diff", "a.swu"}, false},
	{"release-deltas", `release-deltas -q --deltas-only --as-is -o "$OUT/release" v2=v2r.swu v1=v1.swu`, nil, true},
}

// made is the folder with the inputs of all jobs, which is made once.
var made = sync.OnceValues(func() (string, error) {
	dir := filepath.Join(scratchDir, "inputs")
	if err := os.Mkdir(dir, 0o777); err != nil {
		return "", err
	}
	script := `set -e
cp "$ROOT/testdata/demo/source.swu" v1.swu
cp "$ROOT/testdata/demo/target.swu" v2.swu
swu-unpack -C members v2.swu > list
zrecompress --to plain -o image members/gateway-rootfs.ext4.gz
openssl genrsa -out key.pem 2048 2>/dev/null
cat > install.sh <<'EOT'
#!/bin/sh
while [ $# -gt 0 ]; do
  case $1 in
  --action-*) action=${1#--action-} ;;
  --result-file) result=$2 ;;
  esac
  shift
done
case $action in
is-installed) code=901 ;;
download) code=500 ;;
install) code=600 ;;
apply) code=700 ;;
esac
echo "{\"resultCode\": $code, \"extendedResultCode\": 0, \"resultDetails\": \"\"}" > "$result"
EOT
swu-recompress -q -o v2r.swu v2.swu
bsdelta -1 -o v1-v2.diff v1.swu v2r.swu
adu-manifest -q --seed --provider P --name N --version 1.0 --compat a=b --script install.sh -o seed.json v1.swu
`
	cmd := exec.Command("bash", "-c", script)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "ROOT="+tooltest.Root())
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%w\n%s", err, out)
	}
	return dir, err
})

// inputs returns the folder with the inputs, or a copy for tests that change them.
func inputs(t *testing.T, copied bool) string {
	t.Helper()
	tooltest.Need(t, "bash", "openssl", "flock")
	dir, err := made()
	if err != nil {
		t.Fatal(err)
	}
	if copied {
		from := dir
		dir = t.TempDir()
		if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// bench is a job with what it makes when nothing goes wrong, and how long that takes.
type bench struct {
	job
	dir  string // of the inputs
	want map[string][]byte
	took time.Duration
}

// known are the benches, with the folder that has the inputs.
var known []*bench

// benches returns all jobs. Each is run once, the first time.
func benches(t *testing.T) []*bench {
	t.Helper()
	dir := inputs(t, false)
	if known != nil {
		return known
	}
	var list []*bench
	for _, j := range jobs {
		if j.slow && *times == 1 {
			continue
		}
		b := &bench{job: j, dir: dir, want: map[string][]byte{}}
		out := t.TempDir()
		start := time.Now()
		if state, messages := b.run(b.start(t, out, t.TempDir())); state.ExitCode() != 0 {
			t.Fatalf("%s: %v\n%s", j.name, state, messages)
		}
		b.took = time.Since(start)
		for _, name := range j.outputs {
			b.want[name] = readFile(t, filepath.Join(out, name))
		}
		list = append(list, b)
	}
	known = list
	return list
}

// running is a job that runs, in a process group of its own.
type running struct {
	*exec.Cmd
	messages *bytes.Buffer
}

// start starts the job.
func (b *bench) start(t *testing.T, out, tmp string, env ...string) running {
	t.Helper()
	r := running{exec.Command("bash", "-c", "exec "+b.command), &bytes.Buffer{}}
	r.Dir = b.dir
	r.Env = slices.Concat(os.Environ(), []string{"OUT=" + out, "TMPDIR=" + tmp}, env)
	r.Stderr = r.messages
	r.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	return r
}

// run waits for the end; what hangs is ended after ten minutes.
func (b *bench) run(r running) (*os.ProcessState, string) {
	timer := time.AfterFunc(10*time.Minute, func() { syscall.Kill(-r.Process.Pid, syscall.SIGKILL) })
	defer timer.Stop()
	r.Wait()
	return r.ProcessState, r.messages.String()
}

// faults returns what is wrong with what lies in a folder: outputs are complete or not
// there, and nothing but them and what the job keeps has stayed.
func (b *bench) faults(out string) (list []string) {
	for name, want := range b.want {
		got, err := os.ReadFile(filepath.Join(out, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil || !bytes.Equal(got, want) {
			list = append(list, fmt.Sprintf("%s has %d bytes, want %d, %v", name, len(got), len(want), err))
		}
	}
	return list
}

// left returns what lies in the folders for outputs and temporary files that is of
// nobody: hidden files, and anything in tmp.
func left(out, tmp string) (list []string) {
	for _, dir := range []string{out, tmp} {
		filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err == nil && path != dir && (dir == tmp || strings.HasPrefix(d.Name(), ".") && d.Name() != ".DiffGenTool.lock" && d.Name() != ".lock") {
				list = append(list, path)
			}
			return nil
		})
	}
	return list
}

// crashed reports a stack trace, which nobody is to see.
func crashed(messages string) bool {
	return strings.Contains(messages, "goroutine ") || strings.Contains(messages, "panic: ") || strings.Contains(messages, "fatal error: ")
}

// TestKilled ends each job at a random moment: by SIGTERM, after which nothing may be
// left, and by SIGKILL, after which the same job must work all the same.
func TestKilled(t *testing.T) {
	for _, b := range benches(t) {
		for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
			n, lost, r := *times, 0, rand.New(rand.NewPCG(seed(), 0))
			for range n {
				out, tmp := t.TempDir(), t.TempDir()
				p := b.start(t, out, tmp)
				time.Sleep(time.Duration(r.Int64N(int64(b.took))))
				if signal == syscall.SIGKILL {
					syscall.Kill(-p.Process.Pid, signal)
				} else {
					p.Process.Signal(signal)
				}
				state, messages := b.run(p)
				faults := b.faults(out)
				if signal == syscall.SIGTERM {
					faults = append(faults, left(out, tmp)...)
				}
				if crashed(messages) {
					faults = append(faults, messages)
				}
				faults = append(faults, b.again(t, out)...)
				if len(faults) > 0 {
					lost++
					t.Logf("%s: %v: %v: %q", b.name, signal, state, faults)
				}
			}
			record(t, fmt.Sprintf("%v: %s", signal, b.name), n, lost)
		}
	}
}

// again runs a job once more where it was ended before, and returns what is wrong with
// that. A script whose shell alone was ended has tools that go on for a while, and keep
// its folder locked until then; so does what release-deltas runs, in process groups of its own.
// On a busy machine that was more than 20 seconds. swu-unpack overwrites nothing.
func (b *bench) again(t *testing.T, out string) []string {
	for end := time.Now().Add(3 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
		state, messages := b.run(b.start(t, out, t.TempDir()))
		if strings.Contains(messages, "is in use by another run") && time.Now().Before(end) {
			continue
		}
		if state.ExitCode() != 0 && b.name != "swu-unpack" {
			return []string{"again: " + state.String() + " " + messages}
		}
		return append(b.faults(out), b.missing(out)...)
	}
}

// TestDisk gives each job an output folder that is a file system with hardly any space,
// or one that cannot be written, or a full folder for temporary files.
func TestDisk(t *testing.T) {
	tooltest.Need(t, "unshare", "mount")
	if exec.Command("unshare", "-rm", "true").Run() != nil {
		t.Skip("the kernel does not allow a file system of one's own")
	}
	for _, b := range benches(t) {
		r := rand.New(rand.NewPCG(seed(), 0))
		for _, place := range []string{"OUT", "TMPDIR", "read-only"} {
			n, lost := *times, 0
			for range n {
				mount := fmt.Sprintf(`mount -t tmpfs -o size=%dk none "$%s"`, 4+r.IntN(400), place)
				if place == "read-only" {
					mount = `mount -t tmpfs -o ro none "$OUT"`
				}
				// What is on the file system is gone with the shell: it is copied before.
				copied := t.TempDir()
				p := &bench{job: job{name: b.name, command: fmt.Sprintf(`unshare -rm bash -c '%s && { %s; status=$?; cp -r "$OUT/." "$COPIED"; exit $status; }'`,
					mount, strings.ReplaceAll(b.command, "'", `'\''`))}, dir: b.dir}
				state, messages := p.run(p.start(t, t.TempDir(), t.TempDir(), "COPIED="+copied))
				faults := append(b.faults(copied), left(copied, t.TempDir())...)
				// adu-deploy ends as the deployment did.
				if s := state.ExitCode(); s != 0 && s != 1 && (s != 3 || b.name != "adu-deploy") || crashed(messages) {
					faults = append(faults, fmt.Sprintf("%v\n%s", state, messages))
				}
				if state.ExitCode() == 0 {
					faults = append(faults, b.missing(copied)...)
				}
				if len(faults) > 0 {
					lost++
					t.Logf("%s: %s: %q", b.name, mount, faults)
				}
			}
			record(t, map[string]string{"OUT": "disk full", "TMPDIR": "TMPDIR full", "read-only": "disk read-only"}[place]+": "+b.name, n, lost)
		}
	}
}

// missing returns the outputs that are not there.
func (b *bench) missing(out string) (list []string) {
	for name := range b.want {
		if _, err := os.Stat(filepath.Join(out, name)); err != nil {
			list = append(list, err.Error())
		}
	}
	return list
}

// TestClosedPipe has a reader of standard output that goes away.
func TestClosedPipe(t *testing.T) {
	dir := inputs(t, false)
	for _, command := range []string{
		"swu-unpack --list v2.swu", "swu-unpack --member gateway-rootfs.ext4.gz v2.swu", "swu-pack -C members list", "zrecompress members/gateway-rootfs.ext4.gz",
		"swdesc --list members/sw-description", "extdump image", "bsdelta -1 v1.swu v2r.swu", "bsapply v1.swu v1-v2.diff", "bsdump v1-v2.diff",
		"adu-manifest --check seed.json", "adu-result 0x80500000", "sdc-path --provider P v1.swu", "DiffGenTool --help",
	} {
		n, lost, r := *times, 0, rand.New(rand.NewPCG(seed(), 0))
		for range n {
			tmp := t.TempDir()
			b := &bench{job: job{command: fmt.Sprintf(`bash -c '%s | head -c %d >/dev/null; exit ${PIPESTATUS[0]}'`, command, r.IntN(5000))}, dir: dir}
			state, messages := b.run(b.start(t, t.TempDir(), tmp))
			status := state.ExitCode()
			if status != 0 && status != 141 || crashed(messages) || len(left(tmp, tmp)) > 0 {
				lost++
				t.Logf("%s: %v %q %q", command, state, messages, left(tmp, tmp))
			}
		}
		record(t, "closed pipe: "+strings.Fields(command)[0], n, lost)
	}
}

// TestChangingInput writes into the inputs while they are read, or cuts them. What comes
// out is an error, or right for what was read: a delta makes its target, or says that
// the source is another.
func TestChangingInput(t *testing.T) {
	dir := inputs(t, true)
	for _, j := range []struct{ name, input, command, check string }{
		{"bsdelta", "v1.swu", `bsdelta -1 -o "$OUT/a" v1.swu v2r.swu`, `bsapply -o "$OUT/b" v1.swu "$OUT/a" && cmp "$OUT/b" v2r.swu`},
		{"bsdelta", "v2r.swu", `bsdelta -1 -o "$OUT/a" v1.swu v2r.swu`, ""},
		{"bsapply", "v1.swu", `bsapply -o "$OUT/a" v1.swu v1-v2.diff`, `cmp "$OUT/a" v2r.swu.kept`},
		{"bsapply", "v1-v2.diff", `bsapply -o "$OUT/a" v1.swu v1-v2.diff`, `cmp "$OUT/a" v2r.swu.kept`},
		{"zrecompress", "members/gateway-rootfs.ext4.gz", `zrecompress -o "$OUT/a" members/gateway-rootfs.ext4.gz`, `zstd -qt "$OUT/a"`},
		{"swu-unpack", "v2.swu", `swu-unpack -C "$OUT" v2.swu`, ""},
		{"extdump", "image", `extdump -o "$OUT/a" image`, ""},
		{"swu-recompress", "v2.swu", `swu-recompress -q -o "$OUT/a" v2.swu`, `swu-unpack --list "$OUT/a"`},
	} {
		path := filepath.Join(dir, j.input)
		kept := readFile(t, path)
		if err := os.WriteFile(filepath.Join(dir, "v2r.swu.kept"), readFile(t, filepath.Join(dir, "v2r.swu")), 0o666); err != nil {
			t.Fatal(err)
		}
		b := &bench{job: job{name: j.name, command: j.command}, dir: dir}
		start := time.Now()
		b.run(b.start(t, t.TempDir(), t.TempDir()))
		took := time.Since(start)
		n, lost, r := 3**times, 0, rand.New(rand.NewPCG(seed(), 0))
		for range n {
			out, tmp := t.TempDir(), t.TempDir()
			p := b.start(t, out, tmp)
			time.Sleep(time.Duration(r.Int64N(int64(took))))
			disturb(t, r, path, len(kept))
			state, messages := b.run(p)
			faults := left(out, tmp)
			if status := state.ExitCode(); status != 0 && status != 1 && status != 3 || crashed(messages) {
				faults = append(faults, fmt.Sprintf("%v %s", state, messages))
			}
			if state.ExitCode() == 0 && j.check != "" {
				check := &bench{job: job{command: "bash -c '" + j.check + "'"}, dir: dir}
				// 3: the source is not the one of the delta any more, and this is said.
				if state, messages := check.run(check.start(t, out, tmp)); state.ExitCode() != 0 && state.ExitCode() != 3 {
					faults = append(faults, fmt.Sprintf("%s: %v %s", j.check, state, messages))
				}
			}
			if len(faults) > 0 {
				lost++
				t.Logf("%s: %s changed: %q", j.name, j.input, faults)
			}
			if err := os.WriteFile(path, kept, 0o666); err != nil {
				t.Fatal(err)
			}
		}
		record(t, "input changes: "+j.name, n, lost)
	}
}

// disturb overwrites a part of a file, or cuts it.
func disturb(t *testing.T, r *rand.Rand, path string, size int) {
	t.Helper()
	at := r.Int64N(int64(size))
	if r.IntN(3) == 0 {
		if err := os.Truncate(path, at); err != nil {
			t.Fatal(err)
		}
		return
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(tooltest.Random(r.Uint64(), int(min(int64(size)-at, 4096))), at); err != nil {
		t.Fatal(err)
	}
}

// TestTwoRuns starts each job twice, with the same outputs: each ends well or says why
// it does not, and what is there at the end is what one makes.
func TestTwoRuns(t *testing.T) {
	for _, b := range benches(t) {
		n, lost, r := *times, 0, rand.New(rand.NewPCG(seed(), 0))
		for range n {
			out, tmp := t.TempDir(), t.TempDir()
			one := b.start(t, out, tmp)
			time.Sleep(time.Duration(r.Int64N(int64(b.took)/2 + 1)))
			two := b.start(t, out, tmp)
			var faults []string
			good := 0
			for _, p := range []running{one, two} {
				state, messages := b.run(p)
				if state.ExitCode() == 0 {
					good++
				}
				if !slices.Contains([]int{0, 1, 3}, state.ExitCode()) || crashed(messages) {
					faults = append(faults, state.String()+" "+messages)
				}
			}
			faults = slices.Concat(faults, b.faults(out), left(out, tmp))
			if good == 0 {
				faults = append(faults, "neither of the two came to an end")
			} else {
				faults = append(faults, b.missing(out)...)
			}
			if len(faults) > 0 {
				lost++
				t.Logf("%s: %q", b.name, faults)
			}
		}
		record(t, "two runs: "+b.name, n, lost)
	}
}

// TestClock runs each job with another clock since the start of the machine, and with
// inputs from 1970 and from the year 2100: the outputs are the same bytes.
func TestClock(t *testing.T) {
	dir := inputs(t, true)
	clock := "true"
	if exec.Command("unshare", "-rT", "--monotonic=86400000", "true").Run() == nil {
		clock = "unshare -rT --monotonic=86400000"
	} else {
		t.Log("the kernel does not allow a clock of one's own: only the times of files are others")
	}
	for _, b := range benches(t) {
		n, lost := *times, 0
		for i := range n {
			date := []time.Time{time.Unix(0, 0), time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)}[i%2]
			filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error { return os.Chtimes(path, date, date) })
			out, tmp := t.TempDir(), t.TempDir()
			p := &bench{job: job{command: clock + " bash -c '" + strings.ReplaceAll(b.command, "'", `'\''`) + "'"}, dir: dir}
			if clock == "true" {
				p.command = b.command
			}
			state, messages := p.run(p.start(t, out, tmp))
			faults := slices.Concat(b.faults(out), b.missing(out), left(out, tmp))
			if state.ExitCode() != 0 || len(faults) > 0 {
				lost++
				t.Logf("%s: %v %s %q", b.name, state, messages, faults)
			}
		}
		record(t, "other clock: "+b.name, n, lost)
	}
}
