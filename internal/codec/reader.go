// SPDX-License-Identifier: MIT

package codec

import (
	"bufio"
	"compress/bzip2"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"

	"swudelta/internal/fault"
)

// Window limits of the reference decoders, in bytes: what libzstd allows by
// default, and what the delta processor sets where there is a dictionary.
const (
	MaxWindow     = 1 << 27
	MaxDictWindow = 1 << 28
)

// source remembers the error of the reader below a decoder, so that a failing
// disk is not taken for a corrupt stream. It is buffered, so that decoders
// that stop at the end of their stream leave the rest to be seen.
type source struct {
	*bufio.Reader
	r    io.Reader
	read int64 // bytes that r has given
	err  error // first error of r other than io.EOF
}

// pos returns how many bytes were taken.
func (s *source) pos() int64 { return s.read - int64(s.Buffered()) }

func newSource(r io.Reader) *source {
	s := &source{r: r}
	s.Reader = bufio.NewReaderSize(readerFunc(s.fill), 64<<10)
	return s
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func (s *source) fill(p []byte) (int, error) {
	n, err := s.r.Read(p)
	s.read += int64(n)
	if err != nil && err != io.EOF && s.err == nil {
		s.err = err
	}
	return n, err
}

// decoder reads the content of one compressed stream.
type decoder struct {
	kind  string
	src   *source
	r     io.Reader
	whole bool   // the stream must end where src ends
	close func() // releases r, may be nil
	err   error  // sticky
}

// fail turns an error of the decoder into what the caller shall see.
func (d *decoder) fail(err error) error {
	if d.src.err != nil {
		return d.src.err
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return fault.Dataf("%s stream: %w", d.kind, err)
}

func (d *decoder) Read(p []byte) (int, error) {
	if d.err != nil {
		return 0, d.err
	}
	if len(p) == 0 {
		return 0, nil
	}
	n, err := d.r.Read(p)
	switch {
	case err == nil:
	case err != io.EOF:
		d.err = d.fail(err)
	case d.whole:
		d.err = io.EOF
		if _, err := d.src.ReadByte(); err == nil {
			d.err = fault.Dataf("%s stream: %w", d.kind, errTrailing)
		} else if err != io.EOF {
			d.err = d.fail(err)
		}
	default:
		d.err = io.EOF
	}
	return n, d.err
}

var (
	errTrailing = errors.New("data after its end")
	errClosed   = errors.New("codec: read after close")
)

// Close releases the decoder's memory. It does not close the reader below.
func (d *decoder) Close() error {
	if d.close != nil {
		d.close()
		d.close = nil
	}
	d.r, d.err = nil, errClosed
	return nil
}

// NewReader recognises r's compression and returns its content: gzip (all
// members, and zeros behind them), zstd (all frames, skippable ones too), or r as it is if nothing is
// recognised. A compression that is recognised but cannot be undone is a data
// fault, and Kind names it. Memory is bounded: windows up to MaxWindow.
func NewReader(r io.Reader) (io.ReadCloser, Kind, error) {
	s := newSource(r)
	head, err := s.Peek(HeadSize)
	if err != nil && err != io.EOF {
		return nil, KindPlain, err
	}
	kind := Detect(head)
	var content io.ReadCloser
	switch err = nil; kind {
	case KindPlain:
		content = io.NopCloser(s)
	case KindGzip:
		content, err = newGzipReader(s, true)
	case KindZstd:
		content, err = newZstdReader(s, MaxWindow)
	default:
		err = fault.Dataf("%v stream: this compression cannot be undone", kind)
	}
	return content, kind, err
}

// NewZstdReader returns the content of the zstd frames (RFC 8878) in r, one
// after the other; skippable frames are skipped, an empty r has no content. A
// frame whose window is larger than maxWindow bytes is a data fault; 0 stands
// for MaxWindow. It works in the caller's goroutine and holds one window.
func NewZstdReader(r io.Reader, maxWindow int64) (io.ReadCloser, error) {
	return newZstdReader(newSource(r), maxWindow)
}

// NewZstdDictReader is NewZstdReader for frames that were made with dict as
// their raw prefix ("zstd --patch-from"); maxWindow 0 stands for MaxDictWindow.
// dict is kept, not copied.
func NewZstdDictReader(r io.Reader, dict []byte, maxWindow int64) (io.ReadCloser, error) {
	if maxWindow == 0 {
		maxWindow = MaxDictWindow
	}
	return newZstdReader(newSource(r), maxWindow, zstd.WithDecoderDictRaw(0, dict))
}

func newZstdReader(s *source, maxWindow int64, more ...zstd.DOption) (io.ReadCloser, error) {
	if maxWindow == 0 {
		maxWindow = MaxWindow
	}
	z, err := zstd.NewReader(s.Reader, append([]zstd.DOption{
		zstd.WithDecoderConcurrency(1), // in the caller's goroutine
		zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(uint64(maxWindow)),
	}, more...)...)
	if err != nil {
		return nil, fmt.Errorf("zstd reader: %w", err)
	}
	return &decoder{kind: "zstd", src: s, r: z, close: z.Close}, nil
}

// NewGzipReader returns the content of the gzip members (RFC 1952) in r: of all
// of them if multi, else of the first. Checksums and lengths are verified. What
// follows is a data fault, but if multi zeros up to the end of r are padding, as
// gzip(1) has it: it comes from tapes and from tools that fill up blocks.
func NewGzipReader(r io.Reader, multi bool) (io.ReadCloser, error) {
	return newGzipReader(newSource(r), multi)
}

func newGzipReader(s *source, multi bool) (io.ReadCloser, error) {
	d := &decoder{kind: "gzip", src: s, whole: true}
	z, err := gzip.NewReader(s.Reader)
	if err != nil {
		return nil, d.fail(err)
	}
	z.Multistream(false)
	d.r = z
	if multi {
		d.r = &gzipMembers{z: z, src: s}
	}
	return d, nil
}

// gzipMembers reads the members of a gzip stream one after the other, and the
// padding behind the last. The library's own way of doing that stops at padding.
type gzipMembers struct {
	z    *gzip.Reader
	src  *source
	more int   // members that were begun behind the first
	end  int64 // of the first, in bytes from the start of the stream; 0: not reached
}

func (g *gzipMembers) Read(p []byte) (int, error) {
	for {
		n, err := g.z.Read(p)
		if err != io.EOF || n > 0 {
			if err == io.EOF {
				err = nil // the next call goes on with the next member
			}
			return n, err
		}
		if err := g.next(); err != nil {
			return 0, err
		}
	}
}

// next goes to the next member; io.EOF says that there is none.
func (g *gzipMembers) next() error {
	if g.end == 0 {
		g.end = g.src.pos()
	}
	head, err := g.src.Peek(2)
	switch {
	case len(head) == 2 && head[0] == 0x1f && head[1] == 0x8b:
		if err := g.z.Reset(g.src.Reader); err != nil {
			return err
		}
		g.z.Multistream(false)
		g.more++
		return nil
	case err != nil && err != io.EOF:
		return err
	case len(head) == 1 && head[0] == 0x1f:
		return io.ErrUnexpectedEOF
	}
	for {
		switch c, err := g.src.ReadByte(); {
		case err != nil:
			return err
		case c != 0:
			return errTrailing
		}
	}
}

// NewZlibReader returns the content of the zlib stream (RFC 1950) in r, which
// must end where the stream ends.
func NewZlibReader(r io.Reader) (io.ReadCloser, error) {
	d := &decoder{kind: "zlib", src: newSource(r), whole: true}
	z, err := zlib.NewReader(d.src.Reader)
	if err != nil {
		return nil, d.fail(err)
	}
	d.r = z
	return d, nil
}

// NewDeflateReader returns the content of the raw deflate stream (RFC 1951) in
// r, which must end where the stream ends.
func NewDeflateReader(r io.Reader) io.ReadCloser {
	s := newSource(r)
	return &decoder{kind: "deflate", src: s, r: flate.NewReader(s.Reader), whole: true}
}

// NewBzip2Reader returns the content of the bzip2 streams in r, one after the
// other. Checksums are verified. An empty r is a data fault: an empty stream
// has 14 bytes.
func NewBzip2Reader(r io.Reader) io.Reader {
	s := newSource(r)
	return &decoder{kind: "bzip2", src: s, r: bzip2.NewReader(s.Reader)}
}
