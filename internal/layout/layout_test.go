// SPDX-License-Identifier: MIT

package layout

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"

	"swudelta/internal/digest"
	"swudelta/internal/fault"
)

// sample has every member, with names that are hard to write.
func sample() *Layout {
	return &Layout{
		Version: 1, FileSystem: `ext4 "x" <&>`, Size: 1 << 40, BlockSize: 4096,
		Files: []File{
			{Path: "/", Type: Directory, Mode: 0o755},
			{Path: "/a\"b\\c\n<&>\u2028é", Links: []string{"/\xff\xfe", "/cut \xe2\x82", "/\ufffd"}, Inode: math.MaxUint64, Type: Regular,
				Mode: 0o6755, Size: 10000, SHA256: digest.Sum([]byte("x")),
				Pieces: []Piece{{0, 8192, 4096, false}, {8192, 1<<40 - 4096, 4096, true}}},
			{Path: "/\x80", Type: Symlink, Mode: 0o777, Size: 5, Inline: true, Pieces: []Piece{{0, 1030, 5, false}}},
			{Path: "/shares", Type: Regular, Size: 4000, Pieces: []Piece{{0, 8192, 4096, false}}},
		},
		Metadata: []Region{
			{Kind: Superblock, Offset: 1024, Length: 3072},
			{Kind: "my own", Group: 7, Path: "/\xff\xfe", Inode: 5, Logical: 4096, Offset: 4096, Length: 1},
		},
		Free: []Extent{{12288, 1}, {20000, 5}},
	}
}

func write(t *testing.T, l *Layout) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := l.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestRoundTrip(t *testing.T) {
	for _, l := range []*Layout{sample(), {Version: 1, BlockSize: 1}} {
		b := write(t, l)
		if !json.Valid(b) {
			t.Fatalf("no JSON: %s", b)
		}
		if again := write(t, l); !bytes.Equal(again, b) {
			t.Error("the second writing differs")
		}
		for _, r := range []io.Reader{bytes.NewReader(b), iotest.OneByteReader(bytes.NewReader(b)), iotest.DataErrReader(bytes.NewReader(b))} {
			got, err := Read(r)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, l) {
				t.Errorf("got %+v\nwant %+v", got, l)
			}
		}
	}
	b := string(write(t, sample()))
	for _, want := range []string{`{"base64":"L//+"}`, `"mode":"6755"`, `<&>`, `"unwritten":true`} {
		if !strings.Contains(b, want) {
			t.Errorf("no %s in\n%s", want, b)
		}
	}
}

// TestTruncated cuts a layout at every byte.
func TestTruncated(t *testing.T) {
	b := bytes.TrimSpace(write(t, sample()))
	for n := range b {
		if l, err := Read(bytes.NewReader(b[:n])); !fault.IsData(err) {
			t.Fatalf("%d bytes: got %v, %v", n, l, err)
		}
	}
}

func TestReadErrors(t *testing.T) {
	b := write(t, sample())
	for n := 0; n < len(b); n += 10 {
		_, err := Read(io.MultiReader(bytes.NewReader(b[:n]), iotest.ErrReader(syscall.EIO)))
		if !errors.Is(err, syscall.EIO) || fault.IsData(err) {
			t.Fatalf("after %d bytes: got %v", n, err)
		}
	}
}

type full struct{ room int }

func (f *full) Write(p []byte) (int, error) {
	if f.room -= len(p); f.room < 0 {
		return 0, syscall.ENOSPC
	}
	return len(p), nil
}

func TestWriteErrors(t *testing.T) {
	l := sample()
	for i := range 3000 {
		l.Files = append(l.Files, File{Path: fmt.Sprintf("/%d", i)})
	}
	for _, room := range []int{0, 100_000} {
		if err := l.Write(&full{room}); !errors.Is(err, syscall.ENOSPC) || fault.IsData(err) {
			t.Errorf("room for %d bytes: got %v", room, err)
		}
	}
}

