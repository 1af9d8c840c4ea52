// SPDX-License-Identifier: MIT

package pamz

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"swudelta/internal/digest"
)

// patchInSource returns a delta with a patch that lies in its source, in the middle of what
// is concatenated there, two deltas further out; it makes the first n of 1000 bytes.
func patchInSource(b *builder, n int) *Item {
	old := b.copySource(0, 1000)
	patch := b.asset(b.patch(b.content[old], b.content[old]))
	size := len(b.content[patch])
	all := b.concat(b.copySource(7, 3000), b.region(b.concat(b.zero(2), patch), 1, size+1), b.zero(3))
	return b.nested(LittleEndian, all, func(b *builder) []*Item {
		return []*Item{b.nested(LittleEndian, b.copySource(1, len(b.source)-1), func(b *builder) []*Item {
			return []*Item{b.item(b.source[:n], BSDiff(b.copySource(3000, size), b.copySource(0, 1000))), b.zero(1)}
		})}
	})
}

// TestRules breaks each rule once.
func TestRules(t *testing.T) {
	b := newBuilder(t, 1, newBuilder(t, 2, nil).text(200000))
	open := needZstd(t)
	b.zstd, _ = open()
	text := b.text(50000)
	forward := func() *Item { return b.unzstd(text) }
	// The same kind of thing, out of the source file.
	gz := b.gz(text)
	b.source = append(b.source, gz...)
	packed := func() *Item { return b.item(text, GzDecompression(b.copySource(len(b.source)-len(gz), len(gz)))) }
	overlapping := func(inner *builder) []*Item {
		return []*Item{inner.copySource(0, 100), inner.concat(inner.copySource(50, 100))}
	}
	repeated := func(inner *builder) []*Item {
		return []*Item{inner.copySource(0, 100), inner.copySource(0, 100), inner.copySource(100, 100)}
	}
	old := b.copySource(0, 1000)
	emptyBlock := b.patch(b.content[old], b.content[old])
	h := 32 + int(emptyBlock[8]) + int(emptyBlock[16])
	cases := map[string]struct {
		profile Profile
		order   Order
		item    *Item
		want    string // part of the violation; empty: none
	}{
		"good 1.0":          {Profile10, LittleEndian, b.concat(old, b.zero(10)), ""},
		"good 3.0":          {Profile30, BigEndian, b.concat(old, b.zero(10)), ""},
		"order 1.0":         {Profile10, BigEndian, old, "big endian"},
		"order 3.0":         {Profile30, LittleEndian, old, "little endian"},
		"empty item":        {Profile10, LittleEndian, b.concat(old, b.zero(0)), "an item is empty"},
		"large zero":        {Profile10, LittleEndian, NewItem(1<<31, digest.SHA256{}, AllZero(1<<31)), "number 2147483648"},
		"large region":      {Profile10, LittleEndian, NewItem(1, digest.SHA256{}, Region(NewItem(1<<32, digest.SHA256{}, AllZero(1<<32)), 1<<31, 1)), "number 2147483648"},
		"forward delta":     {Profile10, LittleEndian, b.item(b.content[old], BSDiff(b.unzstd(b.patch(b.content[old], b.content[old])), old)), "front to back"},
		"staged delta":      {Profile10, LittleEndian, b.item(b.content[old], BSDiff(b.region(b.unzstd(b.patch(b.content[old], b.content[old])), 0, len(b.patch(b.content[old], b.content[old]))), old)), ""},
		"inline delta 3.0":  {Profile30, BigEndian, b.item(b.content[old], BSDiff(b.region(b.asset(b.patch(b.content[old], b.content[old])), 0, len(b.patch(b.content[old], b.content[old]))), old)), "no inline asset"},
		"patch size":        {Profile10, LittleEndian, b.item(text, BSDiff(b.asset(b.patch(b.content[old], b.content[old])), old)), "the patch makes 1000 bytes"},
		"no patch":          {Profile10, LittleEndian, b.item(text, BSDiff(b.asset(text), old)), "not a BSDIFF40 patch"},
		"empty block":       {Profile10, LittleEndian, b.item(b.content[old], BSDiff(b.asset(emptyBlock[:h]), old)), "empty block"},
		"small in pieces":   {Profile10, LittleEndian, b.compress(b.concat(old, b.copySource(5, 10)), 3), "in several pieces"},
		"large in pieces":   {Profile10, LittleEndian, b.compress(b.concat(b.copySource(0, 30000), b.copySource(5, 10000)), 3), ""},
		"compression 3.0":   {Profile30, BigEndian, b.compress(old, 3), "refuses it"},
		"prefix":            {Profile10, LittleEndian, b.zstdDelta(b.content[old], old), "needs its prefix"},
		"no prefix":         {Profile10, LittleEndian, b.item(text, ZstdDelta(b.asset(zstdFrame(t, text)), old)), ""},
		"prefix 3.0":        {Profile30, BigEndian, b.zstdDelta(b.content[old][1:], old), ""},
		"overlap":           {Profile10, LittleEndian, b.nested(LittleEndian, forward(), overlapping), "overlap"},
		"no overlap":        {Profile10, LittleEndian, b.nested(LittleEndian, packed(), repeated), ""},
		"overlap in region": {Profile10, LittleEndian, b.nested(LittleEndian, b.region(forward(), 0, len(text)), overlapping), ""},
		"nested order":      {Profile10, LittleEndian, b.nested(BigEndian, old, repeated), "big endian delta inside a little endian one"},
		"nested inside 3.0": {Profile30, BigEndian, b.concat(b.nested(BigEndian, old, repeated), b.zero(1)), "not the recipe of a chunk"},
		"shared file":       {Profile10, LittleEndian, b.nested(LittleEndian, forward(), repeated), "the one position in the delta file"},
		"own file":          {Profile10, LittleEndian, b.nested(LittleEndian, b.region(forward(), 0, len(text)), repeated), ""},
		"whole source":      {Profile30, BigEndian, b.copySource(0, len(b.source)), "the whole source"},
		"copy of no chunk":  {Profile30, BigEndian, b.item(make([]byte, 2), CopyTarget(0, 2, digest.Sum(make([]byte, 2)))), "no whole chunk"},
		"copy of a chunk":   {Profile30, BigEndian, b.item(make([]byte, 3), CopyTarget(0, 3, digest.Sum(make([]byte, 3)))), ""},
		"self 3.0":          {Profile30, BigEndian, b.region(old, 0, 1000), "own result"},
		"remainder inside":  {Profile30, BigEndian, b.concat(b.item(text, Remainder(text)), b.zero(1)), "not the recipe of a chunk"},
		"zlib":              {Profile10, LittleEndian, b.inflate(text, ContainerRaw), "does not know"},
		"no recipe":         {Profile10, LittleEndian, b.concat(b.item(text, nil)), "no recipe"},
		"unstated":          {Profile10, LittleEndian, b.region(unstated(b.copySource(5, 10)), 0, 5), ""},
		"unstated 3.0":      {Profile30, BigEndian, b.region(unstated(b.copySource(5, 10)), 0, 5), "no digest: the library finds"},
		"unstated, written": {Profile10, LittleEndian, b.concat(unstated(b.copySource(5, 10)), b.zero(1)), "no digest: the library verifies"},
		"unstated, forward": {Profile10, LittleEndian, b.nested(LittleEndian, packed(), func(inner *builder) []*Item {
			return []*Item{inner.region(unstated(inner.copySource(5, 10)), 0, 5)}
		}), "no digest: the library finds what it keeps"},
		"unstated prefix":       {Profile10, LittleEndian, b.region(unstated(b.item(text, ZstdDelta(b.asset(zstdFrame(t, text)), old))), 0, 5), "no digest: it does not show"},
		"patch elsewhere":       {Profile10, LittleEndian, patchInSource(b, 1000), ""},
		"patch elsewhere, size": {Profile10, LittleEndian, patchInSource(b, 999), "the patch makes 1000 bytes"},
		"copy_source":           {Profile10, LittleEndian, b.item(text, CopySource(1<<40)), "50000 bytes at 1099511627776"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			// The first chunk keeps the item from being the target itself.
			d, _ := b.diff(0, c.order, b.zero(3), c.item)
			d.TargetLength = 3 + c.item.Length
			_, violations, err := Check(d, c.profile)
			if err != nil {
				t.Fatal(err)
			}
			if c.want == "" {
				if len(violations) > 0 {
					t.Errorf("got %v, want none", violations)
				}
				return
			}
			if !slices.ContainsFunc(violations, func(v Violation) bool { return strings.Contains(v.String(), c.want) }) {
				t.Errorf("got %v, want one with %q", violations, c.want)
			}
		})
	}
}

