// SPDX-License-Identifier: MIT

// Package stock writes deltas for devices with the unmodified delta processor of
// generation 1.0: PAMZ version 0, little endian. All that is special to that library is
// here: recipes with at most 255 parameters and numbers below 2^31, tables that it
// keeps in memory, sources that can be read forward only, a pipe that must not be
// emptied, no working dictionary, malloc's habits.
package stock

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"runtime"

	"swudelta/internal/apply"
	"swudelta/internal/codec"
	"swudelta/internal/content"
	"swudelta/internal/device"
	"swudelta/internal/device/stocklib"
	"swudelta/internal/digest"
	"swudelta/internal/match"
	"swudelta/internal/pamz"
)

// Options are what a device needs.
type Options struct {
	Zstd *codec.Zstd // the device's
	// Workers is how many blocks are compressed at a time. It does not change the
	// delta. Default: the number of processors.
	Workers int
	// Scratch returns an unnamed temporary file.
	Scratch func() (*os.File, error)
	// MaxRegion is the greatest offset and length of a region, in bytes. Default, and at
	// most: what the library takes.
	MaxRegion int64
}

// Device is a device with the stock library. It implements device.Device.
type Device struct{ Options }

// New returns a device.
func New(o Options) *Device {
	if o.MaxRegion == 0 {
		o.MaxRegion = stocklib.MaxNumber
	}
	return &Device{o}
}

// Codecs returns what the library undoes, gzip and zstd, and makes: zstd at the canonical level.
func (d *Device) Codecs() device.Codecs {
	return device.Codecs{
		MaxWindow: stocklib.MaxWindow,
		Compressors: map[codec.Kind]func(io.Writer) (io.WriteCloser, error){
			codec.KindZstd: func(w io.Writer) (io.WriteCloser, error) {
				return d.Zstd.NewCanonicalWriter(w, codec.CanonicalLevel)
			},
		},
	}
}

// Reach is what two regions cover: the second begins where the first ends, at the greatest
// offset.
func (d *Device) Reach() int64 { return 2 * d.MaxRegion }

// Limits returns the limits of matching.
func (d *Device) Limits(memory int64) match.Limits { return stocklib.Limits(memory) }

// Write returns the delta as a file.
func (d *Device) Write(delta *device.Delta) ([]byte, error) {
	diff := &pamz.Diff{
		TargetLength: delta.Target, TargetSHA256: delta.TargetSHA256,
		SourceLength: delta.Source.Size, SourceSHA256: delta.SourceSHA256,
	}
	for _, m := range delta.Members {
		item, err := d.member(delta, m)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.Name, err)
		}
		alone, err := encode(item.Length, item.SHA256, delta.Source.Size, item)
		if err != nil {
			return nil, err
		}
		m.Cost = alone.Length
		diff.Chunks = append(diff.Chunks, item)
	}
	var out bytes.Buffer
	err := pamz.Encode(&out, diff)
	return out.Bytes(), err
}

// member returns the chunk that makes a member.
func (d *Device) member(delta *device.Delta, m *device.Member) (*pamz.Item, error) {
	switch {
	case m.Copy != nil:
		return pamz.NewItem(m.Size, m.SHA256, pamz.CopySource(m.Copy.Off)), nil
	case m.Image == nil:
		return pamz.NewItem(m.Size, m.SHA256, pamz.Remainder(m.Literal)), nil
	}
	image, err := d.image(delta, m)
	if err != nil || m.Kind == codec.KindPlain {
		return image, err
	}
	// The library ignores the version of zstd, major and minor.
	return pamz.NewItem(m.Size, m.SHA256, pamz.ZstdCompression(image, 1, 5, codec.CanonicalLevel)), nil
}

// Try holds a delta against the rules of the library, and applies it.
func (d *Device) Try(delta []byte, source content.Input, sourceSum *digest.Writer, report func(int64)) (device.Cost, error) {
	return stocklib.Try(delta, Check, source, apply.Options{
		Zstd:      func() (*codec.Zstd, error) { return d.Zstd, nil },
		Scratch:   d.Scratch,
		SourceSum: sourceSum,
		Progress:  report,
	})
}

func (d *Device) workers() int {
	if d.Workers > 0 {
		return d.Workers
	}
	return runtime.GOMAXPROCS(0)
}
