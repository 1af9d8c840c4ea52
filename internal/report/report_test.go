// SPDX-License-Identifier: MIT

package report

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"swudelta/internal/bsdiff"
	"swudelta/internal/codec"
	"swudelta/internal/device"
	"swudelta/internal/device/devices"
	"swudelta/internal/digest"
	"swudelta/internal/layout"
	"swudelta/internal/native"
	"swudelta/internal/pamz"
	"swudelta/internal/pamztest"
	"swudelta/internal/plan"
	"swudelta/internal/tooltest"
)

// pair is a source and a target with everything that an engine looks for.
func pair() (source, target []byte) {
	source = tooltest.Random(1, 3<<20)
	copy(source[1<<20:], bytes.Repeat([]byte("the quick brown fox jumps over the lazy dog. "), 20000))
	target = tooltest.Edits(source)
	return source, append(target, tooltest.Random(2, 100<<10)...)
}

// makeDevices returns one of each kind.
func makeDevices(t testing.TB) map[string]device.Device {
	z, err := codec.OpenZstd(codec.ZstdOptions{})
	if err != nil {
		t.Skip(err)
	}
	scratch := func() (*os.File, error) { return os.CreateTemp(t.TempDir(), "scratch") }
	out := map[string]device.Device{}
	for _, k := range devices.All {
		if out[k.Name], err = k.New(devices.Resources{Zstd: z, Load: io.ReadAll, Scratch: scratch}); err != nil {
			t.Skip(err)
		}
	}
	return out
}

func delta(t testing.TB, d device.Device, source, target []byte) []byte {
	t.Helper()
	in := func(b []byte) plan.Input { return plan.Input{ReaderAt: bytes.NewReader(b), Size: int64(len(b))} }
	r, err := plan.Make(in(source), in(target), plan.Options{Device: d, Load: io.ReadAll})
	if err != nil {
		t.Fatal(err)
	}
	return r.Delta
}

// trace makes the report of a delta of any format.
func trace(delta []byte) (*Report, error) {
	r := bytes.NewReader(delta)
	if native.IsDelta(r) {
		d, err := native.Open(r, int64(len(delta)))
		if err != nil {
			return nil, err
		}
		return Native(d)
	}
	d, err := pamz.Decode(r, int64(len(delta)))
	if err != nil {
		return nil, err
	}
	return PAMZ(d, int64(len(delta)))
}

// checkReport checks what is true of every report: spans tile the content, members the target, and
// sums are those of the file.
func checkReport(t *testing.T, r *Report) {
	t.Helper()
	at, cost := int64(0), 0.0
	for _, m := range r.Members {
		if m.Off != at {
			t.Errorf("%s begins at %d, want %d", m.Name, m.Off, at)
		}
		at += m.Stored
		content := int64(0)
		for _, s := range m.Spans {
			if s.Off != content || s.Len <= 0 || s.Cost < 0 || math.IsNaN(s.Cost) {
				t.Fatalf("%s: span %+v, want one at %d", m.Name, s, content)
			}
			content = s.End()
			cost += s.Cost
		}
		if content != m.Size || m.Closed == "" && m.Size != m.Stored {
			t.Errorf("%s: spans of %d bytes, for %d, stored %d", m.Name, content, m.Size, m.Stored)
		}
	}
	if at != r.Target.Length {
		t.Errorf("members of %d bytes, the target has %d", at, r.Target.Length)
	}
	if size := float64(r.Size); cost > size+1e-3 || cost < size-800 {
		t.Errorf("costs add up to %.1f of %.0f bytes", cost, size)
	}
	account := int64(0)
	for _, p := range r.Account {
		account += p.Bytes
	}
	if account != r.Size {
		t.Errorf("the account adds up to %d, want %d", account, r.Size)
	}
	items := 0.0
	for _, it := range r.Items() {
		items += it.Sum()
	}
	cells := 0.0
	for _, c := range r.Cells(100) {
		cells += c.Sum()
	}
	if math.Abs(items-cost) > 1 || math.Abs(cells-cost) > 1 {
		t.Errorf("items cost %.1f, cells %.1f, all spans %.1f", items, cells, cost)
	}
}

