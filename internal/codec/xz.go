// SPDX-License-Identifier: MIT

package codec

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"io"
	"math"

	"swudelta/internal/fault"
)

// XZ says how a stream of the .xz format (version 1.2.1 of its description) is put together.
// What is in it besides the bytes of the coder is made here, not by liblzma: so a
// stream of any number of blocks takes the memory of one coder.
type XZ struct {
	Check      uint8  // kind of checksum: 0 none, 1 CRC32, 4 CRC64, 10 SHA-256
	Dictionary uint32 // size in bytes, as the headers state it; the coder may do with less
	Coder      LZMACoder
	HeaderSize int  // of the blocks, in bytes
	Sized      bool // blocks have their lengths in their headers
	Blocks     []XZBlock
}

// XZBlock has the lengths of a block, in bytes.
type XZBlock struct {
	Content uint64
	Coded   uint64 // matters if XZ.Sized
}

var (
	xzMagic  = []byte{0xfd, '7', 'z', 'X', 'Z', 0}
	xzFooter = []byte("YZ")
)

const (
	xzStreamHeader = 12
	xzCoded        = 0x40 // flags of a block header: the lengths are there
	xzContent      = 0x80
	// Block headers may be up to 1 KiB; no encoder makes such ones.
	xzMaxHeader = 1 << 10
)

var (
	errXZ       = errors.New("not an xz stream of a known form")
	errXZBlocks = errors.New("blocks of different forms")
)

// xzCheck returns the checksum of a kind, nil for none.
func xzCheck(kind uint8) (hash.Hash, bool) {
	switch kind {
	case 0:
		return nil, true
	case 1:
		return crc32.NewIEEE(), true
	case 4:
		return crc64.New(crc64.MakeTable(crc64.ECMA)), true
	case 10:
		return sha256.New(), true
	}
	return nil, false
}

// appendCheck appends the checksum as it is stored: CRCs little endian.
func appendCheck(b []byte, h hash.Hash) []byte {
	switch h := h.(type) {
	case nil:
		return b
	case hash.Hash32:
		return binary.LittleEndian.AppendUint32(b, h.Sum32())
	case hash.Hash64:
		return binary.LittleEndian.AppendUint64(b, h.Sum64())
	}
	return h.Sum(b)
}

func appendCRC(b []byte, from int) []byte {
	return binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(b[from:]))
}

// ParseXZ returns how a stream is put together, all but the coder's search: that of
// preset 6 stands there. Faults of the stream are data faults.
func ParseXZ(stored []byte) (XZ, error) {
	var x XZ
	n := len(stored)
	if n < 2*xzStreamHeader || !bytes.HasPrefix(stored, xzMagic) || stored[6] != 0 || !bytes.HasSuffix(stored, xzFooter) {
		return x, fault.Data(errXZ)
	}
	x.Check = stored[7]
	sum, ok := xzCheck(x.Check)
	index := 4 * (int64(binary.LittleEndian.Uint32(stored[n-8:])) + 1)
	if !ok || index > int64(n-2*xzStreamHeader) {
		return x, fault.Data(errXZ)
	}
	records := stored[n-xzStreamHeader-int(index) : n-xzStreamHeader]
	sizeOfCheck := uint64(len(appendCheck(nil, sum)))
	at := uint64(xzStreamHeader)
	count, records, ok := xzNumber(records[1:])
	for i := uint64(0); ok && i < count; i++ {
		var unpadded, content uint64
		if unpadded, records, ok = xzNumber(records); !ok {
			break
		}
		if content, records, ok = xzNumber(records); !ok {
			break
		}
		if at > uint64(n) || unpadded > uint64(n)-at {
			return x, fault.Data(errXZ)
		}
		block := stored[at : at+unpadded]
		if err := x.block(block, i == 0); err != nil {
			return x, err
		}
		coded := unpadded - uint64(x.HeaderSize) - sizeOfCheck
		if unpadded < uint64(x.HeaderSize)+sizeOfCheck {
			return x, fault.Data(errXZ)
		}
		x.Blocks = append(x.Blocks, XZBlock{content, coded})
		at += (unpadded + 3) &^ 3
	}
	if !ok {
		return x, fault.Data(errXZ)
	}
	return x, nil
}

// xzNumber reads a number: section 1.2 of the format.
func xzNumber(b []byte) (uint64, []byte, bool) {
	v, n := binary.Uvarint(b)
	if n <= 0 || v > math.MaxInt64 {
		return 0, nil, false
	}
	return v, b[n:], true
}

