// SPDX-License-Identifier: MIT

package swdesc

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"swudelta/internal/digest"
	"swudelta/internal/fault"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata/golden", name)
	if *update {
		if err := os.WriteFile(path, got, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s (-update rewrites it):\n got %s\nwant %s", path, got, want)
	}
}

// all replaces every entry that recompression would.
func all(d *Description, r Replacement) map[string]Replacement {
	m := map[string]Replacement{}
	for _, e := range d.Entries() {
		if e.Action == Recompress {
			r.NewName = e.Name
			if strings.HasSuffix(e.Name, ".gz") && r.Compressed == "zstd" {
				r.NewName = strings.TrimSuffix(e.Name, ".gz") + ".zst"
			}
			m[e.Name] = r
		}
	}
	return m
}

// The real descriptions, as they list and as they become.
func TestReal(t *testing.T) {
	paths, _ := filepath.Glob("testdata/sw-description/*")
	if len(paths) != 10 {
		t.Fatal(paths)
	}
	for _, path := range paths {
		name := filepath.Base(path)
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		d, err := Parse(text)
		if strings.HasPrefix(name, "07") {
			if !fault.IsData(err) || !strings.Contains(err.Error(), `line 5: found the placeholder "@@MACHINE@@"`) {
				t.Errorf("%s: got %v", name, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var list bytes.Buffer
		enc := json.NewEncoder(&list)
		enc.SetIndent("", "  ")
		if err := enc.Encode(d.Entries()); err != nil {
			t.Fatal(err)
		}
		golden(t, name+".list", list.Bytes())
		for _, c := range []string{"zstd", "zlib", ""} {
			out, err := d.Rewrite(all(d, Replacement{SHA256: digest.Sum([]byte(c)), Size: 12345, Compressed: c}))
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if bytes.Equal(out, text) {
				continue // nothing compressed, or nothing that says more than it did
			}
			golden(t, name+"."+map[string]string{"zstd": "zstd", "zlib": "zlib", "": "plain"}[c], out)
		}
	}
}

// sum is what every replacement of these tests has for a digest.
var sum = digest.Sum([]byte("new"))

func TestRewrite(t *testing.T) {
	hex, oldHex := sum.Hex(), digest.Sum(nil).Hex()
	upper, oldUpper := strings.ToUpper(hex), strings.ToUpper(oldHex)
	zstd, plain := Replacement{SHA256: sum, Size: 7, Compressed: "zstd"}, Replacement{SHA256: sum, Size: 7}
	renamed := zstd
	renamed.NewName = `b"\.zst`
	large := zstd
	large.Size = 1 << 32
	xz := zstd
	xz.Compressed = "xz"
	gzip := zstd
	gzip.Compressed = "zlib"
	for _, c := range []struct {
		what     string
		r        Replacement
		old, new string
	}{
		{"string", zstd, `x={filename="a";compressed="zlib";sha256="` + oldHex + `";}`, `x={filename="a";compressed="zstd";sha256="` + hex + `";}`},
		{"bool", zstd, `x={filename="a" compressed=TRUE, installed-directly=true;}`, `x={filename="a" compressed="zstd", installed-directly=true;}`},
		{"bool to what it means", gzip, `x={filename="a" compressed=true}`, `x={filename="a" compressed=true}`},
		{"xz", xz, `x={filename="a" compressed="zlib"}`, `x={filename="a" compressed="xz"}`},
		{"upper case", zstd, `x={filename="a";sha256="` + oldUpper + `";}`, `x={filename="a";sha256="` + upper + `";}`},
		{"same digest in upper case", zstd, `x={filename="a";sha256="` + upper + `";}`, `x={filename="a";sha256="` + upper + `";}`},
		{"nothing to change", zstd, `x={filename="a";device="/dev/x";}`, `x={filename="a";device="/dev/x";}`},
		{"compressed absent or false", zstd, `x=({filename="a"},{filename="a" compressed=false})`, `x=({filename="a"},{filename="a" compressed=false})`},
		{"other file", zstd, `x={filename="b";compressed="zlib";} y={filename="a"}`, `x={filename="b";compressed="zlib";} y={filename="a"}`},
		{"size", zstd, `x={filename="a" size=5 y=6}`, `x={filename="a" size=7 y=6}`},
		{"size in base 16", zstd, `x={filename="a" size=0x5; y=6}`, `x={filename="a" size=7; y=6}`},
		{"size is right in base 16", zstd, `x={filename="a" size=0x07;}`, `x={filename="a" size=0x07;}`},
		{"size with suffix", zstd, `x={filename="a" size=5LL;}`, `x={filename="a" size=7LL;}`},
		{"size beyond 32 bits", large, `x={filename="a" size=5;}`, `x={filename="a" size=4294967296L;}`},
		{"size beyond 32 bits, JSON", large, `{"x":{"filename":"a","size":5}}`, `{"x":{"filename":"a","size":4294967296}}`},
		{"digest of something else", zstd, `x={filename="a" properties={sha256="` + oldHex + `" size="5" filename="a" compressed="zlib"}}`,
			`x={filename="a" properties={sha256="` + oldHex + `" size="5" filename="a" compressed="zlib"}}`},
		{"literals with comments", zstd, "x={filename=\"\\x61\" compressed=\"zl\" /* one */ \"i\" // two\n\"b\";}",
			"x={filename=\"\\x61\" compressed=\"zstd\" /* one */ \"\" // two\n\"\";}"},
		{"renamed", renamed, `x={filename="a"}y={filename="\x61"}z="a"`, `x={filename="b\"\\.zst"}y={filename="b\"\\.zst"}z="a"`},
		{"renamed, JSON", renamed, `{'x':{'filename':'a','y':["a"]}}`, `{'x':{'filename':"b\"\\.zst",'y':["a"]}}`},
		{"JSON", zstd, `{"x":{"filename":"\u0061","compressed":true,"sha256":"` + oldHex + `","size":5,}}`,
			`{"x":{"filename":"\u0061","compressed":"zstd","sha256":"` + hex + `","size":7,}}`},

		{"plain, own line", plain, "x={\n\tfilename=\"a\";\n\tcompressed = \"zlib\" ;\n\ty=1;\n}", "x={\n\tfilename=\"a\";\n\ty=1;\n}"},
		{"plain, own line, CRLF", plain, "x={\r\n filename=\"a\";\r\n compressed=true;\r\n y=1;\r\n}", "x={\r\n filename=\"a\";\r\n y=1;\r\n}"},
		{"plain, two lines", plain, "x={\n filename=\"a\";\n compressed =\n \"zlib\"\n ;\n}", "x={\n filename=\"a\";\n}"},
		{"plain, in a line", plain, `x={filename="a"; compressed="zlib"; y=1;}`, `x={filename="a"; y=1;}`},
		{"plain, no blanks", plain, `x={filename="a";compressed="zlib";y=1;}`, `x={filename="a";y=1;}`},
		{"plain, no terminators", plain, `x={filename="a"compressed="zlib"y=1}`, `x={filename="a"y=1}`},
		{"plain, last in a line", plain, "x={filename=\"a\";  compressed=\"zlib\";\n y=1;}", "x={filename=\"a\";\n y=1;}"},
		{"plain, first in a line", plain, "x={\n  compressed=\"zlib\"; filename=\"a\";\n}", "x={\n  filename=\"a\";\n}"},
		{"plain, comment behind", plain, "x={filename=\"a\"\n compressed=\"zlib\"; // gz\n}", "x={filename=\"a\"\n // gz\n}"},
		{"plain, comment between", plain, "x={filename=\"a\"\n compressed=\"zlib\" /* gz */ ;\n}", "x={filename=\"a\"\n /* gz */ \n}"},
		{"plain, last line", plain, "filename=\"a\"\ncompressed=\"zlib\"", "filename=\"a\"\n"},
		{"plain twice", plain, `x=({filename="a",compressed="zlib"},{compressed=true,filename="a"})`, `x=({filename="a",},{filename="a"})`},
		{"plain, JSON", plain, `{"x":{"filename":"a", "compressed":true, "y":1}}`, `{"x":{"filename":"a", "y":1}}`},
		{"plain, JSON, last", plain, `{"x":{ "filename":"a", "compressed":true }}`, `{"x":{ "filename":"a" }}`},
		{"plain, JSON, last on a line", plain, "{\n \"filename\":\"a\",\n \"compressed\":true\n}", "{\n \"filename\":\"a\"\n}"},
		{"plain, JSON, comma in front", plain, "{\n \"filename\":\"a\"\n ,\"compressed\":true\n}", "{\n \"filename\":\"a\"\n \n}"},
		{"plain, JSON, trailing comma", plain, "{\n \"filename\":\"a\",\n \"compressed\":true,\n}", "{\n \"filename\":\"a\",\n}"},
		{"plain, JSON, first", plain, `{"compressed":"zlib","filename":"a"}`, `{"filename":"a"}`},
		{"plain, JSON, comments", plain, `{"filename":"a" /* 1 */, /* 2 */ "compressed":true /* 3 */}`, `{"filename":"a" /* 1 */ /* 2 */ /* 3 */}`},
		{"plain stays plain", plain, `x={filename="a";}`, `x={filename="a";}`},

		{"odd bytes", zstd, "# caf\xc3\xa9 \xff\nx={filename=\"a\";n=\"\xe2\x80\x94\xfe\" compressed=true}", "# caf\xc3\xa9 \xff\nx={filename=\"a\";n=\"\xe2\x80\x94\xfe\" compressed=\"zstd\"}"},
		{"trailing commas", zstd, `x=({filename="a",compressed=true,},[1,,],)`, `x=({filename="a",compressed="zstd",},[1,,],)`},
		{"handler with a format of its own", zstd, `x={filename="a" type="delta" sha256="` + oldHex + `"}`, `x={filename="a" type="delta" sha256="` + hex + `"}`},
		{"encrypted is false", zstd, `x={filename="a" encrypted=false compressed=true}`, `x={filename="a" encrypted=false compressed="zstd"}`},
	} {
		d, err := Parse([]byte(c.old))
		if err != nil {
			t.Errorf("%s: %v", c.what, err)
			continue
		}
		got, err := d.Rewrite(map[string]Replacement{"a": c.r})
		if err != nil || string(got) != c.new {
			t.Errorf("%s:\n got %q %v\nwant %q", c.what, got, err, c.new)
			continue
		}
		if c.r.NewName != "" {
			continue
		}
		// Rewriting what was rewritten changes nothing.
		if d, err = Parse(got); err == nil {
			var again []byte
			if again, err = d.Rewrite(map[string]Replacement{"a": c.r}); !bytes.Equal(again, got) {
				t.Errorf("%s: not stable: %q", c.what, again)
			}
		}
		if err != nil {
			t.Errorf("%s: %v", c.what, err)
		}
	}
}

func TestRewriteRefused(t *testing.T) {
	r := Replacement{SHA256: sum, Size: 7, Compressed: "zstd"}
	to := func(name string) Replacement { return Replacement{NewName: name} }
	bzip2 := r
	bzip2.Compressed = "bzip2"
	for _, c := range []struct {
		text string
		m    map[string]Replacement
		want string
	}{
		{`x={filename="a"}`, map[string]Replacement{"b": r}, `no entry has the file name "b"`},
		{`x={filename="a" encrypted=true}`, map[string]Replacement{"a": r}, `line 1: x: "a" is encrypted: a new file needs the key and another ivt; leave it out of the delta update at offset 2`},
		{"\n\nx={filename=\"a\" encrypted=\"aes-cbc\"}", map[string]Replacement{"a": r}, `line 3: x: "a" is encrypted`},
		{`x={filename="a" chunked_sha256=("1")}`, map[string]Replacement{"a": r}, "chunked_sha256"},
		{`x={filename="a" sha256="$swupdate_get_sha256(a)"}`, map[string]Replacement{"a": r}, "is no digest"},
		{`x={filename="a" sha256="@a"}`, map[string]Replacement{"a": r}, "is no digest"},
		{`x={filename="a" sha256=5}`, map[string]Replacement{"a": r}, "is no digest"},
		{`x={filename="a" size="5"}`, map[string]Replacement{"a": r}, `size "5" is no number`},
		{`x={filename="a" size=99999999999999999999}`, map[string]Replacement{"a": r}, `is no number`},
		{`x={filename="a" compressed="zlib"}`, map[string]Replacement{"a": bzip2}, `no compression "bzip2"`},
		{`x={filename="a" compressed="zlib" type="rdiff_image"}`, map[string]Replacement{"a": r}, `handler "rdiff_image"`},
		{`x={filename="a"} y={filename="b"}`, map[string]Replacement{"a": to("b")}, `new name "b": wanted for "b" and for "a"`},
		{`x={filename="a"} y={filename="b"}`, map[string]Replacement{"a": to("c"), "b": to("c")}, `new name "c": wanted for "a" and for "b"`},
		{`x={filename="a"}`, map[string]Replacement{"a": to("a\nb")}, "control characters"},
		{`x={filename="a"}`, map[string]Replacement{"a": to(strings.Repeat("n", 255))}, "longer than 254 bytes"},
	} {
		d, err := Parse([]byte(c.text))
		if err != nil {
			t.Errorf("%q: %v", c.text, err)
			continue
		}
		out, err := d.Rewrite(c.m)
		if !fault.IsData(err) || !strings.Contains(err.Error(), c.want) || out != nil {
			t.Errorf("%q: got %q, %v; want %s", c.text, out, err, c.want)
		}
	}
	// Names may be exchanged.
	d, _ := Parse([]byte(`x={filename="a"} y={filename="b"}`))
	if out, err := d.Rewrite(map[string]Replacement{"a": to("b"), "b": to("a")}); err != nil || string(out) != `x={filename="b"} y={filename="a"}` {
		t.Errorf("exchange: %q %v", out, err)
	}
}

// What both or one of the supported libconfig releases accept, and what none does.
func TestSyntax(t *testing.T) {
	for _, text := range []string{
		"", "\n", "a=(1,)", "a=[1,]", "a=[1,,2]", "a=1 # c", "a=1 // c", "a=1 /* c", "a=0b101", "a=0o17", "a=0xFFFFFFFFFFFFFFFFL", "a=99999999999999999999",
		"a=99999999999", "a=12LL", "a=+5", "a=010", "a=1.", "a=.5", "a=1e5", "a=0xFFFFFFFF", "a=1\r\nb=2\r\n", `a="#RE:^1\.[0-9]$"`, "a=\"1\n2\"",
		`{"a":1,}`, `/* c */ {"a":[1,2,],}`, `// c` + "\n{}",
	} {
		if _, err := Parse([]byte(text)); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
	for _, c := range []struct{ text, want string }{
		{"a=12l", `line 1: the text ends, want = or : after "l" at offset 5`}, {"a=1;;", "want the name of a setting"}, {"_a=1", `unexpected character "_"`},
		{"1a=1", `got "1", want the name`}, {"a.b=1", `got ".", want = or :`}, {`a="x`, "a string without an end at offset 2"}, {"a=[{b=1}]", "want a value"},
		{`a=[1,"x"]`, "differ in type"}, {"a=[1,2L]", "differ in type"}, {"a=1\na=2", `line 2: setting "a" is there twice at offset 4`},
		{"\xef\xbb\xbfa=1", "byte order mark"}, {"é=1", `unexpected character "é"`}, {"a={", "the text ends"}, {"a=(1 2)", "want a comma"}, {"a=@@B@@", "is a template"},
		{"@include \"x\"", "@include is not supported"}, {"a=1\n  @include \"x\"", "line 2: @include"}, {"a=\"\x00\"", "no text"}, {`a="\x00"`, "NUL"}, {"a=1\x00", "no text"},
		{"{", "the text ends"}, {`{"a":1}x`, "text after the end"}, {`{"a":1,"a":2}`, "is there twice"}, {`{"a":"\u0000"}`, "NUL"}, {`{"a" 1}`, "want a colon"},
		{strings.Repeat("a={", maxDepth+1), "nested deeper than 100 levels"}, {"a=" + strings.Repeat("(", 1e6), "nested deeper"}, {`{"a":` + strings.Repeat("[", 1e6), "nested deeper"},
		{strings.Repeat(" ", MaxSize+1), "more than 4194304 bytes"},
	} {
		_, err := Parse([]byte(c.text))
		if !fault.IsData(err) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.40q: got %v, want %s", c.text, err, c.want)
		}
	}
}

func TestEntries(t *testing.T) {
	hex := digest.Sum(nil).Hex()
	text := `software = {
		version = "1";
		common: { imgs: ( { filename = "root"; device = "/dev/x"; compressed = "zlib"; sha256 = "` + strings.ToUpper(hex) + `"; size = 0x10; } ); };
		board = { stable = { copy1 = { images = { ref = "#./../../../common/imgs"; };
			files: ( { filename = "app.tgz"; path = "/x"; compressed = true; properties = { create-destination = "true"; filename = "no"; n = 5; }; installed-directly = true; },
				{ filename = "patch"; type = "rdiff_file"; compressed = "zstd"; } );
			scripts: ( { filename = "s.lua"; compressed = "zlib"; }, { filename = "app.tgz"; type = "shellscript"; } ); }; }; };
		images: ( { filename = "vol"; volume = "v"; compressed = "xz"; }, { filename = "enc"; encrypted = "aes-cbc"; compressed = "zlib"; },
			{ filename = "chunks"; compressed = "zstd"; chunked_sha256 = ( "00" ); }, { filename = "tmpl"; compressed = "zstd"; sha256 = "@tmpl"; },
			{ filename = "root"; compressed = "zstd"; size = "5"; }, { filename = 5; }, { ref = "#./x"; } );
	}`
	d, err := Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	want := []Entry{
		{Name: "root", Kind: "other", Compressed: "zlib", SHA256: hex, Size: 16, Type: "raw", Action: Leave, Reason: "size is no number in software.images[4]", Path: "software.common.imgs[0]"},
		{Name: "app.tgz", Kind: "files", Compressed: "true", Type: "rawfile", InstalledDirectly: true, Properties: map[string]string{"create-destination": "true", "filename": "no"},
			Action: Leave, Reason: "script in software.board.stable.copy1.scripts[1]", Path: "software.board.stable.copy1.files[0]"},
		{Name: "patch", Kind: "files", Compressed: "zstd", Type: "rdiff_file", Action: Leave, Reason: "handler rdiff_file", Path: "software.board.stable.copy1.files[1]"},
		{Name: "s.lua", Kind: "scripts", Compressed: "zlib", Type: "lua", Action: Leave, Reason: "script", Path: "software.board.stable.copy1.scripts[0]"},
		{Name: "app.tgz", Kind: "scripts", Type: "shellscript", Action: Same, Reason: "script", Path: "software.board.stable.copy1.scripts[1]"},
		{Name: "vol", Kind: "images", Compressed: "xz", Type: "ubivol", Action: Leave, Reason: "compressed xz", Path: "software.images[0]"},
		{Name: "enc", Kind: "images", Compressed: "zlib", Encrypted: true, Action: Leave, Reason: "encrypted, and a delta of it would be as large as it is", Path: "software.images[1]"},
		{Name: "chunks", Kind: "images", Compressed: "zstd", Action: Leave, Reason: "chunked_sha256", Path: "software.images[2]"},
		{Name: "tmpl", Kind: "images", Compressed: "zstd", SHA256: "@tmpl", Action: Leave, Reason: "sha256 is no digest", Path: "software.images[3]"},
		{Name: "root", Kind: "images", Compressed: "zstd", Action: Same, Reason: "size is no number", Path: "software.images[4]"},
	}
	got := d.Entries()
	for i := range want {
		if i >= len(got) || !reflect.DeepEqual(got[i], want[i]) {
			t.Errorf("entry %d:\n got %+v\nwant %+v", i, got[min(i, len(got)-1)], want[i])
		}
	}
	if len(got) != len(want) {
		t.Errorf("got %d entries, want %d", len(got), len(want))
	}
	if m := d.Mentions("#./x"); !reflect.DeepEqual(m, []string{"software.images[6].ref"}) {
		t.Error(m)
	}
	if m := d.Mentions("root"); m != nil {
		t.Error(m)
	}
}

// A text that is cut anywhere parses or is a data fault within it.
func TestTruncation(t *testing.T) {
	paths, _ := filepath.Glob("testdata/sw-description/*")
	for _, path := range paths {
		text, _ := os.ReadFile(path)
		for n := range text {
			if _, err := Parse(text[:n]); err != nil && !fault.IsData(err) {
				t.Fatalf("%s cut at %d: %v", path, n, err)
			}
		}
	}
}

// Large texts take linear time.
func TestLarge(t *testing.T) {
	for _, unit := range []string{`a%d=1;`, `a%d={filename="x" compressed=true};`, `a%d="x" "y"/**/"z" `} {
		var b strings.Builder
		for i := 0; b.Len() < 2<<20; i++ {
			fmt.Fprintf(&b, unit, i)
		}
		d, err := Parse([]byte(b.String()))
		if err != nil {
			t.Fatal(err)
		}
		if len(d.Entries()) > 0 {
			if _, err := d.Rewrite(map[string]Replacement{"x": {Compressed: "zstd"}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := Parse([]byte("a=(" + strings.Repeat("1,", MaxSize/2-2))); !fault.IsData(err) {
		t.Fatal(err)
	}
	if _, err := Parse([]byte("a=" + strings.Repeat("1", MaxSize-2))); err != nil {
		t.Fatal(err)
	}
}

func FuzzRewrite(f *testing.F) {
	paths, _ := filepath.Glob("testdata/sw-description/*")
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text, "zstd")
	}
	f.Add([]byte(`x=({filename="a",compressed="zlib"},{compressed=true,filename="a" size=0x1L})`), "")
	f.Add([]byte(`{"x":{"filename":"a" /* 1 */, /* 2 */ "compressed":true /* 3 */}}`), "")
	f.Fuzz(func(t *testing.T, text []byte, compressed string) {
		d, err := Parse(text)
		if err != nil {
			if !fault.IsData(err) || errors.Unwrap(err) == nil {
				t.Fatalf("not a data fault: %v", err)
			}
			return
		}
		if out, err := d.Rewrite(nil); err != nil || !bytes.Equal(out, text) {
			t.Fatalf("nothing to do: %q %v", out, err)
		}
		for _, e := range d.Entries() {
			r := Replacement{SHA256: sum, Size: 7, Compressed: compressed}
			out, err := d.Rewrite(map[string]Replacement{e.Name: r})
			if err != nil {
				if !fault.IsData(err) || out != nil {
					t.Fatalf("%q: %v", e.Name, err)
				}
				continue
			}
			now, err := Parse(out)
			if err != nil {
				t.Fatal(err)
			}
			for i, was := range d.Entries() {
				is := now.Entries()[i]
				if is.Name != was.Name || is.Path != was.Path {
					t.Fatalf("entry %d: %+v became %+v", i, was, is)
				}
				if was.Name == e.Name && (was.SHA256 != "" && is.SHA256 != sum.Hex() || was.Size > 0 && is.Size != 7) {
					t.Fatalf("entry %d: %+v became %+v", i, was, is)
				}
			}
		}
	})
}

func ExampleDescription_Rewrite() {
	d, err := Parse([]byte(`software = {
    version = "1.0";
    images: ( {
        filename = "rootfs.ext4.gz";  # built by bitbake
        compressed = true;
        device = "/dev/mmcblk0p2";
    } );
}
`))
	if err != nil {
		panic(err)
	}
	text, err := d.Rewrite(map[string]Replacement{"rootfs.ext4.gz": {NewName: "rootfs.ext4.zst", Compressed: "zstd"}})
	if err != nil {
		panic(err)
	}
	fmt.Printf("%s", text)
	// Output:
	// software = {
	//     version = "1.0";
	//     images: ( {
	//         filename = "rootfs.ext4.zst";  # built by bitbake
	//         compressed = "zstd";
	//         device = "/dev/mmcblk0p2";
	//     } );
	// }
}
