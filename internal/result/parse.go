// SPDX-License-Identifier: MIT

package result

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
)

// Notations of numbers.
const (
	decimal     = "decimal"
	hexadecimal = "hexadecimal"
)

// Decode reads one or more codes, with commas between, as agents, the service
// and people write them: signed or unsigned decimal, hexadecimal with 0x, the
// bare 8 hexadecimal digits of agents from 1.1 on, or 16 of a number that was
// extended to 64 bits ("FFFFFFFF E0000083" with a blank too, as the error code
// page of the documentation has it). Quotes and brackets of the JSON that they
// were copied from are dropped.
//
// Where one text can be two things, those that mean something are returned: 700
// is a resultCode, since no extendedResultCode is 700, but 1 is both; 30100007
// is hexadecimal, since the decimal number means nothing. A positive decimal
// number that means nothing, while the negative one does, has lost its sign;
// the reading's Note says so. If nothing means anything, all readings as
// extendedResultCode are returned. Eight digits that start with 0, or stand in a
// list where every item has eight hexadecimal digits, are hexadecimal.
func Decode(s string) ([]Decoded, error) {
	words := strings.FieldsFunc(extended.ReplaceAllString(s, "$1$2"), func(r rune) bool { return strings.ContainsRune(", \t\r\n\"'[](){};", r) })
	if len(words) == 0 {
		return nil, fmt.Errorf("code %q: no number", s)
	}
	list := len(words) > 1
	for _, w := range words {
		list = list && bareHex(w)
	}
	var all []Decoded
	for _, w := range words {
		d := Decoded{Input: w}
		values, err := parse(w, list)
		if err != nil {
			return nil, fmt.Errorf("code %q: %w", w, err)
		}
		d.Readings = readings(values)
		all = append(all, d)
	}
	return all, nil
}

// extended finds a negative number of 64 bits in two halves.
var extended = regexp.MustCompile(`(?i)\b((?:0x)?F{8}) ([89A-F][0-9A-F]{7})\b`)

// value is a number and the notation that makes it that number.
type value struct {
	n        uint32
	notation string
	noSign   bool   // decimal, without + or -
	note     string // on a guess
}

func readings(values []value) []Reading {
	t := load()
	var known, all []Reading
	for _, v := range values {
		k, r := t.read(v)
		known, all = append(known, k...), append(all, r)
	}
	if len(known) > 0 {
		return known
	}
	for _, v := range values {
		if !v.noSign || int32(v.n) <= 0 {
			continue
		}
		n := -int32(v.n)
		negative := value{n: uint32(n), notation: decimal, note: fmt.Sprintf("read as %d: without the sign it means nothing", n)}
		if k, _ := t.read(negative); len(k) > 0 {
			return k
		}
	}
	return all
}

// read returns those readings of v that mean something, and the one to show if
// there are none.
func (t *tables) read(v value) (known []Reading, other Reading) {
	other, named := t.extendedCode(v.n)
	if !named && t.isHRESULT(v.n) {
		other, named = t.hresult(v.n)
	}
	other.Notation, other.Note = v.notation, v.note
	if r, ok := t.result(int32(v.n)); ok && v.notation == decimal {
		r.Notation, r.Note = v.notation, v.note
		known = append(known, r)
	}
	if named {
		known = append(known, other)
	}
	return known, other
}

// bareHex reports whether s is eight hexadecimal digits.
func bareHex(s string) bool { return len(s) == 8 && isHex(s) }

func isHex(s string) bool { return strings.Trim(s, "0123456789abcdefABCDEF") == "" }

// parse returns what s can be, the likelier value first. list says that it
// stands in a list of bare hexadecimal numbers.
func parse(s string, list bool) ([]value, error) {
	if rest, ok := strings.CutPrefix(strings.ToLower(s), "0x"); ok {
		return parseHex(rest)
	}
	if len(s) == 16 && isHex(s) {
		return parseHex(s)
	}
	var values []value
	if bareHex(s) {
		v, err := parseHex(s)
		if err != nil || list || s[0] == '0' {
			return v, err
		}
		values = v
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if u, wide := strconv.ParseUint(s, 10, 64); err != nil && wide == nil {
		n, err = int64(u), nil // a negative number of 64 bits without its sign
	}
	switch {
	case err == nil && n >= math.MinInt32 && n <= math.MaxUint32:
		return append(values, value{n: uint32(n), notation: decimal, noSign: s[0] != '+' && s[0] != '-'}), nil
	case len(values) > 0:
		return values, nil
	case err == nil || errors.Is(err, strconv.ErrRange):
		return nil, errors.New("more than 32 bits")
	}
	return nil, errors.New("not a number: want decimal, 0x and hexadecimal digits, or 8 hexadecimal digits")
}

// parseHex reads hexadecimal digits: 32 bits, or 64 that are a negative number
// of 32.
func parseHex(digits string) ([]value, error) {
	n, err := strconv.ParseUint(digits, 16, 64)
	switch {
	case err != nil:
		return nil, fmt.Errorf("not a hexadecimal number of 32 bits: %w", errors.Unwrap(err))
	case n > math.MaxUint32 && n < 0xFFFFFFFF80000000: // a negative number of 64 bits has F's before
		return nil, errors.New("more than 32 bits")
	}
	return []value{{n: uint32(n), notation: hexadecimal}}, nil
}
