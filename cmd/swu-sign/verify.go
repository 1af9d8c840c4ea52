// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"time"

	"swudelta/internal/sign"
	"swudelta/internal/tool"
)

func verify(c *tool.Context) error {
	var scheme sign.Scheme
	if c.IsSet("scheme") {
		var err error
		if scheme, err = sign.ParseScheme(c.String("scheme")); err != nil {
			return tool.Usagef("--scheme: %v", err)
		}
	}
	data, err := readFlag(c, "cert", sign.MaxPEM)
	if err != nil {
		return err
	}
	public, err := sign.ParsePublic(data)
	if err != nil {
		return fmt.Errorf("%s: %w", c.String("cert"), err)
	}
	sig, err := readFlag(c, "verify", sign.MaxSignature)
	if err != nil {
		return err
	}
	text, err := readInput(c)
	if err != nil {
		return err
	}
	good, err := public.Verify(scheme, text, sig, time.Now())
	if err != nil {
		return fmt.Errorf("verify %s: %w", c.String("verify"), err)
	}
	c.Verbosef("good signature, scheme %s", good.Scheme)
	if good.Borrowed {
		c.Warnf("%s lacks certificates between the anchor and the signer: they are in the signature, but not every SWUpdate looks there", c.String("cert"))
	}
	for _, cert := range good.Signers {
		c.Verbosef("signer %q", cert.Subject)
		if why := sign.Unfit(cert); why != "" {
			c.Warnf("certificate of signer %q: %s", cert.Subject, why)
		}
	}
	return nil
}
