// SPDX-License-Identifier: MIT

package content

import (
	"bytes"
	"io"
	"slices"
	"testing"

	"github.com/klauspost/compress/gzip"

	"swudelta/internal/codec"
	"swudelta/internal/digest"
)

func gzipped(b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	w.Write(b)
	w.Close()
	return out.Bytes()
}

func fileMember(data []byte) *Member {
	in := Input{bytes.NewReader(data), int64(len(data))}
	return &Member{Name: "m", Range: Range{Off: 0, Len: in.Size}, In: in}
}

func options(notes *[]string) *Options {
	return &Options{Load: io.ReadAll, MaxWindow: 1 << 27, Note: func(s string) { *notes = append(*notes, s) }}
}

// The parts of a view tile the member, and their content end to end is the view's.
func checkView(t *testing.T, m *Member, v *View) {
	t.Helper()
	at, size := m.Off, int64(0)
	for _, p := range v.Parts {
		stored, err := io.ReadAll(m.In.Section(p.Range))
		if err != nil {
			t.Fatal(err)
		}
		if p.Kind != codec.KindPlain {
			r, err := codec.NewStreamReader(bytes.NewReader(stored), p.Kind, 1<<27)
			if err != nil {
				t.Fatal(err)
			}
			if stored, err = io.ReadAll(r); err != nil {
				t.Fatal(err)
			}
		}
		if p.Off < at || p.Size != int64(len(stored)) || !bytes.Equal(v.Data[size:size+p.Size], stored) {
			t.Fatalf("part %+v does not hold what it says", p)
		}
		at, size = p.End(), size+p.Size
	}
	if at > m.End() || size != int64(len(v.Data)) {
		t.Fatalf("parts up to %d of %d, content %d of %d", at, m.End(), size, len(v.Data))
	}
}

func TestOpened(t *testing.T) {
	a, b := bytes.Repeat([]byte("some text "), 5000), make([]byte, 300<<10)
	for _, c := range []struct {
		name  string
		data  []byte
		want  []byte
		parts int
		notes int
	}{
		{"one", gzipped(a), a, 1, 0},
		{"two", slices.Concat(gzipped(a), gzipped(b)), slices.Concat(a, b), 2, 0},
		{"an empty one between", slices.Concat(gzipped(a), gzipped(nil), gzipped(b)), slices.Concat(a, b), 2, 0},
		{"and more", slices.Concat(gzipped(a), []byte("more")), slices.Concat(a, []byte("more")), 2, 0},
		{"and one that is cut short", slices.Concat(gzipped(a), gzipped(b)[:50]), slices.Concat(a, gzipped(b)[:50]), 2, 1},
		{"cut short", gzipped(a)[:50], nil, 0, 1},
		{"nothing", gzipped(nil), nil, 0, 0},
		{"plain", a, nil, 0, 0},
		{"too many", bytes.Repeat(gzipped(a), maxStreams+1), nil, 0, 1},
		{"many", bytes.Repeat(gzipped(a), maxStreams), bytes.Repeat(a, maxStreams), maxStreams, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			var notes []string
			m := fileMember(c.data)
			v, err := options(&notes).Opened(m)
			if err != nil {
				t.Fatal(err)
			}
			if len(notes) != c.notes {
				t.Errorf("notes: %q", notes)
			}
			if v == nil {
				if c.want != nil {
					t.Error("not opened")
				}
				return
			}
			checkView(t, m, v)
			if !bytes.Equal(v.Data, c.want) || len(v.Parts) != c.parts {
				t.Errorf("%d parts with %d bytes, want %d with %d", len(v.Parts), len(v.Data), c.parts, len(c.want))
			}
		})
	}
}

func TestZeros(t *testing.T) {
	const k = zeroBlock
	data := make([]byte, 10*k+100)
	data[0], data[4*k-1], data[10*k] = 1, 1, 1
	var notes []string
	v, err := options(&notes).Stored(fileMember(data))
	if err != nil {
		t.Fatal(err)
	}
	if want := []Range{{Off: k, Len: 2 * k}, {Off: 4 * k, Len: 6 * k}}; !slices.Equal(v.Zeros, want) {
		t.Errorf("zeros %v, want %v", v.Zeros, want)
	}
	if v.Sum() != digest.Sum(data) {
		t.Error("wrong digest")
	}
}

// Whatever a member holds, opening it gives what its parts hold.
func FuzzOpened(f *testing.F) {
	a := bytes.Repeat([]byte("some text "), 30)
	f.Add(slices.Concat(gzipped(a), gzipped(a)))
	f.Add(slices.Concat(gzipped(a), []byte{0x28, 0xb5, 0x2f, 0xfd, 0x20, 1, 9, 0, 0, 'x'}))
	f.Add([]byte{0x50, 0x2a, 0x4d, 0x18, 1, 0, 0, 0, 7})
	f.Fuzz(func(t *testing.T, data []byte) {
		var notes []string
		o := options(&notes)
		o.MaxWindow = 1 << 20
		o.Load = func(r io.Reader) ([]byte, error) { return io.ReadAll(io.LimitReader(r, 1<<24)) }
		m := fileMember(data)
		v, err := o.Opened(m)
		if err != nil {
			t.Fatal(err)
		}
		if v != nil && len(v.Data) < 1<<24 {
			checkView(t, m, v)
		}
		if len(notes) > 1 {
			t.Fatalf("notes: %q", notes)
		}
	})
}
