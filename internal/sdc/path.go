// SPDX-License-Identifier: MIT

// Package sdc names, fills, verifies and tidies the source update cache: the
// folder in which the Device Update agent keeps the updates that it installed,
// so that deltas can start from them.
//
// The rules are those of the agent's delta download handler
// (Azure/iot-hub-device-update, source_update_cache_utils.c and path_utils.c).
// The agent finds a file by its name alone and never hashes what it finds, so a
// file that lies one character beside its name is never used, and a wrong file
// under a right name is.
package sdc

import (
	"encoding/base64"
	"fmt"
	"path/filepath"
	"strings"

	"swudelta/internal/digest"
)

const (
	// DefaultBase is where an agent built with the default settings looks. It
	// has no option for another place at run time.
	DefaultBase = "/var/lib/adu/sdc"
	// Algorithm is the hash algorithm to use. The agent compares the word byte
	// for byte, upper and lower case included.
	Algorithm = "sha256"
	// maxEncodedHash is the longest encoded hash in bytes: the agent encodes it
	// into a buffer of 1024 bytes, of which the terminator takes one.
	maxEncodedHash = 1023
)

// Path returns where the agent looks for the file with the given hash, which is
// text as it stands in a manifest (base64). base "" is DefaultBase. provider is
// that of the update being installed, not of the one that put the file there.
func Path(base, provider, algorithm, hash string) (string, error) {
	if base == "" {
		base = DefaultBase
	}
	for _, part := range []struct{ name, value string }{
		{"provider", provider}, {"hash algorithm", algorithm}, {"hash", hash},
	} {
		if part.value == "" {
			return "", fmt.Errorf("cache path: empty %s", part.name)
		}
	}
	encoded := EncodeHash(hash)
	if len(encoded) > maxEncodedHash {
		return "", fmt.Errorf("cache path: hash of %d bytes, want at most %d", len(encoded), maxEncodedHash)
	}
	return filepath.Join(base, Sanitize(provider), Sanitize(algorithm)+"-"+encoded), nil
}

// SHA256Path is Path for a digest.
func SHA256Path(base, provider string, d digest.SHA256) (string, error) {
	return Path(base, provider, Algorithm, d.Base64())
}

// Sanitize makes a name fit for a path as the agent does: ASCII letters and
// digits and "-" stay, every other byte becomes "_". So "a.b" and "a_b" share a
// folder, and a character of three bytes in UTF-8 gives three underscores.
func Sanitize(segment string) string {
	b := []byte(segment)
	for i, c := range b {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-') {
			b[i] = '_'
		}
	}
	return string(b)
}

var (
	hashEncoder = strings.NewReplacer("+", "_2B", "/", "_2F", "=", "_3D")
	hashDecoder = strings.NewReplacer("_2B", "+", "_2F", "/", "_3D", "=")
)

// EncodeHash makes base64 fit for a file name as the agent does. A "_" is not
// escaped, which does no harm, for base64 (RFC 4648 section 4) has none.
func EncodeHash(hash string) string { return hashEncoder.Replace(hash) }

// parseName takes the name of a cached file apart. It reports an error for
// names that the agent would not make from the base64 of a digest.
func parseName(name string) (algorithm, hash string, err error) {
	algorithm, encoded, _ := strings.Cut(name, "-")
	hash = hashDecoder.Replace(encoded)
	sum, err := base64.StdEncoding.DecodeString(hash)
	if h := newHash(algorithm); err != nil || h == nil || len(sum) != h.Size() ||
		EncodeHash(base64.StdEncoding.EncodeToString(sum)) != encoded {
		return "", "", fmt.Errorf("%q is not the name of a cached file", name)
	}
	return algorithm, hash, nil
}
