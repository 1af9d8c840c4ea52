// SPDX-License-Identifier: MIT

package plan

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// An anchor is a place that content itself chooses: the end of a window of
// windowSize bytes whose rolling hash has anchorBits zero bits. Equal content
// has equal anchors wherever it lies, so two images are compared without any
// knowledge of how they are laid out.
const (
	windowSize = 32
	anchorBits = 5 // one anchor in 32 bytes on average
)

// gear has a random number for each byte value. The rolling hash of a position
// is the sum of gear[b] << distance over the bytes before it, so that its low
// 32 bits depend on the last 32 bytes alone ("gear" hashing: Xia et al.,
// Ddelta, 2014). The numbers are drawn by splitmix64 from a fixed seed.
var gear = func() (t [256]uint32) {
	x := uint64(0x5357554445_4c5441)
	for i := range t {
		x += 0x9e3779b97f4a7c15
		z := x
		z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		t[i] = uint32(z ^ z>>31)
	}
	return t
}()

// anchors calls each for every anchor in data[from:to]. end is the offset
// behind the window, key identifies its content (equal content, equal key).
// In a run of one byte value, or of a short period, only the first is called.
func anchors(data []byte, from, to int, each func(end int, key uint32)) {
	var h, last uint32
	start := max(from-windowSize, 0)
	for _, b := range data[start:min(from, to)] {
		h = h<<1 + gear[b]
	}
	for i, b := range data[from:to] {
		h = h<<1 + gear[b]
		if h>>(32-anchorBits) == 0 && h != last {
			last = h
			if end := from + i + 1; end >= windowSize {
				each(end, h)
			}
		}
	}
}

// sparse tells one anchor in eight from the others: enough where long runs are
// looked for.
func sparse(key uint32) bool { return key&(7<<(32-anchorBits-3)) == 0 }

// index finds windows of the old side by their key.
type index struct {
	data  []byte
	shift uint
	slots []uint64 // check bits above, position below; 0: empty
}

const (
	positionBits = 40
	ways         = 4 // neighbouring slots that a key may lie in
)

// newIndex indexes the anchors of data. Of windows with equal content it keeps
// the first few.
func newIndex(data []byte) *index {
	log := max(bits.Len(uint(len(data)>>anchorBits)), 8)
	x := &index{data: data, shift: uint(64 - log), slots: make([]uint64, 1<<log+ways)}
	anchors(data, 0, len(data), func(end int, key uint32) {
		i, check := x.place(key)
		for j := range x.slots[i : i+ways] {
			if x.slots[i+j] == 0 {
				x.slots[i+j] = check | uint64(end)
				return
			}
		}
	})
	return x
}

func (x *index) place(key uint32) (slot int, check uint64) {
	m := uint64(key) * 0x9e3779b97f4a7c15
	return int(m >> x.shift), uint64(key) >> (32 - (64 - positionBits)) << positionBits
}

// lookup calls each with the end of every indexed window that has the same
// content as the one that ends at end in data, until it returns false.
func (x *index) lookup(data []byte, end int, key uint32, each func(oldEnd int) bool) {
	i, check := x.place(key)
	want := data[end-windowSize : end]
	for _, s := range x.slots[i : i+ways] {
		if s == 0 {
			return
		}
		if s>>positionBits<<positionBits != check {
			continue
		}
		at := int(s & (1<<positionBits - 1))
		if bytes.Equal(x.data[at-windowSize:at], want) && !each(at) {
			return
		}
	}
}

// source says where a piece of the target comes from.
type source uint8

const (
	fromPack source = iota // changed or new content
	fromOld                // a long run of the old side, as it is
	fromZero               // zeros
	fromNew                // the same as an earlier piece of the target
)

// piece is a range of the target. The pieces of a plan tile it.
type piece struct {
	from source
	at   int // offset in the target
	n    int // bytes
	off  int // fromOld: offset in the old side; fromNew: earlier offset in the target
}

func (p piece) end() int { return p.at + p.n }

// thresholds are the shortest runs, in bytes, that become entries of the table of
// their own.
type thresholds struct{ copy, zero, repeat int }

// divide cuts the target into long runs that need no pack, and the rest.
func divide(old *index, target []byte, t thresholds) []piece {
	var pieces []piece
	gap := func(from, to int) {
		if from < to {
			pieces = append(pieces, longCopies(old, target, from, to, t.copy)...)
		}
	}
	done := 0
	zeroRuns(target, t.zero, func(at, n int) {
		gap(done, at)
		pieces = append(pieces, piece{from: fromZero, at: at, n: n})
		done = at + n
	})
	gap(done, len(target))
	return repeats(target, pieces, t.repeat)
}

