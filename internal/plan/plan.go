// SPDX-License-Identifier: MIT

// Package plan is the delta engine: it decides which piece of the target comes
// from where, and writes that down as a delta that a device can apply.
//
// A file is a SWU whose members are looked at one by one, or anything else,
// looked at as a whole. The content of each large member of the target (its
// compression undone, where the device makes the same bytes again) is divided
// into long runs that the source has too, long runs of zeros, repeats, and the
// rest, the material. Material goes into packs: a pack is one binary patch for
// changed content from all over the target against those ranges of the source
// that serve it, sized for the memory of the device. Bytes that nothing predicts
// are taken out of the patches and compressed by zstd at its highest level, all
// together. doc/engine.md tells why it is done this way.
package plan

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"

	"swudelta/internal/bsdiff"
	"swudelta/internal/codec"
	"swudelta/internal/content"
	"swudelta/internal/device/stock30"
	"swudelta/internal/digest"
	"swudelta/internal/fault"
	"swudelta/internal/layout"
	"swudelta/internal/pamz"
)

// Input is one side of the update.
type Input = content.Input

// Defaults of Options, in bytes.
const (
	DefaultDeviceMemory = 96 << 20
	DefaultMemory       = 2 << 30
)

// Options say what the device is and what the plan may use.
type Options struct {
	// DeviceMemory is the greatest resident memory, in bytes, that a process may
	// need to apply the delta with the stock library. Default: DefaultDeviceMemory.
	DeviceMemory int64
	// DeviceTmp is the greatest need of temporary space on the device, in
	// bytes. 0: any.
	DeviceTmp int64
	// Memory is what the engine aims to use at most, in bytes: it decides how many
	// packs are worked on at a time. It is not a hard limit. Default: DefaultMemory.
	Memory int64
	// Effort is the level of effort: 0 (fast) to 9 (small).
	Effort int
	// Workers is the number of packs worked on at the same time. It does not
	// change the delta. Default: the number of processors.
	Workers int

	// SourceLayouts and TargetLayouts tell what lies where in members, by the
	// name of the member; "" is a file that is no SWU. They are hints.
	SourceLayouts, TargetLayouts map[string]*layout.Layout

	// Profile is the generation of the device's library. Default: pamz.Profile10.
	Profile pamz.Profile

	// Zstd is the device's libzstd; under pamz.Profile30 it compresses only what the delta
	// carries.
	Zstd *codec.Zstd
	// Zlib is needed under pamz.Profile30.
	Zlib *codec.Zlib

	// Load keeps the content of a reader where it can be addressed.
	Load func(io.Reader) ([]byte, error)
	// Scratch returns an unnamed temporary file.
	Scratch func() (*os.File, error)

	// Note receives what the user should know about the inputs.
	Note func(string)
}

// A run of the old side of at least goodCopy bytes becomes an entry of the table. Shorter
// ones, down to leastCopy, do for want of temporary space on the device: as a part of
// a pack the run costs hardly less, but memory and temporary space there, and time here.
const (
	goodCopy  = 64 << 10
	leastCopy = 4 << 10
)

// packShare is the part of Memory that both sides of a pack take, at most: matching
// needs nine bytes for each byte of an old side that it sorts.
const packShare = 8

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
	Delta          []byte
	TargetSHA256   digest.SHA256
	SourceSHA256   digest.SHA256
	DeviceMemory   int64 // predicted resident memory on the device, in bytes
	DeviceTmp      int64 // predicted temporary space on the device, in bytes
	Copied, Zeros  int64 // bytes of the target's content that are runs of the source, of zeros
	Repeats, Fresh int64 // bytes that repeat others, bytes that nothing predicts
	Packed         int64 // bytes of material in packs

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
	effort         effort
	shortest       int             // run of the old side that becomes an entry of the table, in bytes
	maxRegion      int64           // the greatest offset and length of a region
	stock30        *stock30.Writer // nil: the delta is not for that device
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

// Make makes a delta of the profile: PAMZ version 0, little endian, for profile 1.0,
// version 2 for profile 3.0. It was checked against the rules of the device, applied to source, and gave target.
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
	maxRegion := int64(maxNumber)
	if o.Profile == "" {
		o.Profile = pamz.Profile10
	} else if o.Profile == pamz.Profile30 {
		maxRegion = anyNumber
	}
	return &maker{Options: o, source: source, target: target, shortest: goodCopy, maxRegion: maxRegion, effort: efforts[min(max(o.Effort, 0), len(efforts)-1)]}
}

