// SPDX-License-Identifier: MIT

package sign

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/smallstep/pkcs7"

	"swudelta/internal/fault"
)

// signCMS makes the structure that "openssl cms -sign -binary -noattr -outform
// DER" makes, to the byte where the key is RSA.
//
// It has no signed attributes. They would hold the time of signing, which no
// SWUpdate looks at and which would make each signature different; and not every
// verifier that SWUpdate can be built with knows them.
func signCMS(text []byte, key crypto.Signer, certs []*x509.Certificate) ([]byte, error) {
	sd, err := pkcs7.NewSignedData(text)
	if err != nil {
		return nil, err
	}
	sd.SetDigestAlgorithm(pkcs7.OIDDigestAlgorithmSHA256)
	_, isRSA := key.Public().(*rsa.PublicKey)
	if isRSA {
		sd.SetEncryptionAlgorithm(pkcs7.OIDEncryptionAlgorithmRSA)
	} else {
		sd.SetEncryptionAlgorithm(pkcs7.OIDDigestAlgorithmECDSASHA256)
	}
	// DER wants a SET OF in the order of its encodings (X.690 §11.6).
	sorted := slices.Clone(certs)
	slices.SortFunc(sorted, func(a, b *x509.Certificate) int { return bytes.Compare(a.Raw, b.Raw) })
	for _, c := range sorted {
		if c != certs[0] {
			sd.AddCertificate(c)
		} else if err := sd.SignWithoutAttr(c, key, pkcs7.SignerInfoConfig{}); err != nil {
			return nil, err
		}
	}
	if isRSA {
		// RFC 3370 §3.2 demands the NULL.
		sd.GetSignedData().SignerInfos[0].DigestEncryptionAlgorithm.Parameters = asn1.NullRawValue
	}
	sd.Detach()
	return sd.Finish()
}

// maxNesting bounds the recursion of the parser below. SignedData with
// certificates has about 15 levels.
const maxNesting = 40

// checkNesting reports whether b is DER within maxNesting. The CMS parser would
// take a stack as deep as the input asks for.
func checkNesting(b []byte, level int) error {
	if level > maxNesting {
		return fmt.Errorf("nested deeper than %d levels", maxNesting)
	}
	for len(b) > 0 {
		var v asn1.RawValue
		rest, err := asn1.Unmarshal(b, &v)
		if err != nil {
			return err
		}
		if v.IsCompound {
			if err := checkNesting(v.Bytes, level+1); err != nil {
				return err
			}
		}
		b = rest
	}
	return nil
}

// Limits on the time that a signature can take to check.
const (
	maxSigners = 16
	maxRSA     = 16384 // bits
)

// isCMS reports whether sig starts like a SignedData structure.
func isCMS(sig []byte) bool {
	var info struct {
		Type    asn1.ObjectIdentifier
		Content asn1.RawValue `asn1:"explicit,tag:0"`
	}
	_, err := asn1.Unmarshal(sig, &info)
	return err == nil && info.Type.Equal(pkcs7.OIDSignedData)
}

// checkCMS verifies that every signer in sig has signed text. It returns the
// certificates of the signers, and all that sig has.
func checkCMS(text, sig []byte) (signers, all []*x509.Certificate, err error) {
	if bytes.HasPrefix(sig, []byte("-----BEGIN")) {
		return nil, nil, fault.Dataf("bad signature: it is PEM, and SWUpdate reads DER (openssl: -outform DER)")
	}
	if err := checkNesting(sig, 0); err != nil {
		return nil, nil, fault.Dataf("bad signature: not DER: %w", err)
	}
	p, err := pkcs7.Parse(sig)
	if err != nil {
		return nil, nil, fault.Dataf("bad signature: not CMS: %w", err)
	}
	if n := len(p.Signers); n == 0 || n > maxSigners {
		return nil, nil, fault.Dataf("bad signature: got %d signers, want 1 to %d", n, maxSigners)
	}
	for _, c := range p.Certificates {
		if k, ok := c.PublicKey.(*rsa.PublicKey); ok && k.N.BitLen() > maxRSA {
			return nil, nil, fault.Dataf("bad signature: an RSA key of %d bits, want at most %d", k.N.BitLen(), maxRSA)
		}
	}
	p.Content = text // detached, and if there is a copy inside it does not count
	if err := p.VerifyWithChainAtTime(nil, time.Time{}); err != nil {
		var other *pkcs7.MessageDigestMismatchError
		if errors.As(err, &other) {
			err = errors.New("it is of another text")
		}
		return nil, nil, fault.Dataf("bad signature: %w", err)
	}
	for _, s := range p.Signers {
		// It is there, since the signature was verified with it.
		i := slices.IndexFunc(p.Certificates, func(c *x509.Certificate) bool {
			return c.SerialNumber.Cmp(s.IssuerAndSerialNumber.SerialNumber) == 0 && bytes.Equal(c.RawIssuer, s.IssuerAndSerialNumber.IssuerName.FullBytes)
		})
		signers = append(signers, p.Certificates[i])
	}
	return signers, p.Certificates, nil
}
