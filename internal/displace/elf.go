// SPDX-License-Identifier: MIT

package displace

import (
	"bytes"
	"cmp"
	"debug/elf"
	"encoding/binary"
	"io"
	"math"
	"slices"
)

// modules finds the ELF files of an image and describes them. What overlaps
// with what was found before is left out.
func modules(image Image) (side, error) {
	var found side
	add := func(extents []Extent) {
		if m, ok := elfModule(image.R, extents); ok {
			found = append(found, m)
		}
	}
	known := map[int64]bool{}
	for _, extents := range image.Files {
		if inImage(extents, image.Size) && len(extents) > 0 {
			known[extents[0].Off] = true
			add(extents)
		}
	}
	err := eachMagic(image, func(off int64) {
		if !known[off] {
			add([]Extent{{off, image.Size - off}})
		}
	})
	if err != nil {
		return nil, err
	}
	return found.disjoint(), nil
}

func inImage(extents []Extent, size int64) bool {
	for _, e := range extents {
		if e.Off < 0 || e.Len <= 0 || e.Len > size || e.Off > size-e.Len {
			return false
		}
	}
	return true
}

// eachMagic calls f for each place where an ELF file may start.
func eachMagic(image Image, f func(off int64)) error {
	const chunk = 1 << 20
	magic := []byte(elf.ELFMAG)
	b := make([]byte, chunk)
	for at := int64(0); at < image.Size; at += chunk - int64(len(magic)-1) {
		b = b[:min(chunk, image.Size-at)]
		if err := readAt(image.R, b, at); err != nil {
			return err
		}
		for i := 0; ; {
			n := bytes.Index(b[i:], magic)
			if n < 0 {
				break
			}
			i += n
			f(at + int64(i))
			i++
		}
	}
	return nil
}

// disjoint leaves out modules that overlap with one that starts before them.
func (s side) disjoint() side {
	slices.SortStableFunc(s, func(a, b module) int { return cmp.Compare(a.segments[0].off, b.segments[0].off) })
	var taken []segment // sorted, disjoint
	return slices.DeleteFunc(s, func(m module) bool {
		for _, g := range m.segments {
			i, _ := slices.BinarySearchFunc(taken, g.off, func(t segment, off int64) int {
				return cmp.Or(cmp.Compare(t.end(), off), -1)
			})
			if i < len(taken) && taken[i].off < g.end() {
				return true
			}
		}
		for _, g := range m.segments {
			i, _ := slices.BinarySearchFunc(taken, g.off, func(t segment, off int64) int { return cmp.Compare(t.off, off) })
			taken = slices.Insert(taken, i, g)
		}
		return false
	})
}

// elfModule describes the ELF file that consists of these extents. It reports
// whether there is anything to describe.
func elfModule(image io.ReaderAt, extents []Extent) (module, bool) {
	view := newView(image, extents)
	f, err := elf.NewFile(io.NewSectionReader(view, 0, view.size()))
	if err != nil || f.ByteOrder != binary.LittleEndian {
		return module{}, false
	}
	var m module
	for _, p := range f.Progs {
		// Kernels have a segment at address 0 for what each processor has its own of.
		if p.Type != elf.PT_LOAD || p.Filesz == 0 || p.Vaddr == 0 && p.Off != 0 {
			continue
		}
		m.segments = append(m.segments, view.segments(p.Off, p.Filesz, p.Vaddr)...)
		if p.Memsz > p.Filesz {
			m.bss = area{p.Vaddr + p.Filesz, p.Memsz - p.Filesz}
		}
	}
	if f.Type == elf.ET_REL {
		return objectModule(f, view)
	}
	for _, s := range f.Sections {
		if s.ReaderAt == nil {
			continue // compressed, and not to be read as it is
		}
		if s.Type == elf.SHT_NOBITS && s.Name == ".bss" {
			m.bss = area{s.Addr, s.Size}
		}
		ranges := sectionRanges(f, s)
		if t, ok := typeRange(s, s.Addr, m.next()); ok && s.Name == ".BTF" {
			ranges = []codeKind{t}
		}
		for _, r := range ranges {
			for _, g := range view.segments(uint64(r.off), uint64(r.len), 0) {
				m.ranges = append(m.ranges, codeKind{off: g.off, len: g.len, kind: r.kind, ref: r.ref, ref2: r.ref2})
			}
		}
	}
	if len(f.Sections) == 0 {
		for _, p := range f.Progs {
			if kind, ok := codeOf(f); ok && p.Type == elf.PT_LOAD && p.Flags&elf.PF_X != 0 {
				for _, g := range view.segments(p.Off, p.Filesz, 0) {
					m.ranges = append(m.ranges, codeKind{off: g.off, len: g.len, kind: kind, ref: gotAddress(f)})
				}
			}
		}
	}
	slices.SortFunc(m.segments, func(a, b segment) int { return cmp.Compare(a.off, b.off) })
	sortRanges(m.ranges)
	if len(m.segments) == 0 {
		return m, false
	}
	// One that breaks a rule of plans by itself is left alone.
	ok := side{m}.check(math.MaxInt64) == nil
	return m, ok
}

