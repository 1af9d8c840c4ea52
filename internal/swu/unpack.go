// SPDX-License-Identifier: MIT

package swu

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
	"syscall"

	"swudelta/internal/fault"
)

// Unpacked are the members of an archive, waiting in a folder of their own for
// Commit to move them into place.
type Unpacked struct {
	Archive *Archive

	root    *os.Root
	staging string
	force   bool
	made    []string // by Commit, in that order
}

// Unpack reads a SWUpdate archive to its end and writes its members into the
// folder staging, which must be empty, below root, and on one file system with
// it. Nothing else is touched until Commit. A file below root that a member would
// replace is an error, unless force is set.
//
// Members become regular files, and folders where they are such without data,
// with the permissions that the umask leaves: an archive cannot make symbolic
// links or devices, and their names cannot leave root. The archive must be one
// that swupdate would take for its own: sw-description first, no name that
// CheckName refuses.
func Unpack(r io.Reader, root *os.Root, staging string, force bool) (*Unpacked, error) {
	u := &Unpacked{root: root, staging: staging, force: force}
	buf := make([]byte, bufferSize)
	n := 0
	a, err := Scan(r, func(h *Header, data io.Reader) error {
		err := checkFirst(n, h.Name)
		if err == nil {
			err = h.check()
		}
		if err != nil {
			return fault.At(h.HeaderOffset, "%w", err)
		}
		if err := u.checkFree(h); err != nil {
			return err
		}
		if !h.IsDir() {
			if err := u.stage(n, h, data, buf); err != nil {
				return err
			}
		}
		n++
		return nil
	})
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, fault.Dataf("no SWUpdate archive: no members, want %q first", Description)
	}
	if err := checkTree(a); err != nil {
		return nil, err
	}
	u.Archive = a
	return u, nil
}

// checkFree refuses a member whose file is there already.
func (u *Unpacked) checkFree(h *Header) error {
	info, err := u.root.Lstat(h.Name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("member %q: %w", h.Name, err)
	case h.IsDir() && info.IsDir():
		return nil
	case info.IsDir():
		return fmt.Errorf("member %q: %w", h.Name, syscall.EISDIR)
	case h.IsDir():
		return fmt.Errorf("member %q: %w", h.Name, syscall.ENOTDIR)
	case u.force:
		return nil
	}
	return fmt.Errorf("member %q: %w", h.Name, fs.ErrExist)
}

// checkTree refuses an archive with a file that is also a folder.
func checkTree(a *Archive) error {
	files := map[string]bool{}
	for _, h := range a.Members {
		if !h.IsDir() {
			files[h.Name] = true
		}
	}
	for _, h := range a.Members {
		for i, c := range h.Name {
			if c == '/' && files[h.Name[:i]] {
				return fault.At(h.HeaderOffset, "member %q lies below member %q, which is a file", h.Name, h.Name[:i])
			}
		}
	}
	return nil
}

// staged returns the path of member i below root until Commit.
func (u *Unpacked) staged(i int) string { return path.Join(u.staging, strconv.Itoa(i)) }

func (u *Unpacked) stage(i int, h *Header, data io.Reader, buf []byte) error {
	f, err := u.root.OpenFile(u.staged(i), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return fmt.Errorf("member %q: %w", h.Name, err)
	}
	defer f.Close()
	for {
		n, readErr := data.Read(buf)
		if _, err := f.Write(buf[:n]); err != nil {
			return fmt.Errorf("member %q: %w", h.Name, err)
		}
		if readErr == io.EOF {
			break
		}
		if readErr != nil {
			return readErr
		}
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("member %q: %w", h.Name, err)
	}
	return nil
}

// Commit moves the members into place, each in one step. If it fails, it calls
// Revert.
func (u *Unpacked) Commit() error {
	for i, h := range u.Archive.Members {
		if err := u.commit(i, h); err != nil {
			u.Revert()
			return err
		}
	}
	return nil
}

func (u *Unpacked) commit(i int, h *Header) error {
	if err := u.checkFree(h); err != nil {
		return err
	}
	if h.IsDir() {
		return u.mkdirs(h.Name)
	}
	if err := u.mkdirs(path.Dir(h.Name)); err != nil {
		return err
	}
	_, missing := u.root.Lstat(h.Name)
	if err := u.root.Rename(u.staged(i), h.Name); err != nil {
		return fmt.Errorf("member %q: %w", h.Name, err)
	}
	if missing != nil {
		u.made = append(u.made, h.Name)
	}
	return nil
}

// mkdirs makes a folder and those above it, where they are missing.
func (u *Unpacked) mkdirs(dir string) error {
	for i := 0; i < len(dir); {
		n := strings.IndexByte(dir[i:], '/')
		if n < 0 {
			n = len(dir) - i
		}
		i += n
		err := u.root.Mkdir(dir[:i], 0o777)
		switch {
		case err == nil:
			u.made = append(u.made, dir[:i])
		case !errors.Is(err, fs.ErrExist):
			return fmt.Errorf("folder %q: %w", dir[:i], err)
		}
		i++
	}
	return nil
}

// Revert removes what Commit has made. Files that force let it replace stay
// replaced.
func (u *Unpacked) Revert() {
	for i := len(u.made) - 1; i >= 0; i-- {
		u.root.Remove(u.made[i])
	}
	u.made = nil
}
