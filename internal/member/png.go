// SPDX-License-Identifier: MIT

package member

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"

	"swudelta/internal/codec"
	"swudelta/internal/deflate"
	"swudelta/internal/fault"
)

// pngImage is the image data of a PNG file: a zlib stream that is cut into chunks, each with a length, a
// type and a CRC-32 (PNG specification, sections 5.3 and 11.2.3). A member begins with the first of
// them and ends with the last. Open has no parameters.
type pngImage struct{}

const (
	pngHead     = "\x89PNG\r\n\x1a\n"
	pngChunk    = 8 // bytes of length and type before the data of a chunk
	pngSum      = 4 // and of its CRC behind it
	pngData     = "IDAT"
	zlibHeader  = 2
	pngMostRuns = 1 << 16
)

func (pngImage) Name() string     { return "png" }
func (pngImage) Magics() []string { return []string{pngHead} }

// pngLength returns the length of the data of the chunk that b begins with, and whether all of it is there.
func pngLength(b []byte) (int, bool) {
	if len(b) < pngChunk {
		return 0, false
	}
	n := int64(binary.BigEndian.Uint32(b))
	return int(n), n <= int64(len(b)-pngChunk-pngSum)
}

func (pngImage) Find(b []byte) (Found, bool) {
	start, at := 0, len(pngHead)
	for {
		n, ok := pngLength(b[at:])
		data := ok && string(b[at+4:at+pngChunk]) == pngData
		if data && start == 0 {
			start = at
		}
		if !ok || start > 0 && !data {
			break
		}
		at += pngChunk + n + pngSum
	}
	return Found{At: start, Len: at - start}, start > 0
}

// pngReader reads the data of chunks end to end.
type pngReader struct {
	r    io.Reader
	left int64 // bytes of the chunk
	any  bool  // there was a chunk
}

func (p *pngReader) Read(b []byte) (int, error) {
	for p.left == 0 {
		skip := 0
		if p.any {
			skip = pngSum
		}
		head := make([]byte, pngSum+pngChunk)[:skip+pngChunk]
		if n, err := io.ReadFull(p.r, head); err == io.ErrUnexpectedEOF && n == skip {
			return 0, io.EOF
		} else if err != nil {
			return 0, err
		}
		if string(head[skip+4:]) != pngData {
			return 0, fault.Dataf("png: no image data where there should be")
		}
		p.left, p.any = int64(binary.BigEndian.Uint32(head[skip:])), true
	}
	n, err := p.r.Read(b[:min(int64(len(b)), p.left)])
	p.left -= int64(n)
	return n, err
}

func (f pngImage) Open(r io.Reader, params []byte) (Reader, error) {
	if _, err := f.OpenMemory(params); err != nil {
		return nil, err
	}
	data := &pngReader{r: r}
	head := make([]byte, zlibHeader)
	if _, err := io.ReadFull(data, head); err != nil {
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			err = fault.Dataf("png: no image data")
		}
		return nil, err
	}
	return whole{codec.NewDeflateMember(data)}, nil
}

func (pngImage) OpenMemory(params []byte) (int64, error) {
	if len(params) > 0 {
		return 0, fault.Dataf("png: %d bytes of parameters, want none", len(params))
	}
	return deflateMemory, nil
}

func (pngImage) CloseMemory([]byte, int64, int64) (int64, error) { return deflateMemory, nil }

// pngRun is a number of chunks of one length in bytes.
type pngRun struct{ length, count uint64 }

// chunks takes stored apart: the data, and the lengths of its chunks.
func (pngImage) chunks(stored []byte) (data []byte, runs []pngRun, err error) {
	for len(stored) > 0 {
		n, ok := pngLength(stored)
		if !ok || n == 0 {
			return nil, nil, unclosable("png: an empty chunk")
		}
		body := stored[4 : pngChunk+n]
		if crc32.ChecksumIEEE(body) != binary.BigEndian.Uint32(stored[pngChunk+n:]) {
			return nil, nil, unclosable("png: wrong checksum")
		}
		data = append(data, body[4:]...)
		if i := len(runs) - 1; i >= 0 && runs[i].length == uint64(n) {
			runs[i].count++
		} else if runs = append(runs, pngRun{uint64(n), 1}); len(runs) > pngMostRuns {
			return nil, nil, unclosable("png: too many chunks")
		}
		stored = stored[pngChunk+n+pngSum:]
	}
	return data, runs, nil
}

