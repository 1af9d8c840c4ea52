// SPDX-License-Identifier: MIT

package member

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash"
	"hash/adler32"
	"hash/crc32"
	"io"

	"swudelta/internal/codec"
	"swudelta/internal/deflate"
	"swudelta/internal/fault"
)

// deflated is a deflate stream with what follows on it. Its parameters are the script of package
// deflate.
type deflated struct {
	name    string
	magics  []string
	find    func(b []byte) (at int, ok bool)
	trailer func() trailer // nil: there is none
	weak    bool           // the trailer has to fit, or it is no member
}

// trailer is a checksum of the content in the form that it is stored in.
type trailer interface {
	io.Writer
	Sum(b []byte) []byte // appends it
	Size() int           // in bytes
}

// deflateMemory is what opening or closing a stream takes, in bytes.
const deflateMemory = 1 << 20

func (f deflated) Name() string     { return f.name }
func (f deflated) Magics() []string { return f.magics }

func (f deflated) Find(b []byte) (Found, bool) {
	at, ok := f.find(b)
	return Found{At: at}, ok
}

func (f deflated) OpenMemory(params []byte) (int64, error) {
	if len(params) > 0 {
		return 0, fault.Dataf("%s: %d bytes of parameters, want none", f.name, len(params))
	}
	return deflateMemory, nil
}

func (f deflated) CloseMemory([]byte, int64, int64) (int64, error) { return deflateMemory, nil }

// effort is how many places a search looks at.
func (f deflated) effort(params []byte) (int, error) { return deflate.Chain(params) }

// sum returns an empty trailer.
func (f deflated) sum() trailer {
	if f.trailer == nil {
		return noTrailer{}
	}
	return f.trailer()
}

// opened reads a stream and counts what follows on it.
type opened struct {
	*codec.DeflateMember
	trailer int64
}

func (o opened) Used() int64 { return o.DeflateMember.Used() + o.trailer }

func (f deflated) Open(r io.Reader, params []byte) (Reader, error) {
	return opened{codec.NewDeflateMember(r), int64(f.sum().Size())}, nil
}

// Intact compares the trailer with that of the content, where the head says too little.
func (f deflated) Intact(stored, content []byte) bool {
	if !f.weak {
		return true
	}
	sum := f.sum()
	sum.Write(content)
	return bytes.HasSuffix(stored, sum.Sum(nil))
}

func (f deflated) Analyse(stored, content []byte, _ *Libraries, progress func(n int64)) ([]byte, error) {
	sum := f.sum()
	sum.Write(content)
	stream, ok := bytes.CutSuffix(stored, sum.Sum(nil))
	if !ok {
		return nil, unclosable("%s: wrong checksum", f.name)
	}
	script, err := deflate.Analyse(stream, content, progress)
	if errors.Is(err, deflate.ErrOdd) || fault.IsData(err) {
		return nil, unclosable("%v", err)
	}
	return script, err
}

func (f deflated) Close(w io.Writer, content io.Reader, params []byte, _ *Libraries) error {
	sum := f.sum()
	if err := deflate.Close(w, io.TeeReader(content, sum), params); err != nil {
		return err
	}
	_, err := w.Write(sum.Sum(nil))
	return err
}

type noTrailer struct{}

func (noTrailer) Write(b []byte) (int, error) { return len(b), nil }
func (noTrailer) Sum(b []byte) []byte         { return b }
func (noTrailer) Size() int                   { return 0 }

// gzipSum is the CRC-32 of the content and its length, little endian.
type gzipSum struct {
	hash.Hash32
	n uint32
}

func gzipTrailer() trailer { return &gzipSum{Hash32: crc32.NewIEEE()} }

func (s *gzipSum) Write(b []byte) (int, error) {
	s.n += uint32(len(b))
	return s.Hash32.Write(b)
}

func (s *gzipSum) Sum(b []byte) []byte {
	return binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(b, s.Sum32()), s.n)
}

func (s *gzipSum) Size() int { return 8 }

// zlibTrailer is the Adler-32 of the content, big endian.
func zlibTrailer() trailer { return adler32.New() }

// findGzip reads the header of a gzip member (RFC 1952 section 2.3).
func findGzip(b []byte) (int, bool) {
	const extra, name, comment, sum, reserved = 4, 8, 16, 2, 0xe0
	if len(b) < 18 {
		return 0, false
	}
	flags, at := b[3], 10
	if flags&reserved != 0 {
		return 0, false
	}
	if flags&extra != 0 {
		at += 2 + int(binary.LittleEndian.Uint16(b[10:]))
	}
	for _, text := range []byte{name, comment} {
		if flags&text == 0 {
			continue
		}
		if at > len(b) {
			return 0, false
		}
		n := bytes.IndexByte(b[at:min(len(b), at+maxText)], 0)
		if n < 0 {
			return 0, false
		}
		at += n + 1
	}
	if flags&sum != 0 {
		at += 2
	}
	return at, at < len(b)
}

// maxText bounds a name or comment in a gzip header, in bytes.
const maxText = 4 << 10

// findZip reads the local header of an entry of a zip archive (APPNOTE.TXT section 4.3.7).
func findZip(b []byte) (int, bool) {
	const headerSize, method, nameLength, extraLength, deflated, encrypted = 30, 8, 26, 28, 8, 1
	if len(b) < headerSize || binary.LittleEndian.Uint16(b[method:]) != deflated || b[6]&encrypted != 0 {
		return 0, false
	}
	at := headerSize + int(binary.LittleEndian.Uint16(b[nameLength:])) + int(binary.LittleEndian.Uint16(b[extraLength:]))
	return at, at < len(b)
}

// zlibHeads are the headers of zlib streams with a window of 32 KiB and no dictionary, by level
// (RFC 1950 section 2.2).
var zlibHeads = []string{"\x78\x01", "\x78\x5e", "\x78\x9c", "\x78\xda"}

// findZlib finds a zlib stream.
func findZlib(b []byte) (int, bool) {
	const reserved = 3
	// Bits 1 and 2 of what follows on the header are the kind of the first block.
	return zlibHeader, len(b) > zlibHeader && b[zlibHeader]>>1&3 != reserved
}
