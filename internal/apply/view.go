// SPDX-License-Identifier: MIT

package apply

import (
	"io"

	"swudelta/internal/errnum"
	"swudelta/internal/pamz"
)

// Limits of a viewer, over all that it is asked for.
const (
	viewSize  = 64 << 20 // bytes of one content
	viewWork  = 1 << 30  // bytes that are produced
	viewItems = 1 << 20  // items of nested deltas
)

// Viewer looks into a delta without having its source, in bounded memory and time.
type Viewer struct {
	work  int64
	items int
	size  int64 // of one content
}

// NewViewer returns a viewer that has spent nothing.
func NewViewer() *Viewer { return &Viewer{viewWork, viewItems, viewSize} }

// Nested decodes the delta inside it, an item of d whose recipe is OpNested.
func (v *Viewer) Nested(d *pamz.Diff, it *pamz.Item) (*pamz.Diff, error) {
	content, err := v.Content(d, it.Recipe.Params[0].Item)
	if err != nil {
		return nil, err
	}
	nested, err := d.DecodeNested(it, content, min(v.items, pamz.MaxItems))
	if err != nil {
		return nil, err
	}
	v.items -= nested.Items
	return nested, nil
}

// Level is a delta, and where it lies in the tree.
type Level struct {
	Diff   *pamz.Diff
	Source *pamz.Item // what it is applied to, an item of the delta around; nil at the top
	Around *Level     // the delta around; nil at the top
}

// SourceLength is the length of what the delta is applied to, in bytes.
func (c *Level) SourceLength() int64 {
	if c.Source != nil {
		return c.Source.Length
	}
	return c.Diff.SourceLength
}

// origin returns the item that the n bytes at off of it, an item of c, are a part of, as far
// as that is only a matter of where things lie: the delta that has it, and where they begin.
func (c *Level) origin(it *pamz.Item, off, n int64) (*Level, *pamz.Item, int64) {
	if it.Recipe == nil || c.Diff.CheckItem(it, c.SourceLength()) != nil {
		return c, it, off
	}
	switch r := it.Recipe; r.Op {
	case pamz.OpCopySource:
		if c.Around != nil {
			return c.Around.origin(c.Source, off+int64(r.Params[0].Number), n)
		}
	case pamz.OpRegion:
		return c.origin(r.Params[0].Item, off+int64(r.Params[1].Number), n)
	case pamz.OpConcatenation:
		if part, at := partAt(r, off, n); part != nil {
			return c.origin(part, at, n)
		}
	}
	return c, it, off
}

// partAt returns the part of a concatenation that has all of the n bytes at off, and where
// they begin in it; nil if there is none.
func partAt(r *pamz.Recipe, off, n int64) (*pamz.Item, int64) {
	for _, p := range r.Params {
		if off < p.Item.Length {
			if n > p.Item.Length-off {
				break
			}
			return p.Item, off
		}
		off -= p.Item.Length
	}
	return nil, 0
}

// Part produces an item of c, which may also be a part of one of the deltas around.
func (v *Viewer) Part(c *Level, it *pamz.Item) (*io.SectionReader, error) {
	c, whole, off := c.origin(it, 0, it.Length)
	content, err := v.Content(c.Diff, whole)
	if err != nil {
		return nil, err
	}
	return io.NewSectionReader(content, off, it.Length), nil
}

// Content produces an item of d that depends on neither source nor target.
func (v *Viewer) Content(d *pamz.Diff, it *pamz.Item) (*io.SectionReader, error) {
	if err := independent(d, it, map[*pamz.Item]bool{}); err != nil {
		return nil, err
	}
	a := newApplier(d, Options{})
	a.arena.store = &memory{limit: v.size}
	a.work = v.work
	defer func() { v.work = a.work }()
	view, err := a.newScope(d, &info{}, io.NewSectionReader(zeros{}, 0, 0), 0).open(it)
	if err != nil {
		return nil, err
	}
	return io.NewSectionReader(view, 0, it.Length), nil
}

// independent checks that an item, and all that it is made of, is kept in d.
func independent(d *pamz.Diff, it *pamz.Item, seen map[*pamz.Item]bool) error {
	if it.Length == 0 || seen[it] {
		return nil
	}
	seen[it] = true
	r := it.Recipe
	if r.Op == pamz.OpCopySource || r.FromTarget() {
		return errnum.Errorf(errnum.Other, "%v: the content is not in the delta", r.Op)
	}
	if err := d.CheckItem(it, 0); err != nil {
		return err
	}
	for part := range r.Items() {
		if err := independent(d, part, seen); err != nil {
			return err
		}
	}
	return nil
}
