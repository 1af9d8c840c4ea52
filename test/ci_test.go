// SPDX-License-Identifier: MIT

package test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"swudelta/internal/tooltest"
)

// ciStep is a step of a system, as far as it concerns us.
type ciStep struct {
	Uses, Run, Task, Bash, Publish, Artifact, Name string
	Env, With, Inputs                              map[string]string
}

// ciJob is what a snippet of doc/ci.md comes to.
type ciJob struct {
	shell []string // that the system runs the script with, whose path is its last argument
	setup string   // what the system puts before it
	lines []string
	env   map[string]string
	kept  string
}

// ciJobs has for each section of doc/ci.md how its snippet is read.
var ciJobs = map[string]func(t *testing.T, snippet string) ciJob{
	"GitHub Actions": func(t *testing.T, snippet string) ciJob {
		var w struct {
			On   yaml.Node
			Jobs struct {
				Delta struct {
					RunsOn    string `yaml:"runs-on"`
					Container string
					Env       map[string]string
					Steps     []ciStep
				}
			}
		}
		decode(t, snippet, &w)
		d := w.Jobs.Delta
		if w.On.IsZero() || d.RunsOn == "" || d.Container == "" || len(d.Steps) != 3 {
			t.Fatalf("got %+v", w)
		}
		env := d.Env
		for k, v := range d.Steps[1].Env {
			env[k] = v
		}
		return ciJob{[]string{"sh", "-e"}, "", []string{d.Steps[1].Run}, env, d.Steps[2].With["path"]}
	},
	"GitLab": func(t *testing.T, snippet string) ciJob {
		var p struct {
			Delta struct {
				Image     string
				Variables map[string]string
				Script    []string
				Artifacts struct{ Paths []string }
			}
		}
		decode(t, snippet, &p)
		d := p.Delta
		if d.Image == "" || len(d.Artifacts.Paths) != 1 {
			t.Fatalf("got %+v", d)
		}
		d.Variables["SIGNING_KEY"] = "FILE"
		return ciJob{[]string{"bash"}, "set -eo pipefail\n", d.Script, d.Variables, d.Artifacts.Paths[0]}
	},
	"Azure Pipelines": func(t *testing.T, snippet string) ciJob {
		var p struct {
			Pool      struct{ VMImage string }
			Container string
			Variables map[string]string
			Steps     []ciStep
		}
		decode(t, strings.Replace(snippet, "vmImage", "vmimage", 1), &p)
		if p.Pool.VMImage == "" || p.Container == "" || len(p.Steps) != 3 || p.Steps[0].Name != "key" {
			t.Fatalf("got %+v", p)
		}
		env := p.Variables
		for k, v := range p.Steps[1].Env {
			env[k] = v
		}
		return ciJob{[]string{"bash", "--noprofile", "--norc"}, "", []string{p.Steps[1].Bash}, env, p.Steps[2].Publish}
	},
}

func decode(t *testing.T, text string, v any) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(text), v); err != nil {
		t.Fatal(err)
	}
}

