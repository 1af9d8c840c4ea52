// SPDX-License-Identifier: MIT

package stock30

import (
	"swudelta/internal/device"
	"swudelta/internal/device/stocklib"
	"swudelta/internal/digest"
	"swudelta/internal/pamz"
)

// Check returns what holds a delta against the rules of the library that reads the form
// (doc/format.md), and predicts what applying it costs on a device. The error is about
// reading the delta.
func Check(form pamz.Form) func(*pamz.Diff) (device.Cost, []stocklib.Violation, error) {
	return func(d *pamz.Diff) (device.Cost, []stocklib.Violation, error) {
		c, err := stocklib.Check(d, &rules{form, map[*stocklib.Scope]map[pamz.Key]bool{}, map[int64]string{}})
		if err != nil {
			return device.Cost{}, nil, err
		}
		return cost(c, d), c.Violations, nil
	}
}

// rules implements stocklib.Rules, for both versions that a library reads.
type rules struct {
	form     pamz.Form
	chunks   map[*stocklib.Scope]map[pamz.Key]bool // what a version 0 delta can copy: chunks that have another recipe
	sections map[int64]string                      // the first section of each length, in version 0
}

// Begin checks the head of the delta.
func (r *rules) Begin(c *stocklib.Checker, s *stocklib.Scope) {
	d := s.Diff
	switch {
	case s.Source == nil && d.Order != r.form.Order:
		c.Violate("%v, want %v", d.Order, r.form.Order)
	case s.Source == nil && d.Pooled() && d.Version != r.form.Version:
		c.Violate("version %d, want %d or 0", d.Version, r.form.Version)
	case s.Source != nil && s.Source.Stated() && d.SourceSHA256 == digest.SHA256{}:
		c.Violate("the nested delta does not say what its source is")
	}
	if d.Pooled() {
		return
	}
	chunks := map[pamz.Key]bool{}
	for _, chunk := range d.Chunks {
		if chunk.Recipe != nil && !chunk.Recipe.FromTarget() {
			chunks[chunk.Key()] = true
		}
	}
	r.chunks[s] = chunks
}

// End checks the sections of the delta.
func (r *rules) End(c *stocklib.Checker, s *stocklib.Scope) {
	d := s.Diff
	if d.Pooled() {
		return
	}
	filled := 0
	for _, chunk := range d.Chunks {
		if chunk.Length > 0 {
			filled++
		}
	}
	if filled < 2 {
		c.Violate("only %d chunk: the library refuses a target that is its own only part", filled)
	}
	inline := int64(0)
	d.Walk(func(_ int, it *pamz.Item) error {
		if it.Inline() {
			inline += it.Length
		}
		return nil
	})
	r.section(c, "inline section", inline)
	if d.Rest != nil {
		r.section(c, "remainder", d.Rest.Size)
	}
}

// section notes the length of a section: the library takes sections of equal length for
// the same.
func (r *rules) section(c *stocklib.Checker, name string, length int64) {
	if length == 0 {
		return
	}
	if path := c.Path(); path != "" {
		name = path + ": " + name
	}
	if other, ok := r.sections[length]; ok {
		c.Violate("%s is as long as %s: the library confuses them", name, other)
		return
	}
	r.sections[length] = name
}

// Item checks an item.
func (r *rules) Item(c *stocklib.Checker, it *pamz.Item, p stocklib.Place) {
	op := it.Recipe.Op
	for _, param := range it.Recipe.Params {
		if param.Item != nil && param.Item.Key() == it.Key() && op != pamz.OpCopy {
			c.Violate("it has its own result as an ingredient")
		}
	}
	if op == pamz.OpZstdCompression {
		c.Violate("the library refuses it")
	}
	if !p.Scope.Diff.Pooled() {
		r.item0(c, it, p)
	}
	if !it.Stated() {
		c.Violate("no digest: the library finds content by it")
	}
}

// item0 are the rules of version 0 alone.
func (r *rules) item0(c *stocklib.Checker, it *pamz.Item, p stocklib.Place) {
	op := it.Recipe
	switch op.Op {
	case pamz.OpCopySource:
		if it.Length == p.Scope.SourceLength() {
			c.Violate("it is the whole source: the library refuses a part that is the whole")
		}
	case pamz.OpCopy:
		if op.FromTarget() && !r.chunks[p.Scope][it.Key()] {
			c.Violate("what it copies is no whole chunk")
		}
	case pamz.OpRegion, pamz.OpAllZero:
		c.Numbers(op)
	case pamz.OpBSDiff, pamz.OpNested:
		if !op.Params[0].Item.Inline() {
			c.Violate("its delta is no inline asset")
		}
	}
	if (op.Op == pamz.OpNested || op.Op == pamz.OpRemainder) && !p.Chunk {
		c.Violate("it is not the recipe of a chunk")
	}
}
