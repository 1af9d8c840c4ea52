// SPDX-License-Identifier: MIT

package codec

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/klauspost/compress/zstd"

	"swudelta/internal/tooltest"
)

// The sizes of z_stream and bz_stream, which zlib checks and libbz2 does not.
func TestStructSizes(t *testing.T) {
	word := unsafe.Sizeof(uintptr(0))
	if got, want := unsafe.Sizeof(zStream{}), map[uintptr]uintptr{4: 56, 8: 112}[word]; got != want {
		t.Errorf("z_stream: got %d bytes, want %d", got, want)
	}
	if got, want := unsafe.Sizeof(bzStream{}), map[uintptr]uintptr{4: 48, 8: 80}[word]; got != want {
		t.Errorf("bz_stream: got %d bytes, want %d", got, want)
	}
	if got, want := unsafe.Offsetof(bzStream{}.nextOut), map[uintptr]uintptr{4: 16, 8: 24}[word]; got != want {
		t.Errorf("bz_stream.next_out: got offset %d, want %d", got, want)
	}
}

func canonical(z *Zstd, level int) func(io.Writer) (io.WriteCloser, error) {
	return func(w io.Writer) (io.WriteCloser, error) { return z.NewCanonicalWriter(w, level) }
}

func unzstd(t testing.TB, frame []byte) []byte {
	t.Helper()
	r, err := NewZstdReader(bytes.NewReader(frame), 0)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// Targets that the delta processor 1.0.1 itself rebuilt, with libzstd 1.5.0:
// four bytes and then a frame at level 3. Of the first, 20008 bytes came in a
// single write; the second is longer than a write.
func TestZstdReferenceVectors(t *testing.T) {
	z := zstdOf(t, "1.5.0")
	for name, size := range map[string]int{"zstdcomp.target": 20008, "zstdcomp300k.target": 300000} {
		target, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		frame := target[4:]
		data := unzstd(t, frame)
		if len(data) != size {
			t.Errorf("%s: content of %d bytes, want %d", name, len(data), size)
		}
		for _, piece := range []int{0, 1000, 32 << 10, 100_000} {
			if got := write(t, data, piece, canonical(z, 3)); !bytes.Equal(got, frame) {
				t.Errorf("%s: got %d other bytes, want the target's %d", name, len(got), len(frame))
			}
		}
	}
}

const job = 8 << 20 // what one worker of libzstd takes at a time at level 3

// Digests of canonical frames of content(n): one row per class of versions.
// They were made with libraries of scripts/get-libzstd, and shout when one
// comes to write other bytes, or a version leaves its class.
func TestZstdByteClasses(t *testing.T) {
	want := map[string]string{
		"1.5.0": "[e3b0c44298fc1c14 33dcf23d427ae8cd d5bc91f18cf476c5 98e192209a6b15d7 cf8648b03b043203 bd98223d5bacde5d 18c976a0f8962aea 3dba7e2016fa1f90 61bdccdec3305f31]",
		"1.5.5": "[e3b0c44298fc1c14 33dcf23d427ae8cd e12d266bcbaa0a79 9a616a4b20765e8c 7f0102fcb438d3f9 105936ee908c9611 114faa02a07c71f2 c8d3db6995c14a61 12a22d7e81d16eda]",
		"1.5.7": "[e3b0c44298fc1c14 33dcf23d427ae8cd 84565a4dd8ad91b9 08cc5388fe5a8dff 3f783c09c07d1cb2 beea7963fc114608 0865c2d9946f8499 9103991104643b47 ad510655d57efcb4]",
	}
	sizes := []int{0, 1, 32<<10 - 1, 32 << 10, 32<<10 + 1, 300_000, job - 1, job, job + 1}
	data := content(job + 1)
	libraries := map[string]*Zstd{}
	if z, err := loadZstd("libzstd.so.1"); err == nil {
		libraries[z.Version()] = z
	}
	for _, version := range slices.Concat(byteClasses...) {
		if z, err := OpenZstd(ZstdOptions{DeviceVersion: version}); err == nil {
			libraries[z.Version()] = z
		}
	}
	tested := 0
	for version, z := range libraries {
		digests, known := want[classOf(version)[0]]
		if !known {
			continue
		}
		tested++
		var got []string
		for _, n := range sizes {
			got = append(got, sum(write(t, data[:n], 0, canonical(z, CanonicalLevel))))
		}
		if fmt.Sprint(got) != digests {
			t.Errorf("libzstd %s (%s): got %v, want %s", version, z.Path(), got, digests)
		}
	}
	if tested == 0 {
		t.Skip("no libzstd of a known version (scripts/get-libzstd 1.5.0 makes one)")
	}
	t.Logf("%d versions tested", tested)
}

// The zstd program announces the content's size when it reads a file, and does
// not when it reads a pipe. The delta processor means to announce it, and does
// so only for content of one piece.
func TestZstdAgainstProgram(t *testing.T) {
	tooltest.Need(t, "zstd")
	about := string(output(t, nil, "zstd", "--version"))
	version := regexp.MustCompile(`v([0-9.]+),`).FindStringSubmatch(about)
	if version == nil {
		t.Fatalf("zstd --version: %q", about)
	}
	z, err := OpenZstd(ZstdOptions{DeviceVersion: version[1]})
	required(t, err)
	data := content(2*job + 1)
	for _, n := range []int{1, 2, 100, 32<<10 - 1, 32 << 10, 32<<10 + 1, 64 << 10, 300_000, job - 1, job, job + 1, 2*job - 1, 2 * job, 2*job + 1} {
		got := write(t, data[:n], 0, canonical(z, 3))
		if !bytes.Equal(unzstd(t, got), data[:n]) {
			t.Fatalf("%d bytes: the frame has other content", n)
		}
		want := output(t, data[:n], "zstd", "-qq", "-3", "-T1", "--no-check", "--no-content-size", "-c")
		switch {
		case n <= 32<<10:
			name := filepath.Join(t.TempDir(), "file")
			if err := os.WriteFile(name, data[:n], 0o666); err != nil {
				t.Fatal(err)
			}
			want = output(t, nil, "zstd", "-qq", "-3", "-T1", "--no-check", "-c", name)
		case n%job == 0:
			// The program learns too late that this was all, and adds an
			// empty last block of three bytes.
			if len(want) != len(got)+3 || !bytes.HasSuffix(want, []byte{1, 0, 0}) {
				t.Errorf("%d bytes: got %d, the program writes %d", n, len(got), len(want))
			}
			continue
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%d bytes: got %d, the program writes %d others", n, len(got), len(want))
		}
	}
}

func TestZstdPiecesDoNotMatter(t *testing.T) {
	z := anyZstd(t)
	data := content(job + 100_000)
	for _, n := range []int{0, 1, 32<<10 - 1, 32 << 10, 32<<10 + 1, 64 << 10, len(data)} {
		want := write(t, data[:n], 0, canonical(z, 3))
		for _, piece := range []int{1009, 32<<10 - 1, 32 << 10, 32<<10 + 1} {
			if got := write(t, data[:n], piece, canonical(z, 3)); !bytes.Equal(got, want) {
				t.Errorf("%d bytes in pieces of %d: got %d bytes, want %d", n, piece, len(got), len(want))
			}
		}
		if n == 0 && len(want) != 0 {
			t.Errorf("empty content: got %x", want)
		}
	}
}

func TestZstdLevels(t *testing.T) {
	z := anyZstd(t)
	data := content(100_000)
	for _, level := range []int{-5, 0, 1, 19, 22, 1000} {
		if got := write(t, data, 0, canonical(z, level)); !bytes.Equal(unzstd(t, got), data) {
			t.Errorf("level %d: other content", level)
		}
	}
}

func TestZstdCompress(t *testing.T) {
	z := anyZstd(t)
	data := content(1 << 20)
	for _, c := range []struct {
		n, level, window int
		want             uint64 // window in bytes
	}{
		{0, 22, 0, 0},
		{1, 22, 0, 1},
		{1000, 22, 0, 1000},
		{1025, 3, 0, 1025},
		{300_000, 22, 0, 300_000},
		{1 << 20, 22, 0, 1 << 20},
		{1 << 20, 22, 16, 1 << 16},
		{1 << 20, 3, 0, 1 << 20},
	} {
		src := bytes.Clone(data[:c.n])
		told := int64(0)
		frame, err := z.Compress(src, c.level, c.window, func(n int64) { told += n })
		if err != nil {
			t.Fatalf("%+v: %v", c, err)
		}
		if !bytes.Equal(unzstd(t, frame), src) || told != int64(c.n) {
			t.Errorf("%+v: other content, or %d bytes reported", c, told)
		}
		var h zstd.Header
		if err := h.Decode(frame); err != nil {
			t.Fatal(err)
		}
		if window := h.WindowSize; h.SingleSegment {
			window = h.FrameContentSize
			if window != c.want {
				t.Errorf("%+v: window %d", c, window)
			}
		} else if window != c.want || h.HasCheckSum {
			t.Errorf("%+v: window %d, checksum %v", c, window, h.HasCheckSum)
		}
		if h.FrameContentSize != uint64(c.n) {
			t.Errorf("%+v: content size %d", c, h.FrameContentSize)
		}
		again, err := z.Compress(src, c.level, c.window, nil)
		if err != nil || !bytes.Equal(again, frame) {
			t.Errorf("%+v: other bytes the second time (%v)", c, err)
		}
	}
	if _, err := z.Compress(data, 22, 99, nil); err == nil {
		t.Error("window 2^99 was taken")
	}
}

func TestZlibAgainstPython(t *testing.T) {
	tooltest.Need(t, "python3")
	z := zlibOf(t)
	version := strings.TrimSpace(string(output(t, nil, "python3", "-c", "import zlib; print(zlib.ZLIB_RUNTIME_VERSION)")))
	if version != z.Version() {
		t.Skipf("python3 has zlib %s, not the system's %s", version, z.Version())
	}
	const script = `import sys, zlib
c = zlib.compressobj(int(sys.argv[1]), 8, int(sys.argv[2]), 9)
sys.stdout.buffer.write(c.compress(sys.stdin.buffer.read()) + c.flush())`
	data := content(2 << 20)
	window := map[Container]string{ContainerRaw: "-15", ContainerGzip: "31", ContainerZlib: "15"}
	for _, c := range []struct {
		container Container
		level     int
		sizes     []int
	}{
		{ContainerGzip, 9, []int{0, 1, 1000, 32<<10 - 1, 32 << 10, 32<<10 + 1, 300_000, 2 << 20}},
		{ContainerGzip, 6, []int{0, 300_000}},
		{ContainerGzip, -1, []int{300_000}},
		{ContainerZlib, 1, []int{1, 300_000}},
		{ContainerRaw, 9, []int{0, 300_000}},
	} {
		for _, n := range c.sizes {
			want := output(t, data[:n], "python3", "-c", script, fmt.Sprint(c.level), window[c.container])
			for _, piece := range []int{0, 997, 32 << 10} {
				got := write(t, data[:n], piece, func(w io.Writer) (io.WriteCloser, error) { return z.NewWriter(w, c.container, c.level) })
				if !bytes.Equal(got, want) {
					t.Errorf("container %d, level %d, %d bytes: got %d, want %d others", c.container, c.level, n, len(got), len(want))
				}
			}
		}
	}
}

func TestCanonicalGzip(t *testing.T) {
	z := zlibOf(t)
	data := content(100_000)
	got := write(t, data, 0, z.NewCanonicalWriter)
	if want := []byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 3}; !bytes.HasPrefix(got, want) {
		t.Errorf("got the header % x, want % x", got[:10], want)
	}
	var same bytes.Buffer
	if err := z.Deflate(&same, bytes.NewReader(data), ContainerGzip, 9); err != nil || !bytes.Equal(same.Bytes(), got) {
		t.Errorf("Deflate differs (%v)", err)
	}
	r, err := NewGzipReader(&same, false)
	if err != nil {
		t.Fatal(err)
	}
	if back, err := io.ReadAll(r); err != nil || !bytes.Equal(back, data) {
		t.Errorf("got %d bytes back, %v", len(back), err)
	}
	for _, c := range []struct {
		container Container
		level     int
	}{{3, 9}, {-1, 9}, {ContainerRaw, 10}, {ContainerRaw, -2}} {
		if _, err := z.NewWriter(io.Discard, c.container, c.level); err == nil {
			t.Errorf("%+v was taken", c)
		}
	}
}

