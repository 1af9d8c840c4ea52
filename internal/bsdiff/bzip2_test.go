// SPDX-License-Identifier: MIT

package bsdiff

import (
	"bytes"
	"compress/bzip2"
	"fmt"
	"io"
	"math/rand"
	"os"
	"testing"
	"time"
)

func compressed(t testing.TB, src []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Compress(&b, src); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(bzip2.NewReader(bytes.NewReader(b.Bytes())))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, src) {
		t.Fatal("decompressed is not what was compressed")
	}
	return b.Bytes()
}

func TestCompressRandom(t *testing.T) {
	rnd := rand.New(rand.NewSource(1))
	for range 300 {
		b := randomBytes(rnd, rnd.Intn(20000), 1+rnd.Intn(256))
		for c := rnd.Intn(5); c > 0 && len(b) > 0; c-- {
			clear(b[rnd.Intn(len(b)):][:rnd.Intn(2)])
			at := rnd.Intn(len(b))
			copy(b[at:], bytes.Repeat(b[at:at+1], rnd.Intn(2000)))
		}
		compressed(t, b)
	}
}

func TestCompressFile(t *testing.T) {
	name := os.Getenv("BSDIFF_BENCH")
	if name == "" {
		t.Skip()
	}
	src, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	n := len(compressed(t, src))
	fmt.Println(name, n, time.Since(start))
}
