// SPDX-License-Identifier: MIT

package pamz

import "io"

// Limits of a viewer, over all that it is asked for.
const (
	viewSize  = 64 << 20 // bytes of one content
	viewWork  = 1 << 30  // bytes that are produced
	viewItems = 1 << 20  // items of nested deltas
)

// viewer looks into a delta without having its source, in bounded memory and time.
type viewer struct {
	work  int64
	items int
	size  int64 // of one content
}

func newViewer() *viewer { return &viewer{viewWork, viewItems, viewSize} }

// nested decodes the delta inside it, an item of d whose recipe is OpNested.
func (v *viewer) nested(d *Diff, it *Item) (*Diff, error) {
	content, err := v.content(d, it.Recipe.Params[0].Item)
	if err != nil {
		return nil, err
	}
	nested, err := d.decodeNested(it, content, min(v.items, maxItems))
	if err != nil {
		return nil, err
	}
	v.items -= nested.items
	return nested, nil
}

// level is a delta, and where it lies in the tree.
type level struct {
	diff   *Diff
	source *Item  // what it is applied to, an item of the delta around; nil at the top
	around *level // the delta around; nil at the top
}

// sourceLength is the length of what the delta is applied to, in bytes.
func (c *level) sourceLength() int64 {
	if c.source != nil {
		return c.source.Length
	}
	return c.diff.SourceLength
}

// origin returns the item that the n bytes at off of it, an item of c, are a part of, as far
// as that is only a matter of where things lie: the delta that has it, and where they begin.
func (c *level) origin(it *Item, off, n int64) (*level, *Item, int64) {
	if it.Recipe == nil || c.diff.checkRecipe(it, c.sourceLength()) != nil {
		return c, it, off
	}
	switch r := it.Recipe; r.Op {
	case OpCopySource:
		if c.around != nil {
			return c.around.origin(c.source, off+int64(r.Params[0].Number), n)
		}
	case OpRegion:
		return c.origin(r.Params[0].Item, off+int64(r.Params[1].Number), n)
	case OpConcatenation:
		if part, at := r.partAt(off, n); part != nil {
			return c.origin(part, at, n)
		}
	}
	return c, it, off
}

// partAt returns the part of a concatenation that has all of the n bytes at off, and where
// they begin in it; nil if there is none.
func (r *Recipe) partAt(off, n int64) (*Item, int64) {
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

// part produces an item of c, which may also be a part of one of the deltas around.
func (v *viewer) part(c *level, it *Item) (*io.SectionReader, error) {
	c, whole, off := c.origin(it, 0, it.Length)
	content, err := v.content(c.diff, whole)
	if err != nil {
		return nil, err
	}
	return io.NewSectionReader(content, off, it.Length), nil
}

// content produces an item of d that depends on neither source nor target.
func (v *viewer) content(d *Diff, it *Item) (*io.SectionReader, error) {
	if err := d.independent(it, map[*Item]bool{}); err != nil {
		return nil, err
	}
	a := newApplier(d, ApplyOptions{})
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
func (d *Diff) independent(it *Item, seen map[*Item]bool) error {
	if it.Length == 0 || seen[it] {
		return nil
	}
	seen[it] = true
	r := it.Recipe
	if r.Op == OpCopySource || r.fromTarget() {
		return errorf(codeOther, "%v: the content is not in the delta", r.Op)
	}
	if err := d.checkRecipe(it, 0); err != nil {
		return err
	}
	for _, p := range r.Params {
		if p.Item != nil {
			if err := d.independent(p.Item, seen); err != nil {
				return err
			}
		}
	}
	return nil
}
