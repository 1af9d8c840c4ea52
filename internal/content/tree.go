// SPDX-License-Identifier: MIT

package content

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"

	"swudelta/internal/codec"
	"swudelta/internal/digest"
	"swudelta/internal/layout"
	"swudelta/internal/member"
	"swudelta/internal/progress"
	"swudelta/internal/span"
)

// Opened is a compressed member of the source that was opened.
type Opened struct {
	At Range // in the file, or in the content of In
	*member.Member
	In *Opened // nil: the file
}

// Segment is a piece of the target: content as it is, or a compressed member that other
// segments, end to end, are the content of.
type Segment struct {
	Len    int64          // bytes as stored
	Member *member.Member // nil: content as it is
	Parts  []Segment
}

// Place says where in the Data of a view a run of something lies.
type Place struct{ From, At, Len int64 }

// Image is bytes that may have a layout of their own: a member as it is stored, or the content of
// a compressed one, but no file that was put together from its pieces.
type Image struct {
	Data   []byte
	Places []Place // of what of it is in the view
}

// Side is members of the source or the target, and layouts that were given, by their names.
type Side struct {
	Members []*Member
	Layouts map[string]*layout.Layout
}

// tree is a member of one side with the compressed members in it, and those in these.
type tree struct {
	*Member
	data    []byte // as stored
	members []*member.Member
}

// Trees returns views of members of both sides for a device that opens and closes compressed members
// itself. Members of the target that the source has too, with the same stored bytes, stay closed: so
// do those of the source. Of the target those are opened that can be closed again.
func (o *Options) Trees(source, target Side) (old, new []*View, err error) {
	oldTrees, err := o.trees(source)
	if err != nil {
		return nil, nil, err
	}
	newTrees, err := o.trees(target)
	if err != nil {
		return nil, nil, err
	}
	inTarget, inSource := sums{}, sums{}
	for _, t := range newTrees {
		inTarget.add(t.members, func(*member.Member) bool { return true })
	}
	opened := func(m *member.Member) bool { return !inTarget[m.SHA256] }
	for _, t := range oldTrees {
		inSource.add(t.members, opened)
	}
	if err := o.analyse(newTrees, inSource); err != nil {
		return nil, nil, err
	}
	for _, t := range oldTrees {
		v, err := o.oldView(t, opened)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", t.Describe("source"), err)
		}
		old = append(old, v)
	}
	for _, t := range newTrees {
		v, err := o.newView(t)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", t.Describe("target"), err)
		}
		new = append(new, v)
	}
	return old, new, nil
}

// trees finds what is in members.
func (o *Options) trees(s Side) (out []*tree, err error) {
	find := member.Finder{Load: o.Load, Progress: o.Opening}
	for _, m := range s.Members {
		find.Scattered = func(image []byte) [][]span.Range { return scattered(image, s.Layouts[m.Name]) }
		t := &tree{Member: m}
		if t.data, err = o.Load(m.Open()); err == nil {
			t.members, err = find.Find(t.data)
		}
		if err != nil {
			return nil, fmt.Errorf("member %q: %w", m.Name, err)
		}
		out = append(out, t)
	}
	return out, nil
}

// sums are digests of members as they are stored.
type sums map[digest.SHA256]bool

// add adds members, and what is in those that are opened.
func (s sums) add(list []*member.Member, opened func(*member.Member) bool) {
	for _, m := range list {
		s[m.SHA256] = true
		if opened(m) {
			s.add(m.Members, opened)
		}
	}
}

// analyse finds out how the members of the target are closed again, but for those that are
// known.
func (o *Options) analyse(trees []*tree, known sums) error {
	var tasks []*member.Member
	var collect func(list []*member.Member)
	collect = func(list []*member.Member) {
		for _, m := range list {
			if known[m.SHA256] {
				m.Closed = false
				continue
			}
			if !m.Closed { // as pieces are, which there is nothing to find out about
				tasks = append(tasks, m)
			}
			collect(m.Members)
		}
	}
	for _, t := range trees {
		collect(t.members)
	}
	if len(tasks) == 0 {
		return nil
	}
	size := int64(0)
	for _, m := range tasks {
		size += int64(len(m.Content))
	}
	stage := o.Progress.Start("close", progress.Bytes, size)
	errs := make([]error, len(tasks))
	var wait sync.WaitGroup
	free := make(chan struct{}, max(o.Workers, 1))
	for i, t := range tasks {
		free <- struct{}{}
		wait.Add(1)
		go func() {
			defer wait.Done()
			if errs[i] = t.CloseProgress(o.Libraries, stage.Add); errors.Is(errs[i], member.ErrUnclosable) {
				errs[i] = nil
			}
			<-free
		}()
	}
	wait.Wait()
	if o.Libraries != nil && o.Libraries.Memory > 0 {
		for _, t := range trees {
			fit(t.members, o.Libraries.Memory)
		}
	}
	return errors.Join(errs...)
}

