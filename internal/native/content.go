// SPDX-License-Identifier: MIT

package native

import (
	"encoding/binary"
	"fmt"

	"swudelta/internal/digest"
	"swudelta/internal/errnum"
	"swudelta/internal/fault"
	"swudelta/internal/member"
)

// Stream is old content: a range of the source, or of another stream, as it is or opened.
type Stream struct {
	Format member.Number // Stored: as it is
	Params []byte        // with which Format opens the range
	Parent int           // 0: the source; n: the stream before with the number n-1
	Offset int64         // of the range
	Length int64         // of the range
	Size   int64         // of the content
	// Hidden streams are only there for others; the content of the others, end to end, is
	// the old side.
	Hidden bool
}

// Segment is a piece of the target: the next Length bytes of the new side, or the member that
// other segments, end to end, are the content of.
type Segment struct {
	Format member.Number // Stored: content of the new side, as it is
	Length int64         // of what it makes, in bytes
	Parts  []Segment

	// Params are those with which Format closes the content. They lie in a section of their own, and are
	// not in a delta that was opened.
	Params []byte
	params Section // where they are
}

// content is how many bytes of content a segment has that is not a stored one.
func (s *Segment) content() (n int64) {
	for _, p := range s.Parts {
		n += p.Length
	}
	return n
}

const (
	maxStreams  = 1 << 16
	maxSegments = 1 << 17
	maxDepth    = 8
	maxContent  = 4 << 20  // of the content section, in bytes
	maxClosing  = 64 << 20 // of the parameters of a segment, in bytes
	maxParams   = 128      // of what a stream or segment states in the content section

	// entryMemory is what a stream or segment takes while a delta is applied, in bytes.
	entryMemory = 256
)

// appendContent appends the content section: numbers without sign in base 128, low digits
// first, each byte but the last with its top bit set (unsigned LEB128). A stream and a segment
// begin with their format and the length of what follows of their own.
func (d *Delta) appendContent(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(d.Old)))
	for _, s := range d.Old {
		p := binary.AppendUvarint(nil, uint64(s.Parent))
		p = binary.AppendUvarint(p, uint64(s.Offset))
		p = binary.AppendUvarint(p, uint64(s.Length))
		p = binary.AppendUvarint(p, uint64(s.Size))
		hidden := byte(0)
		if s.Hidden {
			hidden = 1
		}
		p = append(append(p, hidden), s.Params...)
		b = binary.AppendUvarint(b, uint64(s.Format))
		b = binary.AppendUvarint(b, uint64(len(p)))
		b = append(b, p...)
	}
	return appendSegments(b, d.New)
}

func appendSegments(b []byte, list []Segment) []byte {
	b = binary.AppendUvarint(b, uint64(len(list)))
	for _, s := range list {
		p := binary.AppendUvarint(nil, uint64(s.Length))
		if s.Format != member.Stored {
			p = binary.AppendUvarint(p, uint64(len(s.Params)))
		}
		b = binary.AppendUvarint(b, uint64(s.Format))
		b = binary.AppendUvarint(b, uint64(len(p)))
		b = append(b, p...)
		if s.Format != member.Stored {
			b = appendSegments(b, s.Parts)
		}
	}
	return b
}

// appendClosing appends the section of parameters with which segments are closed: those of a
// segment before those of its parts.
func appendClosing(b []byte, list []Segment) []byte {
	for _, s := range list {
		b = appendClosing(append(b, s.Params...), s.Parts)
	}
	return b
}

// openContent reads and checks the content section.
func (d *Delta) openContent() error {
	s := d.section(TypeContent)
	if s.Length > maxContent {
		return fault.Dataf("section %v has %d bytes, at most %d are allowed", s.Type, s.Length, maxContent)
	}
	b, err := d.read(s.offset, s.Length)
	if err != nil {
		return err
	}
	if digest.Sum(b) != s.SHA256 && s.Length > 0 {
		return errnum.New(errnum.Hash, fault.Dataf("section %v: wrong digest: it is damaged", s.Type))
	}
	p := &parser{b: b, base: s.offset, left: maxSegments, closing: d.section(TypeClosing)}
	if err := p.content(d); err != nil {
		return fmt.Errorf("section %v: %w", s.Type, err)
	}
	return nil
}

// parser reads numbers. After the first one that is not there, all are 0 and err says
// so.
type parser struct {
	b    []byte
	at   int
	base int64 // offset of b in the file
	left int   // segments that may still come
	err  error

	// closing is what is left of the section with that name.
	closing Section
}

func (p *parser) fail(format string, args ...any) {
	if p.err == nil {
		p.err = fault.At(p.base+int64(p.at), format, args...)
	}
}

