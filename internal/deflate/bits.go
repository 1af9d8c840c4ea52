// SPDX-License-Identifier: MIT

package deflate

import (
	"encoding/binary"
	"io"

	"swudelta/internal/fault"
)

// bitReader reads bits of a stream in the order of RFC 1951 section 3.1.1:
// from the least significant bit of each byte on.
type bitReader struct {
	src  []byte
	at   int    // the byte of src to be taken next
	bits uint64 // bits that were taken, the next one lowest
	n    uint   // how many
}

// fill takes bytes until at least 56 bits are at hand, or the source is used up.
func (r *bitReader) fill() {
	if r.at+8 <= len(r.src) {
		r.bits |= binary.LittleEndian.Uint64(r.src[r.at:]) << r.n
		taken := (63 - r.n) / 8
		r.at += int(taken)
		r.n += taken * 8
		return
	}
	for r.n <= 56 && r.at < len(r.src) {
		r.bits |= uint64(r.src[r.at]) << r.n
		r.at++
		r.n += 8
	}
}

// take returns n bits, at most 32.
func (r *bitReader) take(n uint) (uint32, error) {
	if r.n < n {
		if r.fill(); r.n < n {
			return 0, r.truncated()
		}
	}
	v := uint32(r.bits & (1<<n - 1))
	r.bits >>= n
	r.n -= n
	return v, nil
}

// align drops the bits before the next byte and returns them.
func (r *bitReader) align() uint32 {
	v := uint32(r.bits & (1<<(r.n%8) - 1))
	r.bits >>= r.n % 8
	r.n -= r.n % 8
	return v
}

// bytes returns the next n bytes; the reader stands at a byte's edge.
func (r *bitReader) bytes(n int) ([]byte, error) {
	at := r.offset()
	if n > len(r.src)-at {
		return nil, r.truncated()
	}
	r.at, r.bits, r.n = at+n, 0, 0
	return r.src[at : at+n], nil
}

// offset is that of the byte that holds the next bit.
func (r *bitReader) offset() int { return r.at - int(r.n/8) }

// bitWriter writes what bitReader reads.
type bitWriter struct {
	w    io.Writer
	buf  []byte // whole bytes that are waiting
	left int64  // bytes that may be written
	bits uint64
	n    uint
	err  error
}

const writeSize = 32 << 10

func newBitWriter(w io.Writer, size int64) *bitWriter {
	return &bitWriter{w: w, buf: make([]byte, 0, writeSize), left: size}
}

// put writes the n lowest bits of v, at most 32.
func (w *bitWriter) put(v uint32, n uint) {
	w.bits |= uint64(v) << w.n
	w.n += n
	if w.n >= 32 {
		if len(w.buf)+4 > cap(w.buf) {
			w.flush()
		}
		w.buf = binary.LittleEndian.AppendUint32(w.buf, uint32(w.bits))
		w.bits >>= 32
		w.n -= 32
	}
}

// room is how many bits are missing to the next byte's edge.
func (w *bitWriter) room() uint { return -w.n & 7 }

// flush writes the bytes that are waiting.
func (w *bitWriter) flush() {
	if w.left -= int64(len(w.buf)); w.left < 0 && w.err == nil {
		w.err = fault.Dataf("deflate script: the stream is longer than it says")
	}
	if w.err == nil {
		_, w.err = w.w.Write(w.buf)
	}
	w.buf = w.buf[:0]
}

// align turns the bits that are waiting, which end at a byte's edge, into bytes.
func (w *bitWriter) align() {
	for ; w.n > 0; w.n -= 8 {
		if len(w.buf) == cap(w.buf) {
			w.flush()
		}
		w.buf = append(w.buf, byte(w.bits))
		w.bits >>= 8
	}
}

// bytes writes bytes at a byte's edge.
func (w *bitWriter) bytes(b []byte) {
	w.align()
	for len(b) > 0 {
		if len(w.buf) == cap(w.buf) {
			w.flush()
		}
		n := copy(w.buf[len(w.buf):cap(w.buf)], b)
		w.buf, b = w.buf[:len(w.buf)+n], b[n:]
	}
}

// finish writes what is waiting behind the last block.
func (w *bitWriter) finish() error {
	w.align()
	w.flush()
	if w.err == nil && w.left > 0 {
		w.err = fault.Dataf("deflate script: the stream is shorter than it says, by %d bytes", w.left)
	}
	return w.err
}
