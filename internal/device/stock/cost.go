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

// What the malloc of glibc does with large pieces, in bytes: see heap.
const (
	mmapThreshold    = 128 << 10 // at first
	maxMmapThreshold = 32 << 20
	arenaSize        = 64 << 20
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
	memory, tmp int64 // at their peaks
	pending     load  // of compressors that nothing was written to yet
	worker      int64 // of pending: what lies in the heap of a thread
	results     int64 // the largest result of a patch that some heap may have kept the room of
	heap        heap
	kept        map[pamz.Key]bool // ranges of forward-only sources, in memory to the end
}

func (m *meter) add(l load) {
	m.now = m.now.plus(l)
	m.heap.main = max(m.heap.main, m.now.heap)
	m.memory = max(m.memory, m.now.memory+m.heap.size())
	m.tmp = max(m.tmp, m.now.tmp)
}

func (m *meter) sub(l load) {
	m.now.memory -= l.memory
	m.now.heap -= l.heap
	m.now.tmp -= l.tmp
	m.heap.unmap(l.mapped)
}

// chunks writes the chunks of a delta.
func (m *meter) chunks(s *scope) {
	for _, c := range s.Diff.Chunks {
		m.write(s, c)
	}
}

// emit is the moment in which the first byte leaves a recipe: compressors above
// it allocate their buffers.
func (m *meter) emit() {
	m.add(m.pending)
	m.heap.thread = max(m.heap.thread, m.worker)
	m.add(load{})
	m.pending, m.worker = load{}, 0
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
		held = m.read(s, r.Params[0].Item).plus(m.read(s, r.Params[1].Item))
		old, decoders := r.Params[1].Item.Length, m.bzip2(s, r.Params[0].Item)
		if it.Length <= maxMmapThreshold {
			m.results = max(m.results, it.Length)
		}
		m.memory = max(m.memory, m.now.memory+m.heap.main+max(it.Length, m.results)+old+decoders)
		sides := m.heap.patch(old, it.Length, decoders)
		m.add(sides)
		held = held.plus(sides)
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

// heap is what glibc's malloc keeps, in bytes. A piece that is at least as large as the
// threshold is mapped, and unmapped when it is freed, which raises the threshold to its
// size, up to maxMmapThreshold. But first of all malloc looks whether there is room where
// it has memory already; and that it keeps, unless twice the threshold is free. The main
// thread has a heap, in which the windows of decoders lie, and the threads that apply
// patches or compress, one after the other, have another, of up to arenaSize; what does
// not fit into that lies in a third, if things turn out badly.
type heap struct{ threshold, main, thread, overflow int64 }

func (h *heap) size() int64 { return h.main + h.thread + h.overflow }

// unmap frees a piece that was mapped.
func (h *heap) unmap(n int64) {
	if n <= maxMmapThreshold {
		h.threshold = max(h.threshold, n)
	}
}

// patch is what a patch takes while it is applied, beside what the heaps have then. Its
// decoders fill decoders bytes.
func (h *heap) patch(old, new, decoders int64) (l load) {
	used := int64(0)
	for _, p := range []struct{ filled, size int64 }{{old, old}, {new, new}, {decoders, bzip2Tables}} {
		switch {
		case used+p.filled > max(h.thread, used) && p.size >= h.threshold:
			l.memory += p.filled
			if p.size <= maxMmapThreshold {
				l.mapped = max(l.mapped, p.size)
			}
		case used+p.filled <= arenaSize:
			used += p.filled
		default:
			h.overflow = max(h.overflow, p.filled)
		}
	}
	h.thread = max(h.thread, used)
	return l
}

// window is what a decoder takes that has a window of n bytes.
func (m *meter) window(n int64) load {
	if m.now.heap+n > m.heap.main && n >= m.heap.threshold {
		return load{memory: n, mapped: n}
	}
	return load{heap: n}
}

// bzip2 is what the three decoders of a patch fill, in bytes. Where the patch cannot be
// looked at, it is taken to be a third of what its blocks are before the last steps of
// their coding, as measured: from three quarters to twice the patch.
func (m *meter) bzip2(s *scope, patch *pamz.Item) int64 {
	unseen := min(3*bzip2Tables, patch.Length*3*4+256<<10)
	content, err := m.View.Part(&s.Level, patch)
	if err != nil {
		return unseen
	}
	h, err := bsdiff.Parse(content, content.Size())
	if err != nil {
		return unseen
	}
	sum, at := int64(0), int64(32)
	for _, size := range []int64{h.Control, h.Diff, content.Size() - 32 - h.Control - h.Diff} {
		block := int64(bzip2Block)
		if size < bzip2Block/4 {
			block, _ = io.CopyN(io.Discard, bzip2.NewReader(io.NewSectionReader(content, at, size)), bzip2Block)
		}
		sum += 4 * block
		at += size
	}
	return sum
}

// compress writes a zstd_compression.
func (m *meter) compress(s *scope, it *pamz.Item) {
	r := it.Recipe
	item := r.Params[0].Item
	before, worker := m.pending, m.worker
	ring, own := codec.ZstdMemory(int(min(r.Params[3].Number, stocklib.MaxNumber)), item.Length, it.Length)
	need := load{memory: ring}
	m.pending = m.pending.plus(need)
	m.worker += own
	m.write(s, item)
	if m.pending.memory > before.memory {
		m.pending, m.worker = before, worker
	} else {
		m.sub(need)
	}
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
	pending, worker := m.pending, m.worker
	m.pending, m.worker = load{}, 0
	m.write(s, it)
	m.pending, m.worker = pending, worker
	return file
}
