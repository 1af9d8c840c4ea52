// SPDX-License-Identifier: MIT

package swdesc

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"swudelta/internal/digest"
	"swudelta/internal/fault"
)

// wanted has a member under every name but "none".
func wanted(m Member) func(string, bool) (*Member, error) {
	return func(name string, decompress bool) (*Member, error) {
		if name == "none" {
			return nil, nil
		}
		if !decompress {
			m.Damage = nil
		}
		return &m, nil
	}
}

func TestCheck(t *testing.T) {
	sum := digest.Sum([]byte("x"))
	gzip := Member{Size: 100, SHA256: sum, Compression: "zlib", What: "gzip"}
	damaged := gzip
	damaged.Damage = errors.New("bad block")
	short := gzip
	short.Damage = fmt.Errorf("gzip: %w", io.ErrUnexpectedEOF)
	gzipOf := func(members int, end, size int64, damage error) Member {
		return Member{Size: size, SHA256: sum, Compression: "zlib", What: "gzip", Members: members, End: end, Damage: damage}
	}
	padded := gzipOf(1, 16380, 16400, nil)
	zlib := Member{Size: 100, SHA256: sum, What: "a zlib stream"}
	text := func(entry string) string { return `software = { version = "1"; images: ( { ` + entry + ` } ); };` }
	for _, c := range []struct {
		name, text string
		member     Member
		want       string // classes
	}{
		{"good", text(`filename = "x"; compressed = "zlib"; size = 100; sha256 = "` + sum.Hex() + `"`), gzip, ""},
		{"boolean", text(`filename = "x"; compressed = true`), gzip, ""},
		{"number", text(`filename = "x"; compressed = 1`), zlib, "label"},
		{"zlib stream", text(`filename = "x"; compressed = "zlib"`), zlib, "label"},
		{"zlib stream as it is", text(`filename = "x"`), zlib, ""},
		{"gzip as zstd", text(`filename = "x"; compressed = "zstd"`), gzip, "label"},
		{"gzip as xz", text(`filename = "x"; compressed = "xz"`), gzip, "label"},
		{"gzip as archive", text(`filename = "x"; type = "archive"`), damaged, ""},
		{"word", text(`filename = "x"; compressed = "true"`), gzip, "label"},
		{"empty member", text(`filename = "x"; compressed = "zstd"`), Member{}, ""},
		{"damaged", text(`filename = "x"; compressed = "zlib"`), damaged, "stream"},
		{"cut", text(`filename = "x"; compressed = "zlib"`), short, "part"},
		{"padding in the block", text(`filename = "x"; compressed = "zlib"`), gzipOf(1, 16300, 16384, nil), ""},
		{"two members", text(`filename = "x"; compressed = "zlib"`), gzipOf(2, 16300, 16385, nil), "stream"},
		{"two members in a block", text(`filename = "x"; compressed = "zlib"`), gzipOf(2, 16300, 16384, nil), "part"},
		{"data behind", text(`filename = "x"; compressed = "zlib"`), gzipOf(1, 16300, 16385, errors.New("data")), "stream"},
		{"data behind in the block", text(`filename = "x"; compressed = "zlib"`), gzipOf(1, 16300, 16384, errors.New("data")), "part"},
		{"padded", text(`filename = "x"; compressed = "zlib"`), padded, "padding"},
		{"encrypted", text(`filename = "x"; compressed = "zlib"; encrypted = true`), zlib, ""},
		{"encrypted by number", text(`filename = "x"; compressed = "zlib"; encrypted = 1`), zlib, ""},
		{"delta", text(`filename = "x"; compressed = "zlib"; type = "delta"`), zlib, ""},
		{"missing", text(`filename = "none"`), gzip, "missing"},
		{"missing elsewhere", `software = { version = "1"; images: ( { ref = "#./../l" } ); l = { filename = "none" }; };`, gzip, ""},
		{"digest", text(`filename = "x"; sha256 = "` + digest.Sum(nil).Hex() + `"`), gzip, "digest"},
		{"no digest", text(`filename = "x"; sha256 = "abc"`), gzip, "digest"},
		{"size", text(`filename = "x"; size = 99`), gzip, "size"},
		{"two faults", `software = { images: ( { filename = "x"; compressed = "zlib"; }, { filename = "none" } ); };`, zlib, "description label missing"},
		{"nothing", ``, gzip, "description"},
		{"a board", `software = { b = { version = "1"; uboot = ( { name = "a" } ) } }`, gzip, ""},
		{"too deep", `software = { a = { b = { c = { d = { version = "1"; images = ( { filename = "x" } ) } } } } }`, gzip, "description description"},
		{"software is a list", `software = ( )`, gzip, "description"},
		{"group", `software = { version = "1"; images = { a = { filename = "x" } } }`, gzip, ""},
		{"group that is an entry", `software = { version = "1"; images = { filename = "x" } }`, gzip, "description"},
		{"JSON group", `{"software": {"version": "1", "images": {"filename": "x"}}}`, gzip, ""},
	} {
		d, err := Parse([]byte(c.text))
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		findings, err := d.Check(false, wanted(c.member))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		var classes []string
		for _, f := range findings {
			classes = append(classes, string(f.Class))
			if f.Message == "" || (f.Class == ClassDescription) != (f.Name == "") {
				t.Errorf("%s: got %+v", c.name, f)
			}
		}
		if got := strings.Join(classes, " "); got != c.want {
			t.Errorf("%s: got %+v, want %q", c.name, findings, c.want)
		}
	}
}

// Both sides of a lie are named.
func TestCheckNamesBoth(t *testing.T) {
	d, err := Parse([]byte(`software = { version = "1"; images: ( { filename = "x"; compressed = "zstd"; } ); };`))
	if err != nil {
		t.Fatal(err)
	}
	got, err := d.Check(true, wanted(Member{Size: 1, Compression: "xz", What: "xz"}))
	want := []Finding{
		{ClassUnhashed, "x", "software.images[0]", "no sha256, which SWUpdate wants where it checks signatures"},
		{ClassLabel, "x", "software.images[0]", `compressed says "zstd", for which SWUpdate wants zstd; the member is xz`},
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	broken := errors.New("broken")
	if _, err := d.Check(true, func(string, bool) (*Member, error) { return nil, broken }); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

// A word that SWUpdate does not know is nothing to recompress.
func TestBadLabelIsLeft(t *testing.T) {
	for _, word := range []string{"true", "TRUE", "", "gzip", "none"} {
		d, err := Parse(fmt.Appendf(nil, `images: ( { filename = "x"; compressed = "%s"; } );`, word))
		if err != nil {
			t.Fatal(err)
		}
		if e := d.Entries()[0]; e.Action != Leave || !strings.Contains(e.Reason, fmt.Sprintf("the string %q", word)) {
			t.Errorf("%q: got %s, %s", word, e.Action, e.Reason)
		}
	}
}

// Ciphertext is told from a text with a mistake.
func TestEncrypted(t *testing.T) {
	_, err := Parse([]byte("8\x93\x01\x1f\xc0 binary"))
	if !errors.Is(err, errBinary) || !fault.IsData(err) {
		t.Errorf("got %v", err)
	}
	var hint interface{ Hint() string }
	if !errors.As(err, &hint) || !strings.Contains(hint.Hint(), "leave this update out") {
		t.Errorf("got %v", hint)
	}
	if _, err := Parse([]byte("software = { \xe4\xf6\xfc\t")); err == nil || errors.Is(err, errBinary) {
		t.Errorf("Latin-1: got %v", err)
	}
}
