// SPDX-License-Identifier: MIT

// Release-deltas makes everything to publish for one release: the recompressed
// target, a delta from each source, the import manifest, and a table.
//
// Usage:
//
//	release-deltas [options] -o DIR [NAME=]TARGET [[NAME=]SOURCE ...]
//	release-deltas --rank FULL TABLE
//
// app.Description says how. A source without a smaller delta is no error.
//
//	$ release-deltas -o out --provider Contoso --name Gateway --version 3.0 \
//	    --compat manufacturer=Contoso,model=GW-100 gw-3.0.swu old/gw-*.swu
package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"

	"swudelta/internal/codec"
	"swudelta/internal/device/devices"
	"swudelta/internal/fault"
	"swudelta/internal/release"
	"swudelta/internal/tool"
)

func main() { tool.Main(app) }

// manifestFlags are those of adu-manifest that describe an update. They are passed on.
var manifestFlags = []tool.Flag{
	&tool.String{Name: "provider", Arg: "P", Help: "of the manifest: who makes the update"},
	&tool.String{Name: "name", Arg: "N", Help: "of the manifest: what is updated"},
	&tool.String{Name: "version", Arg: "V", Help: "of the manifest: version of the update"},
	&tool.Strings{Name: "compat", Arg: "KEY=VALUE,...", Help: "of the manifest: the devices that it is for; may be repeated"},
	&tool.String{Name: "config", Arg: "FILE", Help: "of the manifest: its description (JSON)"},
	&tool.String{Name: "update-provider", Arg: "P", Help: "--provider, as the Azure CLI calls it"},
	&tool.String{Name: "update-name", Arg: "N", Help: "--name, as the Azure CLI calls it"},
	&tool.String{Name: "update-version", Arg: "V", Help: "--version, as the Azure CLI calls it"},
	&tool.String{Name: "description", Arg: "TEXT", Help: "as adu-manifest has it"},
	&tool.String{Name: "is-deployable", Arg: "true|false", Help: "as adu-manifest has it"},
	&tool.String{Name: "installed-criteria", Arg: "S", Help: "as adu-manifest has it"},
	&tool.String{Name: "script", Arg: "FILE", Help: "as adu-manifest has it"},
	&tool.String{Name: "handler", Arg: "ID", Help: "as adu-manifest has it"},
	&tool.Strings{Name: "property", Arg: "KEY=VALUE", Help: "as adu-manifest has it; may be repeated"},
	&tool.String{Name: "created", Arg: "TIME", Help: "as adu-manifest has it"},
	&tool.Strings{Name: "source-manifest", Arg: "FILE", Help: "as adu-manifest has it; may be repeated"},
}

var app = &tool.Command{
	Name:    "release-deltas",
	Usage:   "[options] -o DIR [NAME=]TARGET [[NAME=]SOURCE ...] | --rank FULL TABLE",
	Summary: "Make everything to publish for one release.",
	Description: `
DIR gets what a release consists of:

  TARGET-recompressed.swu   the target as devices rebuild it, made once
  SOURCE-to-TARGET.diff     a delta from each source SWU that gives a smaller file; where
                            --device is repeated, SOURCE-to-TARGET.DEVICE.diff
  summary.tsv               what each delta costs and saves
  upload/                   the import manifest and the files that it names

NAME is what a file is called there; default: its file name without .swu. Work that
was done in DIR from the same content with the same options and tools is not done
again, but what is damaged is made anew. doc/scale.md: more machines, more sources. The
manifest is made if one of its flags is given.

With --device native alone TARGET is published as it is. With native and another the
target is recompressed as the other wants it, and each source has two deltas: devices
take the first that they can read. A stock device downloads the native one before it
refuses it, and then its own.

An update has at most four deltas. For more sources --devices is needed: the four
that save most bytes, devices x (full - delta), go into the manifest.

TABLE has a line for each source: NAME (or file) and number of devices, with a tab
or comma between. A first line that is a heading, empty lines and lines that start
with # are passed over.

--rank needs no SWU: it prints the TABLE, whose third column may be the bytes of
the delta, by what each delta saves when the full image has FULL bytes. Without
that column it ranks by what could be saved at most. The last column says which
update would carry the delta, if there was one for every four.

A source without a smaller delta is no error.`,
	Example: `
release-deltas -o out --sign 'sign-ota' --provider Contoso --name Gateway --version 3.0 \
  --compat manufacturer=Contoso,model=GW-100 --script gw-update.sh gw-3.0.swu old/gw-*.swu`,
	MaxArgs:   -1,
	OutputDir: true,
	Flags: append([]tool.Flag{
		&tool.Size{Name: "memory", Help: "memory for all deltas together; default: half of what is free"},
		&tool.Int{Name: "jobs", Arg: "N", Help: "deltas to make at a time, each with its part of the memory; default: one per processor, but no more than have 512 MiB and 8 times the size of the target each"},
		&tool.String{Name: "devices", Arg: "TABLE", Help: "how many devices run each source"},
		&tool.Bool{Name: "all", Help: "with --devices: make also the deltas that cannot be among the four that save most"},
		&tool.Bool{Name: "as-is", Help: "TARGET is recompressed already"},
		&tool.Bool{Name: "deltas-only", Help: "no summary and no manifest: one step of a larger run"},
		&tool.Size{Name: "rank", Arg: "FULL", Help: "rank the sources in TABLE"},
		&tool.String{Name: "sign", Arg: "COMMAND", Help: "sign the changed sw-description: the shell runs COMMAND with its path as last argument, and it must create PATH.sig"},
		&tool.String{Name: "cert", Arg: "CERT", Help: "verify the new signature with this certificate or public key"},
		&tool.Strings{Name: "device", Arg: devices.Names("|", "|"), Help: "what devices run, as DiffGenTool has it; repeated: a delta for each, and the manifest has the native ones first"},
		&tool.String{Name: "recompress", Arg: "zstd|gzip|none", Help: "how images are stored: zstd, gzip or none"},
		&tool.String{Name: "libzstd", Arg: "FILE", Help: "libzstd to use"},
		&tool.String{Name: "device-libzstd", Arg: "VERSION", Help: "libzstd of the devices"},
		&tool.Size{Name: "device-memory", Help: "memory for applying a delta on a device"},
		&tool.Size{Name: "device-tmp", Help: "temporary space for applying it on a device"},
	}, manifestFlags...),
	Run: run,
}

