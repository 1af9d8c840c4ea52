// SPDX-License-Identifier: MIT

package pamz_test

import (
	"bytes"
	"errors"
	"testing"

	"swudelta/internal/apply"
	"swudelta/internal/codec"
	"swudelta/internal/device/devices"
	"swudelta/internal/digest"
	"swudelta/internal/errnum"
	"swudelta/internal/fault"
	"swudelta/internal/pamz"
	"swudelta/internal/pamztest"
)

// FuzzDecode decodes anything. What can be decoded can be described, checked,
// encoded and decoded again, and applying it ends in the promised target or in an
// error about the data.
func FuzzDecode(f *testing.F) {
	for _, v := range pamztest.Vectors {
		f.Add(pamztest.File(f, v.Name+".diff"), pamztest.Source(f, v.Source))
	}
	z, _ := codec.OpenZstd(codec.ZstdOptions{})
	f.Fuzz(func(t *testing.T, file, source []byte) {
		d, err := pamz.Decode(bytes.NewReader(file), int64(len(file)))
		if err != nil {
			var e *errnum.Error
			if d != nil || !errors.As(err, &e) || !fault.IsData(err) {
				t.Fatalf("got %v with error %v", d, err)
			}
			return
		}
		if _, err := d.Describe(apply.NewViewer()); err != nil {
			t.Fatal(err)
		}
		for _, k := range devices.All[:2] {
			if _, _, err := k.Check(d); err != nil {
				t.Fatal(err)
			}
		}
		once := pamztest.Encode(t, d)
		if again := pamztest.Encode(t, pamztest.Decode(t, once)); !bytes.Equal(again, once) && d.Version == 0 {
			t.Fatal("encoded twice it has other bytes")
		}
		if d.TargetLength > 1<<20 {
			return
		}
		if d.SourceLength > 0 && int64(len(source)) >= d.SourceLength {
			// A source that fits, to come further.
			source = source[:d.SourceLength]
			d.SourceSHA256 = digest.Sum(source)
		}
		got, err := applyBytes(d, source, apply.Options{
			Scratch: pamztest.Scratch(t), Zlib: pamztest.OpenZlib, Memory: 32 << 20,
			Zstd: func() (*codec.Zstd, error) {
				if z == nil {
					return nil, fault.Dataf("no libzstd")
				}
				return z, nil
			},
		})
		switch {
		case err == nil && digest.Sum(got) != d.TargetSHA256:
			t.Fatal("success with a wrong target")
		case err != nil && !fault.IsData(err) && !errors.Is(err, apply.ErrMemory):
			t.Fatalf("%v is no fault of the data", err)
		}
	})
}
