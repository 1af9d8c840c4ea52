// SPDX-License-Identifier: MIT

package deploy

import (
	"errors"
	"os"
	"path/filepath"

	"swudelta/internal/errnum"
	"swudelta/internal/pamz"
)

// The delta processors that a device can have. Those with a number are generations of
// the stock library, Native is this project's.
const (
	Stock10 = "1.0"
	Stock30 = "3.0"
	Native  = "native"
)

// Libraries are all of them; the first is the default.
var Libraries = []string{Native, Stock10, Stock30}

// readable fails where a stock library refuses a delta for its form, with the library's
// number, before it looks at the source. What it reads is then applied as ours does it.
func (d *deployment) readable(diff string) error {
	if d.Library == "" || d.Library == Native {
		return nil
	}
	f, err := os.Open(diff)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	delta, err := pamz.Decode(f, info.Size())
	var fault *errnum.Error
	switch {
	case errors.As(err, &fault):
		return d.refusal(diff, fault.Code, fault.Err.Error())
	case err != nil:
		return err
	case d.Library == Stock10 && delta.Version != 0:
		return d.refusal(diff, errnum.Version, "its version is for later libraries")
	case d.Library == Stock10 && delta.Order != pamz.LittleEndian, d.Library == Stock30 && delta.Order != pamz.BigEndian:
		return d.refusal(diff, errnum.HashType, "its byte order is another generation's")
	}
	return nil
}

func (d *deployment) refusal(diff string, code int, text string) error {
	return failf(codeProcessor|Code(code)&0xFFFFF, "%s cannot be applied by a library of %s: %s", filepath.Base(diff), d.Library, text)
}
