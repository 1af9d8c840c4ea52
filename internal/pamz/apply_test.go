// SPDX-License-Identifier: MIT

package pamz

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"os"
	"testing"

	"swudelta/internal/codec"
	"swudelta/internal/digest"
	"swudelta/internal/fault"
)

func openZlib() (*codec.Zlib, error) { return codec.OpenZlib("") }

// TestAnyTree encodes, decodes and applies trees of all recipes in all forms.
func TestAnyTree(t *testing.T) {
	z, _ := codec.OpenZstd(codec.ZstdOptions{})
	zl, err := openZlib()
	if err != nil {
		t.Skip(err)
	}
	forms := []struct {
		version int
		order   Order
	}{{0, LittleEndian}, {0, BigEndian}, {2, BigEndian}}
	for seed := range int64(200) {
		form := forms[seed%3]
		b := newBuilder(t, seed, newBuilder(t, seed+1000, nil).text(5000))
		b.zstd, b.zlib = z, zl
		b.mute = form.version == 0 && form.order == LittleEndian
		d, target := b.diff(form.version, form.order, b.chunks(form.version, form.order, 3)...)
		file := encodeBytes(t, d)
		again := decodeBytes(t, file)
		for _, tree := range []*Diff{d, again} {
			if tree.Version == 2 && tree == d {
				continue // a tree for version 2 may have zlib's sharing only once decoded
			}
			opts := ApplyOptions{
				Scratch: scratch(t), Zlib: openZlib, Strict: seed%2 == 0,
				Zstd: func() (*codec.Zstd, error) { return z, nil },
			}
			got, err := applyBytes(tree, b.source, opts)
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			if !bytes.Equal(got, target) {
				t.Fatalf("seed %d: wrong target", seed)
			}
		}
		if !bytes.Equal(encodeBytes(t, again), file) && form.version == 0 {
			t.Errorf("seed %d: encoded again it has other bytes", seed)
		}
		if _, err := again.Describe(); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
		for _, p := range []Profile{Profile10, Profile30} {
			if _, _, err := Check(again, p); err != nil {
				t.Errorf("seed %d: %v", seed, err)
			}
		}
	}
}

// TestTruncated cuts every vector at every byte.
func TestTruncated(t *testing.T) {
	for _, v := range vectors {
		file := testFile(t, v.name+".diff")
		for n := range file {
			d, err := Decode(bytes.NewReader(file[:n]), int64(n))
			var e *Error
			if d != nil || !errors.As(err, &e) || !fault.IsData(err) {
				t.Fatalf("%s cut to %d bytes: got error %v", v.name, n, err)
			}
		}
	}
}

// TestFlipped changes every byte of every vector: no panic, and never success with
// another target.
func TestFlipped(t *testing.T) {
	z, _ := codec.OpenZstd(codec.ZstdOptions{})
	opts := ApplyOptions{Scratch: scratch(t), Zlib: openZlib, Zstd: func() (*codec.Zstd, error) {
		if z == nil {
			return nil, fault.Dataf("no libzstd")
		}
		return z, nil
	}}
	for _, v := range vectors {
		file, source, want := testFile(t, v.name+".diff"), testSource(t, v.source), testFile(t, v.target+".target")
		step := 1
		for i := 0; i < len(file); i += step {
			if i == 700 {
				step = 23 // within the data
			}
			bad := bytes.Clone(file)
			bad[i] ^= []byte{0x01, 0x80, 0xff}[i%3]
			d, err := Decode(bytes.NewReader(bad), int64(len(bad)))
			if err != nil {
				if !fault.IsData(err) {
					t.Fatalf("%s, byte %d: %v", v.name, i, err)
				}
				continue
			}
			got, err := applyBytes(d, source, opts)
			if err == nil && !bytes.Equal(got, want) {
				t.Fatalf("%s, byte %d: success with a wrong target", v.name, i)
			}
			if err != nil && !fault.IsData(err) && !errors.Is(err, ErrMemory) {
				t.Fatalf("%s, byte %d: %v is no fault of the data", v.name, i, err)
			}
		}
	}
}

