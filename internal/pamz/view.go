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
