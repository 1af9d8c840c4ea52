// SPDX-License-Identifier: MIT

package codec

import (
	"bytes"
	"io"

	"swudelta/internal/fault"
)

// Stream is what Examine finds.
type Stream struct {
	Kind Kind
	// What names the format in words, for messages: "gzip", "a zlib stream
	// (RFC 1950)", "nothing that is known to be compressed".
	What string
	// Members is the number of gzip members, 0 for other streams.
	Members int
	// End is where the first gzip member ends, in bytes from the start; 0 for other
	// streams, and if it has no end.
	End int64
	// Damage says why the stream cannot be decompressed to its end; nil if it
	// can, or if its kind is none that this package undoes.
	Damage error
}

// Examine reads a stream and decompresses it, if it is gzip or zstd, to see
// whether that works. What is wrong with the stream is no error, but Damage. The
// error is that of r; where it is nil, r need not have been read to its end.
func Examine(r io.Reader) (Stream, error) {
	src := newSource(r)
	head, err := src.Peek(headOfLZMA)
	if err != nil && err != io.EOF {
		return Stream{}, err
	}
	s := Stream{Kind: Detect(head[:min(len(head), HeadSize)])}
	s.What = describe(s.Kind, head)
	if s.Kind == KindPlain {
		if kind := cutShort(head); kind != KindPlain {
			s.Kind, s.What, s.Damage = kind, kind.String(), io.ErrUnexpectedEOF
		}
	}
	var content io.ReadCloser
	switch {
	case s.Damage != nil:
		return s, nil
	case s.Kind == KindGzip:
		content, err = newGzipReader(src, true)
	case s.Kind == KindZstd:
		content, err = newZstdReader(src, MaxWindow)
	default:
		return s, nil
	}
	if err == nil {
		defer content.Close()
		_, err = io.Copy(io.Discard, content)
		if g, ok := content.(*decoder).r.(*gzipMembers); ok {
			s.Members, s.End = 1+g.more, g.end
		}
	}
	if src.err != nil {
		return s, src.err
	}
	if err != nil && !fault.IsData(err) {
		return s, err
	}
	s.Damage = err
	return s, nil
}

// headOfLZMA is how many bytes describe looks at.
const headOfLZMA = 13

// describe names what begins with head.
func describe(kind Kind, head []byte) string {
	switch {
	case kind != KindPlain:
		return kind.String()
	case len(head) == 0:
		return "empty"
	case len(head) >= 2 && head[0] == 0x78 && (int(head[0])<<8|int(head[1]))%31 == 0:
		return "a zlib stream (RFC 1950)"
	case len(head) == headOfLZMA && head[0] == 0x5d && head[1] == 0 && head[2] == 0 &&
		(bytes.Equal(head[5:], bytes.Repeat([]byte{0xff}, 8)) || head[11] == 0 && head[12] == 0):
		return "an lzma stream (the older format of xz)"
	case bytes.HasPrefix(head, []byte("Salted__")):
		return "encrypted by openssl"
	}
	return "nothing that is known to be compressed"
}

// cutShort returns the kind of a stream that ends within its magic number.
func cutShort(head []byte) Kind {
	for kind, magic := range map[Kind]string{KindGzip: "\x1f\x8b\x08", KindZstd: "\x28\xb5\x2f\xfd", KindXZ: "\xfd7zXZ\x00", KindLZ4: "\x04\x22\x4d\x18"} {
		if len(head) > 1 && len(head) < len(magic) && magic[:len(head)] == string(head) {
			return kind
		}
	}
	return KindPlain
}
