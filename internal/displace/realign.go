// SPDX-License-Identifier: MIT

package displace

import (
	"cmp"
	"encoding/binary"
	"io"
	"math"
	"slices"
	"sort"

	"swudelta/internal/bsdiff"
)

// Copies were chosen for old bytes as they are. In a table of addresses each
// record differs from what it was, and one place is as good as the other: when
// a record was inserted, the copy goes on one record off. With the prediction the
// records that belong together are equal, so tables are matched again, the old one as
// it is predicted.

const (
	// realignLargest is the largest table that is matched again, in bytes.
	realignLargest = 64 << 20

	// followShortest is the shortest move that copies may follow, in bytes.
	followShortest = 32

	// copyCost is what a copy costs about, in bytes that would be wrong
	// without it.
	copyCost = 6
)

// isTable reports whether this is a kind of table in which records are found again
// by their targets.
func (k Kind) isTable() bool {
	switch k {
	case Pointers64, Pointers32, Relocations64, Relocations32, PackedRelocs64, Symbols64, Symbols32,
		SymbolNumbers64, SymbolNumbers32, FrameIndex, Distances32, UnwindIndex,
		ObjectRelocations64, ObjectSymbols64, KernelSymbols:
		return true
	}
	return false
}

// realign returns copies with those in tables replaced where that pays.
func realign(p *Plan, old, new io.ReaderAt, copies []Copy) ([]Copy, error) {
	m, err := newAddressMap(p, copies, math.MaxInt)
	if err != nil {
		return nil, err
	}
	a := realigner{Predictor: newPredictor(m, old, p.oldSize), new: new}
	r := replacer{rest: copies}
	for _, h := range a.hulls(copies) {
		if !r.reach(h.lo) {
			continue // it shares its place with one before
		}
		better, err := a.match(h, r.upTo(h.hi))
		if err != nil {
			return nil, err
		}
		if better != nil {
			r.replace(h.hi, better...)
		}
	}
	return r.result(), nil
}

// A replacer replaces some of a list of copies, from front to back.
type replacer struct {
	out      []Copy
	rest     []Copy // from the new offset at on: what of the first lies before it is in out
	at       int64
	replaced int64 // where the last copy of the last replacement ends
}

// reach goes on to the new offset at, unless that lies in what was replaced.
func (r *replacer) reach(at int64) bool {
	if at < r.replaced {
		return false
	}
	r.out = append(r.out, r.upTo(at)...)
	r.skip(at)
	return true
}

// upTo returns what comes next, up to the new offset at.
func (r *replacer) upTo(at int64) (inside []Copy) {
	for _, c := range r.rest {
		if c.New >= at {
			break
		}
		if lo, hi := max(c.New, r.at), min(c.New+c.Len, at); lo < hi {
			inside = append(inside, Copy{New: lo, Old: c.Old + lo - c.New, Len: hi - lo})
		}
	}
	return inside
}

// skip leaves out what comes next, up to the new offset at.
func (r *replacer) skip(at int64) {
	for len(r.rest) > 0 && r.rest[0].New+r.rest[0].Len <= at {
		r.rest = r.rest[1:]
	}
	r.at = max(r.at, at)
}

// replace puts copies in the place of what comes next, up to the new offset at.
func (r *replacer) replace(at int64, copies ...Copy) {
	r.out = append(r.out, copies...)
	r.skip(at)
	if n := len(r.out); n > 0 {
		r.replaced = r.out[n-1].New + r.out[n-1].Len
	}
}

// result returns all copies.
func (r *replacer) result() []Copy {
	r.reach(math.MaxInt64)
	return joinCopies(r.out)
}

// joinCopies makes one of copies that go on where the one before ends, on both
// sides.
func joinCopies(copies []Copy) []Copy {
	out := copies[:0]
	for _, c := range copies {
		if n := len(out); n > 0 && out[n-1].New+out[n-1].Len == c.New && out[n-1].Old+out[n-1].Len == c.Old {
			out[n-1].Len += c.Len
		} else {
			out = append(out, c)
		}
	}
	return out
}

