// SPDX-License-Identifier: MIT

package pamz

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"swudelta/internal/bsdiff"
	"swudelta/internal/codec"
	"swudelta/internal/digest"
	"swudelta/internal/fault"
)

// Profile is a generation of the device library, whose rules a delta must keep.
type Profile string

// The generations.
const (
	Profile10 Profile = "1.0" // libadudiffapi 1.0.x
	Profile30 Profile = "3.0" // libadudiffapi 3.0.x
)

// ParseProfile returns the profile of that name.
func ParseProfile(name string) (Profile, error) {
	p := Profile(name)
	if p != Profile10 && p != Profile30 {
		return "", fmt.Errorf("profile %q: want %s or %s", name, Profile10, Profile30)
	}
	return p, nil
}

// Violation is a rule of a profile that a delta breaks.
type Violation struct {
	Path string // where in the tree: "chunk 3: zstd_compression: nested: chunk 17: bsdiff"
	Rule string // what is wrong
}

// String returns path and rule.
func (v Violation) String() string {
	if v.Path == "" {
		return v.Rule
	}
	return v.Path + ": " + v.Rule
}

// Check holds d against the rules of a profile (doc/format.md) and predicts what
// it costs on the device. It looks into nested deltas and patches, but applies
// nothing that needs the source: that digests are right is shown by Apply with
// Strict. The error is about reading the delta, not about its content.
func Check(d *Diff, profile Profile) (*Report, []Violation, error) {
	c := &checker{profile: profile, view: newViewer(), opened: map[*Item]*Diff{}, sections: map[int64]string{}}
	c.diff(d)
	if c.err != nil {
		return nil, nil, fmt.Errorf("check delta: %w", c.err)
	}
	return c.cost(d), c.violations, nil
}

const (
	// stockMax is the largest number that region, all_zero and
	// zstd_compression of the 1.0 library take.
	stockMax = math.MaxInt32
	// onePiece is how much the 1.0 library hands to libzstd at a time.
	onePiece = 32 << 10
)

type checker struct {
	profile    Profile
	view       *viewer
	violations []Violation
	path       []string
	opened     map[*Item]*Diff  // by the item whose recipe is OpNested
	sections   map[int64]string // first section of each length, version 0 under Profile30
	depth      int              // of deltas around this one
	seen       map[*Item]bool   // version 2 shares items
	err        error
}

func (c *checker) violate(format string, args ...any) {
	c.violations = append(c.violations, Violation{strings.Join(c.path, ": "), fmt.Sprintf(format, args...)})
}

// enter makes name part of the path until the function that it returns is called.
func (c *checker) enter(name string) func() {
	c.path = append(c.path, name)
	return func() { c.path = c.path[:len(c.path)-1] }
}

// fail reports whether err is non-nil. A fault of the data becomes a violation, and any
// other error the checker's own.
func (c *checker) fail(err error) bool {
	var e *Error
	switch {
	case err == nil:
		return false
	case errors.As(err, &e):
		c.violate("%v", err)
	case fault.IsData(err):
		c.violate("%v", err)
	case c.err == nil:
		c.err = err
	}
	return true
}

// place is where an item stands in the tree.
type place struct {
	scope       *checkScope
	chunk       bool // it is a chunk
	written     bool // it streams into a target; else it is read by its user
	compressing bool // a zstd_compression lies above it
}

// checkScope is a delta of the tree.
type checkScope struct {
	level
	forward  bool         // its source can only be read front to back
	readBack bool         // the library finds this delta's target where copy looks for it
	chunks   map[key]bool // what version 0 under Profile30 can copy: chunks that have another recipe
}

// diff checks the top delta.
func (c *checker) diff(d *Diff) {
	switch {
	case c.profile == Profile10 && d.Version != 0:
		c.violate("version %d, want 0", d.Version)
	case c.profile == Profile10 && d.Order != LittleEndian:
		c.violate("%v, want little endian", d.Order)
	case c.profile == Profile30 && d.Order != BigEndian:
		c.violate("%v, want big endian", d.Order)
	}
	if c.profile == Profile10 && d.SourceLength == 0 {
		c.violate("no source: the library needs one")
	}
	if d.Version == 2 {
		c.seen = map[*Item]bool{}
	}
	c.scope(&checkScope{level: level{diff: d}, readBack: true}, place{})
}

// scope checks one delta of the tree that is written at p.
func (c *checker) scope(s *checkScope, p place) {
	d := s.diff
	var total int64
	filled := 0
	if c.profile == Profile30 && d.Version == 0 {
		s.chunks = map[key]bool{}
		for _, chunk := range d.Chunks {
			if chunk.Recipe != nil && !chunk.Recipe.fromTarget() {
				s.chunks[chunk.key()] = true
			}
		}
	}
	for i, chunk := range d.Chunks {
		leave := c.enter(fmt.Sprintf("chunk %d", i))
		if chunk.Length > 0 {
			filled++
		}
		total += chunk.Length
		c.item(chunk, place{scope: s, chunk: true, written: true, compressing: p.compressing})
		leave()
	}
	if total != d.TargetLength {
		c.violate("the chunks have %d bytes, the target has %d", total, d.TargetLength)
	}
	if c.profile == Profile30 && d.Version == 0 {
		if filled < 2 {
			c.violate("only %d chunk: the library refuses a target that is its own only part", filled)
		}
		c.section("inline section", d.inlineLength())
		if d.rest != nil {
			c.section("remainder", d.rest.size)
		}
	}
	if c.profile == Profile10 && s.forward {
		c.ranges(d)
	}
}

