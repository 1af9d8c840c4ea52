// SPDX-License-Identifier: MIT

// Package errnum numbers errors as the reference library does, so that the agent's result
// codes mean what they did. Package result says what the numbers mean.
package errnum

import (
	"errors"
	"fmt"

	"swudelta/internal/fault"
)

// Error is a fault of a delta, or of the source that it is applied to; or that a library
// or scratch space is missing, which is no fault of the data.
type Error struct {
	Code int // the reference library's error number, Other where it has none
	Err  error
}

// New gives an error a number.
func New(code int, err error) error { return &Error{code, err} }

// Error names the cause and the number.
func (e *Error) Error() string { return fmt.Sprintf("%v (error %d)", e.Err, e.Code) }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Numbers of the reference library (its error_codes.h), and from 60000 on ours.
const (
	Other             = 1     // what the reference has no number for
	Short             = 20000 // the file ends early
	Inflate           = 20104
	InflateShort      = 20105
	Container         = 20106
	ZlibStart         = 20107
	Zstd              = 20201
	ZstdShort         = 20202
	OpenInput         = 20300 // source or delta cannot be opened
	OpenTarget        = 20301 // the target cannot be made
	OutOfBounds       = 20401
	Scratch           = 21000 // no scratch space
	SliceOutOfBounds  = 21200
	Magic             = 30000
	Version           = 30001
	FileSize          = 30002
	HashType          = 30003
	NoRecipe          = 30004
	InlineBytes       = 30005
	Hash              = 30009 // a wrong digest
	ChunkCount        = 30011
	ParamType         = 30101
	ParamForItem      = 30102
	ParamForNumber    = 30103
	ParamCount        = 30104
	NumberTooLarge    = 30400
	BSPatch           = 30900
	SourceSize        = 31100 // the source has another size
	Lengths           = 31701
	NoZstdCompression = 31702 // no libzstd
	ZlibLevel         = 33000
	SelfReferential   = 33001
	Newer             = 60000 // ours: a delta for a newer version
	Library           = 60001 // ours: a library that closes members is missing, or writes other bytes
	Closing           = 60002 // ours: a member cannot be closed as the delta states
)

// NoZstd numbers the reason why there is no libzstd to compress with.
func NoZstd(err error) error {
	var e *Error
	if errors.As(err, &e) {
		return err
	}
	return &Error{NoZstdCompression, err}
}

// Errorf makes an Error with the given number that is a fault of the data.
func Errorf(code int, format string, args ...any) error {
	return &Error{code, fault.Dataf(format, args...)}
}

// Coded gives an error the number code if it is a fault of the data and has no
// number yet. Environment errors stay as they are.
func Coded(code int, err error) error {
	var e *Error
	if err == nil || errors.As(err, &e) || !fault.IsData(err) {
		return err
	}
	return &Error{code, err}
}
