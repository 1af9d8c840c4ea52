// SPDX-License-Identifier: MIT

package deflate

import "math/bits"

// Base values and extra bits of the symbols for lengths and distances (RFC 1951
// section 3.2.5), and the symbol of each value.
var (
	lengthBase  [29]uint16
	lengthExtra [29]uint8
	distBase    [30]uint16
	distExtra   [30]uint8
	lengthSym   [maxMatch + 1]uint16
)

// Code lengths of fixed blocks (section 3.2.6), and their codes.
var (
	fixedLit      [288]uint8
	fixedDist     [30]uint8
	fixedLitCode  [288]uint16
	fixedDistCode [30]uint16
)

// lenOrder is the order in which a header has the lengths of the code for code
// lengths (section 3.2.7).
var lenOrder = [lenCodes]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

func init() {
	base := 3
	for i := range 28 {
		lengthBase[i] = uint16(base)
		if i >= 8 {
			lengthExtra[i] = uint8(i-4) / 4
		}
		base += 1 << lengthExtra[i]
	}
	lengthBase[28] = maxMatch
	for i, b := range lengthBase {
		for n := int(b); n <= maxMatch && n < int(b)+1<<lengthExtra[i]; n++ {
			lengthSym[n] = uint16(257 + i)
		}
	}
	base = 1
	for i := range distBase {
		distBase[i] = uint16(base)
		if i >= 4 {
			distExtra[i] = uint8(i-2) / 2
		}
		base += 1 << distExtra[i]
	}
	for i := range fixedLit {
		switch {
		case i < 144:
			fixedLit[i] = 8
		case i < 256:
			fixedLit[i] = 9
		case i < 280:
			fixedLit[i] = 7
		default:
			fixedLit[i] = 8
		}
	}
	for i := range fixedDist {
		fixedDist[i] = 5
	}
	codes(fixedLitCode[:], fixedLit[:])
	codes(fixedDistCode[:], fixedDist[:])
}

// distSym is the symbol of a distance.
func distSym(distance uint16) int {
	d := uint32(distance) - 1
	if d < 4 {
		return int(d)
	}
	n := bits.Len32(d)
	return 2*(n-1) + int(d>>(n-2)&1)
}

// codes gives symbols their codes, first bit lowest (section 3.2.2).
func codes(out []uint16, lens []uint8) {
	var counts, next [16]int
	for _, n := range lens {
		counts[n]++
	}
	counts[0] = 0
	for n := 1; n < 16; n++ {
		next[n] = (next[n-1] + counts[n-1]) << 1
	}
	for i, n := range lens {
		if n > 0 {
			out[i] = uint16(reverse(uint32(next[n]), uint(n)))
			next[n]++
		}
	}
}

// run is a step of the description of code lengths: a length (0 to 15), or a
// repetition (16, 17, 18) with its extra bits.
type run struct{ sym, extra uint8 }

var runExtra = [lenCodes]uint8{16: 2, 17: 3, 18: 7}

// trees are the codes of a dynamic block, and how its header states them.
type trees struct {
	lit  [288]uint8
	dist [32]uint8
	lens [lenCodes]uint8 // of the code for code lengths

	litCount, distCount, lenCount int // how many lengths of each the header has
	runs                          []run
}

