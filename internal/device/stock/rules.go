// SPDX-License-Identifier: MIT

package stock

import (
	"io"
	"slices"

	"swudelta/internal/codec"
	"swudelta/internal/device"
	"swudelta/internal/device/stocklib"
	"swudelta/internal/digest"
	"swudelta/internal/fault"
	"swudelta/internal/pamz"
	"swudelta/internal/span"
)

// Check holds d against the rules of the library (doc/format.md), and predicts what
// applying it costs on a device. The error is about reading the delta.
func Check(d *pamz.Diff) (device.Cost, []stocklib.Violation, error) {
	c, err := stocklib.Check(d, &rules{map[*stocklib.Scope]bool{}, map[*stocklib.Scope]bool{}})
	if err != nil {
		return device.Cost{}, nil, err
	}
	return cost(c, d), c.Violations, nil
}

// onePiece is how many bytes the library hands to libzstd at a time.
const onePiece = 32 << 10

// rules implements stocklib.Rules.
type rules struct {
	// forward holds deltas whose source can only be read front to back, and readBack those
	// whose target the library finds where a copy of it looks.
	forward, readBack map[*stocklib.Scope]bool
}

// Begin checks the head of the delta.
func (r *rules) Begin(c *stocklib.Checker, s *stocklib.Scope) {
	if outer := s.At.Scope; outer != nil {
		r.forward[s] = !random(s.Source)
		// A nested target can be read back if its bytes go straight into the outer
		// target, or into the temporary file of an item that is read.
		direct := s.At.Chunk && r.readBack[outer] && !s.At.Compressing
		r.readBack[s] = direct || !s.At.Written
		return
	}
	r.readBack[s] = true
	switch d := s.Diff; {
	case d.Pooled():
		c.Violate("version %d, want 0", d.Version)
	case d.Order != pamz.LittleEndian:
		c.Violate("%v, want little endian", d.Order)
	}
	if s.Diff.SourceLength == 0 {
		c.Violate("no source: the library needs one")
	}
}

// End checks what a delta takes from a source that is read front to back.
func (r *rules) End(c *stocklib.Checker, s *stocklib.Scope) {
	if !r.forward[s] {
		return
	}
	var list []span.Range
	s.Diff.Walk(func(_ int, it *pamz.Item) error {
		if r := it.Recipe; r.Op == pamz.OpCopySource && len(r.Params) == 1 {
			list = append(list, span.Range{Off: int64(r.Params[0].Number), Len: it.Length})
		}
		return nil
	})
	slices.SortFunc(list, span.Range.Compare)
	list = slices.Compact(list)
	for i := 1; i < len(list); i++ {
		if a, b := list[i-1], list[i]; b.Off < a.End() {
			c.Violate("copy_source of %d bytes at %d and of %d bytes at %d overlap, in a source that can only be read front to back", a.Len, a.Off, b.Len, b.Off)
			return
		}
	}
}

// Item checks an item.
func (r *rules) Item(c *stocklib.Checker, it *pamz.Item, p stocklib.Place) {
	switch op := it.Recipe; op.Op {
	case pamz.OpZlibCompression, pamz.OpZlibDecompression:
		c.Violate("the library does not know it")
	case pamz.OpRegion, pamz.OpAllZero:
		c.Numbers(op)
	case pamz.OpBSDiff, pamz.OpNested:
		if !random(op.Params[0].Item) {
			c.Violate("its delta can only be read front to back")
		}
		if op.Op == pamz.OpNested && !random(op.Params[1].Item) && fromFile(op.Params[1].Item) {
			c.Violate("its source is read front to back and from an inline asset: the library does so on another thread, and both threads move the one position in the delta file")
		}
	case pamz.OpZstdCompression:
		c.Numbers(op)
		if item := op.Params[0].Item; item.Length <= onePiece && inPieces(c, p.Scope.Diff, item) {
			c.Violate("an item of at most %d bytes is written in several pieces", onePiece)
		}
	case pamz.OpZstdDelta:
		if it.Stated() {
			withoutPrefix(c, it, p)
		}
	case pamz.OpCopy:
		if op.FromTarget() && (p.Compressing || !r.readBack[p.Scope]) {
			c.Violate("the library cannot read the target back here")
		}
	}
	if !it.Stated() {
		r.unstated(c, it, p)
	}
}

// unstated checks whether an item can do without a digest.
func (r *rules) unstated(c *stocklib.Checker, it *pamz.Item, p stocklib.Place) {
	switch {
	case p.Written:
		c.Violate("no digest: the library verifies what it writes")
	case it.Recipe.Op == pamz.OpCopySource && r.forward[p.Scope]:
		c.Violate("no digest: the library finds what it keeps of a source that is read front to back by it")
	case it.Recipe.Op == pamz.OpZstdDelta:
		c.Violate("no digest: it does not show whether the frame needs its prefix")
	}
}

// shaped reports whether the item has a recipe with the parameters that it must have.
// What an item refers to is looked at here before its own turn to be checked comes.
func shaped(it *pamz.Item) bool { return it.Recipe != nil && it.Recipe.CheckShape() == nil }

// random reports whether the library can read the item at random.
func random(it *pamz.Item) bool {
	switch r := it.Recipe; {
	case !shaped(it):
		return true
	case r.Op.Decompresses():
		return false
	case r.FromTarget():
		return true
	case r.Op == pamz.OpConcatenation, r.Op == pamz.OpCopy:
		for part := range r.Items() {
			if part.Length > 0 && !random(part) {
				return false
			}
		}
	}
	return true
}

// fromFile reports whether reading the item reads the delta file.
func fromFile(it *pamz.Item) bool {
	switch r := it.Recipe; {
	case !shaped(it):
		return false
	case r.Op == pamz.OpInlineAsset:
		return true
	case r.FromTarget():
		return false
	case r.Op.Decompresses(), r.Op == pamz.OpConcatenation, r.Op == pamz.OpCopy:
		for part := range r.Items() {
			if part.Length > 0 && fromFile(part) {
				return true
			}
		}
	}
	return false
}

// inPieces reports whether a small item may be written in more than one piece, which
// gives other zstd frames than one piece does.
func inPieces(c *stocklib.Checker, d *pamz.Diff, it *pamz.Item) bool {
	switch r := it.Recipe; {
	case !shaped(it):
		return false
	case r.Op == pamz.OpConcatenation:
		return len(r.Params) > 1 || len(r.Params) == 1 && inPieces(c, d, r.Params[0].Item)
	case r.Op == pamz.OpCopy && !r.FromTarget():
		return inPieces(c, d, r.Params[0].Item)
	case r.Op == pamz.OpNested:
		inner, err := c.View.Nested(d, it)
		return err != nil || len(inner.Chunks) > 1
	}
	return false
}

// withoutPrefix checks that a zstd_delta does without its prefix, which the library frees
// too early.
func withoutPrefix(c *stocklib.Checker, it *pamz.Item, p stocklib.Place) {
	frame, err := c.View.Content(p.Scope.Diff, it.Recipe.Params[0].Item)
	if c.Fail(err) {
		return
	}
	zr, err := codec.NewZstdReader(frame, 0)
	if c.Fail(err) {
		return
	}
	defer zr.Close()
	_, err = io.Copy(io.Discard, digest.Verify(zr, it.Length, it.SHA256))
	if fault.IsData(err) {
		c.Violate("the frame needs its prefix, which the library frees too early: %v", err)
		return
	}
	c.Fail(err)
}
