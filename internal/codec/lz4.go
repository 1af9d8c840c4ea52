// SPDX-License-Identifier: MIT

package codec

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"unsafe"
)

// LZ4 is a loaded liblz4. Any number of goroutines may use it.
type LZ4 struct {
	path, version string

	versionString func() string
	compressFast  func(src, dst unsafe.Pointer, size, capacity, acceleration int32) int32
	compressHC    func(src, dst unsafe.Pointer, size, capacity, level int32) int32
	create        func(context unsafe.Pointer, version uint32) uintptr
	free          func(context uintptr) uintptr
	begin         func(context uintptr, dst unsafe.Pointer, capacity uintptr, prefs unsafe.Pointer) uintptr
	update        func(context uintptr, dst unsafe.Pointer, capacity uintptr, src unsafe.Pointer, size uintptr, options unsafe.Pointer) uintptr
	end           func(context uintptr, dst unsafe.Pointer, capacity uintptr, options unsafe.Pointer) uintptr
	bound         func(size uintptr, prefs unsafe.Pointer) uintptr
	isError       func(uintptr) uint32
	errorName     func(uintptr) string
}

var lz4s libraries[LZ4]

// OpenLZ4 loads liblz4: file, or if that is empty the system's liblz4.so.1. Where
// there is none the error is a *LibraryError.
func OpenLZ4(file string) (*LZ4, error) {
	path := "liblz4.so.1"
	if file != "" {
		var err error
		if path, err = libraryFile(file); err != nil {
			return nil, err
		}
	}
	return lz4s.get(path, func() (*LZ4, error) {
		l := &LZ4{path: path}
		err := load(path,
			symbol{"LZ4_versionString", &l.versionString},
			symbol{"LZ4_compress_fast", &l.compressFast},
			symbol{"LZ4_compress_HC", &l.compressHC},
			symbol{"LZ4F_createCompressionContext", &l.create},
			symbol{"LZ4F_freeCompressionContext", &l.free},
			symbol{"LZ4F_compressBegin", &l.begin},
			symbol{"LZ4F_compressUpdate", &l.update},
			symbol{"LZ4F_compressEnd", &l.end},
			symbol{"LZ4F_compressBound", &l.bound},
			symbol{"LZ4F_isError", &l.isError},
			symbol{"LZ4F_getErrorName", &l.errorName},
		)
		if err != nil {
			return nil, &LibraryError{err, "install liblz4 (Debian: liblz4-1)"}
		}
		l.version = l.versionString()
		return l, nil
	})
}

// Version returns the library's own version, such as "1.9.4".
func (l *LZ4) Version() string { return l.version }

// LZ4Params says how liblz4 makes an LZ4 stream of its content.
type LZ4Params struct {
	// Legacy chooses the format of the Linux kernel: independent blocks of 8 MiB, and
	// nothing else. Of the other fields Level alone holds then.
	Legacy bool
	// Level is the program's: 3 to 12 is LZ4 HC; what is less is the fast
	// compressor, with an acceleration of 1 - Level below 0.
	Level int
	// FavorDecSpeed is the program's --favor-decSpeed, which matters from level 10 on.
	FavorDecSpeed bool

	BlockID         byte // 4 to 7: blocks of 64 KiB, 256 KiB, 1 MiB, 4 MiB
	Linked          bool // blocks refer to those before them
	BlockChecksums  bool
	ContentChecksum bool
	ContentSize     uint64 // what the header says, 0: nothing
}

// The range of levels that mean something. The slowest acceleration is an arbitrary bound.
const (
	lz4LevelMin = -64
	lz4LevelHC  = 3
	lz4LevelMax = 12
)

// Check returns an error where liblz4 would silently take something else.
func (p LZ4Params) Check() error {
	switch {
	case p.Level < lz4LevelMin || p.Level > lz4LevelMax:
		return fmt.Errorf("lz4 level %d: want %d to %d", p.Level, lz4LevelMin, lz4LevelMax)
	case !p.Legacy && (p.BlockID < 4 || p.BlockID > 7):
		return fmt.Errorf("lz4 block size number %d: want 4 to 7", p.BlockID)
	}
	return nil
}

// blockSize returns the content of a full block, in bytes.
func (p LZ4Params) blockSize() int {
	if p.Legacy {
		return lz4LegacyBlock
	}
	return 1 << (8 + 2*uint(p.BlockID))
}

const lz4LegacyBlock = 8 << 20

// lz4Bound is the most that a block of n bytes becomes: LZ4_COMPRESSBOUND of lz4.h.
func lz4Bound(n int) int { return n + n/255 + 16 }

// LZ4Bound is the most that a block of n bytes becomes.
func LZ4Bound(n int) int64 { return int64(lz4Bound(n)) }

// Memory returns what a writer takes, in bytes: the buffers here and in liblz4, with
// its tables.
func (p LZ4Params) Memory() int64 {
	const tables = 384 << 10 // of LZ4 HC: 256 KiB, and a window of 64 KiB with its copy
	n := p.blockSize()
	if p.Legacy {
		return int64(n + lz4Bound(n) + tables)
	}
	return int64(4*n + tables)
}

