// SPDX-License-Identifier: MIT

package bzip2

import (
	"bytes"
	stdbzip2 "compress/bzip2"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"

	"swudelta/internal/fault"
	"swudelta/internal/tooltest"
)

func decode(stream []byte) ([]byte, error) { return io.ReadAll(NewReader(bytes.NewReader(stream))) }

// byTool compresses with bzip2(1), that is libbz2.
func byTool(t testing.TB, src []byte, level int) []byte {
	t.Helper()
	cmd := exec.Command("bzip2", fmt.Sprintf("-%d", level))
	cmd.Stdin = bytes.NewReader(src)
	out, err := cmd.Output()
	if errors.Is(err, exec.ErrNotFound) {
		tooltest.Need(t, "bzip2")
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// One reader decodes all that our encoder makes, and all levels of libbz2's, one after
// the other, in pieces of any size.
func TestReader(t *testing.T) {
	r := NewReader(nil)
	check := func(name string, stream, want []byte) {
		t.Helper()
		for _, behind := range []string{"", strings.Repeat("BZh9", 20_000)} {
			src := io.MultiReader(bytes.NewReader(stream), strings.NewReader(behind))
			r.Reset(src)
			got, err := io.ReadAll(r)
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%s, with %d bytes behind it: %v, got %d bytes, want %d", name, len(behind), err, len(got), len(want))
			}
			if n, err := r.Read(make([]byte, 1)); n != 0 || err != io.EOF {
				t.Fatalf("%s: after the end: %d, %v", name, n, err)
			}
		}
	}
	for _, s := range samples() {
		check(s.name, encode(t, s.data, 1), s.data)
		for _, level := range []int{1, 9} {
			check(fmt.Sprintf("%s, level %d", s.name, level), byTool(t, s.data, level), s.data)
		}
	}
}

// How it is read, and how it is asked for, does not matter.
func TestReaderPieces(t *testing.T) {
	want := slices.Concat(differences(300_000, 1), noise(30_000, 2), make([]byte, 1000), []byte("aaaaaab"))
	for _, stream := range [][]byte{encode(t, want, 1), byTool(t, want, 1)} {
		if err := iotest.TestReader(NewReader(iotest.OneByteReader(bytes.NewReader(stream))), want); err != nil {
			t.Error(err)
		}
		for _, size := range []int{1, 2, 3, 5, 257, 4096, 99_991} {
			r := NewReader(iotest.DataErrReader(bytes.NewReader(stream)))
			var got []byte
			for {
				p := make([]byte, size)
				n, err := r.Read(p)
				got = append(got, p[:n]...)
				if err == io.EOF {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			if !bytes.Equal(got, want) {
				t.Errorf("pieces of %d bytes: other content", size)
			}
		}
	}
}

// smallStreams are some with all that streams have: several blocks, tables, long
// codes.
func smallStreams(t testing.TB) map[string][]byte {
	// Frequencies of 1, 1, 2, 4, ... in an order that no transformation changes
	// much give codes of many lengths.
	var skewed []byte
	r := random(9)
	for i := range 14 {
		for range 1 << i {
			skewed = append(skewed, byte(i))
		}
	}
	r.Shuffle(len(skewed), func(i, j int) { skewed[i], skewed[j] = skewed[j], skewed[i] })
	return map[string][]byte{
		"empty":       encode(t, nil, 1),
		"text":        encode(t, bytes.Repeat([]byte("text and text, "), 20), 1),
		"differences": encode(t, differences(30_000, 3), 1),
		"blocks":      byTool(t, slices.Concat(make([]byte, 5_000_000), noise(300, 1)), 1),
		"skewed":      encode(t, skewed, 1),
	}
}

func TestReaderTruncated(t *testing.T) {
	for name, stream := range smallStreams(t) {
		for n := range stream {
			_, err := decode(stream[:n])
			if !fault.IsData(err) || !errors.Is(err, io.ErrUnexpectedEOF) || !strings.Contains(err.Error(), "at offset") {
				t.Fatalf("%s: first %d of %d bytes: %v", name, n, len(stream), err)
			}
		}
	}
}

// No changed bit goes unnoticed, but in what fills the last byte, and in what means
// the same: the level, and a bit of the tables that no symbol needs.
func TestReaderCorrupted(t *testing.T) {
	for name, stream := range smallStreams(t) {
		want, err := decode(stream)
		if err != nil {
			t.Fatal(err)
		}
		if len(stream) > 2000 || len(want) > 100_000 {
			continue
		}
		for i := range stream {
			for bit := range 8 {
				bad := bytes.Clone(stream)
				bad[i] ^= 1 << bit
				got, err := decode(bad)
				if err != nil && !fault.IsData(err) {
					t.Fatalf("%s: byte %d, bit %d: %v", name, i, bit, err)
				}
				if err == nil && !bytes.Equal(got, want) {
					t.Fatalf("%s: byte %d, bit %d: other content without an error", name, i, bit)
				}
			}
		}
	}
}

// bitString makes a stream of numbers and their widths.
func bitString(pairs ...uint64) []byte {
	var w bitWriter
	for i := 0; i < len(pairs); i += 2 {
		w.write(pairs[i], uint(pairs[i+1]))
	}
	w.flush()
	return w.buf
}

func TestReaderHostile(t *testing.T) {
	start := []uint64{streamMagic, 32, blockMagic, 48, 0, 32}
	block := func(more ...uint64) []byte {
		// Of the bytes only 'a': the symbols are two digits and the end.
		return bitString(slices.Concat(start, []uint64{0, 1, 0, 24, 1 << 9, 16, 1 << 14, 16}, more, []uint64{0, 48, 0, 48})...)
	}
	// Two tables with codes of 1, 2 and 2 bits: 0, 10, 11.
	tables := []uint64{1, 5, 0b0_100_0, 5, 1, 5, 0b0_100_0, 5}
	long := []uint64{2, 3, 10, 15, 0, 10}
	long = append(long, tables...)
	for range 25 {
		long = append(long, 0b10, 2)
	}
	for name, c := range map[string]struct {
		stream []byte
		want   string
	}{
		"nothing":             {nil, "unexpected EOF"},
		"other magic":         {[]byte("BZx9 and more"), "no bzip2 stream"},
		"level 0":             {[]byte("BZh0 and more"), "no bzip2 stream"},
		"no block":            {bitString(streamMagic, 32, 1, 48, 0, 32), "neither a block nor the end"},
		"wrong sum":           {bitString(streamMagic, 32, endMagic, 48, 1, 32), "stream with sum 00000000, want 00000001 at offset 14"},
		"randomised":          {bitString(append(start, 1, 1, 0, 24)...), "randomised"},
		"no bytes":            {bitString(append(start, 0, 1, 0, 24, 0, 16, 0, 48)...), "without bytes"},
		"no bytes in a group": {bitString(append(start, 0, 1, 0, 24, 1, 16, 0, 16, 0, 48)...), "without bytes"},
		"one table":           {block(1, 3, 1, 15), "1 tables"},
		"seven tables":        {block(7, 3, 1, 15), "7 tables"},
		"no selector":         {block(2, 3, 0, 15), "without selectors"},
		"wrong selector":      {block(2, 3, 1, 15, 0b110, 3), "not there"},
		"code of 0 bits":      {block(2, 3, 1, 15, 0, 1, 0, 5), "0 bits"},
		"code of 21 bits":     {block(2, 3, 1, 15, 0, 1, 21, 5), "21 bits"},
		"growing code":        {block(append([]uint64{2, 3, 1, 15, 0, 1, 20, 5}, 0b10, 2)...), "21 bits"},
		"shrinking code":      {block(append([]uint64{2, 3, 1, 15, 0, 1, 1, 5}, 0b11, 2)...), "0 bits"},
		"too many codes":      {block(2, 3, 1, 15, 0, 1, 1, 5, 0, 3), "too many codes"},
		"no code":             {block(2, 3, 1, 15, 0, 1, 2, 5, 0, 3, 2, 5, 0, 3, 0b11, 2), "no code"},
		"empty block":         {block(append(append([]uint64{2, 3, 1, 15, 0, 1}, tables...), 0b11, 2)...), "block of 0 bytes starts with number 0"},
		"long run":            {block(long...), "more than 900000 bytes"},
		"no end":              {block(append(append([]uint64{2, 3, 1, 15, 0, 1}, tables...), 0, 32, 0, 32)...), "more than 900000 bytes"},
	} {
		_, err := decode(c.stream)
		if !fault.IsData(err) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", name, err, c.want)
		}
	}
	// A block may be as large as its level says, whatever room there is from before.
	big := byTool(t, noise(200_000, 1), 9)
	r := NewReader(bytes.NewReader(big))
	if _, err := io.ReadAll(r); err != nil {
		t.Fatal(err)
	}
	big[3] = '1'
	r.Reset(bytes.NewReader(big))
	if _, err := io.ReadAll(r); !fault.IsData(err) || !strings.Contains(err.Error(), "more than 100000 bytes") {
		t.Errorf("a block beyond its level: %v", err)
	}
}

// Limit bounds the memory, and refuses no content that keeps it.
func TestReaderLimit(t *testing.T) {
	r := NewReader(nil)
	for n := range 2000 {
		// In the worst of cases five bytes stand for four.
		data := bytes.Repeat([]byte("aaaabbbb"), n)[:n]
		r.Reset(bytes.NewReader(encode(t, data, 1)))
		r.Limit(int64(n))
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, data) {
			t.Fatalf("%d bytes: %v", n, err)
		}
	}
	stream := encode(t, noise(500_000, 1), 1)
	for _, n := range []int64{0, 1, 10_000, 300_000} {
		r := NewReader(bytes.NewReader(stream))
		r.Limit(n)
		if _, err := io.ReadAll(r); !fault.IsData(err) {
			t.Errorf("limit of %d bytes: %v", n, err)
		}
		if r.Memory() > MaxMemory(n) {
			t.Errorf("limit of %d bytes: keeps %d, predicted %d", n, r.Memory(), MaxMemory(n))
		}
	}
}

// What the operating system is to blame for is no fault of the data.
func TestReaderEnvironment(t *testing.T) {
	stream := encode(t, noise(100_000, 1), 1)
	src := io.MultiReader(bytes.NewReader(stream[:50_000]), iotest.ErrReader(syscall.EIO))
	if _, err := io.ReadAll(NewReader(src)); fault.IsData(err) || !errors.Is(err, syscall.EIO) {
		t.Errorf("got %v", err)
	}
}

// A reader takes what MaxMemory says, and nothing more once it has it.
func TestReaderMemory(t *testing.T) {
	allocated := func(f func()) int64 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		f()
		runtime.ReadMemStats(&after)
		return int64(after.TotalAlloc - before.TotalAlloc)
	}
	for _, n := range []int{0, 1, 10_000, 50_000, 200_000, 700_000, 3_000_000} {
		stream := byTool(t, noise(n, 1), 9)
		r := NewReader(nil)
		run := func() {
			r.Reset(bytes.NewReader(stream))
			if m, err := io.Copy(onlyWriter{}, onlyReader{r}); err != nil || m != int64(n) {
				t.Fatalf("%d, %v", m, err)
			}
		}
		first := allocated(func() { r = NewReader(nil); run() })
		// All sizes of the block that there were, not only the last two.
		if limit := MaxMemory(int64(n)) + MaxMemory(int64(n))/2 + 64<<10; first > limit {
			t.Errorf("%d bytes: allocated %d bytes, want at most %d", n, first, limit)
		}
		if again := allocated(run); again > 256<<10 {
			t.Errorf("%d bytes: allocated %d bytes when used again", n, again)
		}
		if r.Memory() > MaxMemory(int64(n)) {
			t.Errorf("%d bytes: keeps %d bytes, predicted %d", n, r.Memory(), MaxMemory(int64(n)))
		}
	}
}

type onlyReader struct{ io.Reader }
type onlyWriter struct{}

func (onlyWriter) Write(p []byte) (int, error) { return len(p), nil }

// FuzzReader holds the reader against compress/bzip2, on streams that neither may have
// seen before.
func FuzzReader(f *testing.F) {
	for _, stream := range smallStreams(f) {
		f.Add(stream)
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		const limit = 4 << 20
		got, err := io.ReadAll(io.LimitReader(NewReader(bytes.NewReader(stream)), limit))
		if err != nil && !fault.IsData(err) {
			t.Fatal(err)
		}
		want, stdErr := io.ReadAll(io.LimitReader(stdbzip2.NewReader(bytes.NewReader(stream)), limit))
		if stdErr == nil && len(want) < limit && !bytes.HasPrefix(want, got) {
			t.Fatal("compress/bzip2 makes something else of it") // more, if another stream follows
		}
		if stdErr == nil && err != nil && len(want) < limit && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("compress/bzip2 reads it, and not: %v", err)
		}
	})
}
