// SPDX-License-Identifier: MIT

package extfs

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"swudelta/internal/codec"
	"swudelta/internal/digest"
	"swudelta/internal/fault"
	"swudelta/internal/layout"
	"swudelta/internal/tooltest"
)

var update = flag.Bool("update", false, "write the expected layouts in testdata anew")

// load returns an image of testdata.
func load(t testing.TB, name string) []byte {
	t.Helper()
	f, err := os.Open("testdata/" + name + ".img.zst")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, _, err := codec.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// small are the images of testdata that testdata/make-images makes.
var small = []string{"ext2", "ext4", "ext4-meta-bg", "ext4-bigalloc"}

func scanBytes(b []byte, opt Options) (*layout.Layout, error) {
	return Scan(bytes.NewReader(b), int64(len(b)), opt)
}

func openScan(t *testing.T, path string) *scan {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return scanOf(t, b)
}

func scanOf(t *testing.T, b []byte) *scan {
	t.Helper()
	s, err := newScan(bytes.NewReader(b), int64(len(b)), Options{Warn: t.Errorf})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// fixSuper makes the checksum of the superblock right again.
func fixSuper(b []byte) []byte {
	if len(b) >= superOffset+superSize && le.Uint32(b[superOffset+0x64:])&roMetadataCsum != 0 {
		sb := b[superOffset : superOffset+superSize]
		le.PutUint32(sb[0x3fc:], ^crc32.Checksum(sb[:0x3fc], crc32.MakeTable(crc32.Castagnoli)))
	}
	return b
}

// TestStoredImages compares with layouts that were held against debugfs.
func TestStoredImages(t *testing.T) {
	for _, name := range append(slices.Clone(small), "sample") {
		t.Run(name, func(t *testing.T) {
			image := load(t, name)
			if !Detect(image[:2048]) {
				t.Error("not detected")
			}
			l, err := scanBytes(image, Options{Warn: t.Errorf})
			if err != nil {
				t.Fatal(err)
			}
			checkAccount(t, l)
			var got bytes.Buffer
			if err := l.Write(&got); err != nil {
				t.Fatal(err)
			}
			golden := "testdata/" + name + ".layout.json"
			if *update {
				if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got.String() != string(want) {
				t.Errorf("got\n%s\nwant\n%s", got.String(), want)
			}

			none, err := scanBytes(image, Options{NoDigests: true})
			if err != nil {
				t.Fatal(err)
			}
			for i := range l.Files {
				if none.Files[i].SHA256 != (digest.SHA256{}) {
					t.Fatalf("%q has a digest", l.Files[i].Path)
				}
			}
			tooltest.Need(t, "debugfs", "dumpe2fs")
			path := filepath.Join(t.TempDir(), "image")
			if err := os.WriteFile(path, image, 0o600); err != nil {
				t.Fatal(err)
			}
			checkAgainstDebugfs(t, path, l)
			checkDump(t, path, l)
		})
	}
}

func TestDetect(t *testing.T) {
	image := load(t, "ext2")
	for n := range 1082 {
		if Detect(image[:n]) {
			t.Fatalf("detected in %d bytes", n)
		}
	}
	for _, b := range [][]byte{nil, make([]byte, 4096), bytes.Repeat([]byte{0xff}, 4096)} {
		if Detect(b) {
			t.Errorf("detected in %.4q", b)
		}
		if _, err := scanBytes(b, Options{}); !fault.IsData(err) {
			t.Errorf("%.4q: got %v", b, err)
		}
	}
}

// TestTruncated cuts an image at every byte up to its first blocks, and then at
// every block and beside it.
func TestTruncated(t *testing.T) {
	image := load(t, "ext4")
	for n := 0; n < len(image); n++ {
		if n > 4096 && n%1024 > 1 && n%1024 < 1023 {
			continue
		}
		if _, err := scanBytes(image[:n], Options{NoDigests: true}); !fault.IsData(err) {
			t.Fatalf("%d bytes: got %v", n, err)
		}
		// A size that is larger than what can be read is a cut image too.
		if n > 4096 {
			_, err := Scan(bytes.NewReader(image[:n]), int64(len(image)), Options{NoDigests: false})
			if err != nil && !fault.IsData(err) {
				t.Fatalf("%d bytes: got %v", n, err)
			}
		}
	}
	longer := append(slices.Clone(image), make([]byte, 5000)...)
	l, err := scanBytes(longer, Options{})
	if err != nil {
		t.Fatal(err)
	}
	checkAccount(t, l)
	if last := l.Metadata[len(l.Metadata)-1]; last.Kind != layout.Tail || last.Length != 5000 {
		t.Errorf("got %+v", last)
	}
}

// failing is an image on a bad disk: read number n and all after it fail.
type failing struct {
	io.ReaderAt
	n int
}

func (f *failing) ReadAt(p []byte, off int64) (int, error) {
	if f.n--; f.n < 0 {
		return 0, &os.PathError{Op: "read", Path: "image", Err: syscall.EIO}
	}
	return f.ReaderAt.ReadAt(p, off)
}

func TestReadErrors(t *testing.T) {
	for _, name := range small {
		image := load(t, name)
		for n := 0; ; n++ {
			f := &failing{bytes.NewReader(image), n}
			_, err := Scan(f, int64(len(image)), Options{})
			if err == nil {
				if n < 50 {
					t.Errorf("%s: %d reads suffice", name, n)
				}
				break
			}
			if fault.IsData(err) || !errors.Is(err, syscall.EIO) {
				t.Fatalf("%s: read %d: got %v", name, n, err)
			}
		}
	}
}

// change returns a copy of an image with a superblock that fits, after edit.
func change(image []byte, edit func(b []byte)) []byte {
	b := slices.Clone(image)
	edit(b)
	return fixSuper(b)
}

func put32(off int64, v uint32) func([]byte) {
	return func(b []byte) { le.PutUint32(b[off:], v) }
}

// TestFaults damages images in ways that each have a message of their own.
func TestFaults(t *testing.T) {
	ext2, ext4 := load(t, "ext2"), load(t, "ext4")
	s2, s4 := scanOf(t, ext2), scanOf(t, ext4)
	// at returns where the inode of a file lies, and entryAt its name.
	at := func(s *scan, path string) int64 {
		for _, f := range s.files {
			if f.Path == path || slices.Contains(f.Links, path) {
				n, err := s.readInode(uint32(f.Inode))
				if err != nil {
					t.Fatal(err)
				}
				return n.offset
			}
		}
		t.Fatalf("no %q", path)
		return 0
	}
	number := func(s *scan, path string) uint32 {
		for n, i := range s.byInode {
			if s.files[i].Path == path {
				return n
			}
		}
		t.Fatalf("no %q", path)
		return 0
	}
	entryAt := func(image []byte, name string) int64 {
		i := bytes.Index(image, append([]byte{byte(len(name))}, append([]byte{2}, name...)...))
		if i < 0 {
			t.Fatalf("no entry %q", name)
		}
		return int64(i - 6)
	}
	const root = 0x28
	indirect := int64(le.Uint32(ext2[at(s2, "/pieces")+root+12*4:])) * 1024
	tree := int64(le.Uint32(ext4[at(s4, "/pieces")+root+12+4:])) * 1024
	for _, c := range []struct {
		name  string
		image []byte
		edit  func([]byte)
		want  string
	}{
		{"magic", ext2, put32(superOffset+0x38, 0), "got magic 0x0000, want 0xef53: no ext2, ext3 or ext4 file system at offset 1080"},
		{"revision", ext2, put32(superOffset+0x4c, 7), "revision 7 is not known"},
		{"unknown feature", ext2, put32(superOffset+0x60, 1<<30|2), "features 0x40000000 are not supported"},
		{"compression", ext2, put32(superOffset+0x60, incompatCompression|2), "feature compression is not supported"},
		{"journal device", ext2, put32(superOffset+0x60, incompatJournalDev), "feature journal_dev"},
		{"block size", ext2, put32(superOffset+0x18, 7), "block size 2^(10+7)"},
		{"blocks", ext2, put32(superOffset+0x04, 129), "129 blocks of 1024 bytes in an image of 131072 bytes: the image is cut short"},
		{"first block", ext2, put32(superOffset+0x14, 2), "first data block 2"},
		{"blocks per group", ext2, put32(superOffset+0x20, 8193), "8193 blocks per group"},
		{"no blocks per group", ext2, put32(superOffset+0x20, 0), "0 blocks per group"},
		{"inodes per group", ext2, put32(superOffset+0x28, 0), "0 inodes per group"},
		{"inodes", ext2, put32(superOffset, 1<<31), "inodes in 1 groups"},
		{"inode size", ext2, put32(superOffset+0x58, 100), "inodes of 100 bytes"},
		{"reserved descriptors", ext2, put32(superOffset+0xcc, 300<<16), "300 reserved descriptor blocks"},
		{"reserved descriptors beyond the end", ext2, put32(superOffset+0xcc, 200<<16), "reserved group descriptors at block 3+200 of 128"},
		{"descriptor size", ext4, put32(superOffset+0xfc, 33<<16), "group descriptors of 33 bytes"},
		{"checksum type", ext4, func(b []byte) { b[superOffset+0x175] = 2 }, "checksum type 2 is not known"},
		{"block bitmap", ext2, put32(2048, 128), "group 0: block bitmap at block 128 of 128 at offset 2048"},
		{"no block bitmap", ext2, put32(2048, 0), "group 0: block bitmap at block 0 of 128 at offset 2048"},
		{"inode table", ext2, put32(2048+8, 120), "group 0: inode table at block 120 of 128"},
		{"bitmap over bitmap", ext2, put32(2048+4, le.Uint32(ext2[2048:])), "inode bitmap and block bitmap both claim the block at offset 3072"},
		{"root is a file", ext2, func(b []byte) { le.PutUint16(b[at(s2, "/"):], 0x8180) }, "root directory: inode 2 is none"},
		{"unused inode", ext2, func(b []byte) { le.PutUint16(b[at(s2, "/folder/fast"):], 0) }, `"/folder/fast": inode 36 is not in use`},
		{"encrypted", ext2, put32(at(s2, "/folder")+0x20, flagEncrypt), `"/folder": inode 12 is encrypted`},
		{"size", ext2, put32(at(s2, "/pieces")+0x6c, 1<<31-1), "inode 39: size 9223372032559874049"},
		{"pointer", ext2, put32(at(s2, "/pieces")+root, 128), `"/pieces": inode 39: blocks 128+1 of 128`},
		{"indirect pointer", ext2, put32(at(s2, "/pieces")+root+12*4, 1<<31), "indirect block at block 2147483648 of 128"},
		{"pointer in indirect block", ext2, put32(indirect, 999), fmt.Sprintf("blocks 999+1 of 128 at offset %d", indirect)},
		{"indirect block that points at itself", ext2, put32(at(s2, "/pieces")+root+13*4, uint32(indirect/1024)), "is claimed twice"},
		{"block of two files", ext2, put32(at(s2, "/pieces")+root+4, le.Uint32(ext2[at(s2, "/folder/numbers")+root:])), `both claim the block`},
		{"block of the inode table", ext2, put32(at(s2, "/pieces")+root+4, le.Uint32(ext2[2048+8:])), `"/pieces" and inode table both claim the block`},
		{"attribute block", ext2, put32(at(s2, "/pieces")+0x68, 200), "extended attributes: block 200 of 128"},
		{"entry of no length", ext2, put32(entryAt(ext2, "below")+4, 0x02050000), `directory "/folder": entry of 0 bytes`},
		{"entry beyond its block", ext2, put32(entryAt(ext2, "below")+4, 0x02050000|2000), "entry of 2000 bytes"},
		{"name with a slash", ext2, func(b []byte) { b[entryAt(ext2, "below")+9] = '/' }, `name "b/low"`},
		{"inode number", ext2, put32(entryAt(ext2, "below"), 65), `"/folder/below": inode 65 of 64`},
		{"directory in itself", ext2, put32(entryAt(ext2, "below"), number(s2, "/folder")), `"/folder/below": directory "/folder" has a second name`},
		{"root in a directory", ext2, put32(entryAt(ext2, "below"), 2), `directory "/" has a second name`},
		{"directory of a file's blocks", ext2, put32(at(s2, "/folder/below")+root, le.Uint32(ext2[at(s2, "/folder")+root:])), "is claimed twice"},
		{"hole in a directory", ext2, put32(at(s2, "/folder/below")+root, 0), `directory "/folder/below": hole at byte 0 of 1024`},
		{"extent magic", ext4, put32(at(s4, "/pieces")+root, 0), "extent tree: got magic 0x0000"},
		{"extent entries", ext4, put32(at(s4, "/pieces")+root, 5<<16|0xf30a), "extent tree: 5 entries in 60 bytes"},
		{"extent depth", ext4, put32(at(s4, "/pieces")+root+4, 6<<16|4), "extent tree: depth 6"},
		{"extent depth of a child", ext4, put32(tree+4, 1<<16|84), "extent tree: depth 1"},
		{"extent child", ext4, put32(at(s4, "/pieces")+root+12+4, 500), "extent tree at block 500 of 192"},
		{"extent of no length", ext4, func(b []byte) { le.PutUint16(b[tree+12+4:], 0) }, fmt.Sprintf("extent tree: empty extent at offset %d", tree+12)},
		{"extent block", ext4, put32(tree+12+8, 192), "blocks 192+1 of 192"},
		{"extent order", ext4, put32(tree+24, 0), "extent for block 0 of the file is out of order"},
		{"inline link without data", ext4, put32(at(s4, "/folder/slow")+4, 1000), "inode 38: inline data of 1000 bytes: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := change(c.image, c.edit)
			_, err := scanBytes(b, Options{})
			if !fault.IsData(err) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v\nwant %s", err, c.want)
			}
			if derr := WriteDumpextfs(io.Discard, bytes.NewReader(b), int64(len(b)), Options{}); derr == nil || derr.Error() != err.Error() {
				t.Errorf("dumpextfs: got %v", derr)
			}
		})
	}
	t.Run("checksum", func(t *testing.T) {
		b := slices.Clone(ext4)
		b[superOffset+0x78]++ // the label
		if _, err := scanBytes(b, Options{}); !fault.IsData(err) || !strings.Contains(err.Error(), "superblock: checksum mismatch") {
			t.Errorf("got %v", err)
		}
	})

	// What is tolerated.
	shared := change(ext2, func(b []byte) {
		put32(at(s2, "/pieces")+root+4, le.Uint32(ext2[at(s2, "/folder/numbers")+root:]))(b)
		put32(superOffset+0x64, le.Uint32(b[superOffset+0x64:])|roSharedBlocks)(b)
	})
	l, err := scanBytes(shared, Options{Warn: t.Errorf})
	if err != nil {
		t.Fatalf("shared blocks: %v", err)
	}
	if err := l.Check(); err != nil {
		t.Error(err)
	}
	// Inodes with the same attributes share their block.
	l, err = scanBytes(change(ext2, put32(at(s2, "/pieces")+0x68, le.Uint32(ext2[at(s2, "/linked")+0x68:]))), Options{Warn: t.Errorf})
	if err != nil {
		t.Fatalf("shared attributes: %v", err)
	}
	checkAccount(t, l)
	fast := at(s2, "/folder/fast")
	l, err = scanBytes(change(ext2, put32(fast+0x20, flagExtents)), Options{})
	if err != nil {
		t.Fatalf("link with the flag for extents: %v", err)
	}
	for _, f := range l.Files {
		if f.Path == "/folder/fast" && f.SHA256 != digest.Sum([]byte("numbers")) {
			t.Errorf("got %+v", f)
		}
	}
	for _, c := range []struct {
		edit func([]byte)
		want string
	}{
		{put32(superOffset+0x60, incompatRecover|incompatFiletype), "the journal has not been replayed: files may lie elsewhere once it is"},
		{func(b []byte) { b[superOffset+0x3a] = 3 }, "the file system is marked as having errors"},
	} {
		var warnings []string
		if _, err := scanBytes(change(ext2, c.edit), Options{Warn: func(format string, args ...any) {
			warnings = append(warnings, fmt.Sprintf(format, args...))
		}}); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(warnings, []string{c.want}) {
			t.Errorf("got warnings %q, want %q", warnings, c.want)
		}
	}
}

// TestDamaged changes images at random places. Whatever comes of it, it is a
// fault of the data or a layout that holds together.
func TestDamaged(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for _, name := range small {
		image := load(t, name)
		s := scanOf(t, image)
		faults := 0
		for range 1500 {
			b := slices.Clone(image)
			for range 1 + random.IntN(3) {
				r := s.regions[random.IntN(len(s.regions))]
				b[r.Offset+random.Int64N(r.Length)] = byte(random.Uint32() >> random.IntN(24))
			}
			if !checkScan(t, fixSuper(b)) {
				faults++
			}
		}
		if faults < 30 {
			t.Errorf("%s: %d of 1500 damaged images are refused", name, faults)
		}
	}
}

// checkScan scans what may be damaged and reports whether it is readable.
func checkScan(t *testing.T, b []byte) bool {
	t.Helper()
	l, err := scanBytes(b, Options{NoDigests: true})
	if err != nil {
		if !fault.IsData(err) {
			t.Fatalf("got %v, which is no fault of the data", err)
		}
		return false
	}
	if le.Uint32(b[superOffset+0x64:])&roSharedBlocks == 0 {
		checkAccount(t, l)
	}
	if err := l.Check(); err != nil {
		t.Fatal(err)
	}
	return true
}

// FuzzScan changes a few bytes of an image of testdata, or scans what it is
// given. An edit is five bytes: place (24 bits) and value (16 bits).
func FuzzScan(f *testing.F) {
	var images [][]byte
	for i, name := range small {
		images = append(images, load(f, name))
		f.Add(uint8(i), []byte(nil))
		f.Add(uint8(i), []byte{0x00, 0x04, 0x20, 0xff, 0xff})
		f.Add(uint8(i), []byte{0x00, 0x60, 0x2c, 0x03, 0x00, 0x00, 0x60, 0x00, 0x40, 0x00})
	}
	f.Add(uint8(255), images[0][:8192])
	f.Fuzz(func(t *testing.T, which uint8, edits []byte) {
		if int(which) >= len(images) {
			checkScan(t, fixSuper(edits))
			return
		}
		b := slices.Clone(images[which])
		for ; len(edits) >= 5; edits = edits[5:] {
			at := (int(edits[0])<<16 | int(edits[1])<<8 | int(edits[2])) % (len(b) - 1)
			copy(b[at:], edits[3:5])
		}
		checkScan(t, fixSuper(b))
	})
}

// TestLongPaths has directories so deep that their paths would take far more
// memory than the image.
func TestLongPaths(t *testing.T) {
	tooltest.Need(t, "mke2fs", "debugfs")
	image := filepath.Join(t.TempDir(), "image")
	command(t, "mke2fs", "-q", "-F", "-t", "ext2", "-b", "1024", "-N", "600", image, "2M")
	name := strings.Repeat("d", 250)
	var commands []string
	for range 450 {
		commands = append(commands, "mkdir "+name, "cd "+name)
	}
	debugfs(t, image, commands...)
	b, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := scanBytes(b, Options{}); !fault.IsData(err) || !strings.Contains(err.Error(), "the paths in the image take more than") {
		t.Errorf("got %.500v", err)
	}
}

// TestHugeHole has a file whose digest would take longer than that of anything
// that could be in the image.
func TestHugeHole(t *testing.T) {
	tooltest.Need(t, "mke2fs")
	dir := t.TempDir()
	tree := filepath.Join(dir, "tree")
	if err := os.Mkdir(tree, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, size := range map[string]int64{"huge": 1 << 40, "large": 10 << 20} {
		if err := os.WriteFile(filepath.Join(tree, name), []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(filepath.Join(tree, name), size); err != nil {
			t.Fatal(err)
		}
	}
	image := filepath.Join(dir, "image")
	command(t, "mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-d", tree, image, "2M")
	b, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	var warning string
	l, err := scanBytes(b, Options{Warn: func(format string, args ...any) { warning += fmt.Sprintf(format, args...) }})
	if err != nil {
		t.Fatal(err)
	}
	checkAccount(t, l)
	if want := `"/huge": no digest of 1099511627776 bytes, which are mostly holes`; warning != want {
		t.Errorf("got warning %q, want %q", warning, want)
	}
	for _, f := range l.Files {
		if f.Type == layout.Regular && f.SHA256.IsZero() != (f.Path == "/huge") {
			t.Errorf("%q: got digest %v", f.Path, f.SHA256)
		}
	}
	if err := WriteDumpextfs(io.Discard, bytes.NewReader(b), int64(len(b)), Options{}); !fault.IsData(err) {
		t.Errorf("dumpextfs: got %v", err)
	}
}

// TestCorpus reads the images of real updates and holds them against debugfs.
func TestCorpus(t *testing.T) {
	dir := tooltest.Corpus(t)
	tooltest.Need(t, "cpio", "debugfs", "dumpe2fs")
	for _, swu := range []string{"patch/source.swu", "minor/target.swu"} {
		t.Run(swu, func(t *testing.T) {
			image := filepath.Join(t.TempDir(), "image")
			command(t, "sh", "-c", `cpio -i --quiet --to-stdout rootfs.ext4.gz <"$1" | gzip -d >"$2"`, "sh", filepath.Join(dir, swu), image)
			l := scanFile(t, image)
			checkAccount(t, l)
			checkAgainstDebugfs(t, image, l)
			checkDump(t, image, l)
		})
	}
}

func ExampleScan() {
	f, err := os.Open("rootfs.ext4")
	if err != nil {
		return
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return
	}
	l, err := Scan(f, info.Size(), Options{})
	if err != nil {
		return
	}
	for _, file := range l.Files {
		fmt.Println(file.SHA256, file.Path, file.Pieces)
	}
}
