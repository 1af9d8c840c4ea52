// SPDX-License-Identifier: MIT

package native

import (
	"encoding/binary"
	"fmt"

	"swudelta/internal/codec"
	"swudelta/internal/digest"
	"swudelta/internal/fault"
)

// Opener is how a stream of the old side is made.
type Opener uint8

// Openers.
const (
	OpenStored Opener = iota // as it is
	OpenGzip                 // one member of gzip, decompressed
	OpenZstd                 // one or more frames of zstd, decompressed
	openers
)

// Stream is old content: a range of the source, or of another stream, as it is or decompressed.
type Stream struct {
	Opener Opener
	Parent int   // 0: the source; n: the stream before with the number n-1
	Offset int64 // of the range
	Length int64 // of the range
	Size   int64 // of the content
	// Window is of OpenZstd: the widest window of its frames, in bytes.
	Window int64
	// Hidden streams are only there for others; the content of the others, end to end, is
	// the old side.
	Hidden bool
}

// Closer is how a segment of the target is made from what it consists of.
type Closer uint8

// Closers.
const (
	ClosePlain Closer = iota // content of the new side, as it is
	CloseZstd                // compressed as the canonical form of profile 1.0 is
	CloseGzip                // compressed as the canonical form of profile 3.0 is
	closers
)

// Segment is a piece of the target: the next Length bytes of the new side, or what
// compressing other segments, end to end, makes.
type Segment struct {
	Closer Closer
	Length int64 // of what it makes, in bytes
	Level  int   // of CloseZstd
	Parts  []Segment
}

const (
	maxStreams  = 4096
	maxSegments = 1 << 16
	maxDepth    = 8
	maxContent  = 4 << 20 // of the content section, in bytes
	maxParams   = 64
	maxLevel    = 22
)

// appendContent appends the content section: numbers without sign in base 128, low digits
// first, each byte but the last with its top bit set (unsigned LEB128). A stream and a segment
// begin with their type and the length of what follows of their own.
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
		p = append(p, hidden)
		if s.Opener == OpenZstd {
			p = binary.AppendUvarint(p, uint64(s.Window))
		}
		b = append(b, byte(s.Opener))
		b = binary.AppendUvarint(b, uint64(len(p)))
		b = append(b, p...)
	}
	return appendSegments(b, d.New)
}

func appendSegments(b []byte, list []Segment) []byte {
	b = binary.AppendUvarint(b, uint64(len(list)))
	for _, s := range list {
		p := binary.AppendUvarint(nil, uint64(s.Length))
		if s.Closer == CloseZstd {
			p = binary.AppendUvarint(p, uint64(s.Level))
		}
		b = append(b, byte(s.Closer))
		b = binary.AppendUvarint(b, uint64(len(p)))
		b = append(b, p...)
		if s.Closer != ClosePlain {
			b = appendSegments(b, s.Parts)
		}
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
		return &Error{codeHash, fault.Dataf("section %v: wrong digest: it is damaged", s.Type)}
	}
	p := &parser{b: b, base: s.offset, left: maxSegments}
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

// params reads the type of something, and calls f for what it has of its own.
func (p *parser) params(known int, what string, f func(q *parser, kind int)) {
	kind := p.number(255)
	n := p.number(maxParams)
	switch {
	case p.err != nil:
		return
	case kind >= int64(known):
		p.err = newer("%s type %d", what, kind)
		return
	case n > int64(len(p.b)-p.at):
		p.fail("%s cut short", what)
		return
	}
	q := &parser{b: p.b[:p.at+int(n)], at: p.at, base: p.base}
	if f(q, int(kind)); q.err == nil && q.at < len(q.b) {
		q.err = newer("%s type %d with more parameters", what, kind)
	}
	p.at, p.err = q.at, q.err
}

func (p *parser) content(d *Delta) error {
	n := p.number(maxStreams)
	for i := range int(n) {
		s := Stream{}
		p.params(int(openers), "stream", func(q *parser, kind int) {
			s.Opener = Opener(kind)
			s.Parent = int(q.number(int64(i)))
			s.Offset, s.Length, s.Size = q.number(MaxSize), q.number(MaxSize), q.number(MaxSize)
			s.Hidden = q.number(1) == 1
			if s.Opener == OpenZstd {
				s.Window = q.number(codec.MaxWindow)
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
		case s.Opener == OpenStored && s.Size != s.Length:
			p.fail("stream %d has %d bytes of %d", i, s.Size, s.Length)
		}
		d.Old = append(d.Old, s)
	}
	if d.oldSize() > MaxSize {
		p.fail("the old side has too many bytes")
	}
	var sum int64
	d.New, sum = p.segments(0)
	if p.err == nil && p.at < len(p.b) {
		p.fail("%d bytes behind the content", len(p.b)-p.at)
	}
	if p.err == nil && sum != d.TargetLength {
		p.fail("segments of %d bytes for a target of %d", sum, d.TargetLength)
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
		p.params(int(closers), "segment", func(q *parser, kind int) {
			s.Closer = Closer(kind)
			s.Length = q.number(MaxSize)
			if s.Closer == CloseZstd {
				s.Level = int(q.number(maxLevel))
			}
		})
		if p.err == nil && s.Closer != ClosePlain {
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
		if s.Closer == ClosePlain {
			n += s.Length
		} else {
			n += contentSize(s.Parts)
		}
	}
	return n
}
