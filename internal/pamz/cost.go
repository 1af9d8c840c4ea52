// SPDX-License-Identifier: MIT

package pamz

import (
	"encoding/binary"
	"io"
)

// Report is what applying a delta costs on a device with the stock library.
type Report struct {
	Memory int64 `json:"memory"` // predicted resident peak of the process, in bytes
	Tmp    int64 `json:"tmp"`    // predicted peak in /tmp, in bytes
}

// What stock libraries take, in bytes, as measured.
const (
	stockBase   = 5 << 20 // a process that copies
	stockZlib   = 1 << 20
	stockStaged = 64 << 10 // the 3.0 library keeps slices up to this size in memory
	hidden      = 8 << 20  // window of a zstd frame that cannot be looked at
)

// StockBSDiff is what the 1.0 library takes to apply a patch beside both its sides, in bytes:
// three bzip2 decoders and pipes.
const StockBSDiff = 10 << 20

// StockItem is what the 1.0 library takes for an item of a table, in bytes: some 390 as
// measured, from when it reads the table until that delta is applied.
const StockItem = 448

// What the malloc of glibc does with the sides of a patch, in bytes: see (*heap).patch.
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
// content with one worker: match tables, and four buffers of a job, which is four
// windows long.
func zstdMemory(level int, content int64) int64 {
	if level <= 0 {
		level = 3
	}
	t := zstdTables[min(level, len(zstdTables)-1)]
	return 4<<t[1] + 4<<t[2] + 4*min(4<<t[0], content) + 4<<20
}

// load is memory and space in /tmp, in bytes.
type load struct{ memory, tmp int64 }

func (l load) plus(o load) load { return load{l.memory + o.memory, l.tmp + o.tmp} }

// cost predicts what the device needs for d, which has been checked.
func (c *checker) cost(d *Diff) *Report {
	var peak load
	if c.profile == Profile10 {
		m := &meter{checker: c, kept: map[key]bool{}, heap: heap{threshold: mmapThreshold}}
		m.add(table(d))
		m.chunks(&checkScope{level: level{diff: d}})
		peak = m.peak
	} else {
		m := &meter30{checker: c, known: map[*Item]int64{}, staged: map[key]bool{}}
		for _, chunk := range d.Chunks {
			peak.memory = max(peak.memory, m.produce(d, chunk))
		}
		peak.memory += m.memory
		peak.tmp = m.tmp
	}
	return &Report{Memory: stockBase + peak.memory, Tmp: peak.tmp}
}

// meter goes through a delta as the 1.0 library does, which evaluates an item
// each time it is used, and adds up what is in use.
type meter struct {
	*checker
	now, peak load
	pending   int64 // of compressors that nothing was written to yet
	results   int64 // the largest result of a patch that a heap may have kept the room of
	heap      heap
	kept      map[key]bool // ranges of forward-only sources, in memory to the end
}

func (m *meter) add(l load) {
	m.now = m.now.plus(l)
	m.peak = load{max(m.peak.memory, m.now.memory), max(m.peak.tmp, m.now.tmp)}
}

func (m *meter) sub(l load) { m.now = m.now.plus(load{-l.memory, -l.tmp}) }

// chunks writes the chunks of a delta.
func (m *meter) chunks(s *checkScope) {
	for _, c := range s.diff.Chunks {
		m.write(s, c)
	}
}

// emit is the moment in which the first byte leaves a recipe: compressors above
// it allocate their buffers.
func (m *meter) emit() {
	m.add(load{memory: m.pending})
	m.pending = 0
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
		old := r.Params[1].Item.Length
		if it.Length <= maxMmapThreshold {
			m.results = max(m.results, it.Length)
		}
		both := load{memory: max(m.heap.patch(old, it.Length), max(it.Length, m.results)+old+StockBSDiff)}
		m.add(both)
		held = held.plus(both)
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
		m.compress(s, r)
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

// heap is what glibc's malloc holds, in bytes. What is at least as large as the threshold
// is mapped and given back when it is freed, and what was so makes the threshold grow, up
// to maxMmapThreshold. But first of all it looks whether there is room where it has memory
// already, and that it keeps: in the arena of the thread that applies patches, which
// cannot hold more than arenaSize, or else that of the main thread.
type heap struct{ threshold, arena, main int64 }

// patch is what the process holds while a patch is applied.
func (h *heap) patch(old, new int64) int64 {
	used, mapped, threshold := int64(0), int64(0), h.threshold
	for _, n := range []int64{old, new, StockBSDiff} {
		switch {
		case used+n > max(h.arena, used) && n >= h.threshold:
			mapped += n
			if n <= maxMmapThreshold {
				threshold = max(threshold, n)
			}
		case used+n <= arenaSize:
			used += n
		default:
			h.main = max(h.main, n)
		}
	}
	h.arena, h.threshold = max(h.arena, used), threshold
	return h.arena + h.main + mapped
}

// compress writes a zstd_compression.
func (m *meter) compress(s *checkScope, r *Recipe) {
	item := r.Params[0].Item
	before := m.pending
	need := zstdMemory(int(min(r.Params[3].Number, stockMax)), item.Length)
	m.pending += need
	m.write(s, item)
	if m.pending > before {
		m.pending = before
	} else {
		m.sub(load{memory: need})
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
		own := load{memory: m.decoder(s.diff, r)}
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
	pending := m.pending
	m.pending = 0
	m.write(s, it)
	m.pending = pending
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
			return window + 1<<20
		}
	}
	return hidden + 1<<20
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
	known  map[*Item]int64 // peak of memory that producing the item takes
	staged map[key]bool
	load   // of staged items
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
