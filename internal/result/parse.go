// SPDX-License-Identifier: MIT

package result

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Notations of numbers.
const (
	decimal     = "decimal"
	hexadecimal = "hexadecimal"
)

// Decode reads one or more codes, with commas between, as agents, the service
// and people write them: signed or unsigned decimal, hexadecimal with 0x, or the
// bare 8 hexadecimal digits of agents from 1.1 on. Quotes and brackets of the
// JSON that they were copied from are dropped.
//
// Where one text can be two things, those that mean something are returned: 700
// is a resultCode, since no extendedResultCode is 700, but 1 is both; 30100007
// is hexadecimal, since the decimal number means nothing. If neither does, all
// readings as extendedResultCode are returned. Eight digits that start with 0,
// or stand in a list where every item has eight hexadecimal digits, are
// hexadecimal.
func Decode(s string) ([]Decoded, error) {
	words := strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune(", \t\r\n\"'[](){};", r) })
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

// value is a number and the notation that makes it that number.
type value struct {
	n        uint32
	notation string
}

func readings(values []value) []Reading {
	t := load()
	var known, all []Reading
	for _, v := range values {
		e, named := t.extendedCode(v.n)
		e.Notation = v.notation
		all = append(all, e)
		if v.notation == decimal {
			if r, ok := t.result(int32(v.n)); ok {
				r.Notation = v.notation
				known = append(known, r)
			}
		}
		if named {
			known = append(known, e)
		}
	}
	if len(known) > 0 {
		return known
	}
	return all
}

// bareHex reports whether s is eight hexadecimal digits.
func bareHex(s string) bool {
	return len(s) == 8 && strings.Trim(s, "0123456789abcdefABCDEF") == ""
}

// parse returns what s can be, the likelier value first. list says that it
// stands in a list of bare hexadecimal numbers.
func parse(s string, list bool) ([]value, error) {
	if rest, ok := strings.CutPrefix(strings.ToLower(s), "0x"); ok {
		n, err := strconv.ParseUint(rest, 16, 64)
		switch {
		case err != nil:
			return nil, fmt.Errorf("not a hexadecimal number of 32 bits: %w", errors.Unwrap(err))
		case n > math.MaxUint32 && n < 0xFFFFFFFF80000000: // a negative number of 64 bits has F's before
			return nil, errors.New("more than 32 bits")
		}
		return []value{{uint32(n), hexadecimal}}, nil
	}
	var values []value
	if bareHex(s) {
		n, err := strconv.ParseUint(s, 16, 32)
		if err != nil {
			return nil, err
		}
		values = append(values, value{uint32(n), hexadecimal})
		if list || s[0] == '0' {
			return values, nil
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	switch {
	case err == nil && n >= math.MinInt32 && n <= math.MaxUint32:
		return append(values, value{uint32(n), decimal}), nil
	case len(values) > 0:
		return values, nil
	case err == nil || errors.Is(err, strconv.ErrRange):
		return nil, errors.New("more than 32 bits")
	}
	return nil, errors.New("not a number: want decimal, 0x and hexadecimal digits, or 8 hexadecimal digits")
}
