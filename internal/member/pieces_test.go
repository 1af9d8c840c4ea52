// SPDX-License-Identifier: MIT

package member

import (
	"bytes"
	"encoding/binary"
	"io"
	"slices"
	"strings"
	"testing"

	"swudelta/internal/fault"
	"swudelta/internal/span"
)

// scatter puts a file into an image, in pieces of each of those lengths with a gap behind each, and
// returns the image and where the pieces lie.
func scatter(file []byte, lengths ...int) (image []byte, ranges []span.Range) {
	image = text(300)
	for i, n := range append(lengths, len(file)) {
		n = min(n, len(file))
		ranges = append(ranges, span.Range{Off: int64(len(image)), Len: int64(n)})
		image = append(image, file[:n]...)
		file = file[n:]
		image = append(image, text(100+i)...)
	}
	return image, ranges
}

func TestPieces(t *testing.T) {
	packed := gzipped(t, text(90000), "x")
	program := slices.Concat([]byte("\x7fELF"), text(5000))
	for _, c := range []struct {
		name    string
		file    []byte
		lengths []int
		want    string // numbers of what is found, and of what is in it
	}{
		{"a member in three", packed, []int{100, 9000}, "pieces(gzip)"},
		{"a member behind other bytes", slices.Concat(text(700), packed), []int{100, 5000}, "pieces(gzip)"},
		{"a member that is in one piece", slices.Concat(packed, text(700)), []int{len(packed) + 5}, "gzip()"},
		{"a program", program, []int{10, 20, 30}, "pieces()"},
		{"anything else", text(5000), []int{10, 20, 30}, ""},
		{"too many pieces", program, slices.Repeat([]int{200}, 51), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			image, ranges := scatter(c.file, c.lengths...)
			f := Finder{Scattered: func(b []byte) [][]span.Range {
				if !bytes.Equal(b, image) {
					return nil
				}
				return [][]span.Range{ranges}
			}}
			list, err := f.Find(image)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, m := range list {
				inner := ""
				for _, x := range m.Members {
					inner += x.String()
				}
				got = append(got, m.String()+"("+inner+")")
			}
			if s := strings.Join(got, " "); s != c.want {
				t.Fatalf("got %s, want %s", s, c.want)
			}
			if len(list) == 0 || list[0].Number != Pieces {
				return
			}
			m := list[0]
			if !bytes.HasSuffix(m.Content, c.file) || len(m.Content) != len(m.Stored) {
				t.Error("the content does not end with the file")
			}
			if !m.Closed || len(m.CloseParams) > MaxOpenParams {
				t.Errorf("closed %v with %d bytes", m.Closed, len(m.CloseParams))
			}
			if err := Try(pieces{}, m.Stored, bytes.NewReader(m.Content), m.CloseParams, nil); err != nil {
				t.Error(err)
			}
			r, err := pieces{}.Open(bytes.NewReader(m.Stored), m.OpenParams)
			if err != nil {
				t.Fatal(err)
			}
			at := r.(io.ReaderAt)
			for off := 0; off < len(m.Content); off += 77 {
				b := make([]byte, min(300, len(m.Content)-off))
				if _, err := at.ReadAt(b, int64(off)); err != nil || !bytes.Equal(b, m.Content[off:off+len(b)]) {
					t.Fatalf("%d bytes at %d: %v, or others", len(b), off, err)
				}
			}
			for n := range len(m.CloseParams) {
				var out bytes.Buffer
				if err := (pieces{}).Close(&out, bytes.NewReader(m.Content), m.CloseParams[:n], nil); err == nil && bytes.Equal(out.Bytes(), m.Stored) {
					t.Errorf("%d of %d bytes of parameters are enough", n, len(m.CloseParams))
				}
			}
		})
	}
}

func TestPiecesRefuses(t *testing.T) {
	lengths := func(list ...uint64) (b []byte) {
		for _, v := range list {
			b = binary.AppendUvarint(b, v)
		}
		return b
	}
	content := text(1000)
	for _, c := range []struct {
		name   string
		params []byte
	}{
		{"a piece of nothing", lengths(0, 10)},
		{"a gap of nothing", lengths(10, 0)},
		{"a piece without a gap", lengths(10)},
		{"cut short", []byte{10, 0x80}},
		{"gaps that are too large", lengths(10, mostGaps, 10, 1)},
		{"a piece behind the end", lengths(1001, 1)},
		{"a number of more than 64 bits", slices.Repeat([]byte{0xff}, 20)},
	} {
		if _, err := (pieces{}).Open(bytes.NewReader(content), c.params); !fault.IsData(err) {
			t.Errorf("open, %s: %v", c.name, err)
		}
		if err := (pieces{}).Close(io.Discard, bytes.NewReader(content), c.params, nil); !fault.IsData(err) {
			t.Errorf("close, %s: %v", c.name, err)
		}
	}
	if err := (pieces{}).Close(io.Discard, bytes.NewReader(content[:5]), lengths(1, 10), nil); !fault.IsData(err) {
		t.Errorf("fewer bytes than gaps: %v", err)
	}
	if n, err := (pieces{}).CloseMemory(lengths(10, mostGaps), 0, 0); err != nil || n < mostGaps {
		t.Errorf("closing takes %d bytes, %v", n, err)
	}
}
