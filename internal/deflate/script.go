// SPDX-License-Identifier: MIT

package deflate

import (
	"io"

	"swudelta/internal/fault"
)

// script is what a stream has beyond its content: all that the model of its
// encoder does not predict. The same functions write and read it, so that both
// sides predict the same: what an encoder passes in is coded, a decoder gets it
// back.
type script struct {
	c *coder
	m *matcher

	total    int64 // bytes of content
	size     int64 // bytes of the stream
	flushed  bool  // the encoder was flushed at times, and had no content beyond
	lastPart int64 // bytes of content before the last flush
	end      ender
	huffman  huffman
	guess    trees // of the current block, as predicted

	wasStored int   // 1: the last block was stored
	lastSize  int64 // of the last stored block whose size was not predicted
	history   int   // the last tokens, 1 for each that was not as predicted

	stored struct {
		kind                      [2]prob
		empty, bySimulation, same prob
		size                      numbers
	}
	block struct {
		final, kind     [2]prob
		counted, padded prob
		count           numbers
		pad             [256]prob
		samePart        prob
		part            numbers
	}
	tokens struct {
		hit      [situations][16]prob
		literal  [situations]prob
		here     [situations]prob
		longest  [2]prob
		length   [2][256]prob
		hop      [2][32]prob
		distance numbers
	}
	codes struct {
		same      prob
		sameCount prob
		litCount  [32]prob
		distCount [32]prob
		sameLen   [16]prob
		len       [16][16]prob
		sameRuns  prob
		run       [4]prob
		extra     [3][128]prob
		sameLens  prob
		lens      [8][8]prob
		lenCount  [16]prob
	}
}

// maxHeld is how many tokens of a block a decoder keeps. The codes of a larger
// block stand before its tokens in the script, which costs more.
const maxHeld = 1 << 16

func newScript(c *coder) *script { return &script{c: c} }

// codePad codes the bits behind the last block, up to a whole byte.
func (s *script) codePad(pad *uint32) {
	if s.c.flag(&s.block.padded, *pad != 0) {
		*pad = uint32(s.c.tree(s.block.pad[:], 7, int(*pad)))
	}
}

// maxChain is how many places a search looks at at most, as at level 9 of zlib.
const maxChain = 4096

// header codes what is true of the whole stream.
func (s *script) header(p *params) error {
	var plain numbers
	flag := func(v bool) bool { return s.c.flag(&prob{}, v) }
	s.total = int64(s.c.number(&plain, uint64(s.total)))
	s.size = int64(s.c.number(&plain, uint64(s.size)))
	s.flushed = flag(s.flushed)
	p.truncate = flag(p.truncate)
	p.fresh = flag(p.fresh)
	if preset := s.preset(p); preset != nil {
		*p = *preset
	} else if err := s.params(&plain, p); err != nil {
		return err
	}
	if s.total < 0 {
		return fault.Dataf("deflate script: content of %d bytes", s.total)
	}
	return nil
}

// preset codes which level of a known encoder has the parameters, and returns those of
// the level: nil, if none has them.
func (s *script) preset(p *params) *params {
	const width = 5 // bits that numbers of levels have, from 1 on
	number := 0
	if !s.c.decoding {
		for i := range allLevels {
			if allLevels[i].with(p.truncate, p.fresh) == *p {
				number = i + 1
				break
			}
		}
	}
	number = s.c.tree(make([]prob, 1<<width), width, number)
	if number == 0 || number > len(allLevels) {
		return nil
	}
	preset := allLevels[number-1].with(p.truncate, p.fresh)
	return &preset
}

// params codes parameters that no level has.
func (s *script) params(plain *numbers, p *params) error {
	field := func(v int) int { return int(s.c.number(plain, uint64(v))) }
	p.style = style(field(int(p.style)))
	p.hashBits = uint(field(int(p.hashBits)))
	for _, v := range []*int{&p.good, &p.lazy, &p.nice, &p.chain, &p.window, &p.tooFar, &p.short, &p.blockTokens} {
		if *v = field(*v); *v > maxHeld {
			return fault.Dataf("deflate script: a parameter of %d", *v)
		}
	}
	if p.style >= styles || p.hashBits < 8 || p.hashBits > 16 || p.window > maxWindow || p.chain > maxChain {
		return fault.Dataf("deflate script: parameters out of range")
	}
	return nil
}

