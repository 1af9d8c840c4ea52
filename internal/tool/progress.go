// SPDX-License-Identifier: MIT

package tool

import (
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/term"
)

// Progress draws how far a piece of work has come, as one line on a terminal's
// stderr that is erased at the end. It stays silent for the first second, with
// -q, and when stdout is a terminal too (the product may go there). A nil
// Progress draws nothing.
type Progress struct {
	label string
	total int64
	done  atomic.Int64

	mu    sync.Mutex
	start time.Time
	last  time.Time
}

const (
	progressDelay = time.Second
	progressEvery = 100 * time.Millisecond
)

var progressShown atomic.Bool

func eraseProgress() {
	if progressShown.CompareAndSwap(true, false) {
		fmt.Fprint(os.Stderr, "\r\x1b[K")
	}
}

// NewProgress starts a piece of work of total bytes.
func (c *Context) NewProgress(label string, total int64) *Progress {
	out := c.String("output")
	if c.Quiet() || total <= 0 || !term.IsTerminal(int(os.Stderr.Fd())) ||
		(out == "" || out == "-") && term.IsTerminal(int(os.Stdout.Fd())) {
		return nil
	}
	return &Progress{label: c.cmd.Name + ": " + label, total: total, start: time.Now()}
}

// Add says that n more bytes are done.
func (p *Progress) Add(n int64) {
	if p == nil {
		return
	}
	done := p.done.Add(n)
	if done >= p.total {
		eraseProgress()
		return
	}
	if !p.mu.TryLock() {
		return
	}
	defer p.mu.Unlock()
	now := time.Now()
	if now.Sub(p.start) < progressDelay || now.Sub(p.last) < progressEvery {
		return
	}
	p.last = now
	progressShown.Store(true)
	fmt.Fprintf(os.Stderr, "\r%s: %d %%\x1b[K", p.label, 100*done/p.total)
}

// Reader returns r with its bytes counted.
func (p *Progress) Reader(r io.Reader) io.Reader {
	if p == nil {
		return r
	}
	return &progressReader{r, p}
}

type progressReader struct {
	r io.Reader
	p *Progress
}

func (r *progressReader) Read(b []byte) (int, error) {
	n, err := r.r.Read(b)
	r.p.Add(int64(n))
	if err != nil {
		eraseProgress()
	}
	return n, err
}
