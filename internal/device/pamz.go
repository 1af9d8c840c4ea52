// SPDX-License-Identifier: MIT

package device

import (
	"bytes"
	"fmt"
	"io"

	"swudelta/internal/content"
	"swudelta/internal/pamz"
)

// zstdLevels are the levels of zstd for literals, by effort.
var zstdLevels = [10]int{3, 9, 12, 16, 19, 19, 22, 22, 22, 22}

// ZstdLevel is the level of zstd for literals at a level of effort, 0 to 9.
func ZstdLevel(effort int) int { return zstdLevels[effort] }

// Try is Device.Try for deltas that are PAMZ files of a profile: they are applied in the
// strictest way.
func Try(delta []byte, profile pamz.Profile, source content.Input, o pamz.ApplyOptions) (Cost, error) {
	d, err := pamz.Decode(bytes.NewReader(delta), int64(len(delta)))
	if err != nil {
		return Cost{}, fmt.Errorf("read the new delta back: %w", err)
	}
	cost, violations, err := pamz.Check(d, profile)
	switch {
	case err != nil:
		return Cost{}, err
	case len(violations) > 0:
		return Cost{}, fmt.Errorf("the new delta breaks a rule of the device: %v", violations[0])
	}
	o.Strict = true
	if err := pamz.Apply(io.Discard, d, source, source.Size, o); err != nil {
		return Cost{}, fmt.Errorf("try the new delta: %w", err)
	}
	return Cost{Memory: cost.Memory, Tmp: cost.Tmp}, nil
}
