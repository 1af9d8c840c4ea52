// SPDX-License-Identifier: MIT

package pamz

import (
	"fmt"
	"math"

	"swudelta/internal/errnum"
)

// CheckShape holds the number and the types of the parameters against the recipe.
func (r *Recipe) CheckShape() error {
	if int(r.Op) >= len(ops) || r.Op == OpInlineAssetCopy {
		return errnum.Errorf(errnum.Other, "%v is not known", r.Op)
	}
	shape := ops[r.Op].shape
	for i, p := range r.Params {
		want := byte('i')
		if shape != "*" {
			if i >= len(shape) {
				break
			}
			want = shape[i]
		}
		if want == 'i' && p.Item == nil {
			return errnum.Errorf(errnum.ParamForItem, "parameter %d is a number, want an item", i)
		}
		if want == 'n' && p.Item != nil {
			return errnum.Errorf(errnum.ParamForNumber, "parameter %d is an item, want a number", i)
		}
	}
	if shape != "*" && len(r.Params) != len(shape) {
		return errnum.Errorf(errnum.ParamCount, "got %d parameters, want %d", len(r.Params), len(shape))
	}
	for i, p := range r.Params {
		if p.Item != nil && p.Item.Recipe == nil && p.Item.Length > 0 && !r.FromTarget() {
			return errnum.Errorf(errnum.NoRecipe, "item %d has no recipe", i)
		}
	}
	return nil
}

// FromTarget reports whether r copies from the target that is being written.
func (r *Recipe) FromTarget() bool {
	return r.Op == OpCopy && len(r.Params) == 1 && r.Params[0].Item != nil && r.Params[0].Item.Kind == Chunk && r.Params[0].Item.Recipe == nil
}

// CheckItem holds it's recipe against the recipe's rules, as far as they can
// be judged without producing anything: all that a producer relies on later.
func (d *Diff) CheckItem(it *Item, sourceLength int64) error {
	r := it.Recipe
	if err := r.CheckShape(); err != nil {
		return err
	}
	outOfBounds := errnum.OutOfBounds
	if d.Order == BigEndian {
		outOfBounds = errnum.SliceOutOfBounds
	}
	within := func(offset uint64, size int64) error {
		if offset > uint64(size) || it.Length > size-int64(offset) {
			return errnum.Errorf(outOfBounds, "%d bytes at %d in %d bytes", it.Length, offset, size)
		}
		return nil
	}
	equal := func(n uint64) error {
		if n != uint64(it.Length) {
			return errnum.Errorf(errnum.Hash, "makes %d bytes, want %d", n, it.Length)
		}
		return nil
	}
	switch r.Op {
	case OpCopy:
		return equal(uint64(r.Params[0].Item.Length))
	case OpRegion:
		if err := equal(r.Params[2].Number); err != nil {
			return err
		}
		return within(r.Params[1].Number, r.Params[0].Item.Length)
	case OpCopySource:
		return within(r.Params[0].Number, sourceLength)
	case OpAllZero:
		return equal(r.Params[0].Number)
	case OpConcatenation:
		var total int64
		for _, p := range r.Params {
			if p.Item.Length > math.MaxInt64-total {
				return errnum.Errorf(errnum.Lengths, "ingredients have too many bytes")
			}
			total += p.Item.Length
		}
		if total != it.Length {
			return errnum.Errorf(errnum.Lengths, "ingredients have %d bytes, want %d", total, it.Length)
		}
	case OpZstdCompression:
		for _, p := range r.Params[1:] {
			if p.Number > math.MaxInt32 {
				return errnum.Errorf(errnum.NumberTooLarge, "number %d is out of range", p.Number)
			}
		}
	case OpZlibCompression:
		if level := int64(r.Params[2].Number); level < -1 || level > 9 {
			return errnum.Errorf(errnum.ZlibLevel, "level %d", level)
		}
		fallthrough
	case OpZlibDecompression:
		if c := r.Params[1].Number; c > ContainerZlib {
			return errnum.Errorf(errnum.Container, "container %d", c)
		}
	}
	return nil
}

// Walk calls f once for every item that has a recipe, from the last chunk to the
// first, and for an item before its ingredients. index is that of the last chunk
// that needs the item. Items of length zero, which nobody ever produces, are left
// out with what is beneath them.
func (d *Diff) Walk(f func(index int, it *Item) error) error {
	var seen map[*Item]bool // only pools share items
	if d.Pooled() {
		seen = map[*Item]bool{}
	}
	var visit func(index int, it *Item, depth int) error
	visit = func(index int, it *Item, depth int) error {
		if it.Recipe == nil || it.Length == 0 || seen[it] {
			return nil
		}
		if depth > MaxDepth {
			return errnum.Errorf(errnum.Other, "recipes nested more than %d deep", MaxDepth)
		}
		if seen != nil {
			seen[it] = true
		}
		if err := f(index, it); err != nil {
			return fmt.Errorf("%v: %w", it.Recipe.Op, err)
		}
		for part := range it.Recipe.Items() {
			if err := visit(index, part, depth+1); err != nil {
				return fmt.Errorf("%v: %w", it.Recipe.Op, err)
			}
		}
		return nil
	}
	for i := len(d.Chunks) - 1; i >= 0; i-- {
		c := d.Chunks[i]
		err := visit(i, c, 0)
		if err == nil && c.Recipe == nil && c.Length > 0 {
			err = errnum.Errorf(errnum.NoRecipe, "no recipe")
		}
		if err != nil {
			return fmt.Errorf("chunk %d: %w", i, err)
		}
	}
	return nil
}

// Passes reports whether the recipe's items are written where its result is, and
// not read at random.
func (r *Recipe) Passes() bool { return r.Op.facts().passes }
