// SPDX-License-Identifier: MIT

package extfs

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"

	"swudelta/internal/fault"
)

// All fields on disk are little endian. Offsets and meanings are those of the
// kernel's Documentation/filesystems/ext4 (globals.rst, super.rst,
// group_descr.rst) and of ext2_fs.h in e2fsprogs.
var le = binary.LittleEndian

const (
	superOffset = 1024 // of the primary superblock in the image
	superSize   = 1024
	magic       = 0xef53
	maxLogBlock = 6 // 1024<<6: blocks of 64 KiB
)

// Feature bits: s_feature_compat, s_feature_incompat, s_feature_ro_compat.
const (
	compatJournal      = 0x4
	compatSparseSuper2 = 0x200
	compatResizeInode  = 0x10
	compatOrphanFile   = 0x1000

	incompatCompression = 0x1
	incompatFiletype    = 0x2
	incompatRecover     = 0x4
	incompatJournalDev  = 0x8
	incompatMetaBG      = 0x10
	incompatExtents     = 0x40
	incompat64Bit       = 0x80
	incompatMMP         = 0x100
	incompatFlexBG      = 0x200
	incompatEAInode     = 0x400
	incompatDirData     = 0x1000
	incompatCsumSeed    = 0x2000
	incompatLargeDir    = 0x4000
	incompatInlineData  = 0x8000
	incompatEncrypt     = 0x10000
	incompatCasefold    = 0x20000

	roSparseSuper  = 0x1
	roLargeFile    = 0x2
	roBtreeDir     = 0x4
	roGDTChecksum  = 0x10
	roQuota        = 0x100
	roBigalloc     = 0x200
	roMetadataCsum = 0x400
	roSharedBlocks = 0x4000
	roOrphans      = 0x10000
)

// readable are the incompatible features that do not stop us: whatever is not
// here changes the format in a way that this package does not know.
const readable = incompatFiletype | incompatRecover | incompatMetaBG | incompatExtents | incompat64Bit |
	incompatMMP | incompatFlexBG | incompatEAInode | incompatCsumSeed | incompatLargeDir |
	incompatInlineData | incompatEncrypt | incompatCasefold

var incompatNames = []struct {
	bit  uint32
	name string
}{
	{incompatCompression, "compression"},
	{incompatJournalDev, "journal_dev (an external journal, no file system)"},
	{incompatDirData, "dirdata"},
}

// superblock is what this package needs of the superblock, checked.
type superblock struct {
	compat, incompat, roCompat uint32

	blockSize      int64
	blocks         uint64 // of the file system, the ones before first included
	first          uint64 // first data block: 1 where blocks of 1 KiB leave block 0 to the boot loader
	clusterBlocks  uint64 // blocks per bit of the block bitmap: 1 without bigalloc
	blocksPerGroup uint64
	inodes         uint32
	inodesPerGroup uint32
	inodeSize      int64
	descSize       int64
	reservedDesc   uint64 // blocks kept after the group descriptors
	firstMetaBG    uint64
	backupGroups   [2]uint64 // sparse_super2
	mmpBlock       uint64

	journal, orphanFile uint32 // inode numbers, 0 where there is none
	quota               [3]uint32
	errors              bool // the kernel has noted errors
}

// Detect reports whether an image that starts with head may be an ext2, ext3 or
// ext4 file system. It looks at the first 2048 bytes; fewer than 1082 are never
// enough.
func Detect(head []byte) bool {
	if len(head) < superOffset+0x3a || le.Uint16(head[superOffset+0x38:]) != magic {
		return false
	}
	sb := head[superOffset:]
	return le.Uint32(sb[0x18:]) <= maxLogBlock && le.Uint32(sb[0x20:]) != 0 && le.Uint32(sb[0x28:]) != 0
}

