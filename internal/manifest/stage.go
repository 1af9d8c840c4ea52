// SPDX-License-Identifier: MIT

package manifest

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"swudelta/internal/digest"
)

// WriteFile makes a file appear under its name complete or not at all.
type WriteFile func(path string, write func(io.Writer) error) error

// Stage puts the files of an update and its manifest into dir, which is made if
// need be: what the portal wants in one folder of a storage container. Files
// become hard links where the file system can do that, else copies. It returns
// the paths, the manifest's last, and the names of what else is in dir.
func Stage(dir string, m *Manifest, payloads []Payload, write WriteFile) (paths, others []string, err error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, nil, err
	}
	names := []string{}
	for _, p := range payloads {
		path := filepath.Join(dir, p.Name)
		if err := place(path, p, write); err != nil {
			return nil, nil, err
		}
		names = append(names, p.Name)
		paths = append(paths, path)
	}
	// The manifest comes last: where it is, the rest is.
	path := filepath.Join(dir, m.Filename())
	if err := write(path, m.Encode); err != nil {
		return nil, nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, nil, err
	}
	for _, e := range entries {
		if !slices.Contains(names, e.Name()) && e.Name() != m.Filename() {
			others = append(others, e.Name())
		}
	}
	return append(paths, path), others, nil
}

// place makes path a link to or a copy of a file.
func place(path string, p Payload, write WriteFile) error {
	// link(2) would make another name for a symbolic link.
	from, err := filepath.EvalSymlinks(p.Path)
	if err != nil {
		return err
	}
	there, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		// A file system without links, another one, a file of another user:
		// whatever the reason, a copy will do.
		if os.Link(from, path) == nil {
			return nil
		}
	case err != nil:
		return err
	case !there.Mode().IsRegular():
		return &fs.PathError{Op: "stage", Path: path, Err: syscall.EEXIST}
	default:
		if same, err := sameContent(path, there, p); same || err != nil {
			return err
		}
	}
	return write(path, func(w io.Writer) error {
		f, err := os.Open(from)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = io.Copy(w, digest.Verify(f, p.Size, p.SHA256))
		return err
	})
}

func sameContent(path string, info fs.FileInfo, p Payload) (bool, error) {
	if info.Size() != p.Size {
		return false, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	sum, _, err := digest.SumReader(f)
	return sum == p.SHA256, err
}
