// SPDX-License-Identifier: MIT

package pamz

import (
	"encoding/binary"
	"io"

	"swudelta/internal/bsdiff"
	"swudelta/internal/bzip2"
)

// Report is what applying a delta costs on a device with the stock library.
type Report struct {
	Memory int64 `json:"memory"` // predicted resident peak of the process, in bytes
	Tmp    int64 `json:"tmp"`    // predicted peak in /tmp, in bytes
}

// What stock libraries take, in bytes, as measured.
const (
	stockBase   = 5<<20 + 512<<10 // a process that copies
	stockZlib   = 1 << 20
	stockStaged = 64 << 10  // the 3.0 library keeps slices up to this size in memory
	hidden      = 8 << 20   // window of a zstd frame that cannot be looked at
	windowExtra = 512 << 10 // of a zstd decoder, beside its window
)

// A bzip2 decoder of the 1.0 library, which takes the tables of a block of 900,000 bytes
// however long its stream is, and fills as much of them as there is.
const (
	bzip2Block  = 900_000
	bzip2Tables = 4 * bzip2Block
)

// StockBSDiff is what the 1.0 library takes to apply a patch beside both its sides, in bytes:
// three bzip2 decoders and pipes.
const StockBSDiff = 10 << 20

// StockItem is what the 1.0 library takes for an item of a table, in bytes: some 390 as
// measured, from when it reads the table until that delta is applied.
const StockItem = 448

// What the malloc of glibc does with large pieces, in bytes: see heap.
const (
	mmapThreshold    = 128 << 10 // at first
	maxMmapThreshold = 32 << 20
	arenaSize        = 64 << 20
)

// zstdTables are windowLog, chainLog and hashLog of libzstd's levels 1 to 22 for
// content of unknown size (zstd 1.5.0; later versions differ little).
var zstdTables = [23][3]uint{
	1: {19, 13, 14}, {20, 15, 16}, {21, 16, 17}, {21, 18, 18}, {21, 18, 19}, {21, 19, 19}, {21, 19, 19}, {21, 19, 20},
	{22, 20, 21}, {22, 21, 22}, {22, 21, 22}, {22, 22, 23}, {22, 22, 22}, {22, 22, 23}, {22, 23, 23}, {22, 22, 22},
	{23, 23, 22}, {23, 23, 22}, {23, 24, 22}, {25, 25, 23}, {26, 26, 24}, {27, 27, 25},
}

// zstdMemory estimates what libzstd takes, in bytes, to compress that much
// content to that many bytes with one worker: the content as far as it fits into four
// jobs, each of which is four windows long, and what the worker has, which is match
// tables and the results of two jobs.
func zstdMemory(level int, content, packed int64) int64 {
	ring, worker := zstdParts(level, content, packed)
	return ring + worker
}

func zstdParts(level int, content, packed int64) (ring, worker int64) {
	if level <= 0 {
		level = 3
	}
	t := zstdTables[min(level, len(zstdTables)-1)]
	job := int64(4) << t[0]
	result := min(2*job, packed)
	if content > packed && content > job {
		result = min(result, int64(float64(2*job)*float64(packed)/float64(content)))
	}
	return min(4*job, content), 4<<t[1] + 4<<t[2] + result + 1<<20
}

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

// cost predicts what the device needs for d, which has been checked.
func (c *checker) cost(d *Diff) *Report {
	var memory, tmp int64
	if c.profile == Profile10 {
		m := &meter{checker: c, kept: map[key]bool{}, heap: heap{threshold: mmapThreshold}}
		m.add(table(d))
		m.chunks(&checkScope{level: level{diff: d}})
		memory, tmp = m.memory, m.tmp
	} else {
		m := &meter30{checker: c, known: map[*Item]int64{}, staged: map[key]bool{}}
		for _, chunk := range d.Chunks {
			memory = max(memory, m.produce(d, chunk))
		}
		memory += m.memory
		tmp = m.tmp
	}
	return &Report{Memory: stockBase + memory, Tmp: tmp}
}

