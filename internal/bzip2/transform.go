// SPDX-License-Identifier: MIT

package bzip2

import (
	"math/bits"

	"swudelta/internal/suffix"
)

// transformer makes symbols of the run-length coded bytes of blocks. Its
// memory is used again from block to block.
type transformer struct {
	sa   []int32
	text []byte
	last []byte
	syms []uint16
	turn int // where the least rotation of the sorted block starts
}

// sort returns the last column of the sorted rotations of block, valid until
// the next call, and which row is the block itself. Row i is the rotation that starts at
// (sa[i] + turn) modulo the block's size. It takes linear time, whatever the block.
func (t *transformer) sort(block []byte) (last []byte, origin int) {
	n := len(block)
	if len(t.sa) < n {
		t.sa = make([]int32, n)
		t.text = make([]byte, n)
		t.last = make([]byte, n)
	}
	sa, text := t.sa[:n], t.text[:n]
	last = t.last[:n]
	// Started at its least rotation, the block is a Lyndon word or a power of
	// one, and the suffixes of those sort as their rotations do. (The equal
	// rotations of a power may come in any order: their last bytes are equal, and
	// any of them gives the block.)
	t.turn = leastRotation(block)
	copy(text, block[t.turn:])
	copy(text[n-t.turn:], block[:t.turn])
	suffix.Array(sa, text)
	first := 0
	if t.turn > 0 {
		first = n - t.turn
	}
	for i, p := range sa {
		if int(p) == first {
			origin = i
		}
		if p == 0 {
			p = int32(n)
		}
		last[i] = text[p-1]
	}
	return last, origin
}

// leastRotation returns where the least rotation of s starts. Two candidates, i and j,
// are compared; when they differ behind k equal bytes, the greater one falls, and
// with it the k starts behind it, each of which is beaten by one as far behind
// the other.
func leastRotation(s []byte) int {
	n := len(s)
	i, j, k := 0, 1, 0
	for i < n && j < n && k < n {
		a, b := i+k, j+k
		if a >= n {
			a -= n
		}
		if b >= n {
			b -= n
		}
		switch {
		case s[a] == s[b]:
			k++
			continue
		case s[a] > s[b]:
			i += k + 1
		default:
			j += k + 1
		}
		if i == j {
			j++
		}
		k = 0
	}
	return min(i, j)
}

// byteSet tells which bytes a block uses.
type byteSet [256]bool

func bytesIn(b []byte) *byteSet {
	s := new(byteSet)
	for _, c := range b {
		s[c] = true
	}
	return s
}

// bits returns what write writes.
func (s *byteSet) bits() int {
	n := 16
	for i := 0; i < 256; i += 16 {
		if s.row(i) != 0 {
			n += 16
		}
	}
	return n
}

// write writes which rows of 16 bytes are in use, and the rows that are.
func (s *byteSet) write(w *bitWriter) {
	rows := uint64(0)
	for i := 0; i < 256; i += 16 {
		rows <<= 1
		if s.row(i) != 0 {
			rows |= 1
		}
	}
	w.write(rows, 16)
	for i := 0; i < 256; i += 16 {
		if r := s.row(i); r != 0 {
			w.write(r, 16)
		}
	}
}

func (s *byteSet) row(i int) (bits uint64) {
	for _, used := range s[i : i+16] {
		bits <<= 1
		if used {
			bits |= 1
		}
	}
	return bits
}

// runA and runB are the digits 1 and 2 of the length of a run of rank 0, in
// bijective base 2, the least significant first. A rank r above is symbol r+1; the end
// of the block is the last symbol.
const (
	runA = 0
	runB = 1
)

// ones times a byte is that byte, eight times.
const ones = 0x0101010101010101

// rank returns the symbols of a block whose last column is given, valid until
// the next call, and the number of symbols that there can be.
func (t *transformer) rank(last []byte, used *byteSet) (syms []uint16, alpha int) {
	var order [256 / 8]uint64 // the list, eight bytes to the word, the lowest first
	n := 0
	for c, u := range used {
		if u {
			order[n/8] |= uint64(c) << (n % 8 * 8)
			n++
		}
	}
	syms = t.syms[:0]
	run := 0
	for _, c := range last {
		if c == byte(order[0]) {
			run++
			continue
		}
		syms = appendRun(syms, run)
		run = 0
		// Bytes move up by one place, from word to word, as far as the one that is
		// used. Of the bits that tell where a word has it, only the lowest can be relied
		// on.
		in := uint64(c)
		for i, w := range &order {
			moved := w<<8 | in
			differ := w ^ uint64(c)*ones
			if equal := (differ - ones) &^ differ & (ones << 7); equal != 0 {
				upTo := equal ^ (equal - 1)
				order[i] = w&^upTo | moved&upTo
				syms = append(syms, uint16(8*i+bits.TrailingZeros64(equal)/8+1))
				break
			}
			order[i] = moved
			in = w >> 56
		}
	}
	syms = appendRun(syms, run)
	t.syms = append(syms, uint16(n+1))
	return t.syms, n + 2
}

func appendRun(syms []uint16, n int) []uint16 {
	for ; n > 0; n = (n - 1) >> 1 {
		if n&1 == 1 {
			syms = append(syms, runA)
		} else {
			syms = append(syms, runB)
		}
	}
	return syms
}
