// SPDX-License-Identifier: MIT

package bsdiff

import (
	"encoding/binary"
	"math"
)

// literals estimates what a fresh byte costs: from what has followed the byte
// before it so far, and from whether it goes on with something that has been
// fresh before.
type literals struct {
	count [256][256]uint16
	total [256]uint32
	last  []int32 // position behind the latest fresh string with a hash
	match int     // where the current repetition goes on, or 0
	log   [4096]int64
}

const (
	repeatLength = 6
	repeatBits   = 16
)

func newLiterals() *literals {
	l := &literals{last: make([]int32, 1<<repeatBits)}
	for i := range l.log {
		l.log[i] = int64(bit*math.Log2(float64(i+1)) + 0.5)
	}
	for c := range l.count {
		for d := range l.count[c] {
			l.count[c][d] = 1
		}
		l.total[c] = 256
	}
	return l
}

// cost is the estimate for byte i of text, in sixteenths of a bit. The byte
// counts for later ones when it is taken to be fresh.
func (l *literals) cost(text []byte, i int, fresh bool) int64 {
	c, p := text[i], byte(0)
	if i > 0 {
		p = text[i-1]
	}
	// A byte that nothing foretells is stored as it is.
	cost := min(l.log2(l.total[p])-l.log2(uint32(l.count[p][c])), 8*bit)
	if l.match > 0 {
		if text[l.match] == c {
			cost = min(cost, bit)
			l.match++
		} else {
			l.match = 0
		}
	}
	if fresh {
		l.count[p][c] += 24
		if l.total[p] += 24; l.total[p] > 1<<13 {
			l.total[p] = 0
			for d := range l.count[p] {
				l.count[p][d] -= l.count[p][d] / 2
				l.total[p] += uint32(l.count[p][d])
			}
		}
		if i >= 7 {
			h := binary.LittleEndian.Uint64(text[i-7:]) >> (64 - 8*repeatLength) * 0x9e3779b97f4a7c15 >> (64 - repeatBits)
			if l.match == 0 {
				l.match = int(l.last[h])
			}
			l.last[h] = int32(i + 1)
		}
	}
	return cost
}

func (l *literals) log2(v uint32) int64 {
	cost := int64(0)
	for v > 4096 {
		v >>= 1
		cost += bit
	}
	return cost + l.log[v-1]
}
