// SPDX-License-Identifier: MIT

package sdc

import (
	"cmp"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"swudelta/internal/digest"
	"swudelta/internal/fault"
)

// infoSuffix ends the name of the description that agents from 1.3 on keep
// beside a cached file.
const infoSuffix = ".info"

// Entry is a file in the cache.
type Entry struct {
	Path      string    // base, provider's folder and name joined
	Provider  string    // the provider's folder, sanitised
	Algorithm string    // such as sha256
	Hash      string    // base64, decoded from the name
	Size      int64     // bytes, those of the agent's description included
	Time      time.Time // last modification

	unfinished bool
}

// newHash returns the hash function that an algorithm's name in a manifest
// stands for, or nil. Names are taken in either case here, because the agent
// keeps a file under whatever its manifest said.
func newHash(algorithm string) hash.Hash {
	switch strings.ToLower(algorithm) {
	case "sha256":
		return sha256.New()
	case "sha384":
		return sha512.New384()
	case "sha512":
		return sha512.New()
	}
	return nil
}

// List returns the cached files below base, oldest first and by name among
// equals. Whatever is no regular file with a cached file's name is left out.
func List(base string) ([]Entry, error) {
	list, err := scan(base)
	return slices.DeleteFunc(list, func(e Entry) bool { return e.unfinished }), err
}

// Empty returns the paths of empty files below base that do not have a cached
// file's name, in order. Agents up to 1.2 leave them where they should have copied
// an update from another file system.
func Empty(base string) ([]string, error) {
	paths, err := filepath.Glob(filepath.Join(globEscape(base), "*", "*"))
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(paths, func(path string) bool {
		_, _, err := parseName(filepath.Base(path))
		info, statErr := os.Lstat(path)
		return err == nil || statErr != nil || !info.Mode().IsRegular() || info.Size() > 0
	}), nil
}

// globEscape makes a path match itself alone in filepath.Glob.
func globEscape(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// scan lists what an installation that was cut off left behind as well.
func scan(base string) ([]Entry, error) {
	folders, err := os.ReadDir(base)
	if err != nil {
		return nil, err
	}
	var list []Entry
	for _, folder := range folders {
		if !folder.IsDir() || folder.Name() != Sanitize(folder.Name()) {
			continue
		}
		dir := filepath.Join(base, folder.Name())
		files, err := os.ReadDir(dir)
		if err != nil {
			return nil, err
		}
		for _, f := range files {
			name, unfinished := finishedName(f.Name())
			algorithm, hash, err := parseName(name)
			if err != nil || !f.Type().IsRegular() {
				continue
			}
			info, err := f.Info()
			if errors.Is(err, fs.ErrNotExist) {
				continue // removed meanwhile
			}
			if err != nil {
				return nil, err
			}
			e := Entry{filepath.Join(dir, f.Name()), folder.Name(), algorithm, hash, info.Size(), info.ModTime(), unfinished}
			if about, err := os.Lstat(e.Path + infoSuffix); err == nil && about.Mode().IsRegular() {
				e.Size += about.Size()
			}
			list = append(list, e)
		}
	}
	slices.SortFunc(list, func(a, b Entry) int {
		return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.Path, b.Path))
	})
	return list, nil
}

// finishedName returns the name that a file gets when it is complete, and
// whether it is not: until then, the atomic writer of the commands has it under
// .NAME.RANDOM, where it stays if the power fails.
func finishedName(name string) (string, bool) {
	if end := strings.LastIndexByte(name, '.'); end > 0 && name[0] == '.' {
		return name[1:end], true
	}
	return name, false
}

// Verify reads the file at path, which must have the name of a cached file, and
// holds its content against that name. The error for other content, and for a
// file that the agent would not use because it is no regular file or its owner
// may not read it, is a fault of the data.
func Verify(path string) error {
	algorithm, want, err := parseName(filepath.Base(path))
	if err != nil {
		return err
	}
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if info.Mode().IsRegular() && info.Mode()&0o400 == 0 {
		return fault.Dataf("mode %v: the agent skips what its owner may not read", info.Mode())
	}
	if !info.Mode().IsRegular() {
		return fault.Dataf("mode %v: not a regular file", info.Mode())
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	h := newHash(algorithm)
	if _, err := io.Copy(h, f); err != nil {
		return err
	}
	if got := base64.StdEncoding.EncodeToString(h.Sum(nil)); got != want {
		return fault.Dataf("%w: got %s %s, want %s", digest.ErrMismatch, algorithm, got, want)
	}
	return nil
}

// Prune removes the oldest files below base until what is left has at most
// limit bytes, and returns what it removed. Paths for which keep reports true
// stay, whatever their age, but count. It fails when they alone are too many.
// What is left of an installation that was cut off is removed like a file of
// its age.
func Prune(base string, limit int64, keep func(path string) bool) ([]Entry, error) {
	list, err := scan(base)
	if err != nil {
		return nil, err
	}
	var total int64
	for _, e := range list {
		total += e.Size
	}
	var removed []Entry
	for _, e := range list {
		if total <= limit {
			break
		}
		if keep(e.Path) {
			continue
		}
		// The description goes last: without its file it is ignored, while a
		// file without it is still a good one.
		for _, path := range []string{e.Path, e.Path + infoSuffix} {
			if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return removed, err
			}
		}
		total -= e.Size
		removed = append(removed, e)
	}
	if total > limit {
		return removed, fmt.Errorf("prune %s: the files to be kept have %d bytes, more than %d", base, total, limit)
	}
	return removed, nil
}