func (m *maker) make() (*Result, error) {
	source, target := m.source, m.target
	if source.Size == 0 {
		return nil, fault.Dataf("the source is empty: a device cannot apply a delta to nothing")
	}
	if target.Size == 0 {
		return nil, fault.Dataf("the target is empty")
	}
	m.sourceSum = digest.NewWriter(io.Discard)
	_, err := io.Copy(m.sourceSum, io.NewSectionReader(source, 0, source.Size))
	if err != nil {
		return nil, err
	}
	m.result.SourceSHA256 = m.sourceSum.Sum()
	if m.result.TargetSHA256, _, err = digest.SumReader(io.NewSectionReader(target, 0, target.Size)); err != nil {
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

// greatestBudget returns how many bytes both sides of a pack may have at most. More than
// the device has is of no use, more than a share of Memory takes too much of it
// here, and more than bsdiff.MaxSize has no patch.
func (m *maker) greatestBudget() int64 {
	return min(m.DeviceMemory-processMemory, max(m.Memory/packShare, DefaultDeviceMemory), bsdiff.MaxSize)
}

// fit makes the delta, with packs that are small enough for the device. What it
// costs there is known only in the end, so a delta that needs too much memory is
// made again with smaller packs, and one that needs too much temporary space with
// shorter runs left out of packs.
func (m *maker) fit(members []*target) error {
	budget := m.greatestBudget()
	for {
		if budget < minPack {
			return fault.Dataf("%w: no delta can be applied in %d bytes of memory", ErrDevice, m.DeviceMemory)
		}
		m.result = Result{SourceSHA256: m.result.SourceSHA256, TargetSHA256: m.result.TargetSHA256}
		diff := &pamz.Diff{
			TargetLength: m.target.Size, TargetSHA256: m.result.TargetSHA256,
			SourceLength: m.source.Size, SourceSHA256: m.result.SourceSHA256,
		}
		m.begin(diff)
		var err error
		if diff.Chunks, err = m.chunks(members, int(budget)); err != nil {
			return err
		}
		var out bytes.Buffer
		if err := pamz.Encode(&out, diff); err != nil {
			return err
		}
		m.result.Delta = out.Bytes()
		if err := m.verify(); err != nil {
			return err
		}
		m.explainf("device: memory %d temporary space %d", m.result.DeviceMemory, m.result.DeviceTmp)
		if m.DeviceTmp > 0 && m.result.DeviceTmp > m.DeviceTmp {
			if m.shortest > leastCopy {
				m.shortest = max(m.shortest/4, leastCopy)
				continue
			}
			return fault.Dataf("%w: applying the delta takes %d bytes of temporary space, and the device has %d", ErrDevice, m.result.DeviceTmp, m.DeviceTmp)
		}
		over := m.result.DeviceMemory - m.DeviceMemory
		if over <= 0 {
			return nil
		}
		budget = min(budget-over, budget*9/10)
	}
}

// chunks returns the chunk table of the delta: large members of the target, and
// what lies between them.
func (m *maker) chunks(members []*target, budget int) ([]*pamz.Item, error) {
	var chunks []*pamz.Item
	done := int64(0)
	between := func(to int64) error {
		if done == to {
			return nil
		}
		b := make([]byte, to-done)
		if _, err := io.ReadFull(io.NewSectionReader(m.target, done, to-done), b); err != nil {
			return err
		}
		chunks = append(chunks, pamz.NewItem(int64(len(b)), digest.Sum(b), pamz.Remainder(b)))
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
		item, err := m.member(t, budget)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", t.describe(), err)
		}
		if t.cost, err = m.cost(t, item); err != nil {
			return nil, err
		}
		chunks = append(chunks, item)
		done = t.End()
	}
	if err := between(m.target.Size); err != nil {
		return nil, err
	}
	return chunks, nil
}

// member returns the chunk that makes one member of the target.
func (m *maker) member(t *target, budget int) (*pamz.Item, error) {
	sum := m.result.TargetSHA256
	if t.Len != m.target.Size {
		var err error
		if sum, err = digestOf(t.Member); err != nil {
			return nil, err
		}
	}
	if t.same != nil {
		m.explainf("%s: unchanged, as it is stored", t.describe())
		m.result.Copied += t.Len
		return pamz.NewItem(t.Len, sum, pamz.CopySource(t.same.Off)), nil
	}
	inner := sum
	if t.view.Opened() {
		inner = t.view.Sum()
	}
	content, err := m.image(t.view, inner, m.choose(t.view), budget)
	if err != nil {
		return nil, err
	}
	if !t.view.Opened() {
		return content, nil
	}
	return m.compressed(content, t.view, sum)
}

// cost returns what a member of the target takes of the delta, in bytes.
func (m *maker) cost(t *target, item *pamz.Item) (int64, error) {
	d := &pamz.Diff{TargetLength: t.Len, TargetSHA256: item.SHA256, SourceLength: m.source.Size, SourceSHA256: m.result.SourceSHA256, Chunks: []*pamz.Item{item}}
	if m.stock30 != nil {
		d.Version, d.Order = 2, pamz.BigEndian
	}
	w := digest.NewWriter(io.Discard)
	err := pamz.Encode(w, d)
	return w.Len(), err
}

// verify holds the delta against the rules of the device and its limits, and
// applies it to the source in the strictest way.
func (m *maker) verify() error {
	d, err := pamz.Decode(bytes.NewReader(m.result.Delta), int64(len(m.result.Delta)))
	if err != nil {
		return fmt.Errorf("read the new delta back: %w", err)
	}
	cost, violations, err := pamz.Check(d, m.Profile)
	switch {
	case err != nil:
		return err
	case len(violations) > 0:
		return fmt.Errorf("the new delta breaks a rule of the device: %v", violations[0])
	}
	m.result.DeviceMemory, m.result.DeviceTmp = cost.Memory, cost.Tmp
	err = pamz.Apply(io.Discard, d, m.source, m.source.Size, pamz.ApplyOptions{
		Zstd:    func() (*codec.Zstd, error) { return m.Zstd, nil },
		Zlib:    func() (*codec.Zlib, error) { return m.Zlib, nil },
		Scratch: m.Scratch,
		Strict:  true,

		SourceSum: m.sourceSum,
	})
	if err != nil {
		return fmt.Errorf("try the new delta: %w", err)
	}
	return nil
}

// parallel runs work(0) ... work(n-1), workers at a time, and returns all
// errors, joined in the order of the index.
func parallel(n, workers int, work func(int) error) error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	slots := make(chan struct{}, max(workers, 1))
	for i := range n {
		slots <- struct{}{}
		wg.Add(1)
		go func() {
			defer wg.Done()
			errs[i] = work(i)
			<-slots
		}()
	}
	wg.Wait()
	return errors.Join(errs...)
}
