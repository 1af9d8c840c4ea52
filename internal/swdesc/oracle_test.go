// SPDX-License-Identifier: MIT

package swdesc

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"swudelta/internal/tooltest"
)

// The parsers of the client are the oracles: the same texts are accepted, and
// the same trees come out.

// dump writes a tree as the probes in testdata do.
func dump(n *node, json bool) string {
	var b strings.Builder
	var walk func(*node)
	walk = func(n *node) {
		switch n.kind {
		case kindGroup, kindList, kindArray:
			brackets := []string{"{}", "()", "[]"}[n.kind]
			b.WriteByte(brackets[0])
			for _, m := range n.members {
				if n.kind == kindGroup && json {
					b.WriteString(hex.EncodeToString([]byte(m.name)) + "=")
				} else if n.kind == kindGroup {
					b.WriteString(m.name + "=")
				}
				walk(m.value)
				b.WriteByte(',')
			}
			b.WriteByte(brackets[1])
		case kindString:
			b.WriteString(`"` + hex.EncodeToString([]byte(n.text)) + `"`)
		case kindInt:
			v, _ := n.int()
			fmt.Fprintf(&b, "i%d", v)
		case kindFloat:
			b.WriteByte('f')
		case kindBool:
			b.WriteString(map[bool]string{true: "b1", false: "b0"}[strings.EqualFold(n.text, "true")])
		case kindNull:
			b.WriteByte('n')
		}
	}
	walk(n)
	return b.String()
}

// probe compiles a probe and runs it over the documents.
func probe(t *testing.T, source, library string, docs []string) []string {
	t.Helper()
	tooltest.Need(t, "cc")
	bin := filepath.Join(t.TempDir(), "probe")
	if out, err := exec.Command("cc", "-O1", "-o", bin, filepath.Join("testdata", source), "-l"+library).CombinedOutput(); err != nil {
		if os.Getenv("SWUDELTA_REQUIRE_TOOLS") != "" {
			t.Fatalf("the development files of %s are needed: %v\n%s", library, err, out)
		}
		t.Skipf("the development files of %s are not installed: %v", library, err)
	}
	var in bytes.Buffer
	for _, d := range docs {
		binary.Write(&in, binary.LittleEndian, uint32(len(d)))
		in.WriteString(d)
	}
	cmd := exec.Command(bin)
	cmd.Stdin = &in
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	if len(lines) != len(docs) {
		t.Fatalf("%d answers to %d documents", len(lines), len(docs))
	}
	return lines
}

// mutants returns texts of random tokens, most of them nearly right.
func mutants(seeds []string, tokens []string, count int) []string {
	r := rand.New(rand.NewPCG(1, 2))
	var docs []string
	for len(docs) < count {
		s := seeds[r.IntN(len(seeds))]
		for n := r.IntN(3); n >= 0; n-- {
			i := r.IntN(len(s) + 1)
			j := min(i+r.IntN(4), len(s))
			switch r.IntN(3) {
			case 0:
				s = s[:i] + s[j:]
			case 1:
				s = s[:i] + tokens[r.IntN(len(tokens))] + s[i:]
			case 2:
				s = s[:i] + tokens[r.IntN(len(tokens))] + s[j:]
			}
		}
		docs = append(docs, s)
	}
	return docs
}

func seeds(t *testing.T, suffix string, more ...string) []string {
	t.Helper()
	paths, err := filepath.Glob("testdata/sw-description/*" + suffix)
	if err != nil || len(paths) == 0 {
		t.Fatal(paths, err)
	}
	for _, p := range paths {
		b, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		more = append(more, string(b))
	}
	return more
}

