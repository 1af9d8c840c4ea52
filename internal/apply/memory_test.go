// SPDX-License-Identifier: MIT

package apply

import (
	"bytes"
	"compress/gzip"
	"io"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"swudelta/internal/bsdiff"
	"swudelta/internal/codec"
	"swudelta/internal/pamz"
	"swudelta/internal/pamztest"
)

// memoryChild names the folder for a process of its own whose memory is measured.
const memoryChild = "SWUDELTA_MEMORY_CHILD"

// TestMemory applies a delta to an image of 96 MiB, compressed in the source, with a
// patch that has all of it as old side, and measures the process that does it.
func TestMemory(t *testing.T) {
	if dir := os.Getenv(memoryChild); dir != "" {
		applyInChild(t, dir)
		return
	}
	if testing.Short() || raceDetector {
		t.Skip("large files, and a measurement that the race detector spoils")
	}
	if _, err := os.Stat("/proc/self/status"); err != nil {
		t.Skip("no /proc to measure with")
	}
	const mib = 1 << 20
	image := make([]byte, 96*mib)
	rand.New(rand.NewSource(1)).Read(image[:8*mib])
	for at := 8 * mib; at < len(image); at += 8 * mib {
		copy(image[at:], image[:8*mib])
		image[at] = byte(at / mib)
	}
	var packed bytes.Buffer
	w, _ := gzip.NewWriterLevel(&packed, gzip.BestSpeed)
	w.Write(image)
	w.Close()
	b := pamztest.NewBuilder(t, 1, packed.Bytes())
	if b.Bzip2 == nil {
		t.Skip("no libbz2.so.1.0 to make patches with")
	}
	old := b.Region(b.Item(image, pamz.GzDecompression(b.CopySource(0, packed.Len()))), 0, len(image))
	nested := b.Nested(pamz.LittleEndian, old, func(inner *pamztest.Builder) []*pamz.Item {
		all := inner.CopySource(0, len(image))
		p := bsdiff.Patch{Controls: []bsdiff.Control{{Add: int64(len(image))}}, Diff: make([]byte, len(image))}
		content := bytes.Clone(image)
		for i := 0; i < len(image); i += 99991 {
			p.Diff[i] = 1
			content[i]++
		}
		var patch bytes.Buffer
		if _, err := p.Encode(&patch, inner.Bzip2.Compress); err != nil {
			t.Fatal(err)
		}
		pack := inner.Item(content, pamz.BSDiff(inner.Asset(patch.Bytes()), all))
		return []*pamz.Item{
			inner.Region(pack, 48*mib, 48*mib), inner.Zero(5000), inner.Region(pack, 0, 48*mib),
			inner.CopySource(7*mib, 20*mib), inner.CopySource(1, 30*mib),
		}
	})
	limits := map[string]int64{"plain": 40 * mib}
	items := map[string]*pamz.Item{"plain": nested}
	if z, err := codec.OpenZstd(codec.ZstdOptions{}); err == nil {
		b.Zstd = z
		items["compressed"], limits["compressed"] = b.Compress(nested, 3), 80*mib
	}
	for name, it := range items {
		t.Run(name, func(t *testing.T) {
			d, _ := b.Diff(0, pamz.LittleEndian, it)
			dir := t.TempDir()
			for file, content := range map[string][]byte{"source": b.Source, "delta": pamztest.Encode(t, d)} {
				if err := os.WriteFile(filepath.Join(dir, file), content, 0o666); err != nil {
					t.Fatal(err)
				}
			}
			cmd := exec.Command(os.Args[0], "-test.run=^TestMemory$", "-test.v")
			cmd.Env = append(os.Environ(), memoryChild+"="+dir)
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			m := regexp.MustCompile(`VmHWM:\s*([0-9]+) kB`).FindSubmatch(out)
			if m == nil {
				t.Fatalf("no measurement: %s", out)
			}
			peak, _ := strconv.ParseInt(string(m[1]), 10, 64)
			t.Logf("peak of resident memory: %d KiB", peak)
			if peak<<10 > limits[name] {
				t.Errorf("peak of resident memory: %d KiB, want at most %d", peak, limits[name]>>10)
			}
		})
	}
}

func applyInChild(t *testing.T, dir string) {
	source, err := os.Open(filepath.Join(dir, "source"))
	if err != nil {
		t.Fatal(err)
	}
	info, err := source.Stat()
	if err != nil {
		t.Fatal(err)
	}
	delta, err := os.Open(filepath.Join(dir, "delta"))
	if err != nil {
		t.Fatal(err)
	}
	deltaInfo, err := delta.Stat()
	if err != nil {
		t.Fatal(err)
	}
	d, err := pamz.Decode(delta, deltaInfo.Size())
	if err != nil {
		t.Fatal(err)
	}
	err = Apply(io.Discard, d, source, info.Size(), Options{
		Scratch: pamztest.Scratch(t), Memory: 64 << 20,
		Zstd: func() (*codec.Zstd, error) { return codec.OpenZstd(codec.ZstdOptions{}) },
	})
	if err != nil {
		t.Fatal(err)
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s", status)
}
