// SPDX-License-Identifier: MIT

package apply

import (
	"bufio"
	"io"
	"sort"

	"swudelta/internal/errnum"
	"swudelta/internal/span"
)

// tap passes a target on and keeps the ranges of it that are copied later.
type tap struct {
	w       io.Writer
	arena   *arena
	ranges  []span.Range // of the target, by start, apart from each other
	kept    []room       // where they are, as far as they were reached
	current *bufio.Writer
	written int64
}

func (t *tap) Write(p []byte) (int, error) {
	if _, err := t.w.Write(p); err != nil {
		return 0, err
	}
	return len(p), t.pass(int64(len(p)), p)
}

func (t *tap) skip(n int64) error {
	if err := skip(t.w, n); err != nil {
		return err
	}
	return t.pass(n, nil)
}

// pass deals with the next n bytes of the target: p, or nothing in a rehearsal.
func (t *tap) pass(n int64, p []byte) error {
	for n > 0 {
		size, err := t.keep(n, p)
		if err != nil {
			return err
		}
		t.written += size
		n -= size
		if p != nil {
			p = p[size:]
		}
	}
	return nil
}

// keep deals with as many of the next n bytes as are all kept or all not, and
// returns their number.
func (t *tap) keep(n int64, p []byte) (int64, error) {
	if t.current == nil {
		if len(t.kept) == len(t.ranges) {
			return n, nil
		}
		next := t.ranges[len(t.kept)]
		if t.written < next.Off {
			return min(n, next.Off-t.written), nil
		}
		e, err := t.arena.alloc(next.Len)
		if err != nil {
			return 0, err
		}
		t.kept = append(t.kept, e)
		t.current = t.arena.writer(e)
	}
	r := t.ranges[len(t.kept)-1]
	left := r.Off + r.Len - t.written
	n = min(n, left)
	if p != nil {
		if _, err := t.current.Write(p[:n]); err != nil {
			return 0, err
		}
	}
	if n == left {
		err := t.current.Flush()
		t.current = nil
		return n, err
	}
	return n, nil
}

// read returns n bytes of the target at offset, which lie in one of the ranges.
func (t *tap) read(offset, n int64) (io.ReaderAt, error) {
	if offset > t.written-n {
		return nil, errnum.Errorf(errnum.OutOfBounds, "%d bytes at %d of the target, of which %d are written", n, offset, t.written)
	}
	if t.current != nil {
		if err := t.current.Flush(); err != nil {
			return nil, err
		}
	}
	i := sort.Search(len(t.ranges), func(i int) bool { return t.ranges[i].Off > offset }) - 1
	return io.NewSectionReader(t.arena.reader(t.kept[i]), offset-t.ranges[i].Off, n), nil
}

func (t *tap) close() error {
	for _, e := range t.kept {
		if err := t.arena.free(e); err != nil {
			return err
		}
	}
	return nil
}
