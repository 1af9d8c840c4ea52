// SPDX-License-Identifier: MIT

package layout

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"unicode/utf8"

	"swudelta/internal/digest"
	"swudelta/internal/fault"
)

// name is a file name in JSON: a string where it is UTF-8, else an object
// {"base64": "..."}, so that every sequence of bytes survives.
type name string

type rawName struct {
	Base64 []byte `json:"base64"`
}

func (n name) MarshalJSON() ([]byte, error) {
	if !utf8.ValidString(string(n)) {
		return encode(rawName{[]byte(n)})
	}
	return encode(string(n))
}

func (n *name) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '{' {
		var raw rawName
		if err := json.Unmarshal(b, &raw); err != nil {
			return err
		}
		*n = name(raw.Base64)
		return nil
	}
	if !utf8.Valid(b) {
		return fmt.Errorf("name %q is not UTF-8", b)
	}
	var s string
	err := json.Unmarshal(b, &s)
	*n = name(s)
	return err
}

// mode is written in octal, as everybody reads it.
type mode uint16

func (m mode) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%04o", uint16(m)), nil }

func (m *mode) UnmarshalText(b []byte) error {
	v, err := strconv.ParseUint(string(b), 8, 16)
	*m = mode(v)
	return err
}

type fileJSON struct {
	Path   name          `json:"path"`
	Links  []name        `json:"links,omitempty"`
	Inode  uint64        `json:"inode,omitempty"`
	Type   Type          `json:"type"`
	Mode   mode          `json:"mode"`
	Size   int64         `json:"size"`
	SHA256 digest.SHA256 `json:"sha256,omitzero"`
	Inline bool          `json:"inline,omitempty"`
	Pieces []Piece       `json:"pieces,omitempty"`
}

func (f File) wire() fileJSON {
	w := fileJSON{Path: name(f.Path), Inode: f.Inode, Type: f.Type, Mode: mode(f.Mode), Size: f.Size,
		SHA256: f.SHA256, Inline: f.Inline, Pieces: f.Pieces}
	for _, l := range f.Links {
		w.Links = append(w.Links, name(l))
	}
	return w
}

func (w fileJSON) value() File {
	f := File{Path: string(w.Path), Inode: w.Inode, Type: w.Type, Mode: uint16(w.Mode), Size: w.Size,
		SHA256: w.SHA256, Inline: w.Inline, Pieces: w.Pieces}
	for _, l := range w.Links {
		f.Links = append(f.Links, string(l))
	}
	return f
}

type regionJSON struct {
	Kind    string `json:"kind"`
	Group   int    `json:"group,omitempty"`
	Path    name   `json:"path,omitempty"`
	Inode   uint64 `json:"inode,omitempty"`
	Logical int64  `json:"logical,omitempty"`
	Offset  int64  `json:"offset"`
	Length  int64  `json:"length"`
}

func (r Region) wire() regionJSON {
	return regionJSON{r.Kind, r.Group, name(r.Path), r.Inode, r.Logical, r.Offset, r.Length}
}

func (w regionJSON) value() Region {
	return Region{w.Kind, w.Group, string(w.Path), w.Inode, w.Logical, w.Offset, w.Length}
}

type extentJSON Extent

func (e Extent) wire() extentJSON  { return extentJSON(e) }
func (w extentJSON) value() Extent { return Extent(w) }

// encode is json.Marshal without the escapes for HTML: names stay readable.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// Write writes l as JSON, with each file, region and extent on a line of its
// own. The same layout gives the same bytes.
func (l *Layout) Write(w io.Writer) error {
	if err := l.Check(); err != nil {
		return err
	}
	b := bufio.NewWriterSize(w, 64<<10)
	system, err := encode(l.FileSystem)
	if err != nil {
		return err
	}
	fmt.Fprintf(b, "{\"version\":%d,\"fileSystem\":%s,\"size\":%d,\"blockSize\":%d,\n", l.Version, system, l.Size, l.BlockSize)
	if err := writeList(b, "files", l.Files); err != nil {
		return err
	}
	b.WriteString(",\n")
	if err := writeList(b, "metadata", l.Metadata); err != nil {
		return err
	}
	b.WriteString(",\n")
	if err := writeList(b, "free", l.Free); err != nil {
		return err
	}
	b.WriteString("}\n")
	return b.Flush()
}

