// SPDX-License-Identifier: MIT

package deflate

import (
	"encoding/binary"
	"io"
	"math/bits"

	"swudelta/internal/fault"
)

// params are what an encoder is known by: the ones that zlib and GNU gzip have
// for each level, and where they end a block.
type params struct {
	style style
	good  int // a match of this length lets the next search be a quarter as long
	lazy  int // from this length on a match is taken at once; greedy: up to it, all of its bytes become known
	nice  int // a search ends with a match of this length
	chain int // how many places a search looks at

	hashBits uint // of three bytes, or four
	window   int  // the greatest distance
	tooFar   int  // a match of three bytes must not lie farther away
	short    int  // matches up to this length are not taken (zlib's filtered strategy)

	fresh       bool // after a flush, all of the last window is known (pigz begins anew there)
	blockTokens int  // a block ends with so many tokens
	truncate    bool // and may end early, as GNU gzip does it above level 2
}

// style is how an encoder chooses among copies.
type style uint8

const (
	greedy     style = iota // takes a copy at once: zlib and GNU gzip, levels 1 to 3
	lazy                    // unless there is a longer one a byte later: their levels 4 to 9
	quadGreedy              // libdeflate, levels 2 to 4
	quadLazy                // 5 to 7
	quadLazy2               // 8 and 9
	styles
)

// view is the part of the content that can be seen: what distances and stored
// blocks reach, and what comes next.
type view struct {
	r    io.Reader
	buf  []byte
	base int64 // of buf in the content
	size int64 // of the content
	eof  bool
}

const (
	viewSize = 4 * maxWindow
	history  = 2 * maxWindow  // bytes that stay in view: a window, and the longest stored block
	ahead    = 2*maxMatch + 8 // bytes behind the position that searches look at
)

// at lets buf reach from a window before pos to what searches need behind it, or
// to the end of the content, and returns where pos is in it.
func (v *view) at(pos int64) (int, error) {
	i := int(pos - v.base)
	if v.eof || i+ahead <= len(v.buf) {
		return i, nil
	}
	if v.buf == nil {
		v.buf = make([]byte, 0, viewSize)
	}
	if drop := i - history; drop > 0 {
		n := copy(v.buf, v.buf[drop:])
		v.buf = v.buf[:n]
		v.base += int64(drop)
		i -= drop
	}
	n, err := io.ReadFull(v.r, v.buf[len(v.buf):cap(v.buf)])
	v.buf = v.buf[:len(v.buf)+n]
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		v.eof = true
		err = nil
		if got := v.base + int64(len(v.buf)); got < v.size {
			err = fault.Dataf("content that ends at offset %d of %d: %w", got, v.size, io.ErrUnexpectedEOF)
		}
	}
	return i, err
}

// match is a copy that a search found, in bytes. length 0: none.
type match struct{ length, distance int }

// matcher finds what the encoder would find.
type matcher struct {
	params
	view view
	head []uint32 // by hash: the last place, plus placeBase
	// By hash of three bytes, for styles whose chains are of four: the last place.
	triples []uint32
	hops    *hops      // from each place to the one before with its hash
	quads   *quadChain // of deep searches only
	known   int64      // the content before this has places in the table
	pos     int64      // of the next token
	end     int64      // of what the encoder had when it searched

	here   match // at pos, found while the token before was chosen
	next   match // at pos+1
	has    bool  // next is valid
	forced int   // this many tokens up to where next is are literals

	literal token   // at pos
	work    int64   // places that were looked at
	places  []match // that findPlaces found
}

// hops say, for each place, modulo the size of a window, how many bytes before it the one before with
// its hash is. What is farther away than that can tell is not looked at.
type hops [maxWindow]uint16

func (h *hops) of(place uint32) uint32 { return uint32(h[place%maxWindow]) }

// set notes the place before another one, and returns the hop.
func (h *hops) set(place, before uint32) {
	h[place%maxWindow] = uint16(min(place-before, 1<<16-1))
}

// placeBase keeps places apart from empty entries, which are farther away than any
// distance reaches.
const placeBase = 2 * maxWindow

// newMatcher returns a matcher that reads size bytes of content.
func newMatcher(p params, content io.Reader, size int64) *matcher {
	m := &matcher{params: p, view: view{r: io.LimitReader(content, size), size: size}, head: make([]uint32, 1<<p.hashBits), hops: new(hops)}
	if p.style >= quadGreedy {
		m.triples = make([]uint32, 1<<tripleBits)
	}
	if p.style == lazy && p.chain >= deepChain {
		m.quads = new(quadChain)
	}
	return m
}

// begin goes on at pos after a flush, with content up to end in sight.
func (m *matcher) begin(end int64) error {
	m.end = end
	i, err := m.view.at(m.pos)
	if err != nil {
		return err
	}
	if m.fresh {
		clear(m.head)
		if m.quads != nil {
			clear(m.quads.head[:])
		}
		m.known = max(m.pos-maxWindow, 0)
	}
	if m.style >= quadGreedy {
		m.here, m.forced = m.searchQuad(m.pos, i, minMatch-1, m.chain), 0
		return nil
	}
	m.here = m.search(m.pos, i, minMatch-1)
	return nil
}

func (m *matcher) hash(b []byte) uint32 {
	shift := (m.hashBits + 2) / 3
	return (uint32(b[0])<<(2*shift) ^ uint32(b[1])<<shift ^ uint32(b[2])) & (1<<m.hashBits - 1)
}

