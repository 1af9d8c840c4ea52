// SPDX-License-Identifier: MIT

package bzip2_test

import (
	"bytes"
	stdbzip2 "compress/bzip2"
	"io"
	"os"
	"strconv"
	"testing"

	"swudelta/internal/bzip2"
	"swudelta/internal/codec"
)

// benchSource returns the file that SWUDELTA_BENCH names (a raw diff stream, say), or
// squares in decimal.
func benchSource(b *testing.B) (src []byte) {
	if name := os.Getenv("SWUDELTA_BENCH"); name != "" {
		data, err := os.ReadFile(name)
		if err != nil {
			b.Fatal(err)
		}
		return data
	}
	for i := range 200_000 {
		src = strconv.AppendInt(src, int64(i*i), 10)
	}
	return src
}

// BenchmarkReader compares the decoder with that of the standard library, on a stream
// of our encoder and one of blocks that are full.
func BenchmarkReader(b *testing.B) {
	src := benchSource(b)
	streams := map[string]*bytes.Buffer{"cut": new(bytes.Buffer)}
	if err := bzip2.Encode(streams["cut"], src, 2); err != nil {
		b.Fatal(err)
	}
	if lib, err := codec.OpenBzip2(); err == nil {
		streams["full"] = new(bytes.Buffer)
		if err := lib.Compress(streams["full"], src); err != nil {
			b.Fatal(err)
		}
	}
	for name, stream := range streams {
		run := func(by string, decoder func(io.Reader) io.Reader) {
			b.Run(name+"/"+by, func(b *testing.B) {
				b.SetBytes(int64(len(src)))
				b.ReportAllocs()
				buf := make([]byte, 32<<10)
				for b.Loop() {
					r := decoder(bytes.NewReader(stream.Bytes()))
					for {
						if _, err := r.Read(buf); err == io.EOF {
							break
						} else if err != nil {
							b.Fatal(err)
						}
					}
				}
			})
		}
		run("new", func(src io.Reader) io.Reader { return bzip2.NewReader(src) })
		again := bzip2.NewReader(nil)
		run("reset", func(src io.Reader) io.Reader { again.Reset(src); return again })
		run("std", stdbzip2.NewReader)
	}
}

// BenchmarkEncode compares the encoder with libbz2.
func BenchmarkEncode(b *testing.B) {
	src := benchSource(b)
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
	run("quick", func(dst io.Writer) error { return bzip2.Encoder{Quick: true}.Encode(dst, src) })
	lib, err := codec.OpenBzip2()
	if err != nil {
		b.Log(err)
		return
	}
	run("libbz2", func(dst io.Writer) error { return lib.Compress(dst, src) })
}
