// SPDX-License-Identifier: MIT

// Package result tells what the result codes of a Device Update agent mean.
//
// An agent reports two numbers: a resultCode, a small integer that is positive
// on success, and an extendedResultCode of 32 bits, which holds a facility (4
// bits), a component (8 bits) and a code (20 bits). Delivery Optimization, which
// downloads for it, returns and logs HRESULTs. The names and numbers are
// those of the agent's result.h and adu_core.h (Azure/iot-hub-device-update) and
// of the delta processor's error_codes.h (Azure/iot-hub-device-update-delta).
package result

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// The kinds of codes.
const (
	KindResult   = "resultCode"
	KindExtended = "extendedResultCode"
	KindHRESULT  = "HRESULT" // of Delivery Optimization, as its log and the agent's have it
)

// Decoded is a code as it was given, and the ways in which it can be read. There
// is more than one only where nothing tells them apart.
type Decoded struct {
	Input    string    `json:"input"`
	Readings []Reading `json:"readings"`
}

// Reading is one meaning of a code.
type Reading struct {
	Kind      string   `json:"kind"`     // KindResult, KindExtended or KindHRESULT
	Notation  string   `json:"notation"` // decimal or hexadecimal
	Signed    int32    `json:"signed"`
	Unsigned  uint32   `json:"unsigned"`
	Note      string   `json:"note,omitempty"`    // why the input is read as this number, if that is a guess
	Hex       string   `json:"hex"`               // 0x and 8 digits
	Success   *bool    `json:"success,omitempty"` // of a resultCode
	Facility  *Part    `json:"facility,omitempty"`
	Component *Part    `json:"component,omitempty"` // of an extendedResultCode
	Code      *uint32  `json:"code,omitempty"`      // the low 20 bits; of an HRESULT 16
	Names     []string `json:"names"`               // none if the code is not known; more than one where a number is used twice
	Meaning   string   `json:"meaning,omitempty"`
	Advice    string   `json:"advice,omitempty"`
}

// Part is a facility or a component.
type Part struct {
	Value   uint32 `json:"value"`
	Name    string `json:"name,omitempty"`
	Meaning string `json:"meaning,omitempty"`
}

// The tables. Their texts are this project's own.
var (
	//go:embed facilities.json
	facilitiesJSON []byte
	//go:embed extended_codes.json
	extendedJSON []byte
	//go:embed result_codes.json
	resultJSON []byte
	//go:embed processor_codes.json
	processorJSON []byte
	//go:embed hresults.json
	hresultsJSON []byte
)

// entry is a line of a table.
type entry struct {
	Code   json.RawMessage `json:"code"`
	Name   string          `json:"name"`
	Text   string          `json:"text"`
	Advice string          `json:"advice"`
}

type component struct {
	Value  uint32 `json:"component"`
	Name   string `json:"name"`
	Text   string `json:"text"`
	Advice string `json:"advice"`
}

type facility struct {
	Value      uint32      `json:"facility"`
	Name       string      `json:"name"`
	Text       string      `json:"text"`
	Components []component `json:"components"`
}

type tables struct {
	facilities []facility
	extended   map[uint32]entry
	results    map[int32]entry
	processor  map[uint32][]entry
	hresults   map[uint32]entry
}

var load = sync.OnceValue(func() *tables {
	t := &tables{extended: map[uint32]entry{}, results: map[int32]entry{}, processor: map[uint32][]entry{}, hresults: map[uint32]entry{}}
	read := func(b []byte, v any) {
		if err := json.Unmarshal(b, v); err != nil {
			panic(err) // the tables are part of the program
		}
	}
	code := func(e entry) int64 {
		n, err := strconv.ParseInt(strings.Trim(string(e.Code), `"`), 0, 64)
		if err != nil {
			panic(err)
		}
		return n
	}
	read(facilitiesJSON, &t.facilities)
	var list []entry
	read(extendedJSON, &list)
	for _, e := range list {
		t.extended[uint32(code(e))] = e
	}
	list = nil
	read(resultJSON, &list)
	for _, e := range list {
		t.results[int32(code(e))] = e
	}
	list = nil
	read(processorJSON, &list)
	for _, e := range list {
		n := uint32(code(e))
		t.processor[n] = append(t.processor[n], e)
	}
	list = nil
	read(hresultsJSON, &list)
	for _, e := range list {
		t.hresults[uint32(code(e))] = e
	}
	return t
})

// result reads v as a resultCode; ok tells whether it is a known one.
func (t *tables) result(v int32) (r Reading, ok bool) {
	e, ok := t.results[v]
	success := v > 0
	r = numbers(KindResult, uint32(v))
	r.Success = &success
	if ok {
		r.Names = append(r.Names, e.Name)
	}
	r.Meaning, r.Advice = e.Text, e.Advice
	return r, ok
}

