// SPDX-License-Identifier: MIT

package plan

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"runtime/debug"
	"slices"

	"swudelta/internal/bsdiff"
	"swudelta/internal/bzip2"
	"swudelta/internal/codec"
	"swudelta/internal/content"
	"swudelta/internal/digest"
	"swudelta/internal/pamz"
)

const (
	// processMemory is what a process needs to apply any delta with the stock
	// library, beyond the two sides of a pack, in bytes.
	processMemory = 18 << 20
	// maxNumber is the greatest number that the stock library takes in region,
	// all_zero and zstd_compression.
	maxNumber = math.MaxInt32
	// tableLevel is the level of zstd for deltas that consist of recipes.
	tableLevel = 22
	// tableChunk is the size of a chunk of the table that has several entries, in bytes, at
	// most: what a device produces piece by piece for a chunk, it keeps as long.
	tableChunk = 8 << 20
)

// image returns the item that makes the content of a view of the target, which has the
// given digest, from views of the source:
//
//	image  = nested(packs, base = source content ++ fresh bytes ++ patches)
//	packs  = one chunk: nested(table, base ++ pack 1 ++ pack 2 ...)
//	table  = copies of base (runs of the source, long runs of fresh bytes) and of packs, zeros
//	pack i = bsdiff(patch i, old ranges ++ fresh bytes of pack i)
//
// So packs, with the deltas in it, is nothing but recipes, and shrinks as a whole. What a
// recipe only reads is a part without a digest: the library would not look at it.
func (m *maker) image(v *content.View, sum digest.SHA256, from []*candidate, budget int) (*pamz.Item, error) {
	old, err := m.oldSide(from)
	if err != nil {
		return nil, err
	}
	target := v.Data
	idx := from[0].index
	if len(from) > 1 {
		idx = newIndex(old.data, old.zeros)
	}
	d := divide(idx, target, spans(v.Zeros), thresholds{copy: m.shortest, zero: 128 << 10, repeat: 8 << 10})
	h := newHints(old.objects, objects(m.layoutOf(v, m.TargetLayouts, "target"), 0, len(target)))
	made, err := m.matchPacks(idx, target, d, h, budget)
	if err != nil {
		return nil, err
	}
	var fresh []byte
	var near []site
	for _, k := range made {
		k.freshAt = len(fresh)
		fresh = append(fresh, k.fresh...)
		for _, run := range k.direct {
			fresh = append(fresh, target[run.at:run.end()]...)
		}
		near = append(near, k.near...)
	}
	before := m.result // of other members
	m.account(d.pieces, made, len(fresh))
	m.explainf("content %d: runs of the source %d, zeros %d, repeats %d, in packs %d, fresh %d", len(target),
		m.result.Copied-before.Copied, m.result.Zeros-before.Zeros, m.result.Repeats-before.Repeats, m.result.Packed-before.Packed, len(fresh))
	ranges, sizes := 0, bsdiff.Sizes{}
	var coded *frame // nil: there are no fresh bytes
	if len(fresh) > 0 && m.stock30 == nil {
		// It takes much memory, which Go's collector does not know about.
		debug.FreeOSMemory()
		if coded, err = m.compress(fresh, old.data, near, budget); err != nil {
			return nil, err
		}
	}
	for i, k := range made {
		ranges += len(k.ranges)
		sizes.Control, sizes.Diff, sizes.Extra = sizes.Control+k.sizes.Control, sizes.Diff+k.sizes.Diff, sizes.Extra+k.sizes.Extra
		m.explainf("pack %d: new %d, %d of it known copies, old %d ranges %d fresh %d, %d in %d runs of their own; control %d diff %d extra %d", i, k.newSize(), k.known, k.oldSize(), len(k.ranges), len(k.fresh), total(k.direct, pieceLen), len(k.direct), k.sizes.Control, k.sizes.Diff, k.sizes.Extra)
	}
	freshSize := 0
	if coded != nil {
		freshSize = coded.size
	}
	m.explainf("bytes of the delta: control %d diff %d extra %d fresh %d ranges %d", sizes.Control, sizes.Diff, sizes.Extra, freshSize, ranges*rangeCost)
	if m.stock30 != nil {
		debug.FreeOSMemory()
		return m.image30(target, sum, from, old, d.pieces, made, fresh, near, budget)
	}
	return m.graph(target, sum, old, d.pieces, made, len(fresh), coded)
}

