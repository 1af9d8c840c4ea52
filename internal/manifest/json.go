// SPDX-License-Identifier: MIT

package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"swudelta/internal/fault"
)

const (
	// maxBytes bounds a manifest or a description; real ones have a few KB.
	maxBytes = 4 << 20
	// maxDepth bounds the nesting of JSON; a manifest without handler
	// properties of its own has 7 levels.
	maxDepth = 64
)

// node is a JSON value that remembers the order of an object's members. The
// agent stores a file under the first of its hashes, so order carries meaning.
type node struct {
	kind    kind
	text    string // of a string, or the digits of a number as they stand
	items   []*node
	members []member
}

type member struct {
	key   string
	value *node
}

type kind int

const (
	null kind = iota
	boolean
	number
	text
	array
	object
)

func (k kind) String() string {
	return [...]string{"null", "a boolean", "a number", "a string", "an array", "an object"}[k]
}

// get returns a member of an object, or nil, and nil for no object at all.
func (n *node) get(key string) *node {
	if n != nil && n.kind == object {
		for _, m := range n.members {
			if m.key == key {
				return m.value
			}
		}
	}
	return nil
}

// list returns the items of an array, and none for what is no array.
func (n *node) list() []*node {
	if n == nil {
		return nil
	}
	return n.items
}

// str returns the text of a string, and "" for what is no string.
func (n *node) str() string {
	if n == nil || n.kind != text {
		return ""
	}
	return n.text
}

// ReadAll reads r to its end, refusing more than maxBytes.
func ReadAll(r io.Reader) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxBytes+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxBytes {
		return nil, fault.Dataf("longer than %d bytes", maxBytes)
	}
	return b, nil
}

// parseJSON reads one JSON value of RFC 8259 and refuses what is read in more
// than one way: duplicate keys, other encodings than UTF-8, anything behind it.
func parseJSON(b []byte) (*node, error) {
	switch {
	case bytes.HasPrefix(b, []byte{0xFF, 0xFE}), bytes.HasPrefix(b, []byte{0xFE, 0xFF}):
		return nil, fault.Dataf("encoded in UTF-16, want UTF-8 (in PowerShell: Out-File -Encoding utf8)")
	case !utf8.Valid(b):
		return nil, fault.Dataf("not UTF-8")
	}
	b = bytes.TrimPrefix(b, []byte("\uFEFF"))
	if err := checkDepth(b); err != nil {
		return nil, err
	}
	if !json.Valid(b) { // Token alone takes some malformed input
		var v any
		err := json.Unmarshal(b, &v)
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			line, column := position(b, syntax.Offset)
			return nil, fault.Dataf("line %d, column %d: %w", line, column, err)
		}
		return nil, fault.Data(err)
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	return parseValue(dec, b)
}

// position returns the line and the column, in bytes, of an offset; both count
// from 1.
func position(b []byte, offset int64) (line, column int) {
	before := b[:min(int64(len(b)), max(0, offset-1))]
	return bytes.Count(before, []byte("\n")) + 1, len(before) - bytes.LastIndexByte(before, '\n')
}

// checkDepth refuses nesting beyond maxDepth, so that nothing behind it needs
// more than a bounded stack.
func checkDepth(b []byte) error {
	depth, inString := 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return fault.At(int64(i), "nested more than %d levels deep", maxDepth)
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return nil
}

// parseValue reads the next value of input that is known to be valid.
func parseValue(dec *json.Decoder, b []byte) (*node, error) {
	token, err := dec.Token()
	if err != nil {
		return nil, fault.Data(err)
	}
	switch v := token.(type) {
	case bool:
		return &node{kind: boolean, text: fmt.Sprint(v)}, nil
	case json.Number:
		return &node{kind: number, text: v.String()}, nil
	case string:
		return &node{kind: text, text: v}, nil
	case json.Delim:
		n := &node{kind: array}
		if v == '{' {
			n.kind = object
		}
		seen := map[string]bool{}
		for dec.More() {
			var key string
			if n.kind == object {
				t, err := dec.Token()
				if err != nil {
					return nil, fault.Data(err)
				}
				key, _ = t.(string)
				if seen[key] {
					line, column := position(b, dec.InputOffset())
					return nil, fault.Dataf("line %d, column %d: key %q occurs twice in one object", line, column, key)
				}
				seen[key] = true
			}
			value, err := parseValue(dec, b)
			if err != nil {
				return nil, err
			}
			if n.kind == object {
				n.members = append(n.members, member{key, value})
			} else {
				n.items = append(n.items, value)
			}
		}
		if _, err := dec.Token(); err != nil { // the closing delimiter
			return nil, fault.Data(err)
		}
		return n, nil
	}
	return &node{kind: null}, nil
}

// Object is a JSON object that keeps the order of its members.
type Object []Member

// Member is a key of an Object and its value as JSON text.
type Member struct {
	Key   string
	Value json.RawMessage
}

// Property returns a member whose value is a string.
func Property(key, value string) Member { return Member{key, quote(value)} }

// quote returns s as JSON, leaving <, > and & as they are.
func quote(s string) json.RawMessage {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.Encode(s) // a string in memory: cannot fail
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// Has reports whether the object has the key.
func (o Object) Has(key string) bool {
	return slices.ContainsFunc(o, func(m Member) bool { return m.Key == key })
}

// With returns the object with m added, or in the place of the member that has
// its key.
func (o Object) With(m Member) Object {
	o = slices.Clone(o)
	if i := slices.IndexFunc(o, func(have Member) bool { return have.Key == m.Key }); i >= 0 {
		o[i] = m
		return o
	}
	return append(o, m)
}

// MarshalJSON writes the members in order.
func (o Object) MarshalJSON() ([]byte, error) {
	b := []byte{'{'}
	for i, m := range o {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(b, quote(m.Key)...), ':')
		b = append(b, m.Value...)
	}
	return append(b, '}'), nil
}

// UnmarshalJSON reads an object, refusing duplicate keys.
func (o *Object) UnmarshalJSON(b []byte) error {
	n, err := parseJSON(b)
	if err != nil {
		return err
	}
	if n.kind != object {
		return fmt.Errorf("got %s, want an object", n.kind)
	}
	*o = make(Object, 0, len(n.members))
	for _, m := range n.members {
		*o = append(*o, Member{m.key, m.value.json()})
	}
	return nil
}

// json returns the value as JSON text again.
func (n *node) json() json.RawMessage {
	switch n.kind {
	case boolean, number:
		return json.RawMessage(n.text)
	case text:
		return quote(n.text)
	case array:
		parts := make([]string, len(n.items))
		for i, item := range n.items {
			parts[i] = string(item.json())
		}
		return json.RawMessage("[" + strings.Join(parts, ",") + "]")
	case object:
		o := make(Object, len(n.members))
		for i, m := range n.members {
			o[i] = Member{m.key, m.value.json()}
		}
		b, _ := o.MarshalJSON()
		return b
	}
	return json.RawMessage("null")
}
