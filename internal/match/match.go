// SPDX-License-Identifier: MIT

// Package match finds what of a new content is where in an old one. It knows no
// device but for the few numbers in Limits, and nothing of file formats: content
// is bytes, and what layouts name in it is a hint.
//
// Find divides the new content into long runs that the old one has too, long runs of
// zeros, repeats, and the rest, the material. Material goes into packs: a pack is one
// binary patch for changed content from all over the new side against those ranges of
// the old side that serve it. Bytes that nothing predicts, the literals, are taken out of
// the patches and stand together. The result, an Image, says for each byte of the new
// content which of these it comes from. doc/engine.md tells why it is done this
// way, doc/glossary.md has the terms.
package match

import (
	"bytes"
	"errors"
	"runtime"
	"sync/atomic"

	"swudelta/internal/bsdiff"
	"swudelta/internal/bzip2"
	"swudelta/internal/progress"
)

// Side is content that takes part.
type Side struct {
	Data    []byte
	Zeros   []Range // long runs of zeros, sorted: they need not be read
	Objects []Object
	Index   *Index // of Data; of the new side: nil
}

// Limits are what the device says.
type Limits struct {
	Pack        int // greatest sum of both sides of a pack, in bytes
	Run         int // shortest run of the old side that is an entry of its own, in bytes
	Zeros       int // the same for zeros,
	Repeat      int // and for repeats
	EntryMemory int // what an entry takes of the device's memory while packs are made, in bytes
	PatchMemory int // what applying a patch takes beside its sides, in bytes
	RangeCost   int // bytes of the delta for each range of the old side of a pack

	// Whole says that patches are wanted as they are found: with Controls instead of Patch,
	// and with literals in place, so that Fresh is empty.
	Whole bool
}

// Effort is what takes time and saves bytes.
type Effort struct {
	Patch bsdiff.Effort
	// OldShare is how much old side a pack may need for each byte of new side.
	OldShare float64
	// Quick says that the streams of patches are compressed in less time.
	Quick bool
}

// Options say how to match.
type Options struct {
	Limits
	Effort  Effort
	Memory  int64 // that packs may take here, in bytes; where it is short, they are small
	Workers int   // at most that many; the result is the same for any number

	Progress *progress.Meter // has the stages match, arrange and packs
}

// Image is a new content and where it comes from.
type Image struct {
	Target  []byte
	Old     []byte
	Packs   []*Pack
	Fresh   []byte  // literals, end to end
	Sites   []Site  // of the old side: where literals are inserted
	Entries []Entry // of all of Target, in order

	Copied, Zeros, Repeats, Packed int64 // bytes of Target: runs of the old side, zeros, repeats, in packs
}

// Entry is a range of the new content. Its bytes lie at Off in: the old side, the
// literals, what pack 0 makes, what pack 1 makes, and so on, end to end. Or they are
// zeros.
type Entry struct {
	Len, Off int
	Zero     bool
}

// Pack is a patch and what it is applied to.
type Pack struct {
	Ranges []Range  // of the old side: the old side of the patch, end to end,
	Fresh  Range    // and behind them these of Image.Fresh
	New    [][]byte // what the patch makes, end to end
	Patch  []byte   // BSDIFF40; nil if Whole
	Sizes  bsdiff.Sizes

	Controls []bsdiff.Control // if Whole

	known, direct, runs int // bytes of known copies; literals that are entries, and their number
}

// NewSize is the length of what the patch makes, in bytes.
func (p *Pack) NewSize() int { return total(p.New, func(b []byte) int { return len(b) }) }

// ErrMemory says that there is too little memory here.
var ErrMemory = errors.New("too little memory")

// finder is what Find works with.
type finder struct {
	Options
	old      *Side
	target   []byte
	division *division
	hints    *hints
}

