// SPDX-License-Identifier: MIT

package apply

import (
	"testing"

	"swudelta/internal/errnum"
	"swudelta/internal/pamz"
	"swudelta/internal/pamztest"
)

// TestViewer has a viewer that has little left to spend.
func TestViewer(t *testing.T) {
	b := pamztest.NewBuilder(t, 1, []byte("source"))
	inner := func() *pamz.Item {
		return b.Nested(pamz.LittleEndian, b.CopySource(0, 6), func(inner *pamztest.Builder) []*pamz.Item { return []*pamz.Item{inner.Zero(1), inner.Zero(2)} })
	}
	one, two := inner(), inner()
	d, _ := b.Diff(0, pamz.LittleEndian, one, two)
	v := &Viewer{work: 1000, items: 3}
	if _, err := v.Nested(d, one); err != nil {
		t.Error(err)
	}
	_, err := v.Nested(d, two)
	pamztest.WantError(t, err, errnum.Other)
	v.items = 100
	if _, err := v.Nested(d, two); err != nil {
		t.Error(err)
	}
	_, err = v.Content(d, b.Unzstd(make([]byte, 1001)))
	pamztest.WantError(t, err, errnum.Other)
	_, err = v.Content(d, b.Concat(b.Zero(1), b.CopySource(0, 1)))
	pamztest.WantError(t, err, errnum.Other)
	v.work = 1 << 40
	_, err = v.Content(d, b.Unzstd(make([]byte, viewSize+1)))
	pamztest.WantError(t, err, errnum.Other)
}
