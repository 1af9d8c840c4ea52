// SPDX-License-Identifier: MIT

// Package apply applies PAMZ deltas (package pamz): Apply does it, Needs says before what it
// takes, and a Viewer looks at what a delta holds.
package apply

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"os"
	"runtime/debug"
	"slices"
	"sort"

	"swudelta/internal/bsdiff"
	"swudelta/internal/codec"
	"swudelta/internal/digest"
	"swudelta/internal/pamz"
)

// ApplyOptions says what Apply may use.
type Options struct {
	Zstd    func() (*codec.Zstd, error) // called for the first zstd_compression; nil: that is an error
	Zlib    func() (*codec.Zlib, error) // called for the first zlib_compression; nil: that is an error
	Scratch func() (*os.File, error)    // called when scratch space is needed; nil: that is an error

	// Memory bounds what codecs may take at a time, in bytes: windows, dictionaries,
	// blocks, and compression contexts. Default DefaultMemory.
	Memory int64

	// Strict also verifies items that are only read, which devices do not do, if their
	// digests are stated, and never makes one item stand in for another with the same
	// digest. It is for deltas that were just made.
	Strict bool

	// SourceSum is what has hashed all of the source, if the caller has: it is not
	// read for that once more.
	SourceSum *digest.Writer

	Progress func(n int64) // called with each number of target bytes that were written
}

const copySize = 128 << 10

// DefaultMemory suffices for the deltas of either generation of the reference, whose
// windows have up to 256 MiB, as have the dictionaries that go with those. What a
// delta does not need is not taken.
const DefaultMemory = codec.MaxDictWindow + 256<<20 + 64<<20

// Apply writes the target of d to dst. Source, chunks, nested targets and the
// target are verified; a fault of the data is an *Error, and so is what else the
// reference has a number for. What dst received before
// an error must be thrown away, but nothing is written before the source was
// verified, the structure of d, with the deltas inside it, was looked through, and
// what it needs was found to be there: see [Need], [ErrMemory] and [ErrScratch].
//
// Memory does not grow with source or target: old sides are read where they lie,
// and what must be read at random but can only be produced front to back is
// staged until its last use: in scratch space, and in memory if it is not much.
func Apply(dst io.Writer, d *pamz.Diff, source io.ReaderAt, sourceSize int64, opts Options) error {
	if err := apply(dst, d, source, sourceSize, opts); err != nil {
		return fmt.Errorf("apply delta: %w", err)
	}
	return nil
}

func apply(dst io.Writer, d *pamz.Diff, source io.ReaderAt, sourceSize int64, opts Options) (err error) {
	a := newApplier(d, opts)
	info, err := a.inspect(d, d.SourceLength, 0)
	if err != nil {
		return err
	}
	a.work = workLimit(d, info)
	section := io.NewSectionReader(source, 0, d.SourceLength)
	sum := opts.SourceSum
	if d.SourceLength > 0 {
		if sourceSize != d.SourceLength {
			return pamz.Errorf(pamz.CodeSourceSize, "source has %d bytes, want %d", sourceSize, d.SourceLength)
		}
		if sum == nil {
			sum = digest.NewWriter(io.Discard)
			err = a.copy(sum, section, d.SourceLength)
		}
		if err == nil {
			err = pamz.Coded(pamz.CodeHash, digest.Check(sum.Sum(), d.SourceSHA256))
		}
		if err != nil {
			return fmt.Errorf("source: %w", err)
		}
	}
	defer func() {
		if cerr := a.arena.close(); err == nil {
			err = cerr
		}
	}()
	need, way, err := rehearse(d, info, section, opts)
	if err != nil {
		return err
	}
	if err := a.arena.want(need.Scratch); err != nil {
		return err
	}
	a.choose(way)
	dst, finish, err := withHoles(dst)
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(progress{dst, opts.Progress}, copySize)
	s := a.newScope(d, info, section, 0)
	if err := s.run(out, true); err != nil {
		return err
	}
	if err := out.Flush(); err != nil {
		return err
	}
	return finish()
}

type progress struct {
	io.Writer
	report func(n int64)
}

func (p progress) Write(b []byte) (int, error) {
	n, err := p.Writer.Write(b)
	if p.report != nil {
		p.report(int64(n))
	}
	return n, err
}

