// SPDX-License-Identifier: MIT

package plan

import "swudelta/internal/bsdiff"

// DefaultEffort is the level of effort that deltas are made with.
const DefaultEffort = 6

// effort is what takes time and saves bytes.
type effort struct {
	match bsdiff.Effort
	fresh int // level of zstd for fresh bytes
	// oldShare is how much old side a pack may need for each byte of new side.
	oldShare float64
}

// efforts are the levels 0 to 9.
var efforts = [10]effort{
	{bsdiff.Fast, 3, 1},
	{bsdiff.Fast, 9, 1},
	{bsdiff.Fast, 12, 1},
	{bsdiff.Fast, 16, 1.2},
	{bsdiff.Fast, 19, 1.2},
	{bsdiff.Default, 19, 1.2},
	{bsdiff.Default, 22, 1.2},
	{bsdiff.Default, 22, 2},
	{bsdiff.Thorough, 22, 2},
	{bsdiff.Thorough, 22, 3},
}
