// SPDX-License-Identifier: MIT

package content

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/flate"

	"swudelta/internal/member"
)

// lines is text of its own for each seed.
func lines(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 7))
	var b bytes.Buffer
	for b.Len() < n {
		fmt.Fprintf(&b, "%x: a line of text, %d\n", r.Uint64(), b.Len())
	}
	return b.Bytes()[:n]
}

// noise is what cannot be compressed.
func noise(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 8))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// built makes the stored bytes of a member of the target out of the content of its view.
func built(t *testing.T, list []Segment, content *bytes.Reader) []byte {
	t.Helper()
	var out bytes.Buffer
	for _, s := range list {
		before := out.Len()
		if s.Member == nil {
			io.CopyN(&out, content, s.Len)
		} else {
			f, _ := member.Lookup(s.Member.Number)
			if err := f.Close(&out, bytes.NewReader(built(t, s.Parts, content)), s.Member.CloseParams, nil); err != nil {
				t.Fatal(err)
			}
		}
		if n := int64(out.Len() - before); n != s.Len {
			t.Fatalf("a segment of %d bytes, want %d", n, s.Len)
		}
	}
	return out.Bytes()
}

// checkOld opens the parts of a view again.
func checkOld(t *testing.T, m *Member, v *View) {
	t.Helper()
	var open func(o *Opened) []byte
	open = func(o *Opened) []byte {
		if o == nil {
			b, err := io.ReadAll(m.In.Section(Range{Len: m.In.Size}))
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
		f, _ := member.Lookup(o.Number)
		r, err := f.Open(bytes.NewReader(open(o.In)[o.At.Off:o.At.End()]), o.OpenParams)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	var all []byte
	for _, p := range v.Parts {
		all = append(all, open(p.In)[p.Off:p.End()]...)
	}
	if !bytes.Equal(all, v.Data) {
		t.Fatal("the parts are not the content of the view")
	}
}

// checkImages holds the places of images against the content of the view.
func checkImages(t *testing.T, v *View) {
	t.Helper()
	for _, image := range v.Images {
		for _, p := range image.Places {
			if !bytes.Equal(image.Data[p.From:p.From+p.Len], v.Data[p.At:p.At+p.Len]) {
				t.Fatalf("place %+v holds something else", p)
			}
		}
	}
}

func shapeOf(list []Segment) string {
	var out []string
	for _, s := range list {
		name := "-"
		if s.Member != nil {
			name = fmt.Sprintf("%v(%s)", s.Member.Number, shapeOf(s.Parts))
		}
		out = append(out, name)
	}
	return strings.Join(out, " ")
}

func TestTrees(t *testing.T) {
	a, b, c := lines(1, 20000), lines(2, 30000), lines(3, 10000)
	x, y := noise(1, 9000), noise(2, 8000)
	cat := func(list ...[]byte) []byte { return slices.Concat(list...) }
	broken := gzipped(b)
	broken[len(broken)-6] ^= 1
	for _, test := range []struct {
		name     string
		old, new []byte
		segments string
		contents []int // sizes of what is opened of the source
	}{
		{"plain", x, y, "-", nil},
		{"image that is one member", gzipped(cat(a, x)), gzipped(cat(a, y)), "- gzip(-)", []int{29000}},
		{"member in an image", cat(x, gzipped(a), y), cat(x, gzipped(a[5:]), y), "- gzip(-) -", []int{20000}},
		{"unchanged member elsewhere", cat(x, gzipped(a), y), cat(gzipped(a), y, x), "-", nil},
		{"one of two changed", cat(x, gzipped(a), y, gzipped(b), x), cat(x, gzipped(a), y, gzipped(b[5:]), x), "- gzip(-) -", []int{30000}},
		{"nested", gzipped(cat(x, gzipped(a), y, gzipped(c))), gzipped(cat(x, gzipped(a[9:]), y, gzipped(c))),
			"- gzip(- gzip(-) -)", []int{0, 20000}},
		{"checksum is wrong", cat(x, gzipped(b)), cat(y, broken), "-", []int{30000}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var notes []string
			o := options(&notes)
			o.Libraries = &member.Libraries{}
			old, new := fileMember(test.old), fileMember(test.new)
			olds, news, err := o.Trees(Side{Members: []*Member{old}}, Side{Members: []*Member{new}})
			if err != nil {
				t.Fatal(err)
			}
			checkOld(t, old, olds[0])
			checkImages(t, olds[0])
			checkImages(t, news[0])
			if got := built(t, news[0].Segments, bytes.NewReader(news[0].Data)); !bytes.Equal(got, test.new) {
				t.Error("the segments make something else")
			}
			if got := shapeOf(news[0].Segments); got != test.segments {
				t.Errorf("segments %q, want %q", got, test.segments)
			}
			var contents []int
			seen := map[*Opened]bool{}
			for _, p := range olds[0].Parts {
				if p.In != nil && !seen[p.In] {
					seen[p.In] = true
					n := len(p.In.Content)
					if p.In.In == nil && len(p.In.Members) > 0 {
						n = 0 // depends on the compressor
					}
					contents = append(contents, n)
				}
			}
			if !slices.Equal(contents, test.contents) {
				t.Errorf("opened %v of the source, want %v", contents, test.contents)
			}
		})
	}
}

// A stream whose corrections would take more than opening it brings stays closed, and the user
// is told why the delta is large.
func TestTreesNotes(t *testing.T) {
	var odd bytes.Buffer
	odd.Write([]byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3})
	w, err := flate.NewWriter(&odd, 9)
	if err != nil {
		t.Fatal(err)
	}
	w.Write(lines(4, 50000))
	w.Close()
	odd.Write(make([]byte, 8)) // a wrong checksum
	var notes []string
	o := options(&notes)
	o.Libraries = &member.Libraries{}
	_, news, err := o.Trees(Side{Members: []*Member{fileMember(noise(3, 1000))}}, Side{Members: []*Member{fileMember(odd.Bytes())}})
	if err != nil {
		t.Fatal(err)
	}
	if len(notes) != 1 || !strings.Contains(notes[0], "compared as it is stored") || !strings.Contains(notes[0], "wrong checksum") {
		t.Errorf("notes %q", notes)
	}
	if len(news[0].NotOpened) != 1 {
		t.Errorf("not opened: %q", news[0].NotOpened)
	}
}

