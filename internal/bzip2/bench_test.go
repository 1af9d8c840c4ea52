// SPDX-License-Identifier: MIT

package bzip2_test

import (
	"bytes"
	"io"
	"os"
	"strconv"
	"testing"

	"swudelta/internal/bzip2"
	"swudelta/internal/codec"
)

// BenchmarkEncode compares the encoder with libbz2 on the file that
// SWUDELTA_BENCH names (a raw diff stream, say), or on squares in decimal.
func BenchmarkEncode(b *testing.B) {
	var src []byte
	if name := os.Getenv("SWUDELTA_BENCH"); name != "" {
		data, err := os.ReadFile(name)
		if err != nil {
			b.Fatal(err)
		}
		src = data
	} else {
		for i := range 200_000 {
			src = strconv.AppendInt(src, int64(i*i), 10)
		}
	}
	run := func(name string, encode func(dst io.Writer) error) {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(src)))
			b.ReportAllocs()
			var out bytes.Buffer
			for b.Loop() {
				out.Reset()
				if err := encode(&out); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(out.Len()), "bytes")
		})
	}
	run("ours/1", func(dst io.Writer) error { return bzip2.Encode(dst, src, 1) })
	run("ours/2", func(dst io.Writer) error { return bzip2.Encode(dst, src, 2) })
	lib, err := codec.OpenBzip2()
	if err != nil {
		b.Log(err)
		return
	}
	run("libbz2", func(dst io.Writer) error { return lib.Compress(dst, src) })
}
