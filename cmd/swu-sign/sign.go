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
	"time"

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
		data, err := readFlag(c, "cert", sign.MaxPEM)
		if err != nil {
			return err
		}
		if public, err = sign.ParsePublic(data); err != nil {
			return fmt.Errorf("%s: %w", c.String("cert"), err)
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
	info, err := os.Stat(path + ".sig")
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return tool.Hint(errors.New("signing command: it made no signature"), "it gets the path of the text as its last argument, and has to create PATH.sig")
	case err != nil:
		return fmt.Errorf("signing command: %w", err)
	case !info.Mode().IsRegular() || info.Size() == 0 || info.Size() > sign.MaxSignature:
		return fmt.Errorf("signing command: the signature is no file of 1 to %d bytes", sign.MaxSignature)
	}
	sig, err := os.ReadFile(path + ".sig")
	if err != nil {
		return fmt.Errorf("signing command: %w", err)
	}
	return write(c, sig)
}