func sortRanges(r []codeKind) {
	slices.SortFunc(r, func(a, b codeKind) int { return cmp.Compare(a.off, b.off) })
}

// gotAddress returns the address that position independent code of 32-bit x86
// addresses data from.
func gotAddress(f *elf.File) uint64 {
	for _, name := range []string{".got.plt", ".got"} {
		if s := f.Section(name); s != nil {
			return s.Addr
		}
	}
	return 0
}

// codeOf returns the kind of the code of f.
func codeOf(f *elf.File) (Kind, bool) {
	switch f.Machine {
	case elf.EM_X86_64:
		if f.Type == elf.ET_EXEC {
			return CodeX64Absolute, true
		}
		return CodeX64, true
	case elf.EM_386:
		return CodeI386, true
	case elf.EM_AARCH64:
		return CodeArm64, true
	case elf.EM_ARM:
		return CodeThumb, true
	case elf.EM_RISCV:
		return CodeRiscv64, f.Class == elf.ELFCLASS64
	}
	return 0, false
}

// sectionRanges returns what s holds, as ranges of the file, if it is anything that can be predicted.
func sectionRanges(f *elf.File, s *elf.Section) []codeKind {
	if s.Type == elf.SHT_NOBITS || s.Size == 0 || s.Offset > math.MaxInt64 || s.Size > math.MaxInt64 {
		return nil
	}
	whole := codeKind{off: int64(s.Offset), len: int64(s.Size)}
	by := func(kind64, kind32 Kind, ref uint64) []codeKind {
		whole.kind, whole.ref = kind64, ref
		if f.Class == elf.ELFCLASS32 {
			whole.kind = kind32
		}
		return []codeKind{whole}
	}
	linked := uint64(0) // address of the section that s refers to
	if int(s.Link) < len(f.Sections) {
		linked = f.Sections[s.Link].Addr
	}
	switch s.Type {
	case elf.SHT_RELA:
		if f.Class == elf.ELFCLASS64 {
			return by(Relocations64, 0, linked)
		}
	case elf.SHT_REL:
		if f.Class == elf.ELFCLASS32 {
			return by(0, Relocations32, linked)
		}
	case shtRelr:
		return by(PackedRelocs64, Pointers32, 0)
	case elf.SHT_DYNSYM, elf.SHT_SYMTAB:
		return by(Symbols64, Symbols32, linked)
	case elf.SHT_GNU_HASH:
		return hashBuckets(f, s, linked)
	case elf.SHT_INIT_ARRAY, elf.SHT_FINI_ARRAY, elf.SHT_PREINIT_ARRAY, elf.SHT_DYNAMIC:
		return by(Pointers64, Pointers32, 0)
	case elf.SHT_PROGBITS, shtUnwind:
		switch {
		case s.Flags&elf.SHF_EXECINSTR != 0:
			if kind, ok := codeOf(f); ok {
				if kind == CodeThumb && mostlyArm(s) {
					kind = CodeArm
				}
				return by(kind, kind, gotAddress(f))
			}
		case f.Machine == elf.EM_ARM && s.Type == shtUnwind:
			return by(UnwindIndex, UnwindIndex, 0)
		case s.Name == ".eh_frame":
			return by(Frames, Frames, 0)
		case s.Name == ".eh_frame_hdr":
			return by(FrameIndex, FrameIndex, s.Addr)
		case s.Name == ".rodata" && f.Type == elf.ET_EXEC && f.Class == elf.ELFCLASS64:
			return kernelReadOnly(f, s)
		case kernelDistances[s.Name]:
			return by(Distances32, Distances32, 0)
		case s.Flags&elf.SHF_WRITE != 0, kernelPointers[s.Name]:
			return by(Pointers64, Pointers32, 0)
		}
	}
	return nil
}

