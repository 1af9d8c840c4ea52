// SPDX-License-Identifier: MIT

package extfs

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"swudelta/internal/digest"
	"swudelta/internal/layout"
	"swudelta/internal/tooltest"
)

// makeTree fills dir with what a root file system has, and with what is hard to
// get right. Contents are the same in every run.
func makeTree(t *testing.T, dir string) {
	t.Helper()
	random := rand.New(rand.NewPCG(1, 2))
	data := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(random.Uint32())
		}
		return b
	}
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	write := func(name string, b []byte) {
		t.Helper()
		path := filepath.Join(dir, name)
		check(os.MkdirAll(filepath.Dir(path), 0o755))
		check(os.WriteFile(path, b, 0o644))
	}
	for _, n := range []int{0, 1, 59, 60, 61, 100, 131, 156, 157, 200, 1023, 1024, 1025, 4095, 4096, 4097, 65536, 300_000, 1_500_000} {
		write(fmt.Sprintf("sizes/%d", n), data(n))
	}
	for i := range 150 {
		write(fmt.Sprintf("many/a rather long name to fill the blocks of a directory %04d", i), data(i%3*50))
	}
	for i := range 3 {
		write(fmt.Sprintf("few/%d", i), data(30))
	}
	for _, name := range []string{`back\slash`, `system-systemd\x2dcryptsetup.slice`, `"quoted"`, "new\nline", "tab\tand\x01control",
		"not utf-8 \xff\xfe", "cut utf-8 \xe2\x82", "schön €", "blank ", " blank", "-dash", "*", "\u2028", strings.Repeat("n", 255)} {
		write("names/"+name, []byte(name))
	}
	write("deep/"+strings.Repeat("folder/", 40)+"file", data(10))
	write("zeros", make([]byte, 100_000))

	check(os.Link(filepath.Join(dir, "sizes/4097"), filepath.Join(dir, "a hard link")))
	check(os.Link(filepath.Join(dir, "sizes/4097"), filepath.Join(dir, "zz hard link")))
	check(os.Link(filepath.Join(dir, "names/back\\slash"), filepath.Join(dir, "names/not utf-8 \xff\xff")))
	for _, n := range []int{1, 58, 59, 60, 61, 100, 250, 900} {
		check(os.Symlink(strings.Repeat("l", n), filepath.Join(dir, fmt.Sprintf("link of %d", n))))
	}

	// A thousand pieces with holes between them.
	sparse, err := os.Create(filepath.Join(dir, "pieces"))
	check(err)
	for i := range 1000 {
		_, err := sparse.WriteAt(data(4096), int64(i)*8192)
		check(err)
	}
	check(sparse.Close())
	// Nothing but a hole.
	check(os.WriteFile(filepath.Join(dir, "hole"), nil, 0o644))
	check(os.Truncate(filepath.Join(dir, "hole"), 1<<20+7))
}

// afterwards are commands for debugfs that add what mke2fs -d does not make. It
// needs a file of random bytes.
func afterwards(random string, extents bool) []string {
	list := []string{
		"mknod pipe p", "mknod null c 1 3", "mknod loop b 7 0",
		"mkdir fragments",
	}
	if extents {
		// Space beyond the end of a file, and a file of nothing but space.
		list = append(list, "write "+random+" reserved", "fallocate reserved 2000 2200",
			"write /dev/null reserve", "fallocate reserve 0 99", "sif reserve size 50000")
	}
	// Free every second of a hundred blocks; then write into the gaps.
	for i := range 120 {
		list = append(list, fmt.Sprintf("write %s.1 fragments/%d", random, i))
	}
	for i := 1; i < 120; i += 2 {
		list = append(list, fmt.Sprintf("rm fragments/%d", i))
	}
	return append(list, "write "+random+" fragmented",
		"ea_set zeros user.short value",
		"ea_set -f "+random+".1 zeros user.long", // needs a block or an inode
		"ea_set -f "+random+".1 sizes/60 user.long",
		"ea_set sizes/59 user.another "+strings.Repeat("x", 150))
}

