// SPDX-License-Identifier: MIT

package stock30

import (
	"iter"
	"slices"

	"swudelta/internal/device"
	"swudelta/internal/device/stocklib"
	"swudelta/internal/pamz"
)

// stagedInMemory is up to which size, in bytes, the library keeps what it takes slices of in
// memory.
const stagedInMemory = 64 << 10

// What the library takes, in bytes, as measured with builds of 2.1.0 and 3.0.0.
const (
	// baseMemory is what a process takes that only copies.
	baseMemory = 8600 << 10
	// itemMemory is what it takes for an item of its pool, to the end: 2,860 in deltas of 1,000 to
	// 26,000 items of each kind.
	itemMemory = 2880
	// inflateMemory is what a decompressor of zlib's takes while it is open but not read, 9.8 KiB in
	// chains of 400 and more, and deflateMemory what a compressor does: 384 KiB with memory level 9
	// (zconf.h), and what it reads through.
	inflateMemory = 12 << 10
	deflateMemory = 448 << 10
)

// block is the size of blocks of the file system that /tmp is, in bytes.
const block = 4 << 10

// cost predicts what the device needs for d, which c went through.
func cost(c *stocklib.Checker, d *pamz.Diff) device.Cost {
	m := &meter{Checker: c, known: map[*pamz.Item]need{}, forward: map[*pamz.Item]bool{}, looked: map[*pamz.Item]bool{}, staged: map[pamz.Key]bool{}}
	top := m.chain(slices.Values(d.Chunks))
	return device.Cost{Memory: sum(baseMemory, max(m.peak, top.peak), m.memory, itemMemory*int64(len(m.known))), Tmp: m.tmp}
}

// tooMuch is what sums do not go beyond, in bytes: a hostile delta may state any lengths.
const tooMuch = 1 << 50

func sum(list ...int64) (n int64) {
	for _, v := range list {
		n = min(n+min(v, tooMuch), tooMuch)
	}
	return n
}

// meter goes through a delta as the library does, which keeps one copy of whatever it takes
// slices of, to the end, and else streams.
type meter struct {
	*stocklib.Checker
	known       map[*pamz.Item]need
	forward     map[*pamz.Item]bool // of concatenations
	looked      map[*pamz.Item]bool // concatenations that are read: items are shared
	staged      map[pamz.Key]bool
	memory, tmp int64 // of staged items
	peak        int64 // of memory while one of them is produced, which is before any is read
}

// need is the memory that an item takes, in bytes.
type need struct {
	open int64 // before it is read: by the streams that it is made through
	peak int64 // the most while it is produced
}

// produce returns what it takes to produce an item.
func (m *meter) produce(it *pamz.Item) need {
	r := it.Recipe
	if it.Length == 0 || r == nil || r.CheckShape() != nil {
		return need{}
	}
	n, ok := m.known[it]
	if ok {
		return n
	}
	if !r.FromTarget() {
		n = m.chain(r.Items())
	}
	switch r.Op {
	case pamz.OpRegion:
		m.stage(r.Params[0].Item)
		m.peak = max(m.peak, n.peak)
		n = need{}
	case pamz.OpBSDiff:
		for _, p := range r.Params {
			m.read(p.Item)
		}
		n = need{0, max(n.peak, sum(it.Length, r.Params[1].Item.Length, stocklib.PatchMemory))}
	case pamz.OpGzDecompression, pamz.OpZlibDecompression:
		n = need{sum(n.open, inflateMemory), sum(n.peak, stocklib.ZlibMemory)}
	case pamz.OpZlibCompression:
		n = need{sum(n.open, deflateMemory), sum(n.peak, stocklib.ZlibMemory)}
	case pamz.OpZstdDecompression:
		n.peak = sum(n.peak, stocklib.DecoderMemory(r))
	case pamz.OpZstdDelta:
		n.peak = sum(n.peak, stocklib.DecoderMemory(r), r.Params[1].Item.Length)
	case pamz.OpRemainder:
		if r.Rest != nil {
			m.stage(pamz.NewItem(r.Rest.Size, r.Rest.SHA256, r))
		}
	case pamz.OpNested:
		if inner := m.Opened[it]; inner != nil {
			top := m.chain(slices.Values(inner.Chunks))
			n = need{sum(n.open, top.open), max(n.peak, top.peak)}
		}
	}
	m.known[it] = n
	return n
}

// chain returns what it takes to produce items end to end: the streams of all are open from the
// beginning.
func (m *meter) chain(list iter.Seq[*pamz.Item]) (n need) {
	for it := range list {
		one := m.produce(it)
		n.open = sum(n.open, one.open)
		n.peak = max(n.peak, one.peak-one.open)
	}
	n.peak = sum(n.peak, n.open)
	return n
}

// sequential reports whether the library can produce an item only front to back: a concatenation if one
// of its parts is such an item.
func (m *meter) sequential(it *pamz.Item) bool {
	r := it.Recipe
	if r == nil || r.Op != pamz.OpConcatenation {
		return r != nil && it.Sequential()
	}
	is, ok := m.forward[it]
	if !ok {
		for _, p := range r.Params {
			is = is || p.Item != nil && p.Item.Length > 0 && m.sequential(p.Item)
		}
		m.forward[it] = is
	}
	return is
}

// read stages what of an item that is read at random can be produced only front to back: of a
// concatenation such parts alone.
func (m *meter) read(it *pamz.Item) {
	if r := it.Recipe; r == nil || r.Op != pamz.OpConcatenation {
		m.stage(it)
		return
	}
	if m.looked[it] {
		return
	}
	m.looked[it] = true
	for part := range it.Recipe.Items() {
		m.read(part)
	}
}

// stage keeps an item that can only be produced front to back.
func (m *meter) stage(it *pamz.Item) {
	if !m.sequential(it) || m.staged[it.Key()] {
		return
	}
	m.staged[it.Key()] = true
	if it.Length <= stagedInMemory {
		m.memory = sum(m.memory, it.Length)
	} else {
		m.tmp = sum(m.tmp, (min(it.Length, tooMuch)+block-1)/block*block)
	}
}
