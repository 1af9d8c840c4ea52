// SPDX-License-Identifier: MIT

package match

import (
	"errors"
	"fmt"
	"math"
	"runtime/debug"
	"slices"
	"sync"

	"swudelta/internal/bsdiff"
	"swudelta/internal/progress"
	"swudelta/internal/span"
)

// parallel runs work(0) ... work(n-1), workers at a time, and returns all
// errors, joined in the order of the index.
func parallel(n, workers int, work func(int) error) error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	slots := make(chan struct{}, max(workers, 1))
	for i := range n {
		slots <- struct{}{}
		wg.Add(1)
		go func() {
			defer wg.Done()
			errs[i] = work(i)
			<-slots
		}()
	}
	wg.Wait()
	return errors.Join(errs...)
}

// madePack is a pack with its patch.
type madePack struct {
	*pack
	patch    []byte  // encoded
	fresh    []byte  // stands behind the old ranges
	literals Range   // where fresh lies among the literals of the image; what is direct follows
	direct   []piece // long runs of fresh bytes, which the table takes
	sites    []Site  // where they are inserted
	sizes    bsdiff.Sizes
	known    int // bytes of copies that needed no matching

	controls []bsdiff.Control // if Whole, in place of patch
}

func pieceLen(p piece) int { return p.n }

// matchPacks makes the packs that fit the device and finds their patches.
func (f *finder) matchPacks() ([]*madePack, error) {
	packs, n, err := f.fitPacks()
	if err != nil {
		return nil, err
	}
	made := make([][]*madePack, len(packs))
	spaces := make(chan *workspace, n) // one for each worker
	for range n {
		spaces <- &workspace{}
	}
	copied := f.division.copied(f.old.Index)
	size := total(packs, (*pack).oldSize) + total(packs, (*pack).newSize)
	if !f.Whole {
		size += total(packs, (*pack).newSize) // which is coded, too
	}
	stage := f.Progress.Start("packs", progress.Bytes, int64(size))
	stage.Divide(len(packs))
	err = parallel(len(packs), n, func(i int) error {
		stage.Next()
		w := <-spaces
		defer func() { spaces <- w }()
		k, err := w.match(packs[i], f.Pack, f, stage)
		if k != nil || err != nil {
			made[i] = append(made[i], k)
			return err
		}
		// There are more fresh bytes than expected. With half of the material each
		// there is room for all that can be fresh.
		c := newChooser(f.old.Index, f.target, f.division, f.hints, f.RangeCost)
		for _, half := range split(packs[i].material, nil, (packs[i].newSize()+1)/2) {
			half.ranges, half.idle, _ = c.choose(half.material, max(min(f.Pack-2*half.newSize(), packs[i].oldSize()), 0))
			half.leaveOut(copied)
			k, err := w.match(half, math.MaxInt, f, stage)
			if err != nil {
				return err
			}
			made[i] = append(made[i], k)
		}
		return nil
	})
	// What the workspaces took is not needed again, and others, that are not Go, may take it.
	debug.FreeOSMemory()
	return slices.Concat(made...), err
}

// directRuns are lengths, in bytes, from which on a run of fresh bytes is not
// part of its pack. It costs an entry of the table, and saves the device the
// memory for it twice, on both sides of the patch.
var directRuns = []int{64 << 10, 32 << 10, 16 << 10, 8 << 10, 4 << 10}

// workspace is memory that is used for one pack after the other.
type workspace struct {
	from, to []byte // the sides of the pack
	diff     bsdiff.Workspace
}

// match finds the patch of a pack. It returns nil if a device with budget bytes
// for both sides cannot apply it. The stage counts bytes of both sides, and those of the new one
// once more while the patch is coded.
func (w *workspace) match(p *pack, budget int, f *finder, stage *progress.Stage) (*madePack, error) {
	from, to := slices.Grow(w.from[:0], p.oldSize()), slices.Grow(w.to[:0], p.newSize())
	for _, r := range p.ranges {
		from = append(from, f.old.Data[r.Off:r.End()]...)
	}
	for _, part := range p.parts(f.target) {
		to = append(to, part...)
	}
	w.from, w.to = from, to
	known := p.copies(f.division)
	whole := w.diff.Diff(from, to, known, p.skipped(), bsdiff.Options{Effort: f.Effort.Patch, Progress: stage.Add})
	copied := total(known, func(c bsdiff.Copy) int { return c.Len })
	if f.Whole {
		return &madePack{pack: p, controls: whole.Controls, known: copied}, nil
	}
	sites := insertions(whole, p.ranges, bsdiff.FreshRun)
	for _, least := range directRuns {
		patch, runs := whole.CutFresh(least)
		patch, fresh := patch.MoveFresh(int64(len(from)), bsdiff.FreshRun)
		if int64(len(from)+len(fresh))+patch.NewSize() > int64(budget) {
			continue
		}
		k := &madePack{pack: &pack{ranges: p.ranges}, fresh: fresh, sites: sites, known: copied}
		k.material, k.direct = cutRuns(p.material, runs)
		whole = nil // it is large
		var err error
		k.patch, k.sizes, err = f.encode(patch, len(to), stage)
		return k, err
	}
	return nil, nil
}

// cutRuns cuts runs, which are in offsets of the pieces end to end, out of the
// pieces.
func cutRuns(pieces []piece, runs []span.Range) (rest, cut []piece) {
	at := 0 // of the piece
	for _, p := range pieces {
		end := at + p.n
		for len(runs) > 0 && int(runs[0].Off) < end {
			// The part of the run that lies in this piece.
			from, to := max(int(runs[0].Off), at), min(int(runs[0].Off+runs[0].Len), end)
			if from > at {
				rest = append(rest, piece{at: p.at, n: from - at})
			}
			cut = append(cut, piece{at: p.at + from - at, n: to - from})
			p.at += to - at
			at = to
			if int(runs[0].Off+runs[0].Len) > end {
				break
			}
			runs = runs[1:]
		}
		if at < end {
			rest = append(rest, piece{at: p.at, n: end - at})
		}
		at = end
	}
	return rest, cut
}

// minPack is the smallest useful sum of both sides of a pack, in bytes.
const minPack = 1 << 20

// fitPacks makes packs that fit the device, and each of them Memory. Workers is how many of them
// fit at a time.
func (f *finder) fitPacks() (packs []*pack, workers int, err error) {
	limits := f.Limits
	stage := f.Progress.Start("arrange", progress.Bytes, 0)
	for {
		packs := f.makePacks(limits, stage)
		most := int64(1)
		for _, p := range packs {
			indexed := bsdiff.Indexed(p.oldSize(), p.copies(f.division), p.skipped())
			most = max(most, f.Effort.Patch.Memory(p.oldSize(), indexed, p.newSize()))
		}
		if most <= f.Memory {
			return packs, int(min(f.Memory/most, int64(f.workers()))), nil
		}
		if limits.Pack <= minPack {
			return nil, 0, fmt.Errorf("%w: a pack takes %d bytes, and there are %d", ErrMemory, most, max(f.Memory, 0))
		}
		limits.Pack = max(min(int(float64(limits.Pack)/float64(most)*float64(max(f.Memory, 0))), limits.Pack*9/10), minPack)
	}
}

// Site is a place of the old side where fresh bytes are inserted, and the range
// of the old side around it that may be of use.
type Site struct {
	At int
	Range
}

// insertions returns the places of the old side of an image at which a patch
// inserts at least least bytes.
func insertions(p *bsdiff.Patch, ranges []Range, least int) []Site {
	size := total(ranges, rangeLen)
	var out []Site
	add := func(pos int) {
		// The place in the old side of the pack, and the range it lies in.
		pos = min(max(pos, 0), size)
		for _, r := range ranges {
			if pos <= r.Len {
				out = append(out, Site{r.Off + pos, r})
				return
			}
			pos -= r.Len
		}
	}
	const slack = 8 << 10 // a seek by less stays at the same place
	pos := int64(0)
	for _, c := range p.Controls {
		pos += c.Add
		if c.Extra >= int64(least) {
			add(int(pos))
			if c.Seek < -slack || c.Seek > slack {
				add(int(pos + c.Seek))
			}
		}
		pos += c.Seek
	}
	return out
}
