// SPDX-License-Identifier: MIT

package extfs

import (
	"fmt"
	"io"

	"swudelta/internal/fault"
	"swudelta/internal/layout"
)

// Inode flags and types (i_flags, i_mode; inodes.rst).
const (
	flagEncrypt = 0x800
	flagExtents = 0x80000
	flagInline  = 0x10000000
	typeMask    = 0xf000
	typeDir     = 0x4000
	maxLogical  = 1 << 32 // blocks of a file
	pointers    = 12      // direct block pointers in an inode
	rootSize    = 60      // bytes of i_block
	extentMagic = 0xf30a
)

var types = map[uint16]layout.Type{
	0x1000:  layout.FIFO,
	0x2000:  layout.CharDevice,
	typeDir: layout.Directory,
	0x6000:  layout.BlockDevice,
	0x8000:  layout.Regular,
	0xa000:  layout.Symlink,
	0xc000:  layout.Socket,
}

// inode is an inode as it is on disk.
type inode struct {
	number uint32
	offset int64 // in the image
	raw    []byte
	kind   layout.Type
	mode   uint16 // without the type
	size   int64
	flags  uint32
	xattr  uint64 // block with extended attributes, or 0
}

// root is i_block: block pointers, the root of the extent tree, or contents.
func (n *inode) root() []byte { return n.raw[0x28 : 0x28+rootSize] }

// fastLink reports whether the target of a symbolic link stands in place of the
// block pointers. Some writers set the flag for extents all the same, which
// e2fsck mends; the kernel takes no notice.
func (n *inode) fastLink() bool {
	return n.kind == layout.Symlink && n.size < rootSize &&
		(n.flags&flagExtents == 0 || le.Uint16(n.root()) != extentMagic)
}

// readInode reads inode number. An inode that is not in use is a fault.
func (s *scan) readInode(number uint32) (*inode, error) {
	if number == 0 || number > s.sb.inodes {
		return nil, fault.Dataf("inode %d of %d", number, s.sb.inodes)
	}
	g, i := (number-1)/s.sb.inodesPerGroup, (number-1)%s.sb.inodesPerGroup
	n := &inode{
		number: number,
		offset: s.bytes(s.groups[g].inodeTable) + int64(i)*s.sb.inodeSize,
		raw:    make([]byte, s.sb.inodeSize),
	}
	if err := readAt(s.r, n.raw, n.offset); err != nil {
		return nil, fmt.Errorf("inode %d: %w", number, err)
	}
	mode := le.Uint16(n.raw)
	n.kind, n.mode = types[mode&typeMask], mode&^typeMask
	n.flags = le.Uint32(n.raw[0x20:])
	size := uint64(le.Uint32(n.raw[0x04:]))
	if n.kind == layout.Regular || n.kind == layout.Directory && s.sb.incompat&incompatLargeDir != 0 {
		size |= uint64(le.Uint32(n.raw[0x6c:])) << 32
	}
	if size > uint64(s.bytes(maxLogical)) {
		return nil, fault.At(n.offset, "inode %d: size %d", number, size)
	}
	n.size = int64(size)
	n.xattr = uint64(le.Uint32(n.raw[0x68:]))
	if s.sb.has64() {
		n.xattr |= uint64(le.Uint16(n.raw[0x76:])) << 32
	}
	return n, nil
}

// bytes converts a block number to an offset in bytes.
func (s *scan) bytes(block uint64) int64 { return int64(block) * s.sb.blockSize }

// pieces returns where the blocks of n lie and claims the blocks of its tree.
// It is for inodes that have blocks: no devices, fast links or inline data.
func (s *scan) pieces(n *inode) ([]layout.Piece, error) {
	m := &mapping{s: s, n: n}
	var err error
	if n.flags&flagExtents != 0 {
		err = m.extents(n.root(), n.offset+0x28, -1)
	} else {
		err = m.pointers(n.root())
	}
	if err != nil {
		return nil, fmt.Errorf("inode %d: %w", n.number, err)
	}
	return m.pieces, nil
}

