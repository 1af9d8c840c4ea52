// SPDX-License-Identifier: MIT

package match

import (
	"bytes"
	"cmp"
	"fmt"
	"math/bits"
	"runtime"
	"slices"

	"swudelta/internal/progress"
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

// reporter tells a stage, which may be nil, how far a scan has come, in bytes.
type reporter struct {
	stage *progress.Stage
	told  int // offset
}

// to says that everything before an offset is done.
func (r *reporter) to(at int) {
	r.stage.Add(int64(at - r.told))
	r.told = at
}

// batch says that everything before the last of some anchors is done.
func (r *reporter) batch(batch []anchor) {
	if n := len(batch); n > 0 {
		r.to(batch[n-1].end)
	}
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

// Index finds windows of the old side by their key.
type Index struct {
	data  []byte
	zeros []Range // long runs of zeros, sorted: they need not be read
	shift uint
	slots []uint64 // check bits above, position below; 0: empty
}

const (
	// leastIndex is what any index may take, in bytes.
	leastIndex   = 1 << 20
	positionBits = 40
	ways         = 4 // neighbouring slots that a key may lie in
)

// slotSize is the size of a slot, in bytes.
const slotSize = 8

// NewIndex indexes the anchors of data. Of windows with equal content it keeps
// the first few; all but one in eight of the anchors may be left out, so that it takes at
// most memory bytes. Where that is not enough, the error is ErrMemory. The stage, which may be
// nil, counts bytes of data.
func NewIndex(data []byte, zeros []Range, memory int64, stage *progress.Stage) (*Index, error) {
	content := len(data) - total(zeros, rangeLen)
	zeroBits := anchorBits
	slots := func() int { return max(bits.Len(uint(content>>zeroBits)), 8) }
	for zeroBits < sparseBits && slotSize<<slots() > memory {
		zeroBits++
	}
	log := slots()
	if slotSize<<log > max(memory, leastIndex) {
		return nil, fmt.Errorf("%w: an index of %d bytes of content takes %d", ErrMemory, content, slotSize<<log)
	}
	x := &Index{data: data, zeros: zeros, shift: uint(64 - log), slots: make([]uint64, 1<<log+ways)}
	done := reporter{stage: stage}
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
		done.batch(batch)
		return 0
	}
	eachStretch(zeros, 0, len(data), func(from, to int) { anchors(data, from, to, zeroBits, add) })
	done.to(len(data))
	return x, nil
}

// Memory is what the index takes, in bytes.
func (x *Index) Memory() int64 { return int64(len(x.slots)) * slotSize }

// eachStretch calls each for what long runs of zeros leave of the bytes from ... to, with
// as much of the zeros on both sides as windows can have.
func eachStretch(zeros []Range, from, to int, each func(from, to int)) {
	i, _ := slices.BinarySearchFunc(zeros, from, func(z Range, at int) int { return cmp.Compare(z.End(), at+1) })
	for ; i < len(zeros) && zeros[i].Off < to; i++ {
		if end := min(zeros[i].Off+windowSize, zeros[i].End(), to); zeros[i].Off > from {
			each(from, end)
		}
		from = max(from, zeros[i].End()-windowSize)
	}
	if from < to {
		each(from, to)
	}
}

// touch reads the slots of anchors that are about to be looked up. They lie far
// apart in memory; read one after the other without a decision in between, none
// has to wait for another.
func (x *Index) touch(batch []anchor) {
	sum := uint64(0)
	for _, a := range batch {
		i, _ := x.place(a.key)
		sum += x.slots[i]
	}
	runtime.KeepAlive(sum)
}

func (x *Index) place(key uint32) (slot int, check uint64) {
	m := uint64(key) * 0x9e3779b97f4a7c15
	return int(m >> x.shift), uint64(key) >> (32 - (64 - positionBits)) << positionBits
}

// lookup calls each with the end of every indexed window that has the same
// content as the anchor of data, until it returns false.
func (x *Index) lookup(data []byte, a anchor, each func(oldEnd int) bool) {
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