// configurations are arguments of mke2fs for file systems that differ in what
// this package looks at.
var configurations = []struct {
	name, args string
	index      bool // let e2fsck hash the directories
}{
	{"ext2-1k", "-t ext2 -b 1024", false},
	{"ext2-4k", "-t ext2 -b 4096", true},
	{"ext2-rev0", "-t ext2 -b 1024 -r 0", false},
	{"ext2-no-filetype", "-t ext2 -b 1024 -O ^filetype", false},
	{"ext2-no-sparse-super", "-t ext2 -b 1024 -O ^sparse_super,^resize_inode -g 2048", false},
	{"ext3-1k", "-t ext3 -b 1024", true},
	{"ext3-2k", "-t ext3 -b 2048", false},
	{"ext3-4k", "-t ext3 -b 4096", false},
	{"ext4-1k", "-t ext4 -b 1024", true},
	{"ext4-2k", "-t ext4 -b 2048", false},
	{"ext4-4k", "-t ext4 -b 4096", true},
	{"ext4-16k", "-t ext4 -b 16384", true},
	{"ext4-64k", "-t ext4 -b 65536", true},
	{"ext4-no-extents", "-t ext4 -b 1024 -O ^extents,^64bit", false},
	{"ext4-no-checksums", "-t ext4 -b 1024 -O ^metadata_csum", false},
	{"ext4-uninit-bg", "-t ext4 -b 1024 -O ^metadata_csum,uninit_bg -g 1024", false},
	{"ext4-no-64bit", "-t ext4 -b 4096 -O ^64bit", false},
	{"ext4-no-journal", "-t ext4 -b 1024 -O ^has_journal", true},
	{"ext4-inline-data", "-t ext4 -b 4096 -O inline_data -I 256", false},
	{"ext4-inline-data-1k", "-t ext4 -b 1024 -O inline_data -I 1024", false},
	{"ext4-small-inodes", "-t ext4 -b 1024 -I 128", false},
	{"ext4-no-flex-bg", "-t ext4 -b 1024 -O ^flex_bg", false},
	{"ext4-meta-bg", "-t ext4 -b 1024 -O meta_bg,^resize_inode -g 1024", false},
	{"ext4-meta-bg-no-flex", "-t ext4 -b 1024 -O meta_bg,^resize_inode,^flex_bg -g 1024", false},
	{"ext4-sparse-super2", "-t ext4 -b 1024 -O sparse_super2,^resize_inode -g 2048", false},
	{"ext4-small-groups", "-t ext4 -b 4096 -g 512", false},
	{"ext4-flex-4", "-t ext4 -b 1024 -G 4 -g 1024", false},
	{"ext4-bigalloc", "-t ext4 -b 4096 -O bigalloc -C 16384", false},
	{"ext4-bigalloc-1k", "-t ext4 -b 1024 -O bigalloc -C 8192", false},
	{"ext4-ea-inode", "-t ext4 -b 1024 -O ea_inode", false},
	{"ext4-quota", "-t ext4 -b 1024 -O quota,project", false},
	{"ext4-mmp", "-t ext4 -b 1024", false},
	{"ext4-orphan-file", "-t ext4 -b 4096 -O orphan_file", false},
	{"ext4-casefold", "-t ext4 -b 4096 -O casefold,large_dir,verity,encrypt", false},
	{"ext4-stable-inodes", "-t ext4 -b 4096 -O stable_inodes,fast_commit", false},
}

