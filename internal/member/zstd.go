// SPDX-License-Identifier: MIT

package member

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"

	"swudelta/internal/codec"
	"swudelta/internal/fault"
)

// zstd is frames of zstd. Parameters of Open are the widest window, as a varint; those of Close are the
// level of the canonical form.
type zstd struct{}

func (zstd) Name() string     { return "zstd" }
func (zstd) Magics() []string { return []string{"\x28\xb5\x2f\xfd"} }

func (zstd) Find(b []byte) (Found, bool) {
	n, window, err := codec.ZstdFrames(bytes.NewReader(b), int64(len(b)))
	if err != nil || window > codec.MaxWindow {
		return Found{}, false
	}
	return Found{Len: int(n), Params: binary.AppendUvarint(nil, uint64(max(window, leastWindow)))}, true
}

// leastWindow is that of the decoder, in bytes.
const leastWindow = 1 << 10

// window reads parameters of Open.
func (zstd) window(params []byte) (int64, error) {
	v, n := binary.Uvarint(params)
	if n <= 0 || n != len(params) || v < leastWindow || v > codec.MaxWindow {
		return 0, fault.Dataf("zstd: parameters %x", params)
	}
	return int64(v), nil
}

func (z zstd) Open(r io.Reader, params []byte) (Reader, error) {
	window, err := z.window(params)
	if err != nil {
		return nil, err
	}
	content, err := codec.NewZstdReader(r, window)
	if err != nil {
		return nil, err
	}
	return whole{content}, nil
}

// whole is a reader of a member whose length is known.
type whole struct{ io.ReadCloser }

func (whole) Used() int64 { return 0 }

func (z zstd) OpenMemory(params []byte) (int64, error) {
	window, err := z.window(params)
	return window + 1<<20, err
}

func (z zstd) Analyse(stored, content []byte, libs *Libraries) ([]byte, error) {
	if libs == nil || libs.Zstd == nil {
		return nil, unclosable("zstd: no library")
	}
	params := []byte{codec.CanonicalLevel}
	return params, Try(z, stored, bytes.NewReader(content), params, libs)
}

// level reads parameters of Close.
func (zstd) level(params []byte) (int, error) {
	if len(params) != 1 || params[0] != codec.CanonicalLevel {
		return 0, fault.Dataf("zstd: parameters %x", params)
	}
	return int(params[0]), nil
}

func (z zstd) Close(w io.Writer, content io.Reader, params []byte, libs *Libraries) error {
	level, err := z.level(params)
	if err != nil {
		return err
	}
	if libs == nil || libs.Zstd == nil {
		return errors.New("no libzstd to compress with")
	}
	lib, err := libs.Zstd()
	if err != nil {
		return err
	}
	enc, err := lib.NewCanonicalWriter(w, level)
	if err != nil {
		return err
	}
	_, err = io.Copy(enc, content)
	if closeErr := enc.Close(); err == nil {
		err = closeErr
	}
	return err
}

// CloseMemory is what libzstd takes at the canonical level, and more.
func (z zstd) CloseMemory(params []byte) (int64, error) {
	_, err := z.level(params)
	return 16 << 20, err
}
