// SPDX-License-Identifier: MIT

package codec

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"unsafe"

	"swudelta/internal/tooltest"
)

// programZstd returns the libzstd of the version that the zstd program has.
func programZstd(t *testing.T) *Zstd {
	t.Helper()
	tooltest.Need(t, "zstd")
	about := string(output(t, nil, "zstd", "--version"))
	version := regexp.MustCompile(`v([0-9.]+),`).FindStringSubmatch(about)
	z, err := loadZstd("libzstd.so.1")
	if err != nil || len(version) != 2 || z.Version() != version[1] {
		t.Skipf("the system's libzstd is not of the program's version: %v, %q", err, about)
	}
	return z
}

// Frames of the program, at any level, from a pipe and from a file, are made again.
func TestZstdWriterAgainstProgram(t *testing.T) {
	z := programZstd(t)
	data := content(5<<19 + 12345)
	path := filepath.Join(t.TempDir(), "file")
	check := func(n int, p ZstdParams, args ...string) {
		t.Helper()
		if err := os.WriteFile(path, data[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		for _, pipe := range []bool{true, false} {
			p, args := p, append(args, "-c", "-q")
			p.Workers, p.Checksum, p.EndAlone = !p.Workers, true, pipe
			var stdin []byte
			if pipe {
				stdin = data[:n]
			} else {
				args = append(args, path)
				p.Sized, p.Size = true, uint64(n)
			}
			want := output(t, stdin, "zstd", args...)
			got := write(t, data[:n], 77_777, func(w io.Writer) (io.WriteCloser, error) { return z.NewWriter(w, p) })
			if !bytes.Equal(got, want) {
				t.Errorf("%v, %d bytes, pipe %v: got %d other bytes, want %d", args, n, pipe, len(got), len(want))
			}
		}
	}
	for level := 1; level <= 19; level += 1 + level/9 {
		for _, n := range []int{0, 1, 128 << 10, 300_000} {
			check(n, ZstdParams{Level: level}, fmt.Sprint("-", level))
		}
	}
	for _, n := range []int{1000, 300_000} {
		check(n, ZstdParams{Level: -5}, "--fast=5")
		check(n, ZstdParams{Level: 22}, "--ultra", "-22")
	}
	check(len(data), ZstdParams{Level: 3}, "-3")
	check(len(data), ZstdParams{Level: 9, Workers: true}, "-9", "--single-thread") // Workers is turned round
	check(len(data), ZstdParams{Level: 15}, "-15", "-T2")
	check(len(data), ZstdParams{Level: 19, WindowLog: 27, Long: true}, "-19", "--long=27")
	check(len(data), ZstdParams{Level: 3, WindowLog: 24, Long: true}, "-3", "--long=24")
}

// What is said of the memory holds, against what libzstd itself says when it has taken it.
func TestZstdMemory(t *testing.T) {
	for _, version := range []string{"1.5.0", "1.5.5", "1.5.7", ""} {
		z, err := OpenZstd(ZstdOptions{DeviceVersion: version})
		if version == "" {
			z, err = loadZstd("libzstd.so.1")
		}
		if err != nil {
			continue
		}
		var sizeOf func(cctx unsafe.Pointer) uintptr
		if err := load(z.path, symbol{"ZSTD_sizeof_CCtx", &sizeOf}); err != nil {
			t.Fatal(err)
		}
		for level := -1; level <= 22; level += 1 + max(0, level)/19 {
			for _, p := range []ZstdParams{
				{Level: level}, {Level: level, Sized: true, Size: 3000}, {Level: level, Sized: true, Size: 3 << 20}, {Level: level, WindowLog: 24, Long: true},
				{Level: level, Workers: true}, {Level: level, WindowLog: 22, Long: true, Workers: true},
			} {
				params := []zstdParam{{zstdLevel, int32(p.Level)}, {zstdLong, cBool(p.Long)}, {zstdWorkers, cBool(p.Workers)}}
				if p.WindowLog > 0 {
					params = append(params, zstdParam{zstdWindowLog, int32(p.WindowLog)})
				}
				c, err := z.context(params...)
				if err != nil {
					t.Fatal(err)
				}
				if p.Sized {
					z.setPledgedSize(c, p.Size)
				}
				b, err := newBlock[zstdBuffers](1000, 200_000)
				if err != nil {
					t.Fatal(err)
				}
				if err := z.stream(c, b, io.Discard, 1000, zstdContinue); err != nil {
					t.Fatal(err)
				}
				want := int64(sizeOf(c))
				z.freeCCtx(c)
				b.free()
				if got := p.Memory(1<<40, 1<<40); got < want || got > 4*want+4<<20 && !(p.Long && p.Workers) { // a worker's tables come later
					t.Errorf("libzstd %s, %+v: got %d bytes, it takes %d", z.Version(), p, got, want)
				}
			}
		}
	}
}
