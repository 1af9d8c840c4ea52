// SPDX-License-Identifier: MIT

package sign

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"swudelta/internal/fault"
	"swudelta/internal/tooltest"
)

var (
	text = []byte("software = {\r\n\tversion = \"1.0\";\n}\n")
	now  = time.Now()
)

// identity is a key with its certificate.
type identity struct {
	key  crypto.Signer
	cert *x509.Certificate
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

var keys = struct {
	rsa, rsa2, ec, ec384 func() crypto.Signer
}{
	rsa:   sync.OnceValue(func() crypto.Signer { return must(rsa.GenerateKey(rand.Reader, 2048)) }),
	rsa2:  sync.OnceValue(func() crypto.Signer { return must(rsa.GenerateKey(rand.Reader, 2048)) }),
	ec:    sync.OnceValue(func() crypto.Signer { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) }),
	ec384: sync.OnceValue(func() crypto.Signer { return must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)) }),
}

// issue makes a certificate, signed by issuer or by itself.
func issue(key crypto.Signer, name string, issuer *identity, change func(*x509.Certificate)) *identity {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(int64(len(name)) + 1000),
		Subject:      pkix.Name{Organization: []string{"SWUpdate"}, CommonName: name},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.Add(time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection},
	}
	if change != nil {
		change(template)
	}
	parent, parentKey := template, key
	if issuer != nil {
		parent, parentKey = issuer.cert, issuer.key
	}
	der := must(x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey))
	return &identity{key, must(x509.ParseCertificate(der))}
}

func isCA(c *x509.Certificate) {
	c.IsCA, c.BasicConstraintsValid, c.ExtKeyUsage = true, true, nil
	c.KeyUsage |= x509.KeyUsageCertSign
}

func public(ids ...*identity) *Public {
	p := &Public{}
	for _, id := range ids {
		p.certs = append(p.certs, id.cert)
		p.keys = append(p.keys, id.cert.PublicKey)
	}
	return p
}

