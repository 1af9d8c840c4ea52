// SPDX-License-Identifier: MIT

package sign

import (
	"bytes"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"

	"swudelta/internal/fault"
)

// Form says in words what kind of signature sig is, as far as its structure and
// size tell: CMS, OpenPGP, ECDSA, or RSA of so many bits, where PKCS #1 v1.5 and
// PSS look alike (Public.Verify tells them apart). What none of them can be is a data fault: nothing, text (such as
// hexadecimal digits), a damaged structure.
func Form(sig []byte) (string, error) {
	switch {
	case len(sig) == 0:
		return "", fault.Dataf("bad signature: it is empty")
	case bytes.HasPrefix(sig, []byte("-----BEGIN PGP SIGNATURE-----")), isOpenPGP(sig):
		return "OpenPGP", nil
	case bytes.HasPrefix(sig, []byte("-----BEGIN")), isCMS(sig):
		if _, err := parseCMS(sig); err != nil {
			return "", fault.Dataf("bad signature: %w", err)
		}
		return "CMS", nil
	case isECDSA(sig):
		return "ECDSA", nil
	case isText(sig):
		return "", fault.Dataf("bad signature: text of %d bytes, and SWUpdate reads binary ones", len(sig))
	case len(sig)%64 == 0 && len(sig) >= 1024/8 && len(sig) <= maxRSA/8:
		return fmt.Sprintf("RSA of %d bits", 8*len(sig)), nil
	}
	return "", fault.Dataf("bad signature: %d bytes that are neither CMS nor OpenPGP, ECDSA or RSA", len(sig))
}

// isECDSA reports whether sig is a SEQUENCE of two positive numbers.
func isECDSA(sig []byte) bool {
	var v struct{ R, S *big.Int }
	rest, err := asn1.Unmarshal(sig, &v)
	return err == nil && len(rest) == 0 && v.R.Sign() > 0 && v.S.Sign() > 0
}

// isOpenPGP reports whether sig is one signature packet (RFC 9580 §4.2, §5.2) of
// just this length.
func isOpenPGP(sig []byte) bool {
	if len(sig) < 4 {
		return false
	}
	n, body := 0, 0
	switch one, two := int(sig[1]), int(sig[1])<<8|int(sig[2]); {
	case sig[0] == 0x88, sig[0] == 0xc2 && one < 192:
		n, body = one, 2
	case sig[0] == 0x89:
		n, body = two, 3
	case sig[0] == 0xc2 && one < 224:
		n, body = (one-192)<<8+int(sig[2])+192, 3
	default:
		return false
	}
	return len(sig) == body+n && sig[body] >= 3 && sig[body] <= 6
}

func isText(b []byte) bool {
	return !bytes.ContainsFunc(b, func(r rune) bool { return r > '~' || r < ' ' && r != '\n' && r != '\r' && r != '\t' })
}

// errUnsupported is in the chain of an error that says nothing about a signature.
var errUnsupported = errors.New("not supported")

// Fits holds a new signature against the text that it should be of, as far as that
// can be done without knowing whom a device trusts: a CMS signature has the
// certificates of its signers in it. known is false where nothing can be said.
func Fits(text, sig []byte) (known bool, err error) {
	if !isCMS(sig) {
		return false, nil
	}
	_, _, err = checkCMS(text, sig)
	if errors.Is(err, errUnsupported) {
		return false, nil
	}
	return true, err
}
