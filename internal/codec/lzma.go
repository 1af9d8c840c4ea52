// SPDX-License-Identifier: MIT

package codec

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"unsafe"

	"swudelta/internal/fault"
)

// LZMA is a loaded liblzma. Any number of goroutines may use it.
type LZMA struct {
	path, version string

	versionString func() string
	rawEncoder    func(s, filters unsafe.Pointer) int32
	streamDecoder func(s unsafe.Pointer, memory uint64, flags uint32) int32
	aloneDecoder  func(s unsafe.Pointer, memory uint64) int32
	code          func(s unsafe.Pointer, action int32) int32
	end           func(s unsafe.Pointer)
}

var lzmas libraries[LZMA]

// OpenLZMA loads liblzma: file, or if that is empty the system's liblzma.so.5. Where
// there is none the error is a *LibraryError.
func OpenLZMA(file string) (*LZMA, error) {
	path := "liblzma.so.5"
	if file != "" {
		var err error
		if path, err = libraryFile(file); err != nil {
			return nil, err
		}
	}
	return lzmas.get(path, func() (*LZMA, error) {
		l := &LZMA{path: path}
		err := load(path,
			symbol{"lzma_version_string", &l.versionString},
			symbol{"lzma_raw_encoder", &l.rawEncoder},
			symbol{"lzma_stream_decoder", &l.streamDecoder},
			symbol{"lzma_alone_decoder", &l.aloneDecoder},
			symbol{"lzma_code", &l.code},
			symbol{"lzma_end", &l.end},
		)
		if err != nil {
			return nil, &LibraryError{err, "install liblzma (Debian: liblzma5)"}
		}
		l.version = l.versionString()
		return l, nil
	})
}

// Version returns the library's own version, such as "5.4.1".
func (l *LZMA) Version() string { return l.version }

// lzmaStream is lzma_stream of lzma/base.h. Its fields lie at the same places where
// 64 bits are aligned to 4 bytes and where they are aligned to 8.
type lzmaStream struct {
	nextIn   uintptr
	availIn  uintptr
	totalIn  uint64
	nextOut  uintptr
	availOut uintptr
	totalOut uint64
	_        [6]uintptr // allocator, internal, reserved
	_        [2]uint64  // seek_pos, reserved
	_        [2]uintptr
	_        [2]int32
}

// lzmaOptions is lzma_options_lzma of lzma/lzma12.h.
type lzmaOptions struct {
	dictionary       uint32
	_                uintptr // preset dictionary
	_                uint32
	lc, lp, pb       uint32
	mode             int32
	nice             uint32
	finder           int32
	depth            uint32
	_                [8]uint32
	_                [4]int32
	_                [2]uintptr
	_, _, _, _, _, _ uint64 // room for what later versions add
}

// lzmaFilter is lzma_filter of lzma/filter.h on machines that are little endian and align
// 64 bits to 8 bytes.
type lzmaFilter struct {
	id      uint64
	options uint64 // a pointer
}

// Values of liblzma's headers.
const (
	lzmaRun       = 0
	lzmaFinish    = 3
	lzmaOK        = 0
	lzmaStreamEnd = 1
	lzmaMemError  = 5
	lzmaMemLimit  = 6
	lzmaBufError  = 10

	lzmaFilterEnd = ^uint64(0)
	lzmaFilter1   = 0x4000000000000001
	lzmaFilter2   = 0x21
	lzmaDelta     = 3
	lzmaFilters   = 4 // in a chain, at most
)

// LZMASearch says how liblzma looks for matches: what the headers of a stream do not tell.
type LZMASearch struct {
	Mode   uint8 // 1 fast, 2 normal
	Finder uint8 // lzma_match_finder: 3 HC3, 4 HC4, 18 BT2, 19 BT3, 20 BT4
	Nice   uint16
	Depth  uint16
}

// lzmaSearches are those of the presets, the commonest first: 6 to 9, 9e (also 6e to 8e,
// 4e, 2e ... 0e), 5e and 3e, 5, 4, 3, 2, 1, 0.
var lzmaSearches = []LZMASearch{
	{2, 20, 64, 0}, {2, 20, 273, 512}, {2, 20, 192, 0}, {2, 20, 32, 0}, {2, 20, 16, 0},
	{1, 4, 273, 48}, {1, 4, 273, 24}, {1, 4, 128, 8}, {1, 3, 128, 4},
}

// LZMASearches returns the searches of xz's presets, the commonest first.
func LZMASearches() []LZMASearch { return lzmaSearches }

// LZMAFilter is a filter of a chain as block headers of the .xz format have it
// (section 5.3 there): its number and its properties as stored.
type LZMAFilter struct {
	ID         uint64
	Properties []byte
}

