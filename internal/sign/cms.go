// SPDX-License-Identifier: MIT

package sign

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/github/smimesign/ietf-cms/oid"
	"github.com/github/smimesign/ietf-cms/protocol"
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

// maxNesting bounds the recursion of the parsers. SignedData with certificates
// has about 15 levels.
const maxNesting = 40

// skipBER returns what follows the first value in b, which is BER (X.690 §8): in
// contrast to DER, a value may have an indefinite length and end with two zeros, as
// "openssl cms -stream" writes it. The CMS parser neither bounds its recursion nor
// looks at what follows, so all of the structure is walked before.
func skipBER(b []byte, level int) (rest []byte, err error) {
	if level > maxNesting {
		return nil, fmt.Errorf("nested deeper than %d levels", maxNesting)
	}
	if len(b) < 2 {
		return nil, io.ErrUnexpectedEOF
	}
	tag, length := b[0], int(b[1])
	if tag&0x1f == 0x1f {
		return nil, errors.New("a tag over 30, which CMS does not have")
	}
	b = b[2:]
	constructed := tag&0x20 != 0
	if length == 0x80 {
		if !constructed {
			return nil, errors.New("a primitive value of indefinite length")
		}
		for !bytes.HasPrefix(b, []byte{0, 0}) {
			if b, err = skipBER(b, level+1); err != nil {
				return nil, err
			}
		}
		return b[2:], nil
	}
	if n := length & 0x7f; length > 0x80 {
		if n > 4 || n > len(b) {
			return nil, fmt.Errorf("a length of %d bytes in %d", n, len(b))
		}
		length = 0
		for _, c := range b[:n] {
			length = length<<8 | int(c)
		}
		b = b[n:]
	}
	if length < 0 || length > len(b) {
		return nil, io.ErrUnexpectedEOF
	}
	for content := b[:length]; constructed && len(content) > 0; {
		if content, err = skipBER(content, level+1); err != nil {
			return nil, err
		}
	}
	return b[length:], nil
}

// Limits on the time that a signature can take to check.
const (
	maxSigners = 16
	maxRSA     = 16384 // bits
)

// isCMS reports whether sig starts like a SignedData structure, in DER or BER.
func isCMS(sig []byte) bool {
	const signedData = "\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02" // 1.2.840.113549.1.7.2
	if len(sig) < 2 || sig[0] != 0x30 {
		return false
	}
	at := 2
	if sig[1] > 0x80 {
		at += int(sig[1] & 0x7f)
	}
	return at < len(sig) && bytes.HasPrefix(sig[at:], []byte(signedData))
}

// signedData is what parseCMS finds.
type signedData struct {
	signers []protocol.SignerInfo
	certs   []*x509.Certificate
}

// parseCMS reads a SignedData structure. The library panics where a structure is
// cut off in ways that skipBER cannot see.
func parseCMS(sig []byte) (sd *signedData, err error) {
	if bytes.HasPrefix(sig, []byte("-----BEGIN")) {
		return nil, errors.New("it is PEM, and SWUpdate reads DER (openssl: -outform DER)")
	}
	if rest, err := skipBER(sig, 0); err != nil {
		return nil, fmt.Errorf("not BER: %w", err)
	} else if len(rest) > 0 {
		return nil, fmt.Errorf("%d bytes behind its end", len(rest))
	}
	defer func() {
		if recover() != nil {
			sd, err = nil, errors.New("not CMS: malformed")
		}
	}()
	info, err := protocol.ParseContentInfo(sig)
	if err != nil {
		return nil, fmt.Errorf("not CMS: %w", err)
	}
	content, err := info.SignedDataContent()
	if err != nil {
		return nil, fmt.Errorf("not CMS: %w", err)
	}
	if n := len(content.SignerInfos); n == 0 || n > maxSigners {
		return nil, fmt.Errorf("got %d signers, want 1 to %d", n, maxSigners)
	}
	certs, err := content.X509Certificates()
	if err != nil {
		return nil, fmt.Errorf("its certificates: %w", err)
	}
	for _, c := range certs {
		if k, ok := c.PublicKey.(*rsa.PublicKey); ok && k.N.BitLen() > maxRSA {
			return nil, fmt.Errorf("an RSA key of %d bits, want at most %d", k.N.BitLen(), maxRSA)
		}
	}
	return &signedData{content.SignerInfos, certs}, nil
}

