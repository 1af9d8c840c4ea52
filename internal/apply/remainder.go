// SPDX-License-Identifier: MIT

package apply

import (
	"bytes"
	"io"

	"swudelta/internal/codec"
	"swudelta/internal/pamz"
)

// inflation is how far the remainder has been read.
type inflation struct {
	r      io.ReadCloser // nil before the first use
	pos    int64         // of the next byte that r gives
	whole  room
	staged bool
}

// remainder writes n bytes of the remainder. As long as they are asked for in
// order they come straight out of the deflated stream; after that, out of scratch
// space.
func (s *scope) remainder(w io.Writer, r *pamz.Recipe, n int64) error {
	if r.Rest == nil {
		return s.mode.copy(w, bytes.NewReader(r.Data), n)
	}
	in := s.inflated[r.Rest]
	if in == nil {
		in = &inflation{}
		s.inflated[r.Rest] = in
	}
	if !in.staged && in.pos > r.Offset {
		if err := in.stage(s, r.Rest); err != nil {
			return err
		}
	}
	if in.staged {
		return s.mode.copy(w, io.NewSectionReader(s.arena.reader(in.whole), r.Offset, n), n)
	}
	if in.r == nil {
		in.r = codec.NewDeflateReader(io.NewSectionReader(r.Rest.Stream, 0, r.Rest.Stream.Size()))
	}
	skip := r.Offset - in.pos
	if err := s.spend(skip); err != nil {
		return err
	}
	if err := s.mode.drain(io.Discard, in.r, skip, inflateFaults); err != nil {
		return err
	}
	in.pos = r.Offset + n
	return s.mode.drain(w, in.r, n, inflateFaults)
}

// stage inflates the whole remainder into scratch space.
func (in *inflation) stage(s *scope, rest *pamz.Deflated) (err error) {
	if err := s.spend(rest.Size); err != nil {
		return err
	}
	if in.whole, err = s.arena.alloc(rest.Size); err != nil {
		return err
	}
	in.r.Close()
	in.r = codec.NewDeflateReader(io.NewSectionReader(rest.Stream, 0, rest.Stream.Size()))
	w := s.arena.writer(in.whole)
	if err := s.mode.drain(w, in.r, rest.Size, inflateFaults); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	in.staged = true
	return in.r.Close()
}

func (in *inflation) close(s *scope) error {
	if in.staged {
		return s.arena.free(in.whole)
	}
	return in.r.Close()
}
