// SPDX-License-Identifier: MIT

package codec

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"
)

func TestSameBytes(t *testing.T) {
	for _, c := range []struct {
		a, b string
		p    LZ4Params
		want bool
	}{
		{"1.9.4", "1.10.0", LZ4Params{Level: 9}, true},
		{"1.9.4", "1.10.0", LZ4Params{Level: 2}, false},
		{"1.9.4", "1.10.0", LZ4Params{Level: 2, Legacy: true}, true},
		{"1.9.2", "1.9.4", LZ4Params{Level: 2}, true},
		{"1.9.2", "1.9.4", LZ4Params{Level: 12}, false},
		{"1.9.2", "1.9.4", LZ4Params{Level: 3}, true},
		{"1.8.2", "1.9.4", LZ4Params{Level: 3}, false},
		{"1.10.1", "1.9.4", LZ4Params{Level: 3}, false},
		{"2.0", "2.0", LZ4Params{Level: 3}, true},
		{"1.9.4", "1.9.4x", LZ4Params{Level: 3}, false},
	} {
		if SameLZ4Bytes(c.a, c.b, c.p) != c.want || SameLZ4Bytes(c.b, c.a, c.p) != c.want {
			t.Errorf("liblz4 %s and %s, %+v: want %v", c.a, c.b, c.p, c.want)
		}
	}
	for _, c := range []struct {
		a, b string
		p    ZstdParams
		want bool
	}{
		{"1.4.8", "1.5.0", ZstdParams{Level: 1}, true},
		{"1.4.8", "1.5.0", ZstdParams{Level: 5}, false},
		{"1.5.2", "1.5.6", ZstdParams{Level: 3, Workers: true}, true},
		{"1.5.2", "1.5.6", ZstdParams{Level: 1}, false},
		{"1.5.2", "1.5.6", ZstdParams{Level: 4}, false},
		{"1.5.2", "1.5.6", ZstdParams{Level: 3, Long: true}, false},
		{"1.5.0", "1.5.2", ZstdParams{Level: 3}, false},
		{"1.5.6", "1.5.7", ZstdParams{Level: 3}, false},
		{"1.6.0", "1.6.0", ZstdParams{Level: 22, Long: true}, true},
	} {
		if SameZstdBytes(c.a, c.b, c.p) != c.want || SameZstdBytes(c.b, c.a, c.p) != c.want {
			t.Errorf("libzstd %s and %s, %+v: want %v", c.a, c.b, c.p, c.want)
		}
	}
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"5.2.5", "5.8.3", true}, {"5.4.1", "5.6.0", true}, {"5.2.4", "5.4.1", false}, {"5.8.4", "5.4.1", false},
		{"5.7.1alpha", "5.4.1", false}, {"5.7.1alpha", "5.7.1alpha", true},
	} {
		if SameLZMABytes(c.a, c.b) != c.want || SameLZMABytes(c.b, c.a) != c.want {
			t.Errorf("liblzma %s and %s: want %v", c.a, c.b, c.want)
		}
	}
}

// Digests of streams of content(300000): they shout when a library comes to write other bytes
// than the versions that were measured.
func TestLibraryBytes(t *testing.T) {
	data := content(300_000)
	digest := func(open func(io.Writer) (io.WriteCloser, error)) string { return sum(write(t, data, 0, open)) }
	if l, err := OpenLZ4(""); err == nil && between(l.Version(), "1.9.3", "1.10.0") {
		var all bytes.Buffer
		for _, level := range []int{-5, 1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12} {
			for _, p := range []LZ4Params{{Legacy: true}, {BlockID: 7}, {BlockID: 4, Linked: true}} {
				p.Level = level
				all.WriteString(digest(func(w io.Writer) (io.WriteCloser, error) { return l.NewWriter(w, p) }))
			}
		}
		if got, want := sum(all.Bytes()), "133fa29e6953a195"; got != want {
			t.Errorf("liblz4 %s: got %s, want %s", l.Version(), got, want)
		}
	}
	for _, z := range zlibsHere(t) {
		var all bytes.Buffer
		for level := range 10 {
			all.WriteString(digest(func(w io.Writer) (io.WriteCloser, error) { return z.NewWriter(w, ContainerGzip, level) }))
		}
		if got, want := sum(all.Bytes()), "989de7b73d014d11"; got != want {
			t.Errorf("zlib %s, %s: got %s, want %s", z.Version(), z.Path(), got, want)
		}
	}
	if l, err := OpenLZMA(""); err == nil && between(l.Version(), "5.2.5", "5.8.3") {
		var all bytes.Buffer
		for _, s := range lzmaSearches {
			c := LZMACoder{Dictionary: 1 << 17, LC: 3, PB: 2, Search: s}
			all.WriteString(digest(func(w io.Writer) (io.WriteCloser, error) { return l.NewRawWriter(w, c) }))
		}
		if got, want := sum(all.Bytes()), "c886432606ececd5"; got != want {
			t.Errorf("liblzma %s: got %s, want %s", l.Version(), got, want)
		}
	}
}

// zlibsHere are the system's zlib and those that scripts/get-libz has built.
func zlibsHere(t *testing.T) (list []*Zlib) {
	files := []string{""}
	if cache, err := os.UserCacheDir(); err == nil {
		more, _ := filepath.Glob(filepath.Join(cache, "swudelta", "libz.so.?.?.*"))
		files = append(files, more...)
	}
	for _, file := range files {
		z, err := OpenZlib(file)
		if err != nil {
			t.Log(err)
		} else if between(z.Version(), "1.2.11", "1.3.2") {
			list = append(list, z)
		}
	}
	return list
}
