// SPDX-License-Identifier: MIT

package apply

import (
	"bytes"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"swudelta/internal/codec"
	"swudelta/internal/digest"
	"swudelta/internal/errnum"
	"swudelta/internal/fault"
	"swudelta/internal/pamz"
	"swudelta/internal/pamztest"
	"swudelta/internal/tooltest"
)

// measuring applies d as Apply does, or in another way, with the scratch file and the
// books looked at.
func measuring(t *testing.T, d *pamz.Diff, source []byte, opts Options, other ...way) (target []byte, took Need, file int64) {
	t.Helper()
	var scratch *os.File
	opts.Scratch = func() (f *os.File, err error) {
		scratch, err = os.CreateTemp(t.TempDir(), "")
		return scratch, err
	}
	a := newApplier(d, opts)
	in, err := a.inspect(d, d.SourceLength, 0)
	if err != nil {
		t.Fatal(err)
	}
	a.work = workLimit(d, in)
	section := io.NewSectionReader(bytes.NewReader(source), 0, d.SourceLength)
	_, way, _, err := rehearse(d, in, section, opts)
	if err != nil {
		t.Fatal(err)
	}
	for _, way = range other {
	}
	a.choose(way)
	var out bytes.Buffer
	w := writerFunc(func(p []byte) (int, error) {
		if scratch != nil {
			info, err := scratch.Stat()
			if err != nil {
				t.Fatal(err)
			}
			file = max(file, info.Size())
		}
		return out.Write(p)
	})
	if err := a.newScope(d, in, section, 0).run(w, true); err != nil {
		t.Fatal(err)
	}
	if err := a.arena.close(); err != nil {
		t.Fatal(err)
	}
	if a.memory+a.kept() != a.budget() || a.arena.end != 0 {
		t.Errorf("%d bytes of memory and %d of scratch space were not given back", a.budget()-a.memory-a.kept(), a.arena.end)
	}
	return out.Bytes(), Need{Memory: a.most, Scratch: a.arena.most}, file
}

