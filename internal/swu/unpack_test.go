// SPDX-License-Identifier: MIT

package swu

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"swudelta/internal/fault"
)

// unpack unpacks below dir with a staging folder of its own, as swu-unpack does.
func unpack(t *testing.T, data []byte, dir string, force bool) (*Unpacked, error) {
	t.Helper()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	staging, err := os.MkdirTemp(dir, ".staging.*")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(staging)
	u, err := Unpack(bytes.NewReader(data), root, filepath.Base(staging), force)
	if err == nil {
		err = u.Commit()
	}
	return u, err
}

// content lists what is below dir.
func content(t *testing.T, dir string) []string {
	t.Helper()
	var list []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		switch {
		case d.IsDir():
			name += "/"
		case d.Type().IsRegular():
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			name += "=" + string(b)
		default:
			name += "?"
		}
		list = append(list, name)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func same(t *testing.T, dir string, want ...string) {
	t.Helper()
	if got := content(t, dir); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestUnpack(t *testing.T) {
	data := build(t,
		file{"sw-description", "s", nil},
		file{"a/b/c", "c", nil},
		file{"a/d", "d", nil},
		file{"dir", "", set(Mode, 0o40700)},
		file{"dir/x", "x", nil},
		file{"dir2", "data", set(Mode, 0o40700)},
		file{"link", "/etc/passwd", set(Mode, 0o120777)},
		file{"device", "", set(Mode, 0o60666, RDevMajor, 8)},
		file{"setuid", "#!", set(Mode, 0o104755)},
		file{"odd \xff\n", "o", nil})
	dir := t.TempDir()
	want := []string{"a/", "a/b/", "a/b/c=c", "a/d=d", "device=", "dir/", "dir/x=x", "dir2=data", "link=/etc/passwd", "odd \xff\n=o", "setuid=#!", "sw-description=s"}
	u, err := unpack(t, data, dir, false)
	if err != nil {
		t.Fatal(err)
	}
	same(t, dir, want...)
	if info, err := os.Stat(filepath.Join(dir, "setuid")); err != nil || info.Mode()&0o7111 != 0 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	list, err := u.Archive.FormatList(0)
	if err != nil {
		t.Fatal(err)
	}
	a, err := ReadList(bytes.NewReader(list), 0, 0)
	if err == nil {
		err = Measure(dir, a)
	}
	var b bytes.Buffer
	if err == nil {
		err = Pack(&b, dir, a)
	}
	if err != nil || !bytes.Equal(b.Bytes(), data) {
		t.Errorf("packed again: not the same, %v", err)
	}

	// Nothing is overwritten, unless wanted.
	if err := os.WriteFile(filepath.Join(dir, "a/d"), []byte("mine"), 0o666); err != nil {
		t.Fatal(err)
	}
	before := content(t, dir)
	if _, err := unpack(t, data, dir, false); !errors.Is(err, fs.ErrExist) || fault.IsData(err) {
		t.Errorf("got %v, want ErrExist", err)
	}
	same(t, dir, before...)
	if _, err := unpack(t, data, dir, true); err != nil {
		t.Error(err)
	}
	same(t, dir, want...)
}

func TestUnpackRevert(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "a"), 0o777); err != nil {
		t.Fatal(err)
	}
	u, err := unpack(t, build(t, file{"sw-description", "s", nil}, file{"a/b/c", "c", nil}, file{"d", "", set(Mode, 0o40755)}), dir, false)
	if err != nil {
		t.Fatal(err)
	}
	same(t, dir, "a/", "a/b/", "a/b/c=c", "d/", "sw-description=s")
	u.Revert()
	same(t, dir, "a/")
}

