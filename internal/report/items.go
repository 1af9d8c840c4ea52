// SPDX-License-Identifier: MIT

package report

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"

	"swudelta/internal/layout"
)

// rangesOfMember is into how many ranges content without a layout is divided, at most.
const rangesOfMember = 256

// leastRange is the smallest such range, in bytes.
const leastRange = 64 << 10

// Items returns what the target consists of, the dearest first: the files, metadata and free
// space of members with a layout, and ranges of others.
func (r *Report) Items() (list []Item) {
	for _, m := range r.Members {
		if m.Layout != nil {
			list = append(list, m.files()...)
		} else {
			list = append(list, m.ranges()...)
		}
	}
	for i := range list {
		list[i].Reason = list[i].reason()
	}
	slices.SortStableFunc(list, func(a, b Item) int {
		return cmp.Or(cmp.Compare(b.Sum(), a.Sum()), cmp.Compare(b.Len(), a.Len()), cmp.Compare(a.Name, b.Name))
	})
	return list
}

// ranges returns ranges of the same size.
func (m *Member) ranges() (list []Item) {
	size := int64(leastRange)
	for size*rangesOfMember < m.Size {
		size *= 2
	}
	for at := int64(0); at < m.Size; at += size {
		n := min(size, m.Size-at)
		it := Item{Name: m.Name}
		if n < m.Size {
			it.Name = fmt.Sprintf("%s, %s at %s", m.Name, Size(n), Size(at))
		}
		eachPart(m.Spans, at, n, it.add)
		list = append(list, it)
	}
	return list
}

// files returns what the layout of a member names, and what it does not.
func (m *Member) files() (list []Item) {
	l := m.Layout
	claimed := claims{size: m.Size}
	take := func(it *Item, e layout.Extent) {
		claimed.take(e, func(e layout.Extent) { eachPart(m.Spans, e.Offset, e.Length, it.add) })
	}
	for _, f := range l.Files {
		if f.Inline || len(f.Pieces) == 0 {
			continue
		}
		it := Item{Name: f.Path}
		for _, p := range f.Pieces {
			take(&it, p.Extent())
		}
		list = append(list, it)
	}
	byKind := map[string]int{}
	group := func(name string, e layout.Extent) {
		i, ok := byKind[name]
		if !ok {
			i = len(list)
			byKind[name] = i
			list = append(list, Item{Name: name})
		}
		take(&list[i], e)
	}
	for _, region := range l.Metadata {
		group("("+region.Kind+")", region.Extent())
	}
	for _, e := range l.Free {
		group("(free space)", e)
	}
	for _, e := range claimed.rest() {
		group("(not in the layout)", e)
	}
	return slices.DeleteFunc(list, func(it Item) bool { return it.Len() == 0 })
}

// claims are ranges of content that have a name. A layout may name a range twice: the first
// name counts.
type claims struct {
	size int64
	list []layout.Extent // sorted, disjoint, not adjacent
}

// take calls each for the parts of e that have no name yet.
func (c *claims) take(e layout.Extent, each func(layout.Extent)) {
	from, to := min(max(e.Offset, 0), c.size), c.size
	if e.Length < c.size-from {
		to = from + max(e.Length, 0)
	}
	if from >= to {
		return
	}
	i, _ := slices.BinarySearchFunc(c.list, from, func(e layout.Extent, at int64) int { return cmp.Compare(e.End(), at) })
	j, at, start, end := i, from, from, to
	for ; j < len(c.list) && c.list[j].Offset <= to; j++ {
		known := c.list[j]
		if known.Offset > at {
			each(layout.Extent{Offset: at, Length: known.Offset - at})
		}
		at = max(at, known.End())
		start, end = min(start, known.Offset), max(end, known.End())
	}
	if at < to {
		each(layout.Extent{Offset: at, Length: to - at})
	}
	c.list = slices.Replace(c.list, i, j, layout.Extent{Offset: start, Length: end - start})
}

// rest returns what has no name.
func (c *claims) rest() (list []layout.Extent) {
	at := int64(0)
	for _, e := range c.list {
		if e.Offset > at {
			list = append(list, layout.Extent{Offset: at, Length: e.Offset - at})
		}
		at = e.End()
	}
	if at < c.size {
		list = append(list, layout.Extent{Offset: at, Length: c.size - at})
	}
	return list
}

// images are beginnings of names of kernels and their ramdisks, which are compressed.
var images = []string{"bzimage", "initramfs", "initrd", "vmlinuz", "zimage"}

// compressed are suffixes of names of files that are compressed.
var compressed = []string{
	".7z", ".apk", ".bz2", ".deb", ".gz", ".ipk", ".jar", ".jpeg", ".jpg", ".lz4", ".lzma", ".mp3", ".png",
	".rpm", ".tgz", ".webp", ".whl", ".woff2", ".xz", ".zip", ".zst",
}

// isCompressed reports whether something with that name is compressed by all appearances.
func isCompressed(name string) bool {
	base := strings.ToLower(path.Base(name))
	return slices.Contains(compressed, path.Ext(base)) ||
		slices.ContainsFunc(images, func(prefix string) bool { return strings.HasPrefix(base, prefix) })
}

// reason says in a few words why something costs what it does.
func (it *Item) reason() string {
	total := it.Len()
	share := func(k Kind) int64 { return 100 * it.Bytes[k] / max(total, 1) }
	var why string
	switch {
	case it.Bytes[New] == 0 && it.Bytes[Patched] == 0 && it.Bytes[Opened] == 0:
		why = "unchanged"
		if share(Kept)+share(Zero) < 50 {
			why = "moved"
		}
		return why
	case share(Opened) >= 50:
		return "opened: made again from its content"
	case share(New) >= 90:
		why = "new"
	case share(New)+share(Patched) >= 50 && share(New) > share(Patched):
		why = fmt.Sprintf("changed much: %d %% new", share(New))
	case share(New)+share(Patched) >= 50 && share(New) == 0:
		why = fmt.Sprintf("changed: %d %% patched", share(Patched))
	case share(New)+share(Patched) >= 50:
		why = fmt.Sprintf("changed: %d %% patched, %d %% new", share(Patched), share(New))
	default:
		why = fmt.Sprintf("changed in places: %d %%", share(New)+share(Patched))
	}
	if isCompressed(it.Name) && share(New) >= 50 {
		why += "; compressed and not opened, so a small change inside changes all of it"
	}
	return why
}
