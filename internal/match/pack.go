// SPDX-License-Identifier: MIT

package match

import (
	"bytes"
	"cmp"
	"slices"

	"swudelta/internal/bsdiff"
	"swudelta/internal/progress"
	"swudelta/internal/span"
)

// pack is a piece of work for bsdiff: changed material from all over the
// target, and the old ranges that serve it. The device holds old and new side
// of a pack in memory while it applies it.
type pack struct {
	material []piece // inPack pieces, in the order in which the pack holds them
	ranges   []Range // of the old side, sorted, disjoint
	idle     []Range // parts of ranges in which no match is looked for, sorted, disjoint
	load     int     // estimate of the memory that the new side takes, in bytes
}

// parts returns the new side of the pack, piece by piece.
func (p *pack) parts(target []byte) [][]byte {
	out := make([][]byte, 0, len(p.material))
	for _, m := range p.material {
		out = append(out, target[m.at:m.end()])
	}
	return out
}

func (p *pack) newSize() int { return total(p.material, pieceLen) }
func (p *pack) oldSize() int { return total(p.ranges, rangeLen) }

func total[T any](list []T, size func(T) int) int {
	n := 0
	for _, v := range list {
		n += size(v)
	}
	return n
}

// Range is a half-open range: [Off, Off+Len). It counts bytes where nothing else is said.
type Range struct{ Off, Len int }

// End is the offset behind the range.
func (r Range) End() int { return r.Off + r.Len }

// Between returns the range of the bytes from ... end.
func Between(from, end int) Range { return Range{from, end - from} }

func rangeLen(r Range) int { return r.Len }

// Total returns how many bytes ranges have together.
func Total(ranges []Range) int { return total(ranges, rangeLen) }

const (
	// blockSize is the granularity in which old ranges are chosen, in bytes.
	blockSize = 4096
	// seamCost is what it costs in the streams of a pack to tear apart what is side by side,
	// in bytes. With less, orders that promised to save bytes cost some.
	seamCost = 50
	// unplacedPerByte: one byte is saved per unplacedPerByte unplaced bytes when the old side of
	// their pack holds every unused range.
	unplacedPerByte = 16
	// minReorderGain: another order of the material is used only if it is estimated to save
	// more than 1/minReorderGain beyond the order of the target. The estimate is rough and
	// favours other orders a little. Updates that are in order promised 1/156 or less,
	// shuffled ones 1/79 to 1/42: anything between separates them.
	minReorderGain = 110
	// leastUnused is the shortest range of the old side that may serve what is unplaced
	// although they have nothing in common, in bytes.
	leastUnused = 32 << 10
	// hitWorth is how many bytes of the delta one anchor in common saves: it
	// stands for 32 bytes that need not be stored, compressed to less than half.
	hitWorth = 12
	// hintHits is how many anchors in common a hint of the layout stands for.
	hintHits = 4
	// minUnanchored is the shortest stretch without an anchor of the old side that
	// counts, in bytes.
	minUnanchored = 256
	// copyRun is the shortest run that both sides of a pack have for which matching
	// does not need to look, in bytes.
	copyRun = 1 << 10
	// mostOld is how many bytes of the old side there may be for each byte of material,
	// beyond 4 MiB. An old side of an image is mostly less than ten times as large as what has
	// changed in it; it is small changes of large images for which this saves time.
	mostOld = 32
	// mergeGap is the widest gap, in bytes, that is closed although the old side
	// grows: it costs the device memory, but no range.
	mergeGap = 1 << 20
	// searchAll is the size of the old side of a pack, in bytes, up to which the pack is also
	// compared with what is copied as a whole: time matters less than the 0.9 % that this was
	// worth for the update of scripts/demo. For images of 32 MiB it was 0.02 % and -0.02 %.
	searchAll = 16 << 20
	// margin is how far around what serves a pack more of it may be, in bytes.
	margin = 16 << 10
)

// makePacks is arrangePacks, and leaves out of the search what entries of the table copy.
func (f *finder) makePacks(l Limits, stage *progress.Stage) []*pack {
	packs := f.arrangePacks(l, stage)
	copied := f.division.copied(f.old.Index)
	for _, p := range packs {
		p.leaveOut(copied)
	}
	return packs
}

