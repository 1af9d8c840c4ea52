// SPDX-License-Identifier: MIT

package plan

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"math/bits"
	"runtime"
	"slices"
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

// sparseBits chooses one anchor in eight: enough where long runs are looked for.
const sparseBits = anchorBits + 3

// anchor is a window: the offset behind it, and a key that identifies its content
// (equal content, equal key).
type anchor struct {
	end int
	key uint32
}

// anchorBatch is how many anchors are looked at together.
const anchorBatch = 64

// anchors calls each for the anchors of data[from:to] whose hash has zeros zero
// bits, some at a time. In a run of one byte value, or of a short period, there is
// one only. each returns where to go on if that is further on.
func anchors(data []byte, from, to, zeros int, each func([]anchor) (next int)) {
	var batch [anchorBatch]anchor
	var h, last uint32
	limit := uint32(1) << (32 - zeros)
	start := from // of what the hash has seen
	for at := from; at < to; {
		n, end := 0, to
		for i, b := range data[at:to] {
			h = h<<1 + gear[b]
			if h < limit && h != last {
				last = h
				if at+i+1-start < windowSize {
					continue
				}
				batch[n] = anchor{at + i + 1, h}
				if n++; n == len(batch) {
					end = at + i + 1
					break
				}
			}
		}
		at = end
		if next := each(batch[:n]); next > at {
			at, start, h = next, next, 0
		}
	}
}

// index finds windows of the old side by their key.
type index struct {
	data  []byte
	zeros []span // long runs of zeros, sorted: they need not be read
	shift uint
	slots []uint64 // check bits above, position below; 0: empty
}

const (
	positionBits = 40
	ways         = 4 // neighbouring slots that a key may lie in
)

// newIndex indexes the anchors of data. Of windows with equal content it keeps
// the first few.
func newIndex(data []byte, zeros []span) *index {
	content := len(data) - total(zeros, span.len)
	// Of more than a gigabyte fewer anchors are kept, so that the index stays below
	// half a gigabyte.
	zeroBits := anchorBits
	for zeroBits < sparseBits && content>>(zeroBits-anchorBits) > 1<<30 {
		zeroBits++
	}
	log := max(bits.Len(uint(content>>zeroBits)), 8)
	x := &index{data: data, zeros: zeros, shift: uint(64 - log), slots: make([]uint64, 1<<log+ways)}
	add := func(batch []anchor) int {
		x.touch(batch)
		for _, a := range batch {
			i, check := x.place(a.key)
			for j := range x.slots[i : i+ways] {
				if x.slots[i+j] == 0 {
					x.slots[i+j] = check | uint64(a.end)
					break
				}
			}
		}
		return 0
	}
	eachStretch(zeros, 0, len(data), func(from, to int) { anchors(data, from, to, zeroBits, add) })
	return x
}

// eachStretch calls each for what long runs of zeros leave of the bytes from ... to, with
// as much of the zeros on both sides as windows can have.
func eachStretch(zeros []span, from, to int, each func(from, to int)) {
	i, _ := slices.BinarySearchFunc(zeros, from, func(z span, at int) int { return cmp.Compare(z.to, at+1) })
	for ; i < len(zeros) && zeros[i].from < to; i++ {
		if end := min(zeros[i].from+windowSize, zeros[i].to, to); zeros[i].from > from {
			each(from, end)
		}
		from = max(from, zeros[i].to-windowSize)
	}
	if from < to {
		each(from, to)
	}
}

// touch reads the slots of anchors that are about to be looked up. They lie far
// apart in memory; read one after the other without a decision in between, none
// has to wait for another.
func (x *index) touch(batch []anchor) {
	sum := uint64(0)
	for _, a := range batch {
		i, _ := x.place(a.key)
		sum += x.slots[i]
	}
	runtime.KeepAlive(sum)
}

func (x *index) place(key uint32) (slot int, check uint64) {
	m := uint64(key) * 0x9e3779b97f4a7c15
	return int(m >> x.shift), uint64(key) >> (32 - (64 - positionBits)) << positionBits
}

