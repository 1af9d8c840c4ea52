// SPDX-License-Identifier: MIT

package native

import (
	"encoding/binary"
	"fmt"
	"io"

	"swudelta/internal/displace"
	"swudelta/internal/fault"
	"swudelta/internal/mix"
)

// opMemory is what an operation takes while a delta is applied, in bytes, with its
// copy in the list for predictions.
const opMemory = 24 + 24

// encodeOps returns the section of operations: their number in base 128, then they
// themselves, coded.
func encodeOps(ops []Op) ([]byte, error) {
	c := mix.NewEncoder()
	m := newControls()
	at := int64(0)
	for _, o := range ops {
		if _, err := m.code(c, o, at); err != nil {
			return nil, err
		}
		at += o.Len
	}
	return append(binary.AppendUvarint(nil, uint64(len(ops))), c.Finish()...), nil
}

// countOps returns how many operations the section has, and what follows in it.
func (d *Delta) countOps() (int64, *io.SectionReader, error) {
	s := d.section(TypeOperations)
	if s.Length == 0 {
		return 0, nil, nil
	}
	b, err := d.read(s.offset, min(s.Length, binary.MaxVarintLen64))
	if err != nil {
		return 0, nil, err
	}
	v, n := binary.Uvarint(b)
	if n <= 0 || v > MaxSize {
		return 0, nil, fault.At(s.offset, "section %v: no number of operations", s.Type)
	}
	return int64(v), io.NewSectionReader(d.file, s.offset+int64(n), s.Length-int64(n)), nil
}

// decodeOps reads the operations. They are those of a new side of the stated size, and
// copy from an old side of the stated size.
func (d *Delta) decodeOps(oldSize, newSize int64) ([]Op, error) {
	count, r, err := d.countOps()
	if err != nil {
		return nil, err
	}
	if count > newSize {
		return nil, fault.Dataf("%d operations for %d bytes", count, newSize)
	}
	var ops []Op
	at := int64(0)
	if count > 0 {
		ops = make([]Op, 0, min(count, 1<<16))
		c := mix.NewDecoder(r)
		m := newControls()
		for i := range count {
			o, err := m.code(c, Op{}, at)
			if err == nil {
				err = c.Err()
			}
			switch {
			case err != nil:
			case o.Len > newSize-at:
				err = fault.Dataf("ends behind the end of the new side")
			case o.Kind == Copy && (o.Old > oldSize || o.Len > oldSize-o.Old):
				err = fault.Dataf("copies %d bytes at %d of an old side of %d", o.Len, o.Old, oldSize)
			}
			if err != nil {
				return nil, fmt.Errorf("operation %d: %w", i, err)
			}
			ops = append(ops, o)
			at += o.Len
		}
		if err := c.End(); err != nil {
			return nil, err
		}
	}
	if at != newSize {
		return nil, fault.Dataf("operations make %d bytes of a new side of %d", at, newSize)
	}
	return ops, nil
}

// copiesOf returns the copies among operations.
func copiesOf(ops []Op) []displace.Copy {
	n := 0
	for _, o := range ops {
		if o.Kind == Copy {
			n++
		}
	}
	list := make([]displace.Copy, 0, n)
	at := int64(0)
	for _, o := range ops {
		if o.Kind == Copy {
			list = append(list, displace.Copy{New: at, Old: o.Old, Len: o.Len})
		}
		at += o.Len
	}
	return list
}
