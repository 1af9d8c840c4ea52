// SPDX-License-Identifier: MIT

package apply

import (
	"cmp"
	"math"
	"slices"

	"swudelta/internal/pamz"
	"swudelta/internal/span"
)

// workFactor is how often each byte of source and target, closed and opened, may be
// produced on average. Real deltas produce each some five to ten times, level by
// level; a hostile one can ask for the same large item again and again.
const workFactor = 64

// workFree, in bytes, may be produced whatever source and target are.
const workFree = 256 << 20

// The most bytes that one byte of compressed data can stand for: a block of 128 KiB
// takes four bytes of a zstd frame (RFC 8878 §3.1.1.2), and deflate codes 258 bytes
// in two bits.
const (
	zstdRatio    = 128 << 10 / 4
	deflateRatio = 1032
)

// workLimit is how many bytes may be produced in order to apply d. It follows from
// the lengths of what d makes: source and target, and the content of what is
// compressed in them, as far as that compression can have so much content.
func workLimit(d *pamz.Diff, in *info) int64 {
	opened := plus(
		min(in.opened.closed, times(d.TargetLength, zstdRatio)),
		min(in.opened.fromSource(), times(d.SourceLength, zstdRatio)))
	all := plus(plus(d.TargetLength, d.SourceLength), opened)
	return plus(times(all, workFactor), workFree)
}

// opened is how much the compressed parts of source and target hold, in bytes, as
// the items of a delta claim.
type opened struct {
	closed int64        // content that is compressed for the target
	ranges []openedPart // of the source that are decompressed
}

type openedPart struct {
	span.Range       // of the source
	content    int64 // of it, in bytes
}

// note takes account of an item, whose recipe is well-formed.
func (o *opened) note(it *pamz.Item) {
	r := it.Recipe
	ratio := int64(deflateRatio)
	switch r.Op {
	case pamz.OpZstdCompression, pamz.OpZstdDecompression:
		ratio = zstdRatio
	}
	switch r.Op {
	case pamz.OpZstdCompression, pamz.OpZlibCompression:
		o.closed = plus(o.closed, min(r.Params[0].Item.Length, times(it.Length, ratio)))
	case pamz.OpZstdDecompression, pamz.OpGzDecompression, pamz.OpZlibDecompression:
		packed := r.Params[0].Item
		if from := packed.Recipe; from != nil && from.Op == pamz.OpCopySource && len(from.Params) == 1 {
			part := span.Range{Off: int64(from.Params[0].Number), Len: packed.Length}
			o.ranges = append(o.ranges, openedPart{part, min(it.Length, times(packed.Length, ratio))})
		}
	}
}

// fromSource is the content of the ranges. Of those that overlap, which can be asked
// for without end, only the largest counts.
func (o *opened) fromSource() int64 {
	slices.SortFunc(o.ranges, func(a, b openedPart) int {
		return cmp.Or(a.Range.Compare(b.Range), cmp.Compare(a.content, b.content))
	})
	sum, end, largest := int64(0), int64(math.MinInt64), int64(0)
	for _, p := range o.ranges {
		if p.Off >= end {
			sum, largest = plus(sum, largest), 0
		}
		end, largest = max(end, plus(p.Off, p.Len)), max(largest, p.content)
	}
	return plus(sum, largest)
}

// piecesPerItem is how often an item may be written on average: as a piece of another, or of
// the target. Our deltas of profile 3.0 write each once (an update of 352 MiB: 2,250 pieces of
// 2,228 items). A hostile delta of a few KB can have as
// many pieces as its target has bytes.
const piecesPerItem = 64

// piecesFree may be written, however few items there are.
const piecesFree = 1 << 20

// checkPieces refuses a delta that writes far more pieces than it has items. What is read at
// random is composed once for all that read it, and counts once.
func checkPieces(d *pamz.Diff) error {
	if !d.Pooled() {
		return nil // each item has one place
	}
	pieces, read, sum := map[*pamz.Item]int64{}, map[*pamz.Item]bool{}, int64(0)
	var count func(it *pamz.Item) int64
	count = func(it *pamz.Item) int64 {
		if it.Recipe == nil || it.Length == 0 {
			return 0
		}
		n, ok := pieces[it]
		if ok {
			return n
		}
		n = 1
		for part := range it.Recipe.Items() {
			switch m := count(part); {
			case it.Recipe.Passes():
				n = plus(n, m)
			case !read[part]:
				read[part] = true
				sum = plus(sum, m)
			}
		}
		pieces[it] = n
		return n
	}
	for _, c := range d.Chunks {
		sum = plus(sum, count(c))
	}
	if sum > piecesFree+piecesPerItem*int64(len(pieces)) {
		return errTooMuch()
	}
	return nil
}

// plus and times add and multiply numbers that are not negative, up to the largest.
func plus(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}

func times(a, factor int64) int64 {
	if a > math.MaxInt64/factor {
		return math.MaxInt64
	}
	return a * factor
}
