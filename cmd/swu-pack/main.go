// SPDX-License-Identifier: MIT

// Swu-pack makes a SWUpdate archive (SWU) of files.
//
// Usage:
//
//	swu-pack [-C DIR] [-z] [LIST]
//
// LIST is what swu-unpack printed, or plain names; app.Description says more. Exit
// status 3 says that the list is malformed or asks for what swupdate does not read.
package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"swudelta/internal/progress"
	"swudelta/internal/swu"
	"swudelta/internal/tool"
)

func main() { tool.Main(app) }

var app = &tool.Command{
	Name:    "swu-pack",
	Usage:   "[-C DIR] [-z] [LIST]",
	Summary: "Make a SWUpdate archive of the files in DIR that LIST names, in its order.",
	Description: `
A line of LIST is one that swu-unpack printed (magic and 13 header fields, a TAB, the
name), or the name of a new member alone. Sizes and checksums are made anew, all else
is written as it is: an untouched archive comes out byte for byte. New members have the
format crc, the place in the list as inode number, mode 0100644, owner root, and as
time 0 or SOURCE_DATE_EPOCH.

Without the line of the trailer, the trailer is that of GNU cpio, and zeros fill the
archive up to a multiple of 512 bytes. The first member must be sw-description, and
sw-description.sig, if there is one, should be the second; there is a warning where DIR
has one that LIST does not name. Every file is read twice, for its checksum and for its
data.`,
	Example: `
$ printf '%s\n' sw-description sw-description.sig rootfs.ext4.zst | swu-pack -o update.swu`,
	MaxArgs: 1,
	Binary:  tool.Always,
	Flags: []tool.Flag{
		&tool.String{Name: "directory", Short: "C", Arg: "DIR", Value: ".", Help: "read the members from DIR"},
		&tool.Bool{Name: "z", Help: "the lines of LIST end with NUL, not newline"},
	},
	Run: run,
}

func run(c *tool.Context) error {
	in, err := c.Input(0)
	if err != nil {
		return err
	}
	defer in.Close()
	mtime, err := epoch()
	if err != nil {
		return err
	}
	delim := byte('\n')
	if c.Bool("z") {
		delim = 0
	}
	a, err := swu.ReadList(in, delim, mtime)
	if err != nil {
		return fmt.Errorf("%s: %w", in.Name(), err)
	}
	for _, w := range a.Warnings() {
		c.Warnf("%s: %s", in.Name(), w)
	}
	dir := c.String("directory")
	if a.Member(swu.Signature) == nil {
		if _, err := os.Stat(filepath.Join(dir, swu.Signature)); err == nil {
			c.Warnf("%s: does not name %q, which is in %s: the archive will have no signature", in.Name(), swu.Signature, dir)
		}
	}
	if err := swu.Measure(dir, a); err != nil {
		return err
	}
	var total int64
	for _, h := range a.Members {
		total += h.Size
		c.Verbosef("%s: %d bytes", h.Name, h.Size)
	}
	stage := c.Progress().Start("pack", progress.Bytes, total)
	return c.Output(func(w io.Writer) error {
		return swu.Pack(stage.Writer(w), dir, a)
	})
}

// epoch returns the time that new members get.
func epoch() (uint32, error) {
	s := os.Getenv("SOURCE_DATE_EPOCH")
	if s == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		return 0, tool.Usagef("SOURCE_DATE_EPOCH is %q, want seconds since 1970, at most %d", s, uint32(1<<32-1))
	}
	return uint32(n), nil
}
