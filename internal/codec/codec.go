// SPDX-License-Identifier: MIT

// Package codec recognises compressed streams, undoes them, and redoes them
// with the bytes that a device will make of the same content.
//
// Undoing is pure Go. Redoing is not: a device rebuilds an image, compresses it
// again and compares hashes, and no Go encoder gives the bytes of libzstd or
// zlib. So the C libraries themselves are loaded at run time (without cgo),
// and a missing one is an error, never a reason for another encoder.
//
// Everything that a reader finds wrong with its stream is a data fault in the
// sense of package fault, with io.ErrUnexpectedEOF in its chain where the
// stream is cut short; an error of the underlying reader is passed on as it is.
package codec

import "bytes"

// Kind is the outermost compression of a stream.
type Kind int

// The kinds that Detect knows. KindPlain stands for everything else.
const (
	KindPlain Kind = iota
	KindGzip
	KindZstd
	KindXZ
	KindBzip2
	KindLZ4
)

var kindNames = [...]string{"plain", "gzip", "zstd", "xz", "bzip2", "lz4"}

// String returns the name of k in lower case.
func (k Kind) String() string {
	if k < 0 || int(k) >= len(kindNames) {
		return "unknown"
	}
	return kindNames[k]
}

// HeadSize is the number of leading bytes that Detect looks at, at most.
const HeadSize = 10

// Detect tells the kind of a stream from its first HeadSize bytes (fewer if the
// stream is shorter). Only magic numbers are looked at: RFC 1952 §2.3.1, RFC
// 8878 §3.1 (frames and skippable frames), the .xz file format §2.1.1.1, the
// LZ4 frame format, and for bzip2 its file header and the first block's.
func Detect(head []byte) Kind {
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b, 8}):
		return KindGzip
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		return KindZstd
	case len(head) >= 4 && head[0]&0xf0 == 0x50 && bytes.Equal(head[1:4], []byte{0x2a, 0x4d, 0x18}):
		return KindZstd // a skippable frame in front
	case bytes.HasPrefix(head, []byte{0xfd, '7', 'z', 'X', 'Z', 0}):
		return KindXZ
	case len(head) >= 10 && bytes.HasPrefix(head, []byte("BZh")) && head[3] >= '1' && head[3] <= '9' &&
		(string(head[4:10]) == "1AY&SY" || string(head[4:10]) == "\x17\x72\x45\x38\x50\x90"):
		return KindBzip2
	case bytes.HasPrefix(head, []byte{0x04, 0x22, 0x4d, 0x18}), bytes.HasPrefix(head, []byte{0x02, 0x21, 0x4c, 0x18}):
		return KindLZ4
	}
	return KindPlain
}
