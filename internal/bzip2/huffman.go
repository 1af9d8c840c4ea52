// SPDX-License-Identifier: MIT

package bzip2

import (
	"math"
	"math/bits"
	"slices"
)

const (
	groupSize  = 50 // symbols that share a table
	maxTables  = 6
	maxSymbols = 258
	codeLimit  = 17 // bits of a code: what the reference makes; decoders take 20
)

// lengths are the code lengths of a table, in bits.
type lengths [maxSymbols]uint8

// coding says how the symbols of a block are coded.
type coding struct {
	n        int // tables
	tables   [maxTables]lengths
	selector []uint8 // the table of each group
}

// recency is an order of tables, the last used one first. A selector is coded as
// the place of its table, in unary.
type recency [maxTables]uint8

var initial = recency{0, 1, 2, 3, 4, 5}

// use moves the table at the given place to the front.
func (r *recency) use(place int) {
	t := r[place]
	for ; place > 0; place-- {
		r[place] = r[place-1]
	}
	r[0] = t
}

// write writes selectors, tables and symbols.
func (c *coding) write(w *bitWriter, syms []uint16, alpha int) {
	w.write(uint64(c.n), 3)
	w.write(uint64(len(c.selector)), 15)
	order := initial
	for _, t := range c.selector {
		place := slices.Index(order[:], t)
		order.use(place)
		w.write(1<<(place+1)-2, uint(place)+1)
	}
	var codes [maxTables][maxSymbols]uint64
	for t := range c.n {
		l := c.tables[t][:alpha]
		at := l[0]
		w.write(uint64(at), 5)
		for _, v := range l {
			for ; at < v; at++ {
				w.write(0b10, 2)
			}
			for ; at > v; at-- {
				w.write(0b11, 2)
			}
			w.write(0, 1)
		}
		code := uint64(0)
		for n := uint8(1); n <= codeLimit; n++ {
			code <<= 1
			for s, v := range l {
				if v == n {
					codes[t][s] = code
					code++
				}
			}
		}
	}
	for i, s := range syms {
		t := c.selector[i/groupSize]
		w.write(codes[t][s], uint(c.tables[t][s]))
	}
}

// tableBits returns the size of a table: 5 bits of first length, and per symbol
// 2 bits for each step from the length before and 1 that ends them.
func tableBits(l []uint8) int {
	bits := 5 + len(l)
	at := int(l[0])
	for _, v := range l {
		d := int(v) - at
		bits += 2 * max(d, -d)
		at = int(v)
	}
	return bits
}

// coder finds codings, as in k-means clustering: the groups choose their tables,
// the tables are made for the groups that chose them, and so on. Its memory is
// used again from block to block.
type coder struct {
	coding
	syms   []uint16
	alpha  int // symbols are below
	counts [maxTables][maxSymbols]int32
	excess [maxTables]uint32 // bits to add per group, see approximate

	stay   [maxSymbols]span   // see smooth
	trial  lengths            // see completeTable
	cameBy [][maxTables]uint8 // see assign
	price  []int32            // see begin
	sorted []int32
}

// load sets the symbols to be coded.
func (c *coder) load(syms []uint16, alpha int) {
	c.syms, c.alpha = syms, alpha
	n := (len(syms) + groupSize - 1) / groupSize
	c.selector = slices.Grow(c.selector[:0], n)[:n]
}

func (c *coder) group(g int) []uint16 {
	return c.syms[g*groupSize : min((g+1)*groupSize, len(c.syms))]
}

// guess returns how many tables usually serve so many groups best.
func guess(groups int) int {
	for i, limit := range []int{60, 150, 400, 1000} {
		if groups < limit {
			return 2 + i
		}
	}
	return maxTables
}

// estimate returns about how many bits the best coding takes.
func (c *coder) estimate(syms []uint16, alpha int) int {
	c.load(syms, alpha)
	c.begin(guess(len(c.selector)), byPrice)
	bits := 0
	for range 2 {
		c.count()
		bits = c.approximate() + c.assignGreedily()
	}
	return 3 + 15 + bits
}

// choose sets best to the best coding found.
func (c *coder) choose(best *coding, syms []uint16, alpha int) {
	c.load(syms, alpha)
	middle := guess(len(c.selector))
	least := math.MaxInt
	keep := func(bits int) bool {
		if bits >= least {
			return false
		}
		least = bits
		best.n, best.tables = c.n, c.tables
		best.selector = append(best.selector[:0], c.selector...)
		return true
	}
	for n := max(middle-1, 2); n <= min(middle+1, maxTables); n++ {
		for _, by := range []partition{byPrice, byPlace} {
			c.begin(n, by)
			last := math.MaxInt
			for range 12 {
				c.count()
				bits := c.approximate() + c.assign()
				if bits >= last {
					break
				}
				last = bits
			}
			c.count()
			keep(c.complete() + c.assign())
		}
	}
	c.n, c.tables = best.n, best.tables
	copy(c.selector, best.selector)
	for range 8 {
		c.count()
		if !keep(c.complete() + c.assign()) {
			break
		}
	}
}