// TestImages holds the layouts of many kinds of images against debugfs.
func TestImages(t *testing.T) {
	tooltest.Need(t, "mke2fs", "debugfs", "dumpe2fs", "e2fsck", "tune2fs")
	dir := t.TempDir()
	tree := filepath.Join(dir, "tree")
	makeTree(t, tree)
	want := digests(t, tree)
	random := filepath.Join(dir, "random")
	b := make([]byte, 300_001)
	rand.NewChaCha8([32]byte{1}).Read(b)
	if err := os.WriteFile(random, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(random+".1", b[:1000], 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range configurations {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			image := filepath.Join(t.TempDir(), "image")
			size := "32M"
			if strings.Contains(c.args, "-b 16384") || strings.Contains(c.args, "-b 65536") { // 16 or 64 KiB for each small file
				size = "96M"
			}
			args := append(strings.Fields(c.args), "-q", "-F", "-N", "4096", "-d", tree, image, size)
			command(t, "mke2fs", args...)
			extents := strings.HasPrefix(c.name, "ext4") && !strings.Contains(c.name, "no-extents")
			debugfs(t, image, afterwards(random, extents)...)
			mode := "-fy" // debugfs keeps no account of quota
			if c.index {
				mode = "-fyD"
			}
			command(t, "sh", "-c", `e2fsck "$@" 2>&1 || [ $? -eq 1 ]`, "sh", mode, image)
			if !strings.Contains(c.args, "quota") {
				command(t, "e2fsck", "-fn", image)
			}
			if c.name == "ext4-mmp" { // once it is on, every tool waits for seconds
				command(t, "tune2fs", "-O", "mmp", image)
			}
			l := scanFile(t, image)
			checkAccount(t, l)
			checkAgainstDebugfs(t, image, l)
			checkTree(t, want, l)
			checkSpecial(t, l, c.name)
			if c.index {
				checkDump(t, image, l)
			}
			if kind, _, _ := strings.Cut(c.name, "-"); l.FileSystem != kind {
				t.Errorf("got %s, want %s", l.FileSystem, kind)
			}
		})
	}
}

