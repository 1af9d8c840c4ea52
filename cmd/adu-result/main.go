// SPDX-License-Identifier: MIT

// Adu-result tells what the result codes of a Device Update agent mean.
//
// Usage:
//
//	adu-result [--json] CODE ...
//
// CODE is a resultCode or an extendedResultCode in any notation, or several with
// commas between. Exit status 2 says that one of them is no such number.
//
//	$ adu-result 700 -1870659576
package main

import (
	"io"

	"swudelta/internal/result"
	"swudelta/internal/tool"
)

func main() { tool.Main(app) }

var app = &tool.Command{
	Name:    "adu-result",
	Usage:   "[--json] CODE ...",
	Summary: "Tell what a resultCode or extendedResultCode of a Device Update agent means.",
	Description: `
CODE is what the device twin, the portal or a log of the device shows: a signed or unsigned
decimal number, a hexadecimal one with 0x, 8 or (of 64 bits) 16 hexadecimal digits
without, or several of these with commas between, in quotes and brackets or not.

A resultCode is a small decimal number, a success if it is positive. An extendedResultCode
has a facility (4 bits), a component (8 bits) and a code (20 bits). Facility 9 is the one
of deltas; component 0A in it passes on an error of the delta processor. What the log of
Delivery Optimization shows, such as 80D02002, is an HRESULT; the agent reports it with a
D as the first digit.

Where a CODE can be more than one thing, what means something is shown: 700 is a
resultCode, since there is no such extended one, and 30100007 is hexadecimal, since the
decimal number means nothing. If both mean something, as with 1, both are shown. Eight
digits that start with 0, or stand in a list of such, are hexadecimal. A positive decimal
number that means nothing while the negative one does is read as that, and a note says so.

A number that is not known is taken apart all the same. doc/troubleshooting.md starts
from what people see, and says what to do.`,
	Example: `
$ adu-result -1870659576
-1870659576: extendedResultCode 0x90800008 (signed -1870659576, unsigned 2424307720)
  name       ADUC_ERC_DDH_SOURCE_UPDATE_CACHE_MISS
  ...
$ adu-result 00000000,90A07539`,
	MinArgs:          1,
	MaxArgs:          -1,
	NegativeOperands: true,
	Flags: []tool.Flag{
		&tool.Bool{Name: "json", Help: "print a JSON array"},
	},
	Run: func(c *tool.Context) error {
		var codes []result.Decoded
		for _, arg := range c.Args() {
			list, err := result.Decode(arg)
			if err != nil {
				return tool.Usagef("%v", err)
			}
			codes = append(codes, list...)
		}
		return c.TextOutput(func(w io.Writer) error {
			if c.Bool("json") {
				return result.PrintJSON(w, codes)
			}
			return result.Print(w, codes)
		})
	},
}