// fit leaves members as they are stored whose closing takes more memory than is left, in bytes, while
// those around them are closed.
func fit(list []*member.Member, left int64) {
	for _, m := range list {
		if !m.Closed {
			continue
		}
		f, _ := member.Lookup(m.Number)
		n, err := f.CloseMemory(m.CloseParams, int64(len(m.Content)), m.Len)
		if err != nil || n > left {
			m.Closed, m.Reason = false, fmt.Sprintf("closing takes %d MiB, %d are left", n>>20, left>>20)
			continue
		}
		fit(m.Members, left-n)
	}
}

// builder puts the Data of a view together.
type builder struct {
	readers []io.Reader
	size    int64
	images  []Image
}

// add adds a range of data to the view.
func (b *builder) add(data []byte, off, n int64) Place {
	b.readers = append(b.readers, bytes.NewReader(data[off:off+n]))
	b.size += n
	return Place{off, b.size - n, n}
}

// view returns the view of a member.
func (b *builder) view(o *Options, m *Member) (*View, error) {
	v, err := o.load(m, io.MultiReader(b.readers...))
	if err == nil {
		v.Images = b.images
	}
	return v, err
}

// mostly is how much of something compressed members take up, in quarters, if only the rest of it
// is of use once they are opened: that is so of an image in its compressed form.
const mostly = 3

// oldView returns the view of a member of the source: what is in it, then the content of the members
// that are opened.
func (o *Options) oldView(t *tree, opened func(*member.Member) bool) (*View, error) {
	b := &builder{}
	var parts []Part
	var add func(data []byte, base int64, in *Opened, list []*member.Member)
	add = func(data []byte, base int64, in *Opened, list []*member.Member) {
		image := Image{Data: data}
		put := func(from, to int64) {
			if from < to {
				image.Places = append(image.Places, b.add(data, from, to-from))
				parts = append(parts, Part{Range: Range{Off: base + from, Len: to - from}, Size: to - from, In: in})
			}
		}
		var inside []*member.Member
		size := int64(0)
		for _, m := range list {
			if opened(m) {
				inside = append(inside, m)
				size += m.Len
			}
		}
		// Content of what is only in pieces is the same bytes.
		without := size > int64(len(data))/4*mostly
		at := int64(0)
		for _, m := range inside {
			if without || m.Number == member.Pieces {
				put(at, m.Off)
				at = m.End()
			}
		}
		put(at, int64(len(data)))
		if in == nil || in.Number != member.Pieces {
			b.images = append(b.images, image)
		}
		for _, m := range inside {
			add(m.Content, 0, &Opened{Range{Off: base + m.Off, Len: m.Len}, m, in}, m.Members)
		}
	}
	add(t.data, t.Off, nil, t.members)
	v, err := b.view(o, t.Member)
	if err == nil {
		v.Parts = parts
	}
	return v, err
}

// newView returns the view of a member of the target: what is in it, with the content of members that
// can be closed in place of them.
func (o *Options) newView(t *tree) (*View, error) {
	b := &builder{}
	closed := ""
	var notOpened []string
	var images []*Image
	var add func(data []byte, in *member.Member, list []*member.Member) []Segment
	add = func(data []byte, in *member.Member, list []*member.Member) (out []Segment) {
		image := &Image{Data: data}
		if in == nil || in.Number != member.Pieces {
			images = append(images, image)
		}
		done := int64(0)
		put := func(to int64) {
			if done < to {
				image.Places = append(image.Places, b.add(data, done, to-done))
				out = append(out, Segment{Len: to - done})
			}
		}
		for _, m := range list {
			if !m.Closed {
				if m.Reason != "" {
					notOpened = append(notOpened, fmt.Sprintf("%v of %d bytes at %d: %s", m.Number, m.Len, m.Off, m.Reason))
				}
				if m.Reason != "" && m.Len > t.Len/2 {
					closed = fmt.Sprintf("%v is compared as it is stored: %s", m.Number, m.Reason)
				}
				continue
			}
			put(m.Off)
			out = append(out, Segment{Len: m.Len, Member: m, Parts: add(m.Content, m, m.Members)})
			done = m.End()
		}
		put(int64(len(data)))
		return out
	}
	segments := add(t.data, nil, t.members)
	for _, image := range images {
		b.images = append(b.images, *image)
	}
	v, err := b.view(o, t.Member)
	if err != nil {
		return nil, err
	}
	v.Segments, v.Closed, v.NotOpened = segments, closed, notOpened
	if kind := codec.Detect(t.data[:min(len(t.data), codec.HeadSize)]); closed == "" && kind != codec.KindPlain && len(segments) == 1 && segments[0].Member == nil {
		v.Closed = fmt.Sprintf("%v is compared as it is stored", kind)
	}
	if v.Closed != "" {
		o.Note(fmt.Sprintf("%s: %s, which makes a large delta", t.Describe("target"), v.Closed))
	}
	return v, nil
}
