// SPDX-License-Identifier: MIT

package native

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"

	"swudelta/internal/codec"
	"swudelta/internal/digest"
	"swudelta/internal/displace"
	"swudelta/internal/errnum"
	"swudelta/internal/fault"
	"swudelta/internal/member"
	"swudelta/internal/mix"
	"swudelta/internal/newfile"
	"swudelta/internal/span"
)

// Causes of errors about deltas that need more than there is.
var (
	ErrMemory  = errors.New("more memory than allowed")
	ErrScratch = errors.New("not enough scratch space")
)

// DefaultMemory is what a delta may need, in bytes, if its user says nothing else.
const DefaultMemory = 256 << 20

// ApplyOptions says what Apply may use.
type ApplyOptions struct {
	Libraries member.Libraries         // to close members with
	Scratch   func() (*os.File, error) // called when scratch space is needed; nil: that is an error

	// Memory bounds what models, operations and codecs take, in bytes. Default:
	// DefaultMemory.
	Memory int64

	// SourceSum is what has hashed all of the source, if the caller has: it is not
	// read for that once more.
	SourceSum *digest.Writer

	Progress func(n int64) // called with each number of target bytes that were written
}

// Apply writes the target of d to dst. What dst received before an error must be thrown
// away, but nothing is written before all of the delta and the source were verified and
// what it needs was found to be there. See [Need], [ErrMemory], [ErrScratch], [ErrNewer].
func (d *Delta) Apply(dst io.Writer, source io.ReaderAt, sourceSize int64, o ApplyOptions) error {
	a := &applier{Delta: d, opts: o}
	defer a.close()
	if err := a.apply(dst, source, sourceSize); err != nil {
		return fmt.Errorf("apply delta: %w", err)
	}
	return nil
}

type applier struct {
	*Delta
	opts    ApplyOptions
	scratch *os.File
	old     *span.Chain

	new *ahead // the new side
}

func (a *applier) close() {
	if a.new != nil {
		a.new.close()
	}
	if a.scratch != nil {
		a.scratch.Close()
	}
}

func (a *applier) apply(dst io.Writer, source io.ReaderAt, sourceSize int64) error {
	if err := a.verify(); err != nil {
		return err
	}
	need, err := a.need()
	if err != nil {
		return err
	}
	// A delta may state more than what this version needs, but not less.
	need.Memory = max(need.Memory, a.Need.Memory)
	need.Scratch = max(need.Scratch, a.Need.Scratch)
	if limit := cmp.Or(a.opts.Memory, DefaultMemory); need.Memory > limit {
		return fmt.Errorf("%w: needs %d KiB, %d KiB left", ErrMemory, (need.Memory+1023)>>10, limit>>10)
	}
	if err := a.libraries(a.New); err != nil {
		return err
	}
	if err := a.checkSource(source, sourceSize); err != nil {
		return fmt.Errorf("source: %w", err)
	}
	if err := a.eachOp(func(Op) error { return nil }); err != nil {
		return err
	}
	codec.ReturnFreed()
	if err := a.stage(source, need.Scratch); err != nil {
		return err
	}
	if a.new, err = a.makeNew(); err != nil {
		return err
	}
	debug.FreeOSMemory() // opening has left much behind
	sum := digest.NewWriter(reporter{dst, a.opts.Progress})
	out := bufio.NewWriterSize(sum, 128<<10)
	if err := a.segments(out, a.New); err != nil {
		return err
	}
	if err := out.Flush(); err != nil {
		return err
	}
	if err := a.new.end(); err != nil {
		return err
	}
	if err := checkSum(sum.Sum(), a.TargetSHA256); err != nil {
		return fmt.Errorf("target: %w", err)
	}
	return nil
}

// reporter reports what is written.
type reporter struct {
	io.Writer
	report func(n int64)
}

func (p reporter) Write(b []byte) (int, error) {
	n, err := p.Writer.Write(b)
	if p.report != nil {
		p.report(int64(n))
	}
	return n, err
}

func checkSum(got, want digest.SHA256) error {
	if err := digest.Check(got, want); err != nil {
		return errnum.New(errnum.Hash, err)
	}
	return nil
}

func (a *applier) checkSource(source io.ReaderAt, size int64) error {
	if size != a.SourceLength {
		return errnum.New(errnum.SourceSize, fault.Dataf("%d bytes, want %d", size, a.SourceLength))
	}
	sum := a.opts.SourceSum
	if sum == nil {
		sum = digest.NewWriter(io.Discard)
		if _, err := io.CopyBuffer(sum, io.NewSectionReader(source, 0, size), make([]byte, 128<<10)); err != nil {
			return err
		}
	}
	return checkSum(sum.Sum(), a.SourceSHA256)
}

