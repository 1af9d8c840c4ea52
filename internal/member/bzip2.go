// SPDX-License-Identifier: MIT

package member

import (
	"bytes"
	"encoding/binary"
	"io"
	"math"

	"swudelta/internal/codec"
	"swudelta/internal/fault"
)

// bzip2 is one or more streams of bzip2, as programs with several threads write. Open has no parameters.
type bzip2 struct{}

func (bzip2) Name() string     { return "bzip2" }
func (bzip2) Magics() []string { return []string{"BZh"} }

func (bzip2) Find(b []byte) (Found, bool) {
	lengths := bzip2Streams(b)
	n := 0
	for _, l := range lengths {
		n += l
	}
	return Found{Len: n}, n > 0
}

// bzip2MaxStreams bounds the streams of a member.
const bzip2MaxStreams = 1 << 14

// bzip2Streams returns the lengths of the streams that b begins with, nil if there is none.
func bzip2Streams(b []byte) (lengths []int) {
	const header, level = 4, 3
	if len(b) < header {
		return nil
	}
	first := b[level] // all are made with one level
	for codec.Detect(b[:min(len(b), codec.HeadSize)]) == codec.KindBzip2 && len(lengths) < bzip2MaxStreams {
		n := bzip2End(b)
		if n == 0 || b[level] != first {
			break
		}
		lengths = append(lengths, n)
		b = b[n:]
	}
	return lengths
}

// bzip2End returns the length of the stream that b begins with: behind the number that marks its
// end, at any bit, follow four bytes and the rest of a byte. 0: there is none.
func bzip2End(b []byte) int {
	const header, mark, mask, markBits, sumBits = 4, 0x177245385090, 1<<48 - 1, 48, 32
	var seen uint64
	for i := header; i < len(b); i++ {
		seen = seen<<8 | uint64(b[i])
		for late := range 8 { // bits of this byte that come behind the mark
			if seen>>late&mask != mark || 8*(i+1-header)-late < markBits {
				continue
			}
			if n := i + 1 + (sumBits-late+7)/8; n <= len(b) {
				return n
			}
		}
	}
	return 0
}

func (z bzip2) Open(r io.Reader, params []byte) (Reader, error) {
	if _, err := z.OpenMemory(params); err != nil {
		return nil, err
	}
	return whole{io.NopCloser(codec.NewBzip2Reader(r))}, nil
}

func (bzip2) OpenMemory(params []byte) (int64, error) {
	if len(params) > 0 {
		return 0, fault.Dataf("bzip2: %d bytes of parameters, want none", len(params))
	}
	return 5 << 20, nil
}

// library: its bytes have been the same since version 1.0, and so is the version that is stated.
func (bzip2) library(*Libraries) (string, error) {
	_, err := codec.OpenBzip2()
	return "1.0.0", err
}

func (bzip2) sameBytes(a, b string, _ []byte) bool { return false }

// candidates: the level is in the header. What is not known is where the content is cut.
func (bzip2) candidates(stored, content []byte, _ *Libraries) ([][]byte, error) {
	out := []byte{stored[3] - '0'}
	for _, n := range bzip2Streams(stored) {
		size, err := io.Copy(io.Discard, codec.NewBzip2Reader(bytes.NewReader(stored[:n])))
		if err != nil {
			return nil, err
		}
		out = binary.AppendUvarint(out, uint64(size))
		stored = stored[n:]
	}
	return [][]byte{out}, nil
}

// parse reads parameters: the level, and the length of the content of each stream as varints.
func (bzip2) parse(params []byte) (level int, sizes []uint64, err error) {
	if len(params) == 0 {
		return 0, nil, fault.Dataf("bzip2: no parameters")
	}
	n := &numbers{b: params[1:]}
	for len(n.b) > 0 {
		sizes = append(sizes, n.next(math.MaxInt64))
	}
	if level = int(params[0]); level < 1 || level > 9 || n.bad || len(sizes) == 0 {
		return 0, nil, fault.Dataf("bzip2: parameters that cannot be read")
	}
	return level, sizes, nil
}

func (z bzip2) newWriter(w io.Writer, params []byte, _ *Libraries) (io.WriteCloser, error) {
	level, sizes, err := z.parse(params)
	if err != nil {
		return nil, err
	}
	l, err := codec.OpenBzip2()
	if err != nil {
		return nil, err
	}
	return &bzip2Writer{w: w, library: l, level: level, sizes: sizes}, nil
}

func (z bzip2) memory(params []byte, _, _ int64) (int64, error) {
	level, _, err := z.parse(params)
	return codec.Bzip2Memory(level), err
}

func (z bzip2) level(params []byte) (int, error) {
	level, _, err := z.parse(params)
	return level, err
}

// bzip2Writer makes one stream after the other.
type bzip2Writer struct {
	w       io.Writer
	library *codec.Bzip2
	level   int
	sizes   []uint64 // of the streams to come, the first of which may be under way
	stream  io.WriteCloser
}

// begin starts a stream, unless one is under way.
func (z *bzip2Writer) begin() (err error) {
	if z.stream == nil {
		if len(z.sizes) == 0 {
			return fault.Dataf("bzip2: more content than the streams have")
		}
		z.stream, err = z.library.NewWriterLevel(z.w, z.level)
	}
	return err
}

// end completes a stream whose content is there.
func (z *bzip2Writer) end() error {
	if z.sizes[0] > 0 {
		return nil
	}
	err := z.stream.Close()
	z.stream, z.sizes = nil, z.sizes[1:]
	return err
}

func (z *bzip2Writer) Write(p []byte) (int, error) {
	total := len(p)
	for len(p) > 0 {
		if err := z.begin(); err != nil {
			return 0, err
		}
		n := int(min(uint64(len(p)), z.sizes[0]))
		if _, err := z.stream.Write(p[:n]); err != nil {
			return 0, err
		}
		z.sizes[0] -= uint64(n)
		p = p[n:]
		if err := z.end(); err != nil {
			return 0, err
		}
	}
	return total, nil
}

func (z *bzip2Writer) Close() error {
	for len(z.sizes) > 0 && z.sizes[0] == 0 {
		if err := z.begin(); err != nil {
			return err
		}
		if err := z.end(); err != nil {
			return err
		}
	}
	if z.stream != nil {
		z.stream.Close()
	}
	if len(z.sizes) > 0 {
		return fault.Dataf("bzip2: less content than the streams have")
	}
	return nil
}
