// SPDX-License-Identifier: MIT

package span

import (
	"io"
	"sort"
)

// Chain reads its parts as if they lay end to end. Its zero value is empty.
type Chain struct {
	parts []io.ReaderAt
	ends  []int64
}

// Add appends the first n bytes of r.
func (c *Chain) Add(r io.ReaderAt, n int64) {
	c.ends = append(c.ends, c.Size()+n)
	c.parts = append(c.parts, r)
}

// Size is the number of bytes of all parts.
func (c *Chain) Size() int64 { return c.start(len(c.parts)) }

// Parts is the number of parts.
func (c *Chain) Parts() int { return len(c.parts) }

// Part is where part i lies in the chain.
func (c *Chain) Part(i int) Range {
	start := c.start(i)
	return Range{start, c.ends[i] - start}
}

// Replace has part i read from r.
func (c *Chain) Replace(i int, r io.ReaderAt) { c.parts[i] = r }

func (c *Chain) start(i int) int64 {
	if i == 0 {
		return 0
	}
	return c.ends[i-1]
}

// ReadAt is that of io.ReaderAt. A part that has fewer bytes than it was added with is
// io.ErrUnexpectedEOF.
func (c *Chain) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 || off >= c.Size() {
		return 0, io.EOF
	}
	i := sort.Search(len(c.parts), func(i int) bool { return c.ends[i] > off })
	for ; n < len(p) && i < len(c.parts); i++ {
		b := p[n:]
		if left := c.ends[i] - off; int64(len(b)) > left {
			b = b[:left]
		}
		got, err := c.parts[i].ReadAt(b, off-c.start(i))
		n += got
		off += int64(got)
		if got < len(b) {
			if err == nil || err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return n, err
		}
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}