func TestLibconfigOracle(t *testing.T) {
	short := []string{
		`a = 1; b : "x" "y" /* c */ "z"`, `a=(1,"b",{c=1;},[1,2],());`, `a=[true,FALSE];b=[1.5,2e3,.5,1.];`,
		"a=\"l1\nl2\\n\\x41\\xZZ\\q\\\\\\\"\";", "# c\n// d\na=1 b=2,c=3;\n", `a={};b=();c=[];d={e={f=1}}`,
		`*a-b_c = 12L; x=0x1F; y=-5 z=+7;`, `a=1b=2`, `a="x"b="y"`, `a=true b=False`, "a=1;\r\nb=2;\r\n\f",
	}
	docs := seeds(t, ".sw-description", short...)
	docs = append(docs, "", " ", "\n", ";", "a", "a=", "a=1;;", "{a=1;}", "a.b=1", "_a=1", "1a=1", "a={b=1;b=2;}", "a=1;a=2;", "a=99999999999L",
		`a=[1,"x"]`, `a=[{b=1;}]`, `a=[1,2L]`, `a=[[1]]`, `a=12l`, `a=12LL`, `a=010`, "a=[1 2]", "a=(,1)", "a=1 /* open",
		"\xef\xbb\xbfa=1", "\xc3\xa9=1", "a=\"\xc3\xa9\xff\"", "a=1 // c\n", "true=1", "trueish=1", "a=1.5.5", "a=.", "a=-", "a=- 1")
	docs = append(docs, mutants(short, []string{"a", "b=1", ";", ",", "=", ":", "{", "}", "(", ")", "[", "]", `"s"`, `"`, "\\", "1", "-2", "3L", "1.5",
		"true", "/*", "*/", "//", "#", "\n", " ", "@", "*", "."}, 20000)...)
	docs = append(docs, mutants(seeds(t, ".sw-description"), []string{";", ",", "}", "\"", "(", "x"}, 1000)...)
	for i, want := range probe(t, "libconfig_probe.c", "config", docs) {
		root, err := parseLibconfig([]byte(docs[i]))
		got := "E"
		if err == nil {
			got = dump(root, false)
		}
		if got == want {
			continue
		}
		switch {
		case want == "E" && newerSyntax(docs[i]):
			// An old library.
		case strings.Contains(docs[i], `\a`), strings.Contains(docs[i], `\b`), strings.Contains(docs[i], `\v`):
			// Escapes since 1.8.
		case got == "E" && strings.Contains(err.Error(), "a string without an end"):
			// The library drops an open string silently where none is wanted.
		case got == "E" && strings.Contains(err.Error(), "@include"):
		default:
			t.Errorf("%q:\n got %s %v\nwant %s", docs[i], got, err, want)
		}
	}
}

// newerSyntax reports whether a text has what libconfig reads since 1.7 only.
func newerSyntax(doc string) bool {
	p := &libconfigParser{parser: parser{src: []byte(doc)}}
	comma := false
	for {
		if p.advance() != nil {
			return false
		}
		k := p.tok.kind
		if comma && (k == ']' || k == ')' || k == ',') {
			return true
		}
		comma = k == ','
		if k == tokEnd {
			last := doc[strings.LastIndexByte(doc, '\n')+1:]
			return strings.Contains(last, "#") || strings.Contains(last, "//")
		}
	}
}

func TestJSONOracle(t *testing.T) {
	short := []string{
		`{"a":1,"b":[1,2.5,-3,1e5],"c":{"d":null,"e":true,"f":FALSE}}`, `{'a':'b"c',"d":"\u00e9\ud83d\ude00\n\/\"\\"}`,
		"{/* c */\"a\" // d\n:1,}", `[1,2,]`, `{"a":[],"b":{}}`, "{\"a\":\"l1\nl2\",}", `{"a":007,"b":1.,"c":2e}`,
	}
	docs := seeds(t, ".json", short...)
	docs = append(docs, "{", "{}", "{,}", `{"a":1,,}`, `{"a":1 "b":2}`, `{"a"}`, `{"a":}`, `{a:1}`, `{"a":"\x"}`, `{"a":"\'"}`, `{"a":"\ud83d"}`,
		`{"a":"\ud83dx"}`, `{"a":"\ud83d\n"}`, `{"a":"\ud83d\u0041"}`, `{"a":"\udc00"}`, `{"a":-}`, `{"a":1-2}`, `{"a":1/**/}`, `{"a":/}`, `{"a":1} `,
		"{\"a\":1 /* open", "{\"a\":1} // c", `{"a":truex}`, "\xef\xbb\xbf{}", "{\"a\":\"\xc3\xa9\xff\"}", "{\"a\"\f:1}", `{"a":+1}`, `{"a":.5}`)
	docs = append(docs, mutants(short, []string{"a", "{", "}", "[", "]", ",", ":", `"`, "'", "1", "-", ".", "e", "null", "true", "\\", "\\u", "\\ud83d",
		"00e9", "/*", "*/", "//", "\n", " "}, 20000)...)
	docs = append(docs, mutants(seeds(t, ".json"), []string{",", "}", "\"", "[", "x"}, 1000)...)
	for i, want := range probe(t, "jsonc_probe.c", "json-c", docs) {
		if !looksLikeJSON([]byte(docs[i])) {
			continue
		}
		root, err := parseJSON([]byte(docs[i]))
		got := "E"
		if err == nil {
			got = dump(root, true)
		}
		if got == want {
			continue
		}
		if want == "E" && strings.Contains(docs[i], "**/") {
			continue // json-c does not see that such a comment ends
		}
		// What we are strict about.
		if got == "E" && (strings.Contains(err.Error(), "text after the end") || strings.Contains(err.Error(), "is there twice") ||
			strings.Contains(err.Error(), "NUL byte") || strings.Contains(docs[i], "-.") || strings.Contains(err.Error(), "comment without an end") ||
			strings.Contains(err.Error(), "the text ends") && strings.Contains(docs[i], "//")) {
			continue
		}
		t.Errorf("%q:\n got %s %v\nwant %s", docs[i], got, err, want)
	}
}