// checkCMS verifies that every signer in sig has signed text. It returns the
// certificates of the signers, and all that sig has.
func checkCMS(text, sig []byte) (signers, all []*x509.Certificate, err error) {
	sd, err := parseCMS(sig)
	if err != nil {
		return nil, nil, fault.Dataf("bad signature: %w", err)
	}
	for _, s := range sd.signers {
		cert := signerCertificate(s, sd.certs)
		if cert == nil {
			return nil, nil, fault.Dataf("bad signature: it lacks the certificate of a signer (openssl: without -nocerts)")
		}
		if err := checkSigner(s, cert, text); err != nil {
			return nil, nil, fault.Dataf("bad signature: signer %q: %w", cert.Subject, err)
		}
		signers = append(signers, cert)
	}
	return signers, sd.certs, nil
}

// signerCertificate finds a signer's certificate, by issuer and serial number or
// by subject key identifier (RFC 5652 §5.3).
func signerCertificate(s protocol.SignerInfo, certs []*x509.Certificate) *x509.Certificate {
	match := func(*x509.Certificate) bool { return false }
	switch id := s.SID; {
	case id.Class == asn1.ClassContextSpecific && id.Tag == 0:
		match = func(c *x509.Certificate) bool { return len(id.Bytes) > 0 && bytes.Equal(c.SubjectKeyId, id.Bytes) }
	case id.Class == asn1.ClassUniversal && id.Tag == asn1.TagSequence:
		var name protocol.IssuerAndSerialNumber
		if rest, err := asn1.Unmarshal(id.FullBytes, &name); err == nil && len(rest) == 0 && name.SerialNumber != nil {
			match = func(c *x509.Certificate) bool {
				return c.SerialNumber.Cmp(name.SerialNumber) == 0 && bytes.Equal(c.RawIssuer, name.Issuer.FullBytes)
			}
		}
	}
	if i := slices.IndexFunc(certs, match); i >= 0 {
		return certs[i]
	}
	return nil
}

// checkSigner verifies one signature. With signed attributes it is theirs, and
// one of them has the digest of the text (RFC 5652 §5.4).
func checkSigner(s protocol.SignerInfo, cert *x509.Certificate, text []byte) (err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("malformed")
		}
	}()
	hash := digestOf(s.DigestAlgorithm.Algorithm)
	if hash == 0 {
		return fmt.Errorf("digest %s: %w", s.DigestAlgorithm.Algorithm, errUnsupported)
	}
	signed := text
	if s.SignedAttrs != nil {
		want, err := s.GetMessageDigestAttribute()
		if err != nil {
			return fmt.Errorf("its signed attributes: %w", err)
		}
		if !bytes.Equal(sum(hash, text), want) {
			return errOtherText
		}
		if signed, err = s.SignedAttrs.MarshaledForVerification(); err != nil {
			return fmt.Errorf("its signed attributes: %w", err)
		}
	}
	return checkAlgorithm(s, hash, cert.PublicKey, signed)
}

var (
	errOtherText = errors.New("it is of another text")
	errMismatch  = errors.New("the text or the key is another")
)

func sum(hash crypto.Hash, data []byte) []byte {
	h := hash.New()
	h.Write(data)
	return h.Sum(nil)
}

// moreDigests are those that the library does not map (NIST's registry of
// 2.16.840.1.101.3.4.2). OpenSSL signs with each, and SWUpdate takes it.
var moreDigests = map[string]crypto.Hash{
	"2.16.840.1.101.3.4.2.4": crypto.SHA224, "2.16.840.1.101.3.4.2.5": crypto.SHA512_224, "2.16.840.1.101.3.4.2.6": crypto.SHA512_256,
	"2.16.840.1.101.3.4.2.7": crypto.SHA3_224, "2.16.840.1.101.3.4.2.8": crypto.SHA3_256,
	"2.16.840.1.101.3.4.2.9": crypto.SHA3_384, "2.16.840.1.101.3.4.2.10": crypto.SHA3_512,
}

// digestOf returns the digest with an object identifier; 0 if there is none here.
func digestOf(id asn1.ObjectIdentifier) crypto.Hash {
	hash := oid.DigestAlgorithmToCryptoHash[id.String()]
	if hash == 0 {
		hash = moreDigests[id.String()]
	}
	if !hash.Available() {
		return 0
	}
	return hash
}

