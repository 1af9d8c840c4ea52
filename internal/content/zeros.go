// SPDX-License-Identifier: MIT

package content

import "bytes"

// zeroBlock is the unit, in bytes, in which runs of zeros are found.
const zeroBlock = 64 << 10

// zeros are some.
var zeros = make([]byte, zeroBlock)

// zeroFinder is a writer that finds the blocks of zeros in what is written.
type zeroFinder struct {
	at    int64 // bytes written
	dirty bool  // the current block has another byte
	found []Range
}

func (z *zeroFinder) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		k := min(len(p), int(zeroBlock-z.at%zeroBlock))
		z.dirty = z.dirty || !bytes.Equal(p[:k], zeros[:k])
		p, z.at = p[k:], z.at+int64(k)
		if z.at%zeroBlock == 0 {
			z.end(zeroBlock)
		}
	}
	return n, nil
}

// end ends a block of n bytes.
func (z *zeroFinder) end(n int64) {
	if !z.dirty {
		if k := len(z.found) - 1; k >= 0 && z.found[k].End() == z.at-n {
			z.found[k].Len += n
		} else {
			z.found = append(z.found, Range{Off: z.at - n, Len: n})
		}
	}
	z.dirty = false
}

// runs returns the runs of blocks of zeros, when all is written.
func (z *zeroFinder) runs() []Range { return z.found }
