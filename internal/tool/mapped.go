// SPDX-License-Identifier: MIT

package tool

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"
)

// mapped has what Load has mapped into memory.
var mapped struct {
	sync.Mutex
	list [][]byte
}

// Load copies the content of r to scratch space and maps it into memory, read-only,
// so that the kernel can evict its pages. Long runs of zeros take no space.
// The mapping lasts as long as the process.
func (c *Context) Load(r io.Reader) ([]byte, error) {
	f, err := c.Scratch()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	n, err := copySparse(f, r)
	if err != nil || n == 0 {
		return nil, err
	}
	if int64(int(n)) != n {
		return nil, fmt.Errorf("map %d bytes: %w", n, syscall.ENOMEM)
	}
	b, err := syscall.Mmap(int(f.Fd()), 0, int(n), syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map %d bytes: %w", n, err)
	}
	mapped.Lock()
	mapped.list = append(mapped.list, b)
	mapped.Unlock()
	return b, nil
}

// sparseBlock is the unit, in bytes, in which zeros are left out of a file.
const sparseBlock = 64 << 10

// copySparse writes what r reads to an empty file, with holes in place of blocks of
// zeros, and returns its length.
func copySparse(f *os.File, r io.Reader) (int64, error) {
	buf := make([]byte, 1<<20)
	zeros := make([]byte, sparseBlock)
	at := int64(0)
	for {
		n, err := io.ReadFull(r, buf)
		for done := 0; done < n; {
			to := min(done+sparseBlock, n)
			if block := buf[done:to]; !bytes.Equal(block, zeros[:len(block)]) {
				if _, err := f.WriteAt(block, at+int64(done)); err != nil {
					return at, err
				}
			}
			done = to
		}
		at += int64(n)
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return at, f.Truncate(at)
		}
		if err != nil {
			return at, err
		}
	}
}

// watchEvery is how often it is looked how much memory is taken. What a busy process takes from
// one look to the next stays below watchMargin of its bound, as measured.
const (
	watchEvery  = 5 * time.Millisecond
	watchMargin = 16
)

// LimitMapped keeps the memory that pages of what Load has mapped take at about mapped
// bytes, from now on, and the resident memory of all of the process below memory bytes, as far
// as these pages have a part in it: when there is more, all of them are given back. They are read
// again from scratch space, or from the kernel's cache of it, when they are used again. What
// a command writes does not depend on it.
func (c *Context) LimitMapped(mapped, memory int64) {
	go func() {
		for range time.Tick(watchEvery) {
			if all, files := residentMemory(); files > mapped || all > memory-memory/watchMargin {
				releaseMapped()
			}
		}
	}()
}

// releaseMapped gives back the pages of all that is mapped.
func releaseMapped() {
	mapped.Lock()
	defer mapped.Unlock()
	for _, b := range mapped.list {
		syscall.Madvise(b, syscall.MADV_DONTNEED)
	}
}

// residentMemory is how many bytes the process has in memory, and how many of them are of files
// (proc(5), statm), or 0 where that is not known.
func residentMemory() (all, files int64) {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, 0
	}
	var size int64
	if n, _ := fmt.Sscan(string(b), &size, &all, &files); n < 3 {
		return 0, 0
	}
	page := int64(os.Getpagesize())
	return all * page, files * page
}
