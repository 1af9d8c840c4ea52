// SPDX-License-Identifier: MIT

package member

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"
	"math"

	"swudelta/internal/codec"
	"swudelta/internal/fault"
)

// xz is one stream of the .xz format. The parameter of Open is what its decoder may take, in bytes.
type xz struct{}

// lzma is a stream of the older .lzma format, with the same parameter of Open.
type lzma struct{}

const xzMagic = "\xfd7zXZ\x00"

func (xz) Name() string       { return "xz" }
func (xz) Magics() []string   { return []string{xzMagic} }
func (lzma) Name() string     { return "lzma" }
func (lzma) Magics() []string { return []string{"\x5d\x00\x00"} }

// xzDecoder is what a decoder takes beside its dictionary, in bytes.
const xzDecoder = 1 << 20

// memoryParam returns the parameter of Open.
func memoryParam(dictionary uint32) (Found, bool) {
	return Found{Params: binary.AppendUvarint(nil, uint64(dictionary)+xzDecoder)}, dictionary <= codec.MaxWindow
}

func (xz) Find(b []byte) (Found, bool) {
	if _, err := codec.OpenLZMA(""); err != nil {
		return Found{}, false
	}
	const flags, header = 6, 12
	if len(b) < 2*header || crc32.ChecksumIEEE(b[flags:flags+2]) != binary.LittleEndian.Uint32(b[flags+2:]) {
		return Found{}, false
	}
	dictionary, err := codec.XZDictionary(b[header:])
	if err != nil {
		return Found{}, false
	}
	return memoryParam(dictionary)
}

func (lzma) Find(b []byte) (Found, bool) {
	if _, err := codec.OpenLZMA(""); err != nil {
		return Found{}, false
	}
	dictionary, ok := codec.LZMADictionary(b)
	if !ok {
		return Found{}, false
	}
	return memoryParam(dictionary)
}

func (xz) OpenMemory(params []byte) (int64, error) {
	v, n := binary.Uvarint(params)
	if n <= 0 || n != len(params) || v > codec.MaxWindow+xzDecoder {
		return 0, fault.Dataf("xz: parameters %x", params)
	}
	return int64(v), nil
}

func (lzma) OpenMemory(params []byte) (int64, error) { return xz{}.OpenMemory(params) }

func (z xz) Open(r io.Reader, params []byte) (Reader, error) {
	memory, l, err := openLZMA(params)
	if err != nil {
		return nil, err
	}
	return l.NewXZReader(r, memory)
}

func (z lzma) Open(r io.Reader, params []byte) (Reader, error) {
	memory, l, err := openLZMA(params)
	if err != nil {
		return nil, err
	}
	return l.NewAloneReader(r, memory)
}

func openLZMA(params []byte) (uint64, *codec.LZMA, error) {
	memory, err := xz{}.OpenMemory(params)
	if err != nil {
		return 0, nil, err
	}
	l, err := codec.OpenLZMA("")
	return uint64(memory), l, err
}

func (xz) library(*Libraries) (string, error) {
	l, err := codec.OpenLZMA("")
	if err != nil {
		return "", err
	}
	return l.Version(), nil
}

func (lzma) library(libs *Libraries) (string, error) { return xz{}.library(libs) }

func (xz) sameBytes(a, b string, _ []byte) bool   { return codec.SameLZMABytes(a, b) }
func (lzma) sameBytes(a, b string, _ []byte) bool { return codec.SameLZMABytes(a, b) }

// searched returns the searches of the presets with which a coder makes most of what is stored, from an
// offset on, behind which the first chunk's data is.
func searched(stored, content []byte, c codec.LZMACoder, from, skip int) ([]codec.LZMASearch, error) {
	l, err := codec.OpenLZMA("")
	if err != nil {
		return nil, err
	}
	// A smaller dictionary makes the same of so little.
	c.Dictionary = min(c.Dictionary, 4*sampleSize)
	return ranked(codec.LZMASearches(), func(s codec.LZMASearch) (int, error) {
		c.Search = s
		// The writer begins with the chunk's head of skip bytes, in which lengths differ.
		return sample(stored[min(len(stored), from):], content, skip, func(w io.Writer) (io.WriteCloser, error) { return l.NewRawWriter(w, c) })
	})
}

