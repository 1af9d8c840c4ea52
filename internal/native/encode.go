// SPDX-License-Identifier: MIT

package native

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"

	"swudelta/internal/digest"
	"swudelta/internal/displace"
	"swudelta/internal/member"
	"swudelta/internal/mix"
	"swudelta/internal/progress"
)

// Input is what a delta is made from.
type Input struct {
	SourceLength, TargetLength int64
	SourceSHA256, TargetSHA256 digest.SHA256

	// Old says what of the source the old side is, New what the target consists of.
	Old []Stream
	New []Segment

	// OldSide and NewSide are the content of both.
	OldSide, NewSide []byte

	// Ops make the new side, end to end. They are copies, literals and fills: which literals are
	// better stored is found out here.
	Ops []Op

	// Progress is told how many bytes there are to predict and to code, and how many that was
	// done with.
	Progress *progress.Stage

	// OldFiles and NewFiles list files by their extents in both sides, as far as they are
	// known. They are hints.
	OldFiles, NewFiles [][]displace.Extent
}

// Encode returns a delta. It does not try it: that is for the caller, who has the source.
func Encode(in *Input) ([]byte, error) {
	e := &encoder{Input: in}
	if err := e.encode(); err != nil {
		return nil, fmt.Errorf("encode native delta: %w", err)
	}
	return e.file, nil
}

type encoder struct {
	*Input
	ops       []Op
	predictor *displace.Predictor
	sections  []sectionData
	file      []byte
}

type sectionData struct {
	t    Type
	data []byte
}

func (e *encoder) add(t Type, data []byte) {
	if len(data) > 0 {
		e.sections = append(e.sections, sectionData{t, data})
	}
}

func (e *encoder) encode() error {
	d := &Delta{
		TargetLength: e.TargetLength, TargetSHA256: e.TargetSHA256,
		SourceLength: e.SourceLength, SourceSHA256: e.SourceSHA256,
		Old: e.Old, New: e.New,
	}
	if d.oldSize() != int64(len(e.OldSide)) || d.newSize() != int64(len(e.NewSide)) {
		return errors.New("the sides have other sizes than what they consist of")
	}
	plan, err := e.displacements()
	if err != nil {
		return err
	}
	e.Progress.Expect(e.sizeOf(Copy) + 2*e.sizeOf(Literal)) // of literals one trial
	literals, stored := e.literals()
	operations, err := encodeOps(e.ops)
	if err != nil {
		return err
	}
	differences, err := e.differences(d)
	if err != nil {
		return err
	}
	e.add(TypeContent, d.appendContent(nil))
	e.add(TypeOperations, operations)
	e.add(TypeDisplacements, plan)
	e.add(TypeDifferences, differences)
	e.add(TypeLiterals, literals)
	e.add(TypeStored, stored)
	e.add(TypeClosing, appendClosing(nil, d.New))
	return e.assemble(d)
}

// assemble puts the file together.
func (e *encoder) assemble(d *Delta) error {
	var body []byte
	at := headSize + int64(len(e.sections))*sectionSize + sumSize
	for _, s := range e.sections {
		d.Sections = append(d.Sections, Section{s.t, int64(len(s.data)), digest.Sum(s.data), at + int64(len(body))})
		body = append(body, s.data...)
	}
	// What applying needs is read off the file as a device sees it, where it says 0 so far.
	d.Size = at + int64(len(body))
	file := append(d.appendHeader(nil), body...)
	opened, err := Open(bytes.NewReader(file), d.Size)
	if err == nil {
		d.Need, err = opened.need()
	}
	if err != nil {
		return err
	}
	e.file = append(d.appendHeader(file[:0]), body...)
	return nil
}

// told tells how many bytes are read.
type told struct {
	io.ReaderAt
	tell func(n int64)
}

func (t *told) ReadAt(b []byte, off int64) (int, error) {
	n, err := t.ReaderAt.ReadAt(b, off)
	t.tell(int64(n))
	return n, err
}

