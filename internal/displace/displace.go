// SPDX-License-Identifier: MIT

// Package displace predicts displacements: how fields of programs that hold a
// distance or an address change when the content around them moves.
//
// A delta copies old content into a new file. Where a program has grown by a
// few bytes, nearly all of its code is copied, but each call over the place of
// the change holds another distance, and each table of addresses other
// addresses. They would all have to be coded as differences. But the list of
// copies says where every old byte has gone. So the target of the field, an old
// address, is looked up in that list, and the field is made anew for the place
// that the target has now. What is left to code is the difference between the
// prediction and the new bytes, mostly none.
//
// Encoder and decoder both call Predict with the same plan, the same copies
// and the same old bytes, so they agree by construction. Fields are found in
// old bytes alone. Only the encoder reads ELF files (Find); the decoder is told
// by the plan where code and tables lie and at which addresses, and trusts
// nothing that it is told: whatever plan and copies say, the result is some
// prediction or an error.
//
// All arithmetic is in integers, addresses are modulo 2^64, and numbers in files are
// little endian.
package displace

import (
	"fmt"
	"io"
	"sort"

	"swudelta/internal/fault"
)

// A Copy says that Len bytes of the new side at New are made from the bytes of
// the old side at Old. Offsets and lengths are in bytes.
type Copy struct{ New, Old, Len int64 }

// MaxPieces is the largest number of copies, cut at the ends of segments, of
// which New makes its map. A piece takes 24 bytes, and 32 more while New runs.
const MaxPieces = 1 << 19

const (
	// cachedBlocks is how many blocks are kept, since copies are often short.
	cachedBlocks = 64

	// windowSize is how many old bytes are read at once.
	windowSize = 16 << 10
)

// A Predictor predicts the bytes of copies. It is not for use by several
// goroutines at once; see Clone.
type Predictor struct {
	*addressMap
	old     io.ReaderAt
	oldSize int64

	window   []byte // old bytes from windowAt on
	windowAt int64
	blocks   []cachedBlock
	objects  objectSections
	types    map[int64][]typeStart // by the offset of the range
}

type cachedBlock struct {
	at    int64 // old offset of the block, -1 for none
	sites []site
}

// New joins a plan and the copies of a delta. The copies are sorted by New and
// do not overlap there; they are the whole list, the same on both sides. A list
// that does not fit the sizes of the plan, or needs more than MaxPieces, is a
// fault of the data. Beside the pieces New takes about a megabyte.
func New(plan *Plan, copies []Copy, old io.ReaderAt) (*Predictor, error) {
	m, err := newAddressMap(plan, copies, MaxPieces)
	if err != nil {
		return nil, err
	}
	return newPredictor(m, old, plan.oldSize), nil
}

func newPredictor(m *addressMap, old io.ReaderAt, oldSize int64) *Predictor {
	p := &Predictor{addressMap: m, old: old, oldSize: oldSize, blocks: make([]cachedBlock, cachedBlocks), objects: objectSections{}, types: map[int64][]typeStart{}}
	for i := range p.blocks {
		p.blocks[i].at = -1
	}
	return p
}

// Clone returns a predictor that shares the map with p and has buffers of its
// own, for another goroutine.
func (p *Predictor) Clone() *Predictor { return newPredictor(p.addressMap, p.old, p.oldSize) }

// The mark of a byte says what Predict has found there, as a context for a
// coder: 0 for a byte that is in no field, else the sum of
//
//   - the index of the byte in its field, 0 to 7;
//   - how the target was found: MarkExact, MarkGuess or MarkUnknown;
//   - what the field is: one of the other constants.
const (
	MarkExact   = 1 << 3 // the target lies in a copy
	MarkGuess   = 2 << 3 // the target lies near a copy
	MarkUnknown = 3 << 3 // the target is not known; the old bytes were kept

	MarkCall  = 0 << 5 // a call or a jump
	MarkCond  = 1 << 5 // a conditional branch
	MarkData  = 2 << 5 // a reference of code to data
	MarkTable = 3 << 5 // an address in a table
	MarkRel   = 4 << 5 // a distance in a table
	MarkWord  = 5 << 5 // an instruction word that holds a field not at its byte boundaries
)

// Forms are marks without index and quality.
const (
	formCall  uint8 = MarkCall
	formCond  uint8 = MarkCond
	formData  uint8 = MarkData
	formTable uint8 = MarkTable
	formRel   uint8 = MarkRel
	formWord  uint8 = MarkWord
)

// Predict predicts a stretch of a copy: the new bytes at newAt, which the copy
// takes from the old bytes at oldAt. On entry dst holds these old bytes, on
// return the prediction. If mark is not nil, it is as long as dst and receives
// the mark of each byte. The result does not depend on how a copy is cut into
// stretches. The error is one of reading the old side.
func (p *Predictor) Predict(dst, mark []byte, newAt, oldAt int64) error {
	clear(mark)
	end := oldAt + int64(len(dst))
	i := sort.Search(len(p.ranges), func(i int) bool { return p.ranges[i].end() > oldAt })
	for ; i < len(p.ranges) && p.ranges[i].off < end; i++ {
		r := &p.ranges[i]
		lo, hi := max(oldAt, r.off), min(end, r.end())
		if err := p.inRange(dst, mark, r, lo, hi, oldAt, newAt-oldAt); err != nil {
			return err
		}
	}
	return nil
}