// arrangePacks distributes the pieces that need a pack over packs whose old and
// new side together are likely to take at most budget bytes. Pieces are in the order
// of the target or in that of the old side, whichever promises more. The stage counts bytes of
// the pieces, and what else has to be gone through.
func (f *finder) arrangePacks(l Limits, stage *progress.Stage) []*pack {
	old, target, d, h, budget := f.old.Index, f.target, f.division, f.hints, l.Pack
	var material []piece
	for _, p := range d.pieces {
		if p.kind == inPack {
			material = append(material, p)
		}
	}
	load := total(material, pieceLen)
	switch {
	case load == 0:
		return nil
	case len(old.data) == 0:
		return split(material, nil, budget)
	}
	d.places = nil
	stage.Expect(int64(load))
	unanchored, unused, v := survey(old, target, material, d, stage)
	for _, s := range unanchored {
		load += s.Len / 4
	}
	// A small pack does not sort everything, nor does the device hold everything for it.
	budget = min(budget, 4<<20+(1+mostOld)*load)
	if load+len(old.data) <= budget {
		return []*pack{{material: material, ranges: []Range{{0, len(old.data)}}}}
	}
	budget -= budget / 20 // for what was not expected
	a := arrange(h.inOrder(material), v, func(unresolved [][]unit) { voteShortWindows(old, target, material, unresolved, v, f.Memory/2, stage) })
	// The device holds the table while it makes packs.
	budget = max(budget-(len(d.pieces)+len(a.order)+len(a.unplaced))*l.EntryMemory, budget/2)
	n := int(float64(load)*(1+f.Effort.OldShare))/budget + 1
	if room := budget - l.PatchMemory; room > budget/2 {
		// The heap of a stock device keeps the room of a new side and its decoders, and a
		// later old side that fits into that room stays in it (device/stock, heap).
		n = max(n, 2*load/room+1)
	}
	unplaced, zeros := withoutZeros(target, a.unplaced)
	k := &packer{
		chooser: newChooser(old, target, d, h, l.RangeCost), unanchored: unanchored, unused: unused, budget: budget,
		// Packs are of equal size: the device keeps the room of the largest new side, so a
		// smaller pack could not have a larger old side.
		size: load/n + 1,
	}
	k.stage = stage
	for _, p := range unplaced {
		k.unplaced = append(k.unplaced, Between(p.at, p.end()))
	}
	k.unplaced = Union(k.unplaced)
	best, most := k.pack(material, nil)
	if len(a.order)+len(unplaced) > 0 {
		d.places = a.places
		if packs, worth := k.pack(a.order, unplaced); worth > most+most/minReorderGain {
			d.zero(zeros)
			return packs
		}
		d.places = nil
	}
	return best
}

// packer makes packs of material in some order.
type packer struct {
	*chooser
	unanchored []Range // of the target: stretches without an anchor of the old side
	unplaced   []Range // of the target: what nobody knows the place of
	unused     []Range // of the old side
	budget     int     // both sides of a pack, in bytes
	size       int     // load of a pack
}

// pack makes packs of material in some order, and of unplaced material. worth estimates how
// many bytes of the delta they save.
func (k *packer) pack(order, unplaced []piece) (packs []*pack, worth int) {
	k.stage.Expect(int64(total(order, pieceLen) + total(unplaced, pieceLen)))
	add := func(p *pack, served int) {
		worth += k.worth(p, served)
		packs = append(packs, p)
	}
	for _, p := range split(order, k.unanchored, k.size) {
		served := 0
		p.ranges, p.idle, served = k.choose(p.material, k.budget-max(p.load, k.size))
		add(p, served)
	}
	for _, p := range split(unplaced, k.unanchored, k.size) {
		room := k.budget - max(p.load, k.size)
		ranges, _, served := k.choose(p.material, room/4)
		p.ranges = Union(append(ranges, within(k.unused, room-Total(ranges))...))
		add(p, served)
	}
	if len(packs) == 1 {
		return packs, worth
	}
	// Old sides are filled up to equal size: a smaller one would be put into room that the
	// heap of a stock device kept, and stay there (device/stock, heap).
	for _, p := range packs {
		p.idle = append(p.idle, widen(p.ranges, k.budget-max(p.load, k.size)-p.oldSize(), len(k.old.data))...)
		slices.SortFunc(p.idle, func(a, b Range) int { return a.Off - b.Off })
	}
	return packs, worth
}

