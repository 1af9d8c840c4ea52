// SPDX-License-Identifier: MIT

package plan

import (
	"io"
	"math"
	"math/bits"
	"slices"

	"swudelta/internal/codec"
	"swudelta/internal/content"
	"swudelta/internal/device/stock30"
	"swudelta/internal/digest"
	"swudelta/internal/pamz"
)

// anyNumber is the greatest offset of a region where there is no limit.
const anyNumber = math.MaxInt64 / 4

// compressors are those of the device, for streams of the target.
func (m *maker) compressors() map[codec.Kind]func(io.Writer) (io.WriteCloser, error) {
	if m.Profile == pamz.Profile30 {
		return map[codec.Kind]func(io.Writer) (io.WriteCloser, error){codec.KindGzip: m.Zlib.NewCanonicalWriter}
	}
	return map[codec.Kind]func(io.Writer) (io.WriteCloser, error){
		codec.KindZstd: func(w io.Writer) (io.WriteCloser, error) { return m.Zstd.NewCanonicalWriter(w, canonicalLevel) },
	}
}

// begin starts a delta anew, and sets what depends on the profile of the device in it.
func (m *maker) begin(d *pamz.Diff) {
	m.stock30 = nil
	if m.Profile == pamz.Profile30 {
		d.Version, d.Order = 2, pamz.BigEndian
		m.stock30 = stock30.NewWriter(stock30.Options{
			Zstd: m.Zstd, Level: m.effort.fresh, Window: bits.Len(maxZstdWindow) - 1, Note: m.explainf,
		})
	}
}

// compressed returns the item of a member of the target that is stored compressed.
func (m *maker) compressed(image *pamz.Item, v *content.View, sum digest.SHA256) (*pamz.Item, error) {
	if m.stock30 != nil {
		return stock30.Member(image, v.Parts[0].Kind, v.Member.Len, sum)
	}
	return pamz.NewItem(v.Member.Len, sum, pamz.ZstdCompression(image, 1, 5, canonicalLevel)), nil
}

// image30 returns the item of an image for the library of generation 3.0.
func (m *maker) image30(target []byte, sum digest.SHA256, from []*candidate, old *side, pieces []piece, made []*madePack, fresh []byte, near []site, budget int) (*pamz.Item, error) {
	im := &stock30.Image{Data: target, SHA256: sum, Old: &stock30.Side{Data: old.data}, Fresh: fresh}
	for _, c := range from {
		for _, p := range c.Parts {
			part := stock30.Part{Stored: stock30.Range(p.Range), Kind: p.Kind, Size: p.Size}
			if p.Kind != codec.KindPlain {
				var err error
				if part.SHA256, err = digestOf(&content.Member{Range: p.Range, In: c.Member.In}); err != nil {
					return nil, err
				}
			}
			im.Old.Parts = append(im.Old.Parts, part)
		}
	}
	// Old content between ranges of the dictionary costs the device memory, and the delta
	// nothing; a range does.
	limit := min(maxPrefix, budget/3, maxZstdWindow-len(fresh))
	spans := surroundings(near, limit)
	im.Near = ranges30(mergeSpans(spans, limit-total(spans, span.len), limit))
	for _, k := range made {
		if len(k.material) > 0 {
			im.Packs = append(im.Packs, stock30.Pack{
				Patch: k.patch, Ranges: ranges30(k.ranges), New: k.parts(target),
				Fresh: stock30.Range{Off: int64(k.freshAt), Len: int64(len(k.fresh))},
			})
		}
	}
	table := newTable(target, pieces, made, len(old.data), len(old.data)+len(fresh))
	for _, e := range table.entries {
		entry := stock30.Entry{Len: e.Length, Zero: e.Recipe.Op == pamz.OpAllZero}
		if !entry.Zero {
			entry.Off = int64(e.Recipe.Params[0].Number)
		}
		im.Entries = append(im.Entries, entry)
	}
	m.explainf("table: %d entries", len(im.Entries))
	return m.stock30.Image(im)
}

func ranges30(list []span) []stock30.Range {
	out := make([]stock30.Range, 0, len(list))
	for _, s := range slices.Clone(list) {
		out = append(out, stock30.Range{Off: int64(s.from), Len: int64(s.len())})
	}
	return out
}
