// SPDX-License-Identifier: MIT

package apply

import (
	"bytes"
	"io"
	"math/rand"
	"testing"
)

// TestArena fills, reads and frees at random.
func TestArena(t *testing.T) {
	rnd := rand.New(rand.NewSource(1))
	store := &memory{limit: 1 << 20}
	a := arena{store: store}
	live := map[byte]room{} // by what it is filled with
	used, split := int64(0), false
	for i := range 5000 {
		if len(live) > 20 || rnd.Intn(3) == 0 {
			for v, e := range live {
				got := make([]byte, size(e))
				if _, err := a.reader(e).ReadAt(got, 0); err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(got, bytes.Repeat([]byte{v}, len(got))) {
					t.Fatal("other room was written over it")
				}
				if err := a.free(e); err != nil {
					t.Fatal(err)
				}
				used -= size(e)
				delete(live, v)
				break
			}
			continue
		}
		if live[byte(i)] != nil {
			continue
		}
		n := 1 + rnd.Int63n(1000)
		e, err := a.alloc(n)
		if err != nil {
			t.Fatal(err)
		}
		if size(e) != n {
			t.Fatalf("got %d bytes, want %d", size(e), n)
		}
		before := used
		used += n
		if len(e) > 1 {
			split = true
			if e[len(e)-1].Off+e[len(e)-1].Len == a.end && len(a.gaps) > 0 {
				t.Fatalf("%d bytes behind all of %d, with gaps %v", n, before, a.gaps)
			}
		}
		w := a.writer(e)
		w.Write(bytes.Repeat([]byte{byte(i)}, int(n)))
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		if w.WriteByte(1); w.Flush() == nil {
			t.Fatal("wrote beyond the room")
		}
		live[byte(i)] = e
	}
	if !split {
		t.Error("no room has several ranges")
	}
	for _, e := range live {
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

func size(r room) (n int64) {
	for _, e := range r {
		n += e.Len
	}
	return n
}

func TestArenaLimit(t *testing.T) {
	a := arena{store: &memory{}, end: 1 << 61}
	if _, err := a.alloc(1<<61 + 1); err == nil {
		t.Error("room for more than 2^62 bytes")
	}
}
