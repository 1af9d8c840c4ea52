// SPDX-License-Identifier: MIT

package match

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"

	"swudelta/internal/progress"
	"swudelta/internal/span"
)

// kind says where a piece of the target comes from.
type kind uint8

const (
	inPack   kind = iota // changed or new content
	inOld                // a long run of the old side, as it is
	isZero               // zeros
	repeated             // the same as an earlier piece of the target
)

// piece is a range of the target. The pieces of a plan tile it.
type piece struct {
	kind kind
	at   int // offset in the target
	n    int // bytes
	off  int // inOld: offset in the old side; repeated: earlier offset in the target
}

func (p piece) end() int { return p.at + p.n }

// thresholds are the shortest runs, in bytes, that become entries of the table of
// their own.
type thresholds struct{ copy, zero, repeat int }

// division is the target in pieces, the shorter runs of the old side in those that
// need a pack, and where they are thought to come from.
type division struct {
	pieces []piece
	known  []piece // inOld, of at least copyRun bytes, by at
	places []piece // off is near the place in the old side; by at; none where pieces keep their order
}

// divide cuts the target, some of whose zeros are known, into long runs that need no pack,
// and the rest. The stage counts bytes of the target.
func divide(old *Index, target []byte, zeros []Range, t thresholds, stage *progress.Stage) *division {
	d := &division{}
	report := reporter{stage: stage}
	gap := func(from, to int) {
		done := from
		rest := func(to int) {
			if done < to {
				d.pieces = append(d.pieces, piece{kind: inPack, at: done, n: to - done})
			}
		}
		copies(old, target, from, to, min(t.copy, copyRun), func(p piece) {
			report.to(p.end())
			if p.n < t.copy {
				d.known = append(d.known, p)
				return
			}
			rest(p.at)
			d.pieces = append(d.pieces, p)
			done = p.end()
		})
		rest(to)
	}
	done := 0
	zeroRuns(target, zeros, t.zero, func(at, n int) {
		gap(done, at)
		d.pieces = append(d.pieces, piece{kind: isZero, at: at, n: n})
		done = at + n
	})
	gap(done, len(target))
	report.to(len(target))
	d.pieces = repeats(target, d.pieces, t.repeat)
	return d
}

// copied returns the runs of the old side that are pieces of their own, and its long runs of
// zeros, sorted: what is copied from there as a whole hardly ever serves anything else.
func (d *division) copied(old *Index) []Range {
	out := slices.Clone(old.zeros)
	for _, p := range d.pieces {
		if p.kind == inOld {
			out = append(out, Between(p.off, p.off+p.n))
		}
	}
	return Union(out)
}

// eachKnown calls each for the parts of known runs in target[from:to].
func (d *division) eachKnown(from, to int, each func(piece)) { eachPart(d.known, from, to, each) }

// eachPlace calls each for the parts of target[from:to] that are thought to come from
// near what they name.
func (d *division) eachPlace(from, to int, each func(piece)) { eachPart(d.places, from, to, each) }

// eachPart calls each for the parts of pieces, which are sorted, in target[from:to].
func eachPart(pieces []piece, from, to int, each func(piece)) {
	i, _ := slices.BinarySearchFunc(pieces, from, func(p piece, at int) int { return cmp.Compare(p.end(), at+1) })
	for ; i < len(pieces) && pieces[i].at < to; i++ {
		p := pieces[i]
		if cut := from - p.at; cut > 0 {
			p.at, p.off, p.n = p.at+cut, p.off+cut, p.n-cut
		}
		p.n = min(p.n, to-p.at)
		each(p)
	}
}

// zero takes runs of zeros out of pieces that need a pack; each lies in one of them.
func (d *division) zero(runs []Range) {
	slices.SortFunc(runs, func(a, b Range) int { return cmp.Compare(a.Off, b.Off) })
	var out []piece
	for _, p := range d.pieces {
		for p.kind == inPack && len(runs) > 0 && runs[0].End() <= p.end() {
			r := runs[0]
			if n := r.Off - p.at; n > 0 {
				out = append(out, piece{kind: inPack, at: p.at, n: n})
			}
			out = append(out, piece{kind: isZero, at: r.Off, n: r.Len})
			p.at, p.n = r.End(), p.end()-r.End()
			runs = runs[1:]
		}
		if p.n > 0 {
			out = append(out, p)
		}
	}
	d.pieces = out
}

