// SPDX-License-Identifier: MIT

package manifest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// schemas compiles the public schemas (SchemaStore), by manifest version.
func schemas(t testing.TB) map[string]*jsonschema.Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	const site = "https://json.schemastore.org/"
	files, err := filepath.Glob("testdata/schema/azure-*.json")
	if err != nil || len(files) != 4 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.AddResource(site+filepath.Base(file), doc); err != nil {
			t.Fatal(err)
		}
	}
	m := map[string]*jsonschema.Schema{}
	for _, v := range []string{version4, version5} {
		m[v] = c.MustCompile(site + "azure-deviceupdate-import-manifest-" + v + ".json")
	}
	return m
}

// validate asks the public schema of the version that b says it has.
func validate(t testing.TB, all map[string]*jsonschema.Schema, b []byte) error {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	schema := all[version5]
	if o, ok := doc.(map[string]any); ok && o["manifestVersion"] == version4 {
		schema = all[version4]
	}
	return schema.Validate(doc)
}

// samples are manifests to start from: SchemaStore's own, with a seed, a
// reference step, and everything that the schema has a word for.
func samples(t testing.TB) map[string][]byte {
	t.Helper()
	files, _ := filepath.Glob("testdata/schema/sample-*.json")
	good, _ := filepath.Glob("testdata/good/*.json")
	files = append(files, good...)
	m := map[string][]byte{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		m[filepath.Base(f)] = b
	}
	if len(m) < 7 {
		t.Fatalf("got %d samples", len(m))
	}
	return m
}

// TestSchema breaks good manifests at random, in one to three places, and wants
// Check to find a fault of the schema exactly where the schema does.
func TestSchema(t *testing.T) {
	all := schemas(t)
	starts := samples(t)
	names := make([]string, 0, len(starts))
	for name, b := range starts {
		if err := validate(t, all, b); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		names = append(names, name)
	}
	slices.Sort(names)
	r := rand.New(rand.NewPCG(1, 2))
	valid, invalid := 0, 0
	for i := range 6000 {
		name := names[i%len(names)]
		root, err := parseJSON(starts[name])
		if err != nil {
			t.Fatal(err)
		}
		for range 1 + r.IntN(3) {
			mutate(r, root)
		}
		b := root.json()
		want := validate(t, all, b)
		d, err := Read(bytes.NewReader(b))
		if err != nil {
			t.Fatalf("%v: %s", err, b)
		}
		findings := d.Check()
		got := slices.ContainsFunc(findings, func(f Finding) bool { return f.Schema })
		if got != (want != nil) {
			t.Fatalf("%s, broken: got %v, the schema says %v: %s", name, findings, want, b)
		}
		if got {
			invalid++
		} else {
			valid++
		}
	}
	if valid < 600 || invalid < 600 {
		t.Errorf("%d valid and %d invalid manifests: not enough of both", valid, invalid)
	}
}

// mutate changes one value somewhere below n.
func mutate(r *rand.Rand, n *node) {
	var spots []func()
	var walk func(n *node)
	walk = func(n *node) {
		for i := range n.members {
			spots = append(spots,
				func() { n.members = slices.Delete(n.members, i, i+1) },
				func() { n.members[i].value = other(r, n.members[i].value) },
				func() {
					if key := pick(r, n.members[i].key+"x", strings.ToUpper(n.members[i].key), ""); n.get(key) == nil {
						n.members[i].key = key
					}
				},
			)
			walk(n.members[i].value)
		}
		for i := range n.items {
			spots = append(spots,
				func() { n.items = slices.Delete(n.items, i, i+1) },
				func() { n.items[i] = other(r, n.items[i]) },
				func() { n.items = append(n.items, slices.Repeat(n.items[i:i+1], 1+r.IntN(11))...) },
			)
			walk(n.items[i])
		}
		if n.kind == object {
			spots = append(spots, func() {
				key := pick(r, "type", "extra", "properties", "relatedFiles", "downloadHandler", "description", "isDeployable",
					"$schema", "sha512", "hashes", "handlerProperties", "a", "b", "c")
				if n.get(key) == nil {
					n.members = append(n.members, member{key, other(r, &node{kind: null})})
				}
			})
		}
	}
	walk(n)
	if len(spots) > 0 {
		spots[r.IntN(len(spots))]()
	}
}