// partition is a way to divide the groups among tables to begin with.
type partition int

const (
	byPrice partition = iota // how many bits the group takes under one common table
	byPlace                  // where the group is
)

// begin sets the number of tables, and the selectors to a first partition.
func (c *coder) begin(tables int, by partition) {
	c.n = tables
	groups := len(c.selector)
	if by == byPlace {
		for g := range c.selector {
			c.selector[g] = uint8(g * tables / groups)
		}
		return
	}
	var count, price [maxSymbols]int32
	for _, s := range c.syms {
		count[s]++
	}
	for s := range c.alpha {
		price[s] = int32(log2(uint32(2*len(c.syms))) - log2(uint32(2*count[s]+1)))
	}
	c.price = c.price[:0]
	for g := range groups {
		sum := int32(0)
		for _, s := range c.group(g) {
			sum += price[s]
		}
		c.price = append(c.price, sum)
	}
	c.sorted = append(c.sorted[:0], c.price...)
	slices.Sort(c.sorted)
	for g, p := range c.price {
		t := uint8(0)
		for i := 1; i < tables; i++ {
			if p > c.sorted[i*groups/tables] {
				t++
			}
		}
		c.selector[g] = t
	}
}

// count counts the symbols that each table codes.
func (c *coder) count() {
	for t := range c.n {
		clear(c.counts[t][:c.alpha])
	}
	for g, t := range c.selector {
		h := &c.counts[t]
		for _, s := range c.group(g) {
			h[s]++
		}
	}
}

// whole is the Kraft sum of a complete code, in units of the longest code.
const whole = 1 << codeLimit

// fair returns the weight of the Kraft sum under which about a complete code is
// best for so many symbols: with lengths l of any real value, n*l + w*2^-l is
// least for all symbols at a sum of 1 if w is n/ln 2. (There are no floating
// point numbers here lest machines that round otherwise make other bytes.)
func fair(count []int32) int64 {
	n := int64(1)
	for _, v := range count {
		n += int64(v)
	}
	return n * 1477 / 1024
}

// log2 returns the logarithm of x, at least 1, in 256ths, rounded down.
func log2(x uint32) int {
	n := bits.Len32(x) - 1
	m := uint64(x) << (31 - n) // from 1 to below 2, in units of 2^-31
	for range 8 {
		m = m * m >> 31
		bit := m >> 32
		m >>= bit
		n = n<<1 | int(bit)
	}
	return n
}

// approximate makes tables for the counts whose codes are nearly complete, and
// returns the tables' bits. What a code exceeds a complete one by is charged to the
// groups that use it, as if all its lengths were greater by the logarithm of the sum.
func (c *coder) approximate() (bits int) {
	for t := range c.n {
		count, l := c.counts[t][:c.alpha], c.tables[t][:c.alpha]
		sum := c.smooth(l, count, fair(count))
		c.excess[t] = uint32(max(0, groupSize*(log2(uint32(sum))-log2(whole))+128) / 256)
		bits += tableBits(l)
	}
	return bits
}

// complete makes tables for the counts whose codes are complete, and returns
// the tables' bits.
func (c *coder) complete() (bits int) {
	for t := range c.n {
		count, l := c.counts[t][:c.alpha], c.tables[t][:c.alpha]
		c.completeTable(l, count)
		c.excess[t] = 0
		bits += tableBits(l)
	}
	return bits
}

func (c *coder) completeTable(l []uint8, count []int32) {
	trial, room := c.trial[:len(l)], 0
	try := func(weight int64) (fits bool) {
		sum := c.smooth(trial, count, weight)
		if sum > whole {
			return false
		}
		room = whole - sum
		copy(l, trial)
		return true
	}
	// The sum falls as its weight rises. Find a weight between one whose code
	// does not fit and one whose code does: the less room is left, the better.
	high := fair(count)
	low := high * 7 / 10
	for !try(high) {
		low = high
		high += high/2 + 1
	}
	for range 4 {
		if middle := (low + high) / 2; try(middle) {
			high = middle
		} else {
			low = middle
		}
	}
	fill(l, count, room)
}

// fill shortens codes where it serves best until the code is complete. There is
// always one to be shortened: the longest takes what the room is a multiple of.
func fill(l []uint8, count []int32, room int) {
	for room > 0 {
		best, most := 0, int64(math.MinInt64)
		for s, v := range l {
			if v == 1 || whole>>v > room {
				continue
			}
			gain := int64(count[s])
			// The steps from and to the neighbours in the table.
			if s > 0 {
				gain += step(l[s-1], v)
			}
			if s+1 < len(l) {
				gain += step(l[s+1], v)
			}
			if gain <<= v; gain > most {
				best, most = s, gain
			}
		}
		room -= whole >> l[best]
		l[best]--
	}
}

// step returns how many bits the steps between a symbol and its neighbour become
// fewer when the symbol's length is reduced by 1.
func step(neighbour, length uint8) int64 {
	if neighbour < length {
		return 2
	}
	return -2
}

