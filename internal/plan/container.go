// SPDX-License-Identifier: MIT

package plan

import (
	"bytes"
	"fmt"
	"io"
	"path"
	"regexp"
	"strings"

	"swudelta/internal/codec"
	"swudelta/internal/digest"
	"swudelta/internal/fault"
	"swudelta/internal/swu"
)

// payload is content that takes part in the plan: a member of a SWU, or a file
// as a whole; without its compression where the device can undo it (on the old
// side) or do it again with the same bytes (on the new side).
type payload struct {
	name   string     // of the member; of a file that is no SWU: ""
	offset int64      // where it lies in the file, in bytes
	length int64      // as it is stored
	stored codec.Kind // the compression that was undone
	data   []byte     // the content
}

// smallMember is the size, in bytes, below which a member of the target is not worth
// a plan of its own, nor one of the source a place in the old side.
const smallMember = 16 << 10

// openPayloads returns what a file holds, in the order of the file.
func (m *maker) openPayloads(in Input, open func(*payload, *io.SectionReader) error) ([]*payload, error) {
	head := make([]byte, 110)
	n, err := in.ReadAt(head, 0)
	if err != nil && err != io.EOF {
		return nil, err
	}
	var list []*payload
	if swu.IsArchive(head[:n]) {
		archive, err := swu.Index(in, in.Size)
		if err != nil {
			return nil, err
		}
		for _, h := range archive.Members {
			if h.Size > 0 {
				list = append(list, &payload{name: h.Name, offset: h.Offset, length: h.Size})
			}
		}
	}
	if len(list) == 0 {
		list = append(list, &payload{length: in.Size})
	}
	for _, p := range list {
		if err := open(p, io.NewSectionReader(in, p.offset, p.length)); err != nil {
			if p.name != "" {
				err = fmt.Errorf("member %q: %w", p.name, err)
			}
			return nil, err
		}
	}
	return list, nil
}

// openOld makes the content of a payload of the source addressable. The device
// can undo gzip (of which it reads one member) and zstd.
func (m *maker) openOld(p *payload, stored *io.SectionReader) error {
	kind, err := detect(stored)
	if err != nil {
		return err
	}
	var r io.ReadCloser
	switch kind {
	case codec.KindGzip:
		r, err = codec.NewGzipReader(stored, false)
	case codec.KindZstd:
		r, err = codec.NewZstdReader(stored, maxZstdWindow)
	default:
		p.data, err = m.Load(stored)
		return err
	}
	if err != nil {
		return err
	}
	defer r.Close()
	p.stored = kind
	if p.data, err = m.Load(r); err != nil {
		return fmt.Errorf("%v: %w", kind, err)
	}
	if len(p.data) == 0 { // nothing that a device could make from it
		p.stored = codec.KindPlain
		p.data, err = m.Load(io.NewSectionReader(stored, 0, p.length))
	}
	return err
}

// maxZstdWindow is the widest window that the device library's decoder takes.
const maxZstdWindow = 1 << 27

// openNew makes the content of a payload of the target addressable. Its
// compression is undone only if doing it again gives the stored bytes.
func (m *maker) openNew(p *payload, stored *io.SectionReader) error {
	kind, err := detect(stored)
	if err != nil {
		return err
	}
	if kind == codec.KindZstd {
		r, err := codec.NewZstdReader(stored, maxZstdWindow)
		if err != nil {
			return err
		}
		defer r.Close()
		content, err := m.Load(r)
		if err != nil {
			return fmt.Errorf("%v: %w", kind, err)
		}
		canonical, err := m.isCanonical(content, io.NewSectionReader(stored, 0, p.length))
		if err != nil {
			return err
		}
		if canonical && len(content) > 0 {
			p.stored, p.data = kind, content
			return nil
		}
	}
	if kind == codec.KindGzip || kind == codec.KindZstd {
		m.notef("%s is %v, but not as a device of profile 1.0 writes it: its compressed bytes are compared, which makes a large delta (zrecompress makes the canonical form)", p.describe(), kind)
	}
	p.data, err = m.Load(io.NewSectionReader(stored, 0, p.length))
	return err
}

func (p *payload) describe() string {
	if p.name == "" {
		return "the target"
	}
	return fmt.Sprintf("target member %q", p.name)
}

func detect(r *io.SectionReader) (codec.Kind, error) {
	head := make([]byte, 16)
	n, err := r.ReadAt(head, 0)
	if err != nil && err != io.EOF {
		return codec.KindPlain, err
	}
	return codec.Detect(head[:n]), nil
}

// isCanonical reports whether compressing content gives want.
func (m *maker) isCanonical(content []byte, want io.Reader) (bool, error) {
	c := &comparer{want: want}
	w, err := m.Zstd.NewCanonicalWriter(c, canonicalLevel)
	if err != nil {
		return false, err
	}
	_, err = w.Write(content)
	if closeErr := w.Close(); err == nil {
		err = closeErr
	}
	if err == errDiffers {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	var one [1]byte
	if _, err := io.ReadFull(want, one[:]); err != io.EOF {
		return false, err
	}
	return true, nil
}

// canonicalLevel is the level at which images are recompressed (doc/format.md).
const canonicalLevel = 3

var errDiffers = fault.Dataf("differs")

// comparer is a writer that fails at the first byte that is not the wanted one.
type comparer struct {
	want io.Reader
	buf  []byte
}

func (c *comparer) Write(p []byte) (int, error) {
	if len(c.buf) < len(p) {
		c.buf = make([]byte, len(p))
	}
	n, err := io.ReadFull(c.want, c.buf[:len(p)])
	if err != nil && err != io.ErrUnexpectedEOF && err != io.EOF {
		return 0, err
	}
	if !bytes.Equal(c.buf[:n], p) {
		return 0, errDiffers
	}
	return len(p), nil
}

var (
	digits      = regexp.MustCompile(`[0-9]+`)
	compression = regexp.MustCompile(`\.(gz|zst|zstd)$`)
)

// pattern is a member's name with what a release changes replaced: versions
// and the suffix of the compression.
func pattern(name string) string {
	return digits.ReplaceAllString(compression.ReplaceAllString(strings.ToLower(path.Base(name)), ""), "*")
}

// sumOf returns the digest of the concatenation of parts, and its length.
func sumOf(parts ...[]byte) (digest.SHA256, int64) {
	w := digest.NewWriter(io.Discard)
	for _, p := range parts {
		w.Write(p)
	}
	return w.Sum(), w.Len()
}
