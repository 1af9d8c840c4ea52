// SPDX-License-Identifier: MIT

package member

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"

	"swudelta/internal/digest"
	"swudelta/internal/fault"
	"swudelta/internal/span"
)

// pieces is a file of an image that lies in several pieces, in order, with bytes of others
// between them, the gaps. Its content is the gaps, end to end, then the file: so what is in the
// file is found as if it lay in one piece. Nothing is compressed, and nothing needs to be
// opened: its Reader is an io.ReaderAt.
//
// The parameters of Open and Close are the same: for each piece but the last one its length and
// that of the gap behind it, unsigned LEB128.
type pieces struct{}

const (
	// mostGaps bounds the gaps of a file, in bytes: whoever closes it holds them.
	mostGaps = 1 << 20
	// gapMemory is what a reader takes for each piece and gap, in bytes.
	gapMemory = 64
)

func (pieces) Name() string              { return "pieces" }
func (pieces) Magics() []string          { return nil }
func (pieces) Find([]byte) (Found, bool) { return Found{}, false }

// parse returns where pieces and the gaps behind them lie in size stored bytes; the last gap is
// empty. gaps is the sum of their lengths.
func (pieces) parse(params []byte, size int64) (runs []span.Range, gaps int64, err error) {
	at := int64(0)
	for len(params) > 0 {
		for _, gap := range []bool{false, true} {
			v, n := binary.Uvarint(params)
			if n <= 0 || v == 0 || v > uint64(size-at) || gap && int64(v) > mostGaps-gaps {
				return nil, 0, fault.Dataf("pieces: no such lengths")
			}
			runs = append(runs, span.Range{Off: at, Len: int64(v)})
			if at += int64(v); gap {
				gaps += int64(v)
			}
			params = params[n:]
		}
	}
	runs = append(runs, span.Range{Off: at, Len: size - at}, span.Range{Off: size})
	return runs, gaps, nil
}

// piecesReader reads the gaps, then the pieces.
type piecesReader struct {
	*io.SectionReader
	used int64
}

func (r piecesReader) Used() int64  { return r.used }
func (r piecesReader) Close() error { return nil }

// Open wants a reader of all stored bytes that reads at random, and knows how many there are.
func (p pieces) Open(r io.Reader, params []byte) (Reader, error) {
	stored, ok := r.(interface {
		io.ReaderAt
		Size() int64
	})
	if !ok {
		return nil, errors.New("pieces: what is stored cannot be read at random")
	}
	runs, _, err := p.parse(params, stored.Size())
	if err != nil {
		return nil, err
	}
	c := new(span.Chain)
	for _, first := range []int{1, 0} {
		for i := first; i < len(runs); i += 2 {
			c.Add(io.NewSectionReader(stored, runs[i].Off, runs[i].Len), runs[i].Len)
		}
	}
	return piecesReader{io.NewSectionReader(c, 0, c.Size()), stored.Size()}, nil
}

// OpenMemory is what a reader takes as long as it is used.
func (pieces) OpenMemory(params []byte) (int64, error) {
	return int64(len(params)+2) * gapMemory, nil // a length takes a byte at least
}

// Analyse returns the parameters that Open has.
func (p pieces) Analyse(stored, content []byte, libs *Libraries, _ func(n int64)) ([]byte, error) {
	return nil, errors.New("pieces: they are known, not found")
}

func (p pieces) Close(w io.Writer, content io.Reader, params []byte, _ *Libraries) error {
	runs, n, err := p.parse(params, 1<<62)
	if err != nil {
		return err
	}
	gaps := make([]byte, n)
	if _, err := io.ReadFull(content, gaps); err != nil {
		return pieceShort(err)
	}
	buf := make([]byte, 64<<10)
	for i := 0; i < len(runs)-2; i += 2 {
		copied, err := io.CopyBuffer(w, io.LimitReader(content, runs[i].Len), buf)
		if err == nil && copied < runs[i].Len {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return pieceShort(err)
		}
		if _, err := w.Write(gaps[:runs[i+1].Len]); err != nil {
			return err
		}
		gaps = gaps[runs[i+1].Len:]
	}
	_, err = io.CopyBuffer(w, content, buf)
	return err
}

// pieceShort says that there is less content than parameters state.
func pieceShort(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return fault.Dataf("pieces: fewer bytes than stated")
	}
	return err
}

func (p pieces) CloseMemory(params []byte, _, _ int64) (int64, error) {
	_, gaps, err := p.parse(params, 1<<62)
	return gaps + 64<<10 + int64(len(params)+2)*gapMemory, err
}

func (pieces) effort([]byte) (int, error) { return 0, nil }

// InPlace reports whether content of a format is read where it is stored: the Reader of its Open
// is an io.ReaderAt.
func InPlace(n Number) bool { return n == Pieces }

// gather returns the file that lies in ranges of b, which are in order and apart, as a member. It
// is nil if nothing in the file is of use that is not in one of its pieces: a program, whose
// addresses are predicted where it lies in one piece, or a member.
func (f *Finder) gather(b []byte, ranges []span.Range, depth int) (*Member, error) {
	from, to := ranges[0].Off, ranges[len(ranges)-1].End()
	var params []byte
	for i, r := range ranges[:len(ranges)-1] {
		params = binary.AppendUvarint(params, uint64(r.Len))
		params = binary.AppendUvarint(params, uint64(ranges[i+1].Off-r.End()))
	}
	stored := b[from:to]
	runs, gaps, err := pieces{}.parse(params, to-from)
	if err != nil || len(params) > MaxOpenParams || f.Count == 0 || f.Content < to-from {
		return nil, nil // it stays in pieces
	}
	r, err := pieces{}.Open(bytes.NewReader(stored), params)
	if err != nil {
		return nil, err
	}
	before := *f
	f.Count--
	f.Content -= to - from
	m := &Member{
		Number: Pieces, Off: from, Len: to - from, Stored: stored, SHA256: digest.Sum(stored), OpenParams: params,
		CloseParams: params, Closed: true,
	}
	if m.Content, err = f.load(r); err != nil {
		return nil, err
	}
	if m.Members, err = f.find(m.Content, depth-1); err != nil {
		return nil, err
	}
	if bytes.HasPrefix(m.Content[gaps:], []byte("\x7fELF")) {
		return m, nil
	}
	at := gaps // in the content, of what follows on a piece
	for i := 0; i < len(runs); i += 2 {
		at += runs[i].Len
		for _, inside := range m.Members {
			if inside.Off < at && at < inside.End() {
				return m, nil
			}
		}
	}
	*f = before
	return nil, nil
}
