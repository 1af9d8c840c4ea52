// SPDX-License-Identifier: MIT

package native

import (
	"bufio"
	"cmp"
	"fmt"
	"io"

	"swudelta/internal/displace"
	"swudelta/internal/fault"
	"swudelta/internal/mix"
)

// makeNew starts to make the new side. Literals depend on nothing else that is made, so
// they are decoded in a goroutine of their own, and the rest in another one; whoever
// reads closes members meanwhile. That helps as far as content that is dear to make and
// members that are dear to close lie side by side: on full-size pairs it is little, even
// with 64 MiB of content made ahead, since the large members hardly change.
func (a *applier) makeNew() (*ahead, error) {
	c, err := a.newCopier()
	if err != nil {
		return nil, err
	}
	l, err := a.newLiteralReader()
	if err != nil {
		return nil, err
	}
	leaves := leafSizes(a.New, nil)
	return goAhead(func(w io.Writer) error {
		c.literals = goAhead(func(w io.Writer) error { return l.run(w, a.Delta) })
		defer c.literals.close()
		return c.run(w, a.Delta, leaves)
	}), nil
}

// copier makes the new side, with literals that it is given.
type copier struct {
	literals  *ahead
	old       *window
	predictor *displace.Predictor // nil: nothing is predicted
	diff      *differences
	diffs     *mix.Coder // nil: nothing differs

	at        int64 // in the new side
	buf       []byte
	predicted []byte
	marks     []byte
}

func (a *applier) newCopier() (*copier, error) {
	c := &copier{
		old: newWindow(a.old), buf: make([]byte, stretchSize),
		predicted: make([]byte, stretchSize+2*margin), marks: make([]byte, stretchSize),
	}
	if a.section(TypeDisplacements).Length > 0 {
		copies, err := a.copies()
		if err != nil {
			return nil, err
		}
		plan, err := a.decodePlan()
		if err == nil {
			c.predictor, err = displace.New(plan, copies, a.old)
		}
		if err != nil {
			return nil, fmt.Errorf("section %v: %w", TypeDisplacements, err)
		}
	}
	if a.section(TypeDifferences).Length > 0 {
		c.diff, c.diffs = newDifferences(), mix.NewDecoder(a.reader(TypeDifferences))
	}
	return c, nil
}

// run writes what the operations of a delta make, in stretches that end where plain segments do: leaves are
// the sizes of those.
func (c *copier) run(w io.Writer, d *Delta, leaves []int64) error {
	left := int64(0) // of the leaf
	err := d.eachOp(func(o Op) error {
		for o.Len > 0 {
			for left == 0 {
				left, leaves = leaves[0], leaves[1:]
			}
			b := c.buf[:min(o.Len, left, stretchSize)]
			if err := c.operation(b, o); err != nil {
				return fmt.Errorf("new side, at %d: %w", c.at, err)
			}
			if _, err := w.Write(b); err != nil {
				return err
			}
			n := int64(len(b))
			if o.Kind == Copy {
				o.Old += n
			}
			c.at, o.Len, left = c.at+n, o.Len-n, left-n
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := c.literals.end(); err != nil {
		return err
	}
	if c.diffs != nil {
		if err := c.diffs.End(); err != nil {
			return fmt.Errorf("section %v: %w", TypeDifferences, err)
		}
	}
	return nil
}

// operation fills b with what the start of an operation makes.
func (c *copier) operation(b []byte, o Op) error {
	switch o.Kind {
	case Copy:
		return c.copy(b, o.Old)
	case Fill:
		for i := range b {
			b[i] = byte(o.Old)
		}
		return nil
	default:
		_, err := io.ReadFull(c.literals, b)
		return err
	}
}

// copy makes a stretch of a copy from old on.
func (c *copier) copy(b []byte, old int64) error {
	if c.diffs == nil {
		return c.old.read(b, old)
	}
	p := c.predicted[:len(b)+2*margin]
	marks := c.marks[:len(b)]
	if err := c.old.readPadded(p, old-margin); err != nil {
		return err
	}
	clear(marks)
	if c.predictor != nil {
		if err := c.predictor.Predict(p[margin:margin+len(b)], marks, c.at, old); err != nil {
			return err
		}
	}
	if err := c.diff.stretch(c.diffs, p, marks, b, c.at); err != nil {
		return err
	}
	return c.diffs.Err()
}

// literalReader makes literals, coded and stored.
type literalReader struct {
	old    *window
	model  *literals
	coded  *mix.Coder // nil: there are none
	stored *bufio.Reader
	was    []byte
	buf    []byte
}

func (a *applier) newLiteralReader() (*literalReader, error) {
	l := &literalReader{
		old: newWindow(a.old), stored: bufio.NewReaderSize(a.reader(TypeStored), 64<<10),
		was: make([]byte, stretchSize), buf: make([]byte, stretchSize),
	}
	slots, window, err := a.models()
	if err != nil {
		return nil, err
	}
	if slots > 0 {
		l.model = newLiterals(slots, window)
		r := a.reader(TypeLiterals)
		l.coded = mix.NewDecoder(io.NewSectionReader(r, 2, r.Size()-2))
	}
	return l, nil
}

// run writes the literals among the operations of a delta, end to end.
func (l *literalReader) run(w io.Writer, d *Delta) error {
	at, diagonal := int64(0), int64(0)
	err := d.eachOp(func(o Op) error {
		if o.Kind == Copy {
			diagonal = o.Old - at
		}
		if o.Kind != Literal && o.Kind != Stored {
			at += o.Len
			return nil
		}
		for end := at + o.Len; at < end; {
			b := l.buf[:min(end-at, stretchSize)]
			if err := l.fill(b, o.Kind, at+diagonal); err != nil {
				return err
			}
			if _, err := w.Write(b); err != nil {
				return err
			}
			at += int64(len(b))
		}
		return nil
	})
	if err != nil {
		return err
	}
	return l.end()
}

// fill fills b with literals, in whose place a copy would give the old bytes from old on.
func (l *literalReader) fill(b []byte, k Kind, old int64) error {
	if k == Stored {
		return l.copyStored(b)
	}
	if l.coded == nil {
		return fault.Dataf("there are no literals")
	}
	if err := l.old.readPadded(l.was[:len(b)], old); err != nil {
		return err
	}
	for i := range b {
		b[i] = l.model.code(l.coded, 0, l.was[i])
	}
	return l.coded.Err()
}

// copyStored fills b with stored literals.
func (l *literalReader) copyStored(b []byte) error {
	if _, err := io.ReadFull(l.stored, b); err == io.EOF || err == io.ErrUnexpectedEOF {
		return fault.Dataf("section %v ends early", TypeStored)
	} else if err != nil {
		return err
	}
	if l.model != nil {
		l.model.note(b)
	}
	return nil
}

// end looks for what is left over.
func (l *literalReader) end() error {
	if l.coded != nil {
		if err := l.coded.End(); err != nil {
			return fmt.Errorf("section %v: %w", TypeLiterals, err)
		}
	}
	if _, err := l.stored.ReadByte(); err != io.EOF {
		return cmp.Or(err, fault.Dataf("section %v: bytes are left over", TypeStored))
	}
	return nil
}
