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

// cost predicts what the device needs for d, which c went through.
func cost(c *stocklib.Checker, d *pamz.Diff) device.Cost {
	m := &meter{Checker: c, known: map[*pamz.Item]int64{}, staged: map[pamz.Key]bool{}}
	var peak int64
	for _, chunk := range d.Chunks {
		peak = max(peak, m.produce(chunk))
	}
	return device.Cost{Memory: stocklib.BaseMemory + peak + m.memory, Tmp: m.tmp}
}

// meter goes through a delta as the library does, which keeps one copy of whatever it takes
// slices of, to the end, and else streams.
type meter struct {
	*stocklib.Checker
	known       map[*pamz.Item]int64 // peak of memory that producing the item takes
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
	for _, p := range r.Params {
		if p.Item != nil && !r.FromTarget() {
			peak = max(peak, m.produce(p.Item))
		}
	}
	switch r.Op {
	case pamz.OpRegion:
		m.stage(r.Params[0].Item)
	case pamz.OpBSDiff:
		for _, p := range r.Params {
			m.stage(p.Item)
		}
		peak = max(peak, it.Length+r.Params[1].Item.Length+stocklib.PatchMemory)
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

// stage keeps an item that can only be produced front to back.
func (m *meter) stage(it *pamz.Item) {
	if it.Recipe == nil || !it.Sequential() || m.staged[it.Key()] {
		return
	}
	m.staged[it.Key()] = true
	if it.Length <= stagedInMemory {
		m.memory += it.Length
	} else {
		m.tmp += it.Length
	}
}
