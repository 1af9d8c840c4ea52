// SPDX-License-Identifier: MIT

package plan

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/bits"
	"slices"

	"swudelta/internal/bsdiff"
	"swudelta/internal/digest"
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
	// maxPrefix bounds the old content in a frame, in bytes: it is compressed for
	// nothing, which takes time.
	maxPrefix = 24 << 20
	// rawBlock is the size of a full block of a zstd frame (RFC 8878 section
	// 3.1.1.2.4).
	rawBlock = 128 << 10
	// sureFresh is from how many fresh bytes on it is taken for granted that old
	// content helps.
	sureFresh = 1 << 20
	// prefixCost is what the recipes around such a frame cost, in bytes.
	prefixCost = 750
)

// arounds is how much old content before and behind an insertion is of use, and how
// much of it together is worth the time, in bytes: the first of these with which all of it
// fits. More was measured to bring nothing.
var arounds = []struct{ each, all int }{{8 << 10, 4 << 20}, {4 << 10, maxPrefix}, {2 << 10, maxPrefix}, {512, maxPrefix}}

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
// content that lies near. budget is the memory of a pack on the device.
func (m *maker) compress(fresh, old []byte, sites []site, budget int) (*frame, error) {
	window := func(n int) int {
		return max(min(bits.Len(uint(n-1)), bits.Len(uint(budget))-1, bits.Len(maxZstdWindow)-1), 10)
	}
	near := surroundings(sites, min(maxPrefix, budget/3, 1<<window(math.MaxInt32)-len(fresh)))
	prefix := make([]byte, 0, total(near, span.len))
	for _, s := range near {
		prefix = append(prefix, old[s.from:s.to]...)
	}
	var alone, behind []byte
	var err error
	log := window(len(prefix) + len(fresh))
	if len(prefix) > 0 && len(prefix)+len(fresh) <= 1<<log {
		if behind, err = m.Zstd.CompressBehind(prefix, fresh, m.effort.fresh, log); err != nil {
			return nil, err
		}
	}
	if behind == nil || len(fresh) < sureFresh {
		if alone, err = m.Zstd.Compress(fresh, m.effort.fresh, window(len(fresh))); err != nil {
			return nil, err
		}
	}
	plain := &frame{content: pamz.NewPart(int64(len(fresh)), pamz.ZstdDecompression(part(alone))), size: len(alone)}
	if behind == nil {
		return plain, nil
	}
	ranges := mergeSpans(slices.Clone(near), budget-len(prefix)-total(near, span.len), budget)
	patch, raw := rawBlocks(old, ranges, near, prefix)
	var encoded bytes.Buffer
	if _, err := patch.Encode(&encoded, m.bzip2); err != nil {
		return nil, err
	}
	size := len(behind) + encoded.Len() + rangeCost*len(ranges) + prefixCost
	if alone != nil {
		m.explainf("fresh bytes %d: %d alone", len(fresh), len(alone))
	}
	m.explainf("fresh bytes %d: %d behind %d bytes of old content from %d ranges", len(fresh), size, len(prefix), len(ranges))
	if alone != nil && size >= len(alone) {
		return plain, nil
	}
	header := frameHeader(log, len(prefix)+len(fresh))
	rawItem, err := m.slowly(pamz.NewItem(int64(len(raw)), digest.Sum(raw), pamz.BSDiff(part(encoded.Bytes()), pamz.Chain(copyItems(ranges)...))), int64(len(old)))
	if err != nil {
		return nil, err
	}
	delta := &rawItem.Recipe.Params[0]
	if delta.Item, err = m.shrink(delta.Item); err != nil {
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

// rawBlocks returns the raw blocks that hold prefix, which is near end to end,
// and the patch that makes them out of ranges end to end.
func rawBlocks(old []byte, ranges, near []span, prefix []byte) (*bsdiff.Patch, []byte) {
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
	for _, s := range near {
		for ranges[r].to < s.to {
			base += ranges[r].len()
			r++
		}
		if at := base + s.from - ranges[r].from; at != pos || entry.Extra > 0 {
			end(at)
		}
		for from := s.from; from < s.to; {
			if left == 0 {
				header()
				entry.Extra = 3
				end(pos)
			}
			n := min(s.to-from, left)
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

// site is a place of the old side where fresh bytes are inserted, and the range
// of the old side around it that may be of use.
type site struct {
	at int
	span
}

// insertions returns the places of the old side of an image at which a patch
// inserts at least least bytes.
func insertions(p *bsdiff.Patch, ranges []span, least int) []site {
	size := total(ranges, span.len)
	var out []site
	add := func(pos int) {
		// The place in the old side of the pack, and the range it lies in.
		pos = min(max(pos, 0), size)
		for _, r := range ranges {
			if pos <= r.len() {
				out = append(out, site{r.from + pos, r})
				return
			}
			pos -= r.len()
		}
	}
	const near = 8 << 10 // a seek that stays near the place does not make another
	pos := int64(0)
	for _, c := range p.Controls {
		pos += c.Add
		if c.Extra >= int64(least) {
			add(int(pos))
			if c.Seek < -near || c.Seek > near {
				add(int(pos + c.Seek))
			}
		}
		pos += c.Seek
	}
	return out
}

// surroundings returns the old content around sites, at most limit bytes of it:
// none, if limit is negative, as where the fresh bytes alone fill the window.
func surroundings(sites []site, limit int) []span {
	var out []span
	for _, around := range arounds {
		out = out[:0]
		for _, s := range sites {
			out = append(out, span{max(s.at-around.each, s.from), min(s.at+around.each, s.to)})
		}
		if out = union(out); total(out, span.len) <= min(limit, around.all) {
			return out
		}
	}
	for n := total(out, span.len); n > limit && len(out) > 0; {
		n -= out[len(out)-1].len()
		out = out[:len(out)-1]
	}
	return out
}

// union sorts spans and joins those that touch each other.
func union(s []span) []span {
	slices.SortFunc(s, func(a, b span) int { return a.from - b.from })
	var out []span
	for _, v := range s {
		if k := len(out) - 1; k >= 0 && v.from <= out[k].to {
			out[k].to = max(out[k].to, v.to)
		} else if v.len() > 0 {
			out = append(out, v)
		}
	}
	return out
}
