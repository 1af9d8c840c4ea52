// SPDX-License-Identifier: MIT

package codec

import (
	"encoding/binary"
	"errors"
	"io"

	"swudelta/internal/fault"
)

var errAlone = errors.New("not an lzma stream of a known form")

// The header of the older .lzma format: properties, size of the dictionary, and length of
// the content, which is not known where liblzma makes it.
const (
	aloneHeader  = 13
	aloneUnknown = ^uint64(0)
)

// ParseLZMA returns the coder of a stream of the older .lzma format, all but its search:
// that of preset 6 stands there. A stream that liblzma would not make is a data fault.
func ParseLZMA(stored []byte) (LZMACoder, error) {
	c := LZMACoder{LZMA1: true, Search: lzmaSearches[0]}
	if len(stored) < aloneHeader || stored[0] >= 225 || binary.LittleEndian.Uint64(stored[5:]) != aloneUnknown {
		return c, fault.Data(errAlone)
	}
	p := stored[0]
	c.LC, c.LP, c.PB = p%9, p/9%5, p/45
	c.Dictionary = binary.LittleEndian.Uint32(stored[1:])
	if err := c.Check(); err != nil {
		return c, fault.Data(err)
	}
	return c, nil
}

// LZMADictionary returns the size, in bytes, of the dictionary of the stream of the older
// .lzma format that b begins with. There is no magic number, so ok is false for headers that no
// encoder writes: sizes that are not 2 or 3 times a power of two, content of 256 GiB or more.
func LZMADictionary(b []byte) (size uint32, ok bool) {
	if len(b) <= aloneHeader || b[0] >= 225 || b[aloneHeader] != 0 {
		return 0, false
	}
	size = binary.LittleEndian.Uint32(b[1:])
	content := binary.LittleEndian.Uint64(b[5:])
	round := size&(size-1) == 0 || size%3 == 0 && size/3&(size/3-1) == 0
	return size, round && size >= 4<<10 && (content == aloneUnknown || content < 1<<38)
}

// NewAloneWriter returns a writer of a stream of the older .lzma format, completed by
// Close. Its header states the size dictionary; the coder may do with less. Memory is c.Memory. How the content is cut into Writes does not matter.
func (l *LZMA) NewAloneWriter(w io.Writer, dictionary uint32, c LZMACoder) (io.WriteCloser, error) {
	c.LZMA1 = true
	z, err := l.NewRawWriter(w, c)
	if err != nil {
		return nil, err
	}
	h := binary.LittleEndian.AppendUint32([]byte{c.LC + 9*(c.LP+5*c.PB)}, dictionary)
	if _, err := w.Write(binary.LittleEndian.AppendUint64(h, aloneUnknown)); err != nil {
		z.Close()
		return nil, err
	}
	return z, nil
}
