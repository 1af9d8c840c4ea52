// SPDX-License-Identifier: MIT

package pamz

// For tests that make deltas, with a package that is above this one.
var (
	CheckNeed = checkNeed
	NeedZstd  = needZstd
	Scratch   = scratch
)
