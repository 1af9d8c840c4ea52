// SPDX-License-Identifier: MIT

package pamz

import (
	"errors"
	"fmt"

	"swudelta/internal/digest"
	"swudelta/internal/errnum"
	"swudelta/internal/fault"
)

// Description is a delta in a form that is made to be read (doc/format.md).
type Description struct {
	Version   int           `json:"version"`
	ByteOrder string        `json:"byte_order"`
	Size      int64         `json:"size"` // of the file, in bytes
	Target    Content       `json:"target"`
	Source    Content       `json:"source"`
	Bytes     Account       `json:"bytes"`
	Recipes   []RecipeShare `json:"recipes"` // in the order of their numbers
	Chunks    []*Node       `json:"chunks"`
}

// Content is a length in bytes and a digest.
type Content struct {
	Length int64         `json:"length"`
	SHA256 digest.SHA256 `json:"sha256"`
}

// RecipeShare is the part of one kind of recipe in a delta. Deltas inside it have
// an account of their own.
type RecipeShare struct {
	Op      string `json:"op"`
	Count   int    `json:"count"`
	Table   int64  `json:"table"`   // bytes of the table
	Inline  int64  `json:"inline"`  // bytes of inline assets that it has as ingredients, or is
	Content int64  `json:"content"` // bytes that it makes
}

// Node is an item of a delta with what it is made of.
type Node struct {
	ID      int          `json:"id,omitempty"`     // of an item that occurs again
	Ref     int          `json:"ref,omitempty"`    // the same item as that with this id
	Offset  *int64       `json:"offset,omitempty"` // in the target: of chunks, and of what copy takes
	Length  int64        `json:"length"`
	SHA256  string       `json:"sha256,omitempty"` // if it is stated
	Op      string       `json:"op,omitempty"`
	Numbers []uint64     `json:"numbers,omitempty"`
	Items   []*Node      `json:"items,omitempty"`
	Delta   *Description `json:"delta,omitempty"` // of a nested delta
	Error   string       `json:"error,omitempty"` // why it could not be looked into
}

// Opener decodes the delta inside an item of d whose recipe is OpNested.
type Opener interface {
	Nested(d *Diff, it *Item) (*Diff, error)
}

// Describe returns the description of a delta, with the deltas inside it, as far as open
// can look into them.
func (d *Diff) Describe(open Opener) (*Description, error) { return d.describe(open, 0) }

func (d *Diff) describe(open Opener, depth int) (*Description, error) {
	b := describer{diff: d, open: open, depth: depth, shares: map[Op]*RecipeShare{}, uses: map[*Item]int{}, nodes: map[*Item]*Node{}}
	if d.Pooled() {
		for _, c := range d.Chunks {
			b.count(c)
		}
	}
	a := d.Account
	out := &Description{
		Version: d.Version, ByteOrder: "little", Bytes: a,
		Size:   a.Header + a.Table + a.Inline + a.Remainder + a.Archives,
		Target: Content{d.TargetLength, d.TargetSHA256},
		Source: Content{d.SourceLength, d.SourceSHA256},
	}
	if d.Order == BigEndian {
		out.ByteOrder = "big"
	}
	var offset int64
	for i, c := range d.Chunks {
		n, err := b.node(c, nil)
		if err != nil {
			return nil, fmt.Errorf("chunk %d: %w", i, err)
		}
		at := offset
		n.Offset = &at
		offset += c.Length
		out.Chunks = append(out.Chunks, n)
	}
	for op := range Op(len(ops)) {
		if share := b.shares[op]; share != nil {
			out.Recipes = append(out.Recipes, *share)
		}
	}
	return out, nil
}

type describer struct {
	diff   *Diff
	open   Opener
	depth  int
	shares map[Op]*RecipeShare
	uses   map[*Item]int // version 2 shares items
	nodes  map[*Item]*Node
	ids    int
}

