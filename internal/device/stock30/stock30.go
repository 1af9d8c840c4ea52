// SPDX-License-Identifier: MIT

// Package stock30 writes down, for a device with the stock library of generation 2.1 or
// 3.0, how an image is made out of the source. The two read the same under another version
// number. The result is a tree of recipes for a delta of version 1 or 2 (package pamz):
//
//	image  = chain(entries, gzip members)
//	entry  = zeros | slice of the old side | slice of the fresh bytes | slice of a pack
//	member = two slices of a chain of members, each zlib_compression(chain(entries))
//	pack   = bspatch(patch, chain(ranges of the old side, its fresh bytes))
//	fresh  = zstd_decompression(frame, or frame and dictionary: ranges of the old side)
//
// Such a device finds all content by length and digest, so that each item states
// them, and equal content is stored once, whatever uses it. An item costs 168 bytes of
// the delta: 124 for its recipe, 44 wherever it is an ingredient. The library refuses
// a recipe whose result is its own ingredient, and cannot follow recipes that need each
// other in a circle. Both are excluded here: items are made in the order old side,
// fresh bytes, packs, entries, each only out of earlier ones, and content that an earlier item has
// already is that item.
//
// A slice of what can only be produced front to back makes the library stage all of it
// once, in /tmp if it is longer than 64 KiB. So a pack, and the content of a compressed
// source, are produced once, however many entries there are.
package stock30

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"

	"swudelta/internal/codec"
	"swudelta/internal/content"
	"swudelta/internal/digest"
	format "swudelta/internal/member"
	"swudelta/internal/pamz"
	"swudelta/internal/progress"
)

// ItemCost is what one more item costs in the delta, in bytes.
const ItemCost = 168

// Range is a range of bytes.
type Range = content.Range

// Side is content of the source that serves an image: parts, end to end.
type Side struct {
	Parts []Part
	Data  []byte // the content of all parts
}

// Part is what one stream, or a piece of the source as it is stored, holds.
type Part struct {
	Stored Range         // in the source, or in the content of Of
	SHA256 digest.SHA256 // of the stored bytes; needed where they are a stream of the source
	Kind   codec.Kind    // the stream's compression; KindPlain: none
	Size   int64         // of the content, in bytes
	Of     int           // 1 and the index of the part that a gzip member is in; 0: none
}

// Image is content of the target, and what it consists of.
type Image struct {
	Data    []byte
	SHA256  digest.SHA256 // of the image as it is: with Segments, not of Data
	Old     *Side
	Packs   []Pack
	Fresh   []byte  // all fresh bytes, end to end
	Context []Range // of the old side: what the fresh bytes may be like, sorted, disjoint
	Entries []Entry // of all of Data, in order
	// Segments make the image of Data. nil: it is Data.
	Segments []content.Segment
}

// Pack is a patch, and what it makes.
type Pack struct {
	Patch  []byte   // BSDIFF40
	Ranges []Range  // of the old side: the old side of the patch, end to end,
	Fresh  Range    // and behind them these of the fresh bytes
	New    [][]byte // what it makes, end to end
}

// Entry is a range of the image. Its content lies at Off in: the old side, the fresh
// bytes, what pack 0 makes, what pack 1 makes, and so on, end to end. Or it is Zero.
type Entry struct {
	Len  int64
	Off  int64
	Zero bool
}

// Options say how fresh bytes are compressed.
type Options struct {
	Zstd   *codec.Zstd
	Level  int                  // of zstd
	Window int                  // the widest window, as a power of two
	Note   func(string, ...any) // receives how it was done; may be nil
	// Progress is told how many fresh bytes are to be compressed, and how many that was done with.
	Progress *progress.Stage
}

// Writer writes the images of one delta, which share content.
type Writer struct {
	Options
	items map[key]*pamz.Item
}

type key struct {
	length int64
	sum    digest.SHA256
}

// NewWriter returns a writer for one delta.
func NewWriter(o Options) *Writer {
	return &Writer{Options: o, items: map[key]*pamz.Item{}}
}

// Member returns the item that is stored in the target: image, compressed to what has the
// given length and digest.
func Member(image *pamz.Item, kind codec.Kind, length int64, sum digest.SHA256) (*pamz.Item, error) {
	switch kind {
	case codec.KindPlain:
		return image, nil
	case codec.KindGzip:
		return pamz.NewItem(length, sum, pamz.ZlibCompression(image, pamz.ContainerGzip, level)), nil
	}
	return nil, fmt.Errorf("a device of generations 2.1 and 3.0 cannot make %v", kind)
}

