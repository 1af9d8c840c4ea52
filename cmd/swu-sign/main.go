// SPDX-License-Identifier: MIT

// Swu-sign makes and checks the detached signature of a sw-description.
//
// Usage:
//
//	swu-sign --scheme cms|rsa|rsa-pss|ecdsa --key KEY [--cert CERT] [--passphrase-file F] [-o OUTPUT] [INPUT]
//	swu-sign --command CMD [--cert CERT] [--like OLD] [-o OUTPUT] [INPUT]
//	swu-sign --verify SIG --cert CERT [--scheme S] [INPUT]
//
// Every change to sw-description voids its signature, so this is the last step
// before swu-pack. app.Description says more. Exit status 3 says that a
// signature is bad, or that key and certificate do not serve to make one.
package main

import (
	"bytes"
	"fmt"
	"io"

	"swudelta/internal/fault"
	"swudelta/internal/sign"
	"swudelta/internal/tool"
)

func main() { tool.Main(app) }

var app = &tool.Command{
	Name:    "swu-sign",
	Usage:   "--scheme S --key KEY [--cert CERT] [INPUT] | --command CMD [--cert CERT] [--like OLD] [INPUT] | --verify SIG --cert CERT [INPUT]",
	Summary: "Make or check the detached signature of a sw-description.",
	Description: `
INPUT is a sw-description, or any text. The signature, which becomes the archive member
sw-description.sig, is of the scheme that the devices' SWUpdate was built for:

  cms      CMS (PKCS #7) in DER, detached, with the certificate from --cert; Debian's
           swupdate reads only this. Further certificates in CERT go along.
  rsa      bare RSA signature, PKCS #1 v1.5
  rsa-pss  bare RSA-PSS signature
  ecdsa    bare ECDSA signature in ASN.1

All are over SHA-256. The same input and key make the same signature: cms has no time of
signing in it. KEY is a private key in PEM; the passphrase of an encrypted one is the
first line of the file given by --passphrase-file, or asked for on the terminal.

--command signs with a program of yours, such as one that talks to a signing service: the
shell runs CMD with one more argument, the path of a private copy of INPUT, and it must
create a file of that path with .sig appended, and exit with status 0. What it prints goes
to standard error. What is no signature is refused with status 3: nothing, text, a damaged
structure, CMS that does not verify. With --cert it is verified as below. With --like, which
names the signature of the update before, there is a warning if the new one is of another
form (CMS, RSA, RSA-PSS, ECDSA, OpenPGP) or size, which the same devices do not read.

--verify checks the signature SIG as a device with "swupdate -k CERT" would, and prints
nothing if it is good. CERT has the trust anchor (cms: the self-signed certificate that
issued the signer's, or is it) or a public key. The scheme is recognised. Of several
signers of a CMS signature one has to be trusted, and the signatures of all must be good.`,
	Example: `
$ swu-sign --scheme cms --key key.pem --cert cert.pem -o sw-description.sig sw-description
$ swu-sign --verify sw-description.sig --cert cert.pem sw-description && echo good
good
$ swu-sign --command 'ssh signer "sign --profile=ota" < "$1" > "$1.sig" && :' \
    -o sw-description.sig sw-description`,
	MaxArgs: 1,
	Binary:  func(c *tool.Context) bool { return !c.IsSet("verify") },
	Flags: []tool.Flag{
		&tool.String{Name: "scheme", Arg: "cms|rsa|rsa-pss|ecdsa", Help: "cms, rsa, rsa-pss or ecdsa"},
		&tool.String{Name: "key", Arg: "KEY", Help: "private key (PEM: PKCS #1, PKCS #8 or EC)"},
		&tool.String{Name: "cert", Arg: "CERT", Help: "certificates, or with --verify also a public key (PEM)"},
		&tool.String{Name: "passphrase-file", Arg: "FILE", Help: "the first line of FILE is the passphrase of KEY"},
		&tool.String{Name: "command", Arg: "CMD", Help: "sign with a shell command"},
		&tool.String{Name: "like", Arg: "OLD", Help: "with --command: warn if the signature in the file OLD has another form"},
		&tool.String{Name: "verify", Arg: "SIG", Help: "check the signature in the file SIG"},
	},
	Run: func(c *tool.Context) error {
		if c.IsSet("like") && !c.IsSet("command") {
			return tool.Usagef("--like goes with --command")
		}
		run := signWithKey
		for _, mode := range []struct {
			flag, others string
			not          []string
			run          func(*tool.Context) error
		}{
			{"verify", "--cert and --scheme", []string{"key", "passphrase-file", "command"}, verify},
			{"command", "--cert and --like", []string{"scheme", "key", "passphrase-file", "verify"}, signWithCommand},
		} {
			if !c.IsSet(mode.flag) {
				continue
			}
			for _, f := range mode.not {
				if c.IsSet(f) {
					return tool.Usagef("--%s goes with %s", mode.flag, mode.others)
				}
			}
			run = mode.run
		}
		return run(c)
	},
}

// readInput reads the operand.
func readInput(c *tool.Context) ([]byte, error) {
	in, err := c.Input(0)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	return readAll(in, in.Name(), sign.MaxText)
}

func readAll(r io.Reader, name string, limit int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read %s: %w", name, err)
	case int64(len(b)) > limit:
		return nil, fault.Dataf("read %s: more than %d bytes", name, limit)
	}
	return b, nil
}

// readFlag reads the file that a flag names.
func readFlag(c *tool.Context, flag string, limit int64) ([]byte, error) {
	path := c.String(flag)
	if path == "" {
		return nil, tool.Usagef("--%s is missing", flag)
	}
	f, err := c.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readAll(f, f.Name(), limit)
}

// write puts out a signature.
func write(c *tool.Context, sig []byte) error {
	return c.Output(func(w io.Writer) error {
		_, err := io.Copy(w, bytes.NewReader(sig))
		return err
	})
}