// inRange predicts the old bytes [lo, hi), which lie in r and move by shift.
// dst[0] stands for the old byte at oldAt.
func (p *Predictor) inRange(dst, mark []byte, r *codeRange, lo, hi, oldAt, shift int64) error {
	j := sort.Search(len(p.newSegments), func(j int) bool { return p.newSegments[j].end() > lo+shift })
	for ; j < len(p.newSegments) && p.newSegments[j].off < hi+shift; j++ {
		s := &p.newSegments[j]
		pair, ok := p.pairs[pairKey{r.module, s.module}]
		if !ok {
			continue
		}
		from, to := max(lo, s.off-shift), min(hi, s.end()-shift)
		st := stretch{pair: pair, ref: r.ref, shift: s.addr + uint64(shift-s.off), oldAt: oldAt, dst: dst, mark: mark}
		size := scanners[r.kind].block
		for at := from - (from-r.off)%size; at < to; at += size {
			sites, err := p.sites(r, at)
			if err != nil {
				return err
			}
			st.lo, st.hi = max(from, at), min(to, at+size)
			p.fill(&st, sites, at)
		}
	}
	return nil
}

// A stretch is a part of a copy within one block and one segment of the new
// side.
type stretch struct {
	pair   *pair
	ref    uint64 // reference of the range
	shift  uint64 // new address minus old offset
	oldAt  int64  // old offset of dst[0]
	lo, hi int64  // old offsets that it covers
	dst    []byte
	mark   []byte
}

// fill writes the predicted fields of a block at old offset at.
func (p *Predictor) fill(st *stretch, sites []site, at int64) {
	for i := range sites {
		s := &sites[i]
		off := at + int64(s.at)
		first, last := max(off, st.lo), min(off+int64(s.size), st.hi)
		if first >= last {
			continue
		}
		word, how := p.predictSite(s, st.pair, st.ref, st.shift+uint64(off))
		for o := first; o < last; o++ {
			st.dst[o-st.oldAt] = byte(word >> (8 * (o - off)))
			if st.mark != nil {
				st.mark[o-st.oldAt] = s.form | how | uint8(o-off)
			}
		}
	}
}

// sites returns the fields of the block of r at old offset at. Fields are looked
// for in blocks, counted from the start of the range. What is found depends on
// the old bytes of the range alone, so it does not matter how copies are cut.
// The result is good until the next call.
func (p *Predictor) sites(r *codeRange, at int64) ([]site, error) {
	c := &p.blocks[uint64(at)/blockSize%cachedBlocks]
	if c.at == at {
		return c.sites, nil
	}
	scan := scanners[r.kind]
	var starts []typeStart
	if r.kind == Types {
		var err error
		if starts, err = p.typeStarts(r); err != nil {
			return nil, err
		}
	}
	lo, hi := max(r.off, at-scan.before), min(r.end(), at+scan.block+scan.after)
	b, err := p.read(lo, hi)
	if err != nil {
		return nil, err
	}
	ctx := context{
		b: b, start: int(at - lo), end: int(min(r.end(), at+scan.block) - lo),
		addr: r.addr + uint64(lo-r.off), first: lo - r.off + r.cut,
		kind: r.kind, ref: r.ref, ref2: r.ref2, low: r.low, high: r.high,
	}
	if r.kind == Types {
		ctx.record = func() (typeStart, bool) {
			i := (at - r.off) / scan.block
			if i >= int64(len(starts)) {
				return typeStart{}, false
			}
			return starts[i], true
		}
	} else if r.kind.hasTwo() {
		ctx.section = func(symbol uint64) (uint64, bool) { return p.objects.section(p, r, symbol) }
	}
	c.at = -1
	c.sites = scan.scan(&ctx, c.sites[:0])
	c.at = at
	return c.sites, nil
}

// read returns the old bytes [lo, hi), which are at most some kilobytes.
func (p *Predictor) read(lo, hi int64) ([]byte, error) {
	if at := lo - p.windowAt; at < 0 || hi-p.windowAt > int64(len(p.window)) {
		if p.window == nil {
			p.window = make([]byte, 0, windowSize)
		}
		n := min(windowSize, p.oldSize-lo)
		p.window, p.windowAt = p.window[:n], lo
		if err := readAt(p.old, p.window, lo); err != nil {
			p.window = p.window[:0]
			return nil, fmt.Errorf("old side: %w", err)
		}
	}
	return p.window[lo-p.windowAt : hi-p.windowAt], nil
}

// checkCopies reports the first copy that leaves a side, or overlaps or
// precedes the one before it in the new side.
func checkCopies(copies []Copy, oldSize, newSize int64) error {
	var end int64
	for i, c := range copies {
		if c.Len < 0 || c.New < end || c.New > newSize || c.Len > newSize-c.New ||
			c.Old < 0 || c.Old > oldSize || c.Len > oldSize-c.Old {
			return fault.Dataf("copy %d (%d bytes from %d to %d) does not fit the files", i, c.Len, c.Old, c.New)
		}
		end = c.New + c.Len
	}
	return nil
}
