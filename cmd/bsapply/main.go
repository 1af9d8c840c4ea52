// SPDX-License-Identifier: MIT

// Bsapply rebuilds a file from an older one and a delta.
//
// Usage:
//
//	bsapply [--sha256 HEX] [--memory SIZE] [--need] [--libzstd FILE] [--device-libzstd VERSION] SOURCE [DELTA]
//
// DELTA is a PAMZ file of any version and byte order, or a BSDIFF40 patch. Exit
// status 3 says that SOURCE is not what DELTA was made from, or that DELTA is
// malformed, cut short, or does not make the target that it promises.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"runtime/debug"
	"strings"

	"swudelta/internal/apply"
	"swudelta/internal/bsdiff"
	"swudelta/internal/codec"
	"swudelta/internal/digest"
	"swudelta/internal/errnum"
	"swudelta/internal/member"
	"swudelta/internal/native"
	"swudelta/internal/pamz"
	"swudelta/internal/progress"
	"swudelta/internal/tool"
	"swudelta/internal/zstdflag"
)

func main() { tool.Main(app) }

var app = &tool.Command{
	Name:    "bsapply",
	Usage:   "[--sha256 HEX] SOURCE [DELTA]",
	Summary: "Rebuild a file from an older one and a delta, and verify it.",
	Description: `
DELTA is what the Device Update delta processor reads (PAMZ, version 0 of either byte
order or version 2), a delta of our own format (bsdelta --device native), or a BSDIFF40
patch.

SOURCE, every chunk of the target and the target itself are verified, except that a
BSDIFF40 patch has no digests: --sha256 gives one. With -o nothing appears under that
name unless it is right; on standard output a reader must wait for status 0.
An error that the delta processor knows is named with its number.

Memory does not grow with the files. What must be read at random but can only be
produced front to back is kept in TMPDIR, in a file without a name. SOURCE and DELTA
are read at random, and copied there if they are pipes. Where memory or space do not
suffice, that is said before anything is written; --need prints what suffices.

Images that the device compresses with zstd need a libzstd with the device's bytes: the
one that --libzstd names; the one that came with the package; the one that get-libzstd
left in the user's cache folder; the system's, if its bytes are the device's.`,
	Example: `
$ bsapply -o target.swu source.swu update.diff
$ bsapply source.swu < update.diff | cmp - target.swu`,
	MinArgs: 1,
	Binary:  func(c *tool.Context) bool { return !c.Bool("need") },
	MaxArgs: 2,
	Flags: []tool.Flag{
		&tool.String{Name: "sha256", Arg: "HEX", Help: "the digest that the target must have, in hex or base64"},
		&tool.Size{Name: "memory", Arg: "SIZE", Value: apply.DefaultMemory, Help: "memory that compressors and decompressors may take"},
		&tool.Bool{Name: "need", Help: "print what applying needs, as JSON, in bytes, and apply nothing"},
		zstdflag.File(),
		zstdflag.DeviceVersion(),
	},
	Run: run,
}

func run(c *tool.Context) error {
	// Deltas of many small patches make decoders faster than the collector, left
	// to itself, gets rid of them. More may be used where it is needed.
	debug.SetMemoryLimit(32 << 20)
	// Libraries take memory, too, of which the collector does not know.
	debug.SetGCPercent(20)
	verify := func(digest.SHA256) error { return nil }
	if c.IsSet("sha256") {
		want, err := digest.Parse(c.String("sha256"))
		if err != nil {
			return tool.Usagef("--sha256: %v", err)
		}
		verify = func(sum digest.SHA256) error { return digest.Check(sum, want) }
	}
	if zstdflag.Set(c) {
		if _, err := zstdflag.Open(c); tool.IsUsage(err) {
			return err
		} else if err != nil {
			return errnum.NoZstd(err)
		}
	}
	source, err := c.InputAt(0)
	if err != nil {
		return err
	}
	defer source.Close()
	delta, err := c.InputAt(1)
	if err != nil {
		return err
	}
	defer delta.Close()
	j, err := open(c, source, delta, verify)
	if err != nil {
		return err
	}
	if c.Bool("need") {
		return printNeed(c, delta, j.need)
	}
	return c.Output(func(w io.Writer) error {
		if err := j.write(w); err != nil {
			return fmt.Errorf("%s: %w", delta.Name(), err)
		}
		return nil
	})
}

// job is what can be done with a delta.
type job struct {
	need  func() (apply.Need, error)
	write func(w io.Writer) error
}

// open reads what is known of the delta before it is applied.
func open(c *tool.Context, source, delta *tool.File, verify func(digest.SHA256) error) (job, error) {
	switch {
	case bsdiff.IsPatch(delta):
		need := func() (apply.Need, error) {
			h, err := bsdiff.Parse(delta, delta.Size())
			return apply.Need{Memory: bsdiff.ApplyMemory(h.NewSize)}, err
		}
		return job{need, func(w io.Writer) error { return applyPatch(c, w, source, delta, verify) }}, nil
	case native.IsDelta(delta):
		return openNative(c, source, delta, verify)
	}
	return openPAMZ(c, source, delta, verify)
}

