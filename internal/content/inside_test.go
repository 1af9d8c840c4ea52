// SPDX-License-Identifier: MIT

package content

import (
	"bytes"
	"encoding/hex"
	"slices"
	"testing"

	"swudelta/internal/codec"
	"swudelta/internal/digest"
)

// hexText is 3n hexadecimal digits.
func hexText(seed byte, n int) (out []byte) {
	for i := range n {
		sum := digest.Sum([]byte{seed, byte(i), byte(i >> 8)})
		out = append(out, hex.EncodeToString(sum[:2])[:3]...)
	}
	return out
}

// TestInside opens what differs and can be made again, and nothing else.
func TestInside(t *testing.T) {
	text := func(seed byte) []byte { return hexText(seed, 3000) }
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
	olds, news, err := o.Inside([]*View{view(old)}, []*View{view(new)}, 9)
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
	if olds, news, err = o.Inside([]*View{a}, []*View{b}, 9); err != nil || olds[0] != a || news[0] != b {
		t.Errorf("opened: %v", err)
	}
}

// TestInsideMost opens the longest members of each side, and no more than it may.
func TestInsideMost(t *testing.T) {
	plain := bytes.Repeat([]byte("plain"), 100)
	var old, new []byte
	for i, n := range []int{9000, 3000, 1000, 27000} {
		old = slices.Concat(old, plain, gzipped(hexText(byte(i), n)))
		new = slices.Concat(new, plain, gzipped(hexText(byte(10+i), n)))
	}
	var notes []string
	o := options(&notes)
	o.Remake = func(stored, content []byte) (int, bool) { return 7, true }
	views := make([]*View, 2)
	for i, b := range [][]byte{old, new} {
		v, err := o.Stored(fileMember(b))
		if err != nil {
			t.Fatal(err)
		}
		views[i] = v
	}
	olds, news, err := o.Inside(views[:1], views[1:], 2)
	if err != nil {
		t.Fatal(err)
	}
	var opened []int
	for _, s := range news[0].Segments {
		if s.Member != nil {
			opened = append(opened, len(s.Member.Content))
		}
	}
	if !slices.Equal(opened, []int{27000, 81000}) {
		t.Errorf("target: opened contents of %d bytes", opened)
	}
	if v := olds[0]; !bytes.Equal(v.Data[views[0].Member.Len:], slices.Concat(hexText(0, 9000), hexText(3, 27000))) {
		t.Errorf("source: %d parts", len(v.Parts))
	}
}
