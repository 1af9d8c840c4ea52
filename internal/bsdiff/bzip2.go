// SPDX-License-Identifier: MIT

package bsdiff

import (
	"io"
	"math/bits"
	"slices"
)

// Limits and numbers of the bzip2 format, as libbz2's decoder has them.
const (
	bzBlockMax  = 9*100_000 - 19 // bytes of a block after the first run-length coding
	bzGroup     = 50             // symbols that share a choice of code table
	bzMaxTables = 6
	bzMaxLength = 17 // libbz2 decodes up to 20, but never writes more
	bzBlockMark = 0x314159265359
	bzEndMark   = 0x177245385090
)

// bzAtom is the least size of a block, after the first run-length coding.
// Boundaries lie at multiples of it.
const bzAtom = 4 << 10

// Compress writes src to dst as one bzip2 stream. It is a [Compressor].
//
// The streams of a patch are made of stretches of very different kinds: code
// with changed addresses, tables, text, long zeros. A bzip2 block has one
// alphabet, one sorting, and six code tables at most, and other encoders cut
// blocks where 900 kB are full. Here blocks end where the content changes: it
// is cut into small pieces, and neighbours are joined as long as the joint block
// is the smaller one.
func Compress(dst io.Writer, src []byte) error {
	var w bitWriter
	w.bytes = append(w.bytes, "BZh9"...)
	var sum uint32
	z := &bzCoder{src: src}
	for _, b := range z.split() {
		crc := checksum(src[b.from:b.to])
		sum = bits.RotateLeft32(sum, 1) ^ crc
		z.encode(&w, b, crc)
	}
	w.write(bzEndMark, 48)
	w.write(uint64(sum), 32)
	w.flush()
	_, err := dst.Write(w.bytes)
	return err
}

// bzCoder makes the blocks of a stream.
type bzCoder struct {
	src     []byte
	runs    []byte // src after the first run-length coding
	rotated []byte
	column  []byte
	sa      []int32
	symbols []uint16
}

// bzBlock is a piece of the source that makes a block.
type bzBlock struct {
	from, to       int // in src
	runFrom, runTo int // in runs
	cost           int // bits, estimated
}

// split cuts the source into blocks that fit its content.
func (z *bzCoder) split() []bzBlock {
	// The first run-length coding does not depend on where blocks are cut, as
	// long as no run is cut.
	var blocks []bzBlock
	var b bzBlock
	for b.to < len(z.src) {
		c := z.src[b.to]
		n := runLength(z.src[b.to:])
		for range min(n, 4) {
			z.runs = append(z.runs, c)
		}
		if n >= 4 {
			z.runs = append(z.runs, byte(n-4))
		}
		b.to += n
		b.runTo = len(z.runs)
		if b.runTo-b.runFrom >= bzAtom || b.to == len(z.src) {
			z.measure(&b)
			blocks = append(blocks, b)
			b = bzBlock{b.to, b.to, b.runTo, b.runTo, 0}
		}
	}
	// Join neighbours, in rounds, until nothing is gained. A pair that did not
	// pay is not tried again.
	tried := make(map[[2]int]bool)
	for changed := true; changed; {
		changed = false
		next := blocks[:0:0]
		for i := 0; i < len(blocks); i++ {
			b := blocks[i]
			if i+1 < len(blocks) {
				c := blocks[i+1]
				pair := [2]int{b.from, c.to}
				if c.runTo-b.runFrom <= bzBlockMax && !tried[pair] {
					tried[pair] = true
					joint := bzBlock{b.from, c.to, b.runFrom, c.runTo, 0}
					z.measure(&joint)
					if joint.cost <= b.cost+c.cost {
						b, changed = joint, true
						i++
					}
				}
			}
			next = append(next, b)
		}
		blocks = next
	}
	return blocks
}

// runLength returns how many bytes at the start of src are coded as one run.
func runLength(src []byte) int {
	n := min(len(src), 255)
	for i, c := range src[:n] {
		if c != src[0] {
			return i
		}
	}
	return n
}

