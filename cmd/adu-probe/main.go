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
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"swudelta/internal/processor"
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
so that it must be for this machine, and given five deltas of 294 to 923 bytes:
which of them it applies says what it reads. That takes a scratch folder and less
than a second. The libadudiffapi.so of this project is recognised without that.

What is printed, a line each:

  library     the file
  generation  1.0, 2.0, 2.1, 3.0, or swudelta for this project's
  profile     what to give --device of the other tools; "any", or "none" if no tool
              makes deltas for that generation, which is 2.0`,
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
	g, err := processor.Probe(path)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return c.TextOutput(func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "library: %s\ngeneration: %s\nprofile: %s\n", path, g.Name, g.Profile)
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