func pemOf(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func write(t *testing.T, dir, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// schemes are all schemes with all kinds of key.
var schemes = []struct {
	scheme Scheme
	key    func() crypto.Signer
}{
	{RSA, keys.rsa}, {RSAPSS, keys.rsa}, {ECDSA, keys.ec}, {ECDSA, keys.ec384}, {CMS, keys.rsa}, {CMS, keys.ec}, {CMS, keys.ec384},
}

func TestRoundTrip(t *testing.T) {
	for _, c := range schemes {
		id := issue(c.key(), "signer", nil, nil)
		s, err := NewSigner(c.scheme, id.key, public(id), now)
		if err != nil {
			t.Fatal(c.scheme, err)
		}
		for _, text := range [][]byte{text, nil, bytes.Repeat([]byte("x"), 1<<20)} {
			sig, err := s.Sign(text)
			if err != nil {
				t.Fatal(c.scheme, err)
			}
			if again, err := s.Sign(text); err != nil || !bytes.Equal(sig, again) {
				t.Errorf("%s: not deterministic: %v", c.scheme, err)
			}
			for _, scheme := range []Scheme{c.scheme, ""} {
				good, err := public(id).Verify(scheme, text, sig, now)
				if err != nil || good.Scheme != c.scheme {
					t.Errorf("%s as %q: got %v, %v", c.scheme, scheme, good, err)
				}
				if c.scheme == CMS && !good.Signers[0].Equal(id.cert) {
					t.Errorf("signer %v", good.Signers)
				}
			}
			other := issue(keys.rsa2(), "signer", nil, nil) // same name and serial number
			for _, bad := range []func() error{
				func() error {
					_, err := public(id).Verify(c.scheme, append([]byte("x"), text...), sig, now)
					return err
				},
				func() error { _, err := public(id).Verify("", append([]byte("x"), text...), sig, now); return err },
				func() error { _, err := public(other).Verify("", text, sig, now); return err },
				func() error { _, err := public(other).Verify(c.scheme, text, sig, now); return err },
				func() error { _, err := public(id).Verify(c.scheme, text, nil, now); return err },
				func() error { _, err := public(id).Verify("", text, []byte("3045"), now); return err },
			} {
				if err := bad(); !fault.IsData(err) {
					t.Errorf("%s: got %v, want a data fault", c.scheme, err)
				}
			}
		}
	}
}

// A signature that is cut or has a bit changed does not verify, and nothing panics.
// (Bits that nothing signs, such as the version number of the structure or the
// order of the certificates, may change.)
func TestDamaged(t *testing.T) {
	for _, c := range schemes {
		id := issue(c.key(), "signer", nil, nil)
		sig := must(must(NewSigner(c.scheme, id.key, public(id), now)).Sign(text))
		good := 0
		for i := range sig {
			if _, err := public(id).Verify("", text, sig[:i], now); !fault.IsData(err) {
				t.Fatalf("%s cut at %d: %v", c.scheme, i, err)
			}
			if c.scheme == CMS && i%7 != 0 {
				continue
			}
			bad := bytes.Clone(sig)
			bad[i] ^= 1 << (i % 8)
			if _, err := public(id).Verify("", text, bad, now); err == nil {
				good++
			}
		}
		if c.scheme != CMS && good > 0 || good > 12 {
			t.Errorf("%s: %d changes were not noticed", c.scheme, good)
		}
	}
}

func TestNewSigner(t *testing.T) {
	id := issue(keys.rsa(), "signer", nil, nil)
	other := issue(keys.rsa2(), "other", nil, nil)
	_, edKey, _ := ed25519.GenerateKey(rand.Reader)
	ed := issue(edKey, "ed", nil, nil)
	expired := issue(keys.rsa(), "expired", nil, func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Minute) })
	future := issue(keys.rsa(), "future", nil, func(c *x509.Certificate) { c.NotBefore = now.Add(time.Minute) })
	for _, c := range []struct {
		scheme Scheme
		key    crypto.Signer
		public *Public
		want   string
	}{
		{ECDSA, keys.rsa(), nil, "scheme ecdsa does not work with a key of type RSA"},
		{RSA, keys.ec(), nil, "scheme rsa does not work with a key of type EC"},
		{RSAPSS, keys.ec(), nil, "scheme rsa-pss does not work with a key of type EC"},
		{CMS, edKey, public(ed), "scheme cms does not work with a key of type Ed25519"},
		{CMS, keys.rsa(), public(other), "does not belong to the certificate"},
		{RSA, keys.rsa(), public(other), "does not belong to the certificate"},
		{CMS, keys.rsa(), &Public{keys: []crypto.PublicKey{keys.rsa().Public()}}, "needs the certificate of the key"},
		{CMS, keys.rsa(), nil, "needs the certificate of the key"},
		{CMS, keys.rsa(), public(expired), "is not valid any more: it ended at "},
		{CMS, keys.rsa(), public(future), "is not valid yet: it starts at "},
	} {
		if _, err := NewSigner(c.scheme, c.key, c.public, now); !fault.IsData(err) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %s", c.scheme, err, c.want)
		}
	}
	// The key's certificate is found among others.
	s, err := NewSigner(CMS, id.key, public(other, id, id), now)
	if err != nil || !s.Certificate().Equal(id.cert) || len(s.certs) != 2 {
		t.Error(err, s)
	}
	if _, err := NewSigner(RSA, keys.rsa(), public(expired), now); err != nil {
		t.Error("a bare signature does not depend on a certificate's time:", err)
	}
	if _, err := ParseScheme("md5"); err == nil || err.Error() != `unknown scheme "md5": want one of cms, rsa, rsa-pss, ecdsa` {
		t.Error(err)
	}
}