// What a trace says of the target is held against both files.
func TestTrace(t *testing.T) {
	source, target := pair()
	for name, d := range makeDevices(t) {
		t.Run(name, func(t *testing.T) {
			r, err := trace(delta(t, d, source, target))
			if err != nil {
				t.Fatal(err)
			}
			checkReport(t, r)
			var changed, differs int64
			for _, m := range r.Members {
				for _, s := range m.Spans {
					content := target[m.Off+s.Off:][:s.Len]
					var old []byte
					if s.from >= 0 && s.from+s.Len <= int64(len(source)) {
						old = source[s.from:][:s.Len]
					}
					switch {
					case s.Kind == Zero && bytes.Count(content, []byte{0}) != len(content):
						t.Errorf("%+v: not all zeros", s)
					case s.Kind == Kept && name != "native" && !bytes.Equal(content, old):
						t.Errorf("%+v: the source has something else", s)
					case s.Kind == Moved && name != "native" && !bytes.Equal(content, old) && s.from >= 0:
						t.Errorf("%+v: the source has something else", s)
					case s.Kind == Patched && old != nil:
						changed += s.Changed
						for i := range content {
							if content[i] != old[i] {
								differs++
							}
						}
					}
				}
			}
			total := r.Total()
			for _, k := range []Kind{Kept, Moved, Patched, New} {
				if total.Bytes[k] == 0 {
					t.Errorf("nothing is %v", k)
				}
			}
			if name != "native" && (changed != differs || changed == 0) {
				t.Errorf("%d bytes are said to differ, %d do", changed, differs)
			}
			if total.Bytes[New] < 100<<10 || total.Cost[New] < 100<<10 {
				t.Errorf("%d new bytes cost %.0f, at least %d are random", total.Bytes[New], total.Cost[New], 100<<10)
			}
		})
	}
}

// Random content that is new costs what it has, wherever a layout says that it lies.
func TestItems(t *testing.T) {
	source := tooltest.Random(1, 1<<20)
	target := slices.Concat(source, tooltest.Random(3, 200<<10))
	size := int64(len(target))
	l := &layout.Layout{Size: size, Files: []layout.File{
		{Path: "/new", Pieces: []layout.Piece{{Offset: size - 100<<10, Length: 100 << 10}}},
		{Path: "/twice", Pieces: []layout.Piece{{Offset: size - 200<<10, Length: 200 << 10}}},
		{Path: "/beyond", Pieces: []layout.Piece{{Offset: size - 1, Length: math.MaxInt64}}},
	}, Metadata: []layout.Region{{Kind: "inode table", Offset: 0, Length: 4096}, {Kind: "inode table", Offset: 8192, Length: 4096}}}
	r, err := trace(delta(t, makeDevices(t)["1.0"], source, target))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range r.Members {
		if m.Size == size {
			m.Layout = l
		}
	}
	checkReport(t, r)
	items := r.Items()
	i := slices.IndexFunc(items, func(it Item) bool { return it.Name == "/new" })
	if it := items[i]; it.Sum() < 100<<10 || it.Sum() > 101<<10 || it.Reason != "new" || it.Len() != 100<<10 {
		t.Errorf("got %+v", it)
	}
	names := map[string]int64{}
	for _, it := range items {
		names[it.Name] = it.Len()
	}
	if names["/twice"] != 100<<10 || names["(inode table)"] != 8192 || names["/beyond"] != 0 || names["(not in the layout)"] != size-200<<10-8192 {
		t.Errorf("got %v", names)
	}
	if top := r.Top(1); len(top) != 1 || top[0].Name != items[0].Name {
		t.Errorf("the dearest one: %v", top)
	}
}

func TestClaims(t *testing.T) {
	c := claims{size: 100}
	var got []layout.Extent
	take := func(off, n int64) {
		c.take(layout.Extent{Offset: off, Length: n}, func(e layout.Extent) { got = append(got, e) })
	}
	take(10, 10)
	take(30, 10)
	take(20, 10)
	take(5, 50)
	take(0, 100)
	take(-5, 3)
	take(200, 3)
	want := []layout.Extent{{Offset: 10, Length: 10}, {Offset: 30, Length: 10}, {Offset: 20, Length: 10}, {Offset: 5, Length: 5}, {Offset: 40, Length: 15}, {Offset: 0, Length: 5}, {Offset: 55, Length: 45}}
	if !slices.Equal(got, want) || len(c.rest()) != 0 {
		t.Errorf("got %v, rest %v, want %v", got, c.rest(), want)
	}
}