func (b *describer) count(it *Item) {
	if b.uses[it]++; b.uses[it] > 1 || it.Recipe == nil {
		return
	}
	for part := range it.Recipe.Items() {
		b.count(part)
	}
}

// node describes an item that is an ingredient of user, or a chunk.
func (b *describer) node(it, user *Item) (*Node, error) {
	if n := b.nodes[it]; n != nil {
		return &Node{Ref: n.ID, Length: it.Length}, nil
	}
	n := &Node{Length: it.Length}
	if it.Stated() {
		n.SHA256 = it.SHA256.Hex()
	}
	if b.uses[it] > 1 {
		b.ids++
		n.ID = b.ids
		b.nodes[it] = n
	}
	if it.Recipe == nil {
		if it.Kind == Chunk {
			n.Offset = &it.Offset
		}
		return n, nil
	}
	r := it.Recipe
	n.Op = r.Op.String()
	b.share(it, user)
	for _, p := range r.Params {
		if p.Item == nil {
			n.Numbers = append(n.Numbers, p.Number)
			continue
		}
		inner, err := b.node(p.Item, it)
		if err != nil {
			return nil, err
		}
		n.Items = append(n.Items, inner)
	}
	if r.Op == OpNested {
		return n, b.nested(n, it)
	}
	return n, nil
}

// nested describes the delta inside it.
func (b *describer) nested(n *Node, it *Item) error {
	err := it.Recipe.CheckShape()
	if err == nil && b.depth == MaxNested {
		err = errnum.Errorf(errnum.Other, "deltas nested more than %d deep", MaxNested)
	}
	if err == nil {
		var inner *Diff
		if inner, err = b.open.Nested(b.diff, it); err == nil {
			n.Delta, err = inner.describe(b.open, b.depth+1)
			return err
		}
	}
	var e *errnum.Error
	if errors.As(err, &e) || fault.IsData(err) {
		n.Error = err.Error()
		return nil
	}
	return err
}

// share adds an item to the account of its recipe.
func (b *describer) share(it, user *Item) {
	of := func(op Op) *RecipeShare {
		s := b.shares[op]
		if s == nil {
			s = &RecipeShare{Op: op.String()}
			b.shares[op] = s
		}
		return s
	}
	s := of(it.Recipe.Op)
	s.Count++
	s.Content += it.Length
	s.Table += b.diff.tableSize(it, user)
	if it.Inline() {
		if user != nil {
			s = of(user.Recipe.Op)
		}
		s.Inline += it.Length
	}
}

// tableSize returns how many bytes of the table an item takes without what has a
// recipe of its own: for version 0 exactly, for version 2 as Encode writes it.
func (d *Diff) tableSize(it, user *Item) int64 {
	const def = 8 + hashSize
	if d.Pooled() {
		if it.Key() == (Key{d.SourceLength, d.SourceSHA256}) {
			return 0
		}
		size := int64(8 + def + 4 + 8 + 8)
		switch it.Recipe.Op {
		case OpInlineAsset, OpRemainder, OpCopySource:
			return size + 8 + def // a slice
		case OpAllZero:
			return size + 8
		case OpRegion:
			return size + 8 + def
		case OpGzDecompression:
			size += 8
		}
		for _, p := range it.Recipe.Params {
			if p.Item == nil {
				size += 8
			} else {
				size += def
			}
		}
		return size
	}
	size := int64(def + 2) // chunk: length, hash, recipe number, parameter count
	if user != nil {
		size += 1 + 1 + 1 // parameter type, kind, recipe flag
		if it.Kind == Chunk {
			size += 8
		}
	}
	for _, p := range it.Recipe.Params {
		switch {
		case p.Item == nil:
			size += 1 + 8
		case p.Item.Recipe == nil:
			size += 1 + 1 + def + 1
			if p.Item.Kind == Chunk {
				size += 8
			}
		}
	}
	return size
}