// zeroRuns calls each for every run of at least least zeros.
func zeroRuns(data []byte, least int, each func(at, n int)) {
	const word = 8
	done := 0
	for p := 0; p+word <= len(data); {
		if binary.LittleEndian.Uint64(data[p:]) != 0 {
			p += least - word // a run that is long enough has a word at one of these places
			continue
		}
		from, to := p, p+word
		for from > done && data[from-1] == 0 {
			from--
		}
		for to+word <= len(data) && binary.LittleEndian.Uint64(data[to:]) == 0 {
			to += word
		}
		for to < len(data) && data[to] == 0 {
			to++
		}
		if to-from >= least {
			each(from, to-from)
			done = to
		}
		p = to + least - word
	}
}

// longCopies cuts target[from:to] at the runs of at least least bytes that the
// old side has too.
func longCopies(old *index, target []byte, from, to, least int) []piece {
	var pieces []piece
	done := from // end of what is decided
	// The last extension that was too short: trying it again at each of its
	// anchors would take quadratic time.
	tried, triedEnd := 0, 0
	anchors(target, from, to, func(end int, key uint32) {
		if end-windowSize < done || !sparse(key) {
			return
		}
		old.lookup(target, end, key, func(oldEnd int) bool {
			if end-oldEnd == tried && end <= triedEnd {
				return true
			}
			back := commonSuffix(target[done:end], old.data[:oldEnd])
			forth := commonPrefix(target[end:to], old.data[oldEnd:])
			if back+forth < least {
				tried, triedEnd = end-oldEnd, end+forth
				return true
			}
			start := end - back
			if start > done {
				pieces = append(pieces, piece{from: fromPack, at: done, n: start - done})
			}
			pieces = append(pieces, piece{from: fromOld, at: start, n: back + forth, off: oldEnd - back})
			done = end + forth
			return false
		})
	})
	if done < to {
		pieces = append(pieces, piece{from: fromPack, at: done, n: to - done})
	}
	return pieces
}

// repeats cuts the pieces that need a pack at runs of at least least bytes
// that an earlier such piece has too.
func repeats(target []byte, pieces []piece, least int) []piece {
	type place struct{ end, from, to int } // end of a window, and the piece that it lies in
	seen := map[uint32]place{}
	var out []piece
	for _, p := range pieces {
		if p.from != fromPack {
			out = append(out, p)
			continue
		}
		done := p.at
		tried, triedEnd := 0, 0
		anchors(target, p.at, p.end(), func(end int, key uint32) {
			if end-windowSize < p.at {
				return
			}
			if !sparse(key) {
				return
			}
			o, ok := seen[key]
			if !ok {
				seen[key] = place{end, p.at, p.end()}
				return
			}
			limit := min(o.to, done) // the earlier run must be complete before this one
			if end-windowSize < done || end-o.end == tried && end <= triedEnd || o.end > limit {
				return
			}
			if !bytes.Equal(target[o.end-windowSize:o.end], target[end-windowSize:end]) {
				return
			}
			back := commonSuffix(target[done:end], target[o.from:o.end])
			forth := commonPrefix(target[end:p.end()], target[o.end:limit])
			if back+forth < least {
				tried, triedEnd = end-o.end, end+forth
				return
			}
			start := end - back
			if start > done {
				out = append(out, piece{from: fromPack, at: done, n: start - done})
			}
			out = append(out, piece{from: fromNew, at: start, n: back + forth, off: o.end - back})
			done = end + forth
		})
		if done < p.end() {
			out = append(out, piece{from: fromPack, at: done, n: p.end() - done})
		}
	}
	return out
}

// commonPrefix returns the length of the longest common prefix.
func commonPrefix(a, b []byte) int {
	n := min(len(a), len(b))
	i := 0
	for ; i+8 <= n; i += 8 {
		if x := binary.LittleEndian.Uint64(a[i:]) ^ binary.LittleEndian.Uint64(b[i:]); x != 0 {
			return i + bits.TrailingZeros64(x)/8
		}
	}
	for i < n && a[i] == b[i] {
		i++
	}
	return i
}

// commonSuffix returns the length of the longest common suffix.
func commonSuffix(a, b []byte) int {
	n := min(len(a), len(b))
	a, b = a[len(a)-n:], b[len(b)-n:]
	i := n
	for ; i >= 8; i -= 8 {
		if x := binary.LittleEndian.Uint64(a[i-8:]) ^ binary.LittleEndian.Uint64(b[i-8:]); x != 0 {
			return n - i + bits.LeadingZeros64(x)/8
		}
	}
	for i > 0 && a[i-1] == b[i-1] {
		i--
	}
	return n - i
}