func TestRead(t *testing.T) {
	head := `"version":1,"size":10000,"blockSize":1024`
	for in, want := range map[string]string{ // "": is accepted
		`{` + head + `}`: "",
		`{` + head + `,"new":{"a":[1,{"b":null}]},"files":[{"path":"/a","type":"x","mode":"0","size":0,"new":1}]}`: "",
		`{` + head + `,"files":[{"path":{"base64":"/w=="},"size":3,"pieces":[{"offset":9999,"length":1}]}]}`:       "",
		`{` + head + `,"files":null}`:           "got <nil>, want [",
		``:                                      "unexpected EOF",
		`[]`:                                    "got [, want {",
		`{}`:                                    `no "version"`,
		`{"version":1,"blockSize":1}`:           `no "size"`,
		`{` + head + `} x`:                      "something follows",
		`{` + head + `}{}`:                      "something follows",
		`{` + head + `,"size":1}`:               `"size" occurs twice`,
		`{"version":2,"size":1,"blockSize":1}`:  "got version 2, want 1",
		`{"version":1,"size":-1,"blockSize":1}`: "size -1",
		`{"version":1,"size":1,"blockSize":0}`:  "block size 0",
		`{"version":1,"size":1e99,"blockSize":1}`:                                                                                                                      "cannot unmarshal",
		`{` + head + `,"files":[{"path":""}]}`:                                                                                                                         "empty name",
		`{` + head + `,"files":[{"path":"a"},{"path":"b","links":["a"]}]}`:                                                                                             `name "a" occurs twice`,
		`{` + head + `,"files":[{"path":"a","links":["a"]}]}`:                                                                                                          `name "a" occurs twice`,
		`{` + head + `,"files":[{"path":"a","size":-1}]}`:                                                                                                              "size -1",
		`{` + head + `,"files":[{"path":"a","mode":"9"}]}`:                                                                                                             "invalid syntax",
		`{` + head + `,"files":[{"path":"a","sha256":"00"}]}`:                                                                                                          "digest",
		`{` + head + `,"files":[{"path":{"base64":"!"}}]}`:                                                                                                             "base64",
		"{" + head + ",\"files\":[{\"path\":\"a\xff\"}]}":                                                                                                              "not UTF-8",
		`{` + head + `,"files":[{"path":"a","pieces":[{"offset":9999,"length":2}]}]}`:                                                                                  "piece 9999+2 is not inside the image of 10000 bytes",
		`{` + head + `,"files":[{"path":"a","pieces":[{"offset":-1,"length":1}]}]}`:                                                                                    "piece -1+1 is not inside",
		`{` + head + `,"files":[{"path":"a","pieces":[{"offset":1}]}]}`:                                                                                                "piece 1+0 is not inside",
		`{` + head + `,"files":[{"path":"a","pieces":[{"offset":1,"length":-1}]}]}`:                                                                                    "piece 1+-1 is not inside",
		`{` + head + `,"files":[{"path":"a","pieces":[{"offset":9223372036854775807,"length":9223372036854775807}]}]}`:                                                 "is not inside",
		`{` + head + `,"files":[{"path":"a","pieces":[{"logical":9223372036854775807,"offset":1,"length":1}]}]}`:                                                       "piece for byte 9223372036854775807",
		`{` + head + `,"files":[{"path":"a","pieces":[{"logical":-1,"offset":1,"length":1}]}]}`:                                                                        "piece for byte -1",
		`{` + head + `,"files":[{"path":"a","pieces":[{"logical":5,"offset":1,"length":1},{"logical":0,"offset":2,"length":1}]}]}`:                                     "piece for byte 0 overlaps or is out of order",
		`{` + head + `,"metadata":[{"offset":1,"length":1}]}`:                                                                                                          "metadata at 1 has no kind",
		`{` + head + `,"metadata":[{"kind":"k","offset":1}]}`:                                                                                                          "k: range 1+0 is not inside",
		`{` + head + `,"metadata":[{"kind":"k","offset":1,"length":2},{"kind":"k","offset":2,"length":2}]}`:                                                            "metadata at 2 overlaps",
		`{` + head + `,"free":[{"offset":1,"length":9999999}]}`:                                                                                                        "free range 1+9999999 is not inside",
		`{` + head + `,"free":[{"offset":5,"length":1},{"offset":1,"length":1}]}`:                                                                                      "free range at 1 overlaps or is out of order",
		`{` + head + `,"free":[{"offset":5,"length":2}],"metadata":[{"kind":"k","offset":6,"length":2}]}`:                                                              "free space and k both claim the bytes at 6",
		`{` + head + `,"free":[{"offset":5,"length":2}],"files":[{"path":"a","pieces":[{"offset":6,"length":2}]}]}`:                                                    "free space and a both claim the bytes at 6",
		`{` + head + `,"metadata":[{"kind":"k","offset":6,"length":2}],"files":[{"path":"a","pieces":[{"offset":5,"length":1},{"logical":9,"offset":1,"length":9}]}]}`: "a and k both claim the bytes at 6",
		// Files may share bytes, and inline ones those of metadata.
		`{` + head + `,"files":[{"path":"a","pieces":[{"offset":5,"length":2}]},{"path":"b","pieces":[{"offset":6,"length":2}]}]}`:               "",
		`{` + head + `,"metadata":[{"kind":"k","offset":6,"length":2}],"files":[{"path":"a","inline":true,"pieces":[{"offset":7,"length":1}]}]}`: "",
	} {
		_, err := Read(strings.NewReader(in))
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: %v", in, err)
		case want != "" && (!fault.IsData(err) || !strings.Contains(err.Error(), want)):
			t.Errorf("%s\ngot %v\nwant %s", in, err, want)
		}
	}
}

