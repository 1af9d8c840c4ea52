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
	stepShift  = 11      // of the rolling hash, by step: its 32 bits forget after stepWindow
	stepLimit  = 1 << 23 // the widest step either way: content that is no table has wider ones
	stepBits   = 1       // one window in 2 is indexed and looked for
	stepAlike  = 2       // equal steps in a row from which on a window tells nothing
	stepWays   = 4       // neighbouring slots that a window may lie in
	widest     = 12      // stride
)

// stepHash rolls over data and finds the windows that are looked for.
type stepHash struct {
	data   []byte
	stride int
	at     int // end of what was seen
	// By alignment.
	hash  [widest]uint32
	last  [widest]uint32
	small [widest]uint8 // steps in a row that are no wider than stepLimit
	alike [widest]uint8 // steps in a row that are equal
}

// reach is how far back from its end a window has an influence, in bytes.
func (s *stepHash) reach() int { return s.stride*stepWindow + wordSize }

// skip moves to a later position.
func (s *stepHash) skip(to int) {
	to -= s.reach()
	if to <= s.at {
		return
	}
	s.at = to
	clear(s.small[:])
}

// next takes the next byte and reports whether the window that ends behind it is
// looked for, under which key.
func (s *stepHash) next() (key uint32, ok bool) {
	s.at++
	if s.at < s.stride+wordSize {
		return 0, false
	}
	a := s.at % s.stride
	step := stepTo(s.data, s.at, s.stride)
	if step+stepLimit >= 2*stepLimit {
		s.small[a] = 0
		return 0, false
	}
	if step == s.last[a] {
		s.alike[a] = min(s.alike[a]+1, stepAlike)
	} else {
		s.last[a], s.alike[a] = step, 0
	}
	s.small[a] = min(s.small[a]+1, stepWindow)
	s.hash[a] = s.hash[a]<<stepShift + step*(multiplier>>32)
	return s.hash[a], s.small[a] == stepWindow && s.alike[a] < stepAlike && s.hash[a]>>(32-stepBits) == 0
}

// stepTo is the difference between the number that ends at end and the one a
// stride before it. A number of 24 bits counts as one of 32 whose lowest byte is 0.
func stepTo(data []byte, end, stride int) uint32 {
	a, b := binary.LittleEndian.Uint32(data[end-wordSize:]), binary.LittleEndian.Uint32(data[end-wordSize-stride:])
	if stride < wordSize {
		return a&^0xff - b&^0xff
	}
	return a - b
}

// steps is an index of the windows of a text, for one stride.
type steps struct {
	text    []byte
	rolling stepHash // over the new side
	slots   []int32  // where windows end; 0: none
	shift   uint
}

func newSteps(text, new []byte, stride int) *steps {
	type window struct {
		key uint32
		end int32
	}
	var windows []window
	for s := (stepHash{data: text, stride: stride}); s.at < len(text); {
		if key, ok := s.next(); ok {
			windows = append(windows, window{key, int32(s.at)})
		}
	}
	log := max(bits.Len(uint(len(windows))), 4)
	x := &steps{text: text, rolling: stepHash{data: new, stride: stride}, shift: uint(32 - log), slots: make([]int32, 1<<log+stepWays)}
	for _, w := range windows {
		for k, end := range x.ways(w.key) {
			if end == 0 {
				x.ways(w.key)[k] = w.end
				break
			}
		}
	}
	return x
}

// ways returns the slots that a key may lie in.
func (x *steps) ways(key uint32) []int32 {
	k := key * (multiplier >> 32) >> x.shift
	return x.slots[k : k+stepWays]
}

// has reports whether the window of the text that ends at end has the steps of
// the one of new that ends at i.
func (x *steps) has(end, i int) bool {
	s := x.rolling.stride
	for k := range stepWindow {
		if stepTo(x.text, end-k*s, s) != stepTo(x.rolling.data, i-k*s, s) {
			return false
		}
	}
	return true
}

// findSteps makes the diagonals of those windows candidates that have the steps
// of one that ends at i.
func (m *matcher) findSteps(i int) {
	for _, x := range m.steps {
		x.rolling.skip(i)
		for x.rolling.at < i {
			key, ok := x.rolling.next()
			if !ok || x.rolling.at < i {
				continue
			}
			for _, end := range x.ways(key) {
				if end == 0 {
					break
				}
				if !x.has(int(end), i) {
					continue
				}
				at, _ := m.oldAt(int(end) - 1)
				m.enter(at+1-i, i, i)
			}
		}
	}
}