func pick(r *rand.Rand, list ...string) string { return list[r.IntN(len(list))] }

// other returns a value in place of n, near what the rules tell apart.
func other(r *rand.Rand, n *node) *node {
	switch r.IntN(4) {
	case 0:
		return &node{kind: text, text: pick(r, "", "a", "inline", "reference", "5.0", "4.0", "1.0", "1", "1.2.3.4.5", "1.", "x y", "ü",
			"a/b:1", "a/b:123456", "a/b", "aa /b:1", "a/\u00a0b:1", strings.Repeat("a", 64), strings.Repeat("a", 65), strings.Repeat("ü", 64), strings.Repeat("b", 255),
			strings.Repeat("b", 256), strings.Repeat("d", 512), strings.Repeat("d", 513), "a/"+strings.Repeat("h", 28)+":1", "a/"+strings.Repeat("h", 29)+":1",
			"1.0\n", "\n1.0", "2147483648.0")}
	case 1:
		return &node{kind: number, text: pick(r, "0", "1", "-1", "1.5", "2147483648", "2147483649", "1e3", "0.5", "1e400", "4294967296", "2.147483648e9", "-0")}
	case 2:
		switch r.IntN(4) {
		case 0:
			return &node{kind: null}
		case 1:
			return &node{kind: boolean, text: "true"}
		case 2:
			return &node{kind: array}
		default:
			return &node{kind: object}
		}
	default: // another text of the same kind
		c := *n
		switch n.kind {
		case text:
			c.text = n.text + pick(r, "x", " ", "/", ":1")
		case number:
			c.text = pick(r, "12", "7")
		}
		return &c
	}
}

// TestSchemaSamples lists what Check says beyond the schema of the schema's own
// samples, so that a change of mind shows.
func TestSchemaSamples(t *testing.T) {
	want := map[string][]string{
		"sample-5.0-relatedFiles-importManifest.json": {
			`error: .instructions.steps[0].handlerProperties: "installedCriteria" is missing (there is "InstalledCriteria")`},
		"sample-4.0-inlinesteps-importmanifest.json": {
			`error: .instructions.steps[0].handlerProperties: "installedCriteria" is missing`},
	}
	const old = `handler: agents from 1.1 on do not have microsoft/swupdate:1, and refuse the update; want microsoft/swupdate:2`
	for name, step := range map[string]string{
		"sample-5.0-relatedFiles-importManifest.json": "0", "sample-4.0-inlinesteps-importmanifest.json": "0", "seed.json": "2",
	} {
		want[name] = append([]string{"warning: .instructions.steps[" + step + "]." + old}, want[name]...)
	}
	for name, b := range samples(t) {
		d, err := Read(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, f := range d.Check() {
			got = append(got, f.String())
		}
		if fmt.Sprint(got) != fmt.Sprint(want[name]) {
			t.Errorf("%s: got %q, want %q", name, got, want[name])
		}
	}
}

func TestObjectOrder(t *testing.T) {
	const in = `{"z":1.50,"a":{"y":null,"b":[true,false,"<&>"]},"m":"\u00e4\n"}`
	var o Object
	if err := json.Unmarshal([]byte(in), &o); err != nil {
		t.Fatal(err)
	}
	out, err := o.MarshalJSON()
	if err != nil || string(out) != strings.ReplaceAll(in, `\u00e4`, "ä") {
		t.Errorf("got %s, %v", out, err)
	}
	if err := json.Unmarshal([]byte(`{"a":1,"a":2}`), &o); err == nil {
		t.Error("a key that occurs twice was taken")
	}
}