// What a device demands of the certificates.
func TestChain(t *testing.T) {
	root := issue(keys.rsa(), "root", nil, isCA)
	middle := issue(keys.rsa2(), "middle", root, isCA)
	leaf := issue(keys.ec(), "leaf", middle, nil)
	plain := issue(keys.ec(), "plain", root, func(c *x509.Certificate) { c.ExtKeyUsage, c.KeyUsage = nil, 0 })
	code := issue(keys.ec(), "code", root, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning} })
	server := issue(keys.ec(), "server", root, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })
	cipher := issue(keys.ec(), "cipher", root, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment })
	sig := func(signer *identity, others ...*identity) []byte {
		return must(must(NewSigner(CMS, signer.key, public(append([]*identity{signer}, others...)...), now)).Sign(text))
	}
	for _, c := range []struct {
		what  string
		sig   []byte
		trust *Public
		at    time.Time
		want  string // empty: good; borrowed: good with certificates of the signature
	}{
		{"whole chain", sig(leaf, middle, root), public(root), now, "borrowed"},
		{"without the anchor", sig(leaf, middle), public(root), now, "borrowed"},
		{"intermediate on the device", sig(leaf), public(root, middle), now, ""},
		{"no extended usage", sig(plain), public(root), now, ""},
		{"code signing", sig(code), public(root), now, ""},
		{"intermediate missing", sig(leaf), public(root), now, "unknown authority"},
		{"intermediate as anchor", sig(leaf, middle), public(middle), now, `no trust anchor: the certificate of "CN=middle,O=SWUpdate" is issued by "CN=root,O=SWUpdate"`},
		{"leaf as anchor", sig(leaf, middle), public(leaf), now, "no trust anchor"},
		{"another root", sig(leaf, middle), public(issue(keys.ec384(), "root", nil, isCA)), now, "unknown authority"},
		{"server certificate", sig(server), public(root), now, "incompatible key usage"},
		{"key encipherment", sig(cipher), public(root), now, "keyUsage without digitalSignature"},
		{"expired since", sig(leaf, middle), public(root), now.Add(2 * time.Hour), "expired"},
		{"public key", sig(leaf), &Public{keys: []crypto.PublicKey{leaf.key.Public()}}, now, "with a certificate, not with a public key"},
	} {
		good, err := c.trust.Verify("", text, c.sig, c.at)
		if good.Borrowed != (c.want == "borrowed") {
			t.Errorf("%s: borrowed %v", c.what, good.Borrowed)
		}
		if c.want == "borrowed" {
			c.want = ""
		}
		if c.want == "" && err != nil || c.want != "" && (!fault.IsData(err) || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: got %v, want %q", c.what, err, c.want)
		}
	}
	for id, want := range map[*identity]string{leaf: "", plain: "", code: "--cert-purpose codeSigning", server: "emailProtection", cipher: "digitalSignature"} {
		if got := Unfit(id.cert); !strings.Contains(got, want) || (want == "") != (got == "") {
			t.Errorf("%s: got %q, want %q", id.cert.Subject, got, want)
		}
	}
}

func TestHostileCMS(t *testing.T) {
	id := issue(keys.rsa(), "signer", nil, nil)
	nested := []byte{5, 0}
	for range maxNesting + 2 {
		nested = append([]byte{0x30, byte(len(nested))}, nested...)
	}
	for _, c := range []struct {
		sig  []byte
		want string
	}{
		{bytes.Repeat([]byte{0x30, 0x80}, MaxSignature/2), "nested deeper"}, // lengths left open
		{nested, "nested deeper than 40 levels"},
		{[]byte("-----BEGIN CMS-----\n"), "it is PEM, and SWUpdate reads DER"},
		{[]byte{0x30, 0}, "not CMS"},
		{nil, "not BER: unexpected EOF"},
		{[]byte{0x30, 0x84, 0xff, 0xff, 0xff, 0xff}, "not BER: unexpected EOF"},
		{[]byte{0x30, 0x85, 0, 0, 0, 0, 0}, "a length of 5 bytes"},
		{[]byte{0x30, 0x80, 0x04, 0x80, 0, 0, 0, 0}, "a primitive value of indefinite length"},
		{[]byte{0x30, 0x80, 0, 0}, "not CMS"},
		{[]byte{0x3f, 0x81, 0x01, 0}, "a tag over 30"},
	} {
		if _, err := public(id).Verify(CMS, text, c.sig, now); !fault.IsData(err) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.20x: got %v, want %s", c.sig, err, c.want)
		}
	}
}

