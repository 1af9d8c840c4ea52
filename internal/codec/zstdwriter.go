// SPDX-License-Identifier: MIT

package codec

import (
	"fmt"
	"io"
	"unsafe"
)

// ZstdParams says how libzstd makes a frame of its content.
type ZstdParams struct {
	Level     int // ZstdMinLevel to 22
	WindowLog int // binary logarithm of the window; 0: the level's own
	// Long looks for matches over long distances: the program's --long.
	Long bool
	// Workers compresses in the way of several threads, however many: jobs that
	// overlap. The program does so unless --single-thread is given.
	Workers  bool
	Checksum bool
	// Sized states the length of the content, Size, in the header, which changes how a
	// level is understood.
	Sized bool
	Size  uint64
	// Unstated leaves the length out of the header of a Sized frame: the program's --no-content-size
	// of a file.
	Unstated bool
	// EndAlone ends the frame with a call of its own, as the program does when it reads a
	// pipe. Otherwise the last piece comes with the end; then, and if nothing is said of
	// the size, content of one piece (32 KiB) is taken as Sized.
	EndAlone bool
}

// ZstdMinLevel is the lowest level, in steps of which the search skips more. libzstd
// has lower ones, which nobody uses.
const ZstdMinLevel = -64

// Numbers of ZSTD_cParameter.
const (
	zstdLong     = 160
	zstdStated   = 200 // ZSTD_c_contentSizeFlag
	zstdChecksum = 201
)

// Check returns an error for what libzstd would refuse or take as something else.
func (p ZstdParams) Check() error {
	const windowMin = 10
	switch {
	case p.Level < ZstdMinLevel || p.Level > 22:
		return fmt.Errorf("zstd level %d: want %d to 22", p.Level, ZstdMinLevel)
	case p.Unstated && !p.Sized:
		return fmt.Errorf("zstd: a length that is not stated is not known, either")
	case p.WindowLog != 0 && (p.WindowLog < windowMin || 1<<p.WindowLog > MaxWindow):
		return fmt.Errorf("zstd window of 2^%d bytes: want 10 to 27", p.WindowLog)
	}
	return nil
}

// zstdSizes are the binary logarithms of window, chain table and hash table at levels 0
// (what is below it too) to 22, where the content is not small: the largest of versions 1.4.8 to 1.5.7.
var zstdSizes = [23][3]uint8{
	{19, 13, 14}, {19, 14, 15}, {20, 16, 17}, {21, 17, 17}, {21, 18, 18}, {21, 19, 19}, {21, 19, 20}, {21, 20, 20},
	{21, 20, 20}, {22, 21, 22}, {22, 22, 22}, {22, 22, 23}, {22, 23, 23}, {22, 23, 22}, {22, 23, 23}, {22, 24, 23},
	{23, 23, 22}, {23, 24, 22}, {23, 24, 22}, {23, 24, 22}, {25, 25, 23}, {26, 26, 24}, {27, 27, 25},
}

// zstdTree is the level from which on the chain table is a tree, with two entries for each place.
const zstdTree = 13

// Memory returns what a writer takes, in bytes, rounded up, for that much content that becomes packed
// bytes.
func (p ZstdParams) Memory(content, packed int64) int64 {
	level := p.Level
	if level == 0 {
		level = CanonicalLevel // what libzstd takes 0 for
	}
	sizes := zstdSizes[min(max(level, 0), 22)]
	window, chain, hash := int64(1)<<sizes[0], int64(1)<<sizes[1], int64(1)<<sizes[2]
	if p.WindowLog != 0 {
		window = 1 << p.WindowLog
	}
	if p.Sized {
		power := int64(1) << 10
		for power < 1<<40 && uint64(power) < p.Size {
			power *= 2
		}
		window, chain, hash = min(window, power), min(chain, 2*power), min(hash, 2*power)
	}
	const constant = 3 << 20 // blocks, statistics, sequences
	memory := 4*chain + 5*hash + constant
	if p.Long {
		const entry, overWindow = 8, 7
		memory += entry*(window>>overWindow<<4) + 1<<20
	}
	if !p.Workers {
		return memory + window
	}
	// A ring has a window or a job, whichever is larger, and three jobs; two jobs have results. Where
	// there is less content, the rest of them is never touched.
	job := max(4*window, 1<<20)
	if p.Long {
		job = max(8*chain, 2<<20)
		if level >= zstdTree {
			job = max(4*chain, 2<<20)
		}
	}
	return memory + min(max(window, job)+3*job, content) + zstdResults(job, packed)
}

// NewWriter returns a writer whose frame, completed by Close, is what libzstd makes of the
// same content, and the zstd program with the options that the parameters stand for.
// How the content is cut into Writes does not matter. Memory is p.Memory. A writer
// whose output is given up need not be closed.
func (z *Zstd) NewWriter(w io.Writer, p ZstdParams) (io.WriteCloser, error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	const programPiece = 128 << 10 // ZSTD_CStreamInSize
	piece := programPiece
	if !p.Sized && !p.EndAlone {
		piece = zstdPiece
	}
	b, err := newBlock[zstdBuffers](piece, programPiece+programPiece/256+64)
	if err != nil {
		return nil, err
	}
	params := []zstdParam{
		{zstdLevel, int32(p.Level)}, {zstdWorkers, cBool(p.Workers)}, {zstdChecksum, cBool(p.Checksum)},
		{zstdLong, cBool(p.Long)}, {zstdStated, cBool(!p.Unstated)},
	}
	if p.WindowLog != 0 {
		params = append(params, zstdParam{zstdWindowLog, int32(p.WindowLog)})
	}
	cctx, err := z.context(params...)
	if err == nil && p.Sized {
		if err = z.check(z.setPledgedSize(cctx, p.Size)); err != nil {
			z.freeCCtx(cctx)
		}
	}
	if err != nil {
		b.free()
		return nil, err
	}
	code := func(w io.Writer, n int, last bool) error {
		if last && p.EndAlone && n > 0 {
			if err := z.stream(cctx, b, w, n, zstdContinue); err != nil {
				return err
			}
			n = 0
		}
		op := int32(zstdContinue)
		if last {
			op = zstdEnd
		}
		return z.stream(cctx, b, w, n, op)
	}
	return newEncoder(w, b.in, code, func() { z.freeCCtx(cctx); b.free() }), nil
}

// stream hands the first n bytes of b.in to libzstd, and writes what comes out to w.
func (z *Zstd) stream(cctx unsafe.Pointer, b *block[zstdBuffers], w io.Writer, n int, op int32) error {
	in, out := &b.state.in, &b.state.out
	in.ptr, in.size, in.pos = address(b.in), uintptr(n), 0
	for {
		out.ptr, out.size, out.pos = address(b.out), uintptr(len(b.out)), 0
		left := z.compressStream2(cctx, unsafe.Pointer(out), unsafe.Pointer(in), op)
		if err := z.check(left); err != nil {
			return err
		}
		if _, err := w.Write(b.out[:out.pos]); err != nil {
			return err
		}
		if in.pos == in.size && (op != zstdEnd || left == 0) {
			return nil
		}
	}
}
