// SPDX-License-Identifier: MIT

package codec

import (
	"slices"
	"testing"
	"unsafe"
)

// A frame that is taken block by block is the one that ZSTD_compress2 makes at once.
func TestCompressWhole(t *testing.T) {
	z, err := OpenZstd(ZstdOptions{})
	if err != nil {
		t.Skip(err)
	}
	var compress2 func(cctx, dst unsafe.Pointer, dstSize uintptr, src unsafe.Pointer, srcSize uintptr) uintptr
	if err := Load(z.Path(), map[string]any{"ZSTD_compress2": &compress2}); err != nil {
		t.Fatal(err)
	}
	data := content(3 << 20)
	for _, c := range []struct {
		prefix, src []byte
		level, log  int
	}{
		{nil, nil, 19, 20},
		{nil, data[:100], 19, 20},
		{nil, data[:128<<10], 12, 18},
		{nil, data[:128<<10+1], 3, 18},
		{nil, data[:1<<20], 22, 20},
		{data[:1<<20], data[1<<20 : 2<<20], 19, 21},
		{data[:1<<20+3], data[1<<20:], 3, 22},
		{data[:100], data[50:300_000], 22, 19},
	} {
		params := []zstdParam{{zstdLevel, int32(c.level)}, {zstdWindowLog, int32(c.log)}}
		reports, told := 0, int64(0)
		frame, err := z.compressWith(c.prefix, c.src, func(n int64) { reports, told = reports+1, told+n }, params...)
		if err != nil {
			t.Fatal(err)
		}
		cctx, err := z.context(params...)
		if err != nil {
			t.Fatal(err)
		}
		if len(c.prefix) > 0 {
			z.refPrefix(cctx, unsafe.Pointer(unsafe.SliceData(c.prefix)), uintptr(len(c.prefix)))
		}
		want := make([]byte, z.compressBound(uintptr(len(c.src))))
		n := compress2(cctx, unsafe.Pointer(unsafe.SliceData(want)), uintptr(len(want)), unsafe.Pointer(unsafe.SliceData(c.src)), uintptr(len(c.src)))
		z.freeCCtx(cctx)
		if err := z.check(n); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(frame, want[:n]) {
			t.Errorf("%d bytes behind %d at level %d: another frame, of %d bytes, want %d", len(c.src), len(c.prefix), c.level, len(frame), n)
		}
		if told != int64(len(c.prefix)+len(c.src)) || reports < 3 && len(c.src) >= 1<<20 && z.inBlocks() {
			t.Errorf("%d bytes: %d reports of %d bytes", len(c.src), reports, told)
		}
	}
}
