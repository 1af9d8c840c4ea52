// SPDX-License-Identifier: MIT

package codec

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"runtime"
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
	nextIn             uintptr
	availIn            uint32
	totalIn            uintptr
	nextOut            uintptr
	availOut           uint32
	totalOut           uintptr
	msg, state         uintptr
	alloc, free, opaue uintptr
	dataType           int32
	adler, reserved    uintptr
}

// Zlib is a loaded zlib.
type Zlib struct {
	path, version string

	zlibVersion  func() string
	deflateInit2 func(s unsafe.Pointer, level, method, windowBits, memLevel, strategy int32, version string, size int32) int32
	deflate      func(s unsafe.Pointer, flush int32) int32
	deflateEnd   func(s unsafe.Pointer) int32
}

var (
	zlibs          libraries[Zlib]
	plainZlib      = regexp.MustCompile(`^1(\.[0-9]+){1,3}$`)
	errZlibVariant = errors.New("not the original zlib: other implementations write other bytes")
)

// OpenZlib loads zlib: file, or if that is empty the system's libz.so.1. A
// library that says in its version that it is not the original (zlib-ng) is
// refused, for its bytes are others.
func OpenZlib(file string) (*Zlib, error) {
	path := "libz.so.1"
	if file != "" {
		var err error
		if path, err = libraryFile(file); err != nil {
			return nil, err
		}
	}
	return zlibs.get(path, func() (*Zlib, error) {
		z := &Zlib{path: path}
		err := load(path,
			symbol{"zlibVersion", &z.zlibVersion},
			symbol{"deflateInit2_", &z.deflateInit2},
			symbol{"deflate", &z.deflate},
			symbol{"deflateEnd", &z.deflateEnd},
		)
		if err != nil {
			return nil, err
		}
		z.version = z.zlibVersion()
		if !plainZlib.MatchString(z.version) {
			return nil, fmt.Errorf("%s has version %q: %w", path, z.version, errZlibVariant)
		}
		return z, nil
	})
}

// Version returns the library's own version, such as "1.2.13".
func (z *Zlib) Version() string { return z.version }

// Path returns the path or soname that the library was loaded by.
func (z *Zlib) Path() string { return z.path }

const (
	zNoFlush   = 0
	zFinish    = 4
	zStreamEnd = 1
	zOK        = 0
	zDeflated  = 8
	zMemLevel  = 9 // as the delta processor's
)

type zlibWriter struct {
	z       *Zlib
	w       io.Writer
	block   *block[zStream]
	n       int
	err     error
	cleanup runtime.Cleanup
}

// NewCanonicalWriter returns a writer of canonical gzip: one member, level 9,
// memory level 9, no name, no time.
func (z *Zlib) NewCanonicalWriter(w io.Writer) (io.WriteCloser, error) {
	return z.NewWriter(w, ContainerGzip, 9)
}

// NewWriter returns a writer whose stream, completed by Close, has the bytes of
// the delta processor's zlib compression in that container at that level: 1 to
// 9, or -1 for zlib's default. (At level 0 zlib's bytes depend on the size of
// its buffers, so nothing is promised for it.) How the content is cut into
// Writes does not matter. A writer need not be closed if its output is given up.
func (z *Zlib) NewWriter(w io.Writer, container Container, level int) (io.WriteCloser, error) {
	window, err := container.windowBits()
	if err != nil {
		return nil, err
	}
	b, err := newBlock[zStream](32<<10, 64<<10)
	if err != nil {
		return nil, err
	}
	code := z.deflateInit2(unsafe.Pointer(b.state), int32(level), zDeflated, window, zMemLevel, 0, z.version, int32(unsafe.Sizeof(zStream{})))
	if code != zOK {
		b.free()
		return nil, z.fail(code)
	}
	zw := &zlibWriter{z: z, w: w, block: b}
	zw.cleanup = runtime.AddCleanup(zw, func(b *block[zStream]) { z.deflateEnd(unsafe.Pointer(b.state)); b.free() }, b)
	return zw, nil
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

func (w *zlibWriter) Write(p []byte) (int, error) {
	total := len(p)
	for len(p) > 0 && w.err == nil {
		n := copy(w.block.in[w.n:], p)
		w.n, p = w.n+n, p[n:]
		if w.n == len(w.block.in) {
			w.compress(zNoFlush)
		}
	}
	return total - len(p), w.err
}

func (w *zlibWriter) compress(flush int32) {
	s := w.block.state
	s.nextIn, s.availIn = address(w.block.in), uint32(w.n)
	w.n = 0
	for done := false; !done; {
		s.nextOut, s.availOut = address(w.block.out), uint32(len(w.block.out))
		code := w.z.deflate(unsafe.Pointer(s), flush)
		if code != zOK && code != zStreamEnd {
			w.err = w.z.fail(code)
			return
		}
		// zlib asks for more room by leaving none.
		done = code == zStreamEnd || flush == zNoFlush && s.availOut > 0
		if n := len(w.block.out) - int(s.availOut); n > 0 {
			if _, w.err = w.w.Write(w.block.out[:n]); w.err != nil {
				return
			}
		}
	}
}

func (w *zlibWriter) Close() error {
	if w.block == nil {
		return w.err
	}
	if w.err == nil {
		w.compress(zFinish)
	}
	w.cleanup.Stop()
	w.z.deflateEnd(unsafe.Pointer(w.block.state))
	w.block.free()
	w.block = nil
	err := w.err
	if err == nil {
		w.err = errWriteClosed
	}
	return err
}
