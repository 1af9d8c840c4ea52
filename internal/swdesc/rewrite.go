// SPDX-License-Identifier: MIT

package swdesc

import (
	"bytes"
	"math"
	"slices"
	"strconv"
	"strings"

	"swudelta/internal/digest"
	"swudelta/internal/fault"
)

// Replacement is what becomes of an archive member.
type Replacement struct {
	// NewName is the new name of the member; empty: it keeps its name.
	NewName string
	// SHA256 is the digest of the new member as stored.
	SHA256 digest.SHA256
	// Size is the number of bytes of the new member as stored.
	Size int64
	// Compressed is the compression of the new member in SWUpdate's words
	// (see Compressions), or empty if it is stored plain.
	Compressed string
}

// Compressions are the values of "compressed" that some SWUpdate knows: zlib
// (which is gzip) and zstd since 2019.11, xz since 2025.12, lz4 since 2026.05.
var Compressions = []string{"zlib", "zstd", "xz", "lz4"}

// maxName is the longest name of an archive member in bytes: SWUpdate wants it
// below 256 with its NUL, and cuts strings at 255.
const maxName = 254

// Rewrite returns the text with every entry of the named members brought in line
// with their replacements. In an entry,
//
//   - filename becomes NewName;
//   - sha256 and size, where there are, become those of the replacement (hex
//     digits keep their case);
//   - compressed, if it says that the device decompresses, becomes
//     Compressed, or is taken out for a plain member. An entry without it is not
//     given one: its handler gets the member as it is, and may want it so.
//
// Nothing else changes; properties describe the plain content. What cannot be
// done right is a data fault: a name that no entry has or that two members would
// get, an encrypted member (a new one needs the key and another ivt), mkswu's
// chunk digests, attributes that are not of the expected type, a compression
// that SWUpdate does not know, or one set for a handler with a format of its own.
func (d *Description) Rewrite(replacements map[string]Replacement) ([]byte, error) {
	if err := d.checkNames(replacements); err != nil {
		return nil, err
	}
	w := &rewriter{d: d, changed: map[*node]value{}, removed: map[*member]bool{}}
	for i := range d.files {
		if r, ok := replacements[d.files[i].Name]; ok {
			if err := w.entry(&d.files[i], r); err != nil {
				return nil, err
			}
		}
	}
	return w.result()
}

// checkNames refuses replacements whose members would not be found, or would be
// taken for one another.
func (d *Description) checkNames(replacements map[string]Replacement) error {
	known := map[string]bool{}
	for _, f := range d.files {
		known[f.Name] = true
	}
	owner := map[string]string{} // by new name
	for name := range known {
		if replacements[name].NewName == "" {
			owner[name] = name
		}
	}
	sorted := make([]string, 0, len(replacements))
	for name := range replacements {
		sorted = append(sorted, name)
	}
	slices.Sort(sorted)
	for _, name := range sorted {
		if !known[name] {
			return fault.Dataf("no entry has the file name %q", name)
		}
		to := replacements[name].NewName
		if to == "" {
			continue
		}
		if len(to) > maxName || strings.ContainsFunc(to, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return fault.Dataf("new name %q: longer than %d bytes or with control characters", to, maxName)
		}
		if other, taken := owner[to]; taken && other != name {
			return fault.Dataf("new name %q: wanted for %q and for %q", to, other, name)
		}
		owner[to] = name
	}
	return nil
}

// value is what a changed node must read as.
type value struct {
	kind kind
	text string
}

type edit struct {
	span
	text string
}

type rewriter struct {
	d       *Description
	edits   []edit
	changed map[*node]value
	removed map[*member]bool
}

// entry plans the edits of one entry.
func (w *rewriter) entry(f *file, r Replacement) error {
	refuse := func(format string, args ...any) error {
		return w.d.errorf(f.node, f.Path+": "+format, args...)
	}
	switch {
	case f.Encrypted:
		return refuse("%q is encrypted: a new file needs the key and another ivt; leave it out of the delta update", f.Name)
	case f.node.get(chunkDigests) != nil:
		return refuse("%q has %s, which cannot be made anew", f.Name, chunkDigests)
	}
	if r.NewName != "" && r.NewName != f.Name {
		w.setString(f.node.get("filename").value, r.NewName)
	}
	if m := f.node.get("sha256"); m != nil {
		if m.value.kind != kindString || !isDigest(m.value.text) {
			return refuse("sha256 %q is no digest", m.value.text)
		}
		digits := r.SHA256.Hex()
		if old := m.value.text; strings.ToLower(old) != old && strings.ToUpper(old) == old {
			digits = strings.ToUpper(digits)
		}
		if !strings.EqualFold(m.value.text, digits) {
			w.setString(m.value, digits)
		}
	}
	if m := f.node.get("size"); m != nil {
		old, ok := m.value.int()
		if !ok {
			return refuse("size %q is no number", m.value.text)
		}
		if old != r.Size {
			w.setInt(m.value, r.Size)
		}
	}
	if was := f.Compressed; was != "" && was != r.Compressed && !(was == "true" && r.Compressed == "zlib") {
		m := f.node.get("compressed")
		switch {
		case ownFormat[f.Type]:
			return refuse("compressed %s is for handler %q, not for an image", was, f.Type)
		case r.Compressed == "":
			w.remove(f.node, m)
		case slices.Contains(Compressions, r.Compressed):
			w.setString(m.value, r.Compressed)
		default:
			return refuse("SWUpdate has no compression %q", r.Compressed)
		}
	}
	return nil
}

