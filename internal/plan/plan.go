// SPDX-License-Identifier: MIT

// Package plan is the delta engine: it decides which piece of the target comes
// from where, and writes that down as a delta that a device can apply.
//
// It opens both files (package content), finds for each member of the target that changed
// what of it is where in the source (package match), and lets the device's package write
// that down (package device). A delta that takes too much of the device is made again
// with smaller packs. doc/engine.md tells why it is done this way.
package plan

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime"
	"time"

	"swudelta/internal/bsdiff"
	"swudelta/internal/content"
	"swudelta/internal/device"
	"swudelta/internal/digest"
	"swudelta/internal/fault"
	"swudelta/internal/layout"
	"swudelta/internal/match"
	"swudelta/internal/progress"
)

// Input is one side of the update.
type Input = content.Input

// DefaultDeviceMemory is the default of Options.DeviceMemory, in bytes.
const DefaultDeviceMemory = 96 << 20

// Options say what the device is and what the plan may use.
type Options struct {
	// DeviceMemory is the greatest resident memory, in bytes, that a process of the device may
	// need to apply the delta. Default: DefaultDeviceMemory.
	DeviceMemory int64
	// DeviceTmp is the greatest need of temporary space on the device, in
	// bytes. 0: any.
	DeviceTmp int64
	// Memory bounds the resident memory of the process, in bytes: it decides how many packs
	// are worked on at a time, and where it is short, how large they are and how many places
	// of the source are indexed. What cannot be done with it is refused with ErrMemory.
	// Default: DefaultMemory.
	Memory int64
	// Effort is the level of effort: 0 (fast) to 9 (small).
	Effort int
	// Workers is the number of packs worked on at the same time. It does not
	// change the delta. Default: the number of processors.
	Workers int

	// SourceLayouts and TargetLayouts tell what lies where in members, by the
	// name of the member; "" is a file that is no SWU. They are hints.
	SourceLayouts, TargetLayouts map[string]*layout.Layout

	// Device is what the delta is for.
	Device device.Device

	// Load keeps the content of a reader where it can be addressed.
	Load func(io.Reader) ([]byte, error)

	// Progress is told the stages: read, open, close (native), index, match, arrange, packs, code,
	// verify.
	Progress *progress.Meter

	// Note receives what the user should know about the inputs.
	Note func(string)
}

// leastRun is the length, in bytes, of the shortest runs of the old side that become entries
// of their own, where temporary space of the device is tight. Inside a pack such a run costs
// about as many bytes, plus memory and temporary space of the device, and encoding time.
const leastRun = 4 << 10

// minPack is the smallest useful sum of both sides of a pack, in bytes.
const minPack = 1 << 20

// ErrDevice says that the device has too little memory or temporary space for
// any delta.
var ErrDevice = errors.New("the device is too small")

// ErrNotSmaller says that a delta would not be smaller than the target. Make
// returns a result with it, whose delta nobody should use.
var ErrNotSmaller = errors.New("the delta is not smaller than the target")

// Result is what became of a plan.
type Result struct {
	Delta        []byte
	TargetSHA256 digest.SHA256
	SourceSHA256 digest.SHA256
	DeviceMemory int64 // predicted resident memory on the device, in bytes
	DeviceTmp    int64 // predicted temporary space on the device, in bytes
	// DeviceClosing is how much processor time closing what is compressed in the target takes on the
	// device, about, and ImageClosing what of it is for images as a whole.
	DeviceClosing, ImageClosing time.Duration
	Copied, Zeros               int64 // bytes of the target's content that are runs of the source, of zeros
	Repeats, Fresh              int64 // bytes that repeat others, bytes that nothing predicts
	Packed                      int64 // bytes of material in packs

	explanation bytes.Buffer
}

// Explain writes what the delta consists of and why.
func (r *Result) Explain(w io.Writer) error {
	_, err := w.Write(r.explanation.Bytes())
	return err
}

type maker struct {
	Options
	source, target Input
	sourceSum      *digest.Writer // of all of source
	candidates     []*candidate   // views of the source's members
	opening        content.Options
	result         Result
}

func (m *maker) notef(format string, args ...any) {
	if m.Note != nil {
		m.Note(fmt.Sprintf(format, args...))
	}
}

func (m *maker) explainf(format string, args ...any) {
	fmt.Fprintf(&m.result.explanation, format+"\n", args...)
}

// Make makes a delta for the device. It was checked against the rules of the device, applied to
// source, and gave target.
func Make(source, target Input, o Options) (*Result, error) {
	return newMaker(source, target, o).make()
}

func newMaker(source, target Input, o Options) *maker {
	if o.DeviceMemory == 0 {
		o.DeviceMemory = DefaultDeviceMemory
	}
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if o.Memory == 0 {
		o.Memory = DefaultMemory
	}
	o.Effort = min(max(o.Effort, 0), len(efforts)-1)
	return &maker{Options: o, source: source, target: target}
}

func (m *maker) make() (*Result, error) {
	source, target := m.source, m.target
	if source.Size == 0 {
		return nil, fault.Dataf("the source is empty: a device cannot apply a delta to nothing")
	}
	if target.Size == 0 {
		return nil, fault.Dataf("the target is empty")
	}
	stage := m.Progress.Start("read", progress.Bytes, source.Size+target.Size)
	m.sourceSum = digest.NewWriter(io.Discard)
	_, err := io.Copy(m.sourceSum, io.NewSectionReader(stage.ReaderAt(source), 0, source.Size))
	if err != nil {
		return nil, err
	}
	m.result.SourceSHA256 = m.sourceSum.Sum()
	if m.result.TargetSHA256, _, err = digest.SumReader(io.NewSectionReader(stage.ReaderAt(target), 0, target.Size)); err != nil {
		return nil, err
	}
	if source.Size == target.Size && m.result.SourceSHA256 == m.result.TargetSHA256 {
		return nil, fault.Dataf("source and target are the same")
	}
	members, err := m.open()
	if err != nil {
		return nil, err
	}
	if err := m.fit(members); err != nil {
		return nil, err
	}
	m.warnLarge(members)
	if n := int64(len(m.result.Delta)); n >= target.Size {
		return &m.result, fault.Dataf("%w: %d bytes for %d", ErrNotSmaller, n, target.Size)
	}
	return &m.result, nil
}

