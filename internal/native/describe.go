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
	Opener string `json:"opener"`
	Parent int    `json:"parent"`
	Offset int64  `json:"offset"`
	Length int64  `json:"length"`
	Size   int64  `json:"size"`
	Window int64  `json:"window,omitempty"`
	Hidden bool   `json:"hidden,omitempty"`
}

// SegmentDescription is a segment of the target.
type SegmentDescription struct {
	Closer string               `json:"closer"`
	Length int64                `json:"length"`
	Level  int                  `json:"level,omitempty"`
	Parts  []SegmentDescription `json:"parts,omitempty"`
}

var (
	openerNames = [openers]string{"stored", "gzip", "zstd"}
	closerNames = [closers]string{"plain", "zstd", "gzip"}
)

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
		out.Streams = append(out.Streams, StreamDescription{openerNames[s.Opener], s.Parent, s.Offset, s.Length, s.Size, s.Window, s.Hidden})
	}
	out.Segments = describeSegments(d.New)
	return out, nil
}

func describeSegments(list []Segment) (out []SegmentDescription) {
	for _, s := range list {
		out = append(out, SegmentDescription{closerNames[s.Closer], s.Length, s.Level, describeSegments(s.Parts)})
	}
	return out
}
