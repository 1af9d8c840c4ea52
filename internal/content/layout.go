// SPDX-License-Identifier: MIT

package content

import (
	"bytes"
	"fmt"
	"slices"

	"swudelta/internal/codec"
	"swudelta/internal/extfs"
	"swudelta/internal/layout"
	"swudelta/internal/span"
)

// Layouts returns the layouts of the images in a view: the given one for the image of its size,
// else what an image itself says. Layouts are hints, so an image that cannot be read has none.
func (o *Options) Layouts(v *View, given map[string]*layout.Layout, side string) []*layout.Layout {
	l := given[v.Member.Name]
	out := make([]*layout.Layout, len(v.Images))
	fits := l == nil
	for i, image := range v.Images {
		if l != nil && l.Size == int64(len(image.Data)) {
			out[i], fits = l, true
		} else if l == nil || len(v.Images) > 1 {
			out[i] = o.scan(v, image.Data, side)
		}
	}
	// A layout may be for the content of what is compressed here.
	if !fits && codec.Detect(v.Data[:min(len(v.Data), codec.HeadSize)]) == codec.KindPlain {
		o.Note(fmt.Sprintf("the layout of %s %q is for an image of %d bytes, not %d: left out", side, v.Member.Name, l.Size, len(v.Data)))
	}
	return out
}

// leastScattered is the shortest file that is worth being put together from its pieces, in bytes.
const leastScattered = 16 << 10

// scattered returns the files of an image that lie in several pieces, in order and apart from
// each other: as its layout says, or the given one, if it is for an image of that size. Holes
// between pieces that lie side by side are left out: what is of use in a file has none.
func scattered(image []byte, l *layout.Layout) (out [][]span.Range) {
	if l == nil || l.Size != int64(len(image)) {
		if !extfs.Detect(image[:min(len(image), 4096)]) {
			return nil
		}
		var err error
		if l, err = extfs.Scan(bytes.NewReader(image), int64(len(image)), extfs.Options{NoDigests: true}); err != nil {
			return nil // whoever asks for its layout hears of it
		}
	}
	for _, f := range l.Files {
		if f.Type != layout.Regular || f.Size < leastScattered || f.Inline {
			continue
		}
		if ranges := runs(f.Pieces); len(ranges) > 1 {
			out = append(out, ranges)
		}
	}
	slices.SortFunc(out, func(a, b []span.Range) int { return a[0].Compare(b[0]) })
	end := int64(0)
	return slices.DeleteFunc(out, func(ranges []span.Range) bool {
		if ranges[0].Off < end {
			return true
		}
		end = ranges[len(ranges)-1].End()
		return false
	})
}

// runs returns the pieces of a file that lie behind each other, those side by side as one, up to
// the first that lies elsewhere.
func runs(pieces []layout.Piece) (out []span.Range) {
	for _, p := range pieces {
		r := span.Range{Off: p.Offset, Len: p.Length}
		i := len(out) - 1
		switch {
		case p.Unwritten || i >= 0 && out[i].End() > r.Off:
			return out
		case i >= 0 && out[i].End() == r.Off:
			out[i].Len += r.Len
		default:
			out = append(out, r)
		}
	}
	return out
}

// scan returns the layout of an image.
func (o *Options) scan(v *View, data []byte, side string) *layout.Layout {
	if !extfs.Detect(data[:min(len(data), 4096)]) {
		return nil
	}
	l, err := extfs.Scan(bytes.NewReader(data), int64(len(data)), extfs.Options{NoDigests: true})
	if err != nil {
		o.Note(fmt.Sprintf("%s %q looks like an ext2, ext3 or ext4 image, but: %v", side, v.Member.Name, err))
		return nil
	}
	return l
}
