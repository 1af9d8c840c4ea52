// SPDX-License-Identifier: MIT

package pamz

import (
	"bytes"
	"errors"
	"io"
	"math/rand"
	"testing"
)

// TestArena fills, reads and frees at random.
func TestArena(t *testing.T) {
	rnd := rand.New(rand.NewSource(1))
	store := &memory{limit: 1 << 20}
	a := arena{store: store}
	live := map[extent]byte{}
	for i := range 5000 {
		if len(live) > 20 || rnd.Intn(3) == 0 {
			for e, v := range live {
				got := make([]byte, e.size)
				if _, err := a.reader(e).ReadAt(got, 0); err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(got, bytes.Repeat([]byte{v}, int(e.size))) {
					t.Fatal("another extent was written over it")
				}
				if err := a.free(e); err != nil {
					t.Fatal(err)
				}
				delete(live, e)
				break
			}
			continue
		}
		e, err := a.alloc(1 + rnd.Int63n(1000))
		if err != nil {
			t.Fatal(err)
		}
		w := a.writer(e)
		w.Write(bytes.Repeat([]byte{byte(i)}, int(e.size)))
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		live[e] = byte(i)
	}
	for e := range live {
		if err := a.free(e); err != nil {
			t.Fatal(err)
		}
	}
	if a.end != 0 || len(a.gaps) != 0 || len(store.data) != 0 {
		t.Errorf("end %d, gaps %v, %d bytes are left", a.end, a.gaps, len(store.data))
	}
	if _, err := store.WriteAt([]byte("x"), store.limit); err == nil {
		t.Error("wrote beyond the limit")
	}
	if n, err := store.ReadAt(make([]byte, 1), 0); n != 0 || err != io.EOF {
		t.Error("read what is not there")
	}
}

func TestChain(t *testing.T) {
	rnd := rand.New(rand.NewSource(1))
	var all []byte
	c := &chain{starts: []int64{0}}
	for range 50 {
		part := make([]byte, 1+rnd.Intn(40))
		rnd.Read(part)
		all = append(all, part...)
		c.parts, c.starts = append(c.parts, bytes.NewReader(part)), append(c.starts, int64(len(all)))
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
	c.parts[3] = bytes.NewReader(nil)
	if _, err := c.ReadAt(make([]byte, len(all)), 0); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("part that is too short: %v", err)
	}
}
