// SPDX-License-Identifier: MIT

package content

import (
	"bytes"
	"fmt"
	"io"

	"swudelta/internal/codec"
	"swudelta/internal/fault"
)

// Target returns the view of a member of the target that a device can make: the
// opened one if the device's compressor gives the stored bytes again, else the
// stored one.
func (o *Options) Target(m *Member) (*View, error) {
	kind, err := kindAt(m.Open(), 0)
	if err != nil {
		return nil, err
	}
	closed := ""
	if compressor := o.Compressors[kind]; compressor != nil {
		v, err := o.reopened(m, kind, compressor)
		if v != nil || err != nil && !fault.IsData(err) {
			return v, err
		}
		if err != nil {
			closed = err.Error()
		}
	}
	v, err := o.Stored(m)
	if err != nil || kind == codec.KindPlain {
		return v, err
	}
	v.Closed = fmt.Sprintf("%v is compared as it is stored", kind)
	if closed == "" && (kind == codec.KindGzip || kind == codec.KindZstd) {
		closed = "not as the device writes it (zrecompress makes that form)"
	}
	if closed != "" {
		v.Closed += ": " + closed
		o.Note(fmt.Sprintf("%s: %s, which makes a large delta", m.Describe("target"), v.Closed))
	}
	return v, nil
}

// reopened returns the view without compression, or nil if compressing it again
// gives other bytes than the stored ones.
func (o *Options) reopened(m *Member, kind codec.Kind, compressor func(io.Writer) (io.WriteCloser, error)) (*View, error) {
	r, err := codec.NewStreamReader(m.Open(), kind, o.MaxWindow)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	o.Opening.Expect(m.Len) // which is read twice at the same time
	want := m.Open()
	c := &comparer{want: want}
	w, err := compressor(c)
	if err != nil {
		return nil, err
	}
	again := &again{w: w}
	v, err := o.load(m, io.TeeReader(r, again), Part{Range: m.Range, Kind: kind})
	if err != nil {
		return nil, err
	}
	if err := again.finish(); err == errDiffers {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	var one [1]byte
	if _, err := io.ReadFull(want, one[:]); err == nil || len(v.Data) == 0 {
		return nil, nil // more is stored than was made
	} else if err != io.EOF {
		return nil, err
	}
	v.Parts[0].Size = int64(len(v.Data))
	return v, nil
}

// again compresses what is written to it, until the result differs. Then it takes the rest
// without looking at it: what is read at the same time is kept all the same.
type again struct {
	w       io.WriteCloser
	differs bool
}

func (a *again) Write(p []byte) (int, error) {
	if a.differs {
		return len(p), nil
	}
	n, err := a.w.Write(p)
	if err == errDiffers {
		a.differs = true
		return len(p), nil
	}
	return n, err
}

// finish ends the compression; the error is errDiffers if the result is another.
func (a *again) finish() error {
	err := a.w.Close()
	if a.differs {
		return errDiffers
	}
	return err
}

var errDiffers = fault.Dataf("differs")

// comparer is a writer that fails at the first byte that is not the wanted one.
type comparer struct {
	want io.Reader
	buf  []byte
}

func (c *comparer) Write(p []byte) (int, error) {
	if len(c.buf) < len(p) {
		c.buf = make([]byte, len(p))
	}
	n, err := io.ReadFull(c.want, c.buf[:len(p)])
	if err != nil && err != io.ErrUnexpectedEOF && err != io.EOF {
		return 0, err
	}
	if !bytes.Equal(c.buf[:n], p) {
		return 0, errDiffers
	}
	return len(p), nil
}
