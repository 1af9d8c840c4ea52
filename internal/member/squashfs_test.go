// SPDX-License-Identifier: MIT

package member

import (
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"swudelta/internal/tooltest"
)

// squashfsImage is an image with two large files, a small one, an empty one and other inodes.
func squashfsImage(t testing.TB, options ...string) []byte {
	t.Helper()
	tooltest.Need(t, "mksquashfs")
	dir := t.TempDir()
	tree := filepath.Join(dir, "tree")
	if err := os.MkdirAll(filepath.Join(tree, "sub", "folder"), 0o777); err != nil {
		t.Fatal(err)
	}
	for name, size := range map[string]int{"a": 300 << 10, "b": 256 << 10, "sub/small": 5000, "sub/empty": 0} {
		if err := os.WriteFile(filepath.Join(tree, name), append([]byte(name)[:min(size, 1)], text(size)...), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 300 {
		name := filepath.Join(tree, "sub", fmt.Sprintf("link%d", i))
		if err := os.Symlink(strings.Repeat("x", i), name); err != nil && i > 0 {
			t.Fatal(err)
		}
	}
	if err := os.Link(filepath.Join(tree, "a"), filepath.Join(tree, "hard")); err != nil {
		t.Fatal(err)
	}
	image := filepath.Join(dir, "image")
	args := append([]string{tree, image, "-noappend", "-no-progress", "-quiet"}, options...)
	if out, err := exec.Command("mksquashfs", args...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	b, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestSquashfs opens the blocks of squashfs images, which have magic numbers of their own or are listed in
// tables, and closes the latter.
func TestSquashfs(t *testing.T) {
	for _, c := range []struct {
		options string
		want    Number
	}{
		{"-comp gzip", Zlib}, {"-comp xz", XZ}, {"-comp zstd", Zstd},
		{"-comp lz4", LZ4Block}, {"-comp lz4 -Xhc", LZ4Block}, {"-comp lz4 -b 64K -no-xattrs -no-exports", LZ4Block},
		{"-comp lz4 -b 1M -no-fragments", LZ4Block}, {"-comp lz4 -Xhc -noI", LZ4Block}, {"-comp lz4 -no-duplicates", LZ4Block},
	} {
		t.Run(strings.ReplaceAll(c.options, " ", ""), func(t *testing.T) {
			b := slices.Concat([]byte("bytes before"), squashfsImage(t, strings.Fields(c.options)...), make([]byte, 9000))
			list, err := (&Finder{}).Find(b)
			if err != nil {
				t.Fatal(err)
			}
			if c.want == LZ4Block {
				check(t, b, list)
			}
			opened := int64(0)
			for _, m := range list {
				if m.Number == c.want {
					opened += int64(len(m.Content))
				}
				if n := len(m.CloseParams); m.Number == LZ4Block && n > 8 {
					t.Errorf("%d bytes of parameters", n)
				}
			}
			if opened < 555<<10 {
				t.Errorf("%d bytes are opened, %s", opened, shape(list))
			}
		})
	}
}

// Whatever stands in the tables of an image, members lie in it.
func TestSquashfsDamaged(t *testing.T) {
	b := squashfsImage(t, "-comp", "lz4", "-noI")
	inodes := binary.LittleEndian.Uint64(b[64:])
	for at := range b {
		if at >= 96 && uint64(at) < inodes {
			continue // data
		}
		if at >= 96 && at%61 > 0 {
			continue // of tables a sample
		}
		for _, v := range []byte{0, 0x7f, 0xff} {
			damaged := slices.Clone(b)
			damaged[at] = v
			end := 0
			for _, r := range squashfsBlocks(damaged) {
				if r.at < end || r.size <= 0 || r.at+r.size > len(b) || r.limit > squashfsMaxBlock {
					t.Fatalf("byte %d is %#x: %d bytes at %d of %d", at, v, r.size, r.at, len(b))
				}
				end = r.at + r.size
			}
		}
	}
	for n := range 200 {
		squashfsBlocks(b[:n])
		squashfsBlocks(b[:len(b)-n])
	}
}
