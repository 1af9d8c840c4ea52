// SPDX-License-Identifier: MIT

package member

import (
	"bytes"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"swudelta/internal/tooltest"
)

// BenchmarkPrograms closes what programs made of a program, and says how many times as long that takes
// as the program does, and how many bytes of parameters and patch there are.
func BenchmarkPrograms(b *testing.B) {
	content, err := os.ReadFile(os.Args[0])
	if err != nil {
		b.Fatal(err)
	}
	content = content[:3<<20]
	for _, command := range []string{
		"lz4 -1 -c", "lz4 -9 -c", "lz4 -l -9 -c", "lz4 -l -12 -c", "xz -0 -c", "xz -6 -c", "xz --check=crc32 --x86 --lzma2=dict=1MiB -c",
		"xz -9e -c", "xz --format=lzma -c", "zstd -3 -c", "zstd -9 -c", "zstd -19 -c", "zstd --ultra -22 -c", "bzip2 -9 -c", "pbzip2 -9 -c",
	} {
		b.Run(strings.ReplaceAll(command, " ", ""), func(b *testing.B) {
			args := strings.Fields(command)
			tooltest.Need(b, args[0])
			begin := time.Now()
			stored := output(b, content, args[0], args[1:]...)
			program := time.Since(begin)
			list, err := (&Finder{}).Find(stored)
			if err != nil || len(list) != 1 {
				b.Fatalf("%d members: %v", len(list), err)
			}
			begin = time.Now()
			if err := list[0].Close(libraries()); err != nil {
				b.Fatal(err)
			}
			analysed := time.Since(begin)
			p, err := formats[list[0].Number].(remade).parse(list[0].CloseParams)
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(content)))
			for b.Loop() {
				if err := formats[list[0].Number].Close(io.Discard, bytes.NewReader(content), list[0].CloseParams, libraries()); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(b.Elapsed().Seconds()/float64(b.N)/program.Seconds(), "x-program")
			b.ReportMetric(analysed.Seconds()/program.Seconds(), "x-program-analysed")
			b.ReportMetric(float64(len(p.maker)), "bytes-parameters")
			b.ReportMetric(float64(len(p.patch)), "bytes-patch")
		})
	}
}