func (z xz) candidates(stored, content []byte, libs *Libraries) ([][]byte, error) {
	x, err := codec.ParseXZ(stored)
	if err != nil {
		return nil, err
	}
	const streamHeader, chunkHeader = 12, 6
	searches, err := searched(stored, content, x.Coder, streamHeader+x.HeaderSize, chunkHeader)
	if err != nil {
		return nil, err
	}
	if len(content) == 0 {
		searches = codec.LZMASearches()[:1]
	}
	var out [][]byte
	for _, size := range dictionaries(x.Dictionary, len(content)) {
		for _, s := range searches {
			x.Coder.Dictionary, x.Coder.Search = size, s
			out = append(out, z.pack(x))
		}
	}
	return out, nil
}

// dictionaries returns sizes that a coder may do with where the headers state one: what covers the
// content takes less memory, and makes the same but for rare cases in the search.
func dictionaries(stated uint32, content int) []uint32 {
	const unit = 64 << 10
	if least := uint64(content+unit) / unit * unit; least < uint64(stated) {
		return []uint32{uint32(least), stated}
	}
	return []uint32{stated}
}

func (z lzma) candidates(stored, content []byte, libs *Libraries) ([][]byte, error) {
	c, err := codec.ParseLZMA(stored)
	if err != nil {
		return nil, err
	}
	const header = 13
	dictionary := c.Dictionary
	searches, err := searched(stored, content, c, header, 0)
	var out [][]byte
	for _, size := range dictionaries(dictionary, len(content)) {
		for _, s := range searches {
			c.Dictionary, c.Search = size, s
			out = append(out, appendCoder(binary.AppendUvarint(nil, uint64(dictionary)), c))
		}
	}
	return out, err
}

// appendCoder writes a coder: varints for the size of the dictionary, lc, lp, pb, mode, finder, nice
// length, depth and number of filters before the last; each filter as block headers have it.
func appendCoder(out []byte, c codec.LZMACoder) []byte {
	for _, v := range []uint64{uint64(c.Dictionary), uint64(c.LC), uint64(c.LP), uint64(c.PB), uint64(c.Search.Mode),
		uint64(c.Search.Finder), uint64(c.Search.Nice), uint64(c.Search.Depth), uint64(len(c.Filters))} {
		out = binary.AppendUvarint(out, v)
	}
	for _, f := range c.Filters {
		out = binary.AppendUvarint(binary.AppendUvarint(out, f.ID), uint64(len(f.Properties)))
		out = append(out, f.Properties...)
	}
	return out
}

// numbers reads varints, and remembers whether all could be read.
type numbers struct {
	b   []byte
	bad bool
}

// next returns a number that is at most limit.
func (n *numbers) next(limit uint64) uint64 {
	v, size := binary.Uvarint(n.b)
	if size <= 0 || v > limit {
		n.b, n.bad = nil, true
		return 0
	}
	n.b = n.b[size:]
	return v
}

func (n *numbers) bytes(size uint64) []byte {
	if size > uint64(len(n.b)) {
		n.b, n.bad = nil, true
		return nil
	}
	b := n.b[:size]
	n.b = n.b[size:]
	return b
}

func (n *numbers) coder() codec.LZMACoder {
	c := codec.LZMACoder{
		Dictionary: uint32(n.next(math.MaxUint32)),
		LC:         uint8(n.next(8)), LP: uint8(n.next(8)), PB: uint8(n.next(8)),
		Search: codec.LZMASearch{
			Mode: uint8(n.next(255)), Finder: uint8(n.next(255)), Nice: uint16(n.next(1 << 15)), Depth: uint16(n.next(1 << 15)),
		},
	}
	for count := n.next(3); count > 0; count-- {
		id := n.next(math.MaxInt64)
		c.Filters = append(c.Filters, codec.LZMAFilter{ID: id, Properties: bytes.Clone(n.bytes(n.next(255)))})
	}
	return c
}

