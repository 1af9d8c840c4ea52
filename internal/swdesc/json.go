// SPDX-License-Identifier: MIT

package swdesc

import (
	"bytes"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf16"
)

// The JSON syntax (RFC 8259) with what json-c, the client's parser, tolerates
// beyond it: comments, a trailing comma, single quotes, control characters in
// strings, literals in any case, and loosely written numbers.

var jsonNumberRE = regexp.MustCompile(`^-?[0-9]+(\.[0-9]*)?([eE][-+]?[0-9]*)?`)

type jsonParser struct{ parser }

func parseJSON(src []byte) (*node, error) {
	p := &jsonParser{parser{src: src}}
	if err := p.skipBlanks(); err != nil {
		return nil, err
	}
	root, err := p.value()
	if err != nil {
		return nil, err
	}
	if err := p.skipBlanks(); err != nil {
		return nil, err
	}
	if p.pos < len(src) {
		return nil, p.errorf(p.pos, "text after the end of the JSON object")
	}
	return root, nil
}

// peek returns the next byte, or 0 at the end (a NUL byte starts nothing).
func (p *jsonParser) peek() byte {
	if p.pos < len(p.src) {
		return p.src[p.pos]
	}
	return 0
}

func (p *jsonParser) skipBlanks() error {
	for p.pos < len(p.src) {
		rest := p.src[p.pos:]
		switch {
		case bytes.IndexByte([]byte(" \t\n\r"), rest[0]) >= 0:
			p.pos++
		case bytes.HasPrefix(rest, []byte("//")), bytes.HasPrefix(rest, []byte("/*")):
			end, closed := skipComment(p.src, p.pos)
			if !closed {
				return p.errorf(p.pos, "a comment without an end")
			}
			p.pos = end
		default:
			return nil
		}
	}
	return nil
}

func (p *jsonParser) unexpected(want string) error {
	if p.pos == len(p.src) {
		return p.errorf(p.pos, "the text ends, want %s", want)
	}
	return p.errorf(p.pos, "got %q, want %s", p.src[p.pos:p.pos+1], want)
}

// value reads the value at pos.
func (p *jsonParser) value() (*node, error) {
	start := p.pos
	n := &node{}
	var err error
	switch c := p.peek(); {
	case c == '{':
		n.kind = kindGroup
		err = p.members(n, '}')
	case c == '[':
		n.kind = kindList
		err = p.members(n, ']')
	case c == '"' || c == '\'':
		n.kind = kindString
		n.text, err = p.quoted()
		n.pieces = []span{{start, p.pos}}
	case c == '-' || c >= '0' && c <= '9':
		s := jsonNumberRE.Find(p.src[start:])
		if s == nil {
			return nil, p.unexpected("a value")
		}
		n.kind = kindInt
		if bytes.ContainsAny(s, ".eE") {
			n.kind = kindFloat
		}
		n.text = string(s)
		p.pos += len(s)
	default:
		n.kind, n.text = p.literal()
		if n.text == "" {
			return nil, p.unexpected("a value")
		}
		p.pos += len(n.text)
	}
	n.span = span{start, p.pos}
	return n, err
}

func (p *jsonParser) literal() (kind, string) {
	for _, l := range []struct {
		name string
		kind kind
	}{{"true", kindBool}, {"false", kindBool}, {"null", kindNull}} {
		if rest := p.src[p.pos:]; len(rest) >= len(l.name) && strings.EqualFold(string(rest[:len(l.name)]), l.name) {
			return l.kind, string(rest[:len(l.name)])
		}
	}
	return kindNull, ""
}

// members reads an object or array from its opening bracket to end.
func (p *jsonParser) members(n *node, end byte) error {
	if err := p.enter(); err != nil {
		return err
	}
	defer p.leave()
	p.pos++
	var seen names
	for {
		if err := p.skipBlanks(); err != nil {
			return err
		}
		if p.peek() == end {
			p.pos++
			return nil
		}
		if k := len(n.members); k > 0 && n.members[k-1].sep.empty() {
			return p.unexpected("a comma or " + strconv.Quote(string(rune(end))))
		}
		m := member{span: span{start: p.pos}}
		if n.kind == kindGroup {
			if c := p.peek(); c != '"' && c != '\'' {
				return p.unexpected("the name of a setting")
			}
			name, err := p.quoted()
			if err != nil {
				return err
			}
			if !seen.add(name) {
				return p.errorf(m.start, "setting %q is there twice", name)
			}
			m.name = name
			if err := p.skipBlanks(); err != nil {
				return err
			}
			if p.peek() != ':' {
				return p.unexpected("a colon after " + strconv.Quote(name))
			}
			p.pos++
			if err := p.skipBlanks(); err != nil {
				return err
			}
		}
		v, err := p.value()
		if err != nil {
			return err
		}
		m.value, m.end = v, v.end
		if err := p.skipBlanks(); err != nil {
			return err
		}
		if p.peek() == ',' {
			m.sep = span{p.pos, p.pos + 1}
			p.pos++
		}
		n.members = append(n.members, m)
	}
}

// quoted reads the string at pos, which ends with the quote it starts with.
func (p *jsonParser) quoted() (string, error) {
	start, quote := p.pos, p.src[p.pos]
	var b strings.Builder
	for i := start + 1; i < len(p.src); i++ {
		switch c := p.src[i]; {
		case c == quote:
			p.pos = i + 1
			return b.String(), nil
		case c == 0:
			return "", p.errorf(i, "a NUL byte in a string")
		case c == '\\' && i+1 < len(p.src):
			i++
			e := p.src[i]
			if j := strings.IndexByte(`bfnrt"\/`, e); j >= 0 {
				b.WriteByte("\b\f\n\r\t\"\\/"[j])
				continue
			}
			r, ok := p.unicode(i)
			if !ok {
				return "", p.errorf(i-1, "an unknown escape in a string")
			}
			i += 4
			if utf16.IsSurrogate(r) {
				// Two escapes make one character; what has no partner becomes
				// the replacement character.
				low, _ := p.unicode(i + 2)
				if r = utf16.DecodeRune(r, low); r != '\uFFFD' && p.src[i+1] == '\\' {
					i += 6
				} else {
					r = '\uFFFD'
				}
			}
			if r == 0 {
				return "", p.errorf(i-5, "a NUL byte in a string")
			}
			b.WriteRune(r)
		default:
			b.WriteByte(c)
		}
	}
	return "", p.errorf(start, "a string without an end")
}

// unicode reads the four digits of an escape whose letter u is at pos.
func (p *jsonParser) unicode(pos int) (rune, bool) {
	if pos+5 > len(p.src) || p.src[pos] != 'u' {
		return 0, false
	}
	v, err := strconv.ParseUint(string(p.src[pos+1:pos+5]), 16, 16)
	return rune(v), err == nil
}