// Deltas of others, with recipes that ours do not have.
func TestVectors(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join(tooltest.Root(), "internal/pamz/testdata/*.diff"))
	if err != nil || len(paths) == 0 {
		t.Fatal("no vectors", err)
	}
	traced := 0
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if bsdiff.IsPatch(bytes.NewReader(b)) {
			continue
		}
		if r, err := trace(b); err == nil {
			traced++
			at := int64(0)
			for _, m := range r.Members {
				at += m.Stored
			}
			if at != r.Target.Length {
				t.Errorf("%s: members of %d bytes, the target has %d", path, at, r.Target.Length)
			}
			var out bytes.Buffer
			if err := r.WriteHTML(&out); err != nil {
				t.Errorf("%s: %v", path, err)
			}
			if err := r.WriteText(&out, 5); err != nil {
				t.Errorf("%s: %v", path, err)
			}
		} else {
			t.Logf("%s: %v", path, err)
		}
	}
	if traced < len(paths)/2 {
		t.Errorf("%d of %d were traced", traced, len(paths))
	}
}

// A delta that is cut short has no report, and ends nothing but with an error.
func TestTruncated(t *testing.T) {
	source, target := pair()
	for name, d := range makeDevices(t) {
		whole := delta(t, d, source[:200<<10], append(source[100<<10:200<<10:200<<10], target[len(target)-1000:]...))
		for n := range whole {
			if _, err := trace(whole[:n]); err == nil {
				t.Errorf("%s: the first %d bytes of %d have a report", name, n, len(whole))
			}
		}
	}
}

// A run of any length wants "-fuzzminimizetime 1x": without, the engine stops for up to a minute
// to make each interesting input smaller, and counts no runs meanwhile.
func FuzzPAMZ(f *testing.F) {
	paths, _ := filepath.Glob(filepath.Join(tooltest.Root(), "internal/pamz/testdata/*.diff"))
	for _, path := range paths {
		if b, err := os.ReadFile(path); err == nil && len(b) < 64<<10 {
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := trace(b)
		if err != nil {
			return
		}
		if err := r.WriteHTML(io.Discard); err != nil {
			t.Error(err)
		}
	})
}

// Items that are shared double what is made out of them at each step. The work is bounded.
func TestExponential(t *testing.T) {
	it := pamztest.NewAsset([]byte("ab"))
	for range 40 {
		n := 2 * it.Length
		it = pamz.NewItem(n, digest.Sum(fmt.Append(nil, n)), &pamz.Recipe{Op: pamz.OpConcatenation, Params: []pamz.Param{{Item: it}, {Item: it}}})
	}
	d := &pamz.Diff{Form: pamz.Form{Version: 2, Order: pamz.BigEndian}, TargetLength: it.Length, SourceLength: 10, Chunks: []*pamz.Item{it}}
	if _, err := PAMZ(d, 1000); err == nil || !strings.Contains(err.Error(), "pieces") {
		t.Errorf("got %v", err)
	}
}

func TestSize(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 B", 1023: "1023 B", 1024: "1.00 KiB", 10 << 10: "10.0 KiB", 1<<20 - 1: "1.00 MiB", 352 << 20: "352 MiB", 3 << 40: "3.00 TiB", 5000 << 40: "5000 TiB",
	} {
		if got := Size(n); got != want {
			t.Errorf("%d: got %s, want %s", n, got, want)
		}
	}
}

func TestRound(t *testing.T) {
	if got := round([]float64{0.5, 1.4, 2.7, 0.4}, 5); !slices.Equal(got, []int64{1, 1, 3, 0}) {
		t.Errorf("got %v", got)
	}
}

func TestSquarify(t *testing.T) {
	values := []float64{600, 600, 400, 300, 200, 200, 100}
	total, area := 0.0, 0.0
	for _, v := range values {
		total += v
	}
	for i, r := range squarify(values, 1.5) {
		if r.X < -1e-9 || r.Y < -1e-9 || r.X+r.W > 100+1e-9 || r.Y+r.H > 100+1e-9 {
			t.Errorf("%v leaves its area", r)
		}
		if want := values[i] / total * 100 * 100; math.Abs(r.W*r.H-want) > 1e-6 {
			t.Errorf("%d has an area of %f, want %f", i, r.W*r.H, want)
		}
		if ratio := r.W * 1.5 / r.H; ratio > 4 || ratio < 0.25 {
			t.Errorf("%v is no square", r)
		}
		area += r.W * r.H
	}
	if math.Abs(area-1e4) > 1e-6 {
		t.Errorf("all have an area of %f", area)
	}
	if squarify(nil, 1) == nil {
		t.Error("nothing of nothing")
	}
}

