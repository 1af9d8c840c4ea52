// SPDX-License-Identifier: MIT

package packages

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"swudelta/internal/tooltest"
)

// typed are lines as people type them, up to the tab that completes the last word, and
// what the program is to be called with.
var typed = []struct{ line, want string }{
	{"bsdelta --device nat\t", "bsdelta --device native"},
	{"bsdelta --format bsd\t", "bsdelta --format bsdiff40"},
	{"bsdelta --source-lay\ta-fi\t", "bsdelta --source-layout a-file"},
	{"bsdelta --summary a-fi\t", "bsdelta --summary a-file"},
	{"bsdelta a-fi\t", "bsdelta a-file"},
	{"bsdump --check 3\t", "bsdump --check 3.0"},
	{"extdump --format dump\t", "extdump --format dumpextfs"},
	{"zrecompress --to pl\t", "zrecompress --to plain"},
	{"swu-sign --scheme rsa-\t", "swu-sign --scheme rsa-pss"},
	{"swu-sign --key a-fi\t", "swu-sign --key a-file"},
	{"swu-pack -C so\t", "swu-pack -C some-dir/"},
	{"adu-deploy --downloader cu\t", "adu-deploy --downloader curl"},
	{"release-deltas --recompress gz\t", "release-deltas --recompress gzip"},
	{"DiffGenTool --recompress no\t", "DiffGenTool --recompress none"},
	{"swu-recompress --device 3\t", "swu-recompress --device 3.0"},
	{"get-libzstd 1.4\t", "get-libzstd 1.4.8"},
	{"get-libz 1.2\t", "get-libz 1.2.11"},
}

// TestCompletion types into each shell, on a terminal, and has stand-ins of the
// programs tell what they were called with.
func TestCompletion(t *testing.T) {
	tooltest.Need(t, "script")
	root, dir := tooltest.Root(), t.TempDir()
	bin, share := filepath.Join(dir, "bin"), filepath.Join(dir, "share")
	command(t, nil, "go", "-C", root, "build", "-o", bin+"/", "./cmd/...")
	programs, err := filepath.Glob(bin + "/*")
	if err != nil || len(programs) < 15 {
		t.Fatalf("%d programs, %v", len(programs), err)
	}
	pages, err := filepath.Glob(root + "/scripts/*.1.scd")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pages {
		programs = append(programs, strings.TrimSuffix(p, ".1.scd"))
	}
	command(t, nil, "go", append([]string{"-C", root, "run", "./packaging/completion", share}, programs...)...)

	// Of each program some flag, besides.
	lines := typed
	for _, p := range programs {
		name := filepath.Base(p)
		lines = append(lines, struct{ line, want string }{name + " --vers\t", name + " --version"})
	}
	stand, work := filepath.Join(dir, "stand-ins"), filepath.Join(dir, "work")
	for _, d := range []string{stand, filepath.Join(work, "some-dir")} {
		if err := os.MkdirAll(d, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(work, "a-file"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	for _, p := range programs {
		if err := os.WriteFile(filepath.Join(stand, filepath.Base(p)), []byte("#!/bin/sh\necho \"${0##*/} $*\" >>\"$CALLS\"\n"), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	shells := []struct{ name, command, first string }{
		{"bash", "bash --norc --noprofile -i", fmt.Sprintf("for f in %s/bash-completion/completions/*; do . $f; done", share)},
		{"zsh", "zsh -f -i", fmt.Sprintf("setopt no_auto_remove_slash; fpath+=(%s/zsh/vendor-completions); autoload -U compinit; compinit -u -d %s/dump", share, dir)},
		{"fish", "fish --no-config -i", fmt.Sprintf("set fish_complete_path %s/fish/vendor_completions.d", share)},
	}
	for _, shell := range shells {
		t.Run(shell.name, func(t *testing.T) {
			tooltest.Need(t, shell.name)
			calls := filepath.Join(t.TempDir(), "calls")
			var input, want strings.Builder
			fmt.Fprintf(&input, "%s\n", shell.first)
			for _, l := range lines {
				fmt.Fprintf(&input, "%s\n", l.line)
				fmt.Fprintf(&want, "%s\n", l.want)
			}
			input.WriteString("exit\n")
			cmd := exec.Command("timeout", "60", "script", "-qec", shell.command, "/dev/null")
			cmd.Dir = work
			cmd.Env = append(os.Environ(), "CALLS="+calls, "PATH="+stand+":"+os.Getenv("PATH"), "HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir, "TERM=dumb", "LC_ALL=C.UTF-8")
			cmd.Stdin = strings.NewReader(input.String())
			terminal, err := cmd.CombinedOutput()
			got, _ := os.ReadFile(calls)
			// zsh puts an = behind a flag with a value.
			if got = bytes.Replace(got, []byte("layout="), []byte("layout "), 1); string(got) != want.String() {
				t.Errorf("%v\ngot:\n%s\nwant:\n%s\nterminal:\n%s", err, got, &want, terminal)
			}
		})
	}
}
