// SPDX-License-Identifier: MIT

package swu

import (
	"bytes"
	"testing"

	"swudelta/internal/fault"
)

// FuzzArchive: what is read is written again as the same bytes, and its list
// reads as itself; what is refused is a fault of the data.
func FuzzArchive(f *testing.F) {
	for _, data := range samples(f) {
		f.Add(data)
		f.Add(data[:len(data)*2/3])
	}
	f.Add(hardLinks(f, "", "data"))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := rewrite(bytes.NewReader(data))
		if err != nil {
			if !fault.IsData(err) {
				t.Fatalf("no fault of the data: %v", err)
			}
			return
		}
		if !bytes.Equal(got, data) {
			t.Fatal("other bytes")
		}
		a, err := Index(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Fatal(err)
		}
		list, err := a.FormatList(0)
		if err != nil {
			t.Fatal(err)
		}
		b, err := ReadList(bytes.NewReader(list), 0, 0)
		if err != nil {
			return // names that swupdate does not take
		}
		if again, err := b.FormatList(0); err != nil || !bytes.Equal(again, list) {
			t.Fatalf("list %q becomes %q, %v", list, again, err)
		}
	})
}

// FuzzList: a list that is read stays the same from then on, and names nothing
// outside of the folder.
func FuzzList(f *testing.F) {
	f.Add([]byte(listMember+"a b\tc\n"+listTrailer), false)
	f.Add([]byte("sw-description\x00odd\n\x00"), true)
	f.Fuzz(func(t *testing.T, data []byte, nul bool) {
		delim := byte('\n')
		if nul {
			delim = 0
		}
		a, err := ReadList(bytes.NewReader(data), delim, 0)
		if err != nil {
			if !fault.IsData(err) {
				t.Fatalf("no fault of the data: %v", err)
			}
			return
		}
		for _, h := range a.Members {
			if err := CheckName(h.Name); err != nil {
				t.Fatal(err)
			}
		}
		list, err := a.FormatList(delim)
		if err != nil {
			t.Fatal(err)
		}
		b, err := ReadList(bytes.NewReader(list), delim, 0)
		if err != nil {
			t.Fatalf("%q: %v", list, err)
		}
		if again, err := b.FormatList(delim); err != nil || !bytes.Equal(again, list) {
			t.Fatalf("%q becomes %q, %v", list, again, err)
		}
	})
}
