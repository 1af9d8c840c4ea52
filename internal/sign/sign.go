// SPDX-License-Identifier: MIT

// Package sign makes and checks the detached signature of a sw-description, in
// the schemes that SWUpdate verifies.
//
// SWUpdate hashes the exact bytes of sw-description with SHA-256 and looks for
// the signature in the archive member sw-description.sig; which scheme it wants
// is decided when it is built (or, since 2025.12, by --digest-provider). See
// "Update images from verified source" in its manual.
//
// All signatures are deterministic: the same text, key and certificates give the
// same bytes.
package sign

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"swudelta/internal/fault"
)

// Scheme is a way to sign.
type Scheme string

const (
	// CMS is a SignedData structure (RFC 5652) in DER, detached, with the
	// signer's certificate: SWUpdate built with SIGALG_CMS, as Debian's is.
	CMS Scheme = "cms"
	// RSA is a bare RSASSA-PKCS1-v1_5 signature (RFC 8017): SIGALG_RAWRSA.
	RSA Scheme = "rsa"
	// RSAPSS is a bare RSASSA-PSS signature with SHA-256 in MGF1 and, when made
	// here, the longest salt, as "openssl -sigopt rsa_pss_saltlen:-2" has it.
	// Any length is accepted: SIGALG_RSAPSS.
	RSAPSS Scheme = "rsa-pss"
	// ECDSA is a bare ECDSA signature as an ASN.1 SEQUENCE of r and s, which
	// SWUpdate built with SIGALG_RAWRSA verifies, too.
	ECDSA Scheme = "ecdsa"
)

// Schemes are all schemes.
var Schemes = []Scheme{CMS, RSA, RSAPSS, ECDSA}

// ParseScheme returns the scheme with that name.
func ParseScheme(name string) (Scheme, error) {
	names := make([]string, len(Schemes))
	for i, s := range Schemes {
		if names[i] = string(s); name == names[i] {
			return s, nil
		}
	}
	return "", fmt.Errorf("unknown scheme %q: want one of %s", name, strings.Join(names, ", "))
}

// Limits on what is read, in bytes.
const (
	MaxText      = 64 << 20 // a sw-description
	MaxSignature = 1 << 20  // a signature; the largest are CMS with a chain of certificates
	MaxPEM       = 1 << 20  // a file of keys or certificates
)

// Signer signs texts with one key.
type Signer struct {
	scheme Scheme
	key    crypto.Signer
	certs  []*x509.Certificate // CMS: the signer's first
}

// NewSigner returns a Signer for a private key of the kind that the scheme
// wants. public, if not nil, must hold the matching public key. CMS takes the
// certificate of the key from it, which must be valid now, and puts the other
// certificates into the signature, for a device that trusts only their issuer.
func NewSigner(scheme Scheme, key crypto.Signer, public *Public, now time.Time) (*Signer, error) {
	if err := suits(scheme, key.Public()); err != nil {
		return nil, err
	}
	if public == nil {
		public = &Public{}
	} else if !slices.ContainsFunc(public.keys, func(k crypto.PublicKey) bool { return sameKey(k, key.Public()) }) {
		return nil, fault.Dataf("the private key does not belong to the certificate or public key")
	}
	s := &Signer{scheme: scheme, key: key}
	if scheme != CMS {
		return s, nil
	}
	i := slices.IndexFunc(public.certs, func(c *x509.Certificate) bool { return sameKey(c.PublicKey, key.Public()) })
	if i < 0 {
		return nil, fault.Dataf("scheme cms needs the certificate of the key")
	}
	signer := public.certs[i]
	switch {
	case now.After(signer.NotAfter):
		return nil, fault.Dataf("the certificate of %q is not valid any more: it ended at %s", signer.Subject, signer.NotAfter.UTC().Format(time.RFC3339))
	case now.Before(signer.NotBefore):
		return nil, fault.Dataf("the certificate of %q is not valid yet: it starts at %s", signer.Subject, signer.NotBefore.UTC().Format(time.RFC3339))
	}
	s.certs = []*x509.Certificate{signer}
	for _, c := range public.certs {
		if !slices.ContainsFunc(s.certs, c.Equal) {
			s.certs = append(s.certs, c)
		}
	}
	return s, nil
}

// Certificate returns the signer's certificate, or nil if the scheme has none.
func (s *Signer) Certificate() *x509.Certificate {
	if len(s.certs) == 0 {
		return nil
	}
	return s.certs[0]
}

// suits reports whether the scheme works with such a key.
func suits(scheme Scheme, key crypto.PublicKey) error {
	var name string
	switch k := key.(type) {
	case *rsa.PublicKey:
		if bits := k.N.BitLen(); bits > maxRSA {
			return fault.Dataf("an RSA key of %d bits, want at most %d", bits, maxRSA)
		}
		if scheme != ECDSA {
			return nil
		}
		name = "RSA"
	case *ecdsa.PublicKey:
		if scheme == ECDSA || scheme == CMS {
			return nil
		}
		name = "EC"
	case ed25519.PublicKey:
		name = "Ed25519" // refused by SWUpdate, too
	default:
		name = fmt.Sprintf("%T", k)
	}
	return fault.Dataf("scheme %s does not work with a key of type %s", scheme, name)
}

func sameKey(a, b crypto.PublicKey) bool {
	k, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.Equal(b)
}

// Sign returns the detached signature of text, which it has checked.
func (s *Signer) Sign(text []byte) ([]byte, error) {
	var sig []byte
	var err error
	digest := sha256.Sum256(text)
	switch s.scheme {
	case CMS:
		sig, err = signCMS(text, deterministic{s.key}, s.certs)
	case RSAPSS:
		sig, err = deterministic{s.key}.Sign(nil, digest[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthAuto, Hash: crypto.SHA256})
	default:
		sig, err = deterministic{s.key}.Sign(nil, digest[:], crypto.SHA256)
	}
	if err != nil {
		return nil, err
	}
	if s.scheme == CMS {
		_, _, err = checkCMS(text, sig)
	} else {
		err = checkRaw(s.scheme, s.key.Public(), text, sig)
	}
	if err != nil {
		return nil, fmt.Errorf("the new signature does not verify: %w", err)
	}
	return sig, nil
}

// deterministic is a key whose signatures depend on nothing but the digest:
// ECDSA by RFC 6979, PSS with a salt derived from key and digest, which nobody
// else can predict.
type deterministic struct{ crypto.Signer }

func (d deterministic) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	pss, ok := opts.(*rsa.PSSOptions)
	if !ok {
		return d.Signer.Sign(nil, digest, opts)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(d.Signer)
	if err != nil {
		return nil, err
	}
	salt, err := hkdf.Key(sha256.New, secret, digest, "swudelta rsa-pss salt", maxSalt)
	if err != nil {
		return nil, err
	}
	return d.Signer.Sign(bytes.NewReader(salt), digest, pss)
}

// maxSalt is more than the salt of the largest key, and within what HKDF gives.
const maxSalt = maxRSA / 8
