// SPDX-License-Identifier: MIT

// Package bzip2 encodes bzip2 streams, smaller ones than the reference encoder
// does and in more time, and decodes them (see [Reader]), faster than the standard
// library does and in less memory.
//
// The format, as its decoders have it, is this. A stream is cut into blocks. The
// bytes of a block are run-length coded, to at most 900,000; of the matrix of all
// their rotations, sorted, the last column is taken; its bytes are replaced by
// their ranks in a list in which each byte moves to the front when it is used;
// runs of rank 0 become digits; and the symbols are coded by two to six tables
// of prefix codes, with a table chosen for every 50 symbols.
//
// What an encoder is free to choose, and is chosen here by what it costs:
//
//   - Where blocks end. The reference fills each block. But a block's tables and
//     its mixture of contexts suit its content the better the less there is of
//     it, so material that changes its nature every few kilobytes, as
//     the streams of binary patches do, is cut where that pays (see split.go).
//   - The tables, with the room that they take themselves, and which group of
//     symbols uses which (see huffman.go).
//
// What decoders differ in is avoided: randomised blocks, several streams behind
// one another, incomplete prefix codes (compress/bzip2 misreads them), and a
// run of exactly four followed by the same byte (misread there, too).
package bzip2

import (
	"encoding/binary"
	"hash/crc32"
	"io"
	"math/bits"
)

// Magic numbers: the square root's and the circle's digits.
const (
	streamMagic = 'B'<<24 | 'Z'<<16 | 'h'<<8 | '9' // blocks of up to 900,000 bytes
	blockMagic  = 0x314159265359
	endMagic    = 0x177245385090
)

// headerBits is the size of what comes before a block's byte set.
const headerBits = 48 + 32 + 1 + 24

// Encode writes src to dst as one bzip2 stream; an empty src gives 14 bytes. The
// work is shared by the given number of workers, at least one, each of which takes
// about 16 MB; the bytes do not depend on it. Compressed data is held in memory until
// all is there. The only errors are those of dst.
func Encode(dst io.Writer, src []byte, workers int) error {
	return Encoder{Workers: workers}.Encode(dst, src)
}

// Encoder says how to encode.
type Encoder struct {
	Workers int // default: one
	// Quick looks less for where blocks should end: it takes about half of the time, and
	// patches of images are 1.5 % larger (all bzip2 streams, corpus pairs).
	Quick bool
	// Progress, if it is not nil, is called with each number of bytes of the source that were
	// encoded, by several goroutines; several times for each window.
	Progress func(n int64)
}

// Encode is the function [Encode] with these options.
func (e Encoder) Encode(dst io.Writer, src []byte) error {
	shares := []int{2, 4, 8}
	if e.Quick {
		shares = nil
	}
	idle := make(chan *worker, max(e.Workers, 1))
	for range cap(idle) {
		idle <- &worker{report: e.Progress}
	}
	var windows []*window
	for len(src) > 0 {
		k := <-idle
		w := k.fill(src)
		windows = append(windows, w)
		src = src[len(w.src):]
		go func() {
			k.encode(w, shares)
			idle <- k
		}()
	}
	for range cap(idle) {
		<-idle
	}

	var out bitWriter
	out.write(streamMagic, 32)
	sum := uint32(0)
	for _, w := range windows {
		out.append(&w.out)
		for _, s := range w.sums {
			sum = bits.RotateLeft32(sum, 1) ^ s
		}
	}
	out.write(endMagic, 48)
	out.write(uint64(sum), 32)
	out.flush()
	_, err := dst.Write(out.buf)
	return err
}

// worker encodes windows, one after the other. It is here for its memory.
type worker struct {
	coded []byte // the window's bytes, run-length coded
	cuts  []cut  // where its units end
	splitter
	coding coding
	report func(n int64) // nil: nobody listens
}

// windowSteps is about how many steps the work for a window has: to sort it, to look at it in
// parts, and to code its blocks.
const windowSteps = 32

// window is a part of the source that makes one or more blocks.
type window struct {
	src  []byte
	out  bitWriter // its blocks
	sums []uint32  // the checksum of each block
}

// fill run-length codes as much of src as fits into a block and returns that
// part.
func (k *worker) fill(src []byte) *window {
	var n int
	k.coded, k.cuts, n = codeRuns(k.coded[:0], k.cuts[:0], src)
	return &window{src: src[:n]}
}

// encode makes the blocks of the window.
func (k *worker) encode(w *window, shares []int) {
	left, step := int64(len(w.src)), int64(len(w.src)/windowSteps)
	tell := func(n int64) {
		left -= n
		if k.report != nil {
			k.report(n)
		}
	}
	k.passed = func() { tell(min(step, left)) }
	defer func() { tell(left) }()
	var from cut
	for _, end := range k.split(k.coded, k.cuts, shares) {
		to := k.cuts[end-1]
		k.block(w, w.src[from.raw:to.raw], k.coded[from.coded:to.coded])
		k.passed()
		from = to
	}
}

// block writes one block: raw is what it stands for, content the same run-length
// coded.
func (k *worker) block(w *window, raw, content []byte) {
	last, origin := k.sort(content)
	used := bytesIn(last)
	syms, alpha := k.rank(last, used)
	k.choose(&k.coding, syms, alpha)

	sum := checksum(raw)
	w.sums = append(w.sums, sum)
	w.out.write(blockMagic, 48)
	w.out.write(uint64(sum), 32)
	w.out.write(0, 1) // not randomised
	w.out.write(uint64(origin), 24)
	used.write(&w.out)
	k.coding.write(&w.out, syms, alpha)
}

// checksum returns the CRC of b.
func checksum(b []byte) uint32 {
	var sum runningSum
	sum.add(b)
	return sum.value()
}

// runningSum is a CRC with the polynomial of IEEE 802.3, most significant bit first: that of
// hash/crc32, but with the bits of each byte and of the sum the other way round.
type runningSum struct {
	reversed uint32
	buf      [1024]byte
}

func (s *runningSum) add(b []byte) {
	for len(b) > 0 {
		n := copy(s.buf[:], b)
		b = b[n:]
		for i := 0; i < n; i += 8 {
			p := s.buf[i : i+8]
			v := bits.Reverse64(binary.LittleEndian.Uint64(p))
			binary.BigEndian.PutUint64(p, v)
		}
		s.reversed = crc32.Update(s.reversed, crc32.IEEETable, s.buf[:n])
	}
}

func (s *runningSum) value() uint32 { return bits.Reverse32(s.reversed) }
