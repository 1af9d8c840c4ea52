// SPDX-License-Identifier: MIT

// Swu-unpack takes a SWUpdate archive (SWU) apart.
//
// Usage:
//
//	swu-unpack [-C DIR] [-z] [--force] [SWU]    members into DIR, their list on stdout
//	swu-unpack --list [--json] [SWU]            what is in it
//	swu-unpack --member NAME [SWU]              the data of one member on stdout
//
// The list is what swu-pack reads; app.Description has its format. Exit status 3
// says that the archive is malformed, cut short, no SWU, or none that could be
// packed again byte for byte.
package main

import "swudelta/internal/tool"

func main() { tool.Main(app) }

const usage = "[-C DIR] [-z] [--force] [SWU] | --list [--json] [SWU] | --member NAME [SWU]"

var app = &tool.Command{
	Name:    "swu-unpack",
	Usage:   usage,
	Summary: "Take a SWUpdate archive apart: members into DIR, their list to standard output.",
	Description: `
The list is what swu-pack reads, and packing an untouched one gives the identical
archive. A line has the magic and the 13 header fields as stored, separated by
blanks, then a TAB and the name:

  MAGIC INO MODE UID GID NLINK MTIME FILESIZE DEVMAJOR DEVMINOR RDEVMAJOR RDEVMINOR
  NAMESIZE CHECK<TAB>NAME

The last line is that of the trailer, TRAILER!!!. It has one more field before the
TAB: the zeros after the trailer, beyond those that fill the archive up to a multiple
of 512 bytes, or "none" if not even those are there. In any line, a last field "+N" says
that N more NULs follow the one that ends the stored name.

DIR is created if it is missing. Nothing appears in DIR, and nothing is printed,
before the archive was read to its end and found whole. With --list and --member it
may be any cpio archive of the formats newc and crc. What is not a regular file is
kept in TMPDIR for --member.`,
	Example: `
$ swu-unpack -C new update.swu > list
$ cut -f 2- list
sw-description
sw-description.sig
rootfs.ext4.gz
TRAILER!!!
$ swu-pack -C new list | cmp - update.swu`,
	MaxArgs: 1,
	Binary:  func(c *tool.Context) bool { return c.IsSet("member") },
	Flags: []tool.Flag{
		&tool.String{Name: "directory", Short: "C", Arg: "DIR", Value: ".", Help: "write the members into DIR, which is created if missing"},
		&tool.Bool{Name: "z", Help: "end the lines of the list with NUL, not newline"},
		&tool.Bool{Name: "force", Help: "replace files in DIR"},
		&tool.Bool{Name: "list", Help: "describe the members, write none"},
		&tool.Bool{Name: "json", Help: "with --list: as JSON"},
		&tool.String{Name: "member", Arg: "NAME", Help: "write the data of one member to standard output"},
	},
	Run: run,
}

func run(c *tool.Context) error {
	list, member := c.Bool("list"), c.IsSet("member")
	extract := c.IsSet("directory") || c.Bool("z") || c.Bool("force")
	switch {
	case list && member || (list || member) && extract || c.Bool("json") && !list:
		return tool.Usagef("flags that do not go together, want %s", usage)
	case list:
		return describe(c)
	case member:
		return one(c)
	}
	return unpack(c)
}
