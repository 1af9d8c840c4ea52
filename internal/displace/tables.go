// SPDX-License-Identifier: MIT

package displace

import "encoding/binary"

// Layouts of records that hold addresses. Sources: System V ABI, chapters 4 and
// 5; Linux Standard Base Core, "Exception Frames"; ARM IHI 0038, section 5.
const (
	rela64Size   = 24 // r_offset, r_info, r_addend
	rel32Size    = 8  // r_offset, r_info
	symbol64Size = 24 // name, info, other, section, value at 8, size at 16
	symbol32Size = 16 // name, value at 4, size at 8, info, other, section
)

// u32 and u64 return the number at b[i], and false where b does not hold it.
func (c *context) u32(i int) (uint32, bool) {
	if i < 0 || i+4 > len(c.b) {
		return 0, false
	}
	return binary.LittleEndian.Uint32(c.b[i:]), true
}

func (c *context) u64(i int) (uint64, bool) {
	if i < 0 || i+8 > len(c.b) {
		return 0, false
	}
	return binary.LittleEndian.Uint64(c.b[i:]), true
}

// firstRecord returns where in b the first record of size bytes starts that
// reaches into the block. Records are counted from the start of the range.
func (c *context) firstRecord(size int64) int {
	at := c.first + int64(c.start)
	return int(at/size*size - c.first)
}

// abs64 adds the 8-byte address at b[i], if it is one of the module.
func (c *context) abs64(out []site, i int) []site {
	if v, ok := c.u64(i); ok && v != 0 && c.inside(v) {
		out = c.add(out, site{at: int32(i), enc: encAbs64, size: 8, form: formTable, word: v, target: v})
	}
	return out
}

func (c *context) abs32(out []site, i int) []site {
	if v, ok := c.u32(i); ok && v != 0 && c.inside(uint64(v)) {
		out = c.add(out, site{at: int32(i), enc: encAbs32, size: 4, form: formTable, word: uint64(v), target: uint64(v)})
	}
	return out
}

// rel32 adds the 4-byte distance at b[i] from the field itself to an address
// of the module.
func (c *context) rel32(out []site, i int) []site {
	v, ok := c.u32(i)
	t := c.addr + uint64(i) + uint64(int64(int32(v)))
	if !ok || !c.inside(t) {
		return out
	}
	return c.add(out, site{at: int32(i), enc: encRel32, size: 4, form: formRel, word: uint64(v), target: t})
}

// base32 adds the 4-byte distance at b[i] from the reference of the range.
func (c *context) base32(out []site, i int) []site {
	v, ok := c.u32(i)
	t := c.ref + uint64(int64(int32(v)))
	if !ok || c.ref == 0 || !c.inside(t) {
		return out
	}
	return c.add(out, site{at: int32(i), enc: encBase32, size: 4, form: formRel, word: uint64(v), target: t})
}

// index adds the number at b[i] of a record of size bytes in the table that is
// the reference of the range; low bits of it hold something else.
func (c *context) index(out []site, i int, size, low uint8) []site {
	v, ok := c.u32(i)
	t := c.ref + uint64(v>>low)*uint64(size)
	if !ok || v>>low == 0 || c.ref == 0 || !c.inside(t) {
		return out
	}
	return c.add(out, site{at: int32(i), enc: encIndex32, size: 4, form: formRel, word: uint64(v), target: t,
		bias: int32(size)<<8 | int32(low)})
}

// length adds the number of n bytes at b[i], which is the length of what lies
// at address start.
func (c *context) length(out []site, i, n int, start uint64) []site {
	v, ok := c.u32(i)
	if !ok || i+n > len(c.b) || v == 0 || !c.inside(start) || !c.inside(start+uint64(v)-1) {
		return out
	}
	if high, ok := c.u32(i + 4); n == 8 && (!ok || high != 0) {
		return out
	}
	return c.add(out, site{at: int32(i), enc: encLength, size: uint8(n), form: formRel, word: uint64(v), target: start})
}

// scanPointers64 finds addresses of 8 bytes.
func scanPointers64(c *context, out []site) []site {
	for i := c.firstRecord(8); i < c.end; i += 8 {
		out = c.abs64(out, i)
	}
	return out
}

// scanPointers32 finds addresses of 4 bytes.
func scanPointers32(c *context, out []site) []site {
	for i := c.firstRecord(4); i < c.end; i += 4 {
		out = c.abs32(out, i)
	}
	return out
}

// scanDistances32 finds distances of 4 bytes, each from itself.
func scanDistances32(c *context, out []site) []site {
	for i := c.firstRecord(4); i < c.end; i += 4 {
		out = c.rel32(out, i)
	}
	return out
}

// scanRelr64 finds the addresses of a RELR table; odd entries are bitmaps.
func scanRelr64(c *context, out []site) []site {
	for i := c.firstRecord(8); i < c.end; i += 8 {
		if v, ok := c.u64(i); ok && v&1 == 0 {
			out = c.abs64(out, i)
		}
	}
	return out
}

