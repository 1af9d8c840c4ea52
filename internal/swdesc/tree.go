// SPDX-License-Identifier: MIT

package swdesc

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"swudelta/internal/fault"
)

// span is a piece of the text: bytes start to end-1.
type span struct{ start, end int }

func (s span) empty() bool { return s.start == s.end }

// kind is the type of a value.
type kind byte

const (
	kindGroup kind = iota // libconfig group, JSON object
	kindList              // libconfig list, JSON array
	kindArray             // libconfig array: scalars of one type
	kindString
	kindInt   // whole number, in any base
	kindFloat // any other number
	kindBool
	kindNull // JSON only
)

// node is a value and where it stands.
type node struct {
	kind kind
	span
	// text is the decoded value of a string, and the source of other scalars.
	text string
	// pieces are the literals of a string, quotes included: one, or more where
	// libconfig joins adjacent literals.
	pieces []span
	// members are the settings of a group, or the elements of a list or array.
	members []member
}

// member is a setting of a group, or an element (which has no name).
type member struct {
	name  string
	span  // from the first byte of the name to the last of the value
	value *node
	sep   span // the ";" or "," after it, or empty
}

// get returns the setting called name, or nil.
func (n *node) get(name string) *member {
	if n.kind != kindGroup {
		return nil
	}
	for i := range n.members {
		if n.members[i].name == name {
			return &n.members[i]
		}
	}
	return nil
}

// str returns the string setting called name, or "". The client, too, takes a
// setting of another type for absent.
func (n *node) str(name string) string {
	if m := n.get(name); m != nil && m.value.kind == kindString {
		return m.value.text
	}
	return ""
}

// flag reports whether the setting called name is the boolean true.
func (n *node) flag(name string) bool {
	m := n.get(name)
	return m != nil && m.value.kind == kindBool && strings.EqualFold(m.value.text, "true")
}

// int returns the value of an integer in either syntax, or false if it does not
// fit 64 bits. A libconfig integer is decimal even with leading zeros, has
// prefixes for base 16, 8 (0o, 0q) and 2, and may end in L or LL.
func (n *node) int() (int64, bool) {
	s := strings.TrimRight(n.text, "L")
	base := 10
	if len(s) > 2 && s[0] == '0' {
		switch s[1] {
		case 'x', 'X':
			base = 16
		case 'o', 'O', 'q', 'Q':
			base = 8
		case 'b', 'B':
			base = 2
		}
		if base != 10 {
			s = s[2:]
		}
	}
	v, err := strconv.ParseInt(s, base, 64)
	if n.kind != kindInt || err != nil {
		return 0, false
	}
	return v, true
}

// parser is what the parsers of both syntaxes share.
type parser struct {
	src   []byte
	pos   int
	depth int
}

// maxDepth bounds the recursion. The client reads JSON down to 32 levels;
// a sw-description in use has about 8.
const maxDepth = 100

// errorf returns a data fault that names the line and the offset.
func (p *parser) errorf(at int, format string, args ...any) error {
	line := 1 + bytes.Count(p.src[:at], []byte("\n"))
	return fault.At(int64(at), "line %d: %s", line, fmt.Sprintf(format, args...))
}

// enter counts a level of nesting; leave is its counterpart.
func (p *parser) enter() error {
	if p.depth++; p.depth > maxDepth {
		return p.errorf(p.pos, "nested deeper than %d levels", maxDepth)
	}
	return nil
}

func (p *parser) leave() { p.depth-- }

// names finds duplicates among the names of a group.
type names map[string]bool

func (n *names) add(name string) bool {
	if *n == nil {
		*n = names{}
	}
	dup := (*n)[name]
	(*n)[name] = true
	return !dup
}

// skipComment returns the offset behind the comment that starts at pos with
// "//" or "/*", and whether it has an end. A line comment ends before its
// newline or at the end of the text.
func skipComment(src []byte, pos int) (end int, closed bool) {
	if src[pos+1] == '*' {
		i := bytes.Index(src[pos+2:], []byte("*/"))
		if i < 0 {
			return len(src), false
		}
		return pos + 2 + i + 2, true
	}
	i := bytes.IndexByte(src[pos:], '\n')
	if i < 0 {
		return len(src), true
	}
	return pos + i, true
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

// walk calls visit for n and every value in it, in the order of the text, as
// long as visit asks to descend. The path has the names on the way, with [i]
// for elements; it is valid during the call only.
func (n *node) walk(path []string, visit func(path []string, n *node) bool) {
	if !visit(path, n) {
		return
	}
	for i, m := range n.members {
		step := m.name
		if n.kind != kindGroup {
			step = "[" + strconv.Itoa(i) + "]"
		}
		m.value.walk(append(path, step), visit)
	}
}

// joinPath writes a path as people do: software.images[0].filename.
func joinPath(path []string) string {
	return strings.ReplaceAll(strings.Join(path, "."), ".[", "[")
}
