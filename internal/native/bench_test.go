// SPDX-License-Identifier: MIT

package native

import (
	"bytes"
	"encoding/binary"
	"os"
	"testing"

	"swudelta/internal/mix"
)

// BenchmarkDecode decodes a part of the test's program: as literals, and as differences from what has
// another address in every fourth word.
func BenchmarkDecode(b *testing.B) {
	exe, err := os.ReadFile(os.Args[0])
	if err != nil {
		b.Fatal(err)
	}
	new := exe[1<<20:][:stretchSize*8]
	old := bytes.Clone(new)
	for i := 0; i < len(old); i += 16 {
		at := old[i+i/16%12:]
		binary.LittleEndian.PutUint32(at, binary.LittleEndian.Uint32(at)-uint32(i)&0x700)
	}
	for name, code := range map[string]func(c *mix.Coder, b []byte){
		"literals": func(c *mix.Coder, b []byte) {
			m := newLiterals(18, 20)
			for i, v := range b {
				b[i] = m.code(c, v, 0)
			}
		},
		"differences": func(c *mix.Coder, b []byte) {
			m := newDifferences()
			marks := make([]byte, stretchSize)
			predicted := make([]byte, stretchSize+2*margin)
			for at := 0; at < len(b); at += stretchSize {
				copy(predicted[margin:], old[at:][:stretchSize])
				m.stretch(c, predicted, marks, b[at:][:stretchSize], int64(at))
			}
		},
	} {
		b.Run(name, func(b *testing.B) {
			c := mix.NewEncoder()
			code(c, new)
			coded := c.Finish()
			got := make([]byte, len(new))
			b.SetBytes(int64(len(new)))
			start := processorTime()
			for b.Loop() {
				code(mix.NewDecoder(bytes.NewReader(coded)), got)
			}
			b.ReportMetric((processorTime()-start).Seconds()*1e3/float64(b.N), "ms-cpu")
			b.ReportMetric(float64(len(coded)), "coded-bytes")
			if !bytes.Equal(got, new) {
				b.Error("other bytes")
			}
		})
	}
}
