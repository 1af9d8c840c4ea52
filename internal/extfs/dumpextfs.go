// SPDX-License-Identifier: MIT

package extfs

import (
	"bufio"
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"swudelta/internal/fault"
	"swudelta/internal/layout"
	"swudelta/internal/span"
)

// WriteDumpextfs writes what the dumpextfs of Microsoft's delta generator 1.0.1
// prints for the image: the same items, numbers and members in the same order,
// so that either output can take the place of the other (only blanks between
// the tokens differ). Where the original's output is of no use, this one departs
// from it:
//
//   - Names are escaped as JSON wants it. A byte that is not UTF-8 becomes the
//     character U+EF00 plus its value, of the private use area.
//   - No comma is left behind by a last file that adds no chunk.
//   - A recipe of the delta format takes 255 parameters. In a file with more
//     regions, which would make an unusable delta, adjoining holes are one
//     region, not one for each block.
//   - An unwritten run of blocks is a region of zeros of its own, never merged
//     with the data after it.
//
// Files appear in the order of the directories on disk. opt.NoDigests has no
// meaning here.
func WriteDumpextfs(w io.Writer, r io.ReaderAt, size int64, opt Options) error {
	s, err := newScan(r, size, opt)
	if err != nil {
		return err
	}
	if _, err := s.account(); err != nil {
		return err
	}
	d := &dump{scan: s, ids: map[string]int{}, details: map[int]*details{}}
	out := bufio.NewWriterSize(w, 64<<10)
	fmt.Fprintf(out, "{\n  \"Type\": \"ext4\",\n  \"Subtype\": \"ext4\",\n  \"Chunks\": [")
	if err := d.list(out, d.chunks); err != nil {
		return err
	}
	fmt.Fprintf(out, "\n  ],\n  \"Payload\": [")
	if err := d.list(out, d.payload); err != nil {
		return err
	}
	fmt.Fprintf(out, "\n  ]\n}\n")
	return out.Flush()
}

// dump is the state of one output.
type dump struct {
	*scan
	ids     map[string]int   // by path, or by place of a chunk
	details map[int]*details // by index in files
	buf     []byte
}

// hashes are the digests of an item, in upper-case hexadecimal.
type hashes struct {
	Sha256, Md5 string
}

// region is a part of a file as dumpextfs sees it: a run of neighbouring blocks,
// or a hole.
type region struct {
	offset int64 // in the image; -1 for zeros
	length int64
	hashes hashes
}

type details struct {
	hashes  hashes
	regions []region
}

// An item is a file ("Payload"), a range of the image ("Chunk") or made of other
// items ("Blob").
type item struct {
	ID      int `json:"Id"`
	Name    string
	Type    string
	Offset  int64 `json:",omitempty"`
	Length  int64
	Hashes  hashes
	Recipes []recipe `json:",omitempty"`
}

type recipe struct {
	Name       string
	Parameters parameters
}

// parameters are the members of an object, in their order.
type parameters []parameter

type parameter struct {
	name  string
	value any
}

type itemParameter struct {
	Type string
	Item item
}

type numberParameter struct {
	Type   string
	Number int64
}

func ofItem(name string, i item) parameter { return parameter{name, itemParameter{"ArchiveItem", i}} }

func ofNumber(name string, n int64) parameter { return parameter{name, numberParameter{"Number", n}} }

func (p parameters) MarshalJSON() ([]byte, error) {
	b := []byte{'{'}
	for i, m := range p {
		if i > 0 {
			b = append(b, ',')
		}
		v, err := encode(m.value)
		if err != nil {
			return nil, err
		}
		b = append(strconv.AppendQuote(b, m.name), ':')
		b = append(b, v...)
	}
	return append(b, '}'), nil
}

// encode is json.Marshal without the escapes for HTML.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// id returns the number of an item; numbers go up in the order of the calls.
func (d *dump) id(key string) (id int, fresh bool) {
	if id, ok := d.ids[key]; ok {
		return id, false
	}
	d.ids[key] = len(d.ids)
	return d.ids[key], true
}

// chunkID is id for a region. Regions of zeros share one number, whatever their
// length, as they do in the original.
func (d *dump) chunkID(r region) (int, bool) {
	if r.offset < 0 {
		return d.id("zeros")
	}
	return d.id(fmt.Sprintf("%d+%d", r.offset, r.length))
}

// list writes the items that emit makes of each name.
func (d *dump) list(w *bufio.Writer, emit func(n name, f *layout.File, put func(item) error) error) error {
	separator := "\n    "
	var indented bytes.Buffer
	put := func(i item) error {
		b, err := encode(i)
		if err != nil {
			return err
		}
		indented.Reset()
		if err := json.Indent(&indented, b, "    ", "  "); err != nil {
			return err
		}
		w.WriteString(separator)
		separator = ",\n    "
		_, err = w.Write(indented.Bytes())
		return err
	}
	for _, n := range d.names {
		f := &d.files[n.file]
		// Only what has blocks is listed: no directories or devices, nothing
		// empty, nothing that is kept in the inode.
		if f.Type != layout.Regular && f.Type != layout.Symlink || f.Size == 0 || f.Inline {
			continue
		}
		if d.details[n.file] == nil {
			det, err := d.read(f)
			if err != nil {
				return fmt.Errorf("%q: %w", f.Path, err)
			}
			d.details[n.file] = det
		}
		if err := emit(n, f, put); err != nil {
			return err
		}
	}
	return nil
}

