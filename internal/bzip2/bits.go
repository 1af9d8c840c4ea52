// SPDX-License-Identifier: MIT

package bzip2

// bitWriter collects bits, the most significant first.
type bitWriter struct {
	buf []byte
	acc uint64 // its low n bits are pending
	n   uint   // below 8 between calls
}

// write appends the low width bits of v, the others being zero. The width is at
// most 48.
func (w *bitWriter) write(v uint64, width uint) {
	w.acc = w.acc<<width | v
	w.n += width
	for w.n >= 8 {
		w.n -= 8
		w.buf = append(w.buf, byte(w.acc>>w.n))
	}
}

// append appends the bits of o.
func (w *bitWriter) append(o *bitWriter) {
	for _, b := range o.buf {
		w.write(uint64(b), 8)
	}
	w.write(o.acc&(1<<o.n-1), o.n)
}

// flush fills the last byte with zeros.
func (w *bitWriter) flush() {
	w.write(0, -w.n&7)
}
