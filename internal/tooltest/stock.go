// SPDX-License-Identifier: MIT

package tooltest

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// StockApplies has a stock library apply a delta, which must make target. program is the
// library's applydiff (SOURCE DELTA TARGET).
func StockApplies(t testing.TB, program string, source, delta, target []byte) {
	t.Helper()
	dir := t.TempDir()
	name := func(s string) string { return filepath.Join(dir, s) }
	for f, content := range map[string][]byte{"source": source, "delta": delta} {
		if err := os.WriteFile(name(f), content, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, program, name("source"), name("delta"), name("target")).CombinedOutput()
	got, _ := os.ReadFile(name("target"))
	if err != nil || !bytes.Equal(got, target) {
		t.Errorf("%s: %v: %s", program, err, out)
	}
}
