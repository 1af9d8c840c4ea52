// SPDX-License-Identifier: MIT

package member

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"swudelta/internal/codec"
	"swudelta/internal/fault"
)

// maker is what a format brings along whose members a C library makes again.
type maker interface {
	Name() string
	Magics() []string
	Find(b []byte) (Found, bool)
	Open(r io.Reader, params []byte) (Reader, error)
	OpenMemory(params []byte) (int64, error)

	// library returns the version of the library that is there.
	library(libs *Libraries) (version string, err error)
	// sameBytes reports whether two versions of the library write the same with those parameters.
	sameBytes(a, b string, params []byte) bool
	// candidates returns the parameters with which newWriter may make stored of content, the
	// likeliest first. Each is tried on all of the content, until it fails.
	candidates(stored, content []byte, libs *Libraries) ([][]byte, error)
	// newWriter returns a writer that Close completes.
	newWriter(w io.Writer, params []byte, libs *Libraries) (io.WriteCloser, error)
	// memory returns what the writer takes, in bytes, as CloseMemory does.
	memory(params []byte, content, stored int64) (int64, error)
	// level is how hard the writer searches, in numbers of the format's own.
	level(params []byte) (int, error)
}

// remade is a format whose members a library makes again. Its parameters of Close are: the
// version of the library (three bytes), the length of the maker's parameters as a varint, these,
// and a patch of what the library makes.
type remade struct{ maker }

// remadeParams are parameters of Close, taken apart.
type remadeParams struct {
	version string
	maker   []byte
	patch   []byte
}

const versionSize = 3

func (f remade) parse(params []byte) (remadeParams, error) {
	bad := fault.Dataf("%s: parameters that cannot be read", f.Name())
	if len(params) < versionSize {
		return remadeParams{}, bad
	}
	size, n := binary.Uvarint(params[versionSize:])
	if n <= 0 || size > uint64(len(params)-versionSize-n) {
		return remadeParams{}, bad
	}
	rest := params[versionSize+n:]
	version := fmt.Sprintf("%d.%d.%d", params[0], params[1], params[2])
	return remadeParams{version, rest[:size], rest[size:]}, nil
}

// pack is the inverse of parse.
func (p remadeParams) pack() ([]byte, error) {
	out := make([]byte, versionSize)
	if n, err := fmt.Sscanf(p.version, "%d.%d.%d", &out[0], &out[1], &out[2]); n != versionSize {
		return nil, fmt.Errorf("version %q of a library: %w", p.version, err)
	}
	out = binary.AppendUvarint(out, uint64(len(p.maker)))
	return append(append(out, p.maker...), p.patch...), nil
}

// ready returns an error if the library is not there that makes the member again.
func (f remade) ready(p remadeParams, libs *Libraries) error {
	version, err := f.library(libs)
	if err != nil {
		return fmt.Errorf("%s member: %w", f.Name(), err)
	}
	if version != p.version && !f.sameBytes(version, p.version, p.maker) {
		return fmt.Errorf("%s member: the library is of version %s, and %s or one with the same bytes is needed: %w",
			f.Name(), version, p.version, ErrLibrary)
	}
	return nil
}

// ErrLibrary says that the library is not of the version that makes a member again.
var ErrLibrary = errors.New("no fitting library")

// Ready returns an error if a library is missing, or not of the version, that closes members
// with those parameters: a *codec.LibraryError or ErrLibrary. So a device knows before it begins.
func Ready(n Number, params []byte, libs *Libraries) error {
	f, ok := formats[n].(remade)
	if !ok {
		return nil
	}
	p, err := f.parse(params)
	if err != nil {
		return err
	}
	return f.ready(p, libs)
}

