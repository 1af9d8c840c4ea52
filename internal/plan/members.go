// SPDX-License-Identifier: MIT

package plan

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"path"
	"regexp"
	"slices"
	"strings"

	"swudelta/internal/codec"
	"swudelta/internal/content"
	"swudelta/internal/device"
	"swudelta/internal/digest"
	"swudelta/internal/layout"
	"swudelta/internal/match"
	"swudelta/internal/progress"
)

const (
	// smallMember is the size, in bytes, below which a member of the target is not worth
	// a plan of its own, nor one of the source a place in the old side.
	smallMember = 16 << 10
	// smallCopy is the size, in bytes, below which a member that did not change is not
	// copied: the recipe takes a hundred, and the rest of the delta is compressed.
	smallCopy = 512
)

// target is a member of the target.
type target struct {
	*content.Member
	same *content.Member // a member of the source with the same stored bytes
	view *content.View   // what the engine makes; nil if same, or too small for it
	made *device.Member  // nil if neither
}

func (t *target) describe() string { return t.Describe("target") }

// cost is how many bytes of the delta the member takes, if it has a part of its own.
func (t *target) cost() int64 {
	if t.made == nil {
		return 0
	}
	return t.made.Cost
}

// open opens both sides, and sets the candidates.
func (m *maker) open() ([]*target, error) {
	// Most is read once. Where a stream cannot be opened, it is read again.
	stage := m.Progress.Start("open", progress.Bytes, m.source.Size+m.target.Size)
	old, new := m.source, m.target
	old.ReaderAt, new.ReaderAt = stage.ReaderAt(old.ReaderAt), stage.ReaderAt(new.ReaderAt)
	sources, err := content.Members(old)
	if err != nil {
		return nil, fmt.Errorf("source: %w", err)
	}
	list, err := content.Members(new)
	if err != nil {
		return nil, fmt.Errorf("target: %w", err)
	}
	codecs := m.Device.Codecs()
	m.opening = content.Options{
		Load: m.Load, MaxWindow: codecs.MaxWindow, Compressors: codecs.Compressors, Remake: codecs.Remake,
		Libraries: codecs.Libraries, Workers: m.Workers, Progress: m.Progress, Opening: stage,
		Note: func(s string) { m.notef("%s", s) },
	}
	var targets, changed []*target
	for _, member := range list {
		t := &target{Member: member}
		targets = append(targets, t)
		if t.same, err = unchanged(member, sources); err != nil {
			return nil, err
		}
		if t.same == nil && (member.Len >= smallMember || member.Name == "") {
			changed = append(changed, t)
		}
	}
	if len(changed) == 0 {
		return targets, nil
	}
	if codecs.Libraries != nil {
		return targets, m.openTrees(sources, changed)
	}
	stored := false // there are changed members that are compared as they are stored
	for _, t := range changed {
		if t.view, err = m.opening.Target(t.Member); err != nil {
			return nil, fmt.Errorf("%s: %w", t.describe(), err)
		}
		stored = stored || !t.view.Opened()
	}
	views, err := m.openSources(sources, stored)
	if err == nil && codecs.Remake != nil {
		views, err = m.openInside(views, changed)
	}
	if err != nil {
		return nil, err
	}
	return targets, m.setCandidates(views)
}

// insideShare is the part of the device's memory that members opened inside of images may take, as a
// divisor: packs have the rest.
const insideShare = 8

// openInside opens what is compressed inside the images of both sides.
func (m *maker) openInside(old []*content.View, changed []*target) ([]*content.View, error) {
	var new []*content.View
	for _, t := range changed {
		new = append(new, t.view)
	}
	most := m.DeviceMemory / insideShare / m.Device.Codecs().RemakeMemory
	old, new, err := m.opening.Inside(old, new, int(most))
	if err != nil {
		return nil, err
	}
	for i, t := range changed {
		t.view = new[i]
	}
	return old, nil
}

// openTrees opens both sides for a device that opens compressed members itself.
func (m *maker) openTrees(sources []*content.Member, changed []*target) error {
	var list []*content.Member
	for _, t := range changed {
		list = append(list, t.Member)
	}
	old, new, err := m.opening.Trees(content.Side{Members: sources, Layouts: m.SourceLayouts}, content.Side{Members: list, Layouts: m.TargetLayouts})
	if err != nil {
		return err
	}
	for i, t := range changed {
		t.view = new[i]
	}
	return m.setCandidates(old)
}