// follow returns copies with those replaced that a move contradicts, where that
// pays: what refers to the moved content is predicted at the place that the move
// says, so it is better copied from there, too.
func follow(p *Plan, old, new io.ReaderAt, copies []Copy) ([]Copy, error) {
	m, err := newAddressMap(p, copies, math.MaxInt)
	if err != nil {
		return nil, err
	}
	t := trial{Predictor: newPredictor(m, old, p.oldSize), new: new}
	var moved []Copy
	for _, v := range p.moves {
		moved = append(moved, p.content(v)...)
	}
	slices.SortFunc(moved, func(a, b Copy) int { return cmp.Or(cmp.Compare(a.New, b.New), cmp.Compare(a.Old, b.Old)) })
	r := replacer{rest: copies}
	for _, c := range moved {
		if !r.reach(c.New) {
			continue
		}
		inside := r.upTo(c.New + c.Len)
		if copied := lengthOf(inside); copied < c.Len-c.Len/8 {
			continue // fresh bytes
		}
		now, err := t.wrong(inside, c.Len)
		if err != nil {
			return nil, err
		}
		then, err := t.wrong([]Copy{c}, c.Len)
		if err != nil {
			return nil, err
		}
		if then+2*copyCost < now {
			r.replace(c.New+c.Len, c)
		}
	}
	return r.result(), nil
}

// lengthOf is how many bytes copies make.
func lengthOf(copies []Copy) (n int64) {
	for _, c := range copies {
		n += c.Len
	}
	return n
}

// wrong counts how many of n new bytes are not predicted right by copies.
func (t *trial) wrong(copies []Copy, n int64) (int, error) {
	wrong := int(n)
	for _, c := range copies {
		t.got, t.is = resize(t.got, int(c.Len)), resize(t.is, int(c.Len))
		if err := readAt(t.old, t.got, c.Old); err != nil {
			return 0, err
		}
		if err := readAt(t.new, t.is, c.New); err != nil {
			return 0, err
		}
		if err := t.Predict(t.got, nil, c.New, c.Old); err != nil {
			return 0, err
		}
		for i := range t.is {
			if t.is[i] == t.got[i] {
				wrong--
			}
		}
	}
	return wrong, nil
}

// content returns the content that v moves, as copies. Moves are stated from
// the first to the last address that is referred to; the content goes on behind
// it, up to the length of an entry of a table.
func (p *Plan) content(v move) []Copy {
	var out []Copy
	if v.len < followShortest || v.len > realignLargest {
		return nil
	}
	const tail = 15
	for _, o := range p.old[v.pairKey.old].segments {
		lo, hi := max(v.piece.old, o.addr), min(v.end()+tail, o.addr+uint64(o.len))
		if lo >= hi {
			continue
		}
		for _, n := range p.new[v.pairKey.new].segments {
			from, to := max(lo+v.shift(), n.addr), min(hi+v.shift(), n.addr+uint64(n.len))
			if from < to {
				out = append(out, Copy{New: n.off + int64(from-n.addr), Old: o.off + int64(from-v.shift()-o.addr),
					Len: int64(to - from)})
			}
		}
	}
	return out
}

type realigner struct {
	*Predictor
	new  io.ReaderAt
	work bsdiff.Workspace
}

// A hull is what became of an old table: the new bytes [lo, hi).
type hull struct {
	r       *codeRange
	pair    *pair
	segment *modSegment
	parts   []hullPart
	lo, hi  int64
}

// A hullPart is what a copy has made of a part of a table.
type hullPart struct{ lo, hi, shift int64 }

// close sets the bounds. If single copies from elsewhere would make them too
// wide, those parts count that lie around the middle one, by length.
func (h *hull) close() {
	h.lo, h.hi = math.MaxInt64, 0
	for _, p := range h.parts {
		h.lo, h.hi = min(h.lo, p.lo), max(h.hi, p.hi)
	}
	if h.hi-h.lo <= 2*h.r.len {
		return
	}
	slices.SortFunc(h.parts, func(a, b hullPart) int { return cmp.Or(cmp.Compare(a.shift, b.shift), cmp.Compare(a.lo, b.lo)) })
	var sum int64
	for _, p := range h.parts {
		sum += p.hi - p.lo
	}
	middle, seen := int64(0), int64(0)
	for _, p := range h.parts {
		if seen += p.hi - p.lo; 2*seen >= sum {
			middle = p.shift
			break
		}
	}
	h.lo, h.hi = math.MaxInt64, 0
	for _, p := range h.parts {
		if d := p.shift - middle; d <= h.r.len/2 && -d <= h.r.len/2 {
			h.lo, h.hi = min(h.lo, p.lo), max(h.hi, p.hi)
		}
	}
}

