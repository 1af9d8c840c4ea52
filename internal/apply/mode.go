// SPDX-License-Identifier: MIT

package apply

import (
	"errors"
	"io"

	"swudelta/internal/bsdiff"
	"swudelta/internal/codec"
	"swudelta/internal/errnum"
	"swudelta/internal/pamz"
)

// mode is how content is produced. Apply goes through a delta twice in the same way: in a
// rehearsal, which finds out what it takes, and in earnest.
type mode interface {
	// verifies reports whether there is content to be held against digests.
	verifies() bool
	// copy writes n bytes of r.
	copy(w io.Writer, r io.ReaderAt, n int64) error
	// drain writes the next n bytes of r, whatever may follow them.
	drain(w io.Writer, r io.Reader, n int64, f faults) error
	// load returns the first n bytes of r.
	load(r io.ReaderAt, n int64) ([]byte, error)
	// window returns the window size of the zstd frames, in bytes, whose content has n
	// bytes; limit is the widest that a decoder takes.
	window(frames io.ReaderAt, n, limit int64) int64
	// patch writes what a patch makes.
	patch(p *bsdiff.Applier, w io.Writer, old io.ReaderAt, oldSize int64, patch io.ReaderAt, patchSize, newSize int64) error
	// encoder returns what compresses content to c.w.
	encoder(c *compressor) (io.WriteCloser, error)
	// nested decodes the delta inside it, and calls apply with it.
	nested(s *scope, w io.Writer, it *pamz.Item, delta *io.SectionReader, apply func(*pamz.Diff) error) error
}

// faults are the error numbers of a decoder's faults of the data.
type faults struct {
	bad   int
	short int // where the stream ends too early
}

var (
	inflateFaults = faults{errnum.Inflate, errnum.InflateShort}
	zstdFaults    = faults{errnum.Zstd, errnum.ZstdShort}
)

// of gives an error of the decoder its number.
func (f faults) of(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return errnum.Coded(f.short, err)
	}
	return errnum.Coded(f.bad, err)
}

// production produces content.
type production struct{ *applier }

func (production) verifies() bool { return true }

func (p production) copy(w io.Writer, r io.ReaderAt, n int64) error {
	for off := int64(0); off < n; {
		b := p.buf[:min(n-off, copySize)]
		if got, err := r.ReadAt(b, off); got < len(b) {
			return noEOF(err)
		}
		if _, err := w.Write(b); err != nil {
			return err
		}
		off += int64(len(b))
	}
	return nil
}

func (p production) drain(w io.Writer, r io.Reader, n int64, f faults) error {
	for done := int64(0); done < n; {
		b := p.buf[:min(n-done, copySize)]
		got, err := io.ReadFull(r, b)
		if got < len(b) {
			if err == io.EOF || err == io.ErrUnexpectedEOF { // the stream is whole, but not all that is wanted
				err = errnum.Errorf(f.short, "stream ends after %d of %d bytes: %w", done+int64(got), n, io.ErrUnexpectedEOF)
			}
			return f.of(err)
		}
		if _, err := w.Write(b); err != nil {
			return err
		}
		done += int64(got)
	}
	return nil
}

func (production) load(r io.ReaderAt, n int64) ([]byte, error) {
	b := make([]byte, n)
	if got, err := r.ReadAt(b, 0); got < len(b) {
		return nil, noEOF(err)
	}
	return b, nil
}

func (production) window(frames io.ReaderAt, _, _ int64) int64 { return codec.ZstdWindow(frames) }

func (production) patch(p *bsdiff.Applier, w io.Writer, old io.ReaderAt, oldSize int64, patch io.ReaderAt, patchSize, newSize int64) error {
	return p.Apply(w, old, oldSize, patch, patchSize, newSize)
}

func (p production) encoder(c *compressor) (io.WriteCloser, error) {
	r := c.recipe
	if r.Op == pamz.OpZstdCompression {
		if p.opts.Zstd == nil {
			return nil, errors.New("no libzstd to compress with")
		}
		z, err := p.opts.Zstd()
		if err != nil {
			return nil, errnum.NoZstd(err)
		}
		return z.NewCanonicalWriter(c.w, int(r.Params[3].Number))
	}
	if p.opts.Zlib == nil {
		return nil, errors.New("no zlib to compress with")
	}
	z, err := p.opts.Zlib()
	if err != nil {
		return nil, errnum.New(errnum.ZlibStart, err)
	}
	return z.NewWriter(c.w, codec.Container(r.Params[1].Number), int(int64(r.Params[2].Number)))
}

func (production) nested(s *scope, _ io.Writer, it *pamz.Item, delta *io.SectionReader, apply func(*pamz.Diff) error) error {
	d, err := s.diff.DecodeNested(it, delta, s.items)
	if err != nil {
		return err
	}
	return apply(d)
}
