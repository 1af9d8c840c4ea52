// SPDX-License-Identifier: MIT

package pamz

import (
	"fmt"
	"io"
	"slices"

	"swudelta/internal/digest"
	"swudelta/internal/errnum"
)

// Versions 1 and 2 have no tree. They list recipes for results, and a result or an
// ingredient is nothing but a length and a digest: what has the same two is the
// same thing. Decoding looks for a way to the target through that pool and
// gives it as a graph of items; encoding does the reverse.

// Numbers of the recipes of versions 1 and 2.
const (
	poolAllZeros = iota
	poolChain
	poolSlice
	poolBSPatch
	poolZlibCompression
	poolZlibDecompression
	poolZstdCompression
	poolZstdDecompression
)

// poolNames are written by the reference and read by nobody.
var poolNames = [...]string{
	"all_zeros", "chain", "slice", "bspatch_decompression",
	"zlib_compression", "zlib_decompression", "zstd_compression", "zstd_decompression",
}

// levelDefault stands for zlib's default level in zlib_compression.
const levelDefault = 0xFFFFFFFF

// node is a thing of the pool.
type node struct {
	item  *Item
	users []*poolRecipe // recipes that wait for it, once for each mention
	depth int           // levels of recipes beneath it, once it is known how to make it
	made  bool

	deflated *io.SectionReader // its content, if it is a remainder section
}

// poolRecipe is a recipe of the file.
type poolRecipe struct {
	op      uint32
	result  *node
	numbers []uint64
	items   []*node
	missing int // mentions in items that cannot be made yet
}

// pool is what a file of version 1 or 2 and its nested archives hold.
type pool struct {
	nodes   map[Key]*node
	recipes []*poolRecipe
	ready   []*node // made, and their users not told
}

func (p *pool) node(k Key) *node {
	n := p.nodes[k]
	if n == nil {
		n = &node{item: &Item{Length: k.Length, SHA256: k.SHA256}}
		p.nodes[k] = n
	}
	return n
}

// have adds a thing that is there without a recipe of the pool.
func (p *pool) have(k Key, r *Recipe) {
	if n := p.node(k); k.Length > 0 && !n.made {
		n.item.Recipe, n.made = r, true
		p.ready = append(p.ready, n)
	}
}

// pool reads version 1 or 2 from the target on.
func (d *decoder) pool() error {
	p := &pool{nodes: map[Key]*node{}}
	target, source, err := d.archive(p, 0)
	if err != nil {
		return err
	}
	diff := d.diff
	diff.TargetLength, diff.TargetSHA256 = target.Length, target.SHA256
	diff.SourceLength, diff.SourceSHA256 = source.Length, source.SHA256
	p.have(source, CopySource(0))
	if target.Length == 0 {
		diff.TargetSHA256 = digest.Sum(nil) // which is not stored
		return nil
	}
	p.resolve()
	n := p.node(target)
	switch {
	case !n.made:
		return errnum.Errorf(errnum.Other, "no recipe makes the target")
	case n.depth > MaxDepth:
		return errnum.Errorf(errnum.Other, "recipes nested more than %d deep", MaxDepth)
	case n.item.Recipe.Op == OpConcatenation:
		for _, c := range n.item.Recipe.Params {
			diff.Chunks = append(diff.Chunks, c.Item)
		}
	default:
		diff.Chunks = []*Item{n.item}
	}
	return nil
}

