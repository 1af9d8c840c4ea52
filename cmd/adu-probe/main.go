// SPDX-License-Identifier: MIT

// Adu-probe tells which generation of the delta processor a library is.
//
// Usage:
//
//	adu-probe [LIBRARY]
//
// Exit status 3 says that the library is none, or none that is known.
package main

import (
	"bytes"
	"debug/buildinfo"
	"debug/elf"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"
	"unsafe"

	"swudelta/internal/codec"
	"swudelta/internal/fault"
	"swudelta/internal/tool"
)

func main() { tool.Main(app) }

var app = &tool.Command{
	Name:    "adu-probe",
	Usage:   "[LIBRARY]",
	Summary: "Tell which generation of the delta processor a libadudiffapi.so is.",
	Description: `
LIBRARY is the shared object through which a Device Update agent applies deltas;
default: libadudiffapi.so in the library folders of this machine. It is loaded,
so that it must be for this machine, and given three deltas of 294 to 923 bytes:
which of them it applies says what it reads. That takes a scratch folder and less
than a second. The libadudiffapi.so of this project is recognised without that.

What is printed, a line each:

  library     the file
  generation  1.0, 2.0, 2.1, 3.0, or swudelta for this project's
  profile     what to give --device of the other tools; "any", or "none" if no tool
              makes deltas for that generation`,
	Example: `
$ adu-probe /usr/lib/libadudiffapi.so
library: /usr/lib/libadudiffapi.so
generation: 3.0
profile: 3.0`,
	MaxArgs: 1,
	Run:     run,
}

func run(c *tool.Context) error {
	path := ""
	if args := c.Args(); len(args) > 0 {
		path = args[0]
	} else if path = installed(); path == "" {
		return errors.New("no libadudiffapi.so in the library folders")
	}
	g, err := probe(path)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return c.TextOutput(func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "library: %s\ngeneration: %s\nprofile: %s\n", path, g.name, g.profile)
		return err
	})
}

// installed returns the library of this machine, or "".
func installed() string {
	for _, pattern := range []string{"/usr/local/lib", "/usr/lib", "/usr/lib/*-linux-*", "/usr/lib64", "/lib", "/lib64"} {
		found, _ := filepath.Glob(filepath.Join(pattern, "libadudiffapi.so"))
		if len(found) > 0 {
			return found[0]
		}
	}
	return ""
}

// generation is one of the delta processor, with the profile of deltas for it.
type generation struct{ name, profile string }

// ours is the import path of this project's library.
const ours = "swudelta/lib/libadudiffapi"

func probe(path string) (generation, error) {
	// A second Go runtime in one process is asking for trouble.
	if info, err := buildinfo.ReadFile(path); err == nil && info.Path == ours {
		return generation{"swudelta", "any"}, nil
	}
	f, err := elf.Open(path)
	if err != nil {
		var format *elf.FormatError
		if errors.As(err, &format) || errors.Is(err, io.EOF) {
			return generation{}, fault.Dataf("no shared object: %w", err)
		}
		return generation{}, err
	}
	defer f.Close()
	symbols, err := f.DynamicSymbols()
	if err != nil {
		return generation{}, fault.Dataf("no shared object: %w", err)
	}
	exports := func(name string) bool {
		return slices.ContainsFunc(symbols, func(s elf.Symbol) bool { return s.Name == name && s.Section != elf.SHN_UNDEF })
	}
	if !exports("adu_diff_apply") {
		return generation{}, fault.Dataf("no delta processor: it has no function adu_diff_apply")
	}
	p, err := load(path)
	if err != nil {
		return generation{}, err
	}
	return p.generation(exports("adu_diff_create_write"))
}

// The deltas turn source into target, in the three forms of the container.
var (
	source = []byte("hello world\n")
	target = []byte("hello brave world\n")
	//go:embed deltas/minimal.v0.le.diff
	little []byte
	//go:embed deltas/minimal.v0.be.diff
	big []byte
	//go:embed deltas/minimal.v2.diff
	version2 []byte
)

// generation finds out what the library reads. Those of 1.0 make deltas, too.
func (p *processor) generation(creates bool) (generation, error) {
	var reads [3]bool
	for i, delta := range [][]byte{little, big, version2} {
		var err error
		if reads[i], err = p.applies(delta); err != nil {
			return generation{}, err
		}
	}
	switch {
	case reads == [3]bool{true, false, false} && creates:
		return generation{"1.0", "1.0"}, nil
	case reads == [3]bool{true, false, false}:
		return generation{"2.0", "none"}, nil
	case reads == [3]bool{false, true, false}:
		return generation{"2.1", "none"}, nil
	case reads == [3]bool{false, true, true}:
		return generation{"3.0", "3.0"}, nil
	}
	return generation{}, fault.Dataf("a delta processor that is not known: version 0 little endian %t, big endian %t, version 2 %t", reads[0], reads[1], reads[2])
}

// processor is a loaded library.
type processor struct {
	create func() unsafe.Pointer
	apply  func(session unsafe.Pointer, source, diff, target string) int32
	close  func(session unsafe.Pointer)
}

func load(path string) (*processor, error) {
	p := &processor{}
	err := codec.Load(path, map[string]any{
		"adu_diff_apply_create_session": &p.create,
		"adu_diff_apply":                &p.apply,
		"adu_diff_apply_close_session":  &p.close,
	})
	return p, err
}

// limit is how long a library may take for a few hundred bytes.
const limit = 20 * time.Second

// applies reports whether the library makes target of source with that delta.
func (p *processor) applies(delta []byte) (bool, error) {
	dir, err := os.MkdirTemp("", "adu-probe-")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(dir)
	name := func(s string) string { return filepath.Join(dir, s) }
	for f, content := range map[string][]byte{"source": source, "delta": delta} {
		if err := os.WriteFile(name(f), content, 0o600); err != nil {
			return false, err
		}
	}
	done := make(chan int32, 1)
	go func() {
		session := p.create()
		done <- p.apply(session, name("source"), name("delta"), name("target"))
		p.close(session)
	}()
	select {
	case errs := <-done:
		if errs != 0 {
			return false, nil
		}
	case <-time.After(limit):
		return false, fault.Dataf("the library did not come to an end in %v", limit)
	}
	made, err := os.ReadFile(name("target"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return false, err
	}
	return bytes.Equal(made, target), nil
}