// measure estimates the size of a block.
func (z *bzCoder) measure(b *bzBlock) {
	z.sort(z.runs[b.runFrom:b.runTo])
	var w bitWriter
	size := z.moveToFront(&w)
	tables := 2
	for _, n := range [...]int{200, 600, 1200, 2400} {
		if len(z.symbols) >= n {
			tables++
		}
	}
	_, _, cost := fitTables(z.symbols, size, tables, 3)
	b.cost = cost + w.len() + 48 + 32 + 1 + 24 + 3 + 15
}

// encode writes a block, whose source has the given checksum.
func (z *bzCoder) encode(w *bitWriter, b bzBlock, crc uint32) {
	origin := z.sort(z.runs[b.runFrom:b.runTo])
	w.write(bzBlockMark, 48)
	w.write(uint64(crc), 32)
	w.write(0, 1)
	w.write(uint64(origin), 24)
	size := z.moveToFront(w)
	z.entropyCode(size, w)
}

// sort is the Burrows-Wheeler transform: it puts the last column of the sorted
// rotations of text into z.column, and returns the row of the text itself.
//
// The rotations of a text and those of its least rotation are the same, and for
// a text that is its own least rotation they are sorted as its suffixes are,
// unless it repeats itself as a whole; then the sorting of one period will do.
func (z *bzCoder) sort(text []byte) (origin int) {
	n := len(text)
	start, period := leastRotation(text)
	z.rotated = append(append(z.rotated[:0], text[start:]...), text[:start]...)
	unit := z.rotated[:period]
	z.sa = Suffixes(z.sa, unit)
	// The text starts at n-start in its least rotation.
	at := int32((n - start) % period)
	z.column = z.column[:0]
	times := n / period
	for i, p := range z.sa {
		if p == at {
			origin = i * times
		}
		if p == 0 {
			p = int32(period)
		}
		for range times {
			z.column = append(z.column, unit[p-1])
		}
	}
	return origin
}

// leastRotation returns where the least rotation of text starts, and the length
// of the shortest piece of which the text is a repetition.
func leastRotation(text []byte) (start, period int) {
	n := len(text)
	i, j, k := 0, 1, 0
	for i < n && j < n && k < n {
		a, b := text[(i+k)%n], text[(j+k)%n]
		if a == b {
			k++
			continue
		}
		if a > b {
			i += k + 1
		} else {
			j += k + 1
		}
		if i == j {
			j++
		}
		k = 0
	}
	start, period = min(i, j), n
	if k == n {
		// Two different starts give the same rotation.
		period = max(i, j) - start
	}
	return start, period
}

// moveToFront codes z.column as positions in a list of recently used bytes,
// with runs of position 0 as numbers of their own, into z.symbols. It writes
// which bytes are in use and returns the number of symbols that there may be.
func (z *bzCoder) moveToFront(w *bitWriter) (size int) {
	var used [256]bool
	for _, c := range z.column {
		used[c] = true
	}
	var list []byte
	var ranges uint64
	for c := range used {
		if used[c] {
			list = append(list, byte(c))
			ranges |= 1 << (15 - c/16)
		}
	}
	w.write(ranges, 16)
	for r := range 16 {
		if ranges>>(15-r)&1 != 0 {
			for c := range 16 {
				bit := uint64(0)
				if used[r*16+c] {
					bit = 1
				}
				w.write(bit, 1)
			}
		}
	}
	z.symbols = z.symbols[:0]
	run := 0
	flush := func() {
		// Bijective base 2, least digit first.
		for ; run > 0; run = (run - 1) / 2 {
			z.symbols = append(z.symbols, uint16((run+1)&1))
		}
	}
	for _, c := range z.column {
		if list[0] == c {
			run++
			continue
		}
		flush()
		i := 1
		for list[i] != c {
			i++
		}
		copy(list[1:i+1], list[:i])
		list[0] = c
		z.symbols = append(z.symbols, uint16(i+1))
	}
	flush()
	end := uint16(len(list) + 1)
	z.symbols = append(z.symbols, end)
	return int(end) + 1
}

