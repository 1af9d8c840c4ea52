// SPDX-License-Identifier: MIT

package codec

import (
	"fmt"
	"io"
	"unsafe"
)

// bzStream is C's bz_stream; Go aligns its fields as C does, on 32 and on 64 bits.
type bzStream struct {
	nextIn   uintptr
	availIn  uint32
	_        [2]uint32 // total_in, low and high half
	nextOut  uintptr
	availOut uint32
	_        [2]uint32  // total_out
	_        [4]uintptr // state, bzalloc, bzfree, opaque
}

// Values of bzlib.h.
const (
	bzRun       = 0
	bzFinish    = 2
	bzOK        = 0
	bzRunOK     = 1
	bzFinishOK  = 3
	bzStreamEnd = 4
)

// How long the fast sort may try before the slow one takes over: the library's default,
// which changes the time taken, not the bytes.
const bzWorkFactor = 30

// Bzip2Level is the level of the reference encoder of patches, and the program's
// default: blocks of 900,000 bytes.
const Bzip2Level = 9

// Bzip2 is a loaded libbz2. Any number of goroutines may use it. It closes members; patches
// are made by internal/bzip2.
type Bzip2 struct {
	compressInit func(s unsafe.Pointer, level, verbosity, workFactor int32) int32
	compress     func(s unsafe.Pointer, action int32) int32
	compressEnd  func(s unsafe.Pointer) int32
}

var bzip2s libraries[Bzip2]

// OpenBzip2 loads the system's libbz2.so.1.0. Where there is none the error is
// a *LibraryError.
func OpenBzip2() (*Bzip2, error) {
	const path = "libbz2.so.1.0"
	return bzip2s.get(path, func() (*Bzip2, error) {
		b := new(Bzip2)
		err := load(path,
			symbol{"BZ2_bzCompressInit", &b.compressInit},
			symbol{"BZ2_bzCompress", &b.compress},
			symbol{"BZ2_bzCompressEnd", &b.compressEnd},
		)
		if err != nil {
			return nil, &LibraryError{err, "install libbz2 (Debian: libbz2-1.0)"}
		}
		return b, nil
	})
}

// NewWriter is NewWriterLevel at Bzip2Level.
func (b *Bzip2) NewWriter(w io.Writer) (io.WriteCloser, error) {
	return b.NewWriterLevel(w, Bzip2Level)
}

// Bzip2Memory returns what a writer of a level takes, in bytes.
func Bzip2Memory(level int) int64 { return 900_000*int64(level) + 600_000 }

// NewWriterLevel returns a writer whose bzip2 stream of level 1 to 9 is completed by Close. Empty
// content gives 14 bytes. How the content is cut into Writes does not matter.
// Memory is Bzip2Memory. A writer whose output is given up need not be closed.
func (b *Bzip2) NewWriterLevel(w io.Writer, level int) (io.WriteCloser, error) {
	if level < 1 || level > 9 {
		return nil, fmt.Errorf("bzip2 level %d: want 1 to 9", level)
	}
	blk, err := newBlock[bzStream](64<<10, 64<<10)
	if err != nil {
		return nil, err
	}
	if code := b.compressInit(blk.ptr(), int32(level), 0, bzWorkFactor); code != bzOK {
		blk.free()
		return nil, bzFail(code)
	}
	code := func(w io.Writer, n int, last bool) error {
		action := int32(bzRun)
		if last {
			action = bzFinish
		}
		s := blk.state
		s.nextIn, s.availIn = address(blk.in), uint32(n)
		for {
			s.nextOut, s.availOut = address(blk.out), uint32(len(blk.out))
			code := b.compress(blk.ptr(), action)
			if code != bzRunOK && code != bzFinishOK && code != bzStreamEnd {
				return bzFail(code)
			}
			if _, err := w.Write(blk.out[:len(blk.out)-int(s.availOut)]); err != nil {
				return err
			}
			if code == bzStreamEnd || !last && s.availIn == 0 {
				return nil
			}
		}
	}
	return newEncoder(w, blk.in, code, func() { b.compressEnd(blk.ptr()); blk.free() }), nil
}

func bzFail(code int32) error { return fmt.Errorf("libbz2: error %d", code) }

// Compress writes src to dst as one bzip2 stream at Bzip2Level.
func (b *Bzip2) Compress(dst io.Writer, src []byte) error {
	w, err := b.NewWriter(dst)
	if err != nil {
		return err
	}
	if _, err := w.Write(src); err != nil {
		return err
	}
	return w.Close()
}
