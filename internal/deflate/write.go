// SPDX-License-Identifier: MIT

package deflate

import "swudelta/internal/fault"

// blockWriter writes blocks with their codes.
type blockWriter struct {
	*bitWriter
	view              *view
	lit, dist         [288]uint16
	litLens, distLens [288]uint8
	begun             bool // the head of the block is written
}

// begin writes the head of a block with codes.
func (w *blockWriter) begin(b *block) error {
	w.begun = true
	w.head(b)
	if b.kind == fixed {
		w.lit, w.litLens = fixedLitCode, fixedLit
		copy(w.dist[:], fixedDistCode[:])
		copy(w.distLens[:], fixedDist[:])
		return nil
	}
	b.trees.write(w.bitWriter)
	w.litLens = b.trees.lit
	copy(w.distLens[:], b.trees.dist[:])
	codes(w.lit[:], b.trees.lit[:])
	codes(w.dist[:], b.trees.dist[:])
	return nil
}

func (w *blockWriter) head(b *block) {
	v := uint32(b.kind) << 1
	if b.final {
		v |= 1
	}
	w.put(v, 3)
}

func (w *blockWriter) token(t token) error {
	if t.distance == 0 {
		w.put(uint32(w.lit[t.length]), uint(w.litLens[t.length]))
		return w.err
	}
	sym := lengthSym[t.length]
	w.put(uint32(w.lit[sym]), uint(w.litLens[sym]))
	w.put(uint32(t.length-lengthBase[sym-257]), uint(lengthExtra[sym-257]))
	d := distSym(t.distance)
	w.put(uint32(w.dist[d]), uint(w.distLens[d]))
	w.put(uint32(t.distance-distBase[d]), uint(distExtra[d]))
	return w.err
}

// block writes what is left of a block to be written: a large one stands there
// but for its end. Content of a stored one starts at start.
func (w *blockWriter) block(b *block, start int64) error {
	if b.kind == stored {
		return w.stored(b, start)
	}
	if !w.begun {
		if err := w.begin(b); err != nil {
			return err
		}
		for _, t := range b.tokens {
			if err := w.token(t); err != nil {
				return err
			}
		}
	}
	w.put(uint32(w.lit[endBlock]), uint(w.litLens[endBlock]))
	w.begun = false
	return w.err
}

// stored writes a stored block, whose content starts at start.
func (w *blockWriter) stored(b *block, start int64) error {
	w.head(b)
	w.put(b.pad, w.room())
	w.align()
	w.put(uint32(b.size)|uint32(^b.size)<<16, 32)
	from := int(start - w.view.base)
	if from < 0 || from+b.size > len(w.view.buf) {
		return fault.Dataf("content that ends within a stored block at offset %d", start)
	}
	w.bytes(w.view.buf[from : from+b.size])
	return w.err
}
