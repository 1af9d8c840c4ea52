// SPDX-License-Identifier: MIT

package displace

// A site is a field of old bytes that holds a distance or an address.
type site struct {
	at     int32  // offset from the start of the block; may be negative
	bias   int32  // what distances count from, as a distance from the field
	enc    uint8  // how the field holds the target
	size   uint8  // bytes of the field, at most 8
	form   uint8  // what the field is, for marks
	word   uint64 // the old bytes
	target uint64 // old address that the field refers to
	from   uint64 // old address that it counts from, if that is another place than its own; else 0
}

// Encodings of a target in a field.
const (
	encRel32    = iota // target minus (address of the field + bias), 32 bits
	encBack32          // address of the field minus target, 32 bits
	encAbs32           // target, 32 bits
	encAbs64           // target, 64 bits
	encBase32          // target minus reference, 32 bits
	encIndex32         // (target minus reference) / record size, above some other bits
	encKernel32        // reference minus target minus 1, 32 bits
	encLength          // length of what lies at target

	encA64Imm26 // arm64: distance in words from bit 0 on
	encA64Imm19 // distance in words from bit 5 on
	encA64Imm14
	encA64Adr   // distance in bytes
	encA64Page  // distance in pages of 4 KiB
	encA64Low12 // place in the page, shifted by bias

	encRiscvJal // RISC-V: distances in bytes
	encRiscvBranch
	encRiscvShortJump
	encRiscvShortBranch
	encRiscvUpper // upper 20 bits of a distance
	encRiscvLow   // lower 12 bits, from the place that is bias away
	encRiscvStore // the same in a store

	encArmBranch  // ARM: distance in words
	encThumbShort // Thumb: distances in bytes
	encThumbShortCond
	encThumbBranch
	encThumbCond
	encArmLinkage // three, of the words of an entry of the procedure linkage table
	encArmLinkage1
	encArmLinkage2
	encDifference // number of 32 bits: target minus (from + bias)
	encArmHalf    // lower and upper half of such a number
	encArmTop
	encThumbHalf
	encThumbTop
	encPrel31   // distance in bytes, 31 bits
	encNumber32 // target minus from, 32 bits; from stays where it is
	encOffset64 // target minus from, 64 bits
)

// lowestAbsolute is the lowest address that is looked for in code as an absolute
// one. Numbers below are rather numbers.
const lowestAbsolute = 0x10000

// A context is a block with the bytes around it that a scanner may look at.
type context struct {
	b          []byte
	start, end int    // the block is b[start:end]
	addr       uint64 // address of b[0]
	first      int64  // offset of b[0] in its range
	kind       Kind
	ref, ref2  uint64 // references of the range

	// section returns where the section of a symbol of an object file starts.
	section func(symbol uint64) (addr uint64, ok bool)

	// record returns the record of types in which the block starts.
	record    func() (typeStart, bool)
	low, high uint64 // addresses of the module
}

// inside reports whether t is an address of the module.
func (c *context) inside(t uint64) bool { return t >= c.low && t < c.high }

// add appends s, whose place counts from b[0], if a byte of it lies in the
// block.
func (c *context) add(out []site, s site) []site {
	if int(s.at)+int(s.size) <= c.start || int(s.at) >= c.end {
		return out
	}
	s.at -= int32(c.start)
	return append(out, s)
}

// A scanner finds the sites of a block of so many bytes. It sees as many bytes
// before and after the block as it asks for, if the range has them.
type scanner struct {
	block, before, after int64
	scan                 func(*context, []site) []site
}

// blockSize is the usual length of a block, in bytes.
const blockSize = 1024

var scanners = [kinds]scanner{
	CodeX64:         {blockSize, x86Before, x86Longest, scanX86},
	CodeX64Absolute: {blockSize, x86Before, x86Longest, scanX86},
	CodeI386:        {blockSize, x86Before, x86Longest, scanX86},
	CodeArm64:       {blockSize, arm64Reach, arm64Reach, scanArm64},
	CodeRiscv64:     {blockSize, riscvReach, riscvReach, scanRiscv},
	CodeArm:         {4 * blockSize, armReach, 8, scanArm},
	CodeThumb:       {4 * blockSize, armReach, 4, scanThumb},
	Pointers64:      {blockSize, 8, 8, scanPointers64},
	Pointers32:      {blockSize, 4, 4, scanPointers32},
	Relocations64:   {blockSize, rela64Size, rela64Size, scanRela64},
	Relocations32:   {blockSize, rel32Size, rel32Size, scanRel32},
	PackedRelocs64:  {blockSize, 8, 8, scanRelr64},
	Symbols64:       {blockSize, symbol64Size, symbol64Size, scanSymbols64},
	Symbols32:       {blockSize, symbol32Size, symbol32Size, scanSymbols32},
	SymbolNumbers64: {blockSize, 4, 4, scanIndexes64},
	SymbolNumbers32: {blockSize, 4, 4, scanIndexes32},
	Frames:          {blockSize, frameBefore, frameLongest + 8, scanFrames},
	FrameIndex:      {blockSize, 4, 4, scanFrameIndex},
	UnwindIndex:     {blockSize, 8, 8, scanUnwindIndex},
	Distances32:     {blockSize, 4, 4, scanDistances32},

	KernelSymbols:       {blockSize, 4, 4, scanKernelSymbols},
	ObjectRelocations64: {blockSize, rela64Size, rela64Size, scanObjectRela64},
	Types:               {blockSize, typeHead, typeHead, scanTypes},
	ObjectSymbols64:     {blockSize, symbol64Size, symbol64Size, scanObjectSymbols64},
}

