// SPDX-License-Identifier: MIT

package member

import (
	"encoding/binary"
	"errors"
	"io"

	"swudelta/internal/fault"
)

// A patch turns what a library makes into what was stored, where they differ in little. It is a
// sequence of edits, each: a varint for how many bytes are kept, one for how many are left
// out, one for how many are put in, and these. Behind the last all is kept.

var errPatch = errors.New("a patch does not fit what it is for")

// patcher writes to w what is written to it, patched.
type patcher struct {
	w     io.Writer
	patch []byte
	keep  uint64 // bytes to keep before the edit that comes next
	drop  uint64 // bytes of it to leave out
	put   []byte
	last  bool // there is no next edit
}

// newPatcher returns a writer whose Close completes what is written to w. It does not close w.
func newPatcher(w io.Writer, patch []byte) (*patcher, error) {
	p := &patcher{w: w, patch: patch}
	return p, p.next()
}

// next reads an edit.
func (p *patcher) next() error {
	if len(p.patch) == 0 {
		p.last = true
		return nil
	}
	var numbers [3]uint64
	for i := range numbers {
		v, n := binary.Uvarint(p.patch)
		if n <= 0 {
			return fault.Data(errPatch)
		}
		numbers[i], p.patch = v, p.patch[n:]
	}
	if numbers[2] > uint64(len(p.patch)) {
		return fault.Data(errPatch)
	}
	p.keep, p.drop = numbers[0], numbers[1]
	p.put, p.patch = p.patch[:numbers[2]], p.patch[numbers[2]:]
	return nil
}

// edit carries out edits that have come.
func (p *patcher) edit() error {
	for !p.last && p.keep == 0 && p.drop == 0 {
		if _, err := p.w.Write(p.put); err != nil {
			return err
		}
		if err := p.next(); err != nil {
			return err
		}
	}
	return nil
}

func (p *patcher) Write(b []byte) (int, error) {
	total := len(b)
	for {
		if err := p.edit(); err != nil {
			return 0, err
		}
		if p.last {
			_, err := p.w.Write(b)
			return total, err
		}
		kept := int(min(p.keep, uint64(len(b))))
		if kept > 0 {
			if _, err := p.w.Write(b[:kept]); err != nil {
				return 0, err
			}
			p.keep -= uint64(kept)
			b = b[kept:]
		}
		dropped := int(min(p.drop, uint64(len(b))))
		p.drop -= uint64(dropped)
		if b = b[dropped:]; len(b) == 0 {
			return total, nil
		}
	}
}

func (p *patcher) Close() error {
	if err := p.edit(); err != nil {
		return err
	}
	if !p.last {
		return fault.Data(errPatch)
	}
	return nil
}

const (
	// patchReach is how far, in bytes, an edit may reach on either side.
	patchReach = 4 << 10
	// patchAgain is how many equal bytes end an edit.
	patchAgain = 16
)

// differ makes a patch of what is written to it, for want. limit bounds the patch.
type differ struct {
	want  []byte
	limit int
	made  []byte // not yet compared
	kept  uint64
	patch []byte
}

// errFar says that a patch would be too long.
var errFar = errors.New("differs in too much")

func (d *differ) Write(b []byte) (int, error) {
	if len(d.made) == 0 { // the common case, without a copy
		n := common(b, d.want)
		d.kept, d.want = d.kept+uint64(n), d.want[n:]
		d.made = append(d.made, b[n:]...)
	} else {
		d.made = append(d.made, b...)
	}
	for len(d.made) >= patchReach+patchAgain {
		if err := d.step(); err != nil {
			return 0, err
		}
	}
	return len(b), nil
}

// step makes one edit, and takes what is equal behind it.
func (d *differ) step() error {
	made, want := d.made[:min(len(d.made), patchReach+patchAgain)], d.want[:min(len(d.want), patchReach+patchAgain)]
	i, j := meet(made, want)
	if i < 0 {
		return errFar
	}
	if err := d.edit(i, j); err != nil {
		return err
	}
	d.take()
	return nil
}

func (d *differ) take() {
	n := common(d.made, d.want)
	d.kept = uint64(n)
	d.made, d.want = append(d.made[:0], d.made[n:]...), d.want[n:]
}

// edit leaves out i bytes and puts in j.
func (d *differ) edit(i, j int) error {
	for _, v := range []uint64{d.kept, uint64(i), uint64(j)} {
		d.patch = binary.AppendUvarint(d.patch, v)
	}
	d.patch = append(d.patch, d.want[:j]...)
	d.made, d.want, d.kept = append(d.made[:0], d.made[i:]...), d.want[j:], 0
	if len(d.patch) > d.limit {
		return errFar
	}
	return nil
}

// finish returns the patch when all was written.
func (d *differ) finish() ([]byte, error) {
	for len(d.made) > 0 && len(d.want) > 0 {
		if err := d.step(); err == errFar {
			break
		} else if err != nil {
			return nil, err
		}
	}
	if len(d.made)+len(d.want) > 0 {
		if len(d.want) > d.limit {
			return nil, errFar
		}
		if err := d.edit(len(d.made), len(d.want)); err != nil {
			return nil, err
		}
	}
	return d.patch, nil
}

// meet returns the nearest places of a and b from which on they are equal for a while; -1 if there are none.
func meet(a, b []byte) (int, int) {
	places := make(map[[patchAgain]byte]int)
	for i := len(a) - patchAgain; i >= 0; i-- {
		places[[patchAgain]byte(a[i:])] = i
	}
	bestA, bestB := -1, -1
	for j := 0; j+patchAgain <= len(b) && (bestA < 0 || j < bestA+bestB); j++ {
		if i, ok := places[[patchAgain]byte(b[j:])]; ok && (bestA < 0 || i+j < bestA+bestB) {
			bestA, bestB = i, j
		}
	}
	return bestA, bestB
}

// common returns how many bytes a and b have in common at their start.
func common(a, b []byte) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}
