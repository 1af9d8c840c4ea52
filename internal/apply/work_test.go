// SPDX-License-Identifier: MIT

package apply

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"swudelta/internal/digest"
	"swudelta/internal/errnum"
	"swudelta/internal/pamz"
	"swudelta/internal/pamztest"
)

const mib = 1 << 20

// sparseImage makes a target with a compressed image of size bytes that is empty but
// for some text, out of a source with such an image in gzip.
func sparseImage(t *testing.T, size int) (d *pamz.Diff, source, target []byte) {
	open := pamztest.NeedZstd(t)
	text := pamztest.NewBuilder(t, 1, nil).Text(100000)
	image := make([]byte, size)
	copy(image[size/3:], text)
	b := pamztest.NewBuilder(t, 2, pamztest.NewBuilder(t, 1, nil).Gzip(image))
	var err error
	if b.Zstd, err = open(); err != nil {
		t.Fatal(err)
	}
	old := b.Region(b.Item(image, pamz.GzDecompression(b.CopySource(0, len(b.Source)))), 0, size)
	at := size / 3
	made := b.Nested(pamz.LittleEndian, old, func(inner *pamztest.Builder) []*pamz.Item {
		return []*pamz.Item{inner.Zero(at), inner.CopySource(at, len(text)-10), inner.Asset([]byte("new bytes.")), inner.CopySource(at+len(text), size-at-len(text))}
	})
	d, target = b.Diff(0, pamz.LittleEndian, b.Asset([]byte("head")), b.Compress(made, 3))
	return d, b.Source, target
}

// TestMostlyEmpty has images as large as their partitions, whose content is small.
func TestMostlyEmpty(t *testing.T) {
	for _, size := range []int{20 * mib, 128 * mib} {
		t.Run(fmt.Sprint(size/mib), func(t *testing.T) {
			if testing.Short() {
				t.Skip("large")
			}
			d, source, target := sparseImage(t, size)
			t.Logf("source of %d bytes, target of %d", len(source), len(target))
			d = pamztest.Decode(t, pamztest.Encode(t, d))
			need, err := Needs(d, bytes.NewReader(source), 0)
			if err != nil {
				t.Fatal(err)
			}
			if need.Scratch < int64(size) {
				t.Errorf("scratch space for %d bytes: the source's image is not staged", need.Scratch)
			}
			var staged *os.File
			var most int64
			opts := Options{
				Zstd: pamztest.NeedZstd(t),
				Scratch: func() (f *os.File, err error) {
					staged, err = os.CreateTemp(t.TempDir(), "")
					return staged, err
				},
				Progress: func(int64) {
					if staged != nil {
						most = max(most, allocated(t, staged))
					}
				},
			}
			got, err := applyBytes(d, source, opts)
			if err != nil || !bytes.Equal(got, target) {
				t.Fatal(err)
			}
			if most > mib {
				t.Errorf("%d bytes of the disk taken by scratch space, want at most 1 MiB", most)
			}
		})
	}
}

