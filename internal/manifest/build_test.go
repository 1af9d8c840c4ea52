// SPDX-License-Identifier: MIT

package manifest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"swudelta/internal/digest"
	"swudelta/internal/fault"
)

var epoch = time.Unix(1736935200, 0) // 2025-01-15T10:00:00Z

// files returns a loader of made-up files, found by their names.
func files(list ...Payload) func(string) (Payload, error) {
	return func(path string) (Payload, error) {
		for _, p := range list {
			if p.Name == filepath.Base(path) {
				p.Path = path
				return p, nil
			}
		}
		return Payload{}, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
	}
}

func hash(t testing.TB, base64 string) digest.SHA256 {
	t.Helper()
	d, err := digest.Parse(base64)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestBuild makes the manifest in testdata, byte for byte.
func TestBuild(t *testing.T) {
	target := hash(t, "1CmVeSQ0rSdTMGZaWxVFJVLh8XXPShXEZQxSFzHHr8I=")
	yes := true
	u := &Update{
		Provider: "Fabrikam", Name: "Gateway", Version: "3.0.0", IsDeployable: &yes,
		Compatibility:     []Object{{Property("manufacturer", "Fabrikam"), Property("model", "GW-100")}},
		HandlerProperties: Object{Property("apiVersion", "1.1"), Property("arguments", "--software-version-file /etc/adu-version")},
		Target:            "build/gw-3.0.0-recompressed.swu", Script: "src/gw-ab-update.sh",
		Deltas: []string{"build/gw-1.0.0-to-3.0.0.diff", "build/gw-2.0.0-to-3.0.0.diff"},
	}
	m, payloads, err := u.Build(epoch, files(
		Payload{Name: "gw-3.0.0-recompressed.swu", Size: 104857600, SHA256: target},
		Payload{Name: "gw-ab-update.sh", Size: 20480, SHA256: hash(t, "mE4r3ZpBq8k0sVhXn1w6TgYJfLdCu2oRaIe5xHb7Q9M=")},
		Payload{Name: "gw-1.0.0-to-3.0.0.diff", Size: 5242880, SHA256: hash(t, "vYNEKHjUAYBGBVgjtxUmMkQHcDvzTb4xkEfrHYmZfJw="),
			Delta: &Delta{hash(t, "fYX1PdZxmVFmbq7nqNeLFyTdmJg5Zq7XAoz2OJHQ3pU="), target, ""}},
		Payload{Name: "gw-2.0.0-to-3.0.0.diff", Size: 2097152, SHA256: hash(t, "0pWJpr8Vb0z4cRkTqVn7xQ3kYyTeG7cJwqv5r4bE1mI="),
			Delta: &Delta{hash(t, "Qh2hXv9f3l8W2s7m6r0kT1c4nD5pBz0uJyEoVgxAiR8="), target, ""}},
	))
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := m.Encode(&b); err != nil {
		t.Fatal(err)
	}
	if want := readGood(t, "two-deltas.json"); b.String() != want {
		t.Errorf("got %s", b.String())
	}
	if err := validate(t, schemas(t), b.Bytes()); err != nil {
		t.Error(err)
	}
	var names []string
	for _, p := range payloads {
		names = append(names, p.Path)
	}
	if want := []string{u.Target, u.Script, u.Deltas[0], u.Deltas[1]}; !slices.Equal(names, want) {
		t.Errorf("files: got %q, want %q", names, want)
	}
	if m.Filename() != "Fabrikam.Gateway.3.0.0.importmanifest.json" {
		t.Error(m.Filename())
	}
}

// small is a description and files that fit it.
func small() (*Update, []Payload) {
	source, target := digest.Sum([]byte("source")), digest.Sum([]byte("target"))
	return &Update{Provider: "p", Name: "n", Version: "1.0", Compatibility: []Object{{Property("k", "v")}}, Target: "t.swu", Script: "s.sh"},
		[]Payload{
			{Name: "t.swu", Size: 100, SHA256: target},
			{Name: "s.sh", Size: 1, SHA256: digest.Sum([]byte("script"))},
			{Name: "d1", Size: 50, SHA256: digest.Sum([]byte("d1")), Delta: &Delta{Source: source, Target: target}},
			{Name: "d2", Size: 50, SHA256: digest.Sum([]byte("d2")), Delta: &Delta{digest.Sum([]byte("source 2")), target, ""}},
			{Name: "same", Size: 50, SHA256: digest.Sum([]byte("same")), Delta: &Delta{Source: source, Target: target}},
			{Name: "other", Size: 50, SHA256: digest.Sum([]byte("other")), Delta: &Delta{source, digest.Sum([]byte("x")), ""}},
			{Name: "large", Size: 100, SHA256: digest.Sum([]byte("large")), Delta: &Delta{Source: source, Target: target}},
			{Name: "null", Size: 50, SHA256: digest.Sum([]byte("null")), Delta: &Delta{target, target, ""}},
			{Name: "nosource", Size: 50, SHA256: digest.Sum([]byte("nosource")), Delta: &Delta{digest.SHA256{}, target, ""}},
			{Name: "empty", Size: 0},
			{Name: "huge", Size: maxFileSize + 1},
		}
}

// TestBuildVariants builds good manifests of several shapes; each must satisfy
// the schema and our own rules, and come out the same twice.
func TestBuildVariants(t *testing.T) {
	all := schemas(t)
	no := false
	for name, c := range map[string]struct {
		change func(*Update)
		want   []string // to be found in the manifest, in order
	}{
		"plain":    {func(u *Update) {}, []string{`"handler": "microsoft/swupdate:2"`, `"installedCriteria": "1.0"`, `"createdDateTime": "2025-01-15T10:00:00Z"`}},
		"seed":     {func(u *Update) { u.Seed = true }, []string{`"downloadHandler": {`, `"id": "microsoft/delta:1"`}},
		"script":   {func(u *Update) { u.Script = "a/s.sh" }, []string{`"handler": "microsoft/swupdate:2"`, `"t.swu",`, `"s.sh"`, `"swuFileName": "t.swu"`, `"scriptFileName": "s.sh"`}},
		"criteria": {func(u *Update) { u.InstalledCriteria = "x<y>&z" }, []string{`"installedCriteria": "x<y>&z"`}},
		"deltas":   {func(u *Update) { u.Deltas = []string{"d2", "d1"} }, []string{`"filename": "d2"`, `"filename": "d1"`, `"downloadHandler"`}},
		"override": {func(u *Update) { u.HandlerProperties = Object{Property("installedCriteria", "9")} }, []string{`"installedCriteria": "9"`}},
		"own handler": {func(u *Update) { u.Handler = "contoso/swupdate:3"; u.Script = "s.sh" }, []string{
			`"handler": "contoso/swupdate:3"`, `"scriptFileName": "s.sh"`}},
		"texts": {func(u *Update) { u.Description = "über"; u.IsDeployable = &no }, []string{`"description": "über"`, `"isDeployable": false`}},
		"properties": {func(u *Update) {
			u.FileProperties = map[string]Object{"t.swu": {Property("b", "1"), Property("a", "2")}}
		}, []string{`"properties": {`, `"b": "1"`, `"a": "2"`}},
		"delta properties": {func(u *Update) {
			u.Deltas, u.FileProperties = []string{"d1"}, map[string]Object{"d1": {Property("b", "1")}}
		}, []string{`"microsoft.sourceFileHashAlgorithm"`, `"microsoft.sourceFileHash"`, `"b": "1"`}},
		"steps": {func(u *Update) {
			u.Script = ""
			u.Steps = []Step{
				{Handler: "microsoft/script:1", Files: []string{"s.sh"}, HandlerProperties: Object{Property("scriptFileName", "s.sh")}},
				{Type: "reference", UpdateID: &UpdateID{"p", "other", "2.0"}},
				{Description: "main", Handler: "contoso/swu:1", Files: []string{"t.swu"}},
			}
			u.Deltas = []string{"d1"}
		}, []string{`"type": "inline"`, `"microsoft/script:1"`, `"type": "reference"`, `"name": "other"`, `"main"`, `"t.swu"`, `"filename": "t.swu"`, `"filename": "d1"`, `"filename": "s.sh"`}},
	} {
		t.Run(name, func(t *testing.T) {
			var first string
			for range 2 {
				u, list := small()
				c.change(u)
				m, _, err := u.Build(epoch, files(list...))
				if err != nil {
					t.Fatal(err)
				}
				var b bytes.Buffer
				if err := m.Encode(&b); err != nil {
					t.Fatal(err)
				}
				if first == "" {
					first = b.String()
				}
				if b.String() != first {
					t.Error("another manifest the second time")
				}
			}
			if err := validate(t, all, []byte(first)); err != nil {
				t.Errorf("%v: %s", err, first)
			}
			if got := check(t, first); got != nil {
				t.Errorf("findings %q", got)
			}
			rest := first
			for _, w := range c.want {
				_, after, ok := strings.Cut(rest, w)
				if !ok {
					t.Fatalf("missing %s in %s", w, first)
				}
				rest = after
			}
		})
	}
}

func TestBuildFaults(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Update)
		want   string
		data   bool // the files are to blame
	}{
		{"no provider", func(u *Update) { u.Provider = "" }, "no provider", false},
		{"no name", func(u *Update) { u.Name = "" }, "no name", false},
		{"no version", func(u *Update) { u.Version = "" }, "no version", false},
		{"no target", func(u *Update) { u.Target = "" }, "no target", false},
		{"no compatibility", func(u *Update) { u.Compatibility = nil }, "no compatibility", false},
		{"provider", func(u *Update) { u.Provider = "a b" }, `updateId.provider: got "a b"`, false},
		{"version", func(u *Update) { u.Version = "1" }, `updateId.version: got "1"`, false},
		{"version of five", func(u *Update) { u.Version = "1.2.3.4.5" }, "got 5 parts", false},
		{"description", func(u *Update) { u.Description = strings.Repeat("x", 513) }, "got 513 characters", false},
		{"handler", func(u *Update) { u.Handler = "swupdate" }, `got "swupdate", want VENDOR/NAME:VERSION`, false},
		{"handler of deltas", func(u *Update) { u.Handler = DeltaHandler }, "not to a step", false},
		{"script for version 1", func(u *Update) { u.Script, u.Handler = "s.sh", SWUpdateV1 }, "runs no script", false},
		{"version 2 without script", func(u *Update) { u.Script, u.Handler = "", SWUpdateV2 }, "no script, which microsoft/swupdate:2 needs", false},
		{"neither handler nor script", func(u *Update) { u.Script = "" }, "no script, which microsoft/swupdate:2 needs", false},
		{"seed without a target", func(u *Update) {
			u.Script, u.Target, u.Seed, u.Steps = "", "", true, []Step{{Handler: "a/b:1", Files: []string{"s.sh"}}}
		}, "no target", false},
		{"delta without a target", func(u *Update) {
			u.Script, u.Target, u.Deltas, u.Steps = "", "", []string{"d1"}, []Step{{Handler: "a/b:1", Files: []string{"s.sh"}}}
		}, "no target", false},
		{"seed with deltas", func(u *Update) { u.Seed, u.Deltas = true, []string{"d1"} }, "a seed is an update without deltas", false},
		{"five deltas", func(u *Update) { u.Deltas = make([]string, 5) }, "got 5 deltas, an update can have 4", false},
		{"script named as the target", func(u *Update) { u.Script = "elsewhere/t.swu" }, `two files named "t.swu"`, false},
		{"delta twice", func(u *Update) { u.Deltas = []string{"d1", "x/d1"} }, `two files named "d1"`, false},
		{"deltas of one source", func(u *Update) { u.Deltas = []string{"d1", "same"} }, "starts from the same file", false},
		{"steps and script", func(u *Update) { u.Script, u.Steps = "s.sh", []Step{{}} }, "belong to them", false},
		{"steps without target", func(u *Update) { u.Script, u.Steps = "", []Step{{Handler: "a/b:1", Files: []string{"s.sh"}}} }, `no step installs "t.swu"`, false},
		{"properties of no file", func(u *Update) { u.FileProperties = map[string]Object{"x": nil} }, `"x", which is no file`, false},
		{"target is a delta", func(u *Update) { u.Target = "d1" }, "d1: a delta, want the file that it makes", true},
		{"delta is no delta", func(u *Update) { u.Deltas = []string{"s.sh"} }, "s.sh: not a delta", true},
		{"delta for another target", func(u *Update) { u.Deltas = []string{"other"} }, "other: makes a file with sha256 " + digest.Sum([]byte("x")).Hex(), true},
		{"delta too large", func(u *Update) { u.Deltas = []string{"large"} }, "large: 100 bytes, not less than the 100 of t.swu", true},
		{"source is target", func(u *Update) { u.Deltas = []string{"null"} }, "null: starts from the file that it makes", true},
		{"no source", func(u *Update) { u.Deltas = []string{"nosource"} }, "nosource: starts from no file", true},
		{"empty file", func(u *Update) { u.Script = "empty" }, "empty: got 0 bytes", true},
		{"huge file", func(u *Update) { u.Target = "huge" }, "huge: got 2147483649 bytes", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			u, list := small()
			c.change(u)
			_, _, err := u.Build(epoch, files(list...))
			var bad *DescriptionError
			if err == nil || !strings.Contains(err.Error(), c.want) || fault.IsData(err) != c.data || errors.As(err, &bad) == c.data {
				t.Errorf("got %v (%T), want %q", err, err, c.want)
			}
		})
	}
	u, list := small()
	u.Deltas = []string{"absent"}
	if _, _, err := u.Build(epoch, files(list...)); !errors.Is(err, fs.ErrNotExist) || fault.IsData(err) {
		t.Errorf("absent: got %v", err)
	}
}