// level is at which zlib makes canonical gzip (codec.Zlib.NewCanonicalWriter).
const level = 9

// Image returns the item that makes an image.
func (w *Writer) Image(im *Image) (*pamz.Item, error) {
	s := &image{Writer: w, Image: im}
	if err := s.openSide(); err != nil {
		return nil, err
	}
	// All that is old comes first: what an entry has in common with a range of the
	// old side must not be made by a pack that needs that range.
	olds := make([]run, len(im.Packs))
	for i, p := range im.Packs {
		olds[i] = s.ranges(p.Ranges)
	}
	if len(im.Fresh) > 0 {
		if err := s.compressFresh(); err != nil {
			return nil, err
		}
	}
	s.starts = append(s.starts, int64(len(im.Old.Data)), int64(len(im.Old.Data)+len(im.Fresh)))
	s.wholes = append(s.wholes, nil, s.fresh)
	for i, p := range im.Packs {
		item, err := s.pack(p, olds[i])
		if err != nil {
			return nil, fmt.Errorf("pack %d: %w", i, err)
		}
		s.starts = append(s.starts, s.starts[len(s.starts)-1]+item.Length)
		s.wholes = append(s.wholes, item)
	}
	segments := im.Segments
	if segments == nil {
		segments = []content.Segment{{Len: int64(len(im.Data))}}
	}
	list, size, err := s.segments(segments)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, errors.New("an image without content")
	}
	return w.chain(list, size, im.SHA256), nil
}

// image is one image on its way.
type image struct {
	*Writer
	*Image
	parts  []*pamz.Item // of the old side; nil for members, and for what serves nothing
	inner  []*group     // of members of the old side
	fresh  *pamz.Item
	starts []int64      // where each of wholes ends, in the offsets of entries
	wholes []*pamz.Item // nil for the old side, the fresh bytes, the packs
}

// item returns the item of that content: an earlier one, if there is one.
func (w *Writer) item(length int64, sum digest.SHA256, recipe *pamz.Recipe) *pamz.Item {
	k := key{length, sum}
	it := w.items[k]
	if it == nil {
		it = pamz.NewItem(length, sum, recipe)
		w.items[k] = it
	}
	return it
}

// asset returns the item of content that the delta carries.
func (w *Writer) asset(data []byte) *pamz.Item {
	return w.item(int64(len(data)), digest.Sum(data), pamz.InlineAsset(data))
}

// chain puts items end to end.
func (w *Writer) chain(list []*pamz.Item, length int64, sum digest.SHA256) *pamz.Item {
	if len(list) == 1 {
		return list[0]
	}
	return w.item(length, sum, flat(list))
}

// flat is a concatenation of any number of items: in versions 1 and 2 there is no limit.
func flat(list []*pamz.Item) *pamz.Recipe {
	r := &pamz.Recipe{Op: pamz.OpConcatenation, Params: make([]pamz.Param, len(list))}
	for i, it := range list {
		r.Params[i].Item = it
	}
	return r
}

// openSide makes the items of the parts of the old side.
func (s *image) openSide() error {
	at := int64(0)
	used := s.used()
	var members []member
	for i, p := range s.Old.Parts {
		content := s.Old.Data[at : at+p.Size]
		at += p.Size
		if p.Of > 0 {
			s.parts = append(s.parts, nil)
			if used[i] {
				members = append(members, member{i, s.opened(p, content), content})
			}
			continue
		}
		recipe := pamz.CopySource(p.Stored.Off)
		if p.Kind != codec.KindPlain {
			stored := s.item(p.Stored.Len, p.SHA256, recipe)
			switch p.Kind {
			case codec.KindGzip:
				recipe = pamz.GzDecompression(stored)
			case codec.KindZstd:
				recipe = pamz.ZstdDecompression(stored)
			default:
				return fmt.Errorf("a device of generations 2.1 and 3.0 cannot undo %v", p.Kind)
			}
		}
		// Where all of it was made before, it is taken from there.
		s.parts = append(s.parts, s.item(p.Size, digest.Sum(content), recipe))
	}
	s.inner = make([]*group, len(s.Old.Parts))
	for g := range grouped(members) {
		joined := s.group(g)
		for _, m := range g {
			s.inner[m.number] = joined
		}
	}
	return nil
}

