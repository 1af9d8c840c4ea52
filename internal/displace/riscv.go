// SPDX-License-Identifier: MIT

package displace

import "encoding/binary"

// Instructions of RISC-V (The RISC-V Instruction Set Manual, volume I) that
// hold a distance. They are of 16 or 32 bits, at multiples of 2.
//
// An address is made by two: AUIPC adds the upper 20 bits of a distance to its
// own address, another instruction the lower 12, as a signed number. They are
// found by following the register, which is mostly done at once.

const (
	// riscvReach is how many bytes before and after a block are looked at.
	riscvReach = 96

	riscvAuipc, riscvJal, riscvBranch = 0x17, 0x6F, 0x63
)

// scanRiscv finds the sites of a block of RISC-V code.
func scanRiscv(c *context, out []site) []site {
	var upper [32]struct {
		valid, used bool
		at          int
		word        uint32
	}
	for i := int(-c.addr & 1); i+2 <= len(c.b); {
		if c.b[i]&3 != 3 {
			out = c.riscvShort(out, i)
			if rd := riscvShortWrites(binary.LittleEndian.Uint16(c.b[i:])); rd > 0 {
				upper[rd].valid = false
			}
			i += 2
			continue
		}
		w, ok := c.u32(i)
		if !ok {
			break
		}
		at := c.addr + uint64(i)
		rd, rs := w>>7&31, w>>15&31
		switch op := w & 0x7F; op {
		case riscvAuipc:
			u := &upper[rd]
			u.valid, u.used, u.at, u.word = rd > 0, false, i, w
		case riscvJal, riscvBranch:
			enc, form, d := uint8(encRiscvJal), formCall, riscvJalDistance(w)
			if op == riscvBranch {
				enc, form, d = encRiscvBranch, formCond, riscvBranchDistance(w)
			}
			if t := at + uint64(d); c.inside(t) {
				out = c.add(out, site{at: int32(i), enc: enc, size: 4, form: form, word: uint64(w), target: t})
			}
		case 0x13, 0x03, 0x07, 0x67, 0x23, 0x27: // ADDI, loads, JALR, stores
			u := &upper[rs]
			if u.valid && (op != 0x13 || w>>12&7 == 0) {
				enc, low := uint8(encRiscvLow), signExtend(w>>20, 12)
				if op == 0x23 || op == 0x27 {
					enc, low = encRiscvStore, signExtend(w>>25<<5|w>>7&31, 12)
				}
				t := c.addr + uint64(u.at) + uint64(int64(int32(u.word&^0xFFF))+low)
				if c.inside(t) {
					form := formData
					if op == 0x67 {
						form = formCall
					}
					if !u.used {
						u.used = true
						out = c.add(out, site{at: int32(u.at), enc: encRiscvUpper, size: 4, form: form,
							word: uint64(u.word), target: t})
					}
					out = c.add(out, site{at: int32(i), enc: enc, size: 4, form: formWord, word: uint64(w),
						target: t, bias: int32(u.at - i)})
				}
			}
			if op != 0x23 && op != 0x27 && op != 0x07 {
				upper[rd].valid = false
			}
		default:
			upper[rd].valid = false
		}
		i += 4
	}
	return out
}

// riscvShort adds C.J, C.BEQZ and C.BNEZ.
func (c *context) riscvShort(out []site, i int) []site {
	w := uint32(binary.LittleEndian.Uint16(c.b[i:]))
	enc, form, d := uint8(encRiscvShortJump), formCall, riscvShortJump(w)
	switch w & 0xE003 {
	case 0xA001:
	case 0xC001, 0xE001:
		enc, form, d = encRiscvShortBranch, formCond, riscvShortBranch(w)
	default:
		return out
	}
	t := c.addr + uint64(i) + uint64(d)
	if !c.inside(t) {
		return out
	}
	return c.add(out, site{at: int32(i), enc: enc, size: 2, form: form, word: uint64(w), target: t})
}

