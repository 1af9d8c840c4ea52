// SPDX-License-Identifier: MIT

package release

import (
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"swudelta/internal/tooltest"
)

// hosttools are the programs, of those that the scripts run, that OpenEmbedded
// lets recipes see (HOSTTOOLS).
const hosttools = "awk basename bash cat chmod cmp cp cut date diff dirname env find flock getconf grep gzip head install " +
	"ln ls mkdir mktemp mv printf readlink realpath rm sed sh sha256sum sort stat tar tee touch tr uname wc xargs zstd"

// yocto is a build folder.
type yocto struct {
	*testing.T
	dir, bitbake string
	env          []string
}

// run has bitbake build a target and returns what it printed.
func (y *yocto) run(want bool, args ...string) string {
	y.Helper()
	cmd := exec.Command(y.bitbake, args...)
	cmd.Dir, cmd.Env = y.dir, y.env
	out, err := cmd.CombinedOutput()
	if (err == nil) != want {
		for line := range strings.Lines(string(out)) {
			if _, path, ok := strings.Cut(line, "Logfile of failure stored in: "); ok {
				text, _ := os.ReadFile(strings.TrimSpace(path))
				y.Logf("%s", text)
			}
		}
		y.Fatalf("bitbake %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// tasks returns which of the class's tasks have run for a recipe since the last
// call.
func (y *yocto) tasks(recipe string) string {
	logs := filepath.Join(y.dir, "tmp/work", recipe, "temp")
	text, err := os.ReadFile(filepath.Join(logs, "log.task_order"))
	if os.IsNotExist(err) {
		return ""
	} else if err != nil {
		y.Fatal(err)
	}
	os.Remove(filepath.Join(logs, "log.task_order"))
	var names []string
	for line := range strings.Lines(string(text)) {
		for _, word := range strings.Fields(line) {
			if strings.HasPrefix(word, "do_delta_") || word == "do_deploy" {
				names = append(names, strings.TrimPrefix(word, "do_"))
			}
		}
	}
	return strings.Join(names, " ")
}

func (y *yocto) write(name, text string) {
	y.Helper()
	path := filepath.Join(y.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		y.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		y.Fatal(err)
	}
}

// do runs a program of the tests in the build folder.
func (y *yocto) do(name string, args ...string) string {
	y.Helper()
	cmd := exec.Command(name, args...)
	var stderr bytes.Buffer
	cmd.Dir, cmd.Stderr = y.dir, &stderr
	out, err := cmd.Output()
	if err != nil {
		y.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, out, &stderr)
	}
	return string(out)
}

// newYocto makes a build folder whose configuration has settings besides its own.
func newYocto(t *testing.T, settings string) *yocto {
	bitbake := os.Getenv("SWUDELTA_BITBAKE")
	if bitbake == "" {
		bitbake, _ = exec.LookPath("bitbake")
	}
	if bitbake == "" {
		t.Skip("no bitbake on PATH, and SWUDELTA_BITBAKE does not name one (it may be bin/bitbake of a checkout)")
	}
	tooltest.Need(t, "openssl")
	y := &yocto{T: t, dir: t.TempDir(), bitbake: bitbake}
	layer := filepath.Join(y.dir, "meta")
	y.env = append(os.Environ(), "BBPATH="+y.dir, "BB_SKIP_NETTESTS=1", "LC_ALL=en_US.UTF-8", "HOME="+y.dir)
	version := exec.Command(bitbake, "--version")
	version.Env = y.env
	if out, err := version.CombinedOutput(); err != nil {
		t.Skipf("%s does not run: %v\n%s", bitbake, err, out)
	}

	if err := os.CopyFS(layer, os.DirFS("testdata/yocto")); err != nil {
		t.Fatal(err)
	}
	y.do("cp", filepath.Join(tooltest.Root(), "scripts/yocto/classes-recipe/swu-delta.bbclass"), filepath.Join(layer, "classes"))
	y.do("mkdir", "-p", "hosttools", "old/1", "unpacked")
	for _, name := range strings.Fields(hosttools) {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, filepath.Join(y.dir, "hosttools", name)); err != nil {
			t.Fatal(err)
		}
	}

	swuPack, err := exec.LookPath("swu-pack")
	if err != nil {
		t.Fatal(err)
	}
	libzstd := strings.TrimSpace(y.do("get-libzstd", "1.5.0"))
	y.write("conf/bblayers.conf", fmt.Sprintf("BBPATH = \"${TOPDIR}\"\nBBFILES = \"\"\nBBLAYERS = \"%s\"\n", layer))
	y.write("conf/local.conf", fmt.Sprintf("TEST_LIBZSTD = \"%s\"\nTEST_TOOLS = \"%s\"\nTEST_SCRIPTS = \"%s\"\nTEST_SWU = \"${TOPDIR}/new.swu\"\nTEST_SOURCES = \"${TOPDIR}/old\"\n%s",
		libzstd, filepath.Dir(swuPack), filepath.Join(tooltest.Root(), "scripts"), settings))
	y.do("openssl", "genrsa", "-out", "key.pem", "2048")
	y.do("openssl", "rsa", "-in", "key.pem", "-pubout", "-out", "pub.pem")
	y.do("mkswu", "new.swu", "1", "2", "3", "4")
	y.do("mkswu", "old/1/image.swu", "1", "2", "3", "5")
	y.do("mkswu", "old/with space.swu", "21", "22", "23", "24")
	y.do("mkswu", filepath.Join(layer, "recipes/files/fetched.swu"), "1", "2", "5", "6")
	return y
}

// TestYocto runs the class as the releases up to 5.0 (scarthgap) see
// them, which unpack into WORKDIR, and as those from 5.1 on, which have UNPACKDIR and
// give it a value with the weakest operator.
func TestYocto(t *testing.T) {
	for name, settings := range map[string]string{
		"scarthgap": "",
		"5.1":       "UNPACKDIR ??= \"${WORKDIR}/sources\"\n",
	} {
		t.Run(name, func(t *testing.T) { testYocto(newYocto(t, settings)) })
	}
}

func testYocto(y *yocto) {
	out := y.run(true, "update-image")
	if got, want := y.tasks("update-image"), "delta_recompress delta_generate delta_verify delta_manifest deploy"; got != want {
		y.Fatalf("got tasks %q, want %q\n%s", got, want, out)
	}

	const deployed = "tmp/deploy/images/qemu/update-image-3.0"
	full := deployed + "/update-image-3.0-recompressed.swu"
	for source, name := range map[string]string{"old/1/image.swu": "v1", "meta/recipes/files/fetched.swu": "fetched"} {
		y.do("bsapply", "-o", "applied.swu", source, deployed+"/"+name+"-to-update-image-3.0.diff")
		y.do("cmp", "applied.swu", full)
	}
	if summary := y.do("cut", "-f", "1,8,9", deployed+"/summary.tsv"); summary != "source\tstatus\tmanifest\nwith space\tlarger\tno\nv1\tmade\tyes\nfetched\tmade\tyes\n" {
		y.Errorf("got summary %q", summary)
	}
	manifest := deployed + "/Contoso.Gateway.3.0.importmanifest.json"
	y.do("adu-manifest", "--check", "--files", deployed, manifest)
	text := y.do("cat", manifest)
	for _, want := range []string{`"model": "GW 2"`, `"arguments": "--mode ab"`, `"scriptFileName": "install.sh"`, `"createdDateTime": "2023-11-14T22:13:20Z"`} {
		if !strings.Contains(text, want) {
			y.Errorf("the manifest has no %s:\n%s", want, text)
		}
	}
	y.do("swu-unpack", "-C", "unpacked", full)
	y.do("swu-sign", "--verify", "unpacked/sw-description.sig", "--cert", "pub.pem", "unpacked/sw-description")

	// Sources elsewhere, other memory: nothing to do.
	y.do("mv", "old", "elsewhere")
	y.do("sed", "-i", "s,/old\",/elsewhere\",", "conf/local.conf")
	y.do("sed", "-i", "$a SWU_DELTA_MEMORY = \"512M\"", "conf/local.conf")
	y.run(true, "update-image")
	if got := y.tasks("update-image"); got != "" {
		y.Errorf("places of sources and memory changed, and these tasks ran: %s", got)
	}

	// Another source of the same name: all but recompression. Another key: that too.
	y.do("mkswu", "elsewhere/1/image.swu", "1", "2", "7", "5")
	y.run(true, "update-image")
	if got, want := y.tasks("update-image"), "delta_generate delta_verify delta_manifest deploy"; got != want {
		y.Errorf("a source changed: got tasks %q, want %q", got, want)
	}
	y.do("bsapply", "-o", "applied.swu", "elsewhere/1/image.swu", deployed+"/v1-to-update-image-3.0.diff")
	y.do("cmp", "applied.swu", full)
	y.do("openssl", "genrsa", "-out", "key.pem", "2048")
	y.run(true, "update-image")
	if got, want := y.tasks("update-image"), "delta_recompress delta_generate delta_verify delta_manifest deploy"; got != want {
		y.Errorf("the key changed: got tasks %q, want %q", got, want)
	}

	// Devices of two kinds: a delta for each. All of ours: the update is what was built.
	y.write("devices.tsv", "v1\t10\nfetched\t5\nwith space\t1\n") // four deltas are all that an update has
	y.do("sed", "-i", "$a SWU_DELTA_DEVICES = \"${TOPDIR}/devices.tsv\"", "conf/local.conf")
	y.do("sed", "-i", "$a SWU_DELTA_DEVICE = \"native 1.0\"", "conf/local.conf")
	y.run(true, "update-image")
	for _, kind := range []string{"1.0", "native"} {
		y.do("bsapply", "-o", "applied.swu", "elsewhere/1/image.swu", deployed+"/v1-to-update-image-3.0."+kind+".diff")
		y.do("cmp", "applied.swu", full)
	}
	y.do("sed", "-i", "$s/native 1.0/native/", "conf/local.conf")
	y.run(true, "update-image")
	y.do("cmp", "new.swu", full)
	y.do("bsapply", "-o", "applied.swu", "elsewhere/1/image.swu", deployed+"/v1-to-update-image-3.0.diff")
	y.do("cmp", "applied.swu", full)

	y.do("sed", "-i", "$s/native/1.0 3.0/", "conf/local.conf")
	if out := y.run(false, "update-image"); !strings.Contains(out, "an update has one target") {
		y.Errorf("two kinds that want another target each: got %s", out)
	}
	if out := y.run(false, "unfinished-image"); !strings.Contains(out, "SWU_DELTA_PROVIDER is not set") {
		y.Errorf("an unfinished recipe: got %s", out)
	}
}

const recipes = "scripts/yocto/recipes-support/swudelta/"

// TestLicense holds the checksum in the recipes against the licence.
func TestLicense(t *testing.T) {
	license, err := os.ReadFile(filepath.Join(tooltest.Root(), "LICENSE"))
	if err != nil {
		t.Fatal(err)
	}
	recipe, err := os.ReadFile(filepath.Join(tooltest.Root(), recipes+"swudelta.inc"))
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("md5=%x\"", md5.Sum(license)); !strings.Contains(string(recipe), want) {
		t.Errorf("LIC_FILES_CHKSUM is not %s", want)
	}
}

var update = flag.Bool("update", false, "write "+recipes+"swudelta-go-mods.inc anew")

// TestYoctoModules holds the modules that the recipes fetch against go.sum and against
// those that the tools and the library are made of, in both directions.
func TestYoctoModules(t *testing.T) {
	want := goModules(t)
	path := filepath.Join(tooltest.Root(), recipes+"swudelta-go-mods.inc")
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not what go.sum says: go test ./test/release -run TestYoctoModules -update\ngot\n%s\nwant\n%s", path, got, want)
	}
}

