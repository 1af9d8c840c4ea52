// SPDX-License-Identifier: MIT

package swu

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"

	"swudelta/internal/fault"
)

func TestList(t *testing.T) {
	data := build(t, file{"sw-description", "hello", set(UID, 0xabcdef, MTime, 0x5e0be100)}, file{"odd\xff \tname", "x", newc})
	a, err := Scan(bytes.NewReader(data), nil)
	if err != nil {
		t.Fatal(err)
	}
	a.Trailer.Extra = 1024
	got, err := a.FormatList('\n')
	if err != nil {
		t.Fatal(err)
	}
	want := "070702 00000000 000081A4 00ABCDEF 00000000 00000001 5E0BE100 00000005 00000000 00000000 00000000 00000000 0000000F 00000214\tsw-description\n" +
		"070701 00000001 000081A4 00000000 00000000 00000001 00000000 00000001 00000000 00000000 00000000 00000000 0000000B 00000000\todd\xff \tname\n" +
		"070701 00000000 00000000 00000000 00000000 00000001 00000000 00000000 00000000 00000000 00000000 00000000 0000000B 00000000 1024\tTRAILER!!!\n"
	if string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	for _, delim := range []byte{'\n', 0} {
		list, err := a.FormatList(delim)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range [][]byte{list, list[:len(list)-1]} {
			b, err := ReadList(bytes.NewReader(text), delim, 0)
			if err != nil {
				t.Fatal(err)
			}
			if again, _ := b.FormatList(delim); !bytes.Equal(again, list) {
				t.Errorf("got\n%s\nwant\n%s", again, list)
			}
		}
	}
}

func TestListNames(t *testing.T) {
	a, err := ReadList(strings.NewReader("sw-description\na b\tc\n07070\n\"q\"\n"), '\n', 77)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"sw-description", "a b\tc", "07070", `"q"`} {
		h := a.Members[i]
		if h.Name != want || h.Format != CRC || h.Fields.Get(Ino) != uint32(i) || h.Fields.Get(MTime) != 77 ||
			h.Fields.Get(Mode) != 0o100644 || h.Fields.Get(NLink) != 1 || h.Fields.Get(UID) != 0 {
			t.Errorf("got %+v, want %q", h, want)
		}
	}
	if a.Trailer != nil {
		t.Error("trailer from nowhere")
	}
	a.Members[1].Name = "line\nfeed"
	if _, err := a.FormatList('\n'); err == nil || !fault.IsData(err) {
		t.Errorf("newline in a name: got %v", err)
	}
	if _, err := a.FormatList(0); err != nil {
		t.Error(err)
	}
}

const (
	listMember  = "070702 00000000 000081A4 00000000 00000000 00000001 00000000 00000005 00000000 00000000 00000000 00000000 0000000F 00000214\tsw-description\n"
	listTrailer = "070702 00000000 00000000 00000000 00000000 00000001 00000000 00000000 00000000 00000000 00000000 00000000 0000000B 00000000 0\tTRAILER!!!\n"
)

func TestListRefused(t *testing.T) {
	for _, c := range []struct{ name, list, want string }{
		{"nothing", "", `no members in the list, want "sw-description" first`},
		{"trailer only", listTrailer, `no members in the list`},
		{"other first", "image\nsw-description\n", `line 1 of the list: no SWUpdate archive: first member is "image", want "sw-description"`},
		{"signature first", "sw-description.sig\n", `first member is "sw-description.sig"`},
		{"./", "./sw-description\n", `line 1 of the list: member name "./sw-description": swupdate rejects it, as it takes "./" for a part of the name`},
		{"empty line", listMember + "\n", "line 2 of the list: member has no name"},
		{"absolute", listMember + "/etc/passwd\n", `member name "/etc/passwd": absolute`},
		{"escape", listMember + "../x\n", `member name "../x": leaves the folder`},
		{"hidden escape", listMember + "a/../../x\n", "leaves the folder"},
		{"dots", listMember + "a/../x\n", "not a plain relative path"},
		{"two slashes", listMember + "a//x\n", "not a plain relative path"},
		{"slash at the end", listMember + "a/\n", "not a plain relative path"},
		{"folder itself", listMember + ".\n", "not a plain relative path"},
		{"NUL", listMember + "a\x00b\n", "not a plain relative path"},
		{"long", listMember + strings.Repeat("x", 255) + "\n", "255 bytes long, swupdate reads at most 254"},
		{"endless", listMember + strings.Repeat("x", 1<<20), "line 2 of the list: bufio.Scanner: token too long"},
		{"twice", listMember + "a\na\n", `line 3 of the list: second member with the name "a"`},
		{"behind the trailer", listMember + listTrailer + "a\n", `line 3 of the list: "a" follows the trailer`},
		{"bare trailer", listMember + "TRAILER!!!\n", "reserved"},
		{"trailer without zeros", listMember + strings.Replace(listTrailer, " 0\t", "\t", 1), `14 words before the name "TRAILER!!!", want 15`},
		{"member with zeros", strings.Replace(listMember, "\t", " 0\t", 1), `15 words before the name "sw-description", want 14`},
		{"odd zeros", listMember + strings.Replace(listTrailer, " 0\t", " 100\t", 1), `zeros after the trailer "100", want a multiple of 512 or "none"`},
		{"negative zeros", listMember + strings.Replace(listTrailer, " 0\t", " -1\t", 1), `zeros after the trailer "-1"`},
		{"no zeros", listMember + strings.Replace(listTrailer, " 0\t", " \t", 1), `zeros after the trailer ""`},
		{"magic", strings.Replace(listMember, "070702", "070707", 1), `magic "070707"`},
		{"long magic", strings.Replace(listMember, "070702", "0707020", 1), `magic "0707020"`},
		{"short field", strings.Replace(listMember, "000081A4", "81A4", 1), `header field 2 is "81A4", want 8 hexadecimal digits`},
		{"no hex", strings.Replace(listMember, "000081A4", "0000ZZZZ", 1), `header field 2 is "0000ZZZZ"`},
		{"a field less", strings.Replace(listMember, " 000081A4", "", 1), "13 words"},
	} {
		a, err := ReadList(strings.NewReader(c.list), '\n', 0)
		if err == nil || !strings.Contains(err.Error(), c.want) || !fault.IsData(err) || a != nil {
			t.Errorf("%s: got %v, want %s", c.name, err, c.want)
		}
	}
	if _, err := ReadList(iotest.ErrReader(syscall.EIO), '\n', 0); !errors.Is(err, syscall.EIO) || fault.IsData(err) {
		t.Errorf("got %v", err)
	}
}

