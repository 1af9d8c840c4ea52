// SPDX-License-Identifier: MIT

package report

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"slices"

	"swudelta/internal/bsdiff"
	"swudelta/internal/codec"
	"swudelta/internal/fault"
	"swudelta/internal/pamz"
)

// Limits of the work for one delta. What a few bytes of a file can ask for grows with its size, so
// that a small hostile file is told from a large real one: a real patch makes some 50 bytes from
// each of its own, and a recipe that is opened has some 10.
const (
	maxVisits      = 256 << 20 // of items
	minOpened      = 128 << 20 // bytes of deltas and patches that are decompressed,
	openedPerByte  = 128       // and as many more for each byte of the file,
	maxOpened      = 1 << 30   // but no more than this
	minPatched     = 512 << 20 // bytes that patches make,
	patchedPerByte = 1024      // and as many more for each byte of the file
	maxNested      = 16
)

// blockSize is the unit, in bytes, in which changed bytes of a patch are counted.
const blockSize = 4 << 10

// leastMember is the size of chunks, in bytes, from which on each is a member.
const leastMember = 64 << 10

// PAMZ traces a delta for the stock library. Size is that of its file.
func PAMZ(d *pamz.Diff, size int64) (*Report, error) {
	t := &pamzTracer{
		mayOpen: min(minOpened+openedPerByte*size, maxOpened), mayPatch: minPatched + patchedPerByte*size,
		pools: map[place]*pool{}, levels: map[place]*level{}, patches: map[place]*patch{},
	}
	top := &level{diff: d, scale: 1, table: &pool{bytes: float64(d.Account.Table)}}
	if d.Pooled() {
		top.table.bytes += float64(d.Account.Archives)
	}
	if err := checkRecipes(d, d.SourceLength); err != nil {
		return nil, err
	}
	if rest := restLength(d); rest > 0 {
		top.rest = float64(d.Account.Remainder) / float64(rest)
	}
	if err := t.members(top); err != nil {
		return nil, err
	}
	a := d.Account
	r := &Report{
		Format: fmt.Sprintf("PAMZ version %d", d.Version), Size: size,
		Source:  Content{d.SourceLength, d.SourceSHA256.Hex()},
		Target:  Content{d.TargetLength, d.TargetSHA256.Hex()},
		Members: t.finish(),
	}
	for _, p := range []Part{
		{"header", a.Header}, {"table of recipes", a.Table}, {"inline assets", a.Inline}, {"remainder", a.Remainder}, {"archives", a.Archives},
	} {
		if p.Bytes > 0 {
			r.Account = append(r.Account, p)
		}
	}
	return r, nil
}

// checkRecipes checks that the numbers of all recipes fit what they are about.
func checkRecipes(d *pamz.Diff, sourceLength int64) error {
	return d.Walk(func(_ int, it *pamz.Item) error { return d.CheckItem(it, sourceLength) })
}

// restLength returns how many bytes the remainder of a delta has without compression.
func restLength(d *pamz.Diff) (n int64) {
	for _, c := range d.Chunks {
		if c.Recipe.Op == pamz.OpRemainder {
			n += c.Length
		}
	}
	return n
}

// level is a delta, and where it lies in the tree.
type level struct {
	diff   *pamz.Diff
	source *pamz.Item // what it is applied to, an item of the outer level; nil at the top
	outer  *level
	depth  int
	scale  float64 // bytes of the file for each byte of an inline asset,
	rest   float64 // and of the remainder
	table  *pool   // what is no asset
}

// place is an item of a level. Items are shared in version 2 only, levels never.
type place struct {
	*level
	item *pamz.Item
}

type pamzTracer struct {
	tracer
	visits            int64
	mayOpen, mayPatch int64 // bytes that are left of the limits

	pools   map[place]*pool
	levels  map[place]*level // that nested deltas are
	patches map[place]*patch
}

// visit counts the work.
func (t *pamzTracer) visit() error {
	if t.visits++; t.visits > maxVisits {
		return fault.Dataf("the delta consists of too many pieces")
	}
	return nil
}

