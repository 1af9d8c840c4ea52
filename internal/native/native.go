// SPDX-License-Identifier: MIT

// Package native encodes and applies deltas of the native profile: for devices that
// run our own library in place of the stock delta processor. Its file is a container of
// its own, which doc/native.md describes.
//
// A delta says what the old side is (ranges of the source, and members of it that are
// opened), and what the target consists of (content, some of it closed to members; package
// member opens and closes).
// All content of the target, end to end, is the new side. It is made by a list of
// operations: copies from anywhere in the old side, of which some bytes differ, and
// literals. What differs is coded by models of their own for differences, literals,
// and operations (package mix), and only after displacements in machine code and tables
// have been moved along with what they point to (package displace).
//
// Everything is verified: each section of the delta and the source before anything is
// written, the target while it is. Memory does not grow with either side.
package native

import (
	"errors"
	"fmt"
	"io"

	"swudelta/internal/digest"
	"swudelta/internal/errnum"
	"swudelta/internal/fault"
)

// magic begins with a byte that is no text, and has line ends of two kinds, so that
// transfers that change those are noticed.
const magic = "\x89SWD\r\n\x1a\n"

// Version is that of the format.
const Version = 1

const (
	headSize    = 112
	sectionSize = 48
	sumSize     = int64(len(digest.SHA256{}))
	maxSections = 16
	// MaxSize bounds the target, the source and both sides, in bytes.
	MaxSize = 1 << 50
)

// ErrNewer is the cause of errors about deltas that use what this version does not
// know.
var ErrNewer = errors.New("this delta is for a newer version of the library")

// Error is an error with a number.
type Error = errnum.Error

// newer returns an error about something that this version does not know.
func newer(format string, args ...any) error {
	return errnum.New(errnum.Newer, fault.Dataf("%w: %s", ErrNewer, fmt.Sprintf(format, args...)))
}

// Type is what a section holds.
type Type uint32

// Types of sections, in the order in which they are in a file.
const (
	TypeContent       Type = 1 // the streams of the old side and the target's segments
	TypeOperations    Type = 2
	TypeDisplacements Type = 3
	TypeDifferences   Type = 4
	TypeLiterals      Type = 5
	TypeStored        Type = 6
	TypeClosing       Type = 7 // parameters with which segments are closed
)

var typeNames = map[Type]string{
	TypeContent:       "content",
	TypeOperations:    "operations",
	TypeDisplacements: "displacements",
	TypeDifferences:   "differences",
	TypeLiterals:      "literals",
	TypeStored:        "stored",
	TypeClosing:       "closing",
}

func (t Type) String() string {
	if s, ok := typeNames[t]; ok {
		return s
	}
	return fmt.Sprintf("section type %d", uint32(t))
}

// Section is a part of the file.
type Section struct {
	Type   Type
	Length int64
	SHA256 digest.SHA256
	offset int64 // in the file
}

// Delta is a delta that was opened: its header and what its content section says.
type Delta struct {
	Size         int64 // of the file, in bytes
	TargetLength int64
	TargetSHA256 digest.SHA256
	SourceLength int64
	SourceSHA256 digest.SHA256
	Need         Need
	Sections     []Section
	Old          []Stream
	New          []Segment

	file io.ReaderAt
}

// Need is what applying takes, beside the memory of any process that reads and
// writes, in bytes.
type Need struct {
	Memory  int64 `json:"memory"`
	Scratch int64 `json:"scratch"`
}

// IsDelta reports whether r starts as a native delta does.
func IsDelta(r io.ReaderAt) bool {
	var head [len(magic)]byte
	n, _ := r.ReadAt(head[:], 0)
	return string(head[:n]) == magic
}
