// SPDX-License-Identifier: MIT

// Package pamz is the model of PAMZ delta files, the container that the Device Update
// delta processor reads (doc/format.md): it decodes, encodes, validates and describes them.
//
// A delta is a list of chunks that tile the target. Each chunk, and each
// ingredient of one, is an Item: a length, a digest, and the Recipe that makes
// the content out of the source file, of data kept in the delta, and of other
// items. The same tree is written in two ways: as version 0, where items nest
// in the byte stream, and as version 1 or 2, which differ in that number: a pool
// of recipes that find each other by length and digest.
package pamz

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"iter"
	"slices"

	"swudelta/internal/digest"
	"swudelta/internal/errnum"
)

// Order is the byte order of a delta's integers.
type Order uint8

// Versions 0 and 1 are little endian for the device library up to 2.0 and big
// endian from 2.1 on, with nothing in the file to tell them apart but the integers
// themselves; version 2 is always big endian.
const (
	LittleEndian Order = iota
	BigEndian
)

// String returns "little endian" or "big endian".
func (o Order) String() string {
	if o == BigEndian {
		return "big endian"
	}
	return "little endian"
}

// Form is what libraries tell deltas apart by.
type Form struct {
	Version int   // 0, 1 or 2
	Order   Order // of versions 0 and 1; version 2 is BigEndian
}

// String returns such as "version 0, little endian".
func (f Form) String() string { return fmt.Sprintf("version %d, %v", f.Version, f.Order) }

// Pooled reports whether a delta of the form is a pool of recipes, which versions 1 and 2 are, and no
// tree.
func (f Form) Pooled() bool { return f.Version != 0 }

// Diff is a delta.
type Diff struct {
	Form

	TargetLength int64 // bytes
	TargetSHA256 digest.SHA256
	SourceLength int64         // bytes; 0 if the delta needs no source
	SourceSHA256 digest.SHA256 // zero if SourceLength is 0

	Chunks []*Item // the target, in order, without gaps

	// Account says where the bytes of a decoded delta are. Encode ignores it.
	Account Account

	Rest  *Deflated // of a decoded version 0 delta
	Items int       // of a decoded delta: how many it has
}

// Deflated is a section of deflated content, as a remainder is stored.
type Deflated struct {
	Size   int64         // bytes when inflated
	SHA256 digest.SHA256 // of the inflated bytes; zero for a decoded version 0
	Stream *io.SectionReader
}

// Account is the size of each part of a file, in bytes.
type Account struct {
	Header    int64 `json:"header"`    // magic number, version, target, source
	Table     int64 `json:"table"`     // chunks, or version 2's recipes
	Inline    int64 `json:"inline"`    // inline assets, with their length field
	Remainder int64 `json:"remainder"` // deflated, with its length fields
	Archives  int64 `json:"archives"`  // what frames version 2's nested archives
}

// Kind is what an item calls itself. It has a meaning only in OpCopy's
// parameter: an item of kind Chunk without recipe is a piece of the target.
type Kind uint8

// The kinds of items.
const (
	Blob    Kind = 0
	Chunk   Kind = 1
	Payload Kind = 2
)

// Item is content: of the target (a chunk), or an ingredient of other content.
// A decoded version 2 delta shares one Item among all places that use it.
type Item struct {
	Kind   Kind
	Offset int64         // bytes from the start of the target; of kind Chunk only
	Length int64         // bytes
	SHA256 digest.SHA256 // zero: not stated, see NewPart
	Recipe *Recipe       // nil only in OpCopy's parameter
}

// Stated reports whether the item's digest is known.
func (it *Item) Stated() bool { return it.SHA256 != digest.SHA256{} }

// Inline reports whether the item's content is stored in the delta as it is.
func (it *Item) Inline() bool { return it.Recipe != nil && it.Recipe.Op == OpInlineAsset }

// Sequential reports whether the item can only be produced front to back.
func (it *Item) Sequential() bool { return !it.Recipe.Op.facts().placed }

// Key is what content is known by: what has the same is the same.
type Key struct {
	Length int64
	SHA256 digest.SHA256
}

// Key returns length and digest of the item.
func (it *Item) Key() Key { return Key{it.Length, it.SHA256} }

// Compare orders keys by length, then by digest.
func (k Key) Compare(o Key) int {
	return cmp.Or(cmp.Compare(k.Length, o.Length), bytes.Compare(k.SHA256[:], o.SHA256[:]))
}

// Op is what a recipe does. The values up to OpGzDecompression are version 0's
// own numbers.
type Op uint8

