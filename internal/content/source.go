// SPDX-License-Identifier: MIT

package content

import (
	"fmt"
	"io"

	"swudelta/internal/codec"
	"swudelta/internal/fault"
)

// maxStreams is how many compressed streams a member may have to be opened: each costs
// some 110 bytes of the delta. Initial ramdisks have two to four; bgzip makes one
// for each 64 KiB.
const maxStreams = 16

// Opened returns the view of a member of the source without its compression:
// gzip and zstd streams, one behind the other, and other data behind them as it is. It is nil where there is nothing to undo. A stream that cannot be
// undone, and what follows it, stays as it is stored, and the user is told why:
// nobody can write the source anew.
func (o *Options) Opened(m *Member) (*View, error) {
	limit := maxStreams
	for {
		s := &streams{o: o, file: m.Open(), base: m.Off, limit: limit}
		v, err := o.load(m, s)
		s.close()
		if err != nil && s.failed == nil {
			return nil, err
		}
		if s.failed != nil {
			if limit == maxStreams {
				o.Note(fmt.Sprintf("%s: %v: compared as it is stored%s", m.Describe("source"), s.failed, from(s.at)))
			}
			if limit = s.opened; limit == 0 {
				return nil, nil
			}
			continue
		}
		if v.Parts = s.parts; !v.Opened() {
			return nil, nil
		}
		if len(v.Data) == 0 { // nothing that a device could make from it
			return nil, nil
		}
		return v, nil
	}
}

func from(at int64) string {
	if at == 0 {
		return ""
	}
	return fmt.Sprintf(" from offset %d on", at)
}

// streams reads the content of a member, stream by stream.
type streams struct {
	o     *Options
	file  *io.SectionReader
	base  int64 // offset of the member in its file
	limit int   // streams to open
	parts []Part

	at     int64 // of the current part in the member
	opened int   // streams that were undone
	kind   codec.Kind
	r      io.Reader // of the current part
	size   int64     // of its content, so far
	used   func() int64
	done   bool
	failed error // a stream cannot be undone
}

func (s *streams) Read(p []byte) (int, error) {
	for !s.done {
		if s.r == nil {
			if err := s.begin(); err != nil {
				return 0, err
			}
			continue
		}
		n, err := s.r.Read(p)
		s.size += int64(n)
		if err == io.EOF {
			s.end()
			err = nil
		}
		if err != nil {
			return n, s.fail(err)
		}
		if n > 0 {
			return n, nil
		}
	}
	return 0, io.EOF
}

// fail tells a stream that cannot be undone from a failing disk.
func (s *streams) fail(err error) error {
	if s.kind != codec.KindPlain && fault.IsData(err) {
		s.failed = err
	}
	return err
}

// begin opens the part at s.at.
func (s *streams) begin() (err error) {
	if s.at == s.file.Size() {
		s.done = true
		return nil
	}
	if s.kind, err = kindAt(s.file, s.at); err != nil {
		return err
	}
	rest := io.NewSectionReader(s.file, s.at, s.file.Size()-s.at)
	stream := s.kind == codec.KindGzip || s.kind == codec.KindZstd
	switch {
	case stream && s.opened == maxStreams:
		s.opened = 0
		s.at = 0
		return s.fail(fault.Dataf("more than %d compressed streams", maxStreams))
	case stream && s.opened == s.limit, !stream:
		s.kind = codec.KindPlain
		s.r, s.used = rest, rest.Size
		return nil
	case s.kind == codec.KindGzip:
		g, err := codec.NewGzipMember(rest)
		if err != nil {
			return s.fail(err)
		}
		s.r, s.used = g, g.Used
	default:
		n, _, err := codec.ZstdFrames(rest, rest.Size())
		if err != nil {
			return s.fail(err)
		}
		z, err := codec.NewZstdReader(io.NewSectionReader(rest, 0, n), s.o.MaxWindow)
		if err != nil {
			return s.fail(err)
		}
		s.r, s.used = z, func() int64 { return n }
	}
	return nil
}

// end ends the current part.
func (s *streams) end() {
	n := s.used()
	// A stream without content would be an item that no device takes.
	if s.size > 0 {
		s.parts = append(s.parts, Part{Range: Range{Off: s.base + s.at, Len: n}, Kind: s.kind, Size: s.size})
	}
	if s.kind != codec.KindPlain {
		s.opened++
	}
	s.close()
	s.at, s.size = s.at+n, 0
}

func (s *streams) close() {
	if c, ok := s.r.(io.Closer); ok {
		c.Close()
	}
	s.r = nil
}
