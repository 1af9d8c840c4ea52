// SPDX-License-Identifier: MIT

package processor

import (
	"bytes"
	"debug/buildinfo"
	"debug/elf"
	"embed"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"
	"unsafe"

	"swudelta/internal/codec"
	"swudelta/internal/fault"
	"swudelta/internal/pamz"
)

// ours is the import path of this project's library.
const ours = "swudelta/lib/libadudiffapi"

// Probe finds out of which generation the library in a file is. It must be for this machine,
// since it is loaded, unless it is ours. What is no delta processor, or none that is known, is
// a fault of the data.
func Probe(path string) (Generation, error) {
	// A second Go runtime in one process is asking for trouble.
	if info, err := buildinfo.ReadFile(path); err == nil && info.Path == ours {
		return Ours, nil
	}
	f, err := elf.Open(path)
	if err != nil {
		var format *elf.FormatError
		if errors.As(err, &format) || errors.Is(err, io.EOF) {
			return Generation{}, fault.Dataf("no shared object: %w", err)
		}
		return Generation{}, err
	}
	defer f.Close()
	symbols, err := f.DynamicSymbols()
	if err != nil {
		return Generation{}, fault.Dataf("no shared object: %w", err)
	}
	if !slices.ContainsFunc(symbols, func(s elf.Symbol) bool { return s.Name == "adu_diff_apply" && s.Section != elf.SHN_UNDEF }) {
		return Generation{}, fault.Dataf("no delta processor: it has no function adu_diff_apply")
	}
	p, err := load(path)
	if err != nil {
		return Generation{}, err
	}
	return p.generation()
}

// The deltas, one of each form, turn source into target.
var (
	source = []byte("hello world\n")
	target = []byte("hello brave world\n")
	//go:embed deltas
	deltas embed.FS
	forms  = []struct {
		pamz.Form
		file string
	}{
		{pamz.Form{Version: 0, Order: pamz.LittleEndian}, "minimal.v0.le.diff"},
		{pamz.Form{Version: 0, Order: pamz.BigEndian}, "minimal.v0.be.diff"},
		{pamz.Form{Version: 1, Order: pamz.LittleEndian}, "minimal.v1.le.diff"},
		{pamz.Form{Version: 1, Order: pamz.BigEndian}, "minimal.v1.be.diff"},
		{pamz.Form{Version: 2, Order: pamz.BigEndian}, "minimal.v2.diff"},
	}
)

// generation finds out what the library reads.
func (p *library) generation() (Generation, error) {
	var reads []pamz.Form
	for _, form := range forms {
		delta, err := deltas.ReadFile("deltas/" + form.file)
		if err != nil {
			return Generation{}, err
		}
		applied, err := p.applies(delta)
		if err != nil {
			return Generation{}, err
		}
		if applied {
			reads = append(reads, form.Form)
		}
	}
	for _, g := range Stock {
		if slices.Equal(g.Forms, reads) {
			return g, nil
		}
	}
	if len(reads) == 0 {
		return Generation{}, fault.Dataf("a delta processor that is not known: it makes the right target of no delta")
	}
	return Generation{}, fault.Dataf("a delta processor that is not known: it reads %v", reads)
}

// library is a loaded library.
type library struct {
	create func() unsafe.Pointer
	apply  func(session unsafe.Pointer, source, diff, target string) int32
	close  func(session unsafe.Pointer)
}

func load(path string) (*library, error) {
	p := &library{}
	err := codec.Load(path, map[string]any{
		"adu_diff_apply_create_session": &p.create,
		"adu_diff_apply":                &p.apply,
		"adu_diff_apply_close_session":  &p.close,
	})
	return p, err
}

// limit is how long a library may take for a few hundred bytes.
const limit = 20 * time.Second

// applies reports whether the library makes target of source with that delta.
func (p *library) applies(delta []byte) (bool, error) {
	dir, err := os.MkdirTemp("", "adu-probe-")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(dir)
	name := func(s string) string { return filepath.Join(dir, s) }
	for f, content := range map[string][]byte{"source": source, "delta": delta} {
		if err := os.WriteFile(name(f), content, 0o600); err != nil {
			return false, err
		}
	}
	done := make(chan int32, 1)
	go func() {
		session := p.create()
		done <- p.apply(session, name("source"), name("delta"), name("target"))
		p.close(session)
	}()
	select {
	case errs := <-done:
		if errs != 0 {
			return false, nil
		}
	case <-time.After(limit):
		return false, fault.Dataf("the library did not come to an end in %v", limit)
	}
	made, err := os.ReadFile(name("target"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return false, err
	}
	return bytes.Equal(made, target), nil
}