// archive reads one file of the two versions, from its target on, into the pool.
func (d *decoder) archive(p *pool, depth int) (target, source Key, err error) {
	if depth > MaxNested {
		return target, source, d.errorf(errnum.Other, "archives nested more than %d deep", MaxNested)
	}
	start := d.pos
	if depth == 0 {
		start = 0
	}
	if target, err = d.def(); err != nil {
		return target, source, err
	}
	if source, err = d.def(); err != nil {
		return target, source, err
	}
	if err := d.recipeNames(); err != nil {
		return target, source, err
	}
	const minSet = 8 + 8
	sets, err := d.count(errnum.Short, "results", minSet)
	if err != nil {
		return target, source, err
	}
	d.diff.Account.Header += d.pos - start
	start = d.pos
	for range sets {
		if err := d.set(p); err != nil {
			return target, source, err
		}
	}
	d.diff.Account.Table += d.pos - start
	if err := d.dataSections(p); err != nil {
		return target, source, err
	}
	start = d.pos
	archives, err := d.u32()
	if err != nil {
		return target, source, err
	}
	d.diff.Account.Archives += d.pos - start
	for range archives {
		if err := d.nestedArchive(p, depth+1); err != nil {
			return target, source, err
		}
	}
	return target, source, nil
}

// recipeNames passes over the names of recipes, which say nothing that their numbers do not.
func (d *decoder) recipeNames() error {
	names, err := d.u32()
	if err != nil {
		return err
	}
	for range names {
		n, err := d.length()
		if err != nil {
			return err
		}
		if _, err := d.skip(n); err != nil {
			return err
		}
	}
	return nil
}

// dataSections reads inline assets and remainder.
func (d *decoder) dataSections(p *pool) error {
	start := d.pos
	k, section, err := d.section("inline assets")
	if err != nil {
		return err
	}
	p.have(k, &Recipe{Op: OpInlineAsset, section: section})
	d.diff.Account.Inline += d.pos - start
	start = d.pos
	if k, section, err = d.section("remainder"); err != nil {
		return err
	}
	p.have(k, &Recipe{Op: OpInlineAsset, section: section})
	p.node(k).deflated = section
	d.diff.Account.Remainder += d.pos - start
	return nil
}

// nestedArchive reads an archive inside one, with what frames it.
func (d *decoder) nestedArchive(p *pool, depth int) error {
	account := &d.diff.Account
	start := d.pos
	k, err := d.def()
	if err != nil {
		return err
	}
	end := d.pos + k.Length
	if k.Length > d.size-d.pos {
		return d.errorf(errnum.Short, "%d bytes missing: %w", end-d.size, io.ErrUnexpectedEOF)
	}
	var head [4]byte
	if err := d.bytes(head[:]); err != nil {
		return err
	}
	version, err := d.u64()
	if err != nil {
		return err
	}
	if string(head[:]) != magic || version != uint64(d.diff.Version) {
		return d.errorf(errnum.Version, "nested archive is no version %d file", d.diff.Version)
	}
	account.Archives += d.pos - start
	if _, _, err := d.archive(p, depth); err != nil {
		return fmt.Errorf("nested archive: %w", err)
	}
	if d.pos > end {
		return d.errorf(errnum.Short, "nested archive runs %d bytes beyond its end", d.pos-end)
	}
	start = d.pos
	if _, err := d.skip(end - d.pos); err != nil {
		return err
	}
	account.Archives += d.pos - start
	return nil
}

// def reads the definition of an item.
func (d *decoder) def() (k Key, err error) {
	if k.Length, err = d.length(); err == nil && k.Length > 0 {
		k.SHA256, err = d.hash()
	}
	return k, err
}

// section reads one of the two data sections and verifies its digest.
func (d *decoder) section(name string) (Key, *io.SectionReader, error) {
	k, err := d.def()
	if err != nil {
		return k, nil, err
	}
	s, err := d.skip(k.Length)
	if err != nil || k.Length == 0 {
		return k, s, err
	}
	sum, _, err := digest.SumReader(io.NewSectionReader(s, 0, k.Length))
	if err == nil {
		err = errnum.Coded(errnum.Other, digest.Check(sum, k.SHA256))
	}
	if err != nil {
		return k, nil, fmt.Errorf("%s: %w", name, err)
	}
	return k, s, nil
}

