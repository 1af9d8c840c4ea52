// SPDX-License-Identifier: MIT

package apply

import (
	"bytes"

	"swudelta/internal/pamz"
)

// For tests outside of this package, which make deltas with packages that are above it.
var (
	CheckNeed  = checkNeed
	ApplyBytes = applyBytes
)

func applyBytes(d *pamz.Diff, source []byte, opts Options) ([]byte, error) {
	var out bytes.Buffer
	err := Apply(&out, d, bytes.NewReader(source), int64(len(source)), opts)
	return out.Bytes(), err
}
