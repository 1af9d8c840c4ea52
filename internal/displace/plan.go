// SPDX-License-Identifier: MIT

package displace

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"

	"swudelta/internal/fault"
)

// A Kind says what a range of old bytes holds.
type Kind uint8

// The kinds. Their numbers are part of the format.
const (
	CodeX64             Kind = iota // x86-64
	CodeX64Absolute                 // x86-64 at a fixed address: 32-bit addresses, too
	CodeI386                        // 32-bit x86; the reference is the global offset table
	CodeArm64                       // arm64
	CodeRiscv64                     // RISC-V
	CodeArm                         // ARM
	CodeThumb                       // Thumb-2
	Pointers64                      // addresses of 8 bytes
	Pointers32                      // addresses of 4 bytes
	Relocations64                   // RELA of 64-bit ELF; the reference is the symbol table
	Relocations32                   // REL of 32-bit ELF; the reference is the symbol table
	PackedRelocs64                  // RELR of 64-bit ELF
	Symbols64                       // symbol table of 64-bit ELF; the reference is the table of names
	Symbols32                       // the same of 32-bit ELF
	SymbolNumbers64                 // numbers of symbols, 4 bytes each; the reference is the symbol table
	SymbolNumbers32                 // the same of 32-bit ELF
	Frames                          // .eh_frame
	FrameIndex                      // .eh_frame_hdr, which is its own reference
	UnwindIndex                     // .ARM.exidx
	Distances32                     // distances of 4 bytes, each from itself
	ObjectRelocations64             // RELA of 64-bit object files; the references are the symbol table and the section
	ObjectSymbols64                 // symbol table of 64-bit object files; the references are the table of names and itself
	KernelSymbols                   // the list of symbols of a kernel; the reference is its start
	Types                           // .BTF; the references are the names, and the address that stands for number 0

	kinds = iota // how many there are
)

// hasTwo reports whether ranges of this kind have two references.
func (k Kind) hasTwo() bool { return k == ObjectRelocations64 || k == ObjectSymbols64 || k == Types }

// hasReference reports whether fields of ranges of this kind count from an
// address that is stated with the range.
func (k Kind) hasReference() bool {
	switch k {
	case CodeI386, Relocations64, Relocations32, Symbols64, Symbols32, SymbolNumbers64, SymbolNumbers32, FrameIndex,
		KernelSymbols:
		return true
	}
	return k.hasTwo()
}

// A Plan says where programs lie on both sides, at which addresses, and which
// ranges of the old side hold code or tables. Find makes one; its binary form
// is a part of the delta.
type Plan struct {
	oldSize, newSize int64
	old, new         side
	moves            []move // sorted by pair and address, disjoint
}

// A move says where the content of some addresses has gone, against what the
// copies say. Copies do not tell everything: the entries of a procedure linkage
// table look all the same, so they are copied one to one when one of them was
// inserted; and what has no content in the file is not copied.
type move struct {
	pairKey
	piece
}

// A side holds the modules of the old or the new side. Their segments are
// disjoint. Those of the new side have no ranges.
type side []module

// A module is a program: what shares one address space.
type module struct {
	segments []segment // sorted by off
	ranges   []codeKind
	bss      area
}

// A segment is a run of bytes of an image that lies at an address. Addresses
// need not be those of any real machine: distances count.
type segment struct {
	off, len int64
	addr     uint64
}

func (s segment) end() int64 { return s.off + s.len }

// An area is a run of addresses without content in the file.
type area struct{ addr, len uint64 }

// A codeKind is a range of a module and what it holds.
type codeKind struct {
	off, len int64
	kind     Kind
	ref      uint64 // the reference, an address that fields count from; 0 for none
	ref2     uint64 // another one
}

func (r codeKind) end() int64 { return r.off + r.len }

// Empty reports whether there is nothing to predict.
func (p *Plan) Empty() bool { return len(p.old) == 0 || len(p.new) == 0 }

// bounds returns the lowest address of m and that behind its highest.
func (m *module) bounds() (low, high uint64) {
	low = math.MaxUint64
	for _, s := range m.segments {
		low, high = min(low, s.addr), max(high, s.addr+uint64(s.len))
	}
	if m.bss.len > 0 {
		low, high = min(low, m.bss.addr), max(high, m.bss.addr+m.bss.len)
	}
	return low, high
}

// next returns the address behind the last segment.
func (m *module) next() uint64 {
	if len(m.segments) == 0 {
		return 0
	}
	s := m.segments[len(m.segments)-1]
	return s.addr + uint64(s.len)
}

// sorted returns the segments of all modules, sorted by offset.
func (s side) sorted() []modSegment {
	var out []modSegment
	for i := range s {
		for _, g := range s[i].segments {
			out = append(out, modSegment{g, int32(i)})
		}
	}
	slices.SortFunc(out, func(a, b modSegment) int { return cmp.Compare(a.off, b.off) })
	return out
}

