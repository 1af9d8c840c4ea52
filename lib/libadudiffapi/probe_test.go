// SPDX-License-Identifier: MIT

package main_test

import (
	"path/filepath"
	"strings"
	"testing"

	"swudelta/internal/tooltest"
)

// The tool that tells generations apart knows this library without loading it.
func TestProbe(t *testing.T) {
	tooltest.Need(t, native.compiler)
	library := filepath.Join(t.TempDir(), "libadudiffapi.so")
	command(t, filepath.Join(tooltest.Root(), "scripts", "build-libadudiffapi"), "-o", library, native.arch)
	got := command(t, "go", "run", filepath.Join(tooltest.Root(), "cmd", "adu-probe"), library)
	if !strings.Contains(got, "generation: swudelta\nprofile: any\n") {
		t.Errorf("got %s", got)
	}
}
