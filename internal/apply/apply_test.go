// SPDX-License-Identifier: MIT

package apply_test

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"os"
	"testing"

	"swudelta/internal/apply"
	"swudelta/internal/codec"
	"swudelta/internal/device/devices"
	"swudelta/internal/digest"
	"swudelta/internal/errnum"
	"swudelta/internal/fault"
	"swudelta/internal/pamz"
	"swudelta/internal/pamztest"
	"swudelta/internal/tooltest"
)

// TestAnyTree encodes, decodes and applies trees of all recipes in all forms.
func TestAnyTree(t *testing.T) {
	z, _ := codec.OpenZstd(codec.ZstdOptions{})
	zl, err := pamztest.OpenZlib()
	if err != nil {
		t.Skip(err)
	}
	forms := []struct {
		version int
		order   pamz.Order
	}{{0, pamz.LittleEndian}, {0, pamz.BigEndian}, {2, pamz.BigEndian}}
	for seed := range int64(200) {
		form := forms[seed%3]
		b := pamztest.NewBuilder(t, seed, pamztest.NewBuilder(t, seed+1000, nil).Text(5000))
		b.Zstd, b.Zlib = z, zl
		b.Mute = form.version == 0 && form.order == pamz.LittleEndian
		d, target := b.Diff(form.version, form.order, b.Chunks(form.version, form.order, 3)...)
		file := pamztest.Encode(t, d)
		again := pamztest.Decode(t, file)
		for _, tree := range []*pamz.Diff{d, again} {
			if tree.Version == 2 && tree == d {
				continue // a tree for version 2 may have zlib's sharing only once decoded
			}
			opts := apply.Options{
				Scratch: pamztest.Scratch(t), Zlib: pamztest.OpenZlib, Strict: seed%2 == 0,
				Zstd: func() (*codec.Zstd, error) { return z, nil },
			}
			got, err := apply.ApplyBytes(tree, b.Source, opts)
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			if !bytes.Equal(got, target) {
				t.Fatalf("seed %d: wrong target", seed)
			}
		}
		if !bytes.Equal(pamztest.Encode(t, again), file) && form.version == 0 {
			t.Errorf("seed %d: encoded again it has other bytes", seed)
		}
		if _, err := again.Describe(apply.NewViewer()); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
		for _, k := range devices.All[:2] {
			if _, _, err := k.Check(again); err != nil {
				t.Errorf("seed %d: %v", seed, err)
			}
		}
	}
}

// TestTruncated cuts every vector at every byte.
func TestTruncated(t *testing.T) {
	for _, v := range pamztest.Vectors {
		file := pamztest.File(t, v.Name+".diff")
		for n := range file {
			d, err := pamz.Decode(bytes.NewReader(file[:n]), int64(n))
			var e *errnum.Error
			if d != nil || !errors.As(err, &e) || !fault.IsData(err) {
				t.Fatalf("%s cut to %d bytes: got error %v", v.Name, n, err)
			}
		}
	}
}

// TestFlipped changes every byte of every vector: no panic, and never success with
// another target.
func TestFlipped(t *testing.T) {
	z, _ := codec.OpenZstd(codec.ZstdOptions{})
	opts := apply.Options{Scratch: pamztest.Scratch(t), Zlib: pamztest.OpenZlib, Zstd: func() (*codec.Zstd, error) {
		if z == nil {
			return nil, fault.Dataf("no libzstd")
		}
		return z, nil
	}}
	for _, v := range pamztest.Vectors {
		file, source, want := pamztest.File(t, v.Name+".diff"), pamztest.Source(t, v.Source), pamztest.File(t, v.Target+".target")
		step := 1
		for i := 0; i < len(file); i += step {
			if i == 700 {
				step = 23 // within the data
			}
			bad := bytes.Clone(file)
			bad[i] ^= []byte{0x01, 0x80, 0xff}[i%3]
			d, err := pamz.Decode(bytes.NewReader(bad), int64(len(bad)))
			if err != nil {
				if !fault.IsData(err) {
					t.Fatalf("%s, byte %d: %v", v.Name, i, err)
				}
				continue
			}
			got, err := apply.ApplyBytes(d, source, opts)
			if err == nil && !bytes.Equal(got, want) {
				t.Fatalf("%s, byte %d: success with a wrong target", v.Name, i)
			}
			if err != nil && !fault.IsData(err) && !errors.Is(err, apply.ErrMemory) {
				t.Fatalf("%s, byte %d: %v is no fault of the data", v.Name, i, err)
			}
		}
	}
}

