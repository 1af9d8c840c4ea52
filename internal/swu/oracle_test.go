// SPDX-License-Identifier: MIT

package swu

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cavaliergopher/cpio"

	"swudelta/internal/fault"
	"swudelta/internal/tooltest"
)

// gnuCpio runs GNU cpio in dir with stdin and returns its output.
func gnuCpio(t testing.TB, dir string, stdin []byte, args ...string) []byte {
	t.Helper()
	cmd := exec.Command("cpio", append(args, "--quiet")...)
	cmd.Dir, cmd.Stdin = dir, bytes.NewReader(stdin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil || stderr.Len() > 0 {
		t.Fatalf("cpio %q: %v: %s", args, err, &stderr)
	}
	return out
}

// tree makes files and returns their names, a line each.
func tree(t testing.TB, dir string) []byte {
	t.Helper()
	var names []byte
	for i, f := range []file{
		{"sw-description", "software = {}\n", nil},
		{"sw-description.sig", strings.Repeat("\x00\xff", 150), nil},
		{"with blank", "1", nil},
		{"not utf-8 \xff", "22", nil},
		{"tab\there", "333", nil},
		{"empty", "", nil},
		{"big", strings.Repeat("all work and no play ", 50000), nil},
		{"sub/deeper/file", "4444", nil},
		{strings.Repeat("n", 200), "long name", nil},
	} {
		path := filepath.Join(dir, f.name)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(f.data), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, 0o644); err != nil { // whatever the umask
			t.Fatal(err)
		}
		if err := os.Chtimes(path, time.Time{}, time.Unix(1_000_000_000+int64(i), 0)); err != nil {
			t.Fatal(err)
		}
		names = fmt.Appendf(names, "%s\n", f.name)
	}
	return names
}

// TestReadsGNUCpio: archives of GNU cpio come out as they went in.
func TestReadsGNUCpio(t *testing.T) {
	tooltest.Need(t, "cpio")
	dir := t.TempDir()
	names := append(tree(t, dir), "sub\n"...)
	for _, args := range [][]string{
		{"-o", "-H", "newc"},
		{"-o", "-H", "crc"},
		{"-o", "-H", "crc", "--reproducible"},
		{"-o", "-H", "newc", "--reproducible"},
		{"-o", "-H", "crc", "-C", "4096"},
	} {
		data := gnuCpio(t, dir, names, args...)
		got, err := rewrite(bytes.NewReader(data))
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("%q: not the same, %v", args, err)
		}
		a, err := Index(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Errorf("%q: %v", args, err)
			continue
		}
		for _, h := range a.Members {
			want, err := os.ReadFile(filepath.Join(dir, h.Name))
			if h.IsDir() {
				want, err = nil, nil
			}
			if err != nil || !bytes.Equal(data[h.Offset:h.Offset+h.Size], want) {
				t.Errorf("%q: %q: other data, %v", args, h.Name, err)
			}
		}
	}
}

// TestWritesWhatGNUCpioWrites: a packed list of plain names is byte for byte what
// cpio --reproducible makes of files of root, at the same time.
func TestWritesWhatGNUCpioWrites(t *testing.T) {
	tooltest.Need(t, "cpio")
	dir := t.TempDir()
	names := tree(t, dir)
	const mtime = 1_000_000_000
	for name := range strings.Lines(string(names)) {
		if err := os.Chtimes(filepath.Join(dir, strings.TrimSuffix(name, "\n")), time.Time{}, time.Unix(mtime, 0)); err != nil {
			t.Fatal(err)
		}
	}
	want := gnuCpio(t, dir, names, "-o", "-H", "crc", "--reproducible", "--owner", "+0:+0")
	got, err := packList(dir, string(names), mtime)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("other bytes")
	}
}

// TestGNUCpioReads: cpio unpacks our archives and agrees with the checksums.
func TestGNUCpioReads(t *testing.T) {
	tooltest.Need(t, "cpio")
	for name, data := range samples(t) {
		if name == "mixed" || name == "newc with checksum" {
			continue // cpio sticks to the first member's format, and checks newc
		}
		list := gnuCpio(t, t.TempDir(), data, "-i", "--list")
		a, err := Scan(bytes.NewReader(data), nil)
		if err != nil {
			t.Fatal(err)
		}
		if n := bytes.Count(list, []byte("\n")); n != len(a.Members) {
			t.Errorf("%s: cpio lists %d members, want %d", name, n, len(a.Members))
		}
		gnuCpio(t, t.TempDir(), data, "-i", "--only-verify-crc")
	}
	dir, out := t.TempDir(), t.TempDir()
	names := tree(t, dir)
	data, err := packList(dir, string(names), 0)
	if err != nil {
		t.Fatal(err)
	}
	gnuCpio(t, out, data, "-i", "-d")
	for name := range strings.Lines(string(names)) {
		name = strings.TrimSuffix(name, "\n")
		want, _ := os.ReadFile(filepath.Join(dir, name))
		if got, err := os.ReadFile(filepath.Join(out, name)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%q: other data, %v", name, err)
		}
	}
}

