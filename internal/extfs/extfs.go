// SPDX-License-Identifier: MIT

// Package extfs lists what lies where in an ext2, ext3 or ext4 image.
//
// It reads the image alone, without mounting it: the superblock, the group
// descriptors, the directories from the root on, and the inodes that they name.
// Every byte of the image ends up in exactly one place of the layout: in a file,
// in a metadata region, or in free space.
//
// Images are not trusted. Every block number is held against the size of the
// file system before it is used, a block of metadata is read once at most, and
// what two owners claim is a fault; so time and memory are bounded by the size
// of the image, and a fault of the image is an error of package fault.
package extfs

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"io"
	"slices"

	"swudelta/internal/digest"
	"swudelta/internal/fault"
	"swudelta/internal/layout"
)

// Options of Scan and WriteDumpextfs.
type Options struct {
	// NoDigests leaves out the digests of files: no contents are read.
	NoDigests bool

	// Warn, if set, is told what is doubtful in an image that is readable all
	// the same, as for fmt.Printf.
	Warn func(format string, args ...any)
}

// Scan returns the layout of the file system in r, an image of size bytes. Files
// are sorted by path; where an inode has several names, the path is the first in
// byte order.
//
// Blocks that two files claim are a fault, except under the feature
// shared_blocks (Android's deduplicated images), where files may share them. An
// encrypted directory is a fault: its names are unknown without the key.
// Checksums are verified for the superblock alone. A journal that has not been
// replayed is a warning.
func Scan(r io.ReaderAt, size int64, opt Options) (*layout.Layout, error) {
	s, err := newScan(r, size, opt)
	if err != nil {
		return nil, err
	}
	l := &layout.Layout{
		Version:    layout.Version,
		FileSystem: s.sb.name(),
		Size:       size,
		BlockSize:  s.sb.blockSize,
	}
	if l.Free, err = s.account(); err != nil {
		return nil, err
	}
	for i := range s.files {
		f := &s.files[i]
		if len(f.Links) > 0 {
			names := append(f.Links, f.Path)
			slices.Sort(names)
			f.Path, f.Links = names[0], names[1:]
		}
	}
	l.Metadata = s.regions
	for i := range l.Metadata {
		if f, ok := s.byInode[uint32(l.Metadata[i].Inode)]; ok {
			l.Metadata[i].Path = s.files[f].Path
		}
	}
	l.Files = s.files
	slices.SortFunc(l.Files, func(a, b layout.File) int { return cmp.Compare(a.Path, b.Path) })
	if opt.NoDigests {
		return l, nil
	}
	return l, s.hash(l.Files)
}

// scan is the state of one pass over an image.
type scan struct {
	r      io.ReaderAt
	size   int64
	warn   func(format string, args ...any)
	sb     *superblock
	groups []group

	files   []layout.File  // in the order in which the directories name them
	names   []name         // likewise, with every hard link
	byInode map[uint32]int // index in files

	regions   []layout.Region
	visited   map[uint64]struct{} // blocks of trees, directories and attributes
	xattrs    map[uint64]struct{} // attribute blocks, which inodes may share
	eaInodes  map[uint32]struct{} // inodes that hold attribute values
	nameBytes int64               // total length of all paths
	hashBytes int64               // bytes that may still be hashed
}

// name is a directory entry.
type name struct {
	path string
	file int // index in files
}

// newScan reads everything but the contents of files.
func newScan(r io.ReaderAt, size int64, opt Options) (*scan, error) {
	s := &scan{
		r: r, size: size, warn: opt.Warn,
		byInode: map[uint32]int{}, visited: map[uint64]struct{}{},
		xattrs: map[uint64]struct{}{}, eaInodes: map[uint32]struct{}{},
		hashBytes: hashLimit(size),
	}
	if s.warn == nil {
		s.warn = func(string, ...any) {}
	}
	var err error
	if s.sb, err = readSuper(r, size); err != nil {
		return nil, err
	}
	if s.sb.incompat&incompatRecover != 0 {
		s.warn("the journal has not been replayed: files may lie elsewhere once it is")
	}
	if s.sb.errors {
		s.warn("the file system is marked as having errors")
	}
	if s.groups, err = readGroups(r, s.sb); err != nil {
		return nil, err
	}
	if err := s.fixedMetadata(); err != nil {
		return nil, err
	}
	if err := s.hiddenFiles(); err != nil {
		return nil, err
	}
	return s, s.tree()
}

// hashLimit bounds how many bytes of contents are hashed in all. Contents that
// lie in the image once can never reach it; holes, which take no room in the
// image, could otherwise keep the hash busy for days.
func hashLimit(size int64) int64 { return 4*size + 1<<30 }