// The recipes, with their parameters in order. "L" is the length of the item
// that has the recipe.
const (
	OpCopy              Op = 0  // item; of kind Chunk without recipe: L bytes of this delta's target at its offset, already written
	OpRegion            Op = 1  // item, offset, length
	OpConcatenation     Op = 2  // items
	OpBSDiff            Op = 3  // patch (BSDIFF40), old
	OpNested            Op = 4  // a version 0 delta, its source
	OpRemainder         Op = 5  // none: the next L bytes of the remainder
	OpInlineAsset       Op = 6  // none: the next L bytes of the inline assets
	OpCopySource        Op = 7  // offset: L bytes of this delta's source
	OpZstdDelta         Op = 8  // zstd frames, old: decompressed with old as raw prefix
	OpInlineAssetCopy   Op = 9  // refused: no two generations of devices agree what it means
	OpZstdCompression   Op = 10 // item, major, minor, level: as libzstd major.minor does it
	OpZstdDecompression Op = 11 // item
	OpAllZero           Op = 12 // length
	OpGzDecompression   Op = 13 // item: one gzip member

	// Versions 1 and 2 only.
	OpZlibCompression   Op = 14 // item, container, level: as zlib does it with memLevel 9
	OpZlibDecompression Op = 15 // item, container
)

// The containers of deflated data in OpZlibCompression and OpZlibDecompression.
const (
	ContainerRaw  = 0 // RFC 1951
	ContainerGzip = 1 // RFC 1952
	ContainerZlib = 2 // RFC 1950
)

// String returns the name of the recipe.
func (op Op) String() string {
	if int(op) < len(ops) {
		return ops[op].name
	}
	return fmt.Sprintf("recipe %d", uint8(op))
}

// opFacts are what all that deal with recipes have to know of one.
type opFacts struct {
	name   string
	shape  string // parameters: i an item, n a number, * any number of items
	placed bool   // the content lies somewhere, and can be read there at random
	passes bool   // items are written where the result is, and not read at random
}

var ops = [...]opFacts{
	OpCopy:              {"copy", "i", true, true},
	OpRegion:            {"region", "inn", true, false},
	OpConcatenation:     {"concatenation", "*", true, true},
	OpBSDiff:            {"bsdiff", "ii", false, false},
	OpNested:            {"nested", "ii", false, false},
	OpRemainder:         {"remainder", "", false, false},
	OpInlineAsset:       {"inline_asset", "", true, false},
	OpCopySource:        {"copy_source", "n", true, false},
	OpZstdDelta:         {"zstd_delta", "ii", false, false},
	OpInlineAssetCopy:   {"inline_asset_copy", "", false, false},
	OpZstdCompression:   {"zstd_compression", "innn", false, true},
	OpZstdDecompression: {"zstd_decompression", "i", false, false},
	OpAllZero:           {"all_zero", "n", true, false},
	OpGzDecompression:   {"gz_decompression", "i", false, false},
	OpZlibCompression:   {"zlib_compression", "inn", false, true},
	OpZlibDecompression: {"zlib_decompression", "in", false, false},
}

func (op Op) facts() opFacts {
	if int(op) < len(ops) {
		return ops[op]
	}
	return opFacts{}
}

// Compresses reports whether the recipe compresses its item.
func (op Op) Compresses() bool { return op == OpZstdCompression || op == OpZlibCompression }

// Decompresses reports whether the recipe undoes the compression of its first item.
func (op Op) Decompresses() bool {
	switch op {
	case OpZstdDecompression, OpZstdDelta, OpGzDecompression, OpZlibDecompression:
		return true
	}
	return false
}

// Recipe makes the content of an item.
type Recipe struct {
	Op     Op
	Params []Param

	// Data is the content of an OpInlineAsset or OpRemainder that is to be
	// encoded. In a decoded delta it is nil: use Open.
	Data []byte

	section *io.SectionReader // of a decoded OpInlineAsset: its content
	Rest    *Deflated         // of a decoded OpRemainder: the section that it lies in
	Offset  int64             // and where in the inflated section
}

// Items are the items among the parameters, in order.
func (r *Recipe) Items() iter.Seq[*Item] {
	return func(yield func(*Item) bool) {
		for _, p := range r.Params {
			if p.Item != nil && !yield(p.Item) {
				return
			}
		}
	}
}

// Param is a parameter of a recipe: an item, or a number if Item is nil.
type Param struct {
	Item   *Item
	Number uint64
}