func TestWrongSource(t *testing.T) {
	d := decodeBytes(t, testFile(t, "minimal.v0.le.diff"))
	for source, code := range map[string]int{"hello world": codeSourceSize, "": codeSourceSize, "hello World\n": codeHash} {
		got, err := applyBytes(d, []byte(source), ApplyOptions{})
		wantError(t, err, code)
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
	d := decodeBytes(t, testFile(t, "misc.diff"))
	source := testFile(t, "misc.source")
	opts := ApplyOptions{Scratch: scratch(t)}
	for _, n := range []int64{0, 1, 20000} {
		err := Apply(&failing{n}, d, bytes.NewReader(source), int64(len(source)), opts)
		if !errors.Is(err, errFailing) || fault.IsData(err) {
			t.Errorf("writer that fails after %d bytes: %v", n, err)
		}
	}
	err := Apply(io.Discard, d, &failing{}, int64(len(source)), opts)
	if !errors.Is(err, errFailing) || fault.IsData(err) {
		t.Errorf("source that cannot be read: %v", err)
	}
	_, err = Decode(&failing{}, 1000)
	if !errors.Is(err, errFailing) || fault.IsData(err) {
		t.Errorf("delta that cannot be read: %v", err)
	}
	const little = 64 << 10 // too little to stage anything in
	_, err = applyBytes(d, source, ApplyOptions{Memory: little})
	if err == nil || fault.IsData(err) {
		t.Errorf("no scratch space: %v", err)
	}
	_, err = applyBytes(d, source, ApplyOptions{Memory: little, Scratch: func() (*os.File, error) { return nil, errFailing }})
	if !errors.Is(err, errFailing) {
		t.Errorf("no scratch file: %v", err)
	}
}

// TestCopyEverywhere has copies of the target where devices fail: beneath a
// compression, and in a nested delta inside a concatenation.
func TestCopyEverywhere(t *testing.T) {
	b := newBuilder(t, 1, []byte("the source"))
	open := needZstd(t)
	b.zstd, _ = open()
	copies := func(inner *builder) []*Item {
		first := inner.asset([]byte("0123456789"))
		list := []*Item{first}
		target := []byte("0123456789")
		for _, e := range []extent{{0, 4}, {2, 9}, {20, 3}, {1, 25}} {
			part := target[e.start:][:e.size:e.size]
			list = append(list, inner.item(part, CopyTarget(e.start, e.size, digest.Sum(part))))
			target = append(target, part...)
		}
		return list
	}
	nested := func() *Item { return b.nested(LittleEndian, b.copySource(0, 5), copies) }
	d, target := b.diff(0, LittleEndian, append(copies(b),
		nested(),
		b.concat(b.asset([]byte("x")), nested(), b.copySource(1, 3)),
		b.compress(nested(), 3),
		b.region(nested(), 3, 20),
	)...)
	got, err := applyBytes(decodeBytes(t, encodeBytes(t, d)), b.source, ApplyOptions{Scratch: scratch(t), Zstd: open, Strict: true})
	if err != nil || !bytes.Equal(got, target) {
		t.Fatal(err)
	}
	_, violations, err := Check(d, Profile10)
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
	b := newBuilder(t, 1, nil)
	b.source = b.gz(image)
	old := func() *Item {
		return b.item(image, GzDecompression(b.copySource(0, len(b.source))))
	}
	nested := b.nested(LittleEndian, old(), func(inner *builder) []*Item {
		var list []*Item
		for i := 99; i >= 0; i-- {
			list = append(list, inner.copySource(i*10000, 10000))
		}
		return list
	})
	chunks := []*Item{nested}
	for i := range 50 {
		chunks = append(chunks, b.region(old(), 20000*i, 1000))
	}
	d, target := b.diff(0, LittleEndian, chunks...)
	source := &counter{ReaderAt: bytes.NewReader(b.source)}
	var out bytes.Buffer
	if err := Apply(&out, d, source, int64(len(b.source)), ApplyOptions{Scratch: scratch(t)}); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(out.Bytes(), target) {
		t.Error("wrong target")
	}
	// Once to verify it, once to decompress it.
	if limit := int64(len(b.source)) * 21 / 10; source.n > limit {
		t.Errorf("read %d bytes of a source of %d, want at most %d", source.n, len(b.source), limit)
	}
}

// TestRemainderOrder uses the remainder's pieces out of order.
func TestRemainderOrder(t *testing.T) {
	b := newBuilder(t, 1, []byte("source"))
	piece := func(s string) *Item { return b.item([]byte(s), Remainder([]byte(s))) }
	one, two, three := piece("one"), piece("two"), piece("three")
	for _, version := range []int{0, 2} {
		d, target := b.diff(version, BigEndian, b.region(b.concat(one, two, three), 2, 8), b.zero(3))
		d = decodeBytes(t, encodeBytes(t, d))
		// The pieces lie as one, two, three; now they are asked for otherwise.
		if version == 2 {
			continue
		}
		parts := d.Chunks[0].Recipe.Params[0].Item.Recipe.Params
		b.content[parts[2].Item], b.content[parts[0].Item] = []byte("three"), []byte("one")
		turned, target2 := b.diff(0, BigEndian, parts[2].Item, parts[0].Item)
		for tree, want := range map[*Diff][]byte{d: target, turned: target2} {
			got, err := applyBytes(tree, b.source, ApplyOptions{Scratch: scratch(t)})
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("got %q, %v, want %q", got, err, want)
			}
		}
	}
}

