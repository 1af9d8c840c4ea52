// SPDX-License-Identifier: MIT

package stock

// What the malloc of glibc does with large pieces, in bytes: see heap.
const (
	mmapThreshold    = 128 << 10 // at first
	maxMmapThreshold = 32 << 20
	arenaSize        = 64 << 20
	arenaPage        = 64 << 10 // a multiple of the system's pages
	topPad           = 128 << 10
)

// heap is what glibc's malloc keeps. A piece that is at least as large as the threshold is
// mapped, and unmapped when it is freed, which raises the threshold to its size, up to
// maxMmapThreshold. But first of all malloc looks whether there is room where it has memory
// already; and that it keeps, unless twice the threshold is free.
//
// The main thread has a heap, in which the windows of decoders lie. Threads apply patches
// and compress, one after the other; each takes the arena that the last one left. But the
// library starts a short-lived thread for each nested delta, which may have that arena in the
// instant in which a patch begins: then there are two.
type heap struct {
	threshold int64
	main      int64 // resident, in bytes
	arenas    [2]arena
	current   int // the arena that the next thread takes
}

// resident is what the heaps have in memory, in bytes.
func (h *heap) resident() int64 { return h.main + h.arenas[0].resident() + h.arenas[1].resident() }

// disturb makes the next thread take the arena that has less in memory, for the worst.
func (h *heap) disturb() {
	h.current = 0
	if h.arenas[1].resident() < h.arenas[0].resident() {
		h.current = 1
	}
}

// unmap frees a piece of n bytes that was mapped, with its header, in pages.
func (h *heap) unmap(n int64) {
	const header, page = 16, 4 << 10
	if n = (n + header + page - 1) &^ (page - 1); n <= maxMmapThreshold {
		h.threshold = max(h.threshold, n)
	}
}

// piece is memory that a thread asks for, in bytes.
type piece struct{ size, filled int64 }

// claim is the pieces that a thread has, in their order.
type claim struct {
	heap   *heap
	arena  *arena
	pieces []placed
	mapped int64 // bytes that were written to outside of the arena
}

// placed is where a piece lies: in the arena, mapped, or beyond.
type placed struct {
	size           int64
	at             int64 // in the arena
	inside, mapped bool
}

// claim takes pieces for the next thread.
func (h *heap) claim(pieces ...piece) *claim {
	a := &h.arenas[h.current]
	c := &claim{heap: h, arena: a}
	beyond := int64(0)
	for _, p := range pieces {
		at := a.used
		l := placed{size: p.size, at: at}
		switch {
		// Sizes come out of the delta: nothing is added to them.
		case beyond == 0 && (p.size <= a.size-at || p.size < h.threshold && p.size <= arenaSize-at):
			l.inside = true
			a.take(p)
		case p.size >= h.threshold:
			l.mapped = true
			c.mapped += p.filled
		default:
			beyond += p.filled
		}
		c.pieces = append(c.pieces, l)
	}
	a.beyond = max(a.beyond, beyond)
	return c
}

// free gives all pieces back, the last ones first, of which together have freed at a time.
func (c *claim) free(together int) {
	for i := len(c.pieces) - 1; i >= 0; i-- {
		p := c.pieces[i]
		if p.mapped {
			c.heap.unmap(p.size)
		}
		if p.inside {
			c.arena.used = p.at
		}
		if i <= len(c.pieces)-together {
			c.arena.trim(2 * c.heap.threshold)
		}
	}
}

// arena is memory from which pieces are cut one behind the other, in bytes. When it is
// full, they are cut from a second one, which was seen to be kept.
type arena struct {
	used   int64 // where the next piece begins
	size   int64 // where what the system gave ends
	beyond int64 // resident in the second one
	pages  [arenaSize / arenaPage]bool
}

// take cuts off a piece and writes to it.
func (a *arena) take(p piece) {
	for at := a.used; at < a.used+p.filled; at += arenaPage {
		a.pages[at/arenaPage] = true
	}
	a.used += p.size
	a.size = max(a.size, a.used)
}

// trim gives back what is free at the end, if that is at least least bytes.
func (a *arena) trim(least int64) {
	if a.size-a.used < least {
		return
	}
	a.size = a.used + topPad
	for i := (a.size + arenaPage - 1) / arenaPage; i < int64(len(a.pages)); i++ {
		a.pages[i] = false
	}
}

func (a *arena) resident() int64 {
	n := a.beyond
	for _, used := range a.pages {
		if used {
			n += arenaPage
		}
	}
	return n
}
