// SPDX-License-Identifier: MIT

// Package native writes deltas for devices that run our own library: our own format (package
// internal/native). Such a device reads the old side at random and holds no pack in
// memory, so patches become operations over both sides as a whole.
package native

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"math"
	"os"
	"slices"

	"swudelta/internal/content"
	"swudelta/internal/device"
	"swudelta/internal/digest"
	"swudelta/internal/match"
	"swudelta/internal/member"
	format "swudelta/internal/native"
)

const (
	// packSize is the greatest sum of both sides of a pack, in bytes. The device has no part in
	// it: matching takes some ten times as much here.
	packSize = 112 << 20
	// processMemory is what a process takes to apply any delta, beside what the delta states,
	// in bytes.
	processMemory = 12 << 20
	// leastMemory is what models and a process take at most, but for operations.
	leastMemory = 36 << 20
)

// Options are what a device needs.
type Options struct {
	Libraries member.Libraries                // to close compressed members with
	Memory    int64                           // what a process on the device may take, in bytes; 0: no limit for members
	Load      func(io.Reader) ([]byte, error) // keeps content where it can be addressed
	Scratch   func() (*os.File, error)        // returns an unnamed temporary file
}

// Device is a device with our library. It implements device.Device.
type Device struct{ Options }

// New returns a device.
func New(o Options) *Device {
	if o.Memory > 0 {
		o.Libraries.Memory = max(o.Memory-leastMemory, 1<<20)
	}
	return &Device{o}
}

// Codecs returns what our library opens and closes: all that package member knows.
func (d *Device) Codecs() device.Codecs { return device.Codecs{Libraries: &d.Libraries} }

// Reach is everything.
func (d *Device) Reach() int64 { return math.MaxInt64 }

// Limits returns the limits for a process with that much memory. An operation for a run takes
// some three bytes.
func (d *Device) Limits(memory int64) match.Limits {
	l := match.Limits{Pack: packSize, Run: 32 << 10, Zeros: 16 << 10, Repeat: 8 << 10, PatchMemory: packSize, RangeCost: 8, Whole: true}
	if memory < leastMemory {
		l.Pack = 0
	}
	return l
}

// writer puts both sides of a delta together.
type writer struct {
	*Device
	format.Input
	source content.Input
	starts map[content.Part]int64  // where in the old side parts of the source are
	opened map[*content.Opened]int // numbers of streams
	olds   [][]byte                // the old side,
	ends   []int64                 // where each of them ends in it,
	owner  []int                   // and the index of its stream
	news   [][]byte
}

// Write returns the delta as a file.
func (d *Device) Write(delta *device.Delta) ([]byte, error) {
	w := &writer{Device: d, source: delta.Source, starts: map[content.Part]int64{}, opened: map[*content.Opened]int{}}
	w.SourceLength, w.SourceSHA256 = delta.Source.Size, delta.SourceSHA256
	w.TargetLength, w.TargetSHA256 = delta.Target, delta.TargetSHA256
	w.Progress = delta.Progress
	for _, m := range delta.Members {
		if err := w.member(m, delta.Explain); err != nil {
			return nil, fmt.Errorf("%s: %w", m.Name, err)
		}
	}
	w.prune()
	var err error
	if w.OldSide, err = w.join(w.olds); err == nil {
		w.NewSide, err = w.join(w.news)
	}
	if err != nil {
		return nil, err
	}
	file, err := format.Encode(&w.Input)
	if err != nil {
		return nil, err
	}
	for _, m := range delta.Members {
		m.Cost = int64(len(file)) * m.Size / max(delta.Target, 1) // nobody can say exactly
	}
	opened, err := format.Open(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		return nil, fmt.Errorf("read the new delta back: %w", err)
	}
	for _, s := range opened.Sections {
		delta.Explain("section %v: %d", s.Type, s.Length)
	}
	return file, nil
}

// join returns content end to end. What is only one stays where it is.
func (w *writer) join(list [][]byte) ([]byte, error) {
	if len(list) == 1 {
		return list[0], nil
	}
	readers := make([]io.Reader, len(list))
	for i, b := range list {
		readers[i] = bytes.NewReader(b)
	}
	return w.Load(io.MultiReader(readers...))
}

// add adds content of the target, and the segments that it lies in end to end.
func (w *writer) add(content []byte, segments ...format.Segment) {
	w.New = append(w.New, segments...)
	w.news = append(w.news, content)
}

func (w *writer) member(m *device.Member, explain func(format string, args ...any)) error {
	switch {
	case m.Copy != nil:
		b, err := w.Load(w.source.Section(*m.Copy))
		if err != nil {
			return err
		}
		at, err := w.part(content.Part{Range: *m.Copy, Size: m.Copy.Len}, b)
		if err != nil {
			return err
		}
		w.Ops = append(w.Ops, format.Op{Kind: format.Copy, Len: m.Size, Old: at})
		w.add(b, format.Segment{Length: m.Size})
		return nil
	case m.Image == nil:
		w.Ops = append(w.Ops, format.Op{Kind: format.Literal, Len: m.Size})
		w.add(m.Literal, format.Segment{Length: m.Size})
		return nil
	}
	var old []match.Range // of the old side of the delta: that of the member, end to end
	done := int64(0)
	for _, p := range m.Parts {
		at, err := w.part(p, m.Image.Old[done:done+p.Size])
		if err != nil {
			return err
		}
		old = append(old, match.Range{Off: int(at), Len: int(p.Size)})
		done += p.Size
	}
	c := chooser{writer: w, ops: operations(m.Image, old), content: m.Image.Target, explain: explain}
	made := c.choose(m.Segments, 1)
	var err error
	if m.Closing, m.Outer, err = closing(made.segments, m.Size); err != nil {
		return err
	}
	w.Ops = append(w.Ops, made.ops...)
	w.New = append(w.New, made.segments...)
	w.news = append(w.news, made.news...)
	return nil
}