// set reads the recipes for one result.
func (d *decoder) set(p *pool) error {
	const minRecipe = 4 + 8 + 8
	n, err := d.count(errnum.Short, "recipes", minRecipe)
	if err != nil {
		return err
	}
	k, err := d.def()
	if err != nil {
		return err
	}
	for range n {
		if err := d.enter(0); err != nil {
			return err
		}
		r, err := d.poolRecipe(p, k)
		if err != nil {
			return err
		}
		if k.Length > 0 {
			p.recipes = append(p.recipes, r)
		}
	}
	return nil
}

func (d *decoder) poolRecipe(p *pool, result Key) (*poolRecipe, error) {
	op, err := d.u32()
	if err != nil {
		return nil, err
	}
	r := &poolRecipe{op: op}
	numbers, err := d.count(errnum.Short, "numbers", 8)
	if err != nil {
		return nil, err
	}
	for range numbers {
		v, err := d.u64()
		if err != nil {
			return nil, err
		}
		if r.numbers = append(r.numbers, v); len(r.numbers) > MaxParams {
			return nil, d.errorf(errnum.ParamCount, "recipe with %d numbers", numbers)
		}
	}
	items, err := d.count(errnum.Short, "ingredients", 8)
	if err != nil {
		return nil, err
	}
	for range items {
		k, err := d.def()
		if err != nil {
			return nil, err
		}
		if k == result && k.Length > 0 {
			return nil, d.errorf(errnum.SelfReferential, "a recipe has its own result as an ingredient")
		}
		if k.Length == 0 {
			return nil, d.errorf(errnum.Other, "an ingredient is empty")
		}
		if err := d.enter(0); err != nil {
			return nil, err
		}
		r.items = append(r.items, p.node(k))
	}
	if result.Length == 0 {
		return r, nil
	}
	r.result = p.node(result)
	r.missing = len(r.items)
	if err := r.check(); err != nil {
		return nil, fmt.Errorf("recipe that ends at offset %d: %w", d.pos, err)
	}
	for _, n := range r.items {
		n.users = append(n.users, r)
	}
	return r, nil
}

// check holds the recipe's parameters against its kind.
func (r *poolRecipe) check() error {
	shape := func(name string, numbers bool, items bool) error {
		if numbers && items {
			return nil
		}
		return errnum.Errorf(errnum.ParamCount, "%s with %d numbers and %d ingredients", name, len(r.numbers), len(r.items))
	}
	name := ""
	if int(r.op) < len(poolNames) {
		name = poolNames[r.op]
	}
	switch r.op {
	case poolAllZeros:
		return shape(name, true, len(r.items) == 0)
	case poolChain:
		var total int64
		for _, n := range r.items {
			if n.item.Length > r.result.item.Length-total {
				return errnum.Errorf(errnum.Lengths, "chain for %d bytes has more", r.result.item.Length)
			}
			total += n.item.Length
		}
		if total != r.result.item.Length {
			return errnum.Errorf(errnum.Lengths, "chain for %d bytes has %d", r.result.item.Length, total)
		}
		return shape(name, len(r.numbers) == 0, len(r.items) > 0)
	case poolSlice:
		if err := shape(name, len(r.numbers) == 1, len(r.items) == 1); err != nil {
			return err
		}
		if n := r.items[0].item.Length; r.numbers[0] > uint64(n) || r.result.item.Length > n-int64(r.numbers[0]) {
			return errnum.Errorf(errnum.SliceOutOfBounds, "slice of %d bytes at %d in %d bytes", r.result.item.Length, r.numbers[0], n)
		}
		return nil
	case poolBSPatch:
		return shape(name, len(r.numbers) == 0, len(r.items) == 2)
	case poolZlibCompression:
		if err := shape(name, len(r.numbers) == 2, len(r.items) == 1); err != nil {
			return err
		}
		if r.numbers[0] > ContainerZlib {
			return errnum.Errorf(errnum.Container, "%s with container %d", name, r.numbers[0])
		}
		if r.numbers[1] > 9 && r.numbers[1] != levelDefault {
			return errnum.Errorf(errnum.ZlibLevel, "%s with level %d", name, r.numbers[1])
		}
		return nil
	case poolZlibDecompression:
		if err := shape(name, len(r.numbers) == 1, len(r.items) == 1); err != nil {
			return err
		}
		if r.numbers[0] > ContainerZlib {
			return errnum.Errorf(errnum.Container, "%s with container %d", name, r.numbers[0])
		}
		return nil
	case poolZstdCompression:
		return errnum.Errorf(errnum.NoZstdCompression, "zstd_compression does not exist in versions 1 and 2")
	case poolZstdDecompression:
		return shape(name, len(r.numbers) == 0, len(r.items) == 1 || len(r.items) == 2)
	}
	return errnum.Errorf(errnum.Other, "recipe number %d is not known", r.op)
}

