// SPDX-License-Identifier: MIT

// Package processor knows the generations of the device's delta processor
// (libadudiffapi.so): which forms of deltas each reads, and how to find out which one a
// library is. A library says its version nowhere, so it is given small deltas of each form.
package processor

import (
	"slices"

	"swudelta/internal/pamz"
)

// Generation is one of the delta processor.
type Generation struct {
	Name    string
	Profile string      // of deltas for it, as --device of other tools has it; "any", or "none"
	Forms   []pamz.Form // that it reads; nil: all, and what is no PAMZ file
}

// Ours is the library of this project.
var Ours = Generation{Name: "swudelta", Profile: "any"}

// Stock are the generations of the stock library, as builds of them were tried
// (doc/format.md). Those of 2.0 read deltas, but not all that tools of this project can
// write in their form.
var Stock = []Generation{
	{"1.0", "1.0", []pamz.Form{{Version: 0, Order: pamz.LittleEndian}}},
	{"2.0", "none", []pamz.Form{{Version: 0, Order: pamz.LittleEndian}, {Version: 1, Order: pamz.LittleEndian}}},
	{"2.1", "2.1", []pamz.Form{{Version: 0, Order: pamz.BigEndian}, {Version: 1, Order: pamz.BigEndian}}},
	{"3.0", "3.0", []pamz.Form{{Version: 0, Order: pamz.BigEndian}, {Version: 2, Order: pamz.BigEndian}}},
}

// Reads reports whether the library reads deltas of a form.
func (g Generation) Reads(f pamz.Form) bool { return g.Forms == nil || slices.Contains(g.Forms, f) }