// used says which parts of the old side serve something.
func (s *image) used() []bool {
	out := make([]bool, len(s.Old.Parts))
	mark := func(r Range) {
		start := int64(0)
		for i, p := range s.Old.Parts {
			out[i] = out[i] || max(r.Off, start) < min(r.End(), start+p.Size)
			start += p.Size
		}
	}
	for _, p := range s.Packs {
		for _, r := range p.Ranges {
			mark(r)
		}
	}
	for _, r := range s.Context {
		mark(r)
	}
	for _, e := range s.Entries {
		if !e.Zero {
			mark(Range{Off: e.Off, Len: e.Len})
		}
	}
	return out
}

// member is a gzip member inside of an image.
type member struct {
	number  int // of the part
	item    *pamz.Item
	content []byte // of the item
}

// group is items end to end that can only be produced front to back. Slices of it have it staged
// once, as a whole, and are then as good as bytes of the source.
type group struct {
	whole  *pamz.Item
	starts map[int]int64 // of members in it, by their numbers
	data   []byte
}

const (
	// groupSize is how many items are staged together, if that does not make more groups than
	// mostGroups: while they are, the library holds a stream for each.
	groupSize = 8
	// mostGroups bounds the groups of each kind: one that is longer than 64 KiB is an open file
	// on the device, to the end, of which a process often may have 1,024.
	mostGroups = 128
)

// grouped divides members into those of each group.
func grouped(list []member) iter.Seq[[]member] {
	return slices.Chunk(list, max(groupSize, (len(list)+mostGroups-1)/mostGroups))
}

func (s *image) group(list []member) *group {
	g := &group{starts: map[int]int64{}}
	var items []*pamz.Item
	for _, m := range list {
		g.starts[m.number] = int64(len(g.data))
		g.data = append(g.data, m.content...)
		items = append(items, m.item)
	}
	g.whole = s.chain(items, int64(len(g.data)), digest.Sum(g.data))
	return g
}

// slices returns the items of a range of the group, end to end. What has the content of the group or of
// one member would not be a slice but that itself, for whoever takes it to produce: it is two slices.
func (s *image) slices(g *group, from, to int64) []*pamz.Item {
	content := g.data[from:to]
	it := s.items[key{to - from, digest.Sum(content)}]
	if it != nil && to-from > 1 && (it.Sequential() || it.Recipe.Op == pamz.OpConcatenation) {
		half := from + (to-from)/2
		return append(s.slices(g, from, half), s.slices(g, half, to)...)
	}
	return []*pamz.Item{s.slice(g.whole, from, content)}
}

// opened returns the item of the content of a member of the old side.
func (s *image) opened(p Part, content []byte) *pamz.Item {
	start := int64(0)
	for _, o := range s.Old.Parts[:p.Of-1] {
		start += o.Size
	}
	start += p.Stored.Off
	stored := s.slice(s.parts[p.Of-1], p.Stored.Off, s.Old.Data[start:start+p.Stored.Len])
	return s.item(p.Size, digest.Sum(content), pamz.GzDecompression(stored))
}

// old returns the items of a range of the old side, end to end. What lies in one part is one
// item, but all of a stream is two: the library stages a stream once for all slices of it,
// and once more for whoever takes it whole.
func (s *image) old(r Range) (list []*pamz.Item) {
	start := int64(0)
	for i := 0; i < len(s.Old.Parts); i++ {
		p := s.Old.Parts[i]
		from, to := max(r.Off, start), min(r.End(), start+p.Size)
		switch {
		case from >= to:
		case s.inner[i] != nil:
			g := s.inner[i]
			first := g.starts[i] + from - start
			last := g.starts[i] + to - start
			// What follows in the same group is the same slice.
			for to < r.End() && i+1 < len(s.Old.Parts) && s.inner[i+1] == g {
				start += s.Old.Parts[i].Size
				i++
				to = min(r.End(), start+s.Old.Parts[i].Size)
				last = g.starts[i] + to - start
			}
			list = append(list, s.slices(g, first, last)...)
			p = s.Old.Parts[i]
		case p.Kind != codec.KindPlain && to-from == p.Size && p.Size > 1:
			half := start + p.Size/2
			list = append(list, s.slice(s.parts[i], 0, s.Old.Data[from:half]), s.slice(s.parts[i], half-start, s.Old.Data[half:to]))
		default:
			list = append(list, s.slice(s.parts[i], from-start, s.Old.Data[from:to]))
		}
		start += p.Size
	}
	return list
}

