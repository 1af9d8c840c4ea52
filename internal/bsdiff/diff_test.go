// SPDX-License-Identifier: MIT

package bsdiff

import (
	"bytes"
	"fmt"
	"io"
	"math/rand"
	"os"
	"os/exec"
	"testing"
	"time"
)

func pipe(t testing.TB, in []byte, args ...string) []byte {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdin = bytes.NewReader(in)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestAccount(t *testing.T) {
	dir := os.Getenv("BSDIFF_DIR")
	for _, p := range []string{"patch", "minor"} {
		old, _ := os.ReadFile(dir + "/" + p + ".source.img")
		new, _ := os.ReadFile(dir + "/" + p + ".target.img")
		t0 := time.Now()
		sa := Suffixes(nil, old)
		t1 := time.Now()
		patch := Diff(old, sa, new, Options{})
		t2 := time.Now()
		if err := patch.Check(old, new); err != nil {
			t.Fatal(err)
		}
		c := func(dst io.Writer, src []byte) error {
			_, err := dst.Write(pipe(t, src, "bzip2", "-9"))
			return err
		}
		s, _ := patch.Encode(io.Discard, c)
		nz := 0
		for _, b := range patch.Diff {
			if b != 0 {
				nz++
			}
		}
		fmt.Printf("%s sort %.2f diff %.2f controls %d nonzero %d extra raw %d: control %d diff %d extra %d total %d\n", p, t1.Sub(t0).Seconds(), t2.Sub(t1).Seconds(), len(patch.Controls), nz, len(patch.Extra), s.Control, s.Diff, s.Extra, s.Total())
		for _, min := range []int{64, 128, 256, 512, 1024} {
			q, fresh := patch.MoveFresh(int64(len(old)), min)
			if err := q.Check(append(old[:len(old):len(old)], fresh...), new); err != nil {
				t.Fatal(err)
			}
			s, _ := q.Encode(io.Discard, c)
			z := len(pipe(t, fresh, "zstd", "--ultra", "-22", "-c", "--long=27"))
			fmt.Printf("   min %d: control %d diff %d extra %d fresh %d -> %d total %d\n", min, s.Control, s.Diff, s.Extra, len(fresh), z, s.Total()+int64(z))
		}
	}
}

func TestDiffRandom(t *testing.T) {
	rnd := rand.New(rand.NewSource(1))
	for i := 0; i < 2000; i++ {
		old := make([]byte, rnd.Intn(3000))
		k := 1 + rnd.Intn(256)
		for j := range old {
			old[j] = byte(rnd.Intn(k))
		}
		var new []byte
		for c := rnd.Intn(10); c > 0; c-- {
			if rnd.Intn(2) == 0 && len(old) > 0 {
				a := rnd.Intn(len(old))
				new = append(new, old[a:a+rnd.Intn(len(old)-a)]...)
			} else {
				for j := rnd.Intn(50); j > 0; j-- {
					new = append(new, byte(rnd.Intn(k)))
				}
			}
		}
		for c := rnd.Intn(20); c > 0 && len(new) > 0; c-- {
			new[rnd.Intn(len(new))]++
		}
		p := Diff(old, Suffixes(nil, old), new, Options{})
		if err := p.Check(old, new); err != nil {
			t.Fatal(err)
		}
		got, err := p.Apply(old)
		if err != nil || !bytes.Equal(got, new) {
			t.Fatal(err)
		}
		q, fresh := p.MoveFresh(int64(len(old)), 8)
		if err := q.Check(append(old[:len(old):len(old)], fresh...), new); err != nil {
			t.Fatal(err)
		}
	}
}
