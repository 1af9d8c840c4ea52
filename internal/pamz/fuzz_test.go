// SPDX-License-Identifier: MIT

package pamz

import (
	"bytes"
	"errors"
	"testing"

	"swudelta/internal/codec"
	"swudelta/internal/digest"
	"swudelta/internal/fault"
)

// FuzzDecode decodes anything. What can be decoded can be described, checked,
// encoded and decoded again, and applying it ends in the promised target or in an
// error about the data.
func FuzzDecode(f *testing.F) {
	for _, v := range vectors {
		f.Add(testFile(f, v.name+".diff"), testSource(f, v.source))
	}
	z, _ := codec.OpenZstd(codec.ZstdOptions{})
	f.Fuzz(func(t *testing.T, file, source []byte) {
		d, err := Decode(bytes.NewReader(file), int64(len(file)))
		if err != nil {
			var e *Error
			if d != nil || !errors.As(err, &e) || !fault.IsData(err) {
				t.Fatalf("got %v with error %v", d, err)
			}
			return
		}
		if _, err := d.Describe(); err != nil {
			t.Fatal(err)
		}
		for _, p := range []Profile{Profile10, Profile30} {
			if _, _, err := Check(d, p); err != nil {
				t.Fatal(err)
			}
		}
		once := encodeBytes(t, d)
		if again := encodeBytes(t, decodeBytes(t, once)); !bytes.Equal(again, once) && d.Version == 0 {
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
		got, err := applyBytes(d, source, ApplyOptions{
			Scratch: scratch(t), Zlib: openZlib, Memory: 32 << 20,
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
		case err != nil && !fault.IsData(err) && !errors.Is(err, ErrMemory):
			t.Fatalf("%v is no fault of the data", err)
		}
	})
}