// members traces the chunks of the delta. Small ones, one after the other, are one member; so
// are those of version 2, where each entry of an image is a chunk.
func (t *pamzTracer) members(top *level) error {
	chunks := top.diff.Chunks
	large := 0
	for _, c := range chunks {
		if c.Length >= leastMember {
			large++
		}
	}
	const most = 64 // of members: more are chunks of one image
	single := !top.diff.Pooled() && large <= most
	at := int64(0)
	for i := 0; i < len(chunks); {
		c := chunks[i]
		m := &Member{Off: at, Name: fmt.Sprintf("target at %s", Size(at))}
		inner, closed := closedBy(c)
		alone := closed != "" || c.Length >= leastMember && single
		j := i + 1
		for !alone && j < len(chunks) && (chunks[j].Length < leastMember || !single) {
			if _, closed := closedBy(chunks[j]); closed != "" {
				break
			}
			j++
		}
		m.Closed = closed
		for _, c := range chunks[i:j] {
			m.Stored += c.Length
			it := c
			if closed != "" {
				it = inner
			}
			if err := t.emit(top, it, 0, it.Length, []use{{top.table, 1}}); err != nil {
				return err
			}
		}
		at += m.Stored
		t.end(m)
		i = j
	}
	return nil
}

// closedBy returns the content of a chunk that is compressed, and how it is; else the chunk.
func closedBy(c *pamz.Item) (inner *pamz.Item, how string) {
	switch c.Recipe.Op {
	case pamz.OpZstdCompression:
		return c.Recipe.Params[0].Item, "zstd"
	case pamz.OpZlibCompression:
		return c.Recipe.Params[0].Item, "gzip"
	}
	return c, ""
}

// emit adds the spans of the n bytes at off of an item. Each takes part in uses.
func (t *pamzTracer) emit(l *level, it *pamz.Item, off, n int64, uses []use) error {
	if n == 0 {
		return nil
	}
	if err := t.visit(); err != nil {
		return err
	}
	if it.Recipe == nil {
		return t.add(Moved, n, -1, 0, uses) // earlier content of the target
	}
	switch r := it.Recipe; r.Op {
	case pamz.OpCopy:
		return t.emit(l, r.Params[0].Item, off, n, uses)
	case pamz.OpCopySource:
		from := off + int64(r.Params[0].Number)
		if l.outer != nil {
			return t.emit(l.outer, l.source, from, n, uses)
		}
		return t.add(Kept, n, from, 0, uses)
	case pamz.OpRegion:
		return t.emit(l, r.Params[0].Item, off+int64(r.Params[1].Number), n, uses)
	case pamz.OpConcatenation:
		entry := with(uses, l.table)
		return t.parts(paramItems(r), off, n, func(part *pamz.Item, off, n int64) error { return t.emit(l, part, off, n, entry) })
	case pamz.OpAllZero:
		return t.add(Zero, n, -1, 0, uses)
	case pamz.OpBSDiff:
		return t.emitPatch(l, it, off, n, uses)
	case pamz.OpNested:
		inner, err := t.nested(l, it)
		if err != nil {
			return err
		}
		entry := with(uses, inner.table)
		return t.parts(inner.diff.Chunks, off, n, func(part *pamz.Item, off, n int64) error { return t.emit(inner, part, off, n, entry) })
	case pamz.OpGzDecompression, pamz.OpZlibDecompression, pamz.OpZstdDecompression:
		if cost, err := t.cost(l, r.Params[0].Item, 0, r.Params[0].Item.Length); err != nil || cost == 0 {
			// A stream of the source: offsets are those of its content.
			return cmpError(err, func() error { return t.add(Kept, n, off, 0, uses) })
		}
	}
	p, err := t.pool(l, it)
	if err != nil {
		return err
	}
	kind := New
	if _, closed := closedBy(it); closed != "" {
		kind = Opened
	}
	return t.add(kind, n, -1, 0, append(slices.Clip(uses), use{p, float64(n)}))
}

// cmpError returns err, or what f does.
func cmpError(err error, f func() error) error {
	if err != nil {
		return err
	}
	return f()
}

// paramItems returns the items among the parameters of a recipe.
func paramItems(r *pamz.Recipe) (list []*pamz.Item) {
	for _, p := range r.Params {
		if p.Item != nil {
			list = append(list, p.Item)
		}
	}
	return list
}

// parts calls each for the parts of items, end to end, in the range of n bytes at off.
func (t *pamzTracer) parts(items []*pamz.Item, off, n int64, each func(it *pamz.Item, off, n int64) error) error {
	for _, it := range items {
		if n <= 0 {
			return nil
		}
		if err := t.visit(); err != nil {
			return err
		}
		if off < it.Length {
			k := min(n, it.Length-off)
			if err := each(it, off, k); err != nil {
				return err
			}
			off, n = it.Length, n-k
		}
		off -= it.Length
	}
	if n > 0 {
		return fault.Dataf("a range ends %d bytes behind what it is a part of", n)
	}
	return nil
}

