// SPDX-License-Identifier: MIT

package sign

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/youmark/pkcs8"

	"swudelta/internal/fault"
)

// ErrPassphrase is the cause of every failure to decrypt a key.
var ErrPassphrase = errors.New("wrong passphrase")

// ParseKey returns the first private key in a PEM file: PKCS #1, SEC 1 (EC) or
// PKCS #8. If it is encrypted (PKCS #8 with PBES2, or in the older way of
// OpenSSL with DEK-Info), passphrase is called for its passphrase.
func ParseKey(data []byte, passphrase func() ([]byte, error)) (crypto.Signer, error) {
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		switch block.Type {
		case "PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "ENCRYPTED PRIVATE KEY":
			key, err := parseKey(block, passphrase)
			if err != nil {
				return nil, err
			}
			signer, ok := key.(crypto.Signer)
			if !ok {
				return nil, fault.Dataf("a key of type %T cannot sign", key)
			}
			return signer, nil
		}
	}
	return nil, fault.Dataf("no private key in PEM")
}

func parseKey(block *pem.Block, passphrase func() ([]byte, error)) (any, error) {
	der := block.Bytes
	//lint:ignore SA1019 weak, but keys of build machines are stored like this
	legacy := x509.IsEncryptedPEMBlock(block)
	if block.Type != "ENCRYPTED PRIVATE KEY" && !legacy {
		key, err := parsePlainKey(block.Type, der)
		if err != nil {
			return nil, fault.Dataf("private key: %w", err)
		}
		return key, nil
	}
	secret, err := passphrase()
	if err != nil {
		return nil, err
	}
	if len(secret) == 0 {
		return nil, fmt.Errorf("the passphrase is empty: %w", ErrPassphrase)
	}
	if !legacy {
		return decryptPKCS8(der, secret)
	}
	//lint:ignore SA1019 as above
	if der, err = x509.DecryptPEMBlock(block, secret); err != nil {
		if errors.Is(err, x509.IncorrectPasswordError) {
			err = ErrPassphrase
		}
		return nil, err
	}
	key, err := parsePlainKey(block.Type, der)
	if err != nil {
		// The padding was right by chance.
		return nil, ErrPassphrase
	}
	return key, nil
}

func parsePlainKey(kind string, der []byte) (any, error) {
	switch kind {
	case "RSA PRIVATE KEY":
		return x509.ParsePKCS1PrivateKey(der)
	case "EC PRIVATE KEY":
		return x509.ParseECPrivateKey(der)
	}
	return x509.ParsePKCS8PrivateKey(der)
}

// decryptPKCS8 turns the library's panics (on an initialisation vector or a
// ciphertext of impossible length) into errors.
func decryptPKCS8(der, passphrase []byte) (key any, err error) {
	defer func() {
		if recover() != nil {
			key, err = nil, fault.Dataf("private key: damaged")
		}
	}()
	key, err = pkcs8.ParsePKCS8PrivateKey(der, passphrase)
	if err != nil && err.Error() == "pkcs8: incorrect password" {
		return nil, ErrPassphrase
	}
	if err != nil {
		return nil, fault.Dataf("private key: %w", err)
	}
	return key, nil
}

// ParsePublic returns the certificates and public keys (SubjectPublicKeyInfo or
// PKCS #1) in a PEM file.
func ParsePublic(data []byte) (*Public, error) {
	p := &Public{}
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		switch block.Type {
		case "CERTIFICATE":
			c, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, fault.Dataf("certificate: %w", err)
			}
			p.certs = append(p.certs, c)
			p.keys = append(p.keys, c.PublicKey)
		case "PUBLIC KEY":
			k, err := x509.ParsePKIXPublicKey(block.Bytes)
			if err != nil {
				return nil, fault.Dataf("public key: %w", err)
			}
			p.keys = append(p.keys, k)
		case "RSA PUBLIC KEY":
			k, err := x509.ParsePKCS1PublicKey(block.Bytes)
			if err != nil {
				return nil, fault.Dataf("public key: %w", err)
			}
			p.keys = append(p.keys, k)
		}
	}
	if len(p.keys) == 0 {
		return nil, fault.Dataf("no certificate and no public key in PEM")
	}
	return p, nil
}