// applier is what one Apply shares among the deltas inside each other.
type applier struct {
	opts   Options
	arena  arena
	memory int64 // left for codecs

	most int64 // that was taken by codecs at a time

	patcher *bsdiff.Applier // kept, with its memory, until another codec takes some; nil: none, or one in use

	work  int64 // bytes that may still be produced
	items int   // that deltas inside d may still have, all that are open at a time
	buf   []byte

	lazy  bool // sources of nested deltas are produced piece by piece (see supply)
	dry   bool // nothing is produced, but room is made for it (see rehearse)
	vague bool // something could not be looked at, because it is not produced
}

func newApplier(d *pamz.Diff, opts Options) *applier {
	a := &applier{opts: opts, items: pamz.MaxItems - d.Items, buf: make([]byte, copySize)}
	a.memory = a.budget()
	a.arena.open = opts.Scratch
	return a
}

// budget is how much memory codecs may take, in bytes.
func (a *applier) budget() int64 { return cmp.Or(a.opts.Memory, DefaultMemory) }

// info is what must be known of a delta before its first chunk is produced.
type info struct {
	mentions map[stageKey]int // how often there is an item that may have to be staged
	last     map[stageKey]int // the last chunk that needs an item that may have to be staged
	copied   []extent         // ranges of the target that are copied later, merged
	opened   opened
}

// inspect validates d and the deltas inside it that can be seen.
func (a *applier) inspect(d *pamz.Diff, sourceLength int64, depth int) (*info, error) {
	if depth > pamz.MaxNested {
		return nil, pamz.Errorf(pamz.CodeOther, "deltas nested more than %d deep", pamz.MaxNested)
	}
	in := &info{last: map[stageKey]int{}, mentions: map[stageKey]int{}}
	end := int64(0)
	for i, c := range d.Chunks {
		if c.Length < 0 || c.Length > d.TargetLength-end {
			return nil, pamz.Errorf(pamz.CodeLengths, "chunk %d ends beyond the target's %d bytes", i, d.TargetLength)
		}
		end += c.Length
	}
	if end != d.TargetLength {
		return nil, pamz.Errorf(pamz.CodeLengths, "the chunks have %d bytes, the target has %d", end, d.TargetLength)
	}
	err := d.Walk(func(index int, it *pamz.Item) error {
		if err := d.CheckItem(it, sourceLength); err != nil {
			return err
		}
		switch r := it.Recipe; {
		case r.FromTarget():
			c := r.Params[0].Item
			if c.Length > d.TargetLength || c.Offset > d.TargetLength-c.Length {
				return pamz.Errorf(pamz.CodeOutOfBounds, "%d bytes at %d of a target of %d bytes", c.Length, c.Offset, d.TargetLength)
			}
			in.copied = append(in.copied, extent{c.Offset, c.Length})
		case r.Op == pamz.OpNested && r.Params[0].Item.Inline():
			nested, err := d.DecodeNested(it, r.Params[0].Item.Recipe.Open(), a.items)
			if err != nil {
				return err
			}
			a.items -= nested.Items
			inner, err := a.inspect(nested, r.Params[1].Item.Length, depth+1)
			a.items += nested.Items
			if err != nil {
				return err
			}
			in.opened.closed = plus(in.opened.closed, inner.opened.closed)
		}
		in.opened.note(it)
		if it.Sequential() {
			k := a.stageKey(it)
			in.mentions[k]++
			if in.last[k] == 0 {
				in.last[k] = index
			}
		}
		return nil
	})
	slices.SortFunc(in.copied, extent.compare)
	merged := in.copied[:0]
	for _, e := range in.copied {
		if n := len(merged); n > 0 && e.start <= merged[n-1].start+merged[n-1].size {
			merged[n-1].size = max(merged[n-1].size, e.start+e.size-merged[n-1].start)
			continue
		}
		merged = append(merged, e)
	}
	in.copied = merged
	return in, err
}

// stageKey is what a staged item is found by again: its content, which was
// verified when it was produced, or the item itself if that is not known, or if Strict.
type stageKey struct {
	pamz.Key
	item *pamz.Item
}

