// SPDX-License-Identifier: MIT

package bsdiff

import (
	"encoding/binary"
	"math/rand"
	"testing"

	"swudelta/internal/suffix"
)

// table returns records of the given size that begin with an ascending number,
// which is by far(i) greater than that of a table without; what follows the
// number is another one each time.
func table(rnd *rand.Rand, records, size int, far func(int) uint32) []byte {
	var out []byte
	at := uint32(0x81100000)
	for i := range records {
		at += uint32(1 + rnd.Intn(200))
		record := binary.LittleEndian.AppendUint32(nil, at+far(i))[:min(size, wordSize)]
		for len(record) < size {
			record = append(record, byte(rnd.Intn(256))+byte(far(i)))
		}
		out = append(out, record...)
	}
	return out
}

// A table whose numbers are all greater by an amount that changes now and then is
// found, although not one string of eight bytes is what it was.
func TestDiffTables(t *testing.T) {
	for _, size := range strides {
		const records = 4000
		moved := func(i int) uint32 { return 0x010347 + uint32(i/500)*0x010211 }
		old := table(rand.New(rand.NewSource(1)), records, size, func(int) uint32 { return 0 })
		new := table(rand.New(rand.NewSource(1)), records, size, moved)
		// The table lies elsewhere, among other content.
		rnd := rand.New(rand.NewSource(2))
		old = append(randomBytes(rnd, 20_000, 256), old...)
		new = append(randomBytes(rnd, 7_001, 256), append(new, randomBytes(rnd, 500, 256)...)...)
		p := Diff(old, suffix.Array(nil, old), new, Options{})
		check(t, p, old, new)
		if lost := len(p.Extra) - 7_501; lost > records*size/20 {
			t.Errorf("records of %d bytes: %d of %d bytes are not found", size, lost, records*size)
		}
	}
}

// The windows that the index of a text holds are found again in the same content
// at any other place.
func TestStepsFind(t *testing.T) {
	rnd := rand.New(rand.NewSource(3))
	for _, stride := range strides {
		text := table(rnd, 1000, stride, func(int) uint32 { return 0 })
		x := newSteps(text, stride)
		for _, gap := range []int{0, 1, 2, 3, 5000} {
			new := append(randomBytes(rnd, gap, 256), text...)
			hits, windows := 0, 0
			for i := range len(new) + 1 {
				if _, ok := stepKey(new, i, stride); ok && i >= gap+stride*stepWindow+wordSize {
					windows++
				}
				x.find(new, i, func(end int) {
					if end == i-gap {
						hits++
					}
				})
			}
			if windows == 0 || hits*10 < windows*8 {
				t.Errorf("stride %d, %d bytes before: %d of %d windows found", stride, gap, hits, windows)
			}
		}
	}
}
