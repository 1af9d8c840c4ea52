// SPDX-License-Identifier: MIT

package content

import (
	"bytes"
	"fmt"

	"swudelta/internal/codec"
	"swudelta/internal/extfs"
	"swudelta/internal/layout"
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
