// SPDX-License-Identifier: MIT

// Package layout is the JSON form of "what lies where" in an image: files with
// their extents and digests, metadata, free space.
//
// The format is described in doc/layout.md. extdump writes it for ext2, ext3 and
// ext4; bsdelta reads it for any file system that somebody describes this way.
package layout

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"swudelta/internal/digest"
	"swudelta/internal/fault"
)

// Version is the version of the format that Read accepts and Write writes.
// Within a version members are only added.
const Version = 1

// Layout says what the bytes of an image are. All offsets and lengths count
// bytes from the start of the image.
type Layout struct {
	Version    int      // Version of the format
	FileSystem string   // such as "ext4"; free text, never interpreted
	Size       int64    // size of the image
	BlockSize  int64    // allocation unit of the file system, a hint: pieces may lie anywhere
	Files      []File   // everything that has a name; Scan of extfs sorts them by path
	Metadata   []Region // sorted by offset, disjoint
	Free       []Extent // in no use; sorted by offset, disjoint
}

// ByMember reads the layouts that values name, each MEMBER=FILE, or FILE where an image is no
// member of anything. The keys are members, "" for none. Open opens a file.
func ByMember(values []string, open func(path string) (io.ReadCloser, error)) (map[string]*Layout, error) {
	out := map[string]*Layout{}
	for _, v := range values {
		member, path, ok := strings.Cut(v, "=")
		if !ok {
			member, path = "", v
		}
		if _, twice := out[member]; twice {
			return nil, fmt.Errorf("%w: %q", ErrTwice, v)
		}
		in, err := open(path)
		if err != nil {
			return nil, err
		}
		out[member], err = Read(in)
		in.Close()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	return out, nil
}

// ErrTwice says that there is a layout for a member already.
var ErrTwice = errors.New("there is one for that member already")

// Extent is a range of the image.
type Extent struct {
	Offset int64 `json:"offset"`
	Length int64 `json:"length"`
}

// End returns the offset of the first byte after the extent.
func (e Extent) End() int64 { return e.Offset + e.Length }

// Piece is a run of a file that lies in one piece in the image.
type Piece struct {
	Logical   int64 `json:"logical"` // offset in the file
	Offset    int64 `json:"offset"`  // offset in the image
	Length    int64 `json:"length"`
	Unwritten bool  `json:"unwritten,omitempty"` // reads as zeros, whatever the image holds there
}

// Extent returns where the piece lies in the image.
func (p Piece) Extent() Extent { return Extent{p.Offset, p.Length} }

// Type is the kind of a file.
type Type string

// The types that extdump writes. A layout may use others.
const (
	Regular     Type = "file"
	Symlink     Type = "symlink"
	Directory   Type = "directory"
	CharDevice  Type = "chardev"
	BlockDevice Type = "blockdev"
	FIFO        Type = "fifo"
	Socket      Type = "socket"
)

// File is an inode that has a name.
type File struct {
	Path  string   // starts with "/"; raw bytes, not necessarily UTF-8
	Links []string // the other names of the same inode, sorted
	Inode uint64   // 0 where the file system has no such number
	Type  Type
	Mode  uint16 // permission, set-id and sticky bits, as in chmod(2)
	Size  int64  // length of the contents in bytes; 0 for what has none: directories, devices

	// SHA256 is the digest of the contents, holes and unwritten pieces read as
	// zeros: of a symbolic link the contents are its target. Zero when not known.
	SHA256 digest.SHA256

	// Pieces are sorted by Logical and do not overlap there; what no piece
	// covers is a hole and reads as zeros. Pieces cover whole blocks, so they
	// may go on after Size: those bytes belong to the file's space, not to its
	// contents. A directory has no pieces, its blocks are metadata.
	Pieces []Piece

	// Inline says that the pieces lie inside metadata regions (small files and
	// links that are kept in the inode) and claim no space of their own.
	Inline bool
}

// The kinds of metadata that extdump writes. A layout may use others: the kind
// is a name to pair regions by, never interpreted.
const (
	Boot               = "boot"                       // before the superblock
	Superblock         = "superblock"                 // or a backup of it
	Descriptors        = "group descriptors"          // or a backup of them
	SpareDescriptors   = "reserved group descriptors" // room to grow
	BlockBitmap        = "block bitmap"
	InodeBitmap        = "inode bitmap"
	InodeTable         = "inode table"
	Journal            = "journal"
	DirectoryBlocks    = "directory"
	ExtentTree         = "extent tree"    // nodes outside the inode
	IndirectBlocks     = "indirect block" // of any level
	ExtendedAttributes = "xattr"
	ResizeInode        = "resize inode"
	Quota              = "quota"
	OrphanFile         = "orphan file"
	BadBlocks          = "bad blocks"
	MultiMount         = "multiple mount protection"
	Unclaimed          = "unclaimed" // marked as in use, but nothing that was found uses it
	Tail               = "tail"      // after the end of the file system
)

// Region is a range of metadata, with what tells it from others of its kind.
type Region struct {
	Kind    string
	Group   int    // block group, where the kind is per group
	Path    string // file or directory that it belongs to, if any
	Inode   uint64 // its inode, if any
	Logical int64  // offset in the object, where that has more than one region
	Offset  int64
	Length  int64
}

// Extent returns where the region lies in the image.
func (r Region) Extent() Extent { return Extent{r.Offset, r.Length} }

// Contents returns the contents of f, which lie in image: Size bytes, with
// holes and unwritten pieces as zeros. Any number of readers may be used at the
// same time if image allows that.
func (f *File) Contents(image io.ReaderAt) *io.SectionReader {
	return io.NewSectionReader(&contents{image, f}, 0, f.Size)
}

type contents struct {
	image io.ReaderAt
	file  *File
}

func (c *contents) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off >= c.file.Size {
		return 0, io.EOF
	}
	var short error
	if rest := c.file.Size - off; int64(len(p)) > rest {
		p, short = p[:rest], io.EOF
	}
	pieces := c.file.Pieces
	i, _ := slices.BinarySearchFunc(pieces, off, func(q Piece, off int64) int {
		if q.Logical+q.Length <= off {
			return -1
		}
		return 1
	})
	n := 0
	for n < len(p) {
		at := off + int64(n)
		next := int64(math.MaxInt64)
		if i < len(pieces) {
			next = pieces[i].Logical
		}
		if at < next {
			hole := int(min(int64(len(p)-n), next-at))
			clear(p[n : n+hole])
			n += hole
			continue
		}
		q := pieces[i]
		run := int(min(int64(len(p)-n), q.Logical+q.Length-at))
		if q.Unwritten {
			clear(p[n : n+run])
		} else if m, err := c.image.ReadAt(p[n:n+run], q.Offset+at-q.Logical); m < run {
			if err == nil || err == io.EOF {
				err = fault.At(q.Offset+at-q.Logical+int64(m), "%q: %w", c.file.Path, io.ErrUnexpectedEOF)
			}
			return n + m, err
		}
		n += run
		i++
	}
	return n, short
}

