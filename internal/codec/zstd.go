// SPDX-License-Identifier: MIT

package codec

import (
	"errors"
	"fmt"
	"io"
	"math/bits"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"unsafe"
)

// DefaultZstdVersion is the libzstd of the official packages of the delta
// processor's 1.0 generation.
const DefaultZstdVersion = "1.5.0"

// byteClasses are the versions of libzstd that write the same bytes at level 3
// with one worker (measured on files, images and edge sizes; not so at other
// levels). The members that scripts/get-libzstd offers come first.
var byteClasses = [][]string{
	{"1.5.0", "1.4.8", "1.4.9"},
	{"1.5.5", "1.5.2", "1.5.6", "1.5.4"},
	{"1.5.7"},
}

// SameBytes reports whether libzstd a and libzstd b (versions such as "1.5.0")
// are known to write the same canonical frame at the given level. Versions that
// nobody measured match only themselves.
func SameBytes(a, b string, level int) bool {
	if a == b {
		return true
	}
	return level == 3 && slices.Contains(classOf(a), b)
}

func classOf(version string) []string {
	for _, c := range byteClasses {
		if slices.Contains(c, version) {
			return c
		}
	}
	return []string{version}
}

// ZstdOptions chooses a libzstd.
type ZstdOptions struct {
	File          string // the library to load, whatever else is there; default: see OpenZstd
	DeviceVersion string // libzstd of the device; default: DefaultZstdVersion, with File: File's
}

// Zstd is a loaded libzstd.
type Zstd struct {
	path, version string

	createCCtx      func() unsafe.Pointer
	freeCCtx        func(unsafe.Pointer) uintptr
	setParameter    func(cctx unsafe.Pointer, param, value int32) uintptr
	compressStream2 func(cctx, out, in unsafe.Pointer, op int32) uintptr
	compress2       func(cctx, dst unsafe.Pointer, dstSize uintptr, src unsafe.Pointer, srcSize uintptr) uintptr
	compressBound   func(uintptr) uintptr
	isError         func(uintptr) uint32
	getErrorName    func(uintptr) string
	versionString   func() string
}

// Parameters of ZSTD_CCtx_setParameter and directives of ZSTD_compressStream2
// (zstd.h; part of libzstd's stable interface since 1.4.0).
const (
	zstdLevel       = 100
	zstdWindowLog   = 101
	zstdContentSize = 200
	zstdWorkers     = 400

	zstdContinue = 0
	zstdEnd      = 2
)

// ErrVersion says that a device's version is not one.
var ErrVersion = errors.New("not a version of libzstd such as " + DefaultZstdVersion)

var versionPattern = regexp.MustCompile(`^[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}$`)

// LibraryError says that no fitting library was found. Hint returns what to do.
type LibraryError struct {
	Err  error
	hint string
}

func (e *LibraryError) Error() string { return e.Err.Error() }
func (e *LibraryError) Unwrap() error { return e.Err }

// Hint is advice for the user.
func (e *LibraryError) Hint() string { return e.hint }

var zstds libraries[Zstd]

