// SPDX-License-Identifier: MIT

package stock

import (
	"io"

	"swudelta/internal/apply"
	"swudelta/internal/bsdiff"
	"swudelta/internal/bzip2"
	"swudelta/internal/codec"
	"swudelta/internal/device"
	"swudelta/internal/device/stocklib"
	"swudelta/internal/pamz"
)

// A bzip2 decoder of the 1.0 library, which takes the tables of a block of 900,000 bytes
// however long its stream is, and fills as much of them as there is.
const (
	bzip2Block  = 900_000
	bzip2Tables = 4 * bzip2Block
)

// load is what is in use at a time, in bytes.
type load struct {
	memory int64 // outside the heap
	heap   int64 // in the main thread's heap
	mapped int64 // the largest piece of memory that raises the heap's threshold when it is freed
	tmp    int64 // space in /tmp
}

func (l load) plus(o load) load {
	return load{l.memory + o.memory, l.heap + o.heap, max(l.mapped, o.mapped), l.tmp + o.tmp}
}

// cost predicts what the device needs for d, which c went through.
func cost(c *stocklib.Checker, d *pamz.Diff) device.Cost {
	m := &meter{Checker: c, kept: map[pamz.Key]bool{}, heap: heap{threshold: mmapThreshold}}
	m.add(table(d))
	m.chunks(&scope{Level: apply.Level{Diff: d}})
	return device.Cost{Memory: stocklib.BaseMemory + m.memory, Tmp: m.tmp}
}

// scope is a delta of the tree.
type scope struct {
	apply.Level
	forward bool // its source can only be read front to back
}

// meter goes through a delta as the 1.0 library does, which evaluates an item
// each time it is used, and adds up what is in use.
type meter struct {
	*stocklib.Checker
	now         load
	memory, tmp int64         // at their peaks
	waiting     []*compressor // that nothing was written to yet
	heap        heap
	disturbed   bool              // a thread that the library started for a nested delta may still run
	kept        map[pamz.Key]bool // ranges of forward-only sources, in memory to the end
}

func (m *meter) add(l load) {
	m.now = m.now.plus(l)
	m.heap.main = max(m.heap.main, m.now.heap)
	m.memory = max(m.memory, m.now.memory+m.heap.resident())
	m.tmp = max(m.tmp, m.now.tmp)
}

func (m *meter) sub(l load) {
	m.now.memory -= l.memory
	m.now.heap -= l.heap
	m.now.tmp -= l.tmp
	m.heap.unmap(l.mapped)
}

// chunks writes the chunks of a delta. One of a form that the library does not read costs nothing: its
// items may be shared, so that to go through each use may take for ever.
func (m *meter) chunks(s *scope) {
	if s.Diff.Pooled() {
		return
	}
	for _, c := range s.Diff.Chunks {
		m.write(s, c)
	}
}

// compressor is a zstd_compression that is being written.
type compressor struct {
	use    codec.ZstdUse
	worker *claim // from when something is written to it
}

// emit is the moment in which the first byte leaves a recipe: compressors above
// it allocate their buffers. Their threads begin to work much later, in the arena that the
// patches had.
func (m *meter) emit() {
	for _, c := range m.waiting {
		u := c.use
		c.worker = m.heap.claim(piece{u.Tables, u.Tables}, piece{u.Buffer, u.Filled}, piece{u.Buffer, u.Filled})
		m.add(load{memory: u.Ring + c.worker.mapped})
	}
	m.waiting = nil
}

// write streams an item into its target.
func (m *meter) write(s *scope, it *pamz.Item) {
	r := it.Recipe
	if it.Length == 0 || r == nil || r.CheckShape() != nil {
		return
	}
	var held load
	switch r.Op {
	case pamz.OpConcatenation:
		for _, p := range r.Params {
			m.write(s, p.Item)
		}
		return
	case pamz.OpCopy:
		if !r.FromTarget() {
			m.write(s, r.Params[0].Item)
			return
		}
	case pamz.OpBSDiff:
		m.patch(s, it)
		return
	case pamz.OpNested:
		held = m.read(s, r.Params[0].Item)
		d := m.Opened[it]
		if d != nil {
			m.add(table(d))
			held = held.plus(table(d))
		}
		held = held.plus(m.read(s, r.Params[1].Item))
		if d != nil {
			m.nested(s, it, d)
		}
	case pamz.OpZstdCompression:
		m.compress(s, it)
		return
	case pamz.OpRegion:
		held = m.read(s, r.Params[0].Item)
	case pamz.OpRemainder:
		held = load{memory: stocklib.ZlibMemory}
		m.add(held)
	case pamz.OpZlibCompression:
		return // not of this generation
	default:
		held = m.read(s, it)
	}
	m.emit()
	m.sub(held)
}

