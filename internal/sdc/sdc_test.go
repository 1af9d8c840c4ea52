// SPDX-License-Identifier: MIT

package sdc

import (
	"bytes"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"swudelta/internal/digest"
	"swudelta/internal/fault"
)

// vectors.json holds the inputs and outputs of the agent's own unit tests, and
// some made by its rules.
func TestVectors(t *testing.T) {
	b, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var v struct {
		Sanitize []struct {
			In  string
			Out *string
		}
		Paths []struct{ Base, Provider, Alg, Hash, Path string }
	}
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	if len(v.Sanitize) < 11 || len(v.Paths) < 6 {
		t.Fatalf("got %d and %d vectors", len(v.Sanitize), len(v.Paths))
	}
	for _, s := range v.Sanitize {
		if s.Out == nil { // no result at all
			if p, err := Path("", s.In, "sha256", "x"); err == nil {
				t.Errorf("provider %q: got %q, want an error", s.In, p)
			}
			continue
		}
		if got := Sanitize(s.In); got != *s.Out {
			t.Errorf("Sanitize(%q): got %q, want %q", s.In, got, *s.Out)
		}
	}
	for _, p := range v.Paths {
		got, err := Path(p.Base, p.Provider, p.Alg, p.Hash)
		if err != nil || got != p.Path {
			t.Errorf("Path(%+v): got %q, %v", p, got, err)
		}
	}
}

