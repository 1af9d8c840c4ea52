// SPDX-License-Identifier: MIT

package bsdiff

import (
	"bytes"
	"sort"
)

// Suffixes returns the start positions of all suffixes of text in ascending
// order of the suffixes. It uses the memory of sa when its capacity suffices.
func Suffixes(sa []int32, text []byte) []int32 {
	sa = sa[:0]
	for i := range text {
		sa = append(sa, int32(i))
	}
	sort.Slice(sa, func(i, j int) bool { return bytes.Compare(text[sa[i]:], text[sa[j]:]) < 0 })
	return sa
}
