// SPDX-License-Identifier: MIT

// Package apply applies PAMZ deltas (package pamz): Apply does it, Needs says before what it
// takes, and a Viewer looks at what a delta holds.
package apply

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"swudelta/internal/bsdiff"
	"swudelta/internal/codec"
	"swudelta/internal/digest"
	"swudelta/internal/errnum"
	"swudelta/internal/pamz"
	"swudelta/internal/span"
)

// Options say what Apply may use.
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

	// Progress is called with what was done, as bytes of the target, which together it has all.
	// What is produced on the way counts as well: long before the first byte of a target there
	// may be patches applied for it.
	Progress func(n int64)
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
			return errnum.Errorf(errnum.SourceSize, "source has %d bytes, want %d", sourceSize, d.SourceLength)
		}
		if sum == nil {
			sum = digest.NewWriter(io.Discard)
			err = a.mode.copy(sum, section, d.SourceLength)
		}
		if err == nil {
			err = errnum.Coded(errnum.Hash, digest.Check(sum.Sum(), d.SourceSHA256))
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
	need, way, work, err := rehearse(d, info, section, opts)
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
	a.progress = &progress{report: opts.Progress, target: d.TargetLength, work: work}
	out := bufio.NewWriterSize(dst, copySize)
	s := a.newScope(d, info, section, 0)
	if err := s.run(out, true); err != nil {
		return err
	}
	if err := out.Flush(); err != nil {
		return err
	}
	if err := finish(); err != nil {
		return err
	}
	a.progress.tell(d.TargetLength)
	return nil
}

// progress reports how much of the work is done.
type progress struct {
	report func(n int64) // nil: nobody listens
	target int64         // bytes
	work   int64         // bytes that are produced, as far as a rehearsal can tell
	done   int64         // of them
	told   int64         // bytes of the target
}

// add says that n more bytes were produced.
func (p *progress) add(n int64) {
	if p == nil {
		return
	}
	p.done = min(p.done+n, p.work)
	p.tell(int64(float64(p.target) * float64(p.done) / float64(max(p.work, 1))))
}

// tell reports what was not reported of the first n bytes of the target.
func (p *progress) tell(n int64) {
	if p.report != nil && n > p.told {
		p.report(n - p.told)
		p.told = n
	}
}

// applier is what one Apply shares among the deltas inside each other.
type applier struct {
	opts   Options
	arena  arena
	memory int64 // left for codecs

	most int64 // that was taken by codecs at a time

	patcher *bsdiff.Applier // kept, with its memory, until another codec takes some; nil: none, or one in use

	progress *progress // nil: in a rehearsal

	work  int64 // bytes that may still be produced
	items int   // that deltas inside d may still have, all that are open at a time
	buf   []byte

	mode mode // how content is produced
	lazy bool // sources of nested deltas are produced piece by piece (see supply)
}

func newApplier(d *pamz.Diff, opts Options) *applier {
	a := &applier{opts: opts, items: pamz.MaxItems - d.Items, buf: make([]byte, copySize)}
	a.memory = a.budget()
	a.arena.open, a.arena.newBlock = opts.Scratch, mapBlock
	a.mode = production{a}
	return a
}

// budget is how much memory codecs may take, in bytes.
func (a *applier) budget() int64 { return cmp.Or(a.opts.Memory, DefaultMemory) }

// info is what must be known of a delta before its first chunk is produced.
type info struct {
	mentions map[stageKey]int // how often there is an item that may have to be staged
	last     map[stageKey]int // the last chunk that needs an item that may have to be staged
	copied   []span.Range     // ranges of the target that are copied later, merged
	opened   opened
}

// inspect validates d and the deltas inside it that can be seen.
func (a *applier) inspect(d *pamz.Diff, sourceLength int64, depth int) (*info, error) {
	if depth > pamz.MaxNested {
		return nil, errnum.Errorf(errnum.Other, "deltas nested more than %d deep", pamz.MaxNested)
	}
	in := &info{last: map[stageKey]int{}, mentions: map[stageKey]int{}}
	end := int64(0)
	for i, c := range d.Chunks {
		if c.Length < 0 || c.Length > d.TargetLength-end {
			return nil, errnum.Errorf(errnum.Lengths, "chunk %d ends beyond the target's %d bytes", i, d.TargetLength)
		}
		end += c.Length
	}
	if end != d.TargetLength {
		return nil, errnum.Errorf(errnum.Lengths, "the chunks have %d bytes, the target has %d", end, d.TargetLength)
	}
	err := d.Walk(func(index int, it *pamz.Item) error {
		if err := d.CheckItem(it, sourceLength); err != nil {
			return err
		}
		switch r := it.Recipe; {
		case r.FromTarget():
			c := r.Params[0].Item
			if c.Length > d.TargetLength || c.Offset > d.TargetLength-c.Length {
				return errnum.Errorf(errnum.OutOfBounds, "%d bytes at %d of a target of %d bytes", c.Length, c.Offset, d.TargetLength)
			}
			in.copied = append(in.copied, span.Range{Off: c.Offset, Len: c.Length})
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
	if err == nil {
		err = checkPieces(d)
	}
	if err != nil {
		return nil, err
	}
	slices.SortFunc(in.copied, span.Range.Compare)
	merged := in.copied[:0]
	for _, e := range in.copied {
		if n := len(merged); n > 0 && e.Off <= merged[n-1].Off+merged[n-1].Len {
			merged[n-1].Len = max(merged[n-1].Len, e.Off+e.Len-merged[n-1].Off)
			continue
		}
		merged = append(merged, e)
	}
	in.copied = merged
	return in, nil
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

// spend counts n produced bytes.
func (a *applier) spend(n int64) error {
	if n > a.work {
		return errTooMuch()
	}
	a.work -= n
	a.progress.add(n)
	return nil
}

func errTooMuch() error {
	return errnum.Errorf(errnum.Other, "the delta asks for far more work than its target needs")
}

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
	err := a.mode.patch(p, w, old, oldSize, patch, patchSize, newSize)
	a.memory += need - p.Memory()
	a.patcher = p
	return errnum.Coded(errnum.BSPatch, err)
}

// dropPatcher gives up the memory that is kept for the next patch.
func (a *applier) dropPatcher() {
	if a.patcher != nil {
		a.memory += a.patcher.Memory()
		a.patcher = nil
	}
}
