// SPDX-License-Identifier: MIT

// Package newfile makes files that appear under their names complete or not at all, and
// files without a name.
package newfile

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
)

// Create makes a file with an unused name in the folder of path, which Commit renames.
// Unlike os.CreateTemp it leaves the permissions to the umask. Errors name path.
func Create(path string) (*os.File, error) {
	dir, base := filepath.Split(path)
	if base == "" {
		return nil, &fs.PathError{Op: "create", Path: path, Err: syscall.EISDIR}
	}
	for {
		name := filepath.Join(dir, fmt.Sprintf(".%.200s.%016x", base, rand.Uint64()))
		f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o666)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		var p *fs.PathError
		if errors.As(err, &p) {
			p.Path = path
		}
		return f, err
	}
}

// Commit brings the file to disk, closes it, and renames it to path, so that after a power
// loss there is the old file or the complete new one. A rename that fails is an
// *os.LinkError.
func Commit(f *os.File, path string) error {
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// syncDir brings a rename to disk. File systems that cannot are left alone.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, syscall.ENOTSUP) {
		return err
	}
	return nil
}

// Unnamed returns a file in TMPDIR that has no name any more. It had one with that prefix.
func Unnamed(prefix string) (*os.File, error) {
	f, err := os.CreateTemp("", prefix+".*")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
