// SPDX-License-Identifier: MIT

package stock

import (
	"bytes"
	"io"
	"slices"
	"testing"

	"swudelta/internal/bsdiff"
	"swudelta/internal/bzip2"
	"swudelta/internal/match"
	"swudelta/internal/tooltest"
)

func TestRawBlocks(t *testing.T) {
	old := tooltest.Random(1, 1<<20)
	context := []match.Range{match.Between(100, 200), match.Between(5000, 5000+2*rawBlock), match.Between(600000, 600000+rawBlock/2), match.Between(1<<19, 1<<19+1)}
	slices.SortFunc(context, func(a, b match.Range) int { return a.Off - b.Off })
	for _, ranges := range [][]match.Range{context, {match.Between(0, len(old))}, {match.Between(50, 400000), match.Between(1<<19, 900000)}} {
		var prefix, from []byte
		for _, s := range context {
			prefix = append(prefix, old[s.Off:s.End()]...)
		}
		for _, r := range ranges {
			from = append(from, old[r.Off:r.End()]...)
		}
		patch, raw := rawBlocks(old, ranges, context, prefix)
		var file, got bytes.Buffer
		_, err := patch.Encode(&file, func(w io.Writer, b []byte) error { return bzip2.Encode(w, b, 1) })
		if err == nil {
			err = bsdiff.Apply(&got, bytes.NewReader(from), int64(len(from)), bytes.NewReader(file.Bytes()), int64(file.Len()), int64(len(raw)))
		}
		if err != nil || !bytes.Equal(got.Bytes(), raw) {
			t.Fatalf("%v: the patch does not make the blocks: %v", ranges, err)
		}
		var content []byte
		for len(raw) > 0 {
			h := int(raw[0]) | int(raw[1])<<8 | int(raw[2])<<16
			n := h >> 3
			if h&7 != 0 || n == 0 || n > rawBlock {
				t.Fatalf("block header %#x", h)
			}
			content = append(content, raw[3:3+n]...)
			raw = raw[3+n:]
		}
		if !bytes.Equal(content, prefix) {
			t.Errorf("%v: the blocks do not hold the prefix", ranges)
		}
	}
}
