// SPDX-License-Identifier: MIT

package match

import (
	"cmp"
	"path"
	"regexp"
	"slices"
	"strconv"

	"swudelta/internal/layout"
)

// Object is a named part of an image whose content may change between releases:
// a file, the inode table of a group.
type Object struct {
	name   string
	pieces []extent // sorted by logical
}

// extent is where a run of an Object lies.
type extent struct {
	logical int // offset in the Object
	at      int // offset in the image
	n       int // bytes
}

// Moved returns the object with the offsets in the image moved by n.
func (o Object) Moved(n int) Object {
	pieces := make([]extent, len(o.pieces))
	for i, p := range o.pieces {
		p.at += n
		pieces[i] = p
	}
	return Object{o.name, pieces}
}

// Place says where a run of an image is in a Side: n bytes at From are at At.
type Place struct{ From, At, Len int }

// Placed returns objects of an image with their offsets in a Side, as far as they are in there. Places
// are sorted by From.
func Placed(objects []Object, places []Place) []Object {
	var out []Object
	for _, o := range objects {
		moved := Object{name: o.name}
		for _, e := range o.pieces {
			i, _ := slices.BinarySearchFunc(places, e.at, func(p Place, at int) int { return cmp.Compare(p.From+p.Len, at+1) })
			for ; i < len(places) && places[i].From < e.at+e.n; i++ {
				p := places[i]
				from, to := max(e.at, p.From), min(e.at+e.n, p.From+p.Len)
				moved.pieces = append(moved.pieces, extent{e.logical + from - e.at, p.At + from - p.From, to - from})
			}
		}
		if len(moved.pieces) > 0 {
			out = append(out, moved)
		}
	}
	return out
}

// Objects returns what a layout names, with offsets moved by base. It leaves
// out what goes beyond limit bytes.
func Objects(l *layout.Layout, base, limit int) []Object {
	if l == nil {
		return nil
	}
	var out []Object
	for _, f := range l.Files {
		if f.Inline {
			continue
		}
		o := Object{name: f.Path}
		for _, p := range f.Pieces {
			if p.Offset+p.Length <= int64(limit) {
				o.pieces = append(o.pieces, extent{int(p.Logical), base + int(p.Offset), int(p.Length)})
			}
		}
		if len(o.pieces) > 0 {
			out = append(out, o)
		}
	}
	regions := map[string]int{} // index in out, by name
	for _, r := range l.Metadata {
		if r.Offset+r.Length > int64(limit) {
			continue
		}
		// A NUL keeps these names apart from paths.
		name := r.Kind + "\x00" + strconv.Itoa(r.Group) + r.Path
		i, ok := regions[name]
		if !ok {
			i = len(out)
			regions[name] = i
			out = append(out, Object{name: name})
		}
		out[i].pieces = append(out[i].pieces, extent{int(r.Logical), base + int(r.Offset), int(r.Length)})
	}
	return out
}

// hints pairs ranges of the target with ranges of the old side by the names
// that layouts give them.
type hints struct {
	exact, versionless, base map[string]*Object // of the old side
	target                   []hint             // sorted by at
}

// hint is a run of an Object of the target.
type hint struct {
	extent
	name string
}

func newHints(old, target []Object) *hints {
	h := &hints{exact: map[string]*Object{}, versionless: map[string]*Object{}, base: map[string]*Object{}}
	for i := range old {
		o := &old[i]
		for _, m := range []struct {
			by  map[string]*Object
			key string
		}{{h.exact, o.name}, {h.versionless, Wildcard(o.name)}, {h.base, Wildcard(path.Base(o.name))}} {
			if m.by[m.key] == nil {
				m.by[m.key] = o
			}
		}
	}
	for _, o := range target {
		for _, p := range o.pieces {
			h.target = append(h.target, hint{p, o.name})
		}
	}
	slices.SortFunc(h.target, func(a, b hint) int { return cmp.Compare(a.at, b.at) })
	return h
}

var digits = regexp.MustCompile(`[0-9]+`)

// Wildcard returns a name with its numbers, which a release changes, replaced.
func Wildcard(name string) string { return digits.ReplaceAllString(name, "*") }

// pair returns the Object of the old side that goes with a name of the target:
// the one with the same name, with the same but for versions, or with the same
// base name but for versions.
func (h *hints) pair(name string) *Object {
	if o := h.exact[name]; o != nil {
		return o
	}
	if o := h.versionless[Wildcard(name)]; o != nil {
		return o
	}
	return h.base[Wildcard(path.Base(name))]
}

// each calls use with the ranges of the old side that go with a range of the
// target.
func (h *hints) each(at, n int, use func(Range)) {
	i, _ := slices.BinarySearchFunc(h.target, at, func(t hint, v int) int { return cmp.Compare(t.at, v) })
	if i > 0 {
		i-- // the one before may reach into the range
	}
	for ; i < len(h.target) && h.target[i].at < at+n; i++ {
		t := h.target[i]
		from, to := max(t.at, at), min(t.at+t.n, at+n)
		if from >= to {
			continue
		}
		o := h.pair(t.name)
		if o == nil {
			continue
		}
		lo := t.logical + from - t.at
		hi := lo + to - from
		for _, p := range o.pieces {
			if a, b := max(p.logical, lo), min(p.logical+p.n, hi); a < b {
				use(Between(p.at+a-p.logical, p.at+b-p.logical))
			}
		}
	}
}

// inOrder returns material in groups of what belongs together, each in the order that
// it was made in: an Object, or what is of none.
func (h *hints) inOrder(material []piece) [][]piece {
	type part struct {
		piece
		Object  int // where the first run of it lies; of none: less than 0
		logical int // offset in the Object
	}
	first := map[string]int{}
	for _, t := range h.target {
		if _, ok := first[t.name]; !ok {
			first[t.name] = t.at
		}
	}
	var parts []part
	i := 0
	for _, m := range material {
		for m.n > 0 {
			for i < len(h.target) && h.target[i].at+h.target[i].n <= m.at {
				i++
			}
			p := part{piece{at: m.at, n: m.n}, -m.at - 1, 0}
			if i < len(h.target) {
				switch t := h.target[i]; {
				case t.at > m.at:
					p.n = min(p.n, t.at-m.at)
				default:
					p.n = min(p.n, t.at+t.n-m.at)
					p.Object, p.logical = first[t.name], t.logical+m.at-t.at
				}
			}
			parts = append(parts, p)
			m.at, m.n = m.at+p.n, m.n-p.n
		}
	}
	key := func(p part) int {
		if p.Object < 0 {
			return p.at
		}
		return p.Object
	}
	slices.SortStableFunc(parts, func(a, b part) int {
		return cmp.Or(cmp.Compare(key(a), key(b)), cmp.Compare(a.Object, b.Object), cmp.Compare(a.logical, b.logical))
	})
	var out [][]piece
	for i, p := range parts {
		if i == 0 || p.Object != parts[i-1].Object {
			out = append(out, nil)
		}
		out[len(out)-1] = append(out[len(out)-1], p.piece)
	}
	return out
}
