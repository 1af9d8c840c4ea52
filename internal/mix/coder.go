// SPDX-License-Identifier: MIT

package mix

import (
	"io"

	"swudelta/internal/fault"
)

// Coder is a binary arithmetic coder. The same model calls [Coder.Code] whether it
// encodes or decodes, so that both take the same course by construction.
//
// The coder keeps an interval of 32-bit numbers, and divides it at each bit in
// proportion to the probabilities: the lower part is for a one. Leading bytes in
// which both ends agree are written. At the end, four bytes of the lower end follow.
type Coder struct {
	low, high uint32
	value     uint32    // decoder: of the stream, at the same place as the interval
	in        io.Reader // decoder
	buf       []byte    // encoder: what was written; decoder: what was read
	at        int       // decoder: in buf
	decoding  bool
	past      int // decoder: bytes read behind the end
	err       error
}

// NewEncoder returns a coder that encodes.
func NewEncoder() *Coder { return &Coder{high: 1<<32 - 1} }

// readSize is how much a decoder reads at a time, in bytes.
const readSize = 16 << 10

// NewDecoder returns a coder that decodes what r has.
func NewDecoder(r io.Reader) *Coder {
	c := &Coder{high: 1<<32 - 1, in: r, decoding: true, buf: make([]byte, 0, readSize)}
	for range 4 {
		c.value = c.value<<8 | uint32(c.next())
	}
	return c
}

// Decoding reports whether the coder decodes.
func (c *Coder) Decoding() bool { return c.decoding }

// Code encodes a bit, or decodes one, whatever bit is then, and returns it. The
// probability of a one is p/65536, 0 < p < 65536.
func (c *Coder) Code(bit int, p int32) int {
	mid := c.low + uint32(uint64(c.high-c.low)*uint64(uint32(p))>>16)
	one := bit != 0
	if c.decoding {
		one = c.value <= mid
	}
	if one {
		c.high, bit = mid, 1
	} else {
		c.low, bit = mid+1, 0
	}
	if (c.low^c.high)>>24 == 0 {
		c.shifts()
	}
	return bit
}

// shifts takes what both ends agree in out of the interval.
func (c *Coder) shifts() {
	for (c.low^c.high)>>24 == 0 {
		c.shift()
	}
}

func (c *Coder) shift() {
	if c.decoding {
		c.value = c.value<<8 | uint32(c.next())
	} else {
		c.buf = append(c.buf, byte(c.low>>24))
	}
	c.low <<= 8
	c.high = c.high<<8 | 255
}

// Len is how many bytes an encoder has written.
func (c *Coder) Len() int { return len(c.buf) }

// Finish ends what an encoder has written, and returns it.
func (c *Coder) Finish() []byte {
	for range 4 {
		c.shift()
	}
	return c.buf
}

// next returns the next byte to decode: zeros behind the end.
func (c *Coder) next() byte {
	if c.at == len(c.buf) {
		if c.err != nil {
			c.past++
			return 0
		}
		n, err := io.ReadAtLeast(c.in, c.buf[:cap(c.buf)], 1)
		c.buf, c.at = c.buf[:n], 0
		if n == 0 {
			c.err = err
			c.past++
			return 0
		}
	}
	b := c.buf[c.at]
	c.at++
	return b
}

// Err returns why a decoder cannot go on: its reader failed, or what it reads has
// come to an end before. It is to be asked from time to time, since until then
// the coder decodes bits that nobody has encoded.
func (c *Coder) Err() error {
	switch {
	case c.past == 0:
		return nil
	case c.err != io.EOF && c.err != nil:
		return c.err
	}
	return fault.Dataf("coded data ends early")
}

// End returns what is wrong with the end of what was decoded: [Coder.Err], or that
// something follows.
func (c *Coder) End() error {
	if err := c.Err(); err != nil {
		return err
	}
	c.next()
	if c.past == 0 {
		return fault.Dataf("coded data goes on behind its end")
	}
	if c.err != io.EOF {
		return c.err
	}
	return nil
}