func run(c *tool.Context) error {
	if c.IsSet("rank") {
		return rank(c)
	}
	o, err := options(c)
	if err != nil {
		return err
	}
	err = release.Make(o)
	var child *release.ChildError
	if !errors.As(err, &child) {
		return err
	}
	switch child.Status {
	case 2:
		return tool.Hint(tool.Usagef("%v", err), "%s has said what it does not take", child.Program)
	case 3:
		return fault.Data(err)
	}
	return err
}

func usage(format string, args ...any) error {
	return tool.Hint(tool.Usagef(format, args...), "release-deltas --help describes the operands")
}

// rank prints a table by what its deltas save.
func rank(c *tool.Context) error {
	if n := len(c.Args()); n != 1 {
		return usage("--rank FULL: got %d operands, want one: TABLE", n)
	}
	rows, err := readTable(c, c.Arg(0))
	if err != nil {
		return err
	}
	return release.WriteRanked(os.Stdout, release.Rank(rows, c.Size("rank")))
}

func readTable(c *tool.Context, path string) ([]release.Row, error) {
	in, err := c.Open(path)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	rows, err := release.ReadTable(in)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return rows, nil
}

// options reads flags and operands, and refuses what cannot work before it begins.
func options(c *tool.Context) (release.Options, error) {
	o := release.Options{
		Dir:        c.String("output"),
		AsIs:       c.Bool("as-is"),
		DeltasOnly: c.Bool("deltas-only"),
		All:        c.Bool("all"),
		Sign:       c.String("sign"),
		KeepTime:   !c.IsSet("created"),
		Flags: release.Flags{
			Recompress: given(c, "recompress", "device-libzstd", "cert"),
			Delta:      given(c, "device-libzstd", "device-memory", "device-tmp"),
			Manifest:   given(c, names(manifestFlags)...),
			Libzstd:    c.String("libzstd"),
			Quiet:      c.Quiet(),
		},
		Memory: c.Size("memory"),
		Jobs:   c.Int("jobs"),
		Tools:  tools(c),
	}
	switch {
	case len(c.Args()) == 0:
		return o, usage("got no operand, want TARGET and SOURCEs")
	case o.Dir == "":
		return o, usage("-o DIR is missing")
	case c.IsSet("jobs") && o.Jobs < 1:
		return o, usage("--jobs \"%d\": want a number from 1 on", o.Jobs)
	case c.IsSet("cert") && o.Sign == "":
		return o, usage("--cert goes with --sign")
	case o.AsIs && o.Sign != "":
		return o, usage("--sign: with --as-is nothing is signed")
	}
	if err := kinds(c, &o); err != nil {
		return o, err
	}
	paths := map[string]string{}
	for i, operand := range c.Args() {
		f, err := release.ParseFile(operand)
		if err != nil {
			return o, usage("%v", err)
		}
		switch info, err := os.Stat(f.Path); {
		case errors.Is(err, fs.ErrNotExist):
			return o, fmt.Errorf("%s: no such file", f.Path)
		case err != nil:
			return o, err
		case !info.Mode().IsRegular():
			return o, fmt.Errorf("%s: not a regular file", f.Path)
		}
		if i == 0 {
			o.Target = f
			continue
		}
		if other := paths[f.Name]; other != "" {
			return o, usage("%s and %s are both called %s: name them, as in OTHER=%s", f.Path, other, f.Name, f.Path)
		}
		paths[f.Name] = f.Path
		o.Sources = append(o.Sources, f)
	}
	if full := o.FullPath(); !o.AsIs && sameFile(full, o.Target.Path) {
		return o, usage("%s is the input: --as-is says that it is recompressed already", full)
	}
	if len(o.Manifest) > 0 && !o.DeltasOnly && len(o.Sources)*len(o.Devices) > release.MaxDeltas && !c.IsSet("devices") {
		of := ""
		if len(o.Devices) > 1 {
			of = fmt.Sprintf(" for %d kinds of devices", len(o.Devices))
		}
		return o, usage("%d sources%s, and an update has at most four deltas: --devices TABLE says which serve most devices", len(o.Sources), of)
	}
	if path := c.String("devices"); path != "" {
		rows, err := readTable(c, path)
		if err != nil {
			return o, err
		}
		if o.DeviceCounts, err = release.Devices(o.Sources, rows); err != nil {
			return o, fmt.Errorf("%s: %w", path, err)
		}
	}
	return o, nil
}