// lookup calls each with the end of every indexed window that has the same
// content as the anchor of data, until it returns false.
func (x *index) lookup(data []byte, a anchor, each func(oldEnd int) bool) {
	i, check := x.place(a.key)
	want := data[a.end-windowSize : a.end]
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

// division is the target in pieces, the shorter runs of the old side in those that
// need a pack, and where they are thought to come from.
type division struct {
	pieces []piece
	known  []piece // fromOld, of at least copyRun bytes, by at
	places []piece // off is near the place in the old side; by at; none where pieces keep their order
}

// divide cuts the target, some of whose zeros are known, into long runs that need no pack,
// and the rest.
func divide(old *index, target []byte, zeros []span, t thresholds) *division {
	d := &division{}
	gap := func(from, to int) {
		done := from
		rest := func(to int) {
			if done < to {
				d.pieces = append(d.pieces, piece{from: fromPack, at: done, n: to - done})
			}
		}
		copies(old, target, from, to, min(t.copy, copyRun), func(p piece) {
			if p.n < t.copy {
				d.known = append(d.known, p)
				return
			}
			rest(p.at)
			d.pieces = append(d.pieces, p)
			done = p.end()
		})
		rest(to)
	}
	done := 0
	zeroRuns(target, zeros, t.zero, func(at, n int) {
		gap(done, at)
		d.pieces = append(d.pieces, piece{from: fromZero, at: at, n: n})
		done = at + n
	})
	gap(done, len(target))
	d.pieces = repeats(target, d.pieces, t.repeat)
	return d
}

// eachKnown calls each for the parts of known runs in target[from:to].
func (d *division) eachKnown(from, to int, each func(piece)) { eachPart(d.known, from, to, each) }

// eachPlace calls each for the parts of target[from:to] that are thought to come from
// near what they name.
func (d *division) eachPlace(from, to int, each func(piece)) { eachPart(d.places, from, to, each) }

// eachPart calls each for the parts of pieces, which are sorted, in target[from:to].
func eachPart(pieces []piece, from, to int, each func(piece)) {
	i, _ := slices.BinarySearchFunc(pieces, from, func(p piece, at int) int { return cmp.Compare(p.end(), at+1) })
	for ; i < len(pieces) && pieces[i].at < to; i++ {
		p := pieces[i]
		if cut := from - p.at; cut > 0 {
			p.at, p.off, p.n = p.at+cut, p.off+cut, p.n-cut
		}
		p.n = min(p.n, to-p.at)
		each(p)
	}
}

// zero takes runs of zeros out of pieces that need a pack; each lies in one of them.
func (d *division) zero(runs []span) {
	slices.SortFunc(runs, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	var out []piece
	for _, p := range d.pieces {
		for p.from == fromPack && len(runs) > 0 && runs[0].to <= p.end() {
			r := runs[0]
			if n := r.from - p.at; n > 0 {
				out = append(out, piece{from: fromPack, at: p.at, n: n})
			}
			out = append(out, piece{from: fromZero, at: r.from, n: r.len()})
			p.at, p.n = r.to, p.end()-r.to
			runs = runs[1:]
		}
		if p.n > 0 {
			out = append(out, p)
		}
	}
	d.pieces = out
}

// zeroRuns calls each for every run of at least least zeros. Those that are known are
// not read.
func zeroRuns(data []byte, known []span, least int, each func(at, n int)) {
	const word = 8
	done := 0
	// skip returns the end of the known run that at lies in, or at.
	skip := func(at int) int {
		for len(known) > 0 && known[0].to <= at {
			known = known[1:]
		}
		if len(known) > 0 && known[0].from <= at {
			return known[0].to
		}
		return at
	}
	for p := 0; p+word <= len(data); {
		to := skip(p)
		from := p
		if to > p {
			from = max(known[0].from, done)
		} else if binary.LittleEndian.Uint64(data[p:]) != 0 {
			p += least - word // a run that is long enough has a word at one of these places
			continue
		}
		for from > done && data[from-1] == 0 {
			from--
		}
		for to+word <= len(data) && binary.LittleEndian.Uint64(data[to:]) == 0 {
			to = max(skip(to), to+word)
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

// copies calls each for runs of at least least bytes of target[from:to] that the
// old side has too.
func copies(old *index, target []byte, from, to, least int, each func(piece)) {
	done := from // end of what is decided
	// The last extensions that were too short: trying them again at each of their
	// anchors would take quadratic time.
	var tried [ways]struct{ diag, end int }
	last := 0
	anchors(target, from, to, sparseBits, func(batch []anchor) int {
		old.touch(batch)
		for _, a := range batch {
			if a.end-windowSize < done {
				continue
			}
			best := piece{from: fromOld}
			old.lookup(target, a, func(oldEnd int) bool {
				for _, t := range tried {
					if a.end-oldEnd == t.diag && a.end <= t.end {
						return true
					}
				}
				back := commonSuffix(target[done:a.end], old.data[:oldEnd])
				forth := commonPrefix(target[a.end:to], old.data[oldEnd:])
				if back+forth < least {
					tried[last%ways].diag, tried[last%ways].end = a.end-oldEnd, a.end+forth
					last++
				} else if back+forth > best.n {
					best.at, best.n, best.off = a.end-back, back+forth, oldEnd-back
				}
				return true
			})
			if best.n > 0 {
				each(best)
				done = best.end()
			}
		}
		return done
	})
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
		try := func(end int, key uint32) {
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
		}
		anchors(target, p.at, p.end(), sparseBits, func(batch []anchor) int {
			for _, a := range batch {
				try(a.end, a.key)
			}
			return 0
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