func TestContents(t *testing.T) {
	image := make([]byte, 100)
	for i := range image {
		image[i] = byte(i + 1)
	}
	f := &File{Path: "/f", Size: 50, Pieces: []Piece{{3, 50, 4, false}, {7, 20, 5, false}, {12, 30, 6, true}, {20, 0, 10, false}, {45, 90, 10, false}}}
	want := make([]byte, 50)
	copy(want[3:], image[50:54])
	copy(want[7:], image[20:25])
	copy(want[20:], image[:10])
	copy(want[45:], image[90:95])
	if err := iotest.TestReader(f.Contents(bytes.NewReader(image)), want); err != nil {
		t.Error(err)
	}
	for off := range want {
		for n := range len(want) - off + 1 {
			b := bytes.Repeat([]byte{0xee}, n)
			if _, err := f.Contents(bytes.NewReader(image)).ReadAt(b, int64(off)); err != nil && err != io.EOF || !bytes.Equal(b, want[off:off+n]) {
				t.Fatalf("%d bytes at %d: got %v, %v", n, off, b, err)
			}
		}
	}
	// A hole reads as zeros up to the end of any address.
	hole := &File{Size: math.MaxInt64}
	b := []byte{1, 2, 3}
	if n, err := hole.Contents(bytes.NewReader(nil)).ReadAt(b, math.MaxInt64-3); n != 3 || err != nil && err != io.EOF || b[0]|b[1]|b[2] != 0 {
		t.Errorf("got %d, %v, %v", n, err, b)
	}
	// An image that ends early is a fault of the data, a bad disk is none.
	if _, err := io.ReadAll(f.Contents(bytes.NewReader(image[:52]))); !fault.IsData(err) || !errors.Is(err, io.ErrUnexpectedEOF) || !strings.Contains(err.Error(), "at offset 52") {
		t.Errorf("got %v", err)
	}
	if _, err := io.ReadAll(f.Contents(broken{})); !errors.Is(err, syscall.EIO) || fault.IsData(err) {
		t.Errorf("got %v", err)
	}
}

