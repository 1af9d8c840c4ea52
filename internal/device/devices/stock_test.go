// SPDX-License-Identifier: MIT

package devices

import (
	"fmt"
	"os"
	"testing"

	"swudelta/internal/pamz"
	"swudelta/internal/pamztest"
	"swudelta/internal/tooltest"
)

// TestStock gives what breaks no rule to the stock libraries, which must make the
// right target of it. SWUDELTA_APPLYDIFF_10, _21 and _30 name the applydiff program (SOURCE
// DELTA TARGET) of the generations.
func TestStock(t *testing.T) {
	for _, c := range []struct {
		kind    *Kind
		version int
		order   pamz.Order
		env     string
	}{
		{s10, 0, pamz.LittleEndian, "SWUDELTA_APPLYDIFF_10"},
		{s21, 0, pamz.BigEndian, "SWUDELTA_APPLYDIFF_21"},
		{s21, 1, pamz.BigEndian, "SWUDELTA_APPLYDIFF_21"},
		{s30, 0, pamz.BigEndian, "SWUDELTA_APPLYDIFF_30"},
		{s30, 2, pamz.BigEndian, "SWUDELTA_APPLYDIFF_30"},
	} {
		t.Run(fmt.Sprintf("%s version %d", c.kind.Name, c.version), func(t *testing.T) {
			program := os.Getenv(c.env)
			if program == "" {
				t.Skipf("%s names no applydiff of that generation", c.env)
			}
			zl, err := pamztest.OpenZlib()
			if err != nil {
				t.Skip(err)
			}
			open := pamztest.NeedZstd(t)
			applied, refused := 0, 0
			for seed := int64(0); applied < 150; seed++ {
				b := pamztest.NewBuilder(t, seed, pamztest.NewBuilder(t, seed+1000, nil).Text(100000))
				b.Zlib = zl
				b.Mute = c.kind == s10
				if b.Zstd, err = open(); err != nil {
					t.Fatal(err)
				}
				d, target := b.Diff(c.version, c.order, b.Chunks(c.version, c.order, 3)...)
				file := pamztest.Encode(t, d)
				_, violations, err := c.kind.Check(pamztest.Decode(t, file))
				if err != nil {
					t.Fatal(err)
				}
				if len(violations) > 0 {
					refused++
					continue
				}
				applied++
				tooltest.StockApplies(t, program, b.Source, file, target)
				if t.Failed() {
					t.Fatalf("seed %d", seed)
				}
			}
			t.Logf("applied %d, not tried %d", applied, refused)
		})
	}
}