// TestVersion1 checks that the old handler is there for who asks, and that Check
// says what comes of it.
func TestVersion1(t *testing.T) {
	u, list := small()
	u.Script, u.Handler = "", SWUpdateV1
	m, _, err := u.Build(epoch, files(list...))
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := m.Encode(&b); err != nil {
		t.Fatal(err)
	}
	if got := m.Instructions.Steps[0]; got.Handler != SWUpdateV1 || len(got.Files) != 1 {
		t.Errorf("got %+v", got)
	}
	want := []string{"warning: .instructions.steps[0].handler: agents from 1.1 on do not have microsoft/swupdate:1, and refuse the update; want microsoft/swupdate:2"}
	if got := check(t, b.String()); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

func TestReadUpdate(t *testing.T) {
	u, err := ReadUpdate(strings.NewReader(`{
		"provider": "p", "name": "n", "version": "1.0", "description": "d", "isDeployable": false,
		"compatibility": [{"z": "1", "a": "2"}], "installedCriteria": "c", "handler": "h/h:1", "handlerProperties": {"k": {"x": 1}},
		"script": "s.sh", "deltas": ["/abs/d1", "../d2"], "target": "out/t.swu", "seed": true, "fileProperties": {"t.swu": {"a": 1}},
		"steps": [{"handler": "h/h:1", "files": ["x", "/y"]}, {"type": "reference", "updateId": {"provider": "p", "name": "m", "version": "1.0"}}]
	}`), "ci/conf")
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(u.Script, u.Deltas, u.Target, u.Steps[0].Files, *u.IsDeployable, u.Seed, u.Compatibility[0][0].Key, u.Steps[1].UpdateID.Name, string(u.HandlerProperties[0].Value))
	if want := `ci/conf/s.sh[/abs/d1 ci/d2]ci/conf/out/t.swu[ci/conf/x /y] false truezm{"x":1}`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	for _, in := range []string{`{"providr": "p"}`, `{"provider": 1}`, `{"provider": "a", "provider": "b"}`, `{"compatibility": ["x"]}`, `[]`, ``, `{} {}`,
		`{"steps": [{"handlers": "x"}]}`} {
		if _, err := ReadUpdate(strings.NewReader(in), "."); !fault.IsData(err) {
			t.Errorf("%s: got %v, want a data fault", in, err)
		}
	}
}

func TestParseCompatibility(t *testing.T) {
	o, err := ParseCompatibility("manufacturer=Contoso Ltd.,model=a=b")
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := o.MarshalJSON(); string(b) != `{"manufacturer":"Contoso Ltd.","model":"a=b"}` {
		t.Errorf("got %s", b)
	}
	for _, in := range []string{"", "a", "a=", "=b", "a=b,", "a=b,a=c"} {
		if o, err := ParseCompatibility(in); err == nil {
			t.Errorf("%q: got %v", in, o)
		}
	}
}

func TestStage(t *testing.T) {
	dir := t.TempDir()
	source := filepath.Join(dir, "source")
	if err := os.Mkdir(source, 0o755); err != nil {
		t.Fatal(err)
	}
	var payloads []Payload
	for _, name := range []string{"t.swu", "s.sh"} {
		path := filepath.Join(source, name)
		if err := os.WriteFile(path, []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
		payloads = append(payloads, Payload{Path: path, Name: name, Size: int64(len(name)), SHA256: digest.Sum([]byte(name))})
	}
	// A file that is named by way of a symbolic link is staged as itself.
	if err := os.Rename(payloads[1].Path, filepath.Join(source, "real")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("real", payloads[1].Path); err != nil {
		t.Fatal(err)
	}
	u, list := small()
	u.Script = "s.sh"
	m, _, err := u.Build(epoch, files(list...))
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "up", "load")
	write := func(path string, write func(io.Writer) error) error {
		var b bytes.Buffer
		if err := write(&b); err != nil {
			return err
		}
		os.Remove(path)
		return os.WriteFile(path, b.Bytes(), 0o644)
	}
	want := []string{filepath.Join(out, "t.swu"), filepath.Join(out, "s.sh"), filepath.Join(out, "p.n.1.0.importmanifest.json")}
	stage := func() []string {
		t.Helper()
		paths, unrelated, err := Stage(out, m, payloads, write)
		if err != nil || !slices.Equal(paths, want) {
			t.Fatalf("got %q, %v", paths, err)
		}
		for _, p := range payloads {
			if b, err := os.ReadFile(filepath.Join(out, p.Name)); string(b) != p.Name {
				t.Errorf("%s: got %q, %v", p.Name, b, err)
			}
			if info, err := os.Lstat(filepath.Join(out, p.Name)); err != nil || !info.Mode().IsRegular() {
				t.Errorf("%s: %v %v", p.Name, info, err)
			}
		}
		return unrelated
	}
	if unrelated := stage(); unrelated != nil {
		t.Errorf("unrelated %q", unrelated)
	}
	a, _ := os.Stat(payloads[0].Path)
	b, _ := os.Stat(want[0])
	if !os.SameFile(a, b) {
		t.Error("not a hard link")
	}
	stage() // once more: nothing to do
	// Older builds under the names, and things that do not belong there.
	for _, name := range []string{"t.swu", "s.sh", "old.diff"} {
		os.Remove(filepath.Join(out, name))
		if err := os.WriteFile(filepath.Join(out, name), []byte("XXXXX"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if unrelated := stage(); !slices.Equal(unrelated, []string{"old.diff"}) {
		t.Errorf("unrelated %q", unrelated)
	}
	if b, _ := os.ReadFile(payloads[0].Path); string(b) != "t.swu" {
		t.Errorf("the original became %q", b)
	}
	// The file changed after it was hashed: the copy is refused.
	os.WriteFile(want[0], []byte("YYYYY"), 0o644)
	os.WriteFile(payloads[0].Path, []byte("swu.t"), 0o644)
	if _, _, err := Stage(out, m, payloads, write); !fault.IsData(err) {
		t.Errorf("got %v, want a data fault", err)
	}
	// A folder in the way.
	os.Remove(want[0])
	os.Mkdir(want[0], 0o755)
	if _, _, err := Stage(out, m, payloads, write); !errors.Is(err, fs.ErrExist) {
		t.Errorf("got %v", err)
	}
}
