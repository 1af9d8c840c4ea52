// SPDX-License-Identifier: MIT

package codec

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"unsafe"

	"swudelta/internal/fault"
	"swudelta/internal/tooltest"
)

func lzmaOf(t testing.TB) *LZMA {
	t.Helper()
	l, err := OpenLZMA("")
	required(t, err)
	return l
}

// Sizes and places that liblzma's own headers give.
func TestLZMAStructs(t *testing.T) {
	word := unsafe.Sizeof(uintptr(0))
	if got, want := unsafe.Sizeof(lzmaStream{}), map[uintptr]uintptr{4: 88, 8: 136}[word]; got != want {
		t.Errorf("lzma_stream: got %d bytes, want %d", got, want)
	}
	if got := unsafe.Sizeof(lzmaFilter{}); got != 16 {
		t.Errorf("lzma_filter: got %d bytes, want 16", got)
	}
	if got, want := unsafe.Offsetof(lzmaOptions{}.depth), map[uintptr]uintptr{4: 36, 8: 44}[word]; got != want {
		t.Errorf("lzma_options_lzma.depth: got offset %d, want %d", got, want)
	}
}

// unxz returns the content of a stream, behind which something follows.
func unxz(t testing.TB, l *LZMA, stream []byte, alone bool) []byte {
	t.Helper()
	open := l.NewXZReader
	if alone {
		open = l.NewAloneReader
	}
	z, err := open(io.MultiReader(bytes.NewReader(stream), strings.NewReader("more")), 128<<20)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	content, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	if z.Used() != int64(len(stream)) {
		t.Errorf("got a stream of %d bytes, want %d", z.Used(), len(stream))
	}
	return content
}

// The program's streams, with every preset and in every form, are read and made again
// with nothing but the search from outside.
func TestXZAgainstProgram(t *testing.T) {
	tooltest.Need(t, "xz")
	l := lzmaOf(t)
	data := content(1<<20 + 12345)
	elf, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	elf = elf[:min(len(elf), 600_000)]
	searches := map[string]int{"0": 8, "1": 7, "2": 6, "3": 5, "4": 4, "5": 3, "6": 0, "7": 0, "8": 0, "9": 0,
		"0e": 1, "1e": 1, "2e": 1, "3e": 2, "4e": 1, "5e": 2, "6e": 1, "7e": 1, "8e": 1, "9e": 1}
	check := func(data []byte, search int, args ...string) {
		t.Helper()
		name := fmt.Sprint(args, len(data))
		stream := output(t, data, "xz", append(args, "-c", "-q")...)
		got := unxz(t, l, stream, false)
		x, err := ParseXZ(stream)
		if err != nil || !bytes.Equal(got, data) {
			t.Fatalf("%s: %v %x", name, err, stream)
		}
		x.Coder.Search = lzmaSearches[search]
		again := write(t, got, 100_000, func(w io.Writer) (io.WriteCloser, error) { return l.NewXZWriter(w, x) })
		if !bytes.Equal(again, stream) {
			t.Errorf("%s: %+v gives %d other bytes, want %d", name, x, len(again), len(stream))
		}
	}
	for preset, search := range searches {
		for _, n := range []int{0, 1, 100_000} {
			check(data[:n], search, "-"+preset)
		}
	}
	for _, kind := range []string{"none", "crc32", "crc64", "sha256"} {
		check(data[:5000], 0, "--check="+kind)
	}
	check(data, 0, "-6")
	check(data, 8, "-0", "-T2")
	check(data, 8, "-0", "-T2", "--block-size=100000")
	check(data, 8, "-0", "-T1", "--block-size=100000")
	check(data, 8, "-0", "-T2", "--block-size=300000", "--block-list=1000,70000,0")
	check(elf, 0, "--x86", "--lzma2=dict=1MiB")
	check(elf, 1, "--arm64", "--delta=dist=4", "--lzma2=preset=9e,dict=96KiB,lc=2,lp=1,pb=0")
	check(elf, 0, "--arm=start=4096", "--lzma2")
}

// Modules of the Linux kernel and old archives have the older format.
func TestLZMAAloneAgainstProgram(t *testing.T) {
	tooltest.Need(t, "xz")
	l := lzmaOf(t)
	for preset, search := range map[string]int{"-6": 0, "-0": 8, "-9e": 1} {
		for _, n := range []int{0, 1, 300_000} {
			data := content(n)
			stream := output(t, data, "xz", "--format=lzma", preset, "-c")
			if got := unxz(t, l, stream, true); !bytes.Equal(got, data) {
				t.Errorf("%s: other content", preset)
			}
			a, err := ParseLZMA(stream)
			if err != nil {
				t.Fatal(err)
			}
			a.Search = lzmaSearches[search]
			again := write(t, data, 777, func(w io.Writer) (io.WriteCloser, error) { return l.NewAloneWriter(w, a.Dictionary, a) })
			if !bytes.Equal(again, stream) {
				t.Errorf("%s: %+v gives %d other bytes, want %d", preset, a, len(again), len(stream))
			}
		}
	}
}

