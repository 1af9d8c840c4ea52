// SPDX-License-Identifier: MIT

package apply

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"math/bits"

	"swudelta/internal/bsdiff"
	"swudelta/internal/codec"
	"swudelta/internal/pamz"
)

// way is one of the ways to apply a delta, between which memory decides.
type way struct {
	inMemory bool // what decompressors make is staged in memory, if it is not much
	lazy     bool // sources of nested deltas are produced piece by piece: less is staged at a time
}

// choose makes a go that way.
func (a *applier) choose(w way) {
	a.lazy = w.lazy
	if w.inMemory {
		a.arena.memoryLeft = min(memorySpace, a.budget()/4)
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
// beside what compresses the target. work is how many bytes are produced on that way.
func rehearse(d *pamz.Diff, in *info, source *io.SectionReader, opts Options) (best Need, chosen way, work int64, err error) {
	found := false
	for _, w := range ways {
		if w.lazy && opts.Strict {
			continue
		}
		a := newApplier(d, opts)
		a.choose(w)
		r := &rehearsal{applier: a}
		a.mode = r
		a.arena.store, a.arena.newBlock = notThere{}, func(int64) (*block, error) { return &block{}, nil }
		a.work = workLimit(d, in)
		err = a.newScope(d, in, source, 0).run(nil, false)
		if errors.Is(err, ErrMemory) {
			continue
		}
		if err != nil {
			return best, chosen, 0, err
		}
		need := Need{a.most, a.arena.most, r.unseen}
		if !found || cmp.Or(cmp.Compare(need.Scratch, best.Scratch), cmp.Compare(need.Memory, best.Memory)) < 0 {
			best, chosen, work, found = need, w, workLimit(d, in)-a.work, true
		}
	}
	if found {
		err = nil
	}
	return best, chosen, work, err
}

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

// rehearsal goes through a delta without content. Readers have none, and writers are told
// how much they would get.
type rehearsal struct {
	*applier
	unseen bool // something could not be looked at, because it is not produced
}

func (*rehearsal) verifies() bool { return false }

func (*rehearsal) copy(w io.Writer, _ io.ReaderAt, n int64) error { return skip(w, n) }

func (*rehearsal) drain(w io.Writer, _ io.Reader, n int64, _ faults) error { return skip(w, n) }

func (*rehearsal) load(io.ReaderAt, int64) ([]byte, error) { return nil, nil }

// window takes frames that are not there to have what encoders make that know the content:
// no wider window than it needs.
func (r *rehearsal) window(frames io.ReaderAt, n, limit int64) int64 {
	if _, err := frames.ReadAt(make([]byte, 6), 0); errors.Is(err, errNotThere) {
		r.unseen = true
		return min(limit, 1<<bits.Len64(uint64(n)))
	}
	return codec.ZstdWindow(frames)
}

func (*rehearsal) patch(_ *bsdiff.Applier, w io.Writer, _ io.ReaderAt, _ int64, _ io.ReaderAt, _, newSize int64) error {
	return skip(w, newSize)
}

func (*rehearsal) encoder(c *compressor) (io.WriteCloser, error) { return emptyEncoder{c}, nil }

// emptyEncoder stands for a compressor that has received its content.
type emptyEncoder struct{ c *compressor }

func (e emptyEncoder) Write(p []byte) (int, error) { return len(p), nil }

func (e emptyEncoder) Close() error { return skip(e.c.w, e.c.packed) }

// nested takes a delta that cannot be looked at to need nothing but its source.
func (r *rehearsal) nested(s *scope, w io.Writer, it *pamz.Item, delta *io.SectionReader, apply func(*pamz.Diff) error) error {
	d, err := s.diff.DecodeNested(it, delta, s.items)
	if errors.Is(err, errNotThere) {
		d, err = s.preview(it)
	}
	switch {
	case errors.Is(err, errNotThere):
		r.unseen = true
		if _, err := s.open(it.Recipe.Params[1].Item); err != nil {
			return err
		}
		return skip(w, it.Length)
	case err != nil:
		return err
	}
	return apply(d)
}

// skip stands for a Write of n bytes in a rehearsal. Writers that only pass on what
// they get need not hear of it.
func skip(w io.Writer, n int64) error {
	if s, ok := w.(interface{ skip(n int64) error }); ok {
		return s.skip(n)
	}
	return nil
}

// notThere is a store, or a source, without content.
type notThere struct{}

// ways are in the order in which they are tried; the last needs the least memory.
var ways = []way{{true, true}, {false, true}, {true, false}, {false, false}}

// memorySpace is how much is staged in memory at most, in bytes.
const memorySpace = 16 << 20

// previewSize is the size of the largest nested delta that a rehearsal produces, and of what
// it is a part of, in bytes.
const previewSize = 4 << 20

// errNotThere is the cause of errors about content that a rehearsal did not produce.
var errNotThere = errors.New("not produced in a rehearsal")

func (notThere) ReadAt([]byte, int64) (int, error)      { return 0, errNotThere }
func (notThere) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }
func (notThere) Truncate(int64) error                   { return nil }