func TestWrongSource(t *testing.T) {
	d := pamztest.Decode(t, pamztest.File(t, "minimal.v0.le.diff"))
	for source, code := range map[string]int{"hello world": errnum.SourceSize, "": errnum.SourceSize, "hello World\n": errnum.Hash} {
		got, err := apply.ApplyBytes(d, []byte(source), apply.Options{})
		pamztest.WantError(t, err, code)
		if len(got) > 0 {
			t.Errorf("source %q: %d bytes were written", source, len(got))
		}
	}
}

// failing is a writer or reader that fails after n bytes.
type failing struct{ n int64 }

var errFailing = errors.New("no space left")

func (f *failing) Write(p []byte) (int, error) {
	if f.n -= int64(len(p)); f.n < 0 {
		return 0, errFailing
	}
	return len(p), nil
}

func (f *failing) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > f.n {
		return 0, errFailing
	}
	return len(p), nil
}

func TestEnvironmentErrors(t *testing.T) {
	d := pamztest.Decode(t, pamztest.File(t, "misc.diff"))
	source := pamztest.File(t, "misc.source")
	opts := apply.Options{Scratch: pamztest.Scratch(t)}
	for _, n := range []int64{0, 1, 20000} {
		err := apply.Apply(&failing{n}, d, bytes.NewReader(source), int64(len(source)), opts)
		if !errors.Is(err, errFailing) || fault.IsData(err) {
			t.Errorf("writer that fails after %d bytes: %v", n, err)
		}
	}
	err := apply.Apply(io.Discard, d, &failing{}, int64(len(source)), opts)
	if !errors.Is(err, errFailing) || fault.IsData(err) {
		t.Errorf("source that cannot be read: %v", err)
	}
	_, err = pamz.Decode(&failing{}, 1000)
	if !errors.Is(err, errFailing) || fault.IsData(err) {
		t.Errorf("delta that cannot be read: %v", err)
	}
	const little = 64 << 10 // too little to stage anything in
	_, err = apply.ApplyBytes(d, source, apply.Options{Memory: little})
	if err == nil || fault.IsData(err) {
		t.Errorf("no scratch space: %v", err)
	}
	_, err = apply.ApplyBytes(d, source, apply.Options{Memory: little, Scratch: func() (*os.File, error) { return nil, errFailing }})
	if !errors.Is(err, errFailing) {
		t.Errorf("no scratch file: %v", err)
	}
}

// TestCopyEverywhere has copies of the target where devices fail: beneath a
// compression, and in a nested delta inside a concatenation.
func TestCopyEverywhere(t *testing.T) {
	b := pamztest.NewBuilder(t, 1, []byte("the source"))
	open := pamztest.NeedZstd(t)
	b.Zstd, _ = open()
	copies := func(inner *pamztest.Builder) []*pamz.Item {
		first := inner.Asset([]byte("0123456789"))
		list := []*pamz.Item{first}
		target := []byte("0123456789")
		for _, e := range [][2]int64{{0, 4}, {2, 9}, {20, 3}, {1, 25}} {
			part := target[e[0]:][:e[1]:e[1]]
			list = append(list, inner.Item(part, pamztest.CopyTarget(e[0], e[1], digest.Sum(part))))
			target = append(target, part...)
		}
		return list
	}
	nested := func() *pamz.Item { return b.Nested(pamz.LittleEndian, b.CopySource(0, 5), copies) }
	d, target := b.Diff(0, pamz.LittleEndian, append(copies(b),
		nested(),
		b.Concat(b.Asset([]byte("x")), nested(), b.CopySource(1, 3)),
		b.Compress(nested(), 3),
		b.Region(nested(), 3, 20),
	)...)
	got, err := apply.ApplyBytes(pamztest.Decode(t, pamztest.Encode(t, d)), b.Source, apply.Options{Scratch: pamztest.Scratch(t), Zstd: open, Strict: true})
	if err != nil || !bytes.Equal(got, target) {
		t.Fatal(err)
	}
	_, violations, err := devices.All[0].Check(d)
	if err != nil || len(violations) != 9 {
		t.Errorf("got %d violations (%v), want 9: the copies of two of the nested deltas, and a small item in pieces: %v", len(violations), violations, err)
	}
}

