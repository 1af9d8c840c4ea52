// SPDX-License-Identifier: MIT

package stock

import (
	"bytes"
	"io"
	"runtime/debug"
	"slices"

	"swudelta/internal/bzip2"
	"swudelta/internal/codec"
	"swudelta/internal/content"
	"swudelta/internal/device"
	"swudelta/internal/digest"
	"swudelta/internal/match"
	"swudelta/internal/pamz"
)

const (
	// tableLevel is the level of zstd for deltas that consist of recipes.
	tableLevel = 22
	// tableChunk is the size of a chunk of the table that has several entries, in bytes, at
	// most: what a device produces piece by piece for a chunk, it keeps as long.
	tableChunk = 8 << 20
)

// image returns the item that makes the content of a member:
//
//	image  = nested(packs, base = source content ++ fresh bytes ++ patches)
//	packs  = one chunk: nested(table, base ++ nested(pack 1, pack 2 ..., base))
//	table  = copies of base (runs of the source, long runs of fresh bytes) and of packs, zeros
//	pack i = bsdiff(patch i, old ranges ++ fresh bytes of pack i)
//
// So packs, with the deltas in it, is nothing but recipes, and shrinks as a whole. What a
// recipe only reads is a part without a digest: the library would not look at it.
//
// Where the fresh bytes are made with old content, one more delta stands around it, whose
// source is the old content alone.
func (d *Device) image(delta *device.Delta, m *device.Member) (*pamz.Item, error) {
	im, n := m.Image, int64(len(m.Image.Target))
	parts := d.partItems(m.Parts)
	// The source of the packs.
	base := parts
	coded := &frame{}
	if len(im.Fresh) > 0 {
		// It takes much memory, which Go's collector does not know about.
		debug.FreeOSMemory()
		var err error
		if coded, err = d.compress(delta, im); err != nil {
			return nil, err
		}
		if coded.nested {
			base = []*pamz.Item{pamz.NewPart(int64(len(im.Old)), pamz.CopySource(0))}
		}
		base = append(slices.Clone(base), coded.item(len(im.Fresh)))
	}
	patches := int64(len(im.Old) + len(im.Fresh)) // where they begin
	var all []byte
	for _, p := range im.Packs {
		if len(p.New) > 0 {
			all = append(all, p.Patch...)
		}
	}
	if len(all) > 0 {
		base = append(slices.Clone(base), part(all))
	}
	source := pamz.Chain(base...)
	// The source of the table.
	var items []*pamz.Item
	if source.Length > 0 {
		items = append(items, pamz.NewPart(source.Length, pamz.CopySource(0)))
	}
	if len(all) > 0 {
		made, err := d.packItems(delta, im, patches, source.Length)
		if err != nil {
			return nil, err
		}
		items = append(items, made)
	}
	tableSource := pamz.Chain(items...)
	table, err := encode(n, m.Content, tableSource.Length, chunks(im, patches, int64(len(all)))...)
	if err != nil {
		return nil, err
	}
	packs, err := encode(n, m.Content, source.Length, pamz.NewItem(n, m.Content, pamz.Nested(table, tableSource)))
	if err != nil {
		return nil, err
	}
	shrunk, err := d.shrink(delta, packs)
	if err != nil {
		return nil, err
	}
	image := pamz.NewItem(n, m.Content, pamz.Nested(shrunk, source))
	if !coded.nested {
		return image, nil
	}
	outer, err := encode(n, m.Content, int64(len(im.Old)), image)
	if err != nil {
		return nil, err
	}
	return pamz.NewItem(n, m.Content, pamz.Nested(outer, pamz.Chain(parts...))), nil
}

// partItems returns the items that make the content of parts of the source, end to end. A device
// stages what a region covers in a temporary file; without it, it would keep every
// range that is referred to in memory. A region has limits, so long content
// takes more than one.
func (d *Device) partItems(parts []content.Part) (items []*pamz.Item) {
	for _, p := range parts {
		item := pamz.NewPart(p.Len, pamz.CopySource(p.Off))
		recipe := pamz.GzDecompression
		switch p.Kind {
		case codec.KindPlain:
			items = append(items, item)
			continue
		case codec.KindZstd:
			recipe = pamz.ZstdDecompression
		}
		for at := int64(0); at < p.Size; at += d.MaxRegion {
			n := min(p.Size-at, d.MaxRegion)
			items = append(items, pamz.NewPart(n, pamz.Region(pamz.NewPart(p.Size, recipe(item)), at, n)))
		}
	}
	return items
}

