// SPDX-License-Identifier: MIT

package content

import (
	"bytes"
	"cmp"
	"slices"

	"swudelta/internal/codec"
	"swudelta/internal/digest"
	"swudelta/internal/member"
	"swudelta/internal/span"
)

const (
	// leastInside is the length, in bytes, below which a gzip member inside an image stays closed:
	// opening it costs some 1,250 bytes of the delta.
	leastInside = 2048
	// gzipHeader is the length of the header without optional fields (RFC 1952 section 2.3), in
	// bytes.
	gzipHeader = 10
)

// Inside returns the views with gzip members inside of images opened, which Remake says the device can
// make again, the longest ones first and at most so many of each side: in the target the content takes
// their place, as Segments say, in the source it follows on the rest. Members that both sides have with
// the same stored bytes stay closed; so do those of the source whose content is much longer than any that
// is opened in the target, such as an initial ramdisk: the device would stage it for little.
func (o *Options) Inside(old, new []*View, most int) (oldOut, newOut []*View, err error) {
	oldMembers, inSource, err := o.gzips(old)
	if err != nil {
		return nil, nil, err
	}
	newMembers, inTarget, err := o.gzips(new)
	if err != nil {
		return nil, nil, err
	}
	longest := o.remake(longestFirst(newMembers), inSource, most)
	if longest == 0 {
		return old, new, nil
	}
	for i, v := range new {
		if v, err = o.replaced(v, slices.DeleteFunc(newMembers[i], func(m *member.Member) bool { return !m.Closed })); err != nil {
			return nil, nil, err
		}
		newOut = append(newOut, v)
	}
	serving := map[*member.Member]bool{}
	for _, m := range longestFirst(oldMembers) {
		if len(serving) < most && !inTarget[m.SHA256] && len(m.Content) > 0 && len(m.Content) <= 2*longest {
			serving[m] = true
		}
	}
	for i, v := range old {
		if v, err = o.extended(v, slices.DeleteFunc(oldMembers[i], func(m *member.Member) bool { return !serving[m] })); err != nil {
			return nil, nil, err
		}
		oldOut = append(oldOut, v)
	}
	return oldOut, newOut, nil
}

// remake finds out how members of the target are made again, and returns the length of the longest
// content of one. Those that are known stay closed.
func (o *Options) remake(list []*member.Member, known sums, most int) (longest int) {
	for _, m := range list {
		if most == 0 {
			break
		}
		if known[m.SHA256] {
			continue
		}
		if level, ok := o.Remake(m.Stored, m.Content); ok {
			m.CloseParams, m.Closed = []byte{byte(level)}, true
			longest = max(longest, len(m.Content))
			most--
		}
	}
	return longest
}

// longestFirst returns the members of all views in order of their length as stored.
func longestFirst(lists [][]*member.Member) []*member.Member {
	all := slices.Concat(lists...)
	slices.SortStableFunc(all, func(a, b *member.Member) int { return cmp.Compare(b.Len, a.Len) })
	return all
}

// gzips returns the gzip members inside of views, with their headers, which have no optional fields. A view
// that is compressed itself has none.
func (o *Options) gzips(views []*View) (lists [][]*member.Member, known sums, err error) {
	known = sums{}
	for _, v := range views {
		var list []*member.Member
		if codec.Detect(v.Data[:min(len(v.Data), codec.HeadSize)]) == codec.KindPlain {
			find := member.Finder{Load: o.Load, Depth: 1, Only: []member.Number{member.Gzip}, Progress: o.Opening}
			if list, err = find.Find(v.Data); err != nil {
				return nil, nil, err
			}
		}
		var large []*member.Member
		for _, m := range list {
			at := m.Off - gzipHeader
			if at < 0 || m.Len+gzipHeader < leastInside || !bytes.HasPrefix(v.Data[at:], []byte("\x1f\x8b\x08\x00")) {
				continue
			}
			m.Off, m.Len, m.Stored = at, m.Len+gzipHeader, v.Data[at:m.End()]
			m.SHA256 = digest.Sum(m.Stored)
			known[m.SHA256] = true
			large = append(large, m)
		}
		lists = append(lists, large)
	}
	return lists, known, nil
}

// replaced returns a view of the target with the content of members in their place.
func (o *Options) replaced(v *View, list []*member.Member) (*View, error) {
	if len(list) == 0 {
		return v, nil
	}
	b := &builder{}
	image := Image{Data: v.Data}
	var segments []Segment
	done := int64(0)
	put := func(to int64) {
		if done < to {
			image.Places = append(image.Places, b.add(v.Data, done, to-done))
			segments = append(segments, Segment{Len: to - done})
		}
	}
	for _, m := range list {
		put(m.Off)
		b.add(m.Content, 0, int64(len(m.Content)))
		segments = append(segments, Segment{Len: m.Len, Member: m, Parts: []Segment{{Len: int64(len(m.Content))}}})
		done = m.End()
	}
	put(int64(len(v.Data)))
	b.images = []Image{image}
	out, err := b.view(o, v.Member)
	if err == nil {
		out.Parts, out.Closed, out.Segments = v.Parts, v.Closed, segments
	}
	return out, err
}

// extended returns a view of the source with the content of members behind it.
func (o *Options) extended(v *View, list []*member.Member) (*View, error) {
	b := &builder{}
	size := int64(len(v.Data))
	b.images = []Image{{Data: v.Data, Places: []Place{b.add(v.Data, 0, size)}}}
	parts := v.Parts[:len(v.Parts):len(v.Parts)]
	for _, m := range list {
		start := int64(0)
		for i, p := range v.Parts {
			if start <= m.Off && m.End() <= start+p.Size {
				b.add(m.Content, 0, int64(len(m.Content)))
				parts = append(parts, Part{
					Range: span.Range{Off: m.Off - start, Len: m.Len}, Kind: codec.KindGzip, Size: int64(len(m.Content)), Of: i + 1,
				})
			}
			start += p.Size
		}
	}
	if len(parts) == len(v.Parts) {
		return v, nil
	}
	out, err := b.view(o, v.Member)
	if err == nil {
		out.Parts = parts
	}
	return out, err
}
