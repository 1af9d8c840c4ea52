// SPDX-License-Identifier: MIT

package tool

import (
	"slices"
	"testing"
)

func TestWrap(t *testing.T) {
	for _, c := range []struct {
		text string
		want []string
	}{
		{"", []string{""}},
		{"one", []string{"one"}},
		{"one two", []string{"one two"}},
		{"one twos", []string{"one", "twos"}},
		{"a longerword b", []string{"a", "longerword", "b"}},
		{"äöü äöü", []string{"äöü äöü"}},
	} {
		if got := wrap(c.text, 7); !slices.Equal(got, c.want) {
			t.Errorf("%q: got %q, want %q", c.text, got, c.want)
		}
	}
}
