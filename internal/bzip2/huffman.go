// SPDX-License-Identifier: MIT

package bzip2

import (
	"math"
	"slices"
)

const (
	groupSize  = 50 // symbols per selector
	minTables  = 2
	maxTables  = 6
	maxLength  = 20 // of a code, in bits
	maxSymbols = 258
)

// lengths are the code lengths of a table.
type lengths [maxSymbols]uint8

// counts are how often symbols occur.
type counts [maxSymbols]int32

// coder chooses tables and selectors. Its memory is reused from block to block.
type coder struct {
	syms     []uint16
	alpha    int // symbols are below alpha
	n        int // tables in use
	tables   [maxTables]lengths
	selector []uint8 // table of each group
	counts   [maxTables]counts
	bits     int64
	over [maxTables]uint64

	from   [maxSymbols][maxLength + 1]uint8
	trial  lengths
	steps  [][maxTables]uint8
	weight []int32
	keys   []int32
}

func (c *coder) group(g int) []uint16 {
	return c.syms[g*groupSize : min((g+1)*groupSize, len(c.syms))]
}

func (c *coder) reset(syms []uint16, alpha, tables int) {
	c.syms, c.alpha, c.n = syms, alpha, tables
	g := (len(syms) + groupSize - 1) / groupSize
	c.selector = slices.Grow(c.selector[:0], g)[:g]
}

func tableBits(l []uint8) int64 {
	bits := int64(5 + len(l))
	prev := int(l[0])
	for _, v := range l {
		d := int(v) - prev
		if d < 0 {
			d = -d
		}
		bits += int64(2 * d)
		prev = int(v)
	}
	return bits
}

func codeBits(freq []int32, l []uint8) int64 {
	s := int64(0)
	for i, f := range freq {
		s += int64(f) * int64(l[i])
	}
	return s
}

const scale = 16 // costs per bit

// smooth finds the lengths that minimise the bits of code and table plus lambda
// times the Kraft sum, and returns that sum in units of 2^-20.
func (c *coder) smooth(freq []int32, lambda float64, out []uint8) int64 {
	n := len(freq)
	var cost, pen [maxLength + 1]int32
	for l := 1; l <= maxLength; l++ {
		pen[l] = int32(min(math.Ldexp(lambda*scale, -l), 1<<24))
	}
	top := min(maxLength, optTop)
	for s, f := range freq {
		f *= scale
		if s > 0 {
			fr := &c.from[s]
			prev := cost[1]
			at := uint8(1)
			fr[1] = 1
			for l := 2; l <= top; l++ {
				prev += 2 * scale
				if x := cost[l]; x <= prev {
					prev = x
					at = uint8(l)
				}
				cost[l] = prev
				fr[l] = at
			}
			for l := top - 1; l >= 1; l-- {
				prev += 2 * scale
				if x := cost[l]; x <= prev {
					prev = x
					at = fr[l]
				}
				cost[l] = prev
				fr[l] = at
			}
		}
		add := int32(0)
		for l := 1; l <= top; l++ {
			add += f
			cost[l] += add + pen[l]
		}
		// keep costs small
		if s&15 == 15 {
			m := cost[1]
			for l := 2; l <= top; l++ {
				m = min(m, cost[l])
			}
			for l := 1; l <= top; l++ {
				cost[l] -= m
			}
		}
	}
	b := 1
	for l := 2; l <= top; l++ {
		if cost[l] < cost[b] {
			b = l
		}
	}
	k := int64(0)
	for s := n - 1; s >= 0; s-- {
		out[s] = uint8(b)
		k += 1 << (maxLength - b)
		b = int(c.from[s][b])
	}
	return k
}

// optTop bounds lengths in smooth.
var optTop = 17
var optBisect = 10