// unchanged returns a member of the source whose stored bytes are those of t: the one of
// its name, or the first.
func unchanged(t *content.Member, sources []*content.Member) (*content.Member, error) {
	if t.Len < smallCopy {
		return nil, nil
	}
	var same []*content.Member
	for _, s := range sources {
		if s.Len == t.Len {
			same = append(same, s)
		}
	}
	slices.SortStableFunc(same, func(a, b *content.Member) int {
		switch {
		case a.Name == b.Name || a.Name != t.Name && b.Name != t.Name:
			return 0
		case a.Name == t.Name:
			return -1
		}
		return 1
	})
	var a, b [64 << 10]byte
candidates:
	for _, s := range same {
		x, y := s.Open(), t.Open()
		for at := int64(0); at < t.Len; at += int64(len(a)) {
			n := min(int64(len(a)), t.Len-at)
			if _, err := io.ReadFull(x, a[:n]); err != nil {
				return nil, err
			}
			if _, err := io.ReadFull(y, b[:n]); err != nil {
				return nil, err
			}
			if !bytes.Equal(a[:n], b[:n]) {
				continue candidates
			}
		}
		return s, nil
	}
	return nil, nil
}

// candidate is a view of a member of the source that may serve members of the target.
type candidate struct {
	view *content.View
	side *match.Side
}

// openSources returns views of the members of the source: without their compression, and,
// if stored, also as they are stored.
func (m *maker) openSources(sources []*content.Member, stored bool) (views []*content.View, err error) {
	for _, s := range sources {
		opened, err := m.opening.Opened(s)
		if err == nil && opened != nil {
			views = append(views, m.reachable(opened))
		}
		if err == nil && (opened == nil || stored) {
			var v *content.View
			if v, err = m.opening.Stored(s); err == nil {
				views = append(views, v)
			}
		}
		if err != nil {
			if s.Name != "" {
				err = fmt.Errorf("member %q: %w", s.Name, err)
			}
			return nil, fmt.Errorf("source: %w", err)
		}
	}
	return views, nil
}

// setCandidates makes views of the source candidates. Small ones serve nobody but would make a second
// copy of the large one, unless there is no large one.
func (m *maker) setCandidates(views []*content.View) error {
	if large := slices.DeleteFunc(slices.Clone(views), func(v *content.View) bool { return len(v.Data) < smallMember }); len(large) > 0 {
		views = large
	}
	size := int64(0)
	for _, v := range views {
		size += int64(len(v.Data))
	}
	stage := m.Progress.Start("index", progress.Bytes, size)
	for _, v := range views {
		side := m.side(v, m.SourceLayouts, "source")
		var err error
		memory := m.indexMemory() / int64(len(views))
		if m.Effort == 0 {
			memory = min(memory, int64(len(side.Data)/quickIndex))
		}
		if side.Index, err = match.NewIndex(side.Data, side.Zeros, memory, stage); err != nil {
			return err
		}
		m.candidates = append(m.candidates, &candidate{v, side})
	}
	return nil
}

// side returns a view as matching sees it, but for the index.
func (m *maker) side(v *content.View, layouts map[string]*layout.Layout, name string) *match.Side {
	s := &match.Side{Data: v.Data}
	for i, l := range m.opening.Layouts(v, layouts, name) {
		var places []match.Place
		for _, p := range v.Images[i].Places {
			places = append(places, match.Place{From: int(p.From), At: int(p.At), Len: int(p.Len)})
		}
		s.Objects = append(s.Objects, match.Placed(match.Objects(l, 0, len(v.Images[i].Data)), places)...)
	}
	for _, z := range v.Zeros {
		s.Zeros = append(s.Zeros, match.Range{Off: int(z.Off), Len: int(z.Len)})
	}
	return s
}