// slice returns the item of content, which lies at off in whole.
func (s *image) slice(whole *pamz.Item, off int64, content []byte) *pamz.Item {
	n := int64(len(content))
	if n == whole.Length {
		return whole
	}
	recipe := pamz.Region(whole, off, n)
	if r := whole.Recipe; r.Op == pamz.OpCopySource {
		recipe = pamz.CopySource(int64(r.Params[0].Number) + off)
	}
	return s.item(n, digest.Sum(content), recipe)
}

// run is items end to end, with their content.
type run struct {
	items   []*pamz.Item
	content [][]byte
}

func (r *run) add(content []byte, items ...*pamz.Item) {
	r.items, r.content = append(r.items, items...), append(r.content, content)
}

// ranges returns ranges of the old side, end to end.
func (s *image) ranges(list []Range) (out run) {
	for _, r := range list {
		out.add(s.Old.Data[r.Off:r.End()], s.old(r)...)
	}
	return out
}

// join returns the item of a run. Where that would be all of a stream, which is made in
// another way, one byte is put before or behind it.
func (s *image) join(r run, before bool) *pamz.Item {
	sum := digest.NewWriter(io.Discard)
	for _, b := range r.content {
		sum.Write(b)
	}
	if it := s.items[key{sum.Len(), sum.Sum()}]; it != nil && len(r.items) > 1 && s.whole(it) {
		first := r.content[0][:1]
		one := run{[]*pamz.Item{s.slice(it, 0, first)}, [][]byte{first}}
		if before {
			return s.join(run{append(one.items, r.items...), append(one.content, r.content...)}, before)
		}
		return s.join(run{append(slices.Clip(r.items), one.items...), append(slices.Clip(r.content), one.content...)}, before)
	}
	return s.chain(r.items, sum.Len(), sum.Sum())
}

// whole reports whether an item is a part of the old side, or a group of members.
func (s *image) whole(it *pamz.Item) bool {
	return slices.Contains(s.parts, it) || slices.ContainsFunc(s.inner, func(g *group) bool { return g != nil && g.whole == it })
}

// compressFresh makes the item of the fresh bytes: in the better of two ways, alone,
// or with old content as dictionary.
func (s *image) compressFresh() error {
	sum := digest.Sum(s.Fresh)
	log := func(n int) int { return min(max(bitsFor(n), 10), s.Window) }
	var context []byte
	for _, r := range s.Context {
		context = append(context, s.Old.Data[r.Off:r.End()]...)
	}
	prefixed := len(context) > 0 && len(context)+len(s.Fresh) <= 1<<s.Window
	if prefixed {
		s.Progress.Expect(int64(len(context) + len(s.Fresh)))
	}
	s.Progress.Expect(int64(len(s.Fresh)))
	best, err := s.Zstd.Compress(s.Fresh, s.Level, log(len(s.Fresh)), s.Progress.Add)
	if err != nil {
		return err
	}
	recipe, size := pamz.ZstdDecompression, len(best)
	var dictionary *pamz.Item
	if prefixed {
		frame, err := s.Zstd.CompressPrefixed(context, s.Fresh, s.Level, log(len(context)+len(s.Fresh)), s.Progress.Add)
		if err != nil {
			return err
		}
		cost := len(frame) + ItemCost*(len(s.Context)+1)
		if s.Note != nil {
			s.Note("fresh bytes %d: %d alone, %d with %d bytes of old content from %d ranges", len(s.Fresh), len(best), cost, len(context), len(s.Context))
		}
		if cost < size {
			best, dictionary = frame, s.join(s.ranges(s.Context), true)
		}
	}
	if dictionary != nil {
		recipe = func(frame *pamz.Item) *pamz.Recipe { return pamz.ZstdDelta(frame, dictionary) }
	}
	s.fresh = s.item(int64(len(s.Fresh)), sum, recipe(s.asset(best)))
	return nil
}

// bitsFor is the power of two that is at least n.
func bitsFor(n int) (log int) {
	for 1<<log < n {
		log++
	}
	return log
}