type broken struct{}

func (broken) ReadAt([]byte, int64) (int, error) { return 0, syscall.EIO }

// TestDocument reads the example of doc/layout.md, and looks there for every
// member that is written.
func TestDocument(t *testing.T) {
	_, file, _, _ := runtime.Caller(0)
	b, err := os.ReadFile(filepath.Join(filepath.Dir(file), "..", "..", "doc", "layout.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), "```json\n")
	example, _, ok := strings.Cut(rest, "```")
	if !ok {
		t.Fatal("no example")
	}
	example = strings.ReplaceAll(example, ",\n ", ",") // lines that are broken in the document
	l, err := Read(strings.NewReader(example))
	if err != nil {
		t.Fatal(err)
	}
	if got := string(write(t, l)); got != example {
		t.Errorf("written anew the example is\n%s", got)
	}
	for _, v := range []any{fileJSON{}, regionJSON{}, Piece{}, Extent{}} {
		for i := range reflect.TypeOf(v).NumField() {
			member, _, _ := strings.Cut(reflect.TypeOf(v).Field(i).Tag.Get("json"), ",")
			if !strings.Contains(string(b), "`"+member+"`") {
				t.Errorf("member %q is not described", member)
			}
		}
	}
	for _, kind := range []string{Boot, Superblock, Descriptors, SpareDescriptors, BlockBitmap, InodeBitmap, InodeTable, Journal, DirectoryBlocks,
		ExtentTree, IndirectBlocks, ExtendedAttributes, ResizeInode, Quota, OrphanFile, BadBlocks, MultiMount, Unclaimed, Tail} {
		if !strings.Contains(string(b), "`"+kind+"`") {
			t.Errorf("kind %q is not described", kind)
		}
	}
}

func FuzzRead(f *testing.F) {
	var b bytes.Buffer
	if err := sample().Write(&b); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add([]byte(`{"version":1,"size":10,"blockSize":1,"files":[{"path":{"base64":"/w=="},"pieces":[{"offset":1,"length":2}]}]}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		l, err := Read(bytes.NewReader(in))
		if err != nil {
			if !fault.IsData(err) {
				t.Fatalf("%v is no fault of the data", err)
			}
			return
		}
		var out bytes.Buffer
		if err := l.Write(&out); err != nil {
			t.Fatal(err)
		}
		again, err := Read(&out)
		if err != nil {
			t.Fatal(err)
		}
		var second bytes.Buffer
		if err := again.Write(&second); err != nil {
			t.Fatal(err)
		}
		third, err := Read(&second)
		if err != nil || !reflect.DeepEqual(again, third) {
			t.Fatalf("%+v\nis read back as\n%+v, %v", again, third, err)
		}
	})
}

func BenchmarkRoundTrip(b *testing.B) {
	l := &Layout{Version: 1, FileSystem: "ext4", Size: 1 << 40, BlockSize: 4096}
	for i := range 100_000 {
		l.Files = append(l.Files, File{Path: fmt.Sprintf("/usr/share/some folder/file number %d", i), Inode: uint64(i), Type: Regular, Size: 5000,
			SHA256: digest.Sum([]byte{byte(i)}), Pieces: []Piece{{0, int64(i) * 8192, 8192, false}}})
	}
	for b.Loop() {
		var out bytes.Buffer
		if err := l.Write(&out); err != nil {
			b.Fatal(err)
		}
		b.SetBytes(int64(out.Len()))
		if _, err := Read(&out); err != nil {
			b.Fatal(err)
		}
	}
}

func ExampleFile_Contents() {
	image := strings.NewReader("....world...Hello, ...")
	f := File{Path: "/greeting", Size: 13, Pieces: []Piece{{0, 12, 7, false}, {7, 4, 5, false}}}
	b, err := io.ReadAll(f.Contents(image))
	fmt.Printf("%q %v\n", b, err)
	// Output: "Hello, world\x00" <nil>
}
