// SPDX-License-Identifier: MIT

package plan

import (
	"bytes"
	"fmt"
	"io"
	"path"
	"regexp"
	"slices"
	"strings"

	"swudelta/internal/content"
	"swudelta/internal/digest"
)

const (
	// smallMember is the size, in bytes, below which a member of the target is not worth
	// a plan of its own, nor one of the source a place in the old side.
	smallMember = 16 << 10
	// smallCopy is the size, in bytes, below which a member that did not change is not
	// copied: the recipe takes a hundred, and the rest of the delta is compressed.
	smallCopy = 512
	// maxZstdWindow is the widest window that the device library's decoder takes.
	maxZstdWindow = 1 << 27
	// canonicalLevel is the level at which images are recompressed (doc/format.md).
	canonicalLevel = 3
)

// target is a member of the target.
type target struct {
	*content.Member
	same *content.Member // a member of the source with the same stored bytes
	view *content.View   // what the engine makes; nil if same, or too small for it
	cost int64           // bytes of the delta
}

func (t *target) describe() string {
	if t.Name == "" {
		return "the target"
	}
	return fmt.Sprintf("target member %q", t.Name)
}

// open opens both sides, and sets the candidates.
func (m *maker) open() ([]*target, error) {
	sources, err := content.Members(m.source)
	if err != nil {
		return nil, fmt.Errorf("source: %w", err)
	}
	list, err := content.Members(m.target)
	if err != nil {
		return nil, fmt.Errorf("target: %w", err)
	}
	o := content.Options{
		Load:        m.Load,
		MaxWindow:   maxZstdWindow,
		Compressors: m.compressors(),
		Note:        func(s string) { m.notef("%s", s) },
	}
	var targets []*target
	stored, changed := false, false // there are members that changed, and stored ones among them
	for _, member := range list {
		t := &target{Member: member}
		targets = append(targets, t)
		if t.same, err = unchanged(member, sources); err != nil {
			return nil, err
		}
		if t.same != nil || member.Len < smallMember && member.Name != "" {
			continue
		}
		if t.view, err = o.Target(member); err != nil {
			return nil, fmt.Errorf("%s: %w", t.describe(), err)
		}
		changed = true
		stored = stored || !t.view.Opened()
	}
	if changed {
		m.candidates, err = m.openCandidates(&o, sources, stored)
	}
	return targets, err
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
	*content.View
	index *index
}

// openCandidates opens the members of the source: without their compression, and,
// if stored, also as they are stored. Small members serve nobody but would make a second copy
// of the large one, unless there is no large one.
func (m *maker) openCandidates(o *content.Options, sources []*content.Member, stored bool) ([]*candidate, error) {
	var all []*candidate
	for _, s := range sources {
		opened, err := o.Opened(s)
		if err == nil && opened != nil {
			all = append(all, &candidate{View: m.reachable(opened)})
		}
		if err == nil && (opened == nil || stored) {
			var v *content.View
			if v, err = o.Stored(s); err == nil {
				all = append(all, &candidate{View: v})
			}
		}
		if err != nil {
			if s.Name != "" {
				err = fmt.Errorf("member %q: %w", s.Name, err)
			}
			return nil, fmt.Errorf("source: %w", err)
		}
	}
	if large := slices.DeleteFunc(slices.Clone(all), func(c *candidate) bool { return len(c.Data) < smallMember }); len(large) > 0 {
		all = large
	}
	for _, c := range all {
		c.index = newIndex(c.Data, spans(c.Zeros))
	}
	return all, nil
}

// spans returns ranges as spans.
func spans(ranges []content.Range) []span {
	out := make([]span, len(ranges))
	for i, r := range ranges {
		out[i] = span{int(r.Off), int(r.End())}
	}
	return out
}

const (
	// A target is compared with the candidates in stretches of sampleLen bytes, one in each
	// sampleEvery.
	sampleLen   = 64 << 10
	sampleEvery = 512 << 10
	// leastServed is of how many anchors in common one must be in a further candidate, and
	// in none that was chosen before, for it to be chosen, too: each is unpacked
	// on the device.
	leastServed = 64
)

