// SPDX-License-Identifier: MIT

// Bsdump shows what a delta is made of.
//
// Usage:
//
//	bsdump [--check 1.0|2.1|3.0|native] [--top N] [--report FILE [--target FILE]] [DELTA]
//
// DELTA is a PAMZ file, a native delta, or a BSDIFF40 patch; the product is JSON. With --check the
// rules of a device profile that it breaks go to standard error, one a line, and
// the exit status is 3 if there are any. Exit status 3 also says that DELTA is
// malformed or cut short.
package main

import (
	"encoding/json"
	"fmt"
	"io"

	"swudelta/internal/apply"
	"swudelta/internal/bsdiff"
	"swudelta/internal/device"
	"swudelta/internal/device/devices"
	"swudelta/internal/device/stocklib"
	"swudelta/internal/fault"
	"swudelta/internal/native"
	"swudelta/internal/pamz"
	"swudelta/internal/tool"
)

func main() { tool.Main(app) }

var app = &tool.Command{
	Name:    "bsdump",
	Usage:   "[--check " + devices.Names("|", "|") + "] [--top N] [--report FILE] [--target FILE] [DELTA]",
	Summary: "Show the structure of a delta as JSON, or where its bytes go.",
	Description: `
For each delta, and each delta inside it, there are target and source, the bytes of
each part of the file, what each kind of recipe takes and makes, and the chunks with
what they are made of. "device" is what applying it will cost a device with the stock
library of the generation it is made for: resident memory and space in /tmp, in bytes.
doc/format.md describes the recipes. Of a delta of our own format (bsdelta --device
native) there are the header, the bytes of each section, the streams of the source and
the segments of the target.

With --check the delta is held against the rules of a device profile. Each rule that
it breaks is a line on standard error, and the exit status is 3. Whether it makes the
right target is for bsapply to say.

With --report or --top there is no JSON. --report writes a page for a browser, which needs
nothing else: the bytes of the delta by part of the file and by what they are for, a map of
the target, a treemap of what each file of the target costs, the dearest twenty with the
reason, and what the device needs. --top prints the same as text, with the N dearest. Files have
names if --target gives the target, or --target-layout what lies where in it; else ranges
of the target stand in their place. What a file costs is an estimate, since streams are
compressed as a whole; the sums are exact.`,
	Example: `
$ bsdump update.diff | jq .bytes
$ bsdump update.diff | jq '.. | .delta?.recipes? // empty'
$ bsdump --report update.html --target target.swu update.diff
$ bsdump --top 10 --target target.swu update.diff
$ bsdump --check 1.0 update.diff > /dev/null && echo fit for the device`,
	MaxArgs: 1,
	Flags: []tool.Flag{
		&tool.String{Name: "check", Arg: devices.Names("|", "|"), Help: "hold the delta against the rules of a kind of device: " + devices.Help},
		&tool.String{Name: "report", Arg: "FILE", Output: true, Help: "write there, as a page for a browser, where the bytes of the delta go"},
		&tool.Int{Name: "top", Arg: "N", Help: "print where the bytes of the delta go, with the N dearest files"},
		&tool.String{Name: "target", Arg: "FILE", Help: "the target of the delta, for the names of its files"},
		&tool.Strings{Name: "target-layout", Arg: "[MEMBER=]FILE", Help: "layout of (a member of) the target, made by extdump"},
	},
	Run: run,
}

// dump is the product for a PAMZ file.
type dump struct {
	*pamz.Description
	Device cost `json:"device"`
}

// cost is what applying the delta takes on a device.
type cost struct {
	Profile string `json:"profile"`
	device.Cost
}

// patch is the product for a BSDIFF40 patch.
type patch struct {
	Format  string `json:"format"`
	Size    int64  `json:"size"`
	NewSize int64  `json:"new_size"`
	Control int64  `json:"control"`
	Diff    int64  `json:"diff"`
	Extra   int64  `json:"extra"`
}

func run(c *tool.Context) error {
	var kind *devices.Kind
	if c.IsSet("check") {
		var err error
		if kind, err = devices.Parse(c.String("check")); err != nil {
			return tool.Usagef("--check %v", err)
		}
	}
	in, err := c.InputAt(0)
	if err != nil {
		return err
	}
	defer in.Close()
	product, violations, err := describe(in, kind)
	if err != nil {
		return fmt.Errorf("%s: %w", in.Name(), err)
	}
	if c.IsSet("report") || c.IsSet("top") {
		err = show(c, in, product)
	} else {
		err = c.TextOutput(func(w io.Writer) error {
			enc := json.NewEncoder(w)
			enc.SetIndent("", " ")
			return enc.Encode(product)
		})
	}
	if err != nil || len(violations) == 0 {
		return err
	}
	for _, v := range violations {
		fmt.Fprintf(c.Stderr(), "%s: %v\n", in.Name(), v)
	}
	return fault.Dataf("%s: not fit for devices of profile %s: rules broken: %d", in.Name(), kind.Name, len(violations))
}

func describe(in *tool.File, kind *devices.Kind) (product any, violations []stocklib.Violation, err error) {
	if bsdiff.IsPatch(in) {
		h, err := bsdiff.Parse(in, in.Size())
		if err != nil {
			return nil, nil, err
		}
		if kind != nil {
			violations = []stocklib.Violation{{Rule: "a bare BSDIFF40 patch, which the delta processor does not read"}}
		}
		return patch{"bsdiff40", in.Size(), h.NewSize, h.Control, h.Diff, in.Size() - 32 - h.Control - h.Diff}, violations, nil
	}
	if native.IsDelta(in) {
		d, err := native.Open(in, in.Size())
		if err != nil {
			return nil, nil, err
		}
		if kind != nil && kind.Check != nil {
			violations = []stocklib.Violation{{Rule: "a delta of our own format, which the stock delta processor does not read"}}
		}
		description, err := d.Describe()
		return description, violations, err
	}
	d, err := pamz.Decode(in, in.Size())
	if err != nil {
		return nil, nil, err
	}
	description, err := d.Describe(apply.NewViewer())
	if err != nil {
		return nil, nil, err
	}
	as := kind
	if kind == nil || kind.Check == nil {
		as = devices.ForPAMZ(d)
	}
	predicted, violations, err := as.Check(d)
	if err != nil {
		return nil, nil, err
	}
	if as != kind {
		violations = nil
	}
	return dump{description, cost{as.Name, predicted}}, violations, nil
}
