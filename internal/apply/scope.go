// SPDX-License-Identifier: MIT

package apply

import (
	"fmt"
	"io"

	"swudelta/internal/codec"
	"swudelta/internal/digest"
	"swudelta/internal/errnum"
	"swudelta/internal/pamz"
	"swudelta/internal/span"
)

// scope is the application of one delta.
type scope struct {
	*applier
	*info
	diff     *pamz.Diff
	source   *io.SectionReader
	supply   *supply // what source reads, if that is produced piece by piece
	depth    int     // of deltas around it
	target   tap
	views    map[*pamz.Item]io.ReaderAt    // composed of others
	stage    map[stageKey]room             // produced into scratch space
	checked  map[*pamz.Item]bool           // Strict: what is verified already
	inflated map[*pamz.Deflated]*inflation // state of the remainder
}

func (a *applier) newScope(d *pamz.Diff, in *info, source *io.SectionReader, depth int) *scope {
	s := &scope{applier: a, info: in, diff: d, source: source, depth: depth}
	s.views, s.stage, s.inflated = map[*pamz.Item]io.ReaderAt{}, map[stageKey]room{}, map[*pamz.Deflated]*inflation{}
	if a.opts.Strict {
		s.checked = map[*pamz.Item]bool{}
	}
	return s
}

// run writes the target of the scope's delta to w and releases what it staged. If verify
// is false, the caller checks the target's digest.
func (s *scope) run(w io.Writer, verify bool) error {
	s.target = tap{w: w, arena: &s.arena, ranges: s.copied}
	whole := io.Writer(&s.target)
	var sum *digest.Writer
	if verify && s.mode.verifies() && !(len(s.diff.Chunks) == 1 && s.diff.Chunks[0].SHA256 == s.diff.TargetSHA256) {
		sum = digest.NewWriter(whole)
		whole = sum
	}
	release := make(map[int][]stageKey)
	for k, i := range s.last {
		release[i] = append(release[i], k)
	}
	for i, c := range s.diff.Chunks {
		if err := s.step(c, func() error { return s.write(whole, c) }); err != nil {
			return fmt.Errorf("chunk %d: %w", i, err)
		}
		for _, k := range release[i] {
			if err := s.arena.free(s.stage[k]); err != nil {
				return err
			}
			delete(s.stage, k)
		}
		if !s.diff.Pooled() {
			clear(s.views)
			clear(s.checked)
		}
	}
	if sum != nil {
		if err := errnum.Coded(errnum.Hash, digest.Check(sum.Sum(), s.diff.TargetSHA256)); err != nil {
			return fmt.Errorf("target: %w", err)
		}
	}
	return s.close()
}

// close releases what still is staged.
func (s *scope) close() error {
	for _, i := range s.inflated {
		if err := i.close(s); err != nil {
			return err
		}
	}
	return s.target.close()
}

// write produces it into w and verifies it.
func (s *scope) write(w io.Writer, it *pamz.Item) error {
	if it.Length == 0 {
		return nil
	}
	return s.fill(w, it, !verifies(w, it))
}

// fill produces it into w. Unless verify, only its length is held against what it
// should be.
func (s *scope) fill(w io.Writer, it *pamz.Item, verify bool) error {
	out := sink{s: s, it: it, w: w, left: it.Length}
	var sum *digest.Writer
	if verify && s.mode.verifies() {
		sum = digest.NewWriter(w)
		out.w = sum
	}
	err := s.produce(&out, it)
	if err == nil && out.left > 0 {
		err = errnum.Errorf(errnum.Hash, "%w: got %d bytes, want %d", digest.ErrMismatch, it.Length-out.left, it.Length)
	}
	if err == nil && sum != nil {
		err = errnum.Coded(errnum.Hash, digest.Check(sum.Sum(), it.SHA256))
	}
	if err != nil {
		return fmt.Errorf("%v: %w", it.Recipe.Op, err)
	}
	return nil
}

