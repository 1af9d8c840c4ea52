// SPDX-License-Identifier: MIT

// Package swdesc finds and rewrites the file entries of a sw-description, the
// first member of a SWUpdate archive.
//
// A sw-description is written in libconfig's syntax or in JSON. People maintain
// it by hand, with comments and their own layout, and no parser that could write
// it back keeps those. So the text is parsed into values that know where they
// stand, edits replace exactly the bytes of a value, and the result is parsed
// again and must differ from the original in the wanted places only.
//
// What the attributes mean is described in SWUpdate's manual, "SWUpdate: syntax
// and tags with the default parser".
package swdesc

import (
	"bytes"
	"strings"

	"swudelta/internal/digest"
	"swudelta/internal/fault"
)

// MaxSize is the greatest number of bytes that Parse takes. The largest
// descriptions seen have some hundred kB (chunk digests, embedded scripts).
const MaxSize = 4 << 20

// Description is a parsed sw-description.
type Description struct {
	text  []byte
	json  bool
	root  *node
	files []file
}

// file is a group with a file name.
type file struct {
	Entry
	node *node
}

// Parse reads a sw-description in either syntax: JSON if it begins with a brace
// (behind comments), libconfig otherwise. What is wrong with the text is a data
// fault that names line and offset (in bytes). The text must not change
// afterwards.
func Parse(text []byte) (*Description, error) {
	if len(text) > MaxSize {
		return nil, fault.Dataf("sw-description: more than %d bytes", MaxSize)
	}
	if bytes.HasPrefix(text, []byte("\xef\xbb\xbf")) {
		return nil, fault.At(0, "line 1: unexpected byte order mark")
	}
	d := &Description{text: text, json: looksLikeJSON(text)}
	parse := parseLibconfig
	if d.json {
		parse = parseJSON
	}
	var err error
	if d.root, err = parse(text); err != nil {
		switch {
		case isArchive(text):
			err = fault.Data(errArchive)
		case isBinary(text):
			err = fault.Data(errBinary)
		}
		return nil, err
	}
	d.root.walk(nil, func(path []string, n *node) bool {
		if len(path) > 0 && path[len(path)-1] == "properties" {
			return false // belong to their entry
		}
		if m := n.get("filename"); m != nil && m.value.kind == kindString {
			d.files = append(d.files, file{newEntry(n, path), n})
		}
		return true
	})
	d.decide()
	return d, nil
}

// errArchive is the fault of the archive that a description lies in.
var errArchive error = archiveError{}

type archiveError struct{}

func (archiveError) Error() string { return "this is an SWU, want the sw-description in it" }

// Hint says what to do.
func (archiveError) Hint() string { return `"swu-unpack --member sw-description SWU" prints it` }

// isArchive reports whether text begins as the cpio archives of SWUpdate do.
func isArchive(text []byte) bool {
	return bytes.HasPrefix(text, []byte("070701")) || bytes.HasPrefix(text, []byte("070702"))
}

// errBinary is the fault of a text that is none.
var errBinary error = binaryError{}

type binaryError struct{}

func (binaryError) Error() string {
	return "no text: if this is a sw-description, it is encrypted"
}

// Hint says what to do.
func (binaryError) Hint() string {
	return "leave this update out of the delta updates: decrypted and encrypted again it would be another file"
}

// isBinary reports whether text begins with what no text has.
func isBinary(text []byte) bool {
	return bytes.ContainsFunc(text[:min(len(text), 512)], func(r rune) bool { return r < '\a' || r > '\r' && r < ' ' || r == 0x7f })
}

// looksLikeJSON tells the syntaxes apart: a libconfig file has no braces around
// its settings.
func looksLikeJSON(src []byte) bool {
	for pos := 0; pos < len(src); {
		switch rest := src[pos:]; {
		case bytes.IndexByte([]byte(" \t\r\n"), rest[0]) >= 0:
			pos++
		case bytes.HasPrefix(rest, []byte("//")), bytes.HasPrefix(rest, []byte("/*")):
			pos, _ = skipComment(src, pos)
		default:
			return rest[0] == '{'
		}
	}
	return false
}

// Entry is a group with a file name: something that the device installs from a
// member of the archive. A file that several collections install has several.
type Entry struct {
	// Name is the name of the archive member.
	Name string `json:"name"`
	// Kind is the section that the entry stands in: images, files, scripts, or
	// other (a group or list of another name, which a "ref" may point to).
	Kind string `json:"kind"`
	// Compressed is the compression that the device undoes: "zlib" (gzip, in
	// fact), "zstd", any other string, or "true" for the boolean, which means
	// zlib. Empty if the device installs the member as it is.
	Compressed string `json:"compressed,omitempty"`
	// SHA256 is the digest of the member as stored, in lower-case hexadecimal;
	// as written if it is no digest; empty if absent.
	SHA256 string `json:"sha256,omitempty"`
	// Size is the size of the member as stored, in bytes; 0, which SWUpdate
	// takes for unknown, if absent or no integer.
	Size int64 `json:"size,omitempty"`
	// Type is the handler, explicit or SWUpdate's default for the section;
	// empty if there is neither.
	Type string `json:"type,omitempty"`
	// Encrypted says that the member is stored encrypted: a boolean or whole
	// number that is true, or the name of a cipher.
	Encrypted bool `json:"encrypted"`
	// InstalledDirectly says that the device does not store the member before
	// it installs it.
	InstalledDirectly bool `json:"installed-directly"`
	// Properties are the entry's string properties.
	Properties map[string]string `json:"properties,omitempty"`
	// Action says whether the member can be recompressed, considering all
	// entries of its name.
	Action Action `json:"action"`
	// Reason says why.
	Reason string `json:"reason"`
	// Path is the place in the tree, such as software.stable.copy1.images[0].
	Path string `json:"path"`
}