// riscvShortWrites returns the register that a compressed instruction writes,
// or 0.
func riscvShortWrites(w uint16) int {
	full, low, high := int(w>>7&31), int(w>>2&7)+8, int(w>>7&7)+8
	switch funct := w >> 13; w & 3 {
	case 0: // C.ADDI4SPN, loads
		if funct == 0 || funct == 2 || funct == 3 {
			return low
		}
	case 1: // C.ADDI, C.ADDIW, C.LI, C.LUI; then arithmetic
		if funct <= 3 {
			return full
		}
		if funct == 4 {
			return high
		}
	case 2: // C.SLLI, loads from the stack, C.MV, C.ADD
		if funct == 0 || funct == 2 || funct == 3 || funct == 4 && w>>2&31 != 0 {
			return full
		}
	}
	return 0
}

// The immediates are strewn over the words. A riscvBits says which bits of the
// word hold which bits of the distance, as runs.
type riscvBits []struct{ word, value, n uint }

var (
	riscvJalBits         = riscvBits{{31, 20, 1}, {21, 1, 10}, {20, 11, 1}, {12, 12, 8}}
	riscvBranchBits      = riscvBits{{31, 12, 1}, {25, 5, 6}, {8, 1, 4}, {7, 11, 1}}
	riscvShortJumpBits   = riscvBits{{12, 11, 1}, {11, 4, 1}, {9, 8, 2}, {8, 10, 1}, {7, 6, 1}, {6, 7, 1}, {3, 1, 3}, {2, 5, 1}}
	riscvShortBranchBits = riscvBits{{12, 8, 1}, {10, 3, 2}, {5, 6, 2}, {3, 1, 2}, {2, 5, 1}}
)

// get returns the value, of which bit top is the sign.
func (b riscvBits) get(w uint32, top uint) int64 {
	var v uint32
	for _, r := range b {
		v |= w >> r.word & (1<<r.n - 1) << r.value
	}
	return signExtend(v, top+1)
}

// put returns w with another value, and whether the value fits.
func (b riscvBits) put(w uint32, v int64, top uint) (uint64, bool) {
	for _, r := range b {
		mask := uint32(1)<<r.n - 1
		w = w&^(mask<<r.word) | uint32(v>>r.value)&mask<<r.word
	}
	return uint64(w), v&1 == 0 && v >= -1<<top && v < 1<<top
}

func riscvJalDistance(w uint32) int64    { return riscvJalBits.get(w, 20) }
func riscvBranchDistance(w uint32) int64 { return riscvBranchBits.get(w, 12) }
func riscvShortJump(w uint32) int64      { return riscvShortJumpBits.get(w, 11) }
func riscvShortBranch(w uint32) int64    { return riscvShortBranchBits.get(w, 8) }

// predictRiscv puts the target t into the instruction s, which lies at addr. It
// reports whether t is in reach.
func predictRiscv(s *site, t, addr uint64) (uint64, bool) {
	w := uint32(s.word)
	d := int64(t - addr)
	switch s.enc {
	case encRiscvJal:
		return riscvJalBits.put(w, d, 20)
	case encRiscvBranch:
		return riscvBranchBits.put(w, d, 12)
	case encRiscvShortJump:
		return riscvShortJumpBits.put(w, d, 11)
	case encRiscvShortBranch:
		return riscvShortBranchBits.put(w, d, 8)
	case encRiscvUpper:
		return uint64(w&0xFFF | uint32(d+0x800)&^0xFFF), d >= -1<<31 && d < 1<<31-0x800
	}
	// The lower part counts from the AUIPC, which is bias bytes away.
	low := uint32(t-addr-uint64(int64(s.bias))) & 0xFFF
	if s.enc == encRiscvStore {
		return uint64(w&^(0x7F<<25|31<<7) | low>>5<<25 | low&31<<7), true
	}
	return uint64(w&^(0xFFF<<20) | low<<20), true
}

// readRiscv returns the target of a branch.
func (s *site) readRiscv(w uint32, addr uint64) (uint64, bool) {
	switch s.enc {
	case encRiscvJal:
		return addr + uint64(riscvJalDistance(w)), true
	case encRiscvBranch:
		return addr + uint64(riscvBranchDistance(w)), true
	case encRiscvShortJump:
		return addr + uint64(riscvShortJump(w)), true
	case encRiscvShortBranch:
		return addr + uint64(riscvShortBranch(w)), true
	}
	return 0, false
}
