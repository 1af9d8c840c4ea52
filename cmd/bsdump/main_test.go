// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"io"
	"os"
	"testing"

	"swudelta/internal/codec"
	"swudelta/internal/device/stock"
	"swudelta/internal/extfs"
	"swudelta/internal/plan"
	"swudelta/internal/tooltest"
)

func TestMain(m *testing.M) {
	tooltest.Main(m, map[string]func(){
		"bsdump": main,
		"delta":  func() { exit(makeDelta(os.Args[1], os.Args[2], os.Args[3])) },
		"layout": func() { exit(makeLayout(os.Args[1], os.Args[2])) },
	})
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func open(path string) (in plan.Input, err error) {
	f, err := os.Open(path)
	if err != nil {
		return in, err
	}
	info, err := f.Stat()
	if err != nil {
		return in, err
	}
	return plan.Input{ReaderAt: f, Size: info.Size()}, nil
}

// makeDelta writes a delta for the stock library.
func makeDelta(source, target, path string) error {
	old, err := open(source)
	if err != nil {
		return err
	}
	new, err := open(target)
	if err != nil {
		return err
	}
	z, err := codec.OpenZstd(codec.ZstdOptions{})
	if err != nil {
		return err
	}
	scratch := func() (*os.File, error) { return os.CreateTemp("", "scratch") }
	r, err := plan.Make(old, new, plan.Options{Device: stock.New(stock.Options{Zstd: z, Scratch: scratch}), Load: io.ReadAll})
	if err != nil {
		return err
	}
	return os.WriteFile(path, r.Delta, 0o666)
}

// makeLayout writes the layout of an image.
func makeLayout(image, path string) error {
	in, err := open(image)
	if err != nil {
		return err
	}
	l, err := extfs.Scan(in, in.Size, extfs.Options{})
	if err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return l.Write(f)
}

func TestScripts(t *testing.T) { tooltest.Scripts(t, "testdata/script") }
