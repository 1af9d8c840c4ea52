// SPDX-License-Identifier: MIT

package displace

// Instructions of arm64 (Arm ARM, chapter C6) that hold a distance. All are words of
// 32 bits at multiples of 4.
//
// An address is mostly made by two: ADRP puts the page of the target into a
// register, ADD or a load or store adds what is left, 12 bits. Which ADRP an
// instruction depends on is found by following the registers.

// arm64Reach is how many bytes before and after a block registers are followed.
const arm64Reach = 128

// scanArm64 finds the sites of a block of arm64 code.
func scanArm64(c *context, out []site) []site {
	var pages [32]struct {
		valid, used bool
		page        uint64
		adrp        site
	}
	first := int(-c.addr & 3)
	for i := first; i+4 <= len(c.b); i += 4 {
		w, _ := c.u32(i)
		at := c.addr + uint64(i)
		branch := func(enc, form uint8, distance int64) {
			if t := at + uint64(distance); c.inside(t) {
				out = c.add(out, site{at: int32(i), enc: enc, size: 4, form: form, word: uint64(w), target: t})
			}
		}
		rd, rn := w&31, w>>5&31
		switch {
		case w&0x7C000000 == 0x14000000: // B, BL
			branch(encA64Imm26, formCall, signExtend(w, 26)*4)
			if w>>31 == 1 {
				for r := range 19 {
					pages[r].valid = false // a call changes these registers
				}
			}
		case w&0xFF000010 == 0x54000000, w&0x7E000000 == 0x34000000: // B.cond, CBZ, CBNZ
			branch(encA64Imm19, formCond, signExtend(w>>5, 19)*4)
		case w&0x7E000000 == 0x36000000: // TBZ, TBNZ
			branch(encA64Imm14, formCond, signExtend(w>>5, 14)*4)
		case w&0x3B000000 == 0x18000000: // LDR (literal)
			branch(encA64Imm19, formData, signExtend(w>>5, 19)*4)
			pages[rd].valid = pages[rd].valid && w>>26&1 == 1
		case w&0x9F000000 == 0x10000000: // ADR
			branch(encA64Adr, formData, arm64Adr(w))
			pages[rd].valid = false
		case w&0x9F000000 == 0x90000000: // ADRP
			p := &pages[rd]
			p.valid, p.used = true, false
			p.page = at&^0xFFF + uint64(arm64Adr(w))<<12
			p.adrp = site{at: int32(i), enc: encA64Page, size: 4, form: formData, word: uint64(w)}
		case w&0xFFC00000 == 0x91000000, w&0x3B000000 == 0x39000000: // ADD (immediate), LDR, STR
			scale := arm64Scale(w)
			if p := &pages[rn]; p.valid {
				t := p.page + uint64(w>>10&0xFFF)<<scale
				if c.inside(t) {
					if !p.used {
						p.used = true
						p.adrp.target = t
						out = c.add(out, p.adrp)
					}
					out = c.add(out, site{at: int32(i), enc: encA64Low12, size: 4, form: formWord, word: uint64(w),
						target: t, bias: int32(scale)})
				}
			}
			if store := w>>24&1 == 1 && w&0x3B000000 == 0x39000000 && (w>>22&3 == 0 || w>>26&1 == 1); !store {
				pages[rd].valid = false
			}
		case w&0x0A000000 == 0x08000000 && w>>22&1 == 0: // other stores
		case w&0x1C000000 == 0x14000000: // other branches
		default:
			pages[rd].valid = false
		}
	}
	return out
}

// arm64Adr returns the immediate of ADR and ADRP.
func arm64Adr(w uint32) int64 { return signExtend(w>>5&0x7FFFF<<2|w>>29&3, 21) }

// arm64Scale returns by how many bits the 12-bit immediate of w is shifted.
func arm64Scale(w uint32) uint32 {
	if w&0x3B000000 != 0x39000000 {
		return 0
	}
	if w>>26&1 == 1 && w>>23&1 == 1 {
		return 4 // 16 bytes of a vector register
	}
	return w >> 30
}

// signExtend returns the low n bits of w as a signed number.
func signExtend(w uint32, n uint) int64 { return int64(int32(w<<(32-n)) >> (32 - n)) }

// predictArm64 puts the target t into the instruction s, which lies at addr. It
// reports whether t is in reach.
func predictArm64(s *site, t, addr uint64) (uint64, bool) {
	w := uint32(s.word)
	d := int64(t - addr)
	field := func(v int64, bits, at uint) (uint64, bool) {
		mask := uint32(1)<<bits - 1
		return uint64(w&^(mask<<at) | uint32(v)&mask<<at), v >= -1<<(bits-1) && v < 1<<(bits-1)
	}
	split := func(v int64) (uint64, bool) { // of ADR and ADRP
		w = w&^(3<<29) | uint32(v&3)<<29
		return field(v>>2, 19, 5)
	}
	switch s.enc {
	case encA64Imm26:
		w, ok := field(d>>2, 26, 0)
		return w, ok && d&3 == 0
	case encA64Imm19:
		w, ok := field(d>>2, 19, 5)
		return w, ok && d&3 == 0
	case encA64Imm14:
		w, ok := field(d>>2, 14, 5)
		return w, ok && d&3 == 0
	case encA64Adr:
		return split(d)
	case encA64Page:
		return split(int64(t&^0xFFF-addr&^0xFFF) >> 12)
	}
	low, scale := uint32(t&0xFFF), uint(s.bias)
	return uint64(w&^(0xFFF<<10) | low>>scale<<10), low&(1<<scale-1) == 0
}

// readArm64 returns the target of a branch or an ADR.
func (s *site) readArm64(w uint32, addr uint64) (uint64, bool) {
	switch s.enc {
	case encA64Imm26:
		return addr + uint64(signExtend(w, 26)*4), true
	case encA64Imm19:
		return addr + uint64(signExtend(w>>5, 19)*4), true
	case encA64Imm14:
		return addr + uint64(signExtend(w>>5, 14)*4), true
	case encA64Adr:
		return addr + uint64(arm64Adr(w)), true
	}
	return 0, false
}