// Whatever both sides hold, the parts and segments of their views are what they say.
func FuzzTrees(f *testing.F) {
	f.Add(gzipped(lines(1, 500)), gzipped(lines(2, 600)))
	f.Add(slices.Concat(noise(1, 100), gzipped(slices.Concat(gzipped(lines(1, 700)), lines(2, 300)))), gzipped(lines(1, 700)))
	f.Fuzz(func(t *testing.T, old, new []byte) {
		if len(old) == 0 || len(new) == 0 {
			return
		}
		var notes []string
		o := options(&notes)
		o.Libraries = &member.Libraries{}
		om, nm := fileMember(old), fileMember(new)
		olds, news, err := o.Trees(Side{Members: []*Member{om}}, Side{Members: []*Member{nm}})
		if err != nil {
			t.Fatal(err)
		}
		checkOld(t, om, olds[0])
		if got := built(t, news[0].Segments, bytes.NewReader(news[0].Data)); !bytes.Equal(got, new) {
			t.Fatal("the segments make something else")
		}
	})
}

// What members in members take to close is taken at the same time.
func TestFit(t *testing.T) {
	inner := &member.Member{Number: member.Gzip, Closed: true}
	outer := &member.Member{Number: member.Gzip, Closed: true, Members: []*member.Member{inner}}
	f, _ := member.Lookup(member.Gzip)
	each, err := f.CloseMemory(nil, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		left         int64
		outer, inner bool
	}{{2 * each, true, true}, {2*each - 1, true, false}, {each, true, false}, {each - 1, false, false}} {
		inner.Closed, outer.Closed = true, true
		fit([]*member.Member{outer}, c.left)
		if outer.Closed != c.outer || outer.Closed && inner.Closed != c.inner {
			t.Errorf("%d bytes: outer %v, inner %v; want %v, %v", c.left, outer.Closed, inner.Closed, c.outer, c.inner)
		}
		if !outer.Closed && outer.Reason == "" {
			t.Error("no reason")
		}
	}
}
