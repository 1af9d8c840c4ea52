// SPDX-License-Identifier: MIT

// Package digest has SHA-256 values, and readers and writers that count, hash
// and verify what passes through them.
//
// Device Update names the same digest in two notations: hexadecimal in
// sw-description, base64 in import manifests and cache paths. A SHA256 value
// knows both, so no digest travels through the code as a bare string.
package digest

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"

	"swudelta/internal/fault"
)

// SHA256 is a SHA-256 digest (FIPS 180-4).
type SHA256 [sha256.Size]byte

// Sum returns the digest of b.
func Sum(b []byte) SHA256 { return sha256.Sum256(b) }

// SumReader reads r to its end and returns the digest and the number of bytes.
func SumReader(r io.Reader) (SHA256, int64, error) {
	h := sha256.New()
	n, err := io.CopyBuffer(struct{ io.Writer }{h}, struct{ io.Reader }{r}, make([]byte, 256<<10))
	if err != nil {
		return SHA256{}, n, err
	}
	return SHA256(h.Sum(nil)), n, nil
}

// Parse reads a digest written as 64 hexadecimal digits of either case or as
// base64 with its padding (44 characters, RFC 4648 section 4).
func Parse(s string) (SHA256, error) {
	var d SHA256
	switch len(s) {
	case hex.EncodedLen(len(d)):
		b, err := hex.DecodeString(s)
		if err != nil {
			return d, fmt.Errorf("digest %q: %w", s, err)
		}
		return SHA256(b), nil
	case base64.StdEncoding.EncodedLen(len(d)):
		b, err := base64.StdEncoding.Strict().DecodeString(s)
		if err != nil || len(b) != len(d) {
			return d, fmt.Errorf("digest %q: neither hex nor base64 of 32 bytes", s)
		}
		return SHA256(b), nil
	}
	return d, fmt.Errorf("digest %q: got %d characters, want 64 (hex) or 44 (base64)", s, len(s))
}

// Hex returns the digest as 64 lower-case hexadecimal digits.
func (d SHA256) Hex() string { return hex.EncodeToString(d[:]) }

// Base64 returns the digest in padded base64, 44 characters.
func (d SHA256) Base64() string { return base64.StdEncoding.EncodeToString(d[:]) }

// String returns Hex.
func (d SHA256) String() string { return d.Hex() }

// IsZero reports whether the value was never set.
func (d SHA256) IsZero() bool { return d == SHA256{} }

// MarshalText writes hexadecimal digits.
func (d SHA256) MarshalText() ([]byte, error) { return []byte(d.Hex()), nil }

// UnmarshalText reads what Parse reads.
func (d *SHA256) UnmarshalText(b []byte) error {
	v, err := Parse(string(b))
	if err == nil {
		*d = v
	}
	return err
}

// Writer hashes and counts what is written to an underlying writer.
type Writer struct {
	w io.Writer
	h hash.Hash
	n int64
}

// NewWriter returns a Writer that passes everything on to w.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w, h: sha256.New()} }

// Write hashes what the underlying writer accepted.
func (w *Writer) Write(p []byte) (int, error) {
	n, err := w.w.Write(p)
	w.h.Write(p[:n])
	w.n += int64(n)
	return n, err
}

// Sum returns the digest of everything written so far.
func (w *Writer) Sum() SHA256 { return SHA256(w.h.Sum(nil)) }

// Len returns the number of bytes written so far.
func (w *Writer) Len() int64 { return w.n }

// Reader hashes and counts what is read from an underlying reader.
type Reader struct {
	r io.Reader
	h hash.Hash
	n int64
}

// NewReader returns a Reader on r.
func NewReader(r io.Reader) *Reader { return &Reader{r: r, h: sha256.New()} }

// Read hashes what the underlying reader delivered.
func (r *Reader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	r.h.Write(p[:n])
	r.n += int64(n)
	return n, err
}

// Sum returns the digest of everything read so far.
func (r *Reader) Sum() SHA256 { return SHA256(r.h.Sum(nil)) }

// Len returns the number of bytes read so far.
func (r *Reader) Len() int64 { return r.n }

// ErrMismatch is the cause of every error about content that is not what its
// size or digest says.
var ErrMismatch = errors.New("content does not match")

// Check compares a digest with the wanted one; the error is a fault of the data.
func Check(got, want SHA256) error {
	if got != want {
		return fault.Dataf("%w: got sha256 %s, want %s", ErrMismatch, got, want)
	}
	return nil
}

// Verify returns a reader on r that fails with a fault of the data, in place of
// io.EOF, unless r ends after exactly size bytes with the digest want. It reads
// no more than one byte beyond size.
func Verify(r io.Reader, size int64, want SHA256) io.Reader {
	return &verifier{Reader{r: io.LimitReader(r, size+1), h: sha256.New()}, size, want}
}

type verifier struct {
	Reader
	size int64
	want SHA256
}

func (v *verifier) Read(p []byte) (int, error) {
	n, err := v.Reader.Read(p)
	switch {
	case v.n > v.size:
		return n, fault.Dataf("%w: longer than %d bytes", ErrMismatch, v.size)
	case err == io.EOF && v.n < v.size:
		return n, fault.Dataf("%w: got %d bytes, want %d: %w", ErrMismatch, v.n, v.size, io.ErrUnexpectedEOF)
	case err == io.EOF:
		if bad := Check(v.Sum(), v.want); bad != nil {
			return n, bad
		}
	}
	return n, err
}