// counter counts the bytes that are read.
type counter struct {
	io.ReaderAt
	n int64
}

func (c *counter) ReadAt(p []byte, off int64) (int, error) {
	n, err := c.ReaderAt.ReadAt(p, off)
	c.n += int64(n)
	return n, err
}

// TestForwardOnlySource refers to a compressed source a hundred times, backwards.
func TestForwardOnlySource(t *testing.T) {
	image := make([]byte, 1<<20)
	rand.New(rand.NewSource(1)).Read(image)
	b := pamztest.NewBuilder(t, 1, nil)
	b.Source = b.Gzip(image)
	old := func() *pamz.Item {
		return b.Item(image, pamz.GzDecompression(b.CopySource(0, len(b.Source))))
	}
	nested := b.Nested(pamz.LittleEndian, old(), func(inner *pamztest.Builder) []*pamz.Item {
		var list []*pamz.Item
		for i := 99; i >= 0; i-- {
			list = append(list, inner.CopySource(i*10000, 10000))
		}
		return list
	})
	chunks := []*pamz.Item{nested}
	for i := range 50 {
		chunks = append(chunks, b.Region(old(), 20000*i, 1000))
	}
	d, target := b.Diff(0, pamz.LittleEndian, chunks...)
	source := &counter{ReaderAt: bytes.NewReader(b.Source)}
	var out bytes.Buffer
	if err := apply.Apply(&out, d, source, int64(len(b.Source)), apply.Options{Scratch: pamztest.Scratch(t)}); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(out.Bytes(), target) {
		t.Error("wrong target")
	}
	// Once to verify it, once to decompress it.
	if limit := int64(len(b.Source)) * 21 / 10; source.n > limit {
		t.Errorf("read %d bytes of a source of %d, want at most %d", source.n, len(b.Source), limit)
	}
}

// TestRemainderOrder uses the remainder's pieces out of order.
func TestRemainderOrder(t *testing.T) {
	b := pamztest.NewBuilder(t, 1, []byte("source"))
	piece := func(s string) *pamz.Item { return b.Item([]byte(s), pamz.Remainder([]byte(s))) }
	one, two, three := piece("one"), piece("two"), piece("three")
	for _, version := range []int{0, 2} {
		d, target := b.Diff(version, pamz.BigEndian, b.Region(b.Concat(one, two, three), 2, 8), b.Zero(3))
		d = pamztest.Decode(t, pamztest.Encode(t, d))
		// The pieces lie as one, two, three; now they are asked for otherwise.
		if version == 2 {
			continue
		}
		parts := d.Chunks[0].Recipe.Params[0].Item.Recipe.Params
		b.Content[parts[2].Item], b.Content[parts[0].Item] = []byte("three"), []byte("one")
		turned, target2 := b.Diff(0, pamz.BigEndian, parts[2].Item, parts[0].Item)
		for tree, want := range map[*pamz.Diff][]byte{d: target, turned: target2} {
			got, err := apply.ApplyBytes(tree, b.Source, apply.Options{Scratch: pamztest.Scratch(t)})
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("got %q, %v, want %q", got, err, want)
			}
		}
	}
}

// TestManyParts nests concatenations, with digests and without.
func TestManyParts(t *testing.T) {
	for _, n := range []int{1, 255, 256, 511, 70000} {
		b := pamztest.NewBuilder(t, int64(n), pamztest.NewBuilder(t, 0, nil).Text(4096))
		var parts []*pamz.Item
		for i := range n {
			parts = append(parts, b.CopySource(i%4000, 1+i%5))
		}
		whole := b.Concat(parts...)
		unstated := b.Item(b.Content[whole], pamz.Concatenation(parts...))
		d, target := b.Diff(0, pamz.LittleEndian, whole, b.Region(unstated, 0, len(b.Content[whole])))
		got, err := apply.ApplyBytes(pamztest.Decode(t, pamztest.Encode(t, d)), b.Source, apply.Options{Scratch: pamztest.Scratch(t), Strict: true})
		if err != nil || !bytes.Equal(got, target) {
			t.Errorf("%d parts: %v", n, err)
		}
		if _, violations, err := devices.All[0].Check(d); len(violations) > 0 || err != nil {
			t.Errorf("%d parts: %v, %v", n, violations, err)
		}
	}
}