// patch applies a patch: both sides are in memory until the result was read.
func (m *meter) patch(s *scope, it *pamz.Item) {
	r := it.Recipe
	held := m.read(s, r.Params[0].Item).plus(m.read(s, r.Params[1].Item))
	old, new := r.Params[1].Item.Length, it.Length
	pieces := []piece{{old, old}, {new, new}}
	for _, filled := range m.bzip2(s, r.Params[0].Item) {
		pieces = append(pieces, piece{bzip2Tables, filled})
	}
	if m.disturbed {
		m.heap.disturb()
		m.disturbed = false
	}
	sides := m.heap.claim(pieces...)
	mapped := load{memory: sides.mapped}
	m.add(mapped)
	m.emit()
	m.sub(held.plus(mapped))
	sides.free(3) // of the decoders the first one first
}

// window is what a decoder takes that has a window of n bytes.
func (m *meter) window(n int64) load {
	if m.now.heap+n > m.heap.main && n >= m.heap.threshold {
		return load{memory: n, mapped: n}
	}
	return load{heap: n}
}

// bzip2 is what each of the three decoders of a patch fills, in bytes. Where the patch cannot
// be looked at, it is taken to be a third of what its blocks are before the last steps of
// their coding, as measured: from three quarters to twice the patch.
func (m *meter) bzip2(s *scope, patch *pamz.Item) (filled [3]int64) {
	for i := range filled {
		filled[i] = min(bzip2Tables, patch.Length*4+80<<10)
	}
	content, err := m.View.Part(&s.Level, patch)
	if err != nil {
		return filled
	}
	h, err := bsdiff.Parse(content, content.Size())
	if err != nil {
		return filled
	}
	at := int64(32)
	for i, size := range []int64{h.Control, h.Diff, content.Size() - 32 - h.Control - h.Diff} {
		block := int64(bzip2Block)
		if size < bzip2Block/4 {
			block, _ = io.CopyN(io.Discard, bzip2.NewReader(io.NewSectionReader(content, at, size)), bzip2Block)
		}
		filled[i] = 4 * block
		at += size
	}
	return filled
}

// compress writes a zstd_compression.
func (m *meter) compress(s *scope, it *pamz.Item) {
	r := it.Recipe
	item := r.Params[0].Item
	c := &compressor{use: codec.ZstdMemory(int(min(r.Params[3].Number, stocklib.MaxNumber)), item.Length, it.Length)}
	m.waiting = append(m.waiting, c)
	m.write(s, item)
	if c.worker == nil {
		m.waiting = m.waiting[:len(m.waiting)-1]
		return
	}
	m.sub(load{memory: c.use.Ring + c.worker.mapped})
	c.worker.free(1)
}

// table is what the table of d takes.
func table(d *pamz.Diff) (l load) {
	d.Walk(func(int, *pamz.Item) error {
		l.memory += stocklib.ItemMemory
		return nil
	})
	return l
}

// nested writes the delta d inside it.
func (m *meter) nested(s *scope, it *pamz.Item, d *pamz.Diff) {
	inner := &scope{Level: apply.Level{Diff: d}, forward: !random(it.Recipe.Params[1].Item)}
	var ranges load
	d.Walk(func(_ int, it *pamz.Item) error {
		if inner.forward && it.Recipe.Op == pamz.OpCopySource && !m.kept[it.Key()] {
			m.kept[it.Key()] = true
			ranges.memory += it.Length
		}
		return nil
	})
	m.add(ranges) // never given back
	m.disturbed = true
	m.chunks(inner)
}

// read opens an item for its user and returns what it holds until it is closed.
func (m *meter) read(s *scope, it *pamz.Item) load {
	r := it.Recipe
	if it.Length == 0 || r == nil || r.CheckShape() != nil {
		return load{}
	}
	var held load
	switch {
	case r.Op == pamz.OpInlineAsset, r.Op == pamz.OpCopySource, r.Op == pamz.OpAllZero, r.FromTarget():
		return load{}
	case r.Op == pamz.OpCopy, r.Op == pamz.OpConcatenation:
		for part := range r.Items() {
			held = held.plus(m.read(s, part))
		}
		return held
	case r.Op.Decompresses():
		held = m.read(s, r.Params[0].Item)
		own := m.window(min(stocklib.DecoderMemory(r), it.Length+stocklib.WindowExtra))
		if r.Op == pamz.OpZstdDelta {
			held = held.plus(m.read(s, r.Params[1].Item))
			own.memory += r.Params[1].Item.Length
		}
		m.add(own)
		return held.plus(own)
	}
	// Anything else is computed into a temporary file first.
	file := load{tmp: it.Length}
	m.add(file)
	waiting := m.waiting
	m.waiting = nil
	m.write(s, it)
	m.waiting = waiting
	return file
}