// sink takes the content of an item.
type sink struct {
	s    *scope
	it   *pamz.Item
	w    io.Writer
	left int64
}

// verifies reports whether w holds what is written to it from now on against the
// length and digest of it, so that doing so once more would find nothing.
func verifies(w io.Writer, it *pamz.Item) bool {
	switch w := w.(type) {
	case *sink:
		return w.left == it.Length && w.it.Key() == it.Key() && it.Stated()
	case *tap:
		return w.written == 0 && verifies(w.w, it)
	}
	return false
}

func (k *sink) Write(p []byte) (int, error) {
	if err := k.take(int64(len(p))); err != nil {
		return 0, err
	}
	return k.w.Write(p)
}

func (k *sink) skip(n int64) error {
	if err := k.take(n); err != nil {
		return err
	}
	return skip(k.w, n)
}

func (k *sink) take(n int64) error {
	if k.left -= n; k.left < 0 {
		return errnum.Errorf(errnum.Hash, "%w: longer than it should be", digest.ErrMismatch)
	}
	return k.s.spend(n)
}

// produce writes the content of it, unverified.
func (s *scope) produce(w io.Writer, it *pamz.Item) error {
	r := it.Recipe
	var first, second *pamz.Item
	if len(r.Params) > 0 {
		first = r.Params[0].Item
	}
	if len(r.Params) > 1 {
		second = r.Params[1].Item
	}
	switch r.Op {
	case pamz.OpConcatenation:
		for _, p := range r.Params {
			if err := s.write(w, p.Item); err != nil {
				return err
			}
		}
		return nil
	case pamz.OpCopy:
		if !r.FromTarget() {
			return s.write(w, first)
		}
	case pamz.OpRemainder:
		return s.remainder(w, r, it.Length)
	case pamz.OpBSDiff:
		patch, err := s.open(first)
		if err != nil {
			return err
		}
		old, err := s.open(second)
		if err != nil {
			return err
		}
		return s.patch(w, old, second.Length, patch, first.Length, it.Length)
	case pamz.OpNested:
		return s.nested(w, it, first, second)
	case pamz.OpZstdCompression, pamz.OpZlibCompression:
		return s.compress(w, it, first)
	case pamz.OpZstdDecompression, pamz.OpZstdDelta, pamz.OpGzDecompression, pamz.OpZlibDecompression:
		return s.decompress(w, it, first, second)
	}
	view, err := s.view(it)
	if err != nil {
		return err
	}
	return s.mode.copy(w, view, it.Length)
}

// nested applies the delta inside it.
func (s *scope) nested(w io.Writer, it, delta, source *pamz.Item) error {
	if s.depth == pamz.MaxNested {
		return errnum.Errorf(errnum.Other, "deltas nested more than %d deep", pamz.MaxNested)
	}
	view, err := s.open(delta)
	if err != nil {
		return err
	}
	return s.mode.nested(s, w, it, io.NewSectionReader(view, 0, delta.Length), func(d *pamz.Diff) error {
		return s.applyNested(w, it, d, source)
	})
}

// applyNested applies d, the delta inside it, to source.
func (s *scope) applyNested(w io.Writer, it *pamz.Item, d *pamz.Diff, source *pamz.Item) error {
	s.items -= d.Items
	defer func() { s.items += d.Items }()
	in, err := s.inspect(d, source.Length, s.depth+1)
	if err != nil {
		return err
	}
	// The nested target is this item, which the caller verifies if it can.
	verify := !it.Stated()
	if s.lazy {
		supply, err := s.newSupply(source, d)
		if err != nil {
			return err
		}
		inner := s.newScope(d, in, io.NewSectionReader(supply, 0, source.Length), s.depth+1)
		inner.supply = supply
		return inner.run(w, verify)
	}
	old, err := s.open(source)
	if err != nil {
		return err
	}
	inner := s.newScope(d, in, io.NewSectionReader(old, 0, source.Length), s.depth+1)
	return inner.run(w, verify)
}

