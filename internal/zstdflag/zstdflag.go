// SPDX-License-Identifier: MIT

// Package zstdflag is the home of the flags by which a command's user chooses
// a libzstd. It stands beside package tool so that only the commands that
// compress are linked with the loader of C libraries.
package zstdflag

import (
	"errors"

	"swudelta/internal/codec"
	"swudelta/internal/tool"
)

// File is --libzstd.
func File() tool.Flag {
	return &tool.String{Name: "libzstd", Arg: "FILE", Help: "the libzstd to use"}
}

// DeviceVersion is --device-libzstd.
func DeviceVersion() tool.Flag {
	return &tool.String{Name: "device-libzstd", Arg: "VERSION", Help: "libzstd of the device (default " + codec.DefaultZstdVersion + ", with --libzstd that of FILE)"}
}

// Set reports whether one of the flags was given.
func Set(c *tool.Context) bool { return c.IsSet("libzstd") || c.IsSet("device-libzstd") }

// Open loads the library that the flags choose. A version that is none is
// wrong usage; codec.OpenZstd has the other errors.
func Open(c *tool.Context) (*codec.Zstd, error) {
	z, err := codec.OpenZstd(codec.ZstdOptions{File: c.String("libzstd"), DeviceVersion: c.String("device-libzstd")})
	if errors.Is(err, codec.ErrVersion) {
		return nil, tool.Usagef("--device-libzstd: %v", err)
	}
	if err == nil {
		c.Verbosef("libzstd %s: %s", z.Version(), z.Path())
	}
	return z, err
}
