// SPDX-License-Identifier: MIT

package sign

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"time"

	"swudelta/internal/fault"
)

// Public is what everybody may know: certificates and bare public keys. For a
// device it is what it trusts.
type Public struct {
	certs []*x509.Certificate
	keys  []crypto.PublicKey // those of the certificates included
}

// Good describes a signature that verified.
type Good struct {
	Scheme Scheme
	// Signers are the certificates of the signers that are trusted (CMS).
	Signers []*x509.Certificate
	// Unknown are those of further signers, whose signatures are good but to whom
	// no chain leads. A SWUpdate built without CMS_SKIP_UNKNOWN_SIGNERS refuses
	// a signature that has any.
	Unknown []*x509.Certificate
	// Borrowed says that the chain to the anchor goes through certificates that
	// only the signature has. Some builds of SWUpdate, such as Debian's 2022.12,
	// do not look for them there.
	Borrowed bool
}

// Verify checks the detached signature of text, as a device that trusts p would
// at the time now. An empty scheme stands for the one that the signature and the
// keys suggest: CMS shows itself, EC keys make ECDSA signatures, and with an RSA
// key a signature that verifies in either of its schemes was made with the key.
// A bad signature is a data fault.
//
// A CMS signature is good if all its signatures are and one signer is trusted. As
// SWUpdate sees to it, a chain of certificates, valid now, must lead to a
// self-signed one in p, and the signer must be fit for signing mail or code (see
// Unfit).
func (p *Public) Verify(scheme Scheme, text, sig []byte, now time.Time) (Good, error) {
	if scheme == "" {
		switch {
		case isCMS(sig):
			scheme = CMS
		case isText(sig):
			// Nothing, PEM, S/MIME, base64: none of the binary schemes, so say what it is.
			if form, err := Form(sig); err != nil {
				return Good{}, err
			} else if form == "OpenPGP" {
				return Good{}, fault.Dataf("bad signature: OpenPGP is not checked here")
			}
		}
	}
	if scheme == CMS {
		if len(p.certs) == 0 {
			return Good{}, fault.Dataf("a CMS signature is checked with a certificate, not with a public key")
		}
		signers, all, err := checkCMS(text, sig)
		if err != nil {
			return Good{}, err
		}
		good := Good{Scheme: CMS}
		var first error
		for _, s := range signers {
			err := p.chain(s, nil, now)
			if err != nil {
				if err = p.chain(s, all, now); err == nil {
					good.Borrowed = true
				}
			}
			switch {
			case err == nil:
				good.Signers = append(good.Signers, s)
			case first == nil:
				first = err
				fallthrough
			default:
				good.Unknown = append(good.Unknown, s)
			}
		}
		if len(good.Signers) == 0 {
			return Good{}, first
		}
		return good, nil
	}
	schemes := []Scheme{scheme}
	if scheme == "" {
		schemes = []Scheme{RSA, RSAPSS, ECDSA}
	}
	var first error
	for _, s := range schemes {
		for _, key := range p.keys {
			err := suits(s, key)
			if err == nil {
				err = checkRaw(s, key, text, sig)
			} else if scheme == "" {
				continue
			}
			if err == nil {
				return Good{Scheme: s}, nil
			}
			if first == nil {
				first = err
			}
		}
	}
	if first == nil {
		first = fault.Dataf("no key that could make such a signature")
	}
	return Good{}, first
}

// chain checks that a chain leads from the signer's certificate to an anchor,
// through certificates of p and others.
func (p *Public) chain(signer *x509.Certificate, others []*x509.Certificate, now time.Time) error {
	opts := x509.VerifyOptions{
		Roots:         x509.NewCertPool(),
		Intermediates: x509.NewCertPool(),
		CurrentTime:   now,
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection, x509.ExtKeyUsageCodeSigning},
	}
	for _, c := range others {
		opts.Intermediates.AddCert(c)
	}
	anchors := 0
	for _, c := range p.certs {
		if selfSigned(c) {
			opts.Roots.AddCert(c)
			anchors++
		} else {
			opts.Intermediates.AddCert(c)
		}
	}
	if anchors == 0 {
		return fault.Dataf("no trust anchor: the certificate of %q is issued by %q, and SWUpdate wants that one", p.certs[0].Subject, p.certs[0].Issuer)
	}
	if _, err := signer.Verify(opts); err != nil {
		return fault.Dataf("certificate of signer %q: %w", signer.Subject, err)
	}
	if why := unfitForAny(signer); why != "" {
		return fault.Dataf("certificate of signer %q: %s", signer.Subject, why)
	}
	return nil
}

func selfSigned(c *x509.Certificate) bool {
	return bytes.Equal(c.RawSubject, c.RawIssuer) && c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil
}

// Unfit says why SWUpdate, unless it is told otherwise, refuses a signer with
// this certificate; empty if it does not. It wants the purpose smimesign of
// OpenSSL, or code signing under --cert-purpose codeSigning.
func Unfit(c *x509.Certificate) string {
	if why := unfitForAny(c); why != "" {
		return why
	}
	if len(c.ExtKeyUsage)+len(c.UnknownExtKeyUsage) == 0 {
		return ""
	}
	for _, u := range c.ExtKeyUsage {
		if u == x509.ExtKeyUsageEmailProtection || u == x509.ExtKeyUsageAny {
			return ""
		}
	}
	return "extendedKeyUsage without emailProtection, which swupdate refuses unless it runs with --cert-purpose codeSigning"
}

func unfitForAny(c *x509.Certificate) string {
	if c.KeyUsage != 0 && c.KeyUsage&(x509.KeyUsageDigitalSignature|x509.KeyUsageContentCommitment) == 0 {
		return "keyUsage without digitalSignature, which SWUpdate refuses"
	}
	return ""
}

// checkRaw verifies a bare signature with a key that suits the scheme.
func checkRaw(scheme Scheme, key crypto.PublicKey, text, sig []byte) error {
	digest := sha256.Sum256(text)
	ok := false
	switch k := key.(type) {
	case *rsa.PublicKey:
		if len(sig) != k.Size() {
			return fault.Dataf("bad signature: got %d bytes, want %d for this key", len(sig), k.Size())
		}
		if scheme == RSAPSS {
			ok = rsa.VerifyPSS(k, crypto.SHA256, digest[:], sig, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthAuto}) == nil
		} else {
			ok = rsa.VerifyPKCS1v15(k, crypto.SHA256, digest[:], sig) == nil
		}
	case *ecdsa.PublicKey:
		ok = ecdsa.VerifyASN1(k, digest[:], sig)
	default:
		return fmt.Errorf("key of type %T", key)
	}
	if !ok {
		return fault.Dataf("bad signature: the text, the key or the scheme is another")
	}
	return nil
}
