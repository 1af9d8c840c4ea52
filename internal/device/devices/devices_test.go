// SPDX-License-Identifier: MIT

package devices

import (
	"strings"
	"testing"

	"swudelta/internal/pamz"
)

func TestParse(t *testing.T) {
	for _, k := range All {
		if got, err := Parse(k.Name); got != k || err != nil {
			t.Errorf("%s: got %v, %v", k.Name, got, err)
		}
		if !strings.Contains(Help, k.Name) {
			t.Errorf("the help says nothing about %s", k.Name)
		}
	}
	for _, name := range []string{"", "2.0", "1"} {
		if _, err := Parse(name); err == nil || !strings.Contains(err.Error(), "1.0, 2.1, 3.0 or native") {
			t.Errorf("%q: got %v", name, err)
		}
	}
}

func TestForPAMZ(t *testing.T) {
	for name, d := range map[string]*pamz.Diff{
		"1.0": {},
		"2.1": {Form: pamz.Form{Version: 1, Order: pamz.BigEndian}},
		"3.0": {Form: pamz.Form{Version: 2, Order: pamz.BigEndian}},
	} {
		if k := ForPAMZ(d); k.Name != name || k.Check == nil {
			t.Errorf("%v: got %s, want %s", d.Order, k.Name, name)
		}
	}
}
