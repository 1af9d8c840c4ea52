// SPDX-License-Identifier: MIT

package plan

import (
	"bytes"
	"io"
	"math"
	"slices"

	"swudelta/internal/bsdiff"
	"swudelta/internal/bzip2"
	"swudelta/internal/codec"
	"swudelta/internal/digest"
	"swudelta/internal/pamz"
	"swudelta/internal/suffix"
)

const (
	// processMemory is what a process needs to apply any delta with the stock
	// library, beyond the two sides of a pack, in bytes.
	processMemory = 16 << 20
	// maxNumber is the greatest number that the stock library takes in region,
	// all_zero and zstd_compression.
	maxNumber = math.MaxInt32
	// freshLevel is the level of zstd for fresh bytes: the highest.
	freshLevel = 22
)

// image returns the item that makes the content of p from payloads of the
// source:
//
//	image  = nested(packs, old = source content ++ fresh bytes)
//	packs  = one chunk: nested(table, old ++ pack 1 ++ pack 2 ...)
//	table  = copies of old and of packs, zeros
//	pack i = bsdiff(patch i, old ranges ++ fresh bytes of pack i)
func (m *maker) image(p *payload, from []*payload, budget int) (*pamz.Item, error) {
	old, err := m.oldSide(from)
	if err != nil {
		return nil, err
	}
	target := p.data
	idx := m.index
	if len(old.data) != len(idx.data) || len(from) != len(m.old) {
		idx = newIndex(old.data)
	}
	pieces := divide(idx, target, thresholds{copy: 64 << 10, zero: 16 << 10, repeat: 8 << 10})
	h := newHints(old.objects, objects(m.layoutOf(p, m.TargetLayouts, "target"), 0, len(target)))
	packs := makePacks(idx, target, pieces, h, budget)
	made := make([]madePack, len(packs))
	err = parallel(len(packs), m.workers(packs), func(i int) error {
		made[i] = m.makePack(packs[i], old.data, target)
		return nil
	})
	if err != nil {
		return nil, err
	}
	var fresh []byte
	var near []span
	for i := range made {
		made[i].freshAt = len(fresh)
		fresh = append(fresh, made[i].fresh...)
		near = append(near, made[i].near...)
	}
	m.account(pieces, len(fresh))
	var coded *frame // nil: there are no fresh bytes
	err = parallel(len(made)+1, m.Workers, func(i int) error {
		var err error
		if i == 0 { // first, since it takes longest
			if len(fresh) > 0 {
				coded, err = m.compress(fresh, old.data, near, budget)
			}
			return err
		}
		k := &made[i-1]
		var patch bytes.Buffer
		k.sizes, err = k.patch.Encode(&patch, m.bzip2)
		k.encoded = patch.Bytes()
		return err
	})
	if err != nil {
		return nil, err
	}
	for i, k := range made {
		m.explainf("pack %d: new %d old %d ranges %d fresh %d; control %d diff %d extra %d", i, packs[i].newSize(), packs[i].oldSize(), len(packs[i].ranges), len(k.fresh), k.sizes.Control, k.sizes.Diff, k.sizes.Extra)
	}

	if coded != nil {
		m.explainf("fresh bytes %d: %d", len(fresh), coded.size)
	}
	return m.graph(target, old, pieces, packs, made, fresh, coded)
}

