// SPDX-License-Identifier: MIT

// Package stocklib is what devices with a stock delta processor have in common, whatever
// its generation: the way in which a PAMZ delta is held against rules, the limits of
// matching, the memory of decoders, and the trial of a new delta. What holds for one
// generation alone is in the package of that generation.
package stocklib

import (
	"bytes"
	"fmt"
	"io"
	"math"

	"swudelta/internal/apply"
	"swudelta/internal/codec"
	"swudelta/internal/content"
	"swudelta/internal/device"
	"swudelta/internal/match"
	"swudelta/internal/pamz"
)

// MaxWindow is the widest window of a zstd frame that the library's decoder takes, in
// bytes.
const MaxWindow = 1 << 27

// What the library takes, in bytes, as measured with generation 1.0.
const (
	// ProcessMemory is what a process needs to apply any delta, beyond the two sides of
	// a pack.
	ProcessMemory = 18 << 20
	// PatchMemory is what it takes to apply a patch beside both its sides: three bzip2
	// decoders and pipes.
	PatchMemory = 10 << 20
	// ItemMemory is what it takes for an item of a table: some 390 as measured, from when
	// it reads the table until that delta is applied.
	ItemMemory = 448
	// BaseMemory is what a process takes that only copies.
	BaseMemory = 5<<20 + 512<<10
	// ZlibMemory is what zlib takes.
	ZlibMemory = 1 << 20
	// WindowExtra is what a zstd decoder takes beside its window.
	WindowExtra = 512 << 10
	// hiddenWindow is the window of a zstd frame that cannot be looked at.
	hiddenWindow = 8 << 20
)

// rangeCost is what an old range costs in the delta, in bytes, once the item that names it
// is compressed: 6 to 8 were measured with generation 1.0 (doc/engine.md).
const rangeCost = 8

// Limits returns the limits of matching for a process with that much memory. Runs of 64
// KiB and more cost hardly more as entries of the table than in packs (7 bytes), and
// neither memory nor temporary space; with 512 KiB the device needs a fifth more temporary
// space.
func Limits(memory int64) match.Limits {
	return match.Limits{
		Pack: int(min(memory-ProcessMemory, math.MaxInt)), Run: 64 << 10, Zeros: 128 << 10, Repeat: 8 << 10,
		EntryMemory: ItemMemory, PatchMemory: PatchMemory, RangeCost: rangeCost,
	}
}

// zstdLevels are the levels of zstd for literals, by effort.
var zstdLevels = [10]int{3, 9, 12, 16, 19, 19, 22, 22, 22, 22}

// ZstdLevel is the level of zstd for literals at a level of effort, 0 to 9.
func ZstdLevel(effort int) int { return zstdLevels[effort] }

// DecoderMemory is the memory of the decompressor of a recipe, in bytes.
func DecoderMemory(r *pamz.Recipe) int64 {
	if r.Op != pamz.OpZstdDecompression && r.Op != pamz.OpZstdDelta {
		return ZlibMemory
	}
	frame := r.Params[0].Item
	if r := frame.Recipe; r != nil && r.Op == pamz.OpConcatenation && len(r.Params) > 0 && r.Params[0].Item != nil {
		frame = r.Params[0].Item // which may hold the frame header
	}
	if frame.Inline() {
		if window := codec.ZstdWindow(frame.Recipe.Open()); window > 0 {
			return window + WindowExtra
		}
	}
	return hiddenWindow + WindowExtra
}

// Try is device.Device.Try for deltas that are PAMZ files: check holds the delta against
// the rules of the device and predicts its cost; it is applied in the strictest way.
func Try(delta []byte, check func(*pamz.Diff) (device.Cost, []Violation, error), source content.Input, o apply.Options) (device.Cost, error) {
	d, err := pamz.Decode(bytes.NewReader(delta), int64(len(delta)))
	if err != nil {
		return device.Cost{}, fmt.Errorf("read the new delta back: %w", err)
	}
	cost, violations, err := check(d)
	switch {
	case err != nil:
		return device.Cost{}, err
	case len(violations) > 0:
		return device.Cost{}, fmt.Errorf("the new delta breaks a rule of the device: %v", violations[0])
	}
	o.Strict = true
	if err := apply.Apply(io.Discard, d, source, source.Size, o); err != nil {
		return device.Cost{}, fmt.Errorf("try the new delta: %w", err)
	}
	return cost, nil
}
