// SPDX-License-Identifier: MIT

// Package manual holds the manual pages against the tools.
package manual

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"swudelta/internal/tooltest"
)

// pages returns the paths of all manual page sources by the name of the page.
func pages(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, pattern := range []string{"cmd/*/*.scd", "scripts/*.scd", "doc/*.scd"} {
		paths, err := filepath.Glob(filepath.Join(tooltest.Root(), pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			found[strings.TrimSuffix(filepath.Base(path), ".scd")] = path
		}
	}
	return found
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

var (
	flagPattern = regexp.MustCompile(`(?:^|[ ,|*])(--?[A-Za-z][a-z0-9-]*)`)
	optionLine  = regexp.MustCompile(`(?m)^  (-.*)$`)
	optionEntry = regexp.MustCompile(`(?m)^(\*-.*)$`)
)

// flagsIn returns the flags that entries, which begin with one, describe. The
// description itself is cut off where it stands in the same line.
func flagsIn(text string, entry *regexp.Regexp) []string {
	var flags []string
	for _, m := range entry.FindAllStringSubmatch(text, -1) {
		head, _, _ := strings.Cut(m[1], "   ")
		head, _, _ = strings.Cut(head, "  ")
		for _, f := range flagPattern.FindAllStringSubmatch(head, -1) {
			flags = append(flags, f[1])
		}
	}
	slices.Sort(flags)
	return slices.Compact(flags)
}

// section returns what stands between a line and the next heading or example.
func section(t *testing.T, text, from, to string) string {
	t.Helper()
	_, text, ok := strings.Cut(text, "\n"+from+"\n")
	if !ok {
		t.Fatalf("no %q", from)
	}
	text, _, _ = strings.Cut(text, "\n"+to)
	return text
}

// TestFlags compares the flags of each page with those of the tool's --help.
func TestFlags(t *testing.T) {
	bin := t.TempDir()
	build := exec.Command("go", "build", "-o", bin+"/", "./cmd/...")
	build.Dir = tooltest.Root()
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	all := pages(t)
	commands, err := os.ReadDir(bin)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range commands {
		if all[c.Name()+".1"] == "" {
			t.Errorf("%s has no manual page", c.Name())
		}
	}
	for page, path := range all {
		name, ok := strings.CutSuffix(page, ".1")
		if !ok {
			continue
		}
		t.Run(name, func(t *testing.T) {
			program := filepath.Join(bin, name)
			if filepath.Base(filepath.Dir(path)) == "scripts" {
				program = strings.TrimSuffix(path, ".1.scd")
			}
			help, err := exec.Command(program, "-h").Output()
			if err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(string(help)) {
				if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 100 {
					t.Errorf("--help has a line of %d characters: %s", n, line)
				}
			}
			got := flagsIn(section(t, read(t, path), "# OPTIONS", "# "), optionEntry)
			want := []string{"-h"}
			if strings.Contains(string(help), "\nOptions:\n") {
				want = flagsIn(section(t, string(help), "Options:", "\n"), optionLine)
			}
			if !slices.Equal(got, want) {
				t.Errorf("manual page: %q\n--help: %q", got, want)
			}
		})
	}
}

// TestWidth looks for lines of documents that do not fit a terminal of 100 columns.
func TestWidth(t *testing.T) {
	out, err := exec.Command("git", "-C", tooltest.Root(), "ls-files", "*.md", "*.scd").Output()
	if err != nil {
		t.Skip("no git, or no checkout of it")
	}
	files := strings.Fields(string(out))
	if len(files) < 20 {
		t.Errorf("got %d documents", len(files))
	}
	for _, f := range files {
		number := 0
		for line := range strings.Lines(read(t, filepath.Join(tooltest.Root(), f))) {
			number++
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 100 {
				t.Errorf("%s:%d has %d characters", f, number, n)
			}
		}
	}
}

// TestScriptFlags checks what all scripts have in common: --help in both forms,
// --version, and what they say of a flag that they do not have. One that has operands
// refuses flags behind them.
func TestScriptFlags(t *testing.T) {
	root := tooltest.Root()
	bin := t.TempDir()
	build := exec.Command("go", "build", "-o", bin+"/", "-ldflags", "-X swudelta/internal/tool.version=v1.2.3", "./cmd/bsdelta", "./cmd/zrecompress")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	// Copies, beside which no bin folder lies. scripts/version wants a checkout.
	scripts := filepath.Join(t.TempDir(), "scripts")
	if err := os.CopyFS(scripts, os.DirFS(filepath.Join(root, "scripts"))); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(scripts, "version"), []byte("#!/bin/sh\necho v1.2.3\n"), 0o777); err != nil {
		t.Fatal(err)
	}
	run := func(name string, args ...string) (stdout, stderr string, status int) {
		cmd := exec.Command(filepath.Join(scripts, name), args...)
		cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"))
		var out, messages bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &messages
		cmd.Run()
		return out.String(), messages.String(), cmd.ProcessState.ExitCode()
	}
	operand := map[string]string{"DiffGenTool": "a", "get-libz": "1.3.1", "get-libzstd": "1.5.0", "swu-recompress": "a.swu"}
	all, err := os.ReadDir(filepath.Join(root, "scripts"))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	var alone []string
	for _, entry := range all {
		name := entry.Name()
		if info, err := entry.Info(); err != nil || !info.Mode().IsRegular() || info.Mode()&0o100 == 0 || name == "version" {
			continue
		}
		n++
		for _, flag := range []string{"-h", "--help"} {
			if out, messages, status := run(name, flag); status != 0 || messages != "" || !strings.HasPrefix(out, "Usage: "+name+" ") {
				t.Errorf("%s %s: status %d, stdout %q, stderr %q", name, flag, status, out, messages)
			}
		}
		if out, messages, status := run(name, "--version"); status != 0 || messages != "" || out != name+" v1.2.3\n" {
			t.Errorf("%s --version: status %d, stdout %q, stderr %q", name, status, out, messages)
		}
		out, messages, status := run(name, "--no-such-flag")
		if status != 2 || out != "" || !strings.HasPrefix(messages, name+": unknown flag \"--no-such-flag\"\n"+name+": hint: ") {
			t.Errorf("%s --no-such-flag: status %d, stdout %q, stderr %q", name, status, out, messages)
		}
		if operand[name] == "" {
			alone = append(alone, name)
			continue
		}
		out, messages, status = run(name, operand[name], "--help")
		if status != 2 || out != "" || !strings.HasPrefix(messages, name+": flag \"--help\" comes after an operand\n"+name+": hint: ") {
			t.Errorf("%s %s --help: status %d, stdout %q, stderr %q", name, operand[name], status, out, messages)
		}
	}
	if n < 8 {
		t.Errorf("looked at %d scripts only", n)
	}
	// A script that was copied without what it wants names it.
	if err := os.Remove(filepath.Join(scripts, "version")); err != nil {
		t.Fatal(err)
	}
	for _, name := range alone {
		if out, messages, status := run(name, "--version"); status != 1 || out != "" || !strings.Contains(messages, "/version: ") {
			t.Errorf("%s without version: status %d, stdout %q, stderr %q", name, status, out, messages)
		}
	}
	if out, messages, status := run("demo", t.TempDir()); status != 1 || out != "" || !strings.HasPrefix(messages, "demo: ") || !strings.Contains(messages, "/testdata/demo is not there") {
		t.Errorf("demo without a checkout: status %d, stdout %q, stderr %q", status, out, messages)
	}
}

// TestPages checks that each page can be made, has the sections that it must
// have, and refers to pages that exist.
func TestPages(t *testing.T) {
	all := pages(t)
	reference := regexp.MustCompile(`\*([A-Za-z-]+)\*\(([0-9])\)`)
	foreign := []string{"swupdate.1", "openssl.1", "jq.1", "debugfs.8"}
	for page, path := range all {
		t.Run(page, func(t *testing.T) {
			text := read(t, path)
			name, number, _ := strings.Cut(page, ".")
			if want := name + "(" + number + ") \"swudelta\"\n"; !strings.HasPrefix(text, want) {
				t.Errorf("does not begin with %q", want)
			}
			for _, s := range []string{"NAME", "DESCRIPTION", "EXIT STATUS", "SEE ALSO"} {
				section(t, text, "# "+s, "# ")
			}
			for _, m := range reference.FindAllStringSubmatch(text, -1) {
				if p := m[1] + "." + m[2]; all[p] == "" && !slices.Contains(foreign, p) {
					t.Errorf("refers to %s", p)
				}
			}
			if !strings.Contains(read(t, all["swudelta.7"]), "*"+name+"*("+number+")") && number == "1" {
				t.Errorf("swudelta.7 does not name it")
			}
			tooltest.Need(t, "scdoc")
			cmd := exec.Command("scdoc")
			cmd.Stdin = strings.NewReader(text)
			if out, err := cmd.CombinedOutput(); err != nil || !bytes.Contains(out, []byte(".TH")) {
				t.Errorf("scdoc: %v\n%s", err, out)
			}
		})
	}
}
