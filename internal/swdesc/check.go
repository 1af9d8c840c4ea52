// SPDX-License-Identifier: MIT

package swdesc

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"swudelta/internal/digest"
)

// Member is what Check has to know of an archive member as it is stored.
type Member struct {
	Size   int64 // in bytes
	SHA256 digest.SHA256
	// Compression is that of the content in the words of sw-description (one of
	// Compressions), or empty for anything else.
	Compression string
	// What names the content's format, for messages.
	What string
	// Damage says why the content cannot be decompressed to its end; nil if it can,
	// or if that was not tried. It is an io.ErrUnexpectedEOF where the end is missing.
	Damage error
	// Members is the number of gzip members, and End where the first ends, in
	// bytes from the start; 0 if it has no end or is none.
	Members int
	End     int64
}

// Class is a kind of Finding.
type Class string

const (
	// ClassDescription: the text as a whole is none that SWUpdate installs.
	ClassDescription Class = "description"
	// ClassMissing: no archive member has the name.
	ClassMissing Class = "missing"
	// ClassDigest: the member has another digest, or sha256 is none.
	ClassDigest Class = "digest"
	// ClassLabel: compressed says something else than what the member is.
	ClassLabel Class = "label"
	// ClassStream: the member is what compressed says, but SWUpdate fails to
	// decompress it.
	ClassStream Class = "stream"
	// ClassPart: SWUpdate decompresses a part of the member and does not notice.
	ClassPart Class = "part"
	// ClassPadding: zeros behind a gzip stream go over the end of a block, and
	// SWUpdate stops there.
	ClassPadding Class = "padding"
	// ClassSize: the member has another size. SWUpdate looks since 2024.12.
	ClassSize Class = "size"
	// ClassUnhashed: a signed archive has a member without sha256.
	ClassUnhashed Class = "unhashed"
)

// Finding is a reason for which SWUpdate refuses an archive, or installs
// something else than its content.
type Finding struct {
	Class   Class  `json:"class"`
	Name    string `json:"name,omitempty"` // the archive member, if it is about one
	Path    string `json:"path,omitempty"` // the entry in the tree
	Message string `json:"message"`
}

// Check holds the description against the members of an archive by the rules of
// SWUpdate, in the order of the text. The rules are those that its release
// 2022.12 showed when it was given such archives, and for size, xz and lz4 those
// of its sources.
//
// member returns the archive member of exactly that name, or nil if there is none.
// It is called once for each name; only if decompress is set need it find out
// Damage. Its errors are passed on. An entry that stands in none of the sections
// images, files and scripts may name a member that does not exist: whether
// anything refers to it is not known.
func (d *Description) Check(signed bool, member func(name string, decompress bool) (*Member, error)) ([]Finding, error) {
	findings := d.checkTree()
	members := map[string]*Member{}
	for i := range d.files {
		f := &d.files[i]
		m, known := members[f.Name]
		if !known {
			var err error
			if m, err = member(f.Name, d.decompresses(f.Name)); err != nil {
				return nil, err
			}
			members[f.Name] = m
		}
		found := func(class Class, format string, args ...any) {
			findings = append(findings, Finding{class, f.Name, f.Path, fmt.Sprintf(format, args...)})
		}
		if m == nil {
			if f.Kind != kindOther {
				found(ClassMissing, "no archive member has exactly the name %q", f.Name)
			}
			continue
		}
		f.checkDigest(m, signed, found)
		f.checkLabel(m, found)
	}
	return findings, nil
}

// decompresses reports whether any entry has its member decompressed.
func (d *Description) decompresses(name string) bool {
	return slices.ContainsFunc(d.files, func(f file) bool { return f.Name == name && f.streamed() })
}

// streamed reports whether the device decompresses the member by what compressed
// says, and nothing else has to be done before.
func (f *file) streamed() bool {
	return f.Compressed != "" && !f.Encrypted && !ownFormat[f.Type]
}

func (f *file) checkDigest(m *Member, signed bool, found func(Class, string, ...any)) {
	switch v := f.node.get("sha256"); {
	case v == nil && signed && f.Kind != kindOther:
		found(ClassUnhashed, "no sha256, which SWUpdate wants where it checks signatures")
	case v == nil:
	case !isDigest(f.SHA256):
		found(ClassDigest, "sha256 is %q, want %d hexadecimal digits", f.SHA256, hexDigits)
	case f.SHA256 != m.SHA256.Hex():
		found(ClassDigest, "sha256 says %s, the member has %s", f.SHA256, m.SHA256.Hex())
	}
	if f.Kind != kindOther && f.Size != 0 && f.Size != m.Size {
		found(ClassSize, "size says %d bytes, the member has %d", f.Size, m.Size)
	}
}

