// SPDX-License-Identifier: MIT

package main

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"swudelta/internal/digest"
	"swudelta/internal/manifest"
	"swudelta/internal/native"
	"swudelta/internal/pamz"
	"swudelta/internal/progress"
	"swudelta/internal/tool"
)

// build makes a manifest.
func build(c *tool.Context) error {
	u, err := describe(c)
	if err != nil {
		return err
	}
	when, err := created(c)
	if err != nil {
		return err
	}
	m, payloads, err := u.Build(when, func(path string) (manifest.Payload, error) { return load(c, path) })
	var bad *manifest.DescriptionError
	if errors.As(err, &bad) {
		return tool.Usagef("%v", err)
	}
	if err != nil {
		return err
	}
	d, err := m.Document()
	if err != nil {
		return err
	}
	findings := d.Check()
	more, err := checkSources(c, d)
	if err != nil {
		return err
	}
	if err := report(c, append(findings, more...)); err != nil {
		return err
	}
	if u.Target != "" && !u.Seed && len(u.Deltas) == 0 {
		c.Warnf("devices will not cache %s, so no delta can start from it (see --seed)", u.Target)
	}
	dir := c.String("stage")
	if dir == "" {
		return c.TextOutput(m.Encode)
	}
	paths, unrelated, err := manifest.Stage(dir, m, payloads, c.WriteFile)
	if err != nil {
		return err
	}
	for _, name := range unrelated {
		c.Warnf("%s: not a file of this update", filepath.Join(dir, name))
	}
	return c.TextOutput(func(w io.Writer) error {
		for _, p := range paths {
			if _, err := fmt.Fprintln(w, p); err != nil {
				return err
			}
		}
		return nil
	})
}

// load hashes a file, and reads what it says of itself if it is a delta.
func load(c *tool.Context, path string) (manifest.Payload, error) {
	p := manifest.Payload{Path: path, Name: filepath.Base(path)}
	if path == "-" {
		return p, tool.Usagef("a file of an update needs a name: it cannot be standard input")
	}
	f, err := c.OpenAt(path)
	if err != nil {
		return p, err
	}
	defer f.Close()
	r := c.Progress().Start("read", progress.Bytes, f.Size()).Reader(io.NewSectionReader(f, 0, f.Size()))
	if p.SHA256, p.Size, err = digest.SumReader(r); err != nil {
		return p, fmt.Errorf("%s: %w", path, err)
	}
	c.Verbosef("%s: %d bytes, sha256 %s", path, p.Size, p.SHA256)
	if p.Delta, err = delta(f, f.Size()); err != nil {
		return p, fmt.Errorf("%s: %w", path, err)
	}
	if p.Delta == nil {
		return p, nil
	}
	c.Verbosef("%s: a delta from sha256 %s to %s", path, p.Delta.Source, p.Delta.Target)
	return p, nil
}

// delta reads what a delta says of itself, in any format; nil if the file is none.
func delta(r io.ReaderAt, size int64) (*manifest.Delta, error) {
	if native.IsDelta(r) {
		d, err := native.Open(r, size)
		if err != nil {
			return nil, err
		}
		return &manifest.Delta{Source: d.SourceSHA256, Target: d.TargetSHA256, Form: "native"}, nil
	}
	var magic [4]byte
	if n, _ := r.ReadAt(magic[:], 0); n < len(magic) || string(magic[:]) != "PAMZ" {
		return nil, nil
	}
	d, err := pamz.Decode(r, size)
	if err != nil {
		return nil, err
	}
	form := fmt.Sprintf("version %d, %v", d.Version, d.Order)
	return &manifest.Delta{Source: d.SourceSHA256, Target: d.TargetSHA256, Form: form}, nil
}