// compress writes item as the device's library compresses it.
func (s *scope) compress(w io.Writer, it, item *pamz.Item) error {
	zw := &compressor{s: s, w: w, recipe: it.Recipe, content: item.Length, packed: it.Length}
	defer zw.release()
	if err := s.write(zw, item); err != nil {
		return err
	}
	return zw.close()
}

// decompress writes the content of frame, whose old content is old if it has one.
func (s *scope) decompress(w io.Writer, it, frame, old *pamz.Item) error {
	view, err := s.open(frame)
	if err != nil {
		return err
	}
	in := io.NewSectionReader(view, 0, frame.Length)
	r := it.Recipe
	if r.Op == pamz.OpZstdDecompression || r.Op == pamz.OpZstdDelta {
		return s.unzstd(w, in, it.Length, old)
	}
	return s.decode(w, it.Length, inflateFaults, func() (io.ReadCloser, error) {
		switch {
		case r.Op == pamz.OpGzDecompression || r.Params[1].Number == pamz.ContainerGzip:
			return codec.NewGzipReader(in, false)
		case r.Params[1].Number == pamz.ContainerZlib:
			return codec.NewZlibReader(in)
		}
		return codec.NewDeflateReader(in), nil
	})
}

// decode writes n bytes of what the decoder gives that open returns, whatever may follow.
func (s *scope) decode(w io.Writer, n int64, f faults, open func() (io.ReadCloser, error)) error {
	r := &lateReader{open: open}
	err := s.mode.drain(w, r, n, f)
	if r.r != nil {
		r.r.Close()
	}
	return err
}

// lateReader opens what it reads at the first Read.
type lateReader struct {
	open func() (io.ReadCloser, error)
	r    io.ReadCloser // nil: not open
}

func (l *lateReader) Read(p []byte) (int, error) {
	if l.r == nil {
		r, err := l.open()
		if err != nil {
			return 0, err
		}
		l.r = r
	}
	return l.r.Read(p)
}

// unzstd writes n bytes of the content of zstd frames, which were made with old,
// if that is not nil, as their prefix. Devices and we hold the whole of it in
// memory.
func (s *scope) unzstd(w io.Writer, frames *io.SectionReader, n int64, old *pamz.Item) (err error) {
	var dict []byte
	limit := int64(codec.MaxWindow)
	s.dropPatcher() // its memory may serve a window
	if old != nil {
		if err := s.reserve("zstd prefix", old.Length); err != nil {
			return err
		}
		defer func() { s.memory += old.Length }()
		view, err := s.open(old)
		if err != nil {
			return err
		}
		if dict, err = s.mode.load(view, old.Length); err != nil {
			return err
		}
		limit = codec.MaxDictWindow
	}
	// The decoder refuses larger windows; the first frame's is looked at here,
	// because memory is for the user to give and not the data's fault.
	window := s.mode.window(frames, n, limit)
	if window <= limit {
		if err := s.reserve("zstd window", window); err != nil {
			return err
		}
		defer func() { s.memory += window }()
		limit = min(limit, max(window+s.memory, 1<<10))
	}
	return s.decode(w, n, zstdFaults, func() (io.ReadCloser, error) {
		if old != nil {
			return codec.NewZstdDictReader(frames, dict, limit)
		}
		return codec.NewZstdReader(frames, limit)
	})
}

// open returns the content of it for reading at random. Unless Strict, it is
// verified only if it had to be produced: what is made of it is verified.
func (s *scope) open(it *pamz.Item) (io.ReaderAt, error) {
	if it.Length == 0 {
		return zeros{}, nil
	}
	view, err := s.view(it)
	if err == nil && s.mode.verifies() && s.checked != nil && !s.checked[it] && !it.Sequential() && it.Stated() {
		err = s.check(it, view)
	}
	if err != nil {
		return nil, fmt.Errorf("%v: %w", it.Recipe.Op, err)
	}
	return view, nil
}