// staged makes forward-only content random access: the device computes the
// region into a temporary file.
func staged(item *pamz.Item) *pamz.Item {
	return pamz.NewPart(item.Length, pamz.Region(item, 0, item.Length))
}

// packItems returns the item that makes the new sides of all packs, whose patches lie at
// patchAt in the source, which has base bytes.
func (d *Device) packItems(delta *device.Delta, im *match.Image, patchAt, base int64) (*pamz.Item, error) {
	for _, p := range im.Packs {
		delta.Progress.Expect(int64(p.NewSize()))
	}
	var items []*pamz.Item
	w := digest.NewWriter(io.Discard)
	for _, p := range im.Packs {
		if len(p.New) == 0 {
			continue
		}
		item := packItem(im, p, patchAt)
		items = append(items, item)
		patchAt += int64(len(p.Patch))
		delta.Progress.Add(item.Length)
		for _, b := range p.New {
			w.Write(b)
		}
	}
	return d.delayReads(w.Len(), w.Sum(), base, items...)
}

// packItem is what makes the new side of a pack, whose patch lies at patchAt in its source.
func packItem(im *match.Image, p *match.Pack, patchAt int64) *pamz.Item {
	items := copyItems(p.Ranges)
	if p.Fresh.Len > 0 {
		items = append(items, pamz.NewPart(int64(p.Fresh.Len), pamz.CopySource(int64(len(im.Old)+p.Fresh.Off))))
	}
	patch := pamz.NewPart(int64(len(p.Patch)), pamz.CopySource(patchAt))
	w := digest.NewWriter(io.Discard)
	for _, b := range p.New {
		w.Write(b)
	}
	return pamz.NewItem(w.Len(), w.Sum(), pamz.BSDiff(patch, pamz.Chain(items...)))
}

// readDelays is how many more times the stock library hashes the bytes of a pack.
const readDelays = 4

// delayReads returns the item that makes what patches make, end to end: n bytes with the
// digest sum. They stand inside a delta of their own, each as the only part of nested
// concatenations. The stock library reads what a patch makes through a pipe, and deadlocks
// if that is drained at the wrong moment (doc/engine.md). Each concatenation makes the
// reader hash all bytes once more, which keeps it slower than the writer. It is one delta
// for all, because the library starts a thread for each, which disturbs the heap of the
// thread that applies a patch (heap.go). base is the length of the source, in bytes.
func (d *Device) delayReads(n int64, sum digest.SHA256, base int64, patches ...*pamz.Item) (*pamz.Item, error) {
	chunks := make([]*pamz.Item, len(patches))
	for i, item := range patches {
		for range readDelays {
			item = pamz.NewItem(item.Length, item.SHA256, pamz.Concatenation(item))
		}
		chunks[i] = item
	}
	delta, err := encode(n, sum, base, chunks...)
	if err != nil {
		return nil, err
	}
	return pamz.NewItem(n, sum, pamz.Nested(delta, pamz.NewPart(base, pamz.CopySource(0)))), nil
}

// copyItems returns the items that copy ranges of the old side.
func copyItems(ranges []match.Range) []*pamz.Item {
	items := make([]*pamz.Item, len(ranges))
	for i, r := range ranges {
		items[i] = pamz.NewPart(int64(r.Len), pamz.CopySource(int64(r.Off)))
	}
	return items
}

// bzip2 compresses a stream of a patch.
func (d *Device) bzip2(dst io.Writer, src []byte) error { return bzip2.Encode(dst, src, d.workers()) }

// encode returns the item that holds a nested delta.
func encode(target int64, sum digest.SHA256, source int64, chunks ...*pamz.Item) (*pamz.Item, error) {
	var b bytes.Buffer
	err := pamz.Encode(&b, &pamz.Diff{TargetLength: target, TargetSHA256: sum, SourceLength: source, Chunks: chunks})
	return part(b.Bytes()), err
}

// shrink returns what makes an asset out of less.
func (d *Device) shrink(delta *device.Delta, asset *pamz.Item) (*pamz.Item, error) {
	delta.Progress.Expect(asset.Length)
	frame, err := d.Zstd.Compress(asset.Recipe.Data, tableLevel, 0, delta.Progress.Add)
	if err != nil {
		return nil, err
	}
	const overhead = 150 // bytes of the two recipes around it
	if len(frame)+overhead >= len(asset.Recipe.Data) {
		return asset, nil
	}
	return staged(pamz.NewPart(asset.Length, pamz.ZstdDecompression(part(frame)))), nil
}
