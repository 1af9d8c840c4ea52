// SPDX-License-Identifier: MIT

package member

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/bits"
	"slices"

	"swudelta/internal/codec"
	"swudelta/internal/fault"
)

// zstd is a frame of zstd. The parameter of Open is its window, in bytes, as a varint.
type zstd struct{}

func (zstd) Name() string     { return "zstd" }
func (zstd) Magics() []string { return []string{"\x28\xb5\x2f\xfd"} }

func (zstd) Find(b []byte) (Found, bool) {
	n, window, err := codec.ZstdFrame(bytes.NewReader(b), 0)
	if err != nil || n > int64(len(b)) || window > codec.MaxWindow {
		return Found{}, false
	}
	return Found{Len: int(n), Params: binary.AppendUvarint(nil, uint64(max(window, leastWindow)))}, true
}

// leastWindow is that of the decoder, in bytes.
const leastWindow = 1 << 10

// window reads parameters of Open.
func (zstd) window(params []byte) (int64, error) {
	v, n := binary.Uvarint(params)
	if n <= 0 || n != len(params) || v < leastWindow || v > codec.MaxWindow {
		return 0, fault.Dataf("zstd: parameters %x", params)
	}
	return int64(v), nil
}

func (z zstd) Open(r io.Reader, params []byte) (Reader, error) {
	window, err := z.window(params)
	if err != nil {
		return nil, err
	}
	content, err := codec.NewZstdReader(r, window)
	if err != nil {
		return nil, err
	}
	return whole{content}, nil
}

// whole is a reader of a member whose length is known.
type whole struct{ io.ReadCloser }

func (whole) Used() int64 { return 0 }

func (z zstd) OpenMemory(params []byte) (int64, error) {
	window, err := z.window(params)
	return window + 1<<20, err
}

// open returns the library of libs.
func (zstd) open(libs *Libraries) (*codec.Zstd, error) {
	if libs == nil || libs.Zstd == nil {
		return nil, errNoZstd
	}
	return libs.Zstd()
}

var errNoZstd = errors.New("no libzstd to compress with")

func (z zstd) library(libs *Libraries) (string, error) {
	l, err := z.open(libs)
	if err != nil {
		return "", err
	}
	return l.Version(), nil
}

func (z zstd) sameBytes(a, b string, params []byte) bool {
	p, err := z.parse(params)
	return err == nil && codec.SameZstdBytes(a, b, p)
}

// zstdLevels are the levels that are tried, the commonest first. Those from 20 on have windows of their own.
var zstdLevels = []int{3, 19, 1, 9, 15, 6, 10, 12, 18, 2, 4, 5, 7, 8, 11, 13, 14, 16, 17, -1, -2, -3, -4, -5, 22, 20, 21}

func (z zstd) candidates(stored, content []byte, libs *Libraries) ([][]byte, error) {
	l, err := z.open(libs)
	if err != nil {
		return nil, err
	}
	most := 0 // bytes that a candidate has right
	// The right one has about all that the sample becomes.
	right := func() bool { return most >= min(sampleSize, len(content))*len(stored)/max(len(content), 1)/2 }
	tried := func(p codec.ZstdParams) (int, error) {
		cut := p.Sized && len(content) > sampleSize
		// libzstd must not learn in one call that there is less than was stated.
		p.EndAlone = p.EndAlone || cut
		n, err := sample(stored, content, 0, func(w io.Writer) (io.WriteCloser, error) { return l.NewWriter(w, p) })
		if cut {
			err = nil // that there was less
		}
		most = max(most, n)
		return n, err
	}
	levels := z.levels(stored, len(content))
	list, err := ranked(levels, tried)
	// A window that covers the content is not stated, nor that it was meant for long distances, which may
	// not be in the sample: then the levels are right that are so without.
	if err == nil && len(content) > sampleSize && z.single(stored) {
		long := list
		if !right() {
			long = levels
		}
		long = slices.Clone(long)
		for i := range long {
			long[i].Long, long[i].WindowLog = true, zstdLongWindow
		}
		long, err = ranked(long, tried)
		list = append(list, long...)
	}
	// A length that is not stated may have been known all the same.
	if err == nil && !right() && len(levels) > 0 && !levels[0].Sized {
		known := slices.Clone(levels)
		for i := range known {
			known[i].Sized, known[i].Size, known[i].Unstated, known[i].EndAlone = true, uint64(len(content)), true, false
		}
		known, err = ranked(known, tried)
		list = append(known, list...)
	}
	var out [][]byte
	for _, p := range list {
		// libzstd does not make jobs of so little, if it knows how much it is.
		const job = 512 << 10
		if len(content) > job || !p.Sized {
			p.Workers = true
			out = append(out, z.pack(p))
		}
		p.Workers = false
		out = append(out, z.pack(p))
		if !p.Sized {
			p.EndAlone, p.Workers = false, true
			out = append(out, z.pack(p))
		}
	}
	return out, err
}