// check verifies what view has of it.
func (s *scope) check(it *pamz.Item, view io.ReaderAt) error {
	s.checked[it] = true
	sum := digest.NewWriter(io.Discard)
	if err := s.mode.copy(sum, io.NewSectionReader(view, 0, it.Length), it.Length); err != nil {
		return err
	}
	return errnum.Coded(errnum.Hash, digest.Check(sum.Sum(), it.SHA256))
}

func (s *scope) view(it *pamz.Item) (io.ReaderAt, error) {
	r := it.Recipe
	switch r.Op {
	case pamz.OpInlineAsset:
		content := r.Open()
		if content.Size() != it.Length {
			return nil, errnum.Errorf(errnum.InlineBytes, "got %d bytes, want %d", content.Size(), it.Length)
		}
		return content, nil
	case pamz.OpCopySource:
		return io.NewSectionReader(s.source, int64(r.Params[0].Number), it.Length), nil
	case pamz.OpAllZero:
		return zeros{}, nil
	case pamz.OpCopy:
		if r.FromTarget() {
			return s.target.read(r.Params[0].Item.Offset, it.Length)
		}
		return s.open(r.Params[0].Item)
	case pamz.OpRegion, pamz.OpConcatenation:
		if view := s.views[it]; view != nil {
			return view, nil
		}
		view, err := s.compose(it)
		if err != nil {
			return nil, err
		}
		s.views[it] = view
		return view, nil
	}
	e, ok := s.stage[s.stageKey(it)]
	if !ok {
		var err error
		if e, err = s.produceStaged(it); err != nil {
			return nil, err
		}
	}
	return s.arena.reader(e), nil
}

func (s *scope) compose(it *pamz.Item) (io.ReaderAt, error) {
	r := it.Recipe
	if r.Op == pamz.OpRegion {
		whole, err := s.open(r.Params[0].Item)
		if err != nil {
			return nil, err
		}
		return io.NewSectionReader(whole, int64(r.Params[1].Number), it.Length), nil
	}
	c := new(span.Chain)
	for _, p := range r.Params {
		if p.Item.Length == 0 {
			continue
		}
		part, err := s.open(p.Item)
		if err != nil {
			return nil, err
		}
		c.Add(part, p.Item.Length)
	}
	return c, nil
}

// produceStaged writes it to scratch space.
func (s *scope) produceStaged(it *pamz.Item) (room, error) {
	if it.Length > s.work {
		return nil, errTooMuch()
	}
	alloc := s.arena.alloc
	if it.Recipe.Op.Decompresses() {
		// Serves some patches, and goes. What they make stays while the target is
		// written, beside what compresses that.
		alloc = s.arena.hold
	}
	e, err := alloc(it.Length)
	if err != nil {
		return e, err
	}
	w := s.arena.writer(e)
	if err := s.step(it, func() error { return s.fill(w, it, it.Stated()) }); err != nil {
		return e, err
	}
	if err := w.Flush(); err != nil {
		return e, err
	}
	s.stage[s.stageKey(it)] = e
	return e, s.release(it, true)
}

// release frees whatever was staged only to produce it, which is done. In version 2
// one item may serve several others, so nothing is freed there.
func (s *scope) release(it *pamz.Item, written bool) error {
	if it.Length == 0 || it.Recipe.FromTarget() || s.diff.Pooled() {
		return nil
	}
	if it.Sequential() && !written {
		k := s.stageKey(it)
		e, ok := s.stage[k]
		if !ok || s.mentions[k] > 1 {
			return nil
		}
		delete(s.stage, k)
		return s.arena.free(e)
	}
	for part := range it.Recipe.Items() {
		if err := s.release(part, written && it.Recipe.Passes()); err != nil {
			return err
		}
	}
	return nil
}