// OpenZstd loads the libzstd that gives the device's bytes at level 3. It is,
// in this order: o.File; the library of that version, or of another one with
// the same bytes, that scripts/get-libzstd left in the user's cache
// (libzstd.so.VERSION in ${XDG_CACHE_HOME:-~/.cache}/swudelta); the system's
// libzstd.so.1, if its bytes are the device's. Else the error is a
// *LibraryError. Each library is loaded once in a process.
func OpenZstd(o ZstdOptions) (*Zstd, error) {
	version := o.DeviceVersion
	if version != "" && !versionPattern.MatchString(version) {
		return nil, fmt.Errorf("%q: %w", version, ErrVersion)
	}
	if o.File != "" {
		path, err := libraryFile(o.File)
		if err != nil {
			return nil, err
		}
		z, err := loadZstd(path)
		if err == nil && version != "" && !SameBytes(z.version, version, 3) {
			err = &LibraryError{fmt.Errorf("%s is libzstd %s, whose bytes are not those of the device's %s", o.File, z.version, version), getHint(version)}
		}
		if err != nil {
			return nil, err
		}
		return z, nil
	}
	if version == "" {
		version = DefaultZstdVersion
	}
	if dir, err := os.UserCacheDir(); err == nil {
		for _, v := range append([]string{version}, classOf(version)...) {
			path := filepath.Join(dir, "swudelta", "libzstd.so."+v)
			if _, err := os.Stat(path); err != nil {
				continue
			}
			z, err := loadZstd(path)
			if err == nil && z.version != v {
				err = fmt.Errorf("%s is libzstd %s", path, z.version)
			}
			if err != nil {
				return nil, &LibraryError{err, getHint(v)}
			}
			return z, nil
		}
	}
	const system = "libzstd.so.1"
	z, err := loadZstd(system)
	if err == nil && !SameBytes(z.version, version, 3) {
		err = fmt.Errorf("the system's %s has version %s", system, z.version)
	}
	if err != nil {
		return nil, &LibraryError{fmt.Errorf("no libzstd with the bytes of the device's %s: %w", version, err), getHint(version)}
	}
	return z, nil
}

func getHint(version string) string {
	return "build it with: scripts/get-libzstd " + classOf(version)[0]
}

func loadZstd(path string) (*Zstd, error) {
	return zstds.get(path, func() (*Zstd, error) {
		z := &Zstd{path: path}
		err := load(path,
			symbol{"ZSTD_createCCtx", &z.createCCtx},
			symbol{"ZSTD_freeCCtx", &z.freeCCtx},
			symbol{"ZSTD_CCtx_setParameter", &z.setParameter},
			symbol{"ZSTD_compressStream2", &z.compressStream2},
			symbol{"ZSTD_compress2", &z.compress2},
			symbol{"ZSTD_compressBound", &z.compressBound},
			symbol{"ZSTD_isError", &z.isError},
			symbol{"ZSTD_getErrorName", &z.getErrorName},
			symbol{"ZSTD_versionString", &z.versionString},
		)
		if err != nil {
			return nil, err
		}
		z.version = z.versionString()
		c, err := z.context(3, zstdParam{zstdWorkers, 1})
		if err != nil {
			// A library without threads writes other frames than one with.
			return nil, fmt.Errorf("%s was built without multi-threading: %w", path, err)
		}
		z.freeCCtx(c)
		return z, nil
	})
}

// Version returns the library's own version, such as "1.5.0".
func (z *Zstd) Version() string { return z.version }

// Path returns the path or soname that the library was loaded by.
func (z *Zstd) Path() string { return z.path }

func (z *Zstd) check(code uintptr) error {
	if z.isError(code) == 0 {
		return nil
	}
	return fmt.Errorf("libzstd %s: %s", z.version, z.getErrorName(code))
}

type zstdParam struct{ id, value int32 }

// context returns a compression context, to be freed with freeCCtx.
func (z *Zstd) context(level int, params ...zstdParam) (unsafe.Pointer, error) {
	c := z.createCCtx()
	if c == nil {
		return nil, errMemory
	}
	for _, p := range append([]zstdParam{{zstdLevel, int32(level)}}, params...) {
		if err := z.check(z.setParameter(c, p.id, p.value)); err != nil {
			z.freeCCtx(c)
			return nil, err
		}
	}
	return c, nil
}

// zstdPiece is how much the delta processor hands to libzstd at a time. It
// matters for what is not longer: that arrives together with the end, so
// libzstd knows the content's size and writes it down.
const zstdPiece = 32 << 10

// zstdBuffer is ZSTD_inBuffer and ZSTD_outBuffer.
type zstdBuffer struct{ ptr, size, pos uintptr }

type zstdBuffers struct{ in, out zstdBuffer }