// TestRulesOfDiff breaks the rules about the whole.
func TestRulesOfDiff(t *testing.T) {
	b := newBuilder(t, 1, b30)
	version2, _ := b.diff(2, BigEndian, b.copySource(0, 4), b.zero(3))
	single, _ := b.diff(0, BigEndian, b.copySource(0, 4))
	equal, _ := b.diff(0, BigEndian, b.asset([]byte("abcd")), b.nested(BigEndian, b.copySource(0, 10), func(inner *builder) []*Item {
		return []*Item{inner.copySource(0, 1), inner.asset([]byte("efgh"))}
	}), b.asset(b.text(300)))
	lengths, _ := b.diff(0, LittleEndian, b.zero(4))
	lengths.TargetLength++
	alone, _ := b.diff(0, LittleEndian, b.zero(4))
	alone.SourceLength = 0
	for _, c := range []struct {
		profile Profile
		diff    *Diff
		want    string
	}{
		{Profile10, version2, "version 2, want 0"},
		{Profile30, version2, ""},
		{Profile30, single, "only 1 chunk"},
		{Profile30, equal, ""},
		{Profile10, lengths, "the chunks have 4 bytes, the target has 5"},
		{Profile10, alone, "no source"},
	} {
		_, violations, err := Check(c.diff, c.profile)
		if err != nil || c.want == "" && len(violations) > 0 || c.want != "" && (len(violations) == 0 || violations[0].Rule[:4] != c.want[:4]) {
			t.Errorf("got %v, %v, want %q", violations, err, c.want)
		}
	}
	c := checker{sections: map[int64]string{}}
	c.section("one", 5)
	c.section("two", 0)
	c.section("three", 5)
	if len(c.violations) != 1 || c.violations[0].Rule != "three is as long as one: the library confuses them" {
		t.Errorf("sections of equal length: %v", c.violations)
	}
}

