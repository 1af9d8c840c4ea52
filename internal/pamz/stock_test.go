// SPDX-License-Identifier: MIT

package pamz

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// TestStock gives what breaks no rule to the stock libraries, which must make the
// right target of it. SWUDELTA_APPLYDIFF_10 and SWUDELTA_APPLYDIFF_30 name the
// applydiff program (SOURCE DELTA TARGET) of the 1.0 and the 3.0 generation.
func TestStock(t *testing.T) {
	for _, c := range []struct {
		profile Profile
		version int
		order   Order
		env     string
	}{
		{Profile10, 0, LittleEndian, "SWUDELTA_APPLYDIFF_10"},
		{Profile30, 0, BigEndian, "SWUDELTA_APPLYDIFF_30"},
		{Profile30, 2, BigEndian, "SWUDELTA_APPLYDIFF_30"},
	} {
		t.Run(fmt.Sprintf("%s version %d", c.profile, c.version), func(t *testing.T) {
			program := os.Getenv(c.env)
			if program == "" {
				t.Skipf("%s names no applydiff of that generation", c.env)
			}
			zl, err := openZlib()
			if err != nil {
				t.Skip(err)
			}
			open := needZstd(t)
			dir := t.TempDir()
			name := func(s string) string { return filepath.Join(dir, s) }
			applied, refused := 0, 0
			for seed := int64(0); applied < 150; seed++ {
				b := newBuilder(t, seed, newBuilder(t, seed+1000, nil).text(100000))
				b.zlib = zl
				b.mute = c.profile == Profile10
				if b.zstd, err = open(); err != nil {
					t.Fatal(err)
				}
				d, target := b.diff(c.version, c.order, b.chunks(c.version, c.order, 3)...)
				file := encodeBytes(t, d)
				_, violations, err := Check(decodeBytes(t, file), c.profile)
				if err != nil {
					t.Fatal(err)
				}
				if len(violations) > 0 {
					refused++
					continue
				}
				applied++
				for f, content := range map[string][]byte{"source": b.source, "delta": file} {
					if err := os.WriteFile(name(f), content, 0o666); err != nil {
						t.Fatal(err)
					}
				}
				ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
				out, err := exec.CommandContext(ctx, program, name("source"), name("delta"), name("target")).CombinedOutput()
				cancel()
				got, _ := os.ReadFile(name("target"))
				if err != nil || !bytes.Equal(got, target) {
					t.Fatalf("seed %d: %v: %s", seed, err, out)
				}
			}
			t.Logf("applied %d, not tried %d", applied, refused)
		})
	}
}