func (a *applier) stageKey(it *pamz.Item) stageKey {
	k := stageKey{Key: it.Key()}
	if a.opts.Strict || !it.Stated() {
		k.item = it
	}
	return k
}

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
	if verify && !s.dry && !(len(s.diff.Chunks) == 1 && s.diff.Chunks[0].SHA256 == s.diff.TargetSHA256) {
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
		if s.diff.Version == 0 {
			clear(s.views)
			clear(s.checked)
		}
	}
	if sum != nil {
		if err := pamz.Coded(pamz.CodeHash, digest.Check(sum.Sum(), s.diff.TargetSHA256)); err != nil {
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
	if verify && !s.dry {
		sum = digest.NewWriter(w)
		out.w = sum
	}
	err := s.produce(&out, it)
	if err == nil && out.left > 0 {
		err = pamz.Errorf(pamz.CodeHash, "%w: got %d bytes, want %d", digest.ErrMismatch, it.Length-out.left, it.Length)
	}
	if err == nil && sum != nil {
		err = pamz.Coded(pamz.CodeHash, digest.Check(sum.Sum(), it.SHA256))
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
		return pamz.Errorf(pamz.CodeHash, "%w: longer than it should be", digest.ErrMismatch)
	}
	return k.s.spend(n)
}

// spend counts n produced bytes.
func (a *applier) spend(n int64) error {
	if n > a.work {
		return errTooMuch()
	}
	a.work -= n
	return nil
}

func errTooMuch() error {
	return pamz.Errorf(pamz.CodeOther, "the delta asks for far more work than its target needs")
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
	return s.copy(w, view, it.Length)
}

// patch applies a BSDIFF40 patch.
func (a *applier) patch(w io.Writer, old io.ReaderAt, oldSize int64, patch io.ReaderAt, patchSize int64, newSize int64) error {
	p := a.patcher
	a.dropPatcher() // while it is in use, it is not to be given up
	need := bsdiff.ApplyMemory(newSize)
	if p == nil || max(need, p.Memory()) > a.memory {
		p = new(bsdiff.Applier)
	}
	need = max(need, p.Memory())
	if err := a.reserve("bsdiff", need); err != nil {
		return err
	}
	if a.dry {
		err := skip(w, newSize)
		a.memory += need
		return err
	}
	err := p.Apply(w, old, oldSize, patch, patchSize, newSize)
	a.memory += need - p.Memory()
	a.patcher = p
	return pamz.Coded(pamz.CodeBSPatch, err)
}

// dropPatcher gives up the memory that is kept for the next patch.
func (a *applier) dropPatcher() {
	if a.patcher != nil {
		a.memory += a.patcher.Memory()
		a.patcher = nil
	}
}

// copy writes the first n bytes of view.
func (a *applier) copy(w io.Writer, view io.ReaderAt, n int64) error {
	if a.dry {
		return skip(w, n)
	}
	for off := int64(0); off < n; {
		b := a.buf[:min(n-off, copySize)]
		if got, err := view.ReadAt(b, off); got < len(b) {
			return noEOF(err)
		}
		if _, err := w.Write(b); err != nil {
			return err
		}
		off += int64(len(b))
	}
	return nil
}

// nested applies the delta inside it.
func (s *scope) nested(w io.Writer, it, delta, source *pamz.Item) error {
	if s.depth == pamz.MaxNested {
		return pamz.Errorf(pamz.CodeOther, "deltas nested more than %d deep", pamz.MaxNested)
	}
	view, err := s.open(delta)
	if err != nil {
		return err
	}
	d, err := s.diff.DecodeNested(it, io.NewSectionReader(view, 0, delta.Length), s.items)
	if s.dry && errors.Is(err, errNotThere) {
		d, err = s.preview(it)
	}
	if s.dry && errors.Is(err, errNotThere) {
		s.vague = true
		if _, err := s.open(source); err != nil {
			return err
		}
		return skip(w, it.Length)
	}
	if err != nil {
		return err
	}
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
	if s.dry {
		if err := zw.skip(0); err != nil {
			return err
		}
		return skip(w, it.Length)
	}
	return zw.close()
}

// compressor opens the library's compressor when the first byte arrives. Before
// that its memory serves the decoders that prepare the content.
type compressor struct {
	s        *scope
	w        io.Writer
	recipe   *pamz.Recipe
	content  int64 // bytes that will arrive
	packed   int64 // bytes that they become
	reserved int64 // bytes of the memory for codecs
	zw       io.WriteCloser
}

func (c *compressor) Write(p []byte) (int, error) {
	if c.zw == nil {
		if err := c.open(); err != nil {
			return 0, err
		}
	}
	return c.zw.Write(p)
}

// skip does what matters of a Write in a rehearsal: it takes the memory.
func (c *compressor) skip(int64) error {
	if c.reserved > 0 {
		return nil
	}
	return c.open()
}

func (c *compressor) open() (err error) {
	if c.recipe.Op == pamz.OpZstdCompression {
		if c.s.patcher != nil {
			// The library's memory is not the collector's, which sees no reason to
			// give back what patches took.
			c.s.dropPatcher()
			debug.FreeOSMemory()
		}
		level := int(c.recipe.Params[3].Number)
		ring, worker := codec.ZstdMemory(level, c.content, c.packed)
		need := ring + worker
		if err := c.s.reserve("zstd compression", need); err != nil {
			return err
		}
		c.reserved = need
		if c.s.dry {
			return nil
		}
		if c.s.opts.Zstd == nil {
			return errors.New("no libzstd to compress with")
		}
		z, err := c.s.opts.Zstd()
		if err != nil {
			return pamz.NoZstd(err)
		}
		c.zw, err = z.NewCanonicalWriter(c.w, level)
		return err
	}
	if c.s.dry {
		return nil
	}
	if c.s.opts.Zlib == nil {
		return errors.New("no zlib to compress with")
	}
	z, err := c.s.opts.Zlib()
	if err != nil {
		return &pamz.Error{Code: pamz.CodeZlibStart, Err: err}
	}
	c.zw, err = z.NewWriter(c.w, codec.Container(c.recipe.Params[1].Number), int(int64(c.recipe.Params[2].Number)))
	return err
}

// close completes the stream. The content may be empty.
func (c *compressor) close() error {
	if c.zw == nil {
		if err := c.open(); err != nil {
			return err
		}
	}
	return c.zw.Close()
}

func (c *compressor) release() { c.s.memory += c.reserved }

// ErrMemory is the cause of errors about deltas that need more memory than
// ApplyOptions.Memory.
var ErrMemory = errors.New("more memory than allowed")

// reserve takes n bytes of the memory for codecs.
func (a *applier) reserve(what string, n int64) error {
	a.dropPatcher()
	if n > a.memory {
		return fmt.Errorf("%s: %w: needs %d KiB, %d KiB left", what, ErrMemory, (n+1023)>>10, a.memory>>10)
	}
	a.memory -= n
	a.most = max(a.most, a.budget()-a.memory)
	return nil
}

// decompress writes the content of frame, whose old content is old if it has one.
func (s *scope) decompress(w io.Writer, it, frame, old *pamz.Item) error {
	view, err := s.open(frame)
	if err != nil {
		return err
	}
	in := io.NewSectionReader(view, 0, frame.Length)
	if op := it.Recipe.Op; s.dry && op != pamz.OpZstdDecompression && op != pamz.OpZstdDelta {
		return skip(w, it.Length)
	}
	code, short := pamz.CodeInflate, pamz.CodeInflateShort
	var zr io.ReadCloser
	switch r := it.Recipe; {
	case r.Op == pamz.OpZstdDecompression || r.Op == pamz.OpZstdDelta:
		return s.unzstd(w, in, it.Length, old)
	case r.Op == pamz.OpGzDecompression || r.Params[1].Number == pamz.ContainerGzip:
		zr, err = codec.NewGzipReader(in, false)
	case r.Params[1].Number == pamz.ContainerZlib:
		zr, err = codec.NewZlibReader(in)
	default:
		zr = codec.NewDeflateReader(in)
	}
	if err != nil {
		return cut(err, code, short)
	}
	defer zr.Close()
	return s.drain(w, zr, it.Length, code, short)
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
		if !s.dry {
			dict = make([]byte, old.Length)
			if got, err := view.ReadAt(dict, 0); got < len(dict) {
				return noEOF(err)
			}
		}
		limit = codec.MaxDictWindow
	}
	// The decoder refuses larger windows; the first frame's is looked at here,
	// because memory is for the user to give and not the data's fault.
	window := codec.ZstdWindow(frames)
	if _, err := frames.ReadAt(make([]byte, 6), 0); s.dry && errors.Is(err, errNotThere) {
		// Encoders that know the content make no wider window than it needs.
		s.vague = true
		window = min(limit, 1<<bits.Len64(uint64(n)))
	}
	if window <= limit {
		if err := s.reserve("zstd window", window); err != nil {
			return err
		}
		defer func() { s.memory += window }()
		limit = min(limit, max(window+s.memory, 1<<10))
	}
	if s.dry {
		return skip(w, n)
	}
	var zr io.ReadCloser
	if old != nil {
		zr, err = codec.NewZstdDictReader(frames, dict, limit)
	} else {
		zr, err = codec.NewZstdReader(frames, limit)
	}
	if err != nil {
		return cut(err, pamz.CodeZstd, pamz.CodeZstdShort)
	}
	defer zr.Close()
	return s.drain(w, zr, n, pamz.CodeZstd, pamz.CodeZstdShort)
}