// mapping collects the pieces of one inode in logical order.
type mapping struct {
	s      *scan
	n      *inode
	next   uint64 // first logical block that is not yet decided
	pieces []layout.Piece
}

// add appends count blocks at logical, merging them with the last piece where
// they go on there. at is the place of the claim in the image, for messages.
func (m *mapping) add(logical, block, count uint64, unwritten bool, at int64) error {
	if !m.s.sb.inside(block, count) {
		return fault.At(at, "blocks %d+%d of %d", block, count, m.s.sb.blocks)
	}
	if logical < m.next || logical+count > maxLogical {
		return fault.At(at, "extent for block %d of the file is out of order", logical)
	}
	m.next = logical + count
	p := layout.Piece{Logical: m.s.bytes(logical), Offset: m.s.bytes(block), Length: m.s.bytes(count), Unwritten: unwritten}
	if len(m.pieces) > 0 {
		last := &m.pieces[len(m.pieces)-1]
		if last.Unwritten == unwritten && last.Logical+last.Length == p.Logical && last.Offset+last.Length == p.Offset {
			last.Length += p.Length
			return nil
		}
	}
	m.pieces = append(m.pieces, p)
	return nil
}

// node claims and reads a block of the tree. A block that two trees share, or
// one tree twice, is refused here, before it can multiply the work: so the time
// to read all trees is bounded by the size of the image.
func (m *mapping) node(block uint64, kind string, at int64) ([]byte, error) {
	if !m.s.sb.inside(block, 1) {
		return nil, fault.At(at, "%s at block %d of %d", kind, block, m.s.sb.blocks)
	}
	if err := m.s.visit(block, at); err != nil {
		return nil, err
	}
	m.s.claim(layout.Region{Kind: kind, Inode: uint64(m.n.number)}, block, 1)
	b := make([]byte, m.s.sb.blockSize)
	if err := readAt(m.s.r, b, m.s.bytes(block)); err != nil {
		return nil, fmt.Errorf("%s: %w", kind, err)
	}
	return b, nil
}

// extents reads a node of the extent tree, which lies at offset at of the image
// (ifork.rst). parent is the depth of its parent, or -1 for the root. The depth
// goes down by one with each level, so the recursion ends.
func (m *mapping) extents(node []byte, at int64, parent int) error {
	const header, entry, maxDepth = 12, 12, 5
	entries, depth := int(le.Uint16(node[2:])), int(le.Uint16(node[6:]))
	switch {
	case le.Uint16(node) != extentMagic:
		return fault.At(at, "extent tree: got magic %#04x, want %#04x", le.Uint16(node), extentMagic)
	case entries > (len(node)-header)/entry:
		return fault.At(at, "extent tree: %d entries in %d bytes", entries, len(node))
	case depth > maxDepth, parent >= 0 && depth != parent-1:
		return fault.At(at, "extent tree: depth %d", depth)
	}
	for i := range entries {
		off := header + i*entry
		e := node[off : off+entry]
		at := at + int64(off)
		logical := uint64(le.Uint32(e))
		if depth > 0 {
			block := uint64(le.Uint32(e[4:])) | uint64(le.Uint16(e[8:]))<<32
			child, err := m.node(block, layout.ExtentTree, at)
			if err != nil {
				return err
			}
			if err := m.extents(child, m.s.bytes(block), depth); err != nil {
				return err
			}
			continue
		}
		count := uint64(le.Uint16(e[4:]))
		unwritten := count > 1<<15
		if unwritten {
			count -= 1 << 15
		}
		if count == 0 {
			return fault.At(at, "extent tree: empty extent")
		}
		block := uint64(le.Uint32(e[8:])) | uint64(le.Uint16(e[6:]))<<32
		if err := m.add(logical, block, count, unwritten, at); err != nil {
			return err
		}
	}
	return nil
}

// pointers reads the block pointers of ext2 and ext3: twelve direct ones, then
// one each of single, double and triple indirection (ifork.rst).
func (m *mapping) pointers(root []byte) error {
	for i := range pointers + 3 {
		at := m.n.offset + 0x28 + int64(i)*4
		if err := m.pointer(uint64(le.Uint32(root[i*4:])), max(0, i-pointers+1), at); err != nil {
			return err
		}
	}
	return nil
}

