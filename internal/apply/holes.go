// SPDX-License-Identifier: MIT

package apply

import (
	"bytes"
	"io"
	"os"
	"syscall"
)

// holeSize is the block of a file system, in bytes: less than that of zeros makes
// no hole.
const holeSize = 4 << 10

var holeZeros [holeSize]byte

// holes writes to a file that reads as zeros, or ends, where nothing was written
// yet, and leaves whole blocks of zeros out, so that they take no space.
type holes struct{ io.WriterAt }

// WriteAt implements io.WriterAt.
func (h holes) WriteAt(p []byte, off int64) (int, error) {
	for done := 0; done < len(p); {
		n, zero := stretch(p[done:], off+int64(done))
		if !zero {
			if got, err := h.WriterAt.WriteAt(p[done:done+n], off+int64(done)); err != nil {
				return done + got, err
			}
		}
		done += n
	}
	return len(p), nil
}

// stretch returns how many bytes at the start of p, which is to lie at off, are
// blocks of zeros, or all up to such a block.
func stretch(p []byte, off int64) (n int, zero bool) {
	for n < len(p) {
		size := min(len(p)-n, holeSize-int((off+int64(n))%holeSize))
		z := size == holeSize && bytes.Equal(p[n:n+size], holeZeros[:])
		if n > 0 && z != zero {
			break
		}
		zero = z
		n += size
	}
	return n, zero
}

// withHoles returns what to write to in place of dst, and what to call after that.
// An empty regular file gets holes.
func withHoles(dst io.Writer) (w io.Writer, finish func() error, err error) {
	f, ok := dst.(*os.File)
	if !ok {
		return dst, func() error { return nil }, nil
	}
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	at, err := f.Seek(0, io.SeekCurrent)
	if err != nil || at != 0 || info.Size() != 0 || !info.Mode().IsRegular() || appends(f) {
		return dst, func() error { return nil }, nil
	}
	o := &holeWriter{file: f}
	return o, o.finish, nil
}

// appends reports whether f is opened for writing at its end alone.
func appends(f *os.File) bool {
	flags, _, errno := syscall.Syscall(syscall.SYS_FCNTL, f.Fd(), syscall.F_GETFL, 0)
	return errno != 0 || flags&syscall.O_APPEND != 0
}

// holeWriter fills an empty file from its start.
type holeWriter struct {
	file *os.File
	size int64
}

func (w *holeWriter) Write(p []byte) (int, error) {
	n, err := holes{w.file}.WriteAt(p, w.size)
	w.size += int64(n)
	return n, err
}

// finish gives the file its size, which ends in a hole perhaps, and leaves it at its
// end, as Write does.
func (w *holeWriter) finish() error {
	if err := w.file.Truncate(w.size); err != nil {
		return err
	}
	_, err := w.file.Seek(w.size, io.SeekStart)
	return err
}
