// SPDX-License-Identifier: MIT

// Package progress says how far work has come.
//
// Work is a sequence of stages. It tells a Meter what it does now and how much of that there
// is, and the Stage how much is done. Whoever shows it (package tool: a line on a terminal, or
// JSON) asks the meter as often as it likes. So reporting is cheap, one atomic addition, and the
// work knows nothing of terminals. A nil Meter and a nil Stage take everything and do nothing:
// that nobody looks is no special case.
package progress

import (
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// Unit is what a stage counts.
type Unit string

// Bytes is the unit of all stages so far.
const Bytes Unit = "bytes"

// State is how far a stage has come.
type State struct {
	Stage string `json:"stage"`
	Done  int64  `json:"done"`  // at most Total, if that is known
	Total int64  `json:"total"` // 0: not known
	Unit  Unit   `json:"unit"`
	// Part is the number of the part that is worked on, from 1 on, where the stage consists
	// of Parts.
	Part  int `json:"part,omitempty"`
	Parts int `json:"parts,omitempty"`

	Elapsed time.Duration `json:"-"` // since the stage began
}

// leastElapsed is how long a stage must have taken for its speed to say anything.
const leastElapsed = time.Second

// Left estimates how long the stage will take from now on, if it goes on as fast.
func (s State) Left() (left time.Duration, ok bool) {
	if s.Done <= 0 || s.Total <= 0 || s.Elapsed < leastElapsed {
		return 0, false
	}
	return time.Duration(float64(s.Elapsed) / float64(s.Done) * float64(s.Total-s.Done)), true
}

// Meter has the current stage of some work.
type Meter struct {
	mu      sync.Mutex
	current *Stage
	notify  func(s State, over bool)
}

// New returns a meter. It calls notify, if that is not nil, when a stage begins, and when it is
// over.
func New(notify func(s State, over bool)) *Meter {
	if notify == nil {
		notify = func(State, bool) {}
	}
	return &Meter{notify: notify}
}

// Start begins a stage of total units; 0: it is not known how many. It ends the one before.
func (m *Meter) Start(name string, unit Unit, total int64) *Stage {
	if m == nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.end()
	m.current = &Stage{meter: m, name: name, unit: unit, start: time.Now()}
	m.current.total.Store(max(total, 0))
	m.notify(m.current.state(), false)
	return m.current
}

// end ends the current stage.
func (m *Meter) end() {
	if s := m.current; s != nil {
		m.current = nil
		// What was not done was not needed.
		s.done.Store(max(s.total.Load(), s.done.Load()))
		m.notify(s.state(), true)
	}
}

// Now returns how far the current stage is, if there is one.
func (m *Meter) Now() (s State, ok bool) {
	if m == nil {
		return s, false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.current == nil {
		return s, false
	}
	return m.current.state(), true
}

// Stage is a part of the work. Any number of goroutines may report to it.
type Stage struct {
	meter       *Meter
	name        string
	unit        Unit
	start       time.Time
	total, done atomic.Int64
	part, parts atomic.Int64
}

func (s *Stage) state() State {
	t := State{
		Stage: s.name, Unit: s.unit, Total: s.total.Load(), Done: s.done.Load(),
		Part: int(s.part.Load()), Parts: int(s.parts.Load()), Elapsed: time.Since(s.start),
	}
	if t.Total > 0 {
		t.Total = max(t.Total, t.Done) // there was more to do than anybody knew
	}
	t.Part = min(t.Part, t.Parts)
	return t
}

// Add says that n more units are done.
func (s *Stage) Add(n int64) {
	if s != nil {
		s.done.Add(n)
	}
}

// Expect says that there are n more units to do than was known.
func (s *Stage) Expect(n int64) {
	if s != nil {
		s.total.Add(n)
	}
}

// Divide says that the stage consists of n parts.
func (s *Stage) Divide(n int) {
	if s != nil {
		s.parts.Store(int64(n))
	}
}

// Next says that the next part begins.
func (s *Stage) Next() {
	if s != nil {
		s.part.Add(1)
	}
}

// End ends the stage, unless another one began. It need not be called where the next
// stage begins at once.
func (s *Stage) End() {
	if s == nil {
		return
	}
	s.meter.mu.Lock()
	defer s.meter.mu.Unlock()
	if s.meter.current == s {
		s.meter.end()
	}
}

// Reader returns r, with its bytes counted as done. Its end is that of the stage.
func (s *Stage) Reader(r io.Reader) io.Reader {
	if s == nil {
		return r
	}
	return &reader{r, s}
}

type reader struct {
	r io.Reader
	s *Stage
}

func (r *reader) Read(b []byte) (int, error) {
	n, err := r.r.Read(b)
	r.s.Add(int64(n))
	if err != nil {
		r.s.End()
	}
	return n, err
}

// ReaderAt returns r, with the bytes that are read counted as done.
func (s *Stage) ReaderAt(r io.ReaderAt) io.ReaderAt {
	if s == nil {
		return r
	}
	return &readerAt{r, s}
}

type readerAt struct {
	r io.ReaderAt
	s *Stage
}

func (r *readerAt) ReadAt(b []byte, off int64) (int, error) {
	n, err := r.r.ReadAt(b, off)
	r.s.Add(int64(n))
	return n, err
}

// Writer returns w, with its bytes counted as done.
func (s *Stage) Writer(w io.Writer) io.Writer {
	if s == nil {
		return w
	}
	return &writer{w, s}
}

type writer struct {
	w io.Writer
	s *Stage
}

func (w *writer) Write(b []byte) (int, error) {
	n, err := w.w.Write(b)
	w.s.Add(int64(n))
	return n, err
}