func TestSanitizeBytes(t *testing.T) {
	for in, want := range map[string]string{
		"ü":                 "__",
		"Contoso GmbH & Co": "Contoso_GmbH___Co",
		"..":                "__",
		"a\x00b":            "a_b",
		"日本":                "______",
	} {
		if got := Sanitize(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestPathLimits(t *testing.T) {
	long := strings.Repeat("A", 1023)
	if _, err := Path("", "p", "sha256", long); err != nil {
		t.Error(err)
	}
	if _, err := Path("", "p", "sha256", long+"A"); err == nil {
		t.Error("1024 bytes were taken")
	}
	if _, err := Path("", "p", "sha256", strings.Repeat("=", 342)); err == nil {
		t.Error("1026 encoded bytes were taken")
	}
	for _, args := range [][2]string{{"", "x"}, {"sha256", ""}} {
		if _, err := Path("", "p", args[0], args[1]); err == nil {
			t.Errorf("%q was taken", args)
		}
	}
}

func FuzzPath(f *testing.F) {
	f.Add("Contoso", "sha256", "YmFYwnEUddq2nZsBAn5v7gCRKdHx+TUntMz5tLwU+24=")
	f.Add("..", "../..", "../../etc/passwd")
	f.Fuzz(func(t *testing.T, provider, algorithm, hash string) {
		path, err := Path("/base", provider, algorithm, hash)
		if err != nil {
			return
		}
		rel, err := filepath.Rel("/base", path)
		if err != nil || strings.Count(rel, "/") != 1 || strings.Contains(rel, "..") && !strings.Contains(hash, "..") {
			t.Fatalf("%q leaves the cache", path)
		}
		if a, h, err := parseName(filepath.Base(path)); err == nil && !strings.Contains(hash, "_") && (a != Sanitize(algorithm) || h != hash) {
			t.Fatalf("%q: got %q %q back, want %q %q", path, a, h, algorithm, hash)
		}
	})
}

// writeFile stands in for the atomic writer of the commands.
func writeFile(path string, write func(io.Writer) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".tmp*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if err := write(f); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

func plain(mode fs.FileMode) Installation {
	return Installation{Mode: mode, Owner: KeepOwner, Write: writeFile}
}

func install(t *testing.T, base, provider, content string, how Installation) string {
	t.Helper()
	d := digest.Sum([]byte(content))
	path, err := SHA256Path(base, provider, d)
	if err != nil {
		t.Fatal(err)
	}
	if err := Install(path, strings.NewReader(content), int64(len(content)), d, how); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestInstall(t *testing.T) {
	base := filepath.Join(t.TempDir(), "var", "sdc")
	for mode, dir := range map[fs.FileMode]fs.FileMode{0o644: 0o755, 0o640: 0o750, 0o600: 0o700, 0o660: 0o770} {
		path := install(t, base+strconv.FormatUint(uint64(mode), 8), "con.toso", "one", plain(mode))
		if filepath.Base(filepath.Dir(path)) != "con_toso" {
			t.Errorf("path %s", path)
		}
		for p, want := range map[string]fs.FileMode{path: mode, filepath.Dir(path): dir | fs.ModeDir, filepath.Dir(filepath.Dir(path)): dir | fs.ModeDir} {
			if info, err := os.Stat(p); err != nil || info.Mode() != want {
				t.Errorf("%s: got mode %v, %v, want %v", p, info.Mode(), err, want)
			}
		}
		if err := Verify(path); err != nil {
			t.Error(err)
		}
	}
}

func TestInstallAgain(t *testing.T) {
	base := t.TempDir()
	path := install(t, base, "p", "content", plain(0o600))
	old := time.Now().Add(-time.Hour).Truncate(time.Second)
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
	install(t, base, "p", "content", plain(0o644))
	info, err := os.Stat(path)
	if err != nil || !info.ModTime().Equal(old) || info.Mode() != 0o644 {
		t.Errorf("got %v %v, %v: want it untouched but for its mode", info.ModTime(), info.Mode(), err)
	}
	// Other content under the name, of the same length or not, is replaced.
	for _, wrong := range []string{"tnetnoc", "short", ""} {
		if err := os.WriteFile(path, []byte(wrong), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := Verify(path); !fault.IsData(err) {
			t.Errorf("content %q: got %v, want a data fault", wrong, err)
		}
		install(t, base, "p", "content", plain(0o644))
		if err := Verify(path); err != nil {
			t.Error(err)
		}
	}
}

func TestInstallWrong(t *testing.T) {
	base := t.TempDir()
	d := digest.Sum([]byte("right"))
	path, _ := SHA256Path(base, "p", d)
	for _, content := range []string{"wrong", "righ", "right!"} {
		err := Install(path, strings.NewReader(content), 5, d, plain(0o644))
		if !fault.IsData(err) {
			t.Errorf("%q: got %v, want a data fault", content, err)
		}
		if left, _ := os.ReadDir(filepath.Dir(path)); len(left) != 0 {
			t.Errorf("%q: left %v", content, left)
		}
	}
	// A link in the place of the file is not followed.
	elsewhere := filepath.Join(base, "elsewhere")
	if err := os.WriteFile(elsewhere, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(elsewhere, path); err != nil {
		t.Fatal(err)
	}
	if err := Install(path, strings.NewReader("right"), 5, d, plain(0o644)); !errors.Is(err, fs.ErrExist) {
		t.Errorf("symbolic link: got %v", err)
	}
	if b, err := os.ReadFile(elsewhere); string(b) != "mine" {
		t.Errorf("written through the link: %q, %v", b, err)
	}
	if err := Verify(path); !fault.IsData(err) {
		t.Errorf("verify a link: got %v", err)
	}
	// A file in the place of a folder.
	if err := Install(filepath.Join(elsewhere, "x"), strings.NewReader("right"), 5, d, plain(0o644)); err == nil || fault.IsData(err) {
		t.Errorf("file as a folder: got %v", err)
	}
}

func TestVerify(t *testing.T) {
	base := t.TempDir()
	path := install(t, base, "p", "content", plain(0o644))
	if err := os.Chmod(path, 0o044); err != nil {
		t.Fatal(err)
	}
	if err := Verify(path); !fault.IsData(err) {
		t.Errorf("unreadable for its owner: got %v", err)
	}
	if err := Verify(filepath.Join(base, "q", filepath.Base(path))); !errors.Is(err, fs.ErrNotExist) || fault.IsData(err) {
		t.Errorf("absent: got %v", err)
	}
	// Agents keep a file under the first hash of its manifest, whichever it is.
	sum := sha512.Sum512([]byte("y"))
	long := filepath.Join(base, "p", "sha512-"+EncodeHash(base64.StdEncoding.EncodeToString(sum[:])))
	if err := os.WriteFile(long, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := Verify(long); !fault.IsData(err) || !strings.Contains(err.Error(), "sha512") {
		t.Errorf("sha512: got %v", err)
	}
	for _, name := range []string{"x", "md5-AAAA", "sha256", "sha256-AAAA", "-x", "",
		filepath.Base(path) + ".info", strings.Replace(filepath.Base(path), "_3D", "=", 1), filepath.Base(path) + "_3D"} {
		if _, _, err := parseName(name); err == nil {
			t.Errorf("name %q was taken", name)
		}
	}
}

func TestListAndPrune(t *testing.T) {
	base := t.TempDir()
	var want []string
	now := time.Now()
	for i, c := range []string{"aaaa", "bbbb", "cccc", "dddd"} {
		path := install(t, base, "p"+strconv.Itoa(i%2), c, plain(0o644))
		when := now.Add(time.Duration(i-10) * time.Minute)
		if err := os.Chtimes(path, when, when); err != nil {
			t.Fatal(err)
		}
		want = append(want, path)
	}
	// What an agent of 1.3 writes beside the file belongs to it; the rest of
	// what lies about does not count.
	if err := os.WriteFile(want[0]+infoSuffix, bytes.Repeat([]byte(" "), 10), 0o644); err != nil {
		t.Fatal(err)
	}
	others := []string{"stray", "p0/.sha256-x.tmp", "p0/README", "p0/sha256-A.info", "no provider/sha256-AAAA"}
	for _, name := range others {
		os.Mkdir(filepath.Dir(filepath.Join(base, name)), 0o755)
		if err := os.WriteFile(filepath.Join(base, name), make([]byte, 100), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(base, "p0", "sha256-folder"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(want[0], filepath.Join(base, "p0", "sha256-link")); err != nil {
		t.Fatal(err)
	}
	cut := filepath.Join(filepath.Dir(want[3]), "."+filepath.Base(want[3])+".0123456789ab")
	if err := os.WriteFile(cut, []byte("dd"), 0o644); err != nil {
		t.Fatal(err)
	}
	names := func(list []Entry) (p []string) {
		for _, e := range list {
			p = append(p, e.Path)
		}
		return p
	}
	list, err := List(base)
	if err != nil || !slices.Equal(names(list), want) {
		t.Fatalf("got %v, %v, want %v", names(list), err, want)
	}
	if list[0].Size != 14 || list[1].Size != 4 || list[0].Provider != "p0" || list[0].Algorithm != "sha256" || list[0].Hash != digest.Sum([]byte("aaaa")).Base64() {
		t.Errorf("got %+v", list[0])
	}
	never := func(string) bool { return false }
	if removed, err := Prune(base, 28, never); err != nil || len(removed) != 0 {
		t.Errorf("limit 28: removed %v, %v", removed, err)
	}
	removed, err := Prune(base, 11, func(p string) bool { return p == want[1] })
	if err != nil || !slices.Equal(names(removed), []string{want[0], want[2]}) {
		t.Errorf("limit 11: removed %v, %v", names(removed), err)
	}
	if _, err := os.Lstat(want[0] + infoSuffix); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the description stayed: %v", err)
	}
	removed, err = Prune(base, 3, func(p string) bool { return p == want[1] })
	if err == nil || !slices.Equal(names(removed), []string{want[3], cut}) {
		t.Errorf("limit 3: removed %v, %v: want an error, since what is kept is more", names(removed), err)
	}
	for _, name := range others {
		if _, err := os.Stat(filepath.Join(base, name)); err != nil {
			t.Error(err)
		}
	}
	if _, err := List(filepath.Join(base, "absent")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no cache: got %v", err)
	}
}

// TestEmpty looks for what agents leave in a cache whose path is no pattern.
func TestEmpty(t *testing.T) {
	base := filepath.Join(t.TempDir(), `a[b]*?\c`)
	cached := install(t, base, "p", "content", plain(0o644))
	proper := filepath.Join(filepath.Dir(cached), "sha256-"+EncodeHash(digest.Sum([]byte("x")).Base64()))
	empty := filepath.Join(filepath.Dir(cached), "gw-2.0.swu")
	for path, content := range map[string]string{empty: "", proper: "", filepath.Join(base, "p", "note"): "x", filepath.Join(base, "stray"): ""} {
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(base, "p", "folder"), 0o755); err != nil {
		t.Fatal(err)
	}
	if got, err := Empty(base); err != nil || !slices.Equal(got, []string{empty}) {
		t.Errorf("got %q, %v, want %q", got, err, empty)
	}
}

func TestParseOwner(t *testing.T) {
	for in, want := range map[string]Owner{
		"0":       {0, -1},
		"0:0":     {0, 0},
		":0":      {-1, 0},
		"root":    {0, -1},
		"root:":   {0, 0},
		"54321":   {54321, -1},
		"0:54321": {0, 54321},
	} {
		if got, err := ParseOwner(in); err != nil || got != want {
			t.Errorf("%q: got %v, %v, want %v", in, got, err, want)
		}
	}
	for _, in := range []string{"", ":", "no such user", "root:no such group", "54321:", "-1", "4294967295"} {
		if got, err := ParseOwner(in); err == nil {
			t.Errorf("%q: got %v", in, got)
		}
	}
}

func TestParseMode(t *testing.T) {
	if m, err := ParseMode("0640"); err != nil || m != 0o640 {
		t.Errorf("got %v, %v", m, err)
	}
	for _, in := range []string{"", "u+r", "888", "4755", "0244", "-1"} {
		if m, err := ParseMode(in); err == nil {
			t.Errorf("%q: got %v", in, m)
		}
	}
}
