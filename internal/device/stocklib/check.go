// SPDX-License-Identifier: MIT

package stocklib

import (
	"errors"
	"fmt"
	"strings"

	"swudelta/internal/apply"
	"swudelta/internal/bsdiff"
	"swudelta/internal/digest"
	"swudelta/internal/errnum"
	"swudelta/internal/fault"
	"swudelta/internal/pamz"
)

// Violation is a rule of a device that a delta breaks.
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

// Rules are the rules of one generation of the library, beyond those of the format. A
// rule that is broken is reported with Checker.Violate.
type Rules interface {
	// Begin and End are called for each delta of the tree, before and after its items.
	Begin(c *Checker, s *Scope)
	End(c *Checker, s *Scope)
	// Item is called for each item whose recipe is well-formed, before its ingredients.
	Item(c *Checker, it *pamz.Item, p Place)
}

// Checker goes through a delta and those nested in it, and collects violations.
type Checker struct {
	View       *apply.Viewer             // looks into what the delta holds
	Opened     map[*pamz.Item]*pamz.Diff // deltas that were looked into, by the item whose recipe is OpNested
	Violations []Violation

	rules Rules
	path  []string
	depth int                 // of deltas around this one
	seen  map[*pamz.Item]bool // version 2 shares items
	err   error
}

// Place is where an item stands in the tree.
type Place struct {
	Scope       *Scope
	Chunk       bool // it is a chunk
	Written     bool // it streams into a target; else it is read by its user
	Compressing bool // a zstd_compression lies above it
}

// Scope is a delta of the tree.
type Scope struct {
	apply.Level
	At Place // of the item that the delta makes; its Scope is nil for the delta itself
}

// Check holds d against the rules of the format (doc/format.md) and those of a
// generation. It looks into nested deltas and patches, but applies nothing that needs the
// source: that digests are right is shown by apply.Apply with Strict. The error is about
// reading the delta, not about its content.
func Check(d *pamz.Diff, rules Rules) (*Checker, error) {
	c := &Checker{View: apply.NewViewer(), Opened: map[*pamz.Item]*pamz.Diff{}, rules: rules}
	if d.Pooled() {
		c.seen = map[*pamz.Item]bool{}
	}
	c.scope(&Scope{Level: apply.Level{Diff: d}})
	if c.err != nil {
		return nil, fmt.Errorf("check delta: %w", c.err)
	}
	return c, nil
}

// Violate reports a broken rule of the place where the checker is.
func (c *Checker) Violate(format string, args ...any) {
	c.Violations = append(c.Violations, Violation{c.Path(), fmt.Sprintf(format, args...)})
}

// Path is the place where the checker is.
func (c *Checker) Path() string { return strings.Join(c.path, ": ") }

// enter makes name part of the path until the function that it returns is called.
func (c *Checker) enter(name string) func() {
	c.path = append(c.path, name)
	return func() { c.path = c.path[:len(c.path)-1] }
}

// Fail reports whether err is non-nil. A fault of the data becomes a violation, and any
// other error that of Check.
func (c *Checker) Fail(err error) bool {
	var e *errnum.Error
	switch {
	case err == nil:
		return false
	case errors.As(err, &e), fault.IsData(err):
		c.Violate("%v", err)
	case c.err == nil:
		c.err = err
	}
	return true
}

// scope checks one delta of the tree.
func (c *Checker) scope(s *Scope) {
	c.rules.Begin(c, s)
	var total int64
	for i, chunk := range s.Diff.Chunks {
		leave := c.enter(fmt.Sprintf("chunk %d", i))
		total += chunk.Length
		c.item(chunk, Place{Scope: s, Chunk: true, Written: true, Compressing: s.At.Written && s.At.Compressing})
		leave()
	}
	if total != s.Diff.TargetLength {
		c.Violate("the chunks have %d bytes, the target has %d", total, s.Diff.TargetLength)
	}
	c.rules.End(c, s)
}

// item checks an item and its ingredients.
func (c *Checker) item(it *pamz.Item, p Place) {
	if it.Length == 0 {
		c.Violate("an item is empty")
		return
	}
	r := it.Recipe
	if r == nil {
		c.Violate("no recipe")
		return
	}
	if c.seen[it] {
		return
	}
	if c.seen != nil {
		c.seen[it] = true
	}
	defer c.enter(r.Op.String())()
	if c.Fail(p.Scope.Diff.CheckItem(it, p.Scope.SourceLength())) {
		return
	}
	c.rules.Item(c, it, p)
	if r.Op == pamz.OpBSDiff {
		c.patch(it, p)
	}
	if r.FromTarget() {
		return
	}
	inner := Place{Scope: p.Scope, Compressing: p.Compressing}
	switch r.Op {
	case pamz.OpConcatenation, pamz.OpCopy:
		inner.Written = p.Written
	case pamz.OpZstdCompression:
		inner.Written, inner.Compressing = true, true
	}
	for part := range r.Items() {
		c.item(part, inner)
	}
	if r.Op == pamz.OpNested {
		c.nested(it, p)
	}
}

// patch checks the head of a BSDIFF40 patch.
func (c *Checker) patch(it *pamz.Item, p Place) {
	content, err := c.View.Part(&p.Scope.Level, it.Recipe.Params[0].Item)
	if c.Fail(err) {
		return
	}
	h, err := bsdiff.Parse(content, content.Size())
	if c.Fail(err) {
		return
	}
	if h.NewSize != it.Length {
		c.Violate("the patch makes %d bytes, want %d", h.NewSize, it.Length)
	}
	if extra := content.Size() - 32 - h.Control - h.Diff; h.Control == 0 || h.Diff == 0 || extra == 0 {
		c.Violate("the patch has an empty block")
	}
}

// nested checks the delta inside an item.
func (c *Checker) nested(it *pamz.Item, p Place) {
	if c.depth == pamz.MaxNested {
		c.Violate("deltas nested more than %d deep", pamz.MaxNested)
		return
	}
	d, err := c.View.Nested(p.Scope.Diff, it)
	if c.Fail(err) {
		return
	}
	c.Opened[it] = d
	source := it.Recipe.Params[1].Item
	unknown := !source.Stated() || d.SourceSHA256 == digest.SHA256{}
	if d.SourceLength != source.Length || d.SourceSHA256 != source.SHA256 && !unknown {
		c.Violate("the nested delta is for another source")
	}
	c.depth++
	c.scope(&Scope{Level: apply.Level{Diff: d, Source: source, Around: &p.Scope.Level}, At: p})
	c.depth--
}

// MaxNumber is the largest number that region and all_zero of either generation take, and
// zstd_compression of the 1.0 library: an int.
const MaxNumber = 1<<31 - 1

// Numbers reports numbers of a recipe that are larger than MaxNumber.
func (c *Checker) Numbers(r *pamz.Recipe) {
	for _, p := range r.Params {
		if p.Item == nil && p.Number > MaxNumber {
			c.Violate("number %d is above %d", p.Number, MaxNumber)
		}
	}
}
