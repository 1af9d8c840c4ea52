// SPDX-License-Identifier: MIT

package pamz

import (
	"errors"
	"fmt"

	"swudelta/internal/fault"
)

// Error is a fault of a delta, or of the source that it is applied to; or that a
// library or scratch space is missing, which is no fault of the data.
type Error struct {
	Code int // the reference library's error number, 1 where it has none (doc/format.md)
	Err  error
}

// Error names the cause and the number.
func (e *Error) Error() string { return fmt.Sprintf("%v (error %d)", e.Err, e.Code) }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Error numbers of the reference library that are raised here.
const (
	CodeOther             = 1
	CodeShort             = 20000
	CodeInflate           = 20104
	CodeInflateShort      = 20105
	CodeContainer         = 20106
	CodeZlibStart         = 20107
	CodeZstd              = 20201
	CodeZstdShort         = 20202
	CodeOutOfBounds       = 20401
	CodeScratch           = 21000
	CodeSliceOutOfBounds  = 21200
	CodeMagic             = 30000
	CodeVersion           = 30001
	CodeFileSize          = 30002
	CodeHashType          = 30003
	CodeNoRecipe          = 30004
	CodeInlineBytes       = 30005
	CodeHash              = 30009
	CodeChunkCount        = 30011
	CodeParamType         = 30101
	CodeParamForItem      = 30102
	CodeParamForNumber    = 30103
	CodeParamCount        = 30104
	CodeNumberTooLarge    = 30400
	CodeBSPatch           = 30900
	CodeSourceSize        = 31100
	CodeLengths           = 31701
	CodeZlibLevel         = 33000
	CodeSelfReferential   = 33001
	CodeNoZstdCompression = 31702
)

// NoZstd numbers the reason why there is no libzstd to compress with.
func NoZstd(err error) error {
	var e *Error
	if errors.As(err, &e) {
		return err
	}
	return &Error{CodeNoZstdCompression, err}
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
