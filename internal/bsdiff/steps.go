// SPDX-License-Identifier: MIT

package bsdiff

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/bits"

	"swudelta/internal/span"
)

// Tables of addresses that a release moves have few bytes in common with what
// they were: each number is greater by the same amount, so hardly ever are eight
// bytes in a row equal, and no match is found. But the steps from one
// number to the next are the same as before. So windows of steps are looked for
// as well, at any alignment, in tables with records of some usual sizes.

// strides are the distances, in bytes, between numbers: of plain tables (of 24
// bits, which LZ4 makes of such tables, or 32), and of one in each record of 8 or
// 12 bytes.
var strides = [...]int{3, 4, 8, 12}

const (
	wordSize   = 4       // bytes of a number, little endian
	stepWindow = 3       // steps
	stepLimit  = 1 << 23 // the widest step either way: content that is no table has wider ones
	stepWays   = 4       // neighbouring slots that a window may lie in
	stepShare  = 6       // one window in so many bytes is indexed at most: real images have up to one in 7
)

// stepTo is the difference between the number that ends at end and the one a
// stride before it. A number of 24 bits counts as one of 32 whose lowest byte is 0.
func stepTo(data []byte, end, stride int) uint32 {
	a, b := binary.LittleEndian.Uint32(data[end-wordSize:]), binary.LittleEndian.Uint32(data[end-wordSize-stride:])
	if stride < wordSize {
		return a&^0xff - b&^0xff
	}
	return a - b
}

// wide reports whether a step is none of a table.
func wide(step uint32) bool { return step+stepLimit >= 2*stepLimit }

// stepKey returns the key of the window that ends at end, if it is one to look
// for: steps of a table, that are not all the same, and one window in two of those.
func stepKey(data []byte, end, stride int) (key uint32, ok bool) {
	if end < stride*stepWindow+wordSize {
		return 0, false
	}
	a := stepTo(data, end, stride)
	if wide(a) {
		return 0, false
	}
	b := stepTo(data, end-stride, stride)
	c := stepTo(data, end-2*stride, stride)
	if wide(b) || wide(c) || a == b && b == c {
		return 0, false
	}
	const spread = 0x9e3779b1 // the golden ratio as a fraction of 2^32, made odd
	key = ((a*spread+b)*spread + c) * spread
	return key, int32(key) >= 0
}

// narrowSteps tells at which of the 64 ends from a position on a step may not be wide:
// bit i is that for from+i. The highest bytes of its numbers differ by one at most;
// eight of them are compared at a time, without a branch, as it is a matter of
// chance nearly everywhere.
func narrowSteps(data []byte, from, stride int) (mask uint64) {
	if from > len(data) {
		return 0
	}
	if from <= stride || from+63 > len(data) {
		return math.MaxUint64 >> max(from+63-len(data), 0)
	}
	const (
		ones = math.MaxUint64 / 255 // in each byte
		high = ones << 7
	)
	a, b := data[from-1:from+63], data[from-1-stride:from+63-stride]
	for k := 0; k < 64; k += 8 {
		x, y := binary.LittleEndian.Uint64(a[k:]), binary.LittleEndian.Uint64(b[k:])
		d := (x | high - y&^high) ^ (x^^y)&high // of each byte
		d = (d&^high + ones) ^ d&high           // 0 to 2?
		d = ^(d&^high + (128-3)*ones | d) & high
		// The highest bits of the bytes side by side.
		mask |= d >> 7 * 0x0102040810204080 >> 56 << k
	}
	return mask
}

// windowEnds tells at which of 64 ends windows may end, from what narrowSteps tells of
// those and of the 64 before.
func windowEnds(now, before uint64, stride int) uint64 {
	ends := now
	for k := stride; k < stepWindow*stride; k += stride {
		ends &= now<<k | before>>(64-k)
	}
	return ends
}

// steps is an index of the windows of a text, for one stride.
type steps struct {
	text   []byte
	stride int
	slots  []int32 // where windows end; 0: none
	shift  uint
}

// fill makes x the index of ranges of a text, and of what little lies beside them. It uses the
// memory that x has, and ends, which has a bit for each end from 0 to len(text): how many windows
// there are has to be known before the first has a slot.
func (x *steps) fill(text []byte, ranges []span.Range, stride int, ends []uint64) {
	// Content that is nothing but tables must not take any amount of memory.
	most, windows := max(total(ranges)/stepShare, 1<<16), 0
	clear(ends)
	next := 0 // block
	before := uint64(0)
	for _, r := range ranges {
		block := max(int(r.Off)/64, next)
		if block > next {
			before = narrowSteps(text, (block-1)*64, stride)
		}
		for ; block*64 < int(r.End()) || block*64 == len(text); block++ {
			now := narrowSteps(text, block*64, stride)
			left := windowEnds(now, before, stride)
			before = now
			if left == math.MaxUint64 && block > 0 {
				// A hole, most likely: its steps are all the same.
				s := text[block*64-stride*stepWindow-wordSize : block*64+63]
				if bytes.Equal(s[:len(s)-stride], s[stride:]) {
					continue
				}
			}
			for ; left != 0 && windows < most; left &= left - 1 {
				k := bits.TrailingZeros64(left)
				if _, ok := stepKey(text, block*64+k, stride); ok {
					ends[block] |= 1 << k
					windows++
				}
			}
		}
		next = block
	}
	log := max(bits.Len(uint(windows)), 4)
	*x = steps{text: text, stride: stride, shift: uint(31 - log), slots: cleared(x.slots, 1<<log+stepWays)}
	for block, left := range ends {
		for ; left != 0; left &= left - 1 {
			at := block*64 + bits.TrailingZeros64(left)
			key, _ := stepKey(text, at, stride)
			ways := x.ways(key)
			for k, end := range ways {
				if end == 0 {
					ways[k] = int32(at)
					break
				}
			}
		}
	}
}

// ways returns the slots that a key, which is below 1<<31, may lie in.
func (x *steps) ways(key uint32) []int32 {
	k := key >> x.shift
	return x.slots[k : k+stepWays]
}

// find calls each with the end of every window of the text that has the steps of
// the one of new that ends at i.
func (x *steps) find(new []byte, i int, each func(end int)) {
	key, ok := stepKey(new, i, x.stride)
	if !ok {
		return
	}
	for _, end := range x.ways(key) {
		if end == 0 {
			return
		}
		same := true
		for k := range stepWindow {
			same = same && stepTo(x.text, int(end)-k*x.stride, x.stride) == stepTo(new, i-k*x.stride, x.stride)
		}
		if same {
			each(int(end))
		}
	}
}

// findSteps makes the diagonals of those windows candidates that have the steps
// of one that ends at i.
func (m *matcher) findSteps(i int) {
	if i-m.endsFrom >= 64 {
		m.endsFrom = i
		for k := range m.steps {
			stride := m.steps[k].stride
			m.ends[k] = windowEnds(narrowSteps(m.new, i, stride), narrowSteps(m.new, i-64, stride), stride)
		}
	}
	if len(m.active) > 0 {
		// Where the best path has had no difference lately, no table is looked for.
		if b := &m.active[m.best]; b.last == 0 && int(b.run) >= i {
			return
		}
	}
	for k := range m.steps {
		if m.ends[k]>>(i-m.endsFrom)&1 != 0 {
			m.steps[k].find(m.new, i, func(end int) {
				m.enter(end-i, i, i)
			})
		}
	}
}
