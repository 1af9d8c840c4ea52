// SPDX-License-Identifier: MIT

package member

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"image"
	"image/color"
	"image/png"
	"io"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// text is content that compresses.
func text(n int) []byte {
	r := rand.New(rand.NewPCG(1, 2))
	var b bytes.Buffer
	for b.Len() < n {
		b.WriteString([]string{"kernel ", "module ", "firmware\n", "update ", "0x"}[r.IntN(5)])
		b.WriteByte(byte('a' + r.IntN(26)))
	}
	return b.Bytes()[:n]
}

func gzipped(t testing.TB, b []byte, name string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	w.Name = name
	w.Write(b)
	w.Close()
	return out.Bytes()
}

func zipped(t testing.TB, files ...[]byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for i, b := range files {
		f, err := w.Create(string(rune('a'+i)) + ".txt")
		if err != nil {
			t.Fatal(err)
		}
		f.Write(b)
	}
	w.Close()
	return out.Bytes()
}

func picture(t testing.TB) []byte {
	t.Helper()
	m := image.NewGray(image.Rect(0, 0, 64, 48))
	for i := range m.Pix {
		m.Pix[i] = color.Gray{uint8(i * i / 7)}.Y
	}
	var out bytes.Buffer
	if err := png.Encode(&out, m); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// chunked is a PNG image with its data in chunks of n bytes.
func chunked(b []byte, n int) (out []byte) {
	out, b = append(out, b[:len(pngHead)]...), b[len(pngHead):]
	put := func(kind string, data []byte) {
		out = binary.BigEndian.AppendUint32(out, uint32(len(data)))
		from := len(out)
		out = append(append(out, kind...), data...)
		out = binary.BigEndian.AppendUint32(out, crc32.ChecksumIEEE(out[from:]))
	}
	for len(b) > 0 {
		size, _ := pngLength(b)
		kind, data := string(b[4:8]), b[8:8+size]
		if b = b[pngChunk+size+pngSum:]; kind != pngData {
			put(kind, data)
			continue
		}
		for part := range slices.Chunk(data, n) {
			put(kind, part)
		}
	}
	return out
}

// A PNG image whose chunks do not state what is in them stays closed: of wrong checksums, or with an empty
// chunk, or bytes behind the stream. One that is cut short is not opened.
func TestOddPNG(t *testing.T) {
	good := chunked(picture(t), 500)
	first := bytes.Index(good, []byte(pngData)) - 4
	empty := slices.Concat(good[:first], []byte("\x00\x00\x00\x00IDAT\x35\xaf\x06\x1e"), good[first:])
	sum := slices.Clone(good)
	sum[first+pngChunk+500] ^= 1
	behind := slices.Concat(good[:len(good)-12], []byte("\x00\x00\x00\x01IDATx"), binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE([]byte("IDATx"))), good[len(good)-12:])
	for name, b := range map[string][]byte{"empty chunk": empty, "checksum": sum, "bytes behind": behind} {
		m := mustFind(t, b)[0]
		if err := m.Close(nil); !errors.Is(err, ErrUnclosable) {
			t.Errorf("%s: %v, want ErrUnclosable", name, err)
		}
	}
	for n := range len(good) {
		if list, err := (&Finder{}).Find(good[:n]); err != nil || len(list) > 0 && list[0].End() > int64(n) {
			t.Fatalf("%d bytes: %d members: %v", n, len(list), err)
		}
	}
	m := mustFind(t, good)[0]
	if err := m.Close(nil); err != nil {
		t.Fatal(err)
	}
	_, _, script, err := pngImage{}.parse(m.CloseParams)
	if err != nil {
		t.Fatal(err)
	}
	for n := range len(m.CloseParams) - len(script) {
		if err := Try(pngImage{}, m.Stored, bytes.NewReader(m.Content), m.CloseParams[:n], nil); err == nil {
			t.Errorf("%d bytes of parameters of %d do", n, len(m.CloseParams))
		}
	}
}

// check holds a tree against the bytes that it was found in, and closes all of it again.
func check(t *testing.T, b []byte, list []*Member) {
	t.Helper()
	at := int64(0)
	libs := libraries()
	for _, m := range list {
		if m.Off < at || m.End() > int64(len(b)) {
			t.Fatalf("%v member at %d of %d bytes overlaps another", m.Number, m.Off, m.Len)
		}
		at = m.End()
		f, _ := Lookup(m.Number)
		r, err := f.Open(bytes.NewReader(b[m.Off:m.End()]), m.OpenParams)
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(content, m.Content) {
			t.Fatalf("%v member at %d: opened to %d bytes of %d: %v", m.Number, m.Off, len(content), len(m.Content), err)
		}
		r.Close()
		if err := m.Close(libs); err != nil {
			t.Fatalf("%v member at %d: %v", m.Number, m.Off, err)
		}
		var out bytes.Buffer
		if err := f.Close(&out, bytes.NewReader(m.Content), m.CloseParams, libs); err != nil || !bytes.Equal(out.Bytes(), b[m.Off:m.End()]) {
			t.Fatalf("%v member at %d closes to other bytes: %v", m.Number, m.Off, err)
		}
		check(t, m.Content, m.Members)
	}
}

// shape names the members of a tree.
func shape(list []*Member) string {
	var out []string
	for _, m := range list {
		s := m.Number.String()
		if len(m.Members) > 0 {
			s += "(" + shape(m.Members) + ")"
		}
		out = append(out, s)
	}
	return strings.Join(out, " ")
}

