// SPDX-License-Identifier: MIT

package pamz

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sort"
	"syscall"
)

// zeros reads as zero bytes without end.
type zeros struct{}

func (zeros) ReadAt(p []byte, _ int64) (int, error) {
	clear(p)
	return len(p), nil
}

// chain reads its parts as if they lay end to end.
type chain struct {
	parts  []io.ReaderAt
	starts []int64 // of each part, and the end of the last
}

func (c *chain) ReadAt(p []byte, off int64) (int, error) {
	size := c.starts[len(c.parts)]
	if off < 0 || off >= size {
		return 0, io.EOF
	}
	i := sort.Search(len(c.parts), func(i int) bool { return c.starts[i+1] > off })
	n := 0
	for ; n < len(p) && i < len(c.parts); i++ {
		b := p[n:]
		if left := c.starts[i+1] - off; int64(len(b)) > left {
			b = b[:left]
		}
		got, err := c.parts[i].ReadAt(b, off-c.starts[i])
		n += got
		off += int64(got)
		if got < len(b) {
			return n, noEOF(err)
		}
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
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

// extent is a range of an arena: of its file, or, with a start below zero, in memory.
type extent struct{ start, size int64 }

func (e extent) compare(o extent) int {
	return cmp.Or(cmp.Compare(e.start, o.start), cmp.Compare(e.size, o.size))
}

// arena gives out room in one scratch file, so that many pieces need neither
// many descriptors nor more space than what is in use at a time. Some of it lies in
// memory instead.
type arena struct {
	quick  int64               // bytes of memory that are left
	take   func(n int64) error // called with bytes of memory that are taken, or given back
	blocks map[int64]*block    // extents in memory
	last   int64               // start of the last of them

	open  func() (*os.File, error)
	store store
	end   int64    // of the last extent in use
	most  int64    // that end was, so far
	gaps  []extent // before end, by start, none touching another
}

// alloc returns room for size bytes, the first that fits.
func (a *arena) alloc(size int64) (extent, error) {
	if size > 1<<62-a.end {
		return extent{}, errorf(codeOther, "the delta asks for too much scratch space")
	}
	if a.store == nil {
		if _, err := a.create(); err != nil {
			return extent{}, err
		}
	}
	for i, g := range a.gaps {
		if g.size < size {
			continue
		}
		if g.size == size {
			a.gaps = slices.Delete(a.gaps, i, i+1)
		} else {
			a.gaps[i] = extent{g.start + size, g.size - size}
		}
		return extent{g.start, size}, nil
	}
	e := extent{a.end, size}
	a.end += size
	a.most = max(a.most, a.end)
	return e, nil
}

// hold returns room in memory, if there is enough, else what alloc does.
func (a *arena) hold(size int64) (extent, error) {
	if size > a.quick {
		return a.alloc(size)
	}
	if err := a.take(size); err != nil {
		return extent{}, err
	}
	a.quick -= size
	b := &block{}
	if _, dry := a.store.(notThere); !dry && size > 0 {
		// Not the collector's: it comes and goes at once.
		data, err := syscall.Mmap(-1, 0, int(size), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANON)
		if err != nil {
			return extent{}, fmt.Errorf("memory: %w", err)
		}
		b.data = data
	}
	if a.blocks == nil {
		a.blocks = map[int64]*block{}
	}
	a.last--
	a.blocks[a.last] = b
	return extent{a.last, size}, nil
}

// drop gives room in memory back.
func (a *arena) drop(e extent) error {
	b := a.blocks[e.start]
	delete(a.blocks, e.start)
	a.quick += e.size
	if err := a.take(-e.size); err != nil {
		return err
	}
	return b.free()
}

// block is content in memory. After free it is empty, so that whoever still holds
// it reads nothing.
type block struct{ data []byte }

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
		return nil, fmt.Errorf("scratch file: %w", err)
	}
	a.store = f
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
		return fmt.Errorf("%w: needs %d KiB, %d KiB left", ErrScratch, (size+1023)>>10, free>>10)
	}
	return nil
}

// freeSpace returns how many bytes the file system of f has for us, if it can tell.
// Tests replace it.
var freeSpace = func(f *os.File) (int64, bool) {
	var fs syscall.Statfs_t
	if err := syscall.Fstatfs(int(f.Fd()), &fs); err != nil {
		return 0, false
	}
	// Blocks and their size have types of their own on each architecture.
	return int64(fs.Bavail) * int64(fs.Bsize), true
}

// free gives an extent back.
func (a *arena) free(e extent) error {
	if e.start < 0 {
		return a.drop(e)
	}
	if e.size == 0 {
		return nil
	}
	i := sort.Search(len(a.gaps), func(i int) bool { return a.gaps[i].start > e.start })
	a.gaps = slices.Insert(a.gaps, i, e)
	if i+1 < len(a.gaps) && a.gaps[i].start+a.gaps[i].size == a.gaps[i+1].start {
		a.gaps[i].size += a.gaps[i+1].size
		a.gaps = slices.Delete(a.gaps, i+1, i+2)
	}
	if i > 0 && a.gaps[i-1].start+a.gaps[i-1].size == a.gaps[i].start {
		a.gaps[i-1].size += a.gaps[i].size
		a.gaps = slices.Delete(a.gaps, i, i+1)
	}
	if n := len(a.gaps) - 1; n >= 0 && a.gaps[n].start+a.gaps[n].size == a.end {
		a.end = a.gaps[n].start
		a.gaps = a.gaps[:n]
		return a.store.Truncate(a.end)
	}
	return nil
}

func (a *arena) reader(e extent) io.ReaderAt {
	if e.start < 0 {
		return a.blocks[e.start]
	}
	return io.NewSectionReader(a.store, e.start, e.size)
}

// writer returns a buffered writer that fills e from its start.
func (a *arena) writer(e extent) *bufio.Writer {
	if e.start < 0 {
		return bufio.NewWriterSize(io.NewOffsetWriter(a.blocks[e.start], 0), copySize)
	}
	return bufio.NewWriterSize(io.NewOffsetWriter(a.store, e.start), copySize)
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
		return 0, errorf(codeOther, "more than %d bytes of intermediate data", m.limit)
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
