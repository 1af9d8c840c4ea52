// SPDX-License-Identifier: MIT

package native

import (
	"bytes"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"swudelta/internal/displace"
	"swudelta/internal/mix"
)

// TestContexts measures what each context of the models is worth: how many bytes more the
// sections have without it, and how much less time they take. SWUDELTA_CONTEXTS names the
// deltas, SOURCE:DELTA, separated by blanks. doc/engine.md has the results.
func TestContexts(t *testing.T) {
	sets := strings.Fields(os.Getenv("SWUDELTA_CONTEXTS"))
	if len(sets) == 0 {
		t.Skip("SWUDELTA_CONTEXTS names no deltas")
	}
	for _, set := range sets {
		source, delta, _ := strings.Cut(set, ":")
		m := measured{encoder: reopened(t, source, delta)}
		for _, model := range []struct {
			name string
			code func(without int) (int, time.Duration)
		}{
			{"whether a byte differs", m.flags}, {"difference", m.values}, {"literal", m.literals},
		} {
			all, took := model.code(0)
			t.Logf("%s: %s: %d bytes, %v", delta, model.name, all, took.Round(time.Millisecond))
			for k := range mix.Contexts {
				n, less := model.code(k + 1)
				t.Logf("%s: %s without context %d: %+d bytes, %+.1f %% of the time",
					delta, model.name, k+1, n-all, 100*(less-took).Seconds()/took.Seconds())
			}
		}
	}
}

// measured codes sections with models from which a context is taken.
type measured struct{ *encoder }

// fastest returns what code makes, and the shortest of some processor times that it takes.
func fastest(code func() int) (size int, took time.Duration) {
	took = time.Hour
	for range 5 {
		start := processorTime()
		size = code()
		took = min(took, processorTime()-start)
	}
	return size, took
}

func processorTime() time.Duration {
	var use syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &use); err != nil {
		panic(err)
	}
	return time.Duration(use.Utime.Nano())
}

func (m measured) flags(without int) (int, time.Duration) {
	return m.differences(func(d *differences) { d.flags.without = without })
}

func (m measured) values(without int) (int, time.Duration) {
	return m.differences(func(d *differences) { d.values.without = without })
}

func (m measured) differences(change func(*differences)) (int, time.Duration) {
	return fastest(func() int {
		model := newDifferences()
		change(model)
		b, err := m.encoder.differencesBy(model, leafSizes(m.New, nil))
		if err != nil {
			panic(err)
		}
		return len(b)
	})
}

func (m measured) literals(without int) (int, time.Duration) {
	return fastest(func() int {
		l := newLiteralCoder(m.encoder, 17, 20)
		l.m.bytes.without = without
		m.eachOp(l.op)
		return len(l.c.Finish())
	})
}

// reopened returns an encoder of what a delta says of its source.
func reopened(t *testing.T, sourceName, deltaName string) *encoder {
	source, err := os.ReadFile(sourceName)
	if err != nil {
		t.Fatal(err)
	}
	delta, err := os.ReadFile(deltaName)
	if err != nil {
		t.Fatal(err)
	}
	d, err := Open(bytes.NewReader(delta), int64(len(delta)))
	if err != nil {
		t.Fatal(err)
	}
	a := &applier{Delta: d, opts: options(t)}
	need, err := a.need()
	if err == nil {
		err = a.stage(bytes.NewReader(source), need.Scratch)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer a.close()
	ops, err := d.Operations()
	if err == nil {
		a.new, err = a.makeNew()
	}
	if err != nil {
		t.Fatal(err)
	}
	e := &encoder{Input: &Input{Old: d.Old, New: d.New}, ops: ops}
	if e.NewSide, err = io.ReadAll(a.new); err != nil {
		t.Fatal(err)
	}
	if e.OldSide, err = io.ReadAll(io.NewSectionReader(a.old, 0, a.old.Size())); err != nil {
		t.Fatal(err)
	}
	if d.section(TypeDisplacements).Length == 0 {
		return e
	}
	plan, err := d.decodePlan()
	if err == nil {
		e.predictor, err = displace.New(plan, copiesOf(ops), bytes.NewReader(e.OldSide))
	}
	if err != nil {
		t.Fatal(err)
	}
	return e
}