// pool returns the pool of what an item costs.
func (t *pamzTracer) pool(l *level, it *pamz.Item) (*pool, error) {
	at := place{l, it}
	if p := t.pools[at]; p != nil {
		return p, nil
	}
	bytes, err := t.cost(l, it, 0, it.Length)
	if err != nil {
		return nil, err
	}
	p := &pool{bytes: bytes}
	t.pools[at] = p
	return p, nil
}

// cost returns how many bytes of the file the n bytes at off of an item take, but for tables.
func (t *pamzTracer) cost(l *level, it *pamz.Item, off, n int64) (float64, error) {
	if err := t.visit(); err != nil || n == 0 || it.Recipe == nil {
		return 0, err
	}
	switch r := it.Recipe; r.Op {
	case pamz.OpInlineAsset:
		return float64(n) * l.scale, nil
	case pamz.OpRemainder:
		return float64(n) * l.rest, nil
	case pamz.OpAllZero:
		return 0, nil
	case pamz.OpCopySource:
		if l.outer == nil {
			return 0, nil
		}
		return t.cost(l.outer, l.source, off+int64(r.Params[0].Number), n)
	case pamz.OpRegion:
		return t.cost(l, r.Params[0].Item, off+int64(r.Params[1].Number), n)
	case pamz.OpConcatenation:
		sum := 0.0
		err := t.parts(paramItems(r), off, n, func(part *pamz.Item, off, n int64) error {
			c, err := t.cost(l, part, off, n)
			sum += c
			return err
		})
		return sum, err
	default:
		// What all of it is made of.
		sum := 0.0
		for _, in := range paramItems(r) {
			c, err := t.cost(l, in, 0, in.Length)
			if err != nil {
				return 0, err
			}
			sum += c
		}
		return sum * float64(n) / float64(it.Length), nil
	}
}

// nested returns the delta inside an item.
func (t *pamzTracer) nested(l *level, it *pamz.Item) (*level, error) {
	at := place{l, it}
	if inner := t.levels[at]; inner != nil {
		return inner, nil
	}
	if l.depth >= maxNested {
		return nil, fault.Dataf("deltas nested more than %d deep", maxNested)
	}
	file, source := it.Recipe.Params[0].Item, it.Recipe.Params[1].Item
	data, err := t.open(l, file)
	if err != nil {
		return nil, err
	}
	d, err := pamz.Decode(bytes.NewReader(data), int64(len(data)))
	if err == nil && d.TargetLength != it.Length {
		err = fault.Dataf("makes %d bytes, want %d", d.TargetLength, it.Length)
	}
	if err == nil {
		err = checkRecipes(d, source.Length)
	}
	if err != nil {
		return nil, fmt.Errorf("nested delta: %w", err)
	}
	cost, err := t.cost(l, file, 0, file.Length)
	if err != nil {
		return nil, err
	}
	inner := &level{diff: d, source: source, outer: l, depth: l.depth + 1, scale: cost / float64(max(len(data), 1))}
	a := d.Account
	inner.table = &pool{bytes: inner.scale * float64(a.Header+a.Table+a.Archives)}
	if rest := restLength(d); rest > 0 {
		inner.rest = inner.scale * float64(a.Remainder) / float64(rest)
	}
	t.levels[at] = inner
	return inner, nil
}

// opens counts n bytes that are opened, before they are.
func (t *pamzTracer) opens(n int64) error {
	if t.mayOpen -= n; t.mayOpen < 0 {
		return fault.Dataf("recipes and patches have more content than a file of this size should")
	}
	return t.visit()
}