// zeroRuns calls each for every run of at least least zeros. Those that are known are
// not read.
func zeroRuns(data []byte, known []Range, least int, each func(at, n int)) {
	const word = 8
	done := 0
	// skip returns the end of the known run that at lies in, or at.
	skip := func(at int) int {
		for len(known) > 0 && known[0].End() <= at {
			known = known[1:]
		}
		if len(known) > 0 && known[0].Off <= at {
			return known[0].End()
		}
		return at
	}
	for p := 0; p+word <= len(data); {
		to := skip(p)
		from := p
		if to > p {
			from = max(known[0].Off, done)
		} else if binary.LittleEndian.Uint64(data[p:]) != 0 {
			p += least - word // a run that is long enough has a word at one of these places
			continue
		}
		for from > done && data[from-1] == 0 {
			from--
		}
		for to+word <= len(data) && binary.LittleEndian.Uint64(data[to:]) == 0 {
			to = max(skip(to), to+word)
		}
		for to < len(data) && data[to] == 0 {
			to++
		}
		if to-from >= least {
			each(from, to-from)
			done = to
		}
		p = to + least - word
	}
}

// copies calls each for runs of at least least bytes of target[from:to] that the
// old side has too.
func copies(old *Index, target []byte, from, to, least int, each func(piece)) {
	done := from // end of what is decided
	// The last extensions that were too short: trying them again at each of their
	// anchors would take quadratic time.
	var tried [ways]struct{ diag, end int }
	last := 0
	anchors(target, from, to, sparseBits, func(batch []anchor) int {
		old.touch(batch)
		for _, a := range batch {
			if a.end-windowSize < done {
				continue
			}
			best := piece{kind: inOld}
			old.lookup(target, a, func(oldEnd int) bool {
				for _, t := range tried {
					if a.end-oldEnd == t.diag && a.end <= t.end {
						return true
					}
				}
				back := span.CommonSuffix(target[done:a.end], old.data[:oldEnd])
				forth := span.CommonPrefix(target[a.end:to], old.data[oldEnd:])
				if back+forth < least {
					tried[last%ways].diag, tried[last%ways].end = a.end-oldEnd, a.end+forth
					last++
				} else if back+forth > best.n {
					best.at, best.n, best.off = a.end-back, back+forth, oldEnd-back
				}
				return true
			})
			if best.n > 0 {
				each(best)
				done = best.end()
			}
		}
		return done
	})
}

// repeats cuts the pieces that need a pack at runs of at least least bytes
// that an earlier such piece has too.
func repeats(target []byte, pieces []piece, least int) []piece {
	type place struct{ end, lo, hi int } // end of a window, and the piece that it lies in
	seen := map[uint32]place{}
	var out []piece
	for _, p := range pieces {
		if p.kind != inPack {
			out = append(out, p)
			continue
		}
		done := p.at
		tried, triedEnd := 0, 0
		try := func(end int, key uint32) {
			o, ok := seen[key]
			if !ok {
				seen[key] = place{end, p.at, p.end()}
				return
			}
			limit := min(o.hi, done) // the earlier run must be complete before this one
			if end-windowSize < done || end-o.end == tried && end <= triedEnd || o.end > limit {
				return
			}
			if !bytes.Equal(target[o.end-windowSize:o.end], target[end-windowSize:end]) {
				return
			}
			back := span.CommonSuffix(target[done:end], target[o.lo:o.end])
			forth := span.CommonPrefix(target[end:p.end()], target[o.end:limit])
			if back+forth < least {
				tried, triedEnd = end-o.end, end+forth
				return
			}
			start := end - back
			if start > done {
				out = append(out, piece{kind: inPack, at: done, n: start - done})
			}
			out = append(out, piece{kind: repeated, at: start, n: back + forth, off: o.end - back})
			done = end + forth
		}
		anchors(target, p.at, p.end(), sparseBits, func(batch []anchor) int {
			for _, a := range batch {
				try(a.end, a.key)
			}
			return 0
		})
		if done < p.end() {
			out = append(out, piece{kind: inPack, at: done, n: p.end() - done})
		}
	}
	return out
}
