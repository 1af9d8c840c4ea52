// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"swudelta/internal/fault"
	"swudelta/internal/sign"
	"swudelta/internal/tool"
)

func signWithKey(c *tool.Context) error {
	if !c.IsSet("scheme") {
		return tool.Usagef("want --scheme, --command or --verify")
	}
	scheme, err := sign.ParseScheme(c.String("scheme"))
	if err != nil {
		return tool.Usagef("--scheme: %v", err)
	}
	if scheme == sign.CMS && !c.IsSet("cert") {
		return tool.Usagef("--scheme cms needs --cert")
	}
	path := c.String("key")
	data, err := readFlag(c, "key", sign.MaxPEM)
	if err != nil {
		return err
	}
	key, err := sign.ParseKey(data, func() ([]byte, error) { return passphrase(c, path) })
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	var public *sign.Public
	if c.IsSet("cert") {
		if public, err = readPublic(c); err != nil {
			return err
		}
	}
	signer, err := sign.NewSigner(scheme, key, public, time.Now())
	if err != nil {
		return fmt.Errorf("sign with %s: %w", path, err)
	}
	if cert := signer.Certificate(); cert != nil {
		if why := sign.Unfit(cert); why != "" {
			c.Warnf("%s: %s", c.String("cert"), why)
		}
	}
	text, err := readInput(c)
	if err != nil {
		return err
	}
	sig, err := signer.Sign(text)
	if err != nil {
		return fmt.Errorf("sign with %s: %w", path, err)
	}
	return write(c, sig)
}

// passphrase gets the secret of an encrypted key.
func passphrase(c *tool.Context, key string) ([]byte, error) {
	if !c.IsSet("passphrase-file") {
		secret, err := c.Passphrase("Passphrase of " + key + ": ")
		return secret, tool.Hint(err, "--passphrase-file names a file that has it")
	}
	data, err := readFlag(c, "passphrase-file", sign.MaxPEM)
	if err != nil {
		return nil, err
	}
	line, _, _ := bytes.Cut(data, []byte("\n"))
	return bytes.TrimSuffix(line, []byte("\r")), nil
}

// signWithCommand has a shell command make the signature. The copy that it signs
// is alone in a private folder, so no older signature can be taken for the new.
func signWithCommand(c *tool.Context) error {
	text, err := readInput(c)
	if err != nil {
		return err
	}
	dir, remove, err := c.ScratchDir()
	if err != nil {
		return err
	}
	defer remove()
	path, err := filepath.Abs(filepath.Join(dir, "sw-description"))
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return err
	}
	cmd := exec.Command("sh", "-c", c.String("command")+` "$@"`, "sh", path)
	cmd.Stdout, cmd.Stderr = c.Stderr(), c.Stderr()
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("signing command: %w", err)
	}
	if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, text) {
		return errors.New("signing command: it changed what it was to sign")
	}
	sig, err := readSignature(path + ".sig")
	if err != nil {
		return fmt.Errorf("signing command: %w", err)
	}
	if err := examine(c, text, sig); err != nil {
		return fmt.Errorf("signing command: %w", err)
	}
	return write(c, sig)
}

// readSignature reads what a signing command has made.
func readSignature(path string) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, tool.Hint(errors.New("it made no signature"), "it gets the path of the text as its last argument, and has to create PATH.sig")
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, errors.New("the signature is no file")
	case info.Size() > sign.MaxSignature:
		return nil, fault.Dataf("a signature of %d bytes, want at most %d", info.Size(), sign.MaxSignature)
	}
	return os.ReadFile(path)
}

// examine refuses a signature that no device takes for one of the text, and warns
// of one that the devices of the former do not read.
func examine(c *tool.Context, text, sig []byte) error {
	form, err := sign.Form(sig)
	if err != nil {
		return err
	}
	known, err := sign.Fits(text, sig)
	if err != nil {
		return err
	}
	var scheme sign.Scheme // as far as it is known
	if c.IsSet("cert") {
		public, err := readPublic(c)
		if err != nil {
			return err
		}
		good, err := public.Verify("", text, sig, time.Now())
		if err != nil {
			return fmt.Errorf("%s: %w", c.String("cert"), err)
		}
		scheme = good.Scheme
		report(c, good)
	} else if !known {
		c.Verbosef("only with --cert is such a signature verified: %s", form)
	}
	if c.IsSet("like") {
		return compareForm(c, form, scheme)
	}
	return nil
}

// compareForm warns of a form that the signature named by --like does not have.
func compareForm(c *tool.Context, form string, scheme sign.Scheme) error {
	old, err := readFlag(c, "like", sign.MaxSignature)
	if err != nil {
		return err
	}
	before, err := sign.Form(old)
	if err != nil {
		c.Warnf("%s: %v", c.String("like"), err)
		return nil
	}
	schemeBefore := formerScheme(c, old)
	if before != form || schemeBefore != scheme && schemeBefore != "" && scheme != "" {
		c.Warnf("the new signature is %s, the one before was %s: SWUpdate reads only the form that it was built for",
			inWords(form, scheme), inWords(before, schemeBefore))
	}
	return nil
}

// inWords adds to a form the scheme, where the form leaves it open.
func inWords(form string, scheme sign.Scheme) string {
	if scheme == "" || scheme == sign.CMS || scheme == sign.ECDSA {
		return form
	}
	return form + ", scheme " + string(scheme)
}

// formerScheme tells the two RSA schemes apart by verifying the former signature,
// if that can be done: its text is the file of its name without .sig.
func formerScheme(c *tool.Context, sig []byte) sign.Scheme {
	path, found := strings.CutSuffix(c.String("like"), ".sig")
	if !found || !c.IsSet("cert") {
		return ""
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	public, err := readPublic(c)
	if err != nil {
		return ""
	}
	good, err := public.Verify("", text, sig, time.Now())
	if err != nil {
		return ""
	}
	return good.Scheme
}
