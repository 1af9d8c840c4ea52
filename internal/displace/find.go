// SPDX-License-Identifier: MIT

package displace

import (
	"fmt"
	"io"
	"math"
	"slices"
	"sort"
)

// An Image is one side of a delta, for Find.
type Image struct {
	R    io.ReaderAt
	Size int64

	// Files lists files by their extents, as far as they are known; it may be
	// nil. Programs that lie in one piece are found without.
	Files [][]Extent
}

// An Extent is a run of bytes of an image.
type Extent struct{ Off, Len int64 }

// moduleCost and rangeCost are what a statement of the plan costs about, in
// bytes of the coded delta. Each byte that is predicted right saves about a byte.
const (
	moduleCost = 24
	rangeCost  = 8
)

// Passes is how often Find goes over the copies.
const Passes = 8

// Find finds what there is to predict if the copies make the new side out of
// the old one. It tries the prediction, and states only what makes more bytes
// right than the statement takes. Files that are no proper programs are left
// alone. It calls progress after each of its Passes over the copies, unless there is
// nothing to predict. The error is one of reading, or of copies that do not fit.
func Find(old, new Image, copies []Copy, progress func()) (*Plan, []Copy, error) {
	if err := checkCopies(copies, old.Size, new.Size); err != nil {
		return nil, nil, err
	}
	p := &Plan{oldSize: old.Size, newSize: new.Size}
	var err error
	if p.old, err = modules(old); err != nil {
		return nil, nil, err
	}
	if len(p.old) == 0 {
		return p, copies, nil
	}
	p.old.limitTypes()
	if p.new, err = modules(new); err != nil {
		return nil, nil, err
	}
	for i := range p.new {
		p.new[i].ranges = nil // of no use to the decoder
	}
	first, err := p.try(old.R, new.R, copies)
	if err != nil {
		return nil, nil, err
	}
	progress()
	p.keep(first.differOld, first.differNew)
	// Better copies make a better map, which makes better copies.
	better := copies
	for range 2 {
		if better, err = realign(p, old.R, new.R, better); err != nil {
			return nil, nil, err
		}
		progress()
		if p.moves, err = learn(p, old.R, new.R, better); err != nil {
			return nil, nil, err
		}
		progress()
	}
	if better, err = follow(p, old.R, new.R, better); err != nil {
		return nil, nil, err
	}
	progress()
	if p.moves, err = learn(p, old.R, new.R, better); err != nil {
		return nil, nil, err
	}
	progress()
	last, err := p.try(old.R, new.R, better)
	if err != nil {
		return nil, nil, err
	}
	progress()
	p.keep(last.pays(p), last.gains)
	if m, err := newAddressMap(p, better, MaxPieces); err != nil || len(m.pieces) == 0 || len(m.ranges) == 0 {
		return &Plan{oldSize: old.Size, newSize: new.Size}, copies, nil
	}
	return p, better, nil
}

// keep takes those modules out of p for which there is no more to win than they
// cost, and the moves between them.
func (p *Plan) keep(olds, news []int) {
	oldAt, newAt := p.old.keep(olds), p.new.keep(news)
	var moves []move
	for _, m := range p.moves {
		if o, n := oldAt[m.pairKey.old], newAt[m.pairKey.new]; o >= 0 && n >= 0 {
			m.pairKey = pairKey{o, n}
			moves = append(moves, m)
		}
	}
	p.moves = moves
}

// keep leaves the modules that win more than moduleCost, and returns which
// number each module has afterwards, or -1.
func (s *side) keep(wins []int) []int32 {
	at := make([]int32, len(*s))
	var out side
	for i, m := range *s {
		at[i] = -1
		if wins[i] > moduleCost {
			at[i] = int32(len(out))
			out = append(out, m)
		}
	}
	*s = out
	return at
}