// Streams that are cut short or changed are data faults, and never content that
// passes as whole.
func TestXZDamaged(t *testing.T) {
	tooltest.Need(t, "xz")
	l := lzmaOf(t)
	data := content(50_000)
	stream := output(t, data, "xz", "-0", "-T2", "--block-size=20000", "-c")
	read := func(r io.Reader) error {
		z, err := l.NewXZReader(r, 64<<20)
		if err != nil {
			t.Fatal(err)
		}
		defer z.Close()
		_, err = io.Copy(io.Discard, z)
		return err
	}
	for n := range len(stream) {
		if err := read(bytes.NewReader(stream[:n])); !errors.Is(err, io.ErrUnexpectedEOF) || !fault.IsData(err) {
			t.Fatalf("%d bytes of %d: got %v", n, len(stream), err)
		}
		if _, err := ParseXZ(stream[:n]); err == nil {
			t.Fatalf("%d bytes of %d: parsed", n, len(stream))
		}
		changed := bytes.Clone(stream)
		changed[n] ^= 0x41
		if err := read(bytes.NewReader(changed)); err == nil || !fault.IsData(err) {
			t.Fatalf("byte %d: got %v", n, err)
		}
		ParseXZ(changed) // must not panic
	}
	disk := errors.New("disk")
	if err := read(io.MultiReader(bytes.NewReader(stream[:100]), iotest.ErrReader(disk))); !errors.Is(err, disk) || fault.IsData(err) {
		t.Errorf("got %v, want the reader's error", err)
	}
	z, err := l.NewXZReader(bytes.NewReader(stream), 1<<16)
	if err == nil {
		_, err = io.Copy(io.Discard, z)
		z.Close()
	}
	if !fault.IsData(err) || !strings.Contains(err.Error(), "more memory") {
		t.Errorf("little memory: got %v", err)
	}
}

// A writer refuses content that is not as long as its blocks, and parameters that
// liblzma would not take.
func TestXZRefused(t *testing.T) {
	l := lzmaOf(t)
	good := XZ{Check: 1, HeaderSize: 12, Coder: LZMACoder{Dictionary: 1 << 20, LC: 3, PB: 2, Search: lzmaSearches[8]}, Blocks: []XZBlock{{Content: 5}, {Content: 7}}}
	for n := range 20 {
		w, err := l.NewXZWriter(io.Discard, good)
		if err == nil {
			_, err = w.Write(make([]byte, n))
		}
		if err == nil {
			err = w.Close()
		}
		if (err == nil) != (n == 12) || err != nil && !fault.IsData(err) {
			t.Errorf("content of %d bytes: got %v", n, err)
		}
	}
	for _, change := range []func(*XZ){
		func(x *XZ) { x.Check = 2 },
		func(x *XZ) { x.HeaderSize = 13 },
		func(x *XZ) { x.HeaderSize = 4 },
		func(x *XZ) { x.Coder.Dictionary = 0 },
		func(x *XZ) { x.Coder.Dictionary = 1<<32 - 1 },
		func(x *XZ) { x.Coder.LC, x.Coder.LP = 3, 2 },
		func(x *XZ) { x.Coder.Search.Nice = 274 },
		func(x *XZ) { x.Coder.Search.Finder = 5 },
		func(x *XZ) { x.Coder.Filters = []LZMAFilter{{ID: 4, Properties: []byte{1}}} },
		func(x *XZ) { x.Coder.Filters = []LZMAFilter{{ID: lzmaFilter2, Properties: []byte{1}}} },
		func(x *XZ) { x.Coder.Filters = make([]LZMAFilter, 4) },
	} {
		x := good
		change(&x)
		w, err := l.NewXZWriter(io.Discard, x)
		if err == nil {
			_, err = w.Write(make([]byte, 12))
		}
		if err == nil {
			t.Errorf("%+v: not refused", x)
		}
	}
}

// What is said of the memory holds, against what liblzma itself says.
func TestLZMAMemory(t *testing.T) {
	l := lzmaOf(t)
	var usage func(filters unsafe.Pointer) uint64
	if err := load(l.path, symbol{"lzma_raw_encoder_memusage", &usage}); err != nil {
		t.Fatal(err)
	}
	for _, s := range lzmaSearches {
		for bits := 12; bits <= 28; bits++ {
			c := LZMACoder{Dictionary: 1 << bits, LC: 3, PB: 2, Search: s}
			b, err := newBlock[lzmaRaw](0, 0)
			if err != nil {
				t.Fatal(err)
			}
			b.state.chain(c)
			want := int64(usage(unsafe.Pointer(&b.state.filters)))
			b.free()
			if got := c.Memory(); got < want || got > want+want/4+2<<20 {
				t.Errorf("%+v: got %d bytes, liblzma says %d", c, got, want)
			}
		}
	}
}

func FuzzParseXZ(f *testing.F) {
	if l, err := OpenLZMA(""); err == nil {
		c := LZMACoder{Dictionary: 1 << 16, LC: 3, PB: 2, Search: lzmaSearches[0], Filters: []LZMAFilter{{ID: lzmaDelta, Properties: []byte{3}}}}
		for _, x := range []XZ{
			{Check: 4, Dictionary: 1 << 16, HeaderSize: 16, Coder: c, Blocks: []XZBlock{{Content: 500}}},
			{Check: 1, Dictionary: 1 << 16, HeaderSize: 20, Sized: true, Coder: c, Blocks: []XZBlock{{300, 90}, {200, 80}}},
		} {
			f.Add(write(f, content(500), 0, func(w io.Writer) (io.WriteCloser, error) { return l.NewXZWriter(w, x) }))
		}
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		x, err := ParseXZ(stream)
		if err != nil && !fault.IsData(err) {
			t.Error(err)
		}
		if err == nil && x.HeaderSize > len(stream) {
			t.Error(x)
		}
	})
}
