// SPDX-License-Identifier: MIT

package apply_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"testing"

	"swudelta/internal/apply"
	"swudelta/internal/device/stock"
	"swudelta/internal/pamz"
	"swudelta/internal/pamztest"
	"swudelta/internal/plan"
	"swudelta/internal/swu"
	"swudelta/internal/tooltest"
)

// What our own deltas need, of images and of updates with compressed ones.
func TestNeedMade(t *testing.T) {
	open := pamztest.NeedZstd(t)
	z, err := open()
	if err != nil {
		t.Fatal(err)
	}
	// side returns an update of testdata/demo, its image, and the same update with the
	// image compressed by zstd.
	side := func(name string) (update, image, zstd []byte) {
		update, err := os.ReadFile(filepath.Join(tooltest.Root(), "testdata", "demo", name+".swu"))
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		w := swu.NewWriter(&out)
		add := func(name string, data []byte) {
			h := swu.NewHeader(name, int64(len(data)))
			sum, _, err := swu.Checksum(bytes.NewReader(data))
			if err == nil {
				h.Fields.Set(swu.Check, sum)
				err = w.WriteHeader(h)
			}
			if err == nil {
				_, err = w.Write(data)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		_, err = swu.Scan(bytes.NewReader(update), func(h *swu.Header, data io.Reader) error {
			content, err := io.ReadAll(data)
			if err != nil || filepath.Ext(h.Name) != ".gz" {
				if err == nil {
					add(h.Name, content)
				}
				return err
			}
			r, err := gzip.NewReader(bytes.NewReader(content))
			if err == nil {
				image, err = io.ReadAll(r)
			}
			if err != nil {
				return err
			}
			var packed bytes.Buffer
			zw, err := z.NewCanonicalWriter(&packed, 3)
			if err == nil {
				_, err = zw.Write(image)
			}
			if err == nil {
				err = zw.Close()
			}
			add(h.Name, packed.Bytes())
			return err
		})
		if err == nil {
			err = w.Close()
		}
		if err != nil || image == nil {
			t.Fatalf("%s: %v", name, err)
		}
		return update, image, out.Bytes()
	}
	oldUpdate, oldImage, _ := side("source")
	_, newImage, newUpdate := side("target")
	for name, pair := range map[string][2][]byte{"update": {oldUpdate, newUpdate}, "image": {oldImage, newImage}} {
		source, target := pair[0], pair[1]
		input := func(b []byte) plan.Input { return plan.Input{ReaderAt: bytes.NewReader(b), Size: int64(len(b))} }
		r, err := plan.Make(input(source), input(target), plan.Options{Device: stock.New(stock.Options{Zstd: z, Scratch: pamztest.Scratch(t)}), Load: io.ReadAll})
		if err != nil {
			t.Fatal(err)
		}
		d, err := pamz.Decode(bytes.NewReader(r.Delta), int64(len(r.Delta)))
		if err != nil {
			t.Fatal(err)
		}
		apply.CheckNeed(t, name, d, source, target, apply.Options{Zstd: open, Memory: 64 << 20})
	}
}
