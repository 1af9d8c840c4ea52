// SPDX-License-Identifier: MIT

package deflate

import (
	"encoding/binary"
	"math/bits"

	"swudelta/internal/fault"
	"swudelta/internal/span"
)

// A token that is not as predicted is described by what could have been there: the
// lengths and distances of all earlier places that begin with the same three
// bytes, the nearest first.

// codeToken codes the next token of a block: number i of an encoder's.
func (s *script) codeToken(b *block, i int) (token, error) {
	guess, err := s.m.predict()
	if err != nil {
		return token{}, err
	}
	t := guess
	if !s.c.decoding {
		t = b.tokens[i]
	}
	kind := s.situation(guess)
	if s.c.flag(&s.tokens.hit[kind][s.history&15], t == guess) {
		s.history <<= 1
	} else {
		s.history = s.history<<1 | 1
		if t, err = s.codeMiss(t, guess, kind); err != nil {
			return token{}, err
		}
	}
	s.end.add(&s.m.params, t)
	return t, s.m.accept(t, guess)
}

// situations is how many kinds of predictions are told apart.
const situations = 128

// situation tells apart how sure a prediction is: by the length of the copy, by
// that of the one a byte later, and by the distance, if the copy is short.
func (s *script) situation(guess token) int {
	m := s.m
	length := min(m.here.length, 10)
	if length < minMatch {
		return 0
	}
	far := 0
	if length < 5 && m.here.distance > 1<<11 {
		far = 1 + bits.Len(uint(m.here.distance>>12))
	}
	later := 0
	switch d := m.next.length - m.here.length; {
	case !m.has:
	case d > 1:
		later = 3
	case d == 1:
		later = 2
	default:
		later = 1
	}
	if far > 0 {
		return 64 + far*8 + (length-minMatch)*4 + later
	}
	return 1 + (length-minMatch)*4 + later
}

// codeMiss codes a token that is not as predicted.
func (s *script) codeMiss(t, guess token, kind int) (token, error) {
	m := s.m
	if guess.distance > 0 && s.c.flag(&s.tokens.literal[kind], t.distance == 0) {
		return m.literal, nil
	}
	here := token{uint16(m.here.length), uint16(m.here.distance)}
	if guess.distance == 0 && here.length >= minMatch && s.c.flag(&s.tokens.here[kind], t == here) {
		return here, nil
	}
	i, err := m.view.at(m.pos)
	if err != nil {
		return t, err
	}
	left := int(min(s.total-m.pos, maxMatch))
	if left < minMatch {
		return t, fault.Dataf("deflate script: a copy at the end of the content")
	}
	m.findPlaces(i, left)
	longest := minMatch
	for _, p := range m.places {
		longest = max(longest, p.length)
	}
	which := 0
	if guess.distance > 0 {
		which = 1
	}
	if s.c.flag(&s.tokens.longest[which], int(t.length) == longest) {
		t.length = uint16(longest)
	} else {
		t.length = uint16(s.c.tree(s.tokens.length[which][:], 8, int(t.length)-minMatch) + minMatch)
	}
	if int(t.length) > left {
		return t, fault.Dataf("deflate script: a copy beyond the content")
	}
	t.distance, err = s.codeDistance(t, which)
	return t, err
}

// codeDistance codes how many places with as long a copy are nearer, if it is one
// of those that were found, else the distance itself.
func (s *script) codeDistance(t token, which int) (uint16, error) {
	hop := 0
	for _, p := range s.m.places {
		if p.length < int(t.length) {
			continue
		}
		if s.c.flag(&s.tokens.hop[which][hop], p.distance == int(t.distance)) {
			return uint16(p.distance), nil
		}
		hop = min(hop+1, len(s.tokens.hop[which])-1)
	}
	distance := s.c.number(&s.tokens.distance, uint64(t.distance))
	if distance == 0 || distance > maxWindow || int64(distance) > s.m.pos {
		return 0, fault.Dataf("deflate script: a distance of %d bytes at offset %d", distance, s.m.pos)
	}
	return uint16(distance), nil
}

// maxPlaces is how many places are looked at at most, and maxCopies how many of
// the copies there are kept.
const (
	maxPlaces = 256
	maxCopies = 64
)

// findPlaces lists the copies of up to left bytes that could stand at pos, the
// nearest first. A copy no longer than the one before it is listed only while there
// are few. i is where pos is in the view.
func (m *matcher) findPlaces(i, left int) {
	m.places = m.places[:0]
	buf := m.view.buf
	if i+left > len(buf) {
		return
	}
	now := buf[i : i+left]
	at := uint32(m.pos) + placeBase
	place := uint32(0)
	if m.style < quadGreedy {
		m.learn(m.pos, i)
		place = m.head[m.hash(now)]
	} else if m.learnQuad(m.pos, i); left >= quadAhead {
		first := binary.LittleEndian.Uint32(now)
		place = m.head[quadHash(first, m.hashBits)]
		if d := at - m.triples[quadHash(first<<8>>8, tripleBits)]; d > 0 && d <= maxWindow && int(d) <= i {
			if n := span.CommonPrefix(buf[i-int(d):], now); n == minMatch {
				m.places = append(m.places, match{n, int(d)})
			}
		}
	}
	longest := minMatch - 1
	distance := at - place
	for range maxPlaces {
		m.work++
		if distance == 0 || distance > maxWindow || int(distance) > i {
			return
		}
		old := buf[i-int(distance):]
		if len(m.places) < maxCopies || old[longest] == now[longest] {
			if n := span.CommonPrefix(old, now); n > longest || n >= minMatch && len(m.places) < maxCopies {
				m.places = append(m.places, match{n, int(distance)})
				if longest = max(longest, n); longest == left {
					return
				}
			}
		}
		distance += m.hops.of(at - distance)
	}
}