// goModules returns the text of the file.
func goModules(t *testing.T) string {
	t.Helper()
	run := func(args ...string) string {
		cmd := exec.Command("go", args...)
		cmd.Dir = tooltest.Root()
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("go %q: %v", args, err)
		}
		return string(out)
	}
	modules := strings.Fields(run("list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}}@{{.Version}}{{end}}{{end}}", "./cmd/...", "./lib/..."))
	slices.Sort(modules)
	cache := strings.TrimSpace(run("env", "GOMODCACHE"))
	var uris, texts strings.Builder
	licenses := []string{"MIT"} // of the project itself
	for d := json.NewDecoder(strings.NewReader(run(append([]string{"mod", "download", "-json"}, slices.Compact(modules)...)...))); d.More(); {
		var m struct{ Path, Version, Zip, Dir string }
		if err := d.Decode(&m); err != nil {
			t.Fatal(err)
		}
		zip, err := os.ReadFile(m.Zip)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&uris, "    gomod://%s;version=%s;sha256sum=%x \\\n", m.Path, m.Version, sha256.Sum256(zip))
		files, err := filepath.Glob(filepath.Join(m.Dir, "LICENSE*"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s has no licence: %v", m.Path, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&texts, "    file://pkg/mod/%s;md5=%x \\\n", strings.TrimPrefix(file, cache+"/"), md5.Sum(text))
			licenses = append(licenses, licensesIn(string(text))...)
		}
	}
	slices.Sort(licenses)
	return fmt.Sprintf(`# Made by "go test ./test/release -run TestYoctoModules -update" from go.sum and the
# packages that the tools and the library are made of.

SRC_URI += "\
%s"

LICENSE = "%s"
LIC_FILES_CHKSUM += "\
%s"
`, &uris, strings.Join(slices.Compact(licenses), " & "), &texts)
}

// licensesIn returns the SPDX identifiers of those whose words are in a text.
func licensesIn(text string) (found []string) {
	text = strings.Join(strings.Fields(text), " ")
	for _, l := range []struct{ id, words string }{
		{"Apache-2.0", "Apache License Version 2.0, January 2004"},
		{"MIT", "Permission is hereby granted, free of charge"},
		{"BSD-3-Clause", "Neither the name of"},
	} {
		if strings.Contains(text, l.words) {
			found = append(found, l.id)
		}
	}
	if len(found) == 0 && strings.Contains(text, "Redistributions in binary form must reproduce") {
		found = []string{"BSD-2-Clause"}
	}
	return found
}
