// SPDX-License-Identifier: MIT

// Package bzip2 encodes bzip2 streams.
package bzip2

import (
	"io"
	"math/bits"
	"sync"
)

const maxBlock = 900000

var crcTable = func() (t [256]uint32) {
	for i := range t {
		c := uint32(i) << 24
		for range 8 {
			if c>>31 != 0 {
				c = c<<1 ^ 0x04c11db7
			} else {
				c <<= 1
			}
		}
		t[i] = c
	}
	return
}()

func crc(b []byte) uint32 {
	c := ^uint32(0)
	for _, v := range b {
		c = c<<8 ^ crcTable[byte(c>>24)^v]
	}
	return ^c
}

var (
	optMaxRun = 259
	optLimit  = maxBlock
	optPolicy = 0
	optDP     = true
)

// rle appends the run-length coded form of a prefix of src to dst until limit; returns bytes consumed.
func rle(dst []byte, src []byte, limit int) ([]byte, int) {
	i := 0
	for i < len(src) {
		c := src[i]
		j := i + 1
		for j < len(src) && src[j] == c && j-i < optMaxRun {
			j++
		}
		n := j - i
		start := len(dst)
		dst = runPolicy(dst, c, n)
		if len(dst) > limit {
			return dst[:start], i
		}
		i = j
	}
	return dst, i
}

func runPolicy(dst []byte, c byte, n int) []byte {
	piece := func(m int) {
		dst = append(dst, c, c, c, c, byte(m-4))
		n -= m
	}
	switch optPolicy {
	case 0:
		for n >= 4 {
			piece(min(n, optMaxRun))
		}
	case 2, 3, 4: // count multiple of 4
		q := 4
		if optPolicy == 3 {
			q = 2
		} else if optPolicy == 4 {
			q = 3
		}
		for n >= 4 {
			m := min(n, 256)
			if m-m%q < 5 {
				piece(m)
				continue
			}
			piece(m - m%q)
		}
	}
	for range n {
		dst = append(dst, c)
	}
	return dst
}

// worker is what encodes windows.
type worker struct {
	transformer
	coder
	coding coding
	mtf    []uint16
	window []byte
	unit   []uint8
	spread []byte
	cost   map[[2]int]int64
}

func (k *worker) block(w *bitWriter, raw, block []byte) {
	last, origin := k.sort(block)
	var used [256]bool
	for _, c := range block {
		used[c] = true
	}
	var alpha int
	k.mtf, alpha = moveToFront(k.mtf[:0], last, &used)
	k.best(k.mtf, alpha, &k.coding)
	if debugBlock != nil {
		debugBlock(k, len(block), alpha, len(k.mtf))
	}
	w.write(0x314159265359, 48)
	w.write(uint64(crc(raw)), 32)
	w.write(0, 1)
	w.write(uint64(origin), 24)
	var ranges uint16
	var maps [16]uint16
	for i, u := range used {
		if u {
			ranges |= 0x8000 >> (i / 16)
			maps[i/16] |= 0x8000 >> (i % 16)
		}
	}
	w.write(uint64(ranges), 16)
	for _, m := range maps {
		if m != 0 {
			w.write(uint64(m), 16)
		}
	}
	k.coding.write(w, k.mtf, alpha)
}

var debugBlock func(k *worker, n, alpha, syms int)

// Encode writes src to dst as one bzip2 stream.
func Encode(dst io.Writer, src []byte, workers int) error {
	var w bitWriter
	w.write('B'<<24|'Z'<<16|'h'<<8|'9', 32)
	total := uint32(0)
	// windows
	type win struct {
		src  []byte
		w    bitWriter
		cuts []int
	}
	var wins []*win
	var buf []byte
	for len(src) > 0 {
		var n int
		buf, n = rle(buf[:0], src, optLimit)
		wins = append(wins, &win{src: src[:n]})
		src = src[n:]
	}
	ch := make(chan *win)
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			k := new(worker)
			for x := range ch {
				x.cuts = k.encode(&x.w, x.src)
			}
		})
	}
	for _, x := range wins {
		ch <- x
	}
	close(ch)
	wg.Wait()
	for _, x := range wins {
		w.append(&x.w)
		p := 0
		for _, c := range x.cuts {
			total = bits.RotateLeft32(total, 1) ^ crc(x.src[p:c])
			p = c
		}
	}
	w.write(0x177245385090, 48)
	w.write(uint64(total), 32)
	w.flush()
	_, err := dst.Write(w.buf)
	return err
}
