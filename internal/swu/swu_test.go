// SPDX-License-Identifier: MIT

package swu

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"

	"swudelta/internal/fault"
	"swudelta/internal/tooltest"
)

// file is a member of a test archive.
type file struct {
	name, data string
	change     func(h *Header)
}

func set(pairs ...any) func(*Header) {
	return func(h *Header) {
		for i := 0; i < len(pairs); i += 2 {
			h.Fields.Set(pairs[i].(Field), uint32(pairs[i+1].(int)))
		}
	}
}

func newc(h *Header) { h.Format = Newc; h.Fields.Set(Check, 0) }

// build makes an archive with Writer.
func build(t testing.TB, files ...file) []byte {
	t.Helper()
	var b bytes.Buffer
	w := NewWriter(&b)
	for i, f := range files {
		h := NewHeader(f.name, int64(len(f.data)))
		h.Fields.Set(Ino, uint32(i))
		h.Fields.Set(Check, sum([]byte(f.data)))
		if f.change != nil {
			f.change(h)
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, f.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// rewrite reads an archive and writes what was read.
func rewrite(r io.Reader) ([]byte, error) {
	var b bytes.Buffer
	w := NewWriter(&b)
	a, err := Scan(r, func(h *Header, data io.Reader) error {
		if err := w.WriteHeader(h); err != nil {
			return fmt.Errorf("write: %v", err)
		}
		_, err := io.Copy(w, data)
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := w.WriteTrailer(a.Trailer); err != nil {
		return nil, fmt.Errorf("write: %v", err)
	}
	return b.Bytes(), w.Close()
}

func samples(t testing.TB) map[string][]byte {
	t.Helper()
	paths, _ := filepath.Glob("testdata/*.swu")
	if len(paths) < 2 {
		t.Fatal("no samples in testdata")
	}
	m := map[string][]byte{}
	for _, p := range paths {
		b, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		m[p] = b
	}
	m["mixed"] = build(t,
		file{"sw-description", "software = {}", nil},
		file{"a", "1", newc},
		file{"b", "22", set(Mode, 0o40755)},
		file{"dir", "", set(Mode, 0o40755, NLink, 2)},
		file{"dir/c", "4444", newc},
		file{"e\xff\n\t", "55555", set(UID, 1000, GID, 1000, MTime, -1, DevMajor, 8, DevMinor, 1, RDevMajor, 3, RDevMinor, 4)},
		file{"empty", "", nil})
	m["newc"] = build(t, file{"sw-description", "software = {}", newc}, file{"a", "1", newc})
	m["newc with checksum"] = build(t, file{"sw-description", "software = {}", func(h *Header) { newc(h); h.Fields.Set(Check, 77) }})
	m["no members"] = build(t)
	padded := func(n int) func(*Header) { return func(h *Header) { h.NamePadding = n } }
	m["names with padding"] = build(t, file{"sw-description", "software = {}", padded(1)}, file{"a", "1", padded(200)}, file{"b", "22", nil})
	return m
}

func TestRoundTrip(t *testing.T) {
	for name, data := range samples(t) {
		for way, r := range map[string]io.Reader{
			"whole":     bytes.NewReader(data),
			"bytewise":  iotest.OneByteReader(bytes.NewReader(data)),
			"data+EOF":  iotest.DataErrReader(bytes.NewReader(data)),
			"half read": iotest.HalfReader(bytes.NewReader(data)),
		} {
			got, err := rewrite(r)
			if err != nil {
				t.Errorf("%s, %s: %v", name, way, err)
			} else if !bytes.Equal(got, data) {
				t.Errorf("%s, %s: other bytes", name, way)
			}
		}
	}
}

func TestRoundTripCorpus(t *testing.T) {
	paths, _ := filepath.Glob(filepath.Join(tooltest.Corpus(t), "*", "*.swu"))
	for _, p := range paths {
		data, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := rewrite(bytes.NewReader(data)); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%s: not the same, %v", p, err)
		}
	}
}

// TestKeepsDigits: what is a matter of taste is not changed.
func TestKeepsDigits(t *testing.T) {
	data := build(t, file{"sw-description", strings.Repeat("x", 0xab), set(UID, 0xabcdef)})
	lower := bytes.ReplaceAll(data, []byte("00ABCDEF"), []byte("00abCDef"))
	lower = bytes.Replace(lower, []byte("000000AB"), []byte("000000aB"), 1)
	if bytes.Equal(lower, data) {
		t.Fatal("nothing to test")
	}
	if got, err := rewrite(bytes.NewReader(lower)); err != nil || !bytes.Equal(got, lower) {
		t.Errorf("not the same, %v", err)
	}
}

func TestEnds(t *testing.T) {
	padded := build(t, file{"sw-description", "x", nil})
	end := bytes.Index(padded, []byte(trailerName)) + len(trailerName) + 4
	end -= end % 4
	for _, c := range []struct {
		name  string
		data  []byte
		extra int64
	}{
		{"padded", padded, 0},
		{"one block more", append(bytes.Clone(padded), make([]byte, 512)...), 512},
		{"many more", append(bytes.Clone(padded), make([]byte, 1<<20)...), 1 << 20},
		{"none", padded[:end], Unpadded},
	} {
		a, err := Scan(bytes.NewReader(c.data), nil)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if a.Trailer.Extra != c.extra || a.Size != int64(len(c.data)) || a.Trailer.Offset != int64(end) {
			t.Errorf("%s: extra %d, size %d, trailer ends at %d, want %d, %d, %d", c.name, a.Trailer.Extra, a.Size, a.Trailer.Offset, c.extra, len(c.data), end)
		}
		if got, err := rewrite(bytes.NewReader(c.data)); err != nil || !bytes.Equal(got, c.data) {
			t.Errorf("%s: not the same, %v", c.name, err)
		}
	}
	// A trailer that ends a block needs no zeros, and that is no oddity.
	aligned := build(t, file{"sw-description", strings.Repeat("x", 512-124-128), nil})
	if len(aligned) != 512 {
		t.Fatalf("%d bytes, want 512", len(aligned))
	}
	if a, err := Scan(bytes.NewReader(aligned), nil); err != nil || a.Trailer.Extra != 0 {
		t.Errorf("aligned: %v, extra %d", err, a.Trailer.Extra)
	}
}

func TestTruncation(t *testing.T) {
	for name, data := range samples(t) {
		a, err := Index(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Fatal(err)
		}
		for n := range data {
			b, err := Scan(bytes.NewReader(data[:n]), nil)
			if int64(n) == a.Trailer.Offset {
				if err != nil || b.Trailer.Extra != Unpadded {
					t.Errorf("%s: cut behind the trailer: %v", name, err)
				}
				continue
			}
			if !errors.Is(err, io.ErrUnexpectedEOF) || !fault.IsData(err) {
				t.Fatalf("%s: cut at %d: got %v, want unexpected EOF", name, n, err)
			}
			if want := fmt.Sprintf("at offset %d", n); n > 0 && !strings.HasSuffix(err.Error(), want) {
				t.Fatalf("%s: cut at %d: got %v, want %q", name, n, err, want)
			}
		}
	}
}

// TestAnyByteChanged: a change is noticed, or kept.
func TestAnyByteChanged(t *testing.T) {
	data := samples(t)["mixed"]
	for i := range data {
		for _, x := range []byte{0x01, 0x20, 0x80} {
			changed := bytes.Clone(data)
			changed[i] ^= x
			got, err := rewrite(bytes.NewReader(changed))
			switch {
			case err != nil && !fault.IsData(err):
				t.Fatalf("byte %d ^ %#x: got %v, want a fault of the data", i, x, err)
			case err == nil && !bytes.Equal(got, changed):
				t.Fatalf("byte %d ^ %#x: not noticed and not kept", i, x)
			}
		}
	}
	// Data of a crc member: always noticed.
	a, err := Index(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	if a.Member("b") != a.Members[2] || a.Member("missing") != nil {
		t.Error("Member finds others")
	}
	for _, h := range a.Members {
		for i := h.Offset; i < h.Offset+h.Size; i++ {
			changed := bytes.Clone(data)
			changed[i]++
			_, err := Scan(bytes.NewReader(changed), nil)
			if noticed := err != nil; noticed != (h.Format == CRC) {
				t.Errorf("%q, byte %d: %v", h.Name, i, err)
			}
		}
	}
}

// patch replaces the first occurrence of a text in an archive.
func patch(data []byte, from, to string) []byte {
	if !bytes.Contains(data, []byte(from)) || len(from) != len(to) {
		panic("nothing to patch: " + from)
	}
	return bytes.Replace(data, []byte(from), []byte(to), 1)
}

func TestRefused(t *testing.T) {
	one := build(t, file{"sw-description", "hello", nil})
	for _, c := range []struct {
		name string
		data []byte
		want string
	}{
		{"nothing", nil, `empty, want a cpio archive: unexpected EOF`},
		{"text", []byte("software = { version = 1; }" + strings.Repeat(" ", 200)), `no header of a cpio archive: got magic "softwa", want 070701 (newc) or 070702 (crc) at offset 0`},
		{"short text", []byte("hi"), `got magic "hi"`},
		{"gzip", append([]byte("\x1f\x8b\x08\x00\x00\x00\x00"), one...), `got magic "\x1f\x8b\b\x00\x00\x00"`},
		{"odc", patch(one, "070702", "070707"), `cpio format odc, which swupdate does not read: got magic "070707"`},
		{"binary", append([]byte("\xc7\x71"), one...), "binary cpio format"},
		{"big-endian binary", append([]byte("\x71\xc7"), one...), "binary cpio format"},
		{"later magic", patch(one, "070702"+strings.Repeat("0", 32), "070703"+strings.Repeat("0", 32)), "no header of a cpio archive"},
		{"sign", patch(one, "00000005", "+0000005"), `header field 7 is "+0000005", want 8 hexadecimal digits at offset 0`},
		{"minus", patch(one, "00000005", "-0000005"), `header field 7 is "-0000005"`},
		{"blank", patch(one, "00000005", "       5"), `header field 7 is "       5"`},
		{"letters", patch(one, "000081A4", "zzzzzzzz"), `header field 2 is "zzzzzzzz"`},
		{"checksum", patch(one, "00000214", "00000215"), `member "sw-description": got checksum 0x00000214, want 0x00000215, for the data at offset 128`},
		{"empty with checksum", build(t, file{"x", "", newc}, file{"y", "", func(h *Header) { newc(h); h.Fields.Set(Check, 5) }}), ""},
		{"no name", patch(one, "0000000F", "00000000"), "name of 0 bytes, want 2 to 4096, counting its NUL at offset 0"},
		{"empty name", patch(one, "0000000F", "00000001"), "name of 1 bytes"},
		{"huge name", patch(one, "0000000F", "FFFFFFFF"), "name of 4294967295 bytes"},
		{"NUL in the name", patch(one, "sw-desc", "sw\x00desc"), `name "sw\x00description\x00": want NULs at its end`},
		{"no NUL", patch(one, "description\x00", "descriptionX"), `name "sw-descriptionX": want NULs at its end`},
		{"padding of the name", patch(one, "description\x00\x00", "description\x00X"), `byte 0x58 in the padding after the name of member "sw-description", want 0 at offset 125`},
		{"padding of the data", patch(one, "hello\x00\x00\x00", "hello\x00\x00X"), `byte 0x58 in the padding after the data of member "sw-description", want 0 at offset 135`},
		{"data behind the trailer", append(one[:len(one)-1:len(one)-1], 'X'), `byte 0x58 after the trailer, want zeros only at offset 511`},
		{"second archive", append(one[:len(one):len(one)], one...), `byte 0x30 after the trailer, want zeros only at offset 512`},
		{"trailer with data", patch(one, strings.Repeat("0", 48)+"0000000B", strings.Repeat("0", 8)+"00000004"+strings.Repeat("0", 32)+"0000000B"), "trailer with 4 bytes of data at offset 136"},
		{"same name twice", patch(build(t, file{"sw-description", "hello", nil}, file{"Sw-description", "x", nil}), "Sw-", "sw-"), `second member with the name "sw-description" at offset 136`},
	} {
		a, err := Scan(bytes.NewReader(c.data), nil)
		if c.want == "" {
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), c.want) || !fault.IsData(err) || a != nil {
			t.Errorf("%s: got %v, want %s", c.name, err, c.want)
		}
	}
}

// TestEmptyChecksum: a crc member without data has the sum 0.
func TestEmptyChecksum(t *testing.T) {
	data := build(t, file{"sw-description", "", newc})
	data = patch(data, "070701", "070702")
	if _, err := Scan(bytes.NewReader(data), nil); err != nil {
		t.Error(err)
	}
	data = patch(data, "0000000F00000000sw", "0000000F00000001sw")
	if _, err := Scan(bytes.NewReader(data), nil); err == nil || !strings.Contains(err.Error(), "got checksum 0x00000000, want 0x00000001") {
		t.Errorf("got %v, want a checksum error", err)
	}
}

// hardLinks builds an archive of linked files as stored, past Writer's checks.
func hardLinks(t testing.TB, sizes ...string) []byte {
	t.Helper()
	var files []file
	for i, data := range sizes {
		files = append(files, file{fmt.Sprintf("link%d", i), data, set(Ino, 100+i, NLink, 2)})
	}
	data := build(t, files...)
	for i := range sizes {
		data = bytes.Replace(data, fmt.Appendf(nil, "%08X", 100+i), []byte("00000064"), 1)
	}
	return data
}

func TestHardLinks(t *testing.T) {
	const want = `member "link0" is a hard link to "link1" without data of its own, and empty to swupdate; pack a copy of the file`
	_, err := Scan(bytes.NewReader(hardLinks(t, "", "data")), nil)
	if err == nil || !strings.Contains(err.Error(), want) || !fault.IsData(err) {
		t.Errorf("got %v, want %s", err, want)
	}
	_, err = Scan(bytes.NewReader(hardLinks(t, "data", "")), nil)
	if err == nil || !strings.Contains(err.Error(), `member "link1" is a hard link to "link0"`) {
		t.Errorf("got %v", err)
	}
	for _, data := range [][]byte{
		hardLinks(t, "", ""),
		hardLinks(t, "data", "data"),
		build(t, file{"a", "", set(Ino, 0)}, file{"b", "x", set(Ino, 0)}), // one link each: just careless
		build(t, file{"a", "", set(Ino, 7, NLink, 2)}, file{"b", "x", set(Ino, 7, NLink, 2, DevMinor, 1)}),
		build(t, file{"a", "", set(Ino, 7, NLink, 2, Mode, 0o40755)}, file{"b", "x", set(Ino, 7, NLink, 2)}),
	} {
		if _, err := Scan(bytes.NewReader(data), nil); err != nil {
			t.Error(err)
		}
	}
}

func TestReadWithoutNext(t *testing.T) {
	r := NewReader(bytes.NewReader(build(t, file{"sw-description", "hello", nil}, file{"b", "world", nil})))
	if n, err := r.Read(make([]byte, 5)); n != 0 || err != io.EOF {
		t.Errorf("before Next: got %d, %v", n, err)
	}
	if r.Trailer() != nil {
		t.Error("trailer before the end")
	}
	if _, err := r.Next(); err != nil {
		t.Fatal(err)
	}
	if n, err := r.Read(make([]byte, 2)); n != 2 || err != nil {
		t.Errorf("got %d, %v", n, err)
	}
	h, err := r.Next() // skips the rest
	if err != nil || h.Name != "b" {
		t.Fatalf("got %v, %v", h, err)
	}
	if err := iotest.TestReader(r, []byte("world")); err != nil {
		t.Error(err)
	}
	for range 2 {
		if _, err := r.Next(); err != io.EOF {
			t.Errorf("got %v, want EOF", err)
		}
	}
	if r.Trailer() == nil {
		t.Error("no trailer at the end")
	}
}

func TestErrorsStick(t *testing.T) {
	data := patch(build(t, file{"sw-description", "hello", nil}), "hello", "hallo")
	r := NewReader(bytes.NewReader(data))
	if _, err := r.Next(); err != nil {
		t.Fatal(err)
	}
	_, first := io.ReadAll(r)
	if first == nil {
		t.Fatal("wrong checksum not noticed")
	}
	if _, err := r.Next(); err != first {
		t.Errorf("Next: got %v, want %v", err, first)
	}
	if _, err := r.Read(make([]byte, 1)); err != first {
		t.Errorf("Read: got %v, want %v", err, first)
	}
}

// TestReadFault: an archive that cannot be read is not called a bad one.
func TestReadFault(t *testing.T) {
	data := samples(t)["mixed"]
	for n := 0; n < len(data); n += 13 {
		r := io.MultiReader(bytes.NewReader(data[:n]), iotest.ErrReader(syscall.EIO))
		if _, err := Scan(r, nil); !errors.Is(err, syscall.EIO) || fault.IsData(err) {
			t.Fatalf("EIO at %d: got %v", n, err)
		}
	}
}

func TestTooManyMembers(t *testing.T) {
	var b bytes.Buffer
	w := NewWriter(&b)
	for i := range maxMembers {
		if err := w.WriteHeader(NewHeader(fmt.Sprint(i), 0)); err != nil {
			t.Fatal(err)
		}
	}
	full := bytes.Clone(b.Bytes())
	if err := w.WriteHeader(NewHeader("x", 0)); err == nil || !strings.Contains(err.Error(), "more than 65536 members") {
		t.Errorf("Writer: got %v", err)
	}
	more := append(full, build(t, file{"x", "", nil})...)
	if _, err := Scan(bytes.NewReader(more), nil); err == nil || !strings.Contains(err.Error(), "more than 65536 members") {
		t.Errorf("Reader: got %v", err)
	}
}

func TestWriterErrors(t *testing.T) {
	hello := func() *Header {
		h := NewHeader("a", 5)
		h.Fields.Set(Check, sum([]byte("hello")))
		return h
	}
	with := func(change func(*Header)) *Header { h := hello(); change(h); return h }
	for _, c := range []struct {
		name  string
		write func(w *Writer) error
		want  string
	}{
		{"too long", func(w *Writer) error { w.WriteHeader(hello()); _, err := io.WriteString(w, "hello!"); return err }, `member "a": more data than the header says`},
		{"too short", func(w *Writer) error { w.WriteHeader(hello()); io.WriteString(w, "hell"); return w.Close() }, `member "a": 1 bytes missing: unexpected EOF`},
		{"other data", func(w *Writer) error {
			w.WriteHeader(hello())
			io.WriteString(w, "hallo")
			return w.WriteHeader(NewHeader("b", 0))
		}, `member "a": data has checksum 0x00000210, its header says 0x00000214`},
		{"no header", func(w *Writer) error { _, err := io.WriteString(w, "x"); return err }, "more data"},
		{"twice", func(w *Writer) error { w.WriteHeader(NewHeader("a", 0)); return w.WriteHeader(NewHeader("a", 0)) }, `second member with the name "a"`},
		{"after the end", func(w *Writer) error { w.Close(); return w.WriteHeader(hello()) }, "write after the archive's end"},
		{"second trailer", func(w *Writer) error { w.Close(); return w.WriteTrailer(newTrailer(CRC)) }, "write after the archive's end"},
		{"too large", func(w *Writer) error { return w.WriteHeader(NewHeader("a", 1<<32)) }, `member "a": 4294967296 bytes, want at most 4294967295`},
		{"negative", func(w *Writer) error { return w.WriteHeader(with(func(h *Header) { h.Size = -1 })) }, "-1 bytes"},
		{"no name", func(w *Writer) error { return w.WriteHeader(with(func(h *Header) { h.Name = "" })) }, "member name"},
		{"NUL", func(w *Writer) error { return w.WriteHeader(with(func(h *Header) { h.Name = "a\x00" })) }, "member name"},
		{"long name", func(w *Writer) error {
			return w.WriteHeader(with(func(h *Header) { h.Name = strings.Repeat("x", 4096) }))
		}, "want 1 to 4095 bytes"},
		{"trailer's name", func(w *Writer) error { return w.WriteHeader(NewHeader("TRAILER!!!", 0)) }, "reserved"},
		{"format", func(w *Writer) error { return w.WriteHeader(with(func(h *Header) { h.Format = "070707" })) }, "unknown format"},
		{"fields", func(w *Writer) error { return w.WriteHeader(&Header{Format: CRC, Name: "a"}) }, "not hexadecimal digits"},
		{"zeros", func(w *Writer) error { tr := newTrailer(CRC); tr.Extra = 100; return w.WriteTrailer(tr) }, "100 bytes of zeros"},
		{"trailer with data", func(w *Writer) error { tr := newTrailer(CRC); tr.Size = 1; return w.WriteTrailer(tr) }, "of 1 bytes"},
		{"trailer with checksum", func(w *Writer) error {
			tr := newTrailer(CRC)
			tr.Fields.Set(Check, 1)
			return w.WriteTrailer(tr)
		}, "checksum"},
	} {
		w := NewWriter(io.Discard)
		err := c.write(w)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %s", c.name, err, c.want)
		}
		if w.Close() == nil {
			t.Errorf("%s: Close forgets the error", c.name)
		}
	}
}

// fullDisk fails after n bytes.
type fullDisk struct{ n int }

func (d *fullDisk) Write(p []byte) (int, error) {
	if len(p) > d.n {
		n := d.n
		d.n = 0
		return n, syscall.ENOSPC
	}
	d.n -= len(p)
	return len(p), nil
}

func TestFullDisk(t *testing.T) {
	data := samples(t)["mixed"]
	for n := range data {
		w := NewWriter(&fullDisk{n})
		a, err := Scan(bytes.NewReader(data), func(h *Header, r io.Reader) error {
			if err := w.WriteHeader(h); err != nil {
				return err
			}
			_, err := io.Copy(w, r)
			return err
		})
		if err == nil {
			err = w.WriteTrailer(a.Trailer)
		}
		if !errors.Is(err, syscall.ENOSPC) || fault.IsData(err) {
			t.Fatalf("disk of %d bytes: got %v, want ENOSPC", n, err)
		}
		if err := w.Close(); !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("disk of %d bytes: Close: got %v", n, err)
		}
	}
}

// TestLargeMember writes and reads the largest possible member through a pipe:
// no size may be a signed 32-bit number, and the checksum wraps around.
func TestLargeMember(t *testing.T) {
	if testing.Short() {
		t.Skip("4 GiB of data")
	}
	const size = MaxSize
	r, w := io.Pipe()
	go func() {
		aw := NewWriter(w)
		h := NewHeader("sw-description", size)
		var wrapped uint64 = size * 0xff
		h.Fields.Set(Check, uint32(wrapped))
		err := aw.WriteHeader(h)
		b := bytes.Repeat([]byte{0xff}, 1<<20)
		for n := int64(size); n > 0 && err == nil; n -= int64(len(b)) {
			_, err = aw.Write(b[:min(n, int64(len(b)))])
		}
		if err == nil {
			err = aw.WriteHeader(NewHeader("behind", 0))
		}
		if err == nil {
			err = aw.Close()
		}
		w.CloseWithError(err)
	}()
	a, err := Scan(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if h := a.Members[0]; h.Size != size || h.Offset != 128 {
		t.Errorf("size %d at %d", h.Size, h.Offset)
	}
	if h := a.Members[1]; h.HeaderOffset != 1<<32+128 {
		t.Errorf("second header at %d", h.HeaderOffset)
	}
}

func TestIsArchive(t *testing.T) {
	for head, want := range map[string]bool{"": false, "07070": false, "070701": true, "070702": true, "0707021234": true, "070707": false, "\x1f\x8b\x08\x00\x00\x00": false} {
		if got := IsArchive([]byte(head)); got != want {
			t.Errorf("%q: got %v", head, got)
		}
	}
}

func TestChecksum(t *testing.T) {
	check, size, err := Checksum(iotest.OneByteReader(strings.NewReader("hello")))
	if check != 0x214 || size != 5 || err != nil {
		t.Errorf("got %#x, %d, %v", check, size, err)
	}
	if _, _, err := Checksum(iotest.ErrReader(syscall.EIO)); err != syscall.EIO {
		t.Errorf("got %v", err)
	}
}

func TestDescribe(t *testing.T) {
	data := samples(t)["mixed"]
	l, err := Describe(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if l.Size != int64(len(data)) || len(l.Members) != 7 || l.Trailer.HeaderOffset+124+l.Trailer.Zeros != l.Size {
		t.Errorf("got %+v", l)
	}
	m := l.Members[5]
	if string(m.RawName) != "e\xff\n\t" || m.MTime != 1<<32-1 || m.DevMajor != 8 || m.RDevMinor != 4 || m.Check != 5*'5' {
		t.Errorf("got %+v", m)
	}
	if l.Members[0].RawName != nil {
		t.Error("raw name of a name in UTF-8")
	}
	var b bytes.Buffer
	if err := l.WriteText(&b); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(b.String(), "\n")
	if len(lines) != 8 || !strings.HasSuffix(lines[5], ` "e\xff\n\t"`) || !strings.HasPrefix(lines[1], "newc ") || !strings.HasSuffix(lines[4], " dir/c") {
		t.Errorf("got %s", b.String())
	}
}

func TestWarnings(t *testing.T) {
	for _, c := range []struct {
		names string
		want  int
	}{
		{"sw-description sw-description.sig a", 0},
		{"sw-description a", 0},
		{"sw-description a sw-description.sig", 1},
		{"sw-description.sig sw-description", 1},
		{"sw-description.sig", 1},
	} {
		a := &Archive{}
		for _, n := range strings.Fields(c.names) {
			a.Members = append(a.Members, NewHeader(n, 0))
		}
		if got := a.Warnings(); len(got) != c.want {
			t.Errorf("%s: got %q", c.names, got)
		}
	}
	data := samples(t)["mixed"]
	a, err := Scan(bytes.NewReader(data), nil)
	if err != nil || a.Warnings() != nil {
		t.Fatalf("got %q, %v", a.Warnings(), err)
	}
	if a, err = Scan(bytes.NewReader(data[:a.Trailer.Offset]), nil); err != nil || len(a.Warnings()) != 1 {
		t.Errorf("got %q, %v", a.Warnings(), err)
	}
}

func BenchmarkSum(b *testing.B) {
	p := make([]byte, 1<<20)
	b.SetBytes(int64(len(p)))
	for b.Loop() {
		sum(p)
	}
}