type zstdWriter struct {
	z       *Zstd
	w       io.Writer
	cctx    unsafe.Pointer
	block   *block[zstdBuffers]
	n       int // bytes pending in block.in
	any     bool
	err     error
	cleanup runtime.Cleanup
}

// NewCanonicalWriter returns a writer whose frame, completed by Close, has the
// bytes of the delta processor's own zstd compression at that level (3 in
// images): one worker, no checksum, the content's size only up to 32 KiB.
// Empty content gives no byte at all. How the content is cut into Writes does
// not matter. Memory is constant. A writer need not be closed if its output is
// given up.
func (z *Zstd) NewCanonicalWriter(w io.Writer, level int) (io.WriteCloser, error) {
	b, err := newBlock[zstdBuffers](zstdPiece, 128<<10)
	if err != nil {
		return nil, err
	}
	c, err := z.context(level, zstdParam{zstdWorkers, 1})
	if err != nil {
		b.free()
		return nil, err
	}
	zw := &zstdWriter{z: z, w: w, cctx: c, block: b}
	zw.cleanup = runtime.AddCleanup(zw, func(b *block[zstdBuffers]) { z.freeCCtx(c); b.free() }, b)
	return zw, nil
}

func (w *zstdWriter) Write(p []byte) (int, error) {
	total := len(p)
	for len(p) > 0 && w.err == nil {
		// Only when more arrives is it known that the pending piece is not
		// the last one, which goes together with the end.
		if w.n == len(w.block.in) {
			w.compress(zstdContinue)
			continue
		}
		n := copy(w.block.in[w.n:], p)
		w.n, p, w.any = w.n+n, p[n:], true
	}
	return total - len(p), w.err
}

// compress hands the pending piece over and writes what comes out.
func (w *zstdWriter) compress(op int32) {
	s := w.block.state
	s.in = zstdBuffer{address(w.block.in), uintptr(w.n), 0}
	for {
		s.out = zstdBuffer{address(w.block.out), uintptr(len(w.block.out)), 0}
		left := w.z.compressStream2(w.cctx, unsafe.Pointer(&s.out), unsafe.Pointer(&s.in), op)
		if w.err = w.z.check(left); w.err != nil {
			return
		}
		if s.out.pos > 0 {
			if _, w.err = w.w.Write(w.block.out[:s.out.pos]); w.err != nil {
				return
			}
		}
		if s.in.pos == s.in.size && (op != zstdEnd || left == 0) {
			w.n = 0
			return
		}
	}
}

func (w *zstdWriter) Close() error {
	if w.block == nil {
		return w.err
	}
	if w.err == nil && w.any {
		w.compress(zstdEnd)
	}
	w.cleanup.Stop()
	w.z.freeCCtx(w.cctx)
	w.block.free()
	w.block, w.cctx = nil, nil
	err := w.err
	if err == nil {
		w.err = errWriteClosed
	}
	return err
}

// Compress returns src as one zstd frame, as small as the level allows, without
// content size and checksum. windowLog is the window's binary logarithm; 0
// stands for the smallest window that covers src, at most MaxWindow. It works
// in the caller's thread, and the frame depends on nothing but the arguments
// and the library's version.
func (z *Zstd) Compress(src []byte, level, windowLog int) ([]byte, error) {
	if windowLog == 0 {
		windowLog = min(max(bits.Len(uint(max(len(src), 1)-1)), 10), 27)
	}
	c, err := z.context(level, zstdParam{zstdWindowLog, int32(windowLog)}, zstdParam{zstdContentSize, 0})
	if err != nil {
		return nil, err
	}
	defer z.freeCCtx(c)
	dst := make([]byte, z.compressBound(uintptr(len(src))))
	n := z.compress2(c, unsafe.Pointer(unsafe.SliceData(dst)), uintptr(len(dst)), unsafe.Pointer(unsafe.SliceData(src)), uintptr(len(src)))
	if err := z.check(n); err != nil {
		return nil, err
	}
	return slices.Clip(dst[:n]), nil
}