// part returns where in the old side a part of the source is, which is added the first time.
func (w *writer) part(p content.Part, data []byte) (int64, error) {
	if at, ok := w.starts[p]; ok {
		return at, nil
	}
	if p.In != nil && p.Off == 0 && p.Len == int64(len(p.In.Content)) && w.opened[p.In] == 0 {
		w.open(p.In, false)
	} else {
		w.stream(format.Stream{Parent: w.open(p.In, true), Offset: p.Off, Length: p.Len, Size: p.Size})
	}
	at := int64(0)
	if n := len(w.ends); n > 0 {
		at = w.ends[n-1]
	}
	w.starts[p] = at
	w.olds = append(w.olds, data)
	w.ends = append(w.ends, at+p.Size)
	w.owner = append(w.owner, len(w.Old)-1)
	return at, nil
}

// stream adds a stream, and returns its number for others that are a part of it.
func (w *writer) stream(s format.Stream) int {
	w.Old = append(w.Old, s)
	return len(w.Old)
}

// open returns the number of the stream that is the content of a compressed member, which is added
// the first time; that of the source is 0.
func (w *writer) open(o *content.Opened, hidden bool) int {
	if o == nil {
		return 0
	}
	n := w.opened[o]
	if n == 0 {
		n = w.stream(format.Stream{
			Format: o.Number, Params: o.OpenParams, Parent: w.open(o.In, true),
			Offset: o.At.Off, Length: o.At.Len, Size: int64(len(o.Content)), Hidden: hidden,
		})
		w.opened[o] = n
	}
	return n
}

// Try applies a delta as the device does.
func (d *Device) Try(delta []byte, source content.Input, sourceSum *digest.Writer, report func(int64)) (device.Cost, error) {
	opened, err := format.Open(bytes.NewReader(delta), int64(len(delta)))
	if err != nil {
		return device.Cost{}, fmt.Errorf("read the new delta back: %w", err)
	}
	err = opened.Apply(io.Discard, source, source.Size, format.ApplyOptions{
		Libraries: d.Libraries,
		Scratch:   d.Scratch,
		Memory:    max(opened.Need.Memory, format.DefaultMemory),
		SourceSum: sourceSum,
		Progress:  report,
	})
	if err != nil {
		return device.Cost{}, fmt.Errorf("try the new delta: %w", err)
	}
	return device.Cost{Memory: opened.Need.Memory + processMemory, Tmp: opened.Need.Scratch}, nil
}

// placed is an operation and where what it makes lies among what entries of an image refer to:
// the old side, then the new sides of all packs.
type placed struct {
	at int64
	format.Op
}

func (p placed) end() int64 { return p.at + p.Len }

// operations returns what makes an image, whose old side is ranges of that of the delta, end
// to end. What no old content serves is literals.
func operations(im *match.Image, old []match.Range) []format.Op {
	list := spread(nil, old, 0, 0, int64(len(im.Old)))
	base := int64(len(im.Old))
	for _, p := range im.Packs {
		at, pos := base, int64(0)
		for _, c := range p.Controls {
			// The old side of a pack is ranges of that of the image.
			for n := c.Add; n > 0; {
				from, k := find(p.Ranges, pos, n)
				list = spread(list, old, at, from, k)
				at, pos, n = at+k, pos+k, n-k
			}
			at += c.Extra
			pos += c.Seek
		}
		base += int64(p.NewSize())
	}
	var out []format.Op
	for _, e := range im.Entries {
		if e.Zero {
			out = join(out, format.Op{Kind: format.Fill, Len: int64(e.Len)})
			continue
		}
		at, end := int64(e.Off), int64(e.Off+e.Len)
		i, _ := slices.BinarySearchFunc(list, at, func(p placed, at int64) int { return cmp.Compare(p.end(), at+1) })
		for ; at < end && i < len(list) && list[i].at < end; i++ {
			p := list[i]
			if p.at > at {
				out = join(out, format.Op{Kind: format.Literal, Len: p.at - at})
				at = p.at
			}
			p.Old += at - p.at
			p.Len = min(p.end(), end) - at
			out = join(out, p.Op)
			at += p.Len
		}
		if at < end {
			out = join(out, format.Op{Kind: format.Literal, Len: end - at})
		}
	}
	return out
}

// spread appends copies to at of n bytes at from of ranges that are put end to end.
func spread(list []placed, ranges []match.Range, at, from, n int64) []placed {
	for n > 0 {
		off, k := find(ranges, from, n)
		list = append(list, placed{at, format.Op{Kind: format.Copy, Len: k, Old: off}})
		at, from, n = at+k, from+k, n-k
	}
	return list
}

// find returns where offset at of ranges that are put end to end lies, and how many of n
// bytes from there on are in the same range.
func find(ranges []match.Range, at, n int64) (off, k int64) {
	for _, r := range ranges {
		if at < int64(r.Len) {
			return int64(r.Off) + at, min(n, int64(r.Len)-at)
		}
		at -= int64(r.Len)
	}
	panic("native: a patch leaves its old side")
}

// join appends an operation, or makes the last one longer.
func join(list []format.Op, o format.Op) []format.Op {
	if i := len(list) - 1; i >= 0 && list[i].Kind == o.Kind {
		l := &list[i]
		if o.Kind == format.Literal || o.Kind == format.Fill && l.Old == o.Old || o.Kind == format.Copy && l.Old+l.Len == o.Old {
			l.Len += o.Len
			return list
		}
	}
	return append(list, o)
}