// worth estimates how many bytes of the delta a pack saves that serves that many anchors.
func (k *packer) worth(p *pack, served int) int {
	from, to := 0, 0
	for _, m := range p.material {
		to += overlap(k.unplaced, Between(m.at, m.end()))
	}
	for _, r := range p.ranges {
		from += overlap(k.unused, r)
	}
	// Unplaced material is assumed to come from unused ranges.
	found := to / unplacedPerByte * (from >> 10) / (Total(k.unused)>>10 + 1)
	return served*hitWorth + found - (len(p.ranges)+len(p.material))*seamCost
}

// withoutZeros returns what the material has but for long runs of zeros, and these.
func withoutZeros(target []byte, material []piece) (rest []piece, zeros []Range) {
	for _, m := range material {
		done := m.at
		zeroRuns(target[m.at:m.end()], nil, minMoved, func(at, n int) {
			at += m.at
			if done < at {
				rest = append(rest, piece{at: done, n: at - done})
			}
			zeros = append(zeros, Between(at, at+n))
			done = at + n
		})
		if done < m.end() {
			rest = append(rest, piece{at: done, n: m.end() - done})
		}
	}
	return rest, zeros
}

// within returns as much of the spans as takes at most room bytes.
func within(spans []Range, room int) []Range {
	var out []Range
	for _, s := range spans {
		if s.Len = min(s.Len, room); s.Len <= 0 {
			break
		}
		out = append(out, s)
		room -= s.Len
	}
	return out
}

// eachWithin calls each for the parts of spans, which are sorted and disjoint, in r.
func eachWithin(spans []Range, r Range, each func(Range)) {
	i, _ := slices.BinarySearchFunc(spans, r.Off, func(v Range, at int) int { return cmp.Compare(v.End(), at+1) })
	for ; i < len(spans) && spans[i].Off < r.End(); i++ {
		each(Between(max(spans[i].Off, r.Off), min(spans[i].End(), r.End())))
	}
}

// overlap is how many bytes of r are in spans, which are sorted and disjoint.
func overlap(spans []Range, r Range) (n int) {
	eachWithin(spans, r, func(part Range) { n += part.Len })
	return n
}

// leaveOut makes what of ranges, which are sorted and disjoint, is in the old side idle, if that
// side is large.
func (p *pack) leaveOut(ranges []Range) {
	if p.oldSize() <= searchAll {
		return
	}
	for _, r := range p.ranges {
		eachWithin(ranges, r, func(part Range) { p.idle = append(p.idle, part) })
	}
	p.idle = Union(p.idle)
}

// skipped returns what is idle in offsets of the old side of the pack.
func (p *pack) skipped() []span.Range {
	var out []span.Range
	base := 0
	for _, r := range p.ranges {
		eachWithin(p.idle, r, func(part Range) {
			out = append(out, span.Range{Off: int64(base + part.Off - r.Off), Len: int64(part.Len)})
		})
		base += r.Len
	}
	return out
}

// copies returns the known runs that both sides of the pack have.
func (p *pack) copies(d *division) []bsdiff.Copy {
	var out []bsdiff.Copy
	at := 0
	for _, m := range p.material {
		d.eachKnown(m.at, m.end(), func(run piece) {
			base := 0
			for _, r := range p.ranges {
				from, to := max(run.off, r.Off), min(run.off+run.n, r.End())
				if from < to {
					out = append(out, bsdiff.Copy{New: at + run.at - m.at + from - run.off, Old: base + from - r.Off, Len: to - from})
				}
				base += r.Len
			}
		})
		at += m.n
	}
	return out
}

