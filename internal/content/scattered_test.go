// SPDX-License-Identifier: MIT

package content

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"swudelta/internal/layout"
	"swudelta/internal/span"
	"swudelta/internal/tooltest"
)

// TestScattered holds what is said of files in pieces against an image of mke2fs with groups of 256
// KiB, whose tables lie between the pieces of larger files.
func TestScattered(t *testing.T) {
	tooltest.Need(t, "mke2fs")
	dir := t.TempDir()
	tree, image := filepath.Join(dir, "tree"), filepath.Join(dir, "image")
	files := map[string][]byte{"a": noise(1, 600000), "b": noise(2, 30000), "c": noise(3, 300000)}
	copy(files["c"][100000:], make([]byte, 5000)) // a hole, of mke2fs's making
	if err := os.Mkdir(tree, 0o777); err != nil {
		t.Fatal(err)
	}
	for name, b := range files {
		if err := os.WriteFile(filepath.Join(tree, name), b, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("mke2fs", "-q", "-F", "-t", "ext4", "-b", "1024", "-g", "256", "-O", "^flex_bg,^has_journal,^resize_inode", "-d", tree, image, "2M")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	data, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	list := scattered(data, nil)
	if len(list) < 2 {
		t.Fatalf("%d files, want those of more than 256 KiB", len(list))
	}
	end, found := int64(0), 0
	for _, ranges := range list {
		if ranges[0].Off < end || len(ranges) < 2 {
			t.Errorf("%v behind %d", ranges, end)
		}
		var file []byte
		for _, r := range ranges {
			if r.Off < end {
				t.Errorf("%v: not in order", ranges)
			}
			file = append(file, data[r.Off:r.End()]...)
			end = r.End()
		}
		for name, b := range files {
			without := bytes.ReplaceAll(b, make([]byte, 4096), nil) // the hole has four blocks
			if bytes.HasPrefix(file, b) || name == "c" && bytes.HasPrefix(file, without[:100000]) {
				found++
			}
		}
	}
	if found != len(list) {
		t.Errorf("%d of %d are files of the image", found, len(list))
	}
	for _, b := range [][]byte{nil, data[:100], data[:len(data)/2]} {
		if scattered(b, nil) != nil {
			t.Errorf("something is found in %d bytes of an image", len(b))
		}
	}
	// Any image may have a layout of its size.
	given := &layout.Layout{Size: 100000, Files: []layout.File{
		{Path: "/out of order", Type: layout.Regular, Size: 50000, Pieces: []layout.Piece{{Offset: 50000, Length: 25000}, {Logical: 25000, Offset: 10000, Length: 25000}}},
		{Path: "/pieces", Type: layout.Regular, Size: 20000, Pieces: []layout.Piece{{Offset: 1000, Length: 1000}, {Logical: 1000, Offset: 4000, Length: 19000}}},
		{Path: "/directory", Type: layout.Directory, Size: 20000, Pieces: []layout.Piece{{Offset: 30000, Length: 10000}, {Logical: 10000, Offset: 45000, Length: 10000}}},
	}}
	want := [][]span.Range{{{Off: 1000, Len: 1000}, {Off: 4000, Len: 19000}}}
	if got := scattered(make([]byte, 100000), given); !slices.EqualFunc(got, want, slices.Equal[[]span.Range]) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := scattered(make([]byte, 99999), given); got != nil {
		t.Errorf("a layout of another image: %v", got)
	}
}
