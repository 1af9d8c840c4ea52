// SPDX-License-Identifier: MIT

package span

import (
	"bytes"
	"errors"
	"io"
	"math/rand"
	"testing"
)

func TestChain(t *testing.T) {
	rnd := rand.New(rand.NewSource(1))
	var all []byte
	c := new(Chain)
	for range 50 {
		part := make([]byte, 1+rnd.Intn(40))
		rnd.Read(part)
		all = append(all, part...)
		before := c.Size()
		c.Add(bytes.NewReader(part), int64(len(part)))
		if got, want := c.Part(c.Parts()-1), (Range{before, int64(len(part))}); got != want || got.End() != c.Size() {
			t.Fatalf("got part %v, want %v at the end of %d bytes", got, want, c.Size())
		}
	}
	want := bytes.NewReader(all)
	for range 5000 {
		off, p, q := rnd.Int63n(int64(len(all))+10), make([]byte, rnd.Intn(200)), make([]byte, 200)
		q = q[:len(p)]
		n, err := c.ReadAt(p, off)
		m, wantErr := want.ReadAt(q, off)
		if n != m || !bytes.Equal(p, q) || len(p) > 0 && err != wantErr {
			t.Fatalf("%d bytes at %d: got %d, %v, want %d, %v", len(p), off, n, err, m, wantErr)
		}
	}
	c.Replace(3, bytes.NewReader(nil))
	if _, err := c.ReadAt(make([]byte, len(all)), 0); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("part that is too short: %v", err)
	}
}
