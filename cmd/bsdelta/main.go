// SPDX-License-Identifier: MIT

// Bsdelta makes a delta that turns one SWU, image or file into another on a
// device, with a stock delta processor or with our library.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"time"

	"swudelta/internal/bsdiff"
	"swudelta/internal/bzip2"
	"swudelta/internal/device/devices"
	"swudelta/internal/digest"
	"swudelta/internal/fault"
	"swudelta/internal/layout"
	"swudelta/internal/plan"
	"swudelta/internal/progress"
	"swudelta/internal/tool"
	"swudelta/internal/zstdflag"
)

func main() { tool.Main(app) }

var app = &tool.Command{
	Name:    "bsdelta",
	Usage:   "[-o DELTA] [options] SOURCE TARGET",
	Summary: "Make a delta from SOURCE to TARGET.",
	Description: `
SOURCE and TARGET are SWUs, images, or any files; one of them may be standard
input. The members of SWUs are compared one by one, without their compression:
in SOURCE gzip and zstd are undone, in TARGET the compression that the device can
redo (zstd under profile 1.0, gzip under 2.1 and 3.0), if it is the canonical form that
zrecompress writes. The delta is a PAMZ file for the profile of the device.

With --device native it is a smaller one of our own format, which only devices with
our library apply. Compressed files are undone wherever they are in the images, and
redone by the device with the bytes that they had, in whatever way they were made.

It is written only after it was applied in memory and gave TARGET, and only if
it is smaller than TARGET.

--device-memory bounds the resident memory that a process needs to apply the
delta with the stock library; less memory makes a larger delta. --device-tmp
bounds the temporary space that it needs in /tmp; the delta becomes slightly larger.
--memory bounds the resident memory here: what cannot be done with it is refused
before the work begins, and where it is short, the delta becomes slightly larger.

A layout, made by extdump or by hand, tells what lies where in an image. It is a
hint: without one the content alone decides.`,
	Example: `
bsdelta -o update.delta source.swu target.swu
bsapply source.swu update.delta | cmp - target.swu`,
	Binary:  tool.Always,
	MinArgs: 2,
	MaxArgs: 2,
	Flags: []tool.Flag{
		&tool.String{Name: "format", Arg: "pamz|bsdiff40", Value: "pamz", Help: "pamz, or bsdiff40: one plain patch between the files as they are"},
		&tool.Level{Value: plan.DefaultEffort, Help: "fast ... small"},
		&tool.String{Name: "device", Arg: devices.Names("|", "|"), Value: devices.All[0].Name, Help: "what the device runs: " + devices.Help},
		&tool.Strings{Name: "source-layout", Arg: "[MEMBER=]FILE", Help: "layout of (a member of) SOURCE"},
		&tool.Strings{Name: "target-layout", Arg: "[MEMBER=]FILE", Help: "layout of (a member of) TARGET"},
		&tool.Size{Name: "device-memory", Value: plan.DefaultDeviceMemory, Help: "resident memory of the process that applies the delta"},
		&tool.Size{Name: "device-tmp", Help: "temporary space on the device; default: any"},
		&tool.Size{Name: "memory", Value: plan.DefaultMemory, Help: "resident memory to use here"},
		&tool.Int{Name: "jobs", Short: "j", Arg: "N", Help: "packs to work on at a time; default: one per processor; the delta is the same for any number"},
		zstdflag.File(),
		zstdflag.DeviceVersion(),
		&tool.String{Name: "summary", Arg: "FILE", Output: true, Help: "write there, as JSON, whether the delta was made or is not smaller than TARGET"},
		&tool.String{Name: "explain", Arg: "FILE", Output: true, Help: "write there what the delta consists of and why"},
	},
	Run: run,
}

const memoryHint = "allow more with --memory"