// TestManyParts nests concatenations, with digests and without.
func TestManyParts(t *testing.T) {
	for _, n := range []int{1, 255, 256, 511, 70000} {
		b := newBuilder(t, int64(n), newBuilder(t, 0, nil).text(4096))
		var parts []*Item
		for i := range n {
			parts = append(parts, b.copySource(i%4000, 1+i%5))
		}
		whole := b.concat(parts...)
		unstated := b.item(b.content[whole], Concatenation(parts...))
		d, target := b.diff(0, LittleEndian, whole, b.region(unstated, 0, len(b.content[whole])))
		got, err := applyBytes(decodeBytes(t, encodeBytes(t, d)), b.source, ApplyOptions{Scratch: scratch(t), Strict: true})
		if err != nil || !bytes.Equal(got, target) {
			t.Errorf("%d parts: %v", n, err)
		}
		if _, violations, err := Check(d, Profile10); len(violations) > 0 || err != nil {
			t.Errorf("%d parts: %v, %v", n, violations, err)
		}
	}
}

// TestStrict changes a digest that nothing but Strict looks at.
func TestStrict(t *testing.T) {
	b := newBuilder(t, 1, []byte("some source or other"))
	old := b.copySource(0, 10)
	old.SHA256[0]++
	d, target := b.diff(0, LittleEndian, b.region(old, 1, 5), b.zero(1))
	got, err := applyBytes(d, b.source, ApplyOptions{})
	if err != nil || !bytes.Equal(got, target) {
		t.Errorf("got %q, %v", got, err)
	}
	_, err = applyBytes(d, b.source, ApplyOptions{Strict: true})
	wantError(t, err, codeHash)
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
			b := newBuilder(t, 1, []byte("some source or other"))
			all := func(b *builder) *Item { return b.copySource(0, len(b.source)) }
			outer := b.concat(all(b), b.asset([]byte("more")))
			nested := b.nested(LittleEndian, outer, func(b *builder) []*Item {
				inner := b.concat(all(b), b.asset([]byte("still more")))
				inner.SHA256[0] += c.inner
				return []*Item{b.region(inner, 3, 25)}
			})
			outer.SHA256[0] += c.outer
			d, target := b.diff(0, LittleEndian, nested)
			opts := ApplyOptions{Strict: true, Scratch: scratch(t)}
			if c.known {
				opts.SourceSum = digest.NewWriter(io.Discard)
				opts.SourceSum.Write(b.source[1:])
				if !c.other {
					opts.SourceSum = digest.NewWriter(io.Discard)
					opts.SourceSum.Write(b.source)
				}
			}
			got, err := applyBytes(decodeBytes(t, encodeBytes(t, d)), b.source, opts)
			if !c.ok {
				wantError(t, err, codeHash)
			} else if err != nil || !bytes.Equal(got, target) {
				t.Errorf("got %q, %v, want %q", got, err, target)
			}
		})
	}
}

