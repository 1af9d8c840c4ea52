// SPDX-License-Identifier: MIT

package swu

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"swudelta/internal/fault"
)

// Measure sets the size, and the checksum where the format has one, of all
// members to those of the files below dir. A CRC header needs the sum before
// the data, so every file is read once here and a second time by Pack; and what
// is wrong with any of them shows before the first byte is written.
func Measure(dir string, a *Archive) error {
	var members census
	for _, h := range a.Members {
		if err := measure(dir, h); err != nil {
			return fmt.Errorf("member %q: %w", h.Name, err)
		}
		if err := members.add(h); err != nil {
			return fault.Data(err)
		}
	}
	return nil
}

func measure(dir string, h *Header) error {
	f, err := openMember(dir, h)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	var check uint32
	h.Size = 0
	if !info.IsDir() {
		h.Size = info.Size()
	}
	if h.Size > MaxSize {
		return fault.Dataf("%d bytes, a cpio archive has at most %d in a member", h.Size, int64(MaxSize))
	}
	if h.Format == CRC && h.Size > 0 {
		// No more than that is read: the file may be growing.
		var n int64
		if check, n, err = Checksum(io.LimitReader(f, h.Size)); err != nil {
			return err
		}
		if n < h.Size {
			return fmt.Errorf("%s changes while it is read", f.Name())
		}
	}
	if h.Format == CRC {
		h.Fields.Set(Check, check)
	}
	return nil
}

// openMember opens the regular file that holds the data of h, or the folder if
// the header says that it is one.
func openMember(dir string, h *Header) (*os.File, error) {
	path := filepath.Join(dir, filepath.FromSlash(h.Name))
	// Looked at before it is opened, as opening a pipe would wait for a writer.
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	isDir := h.Fields.Get(Mode)&modeType == modeDir
	if !info.Mode().IsRegular() && !(info.IsDir() && isDir) {
		err := fmt.Errorf("%s, want a regular file", describe(info.Mode()))
		if info.IsDir() {
			err = syscall.EISDIR
		}
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return os.Open(path)
}

func describe(m fs.FileMode) string {
	switch {
	case m&fs.ModeNamedPipe != 0:
		return "a named pipe"
	case m&fs.ModeSocket != 0:
		return "a socket"
	case m&fs.ModeDevice != 0:
		return "a device"
	}
	return "a special file"
}

// Pack writes an archive of the files below dir. Measure must have been called;
// that a file has changed since then is an error.
func Pack(w io.Writer, dir string, a *Archive) error {
	aw := NewWriter(w)
	buf := make([]byte, bufferSize)
	for _, h := range a.Members {
		if err := aw.WriteHeader(h); err != nil {
			return err
		}
		if h.Size == 0 {
			continue
		}
		f, err := openMember(dir, h)
		if err != nil {
			return fmt.Errorf("member %q: %w", h.Name, err)
		}
		_, err = io.CopyBuffer(struct{ io.Writer }{aw}, struct{ io.Reader }{f}, buf)
		f.Close()
		if err != nil {
			return fmt.Errorf("member %q: %w", h.Name, err)
		}
	}
	if a.Trailer != nil {
		return aw.WriteTrailer(a.Trailer)
	}
	return aw.Close()
}