// models returns the logarithms of the model of literals, which stand before them: zeros
// if there are none.
func (d *Delta) models() (slots, window int, err error) {
	s := d.section(TypeLiterals)
	if s.Length == 0 {
		return 0, 0, nil
	}
	b, err := d.read(s.offset, min(s.Length, 2))
	if err != nil {
		return 0, 0, err
	}
	if len(b) < 2 || b[0] < leastSlots || b[0] > mostSlots || b[1] < leastWindow || b[1] > mostWindow {
		return 0, 0, fault.At(s.offset, "section %v: no such size of the model", s.Type)
	}
	return int(b[0]), int(b[1]), nil
}

// plainMemory is what applying takes whatever the delta is, in bytes.
const plainMemory = 2 << 20

// need computes what applying needs.
func (d *Delta) need() (Need, error) {
	closing, entries, err := d.segmentMemory(d.New)
	if err != nil {
		return Need{}, err
	}
	n := Need{Memory: plainMemory + closing + entryMemory*(entries+int64(len(d.Old)))}
	count, _, err := d.countOps()
	if err != nil {
		return n, err
	}
	if count > MaxSize/opMemory {
		return n, fault.Dataf("%d operations", count)
	}
	n.Memory += count * opMemory
	slots, window, err := d.models()
	if err != nil {
		return n, err
	}
	models := int64(0)
	if slots > 0 {
		models += literalMemory(slots, window)
	}
	if d.section(TypeDifferences).Length > 0 {
		models += differencesSize
	}
	if s := d.section(TypeDisplacements); s.Length > 0 {
		plan, err := d.planSize()
		if err != nil {
			return n, err
		}
		models += planMemory*plan + 24*min(count*2, displace.MaxPieces) + 1<<20 + literalMemory(planSlots, planWindow)
	}
	opening := int64(0)
	for i, s := range d.Old {
		if s.Format == member.Stored {
			continue
		}
		memory, err := s.format().OpenMemory(s.Params)
		if err != nil {
			return n, fmt.Errorf("stream %d: %w", i, err)
		}
		if member.InPlace(s.Format) {
			n.Memory += memory
			continue
		}
		if n.Scratch += s.Size; n.Scratch > MaxSize {
			return n, fault.Dataf("too much scratch space")
		}
		opening = max(opening, memory)
	}
	// All is opened before the models are made.
	n.Memory += max(models, opening)
	return n, nil
}

// segmentMemory returns the most that closing takes at a time, and the number of segments.
func (d *Delta) segmentMemory(list []Segment) (most, entries int64, err error) {
	for i, s := range list {
		if entries++; s.Format == member.Stored {
			continue
		}
		params, err := d.read(s.params.offset, s.params.Length)
		if err != nil {
			return 0, 0, err
		}
		n, err := s.format().CloseMemory(params, s.content(), s.Length)
		if err != nil {
			return 0, 0, fmt.Errorf("segment %d: %w", i, err)
		}
		inner, count, err := d.segmentMemory(s.Parts)
		if err != nil {
			return 0, 0, err
		}
		most, entries = max(most, n+s.params.Length+pipeMemory+inner), entries+count
	}
	return most, entries, nil
}

// libraries fails if a library is missing that members are closed with, or writes other bytes.
func (a *applier) libraries(list []Segment) error {
	for i, s := range list {
		if s.Format == member.Stored {
			continue
		}
		params, err := a.read(s.params.offset, s.params.Length)
		if err == nil {
			err = member.Ready(s.Format, params, &a.opts.Libraries)
		}
		if err != nil && !fault.IsData(err) {
			err = errnum.New(errnum.Library, err)
		}
		if err == nil {
			err = a.libraries(s.Parts)
		}
		if err != nil {
			return fmt.Errorf("segment %d: %w", i, err)
		}
	}
	return nil
}

// stage makes the old side readable: what has to be decompressed goes into scratch
// space.
func (a *applier) stage(source io.ReaderAt, size int64) error {
	if size > 0 {
		if a.opts.Scratch == nil {
			return errors.New("applying this delta needs scratch space")
		}
		f, err := a.opts.Scratch()
		if err != nil {
			return errnum.New(errnum.Scratch, fmt.Errorf("scratch file: %w", err))
		}
		a.scratch = f
		if free, ok := freeSpace(f); ok && size > free {
			return errnum.New(errnum.Scratch, fmt.Errorf("%w: needs %d KiB, %d KiB left", ErrScratch, (size+1023)>>10, free>>10))
		}
	}
	old := new(span.Chain)
	content := make([]io.ReaderAt, 1, len(a.Old)+1)
	content[0] = source
	at := int64(0)
	for i, s := range a.Old {
		r := io.NewSectionReader(content[s.Parent], s.Offset, s.Length)
		if s.Format != member.Stored {
			err := error(nil)
			if member.InPlace(s.Format) {
				r, err = inPlace(s, r)
			} else {
				err = a.unpack(s, r, at)
				r = io.NewSectionReader(a.scratch, at, s.Size)
				at += s.Size
			}
			if err != nil {
				return fmt.Errorf("stream %d: %w", i, err)
			}
		}
		content = append(content, r)
		if !s.Hidden {
			old.Add(r, s.Size)
		}
	}
	a.old = old
	return nil
}

