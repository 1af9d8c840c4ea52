// SPDX-License-Identifier: MIT

package displace

import (
	"cmp"
	"slices"
	"sort"

	"swudelta/internal/fault"
)

// An addressMap says where the content at each old address has gone.
type addressMap struct {
	ranges      []codeRange  // of the old side, sorted by off, disjoint
	newSegments []modSegment // sorted by off, disjoint
	pieces      []piece      // by pair, then sorted by old address, disjoint there
	pairs       map[pairKey]*pair
}

// A codeRange is a stated range, cut at the ends of segments.
type codeRange struct {
	off, len  int64
	addr      uint64
	cut       int64 // how many bytes of the stated range lie before
	kind      Kind
	module    int32
	stated    int // index of the stated range
	ref, ref2 uint64
	head      int64 // old offset of the first segment of the module, and its length
	headLen   int64
	low, high uint64
}

func (r *codeRange) end() int64 { return r.off + r.len }

type modSegment struct {
	segment
	module int32
}

// pairKey names an old and a new module, by index.
type pairKey struct{ old, new int32 }

func (k pairKey) compare(o pairKey) int {
	return cmp.Or(cmp.Compare(k.old, o.old), cmp.Compare(k.new, o.new))
}

// A pair is an old and a new module that have content in common.
type pair struct {
	first, last int // its pieces
}

// A piece is a run of addresses that were copied together.
type piece struct{ old, new, len uint64 }

func (p piece) end() uint64   { return p.old + p.len }
func (p piece) shift() uint64 { return p.new - p.old }

// guessReach is how many bytes from the nearest copy a target may lie, if it
// lies in none. What was changed or deleted there is mostly shorter.
const guessReach = 256

// moved returns the new address of what was at t.
func (m *addressMap) moved(pr *pair, t uint64) (uint64, uint8) {
	ps := m.pieces[pr.first:pr.last]
	i := sort.Search(len(ps), func(i int) bool { return ps[i].old > t })
	if i > 0 {
		p := ps[i-1]
		d := t - p.old
		if d < p.len {
			return p.new + d, MarkExact
		}
		if i < len(ps) && ps[i].shift() == p.shift() || d-p.len < guessReach {
			return p.new + d, MarkGuess
		}
	}
	if i < len(ps) && ps[i].old-t < guessReach {
		return ps[i].new - (ps[i].old - t), MarkGuess
	}
	return 0, MarkUnknown
}

// newAddressMap makes the map of a plan and the copies of a delta, of at most
// limit pieces.
func newAddressMap(plan *Plan, copies []Copy, limit int) (*addressMap, error) {
	if err := checkCopies(copies, plan.oldSize, plan.newSize); err != nil {
		return nil, err
	}
	m := &addressMap{pairs: map[pairKey]*pair{}, newSegments: plan.new.sorted()}
	oldSegments := plan.old.sorted()
	for i := range plan.old {
		m.addRanges(plan.old, int32(i))
	}
	slices.SortFunc(m.ranges, func(a, b codeRange) int { return cmp.Compare(a.off, b.off) })

	all, err := cutCopies(copies, oldSegments, m.newSegments, limit)
	if err != nil {
		return nil, err
	}
	for i := range all {
		m.pairs[all[i].pairKey] = nil
	}
	for k := range m.pairs {
		if o, n := plan.old[k.old].bss, plan.new[k.new].bss; o.len > 0 && n.len > 0 {
			all = append(all, keyedPiece{k, piece{o.addr, n.addr, min(o.len, n.len)}})
		}
	}
	sortPieces(all)
	m.pieces = make([]piece, 0, len(all)+2*len(plan.moves))
	for i, moves := 0, plan.moves; i < len(all); {
		k := all[i].pairKey
		j := i + sort.Search(len(all)-i, func(d int) bool { return all[i+d].pairKey != k })
		pr := &pair{first: len(m.pieces)}
		m.pieces = flatten(m.pieces, all[i:j])
		for len(moves) > 0 && moves[0].compare(k) < 0 {
			moves = moves[1:]
		}
		of := sort.Search(len(moves), func(i int) bool { return moves[i].pairKey != k })
		m.pieces = override(m.pieces, pr.first, moves[:of])
		pr.last = len(m.pieces)
		m.pairs[k] = pr
		i = j
	}
	return m, nil
}

// keyedPiece is a piece and the pair that it belongs to.
type keyedPiece struct {
	pairKey
	piece
}

// sortPieces sorts by pair and old address, the longer piece first.
func sortPieces(all []keyedPiece) {
	slices.SortFunc(all, func(a, b keyedPiece) int {
		return cmp.Or(a.compare(b.pairKey), cmp.Compare(a.piece.old, b.piece.old),
			cmp.Compare(b.len, a.len), cmp.Compare(a.piece.new, b.piece.new))
	})
}