// oldSide returns the candidates that serve a new side, end to end, and their parts.
func (m *maker) oldSide(v *content.View, new *match.Side) (*match.Side, []content.Part, error) {
	sides := make([]*match.Side, len(m.candidates))
	for i, c := range m.candidates {
		sides[i] = c.side
	}
	chosen := match.Serve(new, sides, func(anchors []int) int { return m.named(v, anchors) })
	if len(chosen) == 1 {
		c := m.candidates[chosen[0]]
		return c.side, c.view.Parts, nil
	}
	var parts []content.Part
	var readers []io.Reader
	old := &match.Side{}
	at := 0
	for _, i := range chosen {
		c := m.candidates[i]
		first := len(parts)
		for _, p := range c.view.Parts {
			if p.Of > 0 {
				p.Of += first
			}
			parts = append(parts, p)
		}
		readers = append(readers, bytes.NewReader(c.side.Data))
		for _, z := range c.side.Zeros {
			old.Zeros = append(old.Zeros, match.Range{Off: at + z.Off, Len: z.Len})
		}
		for _, o := range c.side.Objects {
			old.Objects = append(old.Objects, o.Moved(at))
		}
		at += len(c.side.Data)
	}
	var err error
	if old.Data, err = m.Load(io.MultiReader(readers...)); err != nil {
		return nil, nil, err
	}
	stage := m.Progress.Start("index", progress.Bytes, int64(len(old.Data)))
	if old.Index, err = match.NewIndex(old.Data, old.Zeros, m.indexMemory(), stage); err != nil {
		return nil, nil, err
	}
	return old, parts, nil
}

// reachable returns the view without what the device cannot reach of a stream, and what
// follows.
func (m *maker) reachable(v *content.View) *content.View {
	end, limit := int64(0), m.Device.Reach()
	for i, p := range v.Parts {
		if p.Kind != codec.KindPlain && p.Size > limit {
			short := *v
			short.Parts = append(slices.Clone(v.Parts[:i]), p)
			short.Parts[i].Size = limit
			short.Data = v.Data[:end+limit]
			short.Images = []content.Image{{Data: short.Data, Places: []content.Place{{Len: end + limit}}}}
			short.Zeros = nil
			for _, z := range v.Zeros {
				if z.Len = min(z.Len, end+limit-z.Off); z.Len > 0 {
					short.Zeros = append(short.Zeros, z)
				}
			}
			m.notef("%s: the device reaches no more than the first %d bytes of the content of %d: what follows is not looked at",
				v.Member.Describe("source"), end+limit, len(v.Data))
			return &short
		}
		end += p.Size
	}
	return v
}

// named returns the candidate whose name goes with that of a view of the target, or
// less than 0: the one with the same name but for the suffix of the compression; else
// of those with the same name but for versions the one that has most in common. An opened
// view goes with an opened or uncompressed one.
func (m *maker) named(v *content.View, hits []int) int {
	best, rank := -1, 0
	for i, c := range m.candidates {
		r := 0
		switch name, other := v.Member.Name, c.view.Member.Name; {
		case plainName(name) == plainName(other):
			r = 4
		case pattern(name) == pattern(other):
			r = 2
		default:
			continue
		}
		if v.Opened() == c.view.Opened() {
			r++
		}
		if r > rank || r == rank && hits[i] > hits[best] {
			best, rank = i, r
		}
	}
	return best
}

var compression = regexp.MustCompile(`\.(gz|zst|zstd)$`)

// plainName is the name of a member without the suffix of its compression.
func plainName(name string) string {
	return compression.ReplaceAllString(strings.ToLower(path.Base(name)), "")
}

// pattern is a member's name with what a release changes replaced: versions
// and the suffix of the compression.
func pattern(name string) string { return match.Wildcard(plainName(name)) }

// warnLarge warns of a delta above half of the target, and names the member that is to
// blame and the reason.
func (m *maker) warnLarge(members []*target) {
	if int64(len(m.result.Delta)) <= m.target.Size/2 || len(members) == 0 {
		return
	}
	most := slices.MaxFunc(members, func(a, b *target) int { return cmp.Compare(a.cost(), b.cost()) })
	if most.view == nil {
		return
	}
	reason := most.view.Closed
	if reason == "" {
		reason = "little of its content is in the source"
	}
	m.notef("the delta has %d %% of the size of the target: %d bytes are for %s (%s)",
		int64(len(m.result.Delta))*100/m.target.Size, most.cost(), most.describe(), reason)
}

// digestOf returns the digest of a member as it is stored.
func digestOf(t *content.Member) (digest.SHA256, error) {
	sum, n, err := digest.SumReader(t.Open())
	if err == nil && n != t.Len {
		err = io.ErrUnexpectedEOF
	}
	return sum, err
}