// zstdLongWindow is the binary logarithm of the window of --long.
const zstdLongWindow = 27

const (
	zstdDescriptor = 4    // where in a frame its header begins
	zstdSingle     = 0x20 // in its first byte: the window is the content
)

// single reports whether the window is as large as the content.
func (zstd) single(stored []byte) bool { return stored[zstdDescriptor]&zstdSingle != 0 }

// levels returns what the frame's header allows, in one thread.
func (z zstd) levels(stored []byte, size int) []codec.ZstdParams {
	const checksum, longest, program = 4, 20, 24
	if len(stored) <= zstdDescriptor+1 {
		return nil
	}
	descriptor, single := stored[zstdDescriptor], z.single(stored)
	base := codec.ZstdParams{Checksum: descriptor&checksum != 0, Sized: single || descriptor>>6 != 0}
	if base.Sized {
		base.Size = uint64(size)
	} else {
		base.EndAlone = true
	}
	window := 0
	if !single {
		window = 10 + int(stored[zstdDescriptor+1]>>3)
	}
	var list []codec.ZstdParams
	for _, level := range zstdLevels {
		p := base
		p.Level = level
		own := [...]int{25, 26, 27}
		if level < longest || window == own[level-longest] || window == 0 && bits.Len(uint(size)) > program {
			list = append(list, p)
		}
		if window >= program {
			p.Long, p.WindowLog = true, window
			list = append(list, p)
		}
	}
	return list
}

// Flags in parameters.
const (
	zstdLong = 1 << iota
	zstdWorkers
	zstdChecksum
	zstdSized
	zstdEndAlone
	zstdUnstated
	zstdFlags = zstdUnstated<<1 - 1
)

// pack writes parameters: flags, level (a signed byte), binary logarithm of the window or 0, and the length of the
// content as a varint if it is known from the beginning.
func (zstd) pack(p codec.ZstdParams) []byte {
	flags := byte(0)
	for i, set := range []bool{p.Long, p.Workers, p.Checksum, p.Sized, p.EndAlone, p.Unstated} {
		if set {
			flags |= 1 << i
		}
	}
	out := []byte{flags, byte(int8(p.Level)), byte(p.WindowLog)}
	if p.Sized {
		out = binary.AppendUvarint(out, p.Size)
	}
	return out
}

func (zstd) parse(b []byte) (codec.ZstdParams, error) {
	bad := fault.Dataf("zstd: parameters %x", b)
	if len(b) < 3 || b[0] > zstdFlags {
		return codec.ZstdParams{}, bad
	}
	has := func(flag byte) bool { return b[0]&flag != 0 }
	p := codec.ZstdParams{
		Long: has(zstdLong), Workers: has(zstdWorkers), Checksum: has(zstdChecksum), Sized: has(zstdSized), EndAlone: has(zstdEndAlone),
		Unstated: has(zstdUnstated),
		Level:    int(int8(b[1])), WindowLog: int(b[2]),
	}
	rest := b[3:]
	if p.Sized {
		v, n := binary.Uvarint(rest)
		if n <= 0 {
			return p, bad
		}
		p.Size, rest = v, rest[n:]
	}
	if err := p.Check(); err != nil {
		return p, fault.Data(err)
	}
	if len(rest) > 0 {
		return p, bad
	}
	return p, nil
}

func (z zstd) newWriter(w io.Writer, params []byte, libs *Libraries) (io.WriteCloser, error) {
	p, err := z.parse(params)
	if err != nil {
		return nil, err
	}
	l, err := z.open(libs)
	if err != nil {
		return nil, err
	}
	return l.NewWriter(w, p)
}

func (z zstd) memory(params []byte, content, stored int64) (int64, error) {
	p, err := z.parse(params)
	return p.Memory(content, stored), err
}

func (z zstd) level(params []byte) (int, error) {
	p, err := z.parse(params)
	return p.Level, err
}