// resolve finds out what can be made, starting from what is there. A thing gets
// the first recipe whose ingredients are all known to be makeable; so no thing
// ever needs itself, whatever circles there are in the pool.
func (p *pool) resolve() {
	for _, r := range p.recipes {
		if r.missing == 0 {
			p.use(r)
		}
	}
	for len(p.ready) > 0 {
		n := p.ready[0]
		p.ready = p.ready[1:]
		for _, r := range n.users {
			if r.missing--; r.missing == 0 {
				p.use(r)
			}
		}
	}
}

// use makes r, whose ingredients can all be made, the recipe of its result.
func (p *pool) use(r *poolRecipe) {
	n := r.result
	if n.made {
		return
	}
	n.made = true
	for _, i := range r.items {
		n.depth = max(n.depth, i.depth+1)
	}
	n.item.Recipe = r.recipe()
	p.ready = append(p.ready, n)
}

// recipe translates r into a recipe on items.
func (r *poolRecipe) recipe() *Recipe {
	length := r.result.item.Length
	switch r.op {
	case poolAllZeros:
		return AllZero(length)
	case poolSlice:
		return slice(r.items[0], int64(r.numbers[0]), length)
	case poolZlibCompression:
		level := int64(r.numbers[1])
		if level == levelDefault {
			level = -1
		}
		return ZlibCompression(r.items[0].item, int64(r.numbers[0]), level)
	case poolZlibDecompression:
		if s := r.items[0].deflated; s != nil && r.numbers[0] == ContainerRaw {
			return &Recipe{Op: OpRemainder, Rest: &Deflated{length, r.result.item.SHA256, s}}
		}
		return ZlibDecompression(r.items[0].item, int64(r.numbers[0]))
	}
	list := make([]*Item, len(r.items))
	for i, n := range r.items {
		list[i] = n.item
	}
	switch {
	case r.op == poolChain:
		return items(OpConcatenation, list...)
	case r.op == poolBSPatch:
		return items(OpBSDiff, list...)
	case len(list) == 2:
		return items(OpZstdDelta, list...)
	}
	return items(OpZstdDecompression, list...)
}

// slice takes a part of what the file or the source holds where it lies, and of
// anything else as a region.
func slice(n *node, offset, length int64) *Recipe {
	switch r := n.item.Recipe; {
	case r.Op == OpCopySource:
		return CopySource(int64(r.Params[0].Number) + offset)
	case r.Op == OpInlineAsset:
		return &Recipe{Op: OpInlineAsset, section: io.NewSectionReader(r.section, offset, length)}
	case r.Op == OpRemainder:
		return &Recipe{Op: OpRemainder, Rest: r.Rest, Offset: r.Offset + offset}
	}
	return Region(n.item, offset, length)
}

// result is a recipe to be written.
type result struct {
	Key
	op      uint32
	numbers []uint64
	items   []Key
}

// flattener turns a tree into a pool.
type flattener struct {
	results map[Key]*result
	needed  map[Key]bool
	have    map[Key]bool // what is there without a recipe
	source  Key
	assets  []*Item
	rest    []*Item
	offsets [2]map[Key]int64 // of each asset, of each piece of the remainder
	sizes   [2]int64
}

