// SPDX-License-Identifier: MIT

package member

import (
	"bytes"
	"encoding/binary"
	"io"

	"swudelta/internal/codec"
	"swudelta/internal/fault"
)

// lz4 is an LZ4 frame, or a stream of the legacy format. Open has no parameters.
type lz4 struct{}

func (lz4) Name() string     { return "lz4" }
func (lz4) Magics() []string { return []string{"\x04\x22\x4d\x18", "\x02\x21\x4c\x18"} }

func (lz4) Find([]byte) (Found, bool) { return Found{}, true } // opening finds out as fast

func (z lz4) Open(r io.Reader, params []byte) (Reader, error) {
	if _, err := z.OpenMemory(params); err != nil {
		return nil, err
	}
	content, err := codec.NewLZ4Reader(r)
	if err != nil {
		return nil, err
	}
	return lz4Reader{content}, nil
}

type lz4Reader struct{ *codec.LZ4Reader }

func (lz4Reader) Close() error { return nil }

func (lz4) OpenMemory(params []byte) (int64, error) {
	if len(params) > 0 {
		return 0, fault.Dataf("lz4: %d bytes of parameters, want none", len(params))
	}
	return 32 << 20, nil
}

func (lz4) library(*Libraries) (string, error) {
	l, err := codec.OpenLZ4("")
	if err != nil {
		return "", err
	}
	return l.Version(), nil
}

func (lz4) sameBytes(a, b string, params []byte) bool {
	p, err := lz4{}.parse(params)
	return err == nil && codec.SameLZ4Bytes(a, b, p)
}

// lz4Levels are the levels that are tried, the commonest first.
var lz4Levels = []int{1, 9, 12, 3, 4, 5, 6, 7, 8, 10, 11, 2, -1, -2, -3, -4, -5, -6, -7, -8, -9, -10}

func (lz4) candidates(stored, content []byte, libs *Libraries) ([][]byte, error) {
	z, err := codec.NewLZ4Reader(bytes.NewReader(stored))
	if err == nil {
		_, err = io.Copy(io.Discard, z)
	}
	if err != nil {
		return nil, err
	}
	base, ok := z.Params()
	if !ok {
		return nil, nil
	}
	var list []codec.LZ4Params
	for _, level := range lz4Levels {
		p := base
		p.Level = level
		list = append(list, p)
		if p.FavorDecSpeed = !p.Legacy && level >= 10; p.FavorDecSpeed {
			list = append(list, p)
		}
	}
	l, err := codec.OpenLZ4("")
	if err != nil {
		return nil, err
	}
	// What is before the first block's data: magic number, frame header, the block's length.
	from := 8
	if !base.Legacy {
		if from = 11; base.ContentSize > 0 {
			from += 8
		}
	}
	list, err = ranked(list, func(p codec.LZ4Params) (int, error) {
		p.ContentSize = 0
		return sample(stored, content, from, func(w io.Writer) (io.WriteCloser, error) {
			if base.ContentSize > 0 { // a size would not be that of the sample
				w = &shifter{w: w, by: 8}
			}
			return l.NewWriter(w, p)
		})
	})
	var out [][]byte
	for _, p := range list {
		out = append(out, lz4{}.pack(p))
	}
	return out, err
}

// shifter puts bytes in front of what is written to w.
type shifter struct {
	w  io.Writer
	by int
}

func (s *shifter) Write(b []byte) (int, error) {
	if s.by > 0 {
		if _, err := s.w.Write(make([]byte, s.by)); err != nil {
			return 0, err
		}
		s.by = 0
	}
	return s.w.Write(b)
}

// Flags in parameters.
const (
	lz4Legacy = 1 << iota
	lz4Favor
	lz4Linked
	lz4BlockSums
	lz4ContentSum
	lz4Sized
)

// pack writes parameters: flags, level (an offset from the least, as a byte), number of the size of
// blocks, and length of the content as a varint if there is one in the header.
func (lz4) pack(p codec.LZ4Params) []byte {
	flags := byte(0)
	for i, set := range []bool{p.Legacy, p.FavorDecSpeed, p.Linked, p.BlockChecksums, p.ContentChecksum, p.ContentSize > 0} {
		if set {
			flags |= 1 << i
		}
	}
	out := []byte{flags, byte(int8(p.Level)), p.BlockID}
	if p.ContentSize > 0 {
		out = binary.AppendUvarint(out, p.ContentSize)
	}
	return out
}

func (lz4) parse(b []byte) (codec.LZ4Params, error) {
	bad := fault.Dataf("lz4: parameters %x", b)
	if len(b) < 3 || b[0] >= lz4Sized<<1 {
		return codec.LZ4Params{}, bad
	}
	has := func(flag byte) bool { return b[0]&flag != 0 }
	p := codec.LZ4Params{
		Legacy: has(lz4Legacy), FavorDecSpeed: has(lz4Favor), Linked: has(lz4Linked),
		BlockChecksums: has(lz4BlockSums), ContentChecksum: has(lz4ContentSum),
		Level: int(int8(b[1])), BlockID: b[2],
	}
	rest := b[3:]
	if has(lz4Sized) {
		v, n := binary.Uvarint(rest)
		if n <= 0 {
			return p, bad
		}
		p.ContentSize, rest = v, rest[n:]
	}
	if err := p.Check(); err != nil {
		return p, fault.Data(err)
	}
	if len(rest) > 0 {
		return p, bad
	}
	return p, nil
}

func (z lz4) newWriter(w io.Writer, params []byte, _ *Libraries) (io.WriteCloser, error) {
	p, err := z.parse(params)
	if err != nil {
		return nil, err
	}
	l, err := codec.OpenLZ4("")
	if err != nil {
		return nil, err
	}
	return l.NewWriter(w, p)
}

func (z lz4) memory(params []byte, _, _ int64) (int64, error) {
	p, err := z.parse(params)
	return p.Memory(), err
}

func (z lz4) level(params []byte) (int, error) {
	p, err := z.parse(params)
	return p.Level, err
}
