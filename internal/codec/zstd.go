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

// DefaultZstdVersion is the libzstd inside the official packages of the delta
// processor's 1.0 generation.
const DefaultZstdVersion = "1.5.0"

// CanonicalLevel is the level of zstd images that a device can redo: the one
// at which byteClasses hold, and the delta processor's own.
const CanonicalLevel = 3

// byteClasses are the versions of libzstd that write the same bytes at
// CanonicalLevel with one worker: measured on files, images and edge sizes. At
// other levels they differ. The first of each is the one to build.
var byteClasses = [][]string{
	{"1.5.0", "1.4.8"},
	{"1.5.5", "1.5.2", "1.5.6", "1.5.4"},
	{"1.5.7"},
}

func classOf(version string) []string {
	for _, c := range byteClasses {
		if slices.Contains(c, version) {
			return c
		}
	}
	return []string{version}
}

// SameBytes reports whether the versions a and b of libzstd, such as "1.5.0",
// are known to write the same canonical frames at that level. A version that
// nobody measured matches itself alone.
func SameBytes(a, b string, level int) bool {
	return a == b || level == CanonicalLevel && slices.Contains(classOf(a), b)
}

// ErrVersion says that a device's version is not one.
var ErrVersion = errors.New("not a version of libzstd, such as " + DefaultZstdVersion)

var versionPattern = regexp.MustCompile(`^[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}$`)

// ZstdOptions chooses a libzstd.
type ZstdOptions struct {
	// File is the library to load. Default: the one that OpenZstd finds.
	File string
	// DeviceVersion is the device's libzstd, such as "1.5.0". Default: File's
	// version, which is then not questioned; without File DefaultZstdVersion.
	DeviceVersion string
}

// Zstd is a loaded libzstd. Any number of goroutines may use it.
type Zstd struct {
	path, version string

	createCCtx      func() unsafe.Pointer
	freeCCtx        func(unsafe.Pointer) uintptr
	setParameter    func(cctx unsafe.Pointer, param, value int32) uintptr
	setPledgedSize  func(cctx unsafe.Pointer, size uint64) uintptr
	compressStream2 func(cctx, out, in unsafe.Pointer, op int32) uintptr
	compressBound   func(uintptr) uintptr
	refPrefix       func(cctx, prefix unsafe.Pointer, size uintptr) uintptr
	isError         func(uintptr) uint32
	getErrorName    func(uintptr) string
	versionString   func() string
}

// Parameters of ZSTD_CCtx_setParameter and directives of ZSTD_compressStream2 (zstd.h of 1.4.8
// and later).
const (
	zstdLevel       = 100
	zstdWindowLog   = 101
	zstdHashLog     = 102
	zstdChainLog    = 103
	zstdContentSize = 200
	zstdStrategy    = 107
	zstdWorkers     = 400
	zstdStableInput = 1006 // ZSTD_c_stableInBuffer, in zstd.h among what is experimental

	zstdContinue = 0
	zstdEnd      = 2
)

var zstds libraries[Zstd]

// OpenZstd loads the libzstd that writes the device's bytes at level 3: o.File; else that
// very version, and only then another with the same bytes. Both are looked for as
// libzstd.so.VERSION in packageFolder, in ../lib/swudelta from the program, and in the
// folder swudelta of the user's cache, where scripts/get-libzstd leaves it; then as the
// system's libzstd.so.1. Where nothing fits the error is a *LibraryError. A library that
// was built without threads is refused, for it writes other frames than one with. Each
// library is loaded once in a process.
func OpenZstd(o ZstdOptions) (*Zstd, error) {
	version := o.DeviceVersion
	if version != "" && !versionPattern.MatchString(version) {
		return nil, fmt.Errorf("%q: %w", version, ErrVersion)
	}
	if o.File != "" {
		return openZstdFile(o.File, version)
	}
	if version == "" {
		version = DefaultZstdVersion
	}
	z, err := loadZstd("libzstd.so.1")
	// Versions of a class differ at other levels than that of images, so that the very
	// one closes more members.
	for _, versions := range [][]string{{version}, classOf(version)} {
		for _, dir := range libraryFolders() {
			if found, err := openZstdIn(dir, versions); found != nil || err != nil {
				return found, err
			}
		}
		if err == nil && z.version == version {
			return z, nil
		}
	}
	if err == nil && !SameBytes(z.version, version, CanonicalLevel) {
		err = fmt.Errorf("the system's is %s", z.version)
	}
	if err != nil {
		return nil, libzstdMissing(version, fmt.Errorf("no libzstd with the bytes of the device's %s: %w", version, err))
	}
	return z, nil
}

func openZstdFile(file, version string) (*Zstd, error) {
	path, err := libraryFile(file)
	if err != nil {
		return nil, err
	}
	z, err := loadZstd(path)
	if err == nil && version != "" && !SameBytes(z.version, version, CanonicalLevel) {
		return nil, libzstdMissing(version, fmt.Errorf("%s is libzstd %s, which does not have the bytes of the device's %s", file, z.version, version))
	}
	return z, err
}

