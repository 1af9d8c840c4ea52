// SPDX-License-Identifier: MIT

package newfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestCommit(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"file", strings.Repeat("long", 60)} {
		path := filepath.Join(dir, name)
		for _, content := range []string{"old", "new"} {
			f, err := Create(path)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.WriteString(content); err != nil {
				t.Fatal(err)
			}
			if got, _ := os.ReadFile(path); string(got) == content {
				t.Error("there before Commit")
			}
			if err := Commit(f, path); err != nil {
				t.Fatal(err)
			}
			if got, err := os.ReadFile(path); err != nil || string(got) != content {
				t.Errorf("got %q, %v", got, err)
			}
		}
	}
	if all, err := os.ReadDir(dir); err != nil || len(all) != 2 {
		t.Errorf("%d files are left, %v", len(all), err)
	}
}

func TestErrors(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "none", "file")
	_, err := Create(path)
	var p *fs.PathError
	if !errors.As(err, &p) || p.Path != path {
		t.Errorf("no folder: %v", err)
	}
	if _, err := Create(dir + "/"); !errors.Is(err, syscall.EISDIR) {
		t.Errorf("a folder: %v", err)
	}
	folder := filepath.Join(dir, "folder")
	if err := os.Mkdir(folder, 0o777); err != nil {
		t.Fatal(err)
	}
	f, err := Create(folder)
	if err != nil {
		t.Fatal(err)
	}
	var link *os.LinkError
	if err := Commit(f, folder); !errors.As(err, &link) {
		t.Errorf("rename to a folder: %v", err)
	}
}

func TestUnnamed(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	f, err := Unnamed("x")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := os.Stat(f.Name()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it has a name: %v", err)
	}
	t.Setenv("TMPDIR", "/nowhere")
	if _, err := Unnamed("x"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
}
