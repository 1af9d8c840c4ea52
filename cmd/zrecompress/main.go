// SPDX-License-Identifier: MIT

// Zrecompress rewrites a compressed stream in the form that a device will give
// it when it compresses the same content.
//
// Usage:
//
//	zrecompress [--to zstd|gzip|plain] [--device 1.0|2.1|3.0|native] [--libzstd FILE] [--device-libzstd VERSION] [INPUT]
//
// INPUT is gzip (any number of members), zstd (any number of frames), or taken
// as it is. Exit status 3 says that it is malformed, cut short, or compressed
// in another way (xz, bzip2, lz4).
package main

import (
	"fmt"
	"io"

	"swudelta/internal/codec"
	"swudelta/internal/device/devices"
	"swudelta/internal/fault"
	"swudelta/internal/tool"
	"swudelta/internal/zstdflag"
)

func main() { tool.Main(app) }

// forms are the names of what --to takes, and that of images which stay as they are.
var forms = map[codec.Kind]string{codec.KindZstd: "zstd", codec.KindGzip: "gzip", codec.KindPlain: "kept"}

var app = &tool.Command{
	Name:    "zrecompress",
	Usage:   "[--to zstd|gzip|plain] [--device " + devices.Names("|", "|") + "] [INPUT]",
	Summary: "Rewrite a gzip, zstd or uncompressed stream as the device would compress its content.",
	Description: `
A device rebuilds an image, compresses it, and compares hashes. So the compressed
image in an update must have the bytes that the device's own library writes:

  zstd    level 3, one worker, in the call sequence of the delta processor 1.0.
          The bytes differ between versions of libzstd: --device-libzstd says which
          the device has. Those of 1.4.8 and 1.5.0 are the same; so are those of
          1.5.2, 1.5.4, 1.5.5 and 1.5.6. Empty content gives an empty stream.
  gzip    level 9, memory level 9, no name, no time, as the delta processors 2.1 and 3.0 do.
          The system's zlib writes it.
  plain   no compression

The libzstd is: the one that --libzstd names; the one that came with the package; the
one that get-libzstd left in the user's cache folder; the system's, if its bytes are the
device's.

INPUT is gzip (any number of members), zstd (any number of frames), or anything
else, which is taken as it is. Other compressions (xz, bzip2, lz4) are refused. The
work is done in constant memory; a zstd frame may have a window of up to 128 MiB.`,
	Example: `
$ zrecompress -o rootfs.ext4.zst rootfs.ext4.gz
$ zrecompress --to plain rootfs.ext4.zst | cmp - rootfs.ext4`,
	MaxArgs: 1,
	Binary:  tool.Always,
	Flags: []tool.Flag{
		&tool.String{Name: "to", Arg: "zstd|gzip|plain", Help: "zstd, gzip or plain (default: zstd for device 1.0, gzip for 2.1 and 3.0)"},
		&tool.String{Name: "device", Arg: devices.Names("|", "|"), Value: devices.All[0].Name, Help: "what the device runs: " + devices.Help},
		&tool.Bool{Name: "devices", Help: "print what --device knows, the default first, and the form that images have for each; kept: as they are"},
		zstdflag.File(),
		zstdflag.DeviceVersion(),
	},
	Run: run,
}

func run(c *tool.Context) error {
	if c.Bool("devices") {
		return c.TextOutput(printDevices)
	}
	kind, err := devices.Parse(c.String("device"))
	if err != nil {
		return tool.Usagef("--device %v", err)
	}
	form := forms[kind.Form]
	if c.IsSet("to") {
		form = c.String("to")
	}
	if form == forms[codec.KindPlain] {
		return tool.Usagef("for device %s images stay as they are: --to says which form is wanted", kind.Name)
	}
	encode, err := encoder(c, form)
	if err != nil {
		return err
	}
	in, err := c.Input(0)
	if err != nil {
		return err
	}
	defer in.Close()
	return c.Output(func(w io.Writer) error {
		err := recompress(w, in, encode)
		if fault.IsData(err) {
			return fmt.Errorf("%s: %w", in.Name(), err)
		}
		return err
	})
}

// printDevices writes a line for each kind of device: its name, a blank, a form.
func printDevices(w io.Writer) error {
	for _, k := range devices.All {
		if _, err := fmt.Fprintln(w, k.Name, forms[k.Form]); err != nil {
			return err
		}
	}
	return nil
}

func recompress(dst io.Writer, src io.Reader, encode func(io.Writer) (io.WriteCloser, error)) error {
	content, _, err := codec.NewReader(src)
	if err != nil {
		return err
	}
	defer content.Close()
	w, err := encode(dst)
	if err != nil {
		return err
	}
	if _, err := io.Copy(w, content); err != nil {
		return err
	}
	return w.Close()
}

// encoder returns the constructor of the form's writer.
func encoder(c *tool.Context, form string) (func(io.Writer) (io.WriteCloser, error), error) {
	switch form {
	case "zstd":
		z, err := zstdflag.Open(c)
		if err != nil {
			return nil, err
		}
		return func(w io.Writer) (io.WriteCloser, error) { return z.NewCanonicalWriter(w, codec.CanonicalLevel) }, nil
	case "gzip":
		z, err := codec.OpenZlib("")
		if err != nil {
			return nil, err
		}
		c.Verbosef("zlib %s: %s", z.Version(), z.Path())
		return z.NewCanonicalWriter, nil
	case "plain":
		return func(w io.Writer) (io.WriteCloser, error) { return nopCloser{w}, nil }, nil
	}
	return nil, tool.Usagef("form %q: want zstd, gzip or plain", form)
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }
