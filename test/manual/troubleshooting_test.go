// SPDX-License-Identifier: MIT

package manual

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"swudelta/internal/result"
	"swudelta/internal/tooltest"
)

// TestTroubleshooting holds doc/troubleshooting.md against the tools: messages
// that it quotes of them are in their sources, and result codes mean something.
func TestTroubleshooting(t *testing.T) {
	page := read(t, filepath.Join(tooltest.Root(), "doc", "troubleshooting.md"))
	codes := regexp.MustCompile("`([0-9A-F]{8})`").FindAllStringSubmatch(page, -1)
	if len(codes) < 15 {
		t.Fatalf("got %d codes", len(codes))
	}
	for _, c := range codes {
		list, err := result.Decode(c[1])
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range list[0].Readings {
			if len(r.Names) == 0 && r.Meaning == "" {
				t.Errorf("%s is not known to adu-result", c[1])
			}
		}
	}

	var sources strings.Builder
	for _, folder := range []string{"cmd", "internal", "scripts"} {
		err := filepath.WalkDir(filepath.Join(tooltest.Root(), folder), func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() || strings.HasSuffix(path, "_test.go") || strings.Contains(path, "testdata") {
				return err
			}
			b, err := os.ReadFile(path)
			sources.Write(b)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	messages := regexp.MustCompile("(?m)^\\* `([^`]+)`: ").FindAllStringSubmatch(section(t, page, "## DiffGenTool and the tools", "## "), -1)
	if len(messages) < 10 {
		t.Fatalf("got %d messages", len(messages))
	}
	for _, m := range messages {
		for _, part := range strings.Split(m[1], "…") {
			if part = strings.TrimSpace(part); !strings.Contains(sources.String(), part) {
				t.Errorf("no tool says %q", part)
			}
		}
	}
}
