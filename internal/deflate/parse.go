// SPDX-License-Identifier: MIT

package deflate

import (
	"io"

	"swudelta/internal/fault"
)

// token is one step of a stream: a copy of length bytes, or a literal, whose
// distance is 0 and whose byte stands in the place of a length.
type token struct{ length, distance uint16 }

// size is how many bytes of content the token makes.
func (t token) size() int {
	if t.distance == 0 {
		return 1
	}
	return int(t.length)
}

// Limits of RFC 1951.
const (
	minMatch  = 3
	maxMatch  = 258
	maxWindow = 1 << 15
	maxStored = 1<<16 - 1
	litCodes  = 286 // symbols of literals and lengths that streams may use
	distCodes = 30
	lenCodes  = 19 // symbols of the code for code lengths
	endBlock  = 256
)

// Kinds of blocks, as a block's header has them (RFC 1951 section 3.2.3).
const (
	stored = iota
	fixed
	dynamic
)

// block is a block as it stands in the stream.
type block struct {
	kind   int
	final  bool
	tokens []token // of a block with codes
	size   int     // bytes of content
	pad    uint32  // the bits before the length of a stored block
	trees  trees   // of a dynamic block
}

// parser reads a stream block by block.
type parser struct {
	bitReader
	done    bool
	content []byte // of everything that was read, if keep; else of what distances reach
	keep    bool
	limit   int64 // bytes of content that are taken
	total   int64 // bytes of content that were read
	lit     decoder
	dist    decoder
	block   block
}

func (r *bitReader) truncated() error {
	return fault.At(int64(len(r.src)), "deflate stream: %w", io.ErrUnexpectedEOF)
}

func (p *parser) bad(what string) error {
	return fault.At(int64(p.offset()), "deflate stream: %s", what)
}

// next reads a block. What it returns is valid until the next call.
func (p *parser) next() (*block, error) {
	b := &p.block
	*b = block{tokens: b.tokens[:0], trees: trees{runs: b.trees.runs[:0]}}
	head, err := p.take(3)
	if err != nil {
		return nil, err
	}
	b.final, b.kind = head&1 == 1, int(head>>1)
	p.done = b.final
	if !p.keep && len(p.content) > 4*maxWindow {
		p.content = append(p.content[:0], p.content[len(p.content)-maxWindow:]...)
	}
	before := p.total
	switch b.kind {
	case stored:
		err = p.stored(b)
	case fixed:
		p.lit.init(fixedLit[:])
		p.dist.init(fixedDist[:])
		err = p.coded(b)
	case dynamic:
		if err = p.readTrees(&b.trees); err == nil {
			err = p.coded(b)
		}
	default:
		err = p.bad("a block of no known kind")
	}
	b.size = int(p.total - before)
	return b, err
}

func (p *parser) stored(b *block) error {
	if p.n < 7 {
		p.fill()
	}
	b.pad = p.align()
	lengths, err := p.take(32)
	if err != nil {
		return err
	}
	n := lengths & 0xffff
	if n != ^lengths>>16 {
		return p.bad("the length of a stored block and its complement differ")
	}
	if p.total+int64(n) > p.limit {
		return p.tooLong()
	}
	raw, err := p.bytes(int(n))
	if err != nil {
		return err
	}
	p.content = append(p.content, raw...)
	p.total += int64(n)
	return nil
}

func (p *parser) tooLong() error {
	return fault.At(int64(p.offset()), "deflate stream: more than %d bytes of content", p.limit)
}

