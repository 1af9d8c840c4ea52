// SPDX-License-Identifier: MIT

// Package diffapi is the apply interface of the Device Update delta processor
// (adu_diff_apply and what belongs to it) without its C side.
//
// An apply leaves an error with a number of the reference library
// (doc/format.md), so that the agent's result codes stay what they were. Beyond
// the reference, the target is verified in any case, it appears under its name
// complete or not at all, and no delta ends the process or blocks it.
package diffapi

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"swudelta/internal/apply"
	"swudelta/internal/codec"
	"swudelta/internal/errnum"
	"swudelta/internal/member"
	"swudelta/internal/native"
	"swudelta/internal/newfile"
	"swudelta/internal/pamz"
)

// exceptionPrefix starts every text of number 1, as it does in the reference.
const exceptionPrefix = "Failed to apply diff. Exception: "

// Error is why an apply failed.
type Error struct {
	Code int
	Text string
}

// Session keeps the error of its last apply. Its methods must not be called
// concurrently; sessions share nothing.
type Session struct {
	err *Error
}

// ErrorCount returns the number of errors of the last apply: 0 or 1.
func (s *Session) ErrorCount() int {
	if s.err == nil {
		return 0
	}
	return 1
}

// Error returns an error of the last apply, or nil if i is out of range.
func (s *Session) Error(i int) *Error {
	if i != 0 {
		return nil
	}
	return s.err
}

// Apply makes the file target out of the file source and the delta in the file
// diff, and returns the number of errors. A file that was at target before is
// replaced if there is none, and left alone otherwise.
func (s *Session) Apply(source, diff, target string) int {
	s.err = nil
	if err := applyFiles(source, diff, target); err != nil {
		s.err = describe(err)
	}
	return s.ErrorCount()
}

func describe(err error) *Error {
	code := errnum.Other
	if e := (*errnum.Error)(nil); errors.As(err, &e) {
		code = e.Code
	}
	if code == errnum.Other {
		return &Error{code, exceptionPrefix + err.Error()}
	}
	return &Error{code, err.Error()}
}

// recoverTo turns a panic into an error: the host must live on, whatever happens
// here.
func recoverTo(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("panic: %v", r)
	}
}

func applyFiles(source, diff, target string) (err error) {
	defer recoverTo(&err)
	delta, deltaSize, err := openInput(diff)
	if err != nil {
		return errnum.New(errnum.OpenInput, fmt.Errorf("delta: %w", err))
	}
	defer delta.Close()
	run, err := open(delta, deltaSize)
	if err != nil {
		return fmt.Errorf("%s: %w", diff, err)
	}
	old, oldSize, err := openInput(source)
	if err != nil {
		return errnum.New(errnum.OpenInput, fmt.Errorf("source: %w", err))
	}
	defer old.Close()
	return writeFile(target, func(w io.Writer) error {
		if err := run(w, old, oldSize); err != nil {
			return fmt.Errorf("%s: %w", diff, err)
		}
		return nil
	})
}

// open reads what is known of a delta before it is applied, and returns what applies it.
func open(delta io.ReaderAt, size int64) (func(w io.Writer, old io.ReaderAt, oldSize int64) error, error) {
	if native.IsDelta(delta) {
		d, err := native.Open(delta, size)
		return func(w io.Writer, old io.ReaderAt, oldSize int64) error {
			return d.Apply(w, old, oldSize, native.ApplyOptions{Libraries: member.Libraries{Zstd: openZstd}, Scratch: scratch})
		}, err
	}
	d, err := pamz.Decode(delta, size)
	return func(w io.Writer, old io.ReaderAt, oldSize int64) error {
		return apply.Apply(w, d, old, oldSize, apply.Options{Zstd: openZstd, Zlib: openZlib, Scratch: scratch})
	}, err
}

// openInput opens what can be read at random and has a size. It never waits for
// the other end of a pipe.
func openInput(path string) (*os.File, int64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, 0, err
	}
	if device := info.Mode()&(os.ModeDevice|os.ModeCharDevice) == os.ModeDevice; !device && !info.Mode().IsRegular() {
		return nil, 0, fmt.Errorf("%s is neither a regular file nor a block device", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, size, nil
}

func openZstd() (*codec.Zstd, error) { return codec.OpenZstd(codec.ZstdOptions{}) }

func openZlib() (*codec.Zlib, error) { return codec.OpenZlib("") }

// scratch returns a file without a name in TMPDIR.
func scratch() (*os.File, error) { return newfile.Unnamed("adudiffapi") }

// writeFile writes a file that appears under its name only when write returned
// nil and all is on disk, so that after power loss there is the old file or the
// complete new one. A file that was there keeps its permissions. Only regular
// files can be written this way.
func writeFile(path string, write func(io.Writer) error) (err error) {
	target := func(err error) error { return errnum.New(errnum.OpenTarget, fmt.Errorf("target: %w", err)) }
	if p, err := filepath.EvalSymlinks(path); err == nil {
		path = p // the link stays, as with any other open
	}
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		return target(fmt.Errorf("%s is not a regular file", path))
	}
	tmp, err := newfile.Create(path)
	if err != nil {
		return target(err)
	}
	defer tmp.Close()
	defer os.Remove(tmp.Name())
	if info != nil {
		if err := tmp.Chmod(info.Mode().Perm()); err != nil {
			return target(err)
		}
	}
	if err := write(tmp); err != nil {
		return err
	}
	err = newfile.Commit(tmp, path)
	if link := (*os.LinkError)(nil); errors.As(err, &link) {
		return target(err)
	}
	return err
}