// displacements finds what can be predicted, and returns its section. It may change the
// copies a little, for which e.ops are made anew.
func (e *encoder) displacements() ([]byte, error) {
	e.ops = e.Ops
	copies := copiesOf(e.Ops)
	old := displace.Image{R: bytes.NewReader(e.OldSide), Size: int64(len(e.OldSide)), Files: e.OldFiles}
	new := displace.Image{R: bytes.NewReader(e.NewSide), Size: int64(len(e.NewSide)), Files: e.NewFiles}
	// A pass takes seconds. What it reads tells how far it is.
	size := e.sizeOf(Copy)
	left := displace.Passes * size
	after := left - size // what is left after the pass
	tell := func(n int64) {
		n = min(n, left-after)
		left -= n
		e.Progress.Add(n)
	}
	e.Progress.Expect(left)
	new.R = &told{new.R, tell}
	plan, moved, err := displace.Find(old, new, copies, func() {
		tell(size)
		after -= size
	})
	if err != nil {
		return nil, err
	}
	e.Progress.Add(left)
	if plan.Empty() {
		return nil, nil
	}
	predictor, err := displace.New(plan, moved, old.R)
	if err != nil {
		return nil, nil // too many pieces: there is a delta without
	}
	b, err := plan.AppendBinary(nil)
	if err != nil {
		return nil, err
	}
	e.predictor = predictor
	e.ops = mergeCopies(e.Ops, moved, int64(len(e.NewSide)))
	c := mix.NewEncoder()
	m := newLiterals(planSlots, planWindow)
	for _, v := range b {
		m.code(c, v, 0)
	}
	return append(binary.AppendUvarint(nil, uint64(len(b))), c.Finish()...), nil
}

// mergeCopies returns operations with other copies. Between these, fills stay, and the
// rest becomes literals.
func mergeCopies(ops []Op, copies []displace.Copy, size int64) []Op {
	var fills []displace.Copy // Old is the byte
	at := int64(0)
	for _, o := range ops {
		if o.Kind == Fill {
			fills = append(fills, displace.Copy{New: at, Old: o.Old, Len: o.Len})
		}
		at += o.Len
	}
	var out []Op
	at = 0
	gap := func(to int64) {
		for ; at < to; fills = fills[1:] {
			for len(fills) > 0 && fills[0].New+fills[0].Len <= at {
				fills = fills[1:]
			}
			if len(fills) == 0 || fills[0].New >= to {
				out = append(out, Op{Kind: Literal, Len: to - at})
				at = to
				return
			}
			f := fills[0]
			if f.New > at {
				out = append(out, Op{Kind: Literal, Len: f.New - at})
				at = f.New
			}
			end := min(f.New+f.Len, to)
			out = append(out, Op{Kind: Fill, Len: end - at, Old: f.Old})
			at = end
		}
	}
	for _, c := range copies {
		gap(c.New)
		out = append(out, Op{Kind: Copy, Len: c.Len, Old: c.Old})
		at = c.New + c.Len
	}
	gap(size)
	return out
}

// differences returns the section of differences: nothing, if there are none.
func (e *encoder) differences(d *Delta) ([]byte, error) {
	if !e.differ() {
		return nil, nil
	}
	return e.differencesBy(newDifferences(), leafSizes(d.New, nil))
}

// differencesBy codes the differences with a model, not across the bounds of leaves of those
// sizes.
func (e *encoder) differencesBy(m *differences, leaves []int64) ([]byte, error) {
	c := mix.NewEncoder()
	old := &window{r: bytes.NewReader(e.OldSide), size: int64(len(e.OldSide))}
	predicted, marks := make([]byte, stretchSize+2*margin), make([]byte, stretchSize)
	new := make([]byte, stretchSize) // the model writes to it, and the new side may be read-only
	at, left := int64(0), int64(0)   // of the leaf
	for _, o := range e.ops {
		for o.Len > 0 {
			for left == 0 {
				left, leaves = leaves[0], leaves[1:]
			}
			n := min(o.Len, left)
			if o.Kind == Copy {
				n = min(n, stretchSize)
				p := predicted[:n+2*margin]
				clear(marks[:n])
				if err := old.readPadded(p, o.Old-margin); err != nil {
					return nil, err
				}
				if e.predictor != nil {
					if err := e.predictor.Predict(p[margin:margin+n], marks[:n], at, o.Old); err != nil {
						return nil, err
					}
				}
				if err := m.stretch(c, p, marks[:n], new[:copy(new, e.NewSide[at:at+n])], at); err != nil {
					return nil, err
				}
				o.Old += n
				e.Progress.Add(n)
			}
			at, o.Len, left = at+n, o.Len-n, left-n
		}
	}
	return c.Finish(), nil
}

// differ reports whether there is a predictor, or a copy that differs.
func (e *encoder) differ() bool {
	if e.predictor != nil {
		return true
	}
	at := int64(0)
	for _, o := range e.ops {
		if o.Kind == Copy && !bytes.Equal(e.OldSide[o.Old:o.Old+o.Len], e.NewSide[at:at+o.Len]) {
			return true
		}
		at += o.Len
	}
	return false
}

