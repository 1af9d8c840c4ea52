// SPDX-License-Identifier: MIT

package displace

import (
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestX86Lengths compares the lengths of instructions with those that objdump
// finds, in the programs under testdata and in one of the machine.
func TestX86Lengths(t *testing.T) {
	if _, err := exec.LookPath("objdump"); err != nil {
		t.Skip("objdump is not there to compare with")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile(`(?m)^ *([0-9a-f]+):\t((?:[0-9a-f]{2} )+)`)
	for _, path := range []string{
		filepath.Join("testdata", "x86-64.1"), filepath.Join("testdata", "i386.1"), self,
	} {
		f, err := elf.Open(path)
		if err != nil {
			t.Logf("%s is no ELF file: %v", path, err)
			continue
		}
		defer f.Close()
		if f.Machine != elf.EM_X86_64 && f.Machine != elf.EM_386 {
			continue
		}
		text := f.Section(".text")
		code, err := text.Data()
		if err != nil {
			t.Fatal(err)
		}
		const most = 1 << 20 // bytes that are compared
		end := text.Addr + min(most, text.Size)
		out, err := exec.Command("objdump", "-d", "-w", "-j", ".text",
			"--stop-address="+strconv.FormatUint(end, 10), path).Output()
		if err != nil {
			t.Fatalf("objdump %s: %v", path, err)
		}
		bad, n := 0, 0
		for _, m := range line.FindAllStringSubmatch(string(out), -1) {
			addr, err := strconv.ParseUint(m[1], 16, 64)
			if err != nil {
				t.Fatal(err)
			}
			if end-addr < x86Longest {
				break // objdump may have cut it
			}
			want := len(strings.Fields(m[2]))
			n++
			if got := x86Decode(code[addr-text.Addr:], f.Machine == elf.EM_X86_64).size; got != want {
				if bad++; bad < 10 {
					t.Errorf("%s: %x: % s: %d bytes, want %d", path, addr, m[2], got, want)
				}
			}
		}
		if n == 0 {
			t.Errorf("%s: objdump shows no instruction", path)
		}
		t.Logf("%s: %d of %d instructions of another length", path, bad, n)
	}
}
