// SPDX-License-Identifier: MIT

package result

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// Print writes what codes mean for people to read. A code that means
// something in both notations says which is which.
func Print(w io.Writer, codes []Decoded) error {
	var b strings.Builder
	for _, d := range codes {
		for _, r := range d.Readings {
			if b.Len() > 0 {
				b.WriteByte('\n')
			}
			as := ""
			if r.Notation != d.Readings[0].Notation || d.Readings[0].Notation != d.Readings[len(d.Readings)-1].Notation {
				as = " as " + r.Notation
			}
			r.print(&b, d.Input, as)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (r *Reading) print(b *strings.Builder, input, as string) {
	fmt.Fprintf(b, "%s%s: ", input, as)
	if r.Kind == KindResult {
		fmt.Fprintf(b, "%s %d\n", r.Kind, r.Signed)
	} else {
		fmt.Fprintf(b, "%s %s (signed %d, unsigned %d)\n", r.Kind, r.Hex, r.Signed, r.Unsigned)
	}
	line := func(label, text string) {
		if text != "" {
			fmt.Fprintf(b, "  %-10s %s\n", label, text)
		}
	}
	line("note", r.Note)
	if len(r.Names) > 0 {
		line("name", strings.Join(r.Names, " or "))
	} else if r.Meaning == "" {
		line("name", "not known")
	}
	if r.Success != nil {
		line("outcome", map[bool]string{true: "success", false: "failure"}[*r.Success])
	}
	if r.Facility != nil {
		line("facility", r.Facility.text("%X"))
		digits := 4
		if r.Component != nil {
			line("component", r.Component.text("%02X"))
			digits = 5
		}
		line("code", fmt.Sprintf("%d (0x%0*X)", *r.Code, digits, *r.Code))
	}
	line("meaning", r.Meaning)
	line("advice", r.Advice)
}

func (p *Part) text(format string) string {
	s := fmt.Sprintf("0x"+format, p.Value)
	if p.Name != "" {
		s += " " + p.Name
	}
	if p.Meaning != "" {
		s += ": " + p.Meaning
	}
	return s
}

// PrintJSON writes the codes as a JSON array.
func PrintJSON(w io.Writer, codes []Decoded) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(codes)
}