// coded reads the tokens of a block with codes.
func (p *parser) coded(b *block) error {
	for {
		if p.n < 48 {
			p.fill()
		}
		sym, ok := p.lit.decode(&p.bitReader)
		if !ok {
			return p.badCode()
		}
		if sym < endBlock {
			if p.total >= p.limit {
				return p.tooLong()
			}
			p.content = append(p.content, byte(sym))
			p.total++
			b.tokens = append(b.tokens, token{uint16(sym), 0})
			continue
		}
		if sym == endBlock {
			return nil
		}
		if sym >= litCodes {
			return p.bad("a length of no known symbol")
		}
		length := int(lengthBase[sym-257])
		extra := uint(lengthExtra[sym-257])
		more, err := p.take(extra)
		if err != nil {
			return err
		}
		if length += int(more); length == maxMatch && sym != 285 {
			return ErrOdd // RFC 1951 has another symbol for this length
		}
		sym, ok = p.dist.decode(&p.bitReader)
		if !ok {
			return p.badCode()
		}
		if sym >= distCodes {
			return p.bad("a distance of no known symbol")
		}
		distance := int(distBase[sym])
		if more, err = p.take(uint(distExtra[sym])); err != nil {
			return err
		}
		distance += int(more)
		if distance > len(p.content) || int64(distance) > p.total {
			return p.bad("a distance beyond the start of the content")
		}
		if p.total+int64(length) > p.limit {
			return p.tooLong()
		}
		at := len(p.content) - distance
		for range length {
			p.content = append(p.content, p.content[at])
			at++
		}
		p.total += int64(length)
		b.tokens = append(b.tokens, token{uint16(length), uint16(distance)})
	}
}

func (p *parser) badCode() error {
	if p.exhausted() {
		return p.truncated()
	}
	return p.bad("no symbol has these bits")
}

// exhausted reports whether the source is used up.
func (p *parser) exhausted() bool { return p.at >= len(p.src) && p.n < 15 }

// decoder finds symbols by their code.
type decoder struct {
	fast   [1 << fastBits]uint16 // symbol<<4 | length, by the next bits; 0: the code is longer
	counts [16]int
	first  [16]int // code, and index of its symbol, of each length
	index  [16]int
	syms   [288]uint16
}

const fastBits = 10

// init sets the decoder up for code lengths, and reports whether they make a
// code that decoders take: a complete one, or one with a single symbol or none.
func (d *decoder) init(lens []uint8) bool {
	d.counts = [16]int{}
	most := 0
	for _, n := range lens {
		d.counts[n]++
	}
	used := len(lens) - d.counts[0]
	d.counts[0] = 0
	left := 1
	code, at := 0, 0
	for n := 1; n < 16; n++ {
		left = left<<1 - d.counts[n]
		if left < 0 {
			return false
		}
		code <<= 1
		d.first[n], d.index[n] = code, at
		code += d.counts[n]
		at += d.counts[n]
		if d.counts[n] > 0 {
			most = n
		}
	}
	clear(d.fast[:])
	next := d.first
	for sym, n := range lens {
		if n == 0 {
			continue
		}
		c := next[n]
		next[n]++
		d.syms[d.index[n]+c-d.first[n]] = uint16(sym)
		if n <= fastBits {
			step := 1 << n
			for i := int(reverse(uint32(c), uint(n))); i < len(d.fast); i += step {
				d.fast[i] = uint16(sym)<<4 | uint16(n)
			}
		}
	}
	return left == 0 || used <= 1 && most <= 1
}

// decode returns the next symbol. At least 15 bits were asked for before.
func (d *decoder) decode(r *bitReader) (int, bool) {
	if e := d.fast[r.bits&(1<<fastBits-1)]; e != 0 {
		n := uint(e & 15)
		if n > r.n {
			return 0, false
		}
		r.bits >>= n
		r.n -= n
		return int(e >> 4), true
	}
	code := 0
	for n := uint(1); n < 16 && n <= r.n; n++ {
		code = code<<1 | int(r.bits>>(n-1)&1)
		if i := code - d.first[n]; i >= 0 && i < d.counts[n] {
			r.bits >>= n
			r.n -= n
			return int(d.syms[d.index[n]+i]), true
		}
	}
	return 0, false
}

// reverse returns the n lowest bits of v in reverse order.
func reverse(v uint32, n uint) uint32 {
	out := uint32(0)
	for range n {
		out = out<<1 | v&1
		v >>= 1
	}
	return out
}