// TestUnstated takes the digests of items away: of those that are only read nobody misses
// them, whatever else has none and the same length, and the others are verified.
func TestUnstated(t *testing.T) {
	b := newBuilder(t, 1, []byte("some source or other"))
	first, second := unstated(b.unzstd([]byte("first frame"))), unstated(b.unzstd([]byte("other frame")))
	inner := b.nested(LittleEndian, b.copySource(3, 9), func(b *builder) []*Item { return []*Item{b.copySource(1, 5), b.zero(2)} })
	d, target := b.diff(0, LittleEndian, b.region(first, 0, 5), b.region(second, 0, 5),
		b.region(unstated(b.concat(unstated(b.copySource(2, 3)), unstated(b.copySource(5, 3)), unstated(inner))), 1, 12))
	for _, strict := range []bool{false, true} {
		got, err := applyBytes(decodeBytes(t, encodeBytes(t, d)), b.source, ApplyOptions{Strict: strict, Scratch: scratch(t)})
		if err != nil || !bytes.Equal(got, target) {
			t.Errorf("strict %v: got %q, %v, want %q", strict, got, err, target)
		}
	}

	for name, c := range map[string]*Item{
		"chunk":         unstated(b.copySource(0, 3)),
		"concatenation": b.concat(b.zero(1), unstated(b.copySource(0, 3))),
		"staged": b.region(unstated(b.nested(LittleEndian, b.copySource(3, 9), func(b *builder) []*Item {
			return []*Item{unstated(b.copySource(1, 5))}
		})), 0, 5),
	} {
		d, _ := b.diff(0, LittleEndian, c)
		_, err := applyBytes(d, b.source, ApplyOptions{Scratch: scratch(t)})
		if err == nil {
			t.Errorf("%s without digest: no error", name)
			continue
		}
		wantError(t, err, codeHash)
	}

	// A nested delta whose result is not stated outside still has that of its own.
	wrong := unstated(b.nested(LittleEndian, b.copySource(3, 9), func(b *builder) []*Item { return []*Item{b.copySource(1, 5), b.zero(2)} }))
	data := bytes.Clone(wrong.Recipe.Params[0].Item.Recipe.Data)
	data[len("PAMZ")+8+8+4]++ // of its target's digest
	wrong.Recipe.Params[0].Item = unstated(b.asset(data))
	d, _ = b.diff(0, LittleEndian, b.region(wrong, 0, 5))
	_, err := applyBytes(d, b.source, ApplyOptions{Scratch: scratch(t)})
	wantError(t, err, codeHash)
}

func TestProgress(t *testing.T) {
	d := decodeBytes(t, testFile(t, "basic.diff"))
	var total int64
	_, err := applyBytes(d, testFile(t, "basic.source"), ApplyOptions{Progress: func(n int64) { total += n }})
	if err != nil || total != d.TargetLength {
		t.Errorf("progress of %d bytes, %v, want %d", total, err, d.TargetLength)
	}
}

// TestEmptyTarget has nothing to do.
func TestEmptyTarget(t *testing.T) {
	for _, version := range []int{0, 2} {
		d := &Diff{Version: version, Order: BigEndian, TargetSHA256: digest.Sum(nil)}
		got, err := applyBytes(decodeBytes(t, encodeBytes(t, d)), nil, ApplyOptions{})
		if err != nil || len(got) > 0 {
			t.Errorf("version %d: got %q, %v", version, got, err)
		}
	}
}

func ExampleApply() {
	source := []byte("hello world\n")
	d := &Diff{
		TargetLength: 18, TargetSHA256: digest.Sum([]byte("hello brave world\n")),
		SourceLength: 12, SourceSHA256: digest.Sum(source),
		Chunks: []*Item{
			NewItem(6, digest.Sum(source[:6]), CopySource(0)),
			NewAsset([]byte("brave ")),
			NewItem(6, digest.Sum(source[6:]), CopySource(6)),
		},
	}
	var target bytes.Buffer
	if err := Apply(&target, d, bytes.NewReader(source), int64(len(source)), ApplyOptions{}); err != nil {
		fmt.Println(err)
	}
	fmt.Print(target.String())
	// Output: hello brave world
}