// scanRela64 finds the place of each relocation, its symbol, and, where it has
// none, the address that it puts there. The reference is the symbol table.
func scanRela64(c *context, out []site) []site {
	for i := c.firstRecord(rela64Size); i < c.end; i += rela64Size {
		out = c.abs64(out, i)
		symbol, ok := c.u32(i + 12)
		if !ok {
			break
		}
		if symbol == 0 {
			out = c.abs64(out, i+16)
		} else {
			out = c.index(out, i+12, symbol64Size, 0)
		}
	}
	return out
}

// scanRel32 finds the place of each relocation and its symbol.
func scanRel32(c *context, out []site) []site {
	for i := c.firstRecord(rel32Size); i < c.end; i += rel32Size {
		out = c.abs32(out, i)
		out = c.index(out, i+4, symbol32Size, 8)
	}
	return out
}

// scanSymbols64 finds the name, the address and the length of each symbol. The
// reference is the table of names.
func scanSymbols64(c *context, out []site) []site {
	for i := c.firstRecord(symbol64Size); i < c.end; i += symbol64Size {
		out = c.base32(out, i)
		out = c.abs64(out, i+8)
		start, _ := c.u64(i + 8)
		out = c.length(out, i+16, 8, start)
	}
	return out
}

func scanSymbols32(c *context, out []site) []site {
	for i := c.firstRecord(symbol32Size); i < c.end; i += symbol32Size {
		out = c.base32(out, i)
		out = c.abs32(out, i+4)
		start, _ := c.u32(i + 4)
		out = c.length(out, i+8, 4, uint64(start))
	}
	return out
}

// scanIndexes64 finds numbers of symbols. The reference is the symbol table.
func scanIndexes64(c *context, out []site) []site {
	for i := c.firstRecord(4); i < c.end; i += 4 {
		out = c.index(out, i, symbol64Size, 0)
	}
	return out
}

func scanIndexes32(c *context, out []site) []site {
	for i := c.firstRecord(4); i < c.end; i += 4 {
		out = c.index(out, i, symbol32Size, 0)
	}
	return out
}

// scanFrameIndex finds the fields of .eh_frame_hdr, the reference: a head of
// 12 bytes, with a distance at 4, then pairs of offsets from the reference.
func scanFrameIndex(c *context, out []site) []site {
	for i := c.firstRecord(4); i < c.end; i += 4 {
		switch at := c.first + int64(i); {
		case at == 4:
			out = c.rel32(out, i)
		case at >= 12:
			out = c.base32(out, i)
		}
	}
	return out
}

const (
	// frameBefore is how far before a block a frame may start of which a field
	// lies in the block.
	frameBefore = 24
	// frameLongest is the length of the longest frame that is recognised.
	frameLongest = 1024
)

// scanFrames finds the fields of .eh_frame. A frame (FDE) begins with its length
// and the distance back to its CIE; it is recognised by the next one, which has the
// same CIE, or is a CIE or the end.
func scanFrames(c *context, out []site) []site {
	for i := max(0, c.firstRecord(4)-frameBefore); i < c.end; i += 4 {
		size, _ := c.u32(i)
		back, ok := c.u32(i + 4)
		if !ok || size < 12 || size > frameLongest || size%4 != 0 || back%4 != 0 || back == 0 ||
			int64(back) > c.first+int64(i)+4 {
			continue
		}
		next := i + 4 + int(size)
		nextSize, ok1 := c.u32(next)
		nextBack, ok2 := c.u32(next + 4)
		if !ok1 || nextSize != 0 && (!ok2 || nextBack != 0 && nextBack != back+size+4) {
			continue
		}
		at := c.addr + uint64(i) + 4
		out = c.add(out, site{at: int32(i + 4), enc: encBack32, size: 4, form: formRel, word: uint64(back),
			target: at - uint64(back)})
		start, _ := c.u32(i + 8)
		begin := at + 4 + uint64(int64(int32(start)))
		out = c.rel32(out, i+8)
		out = c.length(out, i+12, 4, begin)
		if size >= 20 && c.b[i+16] == 4 {
			if v, _ := c.u32(i + 17); v != 0 {
				out = c.rel32(out, i+17)
			}
		}
	}
	return out
}

// scanKernelSymbols finds the addresses of a kernel's list of its symbols. Positive
// numbers are no addresses.
func scanKernelSymbols(c *context, out []site) []site {
	for i := c.firstRecord(4); i < c.end; i += 4 {
		v, ok := c.u32(i)
		t := c.ref - 1 - uint64(int64(int32(v)))
		if ok && int32(v) < 0 && c.inside(t) {
			out = c.add(out, site{at: int32(i), enc: encKernel32, size: 4, form: formTable, word: uint64(v), target: t})
		}
	}
	return out
}

// scanUnwindIndex finds the fields of .ARM.exidx: pairs of a distance to a function and
// one to what unwinds it, which is stated in place if the highest bit is set.
func scanUnwindIndex(c *context, out []site) []site {
	for i := c.firstRecord(4); i < c.end; i += 4 {
		w, ok := c.u32(i)
		t := c.addr + uint64(i) + uint64(signExtend(w, 31))
		if !ok || w>>31 == 1 || w == 1 || !c.inside(t) {
			continue
		}
		out = c.add(out, site{at: int32(i), enc: encPrel31, size: 4, form: formRel, word: uint64(w), target: t})
	}
	return out
}