func run(c *tool.Context) error {
	kind, err := devices.Parse(c.String("device"))
	if err != nil {
		return tool.Usagef("--device %v", err)
	}
	source, err := c.InputAt(0)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := c.InputAt(1)
	if err != nil {
		return err
	}
	defer target.Close()
	switch f := c.String("format"); f {
	case "pamz":
	case "bsdiff40":
		return plain(c, source, target)
	default:
		return tool.Usagef("--format %q: want pamz or bsdiff40", f)
	}
	debug.SetMemoryLimit(max(plan.Heap(c.Size("memory")), 0))
	c.LimitMapped(plan.Mapped(c.Size("memory")), c.Size("memory"))
	o := plan.Options{
		DeviceMemory: c.Size("device-memory"),
		DeviceTmp:    c.Size("device-tmp"),
		Memory:       c.Size("memory"),
		Workers:      c.Int("jobs"),
		Load:         c.Load,
		Progress:     c.Progress(),
		Note:         func(s string) { c.Warnf("%s", s) },
	}
	if o.Effort, err = c.Level(); err != nil {
		return err
	}
	if o.SourceLayouts, err = layouts(c, "source-layout"); err != nil {
		return err
	}
	if o.TargetLayouts, err = layouts(c, "target-layout"); err != nil {
		return err
	}
	zstd, err := zstdflag.Open(c)
	if err != nil {
		return err
	}
	o.Device, err = kind.New(devices.Resources{Zstd: zstd, Load: c.Load, Scratch: c.Scratch, Workers: c.Int("jobs"), Memory: c.Size("device-memory")})
	if err != nil {
		return err
	}
	r, err := plan.Make(plan.Input{ReaderAt: source, Size: source.Size()}, plan.Input{ReaderAt: target, Size: target.Size()}, o)
	if err == nil || errors.Is(err, plan.ErrNotSmaller) {
		if err := writeSummary(c, r, target.Size(), err == nil); err != nil {
			return err
		}
	}
	if err != nil {
		err = fmt.Errorf("%s to %s: %w", source.Name(), target.Name(), err)
		if errors.Is(err, plan.ErrMemory) {
			err = tool.Hint(err, memoryHint)
		}
		return err
	}
	if path := c.String("explain"); path != "" {
		if err := c.WriteFile(path, r.Explain); err != nil {
			return err
		}
	}
	c.Verbosef("%d bytes, %.2f %% of the target; the device needs %d MiB of memory and %d MiB of temporary space",
		len(r.Delta), 100*float64(len(r.Delta))/float64(target.Size()), r.DeviceMemory>>20, r.DeviceTmp>>20)
	if r.DeviceClosing > 0 {
		c.Verbosef("closing what is compressed in the target takes it about %d s of processor time, %d s of that for images",
			seconds(r.DeviceClosing), seconds(r.ImageClosing))
	}
	return c.Output(func(w io.Writer) error {
		_, err := w.Write(r.Delta)
		return err
	})
}

// seconds rounds up.
func seconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }

// writeSummary writes the file that --summary names: one line of JSON with the
// keys of the manual page, in its order, without blanks.
func writeSummary(c *tool.Context, r *plan.Result, target int64, made bool) error {
	path := c.String("summary")
	if path == "" {
		return nil
	}
	s := struct {
		Result       string `json:"result"`
		Bytes        int    `json:"bytes"`
		Target       int64  `json:"target"`
		DeviceMemory int64  `json:"deviceMemory"`
		DeviceTmp    int64  `json:"deviceTmp"`
		Closing      int64  `json:"deviceClosing"`
		ImageClosing int64  `json:"imageClosing"`
	}{"made", len(r.Delta), target, r.DeviceMemory, r.DeviceTmp, seconds(r.DeviceClosing), seconds(r.ImageClosing)}
	if !made {
		s.Result = "not-smaller"
	}
	return c.WriteFile(path, func(w io.Writer) error { return json.NewEncoder(w).Encode(s) })
}

// plain writes a BSDIFF40 patch, for appliers of bsdiff(1).
func plain(c *tool.Context, source, target *tool.File) error {
	var sides [2][]byte
	stage := c.Progress().Start("read", progress.Bytes, source.Size()+target.Size())
	for i, f := range []*tool.File{source, target} {
		if f.Size() > bsdiff.MaxSize {
			return fault.Dataf("%s: %d bytes, more than a patch is made for (%d)", f.Name(), f.Size(), bsdiff.MaxSize)
		}
		var err error
		if sides[i], err = c.Load(io.NewSectionReader(stage.ReaderAt(f), 0, f.Size())); err != nil {
			return err
		}
	}
	need := bsdiff.Default.Memory(len(sides[0]), len(sides[0]), len(sides[1]))
	if memory := plan.Heap(c.Size("memory")); c.IsSet("memory") && need > memory {
		return tool.Hint(fmt.Errorf("%w: a patch takes %d bytes, and there are %d", plan.ErrMemory, need, max(memory, 0)), memoryHint)
	}
	stage = c.Progress().Start("match", progress.Bytes, source.Size()+target.Size())
	found := bsdiff.Diff(sides[0], sides[1], bsdiff.Options{Progress: stage.Add})
	c.Progress().Start("code", progress.Bytes, 0)
	var patch bytes.Buffer
	_, err := found.Encode(&patch,
		func(dst io.Writer, src []byte) error { return bzip2.Encode(dst, src, runtime.GOMAXPROCS(0)) })
	if err != nil {
		return err
	}
	// Applied as it will be elsewhere, not as it is in memory.
	stage = c.Progress().Start("verify", progress.Bytes, target.Size())
	made := digest.NewWriter(io.Discard)
	err = bsdiff.Apply(stage.Writer(made), bytes.NewReader(sides[0]), int64(len(sides[0])), bytes.NewReader(patch.Bytes()), int64(patch.Len()), int64(len(sides[1])))
	if err == nil {
		err = digest.Check(made.Sum(), digest.Sum(sides[1]))
	}
	if err != nil {
		return fmt.Errorf("try the new patch: %w", err)
	}
	return c.Output(func(w io.Writer) error {
		_, err := w.Write(patch.Bytes())
		return err
	})
}

// layouts reads the layout files that a flag names, by member.
func layouts(c *tool.Context, flag string) (map[string]*layout.Layout, error) {
	list, err := layout.ByMember(c.Strings(flag), func(path string) (io.ReadCloser, error) { return c.Open(path) })
	if errors.Is(err, layout.ErrTwice) {
		err = tool.Usagef("--%s: %v", flag, err)
	}
	return list, err
}
