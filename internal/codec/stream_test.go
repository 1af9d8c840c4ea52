// SPDX-License-Identifier: MIT

package codec

import (
	"bytes"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"testing"

	"github.com/klauspost/compress/gzip"

	"swudelta/internal/fault"
	"swudelta/internal/tooltest"
)

// zstdFrames are frames of the zstd program: with and without size, checksum, blocks that
// repeat one byte, and a skippable frame.
func zstdFrames(t testing.TB, content []byte) [][]byte {
	tooltest.Need(t, "zstd")
	frames := [][]byte{{0x51, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3}}
	for _, args := range [][]string{{"-3"}, {"-1", "--no-check"}, {"-19", fmt.Sprintf("--stream-size=%d", len(content))}, {"-3", "--long=27"}} {
		cmd := exec.Command("zstd", append(args, "-q", "-c")...)
		cmd.Stdin = bytes.NewReader(content)
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		frames = append(frames, out)
	}
	return frames
}

func TestZstdFrames(t *testing.T) {
	content := slices.Concat(make([]byte, 200000), bytes.Repeat([]byte("some text "), 10000))
	var all []byte
	for i, f := range zstdFrames(t, content) {
		for _, behind := range [][]byte{nil, {0x28}, []byte("anything else")} {
			n, window, err := ZstdFrames(bytes.NewReader(slices.Concat(f, behind)), int64(len(f)+len(behind)))
			if err != nil || n != int64(len(f)) {
				t.Errorf("frame %d: %d and %v, want %d", i, n, err, len(f))
			}
			if i == 0 { // has none
				continue
			}
			if err := decodes(f, window); err != nil {
				t.Errorf("frame %d with a window of %d: %v", i, window, err)
			}
			if err := decodes(f, window-1); err == nil {
				t.Errorf("frame %d can do with a window of %d, less than %d", i, window-1, window)
			}
		}
		for n := 4; n < len(f); n++ {
			if got, _, err := ZstdFrames(bytes.NewReader(f[:n]), int64(n)); !fault.IsData(err) {
				t.Fatalf("frame %d cut to %d of %d bytes: %d and %v", i, n, len(f), got, err)
			}
		}
		all = append(all, f...)
	}
	if n, _, err := ZstdFrames(bytes.NewReader(append(all, 0)), int64(len(all)+1)); err != nil || n != int64(len(all)) {
		t.Errorf("%d and %v, want %d", n, err, len(all))
	}
}

// decodes reads frames within a window.
func decodes(frames []byte, window int64) error {
	z, err := NewZstdReader(bytes.NewReader(frames), window)
	if err != nil {
		return err
	}
	defer z.Close()
	_, err = io.Copy(io.Discard, z)
	return err
}

func TestGzipMember(t *testing.T) {
	var stored bytes.Buffer
	content := bytes.Repeat([]byte("some text "), 30000)
	w := gzip.NewWriter(&stored)
	w.Name = "a name"
	w.Write(content)
	w.Close()
	one := bytes.Clone(stored.Bytes())
	for _, behind := range [][]byte{nil, {0x1f}, one, make([]byte, 200<<10)} {
		g, err := NewGzipMember(bytes.NewReader(slices.Concat(one, behind)))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(g)
		if err != nil || !bytes.Equal(got, content) || g.Used() != int64(len(one)) {
			t.Errorf("%d bytes of %d used, %v", g.Used(), len(one), err)
		}
	}
	for n := range one {
		g, err := NewGzipMember(bytes.NewReader(one[:n]))
		if err == nil {
			_, err = io.Copy(io.Discard, g)
		}
		if !fault.IsData(err) {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
	}
}

// Whatever the bytes are, the frames do not end behind them, and what a decoder takes
// as a whole has that length.
func FuzzZstdFrames(f *testing.F) {
	for _, frame := range zstdFrames(f, bytes.Repeat([]byte("some text "), 300)) {
		f.Add(frame)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		n, _, err := ZstdFrames(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			if !fault.IsData(err) {
				t.Fatal(err)
			}
			return
		}
		if n < 0 || n > int64(len(data)) {
			t.Fatalf("frames of %d bytes in %d", n, len(data))
		}
		if len(data) < 4 || Detect(data) != KindZstd {
			return
		}
		z, err := NewZstdReader(bytes.NewReader(data), 1<<20)
		if err != nil {
			return
		}
		defer z.Close()
		if _, err := io.Copy(io.Discard, io.LimitReader(z, 1<<20)); err == nil && n < int64(len(data)) {
			if rest := data[n:]; len(rest) > 0 {
				if _, err := z.Read(make([]byte, 1)); err == io.EOF {
					t.Fatalf("a decoder takes all %d bytes, the frames have %d", len(data), n)
				}
			}
		}
	})
}