func openNative(c *tool.Context, source, delta *tool.File, verify func(digest.SHA256) error) (job, error) {
	d, err := native.Open(delta, delta.Size())
	if err == nil {
		err = verify(d.TargetSHA256)
	}
	if err != nil {
		return job{}, fmt.Errorf("%s: %w", delta.Name(), err)
	}
	need := func() (apply.Need, error) { return apply.Need{Memory: d.Need.Memory, Scratch: d.Need.Scratch}, nil }
	return job{need, func(w io.Writer) error {
		sum, err := sumSource(c, source, d.SourceLength)
		if err != nil {
			return err
		}
		return hint(d.Apply(w, source, source.Size(), native.ApplyOptions{
			Libraries: member.Libraries{Zstd: func() (*codec.Zstd, error) { return zstdflag.Open(c) }},
			Scratch:   c.Scratch,
			Memory:    c.Size("memory"),
			SourceSum: sum,
			Progress:  c.Progress().Start("apply", progress.Bytes, d.TargetLength).Add,
		}))
	}}, nil
}

func openPAMZ(c *tool.Context, source, delta *tool.File, verify func(digest.SHA256) error) (job, error) {
	d, err := pamz.Decode(delta, delta.Size())
	if err != nil {
		return job{}, swapped(fmt.Errorf("%s: %w", delta.Name(), err), source, delta)
	}
	if err := verify(d.TargetSHA256); err != nil {
		return job{}, fmt.Errorf("%s: %w", delta.Name(), err)
	}
	need := func() (apply.Need, error) { return needs(c, d, source) }
	return job{need, func(w io.Writer) error {
		sum, err := sumSource(c, source, d.SourceLength)
		if err != nil {
			return err
		}
		return hint(apply.Apply(w, d, source, source.Size(), apply.Options{
			Zstd:      func() (*codec.Zstd, error) { return zstdflag.Open(c) },
			Zlib:      func() (*codec.Zlib, error) { return codec.OpenZlib("") },
			Scratch:   c.Scratch,
			Memory:    c.Size("memory"),
			SourceSum: sum,
			Progress:  c.Progress().Start("apply", progress.Bytes, d.TargetLength).Add,
		}))
	}}, nil
}

// sumSource hashes the source, if it has as many bytes as the delta wants: else it is wrong,
// whatever it holds.
func sumSource(c *tool.Context, source *tool.File, want int64) (*digest.Writer, error) {
	if source.Size() != want {
		return nil, nil
	}
	sum := digest.NewWriter(io.Discard)
	in := c.Progress().Start("source", progress.Bytes, want).Reader(io.NewSectionReader(source, 0, want))
	_, err := io.CopyBuffer(sum, in, make([]byte, 128<<10))
	return sum, err
}

// swapped adds a hint to err, the reason why delta is none, if the operands look as
// if they were given in the wrong order.
func swapped(err error, source, delta io.ReaderAt) error {
	head := func(r io.ReaderAt) string {
		b := make([]byte, len("070701"))
		n, _ := r.ReadAt(b, 0)
		return string(b[:n])
	}
	switch h := head(delta); {
	case strings.HasPrefix(head(source), "PAMZ") || bsdiff.IsPatch(source):
		return tool.Hint(err, "SOURCE is a delta: swapped? bsapply SOURCE DELTA")
	case h == "070701" || h == "070702":
		return tool.Hint(err, "DELTA is a SWU: swapped? bsapply SOURCE DELTA")
	}
	return err
}

// needs is what applying d needs with the memory that --memory allows. Without that flag
// a delta may need more than applying it takes by default.
func needs(c *tool.Context, d *pamz.Diff, source io.ReaderAt) (apply.Need, error) {
	need, err := apply.Needs(d, source, c.Size("memory"))
	if errors.Is(err, apply.ErrMemory) && !c.IsSet("memory") {
		return apply.Needs(d, source, math.MaxInt64)
	}
	return need, err
}

// printNeed writes what applying needs.
func printNeed(c *tool.Context, delta *tool.File, find func() (apply.Need, error)) error {
	need, err := find()
	if err != nil {
		return fmt.Errorf("%s: %w", delta.Name(), hint(err))
	}
	return c.TextOutput(func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetIndent("", " ")
		return e.Encode(need)
	})
}

// hint says what to do about what is missing.
func hint(err error) error {
	switch {
	case errors.Is(err, apply.ErrMemory), errors.Is(err, native.ErrMemory):
		return tool.Hint(err, "allow more with --memory")
	case errors.Is(err, apply.ErrScratch), errors.Is(err, native.ErrScratch):
		return tool.Hint(err, "name a folder with more space in TMPDIR")
	}
	return err
}

// applyPatch applies a BSDIFF40 patch.
func applyPatch(c *tool.Context, w io.Writer, source, delta *tool.File, verify func(digest.SHA256) error) error {
	h, err := bsdiff.Parse(delta, delta.Size())
	if err != nil {
		return err
	}
	if need, memory := bsdiff.ApplyMemory(h.NewSize), c.Size("memory"); need > memory {
		return hint(fmt.Errorf("%w: needs %d KiB, %d KiB left", apply.ErrMemory, (need+1023)>>10, memory>>10))
	}
	sum := digest.NewWriter(w)
	if err := bsdiff.Apply(sum, source, source.Size(), delta, delta.Size(), h.NewSize); err != nil {
		return err
	}
	return verify(sum.Sum())
}
