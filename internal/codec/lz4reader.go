// SPDX-License-Identifier: MIT

package codec

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"

	"swudelta/internal/fault"
)

// Magic numbers of the LZ4 frame format and of the older format that Linux kernels have.
var (
	lz4Magic       = []byte{0x04, 0x22, 0x4d, 0x18}
	lz4LegacyMagic = []byte{0x02, 0x21, 0x4c, 0x18}
)

const lz4Window = 64 << 10

// LZ4Reader reads the content of one LZ4 stream, and tells where it ends. Checksums are
// not verified: whoever makes the stream again compares all of it.
type LZ4Reader struct {
	src    *source
	params LZ4Params
	used   int64

	window  []byte // content before the block
	block   []byte // content of the block
	rest    []byte // of block: not yet read
	stored  []byte
	whole   bool // every block so far was full
	blocks  int
	content uint64
	err     error // sticky
}

var (
	errLZ4Header  = errors.New("not an LZ4 stream that can be read")
	errLZ4Block   = errors.New("a block is damaged")
	errLZ4Lengths = errors.New("blocks are not of the lengths that the library gives them")
)

// NewLZ4Reader returns the content of the first LZ4 stream in r, a frame (not a
// skippable one, and without a dictionary) or a legacy stream. What follows is left
// alone: a legacy stream, which has no end of its own, ends behind a block that is
// not full, or where no sound block follows. Memory is four blocks, 32 MiB at most.
// Faults of the stream are data faults.
func NewLZ4Reader(r io.Reader) (*LZ4Reader, error) {
	z := &LZ4Reader{src: newSource(r), whole: true}
	if err := z.header(); err != nil {
		return nil, z.fail(err)
	}
	return z, nil
}

// Used returns the length of the stream as it is stored, in bytes, when its content is read.
func (z *LZ4Reader) Used() int64 { return z.used }

// Params returns what the stream tells of how it was made, when its content is read:
// everything but the level. ok is false if the library does not make such streams.
func (z *LZ4Reader) Params() (p LZ4Params, ok bool) { return z.params, z.err == io.EOF && z.whole }