// cutCopies cuts copies at the ends of segments, into at most limit pieces.
func cutCopies(copies []Copy, olds, news []modSegment, limit int) ([]keyedPiece, error) {
	n := 0
	eachPiece(copies, olds, news, func(keyedPiece) bool { n++; return n <= limit })
	if n > limit {
		return nil, fault.Dataf("more than %d copies lie in programs", limit)
	}
	all := make([]keyedPiece, 0, n)
	eachPiece(copies, olds, news, func(p keyedPiece) bool { all = append(all, p); return true })
	return all, nil
}

// eachPiece calls f for each part of a copy that lies in one segment on both
// sides, until f returns false.
func eachPiece(copies []Copy, olds, news []modSegment, f func(keyedPiece) bool) {
	for _, c := range copies {
		shift := c.Old - c.New
		j := sort.Search(len(news), func(j int) bool { return news[j].end() > c.New })
		for ; j < len(news) && news[j].off < c.New+c.Len; j++ {
			n := &news[j]
			lo, hi := max(c.New, n.off)+shift, min(c.New+c.Len, n.end())+shift
			i := sort.Search(len(olds), func(i int) bool { return olds[i].end() > lo })
			for ; i < len(olds) && olds[i].off < hi; i++ {
				o := &olds[i]
				from, to := max(lo, o.off), min(hi, o.end())
				if !f(keyedPiece{pairKey{o.module, n.module}, piece{
					o.addr + uint64(from-o.off), n.addr + uint64(from-shift-n.off), uint64(to - from)}}) {
					return
				}
			}
		}
	}
}

// flatten appends the pieces of one pair, which are sorted, to out. Where
// content was copied to several places, the longer copy counts: it is less
// likely to be a coincidence.
func flatten(out []piece, all []keyedPiece) []piece {
	first := len(out)
	var whole []uint64 // lengths of out[first:] before they were cut
	for i := range all {
		p := all[i].piece
		length := p.len
		for len(out) > first {
			last := &out[len(out)-1]
			if p.old >= last.end() {
				break
			}
			if length <= whole[len(whole)-1] {
				cut := min(last.end()-p.old, p.len)
				p.old, p.new, p.len = p.old+cut, p.new+cut, p.len-cut
				break
			}
			if p.old > last.old {
				last.len = p.old - last.old
				break
			}
			out, whole = out[:len(out)-1], whole[:len(whole)-1]
		}
		if p.len > 0 {
			out, whole = append(out, p), append(whole, length)
		}
	}
	return out
}

// override puts moves, which are sorted and disjoint, in the place of what
// pieces[first:] say.
func override(pieces []piece, first int, moves []move) []piece {
	if len(moves) == 0 {
		return pieces
	}
	old := slices.Clone(pieces[first:])
	out := pieces[:first]
	for _, v := range moves {
		for len(old) > 0 && old[0].end() <= v.piece.old {
			out = append(out, old[0])
			old = old[1:]
		}
		if len(old) > 0 && old[0].old < v.piece.old {
			n := v.piece.old - old[0].old
			out = append(out, piece{old[0].old, old[0].new, n})
			old[0] = old[0].tail(n)
		}
		out = append(out, v.piece)
		for len(old) > 0 && old[0].end() <= v.end() {
			old = old[1:]
		}
		if len(old) > 0 && old[0].old < v.end() {
			old[0] = old[0].tail(v.end() - old[0].old)
		}
	}
	return append(out, old...)
}

// tail returns p without its first n addresses.
func (p piece) tail(n uint64) piece { return piece{p.old + n, p.new + n, p.len - n} }

// addRanges adds the ranges of a module of the old side, cut at the ends of
// its segments.
func (m *addressMap) addRanges(modules side, i int32) {
	mod := &modules[i]
	low, high := mod.bounds()
	first := 0 // segment; both are sorted
	for j, r := range mod.ranges {
		for first < len(mod.segments) && mod.segments[first].end() <= r.off {
			first++
		}
		for _, s := range mod.segments[first:] {
			from, to := max(r.off, s.off), min(r.end(), s.end())
			if from >= to {
				break
			}
			m.ranges = append(m.ranges, codeRange{
				off: from, len: to - from, addr: s.addr + uint64(from-s.off), cut: from - r.off,
				kind: r.kind, module: i, stated: j, ref: r.ref, ref2: r.ref2,
				head: mod.segments[0].off, headLen: mod.segments[0].len, low: low, high: high})
		}
	}
}