// readTrees reads the header of a dynamic block.
func (p *parser) readTrees(t *trees) error {
	v, err := p.take(14)
	if err != nil {
		return err
	}
	t.litCount, t.distCount, t.lenCount = int(v&31)+257, int(v>>5&31)+1, int(v>>10)+4
	if t.litCount > litCodes || t.distCount > distCodes {
		return p.bad("more code lengths than there are symbols")
	}
	for _, sym := range lenOrder[:t.lenCount] {
		if v, err = p.take(3); err != nil {
			return err
		}
		t.lens[sym] = uint8(v)
	}
	if !p.lit.init(t.lens[:]) {
		return p.bad("the code for code lengths is no code")
	}
	all := make([]uint8, 0, 288+32)
	for len(all) < t.litCount+t.distCount {
		p.fill()
		sym, ok := p.lit.decode(&p.bitReader)
		if !ok {
			return p.badCode()
		}
		if v, err = p.take(uint(runExtra[sym])); err != nil {
			return err
		}
		r := run{uint8(sym), uint8(v)}
		t.runs = append(t.runs, r)
		value, n := r.expand()
		if sym == 16 {
			if len(all) == 0 {
				return p.bad("the first code length repeats another")
			}
			value = all[len(all)-1]
		}
		if len(all)+n > t.litCount+t.distCount {
			return p.bad("more code lengths than announced")
		}
		for range n {
			all = append(all, value)
		}
	}
	copy(t.lit[:], all[:t.litCount])
	copy(t.dist[:], all[t.litCount:])
	if !p.lit.init(t.lit[:]) || !p.dist.init(t.dist[:]) || t.lit[endBlock] == 0 {
		return p.bad("code lengths that make no code")
	}
	return nil
}

// expand returns the length that a run states, unless it repeats the last one,
// and how often.
func (r run) expand() (value uint8, n int) {
	switch r.sym {
	case 16:
		return 0, 3 + int(r.extra)
	case 17:
		return 0, 3 + int(r.extra)
	case 18:
		return 0, 11 + int(r.extra)
	}
	return r.sym, 1
}

// plainRuns appends the runs that zlib and GNU gzip make of the lengths of one
// code: repetitions as long as possible, and never across its end.
func plainRuns(out []run, lens []uint8) []run {
	for i := 0; i < len(lens); {
		v := lens[i]
		again := i > 0 && lens[i-1] == v // the first one is a repetition, too
		least, most := 4, 7              // a length and up to six repetitions
		switch {
		case v == 0:
			least, most = 3, 138
		case again:
			least, most = 3, 6
		}
		n := 1
		for n < most && i+n < len(lens) && lens[i+n] == v {
			n++
		}
		i += n
		switch {
		case n < least:
			for range n {
				out = append(out, run{v, 0})
			}
		case v == 0 && n <= 10:
			out = append(out, run{17, uint8(n - 3)})
		case v == 0:
			out = append(out, run{18, uint8(n - 11)})
		default:
			if !again {
				out = append(out, run{v, 0})
				n--
			}
			out = append(out, run{16, uint8(n - 3)})
		}
	}
	return out
}

// predict fills trees with what zlib and GNU gzip make of how often each symbol
// is used.
func (t *trees) predict(h *huffman, lit *[288]uint32, dist *[32]uint32) {
	t.litCount = h.lengths(t.lit[:litCodes], lit[:litCodes], 15)
	t.distCount = h.lengths(t.dist[:distCodes], dist[:distCodes], 15)
	t.predictRuns()
	t.predictLens(h)
}

func (t *trees) predictRuns() {
	t.runs = plainRuns(t.runs[:0], t.lit[:t.litCount])
	t.runs = plainRuns(t.runs, t.dist[:t.distCount])
}

// predictLens makes the code for code lengths out of the runs.
func (t *trees) predictLens(h *huffman) {
	var freq [lenCodes]uint32
	for _, r := range t.runs {
		freq[r.sym]++
	}
	h.lengths(t.lens[:], freq[:], 7)
	t.lenCount = lenCodes
	for t.lenCount > 4 && t.lens[lenOrder[t.lenCount-1]] == 0 {
		t.lenCount--
	}
}

// size is how many bits the header of the block takes behind its first three.
func (t *trees) size() int {
	n := 14 + 3*t.lenCount
	for _, r := range t.runs {
		n += int(t.lens[r.sym] + runExtra[r.sym])
	}
	return n
}