// open returns the content of an item that is kept in the delta.
func (t *pamzTracer) open(l *level, it *pamz.Item) ([]byte, error) {
	if err := t.opens(it.Length); err != nil || it.Length == 0 {
		return nil, err
	}
	if it.Recipe == nil {
		return nil, fault.Dataf("a recipe or a patch is a part of the target")
	}
	switch r := it.Recipe; r.Op {
	case pamz.OpInlineAsset:
		b := make([]byte, it.Length)
		_, err := io.ReadFull(r.Open(), b)
		return b, err
	case pamz.OpCopySource:
		if l.outer != nil {
			return t.openPart(l.outer, l.source, int64(r.Params[0].Number), it.Length)
		}
	case pamz.OpRegion:
		return t.openPart(l, r.Params[0].Item, int64(r.Params[1].Number), it.Length)
	case pamz.OpConcatenation:
		return t.openPart(l, it, 0, it.Length)
	case pamz.OpZstdDecompression:
		b, err := t.open(l, r.Params[0].Item)
		if err != nil {
			return nil, err
		}
		z, err := codec.NewZstdReader(bytes.NewReader(b), 0)
		if err != nil {
			return nil, err
		}
		defer z.Close()
		return readAll(z, it.Length)
	case pamz.OpGzDecompression:
		b, err := t.open(l, r.Params[0].Item)
		if err != nil {
			return nil, err
		}
		z, err := codec.NewGzipReader(bytes.NewReader(b), false)
		if err != nil {
			return nil, err
		}
		defer z.Close()
		return readAll(z, it.Length)
	}
	return nil, fault.Dataf("a recipe or a patch is made by %v: this cannot be looked into without the source", it.Recipe.Op)
}

// openPart returns a part of the content of an item.
func (t *pamzTracer) openPart(l *level, it *pamz.Item, off, n int64) ([]byte, error) {
	if r := it.Recipe; r != nil {
		switch r.Op {
		case pamz.OpConcatenation:
			var out []byte
			err := t.parts(paramItems(r), off, n, func(part *pamz.Item, off, n int64) error {
				b, err := t.openPart(l, part, off, n)
				out = append(out, b...)
				return err
			})
			return out, err
		case pamz.OpInlineAsset:
			if err := t.opens(n); err != nil {
				return nil, err
			}
			b := make([]byte, n)
			_, err := r.Open().ReadAt(b, off)
			return b, err
		case pamz.OpRegion:
			return t.openPart(l, r.Params[0].Item, off+int64(r.Params[1].Number), n)
		case pamz.OpCopySource:
			if l.outer != nil {
				return t.openPart(l.outer, l.source, off+int64(r.Params[0].Number), n)
			}
		}
	}
	b, err := t.open(l, it)
	if err != nil {
		return nil, err
	}
	return b[off : off+n], nil
}

// readAll returns all of r, which must have n bytes.
func readAll(r io.Reader, n int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, n+1))
	if err == nil && int64(len(b)) != n {
		err = fault.Dataf("has not the %d bytes of content that are stated", n)
	}
	return b, err
}

// patch is what is known of a BSDIFF40 patch.
type patch struct {
	controls []bsdiff.Control
	starts   []int64 // where in the new side each begins
	olds     []int64 // and in the old side
	first    []int   // which piece is the first one of each
	changed  []int32 // bytes that differ, of pieces: adds, cut at the ends of blocks of the new side

	control, diff, extra *pool
}

// patchOf reads the patch of an item.
func (t *pamzTracer) patchOf(l *level, it *pamz.Item) (*patch, error) {
	at := place{l, it}
	if p := t.patches[at]; p != nil {
		return p, nil
	}
	file := it.Recipe.Params[0].Item
	data, err := t.open(l, file)
	if err != nil {
		return nil, err
	}
	if t.mayPatch -= it.Length; t.mayPatch < 0 {
		return nil, fault.Dataf("patches make more than a file of this size should")
	}
	size := int64(len(data))
	h, err := bsdiff.Parse(bytes.NewReader(data), size)
	if err == nil && h.NewSize != it.Length {
		err = fault.Dataf("patch makes %d bytes, want %d", h.NewSize, it.Length)
	}
	if err != nil {
		return nil, err
	}
	p := &patch{}
	if p.controls, err = bsdiff.Controls(bytes.NewReader(data), size); err != nil {
		return nil, err
	}
	if err := t.room(len(p.controls)); err != nil {
		return nil, err
	}
	// Against an old side of zeros a patch makes its diff and extra bytes.
	made := make(chan error, 1)
	r, w := io.Pipe()
	go func() {
		err := bsdiff.Apply(w, bytes.NewReader(nil), 0, bytes.NewReader(data), size, h.NewSize)
		w.CloseWithError(err)
		made <- err
	}()
	err = p.count(bufio.NewReaderSize(r, 1<<16))
	r.CloseWithError(err)
	if e := <-made; err == nil {
		err = e
	}
	if err != nil {
		return nil, err
	}
	cost, err := t.cost(l, file, 0, file.Length)
	if err != nil {
		return nil, err
	}
	scale := cost / float64(size)
	p.control = &pool{bytes: scale * float64(size-h.Diff-(size-32-h.Control-h.Diff))}
	p.diff = &pool{bytes: scale * float64(h.Diff)}
	p.extra = &pool{bytes: scale * float64(size-32-h.Control-h.Diff)}
	t.patches[at] = p
	return p, nil
}