func TestParseProfile(t *testing.T) {
	for name, ok := range map[string]bool{"1.0": true, "3.0": true, "2.0": false, "": false} {
		if p, err := ParseProfile(name); (err == nil) != ok || ok && string(p) != name {
			t.Errorf("%q: got %q, %v", name, p, err)
		}
	}
}

var b30 = []byte("a source of thirty bytes.......")

// TestCost compares predictions with what was measured with the stock library.
func TestCost(t *testing.T) {
	const mib = 1 << 20
	b := newBuilder(t, 1, make([]byte, 96*mib))
	b.source[0] = 1 // the halves differ
	image := func(inner *builder) []*Item {
		return []*Item{inner.copySource(48*mib, 48*mib), inner.copySource(0, 48*mib)}
	}
	whole := b.copySource(0, 96*mib)
	gz := b.item(b.source, GzDecompression(b.asset(b.gz(b.source))))
	staged := b.region(gz, 0, 96*mib)
	compress := func(it *Item) *Item { return NewItem(it.Length/2, digest.SHA256{}, ZstdCompression(it, 1, 5, 3)) }
	for _, c := range []struct {
		name                  string
		item                  *Item
		memory, measured, tmp int64
	}{
		{"plain images", b.nested(LittleEndian, whole, image), 5, 5, 0},
		{"forward-only source", b.nested(LittleEndian, gz, image), 102, 106, 0},
		{"compressed", compress(b.nested(LittleEndian, gz, image)), 139, 144, 0},
		{"compressed, staged", compress(b.nested(LittleEndian, staged, image)), 42, 44, 96},
	} {
		d, _ := b.diff(0, LittleEndian, c.item)
		d.TargetLength = c.item.Length
		r, _, err := Check(d, Profile10)
		if err != nil {
			t.Fatal(err)
		}
		if got := r.Memory / mib; got < c.measured*9/10 || got > c.measured*12/10 || r.Tmp != c.tmp*mib {
			t.Errorf("%s: got %d MiB and %d bytes of /tmp, measured were %d MiB and %d MiB", c.name, got, r.Tmp, c.measured, c.tmp)
		}
	}
	// Old and new side of a patch, and a window.
	old := b.copySource(0, 20*mib)
	fresh := b.item(b.source[:8*mib], ZstdDecompression(b.asset(zstdFrame(t, b.source[:8*mib], zstd.WithWindowSize(8*mib)))))
	pack := NewItem(30*mib, digest.SHA256{}, BSDiff(b.asset([]byte("BSDIFF40")), b.concat(old, fresh)))
	d, _ := b.diff(0, LittleEndian, NewItem(1, digest.SHA256{}, Region(pack, 0, 1)))
	r, _, err := Check(d, Profile10)
	if err != nil || r.Memory < (58+8)*mib || r.Memory > (58+8+20)*mib || r.Tmp != 30*mib {
		t.Errorf("pack: got %+v, %v", r, err)
	}
}