// survey looks for the anchors of material in the old side. It returns the stretches that
// have none in common with it, in the order of the target, which will mostly be literals;
// the votes of the others for where each unit of the target comes from; and the ranges of the
// old side, without zeros, that nothing comes from. The stage counts bytes of material.
func survey(old *Index, target []byte, material []piece, d *division, stage *progress.Stage) (unanchored, unused []Range, v []votes) {
	used := make([]bool, len(old.data)/blockSize+1)
	use := func(s Range) {
		for b := s.Off / blockSize; b*blockSize < s.End(); b++ {
			used[b] = true
		}
	}
	for _, p := range d.pieces {
		if p.kind == inOld {
			use(Between(p.off, p.off+p.n))
		}
	}
	v = make([]votes, len(target)/placeUnit+1)
	report := reporter{stage: stage}
	done := 0
	gap := func(to int) {
		if to-done >= minUnanchored {
			unanchored = append(unanchored, Between(done, to))
		}
	}
	move := 0 // from the target to the old side, for the latest anchor
	look := func(from, to int) {
		anchors(target, from, to, anchorBits, func(batch []anchor) int {
			old.touch(batch)
			for _, a := range batch {
				found := false
				if p := a.end + move; p >= windowSize && p <= len(old.data) && bytes.Equal(old.data[p-windowSize:p], target[a.end-windowSize:a.end]) {
					found = true // as most often: what comes next is next on the other side
				} else {
					old.lookup(target, a, func(oldEnd int) bool {
						found, move = true, oldEnd-a.end
						return false
					})
				}
				if found {
					gap(a.end - windowSize)
					done = a.end
					v[a.end/placeUnit].add(move, 1)
					used[(a.end+move-windowSize)/blockSize] = true
				}
			}
			report.batch(batch)
			return 0
		})
		gap(to)
	}
	for _, m := range material {
		done, report.told = m.at, m.at
		d.eachKnown(m.at, m.end(), func(run piece) {
			look(done, run.at)
			done, move = run.end(), run.off-run.at
			use(Between(run.off, run.off+run.n))
			for at := run.at; at < run.end(); at += placeUnit {
				v[at/placeUnit].add(move, placeUnit>>anchorBits)
			}
		})
		look(done, m.end())
		report.to(m.end())
	}
	for _, z := range old.zeros {
		for b := (z.Off + blockSize - 1) / blockSize; b < z.End()/blockSize; b++ {
			used[b] = true
		}
	}
	for b := 0; b < len(used); b++ {
		from := b
		for b < len(used) && !used[b] && !span.AllZero(old.data[b*blockSize:min((b+1)*blockSize, len(old.data))]) {
			b++
		}
		if s := (Between(from*blockSize, min(b*blockSize, len(old.data)))); s.Len >= leastUnused {
			unused = append(unused, s)
		}
	}
	return unanchored, unused, v
}

// split cuts material into packs of the given load: the memory that its new side
// is expected to take on the device. That of fresh bytes is needed on both sides
// of a pack, unless they are so long that they leave it. So stretches without anchors are
// weighted 5/4.
func split(material []piece, unanchored []Range, size int) []*pack {
	if len(material) == 0 {
		return nil
	}
	packs := []*pack{{}}
	add := func(m piece, weight int) {
		for m.n > 0 {
			p := packs[len(packs)-1]
			if p.load >= size {
				p = &pack{}
				packs = append(packs, p)
			}
			n := min(m.n, (size-p.load)*4/weight+1)
			p.load += n * weight / 4
			if k := len(p.material) - 1; k >= 0 && p.material[k].end() == m.at {
				p.material[k].n += n
			} else {
				p.material = append(p.material, piece{at: m.at, n: n})
			}
			m.at, m.n = m.at+n, m.n-n
		}
	}
	for _, m := range material {
		i, _ := slices.BinarySearchFunc(unanchored, m.at, func(s Range, at int) int { return cmp.Compare(s.End(), at+1) })
		for m.n > 0 {
			for i < len(unanchored) && unanchored[i].End() <= m.at {
				i++
			}
			next, weight := m.end(), 4
			if i < len(unanchored) {
				if unanchored[i].Off <= m.at {
					next, weight = min(unanchored[i].End(), next), 5
				} else {
					next = min(unanchored[i].Off, next)
				}
			}
			add(piece{at: m.at, n: next - m.at}, weight)
			m.at, m.n = next, m.end()-next
		}
	}
	return packs
}

