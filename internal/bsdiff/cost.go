// SPDX-License-Identifier: MIT

package bsdiff

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// Costs are estimates of what something adds to the compressed patch, in
// sixteenths of a bit. The fixed ones were fitted by what the patches of real
// file system images came to; doc/engine.md, "Tuned constants", says how flat the optima
// are: half or twice of any adds less than 0.2 % to a delta.
const (
	bit        = 16
	costSwitch = 24 * bit // a control entry, excluding its seek
	costExtra  = 8 * bit  // surcharge when extra bytes precede it
	costRecent = 3 * bit  // at most: a difference that occurred lately on the same diagonal
	costNever  = 1 << 40  // a byte from outside of the old side
)

// costSeek is the cost of the seek field of a control entry.
func costSeek(distance int) int64 {
	if distance < 0 {
		distance = -distance
	}
	return int64(4+bits.Len(uint(distance))) * bit
}

// logs[i] is the logarithm of i+1.
var logs = func() (t [4096]int32) {
	for i := range t {
		t[i] = int32(bit*math.Log2(float64(i+1)) + 0.5)
	}
	return t
}()

// log2 is the logarithm of v > 0, as a cost.
func log2(v uint32) int32 {
	shift := max(bits.Len32(v)-12, 0)
	return logs[v>>shift-1] + int32(shift)*bit
}

// differences estimates what the bytes of the diff stream cost, from the latest of them: in
// code whose addresses have moved, the same few differences come at the same few distances
// as long as the code calls the same functions. A short memory that follows such changes
// estimates better than a long history or a large context.
type differences struct {
	// How often a byte did not differ and did, by the distances to the
	// difference before and from that to the one before it, and what it costs.
	count [gaps][gaps][2]uint16
	place [gaps][gaps][2]int32
	// How often it differed by which value, by the former distance.
	value [gapValues + 1][256]uint16
	total [gapValues + 1]uint32
}

const (
	gaps      = 32
	gapExact  = 16 // distances up to here are classes of their own
	gapFree   = 31 // from this distance on, bytes that do not differ cost nothing
	gapValues = 9  // distances from here on count as one for values

	countStep  = 32 // what an event adds to its counter
	placeLimit = 128 * countStep
	valueLimit = 96 * countStep
)

// gapClass sorts distances.
func gapClass(gap int) int {
	if gap <= gapExact {
		return gap
	}
	return min(gapExact-3+bits.Len(uint(gap-1)), gaps-1)
}

func newDifferences() *differences {
	d := &differences{}
	for a := range gaps {
		for b := range gaps {
			d.count[a][b] = [2]uint16{128 << min(max(a-gapExact, 0), 7), 16}
			d.refresh(a, b)
		}
	}
	for c := range d.value {
		for v := range d.value[c] {
			d.value[c][v] = 2
		}
		d.total[c] = 512
	}
	return d
}

func (d *differences) refresh(a, b int) {
	c := &d.count[a][b]
	total := log2(uint32(c[0]) + uint32(c[1]))
	d.place[a][b] = [2]int32{total - log2(uint32(c[0])), total - log2(uint32(c[1]))}
}

// same is what a byte costs that does not differ, gap bytes behind one that
// does, which in turn is one of class last behind another.
func (d *differences) same(gap int, last uint8) int64 {
	if gap >= gapFree {
		return 0
	}
	return int64(d.place[gapClass(gap)][last][0])
}

// differ is what a byte costs that differs by v.
func (d *differences) differ(gap int, last uint8, v byte) int64 {
	c := min(gap, gapValues)
	return int64(d.place[gapClass(gap)][last][1] + log2(d.total[c]) - log2(uint32(d.value[c][v])))
}

// add counts a byte that differs by v, or does not.
func (d *differences) add(gap int, last uint8, v byte) {
	a := gapClass(gap)
	c := &d.count[a][last]
	if v == 0 {
		c[0] += countStep
	} else {
		c[1] += countStep
		g := min(gap, gapValues)
		t := &d.value[g]
		t[v] += countStep
		if d.total[g] += countStep; d.total[g] > valueLimit {
			d.total[g] = 0
			for i, n := range t {
				n -= n / 2
				t[i] = n
				d.total[g] += uint32(n)
			}
		}
	}
	if c[0]+c[1] > placeLimit {
		c[0] -= c[0] / 2
		c[1] -= c[1] / 2
	}
	d.refresh(a, int(last))
}

// literals estimates what a fresh byte costs: from what has followed the byte
// before it so far, and from whether it goes on with something that has been
// fresh before.
type literals struct {
	count [256][256]uint16
	total [256]uint32
	last  []int32 // by hash of fresh bytes: the position behind them
	match int     // where a repetition goes on, or 0
}

const (
	repeatLength = 6 // bytes that are looked for
	repeatBits   = 16
	literalStep  = 24
	literalLimit = 1 << 13
)

func newLiterals() *literals {
	l := &literals{last: make([]int32, 1<<repeatBits)}
	for c := range l.count {
		for d := range l.count[c] {
			l.count[c][d] = 1
		}
		l.total[c] = 256
	}
	return l
}

// cost is the estimate for byte i of text. The byte counts for later ones when
// it is taken to be fresh.
func (l *literals) cost(text []byte, i int, fresh bool) int64 {
	c, p := text[i], byte(0)
	if i > 0 {
		p = text[i-1]
	}
	// A byte that nothing foretells is stored as it is.
	cost := min(log2(l.total[p])-log2(uint32(l.count[p][c])), 8*bit)
	if l.match > 0 {
		if text[l.match] == c {
			cost = min(cost, bit)
			l.match++
		} else {
			l.match = 0
		}
	}
	if !fresh {
		return int64(cost)
	}
	l.count[p][c] += literalStep
	if l.total[p] += literalStep; l.total[p] > literalLimit {
		l.total[p] = 0
		for d, n := range l.count[p] {
			n -= n / 2
			l.count[p][d] = n
			l.total[p] += uint32(n)
		}
	}
	if i >= 7 {
		h := binary.LittleEndian.Uint64(text[i-7:]) >> (64 - 8*repeatLength) * multiplier >> (64 - repeatBits)
		if l.match == 0 {
			l.match = int(l.last[h])
		}
		l.last[h] = int32(i + 1)
	}
	return int64(cost)
}