// exact finds lengths of a complete code.
func (c *coder) exact(freq []int32, out []uint8) {
	n := len(freq)
	best := int64(math.MaxInt64)
	try := c.trial[:n]
	total := 0.0
	for _, f := range freq {
		total += float64(f)
	}
	const one = 1 << maxLength
	finish := func(k int64) {
		for slack := int64(one) - k; slack > 0; {
			bi := -1
			bg := math.Inf(-1)
			for s := 0; s < n; s++ {
				l := int(try[s])
				if l <= 1 || int64(1)<<(maxLength-l) > slack {
					continue
				}
				g := int(freq[s])
				if s > 0 {
					if int(try[s-1]) < l {
						g += 2
					} else {
						g -= 2
					}
				}
				if s < n-1 {
					if int(try[s+1]) < l {
						g += 2
					} else {
						g -= 2
					}
				}
				if g := math.Ldexp(float64(g), l); g > bg {
					bg, bi = g, s
				}
			}
			slack -= 1 << (maxLength - try[bi])
			try[bi]--
		}
		if x := codeBits(freq, try) + tableBits(try); x < best {
			best = x
			copy(out, try)
		}
	}
	lo, hi := 0.0, (total+1)/math.Ln2
	for {
		k := c.smooth(freq, hi, try)
		if k <= one {
			finish(k)
			break
		}
		lo = hi
		hi *= 1.5
	}
	for i := 0; i < optBisect; i++ {
		mid := (lo + hi) / 2
		if lo == 0 {
			mid = hi * 0.8
		}
		k := c.smooth(freq, mid, try)
		if k > one {
			lo = mid
		} else {
			hi = mid
			finish(k)
		}
	}
}

// count counts the symbols of each table.
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

// approximate sets the tables to header-aware lengths, near a complete code.
func (c *coder) approximate() {
	for t := range c.n {
		total := int32(0)
		f := c.counts[t][:c.alpha]
		for _, v := range f {
			total += v
		}
		k := c.smooth(f, float64(total)/math.Ln2+1, c.tables[t][:c.alpha])
		c.over[t] = uint64(max(0, math.Round(groupSize*math.Log2(float64(k)/(1<<maxLength)))))
	}
}

func (c *coder) packed(p *[maxSymbols]uint64) {
	for s := range c.alpha {
		v := uint64(0)
		for t := range c.n {
			v |= uint64(c.tables[t][s]) << (10 * t)
		}
		p[s] = v
	}
}

// assign chooses the table of each group, one group after the other, and returns the bits of selectors and symbols
func (c *coder) assign() int64 {
	var packed [maxSymbols]uint64
	c.packed(&packed)
	order := [maxTables]uint8{0, 1, 2, 3, 4, 5}
	bits := int64(0)
	for g := range c.selector {
		sum := uint64(0)
		for _, s := range c.group(g) {
			sum += packed[s]
		}
		b, bc := 0, uint64(1<<60)
		for j := range c.n {
			if x := sum>>(10*order[j])&1023 + uint64(j) + c.over[order[j]]; x < bc {
				b, bc = j, x
			}
		}
		t := order[b]
		copy(order[1:b+1], order[:b])
		order[0] = t
		c.selector[g] = t
		bits += int64(bc) + 1
	}
	return bits
}

// assignBest is assign with the consequences for later groups taken into account: the best way to each table as the last.
func (c *coder) assignBest() int64 {
	var packed [maxSymbols]uint64
	c.packed(&packed)
	type state struct {
		order [maxTables]uint8
		rank  [maxTables]uint8
		cost  int64
	}
	var cur, nxt [maxTables]state
	for t := range c.n {
		cur[t] = state{[maxTables]uint8{0, 1, 2, 3, 4, 5}, [maxTables]uint8{0, 1, 2, 3, 4, 5}, 1 << 40}
	}
	cur[0].cost = 0
	c.steps = slices.Grow(c.steps[:0], len(c.selector))[:len(c.selector)]
	for g := range c.selector {
		sum := uint64(0)
		for _, s := range c.group(g) {
			sum += packed[s]
		}
		for t := range c.n {
			bc := int64(math.MaxInt64)
			bf := 0
			for f := range c.n {
				if x := cur[f].cost + int64(cur[f].rank[t]); x < bc {
					bc, bf = x, f
				}
			}
			nx := &nxt[t]
			bj := int(cur[bf].rank[t])
			nx.order = cur[bf].order
			copy(nx.order[1:bj+1], cur[bf].order[:bj])
			nx.order[0] = uint8(t)
			for j := range c.n {
				nx.rank[nx.order[j]] = uint8(j)
			}
			nx.cost = bc + 1 + int64(sum>>(10*t)&1023 + c.over[t])
			c.steps[g][t] = uint8(bf)
		}
		cur = nxt
	}
	b := 0
	for t := range c.n {
		if cur[t].cost < cur[b].cost {
			b = t
		}
	}
	bits := cur[b].cost
	for g := len(c.selector) - 1; g >= 0; g-- {
		c.selector[g] = uint8(b)
		b = int(c.steps[g][b])
	}
	return bits
}

