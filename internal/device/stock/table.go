// SPDX-License-Identifier: MIT

package stock

import (
	"io"

	"swudelta/internal/device/stocklib"
	"swudelta/internal/digest"
	"swudelta/internal/match"
	"swudelta/internal/pamz"
)

// entries returns the items of the table. Their source has patches, n bytes at an offset,
// between what entries of a match count as end to end. A number has a limit, so long
// entries become several.
func entries(im *match.Image, patches, n int64) (out []*pamz.Item) {
	var add func(length, off int64, zero bool)
	add = func(length, off int64, zero bool) {
		if left := patches - off; !zero && n > 0 && left > 0 && left < length {
			add(left, off, false)
			add(length-left, patches, false)
			return
		}
		if off >= patches {
			off += n
		}
		for length > 0 {
			k := min(length, stocklib.MaxNumber)
			r := pamz.CopySource(off)
			if zero {
				r = pamz.AllZero(k)
			}
			out = append(out, pamz.NewPart(k, r))
			length, off = length-k, off+k
		}
	}
	for _, e := range im.Entries {
		add(int64(e.Len), int64(e.Off), e.Zero)
	}
	return out
}

// chunks returns the entries, several of them a chunk. The 1.0 library does not look at the
// digests of entries that it reads, which a region makes it do, so that a chunk needs
// one digest for all of them.
func chunks(im *match.Image, patches, patchLen int64) (out []*pamz.Item) {
	at := int64(0) // in the target
	for list := entries(im, patches, patchLen); len(list) > 0; {
		k, n := 1, list[0].Length
		for k < min(len(list), pamz.MaxParams) && n+list[k].Length <= tableChunk {
			n += list[k].Length
			k++
		}
		whole := pamz.Chain(list[:k]...)
		var sum digest.SHA256
		if k == 1 && list[0].Recipe.Op == pamz.OpAllZero {
			sum = zeroSum(n)
		} else {
			sum = digest.Sum(im.Target[at : at+n])
		}
		chunk := pamz.NewItem(n, sum, whole.Recipe)
		if k > 1 {
			chunk.Recipe = pamz.Region(whole, 0, n)
		}
		out = append(out, chunk)
		list, at = list[k:], at+n
	}
	return out
}

// zeroSum returns the digest of n zeros.
func zeroSum(n int64) digest.SHA256 {
	w := digest.NewWriter(io.Discard)
	zeros := make([]byte, min(n, 64<<10))
	for ; n > 0; n -= int64(len(zeros)) {
		w.Write(zeros[:min(n, int64(len(zeros)))])
	}
	return w.Sum()
}