// write writes the header of a dynamic block behind its first three bits.
func (t *trees) write(w *bitWriter) {
	w.put(uint32(t.litCount-257), 5)
	w.put(uint32(t.distCount-1), 5)
	w.put(uint32(t.lenCount-4), 4)
	for _, sym := range lenOrder[:t.lenCount] {
		w.put(uint32(t.lens[sym]), 3)
	}
	var code [lenCodes]uint16
	codes(code[:], t.lens[:])
	for _, r := range t.runs {
		w.put(uint32(code[r.sym]), uint(t.lens[r.sym]))
		w.put(uint32(r.extra), uint(runExtra[r.sym]))
	}
}

// huffman builds code lengths the way zlib and GNU gzip do, ties included:
// symbols are merged by a binary heap in which the rarer, then the shallower
// tree comes first, and codes that are too long are mended from the longest on.
type huffman struct {
	freq   [2*288 + 1]uint32
	depth  [2*288 + 1]uint8
	parent [2*288 + 1]int16
	bits   [2*288 + 1]uint8
	heap   [2*288 + 1]int16
	n      int // heap[1:n+1] is the heap
}

func (h *huffman) less(a, b int16) bool {
	return h.freq[a] < h.freq[b] || h.freq[a] == h.freq[b] && h.depth[a] <= h.depth[b]
}

// down lets the node at i sink to its place.
func (h *huffman) down(i int) {
	v := h.heap[i]
	for j := 2 * i; j <= h.n; j *= 2 {
		if j < h.n && h.less(h.heap[j+1], h.heap[j]) {
			j++
		}
		if h.less(v, h.heap[j]) {
			break
		}
		h.heap[i] = h.heap[j]
		i = j
	}
	h.heap[i] = v
}

// lengths fills lens, and returns how many symbols there are up to the last one
// that is used. At least two get a code, used or not.
func (h *huffman) lengths(lens []uint8, freq []uint32, most int) int {
	size := len(freq)
	h.n = 0
	last := -1
	copy(h.freq[:], freq)
	for i, f := range freq {
		h.depth[i], lens[i] = 0, 0
		if f > 0 {
			h.n++
			h.heap[h.n] = int16(i)
			last = i
		}
	}
	for h.n < 2 {
		i := 0
		if last < 2 {
			last++
			i = last
		}
		h.freq[i], h.depth[i] = 1, 0
		h.n++
		h.heap[h.n] = int16(i)
	}
	for i := h.n / 2; i >= 1; i-- {
		h.down(i)
	}
	// Nodes in the order of rising frequency fill the heap's array from behind.
	top := 2*size + 1
	node := size
	for h.n >= 2 {
		a := h.heap[1]
		h.heap[1] = h.heap[h.n]
		h.n--
		h.down(1)
		b := h.heap[1]
		h.heap[top-1], h.heap[top-2] = a, b
		top -= 2
		h.freq[node] = h.freq[a] + h.freq[b]
		h.depth[node] = max(h.depth[a], h.depth[b]) + 1
		h.parent[a], h.parent[b] = int16(node), int16(node)
		h.heap[1] = int16(node)
		node++
		h.down(1)
	}
	top--
	h.heap[top] = h.heap[1]
	h.limit(lens, top, size, most)
	return last + 1
}

// limit turns the tree, whose nodes from the root on are heap[top:], into code
// lengths of at most most bits.
func (h *huffman) limit(lens []uint8, top, size, most int) {
	var counts [16]int
	h.bits[h.heap[top]] = 0
	over := 0
	end := 2*size + 1
	for _, v := range h.heap[top+1 : end] {
		n := int(h.bits[h.parent[v]]) + 1
		if n > most {
			n = most
			over++
		}
		h.bits[v] = uint8(n)
		if int(v) < size {
			counts[n]++
			lens[v] = uint8(n)
		}
	}
	if over == 0 {
		return
	}
	for ; over > 0; over -= 2 {
		n := most - 1
		for counts[n] == 0 {
			n--
		}
		counts[n]--
		counts[n+1] += 2
		counts[most]--
	}
	at := end
	for n := most; n > 0; n-- {
		for c := counts[n]; c > 0; {
			at--
			if v := h.heap[at]; int(v) < size {
				lens[v] = uint8(n)
				c--
			}
		}
	}
}