// errorf is a data fault at the start of n.
func (d *Description) errorf(n *node, format string, args ...any) error {
	p := parser{src: d.text}
	return p.errorf(n.start, format, args...)
}

// replace plans an edit.
func (w *rewriter) replace(s span, text string) {
	w.edits = append(w.edits, edit{s, text})
}

// setString makes n the string s. Of several literals the first takes it
// and the others become empty, so that comments between them stay.
func (w *rewriter) setString(n *node, s string) {
	quoted := `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
	if n.kind != kindString {
		w.replace(n.span, quoted)
	}
	for i, piece := range n.pieces {
		if i > 0 {
			quoted = `""`
		}
		w.replace(piece, quoted)
	}
	w.changed[n] = value{kindString, s}
}

// setInt makes n the decimal number v, with the suffix that it had. Where the
// number needs 64 bits it gets one: libconfig 1.5 cuts it to 32 without.
func (w *rewriter) setInt(n *node, v int64) {
	s := strconv.FormatInt(v, 10)
	if i := strings.IndexByte(n.text, 'L'); i >= 0 {
		s += n.text[i:]
	} else if !w.d.json && v > math.MaxInt32 {
		s += "L"
	}
	w.replace(n.span, s)
	w.changed[n] = value{kindInt, s}
}

// remove takes a setting out of its group, and its line with it if it has one
// to itself.
func (w *rewriter) remove(g *node, m *member) {
	s, sep := m.span, m.sep
	if !sep.empty() && blank(w.d.text[s.end:sep.start]) {
		s.end, sep = sep.end, span{}
	}
	if !sep.empty() {
		w.replace(sep, "") // a comment stands between
	}
	if i := slices.IndexFunc(g.members, func(o member) bool { return o.span == m.span }); w.d.json && m.sep.empty() && i > 0 {
		w.replace(g.members[i-1].sep, "") // JSON separates, the last has none
	}
	w.replace(w.widen(s), "")
	w.removed[m] = true
}

// widen adds to the span of a setting that goes the blanks that would be left:
// the whole line, or the blanks on one side.
func (w *rewriter) widen(s span) span {
	text := w.d.text
	isBlank := func(c byte) bool { return c == ' ' || c == '\t' }
	start, end := s.start, s.end
	for start > 0 && isBlank(text[start-1]) {
		start--
	}
	for end < len(text) && isBlank(text[end]) {
		end++
	}
	lineStart := start == 0 || text[start-1] == '\n'
	eol := end
	if eol < len(text) && text[eol] == '\r' {
		eol++
	}
	lineEnd := eol == len(text) || text[eol] == '\n'
	switch {
	case lineStart && lineEnd:
		return span{start, min(eol+1, len(text))}
	case lineEnd:
		return span{start, s.end}
	default:
		return span{s.start, end}
	}
}

func blank(b []byte) bool { return len(bytes.TrimSpace(b)) == 0 }

// result applies the edits and proves that they did what was planned.
func (w *rewriter) result() ([]byte, error) {
	slices.SortFunc(w.edits, func(a, b edit) int { return a.start - b.start })
	var out []byte
	pos := 0
	for _, e := range w.edits {
		if e.start < pos {
			return nil, fault.At(int64(e.start), "edits overlap")
		}
		out = append(out, w.d.text[pos:e.start]...)
		out = append(out, e.text...)
		pos = e.end
	}
	out = append(out, w.d.text[pos:]...)
	again, err := Parse(out)
	if err != nil {
		return nil, fault.Dataf("the rewritten text does not parse: %w", err)
	}
	if n := w.difference(w.d.root, again.root); n != nil {
		return nil, w.d.errorf(n, "rewriting would change more than it should")
	}
	return out, nil
}

// difference compares a value with what became of it. It returns the innermost
// value of the original that is neither the same nor changed as planned, or nil.
func (w *rewriter) difference(old, now *node) *node {
	want, ok := w.changed[old]
	if !ok {
		want = value{old.kind, old.text}
	}
	if now.kind != want.kind || now.text != want.text {
		return old
	}
	rest := now.members
	for i := range old.members {
		o := &old.members[i]
		if w.removed[o] {
			continue
		}
		if len(rest) == 0 || rest[0].name != o.name {
			return o.value
		}
		if n := w.difference(o.value, rest[0].value); n != nil {
			return n
		}
		rest = rest[1:]
	}
	if len(rest) > 0 {
		return old
	}
	return nil
}