// Load loads the libraries that formats open and close members with. The error is a
// *codec.LibraryError. What a delta becomes does not depend on what happens to be installed:
// whoever makes deltas calls Load, and gives up where one is missing.
func Load() error {
	for _, f := range formats {
		if f, ok := f.(remade); ok && f.Name() != (zstd{}).Name() { // it is chosen by options
			if _, err := f.library(nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// patchShare is the part of a member that a patch for it may be.
const patchShare = 16

func (f remade) Analyse(stored, content []byte, libs *Libraries, progress func(n int64)) ([]byte, error) {
	version, err := f.library(libs)
	var missing *codec.LibraryError
	if errors.As(err, &missing) || errors.Is(err, errNoZstd) {
		return nil, unclosable("%s: %v", f.Name(), err)
	}
	if err != nil {
		return nil, err
	}
	list, err := f.candidates(stored, content, libs)
	if fault.IsData(err) {
		return nil, unclosable("%s: %v", f.Name(), err)
	}
	if err != nil {
		return nil, err
	}
	list, dear := f.affordable(list, int64(len(content)), int64(len(stored)), libs)
	more := ""
	if dear > 0 {
		more = fmt.Sprintf("; others take %d MiB, more than there are", (dear+1<<20-1)>>20)
	}
	if len(list) == 0 && dear > 0 {
		return nil, unclosable("%s: that takes %d MiB, more than there are", f.Name(), (dear+1<<20-1)>>20)
	}
	var best []byte
	reached := 0
	for _, params := range list {
		c := &comparer{want: stored}
		err := f.make(c, counted{bytes.NewReader(content), progress}, params, libs)
		if err == nil && len(c.want) == 0 {
			return remadeParams{version, params, nil}.pack()
		}
		if err != nil && !errors.Is(err, errOther) && !fault.IsData(err) {
			return nil, err
		}
		if same := len(stored) - len(c.want); same > reached {
			best, reached = params, same
		}
	}
	// Where it differs early it differs everywhere, all but its header.
	if reached < len(stored)/patchShare {
		return nil, unclosable("%s: not what version %s of the library makes, with any parameters that were tried%s", f.Name(), version, more)
	}
	d := &differ{want: stored, limit: len(stored) / patchShare}
	if err = f.make(d, counted{bytes.NewReader(content), progress}, best, libs); err == nil {
		_, err = d.finish()
	}
	if err != nil && !errors.Is(err, errFar) {
		return nil, err
	}
	if err != nil {
		return nil, unclosable("%s: %v from what the library makes, from offset %d on%s", f.Name(), err, reached, more)
	}
	out, err := remadeParams{version, best, d.patch}.pack()
	if err != nil {
		return nil, err
	}
	return out, Try(f, stored, bytes.NewReader(content), out, libs)
}

// counted tells progress what is read.
type counted struct {
	io.Reader
	progress func(n int64)
}

func (r counted) Read(b []byte) (int, error) {
	n, err := r.Reader.Read(b)
	if r.progress != nil {
		r.progress(int64(n))
	}
	return n, err
}

// affordable returns the candidates whose writers do with the memory there is, and the least that any
// of the others takes: 0, if there are none.
func (f remade) affordable(list [][]byte, content, stored int64, libs *Libraries) (out [][]byte, dear int64) {
	for _, params := range list {
		n, err := f.memory(params, content, stored)
		if err != nil {
			continue
		}
		if libs == nil || libs.Memory == 0 || n <= libs.Memory {
			out = append(out, params)
		} else if dear == 0 || n < dear {
			dear = n
		}
	}
	return out, dear
}

// make writes to w what the library makes of content.
func (f remade) make(w io.Writer, content io.Reader, params []byte, libs *Libraries) error {
	z, err := f.newWriter(w, params, libs)
	if err != nil {
		return err
	}
	_, err = io.Copy(z, content)
	if closeErr := z.Close(); err == nil {
		err = closeErr
	}
	return err
}

func (f remade) Close(w io.Writer, content io.Reader, params []byte, libs *Libraries) error {
	p, err := f.parse(params)
	if err != nil {
		return err
	}
	if err := f.ready(p, libs); err != nil {
		return err
	}
	patched, err := newPatcher(w, p.patch)
	if err != nil {
		return err
	}
	if err := f.make(patched, content, p.maker, libs); err != nil {
		return err
	}
	return patched.Close()
}

func (f remade) CloseMemory(params []byte, content, stored int64) (int64, error) {
	p, err := f.parse(params)
	if err != nil {
		return 0, err
	}
	return f.memory(p.maker, content, stored)
}

func (f remade) effort(params []byte) (int, error) {
	p, err := f.parse(params)
	if err != nil {
		return 0, err
	}
	return f.level(p.maker)
}

// sampleSize is how much of the content, in bytes, candidates are tried on first.
const sampleSize = 128 << 10

// ranked returns those of the candidates that make of the beginning of a content most of what
// is stored, the best first: at most three, and none that makes nothing of it. tried returns
// how many bytes a candidate has right.
func ranked[P any](candidates []P, tried func(P) (int, error)) ([]P, error) {
	type rank struct {
		candidate P
		n         int
	}
	var list []rank
	for _, c := range candidates {
		n, err := tried(c)
		if err != nil {
			return nil, err
		}
		if n > 0 {
			list = append(list, rank{c, n})
		}
	}
	slices.SortStableFunc(list, func(a, b rank) int { return b.n - a.n })
	const most = 3
	var out []P
	for _, r := range list[:min(len(list), most)] {
		out = append(out, r.candidate)
	}
	return out, nil
}

// sample compresses the beginning of content, and returns how many bytes of what comes out from an
// offset on are those of stored.
func sample(stored, content []byte, from int, open func(w io.Writer) (io.WriteCloser, error)) (int, error) {
	if from > len(stored) {
		return 0, nil
	}
	c := &prefixer{skip: from, want: stored[from:]}
	w, err := open(c)
	if err != nil {
		return 0, err
	}
	_, err = w.Write(content[:min(len(content), sampleSize)])
	if closeErr := w.Close(); err == nil {
		err = closeErr
	}
	if errors.Is(err, errOther) {
		err = nil
	}
	return c.n, err
}

// prefixer counts how many bytes are as expected, behind some that do not matter.
type prefixer struct {
	skip, n int
	want    []byte
}

func (p *prefixer) Write(b []byte) (int, error) {
	total := len(b)
	skipped := min(p.skip, len(b))
	p.skip -= skipped
	b = b[skipped:]
	n := common(b, p.want[p.n:])
	if p.n += n; n < len(b) {
		return 0, errOther
	}
	return total, nil
}
