// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"swudelta/internal/digest"
	"swudelta/internal/tooltest"
)

// TestAzureCLI compares manifests field by field with those that "az iot du update init v5" makes.
// SWUDELTA_AZ_IOT names a checkout of the public azure-iot-cli-extension.
func TestAzureCLI(t *testing.T) {
	az := os.Getenv("SWUDELTA_AZ_IOT")
	if az == "" {
		t.Skip("SWUDELTA_AZ_IOT names no checkout of azure-iot-cli-extension")
	}
	tooltest.Need(t, "python3")
	t.Chdir(t.TempDir())
	for name, content := range map[string]string{
		"v1.swu": "one", "v2.swu": "two", "update.sh": "#!/bin/sh\n", "extra.sh": "exit 0\n",
		"steps.json": `{
			"provider": "Contoso", "name": "All", "version": "1.0", "compatibility": [{"model": "a"}, {"model": "b", "contract": "2"}],
			"isDeployable": true, "description": "several steps",
			"steps": [
				{"handler": "microsoft/script:1", "files": ["update.sh", "extra.sh"], "handlerProperties": {"scriptFileName": "update.sh"}, "description": "first"},
				{"type": "reference", "updateId": {"provider": "Contoso", "name": "Settings", "version": "1.0"}},
				{"type": "inline", "handler": "microsoft/script:1", "files": ["extra.sh"], "handlerProperties": {"scriptFileName": "extra.sh", "arguments": "--now"}}
			]}`,
		"refers.json": `{
			"provider": "Contoso", "name": "Parent", "version": "1.2.3.4", "compatibility": [{"model": "a"}], "isDeployable": false,
			"steps": [{"type": "reference", "updateId": {"provider": "Contoso", "name": "Settings", "version": "1.0"}, "description": "the settings"}]}`,
	} {
		if err := os.WriteFile(name, []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	run := func(name string, args ...string) []byte {
		cmd := exec.Command(name, args...)
		var out, messages bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &messages
		if err := cmd.Run(); err != nil {
			t.Fatalf("%s %q: %v\n%s", name, args, err, messages.String())
		}
		return out.Bytes()
	}
	related := func(source, delta string) []string {
		run("mkdelta", source, "three", "v3.swu", delta)
		b, err := os.ReadFile(source)
		if err != nil {
			t.Fatal(err)
		}
		return []string{"--related-file", "path=" + delta, fmt.Sprintf(
			`properties={"microsoft.sourceFileHashAlgorithm": "sha256", "microsoft.sourceFileHash": "%s"}`, digest.Sum(b).Base64())}
	}
	first, second := related("v1.swu", "1.diff"), related("v2.swu", "2.diff")
	for _, c := range []struct {
		name     string
		ours, az []string
	}{
		{
			"one SWU with deltas",
			strings.Fields("--up Contoso --un Gateway --uv 3.0 --compat manufacturer=Contoso model=GW-100 --compat model=GW-200 --script update.sh " +
				"--description release --delta 1.diff --delta 2.diff v3.swu"),
			slices.Concat(
				strings.Fields("--up Contoso --un Gateway --uv 3.0 --compat manufacturer=Contoso model=GW-100 --compat model=GW-200 --description release --step handler=microsoft/swupdate:2"),
				[]string{`properties={"installedCriteria": "3.0", "swuFileName": "v3.swu", "scriptFileName": "update.sh"}`},
				[]string{"--file", "path=v3.swu", "downloadHandler=microsoft/delta:1"}, first, second, []string{"--file", "path=update.sh"}),
		},
		{
			"steps without a SWU",
			[]string{"--config", "steps.json"},
			slices.Concat(
				strings.Fields("--up Contoso --un All --uv 1.0 --compat model=a --compat model=b contract=2 --is-deployable true"),
				[]string{"--description", "several steps", "--step", "handler=microsoft/script:1", `properties={"scriptFileName": "update.sh"}`, "description=first"},
				strings.Fields("--file path=update.sh --file path=extra.sh"),
				strings.Fields("--step updateId.provider=Contoso updateId.name=Settings updateId.version=1.0"),
				[]string{"--step", "handler=microsoft/script:1", `properties={"scriptFileName": "extra.sh", "arguments": "--now"}`, "--file", "path=extra.sh"}),
		},
		{
			"a reference",
			[]string{"--config", "refers.json"},
			append(strings.Fields("--up Contoso --un Parent --uv 1.2.3.4 --compat model=a --is-deployable false "+
				"--step updateId.provider=Contoso updateId.name=Settings updateId.version=1.0"), "description=the settings"),
		},
	} {
		script := filepath.Join(tooltest.Root(), "cmd/adu-manifest/testdata/az/init-v5.py")
		ours := fields(t, run("adu-manifest", c.ours...))
		theirs := fields(t, run("python3", append([]string{script, az}, c.az...)...))
		for key := range theirs {
			if !reflect.DeepEqual(ours[key], theirs[key]) {
				t.Errorf("%s: %s\nours   %v\ntheirs %v", c.name, key, ours[key], theirs[key])
			}
		}
		for key, v := range ours {
			// What is not said is true, and no files.
			said := key != "isDeployable" || v != true
			if list, ok := v.([]any); ok && key == "files" && len(list) == 0 {
				said = false
			}
			if _, ok := theirs[key]; !ok && said {
				t.Errorf("%s: only ours has %s: %v", c.name, key, v)
			}
		}
	}
}

// fields returns the fields of a manifest, without what depends on the time.
func fields(t *testing.T, manifest []byte) map[string]any {
	var m map[string]any
	if err := json.Unmarshal(manifest, &m); err != nil {
		t.Fatalf("%v\n%s", err, manifest)
	}
	delete(m, "createdDateTime")
	return m
}