// A compressed member of an image is one span, with the cost of its content.
func TestOpened(t *testing.T) {
	text := bytes.Repeat([]byte("what a log says of 4711 things, of which few matter; "), 4000)
	for i := 0; i < len(text); i += 97 {
		text[i] = byte('a' + i%23)
	}
	image := func(content []byte) []byte {
		var gz bytes.Buffer
		w := gzip.NewWriter(&gz)
		w.Write(content)
		w.Close()
		return slices.Concat(tooltest.Random(1, 200<<10), gz.Bytes(), tooltest.Random(2, 200<<10))
	}
	source := image(text)
	copy(text[5000:], "something else altogether")
	target := image(text)
	r, err := trace(delta(t, makeDevices(t)["native"], source, target))
	if err != nil {
		t.Fatal(err)
	}
	checkReport(t, r)
	if len(r.Members) != 1 {
		t.Fatalf("%d members, want 1: what is compressed is a small part", len(r.Members))
	}
	total := r.Total()
	if n := int64(len(target) - 400<<10); total.Bytes[Opened] < n-20 || total.Cost[Opened] < 20 || total.Cost[Opened] > 2000 {
		t.Errorf("%d bytes are opened and cost %.0f, want %d", total.Bytes[Opened], total.Cost[Opened], n)
	}
	if n := total.Bytes[Kept] + total.Bytes[Moved]; n < 390<<10 {
		t.Errorf("%d bytes are kept or moved", n)
	}
}

// Lengths near the end of what numbers can hold are refused.
func TestHuge(t *testing.T) {
	for _, n := range []int64{math.MaxInt64, 1<<62 + 1, 1<<50 + 1} {
		d := &pamz.Diff{TargetLength: n, SourceLength: 1, Chunks: []*pamz.Item{pamz.NewItem(n, digest.SHA256{1}, pamz.AllZero(n))}}
		if _, err := PAMZ(d, 100); err == nil {
			t.Errorf("a target of %d bytes has a report", n)
		}
	}
}

// What a small file can ask for is bounded by its size, before any of it is made.
func TestBounds(t *testing.T) {
	asset := pamztest.NewAsset([]byte("not a patch"))
	large := int64(minPatched + patchedPerByte*1000 + 1)
	source := pamz.NewItem(10, digest.Sum(nil), &pamz.Recipe{Op: pamz.OpCopySource, Params: []pamz.Param{{Number: 0}}})
	opened := pamz.NewItem(minOpened+openedPerByte*1000+1, digest.Sum([]byte("opened")), &pamz.Recipe{
		Op: pamz.OpZstdDecompression, Params: []pamz.Param{{Item: asset}},
	})
	for _, c := range []struct {
		name, want string
		recipe     pamz.Recipe
	}{
		{"patch", "patches make more", pamz.Recipe{Op: pamz.OpBSDiff, Params: []pamz.Param{{Item: asset}, {Item: source}}}},
		{"nested", "more content", pamz.Recipe{Op: pamz.OpNested, Params: []pamz.Param{{Item: opened}, {Item: source}}}},
	} {
		it := pamz.NewItem(large, digest.Sum([]byte(c.name)), &c.recipe)
		d := &pamz.Diff{TargetLength: large, SourceLength: 10, Chunks: []*pamz.Item{it}}
		if _, err := PAMZ(d, 1000); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v", c.name, err)
		}
	}
}

func FuzzNative(f *testing.F) {
	source, target := pair()
	f.Add(delta(f, makeDevices(f)["native"], source[:64<<10], append(target[10<<10:80<<10], source[:1000]...)))
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := native.Open(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return
		}
		if r, err := Native(d); err == nil {
			if err := r.WriteHTML(io.Discard); err != nil {
				t.Error(err)
			}
		}
	})
}