// Action is what recompressing an archive does with a member.
type Action string

const (
	// Recompress: the device undoes a compression that can be redone.
	Recompress Action = "recompress"
	// Leave: the member must stay as it is.
	Leave Action = "leave"
	// Same: an entry before this one has the same name, and its action.
	Same Action = "same"
)

// Entries returns every entry of the tree, in the order of the text.
func (d *Description) Entries() []Entry {
	entries := make([]Entry, len(d.files))
	for i, f := range d.files {
		entries[i] = f.Entry
	}
	return entries
}

// kindOther is the Kind of an entry in no section that SWUpdate knows.
const kindOther = "other"

func newEntry(n *node, path []string) Entry {
	e := Entry{
		Name:              n.str("filename"),
		Kind:              kindOther,
		Compressed:        compressed(n),
		SHA256:            n.str("sha256"),
		Type:              n.str("type"),
		Encrypted:         n.flag("encrypted"),
		InstalledDirectly: n.flag("installed-directly"),
		Path:              joinPath(path),
	}
	if i := len(path) - 1; i >= 0 {
		section := path[i]
		if strings.HasPrefix(section, "[") && i > 0 {
			section = path[i-1]
		}
		switch section {
		case "images", "files", "scripts":
			e.Kind = section
		}
	}
	if v, err := digest.Parse(e.SHA256); err == nil && len(e.SHA256) == hexDigits {
		e.SHA256 = v.Hex()
	}
	if m := n.get("size"); m != nil {
		e.Size, _ = m.value.int()
	}
	if e.Type == "" {
		e.Type = defaultType(n, e.Kind)
	}
	if m := n.get("encrypted"); m != nil {
		switch v, ok := m.value.int(); {
		case m.value.kind == kindString:
			e.Encrypted = true // names the cipher
		case m.value.kind == kindInt:
			e.Encrypted = !ok || v != 0
		}
	}
	if m := n.get("properties"); m != nil {
		for _, p := range m.value.members {
			if p.value.kind == kindString && p.name != "" {
				if e.Properties == nil {
					e.Properties = map[string]string{}
				}
				e.Properties[p.name] = p.value.text
			}
		}
	}
	return e
}

// hexDigits is the length of a SHA-256 in hexadecimal, the only notation that
// the client reads.
const hexDigits = 64

// compressed returns what Entry.Compressed is. SWUpdate takes a whole number for
// a boolean, as C does.
func compressed(n *node) string {
	if m := n.get("compressed"); m != nil && m.value.kind == kindInt {
		if v, ok := m.value.int(); !ok || v != 0 {
			return "true"
		}
	}
	if n.flag("compressed") {
		return "true"
	}
	return n.str("compressed")
}

// defaultType is the handler that SWUpdate takes where none is named.
func defaultType(n *node, kind string) string {
	switch {
	case kind == "scripts":
		return "lua"
	case kind == "files":
		return "rawfile"
	case n.str("volume") != "":
		return "ubivol"
	case n.str("device") != "":
		return "raw"
	}
	return ""
}

// decide fills in the actions. A member stays as it is as soon as one of its
// entries demands that.
func (d *Description) decide() {
	leave := map[string]*file{}
	for i := range d.files {
		f := &d.files[i]
		f.Action, f.Reason = f.decide()
		if f.Action == Leave && leave[f.Name] == nil {
			leave[f.Name] = f
		}
	}
	seen := map[string]bool{}
	for i := range d.files {
		f := &d.files[i]
		if other := leave[f.Name]; other != nil && f.Action != Leave {
			f.Action, f.Reason = Leave, other.Reason+" in "+other.Path
		}
		if seen[f.Name] {
			f.Action = Same
		}
		seen[f.Name] = true
	}
}

// ownFormat are the handlers whose member is no compressed image but a patch, a
// chunk index or an archive for another device, in a format of its own.
var ownFormat = map[string]bool{"delta": true, "rdiff_image": true, "rdiff_file": true, "swuforward": true, "remote": true}

// decide is the action for this entry alone.
func (f *file) decide() (Action, string) {
	if why, bad := f.badLabel(); bad {
		return Leave, why
	}
	switch {
	case f.Kind == "scripts":
		return Leave, "script"
	case f.Compressed == "":
		return Leave, "not compressed"
	case f.Encrypted:
		return Leave, "encrypted, and a delta of it would be as large as it is"
	case ownFormat[f.Type]:
		return Leave, "handler " + f.Type
	case f.Compressed != "zlib" && f.Compressed != "zstd" && f.Compressed != "true":
		return Leave, "compressed " + f.Compressed
	case f.node.get(chunkDigests) != nil:
		return Leave, chunkDigests
	case f.node.get("sha256") != nil && !isDigest(f.SHA256):
		return Leave, "sha256 is no digest"
	}
	if m := f.node.get("size"); m != nil {
		if _, ok := m.value.int(); !ok {
			return Leave, "size is no number"
		}
	}
	return Recompress, "compressed " + f.Compressed
}

// chunkDigests is an attribute of mkswu: digests of pieces of the member.
const chunkDigests = "chunked_sha256"

func isDigest(s string) bool {
	_, err := digest.Parse(s)
	return len(s) == hexDigits && err == nil
}

// Mentions returns the places, other than file names, whose string contains s:
// scripts and hooks that a new name leaves behind.
func (d *Description) Mentions(s string) []string {
	var places []string
	d.root.walk(nil, func(path []string, n *node) bool {
		if n.kind == kindString && path[len(path)-1] != "filename" && strings.Contains(n.text, s) {
			places = append(places, joinPath(path))
		}
		return true
	})
	return places
}