// check reports the first rule that s breaks.
func (s side) check(size int64) error {
	var types int64
	for i := range s {
		m := &s[i]
		if m.bss.addr+m.bss.len < m.bss.addr {
			return fault.Dataf("module %d: the addresses of its bss leave 64 bits", i)
		}
		for j, g := range m.segments {
			if j > 0 && g.off < m.segments[j-1].off {
				return fault.Dataf("module %d: segments are not in order", i)
			}
			if g.off < 0 || g.len <= 0 || g.len > size || g.off > size-g.len {
				return fault.Dataf("module %d: segment of %d bytes at %d leaves the file", i, g.len, g.off)
			}
			if g.addr+uint64(g.len) < g.addr {
				return fault.Dataf("module %d: the addresses of segment %d leave 64 bits", i, g.off)
			}
		}
		for j, r := range m.ranges {
			if r.kind >= kinds {
				return fault.Dataf("module %d: unknown kind %d of range", i, r.kind)
			}
			if r.kind == Types {
				types += r.len
			}
			if r.off < 0 || r.len <= 0 || r.len > size || r.off > size-r.len || j > 0 && r.off < m.ranges[j-1].end() {
				return fault.Dataf("module %d: range of %d bytes at %d leaves the file or overlaps", i, r.len, r.off)
			}
		}
	}
	if types > typesLargest {
		return fault.Dataf("%d bytes of types, of at most %d", types, typesLargest)
	}
	all := s.sorted()
	for i := 1; i < len(all); i++ {
		if all[i].off < all[i-1].end() {
			return fault.Dataf("segments overlap at %d", all[i].off)
		}
	}
	return nil
}

// The binary form is a sequence of numbers, each as a varint, signed ones in
// zigzag notation (as encoding/binary has them):
//
//	number of old modules, then each; number of new modules, then each;
//	number of moves, then each
//
// A module is
//
//	number of segments, then for each: offset, length, address
//	number of ranges, then for each: kind, offset, length,       (old side only)
//	    and its references
//	address and length of the bss
//
// Offsets are signed and count from the end of the segment or range before;
// the first range counts from the start of the first segment. Addresses are signed:
// that of a segment counts from the address that continues the segment before
// by the distance in the file (the first of a module from its offset), others
// from the address behind the last segment. Kinds without references state
// none.
//
// A move is
//
//	old module, new module, address, length, shift
//
// The old module and the address are unsigned, the new module is signed, and
// all count from what the move before has: the address from its end, or, where
// the modules are others, from 0. The shift is signed, the new address minus
// the old one, and counts from the shift before, in the same way.

// AppendBinary appends the binary form of p to b.
func (p *Plan) AppendBinary(b []byte) ([]byte, error) {
	b = p.old.append(b, true)
	b = p.new.append(b, false)
	b = binary.AppendUvarint(b, uint64(len(p.moves)))
	var last move
	for _, m := range p.moves {
		if m.pairKey != last.pairKey {
			last.piece = piece{}
		}
		b = binary.AppendUvarint(b, uint64(m.pairKey.old-last.pairKey.old))
		b = binary.AppendVarint(b, int64(m.pairKey.new-last.pairKey.new))
		b = binary.AppendUvarint(b, m.piece.old-last.end())
		b = binary.AppendUvarint(b, m.len)
		b = binary.AppendVarint(b, int64(m.shift()-last.shift()))
		last = m
	}
	return b, nil
}

func (s side) append(b []byte, old bool) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	var end int64 // of the segment before
	for i := range s {
		m := &s[i]
		b = binary.AppendUvarint(b, uint64(len(m.segments)))
		var next uint64 // the address there
		from := int64(0)
		for _, g := range m.segments {
			b = binary.AppendVarint(b, g.off-end)
			b = binary.AppendUvarint(b, uint64(g.len))
			b = binary.AppendVarint(b, int64(g.addr-next-uint64(g.off-from)))
			end, next, from = g.end(), g.addr+uint64(g.len), g.end()
		}
		if old {
			b = m.appendRanges(b, m.start(end), next)
		}
		b = binary.AppendVarint(b, int64(m.bss.addr-next))
		b = binary.AppendUvarint(b, m.bss.len)
	}
	return b
}

// start returns where the first segment starts, or else where the one before
// ended.
func (m *module) start(end int64) int64 {
	if len(m.segments) > 0 {
		return m.segments[0].off
	}
	return end
}

// appendRanges appends the ranges; they count from the offset from, and their
// references from the address next.
func (m *module) appendRanges(b []byte, from int64, next uint64) []byte {
	b = binary.AppendUvarint(b, uint64(len(m.ranges)))
	for _, r := range m.ranges {
		b = append(b, byte(r.kind))
		b = binary.AppendVarint(b, r.off-from)
		b = binary.AppendUvarint(b, uint64(r.len))
		if r.kind.hasReference() {
			b = binary.AppendVarint(b, int64(r.ref-next))
		}
		if r.kind.hasTwo() {
			b = binary.AppendVarint(b, int64(r.ref2-next))
		}
		from = r.end()
	}
	return b
}