// entropyCode writes z.symbols, of which there are size different ones, with the
// number of code tables that gives the fewest bits.
func (z *bzCoder) entropyCode(size int, w *bitWriter) {
	n := len(z.symbols)
	groups := (n + bzGroup - 1) / bzGroup
	var best []byte
	var bestTables [][]byte
	bestCost := -1
	for tables := 2; tables <= bzMaxTables; tables++ {
		if tables > 2 && groups < 8*(tables-1) {
			break
		}
		choice, lengths, cost := fitTables(z.symbols, size, tables, 20)
		if bestCost < 0 || cost < bestCost {
			best, bestTables, bestCost = choice, lengths, cost
		}
	}
	w.write(uint64(len(bestTables)), 3)
	w.write(uint64(groups), 15)
	order := [bzMaxTables]byte{0, 1, 2, 3, 4, 5}
	for _, t := range best {
		i := moveIn(&order, t)
		w.write(1<<(i+1)-2, uint(i+1))
	}
	codes := make([][]uint32, len(bestTables))
	for t, lengths := range bestTables {
		codes[t] = assignCodes(lengths)
		at := lengths[0]
		w.write(uint64(at), 5)
		for _, l := range lengths {
			for ; at < l; at++ {
				w.write(2, 2)
			}
			for ; at > l; at-- {
				w.write(3, 2)
			}
			w.write(0, 1)
		}
	}
	for g, t := range best {
		for _, s := range z.symbols[g*bzGroup : min(g*bzGroup+bzGroup, n)] {
			w.write(uint64(codes[t][s]), uint(bestTables[t][s]))
		}
	}
}

// moveIn moves t to the front of the list and returns where it was.
func moveIn(order *[bzMaxTables]byte, t byte) int {
	i := slices.Index(order[:], t)
	copy(order[1:i+1], order[:i])
	order[0] = t
	return i
}

// fitTables finds code tables, and the choice of one for each group of symbols,
// by turns: the choice that is best for the tables, then the tables that are
// best for the choice. The cost is in bits.
func fitTables(symbols []uint16, size, tables, rounds int) (choice []byte, lengths [][]byte, cost int) {
	n := len(symbols)
	groups := (n + bzGroup - 1) / bzGroup
	trial := firstTables(symbols, size, tables)
	freq := make([][258]int, tables)
	cost = -1
	for round := 0; round <= rounds; round++ {
		clear(freq)
		total := 0
		order := [bzMaxTables]byte{0, 1, 2, 3, 4, 5}
		next := make([]byte, groups)
		for g := range next {
			group := symbols[g*bzGroup : min(g*bzGroup+bzGroup, n)]
			best, bestCost := byte(0), -1
			for i, t := range order {
				if int(t) >= tables {
					continue
				}
				c := i + 1
				for _, s := range group {
					c += int(trial[t][s])
				}
				if bestCost < 0 || c < bestCost {
					best, bestCost = t, c
				}
			}
			total += bestCost
			moveIn(&order, best)
			next[g] = best
			for _, s := range group {
				freq[best][s]++
			}
		}
		if round > 0 { // the first tables are none that could be written
			for _, l := range trial {
				total += tableCost(l)
			}
			if cost < 0 || total < cost {
				choice, lengths, cost = next, trial, total
			}
		}
		trial = make([][]byte, tables)
		for t := range trial {
			trial[t] = bestLengths(freq[t][:size])
		}
	}
	return choice, lengths, cost
}

// firstTables makes tables to begin with: each stands for a range of symbols,
// all of about the same number of occurrences.
func firstTables(symbols []uint16, size, tables int) [][]byte {
	var count [258]int
	for _, s := range symbols {
		count[s]++
	}
	lengths := make([][]byte, tables)
	at, left := 0, len(symbols)
	for t := range lengths {
		first, got := at, 0
		for want := left / (tables - t); at < size && (got < want || at == first); at++ {
			got += count[at]
		}
		left -= got
		lengths[t] = make([]byte, size)
		for s := range lengths[t] {
			if s < first || s >= at {
				lengths[t][s] = 15
			}
		}
	}
	return lengths
}