// nextPart goes on to the content before the next flush, of whose n bytes an
// encoder knows.
func (s *script) nextPart(n int64) error {
	if !s.flushed {
		return s.m.begin(s.total)
	}
	if !s.c.flag(&s.block.samePart, n == s.lastPart) {
		s.lastPart = int64(s.c.number(&s.block.part, uint64(n)))
	}
	if s.lastPart < 0 || s.lastPart > s.total-s.m.pos {
		return fault.Dataf("deflate script: a flush beyond the content")
	}
	return s.m.begin(s.m.pos + s.lastPart)
}

// ender tells where encoders end a block.
type ender struct {
	tokens, copies int
	bits           int   // that distances take, about
	start, pos     int64 // of the block, of the next token
	fired          bool
}

// add counts the next token, and notes whether the block ends behind it.
func (e *ender) add(p *params, t token) {
	e.tokens++
	if t.distance > 0 {
		e.copies++
		e.bits += 5 + int(distExtra[distSym(t.distance)])
	}
	e.fired = e.tokens == p.blockTokens
	if p.truncate && e.tokens&0xfff == 0 {
		// GNU gzip above level 2 looks at times whether fresh codes could be of use. What
		// it takes for the length of the content lacks the last copy.
		in := e.pos - e.start
		if p.style != greedy {
			in++
		}
		if e.copies < e.tokens/2 && int64(e.tokens)+int64(e.bits)/8 < in/2 {
			e.fired = true
		}
	}
	e.pos += int64(t.size())
}

// sink gets the tokens of a block that is too large to be kept: first the block
// with its codes, then each token.
type sink interface {
	begin(b *block) error
	token(t token) error
}

// code codes a block. A decoder gets its fields filled in.
func (s *script) code(b *block, large sink) error {
	if s.c.missing > 64 {
		return fault.Dataf("deflate script: %w", io.ErrUnexpectedEOF)
	}
	was := s.wasStored
	if s.c.flag(&s.stored.kind[was], b.kind == stored) {
		b.kind, s.wasStored = stored, 1
		if err := s.codeStored(b); err != nil {
			return err
		}
		s.codeFinal(b)
		return nil
	}
	s.wasStored = 0
	if s.c.decoding {
		b.kind = fixed
	}
	s.end = ender{start: s.m.pos, pos: s.m.pos}
	n := s.codeCount(b)
	if n > maxHeld {
		return s.codeLarge(b, n, large)
	}
	for i := 0; n < 0 && s.m.pos < s.m.end && !s.end.fired || i < n; i++ {
		if i >= maxHeld {
			return fault.Dataf("deflate script: a block without an end")
		}
		t, err := s.codeToken(b, i)
		if err != nil {
			return err
		}
		if s.c.decoding {
			b.tokens = append(b.tokens, t)
		}
	}
	if s.codeKind(b, s.guessKind(b.tokens)); b.kind == dynamic {
		if err := s.codeTrees(&b.trees); err != nil {
			return err
		}
	}
	s.codeFinal(b)
	return nil
}

// codeLarge codes a block whose tokens are not kept.
func (s *script) codeLarge(b *block, n int, large sink) error {
	s.codeFinal(b)
	if s.codeKind(b, dynamic); b.kind == dynamic {
		if err := s.codeTrees(&b.trees); err != nil {
			return err
		}
		s.guess.lit, s.guess.dist = b.trees.lit, b.trees.dist
	}
	if err := large.begin(b); err != nil {
		return err
	}
	for i := range n {
		t, err := s.codeToken(b, i)
		if err != nil {
			return err
		}
		if err := large.token(t); err != nil {
			return err
		}
	}
	return nil
}