// chunks emits the regions of a file that no file before it has.
func (d *dump) chunks(n name, f *layout.File, put func(item) error) error {
	det := d.details[n.file]
	id, _ := d.id(n.path)
	file := item{ID: id, Name: text(n.path), Type: "Payload", Length: f.Size, Hashes: det.hashes}
	pos := int64(0)
	for _, r := range det.regions {
		start := pos
		pos += r.length
		if r.offset < 0 {
			continue
		}
		id, fresh := d.chunkID(r)
		if !fresh {
			continue
		}
		how := recipe{"Copy", parameters{ofItem("Item", file)}}
		if r.length != f.Size {
			blob := file
			blob.Type, blob.Recipes = "Blob", []recipe{how}
			how = recipe{"Region", parameters{ofItem("Item", blob), ofNumber("Offset", start), ofNumber("Length", r.length)}}
		}
		chunk := r.item(id)
		chunk.Recipes = []recipe{how}
		if err := put(chunk); err != nil {
			return err
		}
	}
	return nil
}

// payload emits a file.
func (d *dump) payload(n name, f *layout.File, put func(item) error) error {
	det := d.details[n.file]
	id, _ := d.id(n.path)
	how := recipe{Name: "Concatenation"}
	for i, r := range det.regions {
		id, _ := d.chunkID(r)
		how.Parameters = append(how.Parameters, ofItem(strconv.Itoa(i), r.item(id)))
	}
	if len(det.regions) == 1 {
		how.Name, how.Parameters[0].name = "Copy", "Item"
	}
	return put(item{ID: id, Name: text(n.path), Type: "Payload", Length: f.Size, Hashes: det.hashes, Recipes: []recipe{how}})
}

// item is the chunk that r is.
func (r region) item(id int) item {
	if r.offset < 0 {
		return item{ID: id, Name: fmt.Sprintf("AllZeroChunk%d", r.length), Type: "Blob", Length: r.length, Hashes: r.hashes,
			Recipes: []recipe{{"AllZero", parameters{ofNumber("Length", r.length)}}}}
	}
	return item{ID: id, Name: fmt.Sprintf("Chunk@%d", r.offset), Type: "Chunk", Offset: r.offset, Length: r.length, Hashes: r.hashes}
}

// text is a path as a JSON string can carry it.
func text(path string) string {
	if utf8.ValidString(path) {
		return path
	}
	var b strings.Builder
	for i := 0; i < len(path); {
		c, n := utf8.DecodeRuneInString(path[i:])
		if c == utf8.RuneError && n == 1 {
			c = 0xef00 + rune(path[i])
		}
		b.WriteRune(c)
		i += n
	}
	return b.String()
}

// maxParameters is the number of parameters that a recipe can have in a delta.
const maxParameters = 255

// split returns the regions of f without their digests. Holes are regions of
// hole bytes; 0 stands for whole holes.
func split(f *layout.File, hole int64) []region {
	var list []region
	pos := int64(0)
	zeros := func(end int64) {
		for pos < end {
			n := end - pos
			if hole > 0 {
				n = min(n, hole)
			}
			list = append(list, region{-1, n, hashes{}})
			pos += n
		}
	}
	for _, p := range f.Pieces {
		if p.Logical >= f.Size {
			break
		}
		zeros(p.Logical)
		r := region{p.Offset, min(p.Length, f.Size-p.Logical), hashes{}}
		if p.Unwritten {
			r.offset = -1
		}
		list = append(list, r)
		pos += r.length
	}
	zeros(f.Size)
	return list
}

// regionCount is the length of split(f, hole) for holes of one block each.
func (d *dump) regionCount(f *layout.File) int64 {
	block := d.sb.blockSize
	n, pos := int64(0), int64(0)
	for _, p := range f.Pieces {
		if p.Logical >= f.Size {
			break
		}
		n += (p.Logical-pos+block-1)/block + 1
		pos = min(p.Logical+p.Length, f.Size)
	}
	return n + (f.Size-pos+block-1)/block
}

// read splits a file into regions and makes the digests of it and of them.
func (d *dump) read(f *layout.File) (*details, error) {
	if d.hashBytes -= f.Size; d.hashBytes < 0 {
		return nil, fault.Dataf("%d bytes, which are mostly holes", f.Size)
	}
	hole := d.sb.blockSize
	if d.regionCount(f) > maxParameters {
		hole = 0
	}
	det := &details{regions: split(f, hole)}
	if len(det.regions) > maxParameters {
		d.warn("%q: %d regions, a recipe takes %d: no delta made with this will apply", f.Path, len(det.regions), maxParameters)
	}
	if d.buf == nil {
		d.buf = make([]byte, 256<<10)
	}
	whole := newHasher()
	contents := f.Contents(d.r)
	for i := range det.regions {
		r := &det.regions[i]
		part, zero := newHasher(), true
		for rest := r.length; rest > 0; {
			b := d.buf[:min(rest, int64(len(d.buf)))]
			if _, err := io.ReadFull(contents, b); err != nil {
				return nil, err
			}
			part.Write(b)
			if len(det.regions) > 1 {
				whole.Write(b)
			}
			zero = zero && span.AllZero(b)
			rest -= int64(len(b))
		}
		r.hashes = part.sum()
		if zero {
			r.offset = -1
		}
		if len(det.regions) == 1 {
			whole = part
		}
	}
	det.hashes = whole.sum()
	return det, nil
}

type hasher struct{ sha256, md5 hash.Hash }

func newHasher() hasher { return hasher{sha256.New(), md5.New()} }

func (h hasher) Write(b []byte) {
	h.sha256.Write(b)
	h.md5.Write(b)
}

func (h hasher) sum() hashes {
	return hashes{fmt.Sprintf("%X", h.sha256.Sum(nil)), fmt.Sprintf("%X", h.md5.Sum(nil))}
}