// TestUnpackCommitFails: a file that turns up while the archive is read is not
// replaced, and the members before it go again.
func TestUnpackCommitFails(t *testing.T) {
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if err := root.Mkdir(".staging", 0o777); err != nil {
		t.Fatal(err)
	}
	u, err := Unpack(bytes.NewReader(build(t, file{"sw-description", "s", nil}, file{"sub/a", "a", nil}, file{"b", "b", nil})), root, ".staging", false)
	if err != nil {
		t.Fatal(err)
	}
	if err := root.WriteFile("b", []byte("mine"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := u.Commit(); !errors.Is(err, fs.ErrExist) {
		t.Errorf("got %v", err)
	}
	root.RemoveAll(".staging")
	same(t, dir, "b=mine")
}

func TestUnpackRefused(t *testing.T) {
	good := file{"sw-description", "s", nil}
	damaged := build(t, good, file{"last", "data", nil})
	damaged = bytes.Replace(damaged, []byte("data"), []byte("dAta"), 1)
	for _, c := range []struct {
		name string
		data []byte
		want string
	}{
		{"parent", build(t, good, file{"../evil", "x", nil}), `member name "../evil": leaves the folder at offset 132`},
		{"absolute", build(t, good, file{"/tmp/evil", "x", nil}), `member name "/tmp/evil": absolute`},
		{"hidden parent", build(t, good, file{"a/../../evil", "x", nil}), "leaves the folder"},
		{"dots", build(t, good, file{"a/./b", "x", nil}), "not a plain relative path"},
		{"folder itself", build(t, good, file{".", "", set(Mode, 0o40755)}), "not a plain relative path"},
		{"./", build(t, file{"./sw-description", "x", nil}), `first member is "./sw-description", want "sw-description" at offset 0`},
		{"./ later", build(t, good, file{"./image", "x", nil}), `member name "./image": swupdate rejects it`},
		{"no sw-description", build(t, file{"image", "x", nil}), `no SWUpdate archive: first member is "image", want "sw-description"`},
		{"sw-description later", build(t, file{"image", "x", nil}, good), `first member is "image"`},
		{"no members", build(t), `no SWUpdate archive: no members, want "sw-description" first`},
		{"long name", build(t, good, file{strings.Repeat("x", 255), "x", nil}), "swupdate reads at most 254"},
		{"file as folder", build(t, good, file{"a", "x", nil}, file{"a/b", "x", nil}), `member "a/b" lies below member "a", which is a file`},
		{"folder as file", build(t, good, file{"a/b/c", "x", nil}, file{"a", "x", nil}), `member "a/b/c" lies below member "a", which is a file at offset 132`},
		{"damage at the end", damaged, "got checksum"},
		{"cut short", damaged[:250], "unexpected EOF"},
	} {
		dir := filepath.Join(t.TempDir(), "in")
		if err := os.Mkdir(dir, 0o777); err != nil {
			t.Fatal(err)
		}
		_, err := unpack(t, c.data, dir, false)
		if err == nil || !strings.Contains(err.Error(), c.want) || !fault.IsData(err) {
			t.Errorf("%s: got %v, want %s", c.name, err, c.want)
		}
		same(t, filepath.Dir(dir), "in/")
	}
}

// TestUnpackThroughLink: links that are there already do not lead out of the
// folder, and are not written through.
func TestUnpackThroughLink(t *testing.T) {
	data := build(t, file{"sw-description", "s", nil}, file{"out/x", "x", nil})
	for _, force := range []bool{false, true} {
		top := t.TempDir()
		for _, d := range []string{"in", "elsewhere"} {
			if err := os.Mkdir(filepath.Join(top, d), 0o777); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Symlink(filepath.Join(top, "elsewhere"), filepath.Join(top, "in/out")); err != nil {
			t.Fatal(err)
		}
		if _, err := unpack(t, data, filepath.Join(top, "in"), force); err == nil || fault.IsData(err) {
			t.Errorf("force %v: got %v", force, err)
		}
		same(t, top, "elsewhere/", "in/", "in/out?")

		if err := os.Symlink(filepath.Join(top, "elsewhere/y"), filepath.Join(top, "in/sw-description")); err != nil {
			t.Fatal(err)
		}
		_, err := unpack(t, build(t, file{"sw-description", "s", nil}), filepath.Join(top, "in"), force)
		if force && err != nil || !force && !errors.Is(err, fs.ErrExist) {
			t.Errorf("force %v: got %v", force, err)
		}
		last := "in/sw-description?"
		if force {
			last = "in/sw-description=s"
		}
		same(t, top, "elsewhere/", "in/", "in/out?", last)
	}
}

// TestUnpackOntoFolder: not even force replaces a folder by a file or a file by
// a folder.
func TestUnpackOntoFolder(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "sw-description"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "a"), []byte("mine"), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := unpack(t, build(t, file{"sw-description", "s", nil}), dir, true); err == nil || fault.IsData(err) {
		t.Errorf("got %v", err)
	}
	if err := os.Remove(filepath.Join(dir, "sw-description")); err != nil {
		t.Fatal(err)
	}
	for _, f := range []file{{"a", "", set(Mode, 0o40755)}, {"a/b", "x", nil}} {
		if _, err := unpack(t, build(t, file{"sw-description", "s", nil}, f), dir, true); err == nil || fault.IsData(err) {
			t.Errorf("%s: got %v", f.name, err)
		}
		same(t, dir, "a=mine")
	}
}

func ExampleUnpack() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	root, err := os.OpenRoot(dir)
	if err != nil {
		panic(err)
	}
	defer root.Close()
	if err := root.Mkdir(".new", 0o700); err != nil {
		panic(err)
	}
	f, err := os.Open("testdata/adu_filecopy.swu")
	if err != nil {
		panic(err)
	}
	defer f.Close()

	u, err := Unpack(f, root, ".new", false)
	if err != nil {
		panic(err)
	}
	if err := u.Commit(); err != nil {
		panic(err)
	}
	for _, h := range u.Archive.Members {
		info, err := root.Stat(h.Name)
		if err != nil {
			panic(err)
		}
		fmt.Println(info.Size(), h.Name)
	}
	// Output:
	// 514 sw-description
	// 66 preinst.sh
	// 43 mock-update-for-file-copy-test-1.txt
}
