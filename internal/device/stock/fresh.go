// SPDX-License-Identifier: MIT

package stock

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/bits"
	"slices"

	"swudelta/internal/bsdiff"
	"swudelta/internal/device"
	"swudelta/internal/device/stocklib"
	"swudelta/internal/digest"
	"swudelta/internal/match"
	"swudelta/internal/pamz"
)

// Fresh bytes are compressed by zstd, all together. The stock library has no
// working dictionary mode, but a frame may begin with raw blocks, and these can
// be made out of old content: by a patch that puts block headers between pieces
// of the old side. What follows in the frame refers back to it. So fresh bytes
// are coded against the old content around the places where they are inserted:
//
//	fresh = region(zstd_decompression(
//	          header ++ bsdiff(raw block headers, old ranges) ++ blocks of fresh bytes))

const (
	// rawBlock is the size of a full block of a zstd frame (RFC 8878 section
	// 3.1.1.2.4).
	rawBlock = 128 << 10
	// minAlwaysPrefix is the number of literal bytes from which on the frame is not also
	// compressed without old content before it, which has always helped there.
	minAlwaysPrefix = 1 << 20
	// zstdTables is what the tables of zstd -22 take at most for each byte of the window.
	zstdTables = 8
	// prefixCost is what the recipes around such a frame cost, in bytes.
	prefixCost = 750
)

// frame is fresh bytes as the delta carries them.
type frame struct {
	content *pamz.Item // zstd_decompression
	skip    int64      // bytes of content before the fresh bytes
	nested  bool       // the recipe copies from the old side, so that must be a delta's source
	size    int        // bytes of the delta
}

// item returns the item of the n fresh bytes.
func (f *frame) item(n int) *pamz.Item {
	return pamz.NewPart(int64(n), pamz.Region(f.content, f.skip, int64(n)))
}

// compress codes fresh bytes in the better of two ways: alone, or behind the old
// content around the places where they are inserted. budget is the memory of a pack on the device.
func (d *Device) compress(delta *device.Delta, im *match.Image) (*frame, error) {
	fresh, old, budget, level := im.Fresh, im.Old, delta.Limits.Pack, stocklib.ZstdLevel(delta.Effort)
	tables := bits.Len(uint(delta.Memory/zstdTables)) - 1 // the widest window here
	window := func(n int) int {
		return max(min(bits.Len(uint(n-1)), bits.Len(uint(budget))-1, bits.Len(stocklib.MaxWindow)-1, tables), 10)
	}
	context := match.ContextRanges(im.Sites, min(match.MaxContext, budget/3, 1<<window(math.MaxInt32)-len(fresh)))
	prefix := make([]byte, 0, match.Total(context))
	for _, s := range context {
		prefix = append(prefix, old[s.Off:s.End()]...)
	}
	var alone, behind []byte
	var err error
	log := window(len(prefix) + len(fresh))
	tryBehind := len(prefix) > 0 && len(prefix)+len(fresh) <= 1<<log
	tryAlone := !tryBehind || len(fresh) < minAlwaysPrefix
	if tryBehind && tryAlone {
		delta.Progress.Expect(int64(len(fresh)))
	}
	delta.Progress.Expect(int64(len(fresh)))
	if tryBehind {
		delta.Progress.Expect(int64(len(prefix)))
		if behind, err = d.Zstd.CompressBehind(prefix, fresh, level, log, delta.Progress.Add); err != nil {
			return nil, err
		}
	}
	if tryAlone {
		if alone, err = d.Zstd.Compress(fresh, level, window(len(fresh)), delta.Progress.Add); err != nil {
			return nil, err
		}
	}
	plain := &frame{content: pamz.NewPart(int64(len(fresh)), pamz.ZstdDecompression(part(alone))), size: len(alone)}
	if behind == nil {
		return plain, nil
	}
	ranges := match.Merge(slices.Clone(context), budget-len(prefix)-match.Total(context), budget)
	patch, raw := rawBlocks(old, ranges, context, prefix)
	var encoded bytes.Buffer
	if _, err := patch.Encode(&encoded, d.bzip2); err != nil {
		return nil, err
	}
	size := len(behind) + encoded.Len() + delta.Limits.RangeCost*len(ranges) + prefixCost
	if alone != nil {
		delta.Explain("fresh bytes %d: %d alone", len(fresh), len(alone))
	}
	delta.Explain("fresh bytes %d: %d behind %d bytes of old content from %d ranges", len(fresh), size, len(prefix), len(ranges))
	if alone != nil && size >= len(alone) {
		return plain, nil
	}
	header := frameHeader(log, len(prefix)+len(fresh))
	n, sum := int64(len(raw)), digest.Sum(raw)
	rawItem, err := d.delayReads(n, sum, int64(len(old)), pamz.NewItem(n, sum, pamz.BSDiff(part(encoded.Bytes()), pamz.Chain(copyItems(ranges)...))))
	if err != nil {
		return nil, err
	}
	raws := &rawItem.Recipe.Params[0]
	if raws.Item, err = d.shrink(delta, raws.Item); err != nil {
		return nil, err
	}
	blocks := pamz.Chain(part(header), rawItem, part(behind))
	content := pamz.NewPart(int64(len(prefix)+len(fresh)), pamz.ZstdDecompression(blocks))
	return &frame{content: content, skip: int64(len(prefix)), nested: true, size: size}, nil
}

// part returns an asset that is only read.
func part(data []byte) *pamz.Item {
	return pamz.NewPart(int64(len(data)), pamz.InlineAsset(data))
}

// frameHeader is the head of a zstd frame (RFC 8878 section 3.1.1.1): a window of
// 1<<log bytes, and the size of the content in four bytes, so that a decoder need
// not hold a full window.
func frameHeader(log, size int) []byte {
	h := binary.LittleEndian.AppendUint32(nil, 0xfd2fb528)
	h = append(h, 2<<6, byte(log-10)<<3)
	return binary.LittleEndian.AppendUint32(h, uint32(size))
}

// rawBlocks returns the raw blocks that hold prefix, which is context end to end,
// and the patch that makes them out of ranges end to end.
func rawBlocks(old []byte, ranges, context []match.Range, prefix []byte) (*bsdiff.Patch, []byte) {
	p := &bsdiff.Patch{}
	var raw []byte
	pos := 0  // in the old side of the patch
	left := 0 // of the current block
	done := 0 // of prefix
	header := func() {
		left = min(rawBlock, len(prefix)-done)
		h := uint32(left) << 3 // not the last block, of type raw
		b := []byte{byte(h), byte(h >> 8), byte(h >> 16)}
		p.Extra = append(p.Extra, b...)
		raw = append(raw, b...)
	}
	header()
	entry := bsdiff.Control{Extra: 3}
	end := func(next int) {
		entry.Seek = int64(next - pos)
		p.Controls = append(p.Controls, entry)
		entry, pos = bsdiff.Control{}, next
	}
	base, r := 0, 0
	for _, s := range context {
		for ranges[r].End() < s.End() {
			base += ranges[r].Len
			r++
		}
		if at := base + s.Off - ranges[r].Off; at != pos || entry.Extra > 0 {
			end(at)
		}
		for from := s.Off; from < s.End(); {
			if left == 0 {
				header()
				entry.Extra = 3
				end(pos)
			}
			n := min(s.End()-from, left)
			entry.Add += int64(n)
			pos += n
			raw = append(raw, old[from:from+n]...)
			from, left, done = from+n, left-n, done+n
		}
	}
	end(pos)
	p.Diff = make([]byte, len(prefix))
	return p, raw
}
