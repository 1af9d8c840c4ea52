// SPDX-License-Identifier: MIT

package plan

import (
	"bytes"
	"io"
	"os"
	"testing"

	"swudelta/internal/apply"
	"swudelta/internal/codec"
	"swudelta/internal/device/devices"
	compressed "swudelta/internal/member"
	"swudelta/internal/native"
	"swudelta/internal/pamz"
)

// libraries are what devices compress with. Without them the test is skipped.
func libraries(t testing.TB) (*codec.Zstd, *codec.Zlib) {
	t.Helper()
	zstd, err := codec.OpenZstd(codec.ZstdOptions{})
	var zlib *codec.Zlib
	if err == nil {
		zlib, err = codec.OpenZlib("")
	}
	if err != nil {
		if os.Getenv("SWUDELTA_REQUIRE_TOOLS") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	return zstd, zlib
}

// scratch returns what makes unnamed files.
func scratch(t testing.TB) func() (*os.File, error) {
	return func() (*os.File, error) {
		f, err := os.CreateTemp(t.TempDir(), "scratch")
		if err == nil {
			err = os.Remove(f.Name())
		}
		return f, err
	}
}

// optionsFor are for the device of that name.
func optionsFor(t testing.TB, name string) Options {
	t.Helper()
	kind, err := devices.Parse(name)
	if err != nil {
		t.Fatal(err)
	}
	zstd, _ := libraries(t)
	d, err := kind.New(devices.Resources{Zstd: zstd, Load: io.ReadAll, Scratch: scratch(t)})
	if err != nil {
		t.Fatal(err)
	}
	return Options{Effort: DefaultEffort, Device: d, Load: io.ReadAll, Note: func(s string) { t.Log(s) }}
}

// options are for the default device.
func options(t testing.TB) Options { return optionsFor(t, devices.All[0].Name) }

// canonical compresses as devices of profile 1.0 do, canonicalGzip as those of 3.0.
func canonical(t testing.TB, b []byte) []byte {
	zstd, _ := libraries(t)
	var out bytes.Buffer
	w, err := zstd.NewCanonicalWriter(&out, codec.CanonicalLevel)
	if err != nil {
		t.Fatal(err)
	}
	w.Write(b)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func canonicalGzip(t testing.TB, b []byte) []byte {
	_, zlib := libraries(t)
	var out bytes.Buffer
	if err := zlib.Deflate(&out, bytes.NewReader(b), codec.ContainerGzip, 9); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// applied applies a delta of either format without any of the engine's code.
func applied(t testing.TB, source, delta []byte) []byte {
	t.Helper()
	zstd, zlib := libraries(t)
	var out bytes.Buffer
	var err error
	if file := bytes.NewReader(delta); native.IsDelta(file) {
		var d *native.Delta
		if d, err = native.Open(file, file.Size()); err == nil {
			err = d.Apply(&out, bytes.NewReader(source), int64(len(source)), native.ApplyOptions{
				Libraries: compressed.Libraries{Zstd: func() (*codec.Zstd, error) { return zstd, nil }}, Scratch: scratch(t),
			})
		}
	} else {
		var d *pamz.Diff
		if d, err = pamz.Decode(file, file.Size()); err == nil {
			err = apply.Apply(&out, d, bytes.NewReader(source), int64(len(source)), apply.Options{
				Zstd:    func() (*codec.Zstd, error) { return zstd, nil },
				Zlib:    func() (*codec.Zlib, error) { return zlib, nil },
				Scratch: scratch(t),
			})
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
