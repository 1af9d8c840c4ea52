// SPDX-License-Identifier: MIT

package member

import (
	"bytes"
	"compress/zlib"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"swudelta/internal/tooltest"
)

// A zlib stream is found wherever it lies, by a header of two bytes and its checksum.
func TestZlib(t *testing.T) {
	content := text(20000)
	for _, level := range []int{0, 1, 5, 6, 9} {
		var out bytes.Buffer
		w, err := zlib.NewWriterLevel(&out, level)
		if err != nil {
			t.Fatal(err)
		}
		w.Write(content)
		w.Close()
		before := slices.Concat(tooltest.Random(7, 100<<10), noStreams(), []byte("x\x9cno stream"))
		b := slices.Concat(before, out.Bytes(), tooltest.Random(8, 5000))
		list, err := (&Finder{}).Find(b)
		if err != nil {
			t.Fatal(err)
		}
		if len(list) != 1 || list[0].Number != Zlib || list[0].Off != int64(len(before))+2 || !bytes.Equal(list[0].Content, content) {
			t.Fatalf("level %d: got %s", level, shape(list))
		}
		check(t, b, list)
		b[len(before)+out.Len()-1] ^= 1
		if list, err := (&Finder{}).Find(b); err != nil || len(list) > 0 {
			t.Errorf("level %d, wrong checksum: got %s, %v", level, shape(list), err)
		}
	}
}

// noStreams is all headers, each with a block of a kind that there is not behind it.
func noStreams() (b []byte) {
	for _, h := range zlibHeads {
		b = append(append(b, h...), 0x07)
	}
	return b
}

// TestSquashfs opens the blocks of squashfs images: streams with magic numbers of their own.
func TestSquashfs(t *testing.T) {
	tooltest.Need(t, "mksquashfs")
	dir := t.TempDir()
	tree := filepath.Join(dir, "tree")
	if err := os.Mkdir(tree, 0o777); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "b"} {
		if err := os.WriteFile(filepath.Join(tree, name), append([]byte(name), text(300<<10)...), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		compressor string
		want       Number
	}{{"gzip", Zlib}, {"xz", XZ}, {"zstd", Zstd}} {
		image := filepath.Join(dir, c.compressor)
		if out, err := exec.Command("mksquashfs", tree, image, "-comp", c.compressor, "-noappend", "-no-progress", "-quiet").CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		b, err := os.ReadFile(image)
		if err != nil {
			t.Fatal(err)
		}
		list, err := (&Finder{}).Find(b)
		if err != nil {
			t.Fatal(err)
		}
		opened := int64(0)
		for _, m := range list {
			if m.Number == c.want {
				opened += int64(len(m.Content))
			}
		}
		if opened < 600<<10 {
			t.Errorf("%s: %d bytes are opened, %s", c.compressor, opened, shape(list))
		}
	}
}