// chooser finds the ranges of the old side that serve material.
type chooser struct {
	rangeCost int // bytes of the delta for each range
	old       *Index
	target    []byte
	division  *division
	hints     *hints
	votes     []int32 // by block: how many anchors could be taken from there
	hits      []int32 // by block: how many are
	hinted    []int32 // by block: how many hints stand for

	stage *progress.Stage // counts bytes of material; may be nil

	// The blocks that each anchor could be taken from, those of all anchors end to
	// end.
	blocks []int32
	found  []found
}

// found says where in chooser.blocks the blocks of an anchor begin, and how many
// anchors it stands for.
type found struct{ first, weight int32 }

func newChooser(old *Index, target []byte, d *division, h *hints, rangeCost int) *chooser {
	n := (len(old.data) + blockSize - 1) / blockSize
	return &chooser{rangeCost: rangeCost, old: old, target: target, division: d, hints: h, votes: make([]int32, n), hits: make([]int32, n), hinted: make([]int32, n)}
}

// look looks for the anchors of a range of the target that have zeros zero bits.
func (c *chooser) look(from, to, zeros int) {
	weight := int32(1) << (zeros - anchorBits)
	anchors(c.target, from, to, zeros, func(batch []anchor) int {
		c.old.touch(batch)
		for _, a := range batch {
			c.found = append(c.found, found{int32(len(c.blocks)), weight})
			c.old.lookup(c.target, a, func(oldEnd int) bool {
				b := int32((oldEnd - windowSize) / blockSize)
				c.blocks = append(c.blocks, b)
				c.votes[b] += weight
				return true
			})
		}
		return 0
	})
}

// choose returns ranges of at most budget bytes together, what parts of them only
// join others, and how many anchors they serve.
func (c *chooser) choose(material []piece, budget int) (ranges, filler []Range, served int) {
	clear(c.votes)
	clear(c.hits)
	clear(c.hinted)
	c.blocks = c.blocks[:0]
	c.found = c.found[:0]
	for _, m := range material {
		done := m.at
		c.division.eachKnown(m.at, m.end(), func(run piece) {
			c.look(done, run.at, anchorBits)
			c.look(run.at, run.end(), sparseBits)
			done = run.end()
		})
		c.look(done, m.end(), anchorBits)
		c.stage.Add(int64(m.n))
	}
	c.found = append(c.found, found{first: int32(len(c.blocks))})
	// Content that occurs in many blocks would select all of them. So each anchor now counts
	// for one block only: the one that serves most other anchors.
	for i, f := range c.found[:len(c.found)-1] {
		best, most := int32(-1), int32(0)
		for _, b := range c.blocks[f.first:c.found[i+1].first] {
			v := c.votes[b]
			if b > 0 {
				v += c.votes[b-1] / 2
			}
			if int(b)+1 < len(c.votes) {
				v += c.votes[b+1] / 2
			}
			if v > most {
				best, most = b, v
			}
		}
		if best >= 0 {
			c.hits[best] += f.weight
		}
	}
	for _, m := range material {
		c.hints.each(m.at, m.n, c.hint)
		c.division.eachPlace(m.at, m.end(), func(p piece) {
			c.hint(Between(max(p.off, 0), min(p.off+p.n, len(c.old.data))))
		})
	}
	return c.ranges(budget)
}

// hint says that a range of the old side is likely to serve.
func (c *chooser) hint(s Range) {
	for b := s.Off / blockSize; b*blockSize < s.End(); b++ {
		c.hinted[b] += hintHits
	}
}

// run is a candidate for a range.
type run struct {
	Range
	anchors int
	hits    int // anchors, and what hints stand for
}

