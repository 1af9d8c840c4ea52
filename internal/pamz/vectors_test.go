// SPDX-License-Identifier: MIT

package pamz

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"swudelta/internal/codec"
	"swudelta/internal/digest"
	"swudelta/internal/fault"
	"swudelta/internal/tooltest"
)

// vectors are the deltas in testdata with the stems of their source and target.
var vectors = []struct{ name, source, target string }{
	{"minimal.v0.le", "minimal", "minimal"},
	{"minimal.v0.be", "minimal", "minimal"},
	{"minimal.v2", "minimal", "minimal"},
	{"basic", "basic", "basic"},
	{"v3basic", "basic", "basic"},
	{"delta", "basic", "delta"},
	{"misc", "misc", "misc"},
	{"nested", "nested", "nested"},
	{"zstdcomp", "zstdcomp", "zstdcomp"},
	{"zstdcomp300k", "zstdcomp300k", "zstdcomp300k"},
}

func testFile(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func testSource(t testing.TB, name string) []byte {
	if name != "zstdcomp300k" {
		return testFile(t, name+".source")
	}
	zr, err := codec.NewZstdReader(bytes.NewReader(testFile(t, name+".target")[4:]), 0)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(zr)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// needZstd skips where no libzstd makes the bytes of version 1.5.0.
func needZstd(t testing.TB) func() (*codec.Zstd, error) {
	t.Helper()
	open := func() (*codec.Zstd, error) { return codec.OpenZstd(codec.ZstdOptions{}) }
	if _, err := open(); err != nil {
		t.Skipf("no libzstd with the bytes of 1.5.0 (scripts/get-libzstd 1.5.0 makes one): %v", err)
	}
	return open
}

// scratch is an unlinked file that is closed when the test ends.
func scratch(t testing.TB) func() (*os.File, error) {
	return func() (*os.File, error) {
		f, err := os.CreateTemp(t.TempDir(), "")
		if err == nil {
			os.Remove(f.Name())
			t.Cleanup(func() { f.Close() })
		}
		return f, err
	}
}

func decodeBytes(t testing.TB, b []byte) *Diff {
	t.Helper()
	d, err := Decode(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func applyBytes(d *Diff, source []byte, opts ApplyOptions) ([]byte, error) {
	var out bytes.Buffer
	err := Apply(&out, d, bytes.NewReader(source), int64(len(source)), opts)
	return out.Bytes(), err
}

func TestVectors(t *testing.T) {
	for _, v := range vectors {
		t.Run(v.name, func(t *testing.T) {
			opts := ApplyOptions{Scratch: scratch(t)}
			if strings.HasPrefix(v.name, "zstdcomp") {
				opts.Zstd = needZstd(t)
			}
			d := decodeBytes(t, testFile(t, v.name+".diff"))
			source, want := testSource(t, v.source), testFile(t, v.target+".target")
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
				if c.Recipe.Op == OpRemainder && d.Version == 0 {
					c.Recipe = Remainder(want[c.Offset:][:c.Length])
				}
			}
			forms := []Diff{*d, *d}
			forms[1].Version = 2
			if d.Version == 0 {
				other := *d
				other.Order = 1 - d.Order
				forms = append(forms, other)
			}
			for _, form := range forms {
				if form.Version == 2 && (strings.HasPrefix(v.name, "zstdcomp") || v.name == "nested") || form.Order != d.Order && v.name == "nested" {
					continue
				}
				var file bytes.Buffer
				if err := Encode(&file, &form); err != nil {
					t.Fatal(err)
				}
				got, err := applyBytes(decodeBytes(t, file.Bytes()), source, opts)
				if err != nil || !bytes.Equal(got, want) {
					t.Fatalf("version %d, %v: %v", form.Version, form.Order, err)
				}
			}
		})
	}
}

// TestRoundTrip encodes what was decoded: version 0 gives the same file, version 2
// the same in a canonical form, which is that of the library's own writer.
func TestRoundTrip(t *testing.T) {
	for _, v := range vectors {
		file := testFile(t, v.name+".diff")
		for range 2 {
			var again bytes.Buffer
			d := decodeBytes(t, file)
			if err := Encode(&again, d); err != nil {
				t.Fatalf("%s: %v", v.name, err)
			}
			if !bytes.Equal(again.Bytes(), file) && (d.Version == 0 || v.name == "v3basic") {
				t.Errorf("%s: other bytes", v.name)
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
			opts := ApplyOptions{Scratch: scratch(t), Zlib: func() (*codec.Zlib, error) { return codec.OpenZlib("") }}
			if v.name != "patch.3.0.0" {
				opts.Zstd = needZstd(t)
			}
			file, err := os.ReadFile(filepath.Join(real, v.name+".diff"))
			if err != nil {
				t.Fatal(err)
			}
			source, err := os.ReadFile(filepath.Join(corpus, v.pair, "source.swu"))
			if err != nil {
				t.Fatal(err)
			}
			d := decodeBytes(t, file)
			var again bytes.Buffer
			if err := Encode(&again, d); err != nil {
				t.Fatal(err)
			}
			if d.Version == 0 && !bytes.Equal(again.Bytes(), file) {
				t.Error("encoded again it has other bytes")
			}
			forms := []*Diff{d}
			if d.Version == 2 { // whose unused parts are gone
				forms = append(forms, decodeBytes(t, again.Bytes()))
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
		got, err := applyBytes(decodeBytes(t, file), source, ApplyOptions{Scratch: scratch(t)})
		wantError(t, err, codeShort)
		if len(got) > 0 {
			t.Errorf("%d bytes were written", len(got))
		}
	})
}

// wantError wants an error of the data with the reference's number.
func wantError(t testing.TB, err error, code int) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || e.Code != code || !fault.IsData(err) {
		t.Errorf("got error %v, want a fault of the data with number %d", err, code)
	}
}