// TestGNUCpioHardLinks: the data of linked files is stored with the last link
// only, which must not go unnoticed.
func TestGNUCpioHardLinks(t *testing.T) {
	tooltest.Need(t, "cpio")
	dir := t.TempDir()
	tree(t, dir)
	if err := os.Link(filepath.Join(dir, "big"), filepath.Join(dir, "same")); err != nil {
		t.Skip(err)
	}
	for _, format := range []string{"newc", "crc"} {
		data := gnuCpio(t, dir, []byte("sw-description\nbig\nsame\n"), "-o", "-H", format, "--reproducible")
		_, err := Scan(bytes.NewReader(data), nil)
		if err == nil || !strings.Contains(err.Error(), `"big" is a hard link to "same"`) || !fault.IsData(err) {
			t.Errorf("%s: got %v", format, err)
		}
		// One of them alone has its data.
		data = gnuCpio(t, dir, []byte("sw-description\nbig\n"), "-o", "-H", format)
		if a, err := Scan(bytes.NewReader(data), nil); err != nil || a.Members[1].Size != 1050000 {
			t.Errorf("%s: %v", format, err)
		}
	}
}

// TestGNUCpioLargeMember: more than 2 GiB, from a sparse file, through a pipe.
func TestGNUCpioLargeMember(t *testing.T) {
	tooltest.Need(t, "cpio")
	if testing.Short() {
		t.Skip("2 GiB of data")
	}
	dir := t.TempDir()
	const size = 2<<30 + 1<<20
	for name, n := range map[string]int64{"sw-description": 100, "image": size} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o666); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(filepath.Join(dir, name), n); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("cpio", "-o", "-H", "crc", "-C", "65536", "--quiet")
	cmd.Dir, cmd.Stdin = dir, strings.NewReader("sw-description\nimage\n")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	a, err := Scan(out, nil)
	if err != nil || a.Members[1].Size != size {
		t.Errorf("got %v", err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// TestOracleReads: another reader sees the same members. It does not look at
// checksums, nor at the ends of things.
func TestOracleReads(t *testing.T) {
	for name, data := range samples(t) {
		if name == "newc with checksum" {
			continue // swupdate does not mind, the oracle does
		}
		theirs := cpio.NewReader(bytes.NewReader(data))
		_, err := Scan(bytes.NewReader(data), func(h *Header, r io.Reader) error {
			o, err := theirs.Next()
			if err != nil {
				return err
			}
			want, err := io.ReadAll(theirs)
			if err != nil {
				return err
			}
			got, err := io.ReadAll(r)
			if err != nil {
				return err
			}
			// The oracle takes the zeros behind a name for a part of it.
			if o.Name != h.Name+strings.Repeat("\x00", int(h.NamePadding)) || o.Size != h.Size || !bytes.Equal(got, want) ||
				o.Checksum != h.Fields.Get(Check) || int(o.Uid) != int(h.Fields.Get(UID)) ||
				uint32(o.ModTime.Unix()) != h.Fields.Get(MTime) || uint32(o.Mode) != h.Fields.Get(Mode) {
				t.Errorf("%s: %q: got %+v, oracle %+v", name, h.Name, h, o)
			}
			return nil
		})
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := theirs.Next(); err != io.EOF {
			t.Errorf("%s: the oracle sees more members: %v", name, err)
		}
	}
}

// TestOracleWrites: what another writer makes is read.
func TestOracleWrites(t *testing.T) {
	var b bytes.Buffer
	w := cpio.NewWriter(&b)
	files := []file{{"sw-description", "software = {}", nil}, {"image", strings.Repeat("i", 1001), nil}, {"empty", "", nil}}
	for _, f := range files {
		h := cpio.NewHash()
		h.Write([]byte(f.data))
		if err := w.WriteHeader(&cpio.Header{Name: f.name, Mode: 0o100644, Size: int64(len(f.data)), Checksum: h.Sum32()}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, f.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	i := 0
	a, err := Scan(&b, func(h *Header, r io.Reader) error {
		data, err := io.ReadAll(r)
		if h.Name != files[i].name || string(data) != files[i].data || i == 1 && h.Format != CRC {
			t.Errorf("got %q %s, want %q", h.Name, h.Format, files[i].name)
		}
		i++
		return err
	})
	if err != nil || len(a.Members) != len(files) || a.Trailer.Extra != Unpadded {
		t.Errorf("got %d members, %v", i, err)
	}
}

// TestFormatIsNoState: members of both formats in turn, which the oracle, with
// its magic in a global variable, cannot do.
func TestFormatIsNoState(t *testing.T) {
	data := build(t, file{"a", "1", newc}, file{"b", "1", nil}, file{"c", "1", newc})
	var got []string
	if _, err := Scan(bytes.NewReader(data), func(h *Header, _ io.Reader) error { got = append(got, h.Format.String()); return nil }); err != nil {
		t.Fatal(err)
	}
	if s := strings.Join(got, " "); s != "newc crc newc" {
		t.Errorf("got %s", s)
	}
}

func packList(dir, list string, mtime uint32) ([]byte, error) {
	a, err := ReadList(strings.NewReader(list), '\n', mtime)
	if err != nil {
		return nil, err
	}
	if err := Measure(dir, a); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := Pack(&b, dir, a); err != nil {
		return nil, errors.Join(errors.New("pack"), err)
	}
	return b.Bytes(), nil
}
