// SPDX-License-Identifier: MIT

package stock

import (
	"math"
	"testing"

	"github.com/klauspost/compress/zstd"

	"swudelta/internal/device/stocklib"
	"swudelta/internal/digest"
	"swudelta/internal/pamz"
	"swudelta/internal/pamztest"
)

const mib = 1 << 20

// TestCost compares predictions with what was measured with the stock library.
func TestCost(t *testing.T) {
	b := pamztest.NewBuilder(t, 1, make([]byte, 96*mib))
	b.Source[0] = 1 // the halves differ
	image := func(inner *pamztest.Builder) []*pamz.Item {
		return []*pamz.Item{inner.CopySource(48*mib, 48*mib), inner.CopySource(0, 48*mib)}
	}
	whole := b.CopySource(0, 96*mib)
	gz := b.Item(b.Source, pamz.GzDecompression(b.Asset(b.Gzip(b.Source))))
	staged := b.Region(gz, 0, 96*mib)
	compress := func(it *pamz.Item) *pamz.Item {
		return pamz.NewItem(it.Length/1000, digest.SHA256{}, pamz.ZstdCompression(it, 1, 5, 3))
	}
	for _, c := range []struct {
		name                  string
		item                  *pamz.Item
		memory, measured, tmp int64
	}{
		{"plain images", b.Nested(pamz.LittleEndian, whole, image), 5, 5, 0},
		{"forward-only source", b.Nested(pamz.LittleEndian, gz, image), 102, 106, 0},
		{"compressed", compress(b.Nested(pamz.LittleEndian, gz, image)), 139, 144, 0},
		{"compressed, staged", compress(b.Nested(pamz.LittleEndian, staged, image)), 42, 44, 96},
	} {
		d, _ := b.Diff(0, pamz.LittleEndian, c.item)
		d.TargetLength = c.item.Length
		r, _, err := Check(d)
		if err != nil {
			t.Fatal(err)
		}
		if got := r.Memory / mib; got < c.measured*9/10 || got > c.measured*12/10 || r.Tmp != c.tmp*mib {
			t.Errorf("%s: got %d MiB and %d bytes of /tmp, measured were %d MiB and %d MiB", c.name, got, r.Tmp, c.measured, c.tmp)
		}
	}
	// Old and new side of a patch, and a window.
	old := b.CopySource(0, 20*mib)
	fresh := b.Item(b.Source[:8*mib], pamz.ZstdDecompression(b.Asset(pamztest.ZstdFrame(t, b.Source[:8*mib], zstd.WithWindowSize(8*mib)))))
	pack := pamz.NewItem(30*mib, digest.SHA256{}, pamz.BSDiff(b.Asset([]byte("BSDIFF40")), b.Concat(old, fresh)))
	d, _ := b.Diff(0, pamz.LittleEndian, pamz.NewItem(1, digest.SHA256{}, pamz.Region(pack, 0, 1)))
	r, _, err := Check(d)
	if err != nil || r.Memory < (58+8)*mib || r.Memory > (58+8+20)*mib || r.Tmp != 30*mib {
		t.Errorf("pack: got %+v, %v", r, err)
	}
}

// TestHeap has the sides of patches, old and new in turn, that the stock library was
// watched with, on glibc 2.36. Its resident memory grew to 87 MiB over the first five
// patches, and to 115 MiB after them, since the old side of 41,417,800 bytes finds room in
// the arena.
func TestHeap(t *testing.T) {
	const mb = 1_000_000
	peak := func(sides ...int64) int64 {
		h := heap{threshold: mmapThreshold}
		most, table := int64(0), piece{bzip2Tables, bzip2Tables}
		for i := 0; i < len(sides); i += 2 {
			c := h.claim(piece{sides[i], sides[i]}, piece{sides[i+1], sides[i+1]}, table, table, table)
			most = max(most, c.mapped+h.resident())
			c.free(3)
		}
		return most + stocklib.BaseMemory
	}
	sides := []int64{37337460, 28631331, 45690438, 30587889, 45870693, 29776167, 45374684, 31930749, 45439706, 31395297,
		41417800, 30294721, 45204770, 30535702, 45566919, 31346492, 36451774, 14784145, 30283531, 5833869}
	mixed, even := peak(sides...), peak(sides[:10]...)
	// The decoders' tables were not full there.
	if mixed < 121*mb || mixed > 136*mb {
		t.Errorf("mixed: %d", mixed)
	}
	if even < 92*mb || even > 95*mb {
		t.Errorf("even: %d", even)
	}
}