func TestBzip2(t *testing.T) {
	b := bzip2Of(t)
	data := content(2_000_000) // three blocks
	for _, n := range []int{0, 1, 64 << 10, 64<<10 + 1, len(data)} {
		var whole bytes.Buffer
		if err := b.Compress(&whole, data[:n]); err != nil {
			t.Fatal(err)
		}
		if n == 0 && whole.Len() != 14 {
			t.Errorf("empty: got %d bytes, want 14", whole.Len())
		}
		if got := write(t, data[:n], 1013, b.NewWriter); !bytes.Equal(got, whole.Bytes()) {
			t.Errorf("%d bytes: pieces matter", n)
		}
		if _, err := exec.LookPath("bzip2"); err == nil {
			if want := output(t, data[:n], "bzip2", "-9", "-c"); !bytes.Equal(whole.Bytes(), want) {
				t.Errorf("%d bytes: got %d, the program writes %d others", n, whole.Len(), len(want))
			}
		}
		got, err := io.ReadAll(NewBzip2Reader(&whole))
		if err != nil || !bytes.Equal(got, data[:n]) {
			t.Errorf("%d bytes: got %d back, %v", n, len(got), err)
		}
	}
}

func TestConcurrentEncoders(t *testing.T) {
	b, z, s := bzip2Of(t), zlibOf(t), anyZstd(t)
	data := content(400_000)
	for name, open := range map[string]func(io.Writer) (io.WriteCloser, error){
		"bzip2": b.NewWriter, "gzip": z.NewCanonicalWriter, "zstd": canonical(s, 3),
	} {
		want := sum(write(t, data, 0, open))
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if got := sum(write(t, data, 5000, open)); got != want {
					t.Errorf("%s: got %s, want %s", name, got, want)
				}
			})
		}
		wg.Wait()
	}
}

