// SPDX-License-Identifier: MIT

package member

import (
	"math"
	"time"
)

// speed says how much content a format closes in a second of processor time, up to an effort.
type speed struct {
	effort int     // what the format's effort returns
	rate   float64 // MB (1e6 bytes) of content a second
}

// speeds are those that BenchmarkPrograms finds (MB/cpu-s), rounded: what programs made of a program,
// closed on a virtual machine with two processors (Intel Xeon, AMX) that others shared. Content that
// compresses better goes faster. A device is slower or faster by a factor that its maker knows.
var speeds = map[Number][]speed{
	Deflate: deflateSpeeds,
	Gzip:    deflateSpeeds,
	Zlib:    deflateSpeeds,
	Zstd:    {{1, 130}, {4, 80}, {6, 60}, {8, 40}, {9, 30}, {12, 10}, {15, 4}, {19, 2.5}, {22, 1.6}},
	XZ:      lzmaSpeeds,
	LZMA:    lzmaSpeeds,
	LZ4:     lz4Speeds,
	Bzip2:   {{9, 10}},

	LZ4Block: lz4Speeds,
	PNG:      deflateSpeeds,
}

// By the length of chains: levels 1 to 5, 6 and 7, 8 and 9.
var deflateSpeeds = []speed{{32, 18}, {256, 16}, {4096, 8}}

var lz4Speeds = []speed{{2, 300}, {4, 50}, {9, 20}, {12, 6}}

// By searchLevel: presets 0 and 1, 2 and 3, 4 to 9e.
var lzmaSpeeds = []speed{{-896, 10}, {-1, 4}, {273, 2}}

// densest is how much longer than a member its content is at most, as far as time is concerned: what
// compresses better is zeros and the like, which no search stops at.
const densest = 8

// CloseTime returns how much processor time it takes, about, to close a member of that length, in bytes,
// with that much content. What its parts take is not in it. Parameters that cannot be read are an error.
func CloseTime(n Number, params []byte, stored, content int64) (time.Duration, error) {
	list := speeds[n]
	if len(list) == 0 {
		return 0, nil // nothing is compressed
	}
	effort, err := formats[n].effort(params)
	if err != nil {
		return 0, err
	}
	rate := list[len(list)-1].rate
	for _, s := range list {
		if effort <= s.effort {
			rate = s.rate
			break
		}
	}
	seconds := float64(min(content, densest*stored)) / 1e6 / rate
	return time.Duration(math.Ceil(seconds * float64(time.Second))), nil
}