func TestParseKey(t *testing.T) {
	tooltest.Need(t, "openssl")
	dir := t.TempDir()
	pass := func(s string) func() ([]byte, error) { return func() ([]byte, error) { return []byte(s), nil } }
	none := func() ([]byte, error) { t.Error("asked for a passphrase"); return nil, nil }
	for _, k := range []struct {
		name, gen string
		key       crypto.Signer
		plain     []byte
	}{
		{"rsa", "rsa", keys.rsa(), pemOf("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(keys.rsa().(*rsa.PrivateKey)))},
		{"ec", "ec", keys.ec(), append(pemOf("EC PARAMETERS", []byte{6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7}), pemOf("EC PRIVATE KEY", must(x509.MarshalECPrivateKey(keys.ec().(*ecdsa.PrivateKey))))...)},
	} {
		in := write(t, dir, k.name, k.plain)
		if got, err := ParseKey(k.plain, none); err != nil || !sameKey(got.Public(), k.key.Public()) {
			t.Errorf("%s: %v", k.name, err)
		}
		for _, c := range []struct {
			args      string
			encrypted bool
			want      string
		}{
			{"pkcs8 -topk8 -nocrypt", false, ""},
			{"pkcs8 -topk8 -v2 aes-256-cbc", true, ""},
			{"pkcs8 -topk8 -v2 aes-128-cbc -v2prf hmacWithSHA1", true, ""},
			{"pkcs8 -topk8 -v2 des3", true, ""},
			{"pkcs8 -topk8 -scrypt -scrypt_N 1024", true, ""},
			{"pkcs8 -topk8 -v2 aes-256-cbc -v2prf hmacWithSHA512", true, "unsupported hash function"},
			{"pkcs8 -topk8 -v1 PBE-SHA1-3DES", true, "only PBES2 supported"},
			{k.gen + " -aes256", true, ""},
			{k.gen + " -des3", true, ""},
		} {
			cmd := exec.Command("openssl", append(strings.Fields(c.args), "-in", in, "-passout", "pass:secret word")...)
			if k.gen == "rsa" && strings.HasPrefix(c.args, "rsa") {
				cmd.Args = append(cmd.Args, "-traditional")
			}
			data, err := cmd.Output()
			if err != nil {
				t.Errorf("%s: %v", cmd, err)
				continue
			}
			if !c.encrypted {
				if got, err := ParseKey(data, none); err != nil || !sameKey(got.Public(), k.key.Public()) {
					t.Errorf("%s: %v", cmd, err)
				}
				continue
			}
			got, err := ParseKey(data, pass("secret word"))
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("%s: got %v, want %s", cmd, err, c.want)
				}
				continue
			}
			if err != nil || !sameKey(got.Public(), k.key.Public()) {
				t.Errorf("%s: %v", cmd, err)
			}
			for _, wrong := range []string{"", "secret", "Secret word"} {
				if _, err := ParseKey(data, pass(wrong)); !errors.Is(err, ErrPassphrase) || fault.IsData(err) {
					t.Errorf("%s with %q: got %v", cmd, wrong, err)
				}
			}
			stop := errors.New("no terminal")
			if _, err := ParseKey(data, func() ([]byte, error) { return nil, stop }); err != stop {
				t.Errorf("%s: got %v", cmd, err)
			}
			// Damage anywhere is an error or a wrong passphrase, never a panic.
			block, _ := pem.Decode(data)
			for i := range block.Bytes {
				bad := *block
				bad.Bytes = bytes.Clone(block.Bytes)
				bad.Bytes[i] ^= 0x15
				if i > 0 && i < 120 && strings.Contains(c.args, "scrypt") {
					continue // the cost of the derivation is in there
				}
				if strings.Contains(c.args, "pkcs8") && i < 120 {
					bad.Bytes = bad.Bytes[:i] // neither is the number of iterations changed
				}
				if i > 200 {
					break
				}
				ParseKey(pem.EncodeToMemory(&bad), pass("secret word"))
			}
		}
	}
	for _, c := range []struct{ data, want string }{
		{"", "no private key in PEM"},
		{string(pemOf("PUBLIC KEY", nil)), "no private key in PEM"},
		{string(pemOf("RSA PRIVATE KEY", []byte{1})), "private key: "},
		{string(pemOf("PRIVATE KEY", []byte{0x30, 0})), "private key: "},
		{string(pemOf("ENCRYPTED PRIVATE KEY", []byte{0x30, 0})), "private key: "},
	} {
		if _, err := ParseKey([]byte(c.data), pass("x")); !fault.IsData(err) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: got %v, want %s", c.data, err, c.want)
		}
	}
}

