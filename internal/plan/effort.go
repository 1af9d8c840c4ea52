// SPDX-License-Identifier: MIT

package plan

import "swudelta/internal/bsdiff"

// DefaultEffort is the level of effort that deltas are made with.
const DefaultEffort = 6

// effort is what takes time and saves bytes.
type effort struct {
	match bsdiff.Effort
	fresh int // level of zstd for fresh bytes
	// copy is the shortest run of the old side, in bytes, that becomes an entry of
	// the table. An entry costs about 55 bytes, of which a digest of 32 cannot be
	// compressed; as a part of a pack the run costs next to nothing, but memory and
	// temporary space on the device, and time here.
	copy int
	// oldShare is how much old side a pack may need for each byte of new side.
	oldShare float64
}

// efforts are the levels 0 to 9.
var efforts = [10]effort{
	{bsdiff.Fast, 3, 16 << 10, 1},
	{bsdiff.Fast, 9, 16 << 10, 1},
	{bsdiff.Fast, 12, 32 << 10, 1},
	{bsdiff.Fast, 16, 64 << 10, 1.2},
	{bsdiff.Fast, 19, 128 << 10, 1.2},
	{bsdiff.Default, 19, 256 << 10, 1.2},
	{bsdiff.Default, 22, 512 << 10, 1.2},
	{bsdiff.Default, 22, 512 << 10, 2},
	{bsdiff.Thorough, 22, 512 << 10, 2},
	{bsdiff.Thorough, 22, 1 << 20, 3},
}