// hulls returns what became of each table, sorted by place.
func (a *realigner) hulls(copies []Copy) []hull {
	type key struct {
		r       *codeRange
		segment int
	}
	found := map[key]*hull{}
	for i, c := range copies {
		shift := c.New - c.Old
		k := sort.Search(len(a.ranges), func(k int) bool { return a.ranges[k].end() > c.Old })
		for ; k < len(a.ranges) && a.ranges[k].off < c.Old+c.Len; k++ {
			r := &a.ranges[k]
			if !r.kind.isTable() || r.len > realignLargest {
				continue
			}
			lo, hi := max(c.Old, r.off)+shift, min(c.Old+c.Len, r.end())+shift
			j := sort.Search(len(a.newSegments), func(j int) bool { return a.newSegments[j].end() > lo })
			if j == len(a.newSegments) || a.newSegments[j].off > lo {
				continue
			}
			s := &a.newSegments[j]
			pr, ok := a.pairs[pairKey{r.module, s.module}]
			if !ok {
				continue
			}
			// Fresh bytes beside the copy belong to the table, too.
			if lo == c.New && i > 0 {
				lo = max(s.off, copies[i-1].New+copies[i-1].Len)
			}
			if hi = min(hi, s.end()); hi == c.New+c.Len && i+1 < len(copies) {
				hi = min(s.end(), copies[i+1].New)
			}
			h := found[key{r, j}]
			if h == nil {
				h = &hull{r: r, pair: pr, segment: s}
				found[key{r, j}] = h
			}
			h.parts = append(h.parts, hullPart{lo, hi, shift})
		}
	}
	var out []hull
	for _, h := range found {
		h.close()
		// What is strewn about, or nearly gone, is left as it is.
		if n := h.hi - h.lo; n <= 2*h.r.len && n >= h.r.len/2 {
			out = append(out, *h)
		}
	}
	slices.SortFunc(out, func(a, b hull) int { return cmp.Or(cmp.Compare(a.lo, b.lo), cmp.Compare(a.r.off, b.r.off)) })
	return out
}

// match matches a table again, as it is predicted, and returns better copies
// than those that make it now, if it finds any.
func (a *realigner) match(h hull, now []Copy) ([]Copy, error) {
	was, is := make([]byte, h.r.len), make([]byte, h.hi-h.lo)
	if err := readAt(a.old, was, h.r.off); err != nil {
		return nil, err
	}
	if err := readAt(a.new, is, h.lo); err != nil {
		return nil, err
	}
	addr := h.segment.addr + uint64(h.lo-h.segment.off)
	size := scanners[h.r.kind].block
	for at := h.r.off; at < h.r.end(); at += size {
		sites, err := a.sites(h.r, at)
		if err != nil {
			return nil, err
		}
		a.fill(&stretch{pair: h.pair, ref: h.r.ref, shift: addr - uint64(h.r.off), oldAt: h.r.off, lo: at,
			hi: min(at+size, h.r.end()), dst: was}, sites, at)
	}
	if h.r.kind == Distances32 || h.r.kind == UnwindIndex {
		fromStart(was, int(-h.r.addr&3), h.r.kind)
		fromStart(is, int(-addr&3), h.r.kind)
	}
	before := a.cost(h, now, was, is)
	if before <= 2*copyCost {
		return nil, nil // there is nothing to gain
	}
	patch := a.work.Diff(was, is, nil, nil, bsdiff.Options{Effort: bsdiff.Unchanging})
	var then []Copy
	at, pos := h.lo, h.r.off
	for _, c := range patch.Controls {
		if from, to := max(pos, h.r.off), min(pos+c.Add, h.r.end()); from < to {
			then = append(then, Copy{New: at + from - pos, Old: from, Len: to - from})
		}
		at += c.Add + c.Extra
		pos += c.Add + c.Seek
	}
	if a.cost(h, then, was, is) < before {
		return then, nil
	}
	return nil, nil
}

// fromStart makes distances from themselves into distances from the start of b, so that
// equal targets are equal bytes. The first lies at index first.
func fromStart(b []byte, first int, kind Kind) {
	for i := first; i+4 <= len(b); i += 4 {
		w := binary.LittleEndian.Uint32(b[i:])
		v := w + uint32(i)
		if kind == UnwindIndex {
			if v &^= 1 << 31; w>>31 == 1 || w == 1 {
				v = w
			}
		}
		binary.LittleEndian.PutUint32(b[i:], v)
	}
}

// cost estimates what is left to code of the table with these copies, in bytes.
func (a *realigner) cost(h hull, copies []Copy, was, is []byte) int {
	cost := len(is) + len(copies)*copyCost
	for _, c := range copies {
		if c.Old < h.r.off || c.Old+c.Len > h.r.end() {
			continue // as good as fresh
		}
		w, n := was[c.Old-h.r.off:][:c.Len], is[c.New-h.lo:][:c.Len]
		for i := range w {
			if w[i] == n[i] {
				cost--
			}
		}
	}
	return cost
}
