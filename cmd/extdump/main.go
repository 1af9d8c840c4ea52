// SPDX-License-Identifier: MIT

// Extdump tells what lies where in an ext2, ext3 or ext4 image.
//
// Usage:
//
//	extdump [-o OUTPUT] [--format layout|dumpextfs] [IMAGE]
//
// It reads IMAGE, or standard input, and writes JSON: every file with its extents
// and digest, metadata, free space (doc/layout.md). Exit status: 0 done, 1 failure
// outside the data, 2 usage, 3 the image is damaged or no ext file system.
//
//	extdump rootfs.ext4 | jq -r '.files[] | [.sha256, .path] | @tsv'
package main

import (
	"fmt"
	"io"

	"swudelta/internal/extfs"
	"swudelta/internal/progress"
	"swudelta/internal/tool"
)

func main() { tool.Main(app) }

var app = &tool.Command{
	Name:    "extdump",
	Usage:   "[-o OUTPUT] [--format layout|dumpextfs] [IMAGE]",
	Summary: "Tell what lies where in an ext2, ext3 or ext4 image.",
	Description: `
IMAGE is read at random: a pipe is first copied to TMPDIR. It is not mounted and
not changed. The output is JSON: every file with the places and the digest of
its contents, metadata, free space. doc/layout.md describes it; bsdelta reads it.

With --format dumpextfs the output has the form that the dumpextfs of
Microsoft's delta generator 1.0.1 has, always as valid JSON.`,
	Example: `
extdump rootfs.ext4 | jq -r '.files[] | [.sha256, .path] | @tsv'
extdump -o rootfs.layout.json rootfs.ext4`,
	MaxArgs: 1,
	Flags: []tool.Flag{
		&tool.String{Name: "format", Arg: "layout|dumpextfs", Value: "layout", Help: "layout or dumpextfs"},
	},
	Run: run,
}

func run(c *tool.Context) error {
	format := c.String("format")
	if format != "layout" && format != "dumpextfs" {
		return tool.Usagef("--format %q: want layout or dumpextfs", format)
	}
	image, err := c.InputAt(0)
	if err != nil {
		return err
	}
	defer image.Close()
	in := c.Progress().Start("read", progress.Bytes, image.Size()).ReaderAt(image)
	opt := extfs.Options{Warn: func(format string, args ...any) {
		c.Warnf("%s: %s", image.Name(), fmt.Sprintf(format, args...))
	}}
	write := func(w io.Writer) error { return extfs.WriteDumpextfs(w, in, image.Size(), opt) }
	if format == "layout" {
		l, err := extfs.Scan(in, image.Size(), opt)
		if err != nil {
			return fmt.Errorf("%s: %w", image.Name(), err)
		}
		write = l.Write
	}
	if err := c.TextOutput(write); err != nil {
		return fmt.Errorf("%s: %w", image.Name(), err)
	}
	return nil
}
