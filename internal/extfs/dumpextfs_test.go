// SPDX-License-Identifier: MIT

package extfs

import (
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"swudelta/internal/layout"
	"swudelta/internal/tooltest"
)

// compact removes the blanks between the tokens of a JSON text.
func compact(t *testing.T, b []byte) string {
	t.Helper()
	var out bytes.Buffer
	if err := json.Compact(&out, b); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// TestDumpextfsSample compares with what the reference made of the same image.
func TestDumpextfsSample(t *testing.T) {
	image := load(t, "sample")
	want, err := os.ReadFile("testdata/sample.dumpextfs.json")
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	if err := WriteDumpextfs(&got, bytes.NewReader(image), int64(len(image)), Options{Warn: t.Errorf}); err != nil {
		t.Fatal(err)
	}
	if g, w := compact(t, got.Bytes()), compact(t, want); g != w {
		t.Errorf("got\n%s\nwant\n%s", g, w)
	}
}

// dumpItem is an item as a reader of the format sees it.
type dumpItem struct {
	ID      *int `json:"Id"`
	Name    string
	Type    string
	Offset  int64
	Length  int64
	Hashes  struct{ Sha256, Md5 string }
	Recipes []struct {
		Name       string
		Parameters map[string]struct {
			Type   string
			Item   *dumpItem
			Number int64
		}
	}
}

// checkDump rebuilds every file from the output of WriteDumpextfs and the image,
// and compares digests; files that differ from those of the layout, numbers that
// two items have, and items without a digest are errors.
func checkDump(t *testing.T, path string, l *layout.Layout) {
	t.Helper()
	image, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := WriteDumpextfs(&out, bytes.NewReader(image), int64(len(image)), Options{Warn: func(string, ...any) {}}); err != nil {
		t.Fatal(err)
	}
	if !utf8.Valid(out.Bytes()) {
		t.Error("the output is not UTF-8")
	}
	var dump struct {
		Type, Subtype   string
		Chunks, Payload []dumpItem
	}
	d := json.NewDecoder(&out)
	d.DisallowUnknownFields()
	if err := d.Decode(&dump); err != nil {
		t.Fatal(err)
	}
	if dump.Type != "ext4" || dump.Subtype != "ext4" {
		t.Errorf("type %q, subtype %q", dump.Type, dump.Subtype)
	}
	ids := map[int]string{}
	number := func(i dumpItem) {
		if i.ID == nil {
			t.Fatalf("%q has no number", i.Name)
		}
		if other, taken := ids[*i.ID]; taken && other != i.Name {
			t.Errorf("%q and %q have the number %d", i.Name, other, *i.ID)
		}
		ids[*i.ID] = i.Name
	}
	check := func(i *dumpItem, b []byte) []byte {
		if int64(len(b)) != i.Length || i.Hashes.Sha256 != fmt.Sprintf("%X", sha256.Sum256(b)) || i.Hashes.Md5 != fmt.Sprintf("%X", md5.Sum(b)) {
			t.Fatalf("%q: digests of %d bytes do not match", i.Name, len(b))
		}
		return b
	}
	chunks := map[int64]*dumpItem{}
	for i := range dump.Chunks {
		c := &dump.Chunks[i]
		number(*c)
		check(c, image[c.Offset:c.Offset+c.Length])
		chunks[c.Offset] = c
		if c.Type != "Chunk" || len(c.Recipes) != 1 {
			t.Fatalf("%q: %+v", c.Name, c)
		}
	}
	part := func(i *dumpItem) []byte {
		if i.Type == "Chunk" {
			if c := chunks[i.Offset]; c == nil || *c.ID != *i.ID || c.Length != i.Length {
				t.Fatalf("%q is no chunk of the list", i.Name)
			}
			return check(i, image[i.Offset:i.Offset+i.Length])
		}
		if i.Recipes[0].Name != "AllZero" || i.Recipes[0].Parameters["Length"].Number != i.Length {
			t.Fatalf("%q: %+v", i.Name, i.Recipes)
		}
		return check(i, make([]byte, i.Length))
	}
	got := map[string]string{}
	for i := range dump.Payload {
		p := &dump.Payload[i]
		number(*p)
		r := p.Recipes[0]
		var b []byte
		switch r.Name {
		case "Copy":
			b = part(r.Parameters["Item"].Item)
		case "Concatenation":
			for n := range len(r.Parameters) {
				b = append(b, part(r.Parameters[fmt.Sprint(n)].Item)...)
			}
		}
		check(p, b)
		got[p.Name] = strings.ToLower(p.Hashes.Sha256)
	}
	want := 0
	for _, f := range l.Files {
		if f.Inline || f.Size == 0 || f.Type != layout.Regular && f.Type != layout.Symlink {
			continue
		}
		for _, name := range append([]string{f.Path}, f.Links...) {
			want++
			if got[text(name)] != f.SHA256.Hex() {
				t.Errorf("%q: got sha256 %q, want %v", name, got[text(name)], f.SHA256)
			}
		}
	}
	if want != len(dump.Payload) || want != len(got) {
		t.Errorf("got %d files with %d names, want %d", len(dump.Payload), len(got), want)
	}
}

// The reference makes one region of each block of a hole; a file of 3 MiB then
// gets a recipe of 762 parameters, of which the delta format holds 255.
func TestDumpextfsManyHoles(t *testing.T) {
	tooltest.Need(t, "mke2fs")
	dir := t.TempDir()
	f, err := os.Create(filepath.Join(dir, "sparse"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	// With 255 regions each block of the hole is one, as in the reference.
	for _, c := range []struct{ blocks, regions int }{{255, 255}, {256, 2}, {762, 2}} {
		if err := f.Truncate(0); err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt(bytes.Repeat([]byte("x"), 4096), int64(c.blocks-1)*4096); err != nil {
			t.Fatal(err)
		}
		image := filepath.Join(t.TempDir(), "image")
		command(t, "mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-d", dir, image, "4M")
		checkDump(t, image, scanFile(t, image))
		s := openScan(t, image)
		d := &dump{scan: s, ids: map[string]int{}, details: map[int]*details{}}
		for i := range s.files {
			if s.files[i].Path != "/sparse" {
				continue
			}
			det, err := d.read(&s.files[i])
			if err != nil || len(det.regions) != c.regions {
				t.Errorf("%d blocks: got %d regions, %v, want %d", c.blocks, len(det.regions), err, c.regions)
			}
			if n := d.regionCount(&s.files[i]); n != int64(c.blocks) {
				t.Errorf("counted %d regions, want %d", n, c.blocks)
			}
		}
	}
}

func TestText(t *testing.T) {
	for in, want := range map[string]string{
		"/plain":           "/plain",
		"/schön":           "/schön",
		"/a\xffb":          "/a\uefffb",
		"/cut\xe2\x82":     "/cut\uefe2\uef82",
		"/real \ufffd":     "/real \ufffd",
		"/real \ufffd\x80": "/real \ufffd\uef80",
	} {
		if got := text(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}