func (a *applier) kept() int64 {
	if a.patcher == nil {
		return 0
	}
	return a.patcher.Memory()
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// checkNeed compares what applying takes with what was said before, with and without a
// look into the source. It returns the need.
func checkNeed(t *testing.T, name string, d *pamz.Diff, source, target []byte, opts Options) Need {
	t.Helper()
	got, took, file := measuring(t, d, source, opts)
	if !bytes.Equal(got, target) {
		t.Fatalf("%s: wrong target", name)
	}
	for _, from := range []io.ReaderAt{nil, bytes.NewReader(source)} {
		need, err := Needs(d, from, opts.Memory)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if took.Scratch > need.Scratch || file > need.Scratch || took.Memory > need.Memory {
			t.Errorf("%s: took %+v, the scratch file had %d bytes, predicted %+v", name, took, file, need)
		}
		if need.Scratch > took.Scratch+took.Scratch/4+64<<10 || need.Memory > 2*took.Memory+16<<20 {
			t.Errorf("%s: took only %+v, predicted %+v", name, took, need)
		}
	}
	need, _ := Needs(d, bytes.NewReader(source), opts.Memory)
	t.Logf("%s: predicted %+v, took %+v, scratch file %d", name, need, took, file)
	return need
}

// What applying needs is known before, for all that there is.
func TestNeed(t *testing.T) {
	for _, v := range pamztest.Vectors {
		opts := Options{}
		if strings.HasPrefix(v.Name, "zstdcomp") {
			opts.Zstd = pamztest.NeedZstd(t)
		}
		checkNeed(t, v.Name, pamztest.Decode(t, pamztest.File(t, v.Name+".diff")), pamztest.Source(t, v.Source), pamztest.File(t, v.Target+".target"), opts)
	}
}

func TestNeedAnyTree(t *testing.T) {
	z, _ := codec.OpenZstd(codec.ZstdOptions{})
	zl, err := pamztest.OpenZlib()
	if err != nil {
		t.Skip(err)
	}
	open := 0
	for seed := range int64(300) {
		b := pamztest.NewBuilder(t, seed, pamztest.NewBuilder(t, seed+1000, nil).Text(5000))
		b.Zstd, b.Zlib = z, zl
		version, order := 0, pamz.LittleEndian
		if seed%3 == 0 {
			version, order = 2, pamz.BigEndian
		}
		d, target := b.Diff(version, order, b.Chunks(version, order, 3)...)
		d = pamztest.Decode(t, pamztest.Encode(t, d))
		opts := Options{Zlib: pamztest.OpenZlib, Zstd: func() (*codec.Zstd, error) { return z, nil }}
		got, took, file := measuring(t, d, b.Source, opts)
		if !bytes.Equal(got, target) {
			t.Fatalf("seed %d: wrong target", seed)
		}
		for _, w := range ways {
			if got, _, _ := measuring(t, d, b.Source, opts, w); !bytes.Equal(got, target) {
				t.Fatalf("seed %d, way %+v: wrong target", seed, w)
			}
		}
		need, err := Needs(d, bytes.NewReader(b.Source), 0)
		if err != nil {
			t.Fatal(err)
		}
		if need.Open {
			open++
			continue
		}
		if took.Scratch > need.Scratch || file > need.Scratch || took.Memory > need.Memory {
			t.Errorf("seed %d: took %+v, the scratch file had %d bytes, predicted %+v", seed, took, file, need)
		}
	}
	if open > 100 {
		t.Errorf("%d needs are not known before", open)
	}
}

func TestNeedReal(t *testing.T) {
	if testing.Short() {
		t.Skip("large files")
	}
	corpus := tooltest.Corpus(t)
	for name, pair := range map[string]string{"patch.1.0.1": "patch", "minor.1.0.1": "minor", "patch.pack": "patch", "patch.3.0.0": "patch"} {
		file, err := os.ReadFile(filepath.Join(corpus, "..", "data", "pamz", "real", name+".diff"))
		if err != nil {
			t.Skip(err)
		}
		source, err := os.ReadFile(filepath.Join(corpus, pair, "source.swu"))
		if err != nil {
			t.Fatal(err)
		}
		d := pamztest.Decode(t, file)
		opts := Options{Scratch: pamztest.Scratch(t), Zlib: pamztest.OpenZlib, Zstd: pamztest.NeedZstd(t), Memory: 64 << 20}
		target, err := applyBytes(d, source, opts)
		if err != nil {
			t.Fatal(err)
		}
		checkNeed(t, name, d, source, target, opts)
	}
}

// pieces is a nested delta whose source consists of things that are staged.
func pieces(b *pamztest.Builder) *pamz.Item {
	var parts []*pamz.Item
	for i := range 4 {
		content := b.Text(100_000 + i)
		parts = append(parts, b.CopySource(10*i, 20), b.Region(b.Gunzip(content), 10, 90_000))
	}
	return b.Nested(pamz.LittleEndian, b.Concat(parts...), func(inner *pamztest.Builder) []*pamz.Item {
		var chunks []*pamz.Item
		for i := range 4 {
			at := i * 90_020
			chunks = append(chunks, inner.CopySource(at+5, 40_000), inner.Asset([]byte("between")), inner.CopySource(at+30_000, 60_000))
		}
		return append(chunks, inner.CopySource(0, 100))
	})
}

// Pieces of a nested delta's source are produced when they are needed, one after
// the other, unless a compressor above needs the memory.
func TestSupply(t *testing.T) {
	b := pamztest.NewBuilder(t, 1, pamztest.NewBuilder(t, 2, nil).Text(1000))
	it := pieces(b)
	d, target := b.Diff(0, pamz.LittleEndian, it)
	// The first stays to the end; of the others one at a time.
	const want = 100_000 + 100_003
	for _, memory := range []int64{0, 300_000} {
		need := checkNeed(t, "pieces", pamztest.Decode(t, pamztest.Encode(t, d)), b.Source, target, Options{Memory: memory})
		if need.Memory+need.Scratch != want || (need.Scratch == 0) != (memory == 0) {
			t.Errorf("memory %d: need %+v, want %d of one or the other", memory, need, want)
		}
	}
	strict, _, file := measuring(t, d, b.Source, Options{Strict: true, Memory: 300_000})
	if !bytes.Equal(strict, target) || file < 400_000 {
		t.Errorf("strict: scratch file of %d bytes", file)
	}
}

// A nested delta that is compressed is looked into. One that depends on the source is
// not: what it needs shows itself later.
func TestNeedComputed(t *testing.T) {
	b := pamztest.NewBuilder(t, 1, pamztest.NewBuilder(t, 2, nil).Text(1000))
	plain := pieces(b)
	table := b.Content[plain.Recipe.Params[0].Item]
	source := plain.Recipe.Params[1].Item
	for open, delta := range map[bool]*pamz.Item{false: b.Gunzip(table), true: b.BSDiff(table, b.CopySource(0, 1000))} {
		d, target := b.Diff(0, pamz.LittleEndian, b.Item(b.Content[plain], pamz.Nested(delta, source)))
		need, err := Needs(d, bytes.NewReader(b.Source), 0)
		if err != nil || need.Open != open {
			t.Errorf("open: got %+v, %v, want %v", need, err, open)
		}
		got, took, _ := measuring(t, d, b.Source, Options{})
		if !bytes.Equal(got, target) || !open && (took.Memory > need.Memory || took.Scratch > need.Scratch) {
			t.Errorf("open %v: took %+v, predicted %+v", open, took, need)
		}
	}
}

// The less memory there is, the more scratch space is taken: what is fresh is staged
// there, and patches are applied before the compressor needs its memory.
func TestSupplyMemory(t *testing.T) {
	b := pamztest.NewBuilder(t, 1, pamztest.NewBuilder(t, 2, nil).Text(200_000))
	var err error
	if b.Zstd, err = pamztest.NeedZstd(t)(); err != nil {
		t.Fatal(err)
	}
	all := b.CopySource(0, len(b.Source))
	var parts []*pamz.Item
	for i := range 2 {
		fresh := b.Gunzip(b.Text(100_000))
		content := append([]byte{byte(i)}, b.Source...)
		parts = append(parts, b.BSDiff(content, b.Concat(all, fresh)))
	}
	const pack, fresh = 200_001, 100_000
	nested := b.Nested(pamz.LittleEndian, b.Concat(all, parts[0], parts[1]), func(inner *pamztest.Builder) []*pamz.Item {
		return []*pamz.Item{inner.CopySource(0, 200_000), inner.CopySource(200_000, pack), inner.CopySource(200_000+pack, pack)}
	})
	d, target := b.Diff(0, pamz.LittleEndian, b.Compress(nested, 3))
	opts := Options{Zstd: pamztest.NeedZstd(t)}
	for _, scratch := range []int64{pack, pack + fresh, 2 * pack, 2*pack + fresh} {
		need := checkNeed(t, "compressed", d, b.Source, target, opts)
		if need.Scratch != scratch || opts.Memory > 0 && need.Memory > opts.Memory {
			t.Errorf("memory %d: need %+v", opts.Memory, need)
		}
		opts.Memory = need.Memory - 1
	}
	wrote := false
	err = Apply(writerFunc(func(p []byte) (int, error) { wrote = true; return len(p), nil }), d,
		bytes.NewReader(b.Source), int64(len(b.Source)), opts)
	if !errors.Is(err, ErrMemory) || fault.IsData(err) || wrote {
		t.Errorf("too little memory: %v, wrote: %v", err, wrote)
	}
}

// Without room for all that is needed, nothing is written.
func TestScratchSpace(t *testing.T) {
	b := pamztest.NewBuilder(t, 1, pamztest.NewBuilder(t, 2, nil).Text(1000))
	d, target := b.Diff(0, pamz.LittleEndian, b.Asset([]byte("first")), pieces(b))
	opts := Options{Memory: 300_000, Scratch: pamztest.Scratch(t)}
	need := checkNeed(t, "pieces", d, b.Source, target, opts)
	defer func(f func(*os.File) (int64, bool)) { freeSpace = f }(freeSpace)
	for _, free := range []int64{need.Scratch, need.Scratch - 1} {
		freeSpace = func(*os.File) (int64, bool) { return free, true }
		var out bytes.Buffer
		err := Apply(&out, d, bytes.NewReader(b.Source), d.SourceLength, opts)
		if free == need.Scratch && (err != nil || !bytes.Equal(out.Bytes(), target)) {
			t.Errorf("just enough: %v", err)
		}
		var e *errnum.Error
		if free < need.Scratch && (!errors.Is(err, ErrScratch) || !errors.As(err, &e) || e.Code != errnum.Scratch || fault.IsData(err) || out.Len() > 0) {
			t.Errorf("too little: %v, and %d bytes were written", err, out.Len())
		}
	}
}

// TestDefaultMemory has the widest windows that the reference's generators make, with the
// largest dictionary, and what is wider.
func TestDefaultMemory(t *testing.T) {
	b := pamztest.NewBuilder(t, 1, []byte("source"))
	for _, c := range []struct {
		dictionary, compressor int64
		ok                     bool
	}{{250 * mib, 3, true}, {512 * mib, 3, false}, {1, 22, false}} {
		// A frame header with a window of 256 MiB.
		frame := b.Asset([]byte{0x28, 0xB5, 0x2F, 0xFD, 0, (28 - 10) << 3, 1, 0, 0})
		old := pamz.NewItem(c.dictionary, digest.SHA256{1}, pamz.AllZero(c.dictionary))
		d, _ := b.Diff(0, pamz.LittleEndian, b.Item([]byte{0}, pamz.ZstdDelta(frame, old)),
			b.Item(make([]byte, 99999), pamz.ZstdCompression(pamz.NewItem(1<<30, digest.SHA256{2}, pamz.AllZero(1<<30)), 1, 5, c.compressor)))
		need, err := Needs(d, nil, 0)
		if c.ok && (err != nil || need.Memory < c.dictionary+256*mib) {
			t.Errorf("dictionary of %d bytes: %+v, %v", c.dictionary, need, err)
		}
		if !c.ok && !errors.Is(err, ErrMemory) {
			t.Errorf("dictionary of %d bytes, level %d: %v", c.dictionary, c.compressor, err)
		}
		if need, err = Needs(d, nil, math.MaxInt64); err != nil || c.ok != (need.Memory <= DefaultMemory) {
			t.Errorf("dictionary of %d bytes, level %d, any memory: %+v, %v", c.dictionary, c.compressor, need, err)
		}
	}
}
