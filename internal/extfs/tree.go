// SPDX-License-Identifier: MIT

package extfs

import (
	"fmt"
	"io"

	"swudelta/internal/fault"
	"swudelta/internal/layout"
)

// tree lists every file from the root directory on.
func (s *scan) tree() error {
	const root = 2
	n, err := s.readInode(root)
	if err != nil {
		return fmt.Errorf("root directory: %w", err)
	}
	if n.kind != layout.Directory {
		return fault.At(n.offset, "root directory: inode %d is none", root)
	}
	return s.walk("/", n)
}

// walk adds a file that is met for the first time and, if it is a directory, all
// below it. Each directory is met once, so the recursion ends; its depth is
// bounded by the limit on the length of all paths.
func (s *scan) walk(path string, n *inode) error {
	pieces, err := s.addFile(path, n)
	if err != nil {
		return fmt.Errorf("%q: %w", path, err)
	}
	if n.kind != layout.Directory {
		return nil
	}
	list, err := s.entries(n, pieces)
	if err != nil {
		return fmt.Errorf("directory %q: %w", path, err)
	}
	if path == "/" {
		path = ""
	}
	for _, e := range list {
		full := path + "/" + e.name
		// Nested directories with long names make paths that are far longer
		// than what they take in the image.
		if s.nameBytes += int64(len(full)); s.nameBytes > s.size+16<<20 {
			return fault.At(e.at, "the paths in the image take more than %d bytes", s.size+16<<20)
		}
		if i, again := s.byInode[e.inode]; again {
			if s.files[i].Type == layout.Directory {
				return fault.At(e.at, "%q: directory %q has a second name", full, s.files[i].Path)
			}
			s.files[i].Links = append(s.files[i].Links, full)
			s.names = append(s.names, name{full, i})
			continue
		}
		child, err := s.readInode(e.inode)
		if err != nil {
			return fmt.Errorf("%q: %w", full, err)
		}
		if err := s.walk(full, child); err != nil {
			return err
		}
	}
	return nil
}

// addFile appends the file with inode n to s.files and returns the pieces of a
// directory.
func (s *scan) addFile(path string, n *inode) ([]layout.Piece, error) {
	if n.kind == "" {
		return nil, fault.At(n.offset, "inode %d is not in use", n.number)
	}
	if n.flags&flagEncrypt != 0 {
		return nil, fault.At(n.offset, "inode %d is encrypted", n.number)
	}
	if err := s.attributeBlocks(n); err != nil {
		return nil, err
	}
	f := layout.File{Path: path, Inode: uint64(n.number), Type: n.kind, Mode: n.mode}
	s.byInode[n.number] = len(s.files)
	s.names = append(s.names, name{path, len(s.files)})

	var pieces []layout.Piece
	var err error
	inline := false
	switch n.kind {
	case layout.Regular, layout.Symlink, layout.Directory:
		f.Size = n.size
		switch {
		case n.flags&flagInline != 0:
			inline = true
			pieces, err = s.inlinePieces(n)
		case n.fastLink():
			inline = true
			pieces, err = s.inlinePieces(n)
		default:
			pieces, err = s.pieces(n)
		}
	}
	if err != nil {
		return nil, err
	}
	if n.kind == layout.Directory {
		f.Size = 0
		if !inline {
			s.claimPieces(layout.DirectoryBlocks, n, pieces)
		}
	} else {
		f.Pieces, f.Inline = pieces, inline && len(pieces) > 0
	}
	s.files = append(s.files, f)
	return pieces, nil
}

// attributeBlocks claims what holds the extended attributes of n outside its
// body: a block, which inodes with the same attributes share, and inodes whose
// contents are long values.
func (s *scan) attributeBlocks(n *inode) error {
	if n.xattr != 0 {
		if err := s.attributeBlock(n); err != nil {
			return fmt.Errorf("extended attributes: %w", err)
		}
	}
	if s.sb.incompat&incompatEAInode == 0 {
		return nil
	}
	list, err := s.bodyAttributes(n)
	if err != nil {
		return err
	}
	return s.attributeInodes(list)
}

