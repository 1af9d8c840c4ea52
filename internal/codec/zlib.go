// SPDX-License-Identifier: MIT

package codec

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unsafe"
)

// Container is what surrounds a deflate stream. The numbers are those of the
// delta format's zlib recipes.
type Container int

// The containers of RFC 1951, 1952 and 1950.
const (
	ContainerRaw Container = iota
	ContainerGzip
	ContainerZlib
)

// windowBits tells zlib both the window (32 KiB) and the container.
func (c Container) windowBits() (int32, error) {
	switch c {
	case ContainerRaw:
		return -15, nil
	case ContainerGzip:
		return 15 + 16, nil
	case ContainerZlib:
		return 15, nil
	}
	return 0, fmt.Errorf("deflate container %d is not known", int(c))
}

// zStream is C's z_stream; Go aligns its fields as C does, on 32 and on 64 bits.
type zStream struct {
	nextIn   uintptr
	availIn  uint32
	_        uintptr // total_in
	nextOut  uintptr
	availOut uint32
	_        uintptr    // total_out
	_        [5]uintptr // msg, state, zalloc, zfree, opaque
	_        int32      // data_type
	_        [2]uintptr // adler, reserved
}

// Values of zlib.h.
const (
	zNoFlush   = 0
	zFinish    = 4
	zOK        = 0
	zStreamEnd = 1
	zDeflated  = 8
)

// zMemLevel is the delta processor's choice; zlib's default is 8.
const zMemLevel = 9

// Zlib is a loaded zlib. Any number of goroutines may use it.
type Zlib struct {
	path, version string

	zlibVersion  func() string
	deflateInit2 func(s unsafe.Pointer, level, method, windowBits, memLevel, strategy int32, version string, size int32) int32
	deflate      func(s unsafe.Pointer, flush int32) int32
	deflateEnd   func(s unsafe.Pointer) int32
}

var (
	zlibs          libraries[Zlib]
	zlibPattern    = regexp.MustCompile(`^1(\.[0-9]+){1,3}$`)
	errZlibVariant = errors.New("not the original zlib, and others write other bytes")
)

// OpenZlib loads zlib: file, or if that is empty the system's libz.so.1, or if that is not
// the original, which says so in its version (zlib-ng, for one) and writes other bytes, what
// libraryFolders have as libz.so.VERSION. The original writes the same bytes from 1.2.11 to
// 1.3.2 (doc/engine.md). Where there is none the error is a *LibraryError.
func OpenZlib(file string) (*Zlib, error) {
	if file != "" {
		path, err := libraryFile(file)
		if err != nil {
			return nil, err
		}
		return loadZlib(path)
	}
	z, err := loadZlib("libz.so.1")
	if err == nil {
		return z, nil
	}
	for _, dir := range libraryFolders() {
		entries, _ := os.ReadDir(dir) // most are not there
		for _, e := range slices.Backward(entries) {
			if version, ok := strings.CutPrefix(e.Name(), "libz.so."); ok && zlibPattern.MatchString(version) {
				return loadZlib(filepath.Join(dir, e.Name()))
			}
		}
	}
	return nil, err
}

func loadZlib(path string) (*Zlib, error) {
	return zlibs.get(path, func() (*Zlib, error) {
		z := &Zlib{path: path}
		err := load(path,
			symbol{"zlibVersion", &z.zlibVersion},
			symbol{"deflateInit2_", &z.deflateInit2},
			symbol{"deflate", &z.deflate},
			symbol{"deflateEnd", &z.deflateEnd},
		)
		if err == nil {
			if z.version = z.zlibVersion(); !zlibPattern.MatchString(z.version) {
				err = fmt.Errorf("%s of version %q: %w", path, z.version, errZlibVariant)
			}
		}
		if err != nil {
			return nil, &LibraryError{err, "install zlib (Debian: zlib1g), or build it with: scripts/get-libz 1.3.1"}
		}
		return z, nil
	})
}

// Version returns the library's own version, such as "1.2.13".
func (z *Zlib) Version() string { return z.version }

// Path returns the path or soname that the library was loaded by.
func (z *Zlib) Path() string { return z.path }

// NewCanonicalWriter returns a writer of canonical gzip: one member at level 9
// and memory level 9, without name and time.
func (z *Zlib) NewCanonicalWriter(w io.Writer) (io.WriteCloser, error) {
	return z.NewWriter(w, ContainerGzip, 9)
}

// NewWriter returns a writer whose stream, completed by Close, has the bytes of
// the delta processor's zlib compression in that container at that level: 1 to
// 9, or -1 for zlib's default. (Level 0 is taken too, but there zlib's bytes
// depend on the size of the buffers.) How the content is cut into Writes does
// not matter. A writer whose output is given up need not be closed.
func (z *Zlib) NewWriter(w io.Writer, container Container, level int) (io.WriteCloser, error) {
	window, err := container.windowBits()
	if err != nil {
		return nil, err
	}
	if level < -1 || level > 9 {
		return nil, fmt.Errorf("deflate level %d: want -1 to 9", level)
	}
	b, err := newBlock[zStream](32<<10, 64<<10)
	if err != nil {
		return nil, err
	}
	if code := z.deflateInit2(b.ptr(), int32(level), zDeflated, window, zMemLevel, 0, z.version, int32(unsafe.Sizeof(zStream{}))); code != zOK {
		b.free()
		return nil, z.fail(code)
	}
	code := func(w io.Writer, n int, last bool) error {
		flush := int32(zNoFlush)
		if last {
			flush = zFinish
		}
		s := b.state
		s.nextIn, s.availIn = address(b.in), uint32(n)
		for {
			s.nextOut, s.availOut = address(b.out), uint32(len(b.out))
			code := z.deflate(b.ptr(), flush)
			if code != zOK && code != zStreamEnd {
				return z.fail(code)
			}
			if _, err := w.Write(b.out[:len(b.out)-int(s.availOut)]); err != nil {
				return err
			}
			// Where it leaves no room zlib may have more to give.
			if code == zStreamEnd || !last && s.availOut > 0 {
				return nil
			}
		}
	}
	return newEncoder(w, b.in, code, func() { z.deflateEnd(b.ptr()); b.free() }), nil
}

func (z *Zlib) fail(code int32) error {
	return fmt.Errorf("zlib %s: error %d", z.version, code)
}

// Deflate compresses src to dst, as a writer of NewWriter does.
func (z *Zlib) Deflate(dst io.Writer, src io.Reader, container Container, level int) error {
	w, err := z.NewWriter(dst, container, level)
	if err != nil {
		return err
	}
	if _, err := io.Copy(w, src); err != nil {
		return err
	}
	return w.Close()
}
