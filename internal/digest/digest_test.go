// SPDX-License-Identifier: MIT

package digest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"swudelta/internal/fault"
)

// The digest of "abc" is the first example of FIPS 180-4.
const (
	abcHex    = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
	abcBase64 = "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="
)

func TestNotations(t *testing.T) {
	d := Sum([]byte("abc"))
	if d.Hex() != abcHex || d.Base64() != abcBase64 || d.String() != abcHex {
		t.Fatalf("got %s %s", d.Hex(), d.Base64())
	}
	for _, s := range []string{abcHex, strings.ToUpper(abcHex), abcBase64} {
		if got, err := Parse(s); err != nil || got != d {
			t.Errorf("Parse(%q) = %v, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "abc", abcHex[1:], "g" + abcHex[1:], "!" + abcBase64[1:],
		// base64 of 33 and of 31 bytes has 44 characters too
		"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==",
		// bits below the last byte are set
		abcBase64[:42] + "1="} {
		if d, err := Parse(s); err == nil {
			t.Errorf("Parse(%q) = %v", s, d)
		}
	}
	b, err := json.Marshal(d)
	if err != nil || string(b) != `"`+abcHex+`"` {
		t.Fatalf("got %s, %v", b, err)
	}
	var back SHA256
	if err := json.Unmarshal([]byte(`"`+abcBase64+`"`), &back); err != nil || back != d {
		t.Errorf("got %v, %v", back, err)
	}
}

func TestReaderWriter(t *testing.T) {
	var out bytes.Buffer
	w := NewWriter(&out)
	r := NewReader(iotest.OneByteReader(strings.NewReader("abc")))
	if _, err := io.Copy(w, r); err != nil {
		t.Fatal(err)
	}
	if w.Sum() != r.Sum() || w.Sum().Hex() != abcHex || w.Len() != 3 || r.Len() != 3 || out.String() != "abc" {
		t.Errorf("got %v %v %d %d %q", w.Sum(), r.Sum(), w.Len(), r.Len(), out.String())
	}
	if d, n, err := SumReader(strings.NewReader("abc")); d != w.Sum() || n != 3 || err != nil {
		t.Errorf("SumReader = %v %d %v", d, n, err)
	}
}

func TestVerify(t *testing.T) {
	want := Sum([]byte("abc"))
	for _, c := range []struct {
		in string
		ok bool
	}{{"abc", true}, {"abd", false}, {"ab", false}, {"abcd", false}, {"", false}} {
		for _, r := range []io.Reader{strings.NewReader(c.in), iotest.DataErrReader(strings.NewReader(c.in))} {
			_, err := io.ReadAll(Verify(r, 3, want))
			if (err == nil) != c.ok {
				t.Errorf("%q: %v", c.in, err)
			}
			if err != nil && (!fault.IsData(err) || !errors.Is(err, ErrMismatch)) {
				t.Errorf("%q: %v is no fault of the data", c.in, err)
			}
		}
	}
	if err := iotest.TestReader(Verify(strings.NewReader("abc"), 3, want), []byte("abc")); err != nil {
		t.Error(err)
	}
}
