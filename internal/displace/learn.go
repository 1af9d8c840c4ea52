// SPDX-License-Identifier: MIT

package displace

import (
	"cmp"
	"io"
	"iter"
	"math"
	"slices"
	"sort"
)

// moveCost is what the statement of a move costs about, in fields that would be
// wrong without it.
const moveCost = 4

// A vote says that a field of the old module referred to the address target,
// and its copy refers to actual.
type vote struct {
	old            int32
	target, actual uint64
}

// compare is written out since it takes much of the time of sorting millions.
func (v vote) compare(o vote) int {
	switch {
	case v.old != o.old:
		return cmp.Compare(v.old, o.old)
	case v.target < o.target:
		return -1
	case v.target > o.target:
		return 1
	}
	return cmp.Compare(v.actual, o.actual)
}

// learn finds where the copies lead to wrong targets, and returns the moves
// that make more fields right than they cost.
func learn(p *Plan, old, new io.ReaderAt, copies []Copy) ([]move, error) {
	plain := *p
	plain.moves = nil // the new ones take their place
	m, err := newAddressMap(&plain, copies, math.MaxInt)
	if err != nil {
		return nil, err
	}
	l := learner{Predictor: newPredictor(m, old, p.oldSize), new: new}
	var moves []move
	for i := range p.new {
		l.votes = l.votes[:0]
		for _, s := range p.new[i].segments {
			j := sort.Search(len(copies), func(j int) bool { return copies[j].New+copies[j].Len > s.off })
			for ; j < len(copies) && copies[j].New < s.end(); j++ {
				if err := l.copy(copies[j], s, int32(i)); err != nil {
					return nil, err
				}
			}
		}
		moves = append(moves, l.moves(int32(i))...)
	}
	slices.SortFunc(moves, func(a, b move) int {
		return cmp.Or(a.compare(b.pairKey), cmp.Compare(a.piece.old, b.piece.old))
	})
	return moves, nil
}

type learner struct {
	*Predictor
	new   io.ReaderAt
	votes []vote
	bytes []byte
}

// copy collects the votes of the part of c that lies in s, a segment of the
// new module.
func (l *learner) copy(c Copy, s segment, module int32) error {
	shift := c.New - c.Old
	lo, hi := max(c.New, s.off)-shift, min(c.New+c.Len, s.end())-shift
	i := sort.Search(len(l.ranges), func(i int) bool { return l.ranges[i].end() > lo })
	for ; i < len(l.ranges) && l.ranges[i].off < hi; i++ {
		r := &l.ranges[i]
		pr, ok := l.pairs[pairKey{r.module, module}]
		if !ok {
			continue
		}
		base, how := l.moved(pr, r.ref)
		if how == MarkUnknown && r.kind.hasReference() {
			continue
		}
		from, to := max(lo, r.off), min(hi, r.end())
		size := scanners[r.kind].block
		for at := from - (from-r.off)%size; at < to; at += size {
			sites, err := l.sites(r, at)
			if err != nil {
				return err
			}
			b0, b1 := max(from, at), min(to, at+size)
			l.bytes = resize(l.bytes, int(b1-b0))
			if err := readAt(l.new, l.bytes, b0+shift); err != nil {
				return err
			}
			for j := range sites {
				t := &sites[j]
				off := at + int64(t.at)
				if off < b0 || off+int64(t.size) > b1 {
					continue
				}
				var word uint64
				for k := range int64(t.size) {
					word |= uint64(l.bytes[off-b0+k]) << (8 * k)
				}
				from := base
				if t.enc == encOffset64 {
					if from, how = l.moved(pr, t.from); how == MarkUnknown {
						continue
					}
				}
				if actual, ok := t.read(word, from, s.addr+uint64(off+shift-s.off)); ok {
					l.votes = append(l.votes, vote{r.module, t.target, actual})
					// A reference must stay where it was taken to be.
					switch t.enc {
					case encBase32, encIndex32, encKernel32:
						l.votes = append(l.votes, vote{r.module, r.ref, base})
					case encOffset64:
						l.votes = append(l.votes, vote{r.module, t.from, from})
					}
				}
			}
		}
	}
	return nil
}

// moves returns the moves that the votes for one new module call for.
func (l *learner) moves(module int32) []move {
	slices.SortFunc(l.votes, vote.compare)
	var out []move
	for i := 0; i < len(l.votes); {
		key := pairKey{l.votes[i].old, module}
		n := sort.Search(len(l.votes)-i, func(n int) bool { return l.votes[i+n].old != key.old })
		c := newCourse()
		for _, votes := range eachTarget(l.votes[i : i+n]) {
			now, _ := l.moved(l.pairs[key], votes[0].target)
			c.add(votes, now)
		}
		for _, p := range c.moves() {
			out = append(out, move{key, p})
		}
		i += n
	}
	return out
}

// eachTarget yields the votes for each target.
func eachTarget(votes []vote) iter.Seq2[int, []vote] {
	return func(yield func(int, []vote) bool) {
		for i := 0; i < len(votes); {
			n := sort.Search(len(votes)-i, func(n int) bool { return votes[i+n].target != votes[i].target })
			if !yield(i, votes[i:i+n]) {
				return
			}
			i += n
		}
	}
}

// A course finds the best way through the targets of one pair in ascending
// order: at each either what the copies say counts, or a move that was begun at
// a target before or begins here. A vote that gets its way counts one, a move costs
// moveCost. It is a Viterbi search in which only those shifts are looked at that a
// target has votes for; others stand where they stood.
type course struct {
	nodes []courseNode
	heads map[uint64]int // last node of each shift
	best  int            // node with the highest score
}

type courseNode struct {
	score, prev   int
	target, shift uint64
	moved, begins bool
}

func newCourse() *course {
	return &course{nodes: []courseNode{{prev: -1}}, heads: map[uint64]int{}}
}

// add takes the next target. What the copies say is now.
func (c *course) add(votes []vote, now uint64) {
	best := c.best
	// What the copies say can be gone back to at no cost.
	plain := courseNode{score: c.nodes[best].score, prev: best, target: votes[0].target}
	for i := 0; i < len(votes); {
		v := votes[i]
		n := 1
		for i+n < len(votes) && votes[i+n] == v {
			n++
		}
		i += n
		if v.actual == now {
			plain.score += n
		}
		node := courseNode{score: c.nodes[best].score - moveCost, prev: best, target: v.target,
			shift: v.actual - v.target, moved: true, begins: true}
		if h, ok := c.heads[node.shift]; ok && c.nodes[h].score >= node.score {
			node.score, node.prev, node.begins = c.nodes[h].score, h, false
		}
		node.score += n
		c.heads[node.shift] = c.push(node)
	}
	c.push(plain)
}

func (c *course) push(n courseNode) int {
	c.nodes = append(c.nodes, n)
	if i := len(c.nodes) - 1; n.score > c.nodes[c.best].score {
		c.best = i
	}
	return len(c.nodes) - 1
}

// moves returns the moves of the best way, in ascending order.
func (c *course) moves() []piece {
	var out []piece
	end := uint64(0)
	for i := c.best; i >= 0; i = c.nodes[i].prev {
		n := &c.nodes[i]
		if !n.moved {
			continue
		}
		if end == 0 {
			end = n.target + 1
		}
		if n.begins {
			out = append(out, piece{n.target, n.target + n.shift, end - n.target})
			end = 0
		}
	}
	slices.Reverse(out)
	return out
}
