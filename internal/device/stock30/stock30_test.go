// SPDX-License-Identifier: MIT

package stock30

import (
	"bytes"
	"compress/gzip"
	"io"
	"math/rand/v2"
	"os"
	"testing"

	"swudelta/internal/apply"
	"swudelta/internal/bsdiff"
	"swudelta/internal/bzip2"
	"swudelta/internal/codec"
	"swudelta/internal/content"
	"swudelta/internal/digest"
	format "swudelta/internal/member"
	"swudelta/internal/pamz"
	"swudelta/internal/tooltest"
)

// update is a random update: what the writer gets, and what it is about.
type update struct {
	source []byte
	images []*Image
}

// newUpdate makes an update whose content consists of a few blocks, so that much of it
// is the same as other content by chance.
func newUpdate(t testing.TB, r *rand.Rand) *update {
	blocks := make([][]byte, 6)
	for i := range blocks {
		blocks[i] = make([]byte, 50+r.IntN(200))
		for j := range blocks[i] {
			blocks[i][j] = byte(r.IntN(1 + 255*(i&1)))
		}
	}
	text := func(n int) (b []byte) {
		for range n {
			b = append(b, blocks[r.IntN(len(blocks))]...)
		}
		return b
	}
	u := &update{source: text(2)}
	old := &Side{}
	var inner []Part // gzip members in the content of parts
	var contents [][]byte
	for i := range 1 + r.IntN(3) {
		content := text(3 + r.IntN(20))
		for range r.IntN(4) {
			member := text(1 + r.IntN(3))
			stored := deflated(t, member, 9)
			inner = append(inner, Part{Stored: Range{Off: int64(len(content)), Len: int64(len(stored))}, Kind: codec.KindGzip, Size: int64(len(member)), Of: i + 1})
			contents = append(contents, member)
			content = append(append(content, stored...), text(1)...)
		}
		stored, p := content, Part{Kind: codec.KindPlain}
		if i%2 == 1 {
			var b bytes.Buffer
			w := gzip.NewWriter(&b)
			w.Write(content)
			w.Close()
			stored, p.Kind = b.Bytes(), codec.KindGzip
		}
		p.Stored, p.SHA256, p.Size = Range{Off: int64(len(u.source)), Len: int64(len(stored))}, digest.Sum(stored), int64(len(content))
		u.source = append(append(u.source, stored...), text(1)...)
		old.Data = append(old.Data, content...)
		old.Parts = append(old.Parts, p)
	}
	old.Parts = append(old.Parts, inner...)
	old.Data = append(old.Data, bytes.Join(contents, nil)...)
	for range 1 + r.IntN(2) {
		u.images = append(u.images, newImage(t, r, old, text))
	}
	return u
}

func newImage(t testing.TB, r *rand.Rand, old *Side, text func(int) []byte) *Image {
	im := &Image{Old: old}
	within := func(n int) Range {
		off := r.IntN(n)
		return Range{Off: int64(off), Len: int64(1 + r.IntN(min(n-off, 400)))}
	}
	place := append([]byte{}, old.Data...)
	if r.IntN(4) > 0 {
		im.Fresh = text(1 + r.IntN(4))
		place = append(place, im.Fresh...)
		at := int64(0)
		for range r.IntN(4) {
			v := within(len(old.Data))
			if v.Off >= at {
				im.Context = append(im.Context, v)
				at = v.End()
			}
		}
	}
	for range r.IntN(4) {
		var p Pack
		var from []byte
		for range r.IntN(4) {
			v := within(len(old.Data))
			p.Ranges = append(p.Ranges, v)
			from = append(from, old.Data[v.Off:v.End()]...)
		}
		if len(im.Fresh) > 0 && r.IntN(2) == 0 || len(from) == 0 {
			if len(im.Fresh) == 0 {
				continue
			}
			p.Fresh = within(len(im.Fresh))
			from = append(from, im.Fresh[p.Fresh.Off:p.Fresh.End()]...)
		}
		to := text(1 + r.IntN(4))
		if r.IntN(4) == 0 {
			to = bytes.Clone(from) // a patch that changes nothing
		}
		var patch bytes.Buffer
		_, err := bsdiff.Diff(from, to, bsdiff.Options{}).Encode(&patch,
			func(dst io.Writer, src []byte) error { return bzip2.Encode(dst, src, 1) })
		if err != nil {
			t.Fatal(err)
		}
		p.Patch = patch.Bytes()
		cut := r.IntN(len(to) + 1)
		p.New = [][]byte{to[:cut], to[cut:]}
		im.Packs = append(im.Packs, p)
		place = append(place, to...)
	}
	for range 1 + r.IntN(8) {
		if r.IntN(6) == 0 {
			n := 1 + r.IntN(300)
			im.Entries = append(im.Entries, Entry{Len: int64(n), Zero: true})
			im.Data = append(im.Data, make([]byte, n)...)
			continue
		}
		v := within(len(place))
		im.Entries = append(im.Entries, Entry{Len: v.Len, Off: v.Off})
		im.Data = append(im.Data, place[v.Off:v.End()]...)
	}
	rest := im.Data
	for len(rest) > 0 && r.IntN(4) > 0 {
		plain := rest[:r.IntN(len(rest))]
		rest = rest[len(plain):]
		member := rest[:1+r.IntN(len(rest))]
		rest = rest[len(member):]
		if len(plain) > 0 {
			im.Segments = append(im.Segments, content.Segment{Len: int64(len(plain))})
		}
		level := 1 + r.IntN(9)
		stored := deflated(t, member, level)
		im.Segments = append(im.Segments, content.Segment{Len: int64(len(stored)), Member: &format.Member{
			Number: format.Gzip, Len: int64(len(stored)), Stored: stored, SHA256: digest.Sum(stored), Content: member, CloseParams: []byte{byte(level)},
		}})
	}
	if len(im.Segments) > 0 && len(rest) > 0 {
		im.Segments = append(im.Segments, content.Segment{Len: int64(len(rest))})
	}
	im.SHA256 = digest.Sum(im.composed())
	return im
}