// smooth sets l to the lengths that minimise the bits of the counted symbols and
// of the table, plus the given weight times the Kraft sum, which it returns in
// units of whole. Lengths of unused symbols are those that cost the table least.
//
// It finds the cheapest way through the symbols, whose states are the lengths. What
// the ways to the lengths cost is a convex function of the length, which is kept as its
// slopes, from each length to the next. They rise. A symbol adds a convex function:
// its count times the length, and its share of the Kraft sum. Because a length can be
// reached from any other at the cost of the steps between them, slopes are clamped to the
// cost of a step. So from each of the lengths between which the slopes are below that the
// path goes on without a step; shorter lengths are reached from the first of these, and
// longer ones from the last.
func (c *coder) smooth(l []uint8, count []int32, weight int64) (sum int) {
	const (
		bit  = 16 // costs are in sixteenths of a bit
		move = 2 * bit
	)
	var kraft [codeLimit]int32 // by how much the share falls, from each length to the next
	for v := 1; v < codeLimit; v++ {
		kraft[v] = int32(min(weight*bit>>v-weight*bit>>(v+1), 1<<24))
	}
	var slope [codeLimit]int32 // valid from low to below high, within the limits
	low, high := 1, codeLimit
	for s, n := range count {
		c.stay[s] = span{low, high}
		n *= bit
		for v := low; v < high; v++ {
			slope[v] += n - kraft[v]
		}
		for ; low > 1 && n >= kraft[low-1]; low-- {
			slope[low-1] = -move + n - kraft[low-1]
		}
		for ; high < codeLimit && n <= kraft[high]; high++ {
			slope[high] = move + n - kraft[high]
		}
		for low < high && slope[low] < -move {
			low++
		}
		for low < high && slope[high-1] > move {
			high--
		}
	}
	best := low
	for best < high && slope[best] < 0 {
		best++
	}
	for s := len(l) - 1; s >= 0; s-- {
		l[s] = uint8(best)
		sum += whole >> best
		best = min(max(best, c.stay[s].low), c.stay[s].high)
	}
	return sum
}

// span is a range of lengths.
type span struct{ low, high int }

// fieldBits is the width of a number up to groupSize*codeLimit; six of them fit
// into a word.
const (
	fieldBits = 10
	fieldMask = 1<<fieldBits - 1
)

// columns returns the lengths of each symbol in all tables, side by side, so that
// the cost of a group under all of them is one sum.
func (c *coder) columns() *[maxSymbols]uint64 {
	p := new([maxSymbols]uint64)
	for t := range c.n {
		for s, v := range c.tables[t][:c.alpha] {
			p[s] |= uint64(v) << (fieldBits * t)
		}
	}
	return p
}

// assignGreedily selects the best table for one group after the other and returns the
// bits of selectors and symbols.
func (c *coder) assignGreedily() (bits int) {
	columns := c.columns()
	order := initial
	for g := range c.selector {
		sum := uint64(0)
		for _, s := range c.group(g) {
			sum += columns[s]
		}
		best, least := 0, uint32(math.MaxUint32)
		for place, t := range order[:c.n] {
			x := uint32(sum>>(fieldBits*t)&fieldMask) + c.excess[t] + uint32(place)
			if x < least {
				best, least = place, x
			}
		}
		c.selector[g] = order[best]
		order.use(best)
		bits += int(least) + 1
	}
	return bits
}

// assign is assignGreedily with a view to the selectors that follow: it keeps a
// best way to each table, not to one only.
func (c *coder) assign() (bits int) {
	type way struct {
		cost  int
		order recency
		place [maxTables]uint8 // of each table in order
	}
	columns := c.columns()
	var ways, next [maxTables]way
	for t := range c.n {
		ways[t] = way{1 << 30, initial, initial}
	}
	ways[0].cost = 0
	c.cameBy = c.cameBy[:0]
	for g := range c.selector {
		sum := uint64(0)
		for _, s := range c.group(g) {
			sum += columns[s]
		}
		var cameBy [maxTables]uint8
		for t := range c.n {
			best, least := 0, math.MaxInt
			for f := range c.n {
				if x := ways[f].cost + int(ways[f].place[t]); x < least {
					best, least = f, x
				}
			}
			w := &next[t]
			w.order = ways[best].order
			w.order.use(int(ways[best].place[t]))
			for place, u := range w.order {
				w.place[u] = uint8(place)
			}
			w.cost = least + 1 + int(sum>>(fieldBits*t)&fieldMask) + int(c.excess[t])
			cameBy[t] = uint8(best)
		}
		ways, next = next, ways
		c.cameBy = append(c.cameBy, cameBy)
	}
	best := 0
	for t := range c.n {
		if ways[t].cost < ways[best].cost {
			best = t
		}
	}
	bits = ways[best].cost
	for g := len(c.selector) - 1; g >= 0; g-- {
		c.selector[g] = uint8(best)
		best = int(c.cameBy[g][best])
	}
	return bits
}