// graph returns the tree of recipes for an image. Where the fresh bytes are made
// with old content, one more delta stands around it, whose source is the old
// content alone.
func (m *maker) graph(target []byte, sum digest.SHA256, old *side, pieces []piece, made []*madePack, fresh int, coded *frame) (*pamz.Item, error) {
	n := int64(len(target))
	// The source of the packs.
	base := old.items
	if coded != nil {
		if coded.nested {
			base = []*pamz.Item{pamz.NewPart(int64(len(old.data)), pamz.CopySource(0))}
		}
		base = append(slices.Clone(base), coded.item(fresh))
	}
	var patches []byte
	at := int64(len(old.data) + fresh) // of a patch
	for _, k := range made {
		if len(k.material) > 0 {
			k.patchAt = at + int64(len(patches))
			patches = append(patches, k.patch...)
		}
	}
	if len(patches) > 0 {
		base = append(slices.Clone(base), part(patches))
	}
	source := pamz.Chain(base...)
	// The source of the table.
	var items []*pamz.Item
	if source.Length > 0 {
		items = append(items, pamz.NewPart(source.Length, pamz.CopySource(0)))
	}
	for _, k := range made {
		if len(k.material) == 0 {
			continue
		}
		item, err := m.slowly(k.item(target, len(old.data)), source.Length)
		if err != nil {
			return nil, err
		}
		items = append(items, item)
	}
	tableSource := pamz.Chain(items...)
	entries := newTable(target, pieces, made, len(old.data), int(source.Length))
	table, err := encode(n, sum, tableSource.Length, entries.chunks()...)
	if err != nil {
		return nil, err
	}
	packs, err := encode(n, sum, source.Length, pamz.NewItem(n, sum, pamz.Nested(table, tableSource)))
	if err != nil {
		return nil, err
	}
	shrunk, err := m.shrink(packs)
	if err != nil {
		return nil, err
	}
	m.explainf("table: %d entries", len(entries.entries))
	image := pamz.NewItem(n, sum, pamz.Nested(shrunk, source))
	if coded == nil || !coded.nested {
		return image, nil
	}
	around, err := encode(n, sum, int64(len(old.data)), image)
	if err != nil {
		return nil, err
	}
	return pamz.NewItem(n, sum, pamz.Nested(around, pamz.Chain(old.items...))), nil
}

// side is the old side of an image: what the source has, end to end.
type side struct {
	data    []byte
	zeros   []span // long runs of zeros in data, sorted
	items   []*pamz.Item
	objects []object
}