func scanFile(t *testing.T, image string) *layout.Layout {
	t.Helper()
	f, err := os.Open(image)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	l, err := Scan(f, info.Size(), Options{Warn: t.Errorf})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// checkSpecial holds that the images have what they are there to test.
func checkSpecial(t *testing.T, l *layout.Layout, config string) {
	t.Helper()
	files, kinds := map[string]*layout.File{}, map[string]int{}
	inline := 0
	for i := range l.Files {
		f := &l.Files[i]
		files[f.Path] = f
		if f.Inline && f.Type == layout.Regular {
			inline++
		}
	}
	for _, r := range l.Metadata {
		kinds[r.Kind]++
	}
	hard := files["/a hard link"]
	if hard == nil || !slices.Equal(hard.Links, []string{"/sizes/4097", "/zz hard link"}) {
		t.Errorf("hard links: got %+v", hard)
	}
	for path, want := range map[string]layout.Type{"/pipe": layout.FIFO, "/null": layout.CharDevice, "/loop": layout.BlockDevice,
		"/link of 59": layout.Symlink, "/link of 60": layout.Symlink} {
		if f := files[path]; f == nil || f.Type != want {
			t.Errorf("%q: got %+v, want a %s", path, f, want)
		}
	}
	large := l.BlockSize > 4096 // blocks, larger than the holes of the source file
	if f := files["/pieces"]; len(f.Pieces) < 1000 && !large {
		t.Errorf("%q has %d pieces", f.Path, len(f.Pieces))
	}
	inlineData := strings.Contains(config, "inline-data")
	if f := files["/hole"]; len(f.Pieces) != 0 && !inlineData || f.Size != 1<<20+7 {
		t.Errorf("%q: got %+v", f.Path, f)
	}
	if f := files["/fragmented"]; len(f.Pieces) < 10 && !large {
		t.Errorf("%q has %d pieces", f.Path, len(f.Pieces))
	}
	has := func(kind string, want bool) {
		t.Helper()
		if (kinds[kind] > 0) != want {
			t.Errorf("metadata of kind %q: got %d regions", kind, kinds[kind])
		}
	}
	extents := l.FileSystem == "ext4" && !strings.Contains(config, "no-extents")
	if !large {
		has(layout.ExtentTree, extents)
		has(layout.ExtendedAttributes, !strings.Contains(config, "rev0") && !strings.Contains(config, "inline-data-1k"))
	}
	has(layout.IndirectBlocks, !extents)
	has(layout.Journal, l.FileSystem != "ext2" && !strings.Contains(config, "no-journal") && !strings.Contains(config, "64k"))
	has(layout.Quota, strings.Contains(config, "quota"))
	has(layout.MultiMount, strings.Contains(config, "mmp"))
	has(layout.OrphanFile, strings.Contains(config, "orphan-file"))
	has(layout.Unclaimed, strings.Contains(config, "bigalloc"))
	if inlineData != (inline > 0) {
		t.Errorf("%d inline files", inline)
	}
	if !extents || inlineData {
		return
	}
	if f := files["/reserve"]; f.Size != 50000 || len(f.Pieces) == 0 || !f.Pieces[0].Unwritten {
		t.Errorf("%q: got %+v", f.Path, f)
	}
}

// TestManyLevels has a directory with an index of two levels, which takes some
// thousand names, and a file that needs triple indirect blocks.
func TestManyLevels(t *testing.T) {
	tooltest.Need(t, "mke2fs", "debugfs", "dumpe2fs", "e2fsck")
	dir := t.TempDir()
	tree := filepath.Join(dir, "tree")
	const names = 3000
	if err := os.MkdirAll(filepath.Join(tree, "names"), 0o755); err != nil {
		t.Fatal(err)
	}
	for i := range names {
		name := fmt.Sprintf("%s%04d", strings.Repeat("a long name ", 5), i)
		if err := os.WriteFile(filepath.Join(tree, "names", name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	far, err := os.Create(filepath.Join(tree, "far"))
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	if _, err := far.WriteAt(bytes.Repeat([]byte("far"), 2000), 65<<20); err != nil {
		t.Fatal(err)
	}
	image := filepath.Join(dir, "image")
	command(t, "mke2fs", "-q", "-F", "-t", "ext3", "-b", "1024", "-N", "4096", "-d", tree, image, "8M")
	command(t, "sh", "-c", `e2fsck -fyD "$@" 2>&1 || [ $? -eq 1 ]`, "sh", image)
	if out := debugfs(t, image, "htree_dump names"); !strings.Contains(out, "Indirect levels: 1") {
		t.Fatalf("the index has one level:\n%.500s", out)
	}
	l := scanFile(t, image)
	checkAccount(t, l)
	checkBlocks(t, image, l)
	checkTree(t, digests(t, tree), l)
}

// TestBeyond4GiB reads an image of 9 GiB, most of it a hole in its file, with
// data after the first 2^32 bytes, and a file larger than that.
func TestBeyond4GiB(t *testing.T) {
	tooltest.Need(t, "mke2fs", "debugfs", "dumpe2fs")
	dir := t.TempDir()
	tree := filepath.Join(dir, "tree")
	if err := os.Mkdir(tree, 0o755); err != nil {
		t.Fatal(err)
	}
	content := bytes.Repeat([]byte("far away "), 10_000)
	if err := os.WriteFile(filepath.Join(dir, "content"), content, 0o600); err != nil {
		t.Fatal(err)
	}
	large, err := os.Create(filepath.Join(tree, "large"))
	if err != nil {
		t.Fatal(err)
	}
	defer large.Close()
	if _, err := large.WriteAt([]byte("end"), 5<<30); err != nil {
		t.Fatal(err)
	}
	image := filepath.Join(dir, "image")
	command(t, "mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-O", "^metadata_csum,^uninit_bg", "-d", tree, image, "9G")
	// (Without checksums the block bitmap of every group counts.)
	// Mark what lies below 5 GiB as in use, so that the file comes to lie above.
	debugfs(t, image, "setb 9000 1310000", "write "+filepath.Join(dir, "content")+" content")

	f, err := os.Open(image)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	l, err := Scan(f, 9<<30, Options{NoDigests: true, Warn: t.Errorf})
	if err != nil {
		t.Fatal(err)
	}
	checkAccount(t, l)
	checkBlocks(t, image, l)
	unclaimed := int64(0)
	for _, r := range l.Metadata {
		if r.Kind == layout.Unclaimed {
			unclaimed += r.Length
		}
	}
	if unclaimed < 4<<30 {
		t.Errorf("%d bytes are in use by nobody", unclaimed)
	}
	for i := range l.Files {
		switch file := &l.Files[i]; file.Path {
		case "/content":
			if file.Pieces[0].Offset < 1<<32 {
				t.Errorf("lies at %d", file.Pieces[0].Offset)
			}
			if sum, _, err := digest.SumReader(file.Contents(f)); err != nil || sum != digest.Sum(content) {
				t.Errorf("contents: %v, %v", sum, err)
			}
		case "/large":
			b := make([]byte, 10)
			if n, _ := file.Contents(f).ReadAt(b, 5<<30-2); string(b[:n]) != "\x00\x00end" {
				t.Errorf("got %q", b[:n])
			}
		}
	}
}
