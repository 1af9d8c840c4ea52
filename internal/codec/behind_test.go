// SPDX-License-Identifier: MIT

package codec

import (
	"bytes"
	"encoding/binary"
	"io"
	"os/exec"
	"testing"
)

// Blocks that were compressed behind a prefix make a plain frame, which other
// decoders read, once the prefix stands before them in raw blocks.
func TestCompressBehind(t *testing.T) {
	z, err := OpenZstd(ZstdOptions{})
	if err != nil {
		t.Skip(err)
	}
	prefix := bytes.Repeat([]byte("what was there before, in words that come again "), 9000)
	prefix = append(prefix, "and a tail that is no multiple of anything"...)
	src := append(bytes.Clone(prefix[1000:5000]), "something new"...)
	src = append(src, prefix[100000:300000]...)
	const log = 20
	told := 0
	blocks, err := z.CompressBehind(prefix, src, 22, log, func(n int64) { told += int(n) })
	if err != nil {
		t.Fatal(err)
	}
	if told != len(prefix)+len(src) {
		t.Errorf("told %d bytes, want %d and %d", told, len(prefix), len(src))
	}
	if len(blocks) > 200 {
		t.Errorf("got %d bytes: the prefix is of no use", len(blocks))
	}
	frame := []byte{0x28, 0xb5, 0x2f, 0xfd, 0, (log - 10) << 3}
	for rest := prefix; len(rest) > 0; {
		n := min(len(rest), 128<<10)
		h := binary.LittleEndian.AppendUint32(nil, uint32(n)<<3)
		frame = append(append(frame, h[:3]...), rest[:n]...)
		rest = rest[n:]
	}
	frame = append(frame, blocks...)
	want := append(bytes.Clone(prefix), src...)
	r, err := NewZstdReader(bytes.NewReader(frame), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, want) {
		t.Errorf("got %d bytes, %v; want %d", len(got), err, len(want))
	}
	if _, err := exec.LookPath("zstd"); err != nil {
		t.Skip("zstd is not installed")
	}
	cmd := exec.Command("zstd", "-dc")
	cmd.Stdin = bytes.NewReader(frame)
	if got, err := cmd.Output(); err != nil || !bytes.Equal(got, want) {
		t.Errorf("zstd: got %d bytes, %v; want %d", len(got), err, len(want))
	}
}
