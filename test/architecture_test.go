// SPDX-License-Identifier: MIT

package test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"swudelta/internal/tooltest"
)

// layers are the internal packages from the bottom up: each imports only from
// layers below its own.
var layers = [][]string{
	{"fault", "suffix", "progress", "span", "newfile"},
	{"digest", "mix", "errnum"},
	{"codec", "bzip2", "deflate", "layout", "sign", "swdesc", "result", "sdc", "release"},
	{"swu", "extfs", "bsdiff", "member"},
	{"pamz", "content", "displace"},
	{"apply", "match", "native", "processor"},
	{"device"},
	{"device/stocklib"},
	{"device/stock", "device/stock30", "device/native"},
	{"device/devices"},
	{"plan", "manifest", "diffapi", "report"},
	{"deploy"},
}

// apart are those without a layer: what commands share, and what tests share.
var apart = []string{"tool", "zstdflag", "tooltest", "pamztest"}

// forTests are those that only tests import.
var forTests = []string{"tooltest", "pamztest"}

type goPackage struct {
	ImportPath string
	Standard   bool
	Module     *struct{ Path string }
	Imports    []string
}

// packages are those that the commands and libraries of the module are made
// of, without tests, by import path.
func packages(t *testing.T) map[string]goPackage {
	t.Helper()
	cmd := exec.Command("go", "list", "-deps", "-json=ImportPath,Standard,Module,Imports", "./...")
	cmd.Dir = tooltest.Root()
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Logf("%s", exit.Stderr)
		}
		t.Fatalf("go list: %v", err)
	}
	all := map[string]goPackage{}
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := d.Decode(&p); err == io.EOF {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all[p.ImportPath] = p
	}
}

const internal = "swudelta/internal/"

func TestLayers(t *testing.T) {
	rank := map[string]int{}
	for i, names := range layers {
		for _, name := range names {
			rank[name] = i
		}
	}
	for _, p := range packages(t) {
		name, ok := strings.CutPrefix(p.ImportPath, internal)
		if !ok {
			continue
		}
		at, known := rank[name]
		if !known && !slices.Contains(apart, name) {
			t.Errorf("internal/%s has no layer: give it one in this test", name)
		}
		for _, imported := range p.Imports {
			imported, ok := strings.CutPrefix(imported, internal)
			if !ok {
				continue
			}
			below, ok := rank[imported]
			switch {
			case imported == "tool" && !slices.Contains(apart, name), imported == "zstdflag":
				t.Errorf("internal/%s imports internal/%s, which is for commands alone", name, imported)
			case known && (!ok || below >= at):
				t.Errorf("internal/%s imports internal/%s, which is not below it", name, imported)
			}
		}
	}
}

func TestOneImporterOfEachModule(t *testing.T) {
	all := packages(t)
	importers := map[string][]string{}
	for _, p := range all {
		if p.Module == nil || p.Module.Path != "swudelta" || slices.Contains(forTests, strings.TrimPrefix(p.ImportPath, internal)) {
			continue
		}
		for _, imported := range p.Imports {
			q := all[imported]
			if q.Standard || q.Module == nil || q.Module.Path == "swudelta" {
				continue
			}
			if !strings.HasPrefix(p.ImportPath, internal) {
				t.Errorf("%s imports %s: only internal packages may import other modules", p.ImportPath, imported)
			}
			if !slices.Contains(importers[q.Module.Path], p.ImportPath) {
				importers[q.Module.Path] = append(importers[q.Module.Path], p.ImportPath)
			}
		}
	}
	if len(importers) == 0 {
		t.Error("no package imports any other module: the test sees nothing")
	}
	for module, by := range importers {
		if len(by) > 1 {
			slices.Sort(by)
			t.Errorf("%s is imported by %s: want one package", module, strings.Join(by, " and "))
		}
	}
}

// What runs on devices is not to carry what it has no use for.
func TestDeviceCommandsAreSmall(t *testing.T) {
	all := packages(t)
	for command, without := range map[string][]string{
		"bsapply":    {"plan", "match", "extfs", "swdesc", "sign", "manifest"},
		"adu-deploy": {"plan", "match", "extfs", "swdesc", "sign", "layout"},
	} {
		seen := map[string]bool{}
		var visit func(string)
		visit = func(p string) {
			if seen[p] {
				return
			}
			seen[p] = true
			for _, imported := range all[p].Imports {
				visit(imported)
			}
		}
		visit("swudelta/cmd/" + command)
		if !seen[internal+"fault"] {
			t.Fatalf("%s does not import internal/fault: the test sees nothing", command)
		}
		for _, name := range without {
			if seen[internal+name] {
				t.Errorf("%s depends on %s", command, internal+name)
			}
		}
	}
}