// LZMACoder is a chain of filters that ends in LZMA2 or LZMA, whose encoder has that
// dictionary (in bytes), literal and position bits, and search.
type LZMACoder struct {
	Filters    []LZMAFilter // before the last: BCJ and delta
	LZMA1      bool
	Dictionary uint32
	LC, LP, PB uint8
	Search     LZMASearch
}

var errLZMACoder = errors.New("parameters of LZMA are out of range")

// Check returns an error for a coder that liblzma would not take, or that does not end in reasonable time.
func (c LZMACoder) Check() error {
	s := c.Search
	switch {
	case c.LC+c.LP > 4 || c.LC > 4 || c.LP > 4 || c.PB > 4,
		c.Dictionary < 4<<10 || c.Dictionary > 1<<30+1<<29,
		s.Mode < 1 || s.Mode > 2, s.Nice < 2 || s.Nice > 273, s.Depth > 1024,
		len(c.Filters) >= lzmaFilters:
		return errLZMACoder
	}
	switch s.Finder {
	case 3, 4, 18, 19, 20:
	default:
		return errLZMACoder
	}
	for _, f := range c.Filters {
		bcj := f.ID >= 4 && f.ID <= 11 && (len(f.Properties) == 0 || len(f.Properties) == 4)
		if !bcj && (f.ID != lzmaDelta || len(f.Properties) != 1) {
			return errLZMACoder
		}
	}
	return nil
}

// Memory returns what a writer takes, in bytes, rounded up: dictionary, hash tables, and
// what is constant.
func (c LZMACoder) Memory() int64 {
	const constant = 1 << 20
	dictionary := int64(c.Dictionary)
	hash := int64(1) << 16
	for hash < dictionary/2 {
		hash *= 2
	}
	if hash > 1<<24 {
		hash /= 2
	}
	hash = hash + 1<<10 // that of two bytes
	if c.Search.Finder&15 >= 4 {
		hash += 1 << 16 // that of three
	}
	links := dictionary // one number for each position, two in a binary tree
	if c.Search.Finder >= 16 {
		links *= 2
	}
	window := dictionary + dictionary/2 + 1<<19
	return window + 4*(hash+links) + constant
}

// lzmaRaw is what a raw encoder of liblzma points to.
type lzmaRaw struct {
	stream  lzmaStream
	filters [lzmaFilters + 1]lzmaFilter
	lzma    lzmaOptions
	// lzma_options_bcj is the offset; lzma_options_delta has a type (0) and the distance.
	others [lzmaFilters][2]uint32
	_      [8]uint64 // reserved fields of the last of them
}

// chain fills in the filters, and the pointers among them.
func (r *lzmaRaw) chain(c LZMACoder) {
	at := func(p unsafe.Pointer) uint64 { return uint64(uintptr(p)) } // C memory: it stays where it is
	for i, f := range c.Filters {
		r.filters[i].id = f.ID
		switch {
		case f.ID == lzmaDelta:
			r.others[i] = [2]uint32{0, uint32(f.Properties[0]) + 1}
			r.filters[i].options = at(unsafe.Pointer(&r.others[i]))
		case len(f.Properties) > 0:
			r.others[i] = [2]uint32{binary.LittleEndian.Uint32(f.Properties)}
			r.filters[i].options = at(unsafe.Pointer(&r.others[i]))
		}
	}
	o := &r.lzma
	o.dictionary, o.lc, o.lp, o.pb = c.Dictionary, uint32(c.LC), uint32(c.LP), uint32(c.PB)
	o.mode, o.finder = int32(c.Search.Mode), int32(c.Search.Finder)
	o.nice, o.depth = uint32(c.Search.Nice), uint32(c.Search.Depth)
	last := lzmaFilter{id: lzmaFilter2, options: at(unsafe.Pointer(o))}
	if c.LZMA1 {
		last.id = lzmaFilter1
	}
	r.filters[len(c.Filters)] = last
	r.filters[len(c.Filters)+1].id = lzmaFilterEnd
}

// lzmaPiece is the size of the buffers between us and liblzma, in bytes.
const lzmaPiece = 64 << 10