func TestParsePublic(t *testing.T) {
	id := issue(keys.rsa(), "signer", nil, nil)
	spki := must(x509.MarshalPKIXPublicKey(keys.ec().Public()))
	pkcs1 := x509.MarshalPKCS1PublicKey(keys.rsa2().Public().(*rsa.PublicKey))
	data := bytes.Join([][]byte{[]byte("text\n"), pemOf("CERTIFICATE", id.cert.Raw), pemOf("PRIVATE KEY", nil), pemOf("PUBLIC KEY", spki), pemOf("RSA PUBLIC KEY", pkcs1)}, nil)
	p, err := ParsePublic(data)
	if err != nil || len(p.certs) != 1 || len(p.keys) != 3 || !sameKey(p.keys[1], keys.ec().Public()) || !sameKey(p.keys[2], keys.rsa2().Public()) {
		t.Error(p, err)
	}
	for _, kind := range []string{"CERTIFICATE", "PUBLIC KEY", "RSA PUBLIC KEY", "NONSENSE"} {
		if _, err := ParsePublic(pemOf(kind, []byte{0x30})); !fault.IsData(err) {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

func FuzzVerify(f *testing.F) {
	for _, c := range schemes {
		id := issue(c.key(), "signer", nil, nil)
		f.Add(must(must(NewSigner(c.scheme, id.key, public(id), now)).Sign(text)))
	}
	trust := public(issue(keys.rsa2(), "another", nil, nil), issue(must(ecdsa.GenerateKey(elliptic.P224(), rand.Reader)), "one", nil, nil))
	f.Fuzz(func(t *testing.T, sig []byte) {
		for _, scheme := range append([]Scheme{""}, Schemes...) {
			if _, err := trust.Verify(scheme, text, sig, now); !fault.IsData(err) {
				t.Fatalf("%q: got %v", scheme, err)
			}
		}
	})
}

func ExampleSigner_Sign() {
	key := keys.rsa() // of ParseKey
	text := []byte(`software = { version = "1.0"; }`)
	s, err := NewSigner(RSAPSS, key, nil, time.Now())
	if err != nil {
		panic(err)
	}
	sig, err := s.Sign(text)
	if err != nil {
		panic(err)
	}
	device, err := ParsePublic(pemOf("PUBLIC KEY", must(x509.MarshalPKIXPublicKey(key.Public()))))
	if err != nil {
		panic(err)
	}
	good, err := device.Verify("", text, sig, time.Now())
	fmt.Println(len(sig), good.Scheme, err)
	// Output: 256 rsa-pss <nil>
}