// Algorithms of signatures (RFC 8017 appendix C, RFC 5754 §3.3), each with the
// digest that it implies; 0 stands for that of the signer.
var (
	rsaAlgorithms = map[string]crypto.Hash{
		"1.2.840.113549.1.1.1": 0, "1.2.840.113549.1.1.5": crypto.SHA1, "1.2.840.113549.1.1.14": crypto.SHA224,
		"1.2.840.113549.1.1.11": crypto.SHA256, "1.2.840.113549.1.1.12": crypto.SHA384, "1.2.840.113549.1.1.13": crypto.SHA512,
	}
	ecdsaAlgorithms = map[string]crypto.Hash{
		"1.2.840.10045.2.1": 0, "1.2.840.10045.4.1": crypto.SHA1, "1.2.840.10045.4.3.1": crypto.SHA224,
		"1.2.840.10045.4.3.2": crypto.SHA256, "1.2.840.10045.4.3.3": crypto.SHA384, "1.2.840.10045.4.3.4": crypto.SHA512,
	}
)

const pssAlgorithm = "1.2.840.113549.1.1.10"

// checkAlgorithm verifies the signature itself.
func checkAlgorithm(s protocol.SignerInfo, hash crypto.Hash, key crypto.PublicKey, signed []byte) error {
	name := s.SignatureAlgorithm.Algorithm.String()
	implied, isRSA := rsaAlgorithms[name]
	if !isRSA {
		implied = ecdsaAlgorithms[name]
	}
	if implied != 0 && implied != hash {
		return fmt.Errorf("its digest is %v, that of its algorithm %v", hash, implied)
	}
	digest := sum(hash, signed)
	_, isECDSA := ecdsaAlgorithms[name]
	switch k := key.(type) {
	case *rsa.PublicKey:
		switch {
		case isRSA && rsa.VerifyPKCS1v15(k, hash, digest, s.Signature) == nil:
			return nil
		case name == pssAlgorithm:
			salt, err := pssSalt(s.SignatureAlgorithm.Parameters.FullBytes, hash)
			if err != nil {
				return err
			}
			if rsa.VerifyPSS(k, hash, digest, s.Signature, &rsa.PSSOptions{SaltLength: salt}) == nil {
				return nil
			}
		case !isRSA:
			return fmt.Errorf("algorithm %s with an RSA key: %w", name, errUnsupported)
		}
	case *ecdsa.PublicKey:
		if !isECDSA {
			return fmt.Errorf("algorithm %s with an EC key: %w", name, errUnsupported)
		}
		if ecdsa.VerifyASN1(k, digest, s.Signature) {
			return nil
		}
	default:
		return fmt.Errorf("a key of type %T: %w", key, errUnsupported)
	}
	return errMismatch
}

// pssSalt reads RSASSA-PSS-params (RFC 8017 appendix A.2.3). The digest has to be
// that of the signer, in both its places.
func pssSalt(der []byte, hash crypto.Hash) (salt int, err error) {
	var params struct {
		Hash    pkix.AlgorithmIdentifier `asn1:"explicit,optional,tag:0"`
		MGF     pkix.AlgorithmIdentifier `asn1:"explicit,optional,tag:1"`
		Salt    int                      `asn1:"explicit,optional,tag:2,default:20"`
		Trailer int                      `asn1:"explicit,optional,tag:3,default:1"`
	}
	if rest, err := asn1.Unmarshal(der, &params); err != nil {
		return 0, fmt.Errorf("parameters of RSA-PSS: %w", err)
	} else if len(rest) > 0 {
		return 0, fmt.Errorf("parameters of RSA-PSS: %d bytes too many", len(rest))
	}
	var inner pkix.AlgorithmIdentifier
	if len(params.MGF.Parameters.FullBytes) > 0 {
		if _, err := asn1.Unmarshal(params.MGF.Parameters.FullBytes, &inner); err != nil {
			return 0, fmt.Errorf("parameters of RSA-PSS: %w", err)
		}
	}
	// Where they are missing they stand for SHA-1.
	stated := func(id asn1.ObjectIdentifier) crypto.Hash {
		if len(id) == 0 {
			return crypto.SHA1
		}
		return digestOf(id)
	}
	if got := stated(params.Hash.Algorithm); got != hash {
		return 0, fmt.Errorf("parameters of RSA-PSS: digest %v, that of the signer is %v", got, hash)
	}
	// OpenSSL and SWUpdate take any digest for the mask, Go's library this one alone.
	if got := stated(inner.Algorithm); got != hash {
		return 0, fmt.Errorf("RSA-PSS whose mask has digest %v and whose text has %v: %w", got, hash, errUnsupported)
	}
	if params.Salt < 0 || params.Salt > maxSalt || params.Trailer != 1 {
		return 0, fmt.Errorf("parameters of RSA-PSS: salt of %d bytes, trailer %d", params.Salt, params.Trailer)
	}
	return params.Salt, nil
}