// start makes a first partition: groups by what they cost under a single table.
func (c *coder) start(kind int) {
	n := len(c.selector)
	if kind == 1 {
		for g := range c.selector {
			c.selector[g] = uint8(g * c.n / n)
		}
		return
	}
	var f counts
	for _, s := range c.syms {
		f[s]++
	}
	var price [maxSymbols]int32
	for s := range c.alpha {
		price[s] = int32(16 * math.Log2(float64(len(c.syms))/(float64(f[s])+0.5)))
	}
	c.weight = slices.Grow(c.weight[:0], n)[:n]
	for g := range n {
		w := int32(0)
		for _, s := range c.group(g) {
			w += price[s]
		}
		c.weight[g] = w
	}
	sorted := append(c.keys[:0], c.weight...)
	c.keys = sorted
	slices.Sort(sorted)
	var limit [maxTables]int32
	for t := range c.n {
		limit[t] = sorted[min((t+1)*n/c.n, n-1)]
	}
	for g, w := range c.weight {
		t := 0
		for t < c.n-1 && w > limit[t] {
			t++
		}
		c.selector[g] = uint8(t)
	}
}

var optEstIters = 3

// estimate returns about how many bits the coding takes.
func (c *coder) estimate(syms []uint16, alpha int) int64 {
	g := (len(syms) + groupSize - 1) / groupSize
	nt := 2
	switch {
	case g >= 600:
		nt = 6
	case g >= 300:
		nt = 5
	case g >= 150:
		nt = 4
	case g >= 60:
		nt = 3
	}
	c.reset(syms, alpha, nt)
	c.start(0)
	bits := int64(0)
	for range optEstIters {
		c.count()
		c.approximate()
		bits = c.assign()
	}
	for t := range c.n {
		bits += tableBits(c.tables[t][:alpha])
	}
	return bits
}

// coding is a complete choice.
type coding struct {
	n        int
	tables   [maxTables]lengths
	selector []uint8
	bits     int64
}

var (
	optIters                   = 12
	optMinTables, optMaxTables = 2, 6
	optStarts                  = 2
	optExact                   = 3
)

func (c *coder) best(syms []uint16, alpha int, best *coding) {
	best.bits = math.MaxInt64
	for nt := optMinTables; nt <= optMaxTables; nt++ {
		for st := 0; st < optStarts; st++ {
			c.reset(syms, alpha, nt)
			c.start(st)
			last := int64(math.MaxInt64)
			for range optIters {
				c.count()
				c.approximate()
				b := c.assignBest()
				if b >= last {
					break
				}
				last = b
			}
			for range optExact {
				c.count()
				header := int64(0)
				c.over = [maxTables]uint64{}
				for t := range c.n {
					c.exact(c.counts[t][:alpha], c.tables[t][:alpha])
					header += tableBits(c.tables[t][:alpha])
				}
				b := c.assignBest() + header
				if b < best.bits {
					best.n, best.tables, best.bits = nt, c.tables, b
					best.selector = append(best.selector[:0], c.selector...)
				}
			}
		}
	}
}

func (c *coding) write(w *bitWriter, syms []uint16, alpha int) {
	w.write(uint64(c.n), 3)
	w.write(uint64(len(c.selector)), 15)
	order := [maxTables]uint8{0, 1, 2, 3, 4, 5}
	for _, t := range c.selector {
		j := 0
		for order[j] != t {
			j++
		}
		copy(order[1:j+1], order[:j])
		order[0] = t
		w.write(1<<(j+1)-2, uint(j)+1)
	}
	var codes [maxTables][maxSymbols]uint32
	for t := range c.n {
		l := c.tables[t][:alpha]
		prev := l[0]
		w.write(uint64(prev), 5)
		for _, v := range l {
			for ; prev < v; prev++ {
				w.write(2, 2)
			}
			for ; prev > v; prev-- {
				w.write(3, 2)
			}
			w.write(0, 1)
		}
		code := uint32(0)
		for n := uint8(1); n <= maxLength; n++ {
			for s, v := range l {
				if v == n {
					codes[t][s] = code
					code++
				}
			}
			code <<= 1
		}
	}
	for i, s := range syms {
		t := c.selector[i/groupSize]
		w.write(uint64(codes[t][s]), uint(c.tables[t][s]))
	}
}