// TestStrict changes a digest that nothing but Strict looks at.
func TestStrict(t *testing.T) {
	b := pamztest.NewBuilder(t, 1, []byte("some source or other"))
	old := b.CopySource(0, 10)
	old.SHA256[0]++
	d, target := b.Diff(0, pamz.LittleEndian, b.Region(old, 1, 5), b.Zero(1))
	got, err := apply.ApplyBytes(d, b.Source, apply.Options{})
	if err != nil || !bytes.Equal(got, target) {
		t.Errorf("got %q, %v", got, err)
	}
	_, err = apply.ApplyBytes(d, b.Source, apply.Options{Strict: true})
	pamztest.WantError(t, err, errnum.Hash)
}

// TestStrictInside changes digests of items that begin with all of the source, and has the
// caller's digest of the source.
func TestStrictInside(t *testing.T) {
	for _, c := range []struct {
		name         string
		outer, inner byte // added to the digests
		known        bool // the digest of the source is
		other        bool // of another source
		ok           bool
	}{
		{name: "right", ok: true},
		{name: "right, known", known: true, ok: true},
		{name: "outer", outer: 1},
		{name: "outer, known", outer: 1, known: true},
		{name: "inner", inner: 1},
		{name: "inner, known", inner: 1, known: true},
		{name: "another source", known: true, other: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := pamztest.NewBuilder(t, 1, []byte("some source or other"))
			all := func(b *pamztest.Builder) *pamz.Item { return b.CopySource(0, len(b.Source)) }
			outer := b.Concat(all(b), b.Asset([]byte("more")))
			nested := b.Nested(pamz.LittleEndian, outer, func(b *pamztest.Builder) []*pamz.Item {
				inner := b.Concat(all(b), b.Asset([]byte("still more")))
				inner.SHA256[0] += c.inner
				return []*pamz.Item{b.Region(inner, 3, 25)}
			})
			outer.SHA256[0] += c.outer
			d, target := b.Diff(0, pamz.LittleEndian, nested)
			opts := apply.Options{Strict: true, Scratch: pamztest.Scratch(t)}
			if c.known {
				opts.SourceSum = digest.NewWriter(io.Discard)
				opts.SourceSum.Write(b.Source[1:])
				if !c.other {
					opts.SourceSum = digest.NewWriter(io.Discard)
					opts.SourceSum.Write(b.Source)
				}
			}
			got, err := apply.ApplyBytes(pamztest.Decode(t, pamztest.Encode(t, d)), b.Source, opts)
			if !c.ok {
				pamztest.WantError(t, err, errnum.Hash)
			} else if err != nil || !bytes.Equal(got, target) {
				t.Errorf("got %q, %v, want %q", got, err, target)
			}
		})
	}
}

// TestUnstated takes the digests of items away: of those that are only read nobody misses
// them, whatever else has none and the same length, and the others are verified.
func TestUnstated(t *testing.T) {
	b := pamztest.NewBuilder(t, 1, []byte("some source or other"))
	first, second := pamztest.Unstated(b.Unzstd([]byte("first frame"))), pamztest.Unstated(b.Unzstd([]byte("other frame")))
	inner := b.Nested(pamz.LittleEndian, b.CopySource(3, 9), func(b *pamztest.Builder) []*pamz.Item { return []*pamz.Item{b.CopySource(1, 5), b.Zero(2)} })
	d, target := b.Diff(0, pamz.LittleEndian, b.Region(first, 0, 5), b.Region(second, 0, 5),
		b.Region(pamztest.Unstated(b.Concat(pamztest.Unstated(b.CopySource(2, 3)), pamztest.Unstated(b.CopySource(5, 3)), pamztest.Unstated(inner))), 1, 12))
	for _, strict := range []bool{false, true} {
		got, err := apply.ApplyBytes(pamztest.Decode(t, pamztest.Encode(t, d)), b.Source, apply.Options{Strict: strict, Scratch: pamztest.Scratch(t)})
		if err != nil || !bytes.Equal(got, target) {
			t.Errorf("strict %v: got %q, %v, want %q", strict, got, err, target)
		}
	}

	for name, c := range map[string]*pamz.Item{
		"chunk":         pamztest.Unstated(b.CopySource(0, 3)),
		"concatenation": b.Concat(b.Zero(1), pamztest.Unstated(b.CopySource(0, 3))),
		"staged": b.Region(pamztest.Unstated(b.Nested(pamz.LittleEndian, b.CopySource(3, 9), func(b *pamztest.Builder) []*pamz.Item {
			return []*pamz.Item{pamztest.Unstated(b.CopySource(1, 5))}
		})), 0, 5),
	} {
		d, _ := b.Diff(0, pamz.LittleEndian, c)
		_, err := apply.ApplyBytes(d, b.Source, apply.Options{Scratch: pamztest.Scratch(t)})
		if err == nil {
			t.Errorf("%s without digest: no error", name)
			continue
		}
		pamztest.WantError(t, err, errnum.Hash)
	}

	// A nested delta whose result is not stated outside still has that of its own.
	wrong := pamztest.Unstated(b.Nested(pamz.LittleEndian, b.CopySource(3, 9), func(b *pamztest.Builder) []*pamz.Item { return []*pamz.Item{b.CopySource(1, 5), b.Zero(2)} }))
	data := bytes.Clone(wrong.Recipe.Params[0].Item.Recipe.Data)
	data[len("PAMZ")+8+8+4]++ // of its target's digest
	wrong.Recipe.Params[0].Item = pamztest.Unstated(b.Asset(data))
	d, _ = b.Diff(0, pamz.LittleEndian, b.Region(wrong, 0, 5))
	_, err := apply.ApplyBytes(d, b.Source, apply.Options{Scratch: pamztest.Scratch(t)})
	pamztest.WantError(t, err, errnum.Hash)
}

