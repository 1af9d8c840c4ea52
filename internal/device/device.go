// SPDX-License-Identifier: MIT

// Package device is what the delta engine and kinds of devices know of each other.
//
//	engine (package plan)                          Device (stock, ...)
//	  what do you open, how much memory do
//	  the sides of a pack have?            ──────► Codecs, Reach, Limits
//	  matches of all members: a Delta      ──────► Write: a file in the device's format
//	  is it right, and what does it cost?  ──────► Try: rules, memory, temporary space;
//	  (if too much: smaller packs, again)          applied and compared
//
// Nothing else passes between them. Whoever adds a kind of device writes one package
// that implements Device.
package device

import (
	"io"
	"time"

	"swudelta/internal/codec"
	"swudelta/internal/content"
	"swudelta/internal/digest"
	"swudelta/internal/match"
	"swudelta/internal/member"
	"swudelta/internal/progress"
)

// Device is one kind of device.
type Device interface {
	// Codecs says what compression the device undoes in a source, and makes in a target.
	Codecs() Codecs
	// Reach is how many bytes of the content of one compressed stream of the source it
	// can use.
	Reach() int64
	// Limits are what matching has to know, for a process that may take that much
	// resident memory, in bytes.
	Limits(memory int64) match.Limits
	// Write writes a delta in the device's format. It sets the Cost of members, and Closing.
	Write(*Delta) ([]byte, error)
	// Try holds a delta against the device's rules, applies it to the source, whose digest
	// sourceSum has, and compares the result with the digest that the delta states. It calls
	// report with each number of target bytes that were made.
	Try(delta []byte, source content.Input, sourceSum *digest.Writer, report func(n int64)) (Cost, error)
}

// Codecs are the ways of compression of a device.
type Codecs struct {
	MaxWindow   int64 // of zstd frames, in bytes
	Compressors map[codec.Kind]func(io.Writer) (io.WriteCloser, error)
	// Remake returns the level at which the device makes a gzip member of its content, with the
	// same bytes: such members are opened inside of images. nil: none are.
	Remake func(stored, content []byte) (level int, ok bool)
	// RemakeMemory is what each of them takes on the device, in bytes, until the end.
	RemakeMemory int64
	// Libraries are those with which a device closes compressed members wherever they are in the
	// target: it opens those of the source, too. nil: it does not.
	Libraries *member.Libraries
}

// Cost is what applying a delta takes on the device, in bytes.
type Cost struct {
	Memory int64 `json:"memory"` // resident peak of the process, predicted
	Tmp    int64 `json:"tmp"`    // peak of temporary space, predicted
}

// Delta is what a device's writer turns into a file.
type Delta struct {
	Source                     content.Input
	Target                     int64 // size in bytes
	SourceSHA256, TargetSHA256 digest.SHA256
	Members                    []*Member // they tile the target
	Limits                     match.Limits
	Effort                     int                              // 0 (fast) to 9 (small)
	Memory                     int64                            // what compressors may take here, in bytes
	Explain                    func(format string, args ...any) // receives lines on what was done
	Progress                   *progress.Stage                  // writers say what is to do, and what is done
}

// Member is a range of the target. It is one of: Copy, Literal, Image.
type Member struct {
	Name   string // for messages
	Size   int64  // bytes as stored in the target
	SHA256 digest.SHA256
	Cost   int64 // bytes of the delta, set by Write

	// Closing is how much processor time it takes the device to close what is compressed in the
	// member, and Outer that of what is most of it: an image in its compressed form. Both are
	// estimates, set by Write.
	Closing, Outer time.Duration

	Copy    *content.Range // of the source as it is stored
	Literal []byte
	Image   *match.Image
	Parts   []content.Part // of the source: the old side of Image, end to end
	Kind    codec.Kind     // compression that makes the member of Image's content
	// Segments make the member of Image's content, if the device opens compressed members.
	Segments []content.Segment
	Content  digest.SHA256 // digest of that content
}
