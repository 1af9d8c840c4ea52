// SPDX-License-Identifier: MIT

package stock30

import (
	"testing"

	"swudelta/internal/device/stocklib"
)

func TestSections(t *testing.T) {
	c, r := &stocklib.Checker{}, &rules{sections: map[int64]string{}}
	r.section(c, "one", 5)
	r.section(c, "two", 0)
	r.section(c, "three", 5)
	if len(c.Violations) != 1 || c.Violations[0].Rule != "three is as long as one: the library confuses them" {
		t.Errorf("sections of equal length: %v", c.Violations)
	}
}