// MaxParams is the largest number of parameters of a version 0 recipe.
const MaxParams = 255

// NewItem returns an item of kind Blob.
func NewItem(length int64, sum digest.SHA256, recipe *Recipe) *Item {
	return &Item{Length: length, SHA256: sum, Recipe: recipe}
}

// NewPart returns an item of kind Blob whose digest is not stated: the 1.0 library does
// not look at that of an item which it reads in order to make another one
// (doc/format.md), and 32 bytes of zeros cost nothing once they are compressed.
func NewPart(length int64, recipe *Recipe) *Item {
	return NewItem(length, digest.SHA256{}, recipe)
}

func numbers(op Op, item *Item, n ...int64) *Recipe {
	r := &Recipe{Op: op}
	if item != nil {
		r.Params = append(r.Params, Param{Item: item})
	}
	for _, v := range n {
		r.Params = append(r.Params, Param{Number: uint64(v)})
	}
	return r
}

func items(op Op, list ...*Item) *Recipe {
	r := &Recipe{Op: op, Params: make([]Param, len(list))}
	for i, it := range list {
		r.Params[i].Item = it
	}
	return r
}

// CopySource takes the item's content from the source at offset.
func CopySource(offset int64) *Recipe { return numbers(OpCopySource, nil, offset) }

// InlineAsset stores data in the delta as it is.
func InlineAsset(data []byte) *Recipe { return &Recipe{Op: OpInlineAsset, Data: data} }

// Remainder stores data in the delta, deflated together with all other
// remainder. Only chunks should have it.
func Remainder(data []byte) *Recipe { return &Recipe{Op: OpRemainder, Data: data} }

// AllZero stands for n zero bytes.
func AllZero(n int64) *Recipe { return numbers(OpAllZero, nil, n) }

// Region takes length bytes of item at offset.
func Region(item *Item, offset, length int64) *Recipe {
	return numbers(OpRegion, item, offset, length)
}

// BSDiff applies a BSDIFF40 patch to old.
func BSDiff(patch, old *Item) *Recipe { return items(OpBSDiff, patch, old) }

// Nested applies a whole delta, kept in an item, to source.
func Nested(delta, source *Item) *Recipe { return items(OpNested, delta, source) }

// ZstdCompression compresses item at level as the device's libzstd does it. The
// version major.minor is informative: devices ignore it.
func ZstdCompression(item *Item, major, minor, level int64) *Recipe {
	return numbers(OpZstdCompression, item, major, minor, level)
}

// ZstdDecompression undoes zstd.
func ZstdDecompression(item *Item) *Recipe { return items(OpZstdDecompression, item) }

// ZstdDelta undoes zstd with the content of old as raw prefix.
func ZstdDelta(frame, old *Item) *Recipe { return items(OpZstdDelta, frame, old) }

// GzDecompression undoes one gzip member.
func GzDecompression(item *Item) *Recipe { return items(OpGzDecompression, item) }

// ZlibCompression deflates item (version 2 only).
func ZlibCompression(item *Item, container, level int64) *Recipe {
	return numbers(OpZlibCompression, item, container, level)
}

// ZlibDecompression undoes deflate (version 2 only).
func ZlibDecompression(item *Item, container int64) *Recipe {
	return numbers(OpZlibDecompression, item, container)
}

// Concatenation puts the content of list end to end. Beyond MaxParams items it nests
// concatenations, whose digests are not stated (see NewPart).
func Concatenation(list ...*Item) *Recipe {
	for len(list) > MaxParams {
		var outer []*Item
		for group := range slices.Chunk(list, MaxParams) {
			outer = append(outer, Chain(group...))
		}
		list = outer
	}
	return items(OpConcatenation, list...)
}

// Chain returns the part that is list end to end: of one item, that item.
func Chain(list ...*Item) *Item {
	if len(list) == 1 {
		return list[0]
	}
	n := int64(0)
	for _, it := range list {
		n += it.Length
	}
	return NewPart(n, Concatenation(list...))
}

// Open returns the content of an inline asset, of one that is to be encoded as
// well as of a decoded one, and nil for any other recipe.
func (r *Recipe) Open() *io.SectionReader {
	switch {
	case r.Op != OpInlineAsset:
		return nil
	case r.section != nil:
		return io.NewSectionReader(r.section, 0, r.section.Size())
	}
	return io.NewSectionReader(bytes.NewReader(r.Data), 0, int64(len(r.Data)))
}

// Error is what every fault of the data is.
type Error = errnum.Error