// choose returns the candidates that serve a view of the target: first the one with
// its name, if it serves; then, as long as there are any that serve what those before
// do not, the one that does most of it.
func (m *maker) choose(v *content.View) []*candidate {
	if len(m.candidates) == 1 {
		return m.candidates
	}
	// served has a bit for each candidate, for each anchor of a sample of the target.
	words := (len(m.candidates) + 63) / 64
	var served []uint64
	zeros := spans(v.Zeros)
	sample := func(from, to int) {
		anchors(v.Data, from, to, sparseBits, func(batch []anchor) int {
			base := len(served)
			served = append(served, make([]uint64, len(batch)*words)...)
			for i, c := range m.candidates {
				c.index.touch(batch)
				for j, a := range batch {
					c.index.lookup(v.Data, a, func(int) bool {
						served[base+j*words+i/64] |= 1 << (i % 64)
						return false
					})
				}
			}
			return 0
		})
	}
	every := sampleEvery
	if len(v.Data) < 16<<20 {
		every = sampleLen // all of it
	}
	for at := 0; at < len(v.Data); at += every {
		eachStretch(zeros, at, min(at+sampleLen, len(v.Data)), sample)
	}
	counts := func() (n []int, all int) {
		n = make([]int, len(m.candidates))
		for at := 0; at < len(served); at += words {
			any := false
			for i := range n {
				if served[at+i/64]>>(i%64)&1 == 1 {
					n[i]++
					any = true
				}
			}
			if any {
				all++
			}
		}
		return n, all
	}
	var out []*candidate
	n, sum := counts()
	take := func(i int) {
		out = append(out, m.candidates[i])
		for at := 0; at < len(served); at += words {
			if served[at+i/64]>>(i%64)&1 == 1 {
				clear(served[at : at+words])
			}
		}
		n, _ = counts()
	}
	named := m.named(v, n)
	if named >= 0 && n[named] > sum/leastServed {
		take(named)
	}
	for {
		best := 0
		for i := range n {
			if n[i] > n[best] {
				best = i
			}
		}
		if n[best] == 0 || n[best] <= sum/leastServed {
			break
		}
		take(best)
	}
	if len(out) == 0 {
		out = append(out, m.candidates[max(named, 0)])
	}
	// In the order of the source, so that the device reads it once.
	slices.SortStableFunc(out, func(a, b *candidate) int {
		return slices.Index(m.candidates, a) - slices.Index(m.candidates, b)
	})
	return out
}

// named returns the candidate whose name goes with that of a view of the target, or
// less than 0: the one with the same name but for the suffix of the compression; else
// of those with the same name but for versions the one that has most in common. An opened
// view goes with an opened or uncompressed one.
func (m *maker) named(v *content.View, hits []int) int {
	best, rank := -1, 0
	for i, c := range m.candidates {
		r := 0
		switch name, other := v.Member.Name, c.Member.Name; {
		case plainName(name) == plainName(other):
			r = 4
		case pattern(name) == pattern(other):
			r = 2
		default:
			continue
		}
		if v.Opened() == c.Opened() {
			r++
		}
		if r > rank || r == rank && hits[i] > hits[best] {
			best, rank = i, r
		}
	}
	return best
}

var (
	digits      = regexp.MustCompile(`[0-9]+`)
	compression = regexp.MustCompile(`\.(gz|zst|zstd)$`)
)

// plainName is the name of a member without the suffix of its compression.
func plainName(name string) string {
	return compression.ReplaceAllString(strings.ToLower(path.Base(name)), "")
}

// pattern is a member's name with what a release changes replaced: versions
// and the suffix of the compression.
func pattern(name string) string { return digits.ReplaceAllString(plainName(name), "*") }

// warnLarge warns of a delta above half of the target, and names the member that is to
// blame and the reason.
func (m *maker) warnLarge(members []*target) {
	if int64(len(m.result.Delta)) <= m.target.Size/2 || len(members) == 0 {
		return
	}
	most := slices.MaxFunc(members, func(a, b *target) int { return int(a.cost - b.cost) })
	if most.view == nil {
		return
	}
	reason := most.view.Closed
	if reason == "" {
		reason = "little of its content is in the source"
	}
	m.notef("the delta has %d %% of the size of the target: %d bytes are for %s (%s)",
		int64(len(m.result.Delta))*100/m.target.Size, most.cost, most.describe(), reason)
}

// sumOf returns the digest of the concatenation of parts, and its length.
func sumOf(parts ...[]byte) (digest.SHA256, int64) {
	w := digest.NewWriter(io.Discard)
	for _, p := range parts {
		w.Write(p)
	}
	return w.Sum(), w.Len()
}

// digestOf returns the digest of a member as it is stored.
func digestOf(t *content.Member) (digest.SHA256, error) {
	sum, n, err := digest.SumReader(t.Open())
	if err == nil && n != t.Len {
		err = io.ErrUnexpectedEOF
	}
	return sum, err
}
