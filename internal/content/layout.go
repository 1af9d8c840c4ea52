// SPDX-License-Identifier: MIT

package content

import (
	"bytes"
	"fmt"

	"swudelta/internal/codec"
	"swudelta/internal/extfs"
	"swudelta/internal/layout"
)

// Layout returns the layout of a view: the given one, or what the image
// itself says. A layout is a hint, so an image that cannot be read has none.
func (o *Options) Layout(v *View, given map[string]*layout.Layout, side string) *layout.Layout {
	if l := given[v.Member.Name]; l != nil {
		if l.Size != int64(len(v.Data)) {
			if codec.Detect(v.Data[:min(len(v.Data), codec.HeadSize)]) != codec.KindPlain {
				return nil // it is for the content of what is compressed here
			}
			o.Note(fmt.Sprintf("the layout of %s %q is for an image of %d bytes, not %d: left out", side, v.Member.Name, l.Size, len(v.Data)))
			return nil
		}
		return l
	}
	if !extfs.Detect(v.Data[:min(len(v.Data), 4096)]) {
		return nil
	}
	l, err := extfs.Scan(bytes.NewReader(v.Data), int64(len(v.Data)), extfs.Options{NoDigests: true})
	if err != nil {
		o.Note(fmt.Sprintf("%s %q looks like an ext2, ext3 or ext4 image, but: %v", side, v.Member.Name, err))
		return nil
	}
	return l
}
