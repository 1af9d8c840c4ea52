// SPDX-License-Identifier: MIT

package main

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"swudelta/internal/codec"
	"swudelta/internal/content"
	"swudelta/internal/digest"
	"swudelta/internal/fault"
	"swudelta/internal/layout"
	"swudelta/internal/native"
	"swudelta/internal/pamz"
	"swudelta/internal/progress"
	"swudelta/internal/report"
	"swudelta/internal/tool"
)

// show writes what --report and --top ask for.
func show(c *tool.Context, in *tool.File, product any) error {
	if c.Int("top") < 0 {
		return tool.Usagef("--top %d: want a number of files", c.Int("top"))
	}
	r, err := trace(in, product)
	if err == nil {
		r.Name = filepath.Base(in.Name())
		err = name(c, r)
	}
	if tool.IsUsage(err) {
		return err
	}
	if err != nil {
		return fmt.Errorf("%s: %w", in.Name(), err)
	}
	if path := c.String("report"); path != "" {
		if err := c.WriteFile(path, r.WriteHTML); err != nil {
			return err
		}
	}
	if c.IsSet("top") {
		return c.TextOutput(func(w io.Writer) error { return r.WriteText(w, c.Int("top")) })
	}
	return nil
}

// trace makes the report of a delta that was described.
func trace(in *tool.File, product any) (*report.Report, error) {
	switch p := product.(type) {
	case dump:
		d, err := pamz.Decode(in, in.Size())
		if err != nil {
			return nil, err
		}
		r, err := report.PAMZ(d, in.Size())
		if err != nil {
			return nil, err
		}
		r.Memory, r.Tmp = p.Device.Memory, p.Device.Tmp
		r.Needs = "the stock library of profile " + p.Device.Profile
		return r, nil
	case *native.Description:
		d, err := native.Open(in, in.Size())
		if err != nil {
			return nil, err
		}
		return report.Native(d)
	}
	return nil, fault.Dataf("a bare BSDIFF40 patch has no report")
}

// name gives the members of the target their names, and layouts.
func name(c *tool.Context, r *report.Report) error {
	given, err := layout.ByMember(c.Strings("target-layout"), func(path string) (io.ReadCloser, error) { return c.Open(path) })
	if errors.Is(err, layout.ErrTwice) {
		err = tool.Usagef("--target-layout: %v", err)
	}
	if err != nil {
		return err
	}
	if c.IsSet("target") {
		return nameByTarget(c, r, given)
	}
	for member, l := range given {
		found := false
		for _, m := range r.Members {
			if m.Size == l.Size && m.Layout == nil {
				m.Layout, found = l, true
				if member != "" {
					m.Name = member
				}
			}
		}
		if !found {
			c.Warnf("the layout of %q is for an image of %d bytes, which the target has not: left out", member, l.Size)
		}
	}
	return nil
}

// leastImage is the size of content, in bytes, below which no layout is looked for.
const leastImage = 64 << 10

// nameByTarget looks into the target for the names of its members, and of the files in them.
func nameByTarget(c *tool.Context, r *report.Report, given map[string]*layout.Layout) error {
	f, err := c.OpenAt(c.String("target"))
	if err != nil {
		return err
	}
	defer f.Close()
	stage := c.Progress().Start("target", progress.Bytes, 2*f.Size())
	in := content.Input{ReaderAt: stage.ReaderAt(f), Size: f.Size()}
	sum, _, err := digest.SumReader(io.NewSectionReader(in, 0, in.Size))
	if err != nil {
		return err
	}
	if f.Size() != r.Target.Length || sum.Hex() != r.Target.SHA256 {
		return fault.Dataf("%s is not its target", f.Name())
	}
	members, err := content.Members(in)
	if err != nil {
		return fmt.Errorf("%s: %w", f.Name(), err)
	}
	o := content.Options{Load: c.Load, MaxWindow: codec.MaxWindow, Note: func(s string) { c.Warnf("%s", s) }}
	for _, member := range members {
		label := member.Name
		if label == "" {
			label = filepath.Base(f.Name())
		}
		m := r.Label(member.Off, member.Len, label)
		if m == nil || m.Size < leastImage {
			continue
		}
		view, err := o.Opened(member)
		if err == nil && view == nil {
			view, err = o.Stored(member)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", f.Name(), err)
		}
		for _, l := range o.Layouts(view, given, "target") {
			if l != nil && l.Size == m.Size {
				m.Layout = l
			}
		}
	}
	stage.End()
	return nil
}
