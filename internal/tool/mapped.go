// SPDX-License-Identifier: MIT

package tool

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
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

// LimitMapped keeps the memory that pages of what Load has mapped take at about limit
// bytes, from now on: when there is more, all of them are given back. They are read again
// from scratch space, or from the kernel's cache of it, when they are used again. What
// a command writes does not depend on it.
func (c *Context) LimitMapped(limit int64) {
	go func() {
		for range time.Tick(10 * time.Millisecond) {
			if sharedMemory() > limit {
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

// sharedMemory is how many bytes of files the process has in memory (proc(5), statm), or 0
// where that is not known.
func sharedMemory() int64 {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(b))
	if len(fields) < 3 {
		return 0
	}
	pages, err := strconv.ParseInt(fields[2], 10, 64)
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}
