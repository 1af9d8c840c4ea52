// SPDX-License-Identifier: MIT

package native

import "swudelta/internal/digest"

// Description is a delta for people and scripts, as JSON. Sizes are in bytes.
type Description struct {
	Format   string               `json:"format"`
	Version  int                  `json:"version"`
	Size     int64                `json:"size"`
	Target   Side                 `json:"target"`
	Source   Side                 `json:"source"`
	Need     Need                 `json:"need"`
	Bytes    map[string]int64     `json:"bytes"` // of each section, and of the header
	Sections []SectionDescription `json:"sections"`
	OldSide  int64                `json:"old_side"`
	NewSide  int64                `json:"new_side"`
	Ops      int64                `json:"operations"`
	Streams  []StreamDescription  `json:"streams"`
	Segments []SegmentDescription `json:"segments"`
}

// Side is the source or the target.
type Side struct {
	Length int64         `json:"length"`
	SHA256 digest.SHA256 `json:"sha256"`
}

// SectionDescription is a section.
type SectionDescription struct {
	Type   string        `json:"type"`
	Offset int64         `json:"offset"`
	Length int64         `json:"length"`
	SHA256 digest.SHA256 `json:"sha256"`
}

// StreamDescription is a stream of the old side.
type StreamDescription struct {
	Format string `json:"format"` // "stored", or how it is opened
	Parent int    `json:"parent"`
	Offset int64  `json:"offset"`
	Length int64  `json:"length"`
	Size   int64  `json:"size"`
	Hidden bool   `json:"hidden,omitempty"`
}

// SegmentDescription is a segment of the target.
type SegmentDescription struct {
	Format  string               `json:"format"`
	Offset  int64                `json:"offset"` // in the target, or in the content that it is a part of
	Length  int64                `json:"length"`
	Content int64                `json:"content,omitempty"` // bytes of content, if it is closed
	Closing int64                `json:"closing,omitempty"` // bytes of parameters to close it with
	Parts   []SegmentDescription `json:"parts,omitempty"`
}

// Describe returns the description. It verifies all sections.
func (d *Delta) Describe() (*Description, error) {
	if err := d.verify(); err != nil {
		return nil, err
	}
	count, _, err := d.countOps()
	if err != nil {
		return nil, err
	}
	out := &Description{
		Format: "native", Version: Version, Size: d.Size,
		Target: Side{d.TargetLength, d.TargetSHA256}, Source: Side{d.SourceLength, d.SourceSHA256},
		Need: d.Need, OldSide: d.oldSize(), NewSide: d.newSize(), Ops: count,
		Bytes: map[string]int64{"header": headSize + int64(len(d.Sections))*sectionSize + sumSize},
	}
	for _, s := range d.Sections {
		out.Bytes[s.Type.String()] = s.Length
		out.Sections = append(out.Sections, SectionDescription{s.Type.String(), s.offset, s.Length, s.SHA256})
	}
	for _, s := range d.Old {
		out.Streams = append(out.Streams, StreamDescription{s.Format.String(), s.Parent, s.Offset, s.Length, s.Size, s.Hidden})
	}
	out.Segments = describeSegments(d.New)
	return out, nil
}

// Operations returns what makes the new side. It verifies all sections.
func (d *Delta) Operations() ([]Op, error) {
	if err := d.verify(); err != nil {
		return nil, err
	}
	var list []Op
	err := d.eachOp(func(o Op) error {
		list = append(list, o)
		return nil
	})
	return list, err
}

// Closing is how many bytes of parameters a segment of a delta that was opened is closed with.
func (s Segment) Closing() int64 { return s.params.Length }

func describeSegments(list []Segment) (out []SegmentDescription) {
	at := int64(0)
	for _, s := range list {
		d := SegmentDescription{Format: s.Format.String(), Offset: at, Length: s.Length, Content: s.content(), Closing: s.params.Length, Parts: describeSegments(s.Parts)}
		out = append(out, d)
		at += s.Length
	}
	return out
}
