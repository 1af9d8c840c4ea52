// SPDX-License-Identifier: MIT

// Package deflate opens raw deflate streams (RFC 1951) and closes them again
// with exactly the bytes that they had, whatever encoder made them.
//
// No encoder is called for that. A model follows the search of zlib, GNU gzip and
// libdeflate (hash chains, lazy matches, where blocks end, how codes are built) and predicts
// the stream from its content token by token. What it does not predict is written
// down in the script, which is next to nothing for the encoders that it knows and
// small for others that search in similar ways. With content and script, Close
// follows the same model and writes the stream.
package deflate

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"swudelta/internal/fault"
)

// ErrOdd says that a stream is valid, but has something that no script can state.
var ErrOdd = errors.New("deflate stream with a form that is not supported")

var errSlow = errors.New("searches take too long")

// Stream is a deflate stream that was opened.
type Stream struct {
	Content []byte
	Script  []byte // for Close
	Size    int    // bytes of the stream
}

// Open opens the deflate stream that src begins with, of at most limit bytes of
// content. Nothing was closed with what it returns: a caller that depends on it does so, and
// compares. A fault of the stream is a data error; ErrOdd says that it can only be kept as it is.
func Open(src []byte, limit int64) (*Stream, error) {
	first := &parser{bitReader: bitReader{src: src}, keep: true, limit: limit}
	v, err := look(first, func(int64) {})
	if err != nil {
		return nil, err
	}
	s := &Stream{Content: first.content, Size: first.size()}
	s.Script, err = v.script(src[:s.Size], s.Content, func(int64) {})
	return s, err
}

// lookShare is the part of the time of an analysis that the first look takes, as 1 in so many.
const lookShare = 4

// Analyse returns the script of a stream whose content is known. Nothing was closed with it, and
// errors are, as with [Open]. It calls progress, unless that is nil, with each number of bytes of
// content that were dealt with.
func Analyse(src, content []byte, progress func(n int64)) ([]byte, error) {
	size, told := int64(len(content)), int64(0)
	reach := func(at int64) {
		if progress != nil && at > told {
			progress(at - told)
			told = at
		}
	}
	first := &parser{bitReader: bitReader{src: src}, limit: size}
	v, err := look(first, func(at int64) { reach(at / lookShare) })
	if err != nil {
		return nil, err
	}
	if n := first.size(); n != len(src) {
		return nil, fault.At(int64(n), "deflate stream: bytes behind its end")
	}
	return v.script(src, content, func(at int64) { reach(size/lookShare + at - at/lookShare) })
}

// script makes the script of a stream. It calls reach with the offsets in content that it comes to.
func (v *survey) script(src, content []byte, reach func(at int64)) ([]byte, error) {
	p, flushed := v.choose(src, content)
	script, err := write(src, content, p, flushed, v.parts, reach)
	if errors.Is(err, errSlow) {
		return nil, fmt.Errorf("%w: %v", ErrOdd, err)
	}
	return script, err
}

// size is how many bytes the stream took, the rest of the last one included.
func (p *parser) size() int { return p.offset() }

// write makes the script of a stream.
func write(src, content []byte, p params, flushed bool, parts []int64, reach func(at int64)) ([]byte, error) {
	s := newScript(newEncoder())
	s.total, s.size, s.flushed = int64(len(content)), int64(len(src)), flushed
	if err := s.header(&p); err != nil {
		return nil, err
	}
	s.m = newMatcher(p, bytes.NewReader(content), s.total)
	in := &parser{bitReader: bitReader{src: src}, limit: s.total}
	next := func() error {
		n := int64(0)
		if flushed {
			n, parts = parts[0], parts[1:]
		}
		return s.nextPart(n)
	}
	if err := next(); err != nil {
		return nil, err
	}
	for !in.done {
		b, err := in.next()
		if err != nil {
			return nil, err
		}
		if err := s.code(b, discard{}); err != nil {
			return nil, err
		}
		reach(s.m.pos)
		if s.partEnds(b) {
			if err := next(); err != nil {
				return nil, err
			}
		}
	}
	pad := in.align()
	s.codePad(&pad)
	return s.c.finish(), nil
}

// partEnds reports whether an encoder was flushed behind the block.
func (s *script) partEnds(b *block) bool {
	return s.flushed && b.kind == stored && b.size == 0 && s.m.pos == s.m.end && !b.final
}

// Chain returns how many places of its content at most the model looks at for one copy, which most of
// the time of Close depends on. It reads the head of a script alone.
func Chain(script []byte) (int, error) {
	var p params
	err := newScript(newDecoder(script)).header(&p)
	return p.chain, err
}

type discard struct{}

func (discard) begin(*block) error { return nil }
func (discard) token(token) error  { return nil }

// Close writes the stream that script describes to w. It reads its content from
// content once, to the end of the stream's content, and takes less than a
// megabyte of memory. A script that does not fit the content gives another
// stream or a data error: the caller compares digests.
func Close(w io.Writer, content io.Reader, script []byte) error {
	var p params
	s := newScript(newDecoder(script))
	if err := s.header(&p); err != nil {
		return err
	}
	s.m = newMatcher(p, content, s.total)
	out := &blockWriter{bitWriter: newBitWriter(w, s.size), view: &s.m.view}
	if err := s.nextPart(0); err != nil {
		return err
	}
	var b block
	for !b.final {
		b = block{tokens: b.tokens[:0], trees: trees{runs: b.trees.runs[:0]}}
		start := s.m.pos
		if err := s.code(&b, out); err != nil {
			return err
		}
		if err := out.block(&b, start); err != nil {
			return err
		}
		if s.partEnds(&b) {
			if err := s.nextPart(0); err != nil {
				return err
			}
		}
		if out.err != nil {
			return out.err
		}
	}
	if s.m.pos != s.total {
		return fault.Dataf("deflate script: the last block ends at offset %d of %d", s.m.pos, s.total)
	}
	pad := uint32(0)
	s.codePad(&pad)
	out.put(pad, out.room())
	return out.finish()
}
