// SPDX-License-Identifier: MIT

package plan

import "swudelta/internal/match"

// Memory, the bound of the process, is divided so:
//
//	1/6   pages of content, which is mapped: they can be given back at any time
//	64 M  the program itself, its stacks, buffers and libraries
//	      of the rest, which is the Go heap and what a compressor takes beside it:
//	1/3   indexes of the source
//	2/3   packs; when these are done, a compressor
//
// The engine asks for what it needs before it takes it, so what is too little is told
// before the work begins.

// DefaultMemory is the default of Options.Memory, in bytes. It is enough for images of some
// gigabytes; two packs at a time are worked on.
const DefaultMemory = 1200 << 20

const (
	mappedShare = 6
	indexShare  = 3
	// processMemory was measured: two inputs of some kilobytes take 30 to 40 MiB.
	processMemory = 64 << 20
)

// ErrMemory says that Options.Memory is too little for the inputs.
var ErrMemory = match.ErrMemory

// Mapped returns how much of the memory, in bytes, pages of mapped content may take.
func Mapped(memory int64) int64 { return memory / mappedShare }

// Heap returns how much of the memory, in bytes, the Go heap may take, or less than 0.
func Heap(memory int64) int64 { return memory - Mapped(memory) - processMemory }

// quickIndex is how many bytes of content an index has a byte for, at least, at level 0. With 4, that of
// a 352 MiB image has every second anchor, which takes an eighth less processor time for all; the
// delta of full-size patch is smaller by 0.03 %, that of minor larger by 0.07 %. With 8: larger by
// 0.05 %, and no faster.
const quickIndex = 4

// indexMemory is what all indexes of candidates may take, in bytes, and once more the one of
// candidates that are joined.
func (m *maker) indexMemory() int64 { return max(Heap(m.Memory)/indexShare, 0) }

// indexes is what they take beside other, in bytes.
func (m *maker) indexes(other *match.Index) (n int64) {
	for _, c := range m.candidates {
		if c.side.Index != other {
			n += c.side.Index.Memory()
		}
	}
	return n
}

// matchMemory is what matching may take, in bytes, with that index of the old side.
func (m *maker) matchMemory(old *match.Index) int64 {
	return Heap(m.Memory) - m.indexes(old) - old.Memory()
}

// compressorMemory is what a compressor may take, in bytes. Heap that is not in use grows as
// much as that in use, until it is collected.
func (m *maker) compressorMemory() int64 { return max(Heap(m.Memory)-2*m.indexes(nil), 0) }
