// SPDX-License-Identifier: MIT

package extfs

import (
	"bytes"
	"cmp"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"swudelta/internal/digest"
	"swudelta/internal/layout"
)

// command runs a program of e2fsprogs and returns what it printed.
func command(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	// e2fsprogs talks of times and messages in the language of the user.
	cmd.Env = append(os.Environ(), "LC_ALL=C", "TZ=UTC")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %q: %v\n%s%s", name, args, err, out.String(), errs.String())
	}
	return out.String()
}

// debugfs runs commands that change an image.
func debugfs(t *testing.T, image string, commands ...string) string {
	t.Helper()
	return runDebugfs(t, image, commands, "-w")
}

func runDebugfs(t *testing.T, image string, commands []string, flags ...string) string {
	t.Helper()
	script := filepath.Join(t.TempDir(), "commands")
	if err := os.WriteFile(script, []byte(strings.Join(commands, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return command(t, "debugfs", append(flags, "-f", script, image)...)
}

// blockMap is where debugfs finds the blocks of an inode: physical by logical
// number, and the blocks of its tree.
type blockMap struct {
	data      map[int64]int64
	unwritten map[int64]bool
	tree      map[int64]bool
}

var blockRange = regexp.MustCompile(`\(([A-Z]*)(\d*)(?:-(\d+))?(\[u\])?\):(\d+)(?:-(\d+))?`)

// stat asks debugfs for the blocks of inodes.
func stat(t *testing.T, image string, inodes []uint64) map[uint64]blockMap {
	t.Helper()
	var commands []string
	for _, n := range inodes {
		commands = append(commands, fmt.Sprintf("stat <%d>", n))
	}
	all := map[uint64]blockMap{}
	for part := range strings.SplitSeq(runDebugfs(t, image, commands), "debugfs: stat <") {
		num, text, ok := strings.Cut(part, ">")
		inode, err := strconv.ParseUint(num, 10, 64)
		if !ok || err != nil {
			continue
		}
		m := blockMap{map[int64]int64{}, map[int64]bool{}, map[int64]bool{}}
		if _, list, ok := strings.Cut(text, "EXTENTS:\n"); ok {
			text = list
		} else if _, list, ok := strings.Cut(text, "BLOCKS:\n"); ok {
			text = list
		} else {
			text = ""
		}
		for _, r := range blockRange.FindAllStringSubmatch(text, -1) {
			number := func(i int) int64 {
				n, _ := strconv.ParseInt(r[i], 10, 64)
				return n
			}
			first, last := number(5), max(number(5), number(6))
			for b := first; b <= last; b++ {
				if r[1] != "" {
					m.tree[b] = true
				} else {
					m.data[number(2)+b-first] = b
					m.unwritten[number(2)+b-first] = r[4] != ""
				}
			}
		}
		all[inode] = m
	}
	return all
}

// checkAgainstDebugfs holds a layout against what debugfs and dumpe2fs say of
// the image: every block of every file and directory, every block of their
// trees, every group's metadata, every free block, every file's contents.
func checkAgainstDebugfs(t *testing.T, image string, l *layout.Layout) {
	t.Helper()
	checkBlocks(t, image, l)
	checkGroups(t, image, l)
	checkContents(t, image, l)
}

func checkBlocks(t *testing.T, image string, l *layout.Layout) {
	t.Helper()
	dirs, trees := map[uint64][]layout.Region{}, map[uint64]map[int64]bool{}
	for _, r := range l.Metadata {
		switch r.Kind {
		case layout.DirectoryBlocks, layout.Journal:
			dirs[r.Inode] = append(dirs[r.Inode], r)
		case layout.ExtentTree, layout.IndirectBlocks:
			if trees[r.Inode] == nil {
				trees[r.Inode] = map[int64]bool{}
			}
			trees[r.Inode][r.Offset/l.BlockSize] = true
		}
	}
	var inodes []uint64
	for _, f := range l.Files {
		inodes = append(inodes, f.Inode)
	}
	const journal = 8
	if dirs[journal] != nil {
		inodes = append(inodes, journal)
	}
	want := stat(t, image, inodes)
	check := func(inode uint64, name string, pieces []layout.Piece) {
		w := want[inode]
		n := 0
		for _, p := range pieces {
			for off := int64(0); off < p.Length; off += l.BlockSize {
				logical, physical := (p.Logical+off)/l.BlockSize, (p.Offset+off)/l.BlockSize
				if w.data[logical] != physical || w.unwritten[logical] != p.Unwritten {
					t.Fatalf("%q: block %d: got %d (unwritten: %v), debugfs has %d (%v)",
						name, logical, physical, p.Unwritten, w.data[logical], w.unwritten[logical])
				}
				n++
			}
		}
		if n != len(w.data) {
			t.Errorf("%q: got %d blocks, debugfs has %d", name, n, len(w.data))
		}
		got := trees[inode]
		if len(got) != len(w.tree) {
			t.Errorf("%q: got %d blocks of the tree, debugfs has %d", name, len(got), len(w.tree))
		}
		for b := range w.tree {
			if !got[b] {
				t.Errorf("%q: block %d of the tree is missing", name, b)
			}
		}
	}
	fromRegions := func(list []layout.Region) (pieces []layout.Piece) {
		for _, r := range list {
			pieces = append(pieces, layout.Piece{Logical: r.Logical, Offset: r.Offset, Length: r.Length})
		}
		return pieces
	}
	for _, f := range l.Files {
		switch {
		case f.Type == layout.Directory:
			check(f.Inode, f.Path, fromRegions(dirs[f.Inode]))
			for _, r := range dirs[f.Inode] {
				if r.Path != f.Path {
					t.Errorf("directory %q: region says %q", f.Path, r.Path)
				}
			}
		case !f.Inline:
			check(f.Inode, f.Path, f.Pieces)
		}
	}
	if dirs[journal] != nil {
		check(journal, "journal", fromRegions(dirs[journal]))
	}
}

var groupLine = regexp.MustCompile(`([Ss]uperblock|Group descriptors?|Reserved GDT blocks|Block bitmap|Inode bitmap|Inode table) at (\d+)(?:-(\d+))?`)

// checkGroups compares what each group has at a fixed place, and free blocks.
func checkGroups(t *testing.T, image string, l *layout.Layout) {
	t.Helper()
	kinds := map[string]string{
		"superblock": layout.Superblock, "Superblock": layout.Superblock,
		"Group descriptor": layout.Descriptors, "Group descriptors": layout.Descriptors,
		"Reserved GDT blocks": layout.SpareDescriptors, "Block bitmap": layout.BlockBitmap,
		"Inode bitmap": layout.InodeBitmap, "Inode table": layout.InodeTable,
	}
	type at struct {
		kind        string
		first, last int64
	}
	var want, got []at
	var free []layout.Extent
	inGroups := false // and no longer in the superblock's counts
	clusters, last := int64(1), l.Size/l.BlockSize-1
	number := func(s string) int64 {
		n, _ := strconv.ParseInt(s, 10, 64)
		return n
	}
	for line := range strings.Lines(command(t, "dumpe2fs", image)) {
		line = strings.TrimSpace(line)
		if size, ok := strings.CutPrefix(line, "Cluster size:"); ok {
			clusters = number(strings.TrimSpace(size)) / l.BlockSize
		}
		if strings.HasPrefix(line, "Group ") {
			inGroups = true
		}
		if list, ok := strings.CutPrefix(line, "Free blocks: "); ok && inGroups {
			for r := range strings.SplitSeq(list, ", ") {
				first, end, ok := strings.Cut(r, "-")
				if !ok {
					end = first
				}
				if _, err := strconv.Atoi(first); err != nil {
					continue // nothing is free
				}
				// Of clusters, the number of the first block is given.
				e := layout.Extent{Offset: number(first) * l.BlockSize}
				e.Length = (min(number(end)+clusters-1, last)+1)*l.BlockSize - e.Offset
				if n := len(free); n > 0 && free[n-1].End() == e.Offset {
					free[n-1].Length += e.Length
				} else {
					free = append(free, e)
				}
			}
			continue
		}
		for _, m := range groupLine.FindAllStringSubmatch(line, -1) {
			want = append(want, at{kinds[m[1]], number(m[2]), max(number(m[2]), number(m[3]))})
		}
	}
	for _, r := range l.Metadata {
		switch r.Kind {
		case layout.Superblock, layout.Descriptors, layout.SpareDescriptors, layout.BlockBitmap, layout.InodeBitmap, layout.InodeTable:
			got = append(got, at{r.Kind, r.Offset / l.BlockSize, (r.Offset + r.Length - 1) / l.BlockSize})
		}
	}
	order := func(a, b at) int { return cmp.Or(cmp.Compare(a.first, b.first), cmp.Compare(a.kind, b.kind)) }
	slices.SortFunc(got, order)
	slices.SortFunc(want, order)
	if !slices.Equal(got, want) {
		t.Errorf("metadata of the groups: got\n%v\ndumpe2fs has\n%v", got, want)
	}
	if !slices.Equal(l.Free, free) {
		t.Errorf("free space: got\n%v\ndumpe2fs has\n%v", l.Free, free)
	}
}

// checkContents compares digests and names with the files that debugfs copies
// out of the image.
func checkContents(t *testing.T, image string, l *layout.Layout) {
	t.Helper()
	dir := t.TempDir()
	command(t, "debugfs", "-R", "rdump / "+dir, image)
	// debugfs 1.47 copies 60 bytes of every file with inline data that is no
	// longer than a block, and of one that is longer too: mke2fs makes such
	// files of holes.
	for _, f := range l.Files {
		if f.Type == layout.Regular && (f.Inline || len(f.Pieces) == 0) {
			for _, name := range append([]string{f.Path}, f.Links...) {
				if err := os.Truncate(filepath.Join(dir, name), f.Size); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	want := digests(t, dir)
	seen := 0
	for _, f := range l.Files {
		switch f.Type {
		case layout.Regular, layout.Symlink, layout.Directory:
		default:
			continue // debugfs copies no devices
		}
		for _, name := range append([]string{f.Path}, f.Links...) {
			sum, ok := want[name]
			if !ok {
				t.Errorf("%q is not in the image", name)
			}
			if sum != f.SHA256 {
				t.Fatalf("%q: got sha256 %v, want %v", name, f.SHA256, sum)
			}
			seen++
		}
	}
	if seen != len(want) {
		t.Errorf("got %d files, want %d", seen, len(want))
	}
}

// checkTree compares with the digests of the folder that the image was made from.
func checkTree(t *testing.T, tree map[string]digest.SHA256, l *layout.Layout) {
	t.Helper()
	want := maps.Clone(tree)
	for _, f := range l.Files {
		for _, name := range append([]string{f.Path}, f.Links...) {
			if sum, ok := want[name]; ok && sum != f.SHA256 {
				t.Fatalf("%q: got sha256 %v, want %v", name, f.SHA256, sum)
			}
			delete(want, name)
		}
	}
	for name := range want {
		t.Errorf("%q is not in the layout", name)
	}
}

// digests returns the names of files and links below dir, with the digests of
// their contents, and of folders.
func digests(t *testing.T, dir string) map[string]digest.SHA256 {
	t.Helper()
	want := map[string]digest.SHA256{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := "/" + strings.TrimPrefix(strings.TrimPrefix(path, dir), "/")
		switch d.Type() {
		case 0:
			f, err := os.Open(path)
			if err != nil {
				return err
			}
			defer f.Close()
			want[name], _, err = digest.SumReader(f)
			return err
		case fs.ModeSymlink:
			target, err := os.Readlink(path)
			want[name] = digest.Sum([]byte(target))
			return err
		case fs.ModeDir:
			want[name] = digest.SHA256{}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return want
}

// checkAccount holds that every byte of the image is in exactly one place: the
// pieces of a file, a metadata region, or free space.
func checkAccount(t *testing.T, l *layout.Layout) {
	t.Helper()
	var all []layout.Extent
	for _, f := range l.Files {
		if f.Inline {
			continue
		}
		for _, p := range f.Pieces {
			all = append(all, p.Extent())
		}
	}
	for _, r := range l.Metadata {
		all = append(all, r.Extent())
	}
	all = append(all, l.Free...)
	slices.SortFunc(all, func(a, b layout.Extent) int { return cmp.Compare(a.Offset, b.Offset) })
	end := int64(0)
	for _, e := range all {
		if e.Offset != end || e.Length <= 0 {
			t.Fatalf("bytes %d to %d: nobody's or claimed twice", end, e.Offset)
		}
		end = e.End()
	}
	if end != l.Size {
		t.Fatalf("accounts for %d of %d bytes", end, l.Size)
	}
	if err := l.Check(); err != nil {
		t.Error(err)
	}
}
