// SPDX-License-Identifier: MIT

package sign

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"swudelta/internal/fault"
	"swudelta/internal/tooltest"
)

// files writes a key, its certificate and its public key for openssl.
func files(t *testing.T, dir string, id *identity) (key, cert, pub string) {
	name := fmt.Sprintf("%s-%T", id.cert.Subject.CommonName, id.key)
	return write(t, dir, name+".key", pemOf("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(id.key)))),
		write(t, dir, name+".pem", pemOf("CERTIFICATE", id.cert.Raw)),
		write(t, dir, name+".pub", pemOf("PUBLIC KEY", must(x509.MarshalPKIXPublicKey(id.key.Public()))))
}

// OpenSSL verifies ours, we verify OpenSSL's, and for CMS with RSA both are the same.
func TestOpenSSL(t *testing.T) {
	tooltest.Need(t, "openssl")
	dir := t.TempDir()
	in := write(t, dir, "sw-description", text)
	theirs := filepath.Join(dir, "theirs.sig")
	openssl := func(args string, more ...string) error {
		cmd := exec.Command("openssl", append(strings.Fields(args), more...)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w\n%s", cmd, err, out)
		}
		return nil
	}
	pss := "-sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:"
	for _, c := range schemes {
		id := issue(c.key(), "signer", nil, func(c *x509.Certificate) { c.SubjectKeyId = []byte("an identifier") })
		key, cert, pub := files(t, dir, id)
		s := must(NewSigner(c.scheme, id.key, public(id), now))
		sig := must(s.Sign(text))
		ours := write(t, dir, "ours.sig", sig)
		var sign, verify []string
		switch c.scheme {
		case CMS:
			variants := []string{"", " -nodetach", " -noattr", " -md sha512", " -noattr -md sha384", " -stream", " -stream -nodetach", " -keyid", " -keyid -noattr -stream"}
			if c.key().Public() == keys.rsa().Public() {
				for _, salt := range []string{"", " -keyopt rsa_pss_saltlen:-1", " -keyopt rsa_pss_saltlen:0", " -md sha512"} {
					variants = append(variants, " -keyopt rsa_padding_mode:pss"+salt)
				}
			}
			for _, v := range variants {
				sign = append(sign, "cms -sign -nosmimecap -binary -outform DER -signer "+cert+" -inkey "+key+" -in "+in+" -out "+theirs+v)
			}
			verify = []string{"cms -verify -binary -inform DER -in " + ours + " -content " + in + " -CAfile " + cert + " -purpose smimesign -out /dev/null"}
		case RSAPSS:
			for _, salt := range []string{"-2", "32", "-1", "20"} {
				sign = append(sign, "dgst -sha256 "+pss+salt+" -sign "+key+" -out "+theirs+" "+in)
			}
			verify = []string{"dgst -sha256 " + pss + "-2 -verify " + pub + " -signature " + ours + " " + in, "dgst -sha256 " + pss + "222 -verify " + pub + " -signature " + ours + " " + in}
		default:
			sign = []string{"dgst -sha256 -sign " + key + " -out " + theirs + " " + in}
			verify = []string{"dgst -sha256 -verify " + pub + " -signature " + ours + " " + in}
		}
		for _, args := range verify {
			if err := openssl(args); err != nil {
				t.Error(err)
			}
		}
		for _, args := range sign {
			if err := openssl(args); err != nil {
				t.Error(err)
				continue
			}
			got := must(os.ReadFile(theirs))
			for _, scheme := range []Scheme{c.scheme, ""} {
				if good, err := public(id).Verify(scheme, text, got, now); err != nil || good.Scheme != c.scheme {
					t.Errorf("openssl %s: %v, %v", args, good, err)
				}
			}
			if c.scheme == CMS && strings.HasSuffix(args, " -noattr") && c.key().Public() == keys.rsa().Public() && !bytes.Equal(got, sig) {
				t.Errorf("not what openssl makes:\n got %s\nwant %s", hex.EncodeToString(sig), hex.EncodeToString(got))
			}
			if c.scheme == RSA && !bytes.Equal(got, sig) {
				t.Error("not what openssl makes")
			}
		}
	}
	// Certificates of the chain go along, in the same order.
	root := issue(keys.rsa(), "root", nil, isCA)
	middle := issue(keys.rsa2(), "middle", root, isCA)
	leaf := issue(keys.rsa(), "leaf", middle, nil)
	key, cert, _ := files(t, dir, leaf)
	_, rootCert, _ := files(t, dir, root)
	more := write(t, dir, "more.pem", append(pemOf("CERTIFICATE", middle.cert.Raw), pemOf("CERTIFICATE", root.cert.Raw)...))
	sig := must(must(NewSigner(CMS, leaf.key, public(leaf, middle, root), now)).Sign(text))
	if err := openssl("cms -sign -noattr -binary -outform DER -signer", cert, "-inkey", key, "-certfile", more, "-in", in, "-out", theirs); err != nil {
		t.Error(err)
	} else if got := must(os.ReadFile(theirs)); !bytes.Equal(got, sig) {
		t.Errorf("chain: not what openssl makes:\n got %x\nwant %x", sig, got)
	}
	if err := openssl("cms -verify -binary -inform DER -in", write(t, dir, "ours.sig", sig), "-content", in, "-CAfile", rootCert, "-purpose", "smimesign", "-out", "/dev/null"); err != nil {
		t.Error(err)
	}
	// Two signers are good only if both are trusted.
	other := issue(keys.ec(), "other", nil, nil)
	otherKey, otherCert, _ := files(t, dir, other)
	if err := openssl("cms -sign -binary -outform DER -signer", cert, "-inkey", key, "-signer", otherCert, "-inkey", otherKey, "-certfile", more, "-in", in, "-out", theirs); err != nil {
		t.Fatal(err)
	}
	two := must(os.ReadFile(theirs))
	if good, err := public(root, other).Verify("", text, two, now); err != nil || len(good.Signers) != 2 {
		t.Error(good, err)
	}
	if good, err := public(root).Verify("", text, two, now); err != nil || len(good.Signers) != 1 || len(good.Unknown) != 1 || good.Unknown[0].Subject.CommonName != other.cert.Subject.CommonName {
		t.Error(good, err)
	}
	if _, err := public(middle).Verify("", text, two, now); !fault.IsData(err) {
		t.Error(err)
	}
	// Without -binary the text is changed before it is signed; PEM is not DER.
	// What the library cannot do is said to be that.
	for args, want := range map[string]string{
		"-outform DER":           "it is of another text",
		"-binary -outform PEM":   "it is PEM",
		"-binary -outform SMIME": "SWUpdate reads binary ones",
		"-binary -outform DER -keyopt rsa_padding_mode:pss -keyopt rsa_mgf1_md:sha1": "mask has digest SHA-1 and whose text has SHA-256: not supported",
		"-binary -outform DER -md ripemd160":                                         "digest 1.3.36.3.2.1: not supported",
	} {
		if err := openssl("cms -sign -signer "+cert+" -inkey "+key+" -in "+in+" -out "+theirs, strings.Fields(args)...); err != nil {
			t.Error(err)
		}
		if _, err := public(root, middle).Verify("", text, must(os.ReadFile(theirs)), now); !fault.IsData(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", args, err)
		}
	}
}

// swupdate runs the client and reports whether it accepts the archive.
func swupdate(t *testing.T, archive, cert string) (bool, string) {
	t.Helper()
	dir := t.TempDir()
	out := must(os.Create(filepath.Join(dir, "out")))
	defer out.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "swupdate", "-c", "-k", cert, "-H", "board:1.0", "-e", "stable,copy1", "-i", archive)
	// Its control sockets lie in TMPDIR. It may leave a child behind that holds
	// the output open, so that goes into a file and the group is killed.
	cmd.Env = append(os.Environ(), "TMPDIR="+dir)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	cmd.Run()
	syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	log := string(must(os.ReadFile(out.Name())))
	return strings.Contains(log, "SWUPDATE successful") && !strings.Contains(log, "[ERROR]"), log
}

// The client that Debian builds takes our CMS signatures.
func TestSWUpdate(t *testing.T) {
	tooltest.Need(t, "swupdate", "cpio")
	root := issue(keys.rsa(), "root", nil, isCA)
	middle := issue(keys.rsa2(), "middle", root, isCA)
	leaf := issue(keys.ec(), "leaf", middle, nil)
	direct := issue(keys.ec(), "direct", root, nil)
	rsaSelf, ecSelf := issue(keys.rsa(), "rsa", nil, nil), issue(keys.ec384(), "ec", nil, nil)
	for _, c := range []struct {
		what   string
		signer []*identity
		trust  []*identity
		scheme Scheme
		want   bool
	}{
		{"RSA", []*identity{rsaSelf}, []*identity{rsaSelf}, CMS, true},
		{"EC", []*identity{ecSelf}, []*identity{ecSelf}, CMS, true},
		{"issued", []*identity{direct}, []*identity{root}, CMS, true},
		{"chain on the device", []*identity{leaf, middle}, []*identity{root, middle}, CMS, true},
		{"intermediate missing", []*identity{leaf}, []*identity{root}, CMS, false},
		{"intermediate as anchor", []*identity{leaf, middle}, []*identity{middle}, CMS, false},
		{"another certificate", []*identity{rsaSelf}, []*identity{ecSelf}, CMS, false},
		{"bare signature", []*identity{rsaSelf}, []*identity{rsaSelf}, RSA, false},
	} {
		dir := t.TempDir()
		image := bytes.Repeat([]byte("image data\n"), 200000)
		target := write(t, dir, "target", nil)
		desc := []byte(fmt.Sprintf(`software = { version = "1"; hardware-compatibility = [ "1.0" ]; stable: { copy1: { images: (
			{ filename = "image"; type = "raw"; device = "%s"; sha256 = "%x"; } ); }; }; }`, target, sha256.Sum256(image)))
		write(t, dir, "sw-description", desc)
		sig := must(must(NewSigner(c.scheme, c.signer[0].key, public(c.signer...), now)).Sign(desc))
		write(t, dir, "sw-description.sig", sig)
		write(t, dir, "image", image)
		var certs []byte
		for _, id := range c.trust {
			certs = append(certs, pemOf("CERTIFICATE", id.cert.Raw)...)
		}
		cert := write(t, dir, "cert.pem", certs)
		pack := exec.Command("cpio", "-o", "-H", "crc", "--quiet", "-O", "update.swu")
		pack.Dir, pack.Stdin = dir, strings.NewReader("sw-description\nsw-description.sig\nimage\n")
		if out, err := pack.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		got, log := swupdate(t, filepath.Join(dir, "update.swu"), cert)
		_, err := public(c.trust...).Verify(CMS, desc, sig, now)
		if got != c.want || (err == nil) != c.want {
			t.Errorf("%s: swupdate says %v, we say %v, want %v\n%s", c.what, got, err, c.want, log)
		}
	}
}

// What other programs sign we take if the client takes it, and only then. How CMS
// can be written is openssl's choice here, the judgement swupdate's.
func TestSWUpdateForms(t *testing.T) {
	tooltest.Need(t, "swupdate", "cpio", "openssl")
	withID := func(c *x509.Certificate) { c.SubjectKeyId = []byte(c.Subject.CommonName + " id") }
	signer, other := issue(keys.rsa(), "signer", nil, withID), issue(keys.rsa2(), "other", nil, withID)
	expired := issue(keys.rsa(), "expired", nil, func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Minute) })
	noUsage := issue(keys.rsa(), "usage", nil, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment })
	server := issue(keys.rsa(), "server", nil, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })
	for _, c := range []struct {
		what  string
		id    *identity
		args  string
		trust *identity
		want  bool
	}{
		{"plain", signer, "", signer, true},
		{"streamed", signer, "-stream", signer, true},
		{"streamed, with the text", signer, "-stream -nodetach", signer, true},
		{"key identifier", signer, "-keyid", signer, true},
		{"RSA-PSS", signer, "-keyopt rsa_padding_mode:pss", signer, true},
		{"RSA-PSS, salt as long as the digest", signer, "-keyopt rsa_padding_mode:pss -keyopt rsa_pss_saltlen:-1", signer, true},
		{"SHA-1", signer, "-md sha1", signer, true},
		{"SHA-224", signer, "-md sha224", signer, true},
		{"SHA-512/256", signer, "-md sha512-256", signer, true},
		{"SHA3-256", signer, "-md sha3-256", signer, true},
		{"RSA-PSS with SHA-224", signer, "-md sha224 -keyopt rsa_padding_mode:pss", signer, true},
		{"second signer", signer, "OTHER", signer, true},
		{"second signer, the other one", signer, "OTHER", other, true},
		{"unknown", signer, "", other, false},
		{"no certificate", signer, "-nocerts", signer, false},
		{"expired", expired, "", expired, false},
		{"key usage", noUsage, "", noUsage, false},
		{"server", server, "", server, false},
		{"another text", signer, "CHANGED", signer, false},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			image := bytes.Repeat([]byte("image data\n"), 200000)
			target := write(t, dir, "target", nil)
			desc := fmt.Appendf(nil, `software = { version = "1"; hardware-compatibility = [ "1.0" ]; stable: { copy1: { images: (
				{ filename = "image"; type = "raw"; device = "%s"; sha256 = "%x"; } ); }; }; }`, target, sha256.Sum256(image))
			in := write(t, dir, "sw-description", desc)
			write(t, dir, "image", image)
			key, cert, _ := files(t, dir, c.id)
			otherKey, otherCert, _ := files(t, dir, other)
			_, anchor, _ := files(t, dir, c.trust)
			args := []string{"cms", "-sign", "-binary", "-nosmimecap", "-outform", "DER", "-in", in, "-out", filepath.Join(dir, "sw-description.sig"), "-signer", cert, "-inkey", key}
			switch c.args {
			case "OTHER":
				args = append(args, "-signer", otherCert, "-inkey", otherKey)
			case "CHANGED":
			default:
				args = append(args, strings.Fields(c.args)...)
			}
			if out, err := exec.Command("openssl", args...).CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if c.args == "CHANGED" {
				desc = append(desc, '\n')
				write(t, dir, "sw-description", desc)
			}
			pack := exec.Command("cpio", "-o", "-H", "crc", "--quiet", "-O", "update.swu")
			pack.Dir, pack.Stdin = dir, strings.NewReader("sw-description\nsw-description.sig\nimage\n")
			if out, err := pack.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			takes, log := swupdate(t, filepath.Join(dir, "update.swu"), anchor)
			_, err := public(c.trust).Verify("", desc, must(os.ReadFile(filepath.Join(dir, "sw-description.sig"))), now)
			if takes != c.want || (err == nil) != c.want {
				t.Errorf("swupdate says %v, we say %v, want %v\n%s", takes, err, c.want, log)
			}
		})
	}
}