// block reads the header of a block. All must be as the first one's is.
func (x *XZ) block(b []byte, first bool) error {
	if len(b) < 8 || b[0] == 0 {
		return fault.Data(errXZ)
	}
	size := 4 * (int(b[0]) + 1)
	if size+8 > len(b) {
		return fault.Data(errXZ)
	}
	flags, rest, ok := b[1], b[2:size-4], true
	for _, flag := range []byte{xzCoded, xzContent} {
		if flags&flag != 0 && ok {
			_, rest, ok = xzNumber(rest)
		}
	}
	sized := flags&xzCoded != 0
	if !ok || flags&0x3c != 0 || sized != (flags&xzContent != 0) {
		return fault.Data(errXZ)
	}
	coder, err := xzFilters(rest, int(flags&3)+1)
	if err != nil {
		return err
	}
	if first {
		x.HeaderSize, x.Sized, x.Dictionary, x.Coder = size, sized, coder.Dictionary, coder
		x.Coder.LC, x.Coder.PB = 3, 2
		x.Coder.Search = lzmaSearches[0]
		// The first LZMA chunk has the properties behind its lengths.
		const withProperties = 0xc0
		if chunk := b[size:]; len(chunk) > 6 && chunk[0] >= withProperties && chunk[5] < 225 {
			p := chunk[5]
			x.Coder.LC, x.Coder.LP, x.Coder.PB = p%9, p/9%5, p/45
		}
		return nil
	}
	if size != x.HeaderSize || sized != x.Sized || coder.Dictionary != x.Dictionary || !sameFilters(coder.Filters, x.Coder.Filters) {
		return fault.Data(errXZBlocks)
	}
	return nil
}

func sameFilters(a, b []LZMAFilter) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].ID != b[i].ID || !bytes.Equal(a[i].Properties, b[i].Properties) {
			return false
		}
	}
	return true
}

// xzFilters reads the n filters of a block header; the last must be LZMA2.
func xzFilters(b []byte, n int) (LZMACoder, error) {
	var c LZMACoder
	for i := range n {
		id, rest, ok := xzNumber(b)
		var size uint64
		if ok {
			size, rest, ok = xzNumber(rest)
		}
		if !ok || size > uint64(len(rest)) {
			return c, fault.Data(errXZ)
		}
		properties := rest[:size]
		b = rest[size:]
		if i < n-1 {
			c.Filters = append(c.Filters, LZMAFilter{id, bytes.Clone(properties)})
			continue
		}
		if id != lzmaFilter2 || size != 1 || properties[0] > 39 {
			return c, fault.Data(errXZ)
		}
		c.Dictionary = xzDictionary(properties[0])
	}
	return c, nil
}

// XZDictionary returns the size, in bytes, of the dictionary of the first block of a
// stream, whose header (or the index, if there is no block) b begins with. Faults of it are data faults.
func XZDictionary(b []byte) (uint32, error) {
	if len(b) > 0 && b[0] == 0 {
		return 0, nil
	}
	var x XZ
	if err := x.block(b, true); err != nil {
		return 0, err
	}
	return x.Dictionary, nil
}

// xzDictionary returns the size that a byte stands for: 2 or 3 times a power of two.
func xzDictionary(bits byte) uint32 { return (2 | uint32(bits)&1) << (bits/2 + 11) }

// xzDictionaryByte is its inverse, rounded up.
func xzDictionaryByte(size uint32) byte {
	for bits := byte(0); bits < 40; bits++ {
		if xzDictionary(bits) >= size {
			return bits
		}
	}
	return 40
}

// blockHeader returns the header of a block, HeaderSize bytes.
func (x XZ) blockHeader(b XZBlock) ([]byte, error) {
	h := []byte{byte(x.HeaderSize/4 - 1), byte(len(x.Coder.Filters))}
	if x.Sized {
		h[1] |= xzCoded | xzContent
		h = binary.AppendUvarint(binary.AppendUvarint(h, b.Coded), b.Content)
	}
	for _, f := range x.Coder.Filters {
		h = binary.AppendUvarint(binary.AppendUvarint(h, f.ID), uint64(len(f.Properties)))
		h = append(h, f.Properties...)
	}
	h = append(h, lzmaFilter2, 1, xzDictionaryByte(x.Dictionary))
	if len(h)+4 > x.HeaderSize {
		return nil, errXZ
	}
	h = append(h, make([]byte, x.HeaderSize-4-len(h))...)
	return appendCRC(h, 0), nil
}

