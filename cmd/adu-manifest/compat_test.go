// SPDX-License-Identifier: MIT

package main

import (
	"slices"
	"strings"
	"testing"
)

func TestJoinCompat(t *testing.T) {
	for in, want := range map[string]string{
		"adu-manifest":                                        "adu-manifest",
		"adu-manifest --compat a=b t":                         "adu-manifest --compat a=b t",
		"adu-manifest --compat a=b c=d t":                     "adu-manifest --compat a=b,c=d t",
		"adu-manifest --compat a=b c=d e=f --seed t":          "adu-manifest --compat a=b,c=d,e=f --seed t",
		"adu-manifest --compat a=b --compat c=d e=f t=u":      "adu-manifest --compat a=b --compat c=d,e=f t=u",
		"adu-manifest --compat a=b t=u":                       "adu-manifest --compat a=b t=u",
		"adu-manifest --compat=a=b c=d":                       "adu-manifest --compat=a=b c=d",
		"adu-manifest --compat":                               "adu-manifest --compat",
		"adu-manifest -- --compat a=b c=d t":                  "adu-manifest -- --compat a=b c=d t",
		"adu-manifest --property k=v --compat a=b -q c=d e=f": "adu-manifest --property k=v --compat a=b -q c=d e=f",
	} {
		args := strings.Fields(in)
		if got := joinCompat(slices.Clone(args)); !slices.Equal(got, strings.Fields(want)) {
			t.Errorf("%s: got %q", in, got)
		}
	}
}
