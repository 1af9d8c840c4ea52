// SPDX-License-Identifier: MIT

package tool

import (
	"bytes"
	"io"
	"os"
	"slices"
	"syscall"
	"testing"
)

// What is copied is the same, and zeros take no space, wherever they lie.
func TestCopySparse(t *testing.T) {
	some := bytes.Repeat([]byte("x"), 5000)
	for _, c := range []struct {
		name string
		data []byte
		most int64 // bytes on the disk
	}{
		{"nothing", nil, 0},
		{"zeros alone", make([]byte, 10<<20+77), 0},
		{"zeros in front, between and behind", slices.Concat(make([]byte, 3<<20), some, make([]byte, 5<<20), some, make([]byte, 1<<20)), 4 * sparseBlock},
		{"no zeros", some, sparseBlock},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, err := os.Create(t.TempDir() + "/f")
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			n, err := copySparse(f, io.MultiReader(bytes.NewReader(c.data)))
			if err != nil || n != int64(len(c.data)) {
				t.Fatalf("%d and %v", n, err)
			}
			if got, err := os.ReadFile(f.Name()); err != nil || !bytes.Equal(got, c.data) {
				t.Fatalf("another content, %v", err)
			}
			info, err := f.Stat()
			if err != nil {
				t.Fatal(err)
			}
			if used := info.Sys().(*syscall.Stat_t).Blocks * 512; used > c.most {
				t.Errorf("takes %d bytes, want at most %d", used, c.most)
			}
		})
	}
}

// Pages that were given back hold what they held.
func TestReleaseMapped(t *testing.T) {
	c := &Context{cmd: &Command{Name: "test"}}
	want := bytes.Repeat([]byte("some text "), 1<<20)
	got, err := c.Load(bytes.NewReader(want))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Fatal("another content")
	}
	_, before := residentMemory()
	releaseMapped()
	if _, after := residentMemory(); before == 0 || after > before-int64(len(want))/2 {
		t.Errorf("%d bytes of files in memory, %d before", after, before)
	}
	if !bytes.Equal(got, want) {
		t.Error("another content when it was given back")
	}
}
