// SPDX-License-Identifier: MIT

package apply

import (
	"cmp"
	"errors"
	"fmt"
	"io"

	"swudelta/internal/pamz"
)

// Need is what Apply takes for a delta, beside the memory of any process that reads
// and writes. It is an upper limit.
type Need struct {
	Memory  int64 `json:"memory"`  // of codecs, in bytes at a time
	Scratch int64 `json:"scratch"` // bytes at a time

	// Open says that the head of a zstd frame, or a nested delta, is itself the result
	// of a recipe, which is not known before it is produced. The frame is then taken
	// to have no wider window than its content needs, and the delta to need nothing.
	// Apply checks it when it comes there.
	Open bool `json:"open,omitempty"`
}

// Needs returns what Apply needs for d if it may take up to memory bytes; 0 is
// DefaultMemory. Where a lack of memory is the error, its cause is
// [ErrMemory]. It looks into source, which may be nil.
func Needs(d *pamz.Diff, source io.ReaderAt, memory int64) (Need, error) {
	need, err := needs(d, source, memory)
	if err != nil {
		return Need{}, fmt.Errorf("need of delta: %w", err)
	}
	return need, nil
}

func needs(d *pamz.Diff, source io.ReaderAt, memory int64) (Need, error) {
	opts := Options{Memory: memory}
	in, err := newApplier(d, opts).inspect(d, d.SourceLength, 0)
	if err != nil {
		return Need{}, err
	}
	if source == nil {
		source = notThere{}
	}
	need, _, err := rehearse(d, in, io.NewSectionReader(source, 0, d.SourceLength), opts)
	return need, err
}

// way is one of the ways to apply a delta, between which memory decides.
type way struct {
	quick bool // what decompressors make is staged in memory, if it is not much
	lazy  bool // sources of nested deltas are produced piece by piece: less is staged at a time
}

// ways are in the order in which they are tried; the last needs the least memory.
var ways = []way{{true, true}, {false, true}, {true, false}, {false, false}}

// quickSpace is how much is staged in memory, in bytes.
const quickSpace = 16 << 20

// choose makes a go that way.
func (a *applier) choose(w way) {
	a.lazy = w.lazy
	if w.quick {
		a.arena.quick = min(quickSpace, a.budget()/4)
	}
	a.arena.take = func(n int64) error {
		if n < 0 {
			a.memory -= n
			return nil
		}
		return a.reserve("staging", n)
	}
}

// rehearse goes through a delta as Apply does, but for the contents, and returns what
// it needs, and the way that takes the least scratch space, and then the least memory,
// of those for which there is enough memory: what is produced late takes memory
// beside what compresses the target.
func rehearse(d *pamz.Diff, in *info, source *io.SectionReader, opts Options) (best Need, chosen way, err error) {
	found := false
	for _, w := range ways {
		if w.lazy && opts.Strict {
			continue
		}
		a := newApplier(d, opts)
		a.choose(w)
		a.dry, a.arena.store = true, notThere{}
		a.work = workLimit(d, in)
		err = a.newScope(d, in, source, 0).run(nil, false)
		if errors.Is(err, ErrMemory) {
			continue
		}
		if err != nil {
			return best, chosen, err
		}
		need := Need{a.most, a.arena.most, a.vague}
		if !found || cmp.Or(cmp.Compare(need.Scratch, best.Scratch), cmp.Compare(need.Memory, best.Memory)) < 0 {
			best, chosen, found = need, w, true
		}
	}
	if found {
		err = nil
	}
	return best, chosen, err
}

// previewSize is the size of the largest nested delta that a rehearsal produces, and of what
// it is a part of, in bytes.
const previewSize = 4 << 20

// preview decodes the delta inside it, which is not inline, in a rehearsal. Where that
// cannot be done without the source, or with little memory, the cause of the error is
// errNotThere.
func (s *scope) preview(it *pamz.Item) (*pamz.Diff, error) {
	v := Viewer{work: min(s.work, viewWork), items: s.items, size: previewSize}
	d, err := v.Nested(s.diff, it)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNotThere, err)
	}
	return d, nil
}

// skip stands for a Write of n bytes in a rehearsal. Writers that only pass on what
// they get need not hear of it.
func skip(w io.Writer, n int64) error {
	if s, ok := w.(interface{ skip(n int64) error }); ok {
		return s.skip(n)
	}
	return nil
}

// errNotThere is the cause of errors about content that a rehearsal did not produce.
var errNotThere = errors.New("not produced in a rehearsal")

// notThere is a store, or a source, without content.
type notThere struct{}

func (notThere) ReadAt([]byte, int64) (int, error)      { return 0, errNotThere }
func (notThere) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }
func (notThere) Truncate(int64) error                   { return nil }

// supply is the source of a nested delta, of which those pieces that can only be produced
// front to back are produced when a step first needs them, and given up after
// the last one that does. A step is a chunk of the delta, or an item of it that is
// staged.
type supply struct {
	chain
	s      *scope // of the delta around
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
	u := &supply{s: s, chain: chain{starts: []int64{0}}, leaves: map[stageKey]*leaf{}}
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
		u.pieces = append(u.pieces, piece{len(u.parts), from, l})
	} else {
		view, err := u.s.open(it)
		if err != nil {
			return err
		}
		part = io.NewSectionReader(view, from, n)
	}
	u.parts = append(u.parts, part)
	u.starts = append(u.starts, u.starts[len(u.starts)-1]+n)
	return nil
}

// each calls f for the pieces among n bytes at off.
func (u *supply) each(off, n int64, f func(p *piece) error) error {
	lo, hi := 0, len(u.pieces)
	for lo < hi {
		if m := (lo + hi) / 2; u.starts[u.pieces[m].part+1] <= off {
			lo = m + 1
		} else {
			hi = m
		}
	}
	for i := lo; i < len(u.pieces) && u.starts[u.pieces[i].part] < off+n; i++ {
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
		u.parts[p.part] = io.NewSectionReader(u.s.arena.reader(e), p.from, u.starts[p.part+1]-u.starts[p.part])
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
	for _, p := range r.Params {
		if p.Item != nil {
			if err := s.fromSource(p.Item, written && r.Passes(), f); err != nil {
				return err
			}
		}
	}
	return nil
}