// lz4Prefs is LZ4F_preferences_t of lz4frame.h.
type lz4Prefs struct {
	blockID, linked, contentChecksum, frameType int32
	contentSize                                 uint64
	dictionary                                  uint32
	blockChecksum                               int32
	level                                       int32
	autoFlush                                   uint32
	favorDecSpeed                               uint32
	_                                           [3]uint32
}

// lz4State is what liblz4's frame functions are handed pointers to.
type lz4State struct {
	prefs   lz4Prefs
	context uintptr
}

const lz4FrameVersion = 100

func cBool(b bool) int32 {
	if b {
		return 1
	}
	return 0
}

// NewWriter returns a writer whose stream, completed by Close, is what the lz4 program
// makes of the same content. How the content is cut into Writes does not matter.
// Memory is p.Memory. A writer whose output is given up need not be closed.
func (l *LZ4) NewWriter(w io.Writer, p LZ4Params) (io.WriteCloser, error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	if p.Legacy {
		return l.newLegacyWriter(w, p.Level)
	}
	prefs := lz4Prefs{
		blockID: int32(p.BlockID), linked: 1 - cBool(p.Linked), contentChecksum: cBool(p.ContentChecksum),
		contentSize: p.ContentSize, blockChecksum: cBool(p.BlockChecksums),
		level: int32(p.Level), autoFlush: 1, favorDecSpeed: uint32(cBool(p.FavorDecSpeed)),
	}
	bound := l.bound(uintptr(p.blockSize()), unsafe.Pointer(&prefs))
	b, err := newBlock[lz4State](p.blockSize(), int(bound))
	if err != nil {
		return nil, err
	}
	b.state.prefs = prefs
	if err := l.check(l.create(unsafe.Pointer(&b.state.context), lz4FrameVersion)); err != nil {
		b.free()
		return nil, err
	}
	begun := false
	put := func(w io.Writer, n uintptr) error {
		if err := l.check(n); err != nil {
			return err
		}
		_, err := w.Write(b.out[:n])
		return err
	}
	out := unsafe.Pointer(unsafe.SliceData(b.out))
	code := func(w io.Writer, n int, last bool) error {
		if !begun {
			begun = true
			if err := put(w, l.begin(b.state.context, out, bound, unsafe.Pointer(&b.state.prefs))); err != nil {
				return err
			}
		}
		if n > 0 {
			in := unsafe.Pointer(unsafe.SliceData(b.in))
			if err := put(w, l.update(b.state.context, out, bound, in, uintptr(n), nil)); err != nil {
				return err
			}
		}
		if !last {
			return nil
		}
		return put(w, l.end(b.state.context, out, bound, nil))
	}
	return newEncoder(w, b.in, code, func() { l.free(b.state.context); b.free() }), nil
}

func (l *LZ4) newLegacyWriter(w io.Writer, level int) (io.WriteCloser, error) {
	begun := false
	return l.newBlocksWriter(w, lz4LegacyBlock, level, func(w io.Writer, block []byte) error {
		if !begun {
			begun = true
			if _, err := w.Write(lz4LegacyMagic); err != nil {
				return err
			}
		}
		if len(block) == 0 {
			return nil
		}
		if _, err := w.Write(binary.LittleEndian.AppendUint32(nil, uint32(len(block)))); err != nil {
			return err
		}
		_, err := w.Write(block)
		return err
	})
}

// NewBlockWriter returns a writer of one block without a frame, of content that is size
// bytes long, at a level as in LZ4Params. If it is longer, other blocks follow.
func (l *LZ4) NewBlockWriter(w io.Writer, level, size int) (io.WriteCloser, error) {
	return l.newBlocksWriter(w, size, level, func(w io.Writer, block []byte) error {
		_, err := w.Write(block)
		return err
	})
}

// newBlocksWriter returns a writer that hands blocks to put, each compressed by itself, of size bytes
// of content but the last; where there is no content, an empty one.
func (l *LZ4) newBlocksWriter(w io.Writer, size, level int, put func(w io.Writer, block []byte) error) (io.WriteCloser, error) {
	b, err := newBlock[struct{}](size, lz4Bound(size))
	if err != nil {
		return nil, err
	}
	code := func(w io.Writer, n int, _ bool) error {
		if n == 0 {
			return put(w, nil)
		}
		length, err := l.compressBlock(b.out, b.in[:n], level)
		if err != nil {
			return err
		}
		return put(w, b.out[:length])
	}
	return newEncoder(w, b.in, code, b.free), nil
}

var errLZ4Room = errors.New("liblz4: a block did not fit")

// compressBlock compresses one block by itself, and returns its length.
func (l *LZ4) compressBlock(dst, src []byte, level int) (int, error) {
	in, out := unsafe.Pointer(unsafe.SliceData(src)), unsafe.Pointer(unsafe.SliceData(dst))
	var n int32
	if level >= lz4LevelHC {
		n = l.compressHC(in, out, int32(len(src)), int32(len(dst)), int32(level))
	} else {
		n = l.compressFast(in, out, int32(len(src)), int32(len(dst)), int32(max(1-level, 1)))
	}
	if n <= 0 {
		return 0, errLZ4Room
	}
	return int(n), nil
}

func (l *LZ4) check(code uintptr) error {
	if l.isError(code) == 0 {
		return nil
	}
	return fmt.Errorf("liblz4 %s: %s", l.version, l.errorName(code))
}
