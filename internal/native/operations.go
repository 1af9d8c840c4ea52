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

// opMemory is what an operation takes while a delta is applied, in bytes: its copy in the list
// from which predictions are prepared.
const opMemory = 24

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

// eachOp decodes the operations, and calls f for each, until it fails. Whoever wants them
// decodes them anew: that takes less than a hundredth of the time of applying, and a list
// would be among the largest things in memory.
func (d *Delta) eachOp(f func(Op) error) error {
	damaged := func(err error) error { return fmt.Errorf("section %v: %w", TypeOperations, err) }
	oldSize, newSize := d.oldSize(), d.newSize()
	count, r, err := d.countOps()
	if err == nil && count > newSize {
		err = fault.Dataf("%d operations for %d bytes", count, newSize)
	}
	if err != nil {
		return damaged(err)
	}
	at := int64(0)
	if count > 0 {
		c, m := mix.NewDecoder(r), newControls()
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
				return damaged(fmt.Errorf("operation %d: %w", i, err))
			}
			if err := f(o); err != nil {
				return err
			}
			at += o.Len
		}
		if err := c.End(); err != nil {
			return damaged(err)
		}
	}
	if at != newSize {
		return damaged(fault.Dataf("operations make %d bytes of a new side of %d", at, newSize))
	}
	return nil
}

// copies returns the copies among the operations.
func (d *Delta) copies() ([]displace.Copy, error) {
	n, at := 0, int64(0)
	err := d.eachOp(func(o Op) error {
		if o.Kind == Copy {
			n++
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	list := make([]displace.Copy, 0, n)
	err = d.eachOp(func(o Op) error {
		if o.Kind == Copy {
			list = append(list, displace.Copy{New: at, Old: o.Old, Len: o.Len})
		}
		at += o.Len
		return nil
	})
	return list, err
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
