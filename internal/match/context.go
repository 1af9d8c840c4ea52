// SPDX-License-Identifier: MIT

package match

// MaxContext bounds the old content that literals are compressed behind, in bytes. The
// compressor reads all of it, which takes time.
const MaxContext = 24 << 20

// contexts are how much old content before and behind an insertion is taken (each), and how
// much of it together (all), in bytes: the first of these with which all of it fits. More
// than 8 KiB on a side was measured to bring nothing.
var contexts = []struct{ each, all int }{{8 << 10, 4 << 20}, {4 << 10, MaxContext}, {2 << 10, MaxContext}, {512, MaxContext}}

// ContextRanges returns the old content around sites, at most limit bytes of it. A negative
// limit, where the literals alone fill the window, gives none.
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
