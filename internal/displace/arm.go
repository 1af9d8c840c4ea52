// SPDX-License-Identifier: MIT

package displace

import "encoding/binary"

// Instructions of 32-bit arm (Arm ARM for ARMv7-A, chapters A6 and A8) that hold
// a distance: ARM, words of 32 bits at multiples of 4, and Thumb-2, one or two
// units of 16 bits at multiples of 2.
//
// Position independent code makes an address of a number, which lies behind
// the function (a literal) or in a pair MOVW and MOVT, and the program counter,
// which is added by another instruction. In programs for a fixed address the pair
// alone is an address.

const (
	// armReach is how many bytes before a block code is looked at: a literal
	// lies at most 4 KiB behind the instruction that loads it.
	armReach = 4096 + 128

	// armFixed is the lowest address of a program for a fixed address.
	armFixed = 0x8000
)

// An armNumber is what is known of a register.
type armNumber struct {
	kind  uint8 // one of the following
	at    int   // where in b the literal or the MOVW lies
	top   int   // where the MOVT lies
	value uint32
}

const (
	armUnknown = iota
	armLiteral
	armHalf // MOVW alone
	armPair // MOVW and MOVT
)

// armAdd adds the sites of a number to which the instruction at index i adds
// its own address plus pc.
func (c *context) armAdd(out []site, n armNumber, i int, pc uint64, half, top uint8) []site {
	from := c.addr + uint64(i)
	t := uint64(uint32(from+pc) + n.value)
	if !c.inside(t &^ 1) {
		return out
	}
	s := site{at: int32(n.at), size: 4, form: formData, target: t, from: from, bias: int32(pc)}
	switch n.kind {
	case armLiteral:
		s.enc, s.word = encDifference, uint64(n.value)
		return c.add(out, s)
	case armPair:
		return c.armPair(out, s, n, half, top)
	}
	return out
}

// armPair adds the two sites of a MOVW and a MOVT.
func (c *context) armPair(out []site, s site, n armNumber, half, top uint8) []site {
	s.form = formWord
	for _, p := range []struct {
		at  int
		enc uint8
	}{{n.at, half}, {n.top, top}} {
		w, _ := c.u32(p.at)
		s.at, s.enc, s.word = int32(p.at), p.enc, uint64(w)
		out = c.add(out, s)
	}
	return out
}

// armAbsolute adds the sites of a pair that is an address by itself.
func (c *context) armAbsolute(out []site, n armNumber, half, top uint8) []site {
	if t := uint64(n.value); c.low >= armFixed && c.inside(t) {
		out = c.armPair(out, site{size: 4, target: t}, n, half, top)
	}
	return out
}

// scanArm finds the sites of a block of ARM code.
func scanArm(c *context, out []site) []site {
	var regs [16]armNumber
	for i := int(-c.addr & 3); i+4 <= len(c.b); i += 4 {
		w, _ := c.u32(i)
		at := c.addr + uint64(i)
		rd := w >> 12 & 15
		switch {
		case w&0x0E000000 == 0x0A000000: // B, BL; BLX where the condition is 15
			t := at + 8 + uint64(signExtend(w, 24)*4)
			if w>>28 == 15 {
				t += uint64(w >> 24 & 1 * 2)
			}
			if c.inside(t) {
				out = c.add(out, site{at: int32(i), enc: encArmBranch, size: 4, form: formCall, word: uint64(w), target: t})
			}
		case w&0x0F7F0000 == 0x051F0000: // LDR (literal)
			p := i + 8 + int(w&0xFFF)
			if w>>23&1 == 0 {
				p = i + 8 - int(w&0xFFF)
			}
			v, ok := c.u32(p)
			regs[rd] = armNumber{}
			if ok && w&0xFFF%4 == 0 {
				regs[rd] = armNumber{kind: armLiteral, at: p, value: v}
			}
		case w&0x0FF00000 == 0x03000000: // MOVW
			regs[rd] = armNumber{kind: armHalf, at: i, value: w>>4&0xF000 | w&0xFFF}
		case w&0x0FF00000 == 0x03400000: // MOVT
			if n := &regs[rd]; n.kind == armHalf {
				n.kind, n.top, n.value = armPair, i, n.value|(w>>4&0xF000|w&0xFFF)<<16
				out = c.armAbsolute(out, *n, encArmHalf, encArmTop)
			}
		case w&0x0FEF0FF0 == 0x008F0000, w&0x0FEF0FF0 == 0x079F0000&0x0FEF0FF0: // ADD Rd, PC, Rm; LDR and STR [PC, Rm]
			out = c.armAdd(out, regs[w&15], i, 8, encArmHalf, encArmTop)
		case w&0x0FFFFF00 == 0x028FC600: // an entry of the procedure linkage table
			out = c.armLinkage(out, i)
		}
	}
	return out
}