// deflated is a gzip member as the device makes it.
func deflated(t testing.TB, content []byte, level int) []byte {
	_, zl := libraries(t)
	var b bytes.Buffer
	if err := zl.Deflate(&b, bytes.NewReader(content), codec.ContainerGzip, level); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// composed is the image that Data and Segments make.
func (im *Image) composed() []byte {
	if im.Segments == nil {
		return im.Data
	}
	var out []byte
	rest := im.Data
	for _, s := range im.Segments {
		piece, n := rest, s.Len
		if s.Member != nil {
			piece, n = s.Member.Stored, int64(len(s.Member.Content))
		}
		out = append(out, piece[:s.Len]...)
		rest = rest[n:]
	}
	return out
}

// encode makes the delta, and what its target is.
func (u *update) encode(t testing.TB, z *codec.Zstd, zl *codec.Zlib) (delta, target []byte) {
	w := NewWriter(Options{Zstd: z, Level: 3, Window: 20})
	d := &pamz.Diff{Form: pamz.Form{Version: 2, Order: pamz.BigEndian}, SourceLength: int64(len(u.source)), SourceSHA256: digest.Sum(u.source)}
	for i, im := range u.images {
		image, err := w.Image(im)
		if err != nil {
			t.Fatal(err)
		}
		stored, kind := im.composed(), codec.KindPlain
		if i%2 == 1 {
			var b bytes.Buffer
			if err := zl.Deflate(&b, bytes.NewReader(stored), codec.ContainerGzip, 9); err != nil {
				t.Fatal(err)
			}
			stored, kind = b.Bytes(), codec.KindGzip
		}
		member, err := Member(image, kind, int64(len(stored)), digest.Sum(stored))
		if err != nil {
			t.Fatal(err)
		}
		d.Chunks = append(d.Chunks, member)
		target = append(target, stored...)
	}
	d.TargetLength, d.TargetSHA256 = int64(len(target)), digest.Sum(target)
	var b bytes.Buffer
	if err := pamz.Encode(&b, d); err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), target
}

func libraries(t testing.TB) (*codec.Zstd, *codec.Zlib) {
	z, err := codec.OpenZstd(codec.ZstdOptions{})
	if err != nil {
		t.Skip(err)
	}
	zl, err := codec.OpenZlib("")
	if err != nil {
		t.Skip(err)
	}
	return z, zl
}

// What is written keeps the rules of the device and makes the target, whatever is the
// same as what. SWUDELTA_APPLYDIFF_30 names the stock library's applydiff (SOURCE DELTA
// TARGET), which must make the target too.
func TestWriter(t *testing.T) {
	z, zl := libraries(t)
	stock := os.Getenv("SWUDELTA_APPLYDIFF_30")
	for seed := range uint64(300) {
		u := newUpdate(t, rand.New(rand.NewPCG(seed, 30)))
		delta, target := u.encode(t, z, zl)
		if again, _ := u.encode(t, z, zl); !bytes.Equal(again, delta) {
			t.Fatalf("seed %d: another delta the second time", seed)
		}
		d, err := pamz.Decode(bytes.NewReader(delta), int64(len(delta)))
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if _, violations, err := Check(Form30)(d); err != nil || len(violations) > 0 {
			t.Fatalf("seed %d: %v %v", seed, err, violations)
		}
		var got bytes.Buffer
		err = apply.Apply(&got, d, bytes.NewReader(u.source), int64(len(u.source)), apply.Options{
			Zlib:    func() (*codec.Zlib, error) { return zl, nil },
			Scratch: func() (*os.File, error) { return os.CreateTemp(t.TempDir(), "") },
			Strict:  true,
		})
		if err != nil || !bytes.Equal(got.Bytes(), target) {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if stock != "" {
			tooltest.StockApplies(t, stock, u.source, delta, target)
		}
	}
}

func TestWriterRefuses(t *testing.T) {
	z, _ := libraries(t)
	old := &Side{Data: []byte("old"), Parts: []Part{{Stored: Range{Off: 0, Len: 3}, Size: 3}}}
	data := []byte("oldold")
	for name, im := range map[string]*Image{
		"too little":  {Old: old, Data: data, Entries: []Entry{{Len: 3}}},
		"too much":    {Old: old, Data: data, Entries: []Entry{{Len: 3}, {Len: 4}}},
		"nowhere":     {Old: old, Data: data, Entries: []Entry{{Len: 3}, {Len: 3, Off: 1}}},
		"before":      {Old: old, Data: data, Entries: []Entry{{Len: 3}, {Len: 3, Off: -1}}},
		"nothing":     {Old: old},
		"a lone pack": {Old: old, Data: data, Packs: []Pack{{Patch: []byte("p"), New: [][]byte{data}}}, Entries: []Entry{{Len: 6, Off: 3}}},
	} {
		if _, err := NewWriter(Options{Zstd: z, Level: 3, Window: 20}).Image(im); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := Member(nil, codec.KindZstd, 0, digest.SHA256{}); err == nil {
		t.Error("zstd: no error")
	}
}
