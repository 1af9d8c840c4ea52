// SPDX-License-Identifier: MIT

package apply

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sort"
	"syscall"

	"swudelta/internal/errnum"
	"swudelta/internal/newfile"
	"swudelta/internal/span"
)

// zeros reads as zero bytes without end.
type zeros struct{}

func (zeros) ReadAt(p []byte, _ int64) (int, error) {
	clear(p)
	return len(p), nil
}

// noEOF turns the end of a file into the error that it is where bytes are due.
func noEOF(err error) error {
	if err == nil || err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// store is where an arena keeps its bytes: an unlinked file, or memory.
type store interface {
	io.ReaderAt
	io.WriterAt
	Truncate(size int64) error
}

// room is what an arena gives out: ranges of it that are filled and read end to end; in
// memory there is one only, whose offset is below zero.
type room []span.Range

// arena gives out room in one scratch file, so that many pieces need neither
// many descriptors nor more space than what is in use at a time. Some of it lies in
// memory instead.
type arena struct {
	memoryLeft int64               // bytes of memory that are left
	take       func(n int64) error // called with bytes of memory that are taken, or given back
	blocks     map[int64]*block    // rooms in memory, by offset
	newBlock   func(size int64) (*block, error)
	last       int64 // start of the last of them

	open  func() (*os.File, error)
	store store
	end   int64        // of the last range in use
	most  int64        // that end was, so far
	gaps  []span.Range // before end, by start, none touching another
	holes bool         // what lies in no room reads as zeros, which take no space
}

// alloc returns room for size bytes: first fit; otherwise all gaps, and the remainder at
// the end of the file.
func (a *arena) alloc(size int64) (r room, err error) {
	if size > 1<<62-a.end {
		return nil, errnum.Errorf(errnum.Other, "the delta asks for too much scratch space")
	}
	if a.store == nil {
		if _, err := a.create(); err != nil {
			return nil, err
		}
	}
	for size > 0 && len(a.gaps) > 0 {
		i := max(slices.IndexFunc(a.gaps, func(g span.Range) bool { return g.Len >= size }), 0)
		g := &a.gaps[i]
		n := min(size, g.Len)
		r = append(r, span.Range{Off: g.Off, Len: n})
		size -= n
		a.punch(span.Range{Off: g.Off, Len: n})
		if *g = (span.Range{Off: g.Off + n, Len: g.Len - n}); g.Len == 0 {
			a.gaps = slices.Delete(a.gaps, i, i+1)
		}
	}
	if size > 0 {
		r = append(r, span.Range{Off: a.end, Len: size})
		a.end += size
		a.most = max(a.most, a.end)
		if a.holes {
			return r, a.store.Truncate(a.end)
		}
	}
	return r, nil
}

// punch makes a gap, where other content was, read as zeros.
func (a *arena) punch(e span.Range) {
	if f, ok := a.store.(*os.File); ok && a.holes {
		const keepSize, punchHole = 1, 2 // FALLOC_FL_* of fallocate(2)
		a.holes = syscall.Fallocate(int(f.Fd()), keepSize|punchHole, e.Off, e.Len) == nil
	}
}

// hold returns room in memory, if there is enough, else what alloc does.
func (a *arena) hold(size int64) (room, error) {
	if size > a.memoryLeft {
		return a.alloc(size)
	}
	if err := a.take(size); err != nil {
		return nil, err
	}
	a.memoryLeft -= size
	b, err := a.newBlock(size)
	if err != nil {
		return nil, err
	}
	if a.blocks == nil {
		a.blocks = map[int64]*block{}
	}
	a.last--
	a.blocks[a.last] = b
	return room{{Off: a.last, Len: size}}, nil
}

// drop gives room in memory back.
func (a *arena) drop(e span.Range) error {
	b := a.blocks[e.Off]
	delete(a.blocks, e.Off)
	a.memoryLeft += e.Len
	if err := a.take(-e.Len); err != nil {
		return err
	}
	return b.free()
}

// block is content in memory. After free it is empty, so that whoever still holds
// it reads nothing.
type block struct{ data []byte }

// mapBlock returns a block that is not the collector's: it comes and goes at once.
func mapBlock(size int64) (*block, error) {
	if size == 0 {
		return &block{}, nil
	}
	data, err := syscall.Mmap(-1, 0, int(size), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANON)
	if err != nil {
		return nil, fmt.Errorf("memory: %w", err)
	}
	return &block{data}, nil
}

func (b *block) ReadAt(p []byte, off int64) (int, error) {
	if b.data == nil {
		return 0, errNotThere
	}
	return bytes.NewReader(b.data).ReadAt(p, off)
}

func (b *block) WriteAt(p []byte, off int64) (int, error) {
	if n := copy(b.data[min(off, int64(len(b.data))):], p); n < len(p) {
		return n, io.ErrShortWrite
	}
	return len(p), nil
}

func (b *block) free() error {
	if b.data == nil {
		return nil
	}
	data := b.data
	b.data = nil
	return syscall.Munmap(data)
}

// create makes the scratch file.
func (a *arena) create() (*os.File, error) {
	if a.open == nil {
		return nil, fmt.Errorf("applying this delta needs scratch space")
	}
	f, err := a.open()
	if err != nil {
		return nil, errnum.New(errnum.Scratch, fmt.Errorf("scratch file: %w", err))
	}
	a.store, a.holes = f, true
	return f, nil
}

// ErrScratch is the cause of errors about deltas that need more scratch space than
// there is.
var ErrScratch = errors.New("not enough scratch space")

// want makes sure that there is room for size bytes.
func (a *arena) want(size int64) error {
	if size == 0 {
		return nil
	}
	f, err := a.create()
	if err != nil {
		return err
	}
	if free, ok := freeSpace(f); ok && size > free {
		return errnum.New(errnum.Scratch, fmt.Errorf("%w: needs %d KiB, %d KiB left", ErrScratch, (size+1023)>>10, free>>10))
	}
	return nil
}

// freeSpace is newfile.FreeSpace, but for tests.
var freeSpace = newfile.FreeSpace

// free gives room back.
func (a *arena) free(r room) error {
	for _, e := range r {
		if err := a.giveBack(e); err != nil {
			return err
		}
	}
	return nil
}

func (a *arena) giveBack(e span.Range) error {
	if e.Off < 0 {
		return a.drop(e)
	}
	i := sort.Search(len(a.gaps), func(i int) bool { return a.gaps[i].Off > e.Off })
	a.gaps = slices.Insert(a.gaps, i, e)
	if i+1 < len(a.gaps) && a.gaps[i].Off+a.gaps[i].Len == a.gaps[i+1].Off {
		a.gaps[i].Len += a.gaps[i+1].Len
		a.gaps = slices.Delete(a.gaps, i+1, i+2)
	}
	if i > 0 && a.gaps[i-1].Off+a.gaps[i-1].Len == a.gaps[i].Off {
		a.gaps[i-1].Len += a.gaps[i].Len
		a.gaps = slices.Delete(a.gaps, i, i+1)
	}
	if n := len(a.gaps) - 1; n >= 0 && a.gaps[n].Off+a.gaps[n].Len == a.end {
		a.end = a.gaps[n].Off
		a.gaps = a.gaps[:n]
		return a.store.Truncate(a.end)
	}
	return nil
}

func (a *arena) reader(r room) io.ReaderAt {
	c := new(span.Chain)
	for _, e := range r {
		if e.Off < 0 {
			return a.blocks[e.Off]
		}
		part := io.NewSectionReader(a.store, e.Off, e.Len)
		if len(r) == 1 {
			return part
		}
		c.Add(part, e.Len)
	}
	return c
}

// writer returns a buffered writer that fills r from its start.
func (a *arena) writer(r room) *bufio.Writer {
	if len(r) == 1 && r[0].Off < 0 {
		return bufio.NewWriterSize(io.NewOffsetWriter(a.blocks[r[0].Off], 0), copySize)
	}
	if a.holes {
		return bufio.NewWriterSize(&filler{holes{a.store}, slices.Clone(r)}, copySize)
	}
	return bufio.NewWriterSize(&filler{a.store, slices.Clone(r)}, copySize)
}

// filler writes to room.
type filler struct {
	io.WriterAt
	left room
}

func (f *filler) Write(p []byte) (n int, err error) {
	for n < len(p) {
		if len(f.left) == 0 {
			return n, io.ErrShortWrite
		}
		e := &f.left[0]
		k := min(int64(len(p)-n), e.Len)
		if _, err := f.WriteAt(p[n:n+int(k)], e.Off); err != nil {
			return n, err
		}
		n += int(k)
		if *e = (span.Range{Off: e.Off + k, Len: e.Len - k}); e.Len == 0 {
			f.left = f.left[1:]
		}
	}
	return n, nil
}

// close gives everything back.
func (a *arena) close() error {
	for _, b := range a.blocks {
		if err := b.free(); err != nil {
			return err
		}
	}
	if c, ok := a.store.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// memory is a store of limited size, for small things.
type memory struct {
	data  []byte
	limit int64
}

func (m *memory) ReadAt(p []byte, off int64) (int, error) {
	if off >= int64(len(m.data)) {
		return 0, io.EOF
	}
	n := copy(p, m.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (m *memory) WriteAt(p []byte, off int64) (int, error) {
	end := off + int64(len(p))
	if end > m.limit {
		return 0, errnum.Errorf(errnum.Other, "more than %d bytes of intermediate data", m.limit)
	}
	if end > int64(len(m.data)) {
		m.data = append(m.data, make([]byte, end-int64(len(m.data)))...)
	}
	return copy(m.data[off:], p), nil
}

func (m *memory) Truncate(size int64) error {
	m.data = m.data[:min(size, int64(len(m.data)))]
	return nil
}