// armLinkage adds the three words of an entry of the procedure linkage table:
// ADD IP, PC, #; ADD IP, IP, #; LDR PC, [IP, #]!
func (c *context) armLinkage(out []site, i int) []site {
	w0, _ := c.u32(i)
	w1, _ := c.u32(i + 4)
	w2, ok := c.u32(i + 8)
	if !ok || w1&0x0FFFFF00 != 0x028CCA00 || w2&0x0FFFF000 != 0x05BCF000 {
		return out
	}
	t := c.addr + uint64(i) + 8 + uint64(w0&0xFF<<20+w1&0xFF<<12+w2&0xFFF)
	if !c.inside(t) {
		return out
	}
	for k, w := range []uint32{w0, w1, w2} {
		out = c.add(out, site{at: int32(i + 4*k), enc: encArmLinkage + uint8(k), size: 4, form: formWord,
			word: uint64(w), target: t, bias: int32(8 - 4*k)})
	}
	return out
}

// scanThumb finds the sites of a block of Thumb-2 code.
func scanThumb(c *context, out []site) []site {
	var regs [16]armNumber
	for i := int(-c.addr & 1); i+2 <= len(c.b); {
		h := uint32(binary.LittleEndian.Uint16(c.b[i:]))
		at := c.addr + uint64(i)
		if h < 0xE800 {
			switch {
			case h&0xF800 == 0x4800: // LDR (literal)
				c.thumbLiteral(&regs[h>>8&7], i, int(h&0xFF)*4)
			case h&0xFF78 == 0x4478: // ADD Rd, PC
				out = c.armAdd(out, regs[h&7|h>>4&8], i, 4, encThumbHalf, encThumbTop)
			case h&0xF800 == 0xE000, h&0xF000 == 0xD000 && h&0x0E00 != 0x0E00: // B
				enc, form, d := uint8(encThumbShort), formCall, signExtend(h, 11)*2
				if h&0xF000 == 0xD000 {
					enc, form, d = encThumbShortCond, formCond, signExtend(h, 8)*2
				}
				if t := at + 4 + uint64(d); c.inside(t) {
					out = c.add(out, site{at: int32(i), enc: enc, size: 2, form: form, word: uint64(h), target: t})
				}
			}
			i += 2
			continue
		}
		w, ok := c.u32(i) // the first unit is the lower half
		if !ok {
			break
		}
		out = c.thumbWide(out, &regs, w, i)
		i += 4
	}
	return out
}

// thumbLiteral notes a literal that lies d bytes behind the instruction at i.
func (c *context) thumbLiteral(n *armNumber, i, d int) {
	p := i + d + 4 - int((c.addr+uint64(i))&2)
	*n = armNumber{}
	if v, ok := c.u32(p); ok {
		*n = armNumber{kind: armLiteral, at: p, value: v}
	}
}

// thumbWide looks at an instruction of two units.
func (c *context) thumbWide(out []site, regs *[16]armNumber, w uint32, i int) []site {
	at := c.addr + uint64(i)
	rd := w >> 24 & 15 // of MOVW and MOVT
	imm16 := w&15<<12 | w>>10&1<<11 | w>>28&7<<8 | w>>16&0xFF
	switch {
	case w&0xD000F800 == 0xD000F000, w&0xD001F800 == 0xC000F000, w&0xD000F800 == 0x9000F000: // BL, BLX, B
		t := at + 4 + uint64(thumbDistance(w))
		if w>>28&5 == 4 {
			t -= at & 2
		}
		if c.inside(t) {
			out = c.add(out, site{at: int32(i), enc: encThumbBranch, size: 4, form: formCall, word: uint64(w), target: t})
		}
	case w&0xD000F800 == 0x8000F000 && w>>7&7 != 7: // B with a condition
		if t := at + 4 + uint64(thumbCondDistance(w)); c.inside(t) {
			out = c.add(out, site{at: int32(i), enc: encThumbCond, size: 4, form: formCond, word: uint64(w), target: t})
		}
	case w&0xFFFF == 0xF8DF: // LDR (literal), upwards
		c.thumbLiteral(&regs[w>>28], i, int(w>>16&0xFFF))
	case w&0x8000FBF0 == 0x0000F240: // MOVW
		regs[rd] = armNumber{kind: armHalf, at: i, value: imm16}
	case w&0x8000FBF0 == 0x0000F2C0: // MOVT
		if n := &regs[rd]; n.kind == armHalf {
			n.kind, n.top, n.value = armPair, i, n.value|imm16<<16
			out = c.armAbsolute(out, *n, encThumbHalf, encThumbTop)
		}
	}
	return out
}

