// SPDX-License-Identifier: MIT

package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"unicode/utf8"

	"swudelta/internal/codec"
	"swudelta/internal/digest"
	"swudelta/internal/fault"
	"swudelta/internal/swdesc"
	"swudelta/internal/swu"
	"swudelta/internal/tool"
)

// source is where a description and the members that it speaks of come from.
type source struct {
	text   []byte
	signed bool
	open   func(name string) (io.ReadCloser, error) // nil: no such member
}

// check holds a description against the members.
func check(c *tool.Context) error {
	in, err := c.InputAt(0)
	if err != nil {
		return err
	}
	defer in.Close()
	s, err := openSource(c, in)
	if err != nil {
		return err
	}
	d, err := swdesc.Parse(s.text)
	if err != nil {
		return fmt.Errorf("parse %s: %w", in.Name(), err)
	}
	findings, err := d.Check(s.signed, s.member)
	if err != nil {
		return err
	}
	if err := writeFindings(c, findings); err != nil || len(findings) == 0 {
		return err
	}
	return fault.Dataf("%s: not what SWUpdate installs, reasons: %d", in.Name(), len(findings))
}

// openSource tells a SWU from a sw-description, whose members lie in a folder.
func openSource(c *tool.Context, in *tool.File) (*source, error) {
	head := make([]byte, 6)
	n, err := in.ReadAt(head, 0)
	if err != nil && err != io.EOF {
		return nil, fmt.Errorf("read %s: %w", in.Name(), err)
	}
	if swu.IsArchive(head[:n]) {
		if c.IsSet("directory") {
			return nil, tool.Usagef("-C goes with a sw-description, and %s is a SWU", in.Name())
		}
		return openArchive(in)
	}
	text, err := readText(io.NewSectionReader(in, 0, in.Size()), in.Name())
	if err != nil {
		return nil, err
	}
	dir := c.String("directory")
	_, err = os.Stat(filepath.Join(dir, swu.Signature))
	return &source{text: text, signed: err == nil, open: func(name string) (io.ReadCloser, error) {
		// What is no name of a member is none of a file in the folder.
		if swu.CheckName(name) != nil {
			return nil, nil
		}
		f, err := os.Open(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		} else if err != nil {
			return nil, err
		}
		return f, nil
	}}, nil
}

func openArchive(in *tool.File) (*source, error) {
	a, err := swu.Index(in, in.Size())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", in.Name(), err)
	}
	if len(a.Members) == 0 || a.Members[0].Name != swu.Description {
		return nil, fault.Dataf("%s: no SWUpdate archive: the first member is not %q", in.Name(), swu.Description)
	}
	first := a.Members[0]
	text, err := readText(io.NewSectionReader(in, first.Offset, first.Size), in.Name())
	if err != nil {
		return nil, err
	}
	return &source{text: text, signed: a.Member(swu.Signature) != nil, open: func(name string) (io.ReadCloser, error) {
		h := a.Member(name)
		if h == nil {
			return nil, nil
		}
		return io.NopCloser(io.NewSectionReader(in, h.Offset, h.Size)), nil
	}}, nil
}

// member reads a member, to its end.
func (s *source) member(name string, decompress bool) (*swdesc.Member, error) {
	r, err := s.open(name)
	if r == nil || err != nil {
		return nil, err
	}
	defer r.Close()
	all := digest.NewReader(r)
	m := &swdesc.Member{}
	if decompress {
		stream, err := codec.Examine(all)
		if err != nil {
			return nil, fmt.Errorf("read %q: %w", name, err)
		}
		m.Compression, m.What = compressions[stream.Kind], stream.What
		m.Damage, m.Members, m.End = stream.Damage, stream.Members, stream.End
	}
	if _, err := io.Copy(io.Discard, all); err != nil {
		return nil, fmt.Errorf("read %q: %w", name, err)
	}
	m.Size, m.SHA256 = all.Len(), all.Sum()
	return m, nil
}

// writeFindings puts out a line or a JSON object for each finding.
func writeFindings(c *tool.Context, findings []swdesc.Finding) error {
	return c.TextOutput(func(w io.Writer) error {
		if c.Bool("json") {
			for _, f := range findings {
				if !utf8.ValidString(f.Name) {
					return fault.Dataf("name %q: not UTF-8, which JSON cannot tell", f.Name)
				}
			}
			return writeJSON(w, append([]swdesc.Finding{}, findings...))
		}
		for _, f := range findings {
			if err := writeFields(w, string(f.Class), f.Name, f.Path, f.Message); err != nil {
				return err
			}
		}
		return nil
	})
}