func (z *LZ4Reader) fail(err error) error {
	if z.src.err != nil {
		return z.src.err
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return fault.Dataf("lz4 stream: at offset %d: %w", z.used, err)
}

// take reads n bytes of the stream into p, which grows as they come, so that
// a length that is not true takes no memory.
func (z *LZ4Reader) take(p []byte, n int) ([]byte, error) {
	b := bytes.NewBuffer(p[:0])
	m, err := io.CopyN(b, z.src, int64(n))
	z.used += m
	return b.Bytes(), err
}

// header reads the magic number and what describes the frame: LZ4 frame format 1.6.
func (z *LZ4Reader) header() error {
	magic, err := z.take(nil, len(lz4Magic))
	if err != nil {
		return err
	}
	if bytes.Equal(magic, lz4LegacyMagic) {
		z.params.Legacy = true
		return nil
	}
	head, err := z.take(nil, 2)
	if err != nil {
		return err
	}
	flags, id := head[0], head[1]>>4
	// Version 1, no reserved bits, no dictionary.
	if !bytes.Equal(magic, lz4Magic) || flags&0xc3 != 0x40 || head[1]&0x8f != 0 || id < 4 {
		return errLZ4Header
	}
	z.params.BlockID = id
	z.params.Linked = flags&0x20 == 0
	z.params.BlockChecksums = flags&0x10 != 0
	z.params.ContentChecksum = flags&4 != 0
	if flags&8 != 0 {
		size, err := z.take(nil, 8)
		if err != nil {
			return err
		}
		if z.params.ContentSize = binary.LittleEndian.Uint64(size); z.params.ContentSize == 0 {
			z.whole = false // the library leaves out a size of 0
		}
	}
	_, err = z.take(nil, 1) // the header's checksum
	return err
}

func (z *LZ4Reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for len(z.rest) == 0 {
		if z.err != nil {
			return 0, z.err
		}
		if err := z.next(); err != nil {
			if z.err = err; err != io.EOF {
				z.err = z.fail(err)
			}
		}
	}
	n := copy(p, z.rest)
	z.rest = z.rest[n:]
	return n, nil
}

// next decodes the next block; io.EOF says that there is none.
func (z *LZ4Reader) next() error {
	if z.params.Legacy {
		return z.nextLegacy()
	}
	size, err := z.take(nil, 4)
	if err != nil {
		return unexpected(err)
	}
	const stored = 1 << 31
	n := binary.LittleEndian.Uint32(size)
	if n == 0 {
		return z.end()
	}
	if length := n &^ stored; int64(length) > int64(z.params.blockSize()) {
		return errLZ4Block
	}
	if z.stored, err = z.take(z.stored, int(n&^stored)); err != nil {
		return unexpected(err)
	}
	if z.params.BlockChecksums {
		if _, err := z.take(nil, 4); err != nil {
			return unexpected(err)
		}
	}
	z.slide()
	if n&stored != 0 {
		z.block = append(z.block[:0], z.stored...)
	} else if z.block, err = lz4Block(z.block[:0], z.stored, z.window, z.params.blockSize()); err != nil {
		return err
	}
	return z.took()
}

func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// end reads what follows the last block of a frame.
func (z *LZ4Reader) end() error {
	if z.params.ContentChecksum {
		if _, err := z.take(nil, 4); err != nil {
			return unexpected(err)
		}
	}
	if z.params.ContentSize != 0 && z.params.ContentSize != z.content {
		return errLZ4Lengths
	}
	return io.EOF
}

// took notes a decoded block.
func (z *LZ4Reader) took() error {
	if z.blocks++; z.blocks > 1 && z.short() || len(z.block) == 0 {
		z.whole = false
	}
	z.content += uint64(len(z.block))
	z.rest = z.block
	return nil
}

// short reports whether a block before this one was not full.
func (z *LZ4Reader) short() bool {
	return z.content != uint64(z.blocks-1)*uint64(z.params.blockSize())
}

// slide makes the last block, or its end, the window of the next.
func (z *LZ4Reader) slide() {
	if !z.params.Linked {
		return
	}
	if n := lz4Window - len(z.block); n > 0 && len(z.window) > n {
		z.window = append(z.window[:0], z.window[len(z.window)-n:]...)
	} else if n <= 0 {
		z.window = z.window[:0]
	}
	z.window = append(z.window, z.block[max(0, len(z.block)-lz4Window):]...)
}

// nextLegacy decodes a block of a legacy stream. The number that follows the last one
// in a Linux kernel is its content's length.
func (z *LZ4Reader) nextLegacy() error {
	if z.blocks > 0 && len(z.block) < lz4LegacyBlock {
		return io.EOF
	}
	const head = 4
	size, err := z.src.Peek(head)
	if err != nil {
		if z.blocks > 0 || err == io.EOF && len(size) == 0 {
			return io.EOF // an empty stream has no block
		}
		return unexpected(err)
	}
	n := int64(binary.LittleEndian.Uint32(size))
	if n == 0 || n > int64(lz4Bound(lz4LegacyBlock)) {
		return io.EOF
	}
	z.src.Discard(head)
	z.used += head
	before := z.used - head
	stored, err := z.take(z.stored, int(n))
	if err == nil {
		z.stored = stored
		z.block, err = lz4Block(z.block[:0], stored, nil, lz4LegacyBlock)
	}
	if err != nil {
		if z.blocks > 0 && z.src.err == nil {
			z.used = before
			return io.EOF
		}
		return unexpected(err)
	}
	return z.took()
}

// lz4Block appends to dst, which is empty, the content of a block, of which limit
// bytes are allowed (LZ4 block format). window is the content before it.
func lz4Block(dst, src, window []byte, limit int) ([]byte, error) {
	for {
		if len(src) == 0 {
			return dst, errLZ4Block
		}
		token := src[0]
		literals, rest, ok := lz4Length(int(token>>4), src[1:])
		if !ok || literals > len(rest) || literals > limit-len(dst) {
			return dst, errLZ4Block
		}
		dst, src = append(dst, rest[:literals]...), rest[literals:]
		if len(src) == 0 {
			return dst, nil // the last sequence has no match
		}
		if len(src) < 2 {
			return dst, errLZ4Block
		}
		offset := int(binary.LittleEndian.Uint16(src))
		length, rest, ok := lz4Length(int(token&15), src[2:])
		const shortest = 4
		if length += shortest; !ok || offset == 0 || offset > len(dst)+len(window) || length > limit-len(dst) {
			return dst, errLZ4Block
		}
		src = rest
		if before := offset - len(dst); before > 0 {
			n := min(before, length)
			from := len(window) - before
			dst, length = append(dst, window[from:from+n]...), length-n
		}
		dst = lz4Repeat(dst, offset, length)
	}
}

// lz4Repeat appends length bytes from offset back, some of which it may have made itself.
func lz4Repeat(dst []byte, offset, length int) []byte {
	for length > 0 {
		n := min(offset, length)
		from := len(dst) - offset
		dst, length = append(dst, dst[from:from+n]...), length-n
		offset += n
	}
	return dst
}

// lz4Length reads the bytes that may follow the four bits of a length.
func lz4Length(n int, src []byte) (length int, rest []byte, ok bool) {
	if n < 15 {
		return n, src, true
	}
	for i, c := range src {
		if n += int(c); c < 255 {
			return n, src[i+1:], true
		}
	}
	return 0, nil, false
}

// LZ4Block returns the content of a block without a frame, of which limit bytes are allowed. A
// fault of the block is a data fault.
func LZ4Block(stored []byte, limit int) ([]byte, error) {
	content, err := lz4Block(nil, stored, nil, limit)
	if err != nil {
		return nil, fault.Dataf("lz4 block: %w", err)
	}
	return content, nil
}
