// SPDX-License-Identifier: MIT

package member

import (
	"encoding/binary"
	"slices"

	"swudelta/internal/codec"
)

// squashfsMagic is what an image of squashfs 4, which is little endian, begins with.
const squashfsMagic = "hsqs"

const (
	squashfsMaxBlock = 1 << 20  // bytes of content of a block of data
	squashfsMeta     = 8 << 10  // of one of metadata
	squashfsInodes   = 64 << 20 // of the inodes that are looked at
)

// squashfsBlock is a compressed block of an image, and how long its content is at most, in bytes.
type squashfsBlock struct{ at, size, limit int }

// squashfsBlocks returns the compressed blocks of data, of inodes and of directories of a squashfs image
// whose blocks are LZ4, in order and apart (Linux, fs/squashfs/squashfs_fs.h). An image that is damaged
// has none, or fewer. Those of other formats are found without its tables.
func squashfsBlocks(b []byte) []squashfsBlock {
	const superblock, lz4ID, major = 96, 5, 4
	if len(b) < superblock {
		return nil
	}
	u32 := binary.LittleEndian.Uint32
	u16 := binary.LittleEndian.Uint16
	s := &squashfs{b: b, blockSize: int(u32(b[12:])), seen: map[int]bool{}}
	if u16(b[20:]) != lz4ID || u16(b[28:]) != major || s.blockSize < 4<<10 || s.blockSize > squashfsMaxBlock {
		return nil
	}
	if size := binary.LittleEndian.Uint64(b[40:]); size < uint64(len(b)) {
		s.b = b[:max(size, superblock)]
	}
	place := func(field int) int {
		return int(min(binary.LittleEndian.Uint64(b[field:]), uint64(len(s.b))))
	}
	inodes, directories, fragments := place(64), place(72), place(80)
	if count := int(u32(b[16:])); count > 0 && fragments+8 <= len(s.b) {
		first := place(fragments)
		s.fragments(s.meta(first, fragments), count)
		s.meta(directories, first)
	}
	s.files(s.meta(inodes, directories))
	slices.SortFunc(s.blocks, func(x, y squashfsBlock) int { return x.at - y.at })
	end := 0
	return slices.DeleteFunc(s.blocks, func(x squashfsBlock) bool {
		if x.at < end {
			return true
		}
		end = x.at + x.size
		return false
	})
}

// squashfs collects blocks.
type squashfs struct {
	b         []byte
	blockSize int
	seen      map[int]bool // where blocks begin: files with the same content share them
	blocks    []squashfsBlock
}

func (s *squashfs) add(at, size, limit int) {
	if at >= 0 && size > 0 && at <= len(s.b)-size && !s.seen[at] {
		s.seen[at] = true
		s.blocks = append(s.blocks, squashfsBlock{at, size, limit})
	}
}

// data adds a block whose length is as in inodes, and returns how many bytes it takes.
func (s *squashfs) data(at uint64, length uint32) int {
	const stored, mask = 1 << 24, 1<<24 - 1
	size := int(length & mask)
	if at < uint64(len(s.b)) && length&stored == 0 {
		s.add(int(at), size, s.blockSize)
	}
	return size
}

// meta adds the blocks of metadata from one place to another, and returns their content.
func (s *squashfs) meta(at, end int) (out []byte) {
	const head, stored = 2, 1 << 15
	for at+head <= end && len(out) < squashfsInodes {
		length := int(binary.LittleEndian.Uint16(s.b[at:]))
		size := length &^ stored
		if at += head; size == 0 || size > squashfsMeta || at+size > end {
			return out
		}
		content := s.b[at : at+size]
		if length&stored == 0 {
			var err error
			if content, err = codec.LZ4Block(content, squashfsMeta); err != nil {
				return out
			}
			s.add(at, size, squashfsMeta)
		}
		out = append(out, content...)
		at += size
	}
	return out
}

// fragments adds blocks that hold ends of files, from their table.
func (s *squashfs) fragments(table []byte, count int) {
	const entry = 16
	for ; count > 0 && len(table) >= entry; count-- {
		s.data(binary.LittleEndian.Uint64(table), binary.LittleEndian.Uint32(table[8:]))
		table = table[entry:]
	}
}

// files adds the blocks of files, from their inodes.
func (s *squashfs) files(b []byte) {
	const (
		head                                  = 16
		dir, file, link, block, char, fifo    = 1, 2, 3, 4, 5, 6
		socket, bigDir, bigFile, bigLink      = 7, 8, 9, 10
		bigBlock, bigChar, bigFifo, bigSocket = 11, 12, 13, 14
	)
	// sizes are those of inodes, but for what of them depends on the file.
	sizes := [...]int{
		dir: 32, file: 32, link: 24, block: 24, char: 24, fifo: 20, socket: 20,
		bigDir: 40, bigFile: 56, bigLink: 28, bigBlock: 28, bigChar: 28, bigFifo: 24, bigSocket: 24,
	}
	u32 := binary.LittleEndian.Uint32
	for len(b) >= head {
		kind := int(binary.LittleEndian.Uint16(b))
		if kind == 0 || kind >= len(sizes) || len(b) < sizes[kind] {
			return
		}
		size := sizes[kind]
		switch kind {
		case file:
			size += s.file(b[size:], uint64(u32(b[16:])), uint64(u32(b[28:])), u32(b[20:]))
		case bigFile:
			size += s.file(b[size:], binary.LittleEndian.Uint64(b[16:]), binary.LittleEndian.Uint64(b[24:]), u32(b[44:]))
		case link, bigLink:
			size += int(u32(b[20:]))
		case bigDir:
			size += squashfsIndex(b[size:], int(binary.LittleEndian.Uint16(b[32:])))
		}
		if size > len(b) {
			return
		}
		b = b[size:]
	}
}

// file adds the blocks of a file whose first is at an offset, from its list, and returns the bytes of that.
func (s *squashfs) file(list []byte, at, size uint64, fragment uint32) int {
	const none, entry = 1<<32 - 1, 4
	count := size / uint64(s.blockSize)
	if fragment == none && size%uint64(s.blockSize) > 0 {
		count++
	}
	if count > uint64(len(list)/entry) {
		return len(list) + 1 // damaged
	}
	for i := range int(count) {
		at += uint64(s.data(at, binary.LittleEndian.Uint32(list[i*entry:])))
	}
	return int(count) * entry
}

// squashfsIndex returns the bytes of the index of a directory.
func squashfsIndex(b []byte, count int) int {
	const head = 12
	size := 0
	for ; count > 0 && size+head <= len(b); count-- {
		size += head + int(binary.LittleEndian.Uint32(b[size+8:])&0xffff) + 1
	}
	return size
}
