// SPDX-License-Identifier: MIT

package deploy

import (
	"errors"
	"os"
	"path/filepath"

	"swudelta/internal/errnum"
	"swudelta/internal/pamz"
)

// readable fails where the device's library refuses a delta for its form, with the library's
// number, before it looks at the source. What it reads is then applied as ours does it.
func (d *deployment) readable(diff string) error {
	if d.Library.Forms == nil {
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
	case d.Library.Reads(delta.Form):
		return nil
	case delta.Pooled(): // whose number is another one in the other byte order
		return d.refusal(diff, errnum.Version, delta.Form.String()+", which is for other generations")
	}
	return d.refusal(diff, errnum.HashType, "its byte order is another generation's")
}

func (d *deployment) refusal(diff string, code int, text string) error {
	return failf(codeProcessor|Code(code)&0xFFFFF, "%s cannot be applied by a library of %s: %s", filepath.Base(diff), d.Library.Name, text)
}
