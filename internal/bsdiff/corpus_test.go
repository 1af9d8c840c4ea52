// SPDX-License-Identifier: MIT

package bsdiff

import (
	"bytes"
	"io"
	"testing"

	"swudelta/internal/bzip2"
	"swudelta/internal/tooltest"
)

// bzip2Streams is the compressor that deltas are made with.
func bzip2Streams(dst io.Writer, src []byte) error { return bzip2.Encode(dst, src, 2) }

// The patches of real images as a whole stay as small as they have come to be,
// before fresh bytes are moved out of them. The best peer's take 1,878,628 and
// 3,147,670 bytes.
func TestCorpus(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	for pair, most := range map[string]int64{"patch": 1_775_000, "minor": 2_915_000} {
		old, new := tooltest.Image(t, pair, "source"), tooltest.Image(t, pair, "target")
		p := Diff(old, new, Options{})
		if err := p.Check(old, new); err != nil {
			t.Fatal(err)
		}
		var patch bytes.Buffer
		sizes, err := p.Encode(&patch, bzip2Streams)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %d control entries, %d bytes: %+v", pair, len(p.Controls), sizes.Total(), sizes)
		if sizes.Total() > most {
			t.Errorf("%s: patch of %d bytes, want at most %d", pair, sizes.Total(), most)
		}
		made, err := apply(old, patch.Bytes(), int64(len(new)))
		if err != nil || !bytes.Equal(made, new) {
			t.Errorf("%s: the patch does not make the new image: %v", pair, err)
		}
		q, fresh := p.MoveFresh(int64(len(old)), 0)
		if err := q.Check(append(old, fresh...), new); err != nil {
			t.Errorf("%s, with fresh bytes moved: %v", pair, err)
		}
	}
}

func BenchmarkDiff(b *testing.B) {
	old, new := tooltest.Image(b, "patch", "source"), tooltest.Image(b, "patch", "target")
	var w Workspace
	for _, c := range []struct {
		name   string
		effort Effort
	}{{"quickest", Quickest}, {"quick", Quick}, {"fast", Fast}, {"default", Default}, {"thorough", Thorough}} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(new)))
			for b.Loop() {
				p := w.Diff(old, new, nil, nil, Options{Effort: c.effort})
				b.ReportMetric(float64(len(p.Controls)), "controls")
				b.ReportMetric(float64(len(p.Extra)), "extra-bytes")
			}
		})
	}
}

func BenchmarkApply(b *testing.B) {
	old, new := tooltest.Image(b, "patch", "source"), tooltest.Image(b, "patch", "target")
	var patch bytes.Buffer
	if _, err := Diff(old, new, Options{}).Encode(&patch, bzip2Streams); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(new)))
	for b.Loop() {
		err := Apply(io.Discard, bytes.NewReader(old), int64(len(old)), bytes.NewReader(patch.Bytes()), int64(patch.Len()), int64(len(new)))
		if err != nil {
			b.Fatal(err)
		}
	}
}
