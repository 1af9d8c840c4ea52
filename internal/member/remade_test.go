// SPDX-License-Identifier: MIT

package member

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"swudelta/internal/codec"
	"swudelta/internal/fault"
	"swudelta/internal/tooltest"
)

// libraries are those of the system.
func libraries() *Libraries {
	return &Libraries{Zstd: func() (*codec.Zstd, error) {
		var o codec.ZstdOptions
		if paths, _ := filepath.Glob("/usr/lib/*/libzstd.so.1"); len(paths) == 1 {
			o.File = paths[0] // that of the zstd program
		}
		return codec.OpenZstd(o)
	}}
}

// output returns what a program makes of its input.
func output(t testing.TB, in []byte, program string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Stdin, cmd.Stderr = bytes.NewReader(in), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v", program, err)
	}
	return out
}

// What programs write is found in the middle of something else, and closed again with few
// bytes of parameters and no patch.
func TestPrograms(t *testing.T) {
	a, b := text(300_000), text(2_000_000)
	elf, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	elf = elf[:500_000]
	for _, c := range []struct {
		content []byte
		want    string
		command string
	}{
		{a, "lz4", "lz4 -1 -c"}, {a, "lz4", "lz4 -l -9 -c"}, {b, "lz4", "lz4 -12 -B4 -BD -c"}, {b, "lz4", "lz4 -l -12 -c"},
		{a, "lz4", "lz4 -9 -BX -c"}, {a, "lz4", "lz4 -11 --favor-decSpeed -c"},
		{a, "xz", "xz -6 -c"}, {a, "xz", "xz -9e -c"}, {a, "xz", "xz -0 -T1 -c"}, {elf, "xz", "xz --check=crc32 --x86 --lzma2=dict=1MiB -c"},
		{b, "xz", "xz -3 -T2 --block-size=600000 -c"}, {a, "xz", "xz -1 -c"}, {a, "xz", "xz -4 -c"}, {elf, "xz", "xz -5e -c"},
		{a, "lzma", "xz --format=lzma -c"}, {elf, "lzma", "xz --format=lzma -2 -c"},
		{a, "zstd", "zstd -3 -c"}, {b, "zstd", "zstd -19 -c"}, {b, "zstd", "zstd --single-thread -9 -c"}, {elf, "zstd", "zstd --ultra -22 -c"},
		{b, "zstd", "zstd -1 -T2 --no-check -c"}, {b, "zstd", "zstd -7 --long=27 -c"}, {elf, "zstd", "zstd --fast=2 -c"},
		{a, "bzip2", "bzip2 -9 -c"}, {b, "bzip2", "bzip2 -1 -c"}, {b, "bzip2", "pbzip2 -6 -c"},
	} {
		t.Run(c.command, func(t *testing.T) {
			args := strings.Fields(c.command)
			tooltest.Need(t, args[0])
			stream := output(t, c.content, args[0], args[1:]...)
			whole := slices.Concat([]byte("some text before"), stream, []byte("and more behind"))
			list, err := (&Finder{}).Find(whole)
			if err != nil {
				t.Fatal(err)
			}
			if got := shape(list); got != c.want {
				t.Fatalf("found %q, want %q", got, c.want)
			}
			if m := list[0]; m.Off != 16 || m.Len != int64(len(stream)) || !bytes.Equal(m.Content, c.content) {
				t.Fatalf("found %d bytes at %d that open to %d, want %d at 16, %d", m.Len, m.Off, len(m.Content), len(stream), len(c.content))
			}
			check(t, whole, list)
			p, err := formats[list[0].Number].(remade).parse(list[0].CloseParams)
			if err != nil || len(p.patch) > 0 || len(p.maker) > 64 {
				t.Errorf("%d bytes of parameters, %d of patch: %v", len(p.maker), len(p.patch), err)
			}
			if err := Ready(list[0].Number, list[0].CloseParams, libraries()); err != nil {
				t.Error(err)
			}
		})
	}
}

