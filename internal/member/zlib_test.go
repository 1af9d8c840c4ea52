// SPDX-License-Identifier: MIT

package member

import (
	"bytes"
	"compress/zlib"
	"slices"
	"testing"

	"swudelta/internal/tooltest"
)

// A zlib stream is found wherever it lies, by a header of two bytes and its checksum.
func TestZlib(t *testing.T) {
	content := text(20000)
	for _, level := range []int{0, 1, 5, 6, 9} {
		var out bytes.Buffer
		w, err := zlib.NewWriterLevel(&out, level)
		if err != nil {
			t.Fatal(err)
		}
		w.Write(content)
		w.Close()
		before := slices.Concat(tooltest.Random(7, 100<<10), noStreams(), []byte("x\x9cno stream"))
		b := slices.Concat(before, out.Bytes(), tooltest.Random(8, 5000))
		list, err := (&Finder{}).Find(b)
		if err != nil {
			t.Fatal(err)
		}
		if len(list) != 1 || list[0].Number != Zlib || list[0].Off != int64(len(before))+2 || !bytes.Equal(list[0].Content, content) {
			t.Fatalf("level %d: got %s", level, shape(list))
		}
		check(t, b, list)
		b[len(before)+out.Len()-1] ^= 1
		if list, err := (&Finder{}).Find(b); err != nil || len(list) > 0 {
			t.Errorf("level %d, wrong checksum: got %s, %v", level, shape(list), err)
		}
	}
}

// noStreams is all headers, each with a block of a kind that there is not behind it.
func noStreams() (b []byte) {
	for _, h := range zlibHeads {
		b = append(append(b, h...), 0x07)
	}
	return b
}