func numbers(kind string, v uint32) Reading {
	return Reading{Kind: kind, Signed: int32(v), Unsigned: v, Hex: fmt.Sprintf("0x%08X", v), Names: []string{}}
}

const (
	codeBits = 20
	codeMask = 1<<codeBits - 1

	facilityErrno        = 0x0
	facilityDownload     = 0x9
	facilityOptimization = 0xD
	deltaProcessor       = 0x90A // facility and component
)

// component returns what is known of v's component.
func (t *tables) component(v uint32) component {
	n := v >> codeBits & 0xFF
	for _, c := range t.facilities[v>>28].Components {
		if c.Value == n {
			return c
		}
	}
	return component{Value: n}
}

// extendedCode reads v as an extendedResultCode; ok tells whether it has a name
// or is made by a known rule.
func (t *tables) extendedCode(v uint32) (r Reading, ok bool) {
	r = numbers(KindExtended, v)
	if v == 0 {
		r.Meaning = "no error"
		return r, true
	}
	code := v & codeMask
	f := t.facilities[v>>28]
	r.Code = &code
	r.Facility = &Part{f.Value, f.Name, f.Text}
	c := t.component(v)
	r.Component, r.Advice = &Part{c.Value, c.Name, c.Text}, c.Advice
	if e, ok := t.extended[v]; ok {
		r.Names = append(r.Names, e.Name)
		r.describe(e.Text, e.Advice)
		return r, true
	}
	return r, t.computed(v, &r)
}

func (r *Reading) describe(meaning, advice string) {
	r.Meaning = meaning
	if advice != "" {
		r.Advice = advice
	}
}

// computed reads codes that carry a number of another origin in their low bits.
func (t *tables) computed(v uint32, r *Reading) bool {
	code := v & codeMask
	switch group := v >> codeBits; {
	case group == facilityErrno:
		text := syscall.Errno(code).Error()
		if strings.HasPrefix(text, "errno ") {
			return false
		}
		r.describe(text, "")
	case group == deltaProcessor:
		list := t.processor[code]
		var texts []string
		for _, e := range list {
			r.Names = append(r.Names, e.Name)
			texts = append(texts, e.Text)
			r.describe("", e.Advice)
		}
		r.Meaning = strings.Join(texts, "; or: ")
		if len(list) == 0 {
			r.Meaning = fmt.Sprintf("error %d of the delta processor", code)
		}
	case v>>12 == 0x30101:
		r.describe(exited("the program that installs the SWU", v&0xFFF), "Look at the log of swupdate on the device; try swupdate -c -i with the same SWU there.")
	case v>>12 == 0x30501:
		r.describe(exited("the script", v&0xFFF), "Look at the log of the script on the device.")
	case v>>12 == 0x40101:
		r.describe(exited("the helper of Delivery Optimization", v&0xFFF), "")
	case v>>12 == 0x40301:
		text := fmt.Sprintf("curl ended with exit status %d", v&0xFFF)
		if meaning := curlErrors[v&0xFFF]; meaning != "" {
			text += ": " + meaning
		}
		r.describe(text, "")
	case v>>28 == facilityOptimization:
		return t.optimization(v, r)
	case v>>28 == 0xE && v>>codeBits&0xFF == 0 && !strings.HasPrefix(syscall.Errno(code).Error(), "errno "):
		r.describe(syscall.Errno(code).Error()+" (old agents reported errno values here)", "")
	case v>>28 >= 3 && v>>28 <= facilityDownload && v>>28 != 8 && code >= 1 && code <= 300:
		r.describe(reserved(code), "")
	default:
		return false
	}
	return true
}

func exited(what string, status uint32) string {
	s := fmt.Sprintf("%s ended with exit status %d", what, status)
	switch {
	case status == 126:
		s += " (could not be run)"
	case status == 127:
		s += " (not found)"
	case status > 128 && status < 128+65:
		s += fmt.Sprintf(" (killed by signal %d, %v)", status-128, syscall.Signal(status-128))
	}
	return s
}

// reserved reads the numbers that every kind of extension has in common.
func reserved(code uint32) string {
	common := []string{1: "invalid argument", "unknown failure", "not found or not registered", "its library is not the one that was registered",
		"its library cannot be loaded", "its library lacks a function", "it could not be made"}
	if code < uint32(len(common)) {
		return "when the agent set up the extension: " + common[code]
	}
	return "a number reserved for errors that extensions have in common"
}
