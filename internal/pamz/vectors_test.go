// SPDX-License-Identifier: MIT

package pamz_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"swudelta/internal/apply"
	"swudelta/internal/codec"
	"swudelta/internal/digest"
	"swudelta/internal/errnum"
	"swudelta/internal/pamz"
	"swudelta/internal/pamztest"
	"swudelta/internal/tooltest"
)

func applyBytes(d *pamz.Diff, source []byte, opts apply.Options) ([]byte, error) {
	var out bytes.Buffer
	err := apply.Apply(&out, d, bytes.NewReader(source), int64(len(source)), opts)
	return out.Bytes(), err
}

func TestVectors(t *testing.T) {
	for _, v := range pamztest.Vectors {
		t.Run(v.Name, func(t *testing.T) {
			opts := apply.Options{Scratch: pamztest.Scratch(t)}
			if strings.HasPrefix(v.Name, "zstdcomp") {
				opts.Zstd = pamztest.NeedZstd(t)
			}
			d := pamztest.Decode(t, pamztest.File(t, v.Name+".diff"))
			source, want := pamztest.Source(t, v.Source), pamztest.File(t, v.Target+".target")
			for _, opts.Strict = range []bool{false, true} {
				got, err := applyBytes(d, source, opts)
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(got, want) {
					t.Fatal("wrong target")
				}
			}
			// Written again in any form that can hold it, it makes the same.
			for _, c := range d.Chunks {
				if c.Recipe.Op == pamz.OpRemainder && d.Version == 0 {
					c.Recipe = pamz.Remainder(want[c.Offset:][:c.Length])
				}
			}
			forms := []pamz.Diff{*d, *d, *d, *d}
			forms[1].Form = pamz.Form{Version: 1, Order: pamz.LittleEndian}
			forms[2].Form = pamz.Form{Version: 1, Order: pamz.BigEndian}
			forms[3].Form = pamz.Form{Version: 2, Order: pamz.BigEndian}
			if d.Version == 0 {
				other := *d
				other.Order = 1 - d.Order
				forms = append(forms, other)
			}
			for _, form := range forms {
				if form.Pooled() && (strings.HasPrefix(v.Name, "zstdcomp") || v.Name == "nested") || form.Order != d.Order && v.Name == "nested" {
					continue
				}
				var file bytes.Buffer
				if err := pamz.Encode(&file, &form); err != nil {
					t.Fatal(err)
				}
				again := pamztest.Decode(t, file.Bytes())
				if again.Form != form.Form {
					t.Fatalf("got %v, want %v", again.Form, form.Form)
				}
				got, err := applyBytes(again, source, opts)
				if err != nil || !bytes.Equal(got, want) {
					t.Fatalf("%v: %v", form.Form, err)
				}
			}
		})
	}
}

// TestRoundTrip encodes what was decoded: version 0 gives the same file, version 2
// the same in a canonical form, which is that of the library's own writer.
func TestRoundTrip(t *testing.T) {
	for _, v := range pamztest.Vectors {
		file := pamztest.File(t, v.Name+".diff")
		for range 2 {
			var again bytes.Buffer
			d := pamztest.Decode(t, file)
			if err := pamz.Encode(&again, d); err != nil {
				t.Fatalf("%s: %v", v.Name, err)
			}
			if !bytes.Equal(again.Bytes(), file) && (d.Version == 0 || v.Name == "v3basic") {
				t.Errorf("%s: other bytes", v.Name)
			}
			if d.Version == 2 && bytes.Equal(file, again.Bytes()) {
				break
			}
			file = bytes.Clone(again.Bytes())
		}
	}
}

func TestReal(t *testing.T) {
	if testing.Short() {
		t.Skip("large files")
	}
	corpus := tooltest.Corpus(t)
	real := filepath.Join(corpus, "..", "data", "pamz", "real")
	if _, err := os.Stat(real); err != nil {
		t.Skipf("no real deltas: %v", err)
	}
	for _, v := range []struct{ name, pair, sum string }{
		{"patch.1.0.1", "patch", "5329a65d"},
		{"minor.1.0.1", "minor", "6f311538"},
		{"patch.pack", "patch", "5329a65d"},
		{"patch.3.0.0", "patch", "beeae120"},
	} {
		t.Run(v.name, func(t *testing.T) {
			opts := apply.Options{Scratch: pamztest.Scratch(t), Zlib: func() (*codec.Zlib, error) { return codec.OpenZlib("") }}
			if v.name != "patch.3.0.0" {
				opts.Zstd = pamztest.NeedZstd(t)
			}
			file, err := os.ReadFile(filepath.Join(real, v.name+".diff"))
			if err != nil {
				t.Fatal(err)
			}
			source, err := os.ReadFile(filepath.Join(corpus, v.pair, "source.swu"))
			if err != nil {
				t.Fatal(err)
			}
			d := pamztest.Decode(t, file)
			var again bytes.Buffer
			if err := pamz.Encode(&again, d); err != nil {
				t.Fatal(err)
			}
			if d.Version == 0 && !bytes.Equal(again.Bytes(), file) {
				t.Error("encoded again it has other bytes")
			}
			forms := []*pamz.Diff{d}
			if d.Version == 2 { // whose unused parts are gone
				forms = append(forms, pamztest.Decode(t, again.Bytes()))
			}
			for _, d := range forms {
				got, err := applyBytes(d, source, opts)
				if err != nil {
					t.Fatal(err)
				}
				if sum := digest.Sum(got); !strings.HasPrefix(sum.Hex(), v.sum) {
					t.Errorf("got target %s, want %s...", sum, v.sum)
				}
			}
		})
	}
	t.Run("broken", func(t *testing.T) {
		file, err := os.ReadFile(filepath.Join(real, "patch.1.0.1-broken.diff"))
		if err != nil {
			t.Fatal(err)
		}
		source, err := os.ReadFile(filepath.Join(corpus, "patch", "source.swu"))
		if err != nil {
			t.Fatal(err)
		}
		got, err := applyBytes(pamztest.Decode(t, file), source, apply.Options{Scratch: pamztest.Scratch(t)})
		pamztest.WantError(t, err, errnum.Short)
		if len(got) > 0 {
			t.Errorf("%d bytes were written", len(got))
		}
	})
}
