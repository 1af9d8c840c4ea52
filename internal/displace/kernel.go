// SPDX-License-Identifier: MIT

package displace

import (
	"debug/elf"
	"encoding/binary"
)

// Sections of Linux kernels that hold distances of 4 bytes (scripts/sorttable.c,
// include/linux/export.h, arch/x86/kernel/vmlinux.lds.S), and those with addresses
// that are not writable.
var (
	kernelDistances = map[string]bool{
		"__ex_table": true, "__bug_table": true, ".orc_unwind_ip": true, ".retpoline_sites": true,
		".return_sites": true, ".call_sites": true, ".altinstructions": true, ".smp_locks": true,
		"__ksymtab": true, "__ksymtab_gpl": true, ".pci_fixup": true, ".ibt_endbr_seal": true,
		".static_call_sites": true, "__jump_table": true, ".initcall.init": true,
	}
	kernelPointers = map[string]bool{"__param": true, ".parainstructions": true, "__modver": true}
)

// A kernel's list of its symbols' addresses (scripts/kallsyms.c, with
// CONFIG_KALLSYMS_BASE_RELATIVE and CONFIG_KALLSYMS_ABSOLUTE_PERCPU) has no section of its own. It is
// sorted: numbers of 4 bytes, each the address of the start of the kernel minus
// that of the symbol minus 1, so they begin at -1 and go down.
const (
	kernelLongRun = 256     // entries in a row by which the list is recognised
	kernelStep    = 1 << 20 // largest step in such a row
	kernelLargest = 64 << 20
)

// kernelReadOnly returns the ranges of the read-only data of a program at a fixed address:
// addresses, and the list of symbols if it has one.
func kernelReadOnly(f *elf.File, s *elf.Section) []codeKind {
	all := codeKind{off: int64(s.Offset), len: int64(s.Size), kind: Pointers64}
	if s.Size > kernelLargest || s.Size != s.FileSize {
		return []codeKind{all}
	}
	b := make([]byte, s.Size)
	if _, err := s.ReadAt(b, 0); err != nil {
		return []codeKind{all}
	}
	first, end := kernelSymbols(b)
	first, end = first&^7, (end+7)&^7
	if first >= end || end > len(b) {
		return []codeKind{all}
	}
	base := s.Addr
	for _, p := range f.Progs {
		if p.Type == elf.PT_LOAD && p.Vaddr != 0 {
			base = min(base, p.Vaddr)
		}
	}
	var out []codeKind
	if first > 0 {
		out = append(out, codeKind{off: all.off, len: int64(first), kind: Pointers64})
	}
	out = append(out, codeKind{off: all.off + int64(first), len: int64(end - first), kind: KernelSymbols, ref: base})
	if end < len(b) {
		out = append(out, codeKind{off: all.off + int64(end), len: int64(len(b) - end), kind: Pointers64})
	}
	return out
}

// kernelSymbols returns where in b the list of symbols lies, from its first to
// its last long run. It starts at -1.
func kernelSymbols(b []byte) (first, end int) {
	start, n := 0, 0
	last := uint32(0)
	for i := 0; i+4 <= len(b); i += 4 {
		v := binary.LittleEndian.Uint32(b[i:])
		if n == 0 || v > last || last-v > kernelStep || int32(v) >= 0 {
			start, n = i, 0
		}
		last = v
		n++
		if n < kernelLongRun || end == 0 && binary.LittleEndian.Uint32(b[start:]) != 1<<32-1 {
			continue
		}
		if end == 0 {
			first = start
		}
		end = i + 4
	}
	return first, end
}
