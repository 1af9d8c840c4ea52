// SPDX-License-Identifier: MIT

package pamz

// zstdTables are windowLog, chainLog and hashLog of libzstd's levels 1 to 22 for
// content of unknown size (zstd 1.5.0; later versions differ little).
var zstdTables = [23][3]uint{
	1: {19, 13, 14}, {20, 15, 16}, {21, 16, 17}, {21, 18, 18}, {21, 18, 19}, {21, 19, 19}, {21, 19, 19}, {21, 19, 20},
	{22, 20, 21}, {22, 21, 22}, {22, 21, 22}, {22, 22, 23}, {22, 22, 22}, {22, 22, 23}, {22, 23, 23}, {22, 22, 22},
	{23, 23, 22}, {23, 23, 22}, {23, 24, 22}, {25, 25, 23}, {26, 26, 24}, {27, 27, 25},
}

// zstdMemory estimates what libzstd takes, in bytes, to compress that much
// content with one worker: match tables, and four buffers of a job, which is four
// windows long.
func zstdMemory(level int, content int64) int64 {
	if level <= 0 {
		level = 3
	}
	t := zstdTables[min(level, len(zstdTables)-1)]
	return 4<<t[1] + 4<<t[2] + 4*min(4<<t[0], content) + 4<<20
}
