// SPDX-License-Identifier: MIT

// Package content opens the two files of an update: it tells what they hold,
// and undoes the compression of what they hold where a device can.
//
// A file is a SWU with its members, or a single member without a name. A View
// is one way to look at a member: as it is stored, or opened, which is without
// the compression of the streams in it. Of a member of the source both views
// are of use. Of a member of the target the opened view is, if the device can
// compress it again with the same bytes; else the stored one. A device that opens
// compressed members itself, wherever they are, gets views with trees of them.
//
// Nothing of a device is known here but what Options say.
package content

import (
	"bytes"
	"fmt"
	"io"

	"swudelta/internal/codec"
	"swudelta/internal/digest"
	"swudelta/internal/member"
	"swudelta/internal/progress"
	"swudelta/internal/span"
	"swudelta/internal/swu"
)

// Input is one side of the update.
type Input struct {
	io.ReaderAt
	Size int64 // bytes
}

// Section returns a reader of a range of the input.
func (in Input) Section(r Range) *io.SectionReader {
	return io.NewSectionReader(in, r.Off, r.Len)
}

// Range is a range of a file.
type Range = span.Range

// Member is a member of a SWU, or a file that is no SWU as a whole.
type Member struct {
	Name  string // of a file that is no SWU: ""
	Range        // where it lies in the file, as it is stored
	In    Input  // the file
}

// Open returns a reader of the member as it is stored.
func (m *Member) Open() *io.SectionReader { return m.In.Section(m.Range) }

// Members returns what a file holds, in its order. A file that begins with the
// first member of a SWU must be one. Anything else is one member, also a cpio archive
// of another kind, such as an initial ramdisk. Empty members are left out.
func Members(in Input) ([]*Member, error) {
	if isSWU, err := isSWU(in); err != nil {
		return nil, err
	} else if !isSWU {
		return []*Member{{Range: Range{Off: 0, Len: in.Size}, In: in}}, nil
	}
	archive, err := swu.Index(in, in.Size)
	if err != nil {
		return nil, err
	}
	var list []*Member
	for _, h := range archive.Members {
		if h.Size > 0 {
			list = append(list, &Member{Name: h.Name, Range: Range{Off: h.Offset, Len: h.Size}, In: in})
		}
	}
	if len(list) == 0 {
		list = append(list, &Member{Range: Range{Off: 0, Len: in.Size}, In: in})
	}
	return list, nil
}

// isSWU reports whether a file begins with a cpio header, and the name in it is
// that of the first member of a SWU.
func isSWU(in Input) (bool, error) {
	const header = 110 // bytes, before the name
	head := make([]byte, header+len(swu.Description))
	n, err := in.ReadAt(head, 0)
	if err != nil && err != io.EOF {
		return false, err
	}
	// What is cut short within the name may have been a SWU, and is one to be complained of.
	return swu.IsArchive(head[:n]) && n >= header && bytes.HasPrefix([]byte(swu.Description), head[header:n]), nil
}

// View is one way to look at a member.
type View struct {
	Member *Member
	Parts  []Part  // end to end
	Data   []byte  // the content
	Zeros  []Range // long runs of zeros in Data, sorted: they need not be read
	// Closed says why compressed data is in Data as it is stored. "": it is not.
	Closed string
	// Segments make a member of the target of Data, which lies in them end to end. Only Trees
	// and Inside set them.
	Segments []Segment
	// NotOpened are the compressed members of a member of the target that cannot be closed
	// again, and why.
	NotOpened []string
	// Images are what in Data may have a layout.
	Images []Image
}

// Part is a range of a member that is stored as it is or is one stream.
type Part struct {
	Range            // in the file, or in the content of In or Of
	Kind  codec.Kind // the compression that was undone; KindPlain: none
	Size  int64      // of the content, in bytes
	In    *Opened    // a compressed member that was opened; only Trees opens any
	// Of is 1 and the index of the part of the view that the range is in the content of; only
	// Inside opens such parts. 0: the range is in the file, or in In.
	Of int
}

// Opened reports whether any compression was undone, but for that inside of images.
func (v *View) Opened() bool {
	for _, p := range v.Parts {
		if p.Kind != codec.KindPlain && p.Of == 0 {
			return true
		}
	}
	return false
}

// Sum returns the digest of Data, with the members that are opened in it by Inside as they are
// stored.
func (v *View) Sum() digest.SHA256 {
	w := digest.NewWriter(io.Discard)
	if v.Segments == nil {
		v.WriteTo(w)
		return w.Sum()
	}
	rest := v.Data
	for _, s := range v.Segments {
		if s.Member != nil {
			w.Write(s.Member.Stored)
			rest = rest[len(s.Member.Content):]
		} else {
			w.Write(rest[:s.Len])
			rest = rest[s.Len:]
		}
	}
	return w.Sum()
}

// WriteTo writes Data, without touching the memory of long runs of zeros.
func (v *View) WriteTo(w io.Writer) (n int64, err error) {
	write := func(b []byte) {
		if err == nil {
			var k int
			k, err = w.Write(b)
			n += int64(k)
		}
	}
	done := int64(0)
	for _, z := range v.Zeros {
		write(v.Data[done:z.Off])
		for at := z.Off; at < z.End(); at += int64(len(zeros)) {
			write(zeros[:min(int64(len(zeros)), z.End()-at)])
		}
		done = z.End()
	}
	write(v.Data[done:])
	return n, err
}

// Options say how members are opened.
type Options struct {
	// Load keeps the content of a reader where it can be addressed.
	Load func(io.Reader) ([]byte, error)
	// MaxWindow is the widest window, in bytes, of a zstd frame that the device takes.
	MaxWindow int64
	// Compressors are the device's own, by kind: a stream of the target is opened only
	// if that gives the stored bytes again.
	Compressors map[codec.Kind]func(io.Writer) (io.WriteCloser, error)
	// Remake returns the level at which the device makes a gzip member of its content, if
	// it can, for Inside.
	Remake func(stored, content []byte) (level int, ok bool)
	// Libraries are those that Trees closes compressed members with.
	Libraries *member.Libraries
	// Workers is how many members Trees closes at a time.
	Workers int
	// Progress is told the stage in which Trees closes members.
	Progress *progress.Meter
	// Opening is the stage in which Trees opens members.
	Opening *progress.Stage
	// Note receives what the user should know about the inputs.
	Note func(string)
}

// load makes a view of what r reads.
func (o *Options) load(m *Member, r io.Reader, parts ...Part) (*View, error) {
	var z zeroFinder
	data, err := o.Load(io.TeeReader(r, &z))
	if err != nil {
		return nil, err
	}
	whole := Image{data, []Place{{Len: int64(len(data))}}}
	return &View{Member: m, Parts: parts, Data: data, Zeros: z.runs(), Images: []Image{whole}}, nil
}

// Stored returns the view of a member as it is stored.
func (o *Options) Stored(m *Member) (*View, error) {
	return o.load(m, m.Open(), Part{Range: m.Range, Size: m.Len})
}

// Describe names a member of one side, such as "source", in messages.
func (m *Member) Describe(side string) string {
	if m.Name == "" {
		return "the " + side
	}
	return fmt.Sprintf("%s member %q", side, m.Name)
}

// kindAt tells the compression of what begins at an offset.
func kindAt(r io.ReaderAt, off int64) (codec.Kind, error) {
	head := make([]byte, codec.HeadSize)
	n, err := r.ReadAt(head, off)
	if err != nil && err != io.EOF {
		return codec.KindPlain, err
	}
	return codec.Detect(head[:n]), nil
}
