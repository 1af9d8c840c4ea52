// SPDX-License-Identifier: MIT

package codec

import (
	"fmt"
	"io"
	"runtime"
	"unsafe"
)

// bzStream is C's bz_stream; Go aligns its fields as C does, on 32 and on 64 bits.
type bzStream struct {
	nextIn                 uintptr
	availIn                uint32
	totalInLow, totalInHi  uint32
	nextOut                uintptr
	availOut               uint32
	totalOutLow, totalOutH uint32
	state                  uintptr
	alloc, free, opaque    uintptr
}

// Bzip2 is a loaded libbz2. Any number of goroutines may use it.
type Bzip2 struct {
	compressInit func(s unsafe.Pointer, level, verbosity, workFactor int32) int32
	compress     func(s unsafe.Pointer, action int32) int32
	compressEnd  func(s unsafe.Pointer) int32
}

var bzip2s libraries[Bzip2]

// OpenBzip2 loads the system's libbz2.so.1.0.
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

const (
	bzRun       = 0
	bzFinish    = 2
	bzRunOK     = 1
	bzFinishOK  = 3
	bzStreamEnd = 4

	bzLevel      = 9 // blocks of 900,000 bytes, as bsdiff's
	bzWorkFactor = 30
)

type bzip2Writer struct {
	b       *Bzip2
	w       io.Writer
	block   *block[bzStream]
	n       int
	err     error
	cleanup runtime.Cleanup
}

// NewWriter returns a writer whose bzip2 stream is completed by Close: level 9,
// work factor 30. Empty content gives 14 bytes. How the content is cut into
// Writes does not matter. A writer need not be closed if its output is given up.
func (b *Bzip2) NewWriter(w io.Writer) (io.WriteCloser, error) {
	blk, err := newBlock[bzStream](64<<10, 64<<10)
	if err != nil {
		return nil, err
	}
	if code := b.compressInit(unsafe.Pointer(blk.state), bzLevel, 0, bzWorkFactor); code != 0 {
		blk.free()
		return nil, fmt.Errorf("libbz2: error %d", code)
	}
	bw := &bzip2Writer{b: b, w: w, block: blk}
	bw.cleanup = runtime.AddCleanup(bw, func(blk *block[bzStream]) { b.compressEnd(unsafe.Pointer(blk.state)); blk.free() }, blk)
	return bw, nil
}

// Compress writes src to dst as one bzip2 stream, as a writer of NewWriter does.
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

func (w *bzip2Writer) Write(p []byte) (int, error) {
	total := len(p)
	for len(p) > 0 && w.err == nil {
		n := copy(w.block.in[w.n:], p)
		w.n, p = w.n+n, p[n:]
		if w.n == len(w.block.in) {
			w.compress(bzRun)
		}
	}
	return total - len(p), w.err
}

func (w *bzip2Writer) compress(action int32) {
	s := w.block.state
	s.nextIn, s.availIn = address(w.block.in), uint32(w.n)
	w.n = 0
	for done := false; !done; {
		s.nextOut, s.availOut = address(w.block.out), uint32(len(w.block.out))
		code := w.b.compress(unsafe.Pointer(s), action)
		if code != bzRunOK && code != bzFinishOK && code != bzStreamEnd {
			w.err = fmt.Errorf("libbz2: error %d", code)
			return
		}
		done = code == bzStreamEnd || action == bzRun && s.availIn == 0
		if n := len(w.block.out) - int(s.availOut); n > 0 {
			if _, w.err = w.w.Write(w.block.out[:n]); w.err != nil {
				return
			}
		}
	}
}

func (w *bzip2Writer) Close() error {
	if w.block == nil {
		return w.err
	}
	if w.err == nil {
		w.compress(bzFinish)
	}
	w.cleanup.Stop()
	w.b.compressEnd(unsafe.Pointer(w.block.state))
	w.block.free()
	w.block = nil
	err := w.err
	if err == nil {
		w.err = errWriteClosed
	}
	return err
}