// freeSpace is newfile.FreeSpace, but for tests.
var freeSpace = newfile.FreeSpace

// inPlace returns the content of a stream that is read where it is stored.
func inPlace(s Stream, r *io.SectionReader) (*io.SectionReader, error) {
	z, err := s.format().Open(r, s.Params)
	if err != nil {
		return nil, err
	}
	if s.Size != s.Length {
		return nil, fault.Dataf("has not the %d bytes of content that are stated", s.Size)
	}
	return io.NewSectionReader(z.(io.ReaderAt), 0, s.Size), nil
}

// unpack opens a stream into scratch space.
func (a *applier) unpack(s Stream, r io.Reader, at int64) error {
	z, err := s.format().Open(r, s.Params)
	if err != nil {
		return err
	}
	defer z.Close()
	w := bufio.NewWriterSize(io.NewOffsetWriter(a.scratch, at), 128<<10)
	n, err := io.Copy(w, io.LimitReader(z, s.Size+1))
	if err != nil {
		return err
	}
	if n != s.Size {
		return fault.Dataf("has not the %d bytes of content that are stated", s.Size)
	}
	return w.Flush()
}

// produce writes the next n bytes of the new side to w.
func (a *applier) produce(w io.Writer, n int64) error {
	_, err := io.CopyN(w, a.new, n)
	return err
}

// window reads at random, in pieces that are larger than what is asked for.
type window struct {
	r    io.ReaderAt
	size int64
	at   int64
	b    []byte
	buf  [128 << 10]byte
}

// readPadded reads as read does, and zeros where there is nothing.
func (w *window) readPadded(p []byte, off int64) error {
	end := off + int64(len(p))
	if end <= 0 || off >= w.size {
		clear(p)
		return nil
	}
	lo, hi := max(-off, 0), int64(len(p))-max(end-w.size, 0)
	clear(p[:lo])
	clear(p[hi:])
	return w.read(p[lo:hi], off+lo)
}

func newWindow(c *span.Chain) *window { return &window{r: c, size: c.Size()} }

const windowBefore = 4 << 10 // bytes that are kept before what is asked for

func (w *window) read(p []byte, off int64) error {
	if off >= w.at && off+int64(len(p)) <= w.at+int64(len(w.b)) {
		copy(p, w.b[off-w.at:])
		return nil
	}
	at := max(off-windowBefore, 0)
	n := min(int64(len(w.buf)), w.size-at)
	got, err := w.r.ReadAt(w.buf[:n], at)
	if int64(got) < n {
		w.b = nil
		if err == nil || err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	w.at, w.b = at, w.buf[:n]
	copy(p, w.b[off-at:])
	return nil
}

const (
	planSlots  = 12
	planWindow = 14
	planMemory = 64 // for each byte of the plan
)

// planSize is the length of the plan of displacements, which stands before its coded
// form.
func (d *Delta) planSize() (int64, error) {
	s := d.section(TypeDisplacements)
	b, err := d.read(s.offset, min(s.Length, binary.MaxVarintLen64))
	if err != nil {
		return 0, err
	}
	v, n := binary.Uvarint(b)
	if n <= 0 || v > MaxSize/planMemory {
		return 0, fault.At(s.offset, "section %v: no length", s.Type)
	}
	return int64(v), nil
}

func (d *Delta) decodePlan() (*displace.Plan, error) {
	size, err := d.planSize()
	if err != nil {
		return nil, err
	}
	r := d.reader(TypeDisplacements)
	skip := int64(len(binary.AppendUvarint(nil, uint64(size))))
	c := mix.NewDecoder(io.NewSectionReader(r, skip, r.Size()-skip))
	m := newLiterals(planSlots, planWindow)
	var b []byte
	for range size {
		b = append(b, m.code(c, 0, 0))
		if err := c.Err(); err != nil {
			return nil, err
		}
	}
	if err := c.End(); err != nil {
		return nil, err
	}
	return displace.Parse(b, d.oldSize(), d.newSize())
}