// inlineLength is the size of a version 0 delta's inline section.
func (d *Diff) inlineLength() (n int64) {
	d.walk(func(_ int, it *Item) error {
		if it.inline() {
			n += it.Length
		}
		return nil
	})
	return n
}

// section notes the length of a section: the 3.0 library takes sections of equal
// length for the same.
func (c *checker) section(name string, length int64) {
	if length == 0 {
		return
	}
	name = strings.Join(append(slices.Clone(c.path), name), ": ")
	if other, ok := c.sections[length]; ok {
		c.violate("%s is as long as %s: the library confuses them", name, other)
		return
	}
	c.sections[length] = name
}

// ranges checks what a delta takes from a source that is read front to back.
func (c *checker) ranges(d *Diff) {
	var list []extent
	d.walk(func(_ int, it *Item) error {
		if r := it.Recipe; r.Op == OpCopySource && len(r.Params) == 1 {
			list = append(list, extent{int64(r.Params[0].Number), it.Length})
		}
		return nil
	})
	slices.SortFunc(list, extent.compare)
	list = slices.Compact(list)
	for i := 1; i < len(list); i++ {
		if a, b := list[i-1], list[i]; b.start < a.start+a.size {
			c.violate("copy_source of %d bytes at %d and of %d bytes at %d overlap, in a source that can only be read front to back", a.size, a.start, b.size, b.start)
			return
		}
	}
}

// item checks an item and its ingredients.
func (c *checker) item(it *Item, p place) {
	if it.Length == 0 {
		c.violate("an item is empty")
		return
	}
	r := it.Recipe
	if r == nil {
		c.violate("no recipe")
		return
	}
	if c.seen[it] {
		return
	}
	if c.seen != nil {
		c.seen[it] = true
	}
	defer c.enter(r.Op.String())()
	if c.fail(p.scope.diff.checkRecipe(it, p.scope.sourceLength())) {
		return
	}
	if c.profile == Profile10 {
		c.rules10(it, p)
	} else {
		c.rules30(it, p)
	}
	if !it.stated() {
		c.unstated(it, p)
	}
	if r.Op == OpBSDiff {
		c.patch(it, p)
	}
	if r.fromTarget() {
		return
	}
	inner := place{scope: p.scope, compressing: p.compressing}
	switch r.Op {
	case OpConcatenation, OpCopy:
		inner.written = p.written
	case OpZstdCompression:
		inner.written, inner.compressing = true, true
	}
	for _, param := range r.Params {
		if param.Item != nil {
			c.item(param.Item, inner)
		}
	}
	if r.Op == OpNested {
		c.nested(it, p)
	}
}

// unstated checks whether an item can do without a digest.
func (c *checker) unstated(it *Item, p place) {
	switch {
	case c.profile == Profile30:
		c.violate("no digest: the library finds content by it")
	case p.written:
		c.violate("no digest: the library verifies what it writes")
	case it.Recipe.Op == OpCopySource && p.scope.forward:
		c.violate("no digest: the library finds what it keeps of a source that is read front to back by it")
	case it.Recipe.Op == OpZstdDelta:
		c.violate("no digest: it does not show whether the frame needs its prefix")
	}
}

// patch checks the head of a BSDIFF40 patch.
func (c *checker) patch(it *Item, p place) {
	delta := it.Recipe.Params[0].Item
	content, err := c.view.part(&p.scope.level, delta)
	if c.fail(err) {
		return
	}
	h, err := bsdiff.Parse(content, content.Size())
	if c.fail(err) {
		return
	}
	if h.NewSize != it.Length {
		c.violate("the patch makes %d bytes, want %d", h.NewSize, it.Length)
	}
	if extra := content.Size() - 32 - h.Control - h.Diff; h.Control == 0 || h.Diff == 0 || extra == 0 {
		c.violate("the patch has an empty block")
	}
}

// nested checks the delta inside it.
func (c *checker) nested(it *Item, p place) {
	if c.depth == maxNested {
		c.violate("deltas nested more than %d deep", maxNested)
		return
	}
	d, err := c.view.nested(p.scope.diff, it)
	if c.fail(err) {
		return
	}
	c.opened[it] = d
	source := it.Recipe.Params[1].Item
	unknown := c.profile == Profile10 && (!source.stated() || d.SourceSHA256 == digest.SHA256{})
	if d.SourceLength != source.Length || d.SourceSHA256 != source.SHA256 && !unknown {
		c.violate("the nested delta is for another source")
	}
	// A nested target can be read back if its bytes go straight into the outer
	// target, or into the temporary file of an item that is read.
	direct := p.chunk && p.scope.readBack && !p.compressing
	c.depth++
	c.scope(&checkScope{
		level:    level{diff: d, source: source, around: &p.scope.level},
		forward:  !p.scope.random(source),
		readBack: direct || !p.written,
	}, place{compressing: p.written && p.compressing})
	c.depth--
}