// Parse reads the binary form of a plan for sides of the given sizes. Its
// memory is bounded by 64 bytes for each byte of b. What breaks a rule is a
// fault of the data.
func Parse(b []byte, oldSize, newSize int64) (*Plan, error) {
	r := planReader{b: b}
	p := &Plan{oldSize: oldSize, newSize: newSize}
	p.old = r.side(true)
	p.new = r.side(false)
	r.moves(p)
	if r.err == nil && r.at < len(b) {
		r.err = fault.At(int64(r.at), "%d bytes behind the plan", len(b)-r.at)
	}
	if r.err != nil {
		return nil, r.err
	}
	if err := p.check(); err != nil {
		return nil, err
	}
	return p, nil
}

func (p *Plan) check() error {
	if err := p.old.check(p.oldSize); err != nil {
		return fault.Dataf("plan of the old side: %w", err)
	}
	if err := p.new.check(p.newSize); err != nil {
		return fault.Dataf("plan of the new side: %w", err)
	}
	for i, m := range p.moves {
		if m.pairKey.old < 0 || m.pairKey.new < 0 || int(m.pairKey.old) >= len(p.old) ||
			int(m.pairKey.new) >= len(p.new) || m.len == 0 || m.end() < m.piece.old {
			return fault.Dataf("move %d of the plan: no such module, or its addresses leave 64 bits", i)
		}
		if i > 0 && (m.compare(p.moves[i-1].pairKey) < 0 ||
			m.pairKey == p.moves[i-1].pairKey && m.piece.old < p.moves[i-1].end()) {
			return fault.Dataf("move %d of the plan: out of order", i)
		}
	}
	return nil
}

// planReader reads numbers until the first error.
type planReader struct {
	b   []byte
	at  int
	err error
}

func (r *planReader) number() uint64 {
	if r.err != nil {
		return 0
	}
	v, n := binary.Uvarint(r.b[r.at:])
	if n <= 0 {
		r.err = fault.At(int64(r.at), "the plan is cut short or a number exceeds 64 bits")
		return 0
	}
	r.at += n
	return v
}

func (r *planReader) signed() int64 {
	u := r.number()
	return int64(u>>1) ^ -int64(u&1)
}

// count reads how many things follow, each of at least size bytes.
func (r *planReader) count(size int) int {
	n := r.number()
	if r.err == nil && n > uint64(len(r.b)-r.at)/uint64(size) {
		r.err = fault.At(int64(r.at), "the plan has no room for %d entries", n)
	}
	if r.err != nil {
		return 0
	}
	return int(n)
}

func (r *planReader) side(old bool) side {
	s := make(side, r.count(3))
	var end int64
	for i := range s {
		m := &s[i]
		m.segments = make([]segment, r.count(3))
		var next uint64
		from := int64(0)
		for j := range m.segments {
			g := &m.segments[j]
			g.off = end + r.signed()
			g.len = int64(r.number())
			g.addr = next + uint64(g.off-from) + uint64(r.signed())
			end, next, from = g.end(), g.addr+uint64(g.len), g.end()
		}
		if old {
			r.ranges(m, m.start(end), next)
		}
		m.bss.addr = next + uint64(r.signed())
		m.bss.len = r.number()
	}
	return s
}

func (r *planReader) ranges(m *module, from int64, next uint64) {
	m.ranges = make([]codeKind, r.count(3))
	for j := range m.ranges {
		c := &m.ranges[j]
		if k := r.number(); k < kinds {
			c.kind = Kind(k)
		} else if r.err == nil {
			r.err = fault.At(int64(r.at), "unknown kind %d of range: the delta is for a newer version", k)
		}
		c.off = from + r.signed()
		c.len = int64(r.number())
		if c.kind.hasReference() {
			c.ref = next + uint64(r.signed())
		}
		if c.kind.hasTwo() {
			c.ref2 = next + uint64(r.signed())
		}
		from = c.end()
	}
}

func (r *planReader) moves(p *Plan) {
	p.moves = make([]move, r.count(5))
	var last move
	for i := range p.moves {
		m := &p.moves[i]
		m.pairKey.old = last.pairKey.old + int32(min(r.number(), math.MaxInt32/2))
		m.pairKey.new = last.pairKey.new + int32(r.signed())
		if m.pairKey != last.pairKey {
			last.piece = piece{}
		}
		m.piece.old = last.end() + r.number()
		m.len = r.number()
		m.piece.new = m.piece.old + last.shift() + uint64(r.signed())
		last = *m
	}
}