// pack returns the item of what a pack makes; old is what its ranges hold.
func (s *image) pack(p Pack, old run) (*pamz.Item, error) {
	if p.Fresh.Len > 0 {
		content := s.Fresh[p.Fresh.Off:p.Fresh.End()]
		old.add(content, s.slice(s.fresh, p.Fresh.Off, content))
	}
	if len(old.items) == 0 {
		return nil, errors.New("it has no old side")
	}
	made := digest.NewWriter(io.Discard)
	for _, b := range p.New {
		made.Write(b)
	}
	return s.item(made.Len(), made.Sum(), pamz.BSDiff(s.asset(p.Patch), s.join(old, false))), nil
}

// segments returns the items of the image, end to end, and its length: its entries, and slices of the
// members that are made of entries.
func (s *image) segments(list []content.Segment) (out []*pamz.Item, size int64, err error) {
	t := taker{image: s, entries: s.Entries}
	pieces := make([][]*pamz.Item, len(list))
	var members []member
	for i, segment := range list {
		size += segment.Len
		m := segment.Member
		if m == nil {
			if pieces[i], err = t.take(segment.Len); err != nil {
				return nil, 0, err
			}
			continue
		}
		if m.Number != format.Gzip || len(m.CloseParams) != 1 {
			return nil, 0, fmt.Errorf("%v cannot be made again", m.Number)
		}
		items, err := t.take(int64(len(m.Content)))
		if err != nil {
			return nil, 0, err
		}
		content := s.chain(items, int64(len(m.Content)), digest.Sum(m.Content))
		item := s.item(m.Len, m.SHA256, pamz.ZlibCompression(content, pamz.ContainerGzip, int64(m.CloseParams[0])))
		members = append(members, member{i, item, m.Stored})
	}
	if t.at != int64(len(s.Data)) || len(t.entries) > 0 {
		return nil, 0, fmt.Errorf("entries for %d bytes of %d", t.at, len(s.Data))
	}
	for list := range grouped(members) {
		g := s.group(list)
		for _, m := range list {
			from := g.starts[m.number]
			pieces[m.number] = s.slices(g, from, from+int64(len(m.content)))
		}
	}
	return slices.Concat(pieces...), size, nil
}

// taker takes entries piece by piece.
type taker struct {
	*image
	entries []Entry // from the current one on
	taken   int64   // of the current one, in bytes
	at      int64   // in Data
}

// take returns the items of the next n bytes.
func (t *taker) take(n int64) (list []*pamz.Item, err error) {
	for n > 0 {
		if len(t.entries) == 0 {
			return nil, fmt.Errorf("no entry at %d", t.at)
		}
		e := t.entries[0]
		e.Off += t.taken
		if e.Len -= t.taken; e.Len <= n {
			t.entries, t.taken = t.entries[1:], 0
		} else {
			e.Len = n
			t.taken += n
		}
		items, err := t.entry(e, t.at)
		if err != nil {
			return nil, fmt.Errorf("entry at %d: %w", t.at, err)
		}
		list = append(list, items...)
		t.at += e.Len
		n -= e.Len
	}
	return list, nil
}

// entry returns the items of an entry, which begins at at in the image: one for each
// thing that it is a slice of.
func (s *image) entry(e Entry, at int64) (list []*pamz.Item, err error) {
	if e.Len <= 0 || at+e.Len > int64(len(s.Data)) {
		return nil, fmt.Errorf("%d bytes are not in the image", e.Len)
	}
	if e.Zero {
		return []*pamz.Item{s.item(e.Len, digest.Sum(s.Data[at:at+e.Len]), pamz.AllZero(e.Len))}, nil
	}
	start := int64(0)
	for i, end := range s.starts {
		from, to := max(e.Off, start), min(e.Off+e.Len, end)
		switch {
		case from >= to:
		case s.wholes[i] == nil:
			list = append(list, s.old(Range{Off: from, Len: to - from})...)
		default:
			content := s.Data[at+from-e.Off : at+to-e.Off]
			list = append(list, s.slice(s.wholes[i], from-start, content))
		}
		start = end
	}
	if e.Off < 0 || e.Off+e.Len > start {
		return nil, fmt.Errorf("nothing lies at %d", e.Off)
	}
	return list, nil
}