// thumbDistance returns the distance of BL, BLX and B.
func thumbDistance(w uint32) int64 {
	s := w >> 10 & 1
	i1, i2 := ^(w>>29^s)&1, ^(w>>27^s)&1
	return signExtend(s<<24|i1<<23|i2<<22|w&0x3FF<<12|w>>16&0x7FF<<1, 25)
}

// thumbCondDistance returns that of B with a condition.
func thumbCondDistance(w uint32) int64 {
	return signExtend(w>>10&1<<20|w>>27&1<<19|w>>29&1<<18|w&0x3F<<12|w>>16&0x7FF<<1, 21)
}

// predictArm puts the target t into the instruction or literal s, which lies at addr.
// It reports whether t is in reach.
func predictArm(s *site, t, addr uint64) (uint64, bool) {
	w := uint32(s.word)
	d := int64(t - addr)
	switch s.enc {
	case encArmBranch:
		d -= 8
		v := uint32(d>>2) & 0xFFFFFF
		if w>>28 == 15 {
			return uint64(w&0xFE000000 | uint32(d>>1)&1<<24 | v), d&1 == 0 && d >= -1<<25 && d < 1<<25
		}
		return uint64(w&0xFF000000 | v), d&3 == 0 && d >= -1<<25 && d < 1<<25
	case encThumbShort:
		d -= 4
		return uint64(w&0xF800 | uint32(d>>1)&0x7FF), d&1 == 0 && d >= -1<<11 && d < 1<<11
	case encThumbShortCond:
		d -= 4
		return uint64(w&0xFF00 | uint32(d>>1)&0xFF), d&1 == 0 && d >= -1<<8 && d < 1<<8
	case encThumbBranch:
		d -= 4
		if w>>28&5 == 4 {
			d += int64(addr & 2)
		}
		v := uint32(d)
		s := v >> 24 & 1
		w = w&0xD000F800 | s<<10 | v>>12&0x3FF | v>>1&0x7FF<<16 | (^(v>>23)^s)&1<<29 | (^(v>>22)^s)&1<<27
		return uint64(w), d&1 == 0 && d >= -1<<24 && d < 1<<24
	case encThumbCond:
		d -= 4
		v := uint32(d)
		w = w&0xD000FBC0 | v>>20&1<<10 | v>>12&0x3F | v>>1&0x7FF<<16 | v>>18&1<<29 | v>>19&1<<27
		return uint64(w), d&1 == 0 && d >= -1<<20 && d < 1<<20
	}
	// Of an entry of the procedure linkage table.
	v := uint32(d - int64(s.bias))
	switch s.enc {
	case encArmLinkage:
		return uint64(w&^0xFF | v>>20&0xFF), v < 1<<28
	case encArmLinkage + 1:
		return uint64(w&^0xFF | v>>12&0xFF), v < 1<<28
	}
	return uint64(w&^0xFFF | v&0xFFF), v < 1<<28
}

// predictArmValue puts a 32-bit number into a literal, a MOVW or a MOVT.
func predictArmValue(s *site, v uint32) uint64 {
	w := uint32(s.word)
	if s.enc == encArmTop || s.enc == encThumbTop {
		v >>= 16
	}
	switch s.enc {
	case encArmHalf, encArmTop:
		return uint64(w&0xFFF0F000 | v>>12&15<<16 | v&0xFFF)
	case encThumbHalf, encThumbTop:
		return uint64(w&0x8F00FBF0 | v>>12&15 | v>>11&1<<10 | v>>8&7<<28 | v&0xFF<<16)
	}
	return uint64(v)
}

// readArm returns the target of a branch.
func (s *site) readArm(w uint32, addr uint64) (uint64, bool) {
	switch s.enc {
	case encArmBranch:
		t := addr + 8 + uint64(signExtend(w, 24)*4)
		if w>>28 == 15 {
			t += uint64(w >> 24 & 1 * 2)
		}
		return t, true
	case encThumbBranch:
		t := addr + 4 + uint64(thumbDistance(w))
		if w>>28&5 == 4 {
			t -= addr & 2
		}
		return t, true
	case encThumbCond:
		return addr + 4 + uint64(thumbCondDistance(w)), true
	}
	return 0, false
}