// graph returns the tree of recipes for an image. Where the fresh bytes are made
// with old content, one more delta stands around it, whose source is the old
// content alone.
func (m *maker) graph(target []byte, old *side, pieces []piece, packs []*pack, made []madePack, fresh []byte, coded *frame) (*pamz.Item, error) {
	oldItem, err := concatenate(old.items, old.data)
	if err != nil {
		return nil, err
	}
	// The source of the packs.
	base := old.items
	if coded != nil {
		if coded.nested {
			base = []*pamz.Item{pamz.NewItem(int64(len(old.data)), oldItem.SHA256, pamz.CopySource(0))}
		}
		base = append(slices.Clone(base), coded.item(fresh))
	}
	baseItem, err := concatenate(base, old.data, fresh)
	if err != nil {
		return nil, err
	}
	// The source of the table.
	parts := [][]byte{old.data}
	items := []*pamz.Item{}
	if len(old.data) > 0 {
		items = append(items, pamz.NewItem(int64(len(old.data)), oldItem.SHA256, pamz.CopySource(0)))
	}
	for i, k := range made {
		item, err := m.packItem(packs[i], k, old.data)
		if err != nil {
			return nil, err
		}
		items = append(items, item)
		parts = append(parts, k.content)
	}
	tableSource, err := concatenate(items, parts...)
	if err != nil {
		return nil, err
	}
	sum, n := sumOf(target)
	table := &pamz.Diff{
		TargetLength: n, TargetSHA256: sum,
		SourceLength: tableSource.Length, SourceSHA256: tableSource.SHA256,
		Chunks: tableChunks(target, pieces, packs, len(old.data)),
	}
	tableItem, err := m.encode(table, true)
	if err != nil {
		return nil, err
	}
	m.explainf("table: %d entries", len(table.Chunks))
	outer := &pamz.Diff{
		TargetLength: n, TargetSHA256: sum,
		SourceLength: baseItem.Length, SourceSHA256: baseItem.SHA256,
		Chunks: []*pamz.Item{pamz.NewItem(n, sum, pamz.Nested(tableItem, tableSource))},
	}
	outerItem, err := m.encode(outer, false)
	if err != nil {
		return nil, err
	}
	image := pamz.NewItem(n, sum, pamz.Nested(outerItem, baseItem))
	if coded == nil || !coded.nested {
		return image, nil
	}
	around, err := m.encode(&pamz.Diff{
		TargetLength: n, TargetSHA256: sum,
		SourceLength: oldItem.Length, SourceSHA256: oldItem.SHA256,
		Chunks: []*pamz.Item{image},
	}, false)
	if err != nil {
		return nil, err
	}
	return pamz.NewItem(n, sum, pamz.Nested(around, oldItem)), nil
}

// side is the old side of an image: what the source has, end to end.
type side struct {
	data    []byte
	items   []*pamz.Item
	objects []object
}

