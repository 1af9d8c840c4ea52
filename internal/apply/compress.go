// SPDX-License-Identifier: MIT

package apply

import (
	"io"
	"runtime/debug"

	"swudelta/internal/codec"
	"swudelta/internal/pamz"
)

// compressor opens the library's compressor when the first byte arrives. Before
// that its memory serves the decoders that prepare the content.
type compressor struct {
	s        *scope
	w        io.Writer
	recipe   *pamz.Recipe
	content  int64 // bytes that will arrive
	packed   int64 // bytes that they become
	reserved int64 // bytes of the memory for codecs
	zw       io.WriteCloser
}

func (c *compressor) Write(p []byte) (int, error) {
	if c.zw == nil {
		if err := c.open(); err != nil {
			return 0, err
		}
	}
	return c.zw.Write(p)
}

// skip does what matters of a Write in a rehearsal: it takes the memory.
func (c *compressor) skip(int64) error {
	if c.zw != nil {
		return nil
	}
	return c.open()
}

func (c *compressor) open() (err error) {
	if c.recipe.Op == pamz.OpZstdCompression {
		if c.s.patcher != nil {
			// The library's memory is not the collector's, which sees no reason to
			// give back what patches took.
			c.s.dropPatcher()
			debug.FreeOSMemory()
		}
		level := int(c.recipe.Params[3].Number)
		need := codec.ZstdMemory(level, c.content, c.packed).Memory()
		if err := c.s.reserve("zstd compression", need); err != nil {
			return err
		}
		c.reserved = need
	}
	c.zw, err = c.s.mode.encoder(c)
	return err
}

// close completes the stream. The content may be empty.
func (c *compressor) close() error {
	if c.zw == nil {
		if err := c.open(); err != nil {
			return err
		}
	}
	return c.zw.Close()
}

func (c *compressor) release() { c.s.memory += c.reserved }
