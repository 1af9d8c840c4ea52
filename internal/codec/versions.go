// SPDX-License-Identifier: MIT

package codec

import (
	"fmt"
	"slices"
)

// What versions of the libraries write the same bytes was measured on text, programs and
// made-up content, at every level and in every form: see doc/engine.md.

// between reports whether a version such as "1.9.4" is of a range, ends included.
func between(version, first, last string) bool {
	v, ok := parseVersion(version)
	from, _ := parseVersion(first)
	to, _ := parseVersion(last)
	return ok && slices.Compare(from, v) <= 0 && slices.Compare(v, to) <= 0
}

// parseVersion returns the three numbers of a version. One with anything behind them (such as
// "5.7.1alpha") is none that is known.
func parseVersion(s string) ([]int, bool) {
	v := make([]int, 3)
	n, err := fmt.Sscanf(s, "%d.%d.%d", &v[0], &v[1], &v[2])
	return v, err == nil && n == 3 && fmt.Sprintf("%d.%d.%d", v[0], v[1], v[2]) == s
}

// SameLZ4Bytes reports whether the versions a and b of liblz4 are known to write the same
// streams with those parameters. A version that nobody measured matches itself alone.
func SameLZ4Bytes(a, b string, p LZ4Params) bool {
	if a == b {
		return true
	}
	const first, better, last = "1.8.3", "1.9.3", "1.10.0"
	switch {
	case p.FavorDecSpeed:
		return false // not measured
	case p.Level == 2 && !p.Legacy: // a compressor of its own since 1.10
		return between(a, first, "1.9.4") && between(b, first, "1.9.4")
	case p.Level >= 9: // the search of long matches was changed
		return between(a, better, last) && between(b, better, last)
	}
	return between(a, first, last) && between(b, first, last)
}

// SameZstdBytes reports whether the versions a and b of libzstd are known to write the same
// frames with those parameters. A version that nobody measured matches itself alone.
func SameZstdBytes(a, b string, p ZstdParams) bool {
	if a == b || p.Long || p.WindowLog != 0 {
		return a == b
	}
	for _, class := range byteClasses {
		if slices.Contains(class, a) && slices.Contains(class, b) {
			first := CanonicalLevel
			if class[0] == "1.5.0" { // its search from level 5 on is new, and 4 for small content
				first = -1
			}
			return first <= p.Level && p.Level <= CanonicalLevel
		}
	}
	return false
}

// SameLZMABytes reports whether the versions a and b of liblzma are known to write the same
// streams. A version that nobody measured matches itself alone.
func SameLZMABytes(a, b string) bool {
	const first, last = "5.2.5", "5.8.3"
	return a == b || between(a, first, last) && between(b, first, last)
}