// meter goes through a delta as the 1.0 library does, which evaluates an item
// each time it is used, and adds up what is in use.
type meter struct {
	*checker
	now         load
	memory, tmp int64 // at their peaks
	pending     load  // of compressors that nothing was written to yet
	worker      int64 // of pending: what lies in the heap of a thread
	results     int64 // the largest result of a patch that some heap may have kept the room of
	heap        heap
	kept        map[key]bool // ranges of forward-only sources, in memory to the end
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
func (m *meter) chunks(s *checkScope) {
	for _, c := range s.diff.Chunks {
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
func (m *meter) write(s *checkScope, it *Item) {
	r := it.Recipe
	if it.Length == 0 || r == nil || r.checkShape() != nil {
		return
	}
	var held load
	switch r.Op {
	case OpConcatenation:
		for _, p := range r.Params {
			m.write(s, p.Item)
		}
		return
	case OpCopy:
		if !r.fromTarget() {
			m.write(s, r.Params[0].Item)
			return
		}
	case OpBSDiff:
		held = m.read(s, r.Params[0].Item).plus(m.read(s, r.Params[1].Item))
		old, decoders := r.Params[1].Item.Length, m.bzip2(s, r.Params[0].Item)
		if it.Length <= maxMmapThreshold {
			m.results = max(m.results, it.Length)
		}
		m.memory = max(m.memory, m.now.memory+m.heap.main+max(it.Length, m.results)+old+decoders)
		sides := m.heap.patch(old, it.Length, decoders)
		m.add(sides)
		held = held.plus(sides)
	case OpNested:
		held = m.read(s, r.Params[0].Item)
		d := m.opened[it]
		if d != nil {
			m.add(table(d))
			held = held.plus(table(d))
		}
		held = held.plus(m.read(s, r.Params[1].Item))
		if d != nil {
			m.nested(s, it, d)
		}
	case OpZstdCompression:
		m.compress(s, it)
		return
	case OpRegion:
		held = m.read(s, r.Params[0].Item)
	case OpRemainder:
		held = load{memory: stockZlib}
		m.add(held)
	case OpZlibCompression:
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
func (m *meter) bzip2(s *checkScope, patch *Item) int64 {
	unseen := min(3*bzip2Tables, patch.Length*3*4+256<<10)
	content, err := m.view.part(&s.level, patch)
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
func (m *meter) compress(s *checkScope, it *Item) {
	r := it.Recipe
	item := r.Params[0].Item
	before, worker := m.pending, m.worker
	ring, own := zstdParts(int(min(r.Params[3].Number, stockMax)), item.Length, it.Length)
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
func table(d *Diff) (l load) {
	d.walk(func(int, *Item) error {
		l.memory += StockItem
		return nil
	})
	return l
}

// nested writes the delta d inside it.
func (m *meter) nested(s *checkScope, it *Item, d *Diff) {
	inner := &checkScope{level: level{diff: d}, forward: !s.random(it.Recipe.Params[1].Item)}
	var ranges load
	d.walk(func(_ int, it *Item) error {
		if inner.forward && it.Recipe.Op == OpCopySource && !m.kept[it.key()] {
			m.kept[it.key()] = true
			ranges.memory += it.Length
		}
		return nil
	})
	m.add(ranges) // never given back
	m.chunks(inner)
}

// read opens an item for its user and returns what it holds until it is closed.
func (m *meter) read(s *checkScope, it *Item) load {
	r := it.Recipe
	if it.Length == 0 || r == nil || r.checkShape() != nil {
		return load{}
	}
	var held load
	switch r.Op {
	case OpInlineAsset, OpCopySource, OpAllZero:
		return load{}
	case OpCopy:
		if r.fromTarget() {
			return load{}
		}
		return m.read(s, r.Params[0].Item)
	case OpConcatenation:
		for _, p := range r.Params {
			held = held.plus(m.read(s, p.Item))
		}
		return held
	case OpZstdDecompression, OpGzDecompression, OpZstdDelta, OpZlibDecompression:
		held = m.read(s, r.Params[0].Item)
		own := m.window(min(m.decoder(s.diff, r), it.Length+windowExtra))
		if r.Op == OpZstdDelta {
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

// decoder is the memory of a decompressor.
func (c *checker) decoder(d *Diff, r *Recipe) int64 {
	if r.Op != OpZstdDecompression && r.Op != OpZstdDelta {
		return stockZlib
	}
	frame := r.Params[0].Item
	if r := frame.Recipe; r != nil && r.Op == OpConcatenation && len(r.Params) > 0 && r.Params[0].Item != nil {
		frame = r.Params[0].Item // which may hold the frame header
	}
	if frame.inline() {
		if window := zstdWindow(frame.Recipe.Open()); window > 0 {
			return window + windowExtra
		}
	}
	return hidden + windowExtra
}

// zstdWindow returns the window size of the zstd frame that r starts with (RFC
// 8878 §3.1.1.1), 0 if there is none.
func zstdWindow(r io.ReaderAt) int64 {
	var b [14]byte
	n, _ := r.ReadAt(b[:], 0)
	if n < 6 || binary.LittleEndian.Uint32(b[:]) != 0xFD2FB528 {
		return 0
	}
	descriptor := b[4]
	if single := descriptor&0x20 != 0; !single {
		base := int64(1) << (10 + b[5]>>3)
		return base + base/8*int64(b[5]&7)
	}
	at := 5 + [4]int{0, 1, 2, 4}[descriptor&3]
	size := binary.LittleEndian.Uint64(append(b[at:n:n], make([]byte, 8)...))
	switch descriptor >> 6 {
	case 0:
		return int64(size & 0xff)
	case 1:
		return int64(size&0xffff) + 256
	case 2:
		return int64(size & 0xffffffff)
	}
	return int64(min(size, 1<<62))
}

// meter30 does the same for the 3.0 library, which keeps one copy of whatever it
// takes slices of, to the end, and else streams.
type meter30 struct {
	*checker
	known       map[*Item]int64 // peak of memory that producing the item takes
	staged      map[key]bool
	memory, tmp int64 // of staged items
}

// produce returns the peak of memory while an item is produced.
func (m *meter30) produce(d *Diff, it *Item) int64 {
	r := it.Recipe
	if it.Length == 0 || r == nil || r.checkShape() != nil {
		return 0
	}
	if peak, ok := m.known[it]; ok {
		return peak
	}
	var peak int64
	for _, p := range r.Params {
		if p.Item != nil && !r.fromTarget() {
			peak = max(peak, m.produce(d, p.Item))
		}
	}
	switch r.Op {
	case OpRegion:
		m.stage(r.Params[0].Item)
	case OpBSDiff:
		for _, p := range r.Params {
			m.stage(p.Item)
		}
		peak = max(peak, it.Length+r.Params[1].Item.Length+StockBSDiff)
	case OpZstdDecompression, OpGzDecompression, OpZlibDecompression:
		peak += m.decoder(d, r)
	case OpZstdDelta:
		peak += m.decoder(d, r) + r.Params[1].Item.Length
	case OpZlibCompression:
		peak += stockZlib
	case OpRemainder:
		if r.rest != nil {
			m.stage(NewItem(r.rest.size, r.rest.sum, r))
		}
	case OpNested:
		if inner := m.opened[it]; inner != nil {
			for _, c := range inner.Chunks {
				peak = max(peak, m.produce(inner, c))
			}
		}
	}
	m.known[it] = peak
	return peak
}

// stage keeps an item that can only be produced front to back.
func (m *meter30) stage(it *Item) {
	if it.Recipe == nil || !it.staged() || m.staged[it.key()] {
		return
	}
	m.staged[it.key()] = true
	if it.Length <= stockStaged {
		m.memory += it.Length
	} else {
		m.tmp += it.Length
	}
}
