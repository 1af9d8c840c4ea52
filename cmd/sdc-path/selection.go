// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"io"
	"slices"

	"swudelta/internal/digest"
	"swudelta/internal/fault"
	"swudelta/internal/manifest"
	"swudelta/internal/sdc"
	"swudelta/internal/tool"
)

// selection is what the call names.
type selection struct {
	*tool.Context
	base     string
	provider string
	digests  []digest.SHA256 // given by --sha256 or named by the manifest
	paths    []string        // in order, each once
}

// identify reads the flags that name a provider and digests.
func (s *selection) identify() error {
	s.provider = s.String("provider")
	if file := s.String("manifest"); file != "" {
		if s.IsSet("provider") || s.IsSet("sha256") {
			return tool.Usagef("--manifest names provider and digests itself")
		}
		if err := s.manifest(file); err != nil {
			return err
		}
	}
	for _, v := range s.Strings("sha256") {
		d, err := digest.Parse(v)
		if err != nil {
			return tool.Usagef("--sha256: %v", err)
		}
		if err := s.add(d); err != nil {
			return err
		}
	}
	if p := s.provider; p != "" && !manifest.ValidIdentity(p) {
		s.Warnf("provider %q: Device Update takes letters, digits, dots and dashes only", p)
	}
	return nil
}

func (s *selection) manifest(file string) error {
	in, err := s.Open(file)
	if err != nil {
		return err
	}
	defer in.Close()
	d, err := manifest.Read(in)
	if err != nil {
		return fmt.Errorf("%s: %w", in.Name(), err)
	}
	for _, f := range d.Check() {
		if f.Schema {
			return tool.Hint(fault.Dataf("%s: %s: %s", in.Name(), f.Where, f.Text), "adu-manifest --check %s", file)
		}
	}
	s.provider = d.ID().Provider
	for _, source := range append(d.Sources(), d.Targets()...) {
		sum, ok := source.SHA256()
		if !ok {
			return tool.Hint(fault.Dataf("%s: got the hash %s %q, want sha256 and base64", in.Name(), source.Algorithm, source.Hash), "adu-manifest --check %s", file)
		}
		if err := s.add(sum); err != nil {
			return err
		}
	}
	return nil
}

// add selects the file with a digest.
func (s *selection) add(d digest.SHA256) error {
	if s.provider == "" {
		return tool.Usagef("no provider: give --provider or --manifest")
	}
	path, err := sdc.SHA256Path(s.base, s.provider, d)
	if err != nil {
		return err
	}
	if !slices.Contains(s.paths, path) {
		s.digests = append(s.digests, d)
		s.paths = append(s.paths, path)
	}
	return nil
}

// operands selects the SWUs that the operands name. With stdin, no operand
// means standard input, unless something else was selected.
func (s *selection) operands(stdin bool) error {
	n := len(s.Args())
	if n == 0 && stdin && len(s.paths) == 0 && s.String("manifest") == "" {
		if s.provider == "" {
			return tool.Usagef("no provider: give --provider or --manifest")
		}
		n = 1
	}
	for i := range n {
		in, err := s.Input(i)
		if err != nil {
			return err
		}
		d, _, err := digest.SumReader(in)
		in.Close()
		if err != nil {
			return fmt.Errorf("%s: %w", in.Name(), err)
		}
		if err := s.add(d); err != nil {
			return err
		}
	}
	return nil
}

func (s *selection) print(paths []string) error {
	return s.TextOutput(func(w io.Writer) error {
		for _, p := range paths {
			if _, err := fmt.Fprintln(w, p); err != nil {
				return err
			}
		}
		return nil
	})
}
