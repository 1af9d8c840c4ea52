// SPDX-License-Identifier: MIT

package fault

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"syscall"
	"testing"
)

func TestIsData(t *testing.T) {
	noSpace := &fs.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}
	for _, c := range []struct {
		name string
		err  error
		want bool
	}{
		{"nil", nil, false},
		{"plain", io.EOF, false},
		{"data", Dataf("bad magic"), true},
		{"wrapped", fmt.Errorf("open: %w", Dataf("bad magic")), true},
		{"data around errno", Dataf("member: %w", noSpace), false},
		{"errno around data", fmt.Errorf("%w: %w", noSpace, Dataf("x")), false},
		{"nil data", Data(nil), false},
	} {
		if got := IsData(c.err); got != c.want {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}

func TestCauseAndOffset(t *testing.T) {
	err := At(42, "header: %w", io.ErrUnexpectedEOF)
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error("cause lost")
	}
	if got, want := err.Error(), "header: unexpected EOF at offset 42"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
