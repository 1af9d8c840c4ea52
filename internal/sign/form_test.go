// SPDX-License-Identifier: MIT

package sign

import (
	"bytes"
	"crypto/x509"
	"strings"
	"testing"

	"swudelta/internal/fault"
)

func TestForm(t *testing.T) {
	for _, c := range schemes {
		id := issue(c.key(), "signer", nil, nil)
		sig := must(must(NewSigner(c.scheme, id.key, public(id), now)).Sign(text))
		want := map[Scheme]string{CMS: "CMS", ECDSA: "ECDSA", RSA: "RSA of 2048 bits", RSAPSS: "RSA of 2048 bits"}[c.scheme]
		if got, err := Form(sig); err != nil || got != want {
			t.Errorf("%s: got %q, %v", c.scheme, got, err)
		}
		known, err := Fits(text, sig)
		if known != (c.scheme == CMS) || err != nil {
			t.Errorf("%s: got %v, %v", c.scheme, known, err)
		}
		if _, err := Fits(text[1:], sig); (c.scheme == CMS) != (err != nil) || err != nil && !fault.IsData(err) {
			t.Errorf("%s of another text: got %v", c.scheme, err)
		}
		// No part of a signature is one.
		for n := range sig {
			if got, err := Form(sig[:n]); err == nil && !strings.HasPrefix(got, "RSA") || err != nil && !fault.IsData(err) {
				t.Fatalf("%s, %d bytes of it: got %q, %v", c.scheme, n, got, err)
			}
		}
		if got, err := Form(append(bytes.Clone(sig), '\n')); err == nil {
			t.Errorf("%s and a newline: got %q", c.scheme, got)
		}
	}
	for sig, want := range map[string]string{
		"\x88\x02\x04x": "OpenPGP",
		"\xc2\x02\x04x": "OpenPGP",
		"\x89\x01\x00\x04" + strings.Repeat("\xaa", 255):        "OpenPGP",
		"\xc2\xc0\x40\x06" + strings.Repeat("\xaa", 255):        "OpenPGP",
		"-----BEGIN PGP SIGNATURE-----\n":                       "OpenPGP",
		strings.Repeat("\xaa", 512):                             "RSA of 4096 bits",
		"\x88\x03\x04x":                                         "",
		"\x88\x02\x09x":                                         "",
		strings.Repeat("\xaa", 4096):                            "",
		strings.Repeat("\xaa", 64):                              "",
		strings.Repeat("a", 256):                                "",
		"-----BEGIN CMS-----\nAAAA\n":                           "",
		"0\x06\x02\x01\x01\x02\x01\x01":                         "ECDSA",
		"0\x06\x02\x01\x01\x02\x01\xff":                         "",
		"\xc2\xff\x00\x00\x00\x01\x04" + strings.Repeat("x", 3): "",
	} {
		got, err := Form([]byte(sig))
		if got != want || (err == nil) != (want != "") || err != nil && !fault.IsData(err) {
			t.Errorf("%.10q, %d bytes: got %q, %v, want %q", sig, len(sig), got, err, want)
		}
	}
}

// A signer can have chosen what is not read here. That is no bad signature.
func TestUnsupported(t *testing.T) {
	id := issue(keys.rsa(), "signer", nil, func(c *x509.Certificate) {})
	sig := must(must(NewSigner(CMS, id.key, public(id), now)).Sign(text))
	// Where the digest is named, it is another one now: SHAKE128.
	sha256 := []byte{0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01}
	at := bytes.LastIndex(sig, sha256)
	sig[at+len(sha256)-1] = 11
	if known, err := Fits(text, sig); known || err != nil {
		t.Errorf("got %v, %v", known, err)
	}
	if _, err := public(id).Verify("", text, sig, now); !fault.IsData(err) || !strings.Contains(err.Error(), "digest 2.16.840.1.101.3.4.2.11: not supported") {
		t.Errorf("got %v", err)
	}
}
