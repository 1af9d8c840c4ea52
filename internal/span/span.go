// SPDX-License-Identifier: MIT

// Package span has ranges of bytes, what reads several of them as one, and how far bytes are
// the same.
package span

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"math/bits"
)

// Range is a half-open range of the bytes of a file.
type Range struct{ Off, Len int64 }

// End is the offset behind the range.
func (r Range) End() int64 { return r.Off + r.Len }

// Compare orders ranges by offset, then by length.
func (r Range) Compare(o Range) int {
	return cmp.Or(cmp.Compare(r.Off, o.Off), cmp.Compare(r.Len, o.Len))
}

// CommonPrefix returns the length of the longest common prefix.
func CommonPrefix(a, b []byte) int {
	n := min(len(a), len(b))
	i := 0
	for ; i+8 <= n; i += 8 {
		if x := binary.LittleEndian.Uint64(a[i:]) ^ binary.LittleEndian.Uint64(b[i:]); x != 0 {
			return i + bits.TrailingZeros64(x)/8
		}
	}
	for i < n && a[i] == b[i] {
		i++
	}
	return i
}

// CommonSuffix returns the length of the longest common suffix.
func CommonSuffix(a, b []byte) int {
	n := min(len(a), len(b))
	a, b = a[len(a)-n:], b[len(b)-n:]
	i := n
	for ; i >= 8; i -= 8 {
		if x := binary.LittleEndian.Uint64(a[i-8:]) ^ binary.LittleEndian.Uint64(b[i-8:]); x != 0 {
			return n - i + bits.LeadingZeros64(x)/8
		}
	}
	for i > 0 && a[i-1] == b[i-1] {
		i--
	}
	return n - i
}

// AllZero reports whether b has no byte but zeros.
func AllZero(b []byte) bool { return len(b) == 0 || b[0] == 0 && bytes.Equal(b[1:], b[:len(b)-1]) }
