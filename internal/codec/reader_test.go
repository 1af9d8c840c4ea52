// SPDX-License-Identifier: MIT

package codec

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/zstd"

	"swudelta/internal/fault"
	"swudelta/internal/tooltest"
)

// stream is one compressed form of content and the reader that undoes it.
type stream struct {
	name string
	data []byte
	want []byte
	open func(io.Reader) (io.Reader, error)
}

// streams returns every kind of stream, small, with a checksum where the format
// has one.
func streams(t testing.TB) []stream {
	want := content(2000)
	z := zlibOf(t)
	deflated := func(c Container) []byte {
		return write(t, want, 0, func(w io.Writer) (io.WriteCloser, error) { return z.NewWriter(w, c, 6) })
	}
	members := append(gzipped(t, want[:700], "first"), gzipped(t, nil, "")...)
	members = append(members, gzipped(t, want[700:], "")...)
	frames := append(skippable(5), zstdFrame(t, want[:700])...)
	frames = append(append(frames, skippable(0)...), zstdFrame(t, nil)...)
	frames = append(frames, zstdFrame(t, want[700:])...)

	all := func(r io.Reader) (io.Reader, error) { c, _, err := NewReader(r); return c, err }
	return []stream{
		{"plain", want, want, all},
		{"gzip", gzipped(t, want, ""), want, all},
		{"gzip of several members", members, want, all},
		{"gzip of one member", gzipped(t, want, "name"), want, func(r io.Reader) (io.Reader, error) { return NewGzipReader(r, false) }},
		{"zlib", deflated(ContainerZlib), want, func(r io.Reader) (io.Reader, error) { return NewZlibReader(r) }},
		{"deflate", deflated(ContainerRaw), want, func(r io.Reader) (io.Reader, error) { return NewDeflateReader(r), nil }},
		{"zstd", zstdFrame(t, want), want, all},
		{"zstd of several frames", frames, want, all},
		{"bzip2", write(t, want, 0, bzip2Of(t).NewWriter), want, func(r io.Reader) (io.Reader, error) { return NewBzip2Reader(r), nil }},
	}
}

func gzipped(t testing.TB, data []byte, name string) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Name = name
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	w.Close()
	return b.Bytes()
}

// zstdFrame returns a frame with a checksum, and with content even if empty.
func zstdFrame(t testing.TB, data []byte) []byte {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderCRC(true), zstd.WithZeroFrames(true))
	if err != nil {
		t.Fatal(err)
	}
	return e.EncodeAll(data, nil)
}

func skippable(n byte) []byte {
	return append([]byte{0x53, 0x2a, 0x4d, 0x18, n, 0, 0, 0}, make([]byte, n)...)
}

func (s stream) read(r io.Reader) ([]byte, error) {
	c, err := s.open(r)
	if err != nil {
		if c != nil {
			return nil, fmt.Errorf("a reader beside the error: %v", err)
		}
		return nil, err
	}
	return io.ReadAll(c)
}

func TestReaders(t *testing.T) {
	for _, s := range streams(t) {
		for name, wrap := range map[string]func(io.Reader) io.Reader{
			"plainly":    func(r io.Reader) io.Reader { return r },
			"one byte":   iotest.OneByteReader,
			"half":       iotest.HalfReader,
			"early EOF":  iotest.DataErrReader,
			"not a file": func(r io.Reader) io.Reader { return struct{ io.Reader }{r} },
		} {
			got, err := s.read(wrap(bytes.NewReader(s.data)))
			if err != nil || !bytes.Equal(got, s.want) {
				t.Errorf("%s, %s: got %d bytes, %v", s.name, name, len(got), err)
			}
		}
		if c, err := s.open(bytes.NewReader(s.data)); err != nil {
			t.Error(err)
		} else if err := iotest.TestReader(c, s.want); err != nil {
			t.Errorf("%s: %v", s.name, err)
		}
	}
}

func TestTruncatedAtEveryByte(t *testing.T) {
	for _, s := range streams(t) {
		if s.name == "plain" {
			continue
		}
		// Where NewReader recognises by the head, a shorter one is plain.
		first := 4
		whole := map[int]bool{}
		switch s.name {
		case "gzip of several members", "zstd of several frames":
			whole = boundaries(t, s)
		case "zlib", "deflate", "bzip2", "gzip of one member":
			first = 0
		}
		for n := first; n < len(s.data); n++ {
			got, err := s.read(bytes.NewReader(s.data[:n]))
			switch {
			case whole[n]:
				if err != nil || !bytes.HasPrefix(s.want, got) {
					t.Errorf("%s cut at the boundary %d: got %v", s.name, n, err)
				}
			case !fault.IsData(err) || !errors.Is(err, io.ErrUnexpectedEOF):
				t.Errorf("%s cut at %d of %d: got %v, want unexpected EOF", s.name, n, len(s.data), err)
			case !bytes.HasPrefix(s.want, got):
				t.Errorf("%s cut at %d: wrong bytes", s.name, n)
			}
		}
	}
}

