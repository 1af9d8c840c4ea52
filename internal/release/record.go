// SPDX-License-Identifier: MIT

package release

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"

	"swudelta/internal/digest"
)

// A step's outcome, as its record has it.
const (
	made   = "made"
	larger = "larger" // the delta would not be smaller than the full image
	same   = "same"   // the source is the target
	failed = "failed"
)

// record is what a step was made from and what it made. It is kept in a file of one
// line: key, digest, status, bytes, seconds, with tabs between and - for nothing.
type record struct {
	key     string // digest of all that decides the product
	digest  string // of the product
	status  string
	bytes   int64 // of the product, or if the step failed its exit status
	seconds string
}

// readRecord returns an empty record where there is none that can be read.
func readRecord(path string) record {
	text, _ := os.ReadFile(path)
	field := strings.Split(strings.TrimSuffix(string(text), "\n"), "\t")
	if len(field) != 5 {
		return record{}
	}
	n, _ := strconv.ParseInt(field[3], 10, 64)
	return record{field[0], field[1], field[2], n, field[4]}
}

func (r record) write(path string) error {
	size := "-"
	if r.status == made || r.status == failed {
		size = strconv.FormatInt(r.bytes, 10)
	}
	line := fmt.Sprintf("%s\t%s\t%s\t%s\t%s\n", r.key, orDash(r.digest), r.status, size, r.seconds)
	return replaceFile(path, []byte(line))
}

// replaceFile writes a small file that appears whole.
func replaceFile(path string, text []byte) error {
	if err := os.WriteFile(path+".part", text, 0o666); err != nil {
		return err
	}
	return os.Rename(path+".part", path)
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// isIntact reports whether the product at path is the one of the record.
func (r record) isIntact(path string) (bool, error) {
	sum, _, err := sumFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && sum == r.digest, err
}

// sumFile returns the SHA-256 of a file in hexadecimal, and its size.
func sumFile(path string) (string, int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	sum, n, err := digest.SumReader(f)
	if err != nil {
		return "", 0, fmt.Errorf("read %s: %w", path, err)
	}
	return sum.Hex(), n, nil
}

// keyOf returns the digest of parts, each with its length.
func keyOf(parts ...string) string {
	h := digest.NewWriter(io.Discard)
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s\n", len(p), p)
	}
	return h.Sum().Hex()
}

// lock takes the lock of a file that it makes. Other processes take it too: several
// runs may share a folder. Without wait it returns errLocked where another has it.
func lock(path string, wait bool) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, err
	}
	how := syscall.LOCK_EX
	if !wait {
		how |= syscall.LOCK_NB
	}
	for {
		err = syscall.Flock(int(f.Fd()), how)
		if err != syscall.EINTR {
			break
		}
	}
	if err != nil {
		f.Close()
		if err == syscall.EWOULDBLOCK {
			return nil, errLocked
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return func() { f.Close() }, nil
}

var errLocked = errors.New("locked by another process")
