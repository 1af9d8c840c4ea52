// SPDX-License-Identifier: MIT

package bsdiff

import (
	"encoding/binary"
	"math/bits"
)

// Tables of addresses that a release moves have few bytes in common with what
// they were: each number is greater by the same amount, so hardly ever are eight
// bytes in a row equal, and the suffix array finds nothing. But the steps from one
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

// steps is an index of the windows of a text, for one stride.
type steps struct {
	text   []byte
	stride int
	slots  []int32 // where windows end; 0: none
	shift  uint
}

func newSteps(text []byte, stride int) *steps {
	type window struct {
		key uint32
		end int32
	}
	var windows []window
	// Content that is nothing but tables must not take any amount of memory.
	most := max(len(text)/stepShare, 1<<16)
	for end := stride + wordSize; end <= len(text) && len(windows) < most; end++ {
		if wide(stepTo(text, end, stride)) {
			continue // as nearly everywhere
		}
		if key, ok := stepKey(text, end, stride); ok {
			windows = append(windows, window{key, int32(end)})
		}
	}
	log := max(bits.Len(uint(len(windows))), 4)
	x := &steps{text: text, stride: stride, shift: uint(31 - log), slots: make([]int32, 1<<log+stepWays)}
	for _, w := range windows {
		ways := x.ways(w.key)
		for k, end := range ways {
			if end == 0 {
				ways[k] = w.end
				break
			}
		}
	}
	return x
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
	for _, x := range m.steps {
		x.find(m.new, i, func(end int) {
			at, _ := m.oldAt(end - 1)
			m.enter(at+1-i, i, i)
		})
	}
}