type failingWriter struct{ left int }

func (w *failingWriter) Write(p []byte) (int, error) {
	if w.left -= len(p); w.left < 0 {
		return 0, syscall.ENOSPC
	}
	return len(p), nil
}

func TestWriteErrors(t *testing.T) {
	data := make([]byte, 3<<20) // noise, so that output comes at once
	for i, x := 0, uint32(1); i < len(data); i++ {
		x = x*1664525 + 1013904223
		data[i] = byte(x >> 24)
	}
	b, z, s := bzip2Of(t), zlibOf(t), anyZstd(t)
	for name, open := range map[string]func(io.Writer) (io.WriteCloser, error){
		"bzip2": b.NewWriter, "gzip": z.NewCanonicalWriter, "zstd": canonical(s, 3),
	} {
		for _, room := range []int{0, 100_000} {
			w, err := open(&failingWriter{room})
			if err != nil {
				t.Fatal(err)
			}
			_, werr := w.Write(data)
			err = w.Close()
			if !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("%s: close: got %v after %v", name, err, werr)
			}
			if again := w.Close(); again != err {
				t.Errorf("%s: second close: got %v", name, again)
			}
		}
		w, err := open(io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
		if _, err := w.Write([]byte("x")); err == nil {
			t.Errorf("%s: write after close was taken", name)
		}
	}
}

