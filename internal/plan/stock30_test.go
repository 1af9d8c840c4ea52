// SPDX-License-Identifier: MIT

package plan

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"slices"
	"testing"

	"swudelta/internal/pamz"
	"swudelta/internal/tooltest"
)

// TestMake30 makes deltas for profiles 3.0 and 2.1, whose devices verify nothing: what they
// make must be right, and little. SWUDELTA_APPLYDIFF_30 and _21 name the applydiff (SOURCE
// DELTA TARGET) of the stock libraries.
func TestMake30(t *testing.T) {
	o, o21 := optionsFor(t, "3.0"), optionsFor(t, "2.1")
	small := o
	small.DeviceMemory = 23 << 20
	old := random(1, 2<<20)
	new := edits(old)
	other := random(5, 1<<20)
	// Runs of every kind, the same content more than once, and a source with two streams.
	mixed := slices.Concat(old[:300<<10], make([]byte, 400<<10), new, old[300<<10:500<<10], new[:200<<10], random(9, 100<<10), other)
	// An image with gzip members that zlib makes again; each has another first byte.
	var before, after []byte
	for i := range 20 {
		text := []byte(hex.EncodeToString(random(uint64(20+i), 4<<10)))
		before = slices.Concat(before, old[i<<12:(i+1)<<12], canonicalGzip(t, text))
		text[0] = '#'
		after = slices.Concat(after, old[i<<12:(i+1)<<12], canonicalGzip(t, text))
	}
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
		{"gzip to canonical gzip", gzipped(t, old), canonicalGzip(t, new), o, 290 << 10},
		{"zstd to canonical gzip", canonical(t, old), canonicalGzip(t, new), o, 290 << 10},
		{"gzip to plain", gzipped(t, old), new, o, 290 << 10},
		{"SWU", archive(t, desc("1"), member{"root.ext4.gz", gzipped(t, old)}),
			archive(t, desc("2"), member{"root.ext4.gz", canonicalGzip(t, new)}), o, 291 << 10},
		{"two streams to all kinds of runs", slices.Concat(gzipped(t, old), gzipped(t, other)), canonicalGzip(t, mixed), o, 400 << 10},
		{"in little memory", gzipped(t, old), canonicalGzip(t, mixed), small, 1500 << 10},
		{"the same image twice", archive(t, desc("1"), member{"a", old}),
			archive(t, desc("2"), member{"a.gz", canonicalGzip(t, new)}, member{"b", new}), o, 292 << 10},
		{"an unchanged member", archive(t, desc("1"), member{"a", old}, member{"b", other}),
			archive(t, desc("2"), member{"a", new}, member{"b", other}), o, 292 << 10},
		{"shrunk to zeros", old, make([]byte, 1<<20), o, 3 << 10},
		{"all of the source", gzipped(t, old), old, o, 3 << 10},
		{"all of the source and more", gzipped(t, old), slices.Concat(old, old[:100]), o, 3 << 10},
		{"members inside", before, after, o, 24 << 10},
		{"members inside, source compressed", gzipped(t, before), after, o, 25 << 10},
		{"members inside, compressed", gzipped(t, before), canonicalGzip(t, after), o, 25 << 10},
		{"members inside, in an archive", archive(t, desc("1"), member{"a.gz", gzipped(t, before)}, member{"b", other}),
			archive(t, desc("2"), member{"a.gz", canonicalGzip(t, after)}, member{"b", other}), o, 26 << 10},
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
			if got := applied(t, c.source, r.Delta); !bytes.Equal(got, c.target) {
				t.Error("applying the delta does not give the target")
			}
			if program := os.Getenv("SWUDELTA_APPLYDIFF_30"); program != "" {
				tooltest.StockApplies(t, program, c.source, r.Delta, c.target)
			}
			o21.DeviceMemory = c.o.DeviceMemory
			r21, err := Make(input(c.source), input(c.target), o21)
			if err != nil {
				t.Fatal(err)
			}
			want := bytes.Clone(r.Delta)
			want[11] = 1 // the version number
			if !bytes.Equal(r21.Delta, want) {
				t.Error("for 2.1 more than the version number differs")
			}
			if program := os.Getenv("SWUDELTA_APPLYDIFF_21"); program != "" {
				tooltest.StockApplies(t, program, c.source, r21.Delta, c.target)
			}
		})
	}
}
