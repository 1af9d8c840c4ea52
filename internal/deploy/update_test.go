// SPDX-License-Identifier: MIT

package deploy

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"swudelta/internal/digest"
	"swudelta/internal/fault"
)

const manifestText = `{
  "updateId": {"provider": "Contoso", "name": "gw", "version": "2.0"},
  "instructions": {"steps": [{"handler": "microsoft/swupdate:2", "files": ["gw.swu", "s.sh"],
    "handlerProperties": {"scriptFileName": "s.sh", "swuFileName": "gw.swu", "number": 1}}]},
  "files": [
    {"filename": "gw.swu", "hashes": {"sha512": "x", "sha256": "y"}, "downloadHandler": {"id": "microsoft/delta:1"},
      "relatedFiles": [{"filename": "gw.diff", "hashes": {"sha256": "z"}, "properties": {"a": "b"}}]},
    {"filename": "s.sh", "hashes": {"sha256": "w"}}]
}`

func TestReadUpdate(t *testing.T) {
	u, err := ReadUpdate(strings.NewReader("\uFEFF" + manifestText))
	if err != nil {
		t.Fatal(err)
	}
	want := []step{{"microsoft/swupdate:2", []string{"gw.swu", "s.sh"}, map[string]string{"scriptFileName": "s.sh", "swuFileName": "gw.swu"}}}
	if u.provider != "Contoso" || !reflect.DeepEqual(u.steps, want) || !reflect.DeepEqual(u.names(), []string{"gw.swu", "s.sh"}) {
		t.Errorf("got %+v", u)
	}
	// The agent uses the hash that comes first.
	f, ok := u.file("gw.swu")
	related := []delta{{"gw.diff", []hash{{"sha256", "z"}}, map[string]string{"a": "b"}}}
	if !ok || !reflect.DeepEqual(f, file{"gw.swu", []hash{{"sha512", "x"}, {"sha256", "y"}}, "microsoft/delta:1", related}) {
		t.Errorf("got %+v, %v", f, ok)
	}
	if f, ok := u.file("s.sh"); !ok || f.handler != "" || f.related != nil {
		t.Errorf("got %+v, %v", f, ok)
	}
	if _, ok := u.file("S.SH"); ok {
		t.Error("a file of another name was found")
	}
	for i := range manifestText {
		if _, err := ReadUpdate(strings.NewReader(manifestText[:i])); !fault.IsData(err) {
			t.Fatalf("cut after %d bytes: got %v", i, err)
		}
	}
	for _, text := range []string{"", "[]", "null", "{}", `{"updateId": {"provider": 1}, "instructions": {"steps": []}, "files": []}`,
		`{"updateId": {"provider": "p"}, "instructions": {"steps": [{"type": "reference"}]}, "files": []}`,
		`{"updateId": {"provider": "p"}, "instructions": {"steps": [{"handler": "h", "files": [1]}]}, "files": []}`,
		strings.Replace(manifestText, `"name"`, `"provider"`, 1)} {
		if _, err := ReadUpdate(strings.NewReader(text)); !fault.IsData(err) {
			t.Errorf("%s: got %v", text, err)
		}
	}
}

func TestSafeName(t *testing.T) {
	for name, want := range map[string]bool{
		"gw.swu": true, "-x": true, "a b": true, "…": true, strings.Repeat("x", 255): true,
		"": false, ".": false, "..": false, "a/b": false, "/a": false, "../a": false, "a\n": false, strings.Repeat("x", 256): false,
	} {
		if got := safeName(name); got != want {
			t.Errorf("%q: got %v", name, got)
		}
	}
}

func TestParseAgent(t *testing.T) {
	for s, want := range map[string]Agent{"1.0": {1, 0}, "1.3.0": {1, 3}, "0.9": {0, 9}} {
		if got, err := ParseAgent(s); err != nil || got != want {
			t.Errorf("%s: got %v, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "1", "v1.0", "1.x", "1.0.0.0", "1.0-rc1", "1000.1"} {
		if got, err := ParseAgent(s); err == nil {
			t.Errorf("%s: got %v", s, got)
		}
	}
}

// FuzzDeploy deploys whatever is a manifest to a device that has no file of it, and
// whose script does nothing. Nothing is written outside the sandbox and the cache.
func FuzzDeploy(f *testing.F) {
	f.Add([]byte(manifestText))
	f.Add([]byte(strings.NewReplacer(`"gw.diff"`, `"../gw.diff"`, `"s.sh"`, `"../../s.sh"`).Replace(manifestText)))
	empty := digest.Sum(nil).Base64()
	f.Add([]byte(strings.NewReplacer(`"sha512": "x", "sha256": "y"`, `"sha256": "`+empty+`"`, `"w"`, `"`+empty+`"`).Replace(manifestText)))
	f.Fuzz(func(t *testing.T, b []byte) {
		u, err := ReadUpdate(bytes.NewReader(b))
		if err != nil {
			return
		}
		dir := t.TempDir()
		o := Options{
			Device: Device{Agent: Agent{1, 3}, Downloader: Curl, Base: filepath.Join(dir, "cache"), Sandbox: filepath.Join(dir, "sandbox"), RunScript: true},
			Host: Host{
				Stderr: io.Discard, Verbosef: func(string, ...any) {}, Warnf: func(string, ...any) {},
				WriteFile: func(string, func(io.Writer) error) error { return os.ErrPermission },
				Start:     func(*exec.Cmd) (func(), error) { t.Error("a program was started"); return nil, os.ErrPermission },
			},
			Files: filepath.Join(dir, "files"), Scratch: dir,
		}
		for _, folder := range []string{o.Files, o.Sandbox} {
			if err := os.Mkdir(folder, 0o777); err != nil {
				t.Fatal(err)
			}
		}
		r, err := Deploy(u, o)
		if err == nil || r != nil && (r.Outcome != Failed || r.Twin.State != stateFailed) {
			t.Errorf("got %+v, %v", r, err)
		}
		if list, err := os.ReadDir(dir); err != nil || len(list) != 2 {
			t.Errorf("written beside the sandbox: %v, %v", list, err)
		}
		if r != nil {
			if err := r.Print(io.Discard); err != nil {
				t.Error(err)
			}
		}
	})
}
