// SPDX-License-Identifier: MIT

package member

import (
	"bytes"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"swudelta/internal/tooltest"
)

// BenchmarkPrograms closes what programs made of a program, and says how much content a second of
// processor time closes, and how much the table of speeds states; how many times as long it takes as the
// program does, and how many bytes of parameters there are.
func BenchmarkPrograms(b *testing.B) {
	content, err := os.ReadFile(os.Args[0])
	if err != nil {
		b.Fatal(err)
	}
	content = content[:3<<20]
	for _, command := range []string{
		"gzip -1 -c", "gzip -4 -c", "gzip -6 -c", "gzip -7 -c", "gzip -8 -c", "gzip -9 -c",
		"lz4 -1 -c", "lz4 -3 -c", "lz4 -9 -c", "lz4 -l -9 -c", "lz4 -l -12 -c", "xz -0 -c", "xz -1 -c", "xz -3 -c", "xz -4 -c", "xz -6 -c", "xz --check=crc32 --x86 --lzma2=dict=1MiB -c",
		"xz -9e -c", "xz --format=lzma -c", "zstd -1 -c", "zstd -3 -c", "zstd -5 -c", "zstd -8 -c", "zstd -9 -c", "zstd -12 -c", "zstd -15 -c", "zstd -17 -c", "zstd -19 -c", "zstd --ultra -22 -c", "bzip2 -1 -c", "bzip2 -9 -c", "pbzip2 -9 -c",
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
			m := list[0]
			stated, err := CloseTime(m.Number, m.CloseParams, m.Len, int64(len(content)))
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(content)))
			closing := processorTime(b)
			for b.Loop() {
				if err := formats[m.Number].Close(io.Discard, bytes.NewReader(content), m.CloseParams, libraries()); err != nil {
					b.Fatal(err)
				}
			}
			closing = (processorTime(b) - closing) / time.Duration(b.N)
			mb := float64(len(content)) / 1e6
			b.ReportMetric(mb/closing.Seconds(), "MB/cpu-s")
			b.ReportMetric(mb/stated.Seconds(), "MB/cpu-s-stated")
			b.ReportMetric(b.Elapsed().Seconds()/float64(b.N)/program.Seconds(), "x-program")
			b.ReportMetric(analysed.Seconds()/program.Seconds(), "x-program-analysed")
			b.ReportMetric(float64(len(m.CloseParams)), "bytes-parameters")
		})
	}
}

// processorTime is what the process has taken.
func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