// fit makes the delta, with packs that are small enough for the device. What it
// costs there is known only in the end, so a delta that needs too much memory is
// made again with smaller packs, and one that needs too much temporary space with
// shorter runs left out of packs.
func (m *maker) fit(members []*target) error {
	limits := m.Device.Limits(m.DeviceMemory)
	limits.Pack = min(limits.Pack, bsdiff.MaxSize)
	// Where smaller packs do not help, steps get longer, so that this is soon known: the last try is with
	// the smallest ones.
	for step := 5; ; {
		if limits.Pack < minPack {
			return fault.Dataf("%w: no delta can be applied in %d bytes of memory", ErrDevice, m.DeviceMemory)
		}
		m.result = Result{SourceSHA256: m.result.SourceSHA256, TargetSHA256: m.result.TargetSHA256}
		delta, err := m.match(members, limits)
		if err != nil {
			return err
		}
		delta.Progress = m.Progress.Start("code", progress.Bytes, 0)
		if m.result.Delta, err = m.Device.Write(delta); err != nil {
			return err
		}
		verify := m.Progress.Start("verify", progress.Bytes, m.target.Size)
		cost, err := m.Device.Try(m.result.Delta, m.source, m.sourceSum, verify.Add)
		verify.End()
		if err != nil {
			return err
		}
		m.result.DeviceMemory, m.result.DeviceTmp = cost.Memory, cost.Tmp
		m.explainf("device: memory %d temporary space %d", cost.Memory, cost.Tmp)
		for _, x := range delta.Members {
			m.result.DeviceClosing += x.Closing
			m.result.ImageClosing += x.Outer
		}
		if m.DeviceTmp > 0 && cost.Tmp > m.DeviceTmp {
			if limits.Run > leastRun {
				limits.Run = max(limits.Run/4, leastRun)
				continue
			}
			return fault.Dataf("%w: applying the delta takes %d bytes of temporary space, and the device has %d", ErrDevice, cost.Tmp, m.DeviceTmp)
		}
		over := cost.Memory - m.DeviceMemory
		if over <= 0 {
			return nil
		}
		shorter := max(limits.Pack-limits.Pack*step/100, minPack)
		limits.Pack = int(max(min(int64(limits.Pack)-over, int64(shorter)), 0))
		step *= 2
	}
}

// match finds where the target comes from: large members of it, and what lies between
// them as it is.
func (m *maker) match(members []*target, limits match.Limits) (*device.Delta, error) {
	d := &device.Delta{
		Source: m.source, Target: m.target.Size, SourceSHA256: m.result.SourceSHA256, TargetSHA256: m.result.TargetSHA256,
		Limits: limits, Effort: m.Effort, Memory: m.compressorMemory(), Explain: m.explainf,
	}
	done := int64(0)
	between := func(to int64) error {
		if done == to {
			return nil
		}
		b := make([]byte, to-done)
		if _, err := io.ReadFull(io.NewSectionReader(m.target, done, to-done), b); err != nil {
			return err
		}
		d.Members = append(d.Members, &device.Member{Name: "what lies between members", Size: to - done, SHA256: digest.Sum(b), Literal: b})
		done = to
		return nil
	}
	for _, t := range members {
		if t.same == nil && t.view == nil {
			continue
		}
		if err := between(t.Off); err != nil {
			return nil, err
		}
		var err error
		if t.made, err = m.member(t, limits); err != nil {
			return nil, fmt.Errorf("%s: %w", t.describe(), err)
		}
		d.Members = append(d.Members, t.made)
		done = t.End()
	}
	return d, between(m.target.Size)
}

// member finds where a member of the target comes from.
func (m *maker) member(t *target, limits match.Limits) (*device.Member, error) {
	out := &device.Member{Name: t.describe(), Size: t.Len, SHA256: m.result.TargetSHA256}
	var err error
	if t.Len != m.target.Size {
		if out.SHA256, err = digestOf(t.Member); err != nil {
			return nil, err
		}
	}
	if t.same != nil {
		m.explainf("%s: unchanged, as it is stored", t.describe())
		m.result.Copied += t.Len
		out.Copy = &t.same.Range
		return out, nil
	}
	out.Content = out.SHA256
	out.Segments = t.view.Segments
	for _, reason := range t.view.NotOpened {
		m.explainf("%s: not opened: %s", t.describe(), reason)
	}
	if t.view.Opened() {
		out.Content = t.view.Sum()
		out.Kind = t.view.Parts[0].Kind
	}
	new := m.side(t.view, m.TargetLayouts, "target")
	old, parts, err := m.oldSide(t.view, new)
	if err != nil {
		return nil, err
	}
	effort := efforts[m.Effort]
	im, err := match.Find(old, new, match.Options{Limits: limits, Effort: effort, Memory: m.matchMemory(old.Index), Workers: m.Workers, Progress: m.Progress})
	if err != nil {
		return nil, err
	}
	im.Explain(m.explainf)
	m.result.Copied += im.Copied
	m.result.Zeros += im.Zeros
	m.result.Repeats += im.Repeats
	m.result.Packed += im.Packed
	m.result.Fresh += int64(len(im.Fresh))
	out.Image, out.Parts = im, parts
	return out, nil
}