// pieceEnd is where the piece of an add that off lies in ends, as far as its block goes.
func pieceEnd(off int64) int64 { return off - off%blockSize + blockSize }

// count finds where the control entries and the pieces begin, and how many bytes of each piece
// differ, from the diff and extra bytes in the order of the new side.
func (p *patch) count(r io.Reader) error {
	var buf [blockSize]byte
	done, old := int64(0), int64(0)
	for _, c := range p.controls {
		p.starts, p.olds, p.first = append(p.starts, done), append(p.olds, old), append(p.first, len(p.changed))
		for end := done + c.Add; done < end; {
			b := buf[:min(end, pieceEnd(done))-done]
			if _, err := io.ReadFull(r, b); err != nil {
				return err
			}
			p.changed = append(p.changed, int32(len(b)-bytes.Count(b, []byte{0})))
			done += int64(len(b))
		}
		if _, err := io.CopyN(io.Discard, r, c.Extra); err != nil {
			return err
		}
		done += c.Extra
		old += c.Add + c.Seek
	}
	_, err := io.Copy(io.Discard, r)
	return err
}

// quiet is the weight of a byte of a patch that does not differ, next to 1 for one that does.
const quiet = 1e-4

// emitPatch is emit for what a patch makes.
func (t *pamzTracer) emitPatch(l *level, it *pamz.Item, off, n int64, uses []use) error {
	p, err := t.patchOf(l, it)
	if err != nil {
		return err
	}
	old := it.Recipe.Params[1].Item
	i, found := slices.BinarySearch(p.starts, off)
	if !found {
		i--
	}
	for end := off + n; off < end; i++ {
		if i < 0 || i >= len(p.controls) {
			return fault.Dataf("a patch has no control entry for offset %d", off)
		}
		c := p.controls[i]
		entry := append(slices.Clip(uses), use{p.control, 1})
		for into := off - p.starts[i]; into < c.Add && off < end; into = off - p.starts[i] {
			piece := p.first[i] + int(off/blockSize-p.starts[i]/blockSize)
			k := min(c.Add-into, end-off, pieceEnd(off)-off)
			if err := t.emitAdd(l, old, p.olds[i]+into, k, min(int64(p.changed[piece]), k), append(slices.Clip(entry), p.diffUse(piece, k))); err != nil {
				return err
			}
			off += k
		}
		if k := min(p.starts[i]+c.Add+c.Extra, end) - off; k > 0 {
			if err := t.add(New, k, -1, 0, append(slices.Clip(entry), use{p.extra, float64(k)})); err != nil {
				return err
			}
			off += k
		}
	}
	return nil
}

// diffUse is the part that n bytes of a piece have of the diff stream.
func (p *patch) diffUse(piece int, n int64) use {
	return use{p.diff, float64(min(int64(p.changed[piece]), n)) + quiet*float64(n)}
}

// emitAdd adds the spans of n bytes of a patch that come from pos in the old side, of which some
// are changed.
func (t *pamzTracer) emitAdd(l *level, old *pamz.Item, pos, n, changed int64, uses []use) error {
	// Old bytes outside of the old side are zeros.
	before := min(max(-pos, 0), n)
	behind := min(max(pos+n-old.Length, 0), n-before)
	for _, outside := range []int64{before, behind} {
		if outside > 0 {
			if err := t.add(New, outside, -1, 0, uses); err != nil {
				return err
			}
		}
	}
	if n -= before + behind; n == 0 {
		return nil
	}
	first := len(t.spans)
	if err := t.emit(l, old, pos+before, n, uses); err != nil || changed == 0 {
		return err
	}
	for i := range t.spans[first:] {
		if s := &t.spans[first+i]; s.Kind == Kept {
			s.Kind, s.Changed = Patched, min(changed, s.Len)
		}
	}
	return nil
}
