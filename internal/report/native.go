// SPDX-License-Identifier: MIT

package report

import (
	"fmt"

	"swudelta/internal/member"
	"swudelta/internal/native"
)

// exactRun is the length of copies, in bytes, from which on it is taken that most of what goes
// on has no differences: the engine finds such runs first.
const exactRun = 32 << 10

// Native traces a delta of our own format. Which bytes of a copy differ cannot be told without the
// source: a copy counts as patched if it is shorter than the runs that the engine looks for.
func Native(d *native.Delta) (*Report, error) {
	ops, err := d.Operations()
	if err != nil {
		return nil, err
	}
	t := &nativeTracer{ops: ops, pools: map[native.Type]*pool{}}
	r := &Report{
		Format: fmt.Sprintf("native, version %d", native.Version), Size: d.Size,
		Source: Content{d.SourceLength, d.SourceSHA256.Hex()},
		Target: Content{d.TargetLength, d.TargetSHA256.Hex()},
		Memory: d.Need.Memory, Tmp: d.Need.Scratch, Needs: "our library, beside what any process takes",
	}
	header := d.Size
	for _, s := range d.Sections {
		t.pools[s.Type] = &pool{bytes: float64(s.Length)}
		r.Account = append(r.Account, Part{s.Type.String(), s.Length})
		header -= s.Length
	}
	r.Account = append([]Part{{"header", header}}, r.Account...)
	if err := t.members(d); err != nil {
		return nil, err
	}
	r.Members = t.finish()
	return r, nil
}

type nativeTracer struct {
	tracer
	ops   []native.Op // what is left of them; the first one may be begun
	pools map[native.Type]*pool
}

func (t *nativeTracer) share(of native.Type, weight float64) []use {
	if p := t.pools[of]; p != nil {
		return []use{{p, weight}}
	}
	return nil
}

// memberShare is the part of the target from which on what is compressed in it counts as a member
// of its own, not as something inside an image.
const memberShare = 1. / 16

// members traces the segments of the target.
func (t *nativeTracer) members(d *native.Delta) error {
	at := int64(0)
	m := &Member{}
	end := func() {
		if m.Stored > 0 {
			m.Name = "target at " + Size(m.Off)
			t.end(m)
		}
		m = &Member{Off: at}
	}
	for _, s := range d.New {
		alone := s.Format != member.Stored && s.Length >= leastMember && float64(s.Length) >= memberShare*float64(d.TargetLength)
		if alone {
			end()
			m.Closed = s.Format.String()
			if err := t.segments(s.Parts); err != nil {
				return err
			}
		} else if err := t.segments([]native.Segment{s}); err != nil {
			return err
		}
		m.Stored += s.Length
		at += s.Length
		if alone {
			end()
		}
	}
	end()
	return nil
}

// segments traces what the target, or a compressed member of it, consists of. What is compressed
// in it is a span: the content has another size.
func (t *nativeTracer) segments(list []native.Segment) error {
	for _, s := range list {
		if s.Format == member.Stored {
			if err := t.plain(s.Length); err != nil {
				return err
			}
			continue
		}
		inner := &nativeTracer{ops: t.ops, pools: t.pools}
		if err := inner.segments(s.Parts); err != nil {
			return err
		}
		t.ops, t.count = inner.ops, t.count+inner.count
		weights := map[*pool]float64{}
		for _, list := range inner.uses {
			for _, u := range list {
				weights[u.pool] += u.weight
				u.pool.weight -= u.weight // add counts it again
			}
		}
		for _, u := range append(t.share(native.TypeContent, 1), t.share(native.TypeClosing, float64(s.Closing()))...) {
			weights[u.pool] += u.weight
		}
		var uses []use
		for _, of := range coded {
			if p := t.pools[of]; p != nil && weights[p] > 0 {
				uses = append(uses, use{p, weights[p]})
			}
		}
		if err := t.add(Opened, s.Length, -1, 0, uses); err != nil {
			return err
		}
	}
	return nil
}

// coded are the sections that content takes part in.
var coded = []native.Type{
	native.TypeContent, native.TypeClosing, native.TypeOperations, native.TypeDisplacements, native.TypeDifferences, native.TypeLiterals, native.TypeStored,
}

// plain traces the next n bytes of the new side.
func (t *nativeTracer) plain(n int64) error {
	for n > 0 {
		o := &t.ops[0]
		k := min(n, o.Len)
		kind, uses := New, t.share(native.TypeOperations, float64(k)/float64(o.Len))
		from := int64(-1)
		switch o.Kind {
		case native.Copy:
			kind, from = Kept, o.Old
			if o.Len < exactRun {
				kind = Patched
			}
			weight := float64(min(k, exactRun))
			uses = append(uses, t.share(native.TypeDifferences, weight)...)
			uses = append(uses, t.share(native.TypeDisplacements, weight)...)
		case native.Fill:
			kind = Zero
		case native.Literal:
			uses = append(uses, t.share(native.TypeLiterals, float64(k))...)
		case native.Stored:
			uses = append(uses, t.share(native.TypeStored, float64(k))...)
		}
		if err := t.add(kind, k, from, 0, uses); err != nil {
			return err
		}
		if o.Kind == native.Copy {
			o.Old += k
		}
		n -= k
		if o.Len -= k; o.Len == 0 {
			t.ops = t.ops[1:]
		}
	}
	return nil
}