// hash fills in the digests of files.
func (s *scan) hash(files []layout.File) error {
	buf := make([]byte, 1<<20)
	for i := range files {
		f := &files[i]
		if f.Type != layout.Regular && f.Type != layout.Symlink {
			continue
		}
		if s.hashBytes -= f.Size; s.hashBytes < 0 {
			s.hashBytes += f.Size
			s.warn("%q: no digest of %d bytes, which are mostly holes", f.Path, f.Size)
			continue
		}
		h := sha256.New()
		// SectionReader's own WriteTo would not use the buffer.
		if _, err := io.CopyBuffer(h, struct{ io.Reader }{f.Contents(s.r)}, buf); err != nil {
			return fmt.Errorf("%q: %w", f.Path, err)
		}
		f.SHA256 = digest.SHA256(h.Sum(nil))
	}
	return nil
}

// visit notes that a block of metadata is about to be read on behalf of what
// names it at offset at of the image, and refuses a second time.
func (s *scan) visit(block uint64, at int64) error {
	if _, again := s.visited[block]; again {
		return fault.At(at, "block %d is claimed twice", block)
	}
	s.visited[block] = struct{}{}
	return nil
}

// claim adds r, which lies at count blocks from block on, to the metadata.
func (s *scan) claim(r layout.Region, block, count uint64) {
	r.Offset, r.Length = s.bytes(block), s.bytes(count)
	s.regions = append(s.regions, r)
}

// claimPieces adds the pieces of an object to the metadata.
func (s *scan) claimPieces(kind string, n *inode, pieces []layout.Piece) {
	for _, p := range pieces {
		s.regions = append(s.regions, layout.Region{Kind: kind, Inode: uint64(n.number),
			Logical: p.Logical, Offset: p.Offset, Length: p.Length})
	}
}

// fixedMetadata claims what lies where the superblock and the group descriptors
// say: boot block, superblocks, descriptors, bitmaps, inode tables.
func (s *scan) fixedMetadata() error {
	sb := s.sb
	s.regions = append(s.regions,
		layout.Region{Kind: layout.Boot, Offset: 0, Length: superOffset},
		layout.Region{Kind: layout.Superblock, Offset: superOffset, Length: max(superSize, sb.blockSize-superOffset)})
	descriptors := func(kind string, g, block, count uint64) error {
		if count == 0 {
			return nil
		}
		if !sb.inside(block, count) {
			return fault.At(superOffset, "group %d: %s at block %d+%d of %d", g, kind, block, count, sb.blocks)
		}
		s.claim(layout.Region{Kind: kind, Group: int(g)}, block, count)
		return nil
	}
	// Descriptors that lie behind each superblock, and the room after them.
	chain, spare := sb.descBlocks(), sb.reservedDesc
	if sb.incompat&incompatMetaBG != 0 {
		chain, spare = sb.firstMetaBG, 0
	}
	table := (uint64(sb.inodesPerGroup)*uint64(sb.inodeSize) + uint64(sb.blockSize) - 1) / uint64(sb.blockSize)
	for i, d := range s.groups {
		g := uint64(i)
		if sb.hasSuper(g) && g > 0 {
			if err := descriptors(layout.Superblock, g, sb.superBlock(g), 1); err != nil {
				return err
			}
		}
		if sb.inMetaBG(g) {
			if block, ok := sb.metaDesc(g); ok {
				if err := descriptors(layout.Descriptors, g, block, 1); err != nil {
					return err
				}
			}
		} else if sb.hasSuper(g) {
			block := sb.superBlock(g) + 1
			if err := descriptors(layout.Descriptors, g, block, chain); err != nil {
				return err
			}
			if err := descriptors(layout.SpareDescriptors, g, block+chain, spare); err != nil {
				return err
			}
		}
		s.claim(layout.Region{Kind: layout.BlockBitmap, Group: i}, d.blockBitmap, 1)
		s.claim(layout.Region{Kind: layout.InodeBitmap, Group: i}, d.inodeBitmap, 1)
		s.claim(layout.Region{Kind: layout.InodeTable, Group: i}, d.inodeTable, table)
	}
	if sb.mmpBlock != 0 {
		if !sb.inside(sb.mmpBlock, 1) {
			return fault.At(superOffset+0x168, "multiple mount protection at block %d of %d", sb.mmpBlock, sb.blocks)
		}
		s.claim(layout.Region{Kind: layout.MultiMount}, sb.mmpBlock, 1)
	}
	if end := s.bytes(sb.blocks); end < s.size {
		s.regions = append(s.regions, layout.Region{Kind: layout.Tail, Offset: end, Length: s.size - end})
	}
	return nil
}