// readSuper reads and checks the primary superblock of an image of size bytes.
func readSuper(r io.ReaderAt, size int64) (*superblock, error) {
	if size < superOffset+superSize {
		return nil, fault.At(size, "superblock: %w", io.ErrUnexpectedEOF)
	}
	b := make(rawSuper, superSize)
	if err := readAt(r, b, superOffset); err != nil {
		return nil, fmt.Errorf("superblock: %w", err)
	}
	if b.u16(0x38) != magic {
		return nil, badSuper(0x38, "got magic %#04x, want %#04x: no ext2, ext3 or ext4 file system", b.u16(0x38), magic)
	}
	s := &superblock{
		inodes:         b.u32(0x00),
		blocks:         uint64(b.u32(0x04)),
		first:          uint64(b.u32(0x14)),
		blocksPerGroup: uint64(b.u32(0x20)),
		inodesPerGroup: b.u32(0x28),
		errors:         b.u16(0x3a)&2 != 0,
		inodeSize:      128,
		clusterBlocks:  1,
		descSize:       32,
	}
	if rev := b.u32(0x4c); rev > 1 {
		return nil, badSuper(0x4c, "revision %d is not known", rev)
	} else if rev == 1 { // revision 0 has none of the fields from here on
		s.inodeSize = int64(b.u16(0x58))
		s.compat, s.incompat, s.roCompat = b.u32(0x5c), b.u32(0x60), b.u32(0x64)
	}
	for _, read := range []func(*superblock, rawSuper, int64) error{checkFeatures, readGeometry, readPlaces} {
		if err := read(s, b, size); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// rawSuper is a superblock as it is stored.
type rawSuper []byte

func (b rawSuper) u32(off int) uint32 { return le.Uint32(b[off:]) }
func (b rawSuper) u16(off int) uint32 { return uint32(le.Uint16(b[off:])) }

// badSuper is a fault of the field at an offset in the superblock.
func badSuper(field int64, format string, args ...any) error {
	return fault.At(superOffset+field, "superblock: "+format, args...)
}

// checkFeatures refuses what is not known, and a checksum that is wrong.
func checkFeatures(s *superblock, b rawSuper, _ int64) error {
	if unknown := s.incompat &^ readable; unknown != 0 {
		for _, f := range incompatNames {
			if unknown&f.bit != 0 {
				return badSuper(0x60, "feature %s is not supported", f.name)
			}
		}
		return badSuper(0x60, "features %#x are not supported", unknown)
	}
	if s.roCompat&roMetadataCsum != 0 {
		if t := b[0x175]; t != 1 {
			return badSuper(0x175, "checksum type %d is not known", t)
		}
		// The kernel's crc32c starts from ones and does not invert at the end.
		if sum := ^crc32.Checksum(b[:0x3fc], crc32.MakeTable(crc32.Castagnoli)); sum != b.u32(0x3fc) {
			return badSuper(0x3fc, "checksum mismatch: got %#08x, want %#08x", sum, b.u32(0x3fc))
		}
	}
	return nil
}

// readGeometry reads the sizes of blocks, clusters, groups and inodes.
func readGeometry(s *superblock, b rawSuper, size int64) error {
	if b.u32(0x18) > maxLogBlock {
		return badSuper(0x18, "block size 2^(10+%d)", b.u32(0x18))
	}
	s.blockSize = 1024 << b.u32(0x18)
	if s.has64() {
		s.blocks |= uint64(b.u32(0x150)) << 32
		s.descSize = int64(b.u16(0xfe))
		if s.descSize < 64 || s.descSize > s.blockSize || s.descSize&(s.descSize-1) != 0 {
			return badSuper(0xfe, "group descriptors of %d bytes", s.descSize)
		}
	}
	if s.blocks > uint64(size/s.blockSize) {
		return badSuper(0x04, "%d blocks of %d bytes in an image of %d bytes: the image is cut short", s.blocks, s.blockSize, size)
	}
	if s.first > 1 || s.first == 1 && s.blockSize != 1024 || s.first >= s.blocks {
		return badSuper(0x14, "first data block %d", s.first)
	}
	if s.roCompat&roBigalloc != 0 {
		log := b.u32(0x1c)
		if log < b.u32(0x18) || log > 20 {
			return badSuper(0x1c, "cluster size 2^(10+%d)", log)
		}
		s.clusterBlocks = 1 << (log - b.u32(0x18))
		if uint64(b.u32(0x24))*s.clusterBlocks != s.blocksPerGroup {
			return badSuper(0x24, "%d clusters per group do not make %d blocks", b.u32(0x24), s.blocksPerGroup)
		}
	}
	bits := uint64(s.blockSize) * 8 // in the one block of a bitmap
	if s.blocksPerGroup < 8 || s.blocksPerGroup > bits*s.clusterBlocks {
		return badSuper(0x20, "%d blocks per group", s.blocksPerGroup)
	}
	if s.inodesPerGroup == 0 || uint64(s.inodesPerGroup) > bits {
		return badSuper(0x28, "%d inodes per group", s.inodesPerGroup)
	}
	if s.inodeSize < 128 || s.inodeSize > s.blockSize || s.inodeSize&(s.inodeSize-1) != 0 {
		return badSuper(0x58, "inodes of %d bytes", s.inodeSize)
	}
	if uint64(s.inodes) > s.groups()*uint64(s.inodesPerGroup) {
		return badSuper(0x00, "%d inodes in %d groups of %d", s.inodes, s.groups(), s.inodesPerGroup)
	}
	return nil
}

// readPlaces reads where descriptors, backups and files of the file system itself are.
func readPlaces(s *superblock, b rawSuper, _ int64) error {
	s.reservedDesc = uint64(b.u16(0xce))
	if s.reservedDesc > uint64(s.blockSize)/4 {
		return badSuper(0xce, "%d reserved descriptor blocks", s.reservedDesc)
	}
	s.firstMetaBG = uint64(b.u32(0x104))
	if s.incompat&incompatMetaBG != 0 && s.firstMetaBG > s.descBlocks() {
		return badSuper(0x104, "first meta block group %d of %d", s.firstMetaBG, s.descBlocks())
	}
	s.backupGroups = [2]uint64{uint64(b.u32(0x24c)), uint64(b.u32(0x250))}
	if s.incompat&incompatMMP != 0 {
		s.mmpBlock = le.Uint64(b[0x168:])
	}
	if s.compat&compatJournal != 0 {
		s.journal = b.u32(0xe0)
	}
	if s.compat&compatOrphanFile != 0 {
		s.orphanFile = b.u32(0x280)
	}
	if s.roCompat&roQuota != 0 {
		s.quota = [3]uint32{b.u32(0x240), b.u32(0x244), b.u32(0x26c)}
	}
	return nil
}

func (s *superblock) has64() bool { return s.incompat&incompat64Bit != 0 }

// name is the name that blkid(8) gives the file system: that of the oldest
// driver that knows all its features.
func (s *superblock) name() string {
	const (
		oldIncompat = incompatFiletype | incompatMetaBG
		oldRO       = roSparseSuper | roLargeFile | roBtreeDir
	)
	switch {
	case s.incompat&^(oldIncompat|incompatRecover) != 0 || s.roCompat&^oldRO != 0:
		return "ext4"
	case s.compat&compatJournal != 0:
		return "ext3"
	case s.incompat&incompatRecover != 0:
		return "ext4"
	}
	return "ext2"
}

func (s *superblock) groups() uint64 {
	return (s.blocks - s.first + s.blocksPerGroup - 1) / s.blocksPerGroup
}

func (s *superblock) groupFirst(g uint64) uint64 { return s.first + g*s.blocksPerGroup }

func (s *superblock) descPerBlock() uint64 { return uint64(s.blockSize / s.descSize) }

// descBlocks is the number of blocks that hold the group descriptors.
func (s *superblock) descBlocks() uint64 {
	return (s.groups() + s.descPerBlock() - 1) / s.descPerBlock()
}

// hasSuper reports whether group g starts with the superblock or a backup.
func (s *superblock) hasSuper(g uint64) bool {
	switch {
	case g == 0:
		return true
	case s.compat&compatSparseSuper2 != 0:
		return g == s.backupGroups[0] || g == s.backupGroups[1]
	case g == 1 || s.roCompat&roSparseSuper == 0:
		return true
	}
	for _, base := range []uint64{3, 5, 7} {
		n := base
		for n < g {
			n *= base
		}
		if n == g {
			return true
		}
	}
	return false
}

// superBlock is the block of group g's superblock. Block 0 of 1 KiB cannot hold
// it (bigalloc counts the boot block as part of the first group).
func (s *superblock) superBlock(g uint64) uint64 {
	if b := s.groupFirst(g); b > 0 || s.blockSize > 1024 {
		return b
	}
	return 1
}

// inMetaBG reports whether the descriptors of group g lie in its own meta block
// group and not behind the superblock.
func (s *superblock) inMetaBG(g uint64) bool {
	return s.incompat&incompatMetaBG != 0 && g/s.descPerBlock() >= s.firstMetaBG
}

// metaDesc is the block of the descriptors, or of a backup of them, in a group
// of a meta block group; ok is false where the group has none.
func (s *superblock) metaDesc(g uint64) (block uint64, ok bool) {
	switch g % s.descPerBlock() {
	case 0, 1, s.descPerBlock() - 1:
	default:
		return 0, false
	}
	if s.hasSuper(g) {
		return s.superBlock(g) + 1, true
	}
	return s.groupFirst(g), true
}

// primaryDesc is the block with the i-th block of group descriptors.
func (s *superblock) primaryDesc(i uint64) uint64 {
	if g := i * s.descPerBlock(); s.inMetaBG(g) {
		block, _ := s.metaDesc(g)
		return block
	}
	return s.superBlock(0) + 1 + i
}

// group is a group descriptor.
type group struct {
	blockBitmap, inodeBitmap, inodeTable uint64
	blockUninit                          bool // the block bitmap was never written
}

// readGroups reads the group descriptors. Every block that they name is inside
// the file system.
func readGroups(r io.ReaderAt, s *superblock) ([]group, error) {
	checksums := s.roCompat&(roGDTChecksum|roMetadataCsum) != 0
	n := s.groups()
	table := (uint64(s.inodesPerGroup)*uint64(s.inodeSize) + uint64(s.blockSize) - 1) / uint64(s.blockSize)
	var groups []group
	buf := make([]byte, s.blockSize)
	for i := range s.descBlocks() {
		block := s.primaryDesc(i)
		off := int64(block) * s.blockSize
		if block >= s.blocks {
			return nil, fault.At(superOffset, "group descriptors: block %d of %d", block, s.blocks)
		}
		if err := readAt(r, buf, off); err != nil {
			return nil, fmt.Errorf("group descriptors: %w", err)
		}
		for d := int64(0); d+s.descSize <= s.blockSize && uint64(len(groups)) < n; d += s.descSize {
			b := buf[d:]
			g := group{
				blockBitmap: uint64(le.Uint32(b[0x00:])),
				inodeBitmap: uint64(le.Uint32(b[0x04:])),
				inodeTable:  uint64(le.Uint32(b[0x08:])),
				blockUninit: checksums && le.Uint16(b[0x12:])&2 != 0,
			}
			if s.has64() {
				g.blockBitmap |= uint64(le.Uint32(b[0x20:])) << 32
				g.inodeBitmap |= uint64(le.Uint32(b[0x24:])) << 32
				g.inodeTable |= uint64(le.Uint32(b[0x28:])) << 32
			}
			for _, at := range []struct {
				what         string
				block, count uint64
			}{{"block bitmap", g.blockBitmap, 1}, {"inode bitmap", g.inodeBitmap, 1}, {"inode table", g.inodeTable, table}} {
				// Nothing lies before the descriptors: zeros are refused here.
				if at.block <= s.superBlock(0) || !s.inside(at.block, at.count) {
					return nil, fault.At(off+d, "group %d: %s at block %d of %d", len(groups), at.what, at.block, s.blocks)
				}
			}
			groups = append(groups, g)
		}
	}
	return groups, nil
}

// inside reports whether a run of blocks is part of the file system.
func (s *superblock) inside(block, count uint64) bool {
	return block >= s.first && count <= s.blocks && block <= s.blocks-count
}

// readAt fills b from offset off. The end of the image is a fault of the data,
// any other error the reader's own.
func readAt(r io.ReaderAt, b []byte, off int64) error {
	n, err := r.ReadAt(b, off)
	switch {
	case n == len(b):
		return nil
	case err == nil || err == io.EOF:
		return fault.At(off+int64(n), "%w", io.ErrUnexpectedEOF)
	}
	return err
}
