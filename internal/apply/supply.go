// SPDX-License-Identifier: MIT

package apply

import (
	"fmt"
	"io"

	"swudelta/internal/pamz"
	"swudelta/internal/span"
)

// supply is the source of a nested delta, of which those pieces that can only be produced
// front to back are produced when a step first needs them, and given up after
// the last one that does. A step is a chunk of the delta, or an item of it that is
// staged.
type supply struct {
	span.Chain
	s      *scope // of the outer delta
	pieces []piece
	leaves map[stageKey]*leaf
}

// piece is a part of the chain that must be produced.
type piece struct {
	part int   // its place in the chain
	from int64 // where it starts in the item
	leaf *leaf
}

// leaf is an item that pieces lie in.
type leaf struct {
	item  *pamz.Item
	seen  int  // mentions of it in this source
	uses  int  // mentions of its pieces in the delta that are not done
	owned bool // it is mentioned nowhere else
}

// newSupply makes d's source out of an item of s.
func (s *scope) newSupply(source *pamz.Item, d *pamz.Diff) (*supply, error) {
	u := &supply{s: s, leaves: map[stageKey]*leaf{}}
	if err := u.add(source, 0, source.Length); err != nil {
		return nil, err
	}
	for k, l := range u.leaves {
		l.owned = s.mentions[k] == l.seen
	}
	err := d.Walk(func(_ int, it *pamz.Item) error {
		if r := it.Recipe; r.Op == pamz.OpCopySource {
			return u.each(int64(r.Params[0].Number), it.Length, func(p *piece) error {
				p.leaf.uses++
				return nil
			})
		}
		return nil
	})
	return u, err
}

// add appends n bytes of it to the chain.
func (u *supply) add(it *pamz.Item, from, n int64) error {
	if n == 0 {
		return nil
	}
	r := it.Recipe
	switch {
	case r.Op == pamz.OpRegion:
		return u.add(r.Params[0].Item, from+int64(r.Params[1].Number), n)
	case r.Op == pamz.OpCopy && !r.FromTarget():
		return u.add(r.Params[0].Item, from, n)
	case r.Op == pamz.OpConcatenation:
		at := int64(0)
		for _, p := range r.Params {
			end := at + p.Item.Length
			if lo, hi := max(at, from), min(end, from+n); lo < hi {
				if err := u.add(p.Item, lo-at, hi-lo); err != nil {
					return err
				}
			}
			at = end
		}
		return nil
	}
	part := io.ReaderAt(notThere{})
	if it.Sequential() {
		k := u.s.stageKey(it)
		l := u.leaves[k]
		if l == nil {
			l = &leaf{item: it}
			u.leaves[k] = l
		}
		l.seen++
		u.pieces = append(u.pieces, piece{u.Parts(), from, l})
	} else {
		view, err := u.s.open(it)
		if err != nil {
			return err
		}
		part = io.NewSectionReader(view, from, n)
	}
	u.Add(part, n)
	return nil
}

// each calls f for the pieces among n bytes at off.
func (u *supply) each(off, n int64, f func(p *piece) error) error {
	lo, hi := 0, len(u.pieces)
	for lo < hi {
		if m := (lo + hi) / 2; u.Part(u.pieces[m].part).End() <= off {
			lo = m + 1
		} else {
			hi = m
		}
	}
	for i := lo; i < len(u.pieces) && u.Part(u.pieces[i].part).Off < off+n; i++ {
		if err := u.s.spend(1); err != nil {
			return err
		}
		if err := f(&u.pieces[i]); err != nil {
			return err
		}
	}
	return nil
}

// prepare makes sure that the pieces among n bytes at off are there.
func (u *supply) prepare(off, n int64) error {
	return u.each(off, n, func(p *piece) error {
		e, ok := u.s.stage[u.s.stageKey(p.leaf.item)]
		if !ok {
			var err error
			if e, err = u.s.produceStaged(p.leaf.item); err != nil {
				return fmt.Errorf("source: %v: %w", p.leaf.item.Recipe.Op, err)
			}
		}
		u.Replace(p.part, io.NewSectionReader(u.s.arena.reader(e), p.from, u.Part(p.part).Len))
		return nil
	})
}

// done counts off a use of n bytes at off.
func (u *supply) done(off, n int64) error {
	return u.each(off, n, func(p *piece) error {
		l := p.leaf
		if l.uses--; l.uses > 0 || !l.owned {
			return nil
		}
		k := u.s.stageKey(l.item)
		e, ok := u.s.stage[k]
		if !ok {
			return nil
		}
		delete(u.s.stage, k)
		return u.s.arena.free(e)
	})
}

// step runs make, which produces it, with all that it takes from the source there.
func (s *scope) step(it *pamz.Item, make func() error) error {
	if s.supply == nil {
		return make()
	}
	if err := s.fromSource(it, true, s.supply.prepare); err != nil {
		return err
	}
	if err := make(); err != nil {
		return err
	}
	return s.fromSource(it, true, s.supply.done)
}

// fromSource calls f for what producing it takes from the source, without what is taken
// by items that are staged on the way: they have steps of their own. It is written,
// or only read.
func (s *scope) fromSource(it *pamz.Item, written bool, f func(off, n int64) error) error {
	r := it.Recipe
	switch {
	case it.Length == 0 || r.FromTarget():
		return nil
	case r.Op == pamz.OpCopySource:
		return f(int64(r.Params[0].Number), it.Length)
	case it.Sequential() && !written:
		return nil
	}
	for part := range r.Items() {
		if err := s.fromSource(part, written && r.Passes(), f); err != nil {
			return err
		}
	}
	return nil
}
