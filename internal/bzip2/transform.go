// SPDX-License-Identifier: MIT

package bzip2

// transformer turns the run-length coded content of blocks into symbols. Its
// tables are reused from block to block.
type transformer struct {
	sa      []int32
	work    [512]int32
	rotated []byte
	last    []byte
	turn    int // of the last block sorted: where its least rotation starts
}

// sort returns the last column of the sorted cyclic rotations of block and the
// row of block itself among them. The column is valid until the next call.
func (t *transformer) sort(block []byte) (last []byte, origin int) {
	n := len(block)
	if len(t.sa) < n {
		t.sa = make([]int32, n)
		t.rotated = make([]byte, n)
		t.last = make([]byte, n)
	}
	sa, text := t.sa[:n], t.rotated[:n]
	last = t.last[:n]
	// Rotated to its least rotation, the block is a Lyndon word or a power of
	// one, and of those the suffixes sort as the rotations do (equal rotations,
	// which only a power has, may come in any order).
	start := leastRotation(block)
	t.turn = start
	copy(text, block[start:])
	copy(text[n-start:], block[:start])
	sortSuffixes(sa, text, 256, t.work[:])
	first := int32((n - start) % n)
	for i, p := range sa {
		if p == first {
			origin = i
		}
		if p == 0 {
			p = int32(n)
		}
		last[i] = text[p-1]
	}
	return last, origin
}

// leastRotation returns where the least of the cyclic rotations of s starts: of
// two candidates i and j, which agree in k bytes, the greater falls, and with it
// all starts that those k bytes cover.
func leastRotation(s []byte) int {
	n := len(s)
	i, j, k := 0, 1, 0
	for i < n && j < n && k < n {
		a, b := i+k, j+k
		if a >= n {
			a -= n
		}
		if b >= n {
			b -= n
		}
		switch x, y := s[a], s[b]; {
		case x == y:
			k++
			continue
		case x > y:
			i += k + 1
		default:
			j += k + 1
		}
		if i == j {
			j++
		}
		k = 0
	}
	return min(i, j)
}

// runA and runB are the symbols of zero runs: the digits 1 and 2 of the run's
// length in bijective base 2, the least significant first.
const (
	runA = 0
	runB = 1
)

// moveToFront appends the symbols of a block to syms: ranks of the bytes of its
// last column among those that it uses, with runs of rank 0 coded by length, and the
// end of block. It returns the number of distinct symbols.
func moveToFront(syms []uint16, last []byte, used *[256]bool) ([]uint16, int) {
	var order [256]byte
	n := 0
	for c, u := range used {
		if u {
			order[n] = byte(c)
			n++
		}
	}
	run := 0
	flush := func() {
		for ; run > 0; run = (run - 1) >> 1 {
			if run&1 == 1 {
				syms = append(syms, runA)
			} else {
				syms = append(syms, runB)
			}
		}
	}
	for _, c := range last {
		if c == order[0] {
			run++
			continue
		}
		flush()
		prev := order[0]
		j := 1
		for {
			prev, order[j] = order[j], prev
			if prev == c {
				break
			}
			j++
		}
		order[0] = c
		syms = append(syms, uint16(j+1))
	}
	flush()
	return append(syms, uint16(n+1)), n + 2
}
