// SPDX-License-Identifier: MIT

package codec

import (
	"bytes"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

func TestZstdWindow(t *testing.T) {
	for _, c := range []struct {
		content int
		window  int64
		single  bool
	}{{10, 10, true}, {300, 300, true}, {70000, 70000, true}, {3 << 20, 1 << 20, false}} {
		var buf bytes.Buffer
		w, err := zstd.NewWriter(&buf, zstd.WithWindowSize(1<<20), zstd.WithSingleSegment(c.single))
		if err != nil {
			t.Fatal(err)
		}
		w.Write(make([]byte, c.content))
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		frame := buf.Bytes()
		if got := ZstdWindow(bytes.NewReader(frame)); got < c.window || got > 2*c.window && c.single {
			t.Errorf("content of %d bytes: got window %d, want %d", c.content, got, c.window)
		}
		for n := range min(14, len(frame)) {
			ZstdWindow(bytes.NewReader(frame[:n]))
		}
	}
	if got := ZstdWindow(strings.NewReader("no zstd frame")); got != 0 {
		t.Errorf("got %d, want 0", got)
	}
}