// TestHeapTrim has patches during which the system calls of the stock library were watched:
// all that the first one had was mapped, and of the others what lay behind both sides was
// given back, so that its arena ended behind them.
func TestHeapTrim(t *testing.T) {
	h := heap{threshold: mmapThreshold}
	table := piece{bzip2Tables, 1 << 20}
	for i, p := range []struct{ old, new, end int64 }{
		{5016764, 993189, 0}, {4089605, 1397972, 5619712}, {3285273, 1697497, 5115904}, {3210758, 2329895, 5672960},
	} {
		c := h.claim(piece{p.old, p.old}, piece{p.new, p.new}, table, table, table)
		if mapped := p.old + p.new + 3<<20; i == 0 && c.mapped != mapped || i > 0 && c.mapped != 0 {
			t.Errorf("patch %d: %d bytes are mapped", i, c.mapped)
		}
		c.free(3)
		if a := &h.arenas[h.current]; a.size > p.end || a.size < p.end-8<<10 && i > 0 {
			t.Errorf("patch %d: the arena ends at %d, want %d", i, a.size, p.end)
		}
	}
	if got := h.resident(); got < 5619712 || got > 5619712+2*arenaPage {
		t.Errorf("%d bytes are kept", got)
	}
}

// TestHeapHuge has sizes that only a hostile delta states.
func TestHeapHuge(t *testing.T) {
	h := heap{threshold: mmapThreshold}
	for range 3 {
		c := h.claim(piece{100 << 10, 100 << 10}, piece{math.MaxInt64, math.MaxInt64}, piece{100 << 10, 100 << 10})
		if c.mapped != math.MaxInt64 {
			t.Errorf("%d bytes are mapped", c.mapped)
		}
		c.free(1)
	}
	if a := &h.arenas[h.current]; a.used != 0 || a.size > arenaSize {
		t.Errorf("the arena is used up to %d of %d", a.used, a.size)
	}
}

// TestCostTable has a patch in the source of a delta, which the 1.0 library makes after it has
// read the table.
func TestCostTable(t *testing.T) {
	b := pamztest.NewBuilder(t, 1, pamztest.NewBuilder(t, 0, nil).Text(500_000))
	memory := func(n int) int64 {
		pack := b.BSDiff(b.Source[:300_000], b.CopySource(0, 200_000))
		d, _ := b.Diff(0, pamz.LittleEndian, b.Nested(pamz.LittleEndian, pack, func(inner *pamztest.Builder) []*pamz.Item {
			var chunks []*pamz.Item
			for i := range n {
				chunks = append(chunks, inner.CopySource(i, 1))
			}
			return chunks
		}))
		report, violations, err := Check(d)
		if err != nil || len(violations) > 0 {
			t.Fatal(violations, err)
		}
		return report.Memory
	}
	if few, many := memory(10), memory(5010); many != few+5000*stocklib.ItemMemory {
		t.Errorf("10 entries: %d bytes, 5010: %d", few, many)
	}
}

// TestCostWindow has a window that lies in the heap, because the large old side before it
// was freed, and stays there while the next patch is applied.
func TestCostWindow(t *testing.T) {
	b := pamztest.NewBuilder(t, 1, append(pamztest.NewBuilder(t, 0, nil).Text(40_000), make([]byte, 30*mib)...))
	patch := func(old *pamz.Item) *pamz.Item { return b.BSDiff(b.Source[:20_000], old) }
	memory := func(chunks ...*pamz.Item) int64 {
		d, _ := b.Diff(0, pamz.LittleEndian, chunks...)
		report, violations, err := Check(pamztest.Decode(t, pamztest.Encode(t, d)))
		if err != nil || len(violations) > 0 {
			t.Fatal(violations, err)
		}
		return report.Memory
	}
	window := b.Region(b.Unzstd(b.Source[:8*mib]), 0, 100)
	first, second := b.CopySource(0, 20*mib), b.CopySource(0, 28*mib)
	without := memory(patch(first), patch(second))
	if with := memory(patch(first), window, patch(second)); with < without+7*mib || with > without+9*mib {
		t.Errorf("a window between two patches: %d, without: %d", with, without)
	}
	if with := memory(window, patch(first), patch(second)); with != without+2*stocklib.ItemMemory+stocklib.ItemMemory {
		t.Errorf("a window before them, which was mapped: %d, without: %d", with, without)
	}
}

// TestCostSmall has updates that are much smaller than what libraries set aside for them.
func TestCostSmall(t *testing.T) {
	b := pamztest.NewBuilder(t, 1, pamztest.NewBuilder(t, 0, nil).Text(100_000))
	tiny := b.BSDiff(b.Source[:50_000], b.CopySource(0, 60_000))
	for name, it := range map[string]*pamz.Item{
		"patch":            tiny,
		"compressed patch": pamz.NewItem(20_000, digest.SHA256{1}, pamz.ZstdCompression(tiny, 1, 5, 3)),
	} {
		d, _ := b.Diff(0, pamz.LittleEndian, it)
		report, _, err := Check(d)
		if err != nil || report.Memory > stocklib.BaseMemory+3*mib {
			t.Errorf("%s: %+v, %v", name, report, err)
		}
	}
}