// Check reports the first rule of the format that l breaks, as a fault of the
// data: ranges that leave the image or overlap where they must not, empty or
// repeated names. Read and Write call it.
func (l *Layout) Check() error {
	switch {
	case l.Version != Version:
		return fault.Dataf("layout: got version %d, want %d", l.Version, Version)
	case l.Size < 0:
		return fault.Dataf("layout: size %d", l.Size)
	case l.BlockSize <= 0:
		return fault.Dataf("layout: block size %d", l.BlockSize)
	}
	claims := make([]claim, 0, len(l.Metadata)+len(l.Free)+len(l.Files))
	var err error
	if claims, err = l.claimRegions(claims); err != nil {
		return err
	}
	names := make(map[string]struct{}, len(l.Files))
	for i := range l.Files {
		f := &l.Files[i]
		if err := l.checkFile(f, names); err != nil {
			return fault.Dataf("layout: file %q: %w", f.Path, err)
		}
		if !f.Inline {
			for _, p := range f.Pieces {
				claims = append(claims, claim{p.Extent(), f.Path, true})
			}
		}
	}
	return disjoint(claims)
}

// claim is a range in use. Files may share bytes (deduplicating file systems),
// so two shared claims may overlap.
type claim struct {
	Extent
	name   string
	shared bool
}