func TestZstdWindow(t *testing.T) {
	for _, c := range []struct {
		content int
		window  int64
		single  bool
	}{{10, 10, true}, {300, 300, true}, {70000, 70000, true}, {3 << 20, 1 << 20, false}} {
		frame := zstdFrame(t, make([]byte, c.content), zstd.WithWindowSize(1<<20), zstd.WithSingleSegment(c.single))
		if got := zstdWindow(bytes.NewReader(frame)); got < c.window || got > 2*c.window && c.single {
			t.Errorf("content of %d bytes: got window %d, want %d", c.content, got, c.window)
		}
		for n := range min(14, len(frame)) {
			zstdWindow(bytes.NewReader(frame[:n]))
		}
	}
	if got := zstdWindow(strings.NewReader("no zstd frame")); got != 0 {
		t.Errorf("got %d, want 0", got)
	}
}

// TestAccount adds up the bytes of each vector.
func TestAccount(t *testing.T) {
	for _, v := range vectors {
		file := testFile(t, v.name+".diff")
		d := decodeBytes(t, file)
		about, err := d.Describe()
		if err != nil {
			t.Fatal(err)
		}
		if about.Size != int64(len(file)) {
			t.Errorf("%s: got a size of %d, want %d", v.name, about.Size, len(file))
		}
		if d.Version == 2 { // may hold what is not needed
			continue
		}
		var table, inline int64
		for _, r := range about.Recipes {
			table += r.Table
			inline += r.Inline
		}
		if table != d.Account.Table || inline+8 != d.Account.Inline {
			t.Errorf("%s: got %d bytes of table and %d of inline assets, want %d and %d", v.name, table, inline+8, d.Account.Table, d.Account.Inline)
		}
	}
}