// pool writes d as version 1 or 2.
func (e *encoder) pool(d *Diff) {
	f := &flattener{
		results: map[Key]*result{}, needed: map[Key]bool{}, have: map[Key]bool{},
		source:  Key{d.SourceLength, d.SourceSHA256},
		offsets: [2]map[Key]int64{{}, {}},
	}
	target := Key{d.TargetLength, d.TargetSHA256}
	f.have[f.source] = true
	chunks := make([]*Item, 0, len(d.Chunks))
	for _, c := range d.Chunks {
		if c.Length > 0 {
			chunks = append(chunks, c)
		}
	}
	if len(chunks) > 0 {
		f.add(target, items(OpConcatenation, chunks...), 0, e)
	}
	inline, rest := f.inline(e), f.remainder(e)
	if e.err != nil {
		return
	}
	f.have[inline] = true
	deflated := Key{Length: rest.Stream.Size()}
	if deflated.Length > 0 {
		var err error
		deflated.SHA256, _, err = digest.SumReader(io.NewSectionReader(rest.Stream, 0, deflated.Length))
		if err != nil {
			e.fail("remainder: %w", err)
			return
		}
	}
	f.sections(inline, rest, deflated)
	for k := range f.needed {
		if f.results[k] == nil && !f.have[k] {
			e.fail("no recipe for an item of %d bytes with sha256 %s", k.Length, k.SHA256)
			return
		}
	}
	e.bytes([]byte(magic))
	e.u64(uint64(d.Version))
	e.def(target)
	e.def(f.source)
	e.u32(uint32(len(poolNames)))
	for _, name := range poolNames {
		e.u64(uint64(len(name)))
		e.bytes([]byte(name))
	}
	list := make([]*result, 0, len(f.results))
	for _, r := range f.results {
		list = append(list, r)
	}
	slices.SortFunc(list, func(a, b *result) int { return a.Compare(b.Key) })
	e.u64(uint64(len(list)))
	for _, r := range list {
		e.u64(1)
		e.def(r.Key)
		e.u32(r.op)
		e.u64(uint64(len(r.numbers)))
		for _, v := range r.numbers {
			e.u64(v)
		}
		e.u64(uint64(len(r.items)))
		for _, k := range r.items {
			e.def(k)
		}
	}
	e.def(inline)
	for _, a := range f.assets {
		e.asset(a)
	}
	e.def(deflated)
	if e.err == nil {
		_, e.err = io.Copy(e.w, io.NewSectionReader(rest.Stream, 0, deflated.Length))
	}
	e.u32(0)
}

func (e *encoder) def(k Key) {
	e.length(k.Length)
	if k.Length > 0 {
		e.hash(k.SHA256)
	}
}

// known reports whether k needs no recipe any more.
func (f *flattener) known(k Key) bool {
	_, inline := f.offsets[0][k]
	_, rest := f.offsets[1][k]
	return inline || rest || f.have[k] || f.results[k] != nil
}

