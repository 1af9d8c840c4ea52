// SPDX-License-Identifier: MIT

package codec

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"
)

// content returns n bytes that compress like an image: words that come back,
// noise, and zeros. They are the same for ever.
func content(n int) []byte {
	rng := rand.NewPCG(1, 2)
	var words [256][]byte
	for i := range words {
		words[i] = make([]byte, 3+i%13)
		for j := range words[i] {
			words[i][j] = byte('a' + rng.Uint64()%26)
		}
	}
	out := make([]byte, 0, n+4096)
	for len(out) < n {
		switch r := rng.Uint64(); r % 64 {
		case 0:
			out = append(out, make([]byte, r>>8%4096)...)
		case 1, 2:
			for range r >> 8 % 32 {
				out = append(out, byte(rng.Uint64()))
			}
		case 3, 4, 5:
			if from := int(r >> 8 % uint64(len(out)+1)); from < len(out) {
				out = append(out, out[from:min(from+int(r>>40%200), len(out))]...)
			}
		default:
			out = append(append(out, words[r>>8%256]...), ' ')
		}
	}
	return out[:n]
}

// required skips the test where a library is missing, or fails it where the
// environment demands everything.
func required(t testing.TB, err error) {
	t.Helper()
	var missing *LibraryError
	switch {
	case err == nil:
	case errors.As(err, &missing) && os.Getenv("SWUDELTA_REQUIRE_TOOLS") == "":
		t.Skipf("%v (%s)", err, missing.Hint())
	default:
		t.Fatal(err)
	}
}

// zstdOf returns the libzstd for a device's version.
func zstdOf(t testing.TB, version string) *Zstd {
	t.Helper()
	z, err := OpenZstd(ZstdOptions{DeviceVersion: version})
	required(t, err)
	return z
}

// anyZstd returns a libzstd for what holds of every version.
func anyZstd(t testing.TB) *Zstd {
	t.Helper()
	z, err := loadZstd("libzstd.so.1")
	if err != nil {
		z = zstdOf(t, "")
	}
	return z
}

func zlibOf(t testing.TB) *Zlib {
	t.Helper()
	z, err := OpenZlib("")
	required(t, err)
	return z
}

func bzip2Of(t testing.TB) *Bzip2 {
	t.Helper()
	b, err := OpenBzip2()
	required(t, err)
	return b
}

// write gives data to the encoder that open returns, in pieces of that size (0:
// all at once), and returns what comes out.
func write(t testing.TB, data []byte, piece int, open func(io.Writer) (io.WriteCloser, error)) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := open(&out)
	if err != nil {
		t.Fatal(err)
	}
	for rest := data; len(rest) > 0; {
		n := len(rest)
		if piece > 0 {
			n = min(n, piece)
		}
		if m, err := w.Write(rest[:n]); err != nil || m != n {
			t.Fatalf("write: got %d, %v, want %d", m, err, n)
		}
		rest = rest[n:]
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// output runs a program with data on its standard input.
func output(t testing.TB, data []byte, program string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Stdin, cmd.Stderr = bytes.NewReader(data), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v", program, err)
	}
	return out
}

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:8])
}

func TestDetect(t *testing.T) {
	for _, c := range []struct {
		head string
		want Kind
	}{
		{"", KindPlain},
		{"\x1f\x8b", KindPlain},
		{"\x1f\x8b\x08", KindGzip},
		{"\x1f\x8b\x07aaaaaaa", KindPlain},
		{"\x28\xb5\x2f\xfd", KindZstd},
		{"\x28\xb5\x2f", KindPlain},
		{"\x50\x2a\x4d\x18\x04\x00\x00\x00", KindZstd},
		{"\x5f\x2a\x4d\x18", KindZstd},
		{"\x60\x2a\x4d\x18", KindPlain},
		{"\xfd7zXZ\x00", KindXZ},
		{"BZh91AY&SY", KindBzip2},
		{"BZh9\x17rE8P\x90", KindBzip2},
		{"BZh01AY&SY", KindPlain},
		{"BZh9 is a name", KindPlain},
		{"\x04\x22\x4d\x18", KindLZ4},
		{"\x02\x21\x4c\x18", KindLZ4},
		{"070702ABCD", KindPlain},
		{"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", KindPlain},
	} {
		if got := Detect([]byte(c.head)); got != c.want {
			t.Errorf("%q: got %v, want %v", c.head, got, c.want)
		}
	}
	if got := Kind(99).String() + Kind(-1).String(); got != "unknownunknown" {
		t.Error(got)
	}
}