// random reports whether the 1.0 library can read the item at random.
func (s *checkScope) random(it *Item) bool {
	switch r := it.Recipe; r.Op {
	case OpZstdDecompression, OpGzDecompression, OpZstdDelta, OpZlibDecompression:
		return false
	case OpConcatenation:
		return !slices.ContainsFunc(r.Params, func(p Param) bool { return p.Item.Length > 0 && !s.random(p.Item) })
	case OpCopy:
		return r.fromTarget() || s.random(r.Params[0].Item)
	}
	return true
}

// fromFile reports whether reading the item reads the delta file.
func (s *checkScope) fromFile(it *Item) bool {
	switch r := it.Recipe; r.Op {
	case OpInlineAsset:
		return true
	case OpZstdDecompression, OpGzDecompression, OpZstdDelta, OpConcatenation, OpCopy:
		return !r.fromTarget() && slices.ContainsFunc(r.Params, func(p Param) bool { return p.Item.Length > 0 && s.fromFile(p.Item) })
	}
	return false
}

// large notes numbers that the library refuses.
func (c *checker) large(r *Recipe) {
	for _, p := range r.Params {
		if p.Item == nil && p.Number > stockMax {
			c.violate("number %d is above %d", p.Number, stockMax)
		}
	}
}

// rules10 are the rules of the 1.0 library beyond those of the format.
func (c *checker) rules10(it *Item, p place) {
	r := it.Recipe
	switch r.Op {
	case OpZlibCompression, OpZlibDecompression:
		c.violate("the library does not know it")
	case OpRegion, OpAllZero:
		c.large(r)
	case OpBSDiff, OpNested:
		if !p.scope.random(r.Params[0].Item) {
			c.violate("its delta can only be read front to back")
		}
		if r.Op == OpNested && !p.scope.random(r.Params[1].Item) && p.scope.fromFile(r.Params[1].Item) {
			c.violate("its source is read front to back and from an inline asset: the library does so on another thread, and both threads move the one position in the delta file")
		}
	case OpZstdCompression:
		c.large(r)
		if item := r.Params[0].Item; item.Length <= onePiece && c.pieces(p.scope.diff, item) {
			c.violate("an item of at most %d bytes is written in several pieces", onePiece)
		}
	case OpZstdDelta:
		if it.stated() {
			c.prefixless(it, p)
		}
	case OpCopy:
		if r.fromTarget() && (p.compressing || !p.scope.readBack) {
			c.violate("the library cannot read the target back here")
		}
	}
}

// pieces reports whether a small item may be written in more than one piece,
// which gives other zstd frames than one piece does.
func (c *checker) pieces(d *Diff, it *Item) bool {
	switch r := it.Recipe; {
	case r == nil:
		return false
	case r.Op == OpConcatenation:
		return len(r.Params) > 1 || len(r.Params) == 1 && c.pieces(d, r.Params[0].Item)
	case r.Op == OpCopy && !r.fromTarget():
		return c.pieces(d, r.Params[0].Item)
	case r.Op == OpNested:
		inner, err := c.view.nested(d, it)
		return err != nil || len(inner.Chunks) > 1
	}
	return false
}

// prefixless checks that a zstd_delta does without its prefix, which the library
// frees too early.
func (c *checker) prefixless(it *Item, p place) {
	frame, err := c.view.content(p.scope.diff, it.Recipe.Params[0].Item)
	if c.fail(err) {
		return
	}
	zr, err := codec.NewZstdReader(frame, 0)
	if c.fail(err) {
		return
	}
	defer zr.Close()
	_, err = io.Copy(io.Discard, digest.Verify(zr, it.Length, it.SHA256))
	if fault.IsData(err) {
		c.violate("the frame needs its prefix, which the library frees too early: %v", err)
		return
	}
	c.fail(err)
}

// rules30 are the rules of the 3.0 library beyond those of the format.
func (c *checker) rules30(it *Item, p place) {
	r := it.Recipe
	for _, param := range r.Params {
		if param.Item != nil && param.Item.key() == it.key() && r.Op != OpCopy {
			c.violate("it has its own result as an ingredient")
		}
	}
	if r.Op == OpZstdCompression {
		c.violate("the library refuses it")
	}
	if p.scope.diff.Version != 0 {
		return
	}
	switch r.Op {
	case OpCopySource:
		if it.Length == p.scope.sourceLength() {
			c.violate("it is the whole source: the library refuses a part that is the whole")
		}
	case OpCopy:
		if r.fromTarget() && !p.scope.chunks[it.key()] {
			c.violate("what it copies is no whole chunk")
		}
	case OpRegion, OpAllZero:
		c.large(r)
	case OpBSDiff, OpNested:
		if !r.Params[0].Item.inline() {
			c.violate("its delta is no inline asset")
		}
	}
	if (r.Op == OpNested || r.Op == OpRemainder) && !p.chunk {
		c.violate("it is not the recipe of a chunk")
	}
}
