// SPDX-License-Identifier: MIT

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"swudelta/internal/fault"
	"swudelta/internal/swu"
	"swudelta/internal/tool"
)

func unpack(c *tool.Context) error {
	in, err := c.Input(0)
	if err != nil {
		return err
	}
	defer in.Close()
	dir := c.String("directory")
	removeDirs, err := makeDirs(dir)
	if err != nil {
		return err
	}
	done := false
	defer func() {
		if !done {
			removeDirs()
		}
	}()
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	staging, remove, err := c.StagingDir(dir)
	if err != nil {
		return err
	}
	defer remove()

	u, err := swu.Unpack(in, root, filepath.Base(staging), c.Bool("force"))
	switch {
	case errors.Is(err, fs.ErrExist):
		return tool.Hint(about(dir, err), "--force replaces files")
	case fault.IsData(err):
		return about(in.Name(), err)
	case err != nil:
		return about(dir, err)
	}
	delim := byte('\n')
	if c.Bool("z") {
		delim = 0
	}
	list, err := u.Archive.FormatList(delim)
	if err != nil {
		return tool.Hint(about(in.Name(), err), "-z ends lines with NUL")
	}
	if err := u.Commit(); err != nil {
		return about(dir, err)
	}
	remove() // now: a broken pipe below ends the process without deferred calls
	for _, w := range u.Archive.Warnings() {
		c.Warnf("%s: %s", in.Name(), w)
	}
	for _, h := range u.Archive.Members {
		c.Verbosef("%s: %d bytes", filepath.Join(dir, h.Name), h.Size)
	}
	err = c.TextOutput(func(w io.Writer) error {
		_, err := w.Write(list)
		return err
	})
	if err != nil {
		u.Revert()
	}
	done = err == nil
	return err
}

// makeDirs makes a folder and those above it, where they are missing; remove
// takes away those that it made, if they are empty.
func makeDirs(dir string) (remove func(), err error) {
	var made []string
	remove = func() {
		for _, d := range made {
			os.Remove(d)
		}
	}
	for d := dir; ; d = filepath.Dir(d) {
		if _, err := os.Stat(d); !errors.Is(err, fs.ErrNotExist) {
			break
		}
		made = append(made, d)
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		remove()
		return nil, err
	}
	return remove, nil
}

func describe(c *tool.Context) error {
	in, err := c.Input(0)
	if err != nil {
		return err
	}
	defer in.Close()
	l, err := swu.Describe(in)
	if err != nil {
		return about(in.Name(), err)
	}
	return c.TextOutput(func(w io.Writer) error {
		if !c.Bool("json") {
			return l.WriteText(w)
		}
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		return e.Encode(l)
	})
}

func one(c *tool.Context) error {
	in, err := c.InputAt(0)
	if err != nil {
		return err
	}
	defer in.Close()
	a, err := swu.Index(in, in.Size())
	if err != nil {
		return about(in.Name(), err)
	}
	h := a.Member(c.String("member"))
	if h == nil {
		return about(in.Name(), fault.Dataf("no member %q", c.String("member")))
	}
	return c.Output(func(w io.Writer) error {
		_, err := io.Copy(w, io.NewSectionReader(in, h.Offset, h.Size))
		return err
	})
}

// about names in a message what it is about.
func about(subject string, err error) error { return fmt.Errorf("%s: %w", subject, err) }