// Analyse returns parameters: a varint for the number of runs of chunks of one length, for each one for
// the length and one for how many there are; the header of the zlib stream; and the script.
func (f pngImage) Analyse(stored, content []byte, libs *Libraries, progress func(n int64)) ([]byte, error) {
	data, runs, err := f.chunks(stored)
	if err != nil {
		return nil, err
	}
	script, err := formats[Zlib].Analyse(data[zlibHeader:], content, libs, progress)
	if err != nil {
		return nil, err
	}
	out := binary.AppendUvarint(nil, uint64(len(runs)))
	for _, r := range runs {
		out = binary.AppendUvarint(binary.AppendUvarint(out, r.length), r.count)
	}
	return append(append(out, data[:zlibHeader]...), script...), nil
}

// parse is the inverse.
func (pngImage) parse(params []byte) (runs []pngRun, head, script []byte, err error) {
	n := &numbers{b: params}
	for count := n.next(pngMostRuns); count > 0 && !n.bad; count-- {
		runs = append(runs, pngRun{n.next(1<<31 - 1), n.next(1<<31 - 1)})
	}
	if head = n.bytes(zlibHeader); n.bad {
		return nil, nil, nil, fault.Dataf("png: parameters that cannot be read")
	}
	return runs, head, n.b, nil
}

func (f pngImage) Close(w io.Writer, content io.Reader, params []byte, libs *Libraries) error {
	runs, head, script, err := f.parse(params)
	if err != nil {
		return err
	}
	out := &pngWriter{w: w, runs: runs}
	if _, err := out.Write(head); err != nil {
		return err
	}
	if err := formats[Zlib].Close(out, content, script, libs); err != nil {
		return err
	}
	if out.left > 0 || len(out.runs) > 0 {
		return fault.Dataf("png: less data than chunks have")
	}
	return nil
}

func (f pngImage) effort(params []byte) (int, error) {
	_, _, script, err := f.parse(params)
	if err != nil {
		return 0, err
	}
	return deflate.Chain(script)
}

// pngWriter cuts what is written to it into chunks.
type pngWriter struct {
	w    io.Writer
	runs []pngRun // of chunks that have not begun
	left uint64   // bytes of the chunk that has
	sum  uint32
}

func (p *pngWriter) Write(b []byte) (int, error) {
	total := len(b)
	for len(b) > 0 {
		if p.left == 0 {
			if err := p.begin(); err != nil {
				return 0, err
			}
		}
		n := int(min(p.left, uint64(len(b))))
		p.sum = crc32.Update(p.sum, crc32.IEEETable, b[:n])
		if _, err := p.w.Write(b[:n]); err != nil {
			return 0, err
		}
		b = b[n:]
		if p.left -= uint64(n); p.left == 0 {
			if _, err := p.w.Write(binary.BigEndian.AppendUint32(nil, p.sum)); err != nil {
				return 0, err
			}
		}
	}
	return total, nil
}

// begin writes the head of the next chunk.
func (p *pngWriter) begin() error {
	for len(p.runs) > 0 && (p.runs[0].count == 0 || p.runs[0].length == 0) {
		p.runs = p.runs[1:]
	}
	if len(p.runs) == 0 {
		return fault.Dataf("png: more data than chunks have")
	}
	r := &p.runs[0]
	p.left = r.length
	if r.count--; r.count == 0 {
		p.runs = p.runs[1:]
	}
	p.sum = crc32.ChecksumIEEE([]byte(pngData))
	var head bytes.Buffer
	head.Write(binary.BigEndian.AppendUint32(nil, uint32(p.left)))
	head.WriteString(pngData)
	_, err := p.w.Write(head.Bytes())
	return err
}