// ranges turns blocks with hits into ranges, best ones first, until the budget
// is used up.
func (c *chooser) ranges(budget int) (ranges, filler []Range, served int) {
	var runs []run
	size := len(c.old.data)
	for b := range c.hits {
		anchors := int(c.hits[b])
		hits := anchors + int(c.hinted[b])
		if hits == 0 {
			continue
		}
		// A block's neighbours are likely to hold the rest of what was found in it.
		s := Between(max((b-1)*blockSize, 0), min((b+2)*blockSize, size))
		if hits < 4 {
			s = Between(b*blockSize, min((b+1)*blockSize, size))
		}
		if k := len(runs); k > 0 && s.Off-runs[k-1].End() <= 2*blockSize {
			runs[k-1].Range = Between(runs[k-1].Off, max(runs[k-1].End(), s.End()))
			runs[k-1].hits += hits
			runs[k-1].anchors += anchors
			continue
		}
		runs = append(runs, run{s, anchors, hits})
	}
	runs = slices.DeleteFunc(runs, func(r run) bool { return r.hits*hitWorth < c.rangeCost })
	slices.SortFunc(runs, func(a, b run) int {
		if c := cmp.Compare(b.hits*a.Len, a.hits*b.Len); c != 0 { // hits per byte
			return c
		}
		return a.Off - b.Off
	})
	used, n := 0, 0
	for n < len(runs) && used+runs[n].Len <= budget {
		used += runs[n].Len
		n++
	}
	spans := make([]Range, 0, n)
	for _, r := range runs[:n] {
		spans = append(spans, r.Range)
		served += r.anchors
	}
	slices.SortFunc(spans, func(a, b Range) int { return a.Off - b.Off })
	ranges = Merge(slices.Clone(spans), budget-used, mergeGap)
	return ranges, gaps(ranges, spans), served
}

// widen makes ranges of a side of size bytes longer by up to n bytes together, and
// returns what it has added.
func widen(ranges []Range, n, size int) (added []Range) {
	for i := len(ranges) - 1; i >= 0 && n > 0; i-- {
		r := &ranges[i]
		if more := min(n, size-r.End()); more > 0 {
			added = append(added, Between(r.End(), r.End()+more))
			r.Len, n = r.Len+more, n-more
		}
		size = r.Off
	}
	slices.Reverse(added)
	return added
}

// gaps returns what spans and their contextRanges leave of ranges, which cover
// them; both are sorted.
func gaps(ranges, spans []Range) []Range {
	var out []Range
	for _, r := range ranges {
		for ; len(spans) > 0 && spans[0].End() <= r.End(); spans = spans[1:] {
			if s := (Between(r.Off, spans[0].Off-margin)); s.Len > 0 {
				out = append(out, s)
			}
			r = Between(spans[0].End()+margin, r.End())
		}
	}
	return out
}

// Merge closes gaps between sorted spans, narrow ones first, as long as they
// are no wider than widest and take no more than room bytes together.
func Merge(s []Range, room, widest int) []Range {
	if len(s) < 2 {
		return s
	}
	type gap struct{ i, n int }
	gaps := make([]gap, 0, len(s)-1)
	for i := 1; i < len(s); i++ {
		gaps = append(gaps, gap{i, s[i].Off - s[i-1].End()})
	}
	slices.SortFunc(gaps, func(a, b gap) int {
		return cmp.Or(a.n-b.n, a.i-b.i)
	})
	closed := make([]bool, len(s))
	for _, g := range gaps {
		if g.n > room || g.n > widest {
			break
		}
		closed[g.i] = true
		room -= g.n
	}
	out := s[:1:1]
	for i := 1; i < len(s); i++ {
		if closed[i] {
			k := len(out) - 1
			out[k] = Between(out[k].Off, s[i].End())
		} else {
			out = append(out, s[i])
		}
	}
	return out
}

// Union sorts spans and joins those that touch each other.
func Union(s []Range) []Range {
	slices.SortFunc(s, func(a, b Range) int { return a.Off - b.Off })
	var out []Range
	for _, v := range s {
		if k := len(out) - 1; k >= 0 && v.Off <= out[k].End() {
			out[k] = Between(out[k].Off, max(out[k].End(), v.End()))
		} else if v.Len > 0 {
			out = append(out, v)
		}
	}
	return out
}