// bestLengths makes the code for symbols of the given frequencies that is the
// smallest together with its own description, which is the shorter the less the
// lengths of neighbours differ: rare symbols are taken for more frequent ones.
func bestLengths(freq []int) []byte {
	var best []byte
	bestCost := 0
	for _, least := range [...]int{4, 8, 16, 32, 64, 128} {
		lengths := codeLengths(freq, least)
		cost := tableCost(lengths)
		for s, f := range freq {
			cost += f * int(lengths[s])
		}
		if best == nil || cost < bestCost {
			best, bestCost = lengths, cost
		}
	}
	return best
}

// codeLengths makes a prefix code for symbols of the given frequencies, or of
// least sixteenths where that is more. Each symbol gets a code, since the format
// has no way to leave one out.
func codeLengths(freq []int, least int) []byte {
	n := len(freq)
	type node struct{ weight, parent int }
	nodes := make([]node, n, 2*n)
	order := make([]uint64, n) // weight and symbol, ascending
	depth := make([]int, 2*n)
	lengths := make([]byte, n)
	for scale := 0; ; scale++ {
		nodes = nodes[:n]
		for s, f := range freq {
			nodes[s] = node{weight: max(max(f<<4, least)>>scale, 1)}
			order[s] = uint64(nodes[s].weight)<<9 | uint64(s)
		}
		slices.Sort(order)
		// The two lightest of the symbols, in order, and of the inner nodes,
		// which come into being in order.
		leaf, inner := 0, n
		lightest := func() int {
			if leaf < n && (inner == len(nodes) || int(order[leaf]>>9) <= nodes[inner].weight) {
				leaf++
				return int(order[leaf-1] & 511)
			}
			inner++
			return inner - 1
		}
		for range n - 1 {
			a := lightest()
			b := lightest()
			nodes[a].parent, nodes[b].parent = len(nodes), len(nodes)
			nodes = append(nodes, node{weight: nodes[a].weight + nodes[b].weight})
		}
		depth[len(nodes)-1] = 0
		deepest := 0
		for i := len(nodes) - 2; i >= 0; i-- {
			// A leaf may come before its parent in the list, but never after.
			depth[i] = depth[nodes[i].parent] + 1
			if i < n {
				lengths[i] = byte(depth[i])
				deepest = max(deepest, depth[i])
			}
		}
		if deepest <= bzMaxLength {
			return lengths
		}
	}
}

// assignCodes gives the canonical codes of the given lengths.
func assignCodes(lengths []byte) []uint32 {
	codes := make([]uint32, len(lengths))
	code := uint32(0)
	for l := byte(1); l <= bzMaxLength; l++ {
		for s, have := range lengths {
			if have == l {
				codes[s] = code
				code++
			}
		}
		code <<= 1
	}
	return codes
}

// tableCost is the size of a code table in the block, in bits.
func tableCost(lengths []byte) int {
	cost := 5
	at := lengths[0]
	for _, l := range lengths {
		cost += 1 + 2*max(int(l)-int(at), int(at)-int(l))
		at = l
	}
	return cost
}

// checksum is the CRC-32 of bzip2: the polynomial of Ethernet, most significant
// bit first.
func checksum(b []byte) uint32 {
	crc := ^uint32(0)
	for _, c := range b {
		crc = crc<<8 ^ bzCRC[byte(crc>>24)^c]
	}
	return ^crc
}

var bzCRC = func() (t [256]uint32) {
	for i := range t {
		c := uint32(i) << 24
		for range 8 {
			if c>>31 != 0 {
				c = c<<1 ^ 0x04c11db7
			} else {
				c <<= 1
			}
		}
		t[i] = c
	}
	return t
}()

// bitWriter collects bits, most significant first.
type bitWriter struct {
	bytes []byte
	acc   uint64 // the last bits, not yet in bytes
	n     uint   // their number, below 8 between writes
}

// write appends the low n bits of v, at most 48.
func (w *bitWriter) write(v uint64, n uint) {
	w.acc = w.acc<<n | v
	w.n += n
	for w.n >= 8 {
		w.n -= 8
		w.bytes = append(w.bytes, byte(w.acc>>w.n))
	}
}

// len is the number of bits written.
func (w *bitWriter) len() int { return len(w.bytes)*8 + int(w.n) }

// flush fills the last byte up with zeros.
func (w *bitWriter) flush() {
	if w.n > 0 {
		w.write(0, 8-w.n)
	}
}
