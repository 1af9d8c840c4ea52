// SPDX-License-Identifier: MIT

package codec

import (
	"encoding/binary"
	"io"
)

// zstdTables are windowLog, chainLog and hashLog of libzstd's levels 1 to 22 for
// content of unknown size (zstd 1.5.0; later versions differ little).
var zstdTables = [23][3]uint{
	1: {19, 13, 14}, {20, 15, 16}, {21, 16, 17}, {21, 18, 18}, {21, 18, 19}, {21, 19, 19}, {21, 19, 19}, {21, 19, 20},
	{22, 20, 21}, {22, 21, 22}, {22, 21, 22}, {22, 22, 23}, {22, 22, 22}, {22, 22, 23}, {22, 23, 23}, {22, 22, 22},
	{23, 23, 22}, {23, 23, 22}, {23, 24, 22}, {25, 25, 23}, {26, 26, 24}, {27, 27, 25},
}

// ZstdUse is what libzstd takes to compress something with one worker, in bytes.
type ZstdUse struct {
	Ring   int64 // the content, as far as it fits into four jobs
	Tables int64 // of the worker: tables of matches
	Buffer int64 // of the worker: what it sets aside for the result of a job, twice
	Filled int64 // what it writes to each of these
}

// Memory is all of it.
func (u ZstdUse) Memory() int64 { return u.Ring + u.Tables + 2*u.Filled }

// ZstdMemory estimates what libzstd takes to compress content bytes to packed bytes. A
// job is four windows long.
func ZstdMemory(level int, content, packed int64) ZstdUse {
	if level <= 0 {
		level = CanonicalLevel
	}
	t := zstdTables[min(level, len(zstdTables)-1)]
	job := int64(4) << t[0]
	return ZstdUse{
		Ring:   min(4*job, content),
		Tables: 4<<t[1] + 4<<t[2] + 1<<20,
		Buffer: zstdBound(job),
		Filled: zstdResults(job, packed) / 2,
	}
}

// zstdBound is the length of what n bytes become at most.
func zstdBound(n int64) int64 { return n + n>>8 }

// zstdResults is what two jobs become at most, in bytes, where all of the content becomes
// packed bytes: a job may be far denser than the whole.
func zstdResults(job, packed int64) int64 { return min(2*zstdBound(job), packed) }

// ZstdWindow returns the window size, in bytes, of the zstd frame that r starts with (RFC
// 8878 section 3.1.1.1), 0 if there is none.
func ZstdWindow(r io.ReaderAt) int64 {
	var b [14]byte
	n, _ := r.ReadAt(b[:], 0)
	if n < 6 || binary.LittleEndian.Uint32(b[:]) != 0xFD2FB528 {
		return 0
	}
	descriptor := b[4]
	if single := descriptor&0x20 != 0; !single {
		base := int64(1) << (10 + b[5]>>3)
		return base + base/8*int64(b[5]&7)
	}
	at := 5 + [4]int{0, 1, 2, 4}[descriptor&3]
	size := binary.LittleEndian.Uint64(append(b[at:n:n], make([]byte, 8)...))
	switch descriptor >> 6 {
	case 0:
		return int64(size & 0xff)
	case 1:
		return int64(size&0xffff) + 256
	case 2:
		return int64(size & 0xffffffff)
	}
	return int64(min(size, 1<<62))
}
