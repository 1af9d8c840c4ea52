// SPDX-License-Identifier: MIT

package native

import (
	"cmp"
	"errors"
	"io"

	"swudelta/internal/fault"
)

const (
	// aheadSize is the size of the chunks that go from one goroutine to another, in bytes.
	aheadSize = 64 << 10
	// aheadChunks is how many of them there are.
	aheadChunks = 4
)

// errAbandoned ends a goroutine whose reader does not want more.
var errAbandoned = errors.New("abandoned")

// ahead reads what a goroutine makes, which goes on beside its reader, a few chunks ahead.
type ahead struct {
	full      chan []byte
	empty     chan []byte
	abandoned chan struct{}
	chunk     []byte // what of the last chunk has been read
	rest      []byte // what of it has not
	err       error  // that of the goroutine, when full is closed
}

// goAhead starts a goroutine that calls f, which writes what is to be read. It ends when f
// returns; until then, close must be called.
func goAhead(f func(w io.Writer) error) *ahead {
	a := &ahead{
		full: make(chan []byte, aheadChunks), empty: make(chan []byte, aheadChunks),
		abandoned: make(chan struct{}),
	}
	for range cap(a.empty) {
		a.empty <- nil
	}
	go func() {
		a.err = f((*aheadWriter)(a))
		close(a.full)
	}()
	return a
}

// aheadWriter is the side of the goroutine.
type aheadWriter ahead

// Write hands b over in chunks.
func (w *aheadWriter) Write(b []byte) (n int, err error) {
	for n < len(b) {
		var chunk []byte
		select {
		case chunk = <-w.empty:
		case <-w.abandoned:
			return n, errAbandoned
		}
		chunk = append(chunk[:0], b[n:min(len(b), n+aheadSize)]...)
		n += len(chunk)
		w.full <- chunk // there are not more chunks than it takes
	}
	return n, nil
}

// Read returns what was written, then the error of the goroutine, or io.EOF if it had none.
func (a *ahead) Read(b []byte) (int, error) {
	for len(a.rest) == 0 {
		if a.chunk != nil {
			a.empty <- a.chunk
			a.chunk = nil
		}
		chunk, ok := <-a.full
		if !ok {
			if a.err != nil {
				return 0, a.err
			}
			return 0, io.EOF
		}
		a.chunk, a.rest = chunk, chunk
	}
	n := copy(b, a.rest)
	a.rest = a.rest[n:]
	return n, nil
}

// close ends the goroutine, if it goes on, and waits for that.
func (a *ahead) close() {
	close(a.abandoned)
	for range a.full {
	}
}

// end returns the error of the goroutine, which is to have no more to give.
func (a *ahead) end() error {
	if _, err := io.CopyN(io.Discard, a, 1); err != io.EOF {
		return cmp.Or(err, fault.Dataf("more is made than asked for"))
	}
	return nil
}
