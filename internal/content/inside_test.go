// SPDX-License-Identifier: MIT

package content

import (
	"bytes"
	"slices"
	"testing"

	"swudelta/internal/codec"
	"swudelta/internal/digest"
)

// TestInside opens what differs and can be made again, and nothing else.
func TestInside(t *testing.T) {
	text := func(seed byte) (out []byte) {
		for i := range 3000 {
			sum := digest.Sum([]byte{seed, byte(i), byte(i >> 8)})
			out = append(out, sum.String()[:3]...)
		}
		return out
	}
	plain := bytes.Repeat([]byte("plain"), 100)
	same, small, odd := gzipped(text(1)), gzipped([]byte("small")), gzipped(text(2))
	old := slices.Concat(plain, same, plain, gzipped(text(3)), plain, small)
	new := slices.Concat(plain, same, gzipped(text(4)), plain, odd, small, plain)
	var notes []string
	o := options(&notes)
	o.Remake = func(stored, content []byte) (int, bool) { return 7, !bytes.Equal(stored, odd) }
	view := func(b []byte) *View {
		v, err := o.Stored(fileMember(b))
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	olds, news, err := o.Inside([]*View{view(old)}, []*View{view(new)})
	if err != nil {
		t.Fatal(err)
	}
	v := news[0]
	if want := slices.Concat(plain, same, text(4), plain, odd, small, plain); !bytes.Equal(v.Data, want) {
		t.Error("the target is not opened as it should be")
	}
	if len(v.Segments) != 3 || v.Segments[1].Member == nil || !bytes.Equal(v.Segments[1].Member.CloseParams, []byte{7}) {
		t.Errorf("segments %+v", v.Segments)
	}
	if v.Sum() != digest.Sum(new) || v.Opened() {
		t.Error("the target as it is stored is another")
	}
	v = olds[0]
	if !bytes.Equal(v.Data, slices.Concat(old, text(3))) || len(v.Parts) != 2 || v.Opened() {
		t.Errorf("the source is not opened as it should be: %d parts", len(v.Parts))
	} else if p := v.Parts[1]; p.Of != 1 || p.Kind != codec.KindGzip || !bytes.Equal(old[p.Off:p.End()], gzipped(text(3))) || p.Size != int64(len(text(3))) {
		t.Errorf("part %+v", p)
	}

	// Without anything to open in the target nothing is opened in the source.
	o.Remake = func(stored, content []byte) (int, bool) { return 0, false }
	a, b := view(old), view(new)
	if olds, news, err = o.Inside([]*View{a}, []*View{b}); err != nil || olds[0] != a || news[0] != b {
		t.Errorf("opened: %v", err)
	}
}