// allocated is how much of the disk a file takes, in bytes.
func allocated(t *testing.T, f *os.File) int64 {
	var st syscall.Stat_t
	if err := syscall.Fstat(int(f.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	return st.Blocks * 512
}

// TestHoles applies to a file, which gets holes where the target is empty.
func TestHoles(t *testing.T) {
	b := pamztest.NewBuilder(t, 1, pamztest.NewBuilder(t, 2, nil).Text(10000))
	d, target := b.Diff(0, pamz.LittleEndian, b.CopySource(0, 5000), b.Zero(16*mib+77), b.CopySource(1, 4999), b.Zero(16*mib))
	for _, before := range []string{"", "old"} {
		f, err := os.Create(filepath.Join(t.TempDir(), "target"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		f.WriteString(before)
		if err := Apply(f, d, bytes.NewReader(b.Source), int64(len(b.Source)), Options{}); err != nil {
			t.Fatal(err)
		}
		f.WriteString("end")
		got, err := os.ReadFile(f.Name())
		if err != nil || string(got) != before+string(target)+"end" {
			t.Errorf("behind %q: another target (%v)", before, err)
		}
		if used := allocated(t, f); before == "" && used > mib {
			t.Errorf("the target takes %d bytes of the disk", used)
		}
	}
}

// TestArenaHoles fills room with zeros where other content was.
func TestArenaHoles(t *testing.T) {
	a := arena{open: pamztest.Scratch(t)}
	fill := func(v byte, n int) room {
		r, err := a.alloc(int64(n))
		if err != nil {
			t.Fatal(err)
		}
		w := a.writer(r)
		w.Write(bytes.Repeat([]byte{v}, n))
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, n)
		if _, err := a.reader(r).ReadAt(got, 0); err != nil || !bytes.Equal(got, bytes.Repeat([]byte{v}, n)) {
			t.Fatalf("%d bytes of %d read as something else (%v)", n, v, err)
		}
		return r
	}
	for _, holes := range []bool{true, false} {
		first := fill(1, 3*holeSize+5)
		second := fill(2, 5*holeSize)
		a.holes = holes
		if err := a.free(first); err != nil {
			t.Fatal(err)
		}
		first = fill(0, 2*holeSize)
		third := fill(0, 9*holeSize)
		for _, r := range []room{first, second, third} {
			if err := a.free(r); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := a.close(); err != nil {
		t.Fatal(err)
	}
}

// TestWorkLimit has deltas that ask for large contents again and again, each of which
// is refused before any of it is made.
func TestWorkLimit(t *testing.T) {
	b := pamztest.NewBuilder(t, 1, pamztest.NewBuilder(t, 1, nil).Gzip(make([]byte, 8*mib)))
	packed := b.CopySource(0, len(b.Source))
	whole := func(n int64) *pamz.Item { return pamz.NewItem(n, digest.SHA256{}, pamz.GzDecompression(packed)) }
	one := func(it *pamz.Item) *pamz.Item { return b.Item([]byte{0}, pamz.Region(it, 0, 1)) }
	repeat := func(n int, f func(i int64) *pamz.Item) (list []*pamz.Item) {
		for i := range n {
			list = append(list, f(int64(i)))
		}
		return list
	}
	for name, chunks := range map[string][]*pamz.Item{
		// The digest is not stated, so that none stands in for another.
		"source opened again": repeat(200, func(int64) *pamz.Item { return one(whole(8 * mib)) }),
		"overlapping ranges": repeat(5000, func(i int64) *pamz.Item {
			part := pamz.NewItem(int64(len(b.Source))-i, digest.SHA256{}, pamz.CopySource(i))
			return one(pamz.NewItem(8*mib, digest.SHA256{}, pamz.GzDecompression(part)))
		}),
		"frames that are larger than zstd makes them": {
			b.Item([]byte("not a zstd frame"), pamz.ZstdCompression(pamz.NewItem(1<<50, digest.SHA256{2}, pamz.AllZero(1<<50)), 1, 5, 3))},
		"deflate that is longer than its input can be": {one(whole(1 << 50))},
		"frames that are only read": repeat(3, func(int64) *pamz.Item {
			zero := pamz.NewItem(1<<40, digest.SHA256{}, pamz.AllZero(1<<40))
			return one(pamz.NewItem(1<<35, digest.SHA256{}, pamz.ZstdCompression(zero, 1, 5, 3)))
		}),
	} {
		t.Run(name, func(t *testing.T) {
			d, _ := b.Diff(0, pamz.LittleEndian, chunks...)
			_, err := Needs(d, bytes.NewReader(b.Source), 0)
			pamztest.WantError(t, err, errnum.Other)
			err = Apply(io.Discard, d, bytes.NewReader(b.Source), int64(len(b.Source)), Options{Scratch: pamztest.Scratch(t), Zstd: pamztest.NeedZstd(t)})
			pamztest.WantError(t, err, errnum.Other)
		})
	}
	// What there is, is opened as often as an update may need it.
	d, target := b.Diff(0, pamz.LittleEndian, repeat(9, func(int64) *pamz.Item { return one(whole(8 * mib)) })...)
	got, err := applyBytes(d, b.Source, Options{Scratch: pamztest.Scratch(t)})
	if err != nil || !bytes.Equal(got, target) {
		t.Error(err)
	}
}

// TestPieces has a pool of few items of which a large target is made byte by byte.
func TestPieces(t *testing.T) {
	doubled := func(it *pamz.Item, times int) *pamz.Item {
		for range times {
			sum := digest.Sum([]byte(it.SHA256.Hex())) // nobody gets as far as to compare it
			it = pamz.NewItem(2*it.Length, sum, &pamz.Recipe{Op: pamz.OpConcatenation, Params: []pamz.Param{{Item: it}, {Item: it}}})
		}
		return it
	}
	for _, version := range []int{1, 2} {
		b := pamztest.NewBuilder(t, 1, []byte("x"))
		whole := doubled(b.CopySource(0, 1), 34)
		d := &pamz.Diff{
			Form: pamz.Form{Version: version, Order: pamz.BigEndian}, TargetLength: whole.Length, TargetSHA256: whole.SHA256,
			SourceLength: 1, SourceSHA256: digest.Sum([]byte("x")), Chunks: []*pamz.Item{whole},
		}
		_, err := Needs(d, bytes.NewReader(b.Source), 0)
		pamztest.WantError(t, err, errnum.Other)
		err = Apply(io.Discard, d, bytes.NewReader(b.Source), 1, Options{})
		pamztest.WantError(t, err, errnum.Other)

		// The same as the old side of a patch, which is read byte by byte.
		content := []byte("ten bytes.")
		patched := b.Item(content, pamz.BSDiff(b.Asset(b.Patch(nil, content)), whole))
		d.TargetLength, d.TargetSHA256, d.Chunks = patched.Length, patched.SHA256, []*pamz.Item{patched}
		err = Apply(io.Discard, d, bytes.NewReader(b.Source), 1, Options{})
		pamztest.WantError(t, err, errnum.Other)
	}
}
