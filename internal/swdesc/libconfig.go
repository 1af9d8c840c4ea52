// SPDX-License-Identifier: MIT

package swdesc

import (
	"bytes"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// The libconfig syntax, from the manual of libconfig ("Configuration Files")
// and the behaviour of its releases 1.5 and 1.8. A text is accepted if one of
// them accepts it: which one reads it in the end depends on the device. So
// trailing commas in lists and a last line comment without newline (1.7), binary
// and octal numbers (1.8), and integers beyond 64 bits (1.5) all pass.

// Kinds of token. Punctuation stands for itself.
const (
	tokEnd     byte = 0
	tokName    byte = 'n'
	tokString  byte = 's'
	tokInt     byte = 'i'
	tokInt64   byte = 'l'
	tokFloat   byte = 'f'
	tokBoolean byte = 'b'
)

type token struct {
	kind byte
	span
	text string // name, number or boolean as written; decoded string
}

var (
	nameRE = regexp.MustCompile(`^[A-Za-z*][-A-Za-z0-9_*]*`)
	// The scanner takes the longest match, whatever follows: 1a is the number
	// 1 and the name a.
	floatRE = longest(`^([-+]?[0-9]*\.[0-9]*([eE][-+]?[0-9]+)?|[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+)`)
	intRE   = longest(`^([-+]?[0-9]+|0[xX][0-9A-Fa-f]+|0[oOqQ][0-7]+|0[bB][01]+)(L(L)?)?`)
)

func longest(expr string) *regexp.Regexp {
	re := regexp.MustCompile(expr)
	re.Longest()
	return re
}

type libconfigParser struct {
	parser
	tok token // the next token
}

func parseLibconfig(src []byte) (*node, error) {
	p := &libconfigParser{parser: parser{src: src}}
	if err := p.advance(); err != nil {
		return nil, err
	}
	root := &node{kind: kindGroup, span: span{0, len(src)}}
	if err := p.settings(root, tokEnd); err != nil {
		return nil, err
	}
	return root, nil
}

// settings reads the settings of a group up to the token end, which it leaves.
func (p *libconfigParser) settings(g *node, end byte) error {
	var seen names
	for p.tok.kind != end {
		name := p.tok
		if name.kind != tokName {
			return p.unexpected("the name of a setting")
		}
		if !seen.add(name.text) {
			return p.errorf(name.start, "setting %q is there twice", name.text)
		}
		if err := p.advance(); err != nil {
			return err
		}
		if p.tok.kind != '=' && p.tok.kind != ':' {
			return p.unexpected("= or : after " + strconv.Quote(name.text))
		}
		if err := p.advance(); err != nil {
			return err
		}
		v, err := p.value()
		if err != nil {
			return err
		}
		m := member{name: name.text, span: span{name.start, v.end}, value: v}
		if p.tok.kind == ';' || p.tok.kind == ',' {
			m.sep = p.tok.span
			if err := p.advance(); err != nil {
				return err
			}
		}
		g.members = append(g.members, m)
	}
	return nil
}

// value reads any value.
func (p *libconfigParser) value() (*node, error) {
	switch p.tok.kind {
	case '{', '(', '[':
	default:
		return p.scalar()
	}
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	open := p.tok
	n := &node{span: open.span}
	if err := p.advance(); err != nil {
		return nil, err
	}
	var err error
	var end byte
	switch open.kind {
	case '{':
		n.kind, end = kindGroup, '}'
		err = p.settings(n, end)
	case '(':
		n.kind, end = kindList, ')'
		err = p.elements(n, end, p.value)
	case '[':
		n.kind, end = kindArray, ']'
		var first byte
		err = p.elements(n, end, func() (*node, error) {
			if first == 0 {
				first = p.tok.kind
			}
			if p.tok.kind != first {
				return nil, p.errorf(p.tok.start, "the elements of an array differ in type")
			}
			return p.scalar()
		})
	}
	if err != nil {
		return nil, err
	}
	n.end = p.tok.end
	return n, p.advance()
}

// elements reads what stands between the brackets of a list or array, up to the
// token end, which it leaves. Since 1.7 any number of commas may follow an
// element.
func (p *libconfigParser) elements(n *node, end byte, value func() (*node, error)) error {
	for p.tok.kind != end {
		v, err := value()
		if err != nil {
			return err
		}
		m := member{span: v.span, value: v}
		if p.tok.kind != ',' && p.tok.kind != end {
			return p.unexpected("a comma or " + strconv.Quote(string(rune(end))))
		}
		for p.tok.kind == ',' {
			if m.sep.empty() {
				m.sep = p.tok.span
			}
			if err := p.advance(); err != nil {
				return err
			}
		}
		n.members = append(n.members, m)
	}
	return nil
}

// scalar reads a number, a boolean, or one or more strings, which are joined.
func (p *libconfigParser) scalar() (*node, error) {
	t := p.tok
	n := &node{span: t.span, text: t.text}
	switch t.kind {
	case tokInt, tokInt64:
		n.kind = kindInt
	case tokFloat:
		n.kind = kindFloat
	case tokBoolean:
		n.kind = kindBool
	case tokString:
		n.kind = kindString
		var joined strings.Builder
		for p.tok.kind == tokString {
			joined.WriteString(p.tok.text)
			n.pieces = append(n.pieces, p.tok.span)
			n.end = p.tok.end
			if err := p.advance(); err != nil {
				return nil, err
			}
		}
		n.text = joined.String()
		return n, nil
	default:
		return nil, p.unexpected("a value")
	}
	return n, p.advance()
}

func (p *libconfigParser) unexpected(want string) error {
	if p.tok.kind == tokEnd {
		return p.errorf(p.tok.start, "the text ends, want %s", want)
	}
	return p.errorf(p.tok.start, "got %q, want %s", clip(p.src[p.tok.start:p.tok.end]), want)
}

// clip shortens b for a message.
func clip(b []byte) []byte {
	const most = 40
	if len(b) > most {
		return append(b[:most:most], "..."...)
	}
	return b
}

// advance reads the next token.
func (p *libconfigParser) advance() error {
	p.skipBlanks()
	src, start := p.src, p.pos
	if start == len(src) {
		p.tok = token{kind: tokEnd, span: span{start, start}}
		return nil
	}
	rest := src[start:]
	p.tok = token{}
	switch c := rest[0]; {
	case bytes.IndexByte([]byte("=:,;{}()[]"), c) >= 0:
		p.tok.kind = c
		p.pos++
	case c == '"':
		p.tok.kind = tokString
		s, err := p.quoted()
		if err != nil {
			return err
		}
		p.tok.text = s
	default:
		if name := nameRE.Find(rest); name != nil {
			p.tok.kind, p.tok.text = tokName, string(name)
			if strings.EqualFold(p.tok.text, "true") || strings.EqualFold(p.tok.text, "false") {
				p.tok.kind = tokBoolean
			}
		} else if p.tok.kind, p.tok.text = number(rest); p.tok.kind == tokEnd {
			return p.garbage()
		}
		p.pos += len(p.tok.text)
	}
	p.tok.span = span{start, p.pos}
	return nil
}

// skipBlanks skips white space and comments. An open comment ends with the text.
func (p *libconfigParser) skipBlanks() {
	for p.pos < len(p.src) {
		rest := p.src[p.pos:]
		switch {
		case bytes.IndexByte([]byte(" \t\n\r\f\a\b\v"), rest[0]) >= 0:
			p.pos++
		case rest[0] == '#':
			if i := bytes.IndexByte(rest, '\n'); i >= 0 {
				p.pos += i
			} else {
				p.pos = len(p.src)
			}
		case bytes.HasPrefix(rest, []byte("//")), bytes.HasPrefix(rest, []byte("/*")):
			p.pos, _ = skipComment(p.src, p.pos)
		default:
			return
		}
	}
}

// quoted reads the string literal at pos. A backslash before anything but
// a known escape is an ordinary character (\a, \b and \v are known since 1.8).
func (p *libconfigParser) quoted() (string, error) {
	start := p.pos
	var b strings.Builder
	for i := start + 1; i < len(p.src); i++ {
		switch c := p.src[i]; {
		case c == '"':
			p.pos = i + 1
			return b.String(), nil
		case c == 0:
			return "", p.errorf(i, "a NUL byte in a string")
		case c == '\\' && i+1 < len(p.src):
			e := p.src[i+1]
			if j := strings.IndexByte(`abfnrtv\"`, e); j >= 0 {
				b.WriteByte("\a\b\f\n\r\t\v\\\""[j])
				i++
			} else if (e == 'x' || e == 'X') && i+3 < len(p.src) && isHex(p.src[i+2]) && isHex(p.src[i+3]) {
				v, _ := strconv.ParseUint(string(p.src[i+2:i+4]), 16, 8)
				if v == 0 {
					return "", p.errorf(i, "a NUL byte in a string")
				}
				b.WriteByte(byte(v))
				i += 3
			} else {
				b.WriteByte(c)
			}
		default:
			b.WriteByte(c)
		}
	}
	return "", p.errorf(start, "a string without an end")
}

// number returns the number at the start of b; its kind is tokEnd if there is
// none. Integers of 32 and 64 bits differ in type, by L or by magnitude.
func number(b []byte) (byte, string) {
	n := 0
	for n < len(b) && (b[n] == '+' || b[n] == '-' || b[n] == '.' || b[n] >= '0' && b[n] <= '9' || b[n]|0x20 >= 'a' && b[n]|0x20 <= 'z') {
		n++
	}
	b = b[:n] // so that matching costs what the number is long, not the text
	f, i := floatRE.Find(b), intRE.FindSubmatchIndex(b)
	switch {
	case f == nil && i == nil:
		return tokEnd, ""
	case i == nil || len(f) > i[1]:
		return tokFloat, string(f)
	}
	s := string(b[:i[1]])
	_, err := strconv.ParseInt(s, 10, 32)
	if suffixed, decimal := i[4] >= 0, len(s) < 2 || s[1] <= '9'; suffixed || decimal && err != nil {
		return tokInt64, s
	}
	return tokInt, s
}

// garbage explains what starts no token.
func (p *libconfigParser) garbage() error {
	rest := p.src[p.pos:]
	switch {
	case bytes.HasPrefix(rest, []byte("@include")):
		return p.errorf(p.pos, "@include is not supported: the signature does not cover the included file")
	case bytes.HasPrefix(rest, []byte("@@")):
		end := len(rest)
		if i := bytes.Index(rest[2:], []byte("@@")); i >= 0 {
			end = i + 4
		}
		return p.errorf(p.pos, "found the placeholder %q: this is a template, which its build has yet to fill in", clip(rest[:end]))
	}
	_, size := utf8.DecodeRune(rest)
	return p.errorf(p.pos, "unexpected character %q", rest[:size])
}
