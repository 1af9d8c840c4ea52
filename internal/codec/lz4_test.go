// SPDX-License-Identifier: MIT

package codec

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"testing"
	"testing/iotest"

	"swudelta/internal/fault"
	"swudelta/internal/tooltest"
)

func lz4Of(t testing.TB) *LZ4 {
	t.Helper()
	l, err := OpenLZ4("")
	required(t, err)
	return l
}

// unlz4 returns content and parameters of a stream, behind which something follows.
func unlz4(t testing.TB, stream []byte) ([]byte, LZ4Params) {
	t.Helper()
	r, err := NewLZ4Reader(io.MultiReader(bytes.NewReader(stream), bytes.NewReader([]byte{0, 0, 0, 0xff, 1})))
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	p, ok := r.Params()
	if r.Used() != int64(len(stream)) || !ok {
		t.Errorf("got a stream of %d bytes, %v, want %d, true", r.Used(), ok, len(stream))
	}
	return content, p
}

// The program's streams, at every level and with every option that changes their form, are
// read and made again with nothing but the level from outside.
func TestLZ4AgainstProgram(t *testing.T) {
	tooltest.Need(t, "lz4")
	l := lz4Of(t)
	data := content(4<<20 + 12345)
	level := func(n int) string { return "-" + strconv.Itoa(n) }
	type run struct {
		level int
		args  []string
	}
	var runs []run
	for n := 1; n <= 12; n++ {
		runs = append(runs, run{n, []string{level(n)}}, run{n, []string{"-l", level(n)}})
		runs = append(runs, run{n, []string{"-B4", "-BD", level(n)}})
	}
	runs = append(runs,
		run{-3, []string{"--fast=3"}},
		run{9, []string{"-9", "-B5", "-BX", "--no-frame-crc"}},
		run{1, []string{"-B6", "-BI"}},
		run{11, []string{"-11", "--favor-decSpeed", "-BD"}},
	)
	for _, c := range runs {
		for _, n := range []int{0, 1, 65536, 65537, 300_000, 4 << 20, len(data)} {
			if n > 300_000 && c.level > 3 && c.level != 9 {
				continue
			}
			name := fmt.Sprint(c.args, n)
			stream := output(t, data[:n], "lz4", append(c.args, "-c", "-q")...)
			got, p := unlz4(t, stream)
			if !bytes.Equal(got, data[:n]) {
				t.Errorf("%s: other content", name)
			}
			p.Level, p.FavorDecSpeed = c.level, c.args[len(c.args)-1] == "-BD" && c.level == 11
			again := write(t, got, 100_000, func(w io.Writer) (io.WriteCloser, error) { return l.NewWriter(w, p) })
			if !bytes.Equal(again, stream) {
				t.Errorf("%s: %+v gives %d other bytes, want %d", name, p, len(again), len(stream))
			}
		}
	}
}

// Where the content's length is in the header, the program read a file.
func TestLZ4ContentSize(t *testing.T) {
	l := lz4Of(t)
	data := content(200_000)
	p := LZ4Params{Level: 9, BlockID: 4, Linked: true, ContentChecksum: true, ContentSize: uint64(len(data))}
	stream := write(t, data, 0, func(w io.Writer) (io.WriteCloser, error) { return l.NewWriter(w, p) })
	got, params := unlz4(t, stream)
	if params.Level = 9; !bytes.Equal(got, data) || params != p {
		t.Errorf("got %+v, want %+v", params, p)
	}
	if len(output(t, stream, "lz4", "-dc")) != len(data) {
		t.Error("the program reads something else")
	}
}

// Any stream that is cut short or changed is read as far as it goes, and is a data
// fault; a legacy one may end early.
func TestLZ4Damaged(t *testing.T) {
	l := lz4Of(t)
	data := content(70_000)
	for _, p := range []LZ4Params{{Legacy: true, Level: 9}, {BlockID: 4, Linked: true, BlockChecksums: true, ContentChecksum: true}} {
		stream := write(t, data, 0, func(w io.Writer) (io.WriteCloser, error) { return l.NewWriter(w, p) })
		read := func(r io.Reader) error {
			z, err := NewLZ4Reader(r)
			if err == nil {
				_, err = io.Copy(io.Discard, z)
			}
			return err
		}
		for n := range len(stream) {
			if p.Legacy && n == len(lz4LegacyMagic) {
				continue
			}
			if err := read(bytes.NewReader(stream[:n])); !errors.Is(err, io.ErrUnexpectedEOF) || !fault.IsData(err) {
				t.Fatalf("%+v: %d bytes of %d: got %v", p, n, len(stream), err)
			}
		}
		for n := 0; n < len(stream); n += 7 {
			changed := bytes.Clone(stream)
			changed[n] ^= 0x41
			if err := read(bytes.NewReader(changed)); err != nil && !fault.IsData(err) {
				t.Fatalf("%+v: byte %d: got %v", p, n, err)
			}
		}
		disk := errors.New("disk")
		if err := read(io.MultiReader(bytes.NewReader(stream[:100]), iotest.ErrReader(disk))); !errors.Is(err, disk) || fault.IsData(err) {
			t.Errorf("got %v, want the reader's error", err)
		}
	}
}

func FuzzLZ4Reader(f *testing.F) {
	if l, err := OpenLZ4(""); err == nil {
		for _, p := range []LZ4Params{{Legacy: true, Level: 9}, {BlockID: 4, Linked: true}, {BlockID: 5, BlockChecksums: true}} {
			f.Add(write(f, content(3000), 0, func(w io.Writer) (io.WriteCloser, error) { return l.NewWriter(w, p) }))
		}
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		z, err := NewLZ4Reader(bytes.NewReader(stream))
		if err == nil {
			_, err = io.Copy(io.Discard, io.LimitReader(z, 64<<20))
		}
		if err != nil && !fault.IsData(err) {
			t.Error(err)
		}
		if z != nil && z.Used() > int64(len(stream)) {
			t.Errorf("used %d of %d bytes", z.Used(), len(stream))
		}
	})
}

// Levels and sizes that liblz4 would take as something else are refused.
func TestLZ4Refused(t *testing.T) {
	l := lz4Of(t)
	for _, p := range []LZ4Params{{Level: 13, BlockID: 4}, {Level: -65, Legacy: true}, {BlockID: 3}, {BlockID: 8}} {
		if _, err := l.NewWriter(io.Discard, p); err == nil {
			t.Errorf("%+v: not refused", p)
		}
	}
}