func TestPack(t *testing.T) {
	dir := t.TempDir()
	write := func(name, data string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	write("sw-description", "hello")
	write("a", strings.Repeat("a", 100000))

	// Sizes and checksums of the list are those of another time.
	list := strings.Replace(listMember, "00000005", "0000aaaa", 1) + "a\n" + strings.Replace(listTrailer, " 0\t", " 512\t", 1)
	data, err := packList(dir, list, 0)
	if err != nil {
		t.Fatal(err)
	}
	a, err := Scan(bytes.NewReader(data), nil)
	if err != nil {
		t.Fatal(err)
	}
	if a.Members[0].Size != 5 || a.Members[1].Size != 100000 || a.Trailer.Extra != 512 || len(data)%512 != 0 {
		t.Errorf("got %+v", a)
	}
	if got, err := packList(dir, strings.TrimSuffix(list, listTrailer), 0); err != nil || len(got)%512 != 0 {
		t.Errorf("without trailer: %d bytes, %v", len(got), err)
	}
	// In newc the field means nothing and stays.
	if data, err = packList(dir, "070701"+listMember[6:], 0); err != nil || !bytes.Contains(data, []byte("0000000F00000214sw-description")) {
		t.Errorf("newc: %v", err)
	}

	// What is no regular file.
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o666); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"folder": "is a directory", "pipe": "a named pipe, want a regular file", "missing": "no such file"} {
		_, err := packList(dir, listMember+name+"\n", 0)
		if err == nil || !strings.Contains(err.Error(), want) || fault.IsData(err) {
			t.Errorf("%s: got %v, want %s", name, err, want)
		}
	}
	if _, err := packList(dir, listMember+"missing\n", 0); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	folder := strings.NewReplacer("000081A4", "000041ED", "0000000F", "00000007", "00000214\tsw-description", "00000000\tfolder").Replace(listMember)
	if data, err := packList(dir, listMember+folder, 0); err != nil {
		t.Error(err)
	} else if a, err := Scan(bytes.NewReader(data), nil); err != nil || !a.Members[1].IsDir() {
		t.Errorf("folder: %v", err)
	}

	// A symbolic link is the file that it points to.
	if err := os.Symlink("a", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if data, err := packList(dir, listMember+"link\n", 0); err != nil || !bytes.Contains(data, bytes.Repeat([]byte("a"), 100000)) {
		t.Errorf("link: %v", err)
	}

	// Too large, found before anything is read.
	write("huge", "")
	if err := os.Truncate(filepath.Join(dir, "huge"), 1<<32); err != nil {
		t.Fatal(err)
	}
	if _, err := packList(dir, listMember+"huge\n", 0); err == nil || !strings.Contains(err.Error(), `member "huge": 4294967296 bytes, a cpio archive has at most 4294967295`) || !fault.IsData(err) {
		t.Errorf("huge: got %v", err)
	}
}

// TestPackChangingFile: what changes between the two passes is noticed, and it
// is not the list's fault.
func TestPackChangingFile(t *testing.T) {
	for name, change := range map[string]string{"longer": "hello!", "shorter": "hell", "other": "hallo", "empty": ""} {
		dir := t.TempDir()
		path := filepath.Join(dir, "sw-description")
		if err := os.WriteFile(path, []byte("hello"), 0o666); err != nil {
			t.Fatal(err)
		}
		a, err := ReadList(strings.NewReader("sw-description\n"), '\n', 0)
		if err == nil {
			err = Measure(dir, a)
		}
		if err == nil {
			err = os.WriteFile(path, []byte(change), 0o666)
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := Pack(&bytes.Buffer{}, dir, a); err == nil || fault.IsData(err) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