func (f *file) checkLabel(m *Member, found func(Class, string, ...any)) {
	if word, bad := f.badLabel(); bad {
		found(ClassLabel, "%s", word)
		return
	}
	if !f.streamed() || m.Size == 0 {
		return
	}
	want, label := f.Compressed, fmt.Sprintf("%q", f.Compressed)
	if want == "true" {
		want, label = "zlib", "true"
	}
	format := want
	if want == "zlib" {
		format = "gzip"
	}
	// SWUpdate stops at the end of the first gzip member, and hashes no block
	// behind the one that it lies in.
	stops := m.End > 0 && (m.End-1)/readBlock != (m.Size-1)/readBlock
	switch {
	case m.Compression != want:
		found(ClassLabel, "compressed says %s, for which SWUpdate wants %s; the member is %s", label, format, m.What)
	case m.End > 0 && (m.Members > 1 || m.Damage != nil) && stops:
		found(ClassStream, "data behind the first gzip member, where SWUpdate stops reading, so that sha256 fails")
	case m.End > 0 && (m.Members > 1 || m.Damage != nil):
		found(ClassPart, "data behind the first gzip member, which is all that SWUpdate installs")
	case errors.Is(m.Damage, io.ErrUnexpectedEOF):
		found(ClassPart, "%v: SWUpdate installs what is there", m.Damage)
	case m.Damage != nil:
		found(ClassStream, "%v", m.Damage)
	case stops:
		found(ClassPadding, "%d zeros behind the gzip stream: SWUpdate reads blocks of %d bytes and none behind the stream's end, so that sha256 fails", m.Size-m.End, readBlock)
	}
}

// readBlock is how many bytes SWUpdate reads of a member at a time.
const readBlock = 16 << 10

// badLabel explains a value of compressed that SWUpdate does not know.
func (f *file) badLabel() (why string, bad bool) {
	m := f.node.get("compressed")
	if m == nil || m.value.kind != kindString || slices.Contains(Compressions, m.value.text) {
		return "", false
	}
	why = fmt.Sprintf("compressed is the string %q, which SWUpdate does not know: it wants one of %s", m.value.text, strings.Join(Compressions, ", "))
	switch strings.ToLower(m.value.text) {
	case "true":
		why += `, or the boolean true without quotes`
	case "false", "none", "no", "":
		why += `, or no such setting for what is not compressed`
	case "gzip", "gz":
		why += `, and "zlib" for gzip`
	}
	return why, true
}

// checkTree looks at what SWUpdate wants of the text as a whole.
func (d *Description) checkTree() []Finding {
	describe := func(format string, args ...any) []Finding {
		return []Finding{{Class: ClassDescription, Message: fmt.Sprintf(format, args...)}}
	}
	software := d.root.get("software")
	switch {
	case len(d.root.members) == 0:
		return describe("the text is empty: SWUpdate wants a group \"software\"")
	case software == nil:
		return describe("no group \"software\", in which SWUpdate looks for everything; the text begins with %q", d.root.members[0].name)
	case software.value.kind != kindGroup:
		return describe("\"software\" is no group")
	}
	var findings []Finding
	if !d.has(software.value, func(name string, _ *node) bool { return name == "version" }) {
		findings = append(findings, describe("no version in \"software\" or in a group of it")...)
	}
	if !d.has(software.value, d.installs) {
		findings = append(findings, describe("nothing to install: no list images, files, scripts, partitions, bootenv or uboot that has an entry")...)
	}
	return findings
}

// Where SWUpdate looks for a section: in software, in a board's group, in one of
// a collection, in one of a collection of a board. Which boards and collections
// there are, the text does not say.
const maxSectionDepth = 4

// has reports whether SWUpdate could find a setting that fits.
func (d *Description) has(software *node, fits func(name string, n *node) bool) bool {
	var search func(g *node, depth int) bool
	search = func(g *node, depth int) bool {
		return slices.ContainsFunc(g.members, func(m member) bool {
			if fits(m.name, m.value) {
				return true
			}
			// A group can be a link to another one; what it leads to lies in
			// the tree as well, at whatever depth.
			return depth < maxSectionDepth && m.value.kind == kindGroup && search(m.value, depth+1) || m.name == "ref"
		})
	}
	return search(software, 1)
}

// installs reports whether a setting is a section with something to install.
// A section can be a group of entries as well as a list, or a link.
func (d *Description) installs(name string, n *node) bool {
	switch name {
	case "images", "files", "scripts", "partitions", "bootenv", "uboot":
	default:
		return false
	}
	if n.get("ref") != nil || d.json && n.kind == kindGroup && len(n.members) > 0 {
		return true
	}
	return slices.ContainsFunc(n.members, func(m member) bool {
		e := m.value
		switch {
		case e.get("ref") != nil:
			return true
		case name == "partitions", name == "bootenv", name == "uboot":
			return e.get("name") != nil
		}
		return e.str("filename") != ""
	})
}