// kinds reads --device: which kinds of devices get deltas, the native one first, and with
// it how the target stores images, which is one way for all.
func kinds(c *tool.Context, o *release.Options) error {
	values := c.Values("device")
	if len(values) == 0 {
		values = []string{devices.All[0].Name}
	}
	var stock *devices.Kind
	for i, name := range values {
		kind, err := devices.Parse(name)
		switch {
		case err != nil:
			return usage("--device %v", err)
		case slices.Contains(values[:i], name):
			return usage("--device %s is given twice", name)
		case kind.Form == codec.KindPlain:
			o.Devices = slices.Insert(o.Devices, 0, name)
			continue
		case stock != nil && stock.Form != kind.Form && c.String("recompress") != "none" && !o.AsIs:
			return tool.Hint(usage("--device %s and %s: they compress images in different ways, and an update has one target", stock.Name, name),
				"with --recompress none both can be served, or make two updates")
		}
		stock = kind
		o.Devices = append(o.Devices, name)
	}
	switch {
	case stock != nil:
		o.Recompress = append(o.Recompress, "--device", stock.Name)
	case c.IsSet("recompress"):
		o.Recompress = append(o.Recompress, "--device", o.Devices[0])
	case o.Sign != "":
		return usage("--sign: native devices take the target as it is, with its signature")
	default:
		o.AsIs = true
	}
	return nil
}

func sameFile(a, b string) bool {
	x, errX := os.Stat(a)
	y, errY := os.Stat(b)
	return errX == nil && errY == nil && os.SameFile(x, y)
}

func names(flags []tool.Flag) []string {
	var list []string
	for _, f := range flags {
		switch f := f.(type) {
		case *tool.String:
			list = append(list, f.Name)
		case *tool.Strings:
			list = append(list, f.Name)
		}
	}
	return list
}

// given returns those of some flags that were given, with their values, as arguments.
func given(c *tool.Context, names ...string) []string {
	var args []string
	for _, name := range names {
		if !c.IsSet(name) {
			continue
		}
		for _, value := range c.Values(name) {
			args = append(args, "--"+name, value)
		}
	}
	return args
}

// tools says what the process does for package release.
func tools(c *tool.Context) release.Tools {
	var mu sync.Mutex // several deltas are made at a time
	locked := func(print func(string)) func(string) {
		return func(s string) {
			mu.Lock()
			defer mu.Unlock()
			print(s)
		}
	}
	return release.Tools{
		Run:      c.RunChild,
		Share:    c.ShareProgress,
		Follow:   c.FollowProgress,
		Progress: c.Progress(),
		Say: locked(func(s string) {
			if !c.Quiet() {
				c.Println(s)
			}
		}),
		Warn: locked(func(s string) { c.Warnf("%s", s) }),
		Fail: locked(func(s string) { c.Failf("%s", s) }),
	}
}