// pays takes those ranges out of p that do not pay, and returns what the old
// modules win by the others.
func (t *trial) pays(p *Plan) []int {
	wins := make([]int, len(p.old))
	for i := range p.old {
		m := &p.old[i]
		var ranges []codeKind
		for j, r := range m.ranges {
			if gain := t.ranges[i][j]; gain > rangeCost {
				ranges = append(ranges, r)
				wins[i] += gain - rangeCost
			}
		}
		m.ranges = ranges
	}
	return wins
}

// try predicts all copies and counts.
func (p *Plan) try(old, new io.ReaderAt, copies []Copy) (*trial, error) {
	m, err := newAddressMap(p, copies, math.MaxInt)
	if err != nil {
		return nil, err
	}
	t := &trial{
		Predictor: newPredictor(m, old, p.oldSize), new: new, ranges: make([][]int, len(p.old)),
		gains: make([]int, len(p.new)), differOld: make([]int, len(p.old)), differNew: make([]int, len(p.new)),
	}
	for i := range p.old {
		t.ranges[i] = make([]int, len(p.old[i].ranges))
	}
	for _, c := range copies {
		if err := t.copy(c); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// A trial counts bytes of copies between modules.
type trial struct {
	*Predictor
	new io.ReaderAt

	// How many bytes more are right with the prediction, for each range of each
	// old module, and for each new module.
	ranges [][]int
	gains  []int

	// How many bytes differ without, for each old and new module.
	differOld, differNew []int

	was, is, got []byte
}

// trialStretch is how many bytes are tried at once.
const trialStretch = 64 << 10

// copy tries the parts of c that lie in ranges of the old side and in segments
// of the new one.
func (t *trial) copy(c Copy) error {
	shift := c.New - c.Old
	i := sort.Search(len(t.Predictor.ranges), func(i int) bool { return t.Predictor.ranges[i].end() > c.Old })
	for ; i < len(t.Predictor.ranges) && t.Predictor.ranges[i].off < c.Old+c.Len; i++ {
		r := &t.Predictor.ranges[i]
		lo, hi := max(c.Old, r.off), min(c.Old+c.Len, r.end())
		j := sort.Search(len(t.newSegments), func(j int) bool { return t.newSegments[j].end() > lo+shift })
		for ; j < len(t.newSegments) && t.newSegments[j].off < hi+shift; j++ {
			s := &t.newSegments[j]
			to := min(hi, s.end()-shift)
			for from := max(lo, s.off-shift); from < to; from += trialStretch {
				gain, differ, err := t.gain(from, min(to, from+trialStretch), shift)
				if err != nil {
					return err
				}
				t.ranges[r.module][r.stated] += gain
				t.gains[s.module] += gain
				t.differOld[r.module] += differ
				t.differNew[s.module] += differ
			}
		}
	}
	return nil
}

// gain tries the old bytes [lo, hi), which move by shift, and returns how many
// more are right with the prediction, and how many differ without.
func (t *trial) gain(lo, hi, shift int64) (gain, differ int, err error) {
	n := int(hi - lo)
	t.was, t.is, t.got = resize(t.was, n), resize(t.is, n), resize(t.got, n)
	if err := readAt(t.old, t.was, lo); err != nil {
		return 0, 0, err
	}
	if err := readAt(t.new, t.is, lo+shift); err != nil {
		return 0, 0, err
	}
	copy(t.got, t.was)
	if err := t.Predict(t.got, nil, lo+shift, lo); err != nil {
		return 0, 0, err
	}
	for i, b := range t.is {
		if t.was[i] != b {
			differ++
		}
		switch {
		case t.got[i] == t.was[i]:
		case t.got[i] == b:
			gain++
		case t.was[i] == b:
			gain--
		}
	}
	return gain, differ, nil
}

func resize(b []byte, n int) []byte { return slices.Grow(b[:0], n)[:n] }

func readAt(r io.ReaderAt, b []byte, off int64) error {
	if n, err := r.ReadAt(b, off); n < len(b) {
		if err == nil || err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return fmt.Errorf("read at offset %d: %w", off+int64(n), err)
	}
	return nil
}
