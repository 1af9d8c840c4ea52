// SPDX-License-Identifier: MIT

package progress

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestStages(t *testing.T) {
	var seen []State
	var over []bool
	m := New(func(s State, o bool) { s.Elapsed = 0; seen, over = append(seen, s), append(over, o) })
	if s, ok := m.Now(); ok {
		t.Errorf("a stage before the first one: %v", s)
	}
	first := m.Start("read", Bytes, 10)
	first.Add(4)
	if s, ok := m.Now(); !ok || s.Stage != "read" || s.Done != 4 || s.Total != 10 || s.Unit != Bytes {
		t.Errorf("got %+v", s)
	}
	second := m.Start("packs", Bytes, 0)
	first.Add(1) // late
	first.End()
	second.Divide(2)
	second.Expect(100)
	for range 3 {
		second.Next()
		second.Add(40)
	}
	if s, _ := m.Now(); s.Done != 120 || s.Total != 120 || s.Part != 2 || s.Parts != 2 {
		t.Errorf("got %+v, want a total that is what was done", s)
	}
	second.End()
	second.End()
	if _, ok := m.Now(); ok {
		t.Error("a stage after the last one")
	}
	want := []State{
		{Stage: "read", Total: 10, Unit: Bytes},
		{Stage: "read", Done: 10, Total: 10, Unit: Bytes},
		{Stage: "packs", Unit: Bytes},
		{Stage: "packs", Done: 120, Total: 120, Unit: Bytes, Part: 2, Parts: 2},
	}
	if !slices.Equal(seen, want) || !slices.Equal(over, []bool{false, true, false, true}) {
		t.Errorf("notified of\n%+v %v, want\n%+v", seen, over, want)
	}
}

func TestLeft(t *testing.T) {
	for _, c := range []struct {
		s    State
		want time.Duration
		ok   bool
	}{
		{State{Done: 25, Total: 100, Elapsed: 10 * time.Second}, 30 * time.Second, true},
		{State{Done: 100, Total: 100, Elapsed: 10 * time.Second}, 0, true},
		{State{Done: 0, Total: 100, Elapsed: 10 * time.Second}, 0, false},
		{State{Done: 5, Total: 0, Elapsed: 10 * time.Second}, 0, false},
		{State{Done: 25, Total: 100, Elapsed: 10 * time.Millisecond}, 0, false},
		{State{Done: 1 << 61, Total: 1 << 62, Elapsed: 10 * time.Second}, 10 * time.Second, true},
	} {
		if got, ok := c.s.Left(); got != c.want || ok != c.ok {
			t.Errorf("%+v: got %v %v, want %v %v", c.s, got, ok, c.want, c.ok)
		}
	}
}

// A nil meter and a nil stage pass everything on.
func TestNil(t *testing.T) {
	var m *Meter
	s := m.Start("read", Bytes, 10)
	s.Add(1)
	s.Expect(1)
	s.Divide(1)
	s.Next()
	s.End()
	if _, ok := m.Now(); ok {
		t.Error("a stage of no meter")
	}
	var out bytes.Buffer
	if _, err := io.Copy(s.Writer(&out), s.Reader(strings.NewReader("content"))); err != nil || out.String() != "content" {
		t.Errorf("got %q, %v", &out, err)
	}
	if b := make([]byte, 3); true {
		if _, err := s.ReaderAt(strings.NewReader("content")).ReadAt(b, 4); err != nil || string(b) != "ent" {
			t.Errorf("got %q, %v", b, err)
		}
	}
}

func TestCounted(t *testing.T) {
	m := New(nil)
	s := m.Start("copy", Bytes, 21)
	b := make([]byte, 7)
	if _, err := s.ReaderAt(strings.NewReader("content")).ReadAt(b, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Writer(io.Discard).Write(b); err != nil {
		t.Fatal(err)
	}
	r := s.Reader(strings.NewReader("content"))
	if _, err := io.ReadFull(r, b); err != nil {
		t.Fatal(err)
	}
	if now, _ := m.Now(); now.Done != 21 {
		t.Errorf("%d bytes done, want 21", now.Done)
	}
	if _, err := r.Read(b); err != io.EOF {
		t.Fatal(err)
	}
	if _, ok := m.Now(); ok {
		t.Error("the stage goes on behind the end of what it reads")
	}
}

func TestMany(t *testing.T) {
	m := New(nil)
	s := m.Start("packs", Bytes, 800)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				s.Add(1)
				m.Now()
			}
		})
	}
	wg.Wait()
	if now, _ := m.Now(); now.Done != 800 {
		t.Errorf("%d done, want 800", now.Done)
	}
}