// What differs in little is closed by a patch; what differs in much is not.
func TestPatched(t *testing.T) {
	tooltest.Need(t, "lz4")
	content := text(300_000)
	stream := output(t, content, "lz4", "-l", "-9", "-c")
	stream[9]++ // a literal: the first byte of the content is another
	f, list := formats[LZ4], mustFind(t, stream)
	changed := slices.Clone(list[0].Content)
	if err := list[0].Close(libraries()); err != nil {
		t.Fatal(err)
	}
	check(t, stream, list)
	// A stored stream that its content does not explain at one place, where a byte is missing and one too many.
	odd := slices.Concat(stream[:len(stream)/2], []byte("?"), stream[len(stream)/2+1:len(stream)-100], stream[len(stream)-99:], []byte("end"))
	params, err := f.Analyse(slices.Concat(odd), changed, libraries(), nil)
	if err == nil {
		p, _ := f.(remade).parse(params)
		if len(p.patch) == 0 || len(p.patch) > 40 {
			t.Errorf("patch of %d bytes", len(p.patch))
		}
		var out bytes.Buffer
		if err := f.Close(&out, bytes.NewReader(changed), params, nil); err != nil || !bytes.Equal(out.Bytes(), odd) {
			t.Errorf("closes to %d other bytes, want %d: %v", out.Len(), len(odd), err)
		}
	} else {
		t.Logf("not closed: %v", err)
	}
	noise := tooltest.Random(1, len(stream))
	copy(noise, stream[:20])
	if _, err := f.Analyse(noise, content, libraries(), nil); !errors.Is(err, ErrUnclosable) {
		t.Errorf("noise: %v, want ErrUnclosable", err)
	}
}

func mustFind(t *testing.T, b []byte) []*Member {
	t.Helper()
	list, err := (&Finder{}).Find(b)
	if err != nil || len(list) != 1 {
		t.Fatalf("%d members: %v", len(list), err)
	}
	return list
}

// Patches bring back what they were made for, wherever the differences are.
func TestPatch(t *testing.T) {
	made := tooltest.Random(3, 40_000)
	for _, c := range []struct {
		name string
		want []byte
	}{
		{"equal", made},
		{"first byte", slices.Concat([]byte("x"), made[1:])},
		{"last byte", slices.Concat(made[:len(made)-1], []byte("x"))},
		{"one more", slices.Concat(made[:20_000], []byte("abc"), made[20_000:])},
		{"one less", slices.Concat(made[:20_000], made[20_100:])},
		{"in front", slices.Concat([]byte("abc"), made)},
		{"behind", slices.Concat(made, []byte("abc"))},
		{"cut", made[:len(made)-7]},
		{"several", slices.Concat(made[:100], made[103:5000], []byte("xyz"), made[5010:39_000], made[39_001:], []byte("."))},
		{"empty", nil},
	} {
		for _, piece := range []int{1, 777, len(made)} {
			d := &differ{want: c.want, limit: 200}
			var err error
			for p := range slices.Chunk(made, piece) {
				if _, err = d.Write(p); err != nil {
					break
				}
			}
			var patch []byte
			if err == nil {
				patch, err = d.finish()
			}
			if c.name == "empty" {
				if err != nil && !errors.Is(err, errFar) {
					t.Errorf("%s: %v", c.name, err)
				}
				continue
			}
			if err != nil {
				t.Fatalf("%s: %v", c.name, err)
			}
			var out bytes.Buffer
			w, err := newPatcher(&out, patch)
			for p := range slices.Chunk(made, piece) {
				if err == nil {
					_, err = w.Write(p)
				}
			}
			if err == nil {
				err = w.Close()
			}
			if err != nil || !bytes.Equal(out.Bytes(), c.want) {
				t.Errorf("%s, %d bytes at a time: got %d other bytes, want %d: %v", c.name, piece, out.Len(), len(c.want), err)
			}
		}
	}
}