func TestFind(t *testing.T) {
	a, b := text(9000), text(40000)
	noise := make([]byte, 5000)
	for i := range noise {
		noise[i] = byte(i * 7 >> 3)
	}
	for _, c := range []struct {
		name string
		b    []byte
		want string
	}{
		{"nothing", noise, ""},
		{"empty", nil, ""},
		{"gzip", gzipped(t, a, ""), "gzip"},
		{"gzip with a name", gzipped(t, a, "text"), "gzip"},
		{"two", slices.Concat(gzipped(t, a, ""), gzipped(t, b, "x")), "gzip gzip"},
		{"in the middle", slices.Concat(noise, gzipped(t, a, ""), noise), "gzip"},
		{"damaged", slices.Concat(gzipped(t, a, "")[:200], noise), ""},
		{"cut short", gzipped(t, a, "")[:700], ""},
		{"too short", gzipped(t, a[:20], ""), ""},
		{"nested", gzipped(t, slices.Concat(noise, gzipped(t, a, ""), noise, gzipped(t, b, "")), ""), "gzip(gzip gzip)"},
		{"zip", zipped(t, a, b, noise), "deflate deflate deflate"},
		{"zip in gzip", gzipped(t, slices.Concat(noise, zipped(t, a, b)), ""), "gzip(deflate deflate)"},
		{"picture", picture(t), "png"},
		{"picture in chunks", chunked(picture(t), 100), "png"},
		{"pictures", slices.Concat(chunked(picture(t), 7), noise, chunked(picture(t), 1)), "png png"},
	} {
		t.Run(c.name, func(t *testing.T) {
			list, err := (&Finder{}).Find(c.b)
			if err != nil {
				t.Fatal(err)
			}
			if got := shape(list); got != c.want {
				t.Fatalf("found %q, want %q", got, c.want)
			}
			check(t, c.b, list)
		})
	}
}

func TestLimits(t *testing.T) {
	a := text(9000)
	deep := a
	for range 10 {
		deep = gzipped(t, slices.Concat(deep, text(3000)), "")
	}
	bomb := gzipped(t, make([]byte, 64<<20), "")
	for _, c := range []struct {
		name string
		f    Finder
		b    []byte
		want string
	}{
		{"depth", Finder{Depth: 2}, deep, "gzip(gzip)"},
		{"count", Finder{Count: 2}, slices.Concat(gzipped(t, a, ""), gzipped(t, a, ""), gzipped(t, a, "")), "gzip gzip"},
		{"content", Finder{Content: 20000}, slices.Concat(gzipped(t, a, ""), gzipped(t, a, ""), gzipped(t, a, "")), "gzip gzip"},
		{"ratio", Finder{}, bomb, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			list, err := c.f.Find(c.b)
			if err != nil {
				t.Fatal(err)
			}
			if got := shape(list); got != c.want {
				t.Errorf("found %q, want %q", got, c.want)
			}
		})
	}
	failing := errors.New("no space")
	f := Finder{Load: func(io.Reader) ([]byte, error) { return nil, failing }}
	if _, err := f.Find(gzipped(t, text(2<<20), "")); !errors.Is(err, failing) {
		t.Errorf("error %v, want that of Load", err)
	}
}

// What is closed is what gzip(1) wrote, and a wrong checksum is not made right.
func TestGzipOracle(t *testing.T) {
	if _, err := exec.LookPath("gzip"); err != nil {
		t.Skip("no gzip")
	}
	for _, level := range []string{"-1", "-6", "-9"} {
		cmd := exec.Command("gzip", "-n", level)
		cmd.Stdin = bytes.NewReader(text(300000))
		b, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		list, err := (&Finder{}).Find(b)
		if err != nil || len(list) != 1 {
			t.Fatalf("%d members: %v", len(list), err)
		}
		check(t, b, list)
		if n := len(list[0].CloseParams); n > 200 {
			t.Errorf("gzip %s: %d bytes of parameters", level, n)
		}
		b[len(b)-6] ^= 1
		if err := list[0].Close(nil); !errors.Is(err, ErrUnclosable) {
			t.Errorf("wrong checksum: %v, want ErrUnclosable", err)
		}
	}
}

// Numbers stand in deltas: each has a format, a name of its own, and magic numbers that can be told
// from others.
func TestFormats(t *testing.T) {
	names := map[string]bool{Stored.String(): true}
	for n, f := range formats {
		if n == Stored || names[f.Name()] || n.String() != f.Name() {
			t.Errorf("format %d has the name %q", n, f.Name())
		}
		names[f.Name()] = true
		for _, m := range f.Magics() {
			if len(m) < 2 {
				t.Errorf("%s: magic number %q is too short", f.Name(), m)
			}
		}
	}
}

func FuzzFind(f *testing.F) {
	f.Add(gzipped(f, text(400), "a"))
	f.Add(zipped(f, text(500), text(300)))
	f.Add(picture(f))
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := (&Finder{Content: 1 << 20}).Find(b)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range list {
			if m.Len < leastMember || m.End() > int64(len(b)) {
				t.Fatalf("member at %d of %d bytes in %d", m.Off, m.Len, len(b))
			}
			if err := m.Close(nil); err != nil && !errors.Is(err, ErrUnclosable) {
				t.Fatal(err)
			}
		}
	})
}

// Whatever the parameters are, closing ends, with no more than an error.
func FuzzClose(f *testing.F) {
	for n := range formats {
		f.Add(uint8(n), text(100), []byte{1, 2, 3})
	}
	f.Fuzz(func(t *testing.T, number uint8, content, params []byte) {
		format, ok := Lookup(Number(number))
		if !ok {
			return
		}
		format.CloseMemory(params, 1<<20, 1<<20)
		format.Close(io.Discard, bytes.NewReader(content), params, &Libraries{})
		if len(params) <= MaxOpenParams {
			if r, err := format.Open(bytes.NewReader(content), params); err == nil {
				io.Copy(io.Discard, io.LimitReader(r, 1<<20))
				r.Close()
			}
		}
	})
}