// boundaries returns where members or frames end.
func boundaries(t *testing.T, s stream) map[int]bool {
	magic := []byte{0x1f, 0x8b, 8}
	if s.name == "zstd of several frames" {
		magic = []byte{0x28, 0xb5, 0x2f, 0xfd}
	}
	ends := map[int]bool{}
	for i := 1; i < len(s.data); i++ {
		if bytes.HasPrefix(s.data[i:], magic) || bytes.HasPrefix(s.data[i:], skippable(0)[:4]) {
			ends[i] = true
		}
	}
	if len(ends) != 2 && len(ends) != 4 {
		t.Fatalf("%s: %d boundaries", s.name, len(ends))
	}
	return ends
}

func TestCorruptAtEveryByte(t *testing.T) {
	for _, s := range streams(t) {
		if s.name == "plain" || s.name == "deflate" { // nothing to notice it by
			continue
		}
		for i := range s.data {
			bad := bytes.Clone(s.data)
			bad[i] ^= 0x55
			got, err := s.read(bytes.NewReader(bad))
			switch {
			case err != nil && !fault.IsData(err):
				t.Errorf("%s, byte %d: got %v, not a data fault", s.name, i, err)
			case err == nil && !bytes.Equal(got, s.want) && !(i < 4 && bytes.Equal(got, bad)):
				t.Errorf("%s, byte %d: wrong content, no error", s.name, i)
			}
		}
	}
}

func TestDataBehindTheEnd(t *testing.T) {
	for _, s := range streams(t) {
		if s.name == "plain" {
			continue
		}
		for _, tail := range []string{"\x00", "garbage, and more of it", "\x00garbage", "\x1f"} {
			if tail == "\x00" && (s.name == "gzip" || s.name == "gzip of several members") {
				continue // padding
			}
			_, err := s.read(bytes.NewReader(append(bytes.Clone(s.data), tail...)))
			if !fault.IsData(err) {
				t.Errorf("%s and %q: got %v", s.name, tail, err)
			}
		}
	}
	two := append(gzipped(t, []byte("one"), ""), gzipped(t, []byte("two"), "")...)
	r, err := NewGzipReader(bytes.NewReader(two), false)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); string(got) != "one" || !fault.IsData(err) {
		t.Errorf("second member: got %q, %v", got, err)
	}
}

// Zeros behind gzip are padding, however many; zeros before more data are not.
func TestGzipPadding(t *testing.T) {
	want := content(3000)
	one, two := gzipped(t, want, ""), append(gzipped(t, want[:1000], ""), gzipped(t, want[1000:], "")...)
	for _, data := range [][]byte{one, two} {
		for _, n := range []int{1, 2, 4, 511, 512, 70000, 1 << 20} {
			padded := append(bytes.Clone(data), make([]byte, n)...)
			for _, wrap := range []func(io.Reader) io.Reader{func(r io.Reader) io.Reader { return r }, iotest.OneByteReader, iotest.DataErrReader} {
				r, kind, err := NewReader(wrap(bytes.NewReader(padded)))
				if err != nil || kind != KindGzip {
					t.Fatalf("%d zeros: %v, %v", n, kind, err)
				}
				if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, want) {
					t.Errorf("%d zeros: got %d bytes, %v", n, len(got), err)
				}
			}
			r, _, err := NewReader(bytes.NewReader(append(padded, one...)))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadAll(r); !fault.IsData(err) {
				t.Errorf("%d zeros and another member: got %v", n, err)
			}
		}
	}
}

// A failing disk says nothing about the stream.
func TestReadErrorIsNotADataFault(t *testing.T) {
	for _, s := range streams(t) {
		for _, n := range []int{0, 1, 5, 20, len(s.data) / 2, len(s.data)} {
			r := io.MultiReader(bytes.NewReader(s.data[:n]), iotest.ErrReader(syscall.EIO))
			if _, err := s.read(r); !errors.Is(err, syscall.EIO) || fault.IsData(err) {
				t.Errorf("%s after %d bytes: got %v", s.name, n, err)
			}
		}
	}
}

func TestEmptyInput(t *testing.T) {
	for _, s := range streams(t) {
		got, err := s.read(bytes.NewReader(nil))
		switch s.name {
		case "zlib", "deflate", "bzip2", "gzip of one member":
			if !fault.IsData(err) {
				t.Errorf("%s: got %v", s.name, err)
			}
		default:
			if len(got) != 0 || err != nil {
				t.Errorf("%s: got %d bytes, %v", s.name, len(got), err)
			}
		}
	}
}

func TestForeignCompression(t *testing.T) {
	for kind, head := range map[Kind]string{
		KindXZ:    "\xfd7zXZ\x00\x00\x04\xe6\xd6\xb4\x46",
		KindBzip2: "BZh91AY&SY\x00\x00",
		KindLZ4:   "\x04\x22\x4d\x18\x64\x40\xa7\x00",
	} {
		r, got, err := NewReader(bytes.NewReader([]byte(head)))
		if r != nil || got != kind || !fault.IsData(err) {
			t.Errorf("%v: got %v, %v, %v", kind, r, got, err)
		}
	}
}