// openZstdIn returns the first of these versions that dir has, nil and no error if it has none.
func openZstdIn(dir string, versions []string) (*Zstd, error) {
	for _, v := range versions {
		path := filepath.Join(dir, "libzstd.so."+v)
		if _, err := os.Stat(path); err != nil {
			continue
		}
		z, err := loadZstd(path)
		if err == nil && z.version != v {
			err = fmt.Errorf("%s is libzstd %s", path, z.version)
		}
		if err != nil {
			return nil, &LibraryError{err, "remove that file, and build it anew"}
		}
		return z, nil
	}
	return nil, nil
}

func libzstdMissing(version string, err error) error {
	if c := classOf(version); len(c) > 1 || c[0] == "1.5.7" {
		return &LibraryError{err, "build it with: scripts/get-libzstd " + c[0]}
	}
	return &LibraryError{err, "name a copy of the device's library with --libzstd FILE"}
}

func loadZstd(path string) (*Zstd, error) {
	return zstds.get(path, func() (*Zstd, error) {
		z := &Zstd{path: path}
		err := load(path,
			symbol{"ZSTD_createCCtx", &z.createCCtx},
			symbol{"ZSTD_freeCCtx", &z.freeCCtx},
			symbol{"ZSTD_CCtx_setParameter", &z.setParameter},
			symbol{"ZSTD_CCtx_setPledgedSrcSize", &z.setPledgedSize},
			symbol{"ZSTD_compressStream2", &z.compressStream2},
			symbol{"ZSTD_compressBound", &z.compressBound},
			symbol{"ZSTD_CCtx_refPrefix", &z.refPrefix},
			symbol{"ZSTD_isError", &z.isError},
			symbol{"ZSTD_getErrorName", &z.getErrorName},
			symbol{"ZSTD_versionString", &z.versionString},
		)
		if err != nil {
			return nil, err
		}
		z.version = z.versionString()
		c, err := z.context(zstdParam{zstdWorkers, 1})
		if err != nil {
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
func (z *Zstd) context(params ...zstdParam) (unsafe.Pointer, error) {
	c := z.createCCtx()
	if c == nil {
		return nil, errMemory
	}
	for _, p := range params {
		if err := z.check(z.setParameter(c, p.id, p.value)); err != nil {
			z.freeCCtx(c)
			return nil, err
		}
	}
	return c, nil
}

// zstdPiece is how much the delta processor hands to libzstd at a time. That
// matters for content that is not longer: it arrives together with the end, so
// libzstd knows its size and writes it down.
const zstdPiece = 32 << 10

// zstdBuffers has a ZSTD_inBuffer and a ZSTD_outBuffer.
type zstdBuffers struct {
	in, out struct{ ptr, size, pos uintptr }
}

// NewCanonicalWriter returns a writer whose frame, completed by Close, has the
// bytes of the delta processor's own zstd compression at that level
// (CanonicalLevel for images; libzstd takes what is out of its range as the nearest in it): one
// worker, no checksum, the content's size in the header only up to 32 KiB.
// Empty content gives no byte at all. How the content is cut into Writes does
// not matter. Memory is constant. A writer whose output is given up need not be
// closed.
func (z *Zstd) NewCanonicalWriter(w io.Writer, level int) (io.WriteCloser, error) {
	b, err := newBlock[zstdBuffers](zstdPiece, 128<<10)
	if err != nil {
		return nil, err
	}
	cctx, err := z.context(zstdParam{zstdLevel, int32(level)}, zstdParam{zstdWorkers, 1})
	if err != nil {
		b.free()
		return nil, err
	}
	code := func(w io.Writer, n int, last bool) error {
		if n == 0 { // only at the end, and only if there was nothing
			return nil
		}
		op := int32(zstdContinue)
		if last {
			op = zstdEnd
		}
		return z.stream(cctx, b, w, n, op)
	}
	return newEncoder(w, b.in, code, func() { z.freeCCtx(cctx); b.free() }), nil
}

// Strategies of ZSTD_c_strategy: the two strongest.
const (
	zstdBtultra  = 8
	zstdBtultra2 = 9
)

// Compress returns src as one zstd frame, with its size in the header (so that
// a decoder need not hold more than src), without checksum. windowLog is the
// binary logarithm of the window in bytes; 0 stands for the smallest window
// that covers src, at most MaxWindow. Level 22 is libzstd's highest; it takes
// two runs, of which the smaller frame is kept, and up to 30 times len(src) of
// memory, at most 0.8 GB. All is done in the caller's thread, and the frame
// depends on nothing but the arguments and the library's version. report, if it is not nil, is
// called with each number of bytes of src that were dealt with.
func (z *Zstd) Compress(src []byte, level, windowLog int, report func(n int64)) ([]byte, error) {
	if windowLog == 0 {
		windowLog = min(max(bits.Len(uint(max(len(src), 1)-1)), 10), 27)
	}
	params := []zstdParam{{zstdLevel, int32(level)}, {zstdWindowLog, int32(windowLog)}}
	if level < 22 {
		return z.compressWith(nil, src, report, params...)
	}
	told := int64(0) // by both runs, each of which is half of the work
	half := func(n int64) {
		told += n
		if report != nil {
			report(told/2 - (told-n)/2)
		}
	}
	// The second strategy has the first one's parse, but primes its statistics
	// by a trial run over the first block, which does not always help.
	best, err := z.compressWith(nil, src, half, append(params, zstdParam{zstdStrategy, zstdBtultra2})...)
	if err != nil {
		return nil, err
	}
	other, err := z.compressWith(nil, src, half, append(params, zstdParam{zstdStrategy, zstdBtultra})...)
	if err != nil {
		return nil, err
	}
	if len(other) < len(best) {
		best = other
	}
	return best, nil
}

// CompressPrefixed returns src as a zstd frame of that level for decoders that are given
// prefix as a raw dictionary (zstd --patch-from). The window must cover prefix and
// src. Memory and report are as for CompressBehind.
func (z *Zstd) CompressPrefixed(prefix, src []byte, level, windowLog int, report func(n int64)) ([]byte, error) {
	return z.compressWith(prefix, src, report, prefixParams(level, windowLog)...)
}

// CompressBehind returns src as blocks of a zstd frame of that level, which refer to prefix
// as if it were content of the same frame. Behind a frame header (RFC 8878 section 3.1.1.1)
// with the window windowLog, and behind raw blocks that hold prefix, they make a frame that
// any decoder reads, without a dictionary. The window must cover prefix and src.
//
// At level 22 hashLog is windowLog-1 and chainLog is windowLog, in place of windowLog+1 for
// both: the frame is larger by 0.002 %, and less memory takes less time.
// report, if it is not nil, is called with each number of bytes of prefix and src that were
// dealt with: those of prefix by the clock, because libzstd takes it in at once.
func (z *Zstd) CompressBehind(prefix, src []byte, level, windowLog int, report func(n int64)) ([]byte, error) {
	params := append(prefixParams(level, windowLog), zstdParam{zstdContentSize, 0})
	frame, err := z.compressWith(prefix, src, report, params...)
	if err != nil {
		return nil, err
	}
	const magicAndDescriptor = 5
	// No content size and no dictionary: one byte for the window follows.
	if len(frame) < magicAndDescriptor+1 || frame[magicAndDescriptor-1] != 0 {
		return nil, fmt.Errorf("%s: unexpected frame header", z.path)
	}
	return frame[magicAndDescriptor+1:], nil
}

func prefixParams(level, windowLog int) []zstdParam {
	params := []zstdParam{{zstdLevel, int32(level)}, {zstdWindowLog, int32(windowLog)}}
	if level >= 22 {
		params = append(params, zstdParam{zstdHashLog, int32(windowLog) - 1}, zstdParam{zstdChainLog, int32(windowLog)})
	}
	return params
}

// inBlocks says that a frame does not depend on whether it is taken block by block. From 1.5.7 on
// what follows a block has a say in where it ends, as far as it is handed over.
func (z *Zstd) inBlocks() bool { return z.version < "1.5.6" }

// compressWith hands src over as a whole, and takes the frame in pieces, to report in between.
// That src stays where it is (stable) spares a copy. The frame is that of ZSTD_compress2.
func (z *Zstd) compressWith(prefix, src []byte, report func(n int64), params ...zstdParam) ([]byte, error) {
	c, err := z.context(append(slices.Clip(params), zstdParam{zstdStableInput, 1})...)
	if err != nil {
		return nil, err
	}
	defer z.freeCCtx(c)
	var pinned runtime.Pinner // libzstd holds on to both addresses
	defer pinned.Unpin()
	for _, p := range [][]byte{prefix, src} {
		if len(p) > 0 {
			pinned.Pin(unsafe.SliceData(p))
		}
	}
	if len(prefix) > 0 {
		if err := z.check(z.refPrefix(c, unsafe.Pointer(unsafe.SliceData(prefix)), uintptr(len(prefix)))); err != nil {
			return nil, err
		}
	}
	room := 4 << 10 // so little that libzstd returns after a few blocks
	if !z.inBlocks() {
		room = int(z.compressBound(uintptr(len(src))))
	}
	b, err := newBlock[zstdBuffers](0, room)
	if err != nil {
		return nil, err
	}
	defer b.free()
	in, out := &b.state.in, &b.state.out
	in.ptr, in.size = address(src), uintptr(len(src))
	var frame []byte
	taken := func() {}
	if report != nil && len(prefix) > 0 {
		taken = byClock(int64(len(prefix)), report)
	}
	for {
		done := in.pos
		out.ptr, out.size, out.pos = address(b.out), uintptr(len(b.out)), 0
		left := z.compressStream2(c, unsafe.Pointer(out), unsafe.Pointer(in), zstdEnd)
		taken()
		taken = func() {}
		if err := z.check(left); err != nil {
			return nil, err
		}
		frame = append(frame, b.out[:out.pos]...)
		if report != nil {
			report(int64(in.pos - done))
		}
		if left == 0 {
			return frame, nil
		}
	}
}
