// SPDX-License-Identifier: MIT

package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"

	"swudelta/internal/fault"
	"swudelta/internal/manifest"
	"swudelta/internal/tool"
)

// check prints what is wrong with a manifest.
func check(c *tool.Context) error {
	for _, name := range []string{"config", "stage", "delta", "script", "seed", "compat"} {
		if c.IsSet(name) {
			return tool.Usagef("--%s makes a manifest, --check reads one", name)
		}
	}
	in, err := c.Input(0)
	if err != nil {
		return err
	}
	defer in.Close()
	d, err := manifest.Read(in)
	if err != nil {
		return fmt.Errorf("%s: %w", in.Name(), err)
	}
	findings := d.Check()
	if dir := c.String("files"); dir != "" {
		more, err := d.CheckFiles(
			func(name string) (manifest.Payload, error) { return load(c, filepath.Join(dir, name)) },
			func(err error) bool { return errors.Is(err, fs.ErrNotExist) || fault.IsData(err) })
		if err != nil {
			return err
		}
		findings = append(findings, more...)
	}
	more, err := checkSources(c, d)
	if err != nil {
		return err
	}
	findings = append(findings, more...)
	if err := c.TextOutput(func(w io.Writer) error {
		if c.Bool("json") {
			return manifest.PrintJSON(w, findings)
		}
		for _, f := range findings {
			if _, err := fmt.Fprintln(w, f); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		return err
	}
	if n := len(manifest.Errors(findings)); n > 0 {
		return fault.Dataf("%s: faulty (%d of the findings are errors)", in.Name(), n)
	}
	return nil
}

// checkSources holds the manifest against those of --source-manifest.
func checkSources(c *tool.Context, d *manifest.Document) ([]manifest.Finding, error) {
	var findings []manifest.Finding
	for _, path := range c.Strings("source-manifest") {
		in, err := c.Open(path)
		if err != nil {
			return nil, err
		}
		source, err := manifest.Read(in)
		in.Close()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", in.Name(), err)
		}
		findings = append(findings, d.CheckSource(source)...)
	}
	return findings, nil
}

// report prints findings about a manifest that is being made as warnings, and
// fails at the first error.
func report(c *tool.Context, findings []manifest.Finding) error {
	if list := manifest.Errors(findings); len(list) > 0 {
		return fault.Dataf("%s: %s", list[0].Where, list[0].Text)
	}
	for _, f := range findings {
		c.Warnf("%s: %s", f.Where, f.Text)
	}
	return nil
}