// codeCount codes how many tokens the block has, unless it ends where it is
// thought to: then it returns -1.
func (s *script) codeCount(b *block) int {
	counted := false
	if !s.c.decoding {
		e := s.end
		n := 0
		for n < len(b.tokens) && e.pos < s.m.end && !e.fired {
			e.add(&s.m.params, b.tokens[n])
			n++
		}
		counted = n != len(b.tokens) || n > maxHeld || e.pos < s.m.end && !e.fired
	}
	if !s.c.flag(&s.block.counted, counted) {
		return -1
	}
	return int(s.c.number(&s.block.count, uint64(len(b.tokens))))
}

func (s *script) codeFinal(b *block) {
	end := 0
	if s.m.pos == s.total {
		end = 1
	}
	b.final = s.c.flag(&s.block.final[end], b.final)
}

func (s *script) codeKind(b *block, guess int) {
	if s.c.flag(&s.block.kind[guess-fixed], b.kind != guess) {
		guess = fixed + dynamic - guess
	}
	b.kind = guess
}

// guessKind predicts the codes of the block, and whether the fixed ones are used
// instead.
func (s *script) guessKind(tokens []token) int {
	var lit [288]uint32
	var dist [32]uint32
	lit[endBlock] = 1
	for _, t := range tokens {
		if t.distance == 0 {
			lit[t.length]++
		} else {
			lit[lengthSym[t.length]]++
			dist[distSym(t.distance)]++
		}
	}
	s.guess.predict(&s.huffman, &lit, &dist)
	asFixed, asDynamic := 0, s.guess.size()
	for i, n := range lit[:litCodes] {
		asFixed += int(n) * int(fixedLit[i])
		asDynamic += int(n) * int(s.guess.lit[i])
	}
	extra := 0
	for i, n := range dist[:distCodes] {
		asFixed += int(n) * int(fixedDist[i])
		asDynamic += int(n) * int(s.guess.dist[i])
		extra += int(n) * int(distExtra[i])
	}
	for i, n := range lit[endBlock+1 : litCodes] {
		extra += int(n) * int(lengthExtra[i])
	}
	const round = 3 + 7 // the head of a block, and up to a whole byte
	if (asFixed+extra+round)/8 <= (asDynamic+extra+round)/8 {
		return fixed
	}
	return dynamic
}

// codeStored codes the size of a stored block. Its encoder looked for tokens, as
// always, before it found that they would take more room.
func (s *script) codeStored(b *block) error {
	size := int64(b.size)
	start := s.m.pos
	if s.c.flag(&s.stored.empty, size == 0) {
		b.size = 0
	} else {
		simulated := false
		if !s.c.decoding {
			var err error
			if simulated, err = s.simulate(size); err != nil {
				return err
			}
		}
		if s.c.flag(&s.stored.bySimulation, simulated) {
			size = -1
		} else if s.c.flag(&s.stored.same, size == s.lastSize) {
			size = s.lastSize
		} else {
			s.lastSize = int64(s.c.number(&s.stored.size, uint64(size)))
			size = s.lastSize
		}
		if s.c.decoding {
			if size > s.total-start {
				return fault.Dataf("deflate script: a stored block beyond the content")
			}
			if _, err := s.simulate(size); err != nil {
				return err
			}
			b.size = int(s.m.pos - start)
		}
	}
	if b.size > maxStored {
		return fault.Dataf("deflate script: a stored block of %d bytes", b.size)
	}
	s.codePad(&b.pad)
	return nil
}

// simulate lets the model go on by size bytes, or to where it thinks that a
// block ends if size is negative. It reports whether both is the same place.
func (s *script) simulate(size int64) (bool, error) {
	m := s.m
	e := ender{start: m.pos, pos: m.pos}
	to := m.end
	if size >= 0 {
		to = m.pos + size
	}
	early := false
	for m.pos < to {
		if e.fired {
			if size < 0 {
				break
			}
			early = true
		}
		if e.tokens > maxHeld && size < 0 {
			return false, fault.Dataf("deflate script: a block without an end")
		}
		t, err := m.predict()
		if err != nil {
			return false, err
		}
		guess := t
		if int64(t.size()) > to-m.pos {
			t, guess = m.literal, token{}
		}
		e.add(&m.params, t)
		if err := m.accept(t, guess); err != nil {
			return false, err
		}
	}
	return !early && (e.fired || m.pos == m.end), nil
}