// pointer follows the pointer at offset at of the image through level blocks of
// pointers. m.next counts the blocks of the file that have been passed.
func (m *mapping) pointer(block uint64, level int, at int64) error {
	perBlock := uint64(m.s.sb.blockSize / 4)
	if block == 0 { // a hole, as large as what the pointer stands for
		span := uint64(1)
		for range level {
			span *= perBlock
		}
		m.next += span
		return nil
	}
	if level == 0 {
		return m.add(m.next, block, 1, false, at)
	}
	b, err := m.node(block, layout.IndirectBlocks, at)
	if err != nil {
		return err
	}
	for i := range perBlock {
		if err := m.pointer(uint64(le.Uint32(b[i*4:])), level-1, m.s.bytes(block)+int64(i)*4); err != nil {
			return err
		}
	}
	return nil
}

// inlinePieces returns where the contents of an inode with inline data lie: the
// first 60 bytes in i_block, the rest as the value of the extended attribute
// "system.data" in the inode's body (inlinedata.rst). The kernel reads zeros
// where there is no more value, and mke2fs 1.47 makes such files of large holes;
// in a directory or link it is a fault.
func (s *scan) inlinePieces(n *inode) ([]layout.Piece, error) {
	if n.size == 0 {
		return nil, nil
	}
	pieces := []layout.Piece{{Offset: n.offset + 0x28, Length: min(n.size, rootSize)}}
	rest := n.size - rootSize
	if rest <= 0 {
		return pieces, nil
	}
	const systemIndex = 7 // the name prefix "system."
	list, err := s.bodyAttributes(n)
	if err != nil {
		return nil, err
	}
	for _, a := range list {
		if a.index == systemIndex && a.name == "data" && a.inode == 0 && a.length > 0 {
			p := layout.Piece{Logical: rootSize, Offset: a.offset, Length: min(rest, a.length)}
			rest -= p.Length
			pieces = append(pieces, p)
			break
		}
	}
	if rest > 0 && n.kind != layout.Regular {
		return nil, fault.At(n.offset, "inode %d: inline data of %d bytes: %d are missing", n.number, n.size, rest)
	}
	return pieces, nil
}

// attribute is an extended attribute: where its value lies in the image, or the
// inode that holds it.
type attribute struct {
	index          uint8
	name           string
	offset, length int64
	inode          uint32
}

const attributeMagic = 0xea020000

// bodyAttributes lists the attributes between the fields of an inode and its end.
func (s *scan) bodyAttributes(n *inode) ([]attribute, error) {
	if len(n.raw) < 128+4 {
		return nil, nil
	}
	start := 128 + int(le.Uint16(n.raw[0x80:]))
	if start > len(n.raw)-8 || le.Uint32(n.raw[start:]) != attributeMagic {
		return nil, nil
	}
	start += 4
	return attributes(n.raw[start:], 0, n.offset+int64(start))
}

// attributes lists the entries that start at offset first of area (attributes.rst).
// Value offsets count from the start of area, which is at offset at of the image.
func attributes(area []byte, first int, at int64) ([]attribute, error) {
	const size = 16 // of an entry without its name
	var list []attribute
	for off := first; ; {
		if off+4 > len(area) || le.Uint32(area[off:]) == 0 {
			return list, nil
		}
		if off+size > len(area) || off+size+int(area[off]) > len(area) {
			return nil, fault.At(at+int64(off), "extended attribute: %w", io.ErrUnexpectedEOF)
		}
		e := area[off:]
		a := attribute{
			index:  e[1],
			name:   string(e[size : size+int(e[0])]),
			offset: at + int64(le.Uint16(e[2:])),
			inode:  le.Uint32(e[4:]),
			length: int64(le.Uint32(e[8:])),
		}
		if a.inode == 0 && int64(le.Uint16(e[2:]))+a.length > int64(len(area)) {
			return nil, fault.At(at+int64(off), "extended attribute: value of %d bytes leaves its block", a.length)
		}
		list = append(list, a)
		off += (size + int(e[0]) + 3) &^ 3
	}
}
