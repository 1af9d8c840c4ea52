// SPDX-License-Identifier: MIT

package tooltest

import (
	"bytes"
	"math/rand/v2"
	"slices"
)

// Random returns n bytes that the seed determines.
func Random(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// Edits is a target with everything that a delta engine looks for: moved, repeated,
// changed and new content, and zeros.
func Edits(old []byte) []byte {
	k := len(old) / 8
	return slices.Concat(
		old[5*k:7*k],          // moved
		make([]byte, 100<<10), // zeros
		Random(2, k),          // new
		old[:3*k],
		make([]byte, 1000),
		Random(2, k), // a repeat of what was new
		Scatter(old[3*k:5*k]),
	)
}

// Scatter changes one byte in a thousand.
func Scatter(b []byte) []byte {
	b = bytes.Clone(b)
	for i := 500; i < len(b); i += 1000 {
		b[i] ^= 0x55
	}
	return b
}