// Section types that debug/elf has no names for.
const (
	shtRelr   = elf.SectionType(19)
	shtUnwind = elf.SectionType(0x70000001) // SHT_X86_64_UNWIND, SHT_ARM_EXIDX
)

// mostlyArm reports whether s, code of 32-bit arm, is rather ARM than Thumb: most
// instructions of ARM have no condition, which is 14 in the highest bits.
func mostlyArm(s *elf.Section) bool {
	b := make([]byte, min(s.Size, 64<<10)&^3)
	if _, err := s.ReadAt(b, 0); err != nil {
		return false
	}
	n := 0
	for i := 3; i < len(b); i += 4 {
		if b[i]>>4 == 14 {
			n++
		}
	}
	return n > len(b)/4/2
}

// hashBuckets returns the range of the buckets of a .gnu.hash section.
func hashBuckets(f *elf.File, s *elf.Section, symbols uint64) []codeKind {
	var head [16]byte
	if _, err := s.ReadAt(head[:], 0); err != nil {
		return nil
	}
	word, kind := uint64(8), SymbolNumbers64
	if f.Class == elf.ELFCLASS32 {
		word, kind = 4, SymbolNumbers32
	}
	buckets := uint64(binary.LittleEndian.Uint32(head[:]))
	bloom := uint64(binary.LittleEndian.Uint32(head[8:]))
	at, n := 16+bloom*word, buckets*4
	if n == 0 || at+n > s.Size {
		return nil
	}
	return []codeKind{{off: int64(s.Offset + at), len: int64(n), kind: kind, ref: symbols}}
}

// A view is a file that lies in extents of an image.
type view struct {
	image   io.ReaderAt
	extents []Extent
}

func newView(image io.ReaderAt, extents []Extent) view { return view{image, extents} }

func (v view) size() (n int64) {
	for _, e := range v.extents {
		n += e.Len
	}
	return n
}

// ReadAt reads the file at off.
func (v view) ReadAt(b []byte, off int64) (n int, err error) {
	for _, e := range v.extents {
		if off >= e.Len {
			off -= e.Len
			continue
		}
		k, err := v.image.ReadAt(b[n:n+int(min(int64(len(b)-n), e.Len-off))], e.Off+off)
		if n += k; err != nil && err != io.EOF || n == len(b) {
			return n, err
		}
		off = 0
	}
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

// segments returns where n bytes of the file at off lie in the image, the
// first at address addr. What leaves the file is left out.
func (v view) segments(off, n, addr uint64) []segment {
	var out []segment
	at := uint64(0)
	for _, e := range v.extents {
		lo, hi := max(off, at), min(off+n, at+uint64(e.Len))
		if off+n < off {
			return nil
		}
		if lo < hi {
			out = append(out, segment{e.Off + int64(lo-at), int64(hi - lo), addr + lo - off})
		}
		at += uint64(e.Len)
	}
	return out
}