func (m *maker) oldSide(from []*candidate) (*side, error) {
	s := &side{}
	var readers []io.Reader
	at := 0
	for _, c := range from {
		s.items = append(s.items, m.partItems(c.View)...)
		s.objects = append(s.objects, objects(m.layoutOf(c.View, m.SourceLayouts, "source"), at, len(c.Data))...)
		for _, z := range spans(c.Zeros) {
			s.zeros = append(s.zeros, span{at + z.from, at + z.to})
		}
		readers = append(readers, bytes.NewReader(c.Data))
		s.data = c.Data
		at += len(c.Data)
	}
	if len(from) > 1 {
		var err error
		if s.data, err = m.Load(io.MultiReader(readers...)); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// partItems returns the items that make the content of a view of the source. A device
// stages what a region covers in a temporary file; without it, it would keep every
// range that is referred to in memory. A region has limits, so long content
// takes more than one.
func (m *maker) partItems(v *content.View) (items []*pamz.Item) {
	for _, p := range v.Parts {
		item := pamz.NewPart(p.Len, pamz.CopySource(p.Off))
		recipe := pamz.GzDecompression
		switch p.Kind {
		case codec.KindPlain:
			items = append(items, item)
			continue
		case codec.KindZstd:
			recipe = pamz.ZstdDecompression
		}
		for at := int64(0); at < p.Size; at += m.maxRegion {
			n := min(p.Size-at, m.maxRegion)
			items = append(items, pamz.NewPart(n, pamz.Region(pamz.NewPart(p.Size, recipe(item)), at, n)))
		}
	}
	return items
}

// reachable returns the view without what no region can reach: a stream's content beyond
// twice the greatest number, and what follows.
func (m *maker) reachable(v *content.View) *content.View {
	end := int64(0)
	for i, p := range v.Parts {
		if limit := 2 * m.maxRegion; p.Kind != codec.KindPlain && p.Size > limit {
			short := *v
			short.Parts = append(slices.Clone(v.Parts[:i]), p)
			short.Parts[i].Size = limit
			short.Data = v.Data[:end+limit]
			short.Zeros = nil
			for _, z := range v.Zeros {
				if z.Len = min(z.Len, end+limit-z.Off); z.Len > 0 {
					short.Zeros = append(short.Zeros, z)
				}
			}
			m.notef("source%s: the device reaches no more than the first %d bytes of the content of %d: what follows is not looked at",
				memberName(v.Member), end+limit, len(v.Data))
			return &short
		}
		end += p.Size
	}
	return v
}

func memberName(m *content.Member) string {
	if m.Name == "" {
		return ""
	}
	return fmt.Sprintf(" member %q", m.Name)
}

// staged makes forward-only content random access: the device computes the
// region into a temporary file.
func staged(item *pamz.Item) *pamz.Item {
	return pamz.NewPart(item.Length, pamz.Region(item, 0, item.Length))
}

// madePack is a pack with its patch.
type madePack struct {
	*pack
	patch   []byte  // encoded
	fresh   []byte  // stands behind the old ranges
	direct  []piece // long runs of fresh bytes, which the table takes
	freshAt int     // where fresh lies among all fresh bytes; what is direct follows
	patchAt int64   // where patch lies in the source of the packs
	near    []site  // old content around them
	sizes   bsdiff.Sizes
	known   int // bytes of copies that needed no matching
}

func pieceLen(p piece) int { return p.n }

// matchPacks makes the packs that fit the device and finds their patches.
func (m *maker) matchPacks(old *index, target []byte, d *division, h *hints, budget int) ([]*madePack, error) {
	packs := makePacks(old, target, d, h, budget, m.effort.oldShare)
	made := make([][]*madePack, len(packs))
	n := m.workers(packs, old, target)
	spaces := make(chan *workspace, n) // one for each worker
	for range n {
		spaces <- &workspace{}
	}
	err := parallel(len(packs), n, func(i int) error {
		w := <-spaces
		defer func() { spaces <- w }()
		k, err := w.match(packs[i], old, target, d, budget, m)
		if k != nil || err != nil {
			made[i] = append(made[i], k)
			return err
		}
		// There are more fresh bytes than expected. With half of the material each
		// there is room for all that can be fresh.
		c := newChooser(old, target, d, h)
		for _, half := range split(packs[i].material, nil, (packs[i].newSize()+1)/2) {
			half.ranges, half.filler, _ = c.choose(half.material, max(budget-2*half.newSize(), 0))
			k, err := w.match(half, old, target, d, math.MaxInt, m)
			if err != nil {
				return err
			}
			made[i] = append(made[i], k)
		}
		return nil
	})
	return slices.Concat(made...), err
}

// directRuns are lengths, in bytes, from which on a run of fresh bytes is not
// part of its pack. It costs an entry of the table, and saves the device the
// memory for it twice, on both sides of the patch.
var directRuns = []int{64 << 10, 32 << 10, 16 << 10, 8 << 10, 4 << 10}

// workspace is memory that is used for one pack after the other.
type workspace struct {
	from, to []byte // the sides of the pack
	diff     bsdiff.Workspace
}

// match finds the patch of a pack. It returns nil if a device with budget bytes
// for both sides cannot apply it.
func (w *workspace) match(p *pack, old *index, target []byte, d *division, budget int, m *maker) (*madePack, error) {
	from, to := slices.Grow(w.from[:0], p.oldSize()), slices.Grow(w.to[:0], p.newSize())
	for _, r := range p.ranges {
		from = append(from, old.data[r.from:r.to]...)
	}
	for _, part := range p.parts(target) {
		to = append(to, part...)
	}
	w.from, w.to = from, to
	known := p.copies(d)
	whole := w.diff.Diff(from, to, known, p.unsorted(), bsdiff.Options{Effort: m.effort.match})
	near := insertions(whole, p.ranges, bsdiff.FreshRun)
	for _, least := range directRuns {
		patch, runs := whole.CutFresh(least)
		patch, fresh := patch.MoveFresh(int64(len(from)), bsdiff.FreshRun)
		if int64(len(from)+len(fresh))+patch.NewSize() > int64(budget) {
			continue
		}
		k := &madePack{pack: &pack{ranges: p.ranges}, fresh: fresh, near: near, known: total(known, func(c bsdiff.Copy) int { return c.Len })}
		k.material, k.direct = cutRuns(p.material, runs)
		whole = nil // it is large
		var encoded bytes.Buffer
		var err error
		k.sizes, err = patch.Encode(&encoded, m.bzip2)
		k.patch = encoded.Bytes()
		return k, err
	}
	return nil, nil
}

// cutRuns cuts runs, which are in offsets of the pieces end to end, out of the
// pieces.
func cutRuns(pieces []piece, runs []bsdiff.Run) (rest, cut []piece) {
	at := 0 // of the piece
	for _, p := range pieces {
		end := at + p.n
		for len(runs) > 0 && int(runs[0].At) < end {
			// The part of the run that lies in this piece.
			from, to := max(int(runs[0].At), at), min(int(runs[0].At+runs[0].Len), end)
			if from > at {
				rest = append(rest, piece{at: p.at, n: from - at})
			}
			cut = append(cut, piece{at: p.at + from - at, n: to - from})
			p.at += to - at
			at = to
			if int(runs[0].At+runs[0].Len) > end {
				break
			}
			runs = runs[1:]
		}
		if at < end {
			rest = append(rest, piece{at: p.at, n: end - at})
		}
		at = end
	}
	return rest, cut
}

// item is what makes the new side of the pack. The old side of the image has old bytes.
func (k *madePack) item(target []byte, old int) *pamz.Item {
	items := copyItems(k.ranges)
	if len(k.fresh) > 0 {
		items = append(items, pamz.NewPart(int64(len(k.fresh)), pamz.CopySource(int64(old+k.freshAt))))
	}
	patch := pamz.NewPart(int64(len(k.patch)), pamz.CopySource(k.patchAt))
	sum, n := sumOf(k.parts(target)...)
	return pamz.NewItem(n, sum, pamz.BSDiff(patch, pamz.Chain(items...)))
}

// slowness is how many more times the stock library hashes the bytes of a pack.
const slowness = 4

// slowly returns the item inside a delta of its own and as the only part of
// concatenations, each of which makes the stock library hash all its bytes once
// more before it reads the next ones. It reads what a patch makes through a pipe
// that stands still for ever if it is emptied at the wrong moment (doc/engine.md);
// a slow reader does not empty it. base is the length of the source, in bytes.
func (m *maker) slowly(item *pamz.Item, base int64) (*pamz.Item, error) {
	for range slowness {
		item = pamz.NewItem(item.Length, item.SHA256, pamz.Concatenation(item))
	}
	delta, err := encode(item.Length, item.SHA256, base, item)
	if err != nil {
		return nil, err
	}
	return pamz.NewItem(item.Length, item.SHA256, pamz.Nested(delta, pamz.NewPart(base, pamz.CopySource(0)))), nil
}

// copyItems returns the items that copy ranges of the old side.
func copyItems(ranges []span) []*pamz.Item {
	items := make([]*pamz.Item, len(ranges))
	for i, r := range ranges {
		items[i] = pamz.NewPart(int64(r.len()), pamz.CopySource(int64(r.from)))
	}
	return items
}

// bzip2 compresses a stream of a patch.
func (m *maker) bzip2(dst io.Writer, src []byte) error { return bzip2.Encode(dst, src, m.Workers) }

// workers is how many packs are worked on at a time so that all of them fit into
// the memory that is left beside the images and the index.
func (m *maker) workers(packs []*pack, old *index, target []byte) int {
	most := 0
	for _, p := range packs {
		sorted := p.oldSize() - total(p.filler, span.len)
		most = max(most, 9*sorted+2*p.oldSize()+4*p.newSize())
	}
	left := m.Memory - int64(len(old.data)+len(target)+8*len(old.slots))
	return int(max(min(left/int64(max(most, 1)), int64(m.Workers)), 1))
}

// newTable returns the table that scatters the packs, which lie behind base bytes of its
// source, over the target.
func newTable(target []byte, pieces []piece, made []*madePack, oldSize, base int) *tableBuilder {
	// Where material of the target lies in the source of the table.
	var places []placed
	at := 0
	place := func(pieces []piece) {
		for _, p := range pieces {
			places = append(places, placed{span: span{p.at, p.end()}, at: at})
			at += p.n
		}
	}
	for _, k := range made {
		at = oldSize + k.freshAt + len(k.fresh)
		place(k.direct)
	}
	at = base
	for _, k := range made {
		place(k.material)
	}
	for _, p := range pieces {
		if p.from == fromZero { // a repeat may refer to it
			places = append(places, placed{span: span{p.at, p.end()}, zero: true})
		}
	}
	t := &tableBuilder{target: target, places: sortPlaces(places)}
	for _, p := range pieces {
		t.add(p)
	}
	t.flush()
	return t
}

// encode returns the item that holds a nested delta.
func encode(target int64, sum digest.SHA256, source int64, chunks ...*pamz.Item) (*pamz.Item, error) {
	var b bytes.Buffer
	err := pamz.Encode(&b, &pamz.Diff{TargetLength: target, TargetSHA256: sum, SourceLength: source, Chunks: chunks})
	return part(b.Bytes()), err
}

// shrink returns what makes an asset out of less.
func (m *maker) shrink(asset *pamz.Item) (*pamz.Item, error) {
	frame, err := m.Zstd.Compress(asset.Recipe.Data, tableLevel, 0)
	if err != nil {
		return nil, err
	}
	const overhead = 150 // bytes of the two recipes around it
	if len(frame)+overhead >= len(asset.Recipe.Data) {
		return asset, nil
	}
	return staged(pamz.NewPart(asset.Length, pamz.ZstdDecompression(part(frame)))), nil
}

func (m *maker) account(pieces []piece, made []*madePack, fresh int) {
	m.result.Fresh += int64(fresh)
	for _, k := range made {
		m.result.Packed += int64(k.newSize())
	}
	for _, p := range pieces {
		n := int64(p.n)
		switch p.from {
		case fromOld:
			m.result.Copied += n
		case fromZero:
			m.result.Zeros += n
		case fromNew:
			m.result.Repeats += n
		}
	}
}
