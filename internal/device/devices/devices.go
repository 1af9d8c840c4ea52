// SPDX-License-Identifier: MIT

// Package devices is the one list of the kinds of devices that deltas are made for, which
// every --device and --check takes its names from. Whoever adds a kind adds a package
// that implements device.Device, and an entry here.
package devices

import (
	"fmt"
	"io"
	"os"
	"strings"

	"swudelta/internal/codec"
	"swudelta/internal/device"
	"swudelta/internal/device/native"
	"swudelta/internal/device/stock"
	"swudelta/internal/device/stock30"
	"swudelta/internal/device/stocklib"
	"swudelta/internal/member"
	"swudelta/internal/pamz"
)

// Kind is a kind of device.
type Kind struct {
	Name string // as flags have it
	// Form is the compression of images, in its canonical form, that the device makes
	// again; KindPlain: images stay as they are.
	Form codec.Kind
	// Check holds a delta against the rules of the device, and predicts what it costs
	// there. nil: the device applies every delta.
	Check func(*pamz.Diff) (device.Cost, []stocklib.Violation, error)
	// New returns the device.
	New func(Resources) (device.Device, error)
}

// Resources are what devices are made with.
type Resources struct {
	Zstd    *codec.Zstd                     // of the version that the device has
	Load    func(io.Reader) ([]byte, error) // keeps content where it can be addressed
	Scratch func() (*os.File, error)        // returns an unnamed temporary file
	Workers int                             // 0: one per processor
	Memory  int64                           // what a process on the device may take, in bytes
}

// All are the kinds; the first is the default.
var All = []*Kind{
	{
		Name: "1.0", Form: codec.KindZstd, Check: stock.Check,
		New: func(r Resources) (device.Device, error) {
			return stock.New(stock.Options{Zstd: r.Zstd, Workers: r.Workers, Scratch: r.Scratch}), nil
		},
	},
	pooled("2.1", stock30.Form21),
	pooled("3.0", stock30.Form30),
	{
		Name: "native",
		New: func(r Resources) (device.Device, error) {
			if err := member.Load(); err != nil {
				return nil, err
			}
			libraries := member.Libraries{Zstd: func() (*codec.Zstd, error) { return r.Zstd, nil }}
			return native.New(native.Options{Libraries: libraries, Memory: r.Memory, Load: r.Load, Scratch: r.Scratch}), nil
		},
	},
}

// pooled is a kind whose library reads pools of recipes.
func pooled(name string, form pamz.Form) *Kind {
	return &Kind{
		Name: name, Form: codec.KindGzip, Check: stock30.Check(form),
		New: func(r Resources) (device.Device, error) {
			z, err := codec.OpenZlib("")
			if err != nil {
				return nil, err
			}
			return stock30.New(stock30.Config{Form: form, Zstd: r.Zstd, Zlib: z, Scratch: r.Scratch}), nil
		},
	}
}

// Help says what the names stand for.
const Help = "1.0, 2.1 and 3.0 are generations of the stock delta processor, native is our own library"

// Parse returns the kind of that name.
func Parse(name string) (*Kind, error) {
	for _, k := range All {
		if k.Name == name {
			return k, nil
		}
	}
	return nil, fmt.Errorf("%q: want %s", name, Names(", ", " or "))
}

// Names are the names of all, with sep between them and last before the last.
func Names(sep, last string) string {
	var names []string
	for _, k := range All {
		names = append(names, k.Name)
	}
	n := len(names) - 1
	return strings.Join(names[:n], sep) + last + names[n]
}

// ForPAMZ returns the kind whose stock library reads deltas such as d: of version 0 that are
// big endian, the latest.
func ForPAMZ(d *pamz.Diff) *Kind {
	name := "3.0"
	switch d.Form {
	case pamz.Form{}:
		name = "1.0"
	case stock30.Form21:
		name = "2.1"
	}
	for _, k := range All {
		if k.Name == name {
			return k
		}
	}
	panic("devices: no kind " + name)
}
