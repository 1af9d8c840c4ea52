// SPDX-License-Identifier: MIT

package stock30

import (
	"swudelta/internal/device"
	"swudelta/internal/device/stocklib"
	"swudelta/internal/pamz"
)

// stagedInMemory is up to which size, in bytes, the library keeps what it takes slices of in
// memory.
const stagedInMemory = 64 << 10

// itemMemory is what the library takes for an item of its pool, in bytes: 1,000 more of them took
// 2.7 MB more, as measured on a delta of a 352 MiB image.
const itemMemory = 2560

// packLeft is what is left in the heap of each pack that was made, as a share of both its sides: six
// packs of 75 MB took 5 MB more than two, as measured on deltas of 352 MiB images.
const packLeft = 96

// block is the size of blocks of the file system that /tmp is, in bytes.
const block = 4 << 10

// cost predicts what the device needs for d, which c went through.
func cost(c *stocklib.Checker, d *pamz.Diff) device.Cost {
	m := &meter{Checker: c, known: map[*pamz.Item]int64{}, forward: map[*pamz.Item]bool{}, staged: map[pamz.Key]bool{}}
	var peak int64
	for _, chunk := range d.Chunks {
		peak = max(peak, m.produce(chunk))
	}
	return device.Cost{Memory: stocklib.BaseMemory + peak + m.memory + itemMemory*int64(len(m.known)), Tmp: m.tmp}
}

// meter goes through a delta as the library does, which keeps one copy of whatever it takes
// slices of, to the end, and else streams.
type meter struct {
	*stocklib.Checker
	known       map[*pamz.Item]int64 // peak of memory that producing the item takes
	forward     map[*pamz.Item]bool  // of concatenations
	staged      map[pamz.Key]bool
	memory, tmp int64 // of staged items
}

// produce returns the peak of memory while an item is produced.
func (m *meter) produce(it *pamz.Item) int64 {
	r := it.Recipe
	if it.Length == 0 || r == nil || r.CheckShape() != nil {
		return 0
	}
	if peak, ok := m.known[it]; ok {
		return peak
	}
	var peak int64
	streams := int64(0)
	for _, p := range r.Params {
		if p.Item == nil || r.FromTarget() {
			continue
		}
		peak = max(peak, m.produce(p.Item))
		if codes(p.Item) {
			streams++
		}
	}
	if r.Op == pamz.OpConcatenation && streams > 1 { // all are open at a time
		peak += (streams - 1) * stocklib.ZlibMemory
	}
	switch r.Op {
	case pamz.OpRegion:
		m.stage(r.Params[0].Item)
	case pamz.OpBSDiff:
		for _, p := range r.Params {
			m.read(p.Item)
		}
		sides := it.Length + r.Params[1].Item.Length
		peak = max(peak, sides+stocklib.PatchMemory)
		m.memory += sides / packLeft
	case pamz.OpZstdDecompression, pamz.OpGzDecompression, pamz.OpZlibDecompression:
		peak += stocklib.DecoderMemory(r)
	case pamz.OpZstdDelta:
		peak += stocklib.DecoderMemory(r) + r.Params[1].Item.Length
	case pamz.OpZlibCompression:
		peak += stocklib.ZlibMemory
	case pamz.OpRemainder:
		if r.Rest != nil {
			m.stage(pamz.NewItem(r.Rest.Size, r.Rest.SHA256, r))
		}
	case pamz.OpNested:
		if inner := m.Opened[it]; inner != nil {
			for _, c := range inner.Chunks {
				peak = max(peak, m.produce(c))
			}
		}
	}
	m.known[it] = peak
	return peak
}

// codes reports whether producing an item takes a stream of zlib's.
func codes(it *pamz.Item) bool {
	if it.Recipe == nil {
		return false
	}
	switch it.Recipe.Op {
	case pamz.OpGzDecompression, pamz.OpZlibDecompression, pamz.OpZlibCompression:
		return true
	}
	return false
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
	for _, p := range it.Recipe.Params {
		if p.Item != nil {
			m.read(p.Item)
		}
	}
}

// stage keeps an item that can only be produced front to back.
func (m *meter) stage(it *pamz.Item) {
	if !m.sequential(it) || m.staged[it.Key()] {
		return
	}
	m.staged[it.Key()] = true
	if it.Length <= stagedInMemory {
		m.memory += it.Length
	} else {
		m.tmp += (it.Length + block - 1) / block * block
	}
}
