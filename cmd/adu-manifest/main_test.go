// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"log"
	"os"
	"testing"

	"swudelta/internal/digest"
	"swudelta/internal/pamz"
	"swudelta/internal/tooltest"
)

func TestMain(m *testing.M) {
	tooltest.Main(m, map[string]func(){"adu-manifest": main, "mkdelta": mkdelta})
}

func TestScripts(t *testing.T) { tooltest.Scripts(t, "testdata/script") }

// mkdelta SOURCE TEXT TARGET DELTA [2] writes a target of zeros and a text, and
// a delta of version 0 (or 2) from any source to it.
func mkdelta() {
	source, err := os.ReadFile(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	zeros, text := make([]byte, 8192), []byte(os.Args[2])
	target := append(zeros, text...)
	d := &pamz.Diff{
		TargetLength: int64(len(target)), TargetSHA256: digest.Sum(target),
		SourceLength: int64(len(source)), SourceSHA256: digest.Sum(source),
		Chunks: []*pamz.Item{
			pamz.NewItem(int64(len(zeros)), digest.Sum(zeros), pamz.AllZero(int64(len(zeros)))),
			pamz.NewItem(int64(len(text)), digest.Sum(text), pamz.InlineAsset(text)),
		},
	}
	if len(os.Args) > 5 {
		d.Version, d.Order = 2, pamz.BigEndian
	}
	for _, c := range d.Chunks {
		c.Kind = pamz.Chunk
	}
	d.Chunks[1].Offset = int64(len(zeros))
	var b bytes.Buffer
	if err := pamz.Encode(&b, d); err != nil {
		log.Fatal(err)
	}
	if err := os.WriteFile(os.Args[3], target, 0o666); err != nil {
		log.Fatal(err)
	}
	if err := os.WriteFile(os.Args[4], b.Bytes(), 0o666); err != nil {
		log.Fatal(err)
	}
}
