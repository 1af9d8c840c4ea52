// SPDX-License-Identifier: MIT

package report

import "fmt"

// Size writes a number of bytes with three digits, in units of 1024.
func Size(n int64) string {
	if n < 1<<10 {
		return fmt.Sprintf("%d B", n)
	}
	v, unit := float64(n), ""
	for _, unit = range []string{"KiB", "MiB", "GiB", "TiB"} {
		if v /= 1024; v < 999.5 {
			break
		}
	}
	switch {
	case v < 9.995:
		return fmt.Sprintf("%.2f %s", v, unit)
	case v < 99.95:
		return fmt.Sprintf("%.1f %s", v, unit)
	}
	return fmt.Sprintf("%.0f %s", v, unit)
}

// Percent writes a share of a total.
func Percent(part, total float64) string {
	if total == 0 {
		return "0 %"
	}
	return fmt.Sprintf("%.1f %%", 100*part/total)
}