func TestProgress(t *testing.T) {
	d := pamztest.Decode(t, pamztest.File(t, "basic.diff"))
	var total int64
	_, err := apply.ApplyBytes(d, pamztest.File(t, "basic.source"), apply.Options{Progress: func(n int64) { total += n }})
	if err != nil || total != d.TargetLength {
		t.Errorf("progress of %d bytes, %v, want %d", total, err, d.TargetLength)
	}
}

// writerFunc is a function as a writer.
type writerFunc func(b []byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// TestProgressBefore has a target that is produced late, out of what has to be staged before.
func TestProgressBefore(t *testing.T) {
	const size = 8 << 20
	source := tooltest.Random(1, size)
	b := pamztest.NewBuilder(t, 1, source)
	d, _ := b.Diff(0, pamz.LittleEndian, b.Region(b.Unzstd(source), 0, size))
	var told, before int64
	steps := 0
	out := writerFunc(func(p []byte) (int, error) {
		before = cmp.Or(before, told)
		return len(p), nil
	})
	opts := apply.Options{Scratch: pamztest.Scratch(t), Progress: func(n int64) { told, steps = told+n, steps+1 }}
	if err := apply.Apply(out, d, bytes.NewReader(source), size, opts); err != nil {
		t.Fatal(err)
	}
	if told != size || before < size/3 || steps < 32 {
		t.Errorf("told %d of %d bytes in %d steps, %d of them before the first was written", told, size, steps, before)
	}
}

// TestEmptyTarget has nothing to do.
func TestEmptyTarget(t *testing.T) {
	for _, version := range []int{0, 2} {
		d := &pamz.Diff{Form: pamz.Form{Version: version, Order: pamz.BigEndian}, TargetSHA256: digest.Sum(nil)}
		got, err := apply.ApplyBytes(pamztest.Decode(t, pamztest.Encode(t, d)), nil, apply.Options{})
		if err != nil || len(got) > 0 {
			t.Errorf("version %d: got %q, %v", version, got, err)
		}
	}
}

func ExampleApply() {
	source := []byte("hello world\n")
	d := &pamz.Diff{
		TargetLength: 18, TargetSHA256: digest.Sum([]byte("hello brave world\n")),
		SourceLength: 12, SourceSHA256: digest.Sum(source),
		Chunks: []*pamz.Item{
			pamz.NewItem(6, digest.Sum(source[:6]), pamz.CopySource(0)),
			pamztest.NewAsset([]byte("brave ")),
			pamz.NewItem(6, digest.Sum(source[6:]), pamz.CopySource(6)),
		},
	}
	var target bytes.Buffer
	if err := apply.Apply(&target, d, bytes.NewReader(source), int64(len(source)), apply.Options{}); err != nil {
		fmt.Println(err)
	}
	fmt.Print(target.String())
	// Output: hello brave world
}