// hiddenFiles claims the blocks of inodes that no directory names.
func (s *scan) hiddenFiles() error {
	const badBlocks, resize = 1, 7 // the numbers of these are fixed
	for _, hidden := range []struct {
		inode uint32
		kind  string
	}{
		{badBlocks, layout.BadBlocks},
		{s.sb.quota[0], layout.Quota},
		{s.sb.quota[1], layout.Quota},
		{s.sb.quota[2], layout.Quota},
		{s.sb.journal, layout.Journal},
		{s.sb.orphanFile, layout.OrphanFile},
	} {
		if hidden.inode == 0 {
			continue
		}
		n, err := s.readInode(hidden.inode)
		if err != nil {
			return fmt.Errorf("%s: %w", hidden.kind, err)
		}
		pieces, err := s.pieces(n)
		if err != nil {
			return fmt.Errorf("%s: %w", hidden.kind, err)
		}
		s.claimPieces(hidden.kind, n, pieces)
	}
	if s.sb.compat&compatResizeInode == 0 {
		return nil
	}
	// The resize inode owns the reserved group descriptors, which are claimed
	// already, through one block of pointers that is its own.
	n, err := s.readInode(resize)
	if err != nil {
		return fmt.Errorf("resize inode: %w", err)
	}
	const double = pointers + 1
	if block := uint64(le.Uint32(n.root()[double*4:])); block != 0 {
		at := n.offset + 0x28 + double*4
		if !s.sb.inside(block, 1) {
			return fault.At(at, "resize inode: block %d of %d", block, s.sb.blocks)
		}
		if err := s.visit(block, at); err != nil {
			return fmt.Errorf("resize inode: %w", err)
		}
		s.claim(layout.Region{Kind: layout.ResizeInode, Inode: resize}, block, 1)
	}
	return nil
}

// account finds two owners of one byte, sorts s.regions, adds to them what is in
// use without an owner, and returns what is free.
func (s *scan) account() ([]layout.Extent, error) {
	type span struct {
		off, end int64
		owner    int // index in s.files, or ^index in s.regions
	}
	spans := make([]span, 0, len(s.regions)+len(s.files))
	for i, r := range s.regions {
		spans = append(spans, span{r.Offset, r.Offset + r.Length, ^i})
	}
	for i := range s.files {
		if s.files[i].Inline {
			continue
		}
		for _, p := range s.files[i].Pieces {
			spans = append(spans, span{p.Offset, p.Offset + p.Length, i})
		}
	}
	slices.SortFunc(spans, func(a, b span) int {
		return cmp.Or(cmp.Compare(a.off, b.off), cmp.Compare(a.end, b.end), cmp.Compare(a.owner, b.owner))
	})
	owner := func(sp span) string {
		if sp.owner < 0 {
			return s.regions[^sp.owner].Kind
		}
		return fmt.Sprintf("%q", s.files[sp.owner].Path)
	}
	gaps := &gaps{s: s}
	var last span // the one that reaches furthest
	for _, sp := range spans {
		if sp.off < last.end {
			shared := s.sb.roCompat&roSharedBlocks != 0 && sp.owner >= 0 && last.owner >= 0
			if !shared {
				return nil, fault.At(sp.off, "%s and %s both claim the block", owner(last), owner(sp))
			}
		} else if err := gaps.add(last.end, sp.off); err != nil {
			return nil, err
		}
		if sp.end > last.end {
			last = sp
		}
	}
	if err := gaps.add(last.end, s.size); err != nil {
		return nil, err
	}
	s.regions = append(s.regions, gaps.unclaimed...)
	slices.SortFunc(s.regions, func(a, b layout.Region) int { return cmp.Compare(a.Offset, b.Offset) })
	return gaps.free, nil
}

// gaps sorts ranges of blocks that nothing claims into free and used ones, as
// the block bitmaps have it. Ranges come in order, so each bitmap is read once.
type gaps struct {
	s         *scan
	bitmap    []byte // of group
	group     uint64
	free      []layout.Extent
	unclaimed []layout.Region
}

// add takes the gap from byte off to byte end, both at a block's start.
func (g *gaps) add(off, end int64) error {
	sb := g.s.sb
	for block, last := uint64(off/sb.blockSize), uint64(end/sb.blockSize); block < last; {
		group := (block - sb.first) / sb.blocksPerGroup
		stop := min(last, sb.groupFirst(group+1))
		if g.s.groups[group].blockUninit {
			g.put(block, stop, false)
			block = stop
			continue
		}
		if g.bitmap == nil || g.group != group {
			b := make([]byte, sb.blockSize)
			if err := readAt(g.s.r, b, g.s.bytes(g.s.groups[group].blockBitmap)); err != nil {
				return fmt.Errorf("block bitmap of group %d: %w", group, err)
			}
			g.bitmap, g.group = b, group
		}
		first := sb.groupFirst(group)
		used := func(block uint64) bool {
			bit := (block - first) / sb.clusterBlocks
			return g.bitmap[bit/8]>>(bit%8)&1 != 0
		}
		start, in := block, used(block)
		for block++; block < stop && used(block) == in; {
			block++
		}
		g.put(start, block, in)
	}
	return nil
}

func (g *gaps) put(block, end uint64, used bool) {
	e := layout.Extent{Offset: g.s.bytes(block), Length: g.s.bytes(end - block)}
	if !used {
		if n := len(g.free); n > 0 && g.free[n-1].End() == e.Offset {
			g.free[n-1].Length += e.Length
			return
		}
		g.free = append(g.free, e)
		return
	}
	if n := len(g.unclaimed); n > 0 && g.unclaimed[n-1].Extent().End() == e.Offset {
		g.unclaimed[n-1].Length += e.Length
		return
	}
	g.unclaimed = append(g.unclaimed, layout.Region{Kind: layout.Unclaimed, Offset: e.Offset, Length: e.Length})
}
