// SPDX-License-Identifier: MIT

package native

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"runtime/debug"

	"swudelta/internal/errnum"
	"swudelta/internal/fault"
	"swudelta/internal/member"
)

// pipeSize is how much content waits to be closed, in bytes.
const pipeSize = 64 << 10

// muchMemory is how much a library takes for a segment, in bytes, before the collector is called:
// it does not know of that memory.
const muchMemory = 4 << 20

// pipeMemory is what a segment takes beside what its format takes, in bytes.
const pipeMemory = 2 * pipeSize

// format returns the format of a stream that is not a stored one.
func (s *Stream) format() member.Format { return format(s.Format) }

// format returns the format of a segment that is not a stored one.
func (s *Segment) format() member.Format { return format(s.Format) }

func format(n member.Number) member.Format {
	f, _ := member.Lookup(n) // whoever read the number looked before
	return f
}

// segments writes segments to w.
func (a *applier) segments(w io.Writer, list []Segment) error {
	for i, s := range list {
		var err error
		if s.Format == member.Stored {
			err = a.produce(w, s.Length)
		} else {
			err = a.closed(w, &s)
		}
		if err != nil {
			return fmt.Errorf("segment %d: %w", i, err)
		}
	}
	return nil
}

// closed writes a member to w: its content is made beside, and goes through a pipe. Only one side
// of it works with the applier.
func (a *applier) closed(w io.Writer, s *Segment) error {
	params, err := a.read(s.params.offset, s.params.Length)
	if err != nil {
		return err
	}
	if n, _ := s.format().CloseMemory(params, s.content(), s.Length); n >= muchMemory {
		debug.FreeOSMemory()
	}
	content, in := io.Pipe()
	made := make(chan error, 1)
	go func() {
		out := bufio.NewWriterSize(in, pipeSize)
		err := a.segments(out, s.Parts)
		if err == nil {
			err = out.Flush()
		}
		in.CloseWithError(err)
		made <- err
	}()
	c := &counter{w, s.Length}
	err = s.format().Close(c, content, params, &a.opts.Libraries)
	if err == nil {
		err = noMore(content)
	}
	content.CloseWithError(errStopped)
	if madeErr := <-made; madeErr != nil && !errors.Is(madeErr, errStopped) {
		return madeErr
	}
	if err == nil && c.left > 0 {
		err = fault.Dataf("closing makes %d bytes fewer than stated%s", c.left, otherLibrary)
	}
	if err == nil {
		return nil
	}
	err = fmt.Errorf("%v: %w", s.Format, err)
	var numbered *errnum.Error
	if fault.IsData(err) && !errors.As(err, &numbered) {
		err = errnum.New(errnum.Closing, err)
	}
	return err
}

// errStopped is what a pipe says whose reader has ended.
var errStopped = errors.New("closing has ended")

// noMore fails if there is content that closing has not asked for.
func noMore(r io.Reader) error {
	n, err := io.CopyN(io.Discard, r, 1)
	switch {
	case n > 0:
		return fault.Dataf("content is left over")
	case err == io.EOF:
		return nil
	}
	return err
}

// otherLibrary is why closing makes another number of bytes, if the delta was tried.
const otherLibrary = ": the target was made by another version of a library"

// counter counts what goes through it, and takes no more than left bytes.
type counter struct {
	w    io.Writer
	left int64
}

func (c *counter) Write(b []byte) (int, error) {
	if int64(len(b)) > c.left {
		return 0, fault.Dataf("closing makes more bytes than stated%s", otherLibrary)
	}
	c.left -= int64(len(b))
	return c.w.Write(b)
}
