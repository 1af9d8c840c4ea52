// SPDX-License-Identifier: MIT

package bsdiff

import (
	"encoding/binary"
	"math/rand"
	"slices"
	"testing"

	"swudelta/internal/span"
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
		p := Diff(old, new, Options{})
		check(t, p, old, new)
		if lost := len(p.Extra) - 7_501; lost > records*size/20 {
			t.Errorf("records of %d bytes: %d of %d bytes are not found", size, lost, records*size)
		}
	}
}

// The masks miss no window, not at either end of the data, and are those of the
// bytes one by one.
func TestWindowEnds(t *testing.T) {
	rnd := rand.New(rand.NewSource(4))
	data := append(randomBytes(rnd, 300, 256), make([]byte, 150)...)
	for _, stride := range strides {
		data = append(data, table(rnd, 60, stride, func(int) uint32 { return 0 })...)
		data = append(data, randomBytes(rnd, 200, 3)...)
	}
	for _, size := range []int{0, 3, 40, 63, 64, 65, 127, len(data)} {
		data := data[len(data)-size:]
		for _, stride := range strides {
			for from := range size + 1 {
				mask := narrowSteps(data, from, stride)
				ends := windowEnds(mask, narrowSteps(data, from-64, stride), stride)
				for k := range 64 {
					end := from + k
					is := mask>>k&1 != 0
					if end > size {
						if is {
							t.Fatalf("stride %d: an end at %d of %d bytes", stride, end, size)
						}
						continue
					}
					if from > stride && from+63 <= size {
						if d := data[end-1] - data[end-1-stride] + 1; is != (d <= 2) {
							t.Fatalf("stride %d: end %d: %v for a difference of %d", stride, end, is, int(d)-1)
						}
					}
					if _, ok := stepKey(data, end, stride); ok && ends>>k&1 == 0 {
						t.Fatalf("stride %d, %d bytes: the window that ends at %d is missed", stride, size, end)
					}
				}
			}
		}
	}
}

// The index holds the windows of the text in their order, whatever its memory held
// before.
func TestStepsFill(t *testing.T) {
	rnd := rand.New(rand.NewSource(5))
	for _, stride := range strides {
		var x steps
		for _, records := range []int{30_000, 500, 0} {
			text := append(table(rnd, records, stride, func(int) uint32 { return 0 }), make([]byte, 500)...)
			text = append(text, randomBytes(rnd, 200_001, 2)...) // more windows than are indexed
			var keys []uint32
			var ends []int32
			for end := 0; end <= len(text) && len(ends) < max(len(text)/stepShare, 1<<16); end++ {
				if key, ok := stepKey(text, end, stride); ok {
					keys, ends = append(keys, key), append(ends, int32(end))
				}
			}
			x.fill(text, []span.Range{{Len: int64(len(text))}}, stride, make([]uint64, len(text)/64+1))
			got := slices.Clone(x.slots)
			if least := len(ends); len(got) <= least || len(got) > 2*least+16+stepWays {
				t.Fatalf("%d slots for %d windows", len(got), least)
			}
			clear(x.slots)
			for k, key := range keys {
				if ways := x.ways(key); slices.Contains(ways, 0) {
					ways[slices.Index(ways, 0)] = ends[k]
				}
			}
			if !slices.Equal(got, x.slots) {
				t.Errorf("stride %d, %d records: the slots are not those of the windows in order", stride, records)
			}
		}
	}
}

// The windows that the index of a text holds are found again in the same content
// at any other place.
func TestStepsFind(t *testing.T) {
	rnd := rand.New(rand.NewSource(3))
	for _, stride := range strides {
		text := table(rnd, 1000, stride, func(int) uint32 { return 0 })
		var x steps
		x.fill(text, []span.Range{{Len: int64(len(text))}}, stride, make([]uint64, len(text)/64+1))
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
