// SPDX-License-Identifier: MIT

package test

import (
	"os"
	"path/filepath"
	"testing"

	"swudelta/internal/tooltest"
)

// Of a real security update of a small root file system the delta takes at most
// 18 % of the file that devices would download without it.
func TestCorpus(t *testing.T) {
	tooltest.Need(t, "flock")
	pair := filepath.Join(tooltest.Corpus(t), "patch")
	source, target := filepath.Join(pair, "source.swu"), filepath.Join(pair, "target.swu")
	dir := t.TempDir()
	command(t, dir, nil, "DiffGenTool", "-q", source, target, "delta", "logs", "work", "import.swu")
	command(t, dir, nil, "bsapply", "-o", "rebuilt.swu", source, "delta")
	command(t, dir, nil, "cmp", "rebuilt.swu", "import.swu")
	delta, full := must(os.Stat(filepath.Join(dir, "delta"))).Size(), must(os.Stat(filepath.Join(dir, "import.swu"))).Size()
	t.Logf("delta %d bytes, %.2f %% of %d", delta, 100*float64(delta)/float64(full), full)
	if delta*100 > full*18 {
		t.Errorf("delta has %d bytes, want at most 18 %% of %d", delta, full)
	}
}