// add gives k the recipe r, unless k is there or has one.
func (f *flattener) add(k Key, r *Recipe, depth int, e *encoder) {
	if e.err != nil || k.Length == 0 || f.known(k) {
		return
	}
	if depth > MaxDepth {
		e.fail("recipes nested more than %d deep", MaxDepth)
		return
	}
	res := &result{Key: k}
	var list []*Item
	var numbers []uint64
	for _, p := range r.Params {
		switch {
		case p.Item == nil:
			numbers = append(numbers, p.Number)
		case p.Item.Length > 0 && !p.Item.Stated():
			e.fail("an item of %d bytes without digest: versions 1 and 2 find content by it", p.Item.Length)
		case p.Item.Length > 0:
			list = append(list, p.Item)
			res.items = append(res.items, p.Item.Key())
		}
	}
	switch r.Op {
	case OpInlineAsset, OpRemainder:
		f.store(k, r)
		return
	case OpCopySource:
		if f.source.Length == 0 {
			e.fail("copy_source without a source")
			return
		}
		res.op, res.numbers, res.items = poolSlice, numbers, []Key{f.source}
	case OpAllZero:
		res.op, res.numbers = poolAllZeros, numbers // the length, which the library writes but does not look at
	case OpConcatenation:
		res.op = poolChain
	case OpRegion:
		res.op, res.numbers = poolSlice, numbers[:min(1, len(numbers))]
	case OpBSDiff:
		res.op = poolBSPatch
	case OpZstdDecompression, OpZstdDelta:
		res.op = poolZstdDecompression
	case OpGzDecompression:
		res.op, res.numbers = poolZlibDecompression, []uint64{ContainerGzip}
	case OpZlibDecompression:
		res.op, res.numbers = poolZlibDecompression, numbers
	case OpZlibCompression:
		res.op, res.numbers = poolZlibCompression, numbers
		if len(numbers) == 2 && int64(numbers[1]) == -1 {
			res.numbers = []uint64{numbers[0], levelDefault}
		}
	case OpCopy:
		res.items = []Key{k} // made where it first occurs
	default:
		e.fail("%v does not exist in versions 1 and 2", r.Op)
		return
	}
	f.needed[k] = true
	// A recipe that names its own result is refused by devices. It says nothing
	// either: a region that is the whole item, a concatenation of one.
	if !slices.Contains(res.items, k) {
		f.results[k] = res
	}
	for _, it := range list {
		f.needed[it.Key()] = true
		if it.Recipe != nil {
			f.add(it.Key(), it.Recipe, depth+1, e)
		}
	}
}

// store notes an inline asset or a piece of the remainder.
func (f *flattener) store(k Key, r *Recipe) {
	section, list := 0, &f.assets
	if r.Op == OpRemainder {
		section, list = 1, &f.rest
	}
	f.needed[k] = true
	f.offsets[section][k] = f.sizes[section]
	f.sizes[section] += k.Length
	*list = append(*list, &Item{Length: k.Length, SHA256: k.SHA256, Recipe: r})
}

// inline returns length and digest of the inline section.
func (f *flattener) inline(e *encoder) Key {
	w := digest.NewWriter(io.Discard)
	for _, a := range f.assets {
		if r := a.Recipe.Open(); r.Size() != a.Length {
			e.fail("inline asset: got %d bytes, want %d", r.Size(), a.Length)
		} else if _, err := io.Copy(w, r); err != nil {
			e.fail("inline asset: %w", err)
		}
	}
	if w.Len() == 0 {
		return Key{}
	}
	return Key{w.Len(), w.Sum()}
}

// remainder returns the remainder section: the one that its pieces were decoded
// from, if that is the same for all, or a new one.
func (f *flattener) remainder(e *encoder) *Deflated {
	if len(f.rest) > 0 && f.rest[0].Recipe.Rest != nil {
		rest := f.rest[0].Recipe.Rest
		other := func(it *Item) bool { return it.Recipe.Rest != rest }
		if rest.SHA256 != (digest.SHA256{}) && !slices.ContainsFunc(f.rest, other) {
			for _, it := range f.rest {
				f.offsets[1][it.Key()] = it.Recipe.Offset
			}
			return rest
		}
	}
	rest, err := deflate(f.rest)
	if err != nil {
		e.fail("remainder: %w", err)
	}
	return rest
}

// sections adds the recipes that take assets and remainder out of the sections.
func (f *flattener) sections(inline Key, rest *Deflated, deflated Key) {
	part := func(section int, whole Key) {
		for k, offset := range f.offsets[section] {
			if k != whole {
				f.results[k] = &result{Key: k, op: poolSlice, numbers: []uint64{uint64(offset)}, items: []Key{whole}}
			}
		}
	}
	part(0, inline)
	if len(f.rest) == 0 {
		return
	}
	whole := Key{rest.Size, rest.SHA256}
	part(1, whole)
	if !f.have[whole] {
		f.results[whole] = &result{Key: whole, op: poolZlibDecompression, numbers: []uint64{ContainerRaw}, items: []Key{deflated}}
	}
	f.have[deflated] = true
}
