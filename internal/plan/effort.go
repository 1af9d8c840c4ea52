// SPDX-License-Identifier: MIT

package plan

import (
	"swudelta/internal/bsdiff"
	"swudelta/internal/match"
)

// DefaultEffort is the level of effort that deltas are made with.
const DefaultEffort = 6

// efforts are the levels 0 to 9.
var efforts = [10]match.Effort{
	{Patch: bsdiff.Quickest, OldShare: 1, Quick: true},
	{Patch: bsdiff.Quick, OldShare: 1, Quick: true},
	{Patch: bsdiff.Quick, OldShare: 1},
	{Patch: bsdiff.Fast, OldShare: 1.2},
	{Patch: bsdiff.Fast, OldShare: 1.2},
	{Patch: bsdiff.Default, OldShare: 1.2},
	{Patch: bsdiff.Default, OldShare: 1.2},
	{Patch: bsdiff.Default, OldShare: 2},
	{Patch: bsdiff.Thorough, OldShare: 2},
	{Patch: bsdiff.Thorough, OldShare: 3},
}
