// SPDX-License-Identifier: MIT

package plan

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"testing"

	"swudelta/internal/apply"
	"swudelta/internal/codec"
	"swudelta/internal/device"
	"swudelta/internal/device/stock30"
	"swudelta/internal/pamz"
	"swudelta/internal/tooltest"
)

func options30(t testing.TB) Options {
	t.Helper()
	o := options(t)
	zlib, err := codec.OpenZlib("")
	if err != nil {
		t.Skip(err)
	}
	d := o.Device.(*testDevice)
	o.Device = &testDevice30{stock30.New(stock30.Config{Zstd: d.zstd, Zlib: zlib, Scratch: d.scratch}), d, zlib}
	return o
}

// testDevice30 is the stock one of generation 3.0, and what tests apply deltas with.
type testDevice30 struct {
	device.Device
	testDevice *testDevice
	zlib       *codec.Zlib
}

func canonicalGzip(t testing.TB, o Options, b []byte) []byte {
	var out bytes.Buffer
	if err := o.Device.(*testDevice30).zlib.Deflate(&out, bytes.NewReader(b), codec.ContainerGzip, 9); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestMake30 makes deltas for profile 3.0, whose devices verify nothing: what they make
// must be right, and little. SWUDELTA_APPLYDIFF_30 names the stock library's applydiff
// (SOURCE DELTA TARGET).
func TestMake30(t *testing.T) {
	o := options30(t)
	small := o
	small.DeviceMemory = 20 << 20
	old := random(1, 2<<20)
	new := edits(old)
	other := random(5, 1<<20)
	// Runs of every kind, the same content more than once, and a source with two streams.
	mixed := slices.Concat(old[:300<<10], make([]byte, 400<<10), new, old[300<<10:500<<10], new[:200<<10], random(9, 100<<10), other)
	desc := func(v string) member {
		return member{"sw-description", fmt.Appendf(nil, "software = { version = %q; };\n", v)}
	}
	for _, c := range []struct {
		name           string
		source, target []byte
		o              Options
		most           int // bytes of the delta
	}{
		{"plain files", old, new, o, 290 << 10},
		{"gzip to canonical gzip", gzipped(t, old), canonicalGzip(t, o, new), o, 290 << 10},
		{"zstd to canonical gzip", canonical(t, options(t), old), canonicalGzip(t, o, new), o, 290 << 10},
		{"gzip to plain", gzipped(t, old), new, o, 290 << 10},
		{"SWU", archive(t, desc("1"), member{"root.ext4.gz", gzipped(t, old)}),
			archive(t, desc("2"), member{"root.ext4.gz", canonicalGzip(t, o, new)}), o, 291 << 10},
		{"two streams to all kinds of runs", slices.Concat(gzipped(t, old), gzipped(t, other)), canonicalGzip(t, o, mixed), o, 400 << 10},
		{"in little memory", gzipped(t, old), canonicalGzip(t, o, mixed), small, 1500 << 10},
		{"the same image twice", archive(t, desc("1"), member{"a", old}),
			archive(t, desc("2"), member{"a.gz", canonicalGzip(t, o, new)}, member{"b", new}), o, 292 << 10},
		{"an unchanged member", archive(t, desc("1"), member{"a", old}, member{"b", other}),
			archive(t, desc("2"), member{"a", new}, member{"b", other}), o, 292 << 10},
		{"shrunk to zeros", old, make([]byte, 1<<20), o, 3 << 10},
		{"all of the source", gzipped(t, old), old, o, 3 << 10},
		{"all of the source and more", gzipped(t, old), slices.Concat(old, old[:100]), o, 3 << 10},
		{"nothing in common", random(6, 1<<20), append(random(7, 1<<20), make([]byte, 1<<20)...), o, 1<<20 + 3000},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := Make(input(c.source), input(c.target), c.o)
			if err != nil {
				t.Fatal(err)
			}
			if len(r.Delta) > c.most {
				t.Errorf("got %d bytes, want at most %d", len(r.Delta), c.most)
			}
			d, err := pamz.Decode(bytes.NewReader(r.Delta), int64(len(r.Delta)))
			if err != nil || d.Version != 2 {
				t.Fatalf("version %d, %v", d.Version, err)
			}
			var got bytes.Buffer
			err = apply.Apply(&got, d, bytes.NewReader(c.source), int64(len(c.source)), apply.Options{
				Zlib:    func() (*codec.Zlib, error) { return o.Device.(*testDevice30).zlib, nil },
				Scratch: o.Device.(*testDevice30).testDevice.scratch,
			})
			if err != nil || !bytes.Equal(got.Bytes(), c.target) {
				t.Errorf("applying the delta does not give the target: %v", err)
			}
			if program := os.Getenv("SWUDELTA_APPLYDIFF_30"); program != "" {
				tooltest.StockApplies(t, program, c.source, r.Delta, c.target)
			}
		})
	}
}