// learn makes the content before pos known. i is where pos is in the view.
func (m *matcher) learn(pos int64, i int) {
	last := min(pos, m.end-minMatch+1)
	if m.known >= last {
		return
	}
	from := i - int(pos-m.known)
	b := m.view.buf[from : i+int(last-pos)+minMatch-1]
	if m.quads != nil {
		m.quads.learn(m, m.view.buf[from:min(len(m.view.buf), from+len(b)+1)], uint32(m.known)+placeBase)
		m.known = last
		return
	}
	place := uint32(m.known) + placeBase
	m.known = last
	shift, mask := (m.hashBits+2)/3, uint32(1)<<m.hashBits-1
	head := m.head[:mask+1]
	for ; len(b) >= minMatch; b = b[1:] {
		h := &head[(uint32(b[0])<<(2*shift&31)^uint32(b[1])<<(shift&31)^uint32(b[2]))&mask]
		m.hops.set(place, *h)
		*h = place
		place++
	}
}

// search looks for a copy at pos of more than least bytes; i is where pos is in
// the view.
func (m *matcher) search(pos int64, i, least int) match {
	m.learn(pos, i)
	left := int(min(m.end-pos, maxMatch))
	if left < minMatch || least >= left {
		return match{}
	}
	now := m.view.buf[i : i+left]
	at := uint32(pos) + placeBase
	distance := at - m.head[m.hash(now)]
	// The first place may lie as far away as the window reaches, others one byte less; the first
	// byte of the content is never found.
	limit := int64(m.window)
	if int64(distance) != limit {
		limit--
	}
	if limit = min(limit, pos-1); distance == 0 || int64(distance) > limit {
		return match{}
	}
	chain := m.chain
	if least >= m.good {
		chain >>= 2
	}
	nice := min(m.nice, left)
	best := match{length: least}
	if m.quads != nil && chain >= deepChain && left >= quadLen {
		return m.worth(m.deep(at, i, now, best, distance, uint32(limit), chain, nice))
	}
	return m.worth(m.linear(at, i, now, best, distance, uint32(limit), chain, nice))
}

// linear looks at each place of a chain, from the one at a distance on.
func (m *matcher) linear(at uint32, i int, now []byte, best match, distance, limit uint32, chain, nice int) match {
	buf, hops := m.view.buf, m.hops
	end := binary.LittleEndian.Uint16(now[best.length-1:]) // what a longer copy has at its end
	tail := buf[best.length-1:]
	work := chain
	for ; chain > 0 && distance <= limit; chain-- {
		j := i - int(distance)
		if binary.LittleEndian.Uint16(tail[j:]) == end {
			if n := common(buf[j:], now); n > best.length {
				best = match{n, int(distance)}
				if n >= nice {
					chain--
					break
				}
				end, tail = binary.LittleEndian.Uint16(now[n-1:]), buf[n-1:]
			}
		}
		distance += hops.of(at - distance)
	}
	m.work += int64(work - chain)
	return best
}

// worth returns a copy that was found, unless it is one that is not taken.
func (m *matcher) worth(best match) match {
	if best.distance == 0 || m.style == lazy && (best.length <= m.short || best.length == minMatch && best.distance > m.tooFar) {
		return match{}
	}
	return best
}

// common returns how many bytes of b stand at the start of a.
func common(a, b []byte) int {
	n := 0
	for n+8 <= len(b) {
		if x := binary.LittleEndian.Uint64(a[n:]) ^ binary.LittleEndian.Uint64(b[n:]); x != 0 {
			return n + bits.TrailingZeros64(x)/8
		}
		n += 8
	}
	for n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// A search may take maxWork places a byte of content on average, and spareWork
// more. Level 9 took up to 300 on a real file; more is a bomb.
const (
	maxWork   = 1 << 10
	spareWork = 1 << 24
)

// predict returns the token at pos that the encoder would choose.
func (m *matcher) predict() (token, error) {
	if m.work > m.pos*maxWork+spareWork {
		return token{}, fault.Dataf("deflate stream: %w at offset %d of the content", errSlow, m.pos)
	}
	i, err := m.view.at(m.pos)
	if err != nil {
		return token{}, err
	}
	if i >= len(m.view.buf) {
		return token{}, fault.Dataf("deflate script: a token behind the content")
	}
	m.has = false
	m.literal = token{length: uint16(m.view.buf[i])}
	if m.style >= quadGreedy {
		return m.predictQuad(i), nil
	}
	switch {
	case m.here.length < minMatch:
		return m.literal, nil
	case m.style == greedy || m.here.length >= m.lazy:
	default:
		m.next, m.has = m.search(m.pos+1, i+1, m.here.length), true
		if m.next.length > m.here.length {
			return m.literal, nil
		}
	}
	return token{uint16(m.here.length), uint16(m.here.distance)}, nil
}

// accept goes on behind the token that the encoder did choose.
func (m *matcher) accept(t, predicted token) error {
	from := m.pos
	m.pos += int64(t.size())
	i, err := m.view.at(m.pos)
	if err != nil {
		return err
	}
	if m.style >= quadGreedy {
		m.acceptQuad(t, predicted, i)
		return nil
	}
	switch {
	case t.distance == 0 && m.has && t == predicted:
		m.here = m.next
		return nil
	case t.distance > 0 && m.style == greedy && int(t.length) > m.lazy:
		m.learn(from+1, i-t.size()+1)
		m.known = m.pos
	}
	m.here = m.search(m.pos, i, minMatch-1)
	return nil
}
