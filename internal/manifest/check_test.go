// SPDX-License-Identifier: MIT

package manifest

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"

	"swudelta/internal/digest"
	"swudelta/internal/fault"
)

func readGood(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile("testdata/good/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func check(t testing.TB, s string) []string {
	t.Helper()
	d, err := Read(strings.NewReader(s))
	if err != nil {
		t.Fatalf("%v: %s", err, s)
	}
	return lines(d.Check())
}

func lines(list []Finding) (out []string) {
	for _, f := range list {
		out = append(out, f.String())
	}
	return out
}

// TestCheck makes one change to a good manifest and wants exactly the findings
// that it deserves: what no schema sees.
func TestCheck(t *testing.T) {
	const (
		target = "1CmVeSQ0rSdTMGZaWxVFJVLh8XXPShXEZQxSFzHHr8I="
		source = "fYX1PdZxmVFmbq7nqNeLFyTdmJg5Zq7XAoz2OJHQ3pU="
	)
	hex := func(s string) string {
		d, err := digest.Parse(s)
		if err != nil {
			t.Fatal(err)
		}
		return d.Hex()
	}
	good := readGood(t, "two-deltas.json")
	if got := check(t, good); got != nil {
		t.Fatalf("the good manifest: %q", got)
	}
	for _, c := range []struct {
		name, old, new string
		want           []string
	}{
		{"hexadecimal hash", target, hex(target), []string{`error: .files[0].hashes.sha256: hexadecimal, want base64: ` + target}},
		{"hexadecimal source", source, hex(source), []string{
			`error: .files[0].relatedFiles[0].properties["microsoft.sourceFileHash"]: hexadecimal, want base64: ` + source}},
		{"short hash", target, "AAAA", []string{`error: .files[0].hashes.sha256: got "AAAA", want base64 of 32 bytes (44 characters)`}},
		{"unpadded hash", target, strings.TrimSuffix(target, "="), []string{
			`error: .files[0].hashes.sha256: got "1CmVeSQ0rSdTMGZaWxVFJVLh8XXPShXEZQxSFzHHr8I", want base64 of 32 bytes (44 characters)`}},
		{"sha512 first", `"sha256": "` + target, `"sha512": "x", "sha256": "` + target, []string{
			`error: .files[0].hashes.sha512: stands before sha256, so that the agent caches the file under a name that no delta refers to`,
			`error: .files[0].hashes.sha512: got "x", want base64 of 64 bytes (88 characters)`}},
		{"algorithm in capitals", `Algorithm": "sha256"`, `Algorithm": "SHA256"`, []string{
			`error: .files[0].relatedFiles[0].properties["microsoft.sourceFileHashAlgorithm"]: got "SHA256", want "sha256", letter for letter`}},
		{"no algorithm", `"microsoft.sourceFileHashAlgorithm": "sha256",`, "", []string{
			`error: .files[0].relatedFiles[0].properties: "microsoft.sourceFileHashAlgorithm" is missing`}},
		{"property misspelt", `"microsoft.sourceFileHash":`, `"microsoft.SourceFileHash":`, []string{
			`error: .files[0].relatedFiles[0].properties: "microsoft.sourceFileHash" is missing (there is "microsoft.SourceFileHash")`}},
		{"empty source hash", source, "", []string{
			`error: .files[0].relatedFiles[0].properties["microsoft.sourceFileHash"]: got nothing, want text`}},
		{"no properties", `"properties": {
            "microsoft.sourceFileHashAlgorithm": "sha256",
            "microsoft.sourceFileHash": "` + source + `"
          }`, `"x": 1`, []string{`error: .files[0].relatedFiles[0]: no "properties": the agent cannot parse the file then, and the step fails`}},
		{"source is target", source, target, []string{
			`error: .files[0].relatedFiles[0].properties["microsoft.sourceFileHash"]: the delta starts from the file that it makes`}},
		{"same source twice, for other devices", "Qh2hXv9f3l8W2s7m6r0kT1c4nD5pBz0uJyEoVgxAiR8=", source, nil},
		{"delta is target", "vYNEKHjUAYBGBVgjtxUmMkQHcDvzTb4xkEfrHYmZfJw=", target, []string{
			`error: .files[0].relatedFiles[0]: has the hash of the file that it makes`}},
		{"delta as large as target", "5242880", "104857600", []string{
			`error: .files[0].relatedFiles[0]: a delta of 104857600 bytes, but the file that it makes has 104857600`}},
		{"delta and target swapped", "", "", []string{ // made below
			`error: .files[0].relatedFiles[0]: "gw.swu" is no delta: it and "gw.diff" seem to have changed places`}},
		{"same name twice", `"filename": "gw-2.0.0-to-3.0.0.diff"`, `"filename": "gw-1.0.0-to-3.0.0.diff"`, []string{
			`error: .files[0].relatedFiles[1].filename: "gw-1.0.0-to-3.0.0.diff" is the name of .files[0].relatedFiles[0].filename too`}},
		{"name with a folder", `"filename": "gw-2.0.0-to-3.0.0.diff"`, `"filename": "../gw"`, []string{
			`error: .files[0].relatedFiles[1].filename: "../gw" is not a plain file name`}},
		{"step names no file", `"gw-ab-update.sh"
        ]`, `"other.sh"
        ]`, []string{
			`error: .instructions.steps[0].files[1]: "other.sh" is not among the "files" of the update`,
			`error: .instructions.steps[0].handlerProperties.scriptFileName: "gw-ab-update.sh" is not among the step's "files"`,
			`warning: .files[1]: no step uses "gw-ab-update.sh"`}},
		{"handler property names no file", `"swuFileName": "gw-3.0.0-recompressed.swu"`, `"swuFileName": "x.swu"`, []string{
			`error: .instructions.steps[0].handlerProperties.swuFileName: "x.swu" is not among the step's "files"`}},
		{"no script", `"scriptFileName": "gw-ab-update.sh",`, "", []string{
			`error: .instructions.steps[0].handlerProperties: "scriptFileName" is missing`}},
		{"script is the SWU", `"scriptFileName": "gw-ab-update.sh"`, `"scriptFileName": "gw-3.0.0-recompressed.swu"`, []string{
			`error: .instructions.steps[0].handlerProperties.scriptFileName: "gw-3.0.0-recompressed.swu" is both the script and the SWU`}},
		{"version 1 of the handler", "microsoft/swupdate:2", "microsoft/swupdate:1", []string{
			`warning: .instructions.steps[0].handler: agents from 1.1 on do not have microsoft/swupdate:1, and refuse the update; want microsoft/swupdate:2`,
			`error: .instructions.steps[0].files: got 2 files, microsoft/swupdate:1 takes exactly one`,
			`error: .instructions.steps[0].handlerProperties.scriptFileName: microsoft/swupdate:1 runs no script; want microsoft/swupdate:2`}},
		{"delta handler as a step", "microsoft/swupdate:2", "microsoft/delta:1", []string{
			`error: .instructions.steps[0].handler: "microsoft/delta:1" makes files; it belongs to a file's "downloadHandler", not to a step`}},
		{"capital criteria", "installedCriteria", "InstalledCriteria", []string{
			`warning: .instructions.steps[0].handlerProperties: "installedCriteria" is missing (there is "InstalledCriteria")`}},
		{"API version", `"apiVersion": "1.1"`, `"apiVersion": "2"`, []string{
			`warning: .instructions.steps[0].handlerProperties.apiVersion: got "2", known are "1.0" and "1.1"`}},
		{"no download handler", `,
      "downloadHandler": {
        "id": "microsoft/delta:1"
      }`, "", []string{`error: .files[0]: related files, but no "downloadHandler" to use them (want {"id": "microsoft/delta:1"})`}},
		{"other download handler", `"id": "microsoft/delta:1"`, `"id": "contoso/delta:1"`, []string{
			`warning: .files[0].downloadHandler.id: got "contoso/delta:1", deltas are for "microsoft/delta:1"`}},
		{"agent's name of the handler", `"downloadHandler": {`, `"downloadHandlerId": "microsoft/delta:1", "downloadHandler": {`, []string{
			`error: .files[0].downloadHandlerId: is a name of the agent's; write "downloadHandler": {"id": ...}`}},
		{"keys at the top", `"manifestVersion"`, `"updateType": "microsoft/swupdate:1", "relatedFiles": [], "downloadHandler": {}, "isdeployable": true, "zzz": 1, "manifestVersion"`, []string{
			`error: .updateType: is of old manifests; a step's "handler" takes its place`,
			`error: .relatedFiles: belongs to the file in "files" that the deltas make`,
			`error: .downloadHandler: belongs to the file in "files" that the deltas make`,
			`warning: .isdeployable: unknown key, want "isDeployable"`,
			`warning: .zzz: unknown key`}},
		{"deployable is text", `"isDeployable": true`, `"isDeployable": "true"`, []string{`error: .isDeployable: got a string, want true or false`}},
		{"five parts", "3.0.0\"\n  }", "3.0.0.0.0\"\n  }", []string{`error: .updateId.version: got 5 parts, want 2 to 4`}},
		{"large part", "3.0.0\"\n  }", "3.2147483648\"\n  }", []string{`error: .updateId.version: part 2147483648 is too large, want at most 2147483647`}},
		{"huge part", "3.0.0\"\n  }", "3.99999999999999999999999\"\n  }", []string{`error: .updateId.version: part 99999999999999999999999 is too large, want at most 2147483647`}},
		{"leading zeros", "3.0.0\"\n  }", "3.01.0\"\n  }", []string{`warning: .updateId.version: part 01: the service drops leading zeros`}},
		{"time in words", "2025-01-15T10:00:00Z", "yesterday", []string{`error: .createdDateTime: got "yesterday", want a time such as 2025-01-15T10:00:00Z (ISO 8601)`}},
		{"time without zone", "2025-01-15T10:00:00Z", "2025-01-15T10:00:00", []string{`warning: .createdDateTime: got "2025-01-15T10:00:00" without a time zone, want one such as Z`}},
		{"long property name", `"manufacturer"`, `"` + strings.Repeat("m", 33) + `"`, []string{
			`error: .compatibility[0].` + strings.Repeat("m", 33) + `: name of 33 characters, want 1 to 32`}},
		{"same set twice", `"model": "GW-100"
    }`, `"model": "GW-100"}, {"model": "GW-100", "manufacturer": "Fabrikam"}`, []string{`warning: .compatibility[1]: the same as set 0`}},
		{"fraction of a byte", "20480", "20480.5", []string{`error: .files[1].sizeInBytes: got 20480.5, want a number of bytes in digits only`}},
		{"too much in all", "20480", "2147483648", []string{`error: .files: 2252341248 bytes in all, want at most 2147483648`}},
		{"too much with deltas", "20480", "2040000000", []string{
			`warning: .files: 2152197632 bytes in all with the related files; the service may count them towards its limit of 2147483648`}},
		{"many properties", `"microsoft.sourceFileHash": "` + source + `"`, `"microsoft.sourceFileHash": "` + source + `", "a": "", "b": "", "c": "` + strings.Repeat("c", 257) + `", "` + strings.Repeat("d", 65) + `": ""`, []string{
			`warning: .files[0].relatedFiles[0].properties: got 6 properties, the service documents at most 5`,
			`warning: .files[0].relatedFiles[0].properties.c: value of 257 characters, the service documents at most 256`,
			`warning: .files[0].relatedFiles[0].properties.` + strings.Repeat("d", 65) + `: name of 65 characters, the service documents at most 64`}},
		{"byte order mark", "{\n  \"updateId", "\uFEFF{\n  \"updateId", []string{`warning: .: begins with a byte order mark, which JSON does not have`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			changed := strings.Replace(good, c.old, c.new, 1)
			if c.name == "delta and target swapped" {
				changed = strings.Replace(swapped, "HASH", target, 1)
			} else if changed == good {
				t.Fatal("no change")
			}
			if got := check(t, changed); !slices.Equal(got, c.want) {
				t.Errorf("got:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
		})
	}
}

// swapped has delta and target in each other's place, as a generator for Yocto
// once wrote it.
const swapped = `{
  "updateId": {"provider": "Contoso", "name": "x", "version": "1.0"},
  "compatibility": [{"model": "x"}],
  "instructions": {"steps": [{"handler": "microsoft/swupdate:2", "files": ["gw.diff", "s.sh"],
    "handlerProperties": {"installedCriteria": "1.0", "swuFileName": "gw.diff", "scriptFileName": "s.sh"}}]},
  "files": [{"filename": "gw.diff", "sizeInBytes": 100, "hashes": {"sha256": "mcB5SexMU4JOOzqmlJqKbue9qMskWY3EI/iVjJxCtAs="},
    "downloadHandler": {"id": "microsoft/delta:1"},
    "relatedFiles": [{"filename": "gw.swu", "sizeInBytes": 10000, "hashes": {"sha256": "/16bQOP9P71DeGlyBYYIZGywsfaZknVY9LY3z1i6CXU="},
      "properties": {"microsoft.sourceFileHashAlgorithm": "sha256", "microsoft.sourceFileHash": "HASH"}}]},
    {"filename": "s.sh", "sizeInBytes": 1, "hashes": {"sha256": "mE4r3ZpBq8k0sVhXn1w6TgYJfLdCu2oRaIe5xHb7Q9M="}}],
  "createdDateTime": "2025-01-15T10:00:00Z",
  "manifestVersion": "5.0"
}`

// TestCheckYocto is a manifest as a public recipe generates it: hashes in
// hexadecimal, everything at the top level, no files.
func TestCheckYocto(t *testing.T) {
	got := check(t, `{
  "updateId": {"provider": "Contoso", "name": "x", "version": "2.0"},
  "updateType": "microsoft/swupdate:1",
  "compatibility": [{"model": "x"}],
  "downloadHandler": {"id": "microsoft/delta:1"},
  "relatedFiles": [{"filename": "x.diff", "sizeInBytes": 10, "hashes": {"sha256": "99c07949ec4c53824e3b3aa6949a8a6ee7bda8cb24598dc423f8958c9c42b40b"}}],
  "instructions": {"steps": [{"handler": "microsoft/swupdate:1", "files": ["x.swu"], "handlerProperties": {"installedCriteria": "2.0"}}]}
}`)
	for _, want := range []string{
		`error: .: "manifestVersion" is missing`, `error: .: "createdDateTime" is missing`, `.updateType: `, `.relatedFiles: `, `.downloadHandler: `,
		`error: .instructions.steps[0].files[0]: "x.swu" is not among the "files" of the update`,
	} {
		if !slices.ContainsFunc(got, func(s string) bool { return strings.Contains(s, want) }) {
			t.Errorf("missing %q in\n%s", want, strings.Join(got, "\n"))
		}
	}
}

// TestCheckAgent is a manifest as devices see it, which cannot be imported.
func TestCheckAgent(t *testing.T) {
	got := check(t, `{"manifestVersion": "5", "files": {"f0": {"fileName": "x"}}}`)
	want := `error: .files: got an object, want an array (the agent's form of a manifest is not the one to import)`
	if !slices.Contains(got, want) {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
	if got := check(t, `[]`); !slices.Equal(got, []string{"error: .: got an array, want an object"}) {
		t.Errorf("got %q", got)
	}
}

func TestReadFaults(t *testing.T) {
	good := readGood(t, "two-deltas.json")
	for name, c := range map[string]struct{ in, want string }{
		"empty":     {"", "unexpected end of JSON input"},
		"UTF-16":    {"\xff\xfe{\x00}\x00", "UTF-16"},
		"Latin-1":   {"{\"a\": \"\xe4\"}", "not UTF-8"},
		"trailing":  {good + "x", "line 79, column 1: invalid character 'x' after top-level value"},
		"comma":     {"{\n \"a\": 1,\n}", "line 3, column 1: invalid character '}'"},
		"duplicate": {"{\"a\": 1,\n \"a\": 2}", `line 2, column 4: key "a" occurs twice in one object`},
		"deep":      {strings.Repeat("[", 1e6), "nested more than 64 levels deep at offset 64"},
		"long":      {`"` + strings.Repeat("x", maxBytes) + `"`, "longer than 4194304 bytes"},
	} {
		_, err := Read(strings.NewReader(c.in))
		if !fault.IsData(err) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want a data fault with %q", name, err, c.want)
		}
	}
	// No part of a manifest is a manifest.
	for i := range len(strings.TrimSpace(good)) {
		if _, err := Read(strings.NewReader(good[:i])); !fault.IsData(err) {
			t.Fatalf("cut at %d: got %v", i, err)
		}
	}
	broken := errors.New("broken")
	if _, err := Read(&failing{err: broken}); !errors.Is(err, broken) || fault.IsData(err) {
		t.Errorf("got %v", err)
	}
}

type failing struct{ err error }

func (f *failing) Read([]byte) (int, error) { return 0, f.err }

func FuzzCheck(f *testing.F) {
	for _, b := range samples(f) {
		f.Add(b)
	}
	f.Add([]byte(swapped))
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := Read(bytes.NewReader(b))
		if err != nil {
			if !fault.IsData(err) {
				t.Fatal(err)
			}
			return
		}
		d.Check()
		d.CheckSource(d)
		d.ID()
		for _, c := range append(d.Sources(), d.Targets()...) {
			c.SHA256()
		}
		// What was read says the same when it is written again.
		again, err := Read(bytes.NewReader(d.root.json()))
		if err != nil {
			t.Fatalf("%v: %s", err, d.root.json())
		}
		again.bom = d.bom
		if a, b := lines(d.Check()), lines(again.Check()); !slices.Equal(a, b) {
			t.Fatalf("got %q, then %q", a, b)
		}
	})
}

func TestSourcesAndTargets(t *testing.T) {
	d, err := Read(strings.NewReader(readGood(t, "two-deltas.json")))
	if err != nil {
		t.Fatal(err)
	}
	if id := d.ID(); id != (UpdateID{"Fabrikam", "Gateway", "3.0.0"}) {
		t.Errorf("got %v", id)
	}
	want := []Cached{{"sha256", "fYX1PdZxmVFmbq7nqNeLFyTdmJg5Zq7XAoz2OJHQ3pU="}, {"sha256", "Qh2hXv9f3l8W2s7m6r0kT1c4nD5pBz0uJyEoVgxAiR8="}}
	if got := d.Sources(); !slices.Equal(got, want) {
		t.Errorf("sources %v", got)
	}
	want = []Cached{{"sha256", "1CmVeSQ0rSdTMGZaWxVFJVLh8XXPShXEZQxSFzHHr8I="}}
	if got := d.Targets(); !slices.Equal(got, want) {
		t.Errorf("targets %v", got)
	}
	if _, ok := want[0].SHA256(); !ok {
		t.Error("no digest")
	}
	for _, c := range []Cached{{"SHA256", want[0].Hash}, {"sha256", strings.Repeat("0", 64)}, {"sha256", "x"}} {
		if _, ok := c.SHA256(); ok {
			t.Errorf("%v was taken", c)
		}
	}
}

func TestCheckSource(t *testing.T) {
	update := func(provider, name, version, criteria, own, source, handler string) *Document {
		related := ""
		if source != "" {
			related = fmt.Sprintf(`"relatedFiles": [{"filename": "d", "properties": {%q: "sha256", %q: %q}}],`, SourceAlgorithm, SourceHash, source)
		}
		d, err := Read(strings.NewReader(fmt.Sprintf(`{"updateId": {"provider": %q, "name": %q, "version": %q},
			"instructions": {"steps": [{"handlerProperties": {"installedCriteria": %q}}]},
			"files": [{"filename": "x", %s "hashes": {"sha256": %q}, "downloadHandler": {"id": %q}}]}`,
			provider, name, version, criteria, related, own, handler)))
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	v2 := update("Contoso", "gw", "2.0", "2.0", "T", "S", DeltaHandler)
	for _, c := range []struct {
		name   string
		source *Document
		want   []string
	}{
		{"good", update("Contoso", "gw", "1.9.1", "1.9.1", "S", "", DeltaHandler), nil},
		{"other name", update("Contoso", "older", "3.0", "1.0", "S", "", DeltaHandler), nil},
		{"other provider", update("contoso", "gw", "1.0", "1.0", "S", "", DeltaHandler), []string{
			`error: .updateId.provider: got "Contoso", the source contoso gw 1.0 has another; an agent keeps each provider's updates apart`}},
		{"not cached", update("Contoso", "gw", "1.0", "1.0", "S", "", ""), []string{
			`error: .: devices do not cache the source Contoso gw 1.0, for no file of it has a "downloadHandler"`}},
		{"other file", update("Contoso", "gw", "1.0", "1.0", "other", "", DeltaHandler), []string{
			`error: .: no delta starts from the source Contoso gw 1.0`}},
		{"not older", update("Contoso", "gw", "10.0", "1.0", "S", "", DeltaHandler), []string{
			`warning: .updateId.version: got 2.0, which is not after the source Contoso gw 10.0`}},
		{"same criteria", update("Contoso", "gw", "1.0", "2.0", "S", "", DeltaHandler), []string{
			`error: .instructions.steps: installedCriteria "2.0" is that of the source Contoso gw 1.0 too: devices take the update for installed`}},
	} {
		if got := lines(v2.CheckSource(c.source)); !slices.Equal(got, c.want) {
			t.Errorf("%s: got\n%s\nwant\n%s", c.name, strings.Join(got, "\n"), strings.Join(c.want, "\n"))
		}
	}
}

func TestCheckFiles(t *testing.T) {
	sum := func(s string) digest.SHA256 { return digest.Sum([]byte(s)) }
	target := Payload{Name: "gw.swu", Size: 100, SHA256: sum("target")}
	delta := Payload{Name: "gw.diff", Size: 10, SHA256: sum("delta"), Delta: &Delta{Source: sum("source"), Target: sum("target")}}
	u := &Update{Provider: "Contoso", Name: "gw", Version: "2.0", Compatibility: []Object{{Property("m", "x")}}, Target: "gw.swu", Handler: SWUpdateV1, Deltas: []string{"gw.diff"}}
	m, _, err := u.Build(epoch, files(target, delta))
	if err != nil {
		t.Fatal(err)
	}
	d, err := m.Document()
	if err != nil {
		t.Fatal(err)
	}
	missing := func(err error) bool { return errors.Is(err, fs.ErrNotExist) }
	run := func(list ...Payload) []string {
		t.Helper()
		got, err := d.CheckFiles(files(list...), missing)
		if err != nil {
			t.Fatal(err)
		}
		return lines(got)
	}
	with := func(p Payload, change func(*Payload)) Payload { change(&p); return p }
	for _, c := range []struct {
		name string
		got  []string
		want []string
	}{
		{"good", run(target, delta), nil},
		{"absent", run(delta), []string{`error: .files[0]: open gw.swu: file does not exist`}},
		{"other size", run(with(target, func(p *Payload) { p.Size = 99 }), delta), []string{
			`error: .files[0].sizeInBytes: got 100, but "gw.swu" has 99 bytes`}},
		{"other content", run(with(target, func(p *Payload) { p.SHA256 = sum("x") }), delta), []string{
			`error: .files[0].hashes.sha256: got ` + sum("target").Base64() + `, but that of "gw.swu" is ` + sum("x").Base64()}},
		{"no delta", run(target, with(delta, func(p *Payload) { p.Delta = nil })), []string{
			`error: .files[0].relatedFiles[0]: "gw.diff" is no delta`}},
		{"other source", run(target, with(delta, func(p *Payload) { p.Delta = &Delta{Source: sum("x"), Target: sum("target")} })), []string{
			`error: .files[0].relatedFiles[0].properties["microsoft.sourceFileHash"]: got ` + sum("source").Base64() + `, but "gw.diff" starts from ` + sum("x").Base64()}},
		{"other target", run(target, with(delta, func(p *Payload) { p.Delta = &Delta{Source: sum("source"), Target: sum("x")} })), []string{
			`error: .files[0].relatedFiles[0]: "gw.diff" makes a file with sha256 ` + sum("x").Hex() + `, not "gw.swu"`}},
		{"swapped", run(with(target, func(p *Payload) { p.Delta = delta.Delta }), delta), []string{
			`error: .files[0]: "gw.swu" is a delta: it and the file that it makes have changed places`}},
	} {
		if !slices.Equal(c.got, c.want) {
			t.Errorf("%s: got\n%s\nwant\n%s", c.name, strings.Join(c.got, "\n"), strings.Join(c.want, "\n"))
		}
	}
	broken := errors.New("broken")
	if _, err := d.CheckFiles(func(string) (Payload, error) { return Payload{}, broken }, missing); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	// Names that lead elsewhere are never opened.
	evil, _ := Read(strings.NewReader(`{"files": [{"filename": "../../etc/passwd"}, {"filename": ".."}, {"filename": "a\\b"}]}`))
	if _, err := evil.CheckFiles(func(name string) (Payload, error) { return Payload{}, fmt.Errorf("opened %q", name) }, missing); err != nil {
		t.Error(err)
	}
}