func TestReadAfterClose(t *testing.T) {
	for _, s := range streams(t) {
		r, err := s.open(bytes.NewReader(s.data))
		c, ok := r.(io.Closer)
		if err != nil || !ok || s.name == "plain" {
			continue
		}
		if err := errors.Join(c.Close(), c.Close()); err != nil {
			t.Error(err)
		}
		if n, err := r.Read(make([]byte, 10)); n != 0 || err == nil || err == io.EOF {
			t.Errorf("%s: got %d, %v", s.name, n, err)
		}
	}
}

// emptyFrame has a window of 1<<log bytes, no content size, one empty block.
func emptyFrame(log byte) []byte {
	return []byte{0x28, 0xb5, 0x2f, 0xfd, 0, (log - 10) << 3, 1, 0, 0}
}

func TestWindowLimit(t *testing.T) {
	dict := []byte("a prefix of some bytes")
	for _, c := range []struct {
		name string
		open func(log byte) (io.ReadCloser, error)
		most byte
	}{
		{"default", func(log byte) (io.ReadCloser, error) { return NewZstdReader(bytes.NewReader(emptyFrame(log)), 0) }, 27},
		{"given", func(log byte) (io.ReadCloser, error) { return NewZstdReader(bytes.NewReader(emptyFrame(log)), 1<<20) }, 20},
		{"dictionary", func(log byte) (io.ReadCloser, error) {
			return NewZstdDictReader(bytes.NewReader(emptyFrame(log)), dict, 0)
		}, 28},
		{"any stream", func(log byte) (io.ReadCloser, error) {
			r, _, err := NewReader(bytes.NewReader(emptyFrame(log)))
			return r, err
		}, 27},
	} {
		for _, log := range []byte{10, c.most, c.most + 1, 41} {
			r, err := c.open(log)
			if err == nil {
				_, err = io.ReadAll(r)
				r.Close()
			}
			if log <= c.most && err != nil || log > c.most && !fault.IsData(err) {
				t.Errorf("%s: window 1<<%d: got %v", c.name, log, err)
			}
		}
	}
}

func TestDictionary(t *testing.T) {
	tooltest.Need(t, "zstd")
	dir := t.TempDir()
	old := content(300_000)
	target := append(append(bytes.Clone(old[100_000:]), "something new"...), old[:150_000]...)
	oldFile, newFile := filepath.Join(dir, "old"), filepath.Join(dir, "new")
	for name, data := range map[string][]byte{oldFile: old, newFile: target} {
		if err := os.WriteFile(name, data, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	frame := output(t, nil, "zstd", "-qq", "--patch-from="+oldFile, "-c", newFile)
	if len(frame) > 2000 {
		t.Fatalf("the frame has %d bytes: no use of the dictionary", len(frame))
	}
	r, err := NewZstdDictReader(bytes.NewReader(frame), old, 0)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, target) {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
	if r, err = NewZstdReader(bytes.NewReader(frame), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(r); !fault.IsData(err) {
		t.Errorf("without the dictionary: got %v", err)
	}
}

func FuzzNewReader(f *testing.F) {
	for _, s := range streams(f) {
		f.Add(s.data)
	}
	f.Add(emptyFrame(27))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, kind, err := NewReader(bytes.NewReader(data))
		if err != nil {
			if !fault.IsData(err) || r != nil {
				t.Fatalf("got %v, %v", r, err)
			}
			return
		}
		defer r.Close()
		got, err := io.ReadAll(io.LimitReader(r, 1<<20))
		switch {
		case err != nil && (!fault.IsData(err) || kind == KindPlain):
			t.Fatal(err)
		case kind == KindPlain && !bytes.Equal(got, data[:min(len(data), 1<<20)]):
			t.Fatal("plain bytes changed")
		case kind == KindGzip:
			// The standard library is a decoder of its own, without padding. The
			// checksum and the length of the last member may end in zeros.
			unpadded := bytes.TrimRight(data, "\x00")
			var want []byte
			gerr := io.ErrUnexpectedEOF
			for n := len(unpadded); gerr != nil && n <= min(len(data), len(unpadded)+8); n++ {
				var g *gzip.Reader
				if g, gerr = gzip.NewReader(bytes.NewReader(data[:n])); gerr == nil {
					want, gerr = io.ReadAll(io.LimitReader(g, 1<<20))
				}
			}
			if (err == nil) != (gerr == nil) || err == nil && !bytes.Equal(got, want) {
				t.Fatalf("got %d bytes, %v; the standard library %d, %v", len(got), err, len(want), gerr)
			}
		}
	})
}

func FuzzBzip2Reader(f *testing.F) {
	f.Add(write(f, content(500), 0, bzip2Of(f).NewWriter))
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := io.Copy(io.Discard, io.LimitReader(NewBzip2Reader(bytes.NewReader(data)), 1<<20)); err != nil && !fault.IsData(err) {
			t.Fatal(err)
		}
	})
}
