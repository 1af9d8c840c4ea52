// SPDX-License-Identifier: MIT

package bsdiff

import (
	"bytes"

	"swudelta/internal/fault"
)

// Apply rebuilds the new file in memory. It fails, with a data fault, where the
// streams do not fit each other.
func (p *Patch) Apply(old []byte) ([]byte, error) {
	out := make([]byte, 0, p.NewSize())
	err := p.walk(func(c Control, pos int64, diff, extra []byte) error {
		start := len(out)
		out = append(out, diff...)
		// Old positions outside the file count as zero bytes.
		lo, hi := max(pos, 0), min(pos+c.Add, int64(len(old)))
		if lo < hi {
			addBytes(out[start+int(lo-pos):], old[lo:hi])
		}
		out = append(out, extra...)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// Check verifies that the patch makes want out of old, without building it.
func (p *Patch) Check(old, want []byte) error {
	if p.NewSize() != int64(len(want)) {
		return fault.Dataf("patch makes %d bytes, want %d", p.NewSize(), len(want))
	}
	at := 0
	return p.walk(func(c Control, pos int64, diff, extra []byte) error {
		for i, d := range diff {
			var o byte
			if q := pos + int64(i); q >= 0 && q < int64(len(old)) {
				o = old[q]
			}
			if o+d != want[at+i] {
				return fault.At(int64(at+i), "patch makes a wrong byte")
			}
		}
		at += len(diff)
		if !bytes.Equal(extra, want[at:at+len(extra)]) {
			return fault.At(int64(at), "patch makes wrong extra bytes")
		}
		at += len(extra)
		return nil
	})
}

// walk calls f for each control entry with the old position and the bytes of
// both streams that belong to it.
func (p *Patch) walk(f func(c Control, pos int64, diff, extra []byte) error) error {
	diff, extra := p.Diff, p.Extra
	var pos int64
	for i, c := range p.Controls {
		if c.Add < 0 || c.Add > int64(len(diff)) || c.Extra < 0 || c.Extra > int64(len(extra)) {
			return fault.Dataf("control entry %d does not fit its streams", i)
		}
		if err := f(c, pos, diff[:c.Add], extra[:c.Extra]); err != nil {
			return err
		}
		diff, extra = diff[c.Add:], extra[c.Extra:]
		next, ok := sum(pos, c.Add, c.Seek)
		if !ok {
			return fault.Dataf("control entry %d moves the old position out of range", i)
		}
		pos = next
	}
	if len(diff) != 0 || len(extra) != 0 {
		return fault.Dataf("control entries leave %d diff and %d extra bytes over", len(diff), len(extra))
	}
	return nil
}