// A writer that is given up without Close must not keep its C memory.
func TestAbandonedEncoder(t *testing.T) {
	var freed atomic.Int32
	free := func() { freed.Add(1) }
	nothing := func(io.Writer, int, bool) error { return nil }
	closed := newEncoder(io.Discard, make([]byte, 10), nothing, free)
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	newEncoder(io.Discard, make([]byte, 10), nothing, free).Write([]byte("never finished"))
	for range 100 {
		if runtime.GC(); freed.Load() == 2 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if got := freed.Load(); got != 2 {
		t.Errorf("got %d releases, want one of each encoder", got)
	}
	runtime.KeepAlive(closed)
}

func TestOpenZstdRule(t *testing.T) {
	real := zstdOf(t, "1.5.0")
	library, err := os.ReadFile(real.Path())
	if err != nil {
		t.Skipf("the library was found by its soname: %v", err)
	}
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("XDG_CACHE_HOME", "")
	install := func(name string) string {
		path := filepath.Join(home, ".cache", "swudelta", name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o777), os.WriteFile(path, library, 0o777)); err != nil {
			t.Fatal(err)
		}
		return path
	}
	opens := func(o ZstdOptions, want string) {
		t.Helper()
		z, err := OpenZstd(o)
		if err != nil {
			t.Errorf("%+v: %v", o, err)
		} else if z.Path() != want || z.Version() != real.Version() {
			t.Errorf("%+v: got %s (%s), want %s", o, z.Path(), z.Version(), want)
		}
	}
	fails := func(o ZstdOptions, message, hint string) {
		t.Helper()
		z, err := OpenZstd(o)
		var lib *LibraryError
		switch {
		case err == nil:
			t.Errorf("%+v: got %s, want an error", o, z.Path())
		case !strings.Contains(err.Error(), message):
			t.Errorf("%+v: got %q, want ... %s ...", o, err, message)
		case hint != "" && (!errors.As(err, &lib) || !strings.HasSuffix(lib.Hint(), hint)):
			t.Errorf("%+v: got the hint %v, want %q", o, lib, hint)
		}
	}

	// Nothing in the cache. No system has 9.9.9.
	fails(ZstdOptions{DeviceVersion: "9.9.9"}, "the device's 9.9.9", "--libzstd FILE")
	for _, v := range []string{"1.5", "../../x", "1.5.0/..", "v1.5.0", "1.5.0\n", "1111.5.0"} {
		if _, err := OpenZstd(ZstdOptions{DeviceVersion: v}); !errors.Is(err, ErrVersion) {
			t.Errorf("version %q: got %v", v, err)
		}
	}

	if real.Version() == "1.5.0" {
		path := install("libzstd.so.1.5.0")
		opens(ZstdOptions{}, path)
		opens(ZstdOptions{DeviceVersion: "1.5.0"}, path)
		opens(ZstdOptions{DeviceVersion: "1.4.8"}, path) // the same bytes
		opens(ZstdOptions{File: path}, path)
		opens(ZstdOptions{File: path, DeviceVersion: "1.4.8"}, path)
		fails(ZstdOptions{File: path, DeviceVersion: "1.5.6"}, "libzstd 1.5.0", "scripts/get-libzstd 1.5.5")
		fails(ZstdOptions{File: path, DeviceVersion: "1.5.7"}, "libzstd 1.5.0", "scripts/get-libzstd 1.5.7")
		fails(ZstdOptions{File: path, DeviceVersion: "1.4.4"}, "libzstd 1.5.0", "--libzstd FILE")
		t.Chdir(filepath.Dir(path))
		opens(ZstdOptions{File: "libzstd.so.1.5.0"}, path)
	}

	// A file with another version's name.
	install("libzstd.so.1.5.7")
	fails(ZstdOptions{DeviceVersion: "1.5.7"}, "is libzstd "+real.Version(), "remove that file, and build it anew")

	// No library at all.
	text := filepath.Join(home, "text")
	if err := os.WriteFile(text, []byte("no library"), 0o666); err != nil {
		t.Fatal(err)
	}
	fails(ZstdOptions{File: text}, text, "")
	if _, err := OpenZstd(ZstdOptions{File: filepath.Join(home, "absent")}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent: got %v", err)
	}
	if _, err := OpenZlib(filepath.Join(home, "absent")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent: got %v", err)
	}
	_, err = OpenZlib(real.Path())
	if err == nil || !strings.Contains(err.Error(), "has no function zlibVersion") {
		t.Errorf("libzstd as zlib: got %v", err)
	}
}

