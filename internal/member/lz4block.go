// SPDX-License-Identifier: MIT

package member

import (
	"bytes"
	"encoding/binary"
	"io"

	"swudelta/internal/codec"
	"swudelta/internal/fault"
)

// lz4Block is one LZ4 block without a frame, as squashfs images have them. Nothing marks it: the
// tables of the image tell where it is. The parameter of Open is the greatest length of its content
// as a varint.
type lz4Block struct{}

func (lz4Block) Name() string              { return "lz4 block" }
func (lz4Block) Magics() []string          { return nil }
func (lz4Block) Find([]byte) (Found, bool) { return Found{}, false }

// squashfsTable returns the blocks of the squashfs image that b begins with.
func squashfsTable(b []byte) (out []Found) {
	for _, r := range squashfsBlocks(b) {
		out = append(out, Found{At: r.at, Len: r.size, Params: binary.AppendUvarint(nil, uint64(r.limit))})
	}
	return out
}

// limit reads the parameter of Open.
func (lz4Block) limit(params []byte) (int, error) {
	v, n := binary.Uvarint(params)
	if n <= 0 || n != len(params) || v == 0 || v > squashfsMaxBlock {
		return 0, fault.Dataf("lz4 block: parameters %x", params)
	}
	return int(v), nil
}

func (z lz4Block) Open(r io.Reader, params []byte) (Reader, error) {
	limit, err := z.limit(params)
	if err != nil {
		return nil, err
	}
	stored, err := io.ReadAll(io.LimitReader(r, codec.LZ4Bound(limit)+1))
	if err != nil {
		return nil, err
	}
	content, err := codec.LZ4Block(stored, limit)
	if err != nil {
		return nil, err
	}
	return whole{io.NopCloser(bytes.NewReader(content))}, nil
}

func (z lz4Block) OpenMemory(params []byte) (int64, error) {
	limit, err := z.limit(params)
	return 2 * (int64(limit) + codec.LZ4Bound(limit)), err // buffers that grow
}

func (lz4Block) library(libs *Libraries) (string, error) { return lz4{}.library(libs) }

func (lz4Block) sameBytes(a, b string, params []byte) bool {
	p, err := lz4Block{}.parse(params)
	return err == nil && codec.SameLZ4Bytes(a, b, codec.LZ4Params{Legacy: true, Level: p.level})
}

// candidates: mksquashfs has these two levels.
func (z lz4Block) candidates(_, content []byte, _ *Libraries) (out [][]byte, err error) {
	const fast, best = 1, 12
	for _, level := range []int{fast, best} {
		out = append(out, z.pack(lz4BlockParams{level, len(content)}))
	}
	return out, nil
}

// lz4BlockParams are the level and the length of the content.
type lz4BlockParams struct{ level, size int }

// pack writes parameters: the level as a signed byte, and the length of the content as a varint.
func (lz4Block) pack(p lz4BlockParams) []byte {
	return binary.AppendUvarint([]byte{byte(int8(p.level))}, uint64(p.size))
}

func (lz4Block) parse(b []byte) (p lz4BlockParams, err error) {
	if len(b) > 0 {
		p.level = int(int8(b[0]))
		v, n := binary.Uvarint(b[1:])
		err = codec.LZ4Params{Legacy: true, Level: p.level}.Check()
		if n > 0 && n == len(b)-1 && v > 0 && v <= squashfsMaxBlock && err == nil {
			p.size = int(v)
			return p, nil
		}
	}
	return p, fault.Dataf("lz4 block: parameters %x", b)
}

func (z lz4Block) newWriter(w io.Writer, params []byte, _ *Libraries) (io.WriteCloser, error) {
	p, err := z.parse(params)
	if err != nil {
		return nil, err
	}
	l, err := codec.OpenLZ4("")
	if err != nil {
		return nil, err
	}
	return l.NewBlockWriter(w, p.level, p.size)
}

func (z lz4Block) memory(params []byte, _, _ int64) (int64, error) {
	p, err := z.parse(params)
	return int64(p.size) + codec.LZ4Bound(p.size) + 384<<10, err
}

func (z lz4Block) level(params []byte) (int, error) {
	p, err := z.parse(params)
	return p.level, err
}
