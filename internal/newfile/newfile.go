// SPDX-License-Identifier: MIT

// Package newfile makes files that appear under their names complete or not at all, and
// files without a name, and knows how much room there is for them.
package newfile

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
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

// Unnamed returns an empty file in the folder for temporary files (TMPDIR) that has no name,
// so that nothing stays behind however the process ends. Where the file system cannot make
// such a file, it has a name that begins with prefix for a moment.
func Unnamed(prefix string) (*os.File, error) {
	dir := os.TempDir()
	if fd, err := unix.Open(dir, unix.O_RDWR|unix.O_TMPFILE|unix.O_CLOEXEC, 0o600); err == nil {
		return os.NewFile(uintptr(fd), filepath.Join(dir, prefix+" (no name)")), nil
	}
	// Which error it is depends on the kernel and on the file system. What is wrong with the
	// folder is wrong for the other way too.
	f, err := os.CreateTemp(dir, prefix+".*")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// FreeSpace returns how many bytes the file system of f has for us, if it can tell.
func FreeSpace(f *os.File) (int64, bool) {
	var fs syscall.Statfs_t
	if err := syscall.Fstatfs(int(f.Fd()), &fs); err != nil {
		return 0, false
	}
	// Blocks and their size have types of their own on each architecture.
	return int64(fs.Bavail) * int64(fs.Bsize), true
}
