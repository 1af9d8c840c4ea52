// SPDX-License-Identifier: MIT

package sdc

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"swudelta/internal/digest"
	"swudelta/internal/fault"
)

// Owner is a user and a group by number; -1 leaves what is there.
type Owner struct{ UID, GID int }

// KeepOwner changes nothing.
var KeepOwner = Owner{-1, -1}

// ParseOwner reads USER, USER:GROUP, USER: (the user's own group) or :GROUP, by
// name or number, as chown(1) does.
func ParseOwner(s string) (Owner, error) {
	o := KeepOwner
	name, group, colon := strings.Cut(s, ":")
	if name == "" && group == "" {
		return o, fmt.Errorf("owner %q: want USER, USER:GROUP, USER: or :GROUP", s)
	}
	if name != "" {
		u, err := user.Lookup(name)
		if err != nil && isID(name) {
			if u, err = user.LookupId(name); err != nil && !(colon && group == "") {
				u, err = &user.User{Uid: name}, nil // a number needs no account
			}
		}
		if err != nil {
			return o, fmt.Errorf("owner %q: %w", s, err)
		}
		if o.UID, err = strconv.Atoi(u.Uid); err != nil {
			return o, fmt.Errorf("owner %q: %w", s, err)
		}
		if colon && group == "" {
			if o.GID, err = strconv.Atoi(u.Gid); err != nil {
				return o, fmt.Errorf("owner %q: %w", s, err)
			}
		}
	}
	if group != "" {
		id := group
		if g, err := user.LookupGroup(group); err == nil {
			id = g.Gid
		} else if !isID(group) {
			return o, fmt.Errorf("owner %q: %w", s, err)
		}
		var err error
		if o.GID, err = strconv.Atoi(id); err != nil {
			return o, fmt.Errorf("owner %q: %w", s, err)
		}
	}
	return o, nil
}

func isID(s string) bool {
	_, err := strconv.ParseUint(s, 10, 31)
	return err == nil
}

// ParseMode reads an octal file mode of permission bits that the agent can work
// with: it skips files that their owner may not read.
func ParseMode(s string) (fs.FileMode, error) {
	m, err := strconv.ParseUint(s, 8, 32)
	if err != nil || m > 0o777 {
		return 0, fmt.Errorf("mode %q: want an octal number up to 777", s)
	}
	if m&0o400 == 0 {
		return 0, fmt.Errorf("mode %q: the agent skips files that their owner may not read", s)
	}
	return fs.FileMode(m), nil
}

// dirMode is the mode of a folder for files of mode m: whoever may read the
// files may enter and list it.
func dirMode(m fs.FileMode) fs.FileMode { return m | 0o300 | m&0o444>>2 }

// Installation says how Install writes.
type Installation struct {
	Mode  fs.FileMode // of the file; folders that are made get the x bits to match
	Owner Owner       // of the file and of folders that are made
	// Write makes a file appear under its name complete or not at all. What it
	// hands to write can change its mode and owner, as *os.File can.
	Write func(path string, write func(io.Writer) error) error
}

// Install puts src at path, making the folders that are missing. It fails with
// a fault of the data, leaving what was at path, unless src has exactly size
// bytes with the digest want. A file that is already there with that content is
// not written again, only given its mode and owner.
func Install(path string, src io.Reader, size int64, want digest.SHA256, how Installation) error {
	if err := how.mkdirAll(filepath.Dir(path)); err != nil {
		return err
	}
	src = digest.Verify(src, size, want)
	switch present, err := holds(path, size, want); {
	case err != nil:
		return err
	case present:
		if _, err := io.Copy(io.Discard, src); err != nil {
			return err
		}
		f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW, 0)
		if err != nil {
			return err
		}
		defer f.Close()
		return how.own(f)
	}
	return how.Write(path, func(w io.Writer) error {
		f, ok := w.(ownable)
		if !ok {
			return fmt.Errorf("%s: not a regular file", path)
		}
		// The owner goes first, for to change it may clear mode bits.
		if err := how.own(f); err != nil {
			return err
		}
		_, err := io.Copy(w, src)
		return err
	})
}

type ownable interface {
	Chmod(fs.FileMode) error
	Chown(uid, gid int) error
}

func (how Installation) own(f ownable) error {
	if how.Owner != KeepOwner {
		if err := f.Chown(how.Owner.UID, how.Owner.GID); err != nil {
			return err
		}
	}
	return f.Chmod(how.Mode)
}

// holds reports whether path is a regular file with the given content. Whatever
// else is there, such as a symbolic link, is an error: writing through it would
// change a file elsewhere.
func holds(path string, size int64, want digest.SHA256) (bool, error) {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if !info.Mode().IsRegular() {
		return false, &fs.PathError{Op: "install", Path: path, Err: syscall.EEXIST}
	}
	if info.Size() != size {
		return false, nil
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrPermission) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	_, err = io.Copy(io.Discard, digest.Verify(f, size, want))
	if fault.IsData(err) {
		return false, nil
	}
	return err == nil, err
}

// mkdirAll makes dir and the missing folders above it, and gives mode and owner
// to those that it made.
func (how Installation) mkdirAll(dir string) error {
	if info, err := os.Stat(dir); err == nil {
		if !info.IsDir() {
			return &fs.PathError{Op: "mkdir", Path: dir, Err: syscall.ENOTDIR}
		}
		return nil
	}
	if parent := filepath.Dir(dir); parent != dir {
		if err := how.mkdirAll(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, 0o700); errors.Is(err, fs.ErrExist) {
		return nil // another process was faster
	} else if err != nil {
		return err
	}
	d, err := os.OpenFile(dir, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer d.Close()
	how.Mode = dirMode(how.Mode)
	return how.own(d)
}
