// SPDX-License-Identifier: MIT

package match

// MaxContext bounds the old content that literals are compressed with, in bytes: it is compressed
// for nothing, which takes time.
const MaxContext = 24 << 20

// contexts is how much old content before and behind an insertion is of use, and how
// much of it together is worth the time, in bytes: the first of these with which all of it
// fits. More was measured to bring nothing.
var contexts = []struct{ each, all int }{{8 << 10, 4 << 20}, {4 << 10, MaxContext}, {2 << 10, MaxContext}, {512, MaxContext}}

// ContextRanges returns the old content around sites, at most limit bytes of it:
// none, if limit is negative, as where the fresh bytes alone fill the window.
func ContextRanges(sites []Site, limit int) []Range {
	var out []Range
	for _, c := range contexts {
		out = out[:0]
		for _, s := range sites {
			out = append(out, Between(max(s.At-c.each, s.Off), min(s.At+c.each, s.End())))
		}
		if out = Union(out); Total(out) <= min(limit, c.all) {
			return out
		}
	}
	for n := Total(out); n > limit && len(out) > 0; {
		n -= out[len(out)-1].Len
		out = out[:len(out)-1]
	}
	return out
}