func (m *maker) oldSide(from []*payload) (*side, error) {
	s := &side{}
	var readers []io.Reader
	at := 0
	for _, p := range from {
		data := p.data
		stored, err := digestOf(m.source, p.offset, p.length)
		if err != nil {
			return nil, err
		}
		item := pamz.NewItem(p.length, stored, pamz.CopySource(p.offset))
		if p.stored != codec.KindPlain {
			// A device stages what a region covers in a temporary file; without it,
			// it would keep every range that is referred to in memory. A region
			// cannot reach beyond 2 GiB.
			full := pamz.NewItem(int64(len(data)), digest.Sum(data), nil)
			if p.stored == codec.KindGzip {
				full.Recipe = pamz.GzDecompression(item)
			} else {
				full.Recipe = pamz.ZstdDecompression(item)
			}
			data = data[:min(len(data), maxNumber)]
			item = pamz.NewItem(int64(len(data)), digest.Sum(data), pamz.Region(full, 0, int64(len(data))))
		}
		s.items = append(s.items, item)
		s.objects = append(s.objects, objects(m.layoutOf(p, m.SourceLayouts, "source"), at, len(data))...)
		readers = append(readers, bytes.NewReader(data))
		s.data = data
		at += len(data)
	}
	if len(from) > 1 {
		var err error
		if s.data, err = m.Load(io.MultiReader(readers...)); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func digestOf(in Input, offset, length int64) (digest.SHA256, error) {
	sum, n, err := digest.SumReader(io.NewSectionReader(in, offset, length))
	if err == nil && n != length {
		err = io.ErrUnexpectedEOF
	}
	return sum, err
}

// staged makes forward-only content random access: the device computes the
// region into a temporary file.
func staged(item *pamz.Item) *pamz.Item {
	return pamz.NewItem(item.Length, item.SHA256, pamz.Region(item, 0, item.Length))
}

// concatenate returns the item that is the items end to end; parts hold its
// content.
func concatenate(items []*pamz.Item, parts ...[]byte) (*pamz.Item, error) {
	if len(items) == 1 {
		return items[0], nil
	}
	sum, n := sumOf(parts...)
	r, err := pamz.Concatenation(items, readerAt(parts))
	if err != nil {
		return nil, err
	}
	return pamz.NewItem(n, sum, r), nil
}

// readerAt reads parts as if they were one.
type readerAt [][]byte

func (parts readerAt) ReadAt(p []byte, off int64) (int, error) {
	n := 0
	for _, part := range parts {
		if off < int64(len(part)) {
			k := copy(p[n:], part[off:])
			n += k
			off += int64(k)
			if n == len(p) {
				return n, nil
			}
		}
		off -= int64(len(part))
	}
	return n, io.EOF
}

// madePack is a pack with its patch.
type madePack struct {
	content []byte // the new side
	patch   *bsdiff.Patch
	fresh   []byte // stands behind the old ranges
	freshAt int    // where it lies among all fresh bytes
	near    []span // old content around them
	encoded []byte
	sizes   bsdiff.Sizes
}

func (m *maker) makePack(p *pack, old, target []byte) madePack {
	from := make([]byte, 0, p.oldSize())
	for _, r := range p.ranges {
		from = append(from, old[r.from:r.to]...)
	}
	to := make([]byte, 0, p.newSize())
	for _, piece := range p.material {
		to = append(to, target[piece.at:piece.end()]...)
	}
	sa := suffix.Array(nil, from)
	patch := bsdiff.Diff(from, sa, to, bsdiff.Options{})
	near := insertions(patch, p.ranges, bsdiff.FreshRun)
	patch, fresh := patch.MoveFresh(int64(len(from)), bsdiff.FreshRun)
	return madePack{content: to, patch: patch, fresh: fresh, near: near}
}

// packItem is the item that makes the new side of a pack.
func (m *maker) packItem(p *pack, k madePack, old []byte) (*pamz.Item, error) {
	items, parts := copies(old, p.ranges)
	if len(k.fresh) > 0 {
		items = append(items, pamz.NewItem(int64(len(k.fresh)), digest.Sum(k.fresh), pamz.CopySource(int64(len(old)+k.freshAt))))
		parts = append(parts, k.fresh)
	}
	from, err := concatenate(items, parts...)
	if err != nil {
		return nil, err
	}
	return pamz.NewItem(int64(len(k.content)), digest.Sum(k.content), pamz.BSDiff(pamz.NewAsset(k.encoded), from)), nil
}

// copies returns the items that copy ranges of the old side, and their content.
func copies(old []byte, ranges []span) ([]*pamz.Item, [][]byte) {
	var items []*pamz.Item
	var parts [][]byte
	for _, r := range ranges {
		part := old[r.from:r.to]
		parts = append(parts, part)
		items = append(items, pamz.NewItem(int64(r.len()), digest.Sum(part), pamz.CopySource(int64(r.from))))
	}
	return items, parts
}

// bzip2 compresses a stream of a patch.
func (m *maker) bzip2(dst io.Writer, src []byte) error { return bzip2.Encode(dst, src, m.Workers) }

// workers is how many packs are worked on at a time so that all of them fit into
// the memory that is left beside the images.
func (m *maker) workers(packs []*pack) int {
	most := 0
	for _, p := range packs {
		most = max(most, 6*p.oldSize()+4*p.newSize())
	}
	left := m.Memory
	for _, p := range m.old {
		left -= int64(len(p.data))
	}
	return int(max(min(left/int64(max(most, 1)), int64(m.Workers)), 1))
}

// tableChunks returns the chunks that scatter the packs over the target.
func tableChunks(target []byte, pieces []piece, packs []*pack, oldSize int) []*pamz.Item {
	// Where material of the target lies in the source of the table.
	var places []placed
	at := oldSize
	for _, p := range packs {
		for _, piece := range p.material {
			places = append(places, placed{span{piece.at, piece.end()}, at})
			at += piece.n
		}
	}
	t := tableBuilder{target: target, places: sortPlaces(places)}
	for _, p := range pieces {
		t.add(p)
	}
	t.flush()
	return t.chunks
}

// encode returns the item that holds a nested delta. Its table is mostly
// digests, but what is not shrinks.
func (m *maker) encode(d *pamz.Diff, compress bool) (*pamz.Item, error) {
	var b bytes.Buffer
	if err := pamz.Encode(&b, d); err != nil {
		return nil, err
	}
	asset := pamz.NewAsset(b.Bytes())
	if !compress {
		return asset, nil
	}
	frame, err := m.Zstd.Compress(b.Bytes(), freshLevel, 0)
	if err != nil {
		return nil, err
	}
	const overhead = 150 // bytes of the two recipes around it
	if len(frame)+overhead >= b.Len() {
		return asset, nil
	}
	content := pamz.NewItem(asset.Length, asset.SHA256, pamz.ZstdDecompression(pamz.NewAsset(frame)))
	return staged(content), nil
}

func (m *maker) account(pieces []piece, fresh int) {
	m.result.Fresh += int64(fresh)
	for _, p := range pieces {
		n := int64(p.n)
		switch p.from {
		case fromOld:
			m.result.Copied += n
		case fromZero:
			m.result.Zeros += n
		case fromNew:
			m.result.Repeats += n
		case fromPack:
			m.result.Packed += n
		}
	}
}
