// SPDX-License-Identifier: MIT

package displace

import "encoding/binary"

// The tables below say what follows each opcode of x86 (Intel, "64 and IA-32
// Architectures Software Developer's Manual", volume 2, appendix A). They are
// part of the format: another reading of an opcode makes other sites. That is
// why no disassembler of a library is used, whose next version may differ.
//
//	n  nothing               m  ModRM                 p  a prefix
//	b  imm8                  B  ModRM, imm8           j  rel8
//	z  imm16 or imm32        Z  ModRM, imm16/imm32    J  rel32
//	w  imm16                 e  imm16, imm8           f  imm16, imm32
//	v  imm16, imm32, imm64   a  an address            x  an escape
//	g  ModRM, and imm8 where reg is 0 or 1            G  the same with imm16/imm32
const (
	x86One = "" +
		"mmmmbznnmmmmbznx" + "mmmmbznnmmmmbznn" + // 00, 10
		"mmmmbzpnmmmmbzpn" + "mmmmbzpnmmmmbzpn" + // 20, 30
		"nnnnnnnnnnnnnnnn" + "nnnnnnnnnnnnnnnn" + // 40, 50
		"nnmmppppzZbBnnnn" + "jjjjjjjjjjjjjjjj" + // 60, 70
		"BZBBmmmmmmmmmmmm" + "nnnnnnnnnnfnnnnn" + // 80, 90
		"aaaannnnbznnnnnn" + "bbbbbbbbvvvvvvvv" + // A0, B0
		"BBwnmmBZenwnnbnn" + "mmmmbbnnmmmmmmmm" + // C0, D0
		"jjjjbbbbJJfjnnnn" + "pnppnngGnnnnnnmm" // E0, F0
	x86Two = "" + // behind 0F
		"mmmmnnnnnnnnnmnB" + "mmmmmmmmmmmmmmmm" + // 00, 10
		"mmmmmmmmmmmmmmmm" + "nnnnnnnnxnxnnnnn" + // 20, 30
		"mmmmmmmmmmmmmmmm" + "mmmmmmmmmmmmmmmm" + // 40, 50
		"mmmmmmmmmmmmmmmm" + "BBBBmmmnmmmmmmmm" + // 60, 70
		"JJJJJJJJJJJJJJJJ" + "mmmmmmmmmmmmmmmm" + // 80, 90
		"nnnmBmnnnnnmBmmm" + "mmmmmmmmmmBmmmmm" + // A0, B0
		"mmBmBBBmnnnnnnnn" + "mmmmmmmmmmmmmmmm" + // C0, D0
		"mmmmmmmmmmmmmmmm" + "mmmmmmmmmmmmmmmm" // E0, F0
)

// x86Longest is the length of the longest instruction, in bytes.
const x86Longest = 15

// x86Insn is an instruction as far as it matters here. Places count from its
// first byte; 0 says that it has no such field of four bytes.
type x86Insn struct {
	size   int
	branch int  // of a rel32
	disp   int  // of a disp32
	imm    int  // of an imm32
	rip    bool // the disp32 counts from the end of the instruction
	call   bool // E8
	cond   bool // a conditional branch
}

// x86Decode reads the instruction at b[0], in 64-bit or 32-bit mode. What it
// cannot read, or what b does not hold in full, is an instruction of one byte.
func x86Decode(b []byte, long bool) x86Insn {
	in := x86Decoder{b: b, long: long}
	if !in.opcode() || in.at > len(b) || in.at > x86Longest {
		return x86Insn{size: 1}
	}
	in.size = in.at
	return in.x86Insn
}

type x86Decoder struct {
	x86Insn
	b       []byte
	at      int
	long    bool // 64-bit mode
	op16    bool // prefix 66
	wide    bool // REX.W
	address bool // prefix 67
}

// next returns the byte at in.at, and 0 behind the end: x86Decode looks at the
// length afterwards.
func (in *x86Decoder) next() byte {
	in.at++
	if in.at > len(in.b) {
		return 0
	}
	return in.b[in.at-1]
}

func (in *x86Decoder) opcode() bool {
	op := in.next()
	for x86One[op] == 'p' {
		switch op {
		case 0x66:
			in.op16 = true
		case 0x67:
			in.address = true
		}
		if in.at >= x86Longest {
			return false
		}
		op = in.next()
	}
	if in.long && op&0xF0 == 0x40 {
		in.wide = op&8 != 0
		op = in.next()
	}
	// In 32-bit mode C4, C5 and 62 are other instructions if a memory operand
	// follows.
	if op == 0xC5 || op == 0xC4 || op == 0x62 {
		if in.at < len(in.b) && (in.long || in.b[in.at] >= 0xC0) {
			return in.vector(op)
		}
	}
	if op != 0x0F {
		in.call = op == 0xE8
		return in.operands(x86One[op], op)
	}
	op = in.next()
	switch op {
	case 0x38:
		op = in.next()
		return in.operands('m', op)
	case 0x3A:
		op = in.next()
		return in.operands('B', op)
	}
	in.cond = op&0xF0 == 0x80
	return in.operands(x86Two[op], op)
}

