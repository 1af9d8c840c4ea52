// SPDX-License-Identifier: MIT

package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"

	"swudelta/internal/digest"
	"swudelta/internal/fault"
	"swudelta/internal/progress"
	"swudelta/internal/sdc"
	"swudelta/internal/tool"
)

func (s *selection) install() error {
	how := sdc.Installation{Owner: sdc.KeepOwner, Write: s.WriteFile}
	var err error
	if how.Mode, err = sdc.ParseMode(s.String("mode")); err != nil {
		return tool.Usagef("--mode: %v", err)
	}
	if owner := s.String("owner"); owner != "" {
		if how.Owner, err = sdc.ParseOwner(owner); err != nil {
			return tool.Usagef("--owner: %v", err)
		}
	}
	wanted := slices.Clone(s.digests)
	limited := s.IsSet("sha256") || s.IsSet("manifest")
	var done []string
	for i := range max(1, len(s.Args())) {
		in, err := s.InputAt(i)
		if err != nil {
			return err
		}
		path, err := s.installOne(in, limited, wanted, how)
		in.Close()
		if err != nil {
			return fmt.Errorf("%s: %w", in.Name(), err)
		}
		done = append(done, path)
	}
	return s.print(done)
}

// installOne hashes the file to learn its path, and again while it is copied.
func (s *selection) installOne(in *tool.File, limited bool, wanted []digest.SHA256, how sdc.Installation) (string, error) {
	read := func() io.Reader {
		return s.Progress().Start("read", progress.Bytes, in.Size()).Reader(io.NewSectionReader(in, 0, in.Size()))
	}
	d, size, err := digest.SumReader(read())
	if err != nil {
		return "", err
	}
	if limited && !slices.Contains(wanted, d) {
		return "", fault.Dataf("%w: sha256 %s is not among those asked for", digest.ErrMismatch, d)
	}
	if err := s.add(d); err != nil {
		return "", err
	}
	path, err := sdc.SHA256Path(s.base, s.provider, d)
	if err != nil {
		return "", err
	}
	s.Verbosef("%s: %d bytes, sha256 %s", in.Name(), size, d)
	return path, sdc.Install(path, read(), size, d, how)
}

func (s *selection) verify() error {
	if err := s.operands(false); err != nil {
		return err
	}
	paths := s.paths
	var good []string
	bad, absent := 0, 0
	if len(paths) == 0 && s.String("manifest") == "" {
		list, err := s.cached()
		if err != nil {
			return err
		}
		for _, e := range list {
			paths = append(paths, e.Path)
		}
		empty, err := sdc.Empty(s.base)
		if err != nil {
			return err
		}
		for _, path := range empty {
			if s.provider == "" || filepath.Base(filepath.Dir(path)) == sdc.Sanitize(s.provider) {
				s.Warnf("%s: empty: agents up to 1.2 leave such a file if their downloads lie on another file system than the cache", path)
				bad++
			}
		}
	}
	for _, path := range paths {
		switch err := sdc.Verify(path); {
		case err == nil:
			good = append(good, path)
		case fault.IsData(err):
			s.Warnf("%s: %v", path, err)
			bad++
		case errors.Is(err, fs.ErrNotExist):
			absent++
		default:
			return err
		}
	}
	if err := s.print(good); err != nil {
		return err
	}
	switch {
	case bad > 0:
		return fault.Dataf("%s: %d of %d files are not what their names say", s.base, bad, bad+len(good))
	case absent > 0 && len(good) == 0:
		return fmt.Errorf("%s: %w", paths[0], fs.ErrNotExist)
	}
	return nil
}

// cached lists the cache, or the part of one provider.
func (s *selection) cached() ([]sdc.Entry, error) {
	list, err := sdc.List(s.base)
	return slices.DeleteFunc(list, func(e sdc.Entry) bool {
		return s.provider != "" && e.Provider != sdc.Sanitize(s.provider)
	}), err
}

func (s *selection) list() error {
	if len(s.Args()) > 0 || s.IsSet("sha256") || s.IsSet("manifest") {
		return tool.Usagef("--list takes no SWU, digest or manifest")
	}
	list, err := s.cached()
	if err != nil {
		return err
	}
	return s.print(paths(list))
}

func (s *selection) prune(limit int64) error {
	if err := s.operands(false); err != nil {
		return err
	}
	removed, err := sdc.Prune(s.base, limit, func(path string) bool { return slices.Contains(s.paths, path) })
	return errors.Join(s.print(paths(removed)), err)
}

func paths(list []sdc.Entry) []string {
	var p []string
	for _, e := range list {
		p = append(p, e.Path)
	}
	return p
}
