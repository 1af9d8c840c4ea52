// SPDX-License-Identifier: MIT

package main

import (
	"io"
	"log"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"swudelta/internal/codec"
	"swudelta/internal/tooltest"
)

func TestMain(m *testing.M) { tooltest.Main(m, map[string]func(){"extdump": main, "image": image}) }

func TestScripts(t *testing.T) { tooltest.Scripts(t, "testdata/script") }

// image NAME FILE [SIZE [OFFSET BYTE]...] writes an image of the tests of extfs to
// FILE: SIZE bytes of it (0: all), with other bytes at some offsets.
func image() {
	check := func(err error) {
		if err != nil {
			log.Fatal(err)
		}
	}
	number := func(s string) int {
		n, err := strconv.ParseUint(s, 0, 31)
		check(err)
		return int(n)
	}
	args := os.Args[1:]
	f, err := os.Open(filepath.Join(tooltest.Root(), "internal", "extfs", "testdata", args[0]+".img.zst"))
	check(err)
	r, _, err := codec.NewReader(f)
	check(err)
	b, err := io.ReadAll(r)
	check(err)
	if len(args) > 2 && number(args[2]) > 0 {
		b = b[:number(args[2])]
	}
	for i := 3; i+1 < len(args); i += 2 {
		b[number(args[i])] = byte(number(args[i+1]))
	}
	check(os.WriteFile(args[1], b, 0o666))
}