// number reads a number up to most.
func (p *parser) number(most int64) int64 {
	if p.err != nil {
		return 0
	}
	v, n := binary.Uvarint(p.b[p.at:])
	if n <= 0 {
		p.fail("number cut short")
		return 0
	}
	if v > uint64(most) {
		p.fail("number %d, at most %d is allowed", v, most)
		return 0
	}
	p.at += n
	return int64(v)
}

// params reads the format of something, and calls f for what it states of its own: all of it, or
// there is more than this version knows.
func (p *parser) params(what string, f func(q *parser, n member.Number)) {
	kind := p.number(255)
	n := p.number(maxParams)
	format := member.Number(kind)
	_, known := member.Lookup(format)
	switch {
	case p.err != nil:
		return
	case !known && format != member.Stored:
		p.err = newer("%s of format %d", what, kind)
		return
	case n > int64(len(p.b)-p.at):
		p.fail("%s cut short", what)
		return
	}
	q := &parser{b: p.b[:p.at+int(n)], at: p.at, base: p.base}
	if f(q, format); q.err == nil && q.at < len(q.b) {
		q.err = newer("%s of format %d with more parameters", what, kind)
	}
	p.at, p.err = q.at, q.err
}

// rest returns all that is left.
func (p *parser) rest() []byte {
	if p.err != nil {
		return nil
	}
	b := p.b[p.at:]
	p.at = len(p.b)
	return b
}

func (p *parser) content(d *Delta) error {
	n := p.number(maxStreams)
	for i := range int(n) {
		s := Stream{}
		p.params("stream", func(q *parser, n member.Number) {
			s.Format = n
			s.Parent = int(q.number(int64(i)))
			s.Offset, s.Length, s.Size = q.number(MaxSize), q.number(MaxSize), q.number(MaxSize)
			s.Hidden = q.number(1) == 1
			if n != member.Stored {
				s.Params = q.rest()
			}
		})
		if p.err != nil {
			return p.err
		}
		limit := d.SourceLength
		if s.Parent > 0 {
			limit = d.Old[s.Parent-1].Size
		}
		switch {
		case s.Length > limit || s.Offset > limit-s.Length:
			p.fail("stream %d is a range behind the end of what it is a part of", i)
		case s.Format == member.Stored && s.Size != s.Length:
			p.fail("stream %d has %d bytes of %d", i, s.Size, s.Length)
		}
		d.Old = append(d.Old, s)
	}
	if d.oldSize() > MaxSize {
		p.fail("the old side has too many bytes")
	}
	var sum int64
	d.New, sum = p.segments(0)
	switch {
	case p.err != nil:
	case p.at < len(p.b):
		p.fail("%d bytes behind the content", len(p.b)-p.at)
	case sum != d.TargetLength:
		p.fail("segments of %d bytes for a target of %d", sum, d.TargetLength)
	case p.closing.Length > 0:
		p.fail("%d bytes are left over in section %v", p.closing.Length, TypeClosing)
	}
	return p.err
}

// segments reads a list of segments, and returns the sum of what they make.
func (p *parser) segments(depth int) (list []Segment, sum int64) {
	if depth > maxDepth {
		p.fail("segments more than %d deep", maxDepth)
	}
	n := p.number(int64(p.left))
	for range n {
		if p.left--; p.left < 0 {
			p.fail("more than %d segments", maxSegments)
		}
		s := Segment{}
		size := int64(0) // of the parameters
		p.params("segment", func(q *parser, n member.Number) {
			s.Format = n
			s.Length = q.number(MaxSize)
			if n != member.Stored {
				size = q.number(maxClosing)
			}
		})
		if p.err == nil && s.Format != member.Stored {
			s.params = p.take(size)
			s.Parts, _ = p.segments(depth + 1)
		}
		if p.err != nil {
			return nil, 0
		}
		list = append(list, s)
		if sum += s.Length; sum > MaxSize {
			p.fail("segments of too many bytes")
		}
	}
	return list, sum
}

// take returns where the next n bytes of the section of closing parameters are.
func (p *parser) take(n int64) Section {
	if n > p.closing.Length {
		p.fail("section %v ends early", TypeClosing)
		return Section{}
	}
	out := Section{Type: TypeClosing, Length: n, offset: p.closing.offset}
	p.closing.offset += n
	p.closing.Length -= n
	return out
}

// oldSize is the length of the old side.
func (d *Delta) oldSize() (n int64) {
	for _, s := range d.Old {
		if !s.Hidden && n <= MaxSize {
			n += s.Size
		}
	}
	return n
}

// newSize is the length of the new side.
func (d *Delta) newSize() int64 { return contentSize(d.New) }

func contentSize(list []Segment) (n int64) {
	for _, s := range list {
		if s.Format == member.Stored {
			n += s.Length
		} else {
			n += contentSize(s.Parts)
		}
	}
	return n
}
