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
	public, err := readPublic(c)
	if err != nil {
		return err
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
	report(c, good)
	return nil
}

// readPublic reads the file that --cert names.
func readPublic(c *tool.Context) (*sign.Public, error) {
	data, err := readFlag(c, "cert", sign.MaxPEM)
	if err != nil {
		return nil, err
	}
	public, err := sign.ParsePublic(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.String("cert"), err)
	}
	return public, nil
}

// report says what is remarkable about a good signature.
func report(c *tool.Context, good sign.Good) {
	c.Verbosef("good signature, scheme %s", good.Scheme)
	if good.Borrowed {
		c.Warnf("%s lacks certificates between the anchor and the signer: they are in the signature, but not every SWUpdate looks there", c.String("cert"))
	}
	for _, cert := range good.Unknown {
		c.Warnf("nothing in %s vouches for the further signer %q: a SWUpdate built without CMS_SKIP_UNKNOWN_SIGNERS refuses the signature", c.String("cert"), cert.Subject)
	}
	for _, cert := range good.Signers {
		c.Verbosef("signer %q", cert.Subject)
		if why := sign.Unfit(cert); why != "" {
			c.Warnf("certificate of signer %q: %s", cert.Subject, why)
		}
	}
}
