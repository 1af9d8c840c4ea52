// SPDX-License-Identifier: MIT

package member

import (
	"encoding/binary"
	"os"
	"slices"
	"strings"
	"testing"

	"swudelta/internal/tooltest"
)

// TestKernels opens what the build of Linux compresses a kernel with (scripts/Makefile.lib), in what
// stands around it: the code that unpacks it (bzImage, zImage), and the length of the content behind it,
// in which a legacy LZ4 stream has no end of its own. An Image.gz is a payload alone.
func TestKernels(t *testing.T) {
	code := tooltest.Random(5, 20_000)
	elf, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	elf = elf[:400_000]
	for _, c := range []struct{ want, command string }{
		{"gzip", "gzip -n -f -9"}, {"bzip2", "bzip2 -9"}, {"lzma", "lzma -9"}, {"lz4", "lz4 -l -9 -q"}, {"lz4", "lz4 -l -c1 -q"},
		{"xz", "xz --check=crc32 --x86 --lzma2=,dict=32MiB"}, {"xz", "xz --check=crc32 --arm --lzma2=,dict=32MiB"},
		{"zstd", "zstd -22 --ultra -q"},
	} {
		t.Run(strings.ReplaceAll(c.command, " ", ""), func(t *testing.T) {
			args := strings.Fields(c.command)
			tooltest.Need(t, args[0])
			payload := output(t, elf, args[0], append(args[1:], "-c")...)
			kernel := slices.Concat(code, payload, binary.LittleEndian.AppendUint32(nil, uint32(len(elf))), code[:5000])
			list, err := (&Finder{}).Find(kernel)
			if err != nil {
				t.Fatal(err)
			}
			if got := shape(list); got != c.want {
				t.Fatalf("found %q, want %q", got, c.want)
			}
			check(t, kernel, list)
		})
	}
}

// TestRealKernels opens and closes the kernels that SWUDELTA_KERNELS names, separated by blanks, and says
// what that takes: zImages of distributions, say, or what gzip makes of an Image.
func TestRealKernels(t *testing.T) {
	names := strings.Fields(os.Getenv("SWUDELTA_KERNELS"))
	if len(names) == 0 {
		t.Skip("SWUDELTA_KERNELS names no kernels")
	}
	for _, name := range names {
		kernel, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		list, err := (&Finder{}).Find(kernel)
		if err != nil {
			t.Fatal(err)
		}
		largest := 0
		for _, m := range list {
			if err := m.Close(libraries()); err != nil {
				t.Logf("%s: %v at %d, %d bytes: %v", name, m.Number, m.Off, m.Len, err)
				continue
			}
			memory, err := formats[m.Number].CloseMemory(m.CloseParams, int64(len(m.Content)), m.Len)
			if err != nil {
				t.Fatal(err)
			}
			largest = max(largest, len(m.Content))
			t.Logf("%s: %v at %d, %d bytes of %d, closes with %d bytes and %d MiB",
				name, m.Number, m.Off, m.Len, len(m.Content), len(m.CloseParams), memory>>20)
		}
		if largest < len(kernel) {
			t.Errorf("%s: the payload was not opened and closed", name)
		}
	}
}

// TestRamdisks opens initial ramdisks as initramfs-tools and dracut make them: an archive with microcode
// that is not compressed, then one that is, with modules that are compressed in their own way.
func TestRamdisks(t *testing.T) {
	tooltest.Need(t, "xz", "zstd", "gzip")
	early := slices.Concat([]byte("070701kernel/x86/microcode/GenuineIntel.bin"), tooltest.Random(6, 9000), make([]byte, 400))
	var main []byte
	for _, command := range []string{"xz --check=crc32 --lzma2=dict=1MiB", "zstd -q", "gzip -n"} {
		args := strings.Fields(command)
		module := slices.Concat([]byte("\x7fELF of "+command), text(20_000+len(main)))
		main = slices.Concat(main, []byte("070701 module"), output(t, module, args[0], append(args[1:], "-c")...), make([]byte, 3))
	}
	main = append(main, text(150_000)...)
	for _, command := range []string{"gzip -n", "xz --check=crc32", "zstd -q -9 -T0", "zstd -q -19 -T0", "lz4 -9 -l -q", "lzma", "bzip2", "cat"} {
		args := strings.Fields(command)
		tooltest.Need(t, args[0])
		stored, want := main, "xz zstd gzip"
		if args[0] != "cat" {
			stored, want = output(t, main, args[0], append(args[1:], "-c")...), args[0]+"(xz zstd gzip)"
		}
		disk := slices.Concat(early, stored, make([]byte, 100))
		list, err := (&Finder{}).Find(disk)
		if err != nil {
			t.Fatal(err)
		}
		if got := shape(list); got != want {
			t.Errorf("%s: found %q, want %q", command, got, want)
			continue
		}
		check(t, disk, list)
	}
}
