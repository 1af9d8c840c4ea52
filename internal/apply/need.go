// SPDX-License-Identifier: MIT

package apply

import (
	"fmt"
	"io"

	"swudelta/internal/pamz"
)

// Need is what Apply takes for a delta, beside the memory of any process that reads
// and writes. It is an upper limit.
type Need struct {
	Memory  int64 `json:"memory"`  // of codecs, in bytes at a time
	Scratch int64 `json:"scratch"` // bytes at a time

	// Open says that the head of a zstd frame, or a nested delta, is itself the result
	// of a recipe, which is not known before it is produced. The frame is then taken
	// to have no wider window than its content needs, and the delta to need nothing.
	// Apply checks it when it comes there.
	Open bool `json:"open,omitempty"`
}

// Needs returns what Apply needs for d if it may take up to memory bytes; 0 is
// DefaultMemory. Where a lack of memory is the error, its cause is
// [ErrMemory]. It looks into source, which may be nil.
func Needs(d *pamz.Diff, source io.ReaderAt, memory int64) (Need, error) {
	need, err := needs(d, source, memory)
	if err != nil {
		return Need{}, fmt.Errorf("need of delta: %w", err)
	}
	return need, nil
}

func needs(d *pamz.Diff, source io.ReaderAt, memory int64) (Need, error) {
	opts := Options{Memory: memory}
	in, err := newApplier(d, opts).inspect(d, d.SourceLength, 0)
	if err != nil {
		return Need{}, err
	}
	if source == nil {
		source = notThere{}
	}
	need, _, _, err := rehearse(d, in, io.NewSectionReader(source, 0, d.SourceLength), opts)
	return need, err
}