// cut gives a decoder's fault of the data the number short if the stream ends too
// early, else code.
func cut(err error, code, short int) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return pamz.Coded(short, err)
	}
	return pamz.Coded(code, err)
}

// drain writes the next n bytes of r, whatever may follow them. Faults of the
// data get the number code, or short where the stream ends too early.
func (a *applier) drain(w io.Writer, r io.Reader, n int64, code, short int) error {
	for done := int64(0); done < n; {
		b := a.buf[:min(n-done, copySize)]
		got, err := io.ReadFull(r, b)
		if got < len(b) {
			if err == io.EOF || err == io.ErrUnexpectedEOF { // the stream is whole, but not all that is wanted
				err = pamz.Errorf(short, "stream ends after %d of %d bytes: %w", done+int64(got), n, io.ErrUnexpectedEOF)
			}
			return cut(err, code, short)
		}
		if _, err := w.Write(b); err != nil {
			return err
		}
		done += int64(got)
	}
	return nil
}

// open returns the content of it for reading at random. Unless Strict, it is
// verified only if it had to be produced: what is made of it is verified.
func (s *scope) open(it *pamz.Item) (io.ReaderAt, error) {
	if it.Length == 0 {
		return zeros{}, nil
	}
	view, err := s.view(it)
	if err == nil && !s.dry && s.checked != nil && !s.checked[it] && !it.Sequential() && it.Stated() {
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
	if err := s.copy(sum, io.NewSectionReader(view, 0, it.Length), it.Length); err != nil {
		return err
	}
	return pamz.Coded(pamz.CodeHash, digest.Check(sum.Sum(), it.SHA256))
}

func (s *scope) view(it *pamz.Item) (io.ReaderAt, error) {
	r := it.Recipe
	switch r.Op {
	case pamz.OpInlineAsset:
		content := r.Open()
		if content.Size() != it.Length {
			return nil, pamz.Errorf(pamz.CodeInlineBytes, "got %d bytes, want %d", content.Size(), it.Length)
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
	c := &chain{starts: []int64{0}}
	end := int64(0)
	for _, p := range r.Params {
		if p.Item.Length == 0 {
			continue
		}
		part, err := s.open(p.Item)
		if err != nil {
			return nil, err
		}
		end += p.Item.Length
		c.parts, c.starts = append(c.parts, part), append(c.starts, end)
	}
	return c, nil
}

// produceStaged writes it to scratch space.
func (s *scope) produceStaged(it *pamz.Item) (room, error) {
	if it.Length > s.work {
		return nil, errTooMuch()
	}
	alloc := s.arena.alloc
	switch it.Recipe.Op {
	case pamz.OpZstdDecompression, pamz.OpZstdDelta, pamz.OpGzDecompression, pamz.OpZlibDecompression:
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
	if it.Length == 0 || it.Recipe.FromTarget() || s.diff.Version != 0 {
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
	for _, p := range it.Recipe.Params {
		if p.Item != nil {
			if err := s.release(p.Item, written && it.Recipe.Passes()); err != nil {
				return err
			}
		}
	}
	return nil
}

// inflation is how far the remainder has been read.
type inflation struct {
	r      io.ReadCloser // nil before the first use, and once all is staged
	pos    int64
	whole  room
	staged bool
}

// remainder writes n bytes of the remainder. As long as they are asked for in
// order they come straight out of the deflated stream; after that, out of scratch
// space.
func (s *scope) remainder(w io.Writer, r *pamz.Recipe, n int64) error {
	if r.Rest == nil {
		return s.copy(w, bytes.NewReader(r.Data), n)
	}
	in := s.inflated[r.Rest]
	if in == nil {
		in = &inflation{}
		s.inflated[r.Rest] = in
	}
	if !in.staged && in.pos > r.Offset {
		if err := in.stage(s, r.Rest); err != nil {
			return err
		}
	}
	if in.staged {
		return s.copy(w, io.NewSectionReader(s.arena.reader(in.whole), r.Offset, n), n)
	}
	if s.dry {
		in.pos = r.Offset + n
		return skip(w, n)
	}
	if in.r == nil {
		in.r = codec.NewDeflateReader(io.NewSectionReader(r.Rest.Stream, 0, r.Rest.Stream.Size()))
	}
	skip := r.Offset - in.pos
	if err := s.spend(skip); err != nil {
		return err
	}
	if err := s.drain(io.Discard, in.r, skip, pamz.CodeInflate, pamz.CodeInflateShort); err != nil {
		return err
	}
	in.pos = r.Offset + n
	return s.drain(w, in.r, n, pamz.CodeInflate, pamz.CodeInflateShort)
}

// stage inflates the whole remainder into scratch space.
func (in *inflation) stage(s *scope, rest *pamz.Deflated) (err error) {
	if err := s.spend(rest.Size); err != nil {
		return err
	}
	if in.whole, err = s.arena.alloc(rest.Size); err != nil {
		return err
	}
	if s.dry {
		in.staged = true
		return nil
	}
	in.r.Close()
	in.r = codec.NewDeflateReader(io.NewSectionReader(rest.Stream, 0, rest.Stream.Size()))
	w := s.arena.writer(in.whole)
	if err := s.drain(w, in.r, rest.Size, pamz.CodeInflate, pamz.CodeInflateShort); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	in.staged = true
	return in.r.Close()
}

func (in *inflation) close(s *scope) error {
	switch {
	case in.staged:
		return s.arena.free(in.whole)
	case in.r == nil:
		return nil // rehearsed
	}
	return in.r.Close()
}

// tap passes a target on and keeps the ranges of it that are copied later.
type tap struct {
	w       io.Writer
	arena   *arena
	ranges  []extent // of the target, by start, apart from each other
	kept    []room   // where they are, as far as they were reached
	current *bufio.Writer
	written int64
}

func (t *tap) Write(p []byte) (int, error) {
	if _, err := t.w.Write(p); err != nil {
		return 0, err
	}
	return len(p), t.pass(int64(len(p)), p)
}

func (t *tap) skip(n int64) error {
	if err := skip(t.w, n); err != nil {
		return err
	}
	return t.pass(n, nil)
}

// pass deals with the next n bytes of the target: p, or nothing in a rehearsal.
func (t *tap) pass(n int64, p []byte) error {
	for n > 0 {
		size, err := t.keep(n, p)
		if err != nil {
			return err
		}
		t.written += size
		n -= size
		if p != nil {
			p = p[size:]
		}
	}
	return nil
}

// keep deals with as many of the next n bytes as are all kept or all not, and
// returns their number.
func (t *tap) keep(n int64, p []byte) (int64, error) {
	if t.current == nil {
		if len(t.kept) == len(t.ranges) {
			return n, nil
		}
		next := t.ranges[len(t.kept)]
		if t.written < next.start {
			return min(n, next.start-t.written), nil
		}
		e, err := t.arena.alloc(next.size)
		if err != nil {
			return 0, err
		}
		t.kept = append(t.kept, e)
		t.current = t.arena.writer(e)
	}
	r := t.ranges[len(t.kept)-1]
	left := r.start + r.size - t.written
	n = min(n, left)
	if p != nil {
		if _, err := t.current.Write(p[:n]); err != nil {
			return 0, err
		}
	}
	if n == left {
		err := t.current.Flush()
		t.current = nil
		return n, err
	}
	return n, nil
}

// read returns n bytes of the target at offset, which lie in one of the ranges.
func (t *tap) read(offset, n int64) (io.ReaderAt, error) {
	if offset > t.written-n {
		return nil, pamz.Errorf(pamz.CodeOutOfBounds, "%d bytes at %d of the target, of which %d are written", n, offset, t.written)
	}
	if t.current != nil {
		if err := t.current.Flush(); err != nil {
			return nil, err
		}
	}
	i := sort.Search(len(t.ranges), func(i int) bool { return t.ranges[i].start > offset }) - 1
	return io.NewSectionReader(t.arena.reader(t.kept[i]), offset-t.ranges[i].start, n), nil
}

func (t *tap) close() error {
	for _, e := range t.kept {
		if err := t.arena.free(e); err != nil {
			return err
		}
	}
	return nil
}
