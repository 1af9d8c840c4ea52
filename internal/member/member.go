// SPDX-License-Identifier: MIT

// Package member finds compressed members in any bytes, opens them, and closes them
// again with exactly the bytes that they had.
//
//	find ──► open: content ──► find in the content, and so on: a tree
//	             │
//	             └─ analyse: the parameters with which close makes the stored bytes again
//
// Each format is one value of the interface Format, in a file of its own and a line of the
// table below. What makes a delta finds, opens and analyses. A device opens members of the source and
// closes those of the target, by numbers and parameters that the delta states: it calls
// nothing else.
//
// A member begins where its compression does: a header that the format does not need (that of gzip,
// of an entry of a zip archive) stays outside as plain bytes, where a delta finds it in the old content.
package member

import (
	"errors"
	"fmt"
	"io"

	"swudelta/internal/codec"
	"swudelta/internal/fault"
)

// Number says in a delta which format a member has. Numbers are never used again.
type Number uint8

// Numbers of formats.
const (
	Stored  Number = 0 // bytes as they are: no format
	Deflate Number = 1 // a raw deflate stream (RFC 1951)
	Gzip    Number = 2 // what follows on the header of a gzip member (RFC 1952)
	Zlib    Number = 3 // what follows on the header of a zlib stream (RFC 1950)
	Zstd    Number = 4 // a frame of zstd (RFC 8878)
	XZ      Number = 5 // a stream of the .xz format
	LZMA    Number = 6 // a stream of the older .lzma format
	LZ4     Number = 7 // an LZ4 frame, or a stream of the legacy format
	Bzip2   Number = 8 // streams of bzip2, one behind the other
	Pieces  Number = 9 // a file that lies in several pieces

	LZ4Block Number = 10 // an LZ4 block without a frame, of a squashfs image
	PNG      Number = 11 // the image data of a PNG file
)

// formats is the table of all formats. To add one, add a number and a line.
var formats = map[Number]Format{
	Deflate: deflated{name: "deflate", magics: []string{"PK\x03\x04"}, find: findZip},
	Gzip:    deflated{name: "gzip", magics: []string{"\x1f\x8b\x08"}, find: findGzip, trailer: gzipTrailer},
	Zlib:    deflated{name: "zlib", magics: zlibHeads, find: findZlib, trailer: zlibTrailer, weak: true},
	Zstd:    remade{zstd{}},
	XZ:      remade{xz{}},
	LZMA:    remade{lzma{}},
	LZ4:     remade{lz4{}},
	Bzip2:   remade{bzip2{}},
	Pieces:  pieces{},

	LZ4Block: remade{lz4Block{}},
	PNG:      pngImage{},
}

// Lookup returns the format with a number.
func Lookup(n Number) (Format, bool) {
	f, ok := formats[n]
	return f, ok
}

// Name is what people call the format with a number.
func (n Number) String() string {
	if f, ok := formats[n]; ok {
		return f.Name()
	}
	if n == Stored {
		return "stored"
	}
	return fmt.Sprintf("format %d", uint8(n))
}

// Format is a way of compression. Its methods may be called at the same time. All input
// may be hostile: what is wrong with it is a data error in the sense of package fault.
type Format interface {
	// Name is what people call it.
	Name() string

	// Magics are what members, or what holds them, begin with: two bytes or more. What is not
	// found this way has none.
	Magics() []string

	// Find looks at b, which begins with one of Magics and ends where what is searched ends, for
	// a member. It is cheap: nothing is decompressed. ok is false if there is none.
	Find(b []byte) (found Found, ok bool)

	// Open returns a reader of the content of the member that r begins with, an io.ReaderAt if
	// InPlace says so. If Find tells the length, r has that many bytes. Else what follows on the member is not looked at, but may be read.
	Open(r io.Reader, params []byte) (Reader, error)

	// OpenMemory returns the memory that a reader takes, in bytes.
	OpenMemory(params []byte) (int64, error)

	// Analyse returns parameters with which Close makes stored of content: whoever writes a
	// delta closes with them before, and compares. The error is ErrUnclosable, with its
	// reason, if there are none that are worth it. progress is called with each number of bytes
	// of content that were dealt with, and with the same ones again in another trial.
	Analyse(stored, content []byte, libs *Libraries, progress func(n int64)) (params []byte, err error)

	// Close writes the member with that content and those parameters to w. It reads content to its
	// end, and holds no more of it than CloseMemory says. Parameters that do not fit give
	// other bytes or a data error: the caller compares digests.
	Close(w io.Writer, content io.Reader, params []byte, libs *Libraries) error

	// CloseMemory returns the memory that Close takes, in bytes, for so many bytes of content
	// and of a member.
	CloseMemory(params []byte, content, stored int64) (int64, error)

	// effort is how hard Close searches, in numbers of the format's own: those of the table of speeds.
	effort(params []byte) (int, error)
}

// doubtful is a Format whose magic numbers are so short that other bytes begin with them, too.
type doubtful interface {
	// Intact reports whether what was opened is a member: by a checksum, say.
	Intact(stored, content []byte) bool
}

// Found is where a member lies.
type Found struct {
	At     int    // offset of the member in what was looked at
	Len    int    // bytes as stored; 0: they are known when the content was read
	Params []byte // for Open, at most MaxOpenParams
}

// MaxOpenParams bounds the parameters of Format.Open, in bytes.
const MaxOpenParams = 100

// Reader reads the content of a member.
type Reader interface {
	io.ReadCloser
	// Used returns the length of the member as it is stored, in bytes, when all of its
	// content is read. It is not called if Find tells the length.
	Used() int64
}

// ErrUnclosable says that a member cannot be closed again, or not for what it would save.
var ErrUnclosable = errors.New("cannot be closed again")

// unclosable returns ErrUnclosable with a reason.
func unclosable(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrUnclosable, fmt.Sprintf(format, args...))
}

// Libraries are those that formats compress with. A function that is nil stands for a library
// that is not there.
type Libraries struct {
	Zstd func() (*codec.Zstd, error)
	// Memory is what closing a member may take, in bytes: those that take more stay closed. 0: no limit.
	Memory int64
}

// Try closes a member and compares. The error is ErrUnclosable if other bytes come out.
func Try(f Format, stored []byte, content io.Reader, params []byte, libs *Libraries) error {
	c := &comparer{want: stored}
	err := f.Close(c, content, params, libs)
	switch {
	case errors.Is(err, errOther), err == nil && len(c.want) > 0:
		return unclosable("%s: other bytes from offset %d on", f.Name(), len(stored)-len(c.want))
	case fault.IsData(err):
		return unclosable("%s: %v", f.Name(), err)
	}
	return err
}

var errOther = errors.New("other bytes")

// comparer takes what is expected, and nothing else.
type comparer struct{ want []byte }

func (c *comparer) Write(b []byte) (int, error) {
	for i, v := range b {
		if i >= len(c.want) || c.want[i] != v {
			c.want = c.want[i:]
			return i, errOther
		}
	}
	c.want = c.want[len(b):]
	return len(b), nil
}