func writeList[T interface{ wire() W }, W any](w *bufio.Writer, key string, list []T) error {
	fmt.Fprintf(w, "%q:[", key)
	var line bytes.Buffer
	e := json.NewEncoder(&line)
	e.SetEscapeHTML(false)
	for i, v := range list {
		line.Reset()
		if err := e.Encode(v.wire()); err != nil {
			return err
		}
		if i > 0 {
			w.WriteByte(',')
		}
		w.WriteByte('\n')
		// bufio keeps the first error for Flush, which Write reports.
		w.Write(bytes.TrimSuffix(line.Bytes(), []byte("\n")))
	}
	_, err := w.WriteString("]")
	return err
}

// Read reads a layout and checks it. Members that it does not know are ignored;
// whatever breaks a rule is a fault of the data. The memory it takes is
// proportional to the length of the input.
func Read(r io.Reader) (*Layout, error) {
	in := &input{r: r}
	d := json.NewDecoder(in)
	l := &Layout{}
	if err := l.decode(d); err != nil {
		if in.err != nil {
			return nil, fmt.Errorf("layout: %w", in.err)
		}
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, fault.At(d.InputOffset(), "layout: %w", err)
	}
	if err := l.Check(); err != nil {
		return nil, err
	}
	return l, nil
}

// input remembers the error of the reader itself, which is none of the data's.
type input struct {
	r   io.Reader
	err error
}

func (in *input) Read(p []byte) (int, error) {
	n, err := in.r.Read(p)
	if err != nil && err != io.EOF {
		in.err = err
	}
	return n, err
}

func (l *Layout) decode(d *json.Decoder) error {
	if err := expect(d, '{'); err != nil {
		return err
	}
	seen := map[string]bool{}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return err
		}
		key, _ := t.(string)
		if seen[key] {
			return fmt.Errorf("member %q occurs twice", key)
		}
		seen[key] = true
		switch key {
		case "version":
			err = d.Decode(&l.Version)
		case "fileSystem":
			err = d.Decode(&l.FileSystem)
		case "size":
			err = d.Decode(&l.Size)
		case "blockSize":
			err = d.Decode(&l.BlockSize)
		case "files":
			l.Files, err = readList[fileJSON](d)
		case "metadata":
			l.Metadata, err = readList[regionJSON](d)
		case "free":
			l.Free, err = readList[extentJSON](d)
		default:
			var skip json.RawMessage
			err = d.Decode(&skip)
		}
		if err != nil {
			return fmt.Errorf("%q: %w", key, err)
		}
	}
	if err := expect(d, '}'); err != nil {
		return err
	}
	for _, key := range []string{"version", "size", "blockSize"} {
		if !seen[key] {
			return fmt.Errorf("no %q", key)
		}
	}
	if _, err := d.Token(); err != io.EOF {
		return fmt.Errorf("something follows the layout")
	}
	return nil
}

func expect(d *json.Decoder, want json.Delim) error {
	t, err := d.Token()
	if err != nil {
		return err
	}
	if t != want {
		return fmt.Errorf("got %v, want %v", t, want)
	}
	return nil
}

// readList decodes an array element by element, so that only one element at a
// time is held as text.
func readList[W interface{ value() T }, T any](d *json.Decoder) ([]T, error) {
	if err := expect(d, '['); err != nil {
		return nil, err
	}
	var list []T
	for d.More() {
		var w W
		if err := d.Decode(&w); err != nil {
			return nil, err
		}
		list = append(list, w.value())
	}
	return list, expect(d, ']')
}