func (s *scan) attributeBlock(n *inode) error {
	if _, again := s.xattrs[n.xattr]; again {
		return nil
	}
	at := n.offset + 0x68
	if !s.sb.inside(n.xattr, 1) {
		return fault.At(at, "block %d of %d", n.xattr, s.sb.blocks)
	}
	if err := s.visit(n.xattr, at); err != nil {
		return err
	}
	s.xattrs[n.xattr] = struct{}{}
	s.claim(layout.Region{Kind: layout.ExtendedAttributes, Inode: uint64(n.number)}, n.xattr, 1)
	if s.sb.incompat&incompatEAInode == 0 {
		return nil
	}
	const header = 32
	b := make([]byte, s.sb.blockSize)
	if err := readAt(s.r, b, s.bytes(n.xattr)); err != nil {
		return err
	}
	if le.Uint32(b) != attributeMagic {
		return fault.At(s.bytes(n.xattr), "got magic %#08x, want %#08x", le.Uint32(b), uint32(attributeMagic))
	}
	list, err := attributes(b, header, s.bytes(n.xattr))
	if err != nil {
		return err
	}
	return s.attributeInodes(list)
}

func (s *scan) attributeInodes(list []attribute) error {
	for _, a := range list {
		if a.inode == 0 {
			continue
		}
		if _, again := s.eaInodes[a.inode]; again {
			continue
		}
		s.eaInodes[a.inode] = struct{}{}
		n, err := s.readInode(a.inode)
		if err != nil {
			return fmt.Errorf("extended attribute: %w", err)
		}
		pieces, err := s.pieces(n)
		if err != nil {
			return fmt.Errorf("extended attribute: %w", err)
		}
		s.claimPieces(layout.ExtendedAttributes, n, pieces)
	}
	return nil
}

// entry is a name in a directory; at is its place in the image.
type entry struct {
	name  string
	inode uint32
	at    int64
}

// entries reads a directory, whose contents lie at pieces, without "." and "..".
// A hashed directory reads like any other: its index is hidden in entries
// without an inode (directory.rst).
func (s *scan) entries(n *inode, pieces []layout.Piece) ([]entry, error) {
	d := &directory{s: s, seen: map[string]struct{}{}}
	if n.flags&flagInline != 0 {
		for i, p := range pieces {
			if i == 0 {
				// The number of the parent stands in place of "." and "..".
				p.Offset, p.Length = p.Offset+4, p.Length-min(p.Length, 4)
			}
			if err := d.block(p.Offset, p.Length); err != nil {
				return nil, err
			}
		}
		return d.list, nil
	}
	next := int64(0)
	for _, p := range pieces {
		if p.Logical >= n.size {
			break
		}
		if p.Logical != next || p.Unwritten {
			return nil, fault.At(n.offset, "hole at byte %d of %d", next, n.size)
		}
		for off := int64(0); off < p.Length && next < n.size; off += s.sb.blockSize {
			if err := s.visit(uint64((p.Offset+off)/s.sb.blockSize), n.offset); err != nil {
				return nil, err
			}
			if err := d.block(p.Offset+off, s.sb.blockSize); err != nil {
				return nil, err
			}
			next += s.sb.blockSize
		}
	}
	if next < n.size {
		return nil, fault.At(n.offset, "hole at byte %d of %d", next, n.size)
	}
	return d.list, nil
}

type directory struct {
	s    *scan
	buf  []byte
	seen map[string]struct{}
	list []entry
}

// block reads the entries of one directory block. Entries do not cross blocks.
func (d *directory) block(at, length int64) error {
	const header = 8
	if int64(cap(d.buf)) < length {
		d.buf = make([]byte, length)
	}
	b := d.buf[:length]
	if err := readAt(d.s.r, b, at); err != nil {
		return err
	}
	for off := 0; off < len(b); {
		at := at + int64(off)
		if len(b)-off < header {
			return fault.At(at, "entry: %w", io.ErrUnexpectedEOF)
		}
		e := b[off:]
		length := int(le.Uint16(e[4:]))
		if d.s.sb.blockSize == 64<<10 && (length == 0 || length == 0xffff) {
			length = 64 << 10 // does not fit the field
		}
		used := int(e[6])
		if length < header+used || length > len(e) || length%4 != 0 {
			return fault.At(at, "entry of %d bytes with a name of %d, %d bytes before the end of its block", length, used, len(e))
		}
		inode := le.Uint32(e)
		name := string(e[header : header+used])
		off += length
		if inode == 0 || name == "." || name == ".." {
			continue
		}
		if !validName(name) {
			return fault.At(at, "name %q", name)
		}
		if _, dup := d.seen[name]; dup {
			return fault.At(at, "name %q occurs twice", name)
		}
		d.seen[name] = struct{}{}
		d.list = append(d.list, entry{name, inode, at})
	}
	return nil
}

// validName holds for what Linux can create: any bytes but "/" and zero.
func validName(name string) bool {
	for i := range len(name) {
		if name[i] == '/' || name[i] == 0 {
			return false
		}
	}
	return name != ""
}
