// SPDX-License-Identifier: MIT

package displace

import (
	"debug/elf"
	"encoding/binary"
	"math"
)

// Object files (ELF of type REL; kernel modules are such) have no addresses:
// places are offsets in sections, and instructions are finished by relocations when
// they are loaded. Here the address of a byte is its offset in the file. A
// relocation names a place in the section that it is for, a symbol, and an
// addend, which is an offset in the section of the symbol. Which section that is, stands
// in the old file: in its symbol table and its section table.

const (
	sectionEntry      = 64 // size of an entry of the section table; its offset is at 24
	sectionTableField = 40 // place of the offset of the section table in the head
	reservedSections  = 0xFF00

	// objectsCached is how many symbols are remembered.
	objectsCached = 4096
)

// objectModule describes an object file of 64 bits that lies in one piece.
func objectModule(f *elf.File, v view) (module, bool) {
	var m module
	var head [8]byte
	if _, err := v.ReadAt(head[:], sectionTableField); err != nil || f.Class != elf.ELFCLASS64 {
		return m, false
	}
	table := binary.LittleEndian.Uint64(head[:])
	end := table + uint64(len(f.Sections))*sectionEntry
	if table > math.MaxInt64 || int64(end) > v.size() {
		return m, false
	}
	if m.segments = v.segments(0, end, 0); len(m.segments) != 1 {
		return m, false
	}
	for _, s := range f.Sections {
		if s.ReaderAt == nil || s.Size == 0 || s.Offset > end || s.Size > end-s.Offset || int(s.Link) >= len(f.Sections) {
			continue
		}
		r := codeKind{off: m.segments[0].off + int64(s.Offset), len: int64(s.Size), ref: f.Sections[s.Link].Offset}
		switch {
		case s.Name == ".BTF":
			t, ok := typeRange(s, s.Offset, end)
			if !ok {
				continue
			}
			t.off += m.segments[0].off
			r = t
		case s.Type == elf.SHT_RELA && int(s.Info) < len(f.Sections):
			r.kind, r.ref2 = ObjectRelocations64, f.Sections[s.Info].Offset
		case s.Type == elf.SHT_SYMTAB:
			r.kind, r.ref2 = ObjectSymbols64, s.Offset
		default:
			continue
		}
		m.ranges = append(m.ranges, r)
	}
	sortRanges(m.ranges)
	return m, side{m}.check(math.MaxInt64) == nil
}

// objectSections remembers where the sections of symbols start.
type objectSections map[objectSymbol]uint64

type objectSymbol struct {
	module int32
	symbol uint64 // its address in the symbol table
}

// section returns the address at which the section of a symbol starts, plus its
// value. Undefined symbols and those without a section have none, and so
// has what leaves the file.
func (o objectSections) section(p *Predictor, r *codeRange, symbol uint64) (uint64, bool) {
	key := objectSymbol{r.module, symbol}
	addr, ok := o[key]
	if !ok {
		if len(o) >= objectsCached {
			clear(o)
		}
		addr = readSection(p, r, symbol)
		o[key] = addr
	}
	return addr, addr != 0
}

// readSection does so in the old file, and returns 0 for none.
func readSection(p *Predictor, r *codeRange, symbol uint64) uint64 {
	at := func(addr uint64, b []byte) bool {
		return addr <= uint64(r.headLen) && uint64(len(b)) <= uint64(r.headLen)-addr &&
			readAt(p.old, b, r.head+int64(addr)) == nil
	}
	var head, offset [8]byte
	var entry [symbol64Size]byte
	if !at(sectionTableField, head[:]) || !at(symbol, entry[:]) {
		return 0
	}
	number := uint64(binary.LittleEndian.Uint16(entry[6:]))
	table := binary.LittleEndian.Uint64(head[:])
	if number == 0 || number >= reservedSections || !at(table+number*sectionEntry+24, offset[:]) {
		return 0
	}
	return binary.LittleEndian.Uint64(offset[:])
}

// offset adds the 8-byte number at b[i], an offset from the address base.
func (c *context) offset(out []site, i int, base uint64) []site {
	v, ok := c.u64(i)
	if t := base + v; ok && c.inside(t) {
		out = c.add(out, site{at: int32(i), enc: encOffset64, size: 8, form: formTable, word: v, target: t, from: base})
	}
	return out
}

// scanObjectRela64 finds the place, the symbol and the addend of each relocation.
func scanObjectRela64(c *context, out []site) []site {
	for i := c.firstRecord(rela64Size); i < c.end; i += rela64Size {
		symbol, ok := c.u32(i + 12)
		if !ok {
			continue
		}
		out = c.offset(out, i, c.ref2)
		out = c.index(out, i+12, symbol64Size, 0)
		if base, ok := c.section(c.ref + uint64(symbol)*symbol64Size); ok {
			out = c.offset(out, i+16, base)
		}
	}
	return out
}

// scanObjectSymbols64 finds the name and the value of each symbol, and the length
// of what lies there.
func scanObjectSymbols64(c *context, out []site) []site {
	for i := c.firstRecord(symbol64Size); i < c.end; i += symbol64Size {
		out = c.base32(out, i)
		base, ok := c.section(c.ref2 + uint64(c.first+int64(i)))
		if value, whole := c.u64(i + 8); ok && whole {
			out = c.offset(out, i+8, base)
			out = c.length(out, i+16, 8, base+value)
		}
	}
	return out
}