// predictSite returns the bytes of a field that lies at the new address addr,
// and how its target was found. ref is the reference of its range.
func (m *addressMap) predictSite(s *site, pr *pair, ref uint64, addr uint64) (word uint64, how uint8) {
	t, how := m.moved(pr, s.target)
	if how == MarkUnknown {
		return s.word, how
	}
	switch s.enc {
	case encRel32:
		word = uint64(uint32(t - addr - uint64(int64(s.bias))))
	case encNumber32:
		word = uint64(uint32(t - s.from))
	case encOffset64:
		from, also := m.moved(pr, s.from)
		if also == MarkUnknown {
			return s.word, also
		}
		word = t - from
	case encPrel31:
		word = s.word&(1<<31) | (t-addr)&(1<<31-1)
	case encBack32:
		word = uint64(uint32(addr - t))
	case encAbs32:
		word = uint64(uint32(t))
	case encAbs64:
		word = t
	case encBase32, encIndex32, encKernel32, encLength:
		return m.predictTied(s, pr, ref, t, how)
	default:
		predict := predictArm64
		switch {
		case s.enc >= encDifference:
			return m.predictDifference(s, pr, t, how)
		case s.enc >= encArmBranch:
			predict = predictArm
		case s.enc >= encRiscvJal:
			predict = predictRiscv
		}
		var ok bool
		if word, ok = predict(s, t, addr); !ok {
			return s.word, MarkUnknown
		}
	}
	return word, how
}

// predictTied does so for fields that depend on another address than their
// own. t is where the target has gone.
func (m *addressMap) predictTied(s *site, pr *pair, ref, t uint64, how uint8) (uint64, uint8) {
	if s.enc == encLength {
		// The last byte is what was copied, rather than that behind it.
		end, also := m.moved(pr, s.target+s.word-1)
		if how != MarkExact || also != MarkExact || end < t || end-t > 2*s.word {
			return s.word, MarkUnknown
		}
		return end - t + 1, how
	}
	base, also := m.moved(pr, ref)
	if also == MarkUnknown {
		return s.word, also
	}
	if s.enc == encBase32 {
		return uint64(uint32(t - base)), how
	}
	if s.enc == encKernel32 {
		return uint64(uint32(base - t - 1)), how
	}
	size, low := uint64(s.bias>>8), uint(s.bias&0xff)
	return uint64(uint32((t-base)/size<<low)) | s.word&(1<<low-1), how
}

// predictDifference does so for numbers to which an instruction elsewhere adds
// its own address. Without such one they are addresses.
func (m *addressMap) predictDifference(s *site, pr *pair, t uint64, how uint8) (uint64, uint8) {
	v := uint32(t)
	if s.from != 0 {
		from, also := m.moved(pr, s.from)
		if also == MarkUnknown {
			return s.word, also
		}
		v -= uint32(from) + uint32(s.bias)
	}
	return predictArmValue(s, v), how
}

// read returns the target of a field that holds word at the new address addr;
// base is where the reference of its range has gone, or that of the field itself. It is the inverse of
// predictSite, for those fields that have one target.
func (s *site) read(word, base, addr uint64) (target uint64, ok bool) {
	distance := uint64(int64(int32(word)))
	switch s.enc {
	case encRel32:
		return addr + uint64(int64(s.bias)) + distance, true
	case encBack32:
		return addr - distance, true
	case encAbs32, encAbs64:
		return word, true
	case encBase32:
		return base + distance, true
	case encKernel32:
		return base - 1 - distance, true
	case encIndex32:
		size, low := uint64(s.bias>>8), uint(s.bias&0xff)
		return base + word>>low*size, true
	case encLength:
		return 0, false
	}
	switch {
	case s.enc == encNumber32:
		return s.from + word, true
	case s.enc == encOffset64:
		return base + word, true
	case s.enc == encPrel31:
		return addr + uint64(signExtend(uint32(word), 31)), true
	case s.enc >= encArmBranch:
		return s.readArm(uint32(word), addr)
	case s.enc >= encRiscvJal:
		return s.readRiscv(uint32(word), addr)
	}
	return s.readArm64(uint32(word), addr)
}