// check returns an error for a stream that cannot be made.
func (x XZ) check() error {
	_, ok := xzCheck(x.Check)
	switch {
	case !ok:
		return errXZ
	case len(x.Blocks) == 0: // all that there is of an empty stream
		return nil
	case x.HeaderSize < 8 || x.HeaderSize > xzMaxHeader || x.HeaderSize%4 != 0 || x.Coder.LZMA1:
		return errXZ
	}
	return x.Coder.Check()
}

// NewXZWriter returns a writer of the stream x, completed by Close. Its content must
// have the lengths of its blocks together, else the error is a data fault. Memory is
// that of one coder. How the content is cut into Writes does not matter.
func (l *LZMA) NewXZWriter(w io.Writer, x XZ) (io.WriteCloser, error) {
	if err := x.check(); err != nil {
		return nil, fault.Data(err)
	}
	head := append(bytes.Clone(xzMagic), 0, x.Check)
	z := &xzWriter{library: l, x: x, w: &countWriter{w: w}}
	_, err := z.w.Write(appendCRC(head, len(xzMagic)))
	return z, err
}

// countWriter counts what is written to w.
type countWriter struct {
	w io.Writer
	n uint64
}

func (c *countWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += uint64(n)
	return n, err
}

// xzWriter makes one block after the other.
type xzWriter struct {
	library *LZMA
	x       XZ
	w       *countWriter

	coder   io.WriteCloser // nil: between blocks
	sum     hash.Hash      // of the block, nil if there is none
	left    uint64         // content of the block that is to come
	start   uint64         // of the block in the stream
	n       int            // blocks begun
	records []byte         // of the index
	err     error          // sticky
}

var errXZContent = errors.New("xz stream: content of another length than its blocks have")

func (z *xzWriter) Write(p []byte) (int, error) {
	total := len(p)
	for len(p) > 0 && z.err == nil {
		if z.err = z.begin(); z.err != nil {
			break
		}
		n := int(min(uint64(len(p)), z.left))
		if z.sum != nil {
			z.sum.Write(p[:n])
		}
		_, z.err = z.coder.Write(p[:n])
		z.left -= uint64(n)
		p = p[n:]
		if z.left == 0 && z.err == nil {
			z.err = z.finish()
		}
	}
	return total - len(p), z.err
}

// begin starts the next block, unless one is under way.
func (z *xzWriter) begin() error {
	if z.coder != nil {
		return nil
	}
	if z.n == len(z.x.Blocks) {
		return fault.Data(errXZContent)
	}
	b := z.x.Blocks[z.n]
	head, err := z.x.blockHeader(b)
	if err != nil {
		return fault.Data(err)
	}
	z.start, z.left = z.w.n, b.Content
	z.n++
	if _, err := z.w.Write(head); err != nil {
		return err
	}
	z.sum, _ = xzCheck(z.x.Check)
	z.coder, err = z.library.NewRawWriter(z.w, z.x.Coder)
	return err
}

// finish completes a block.
func (z *xzWriter) finish() error {
	err := z.coder.Close()
	z.coder = nil
	if err != nil {
		return err
	}
	unpadded := z.w.n - z.start
	tail := make([]byte, -z.w.n&3)
	sum := appendCheck(nil, z.sum)
	z.records = binary.AppendUvarint(z.records, unpadded+uint64(len(sum)))
	z.records = binary.AppendUvarint(z.records, z.x.Blocks[z.n-1].Content)
	_, err = z.w.Write(append(tail, sum...))
	return err
}

// Close completes the stream.
func (z *xzWriter) Close() error {
	for z.err == nil && z.coder == nil && z.n < len(z.x.Blocks) && z.x.Blocks[z.n].Content == 0 {
		if z.err = z.begin(); z.err == nil {
			z.err = z.finish()
		}
	}
	if z.coder != nil { // a block is not complete: its coder is freed
		z.coder.Close()
		z.coder = nil
		if z.err == nil {
			z.err = fault.Data(errXZContent)
		}
	}
	if z.err != nil {
		return z.err
	}
	z.err = errWriteClosed
	if z.n < len(z.x.Blocks) {
		return fault.Data(errXZContent)
	}
	index := binary.AppendUvarint([]byte{0}, uint64(z.n))
	index = append(index, z.records...)
	index = appendCRC(append(index, make([]byte, -len(index)&3)...), 0)
	tail := binary.LittleEndian.AppendUint32(nil, uint32(len(index)/4-1))
	tail = append(tail, 0, z.x.Check)
	footer := binary.LittleEndian.AppendUint32(nil, crc32.ChecksumIEEE(tail))
	footer = append(append(footer, tail...), xzFooter...)
	_, err := z.w.Write(append(index, footer...))
	return err
}