// A patch that does not fit, and parameters that are cut short, are data faults.
func TestDamagedParams(t *testing.T) {
	for _, patch := range [][]byte{{1}, {1, 2}, {1, 2, 3}, {100, 0, 0}, {0, 100, 0}} {
		w, err := newPatcher(io.Discard, patch)
		if err == nil {
			_, err = w.Write(make([]byte, 50))
		}
		if err == nil {
			err = w.Close()
		}
		if !fault.IsData(err) {
			t.Errorf("patch %v: %v", patch, err)
		}
	}
	libs := libraries()
	for command, n := range map[string]Number{"lz4 -1 -c": LZ4, "xz -1 -T2 -c": XZ, "xz --format=lzma -c": LZMA, "zstd -1 -c": Zstd, "bzip2 -c": Bzip2} {
		args := strings.Fields(command)
		tooltest.Need(t, args[0])
		content := text(50_000)
		stream := output(t, content, args[0], args[1:]...)
		list := mustFind(t, stream)
		if err := list[0].Close(libs); err != nil || list[0].Number != n {
			t.Fatalf("%s: %v: %v", command, list[0].Number, err)
		}
		f, params := formats[n], list[0].CloseParams
		for i := range params {
			if err := f.Close(io.Discard, bytes.NewReader(content), params[:i], libs); !fault.IsData(err) {
				t.Errorf("%s: %d bytes of %d: %v", command, i, len(params), err)
			}
		}
		for _, size := range []int{0, len(content) - 1} {
			var out bytes.Buffer
			if err := f.Close(&out, bytes.NewReader(content[:size]), params, libs); err == nil && bytes.Equal(out.Bytes(), stream) {
				t.Errorf("%s: the same of other content", command)
			}
		}
		other := slices.Clone(params)
		other[1] += 50 // a version that there is not
		if err := f.Close(io.Discard, bytes.NewReader(content), other, libs); !errors.Is(err, ErrLibrary) {
			t.Errorf("%s: another version: %v", command, err)
		}
		if err := Ready(n, other, libs); !errors.Is(err, ErrLibrary) || !strings.Contains(fmt.Sprint(err), f.Name()) {
			t.Errorf("%s: another version: %v", command, err)
		}
	}
}

// What a higher level takes is stated to take longer; what compresses to next to nothing, less.
func TestCloseTime(t *testing.T) {
	timeOf := func(content []byte, command string) time.Duration {
		args := strings.Fields(command)
		tooltest.Need(t, args[0])
		m := mustFind(t, output(t, content, args[0], args[1:]...))[0]
		if err := m.Close(libraries()); err != nil {
			t.Fatalf("%s: %v", command, err)
		}
		d, err := CloseTime(m.Number, m.CloseParams, m.Len, int64(len(m.Content)))
		if err != nil {
			t.Fatalf("%s: %v", command, err)
		}
		return d
	}
	content := text(200_000)
	for _, c := range [][]string{
		{"gzip -1", "gzip -6", "gzip -9"}, {"zstd -1", "zstd -5", "zstd -12", "zstd -19"}, {"lz4 -1", "lz4 -9", "lz4 -12"},
		{"xz -0", "xz -3", "xz -6"}, {"xz --format=lzma -0", "xz --format=lzma -6"}, {"lz4 -1", "bzip2"},
	} {
		last := time.Duration(0)
		for _, command := range c {
			d := timeOf(content, command+" -c")
			if d <= last {
				t.Errorf("%s: %v, want more than %v", command, d, last)
			}
			last = d
		}
	}
	if zeros := timeOf(make([]byte, len(content)), "gzip -9 -c"); zeros > timeOf(content, "gzip -9 -c")/10 {
		t.Errorf("zeros: %v", zeros)
	}
	for n := range formats {
		if _, err := CloseTime(n, nil, 1, 1); n != Pieces && !fault.IsData(err) {
			t.Errorf("%v without parameters: %v", n, err)
		}
	}
}
