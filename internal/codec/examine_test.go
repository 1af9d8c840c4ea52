// SPDX-License-Identifier: MIT

package codec

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"

	"swudelta/internal/fault"
)

func TestExamine(t *testing.T) {
	want := content(5000)
	one := gzipped(t, want, "")
	n := int64(len(one))
	frame := zstdFrame(t, want)
	zeros := func(n int) []byte { return make([]byte, n) }
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	lzma := append([]byte{0x5d, 0, 0, 0x80, 0}, bytes.Repeat([]byte{0xff}, 8)...)
	for _, c := range []struct {
		name    string
		data    []byte
		kind    Kind
		what    string
		members int
		end     int64
		damage  string
	}{
		{"empty", nil, KindPlain, "empty", 0, 0, ""},
		{"plain", want, KindPlain, "nothing that is known to be compressed", 0, 0, ""},
		{"gzip", one, KindGzip, "gzip", 1, n, ""},
		{"three members", join(one, one, one), KindGzip, "gzip", 3, n, ""},
		{"padding", join(one, one, zeros(700)), KindGzip, "gzip", 2, n, ""},
		{"data behind", join(one, zeros(7), []byte("x")), KindGzip, "gzip", 1, n, "gzip stream: data after its end"},
		{"cut", one[:len(one)-9], KindGzip, "gzip", 1, 0, "unexpected EOF"},
		{"header alone", one[:10], KindGzip, "gzip", 1, 0, "unexpected EOF"},
		{"less than a header", one[:5], KindGzip, "gzip", 0, 0, "unexpected EOF"},
		{"half a magic number", []byte("\x1f\x8b"), KindGzip, "gzip", 0, 0, "unexpected EOF"},
		{"zstd", join(frame, skippable(3), frame), KindZstd, "zstd", 0, 0, ""},
		{"zstd and zeros", join(frame, zeros(4)), KindZstd, "zstd", 0, 0, "zstd stream: "},
		{"zstd, cut", frame[:len(frame)-1], KindZstd, "zstd", 0, 0, "unexpected EOF"},
		{"zstd, wide window", emptyFrame(31), KindZstd, "zstd", 0, 0, "window size exceeded"},
		{"zstd, dictionary", []byte("\x28\xb5\x2f\xfd\x21\x07\x00\x01\x00\x00"), KindZstd, "zstd", 0, 0, "unknown dictionary"},
		{"xz", []byte("\xfd7zXZ\x00\x00\x04"), KindXZ, "xz", 0, 0, ""},
		{"zlib", []byte("\x78\x9c\x03\x00\x00\x00\x00\x01"), KindPlain, "a zlib stream (RFC 1950)", 0, 0, ""},
		{"lzma", lzma, KindPlain, "an lzma stream (the older format of xz)", 0, 0, ""},
		{"openssl", []byte("Salted__12345678"), KindPlain, "encrypted by openssl", 0, 0, ""},
	} {
		for _, wrap := range []func(io.Reader) io.Reader{func(r io.Reader) io.Reader { return r }, iotest.OneByteReader} {
			got, err := Examine(wrap(bytes.NewReader(c.data)))
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
			if got.Kind != c.kind || got.What != c.what || got.Members != c.members || got.End != c.end {
				t.Errorf("%s: got %+v", c.name, got)
			}
			if (got.Damage == nil) != (c.damage == "") || got.Damage != nil && !strings.Contains(got.Damage.Error(), c.damage) {
				t.Errorf("%s: got damage %v, want %q", c.name, got.Damage, c.damage)
			}
		}
		for _, n := range []int{0, len(c.data) / 2, len(c.data)} {
			r := io.MultiReader(bytes.NewReader(c.data[:n]), iotest.ErrReader(syscall.EIO))
			// What is no stream is not read to its end.
			if got, err := Examine(r); (err != nil || n == 0) && !errors.Is(err, syscall.EIO) {
				t.Errorf("%s after %d bytes: got %+v, %v", c.name, n, got, err)
			}
		}
	}
}

// Damage is what NewReader finds.
func FuzzExamine(f *testing.F) {
	for _, s := range streams(f) {
		f.Add(s.data)
		f.Add(append(bytes.Clone(s.data), 0, 0, 0))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Examine(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		r, kind, err := NewReader(bytes.NewReader(data))
		if err == nil {
			_, err = io.Copy(io.Discard, r)
			r.Close()
		}
		switch {
		case kind == KindPlain && s.Kind != KindPlain && s.Damage == nil:
			t.Errorf("got %+v of a plain stream", s)
		case kind == KindGzip || kind == KindZstd:
			if s.Kind != kind || (s.Damage == nil) != (err == nil) || err != nil && !fault.IsData(err) {
				t.Errorf("got %+v, the reader says %v", s, err)
			}
		case s.End > int64(len(data)):
			t.Errorf("got %+v of %d bytes", s, len(data))
		}
	})
}