// run runs a job in a new checkout that has the pair of the demonstration, after prepare,
// and returns the folder, its exit status and what it printed.
func (j ciJob) run(t *testing.T, prepare string) (dir string, status int, printed string) {
	t.Helper()
	dir, temp := t.TempDir(), t.TempDir()
	script, key := filepath.Join(temp, "script"), filepath.Join(temp, "key.pem")
	lines := j.setup + strings.Join(j.lines, "\n")
	if err := os.WriteFile(script, []byte(lines), 0o666); err != nil {
		t.Fatal(err)
	}
	set := exec.Command("bash", "-euc", `cp "$ROOT/testdata/demo/source.swu" "$OLD"
cp "$ROOT/testdata/demo/target.swu" "$NEW"
cp "$ROOT/scripts/samples/swu-update.sh" .
openssl genrsa -out "$KEY" 2048 2>"$KEY.log"
openssl rsa -in "$KEY" -pubout -out public.pem 2>"$KEY.log"
`+prepare)
	set.Dir = dir
	set.Env = append(os.Environ(), "ROOT="+tooltest.Root(), "OLD="+j.env["OLD"], "NEW="+j.env["NEW"], "KEY="+key)
	if out, err := set.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	pem, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	// Files that a step makes outside of the checkout.
	tmp := t.TempDir()
	cmd := exec.Command(j.shell[0], append(j.shell[1:len(j.shell):len(j.shell)], script)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
	for name, value := range j.env {
		switch value {
		case "FILE", "$(key.secureFilePath)":
			value = key
		case "${{ secrets.SIGNING_KEY }}":
			value = strings.TrimSuffix(string(pem), "\n")
		}
		if strings.ContainsAny(value, "${}") {
			t.Errorf("%s: what is %q?", name, value)
		}
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	for _, left := range []string{dir, tmp} {
		err := filepath.WalkDir(left, func(path string, e os.DirEntry, err error) error {
			if err != nil || !e.Type().IsRegular() {
				return err
			}
			content, err := os.ReadFile(path)
			if bytes.Contains(content, []byte("PRIVATE KEY")) {
				t.Errorf("%s is left behind, which has the key", e.Name())
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
	return dir, cmd.ProcessState.ExitCode(), string(out)
}

// TestCI runs the steps of doc/ci.md as they stand, each in the shell of its system, and
// holds what is kept against its import manifest.
func TestCI(t *testing.T) {
	tooltest.Need(t, "bash", "openssl", "flock")
	text, err := os.ReadFile(filepath.Join(tooltest.Root(), "doc", "ci.md"))
	if err != nil {
		t.Fatal(err)
	}
	snippets := regexp.MustCompile("(?ms)^## ([^\n]+)\n\n```yaml\n(.*?)^```$").FindAllStringSubmatch(string(text), -1)
	if len(snippets) != len(ciJobs) || strings.Count(string(text), "```yaml") != len(ciJobs) {
		t.Fatalf("got %d snippets, want %d", len(snippets), len(ciJobs))
	}
	for _, s := range snippets {
		t.Run(s[1], func(t *testing.T) {
			read := ciJobs[s[1]]
			if read == nil {
				t.Fatal("no test knows how to read this")
			}
			job := read(t, s[2])
			dir, status, printed := job.run(t, "")
			if status != 0 || strings.Contains(printed, "warning") {
				t.Fatalf("status %d\n%s", status, printed)
			}
			check := exec.Command("bash", "-euxo", "pipefail", "-c", `cd "$KEPT"
adu-manifest --check --files . update.importmanifest.json
bsapply "../$OLD" update.diff | cmp - update.swu
swu-unpack --member sw-description update.swu > ../text
swu-unpack --member sw-description.sig update.swu > ../signature
swu-sign --verify ../signature --cert ../public.pem ../text
[ "$(stat -c %s update.diff)" -lt 100000 ]`)
			check.Dir = dir
			check.Env = append(os.Environ(), "KEPT="+job.kept, "OLD="+job.env["OLD"])
			if out, err := check.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}

			// The status is that of the check which failed.
			dir, status, printed = job.run(t, `truncate -s 300000 "$NEW"`)
			if status != 3 || !strings.Contains(printed, "swu-unpack: ") || strings.Contains(printed, "adu-manifest") {
				t.Errorf("of an update that is cut off: status %d\n%s", status, printed)
			}
			if list, err := os.ReadDir(filepath.Join(dir, job.kept)); err == nil && len(list) > 0 {
				t.Errorf("of an update that is cut off %s is kept", list)
			}
		})
	}
}

// TestContainerfile holds Containerfile against what it is made of: a Go that is new enough,
// one release of Debian, which has the packages, and all that our own package recommends.
// The command in its comment is run, too.
func TestContainerfile(t *testing.T) {
	read := func(name string) string {
		t.Helper()
		b, err := os.ReadFile(filepath.Join(tooltest.Root(), name))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	file := read("Containerfile")
	from := regexp.MustCompile(`(?m)^FROM docker\.io/library/(?:golang:([0-9.]+)-|debian:)([a-z]+)`).FindAllStringSubmatch(file, -1)
	if len(from) != 2 || from[0][2] != from[1][2] {
		t.Fatalf("want a golang and a debian of one release, got %q", from)
	}
	if !strings.Contains(read("go.mod"), "\ngo "+from[0][1]+".") {
		t.Errorf("Go %s is not that of go.mod", from[0][1])
	}
	var installed [][]string
	joined := strings.ReplaceAll(file, "\\\n", " ")
	for _, m := range regexp.MustCompile(`apt-get install -y --no-install-recommends([^&\n]*)`).FindAllStringSubmatch(joined, -1) {
		names := slices.DeleteFunc(strings.Fields(m[1]), func(n string) bool { return strings.Contains(n, "/") })
		installed = append(installed, names)
	}
	if len(installed) != 2 {
		t.Fatalf("got %q", installed)
	}
	var ours struct{ Depends, Recommends []string }
	decode(t, read("packaging/swudelta.yaml"), &ours)
	if len(ours.Recommends) == 0 || !slices.Equal(installed[1], ours.Recommends) {
		t.Errorf("installs %q, our package recommends %q", installed[1], ours.Recommends)
	}

	t.Run("packages", func(t *testing.T) {
		tooltest.Need(t, "apt-cache")
		names := slices.Concat(installed[0], installed[1], ours.Depends)
		// Which releases have them, of those whose lists are here.
		lists, err := exec.Command("apt-cache", append([]string{"madison"}, names...)...).Output()
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(lists), " "+from[0][2]+"/main ") {
			t.Skip("this machine has no lists of packages of Debian " + from[0][2])
		}
		for _, name := range names {
			if !regexp.MustCompile(`(?m)^ *` + regexp.QuoteMeta(name) + ` .* ` + from[0][2] + `(-security)?/main `).Match(lists) {
				t.Errorf("Debian %s has no package %s", from[0][2], name)
			}
		}
	})

	t.Run("command", func(t *testing.T) {
		tooltest.Need(t, "bash", "flock")
		comment := strings.ReplaceAll(file, "\\\n#", " ")
		m := regexp.MustCompile(`(?m)^# +podman run --rm -v "\$PWD:/work" swudelta (.*)$`).FindStringSubmatch(comment)
		if m == nil {
			t.Fatal("there is none")
		}
		cmd := exec.Command("bash", "-euxo", "pipefail", "-c", `cp "$ROOT/testdata/demo/source.swu" v1.swu
cp "$ROOT/testdata/demo/target.swu" v2.swu
`+m[1]+`
bsapply v1.swu v1-v2.diff | cmp - v2-recompressed.swu`)
		cmd.Dir = t.TempDir()
		cmd.Env = append(os.Environ(), "ROOT="+tooltest.Root())
		if out, err := cmd.CombinedOutput(); err != nil || strings.Contains(string(out), "warning: ") {
			t.Errorf("%v\n%s", err, out)
		}
	})
}