func TestEncodeRefuses(t *testing.T) {
	b := newBuilder(t, 1, []byte("source"))
	many := make([]*Item, 256)
	for i := range many {
		many[i] = b.zero(1)
	}
	for name, d := range map[string]*Diff{
		"version":        {Version: 1},
		"no recipe":      {Chunks: []*Item{{}}},
		"parameters":     {Chunks: []*Item{NewItem(256, digest.SHA256{}, items(OpConcatenation, many...))}},
		"length":         {TargetLength: -1},
		"zlib":           {Chunks: []*Item{b.inflate([]byte("x"), 0)}},
		"asset":          {Chunks: []*Item{NewItem(2, digest.SHA256{}, InlineAsset([]byte("x")))}},
		"remainder":      {Chunks: []*Item{NewItem(2, digest.SHA256{}, Remainder([]byte("x")))}},
		"v2 asset":       {Version: 2, TargetLength: 3, Chunks: []*Item{NewItem(2, digest.SHA256{1}, InlineAsset([]byte("x"))), b.zero(1)}},
		"v2 remainder":   {Version: 2, TargetLength: 3, Chunks: []*Item{NewItem(2, digest.SHA256{1}, Remainder([]byte("x"))), b.zero(1)}},
		"v2 no source":   {Version: 2, TargetLength: 3, Chunks: []*Item{b.copySource(0, 2), b.zero(1)}},
		"v2 nested":      {Version: 2, TargetLength: 3, Chunks: []*Item{NewItem(2, digest.SHA256{1}, Nested(b.zero(1), b.zero(2))), b.zero(1)}},
		"v2 compression": {Version: 2, TargetLength: 3, Chunks: []*Item{NewItem(2, digest.SHA256{1}, ZstdCompression(b.zero(1), 1, 5, 3)), b.zero(1)}},
		"v2 unstated":    {Version: 2, TargetLength: 3, Chunks: []*Item{b.region(unstated(b.asset([]byte("three"))), 1, 2), b.zero(1)}},
		"v2 copy":        {Version: 2, TargetLength: 3, Chunks: []*Item{b.zero(1), NewItem(2, digest.SHA256{1}, CopyTarget(0, 2, digest.SHA256{1}))}},
	} {
		if err := Encode(&bytes.Buffer{}, d); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if err := Encode(&failing{}, &Diff{}); err == nil {
		t.Error("writer that fails: no error")
	}
}

// TestPoolForm encodes a tree for version 2 and reads it back.
func TestPoolForm(t *testing.T) {
	b := newBuilder(t, 1, newBuilder(t, 2, nil).text(4000))
	whole := b.copySource(0, 4000)
	twice := b.asset([]byte("the same"))
	d, target := b.diff(2, BigEndian,
		whole,                              // the source itself: needs no recipe
		twice, b.asset([]byte("the same")), // stored once
		b.region(whole, 0, 4000), // nothing but the whole
		b.concat(twice),
		b.item([]byte("rest"), Remainder([]byte("rest"))),
		b.item([]byte("rest"), CopyTarget(12016, 4, digest.Sum([]byte("rest")))),
		b.zero(0),
	)
	file := encodeBytes(t, d)
	again := decodeBytes(t, file)
	got, err := applyBytes(again, b.source, ApplyOptions{Strict: true, Scratch: scratch(t)})
	if err != nil || !bytes.Equal(got, target) {
		t.Fatal(err)
	}
	if n := bytes.Count(file, []byte("the same")); n != 1 {
		t.Errorf("an asset is stored %d times", n)
	}
	if !bytes.Equal(encodeBytes(t, again), file) {
		t.Error("encoded again it has other bytes")
	}
	// A target that is the source.
	d, target = b.diff(2, BigEndian, whole)
	again = decodeBytes(t, encodeBytes(t, d))
	got, err = applyBytes(again, b.source, ApplyOptions{})
	if err != nil || !bytes.Equal(got, target) {
		t.Error(err)
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
		most := int64(0)
		for i := 0; i < len(sides); i += 2 {
			l := h.patch(sides[i], sides[i+1], 3*bzip2Tables)
			most = max(most, l.memory+h.size())
			h.unmap(l.mapped)
		}
		return most + stockBase
	}
	sides := []int64{37337460, 28631331, 45690438, 30587889, 45870693, 29776167, 45374684, 31930749, 45439706, 31395297,
		41417800, 30294721, 45204770, 30535702, 45566919, 31346492, 36451774, 14784145, 30283531, 5833869}
	mixed, even := peak(sides...), peak(sides[:10]...)
	if mixed < 121*mb || mixed > 128*mb {
		t.Errorf("mixed: %d", mixed)
	}
	if even < 92*mb || even > 95*mb {
		t.Errorf("even: %d", even)
	}
}

// TestCostHeap has a small patch with a large old side behind one with a large
// result, whose room the stock library's heap keeps.
func TestCostHeap(t *testing.T) {
	b := newBuilder(t, 1, append(newBuilder(t, 0, nil).text(500_000), make([]byte, 3_000_000)...))
	type patch struct{ new, old int }
	memory := func(patches ...patch) int64 {
		var chunks []*Item
		for _, p := range patches {
			content := bytes.Repeat(b.source[:10_000], p.new/10_000)
			chunks = append(chunks, b.bsdiff(content, b.copySource(0, p.old)))
		}
		d, _ := b.diff(0, LittleEndian, chunks...)
		report, violations, err := Check(d, Profile10)
		if err != nil || len(violations) > 0 {
			t.Fatal(violations, err)
		}
		return report.Memory
	}
	result, old := patch{400_000, 100_000}, patch{10_000, 3_000_000}
	large, small, both := memory(result), memory(old), memory(result, old)
	if large > small || both != small+390_000+3*StockItem {
		t.Errorf("large new side %d, small %d, both %d", large, small, both)
	}
}

// TestCostTable has a patch in the source of a delta, which the 1.0 library makes after it has
// read the table.
func TestCostTable(t *testing.T) {
	b := newBuilder(t, 1, newBuilder(t, 0, nil).text(500_000))
	memory := func(n int) int64 {
		pack := b.bsdiff(b.source[:300_000], b.copySource(0, 200_000))
		d, _ := b.diff(0, LittleEndian, b.nested(LittleEndian, pack, func(inner *builder) []*Item {
			var chunks []*Item
			for i := range n {
				chunks = append(chunks, inner.copySource(i, 1))
			}
			return chunks
		}))
		report, violations, err := Check(d, Profile10)
		if err != nil || len(violations) > 0 {
			t.Fatal(violations, err)
		}
		return report.Memory
	}
	if few, many := memory(10), memory(5010); many != few+5000*StockItem {
		t.Errorf("10 entries: %d bytes, 5010: %d", few, many)
	}
}

// TestCostWindow has a window that lies in the heap, because the large old side before it
// was freed, and stays there while the next patch is applied.
func TestCostWindow(t *testing.T) {
	b := newBuilder(t, 1, append(newBuilder(t, 0, nil).text(40_000), make([]byte, 30*mib)...))
	patch := func(old *Item) *Item { return b.bsdiff(b.source[:20_000], old) }
	memory := func(chunks ...*Item) int64 {
		d, _ := b.diff(0, LittleEndian, chunks...)
		report, violations, err := Check(decodeBytes(t, encodeBytes(t, d)), Profile10)
		if err != nil || len(violations) > 0 {
			t.Fatal(violations, err)
		}
		return report.Memory
	}
	window := b.region(b.unzstd(b.source[:8*mib]), 0, 100)
	first, second := b.copySource(0, 20*mib), b.copySource(0, 28*mib)
	without := memory(patch(first), patch(second))
	if with := memory(patch(first), window, patch(second)); with < without+7*mib || with > without+9*mib {
		t.Errorf("a window between two patches: %d, without: %d", with, without)
	}
	if with := memory(window, patch(first), patch(second)); with != without+2*StockItem+StockItem {
		t.Errorf("a window before them, which was mapped: %d, without: %d", with, without)
	}
}

// TestCostSmall has updates that are much smaller than what libraries set aside for them.
func TestCostSmall(t *testing.T) {
	b := newBuilder(t, 1, newBuilder(t, 0, nil).text(100_000))
	tiny := b.bsdiff(b.source[:50_000], b.copySource(0, 60_000))
	for name, it := range map[string]*Item{
		"patch":            tiny,
		"compressed patch": NewItem(20_000, digest.SHA256{1}, ZstdCompression(tiny, 1, 5, 3)),
	} {
		d, _ := b.diff(0, LittleEndian, it)
		report, _, err := Check(d, Profile10)
		if err != nil || report.Memory > stockBase+3*mib {
			t.Errorf("%s: %+v, %v", name, report, err)
		}
	}
}