// NewRawWriter returns a writer of what the filters make of its content, completed by
// Close: no header, no checksum. How the content is cut into Writes does not matter.
// Memory is c.Memory. A writer whose output is given up need not be closed.
func (l *LZMA) NewRawWriter(w io.Writer, c LZMACoder) (io.WriteCloser, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	b, err := newBlock[lzmaRaw](lzmaPiece, lzmaPiece)
	if err != nil {
		return nil, err
	}
	b.state.chain(c)
	stream := unsafe.Pointer(&b.state.stream)
	if code := l.rawEncoder(stream, unsafe.Pointer(&b.state.filters)); code != lzmaOK {
		l.end(stream)
		b.free()
		return nil, l.fail(code)
	}
	code := func(w io.Writer, n int, last bool) error {
		action := int32(lzmaRun)
		if last {
			action = lzmaFinish
		}
		s := &b.state.stream
		s.nextIn, s.availIn = address(b.in), uintptr(n)
		for {
			s.nextOut, s.availOut = address(b.out), uintptr(len(b.out))
			code := l.code(stream, action)
			if code != lzmaOK && code != lzmaStreamEnd {
				return l.fail(code)
			}
			if _, err := w.Write(b.out[:len(b.out)-int(s.availOut)]); err != nil {
				return err
			}
			if code == lzmaStreamEnd || !last && s.availIn == 0 && s.availOut > 0 {
				return nil
			}
		}
	}
	return newEncoder(w, b.in, code, func() { l.end(stream); b.free() }), nil
}

// LZMAReader reads the content of one xz or lzma stream, and tells where it ends.
type LZMAReader struct {
	library *LZMA
	src     *source
	block   *block[lzmaStream]
	rest    []byte // of block.out: not yet read
	more    bool   // liblzma may have more content without more input
	used    int64
	err     error // sticky
}

// NewXZReader returns the content of the first stream in r of the .xz format, with all of its
// blocks, whose checksums are verified. What follows, padding too, is left alone. A
// stream whose decoder takes more than memory bytes is a data fault, as is one
// that is damaged. Close frees what liblzma has.
func (l *LZMA) NewXZReader(r io.Reader, memory uint64) (*LZMAReader, error) {
	return l.newReader(r, func(s unsafe.Pointer) int32 { return l.streamDecoder(s, memory, 0) })
}

// NewAloneReader returns the content of the first stream in r of the older .lzma
// format, as NewXZReader does.
func (l *LZMA) NewAloneReader(r io.Reader, memory uint64) (*LZMAReader, error) {
	return l.newReader(r, func(s unsafe.Pointer) int32 { return l.aloneDecoder(s, memory) })
}

func (l *LZMA) newReader(r io.Reader, start func(unsafe.Pointer) int32) (*LZMAReader, error) {
	b, err := newBlock[lzmaStream](lzmaPiece, lzmaPiece)
	if err != nil {
		return nil, err
	}
	z := &LZMAReader{library: l, src: newSource(r), block: b}
	if code := start(b.ptr()); code != lzmaOK {
		b.free()
		return nil, l.fail(code)
	}
	return z, nil
}

// Used returns the length of the stream as it is stored, in bytes, when its content is read.
func (z *LZMAReader) Used() int64 { return z.used }

func (z *LZMAReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for len(z.rest) == 0 {
		if z.err != nil {
			return 0, z.err
		}
		z.err = z.next()
	}
	n := copy(p, z.rest)
	z.rest = z.rest[n:]
	return n, nil
}

// next decodes some more. Any error but io.EOF is a fault of the stream or of r.
func (z *LZMAReader) next() error {
	b := z.block
	s := b.state
	if s.availIn == 0 && !z.more {
		n, err := z.src.Read(b.in)
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		if n == 0 && err != nil {
			return z.fail(err)
		}
		s.nextIn, s.availIn = address(b.in), uintptr(n)
	}
	before := s.availIn
	s.nextOut, s.availOut = address(b.out), uintptr(len(b.out))
	code := z.library.code(b.ptr(), lzmaRun)
	z.used += int64(before - s.availIn)
	z.rest, z.more = b.out[:len(b.out)-int(s.availOut)], s.availOut == 0
	switch code {
	case lzmaOK, lzmaBufError:
		return nil
	case lzmaStreamEnd:
		return io.EOF
	case lzmaMemError:
		return z.library.fail(code)
	}
	return z.fail(z.library.fail(code))
}

func (z *LZMAReader) fail(err error) error {
	if z.src.err != nil {
		return z.src.err
	}
	return fault.Dataf("xz stream: at offset %d: %w", z.used, err)
}

// Close frees the memory of the decoder. It does not close the reader below.
func (z *LZMAReader) Close() error {
	if z.block != nil {
		z.library.end(z.block.ptr())
		z.block.free()
		z.block, z.rest, z.err = nil, nil, errClosed
	}
	return nil
}

func (l *LZMA) fail(code int32) error {
	switch code {
	case lzmaMemError:
		return errMemory
	case lzmaMemLimit:
		return fmt.Errorf("liblzma %s: more memory is needed than is allowed", l.version)
	}
	return fmt.Errorf("liblzma %s: error %d", l.version, code)
}
