// SPDX-License-Identifier: MIT

// Package fault tells errors that the data is to blame for from all others.
//
// Commands end with status 3 when an input is malformed, truncated, or does not
// match its digest ("throw the artifact away"), and with status 1 when the
// environment failed ("try again"). Only the code that looks at the bytes knows
// which it is, so it says so here, and the command layer reads it back.
package fault

import (
	"errors"
	"fmt"
	"syscall"
)

// dataError marks its cause as a fault of the data.
type dataError struct{ err error }

func (e *dataError) Error() string { return e.err.Error() }
func (e *dataError) Unwrap() error { return e.err }

// Dataf formats an error, as fmt.Errorf does, and marks it as a fault of the
// data. %w keeps causes reachable.
func Dataf(format string, args ...any) error {
	return &dataError{fmt.Errorf(format, args...)}
}

// At is Dataf for a fault at a known place: the message ends in "at offset N",
// where N counts bytes from the start of the input.
func At(offset int64, format string, args ...any) error {
	return &dataError{fmt.Errorf("%w at offset %d", fmt.Errorf(format, args...), offset)}
}

// Data marks err as a fault of the data, or returns nil for nil.
func Data(err error) error {
	if err == nil {
		return nil
	}
	return &dataError{err}
}

// IsData reports whether err is a fault of the data. An operating system error
// anywhere in the chain (no space, input/output error) outweighs the mark: a
// reader that meets one in the middle of an archive has learnt nothing about
// the archive.
func IsData(err error) bool {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return false
	}
	var d *dataError
	return errors.As(err, &d)
}