// leafSizes appends the lengths of the plain segments.
func leafSizes(list []Segment, out []int64) []int64 {
	for _, s := range list {
		if s.Format == member.Stored {
			out = append(out, s.Length)
		} else {
			out = leafSizes(s.Parts, out)
		}
	}
	return out
}

const (
	// trialSize is the size of the pieces of literals of which it is found out whether they are
	// better stored, in bytes; a shorter rest belongs to the piece before it.
	trialSize = 4 << 10
	// trialSlots is the logarithm of the number of slots of the model that finds it out.
	trialSlots = 16
	// leastStored is the shortest piece that is stored, in bytes.
	leastStored = 256
	// storedWorth is of how many bytes that are stored one more in the delta is accepted:
	// coding them takes a device a thousand times as long.
	storedWorth = 16
)

// literals returns the sections of coded and stored literals. Operations for stored ones
// become operations of their own.
func (e *encoder) literals() (coded, stored []byte) {
	total := e.sizeOf(Literal)
	if total == 0 {
		return nil, nil
	}
	window := min(max(bits.Len(uint(total)), leastWindow), 22)
	e.divide(window)
	left := e.sizeOf(Literal)
	e.Progress.Add(total - left)
	if left > 0 {
		slots := min(max(bits.Len(uint(left))-2, leastSlots), 18)
		l := newLiteralCoder(e, slots, window)
		e.eachOp(l.op)
		coded = append([]byte{byte(slots), byte(window)}, l.c.Finish()...)
	}
	e.eachOp(func(o Op, at int64) {
		if o.Kind == Stored {
			stored = append(stored, e.NewSide[at:at+o.Len]...)
		}
	})
	return coded, stored
}

// eachOp calls f for each operation and the offset of what it makes.
func (e *encoder) eachOp(f func(o Op, at int64)) {
	at := int64(0)
	for _, o := range e.ops {
		f(o, at)
		at += o.Len
	}
}

// sizeOf returns how many bytes operations of a kind make.
func (e *encoder) sizeOf(k Kind) (n int64) {
	for _, o := range e.ops {
		if o.Kind == k {
			n += o.Len
		}
	}
	return n
}

// literalCoder encodes literals.
type literalCoder struct {
	*encoder
	c        *mix.Coder
	m        *literals
	diagonal int64 // of the last copy
}

func newLiteralCoder(e *encoder, slots, window int) *literalCoder {
	return &literalCoder{encoder: e, c: mix.NewEncoder(), m: newLiterals(slots, window)}
}

// op encodes what an operation makes, or takes note of it.
func (l *literalCoder) op(o Op, at int64) {
	switch o.Kind {
	case Copy:
		l.diagonal = o.Old - at
	case Literal:
		l.encode(at, o.Len)
	case Stored:
		l.m.note(l.NewSide[at : at+o.Len])
	}
}

func (l *literalCoder) encode(at, n int64) {
	for i := at; i < at+n; i++ {
		old := byte(0)
		if was := i + l.diagonal; was >= 0 && was < int64(len(l.OldSide)) {
			old = l.OldSide[was]
		}
		l.m.code(l.c, l.NewSide[i], old)
		if done := i + 1 - at; done%stretchSize == 0 {
			l.Progress.Add(stretchSize)
		}
	}
	l.Progress.Add(n % stretchSize)
}

// divide makes those pieces of literals stored ones which the model would hardly make
// smaller.
func (e *encoder) divide(window int) {
	l := newLiteralCoder(e, trialSlots, window)
	var out []Op
	put := func(k Kind, n int64) {
		if i := len(out) - 1; i >= 0 && out[i].Kind == k && k != Copy && k != Fill {
			out[i].Len += n
			return
		}
		out = append(out, Op{Kind: k, Len: n})
	}
	e.eachOp(func(o Op, at int64) {
		if o.Kind != Literal {
			out = append(out, o)
			l.op(o, at)
			return
		}
		for n := o.Len; n > 0; {
			k := min(n, trialSize)
			if n-k < trialSize/2 {
				k = n
			}
			before := l.c.Len()
			l.encode(at, k)
			kind := Literal
			if cost := int64(l.c.Len() - before); k >= leastStored && cost > k-k/storedWorth {
				kind = Stored
			}
			put(kind, k)
			at += k
			n -= k
		}
	})
	e.ops = out
}