// Find finds where the new side comes from. The error is ErrMemory if Options.Memory is too
// little for any pack.
func Find(old, new *Side, o Options) (*Image, error) {
	stage := o.Progress.Start("match", progress.Bytes, int64(len(new.Data)))
	f := &finder{
		Options: o, old: old, target: new.Data,
		division: divide(old.Index, new.Data, new.Zeros, thresholds{copy: o.Run, zero: o.Zeros, repeat: o.Repeat}, stage),
		hints:    newHints(old.Objects, new.Objects),
	}
	made, err := f.matchPacks()
	if err != nil {
		return nil, err
	}
	literals := total(made, func(k *madePack) int { return len(k.fresh) + total(k.direct, pieceLen) })
	im := &Image{Target: new.Data, Old: old.Data, Fresh: make([]byte, 0, literals)}
	for _, k := range made {
		k.literals = Range{len(im.Fresh), len(k.fresh)}
		im.Fresh = append(im.Fresh, k.fresh...)
		k.fresh = nil // of large content it is much
		for _, run := range k.direct {
			im.Fresh = append(im.Fresh, f.target[run.at:run.end()]...)
		}
		im.Sites = append(im.Sites, k.sites...)
	}
	im.Entries = newTable(f.target, f.division.pieces, made, len(old.Data), len(im.Fresh)).entries
	for _, k := range made {
		p := &Pack{
			Ranges: k.ranges, Fresh: k.literals, New: k.parts(f.target), Patch: k.patch, Sizes: k.sizes, Controls: k.controls,
			known: k.known, direct: total(k.direct, pieceLen), runs: len(k.direct),
		}
		im.Packs = append(im.Packs, p)
		im.Packed += int64(k.newSize())
	}
	for _, p := range f.division.pieces {
		n := int64(p.n)
		switch p.kind {
		case inOld:
			im.Copied += n
		case isZero:
			im.Zeros += n
		case repeated:
			im.Repeats += n
		}
	}
	return im, nil
}

// Explain tells where the content comes from, and what it costs.
func (im *Image) Explain(line func(format string, args ...any)) {
	line("content %d: runs of the source %d, zeros %d, repeats %d, in packs %d, fresh %d", len(im.Target), im.Copied, im.Zeros, im.Repeats, im.Packed, len(im.Fresh))
	ranges, sizes := 0, bsdiff.Sizes{}
	for i, p := range im.Packs {
		ranges += len(p.Ranges)
		sizes.Control, sizes.Diff, sizes.Extra = sizes.Control+p.Sizes.Control, sizes.Diff+p.Sizes.Diff, sizes.Extra+p.Sizes.Extra
		line("pack %d: new %d, %d of it known copies, old %d ranges %d fresh %d, %d in %d runs of their own; control %d diff %d extra %d",
			i, p.NewSize(), p.known, Total(p.Ranges), len(p.Ranges), p.Fresh.Len, p.direct, p.runs, p.Sizes.Control, p.Sizes.Diff, p.Sizes.Extra)
	}
	line("bytes of the patches: control %d diff %d extra %d; ranges %d, entries %d", sizes.Control, sizes.Diff, sizes.Extra, ranges, len(im.Entries))
}

// encode encodes a patch. The stage counts size bytes meanwhile: about as many as its streams have.
func (f *finder) encode(p *bsdiff.Patch, size int, stage *progress.Stage) ([]byte, bsdiff.Sizes, error) {
	var left atomic.Int64
	left.Store(int64(size))
	e := bzip2.Encoder{Workers: f.workers(), Quick: f.Effort.Quick, Progress: func(n int64) {
		stage.Add(min(n, max(left.Add(-n)+n, 0)))
	}}
	var b bytes.Buffer
	sizes, err := p.Encode(&b, e.Encode)
	stage.Add(max(left.Load(), 0))
	return b.Bytes(), sizes, err
}

func (f *finder) workers() int {
	if f.Workers > 0 {
		return f.Workers
	}
	return runtime.GOMAXPROCS(0)
}