// vector reads what follows a VEX or EVEX prefix.
func (in *x86Decoder) vector(op byte) bool {
	m := byte(1)
	switch op {
	case 0xC5:
		in.next()
	case 0xC4:
		m = in.next() & 31
		in.next()
	case 0x62:
		m = in.next() & 7
		in.next()
		in.next()
	}
	op = in.next()
	switch m {
	case 1:
		return in.operands(x86Two[op], op)
	case 2, 5, 6:
		return in.operands('m', op)
	case 3:
		return in.operands('B', op)
	}
	return false
}

// operands reads what stands behind the opcode.
func (in *x86Decoder) operands(class, op byte) bool {
	switch class {
	case 'n':
		return true
	case 'b', 'j':
		in.at++
		return true
	case 'w':
		in.at += 2
		return true
	case 'e':
		in.at += 3
		return true
	case 'f':
		in.at += 6
		return !in.long
	case 'a':
		if in.long != in.address {
			in.at += 8
		} else {
			in.disp = in.at
			in.at += 4
		}
		return true
	case 'J':
		in.branch = in.at
		in.at += 4
		return true
	case 'z':
		in.immediate()
		return true
	case 'v':
		if in.wide {
			in.at += 8
		} else {
			in.immediate()
		}
		return true
	case 'p', 'x':
		return false
	}
	reg, ok := in.modRM()
	if !ok {
		return false
	}
	switch {
	case class == 'B', class == 'g' && reg < 2:
		in.at++
	case class == 'Z', class == 'G' && reg < 2:
		in.immediate()
	}
	return true
}

func (in *x86Decoder) immediate() {
	if in.op16 && !in.wide {
		in.at += 2
		return
	}
	in.imm = in.at
	in.at += 4
}

// modRM reads the ModRM byte, the SIB byte and the displacement, and returns
// the reg field.
func (in *x86Decoder) modRM() (reg byte, ok bool) {
	if in.address && !in.long {
		return 0, false // 16-bit addressing
	}
	m := in.next()
	mod, rm := m>>6, m&7
	reg = m >> 3 & 7
	if mod == 3 {
		return reg, true
	}
	long := mod == 2
	if rm == 4 {
		if s := in.next(); mod == 0 && s&7 == 5 {
			long = true
		}
	} else if mod == 0 && rm == 5 {
		in.rip = in.long
		long = true
	}
	switch {
	case long:
		in.disp = in.at
		in.at += 4
	case mod == 1:
		in.at++
	}
	return reg, true
}

// x86Before is how far before a block decoding starts, so that it meets
// the real starts of instructions by then.
const x86Before = 64

// scanX86 finds the sites of a block of x86 code. Instructions are read one
// after the other from the start of the context on.
func scanX86(c *context, out []site) []site {
	long := c.kind != CodeI386
	absolute := c.kind == CodeX64Absolute || c.kind == CodeI386
	var called uint64 // return address of the last call
	for i := 0; i < c.end; {
		in := x86Decode(c.b[i:], long)
		end := c.addr + uint64(i+in.size)
		if !long {
			end = uint64(uint32(end))
		}
		field := func(at int) (int, uint64, int64) {
			v := binary.LittleEndian.Uint32(c.b[i+at:])
			return i + at, uint64(v), int64(int32(v))
		}
		relative := func(at int, form uint8) {
			p, v, d := field(at)
			t := end + uint64(d)
			if !long {
				t = uint64(uint32(t))
			}
			if c.inside(t) {
				out = c.add(out, site{at: int32(p), enc: encRel32, size: 4, form: form, word: v, target: t,
					bias: int32(in.size - at)})
			}
		}
		address := func(at int) {
			p, v, d := field(at)
			t := uint64(d)
			if !long {
				t = v
			}
			if t >= lowestAbsolute && c.inside(t) {
				out = c.add(out, site{at: int32(p), enc: encAbs32, size: 4, form: formData, word: v, target: t})
			}
		}
		switch {
		case in.branch > 0 && in.cond:
			relative(in.branch, formCond)
		case in.branch > 0:
			relative(in.branch, formCall)
			if in.call {
				called = end
			}
		case in.disp > 0 && in.rip:
			relative(in.disp, formData)
		case in.disp > 0 && absolute:
			address(in.disp)
		}
		if in.imm > 0 && absolute {
			address(in.imm)
		}
		if !long && c.ref != 0 {
			out = c.i386Base(out, i, in, called)
		}
		i += in.size
	}
	return out
}

// i386Base finds what counts from the global offset table, the base of
// position independent code: disp32(%ebx), and the constant that is added to
// the return address of a call in order to find the table itself.
func (c *context) i386Base(out []site, i int, in x86Insn, called uint64) []site {
	if in.disp > 0 {
		v := binary.LittleEndian.Uint32(c.b[i+in.disp:])
		t := uint64(uint32(c.ref) + v)
		if c.inside(t) {
			out = c.add(out, site{at: int32(i + in.disp), enc: encBase32, size: 4, form: formData,
				word: uint64(v), target: t})
		}
	}
	if in.imm > 0 && called != 0 {
		v := binary.LittleEndian.Uint32(c.b[i+in.imm:])
		if uint32(called)+v == uint32(c.ref) {
			bias := called - (c.addr + uint64(i+in.imm))
			out = c.add(out, site{at: int32(i + in.imm), enc: encRel32, size: 4, form: formData,
				word: uint64(v), target: c.ref, bias: int32(bias)})
		}
	}
	return out
}