// Libraries that would write other bytes: a libzstd without threads, zlib-ng.
func TestUnfitLibraries(t *testing.T) {
	tooltest.Need(t, "gcc")
	dir := t.TempDir()
	build := func(name, source string) string {
		path := filepath.Join(dir, name)
		cmd := exec.Command("gcc", "-shared", "-fPIC", "-x", "c", "-o", path, "-")
		cmd.Stdin, cmd.Stderr = strings.NewReader(source), os.Stderr
		if err := cmd.Run(); err != nil {
			t.Fatal(err)
		}
		return path
	}
	single := build("libzstd.so", `#include <stddef.h>
static char context;
void *ZSTD_createCCtx(void) { return &context; }
size_t ZSTD_freeCCtx(void *c) { return 0; }
size_t ZSTD_CCtx_setParameter(void *c, int p, int v) { return p == 400 && v > 0 ? (size_t)-40 : 0; }
size_t ZSTD_CCtx_setPledgedSrcSize(void *c, unsigned long long n) { return 0; }
size_t ZSTD_compressStream2(void *c, void *o, void *i, int e) { return 0; }
size_t ZSTD_compressBound(size_t n) { return n; }
size_t ZSTD_CCtx_refPrefix(void *c, const void *p, size_t n) { return 0; }
unsigned ZSTD_isError(size_t n) { return n > (size_t)-120; }
const char *ZSTD_getErrorName(size_t n) { return "Unsupported parameter"; }
const char *ZSTD_versionString(void) { return "1.5.0"; }
`)
	_, err := OpenZstd(ZstdOptions{File: single})
	if err == nil || !strings.Contains(err.Error(), "without multi-threading: libzstd 1.5.0: Unsupported parameter") {
		t.Errorf("single-threaded libzstd: got %v", err)
	}
	ng := build("libz.so", `
const char *zlibVersion(void) { return "1.3.1.zlib-ng"; }
int deflateInit2_(void) { return 0; }
int deflate(void) { return 0; }
int deflateEnd(void) { return 0; }
`)
	var lib *LibraryError
	if _, err := OpenZlib(ng); !errors.Is(err, errZlibVariant) || !errors.As(err, &lib) {
		t.Errorf("zlib-ng: got %v", err)
	}
}