func (l *Layout) claimRegions(claims []claim) ([]claim, error) {
	end := int64(0)
	for _, r := range l.Metadata {
		if r.Kind == "" {
			return nil, fault.Dataf("layout: metadata at %d has no kind", r.Offset)
		}
		if !l.holds(r.Extent()) || r.Logical < 0 {
			return nil, fault.Dataf("layout: %s: range %d+%d is not inside the image of %d bytes", r.Kind, r.Offset, r.Length, l.Size)
		}
		if r.Offset < end {
			return nil, fault.Dataf("layout: metadata at %d overlaps or is out of order", r.Offset)
		}
		end = r.Offset + r.Length
		claims = append(claims, claim{r.Extent(), r.Kind, false})
	}
	end = 0
	for _, e := range l.Free {
		if !l.holds(e) {
			return nil, fault.Dataf("layout: free range %d+%d is not inside the image of %d bytes", e.Offset, e.Length, l.Size)
		}
		if e.Offset < end {
			return nil, fault.Dataf("layout: free range at %d overlaps or is out of order", e.Offset)
		}
		end = e.End()
		claims = append(claims, claim{e, "free space", false})
	}
	return claims, nil
}

// holds reports whether e is a range of at least one byte inside the image.
func (l *Layout) holds(e Extent) bool {
	return e.Length > 0 && e.Offset >= 0 && e.Length <= l.Size && e.Offset <= l.Size-e.Length
}

func (l *Layout) checkFile(f *File, names map[string]struct{}) error {
	for _, name := range append([]string{f.Path}, f.Links...) {
		if name == "" {
			return fault.Dataf("empty name")
		}
		if _, dup := names[name]; dup {
			return fault.Dataf("name %q occurs twice", name)
		}
		names[name] = struct{}{}
	}
	if f.Size < 0 {
		return fault.Dataf("size %d", f.Size)
	}
	end := int64(0)
	for _, p := range f.Pieces {
		if !l.holds(p.Extent()) {
			return fault.Dataf("piece %d+%d is not inside the image of %d bytes", p.Offset, p.Length, l.Size)
		}
		if p.Logical < end || p.Logical > math.MaxInt64-p.Length {
			return fault.Dataf("piece for byte %d overlaps or is out of order", p.Logical)
		}
		end = p.Logical + p.Length
	}
	return nil
}

// disjoint finds two claims on the same byte that are not both of files.
func disjoint(claims []claim) error {
	slices.SortStableFunc(claims, func(a, b claim) int {
		switch {
		case a.Offset < b.Offset:
			return -1
		case a.Offset > b.Offset:
			return 1
		}
		return strings.Compare(a.name, b.name)
	})
	// The claims that reach furthest so far: of any kind, and exclusive ones.
	var far, exclusive claim
	for _, c := range claims {
		if c.Offset < exclusive.End() {
			return fault.Dataf("layout: %s and %s both claim the bytes at %d", exclusive.name, c.name, c.Offset)
		}
		if !c.shared && c.Offset < far.End() {
			return fault.Dataf("layout: %s and %s both claim the bytes at %d", far.name, c.name, c.Offset)
		}
		if c.End() > far.End() {
			far = c
		}
		if !c.shared && c.End() > exclusive.End() {
			exclusive = c
		}
	}
	return nil
}