// xzMaxBlocks bounds the blocks of a stream.
const xzMaxBlocks = 1 << 16

// pack writes parameters: the size of the dictionary that headers state as a varint, the coder, then varints: kind of checksum, size of the blocks' headers, whether
// they hold lengths (0, 1), number of blocks; for each its content's length, and what it is coded if headers hold it.
func (xz) pack(x codec.XZ) []byte {
	out := appendCoder(binary.AppendUvarint(nil, uint64(x.Dictionary)), x.Coder)
	sized := uint64(0)
	if x.Sized {
		sized = 1
	}
	for _, v := range []uint64{uint64(x.Check), uint64(x.HeaderSize), sized, uint64(len(x.Blocks))} {
		out = binary.AppendUvarint(out, v)
	}
	for _, b := range x.Blocks {
		if out = binary.AppendUvarint(out, b.Content); x.Sized {
			out = binary.AppendUvarint(out, b.Coded)
		}
	}
	return out
}

func (xz) parse(params []byte) (codec.XZ, error) {
	n := &numbers{b: params}
	x := codec.XZ{Dictionary: uint32(n.next(math.MaxUint32)), Coder: n.coder(), Check: uint8(n.next(15)), HeaderSize: int(n.next(1 << 10)), Sized: n.next(1) == 1}
	for count := n.next(min(xzMaxBlocks, uint64(len(n.b)))); count > 0 && !n.bad; count-- {
		b := codec.XZBlock{Content: n.next(math.MaxInt64)}
		if x.Sized {
			b.Coded = n.next(math.MaxInt64)
		}
		x.Blocks = append(x.Blocks, b)
	}
	if n.bad || len(n.b) > 0 {
		return x, fault.Dataf("xz: parameters that cannot be read")
	}
	return x, nil
}

func (z xz) newWriter(w io.Writer, params []byte, _ *Libraries) (io.WriteCloser, error) {
	x, err := z.parse(params)
	if err != nil {
		return nil, err
	}
	l, err := codec.OpenLZMA("")
	if err != nil {
		return nil, err
	}
	return l.NewXZWriter(w, x)
}

func (z xz) memory(params []byte, _, _ int64) (int64, error) {
	x, err := z.parse(params)
	return x.Coder.Memory(), err
}

// parse reads parameters: the size of the dictionary that the header states as a varint, and the coder.
func (lzma) parse(params []byte) (dictionary uint32, c codec.LZMACoder, err error) {
	n := &numbers{b: params}
	dictionary, c = uint32(n.next(math.MaxUint32)), n.coder()
	if n.bad || len(n.b) > 0 {
		return 0, c, fault.Dataf("lzma: parameters that cannot be read")
	}
	if err := c.Check(); err != nil {
		return 0, c, fault.Data(err)
	}
	return dictionary, c, nil
}

func (z lzma) newWriter(w io.Writer, params []byte, _ *Libraries) (io.WriteCloser, error) {
	dictionary, c, err := z.parse(params)
	if err != nil {
		return nil, err
	}
	l, err := codec.OpenLZMA("")
	if err != nil {
		return nil, err
	}
	return l.NewAloneWriter(w, dictionary, c)
}

func (z lzma) memory(params []byte, _, _ int64) (int64, error) {
	_, c, err := z.parse(params)
	return c.Memory(), err
}

// searchLevel is how long a match is that ends a search; below 0 for the fast searches, of presets 0 to 3.
func searchLevel(s codec.LZMASearch) int {
	const fast = 1
	if s.Mode == fast {
		return int(s.Nice) - 1<<10
	}
	return int(s.Nice)
}

func (z xz) level(params []byte) (int, error) {
	x, err := z.parse(params)
	return searchLevel(x.Coder.Search), err
}

func (z lzma) level(params []byte) (int, error) {
	_, c, err := z.parse(params)
	return searchLevel(c.Search), err
}
