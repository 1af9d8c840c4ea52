// SPDX-License-Identifier: MIT

package report

// rect is a rectangle, in percent of the area that it is a part of.
type rect struct{ X, Y, W, H float64 }

// squarify divides an area, whose width is aspect times its height, into rectangles with areas
// in proportion to values, which are sorted, greatest first, and positive. They are nearly
// squares (Bruls, Huizing, van Wijk: Squarified Treemaps, 2000).
func squarify(values []float64, aspect float64) []rect {
	total := 0.0
	for _, v := range values {
		total += v
	}
	free := rect{0, 0, 100 * aspect, 100}
	out := make([]rect, 0, len(values))
	for len(values) > 0 {
		left := 0.0
		for _, v := range values {
			left += v
		}
		scale := free.W * free.H / left // area of a unit
		short := min(free.W, free.H)
		n, row := 0, 0.0
		for n < len(values) && (n == 0 || worst(values[0], values[n], row+values[n], short, scale) <= worst(values[0], values[n-1], row, short, scale)) {
			row += values[n]
			n++
		}
		thick := row * scale / short
		at := 0.0
		for _, v := range values[:n] {
			long := v * scale / thick
			if free.W >= free.H {
				out = append(out, rect{free.X, free.Y + at, thick, long})
			} else {
				out = append(out, rect{free.X + at, free.Y, long, thick})
			}
			at += long
		}
		if free.W >= free.H {
			free.X, free.W = free.X+thick, free.W-thick
		} else {
			free.Y, free.H = free.Y+thick, free.H-thick
		}
		values = values[n:]
	}
	for i := range out {
		out[i].X, out[i].W = out[i].X/aspect, out[i].W/aspect
	}
	return out
}

// worst is the greatest ratio of sides in a row of rectangles along a side, whose greatest, least
// and sum of values are given.
func worst(greatest, least, sum, side, scale float64) float64 {
	s, w := sum*scale, side*side
	return max(w*greatest*scale/(s*s), s*s/(w*least*scale))
}
