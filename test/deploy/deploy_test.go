// SPDX-License-Identifier: MIT

// Package deploy tests adu-deploy with the tools as they are built and the real
// swupdate.
package deploy

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"log"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"swudelta/internal/digest"
	"swudelta/internal/tooltest"
)

// The tools and one update with two deltas, made once: from 1.0 and 2.0 to 3.0.
var tools, updates string

func TestMain(m *testing.M) {
	flag.Parse()
	flag.Set("test.parallel", "8") // swupdate sleeps most of its time
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "deploy")
		if err != nil {
			log.Fatal(err)
		}
		defer os.RemoveAll(dir)
		tools, updates = filepath.Join(dir, "tools"), filepath.Join(dir, "updates")
		build := exec.Command("go", "build", "-trimpath", "-o", tools+"/", "./cmd/adu-deploy", "./cmd/adu-manifest", "./cmd/bsapply", "./cmd/bsdelta", "./cmd/sdc-path", "./cmd/swu-pack", "./cmd/swu-sign")
		build.Dir, build.Stderr = tooltest.Root(), os.Stderr
		if err := build.Run(); err != nil {
			log.Fatalf("build the tools: %v", err)
		}
		return m.Run()
	}())
}

// library stands for a stock library of generation 3.0, as adu-probe gets to know it: it
// reads what has a zero or a two as the last byte of its big endian version.
const library = `#include <stdio.h>
void *adu_diff_apply_create_session(void) { static int session; return &session; }
void adu_diff_apply_close_session(void *session) { (void)session; }
int adu_diff_apply(void *session, const char *source, const char *diff, const char *target)
{
	unsigned char b[20] = {0};
	FILE *f = fopen(diff, "rb");
	(void)session, (void)source;
	fread(b, 1, 20, f);
	fclose(f);
	if (!(b[4] == 0 && (b[11] == 0 && b[19] == 18 || b[11] == 2)))
		return 1;
	f = fopen(target, "wb");
	fputs("hello brave world\n", f);
	fclose(f);
	return 0;
}
`

// makeUpdates writes into updates what all tests start from.
func makeUpdates(t *testing.T) {
	t.Helper()
	tooltest.Need(t, "swupdate", "openssl", "gcc")
	if _, err := os.Stat(updates); err == nil {
		return
	}
	if err := os.Mkdir(updates, 0o777); err != nil {
		t.Fatal(err)
	}
	run := func(stdin, name string, args ...string) []byte {
		cmd := exec.Command(name, args...)
		cmd.Dir, cmd.Stdin = updates, strings.NewReader(stdin)
		cmd.Env = append(os.Environ(), "SOURCE_DATE_EPOCH=1700000000")
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, &stderr)
		}
		return out
	}
	tool := func(name string) string { return filepath.Join(tools, name) }
	run("", "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "cert.pem", "-days", "2", "-subj", "/CN=test", "-addext", "extendedKeyUsage=emailProtection")
	run("", "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "other.key", "-out", "other.pem", "-days", "2", "-subj", "/CN=other", "-addext", "extendedKeyUsage=emailProtection")
	// Smaller SWUs meet a race in the swupdate of 2022.
	image := make([]byte, 1<<20+4096)
	rand.NewChaCha8([32]byte{}).Read(image)
	for _, version := range []string{"1.0", "2.0", "3.0"} {
		copy(image[len(image)/2:], "this is version "+version)
		write(t, filepath.Join(updates, "rootfs.img"), image)
		write(t, filepath.Join(updates, "sw-description"), fmt.Appendf(nil, `software = {
	version = %q;
	hardware-compatibility = [ "1.0" ];
	stable = { copy1 = { images: (
		{ filename = "rootfs.img"; type = "raw"; device = "partition"; sha256 = %q; }
	); }; };
}
`, version, digest.Sum(image)))
		run("", tool("swu-sign"), "--scheme", "cms", "--key", "key.pem", "--cert", "cert.pem", "-o", "sw-description.sig", "sw-description")
		run("sw-description\nsw-description.sig\nrootfs.img\n", tool("swu-pack"), "-o", version+".swu")
	}
	for _, version := range []string{"1.0", "2.0"} {
		run("", tool("bsdelta"), "-o", version+".diff", version+".swu", "3.0.swu")
	}
	run("", tool("bsdelta"), "--device", "native", "-o", "1.0.native.diff", "1.0.swu", "3.0.swu")
	run("", tool("bsdelta"), "--device", "3.0", "-o", "1.0.3.0.diff", "1.0.swu", "3.0.swu")
	write(t, filepath.Join(updates, "install.sh"), []byte("#!/bin/sh\n"))
	write(t, filepath.Join(tools, "library.c"), []byte(library))
	run("", "gcc", "-shared", "-fPIC", "-o", filepath.Join(tools, "libadudiffapi.so"), filepath.Join(tools, "library.c"))
	description := []string{"--provider", "Contoso.Devices", "--name", "Gateway", "--version", "3.0", "--compat", "manufacturer=Contoso,model=GW"}
	manifest := func(name string, args ...string) {
		write(t, filepath.Join(updates, name), run("", tool("adu-manifest"), append(description, args...)...))
	}
	manifest("update.json", "--script", "install.sh", "--delta", "1.0.diff", "--delta", "2.0.diff", "3.0.swu")
	manifest("version1.json", "--handler", "microsoft/swupdate:1", "--delta", "1.0.diff", "--delta", "2.0.diff", "3.0.swu")
	manifest("both.json", "--script", "install.sh", "--delta", "1.0.native.diff", "--delta", "1.0.diff", "3.0.swu")
	manifest("all.json", "--script", "install.sh", "--delta", "1.0.native.diff", "--delta", "1.0.diff", "--delta", "1.0.3.0.diff", "3.0.swu")
	manifest("seed.json", "--script", "install.sh", "--seed", "3.0.swu")
	manifest("plain.json", "--script", "install.sh", "3.0.swu")
}

// device is a machine with a cache, a partition that holds old content, and the
// files of an update within reach.
type device struct {
	dir   string // the partition is in it
	files string // what can be fetched
	cache string
	bin   string // what shall take the place of programs
	tmp   string
}

func newDevice(t *testing.T) *device {
	t.Helper()
	dir, err := os.MkdirTemp("", "device") // t.TempDir is too long for sockets in it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	d := &device{dir, filepath.Join(dir, "files"), filepath.Join(dir, "cache"), filepath.Join(dir, "bin"), filepath.Join(dir, "tmp")}
	for _, folder := range []string{d.files, d.cache, d.bin, d.tmp} {
		if err := os.Mkdir(folder, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(dir, "partition"), []byte("old"))
	for _, name := range []string{"1.0.diff", "2.0.diff", "1.0.native.diff", "1.0.3.0.diff", "3.0.swu", "install.sh"} {
		write(t, filepath.Join(d.files, name), read(t, filepath.Join(updates, name)))
	}
	return d
}

// program puts an executable where it is found first.
func (d *device) program(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join(d.bin, name)
	write(t, path, []byte(text))
	if err := os.Chmod(path, 0o755); err != nil {
		t.Fatal(err)
	}
}

// cached returns the place of a version in the cache.
func (d *device) cached(t *testing.T, version string) string {
	return filepath.Join(d.cache, "Contoso_Devices", place(read(t, filepath.Join(updates, version+".swu"))))
}

// place is the name of a file with that content in the cache.
func place(content []byte) string {
	return "sha256-" + strings.NewReplacer("+", "_2B", "/", "_2F", "=", "_3D").Replace(digest.Sum(content).Base64())
}

// fill puts content at the place of a version in the cache.
func (d *device) fill(t *testing.T, version string, content []byte) {
	t.Helper()
	path := d.cached(t, version)
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	write(t, path, content)
}

// run starts adu-deploy and returns its exit status and what it printed.
func (d *device) run(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	cmd := exec.Command(filepath.Join(tools, "adu-deploy"), args...)
	cmd.Dir = d.dir
	cmd.Env = append(os.Environ(), "TMPDIR="+d.tmp, "PATH="+d.bin+":"+tools+":"+os.Getenv("PATH"), "XDG_CACHE_HOME="+filepath.Join(d.dir, "none"))
	var out, errors bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errors
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = time.Second // for children of swupdate that hold on to the output
	timer := time.AfterFunc(time.Minute, func() { syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	defer timer.Stop()
	cmd.Run()
	return cmd.ProcessState.ExitCode(), out.String(), errors.String()
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o666); err != nil {
		t.Fatal(err)
	}
}

// object is one of a manifest.
type object = map[string]any

// swu is the manifest's first file that is an SWU.
func swu(m object) object {
	for _, f := range m["files"].([]any) {
		if strings.HasSuffix(f.(object)["filename"].(string), ".swu") {
			return f.(object)
		}
	}
	return nil
}

// delta is one of the deltas in a manifest.
func delta(m object, i int) object { return swu(m)["relatedFiles"].([]any)[i].(object) }

func step(m object) object {
	return m["instructions"].(object)["steps"].([]any)[0].(object)
}

const otherHash = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

// TestDeploy goes through the outcomes of a deployment. Unless said otherwise, the
// device has version 1.0 in its cache and gets update.json, which has deltas
// from 1.0 and from 2.0.
func TestDeploy(t *testing.T) {
	makeUpdates(t)
	edit := func(f func(m object)) func(*testing.T, *device, object) {
		return func(_ *testing.T, _ *device, m object) { f(m) }
	}
	none := func(*testing.T, *device, object) {}
	remove := func(names ...string) func(*testing.T, *device, object) {
		return func(t *testing.T, d *device, _ object) {
			for _, name := range names {
				if err := os.Remove(filepath.Join(d.files, name)); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	damage := func(name string) func(*testing.T, *device, object) {
		return func(t *testing.T, d *device, _ object) {
			b := read(t, filepath.Join(d.files, name))
			b[len(b)/2] ^= 1
			write(t, filepath.Join(d.files, name), b)
		}
	}
	processor := func(text string) func(*testing.T, *device, object) {
		return func(t *testing.T, d *device, _ object) { d.program(t, "processor", text) }
	}
	properties := func(m object, i int) object { return delta(m, i)["properties"].(object) }
	const agent10, agent13 = "--agent=1.0", "--agent=1.3.0"
	script := []string{"--processor", "bin/processor"}
	for _, c := range []struct {
		name     string
		manifest string // default update.json
		cache    string // versions in the cache before
		prepare  func(*testing.T, *device, object)
		args     []string
		outcome  string
		codes    string // extendedResultCodes
		after    string // versions in the cache after; with "+": and the script
	}{
		// The three outcomes that the documentation knows.
		{"delta installed", "", "1.0", none, nil, "delta", "00000000", "1.0 +3.0"},
		{"delta failed, full image installed", "", "", none, nil, "full image", "00000000,90800008,90800008", "+3.0"},
		{"both failed, old version kept", "", "", damage("3.0.swu"), nil, "failed", "00100003,90800008,90800008", ""},

		{"second delta", "", "2.0", none, nil, "delta", "00000000,90800008", "2.0 +3.0"},
		{"first of two that fit", "", "1.0 2.0", remove("2.0.diff"), nil, "delta", "00000000", "1.0 2.0 +3.0"},
		{"delta without the full image", "", "1.0", remove("3.0.swu"), nil, "delta", "00000000", "1.0 +3.0"},

		// A fleet of both kinds of devices: the native delta comes first, and stock
		// libraries refuse it at its magic number.
		{"native delta", "both.json", "1.0", remove("1.0.diff", "3.0.swu"), nil, "delta", "00000000", "1.0 +3.0"},
		{"native delta, stock library", "both.json", "1.0", remove("3.0.swu"), []string{"--device", "1.0"}, "delta", "00000000,90A07530", "1.0 +3.0"},
		{"native delta, stock library of 3.0", "all.json", "1.0", remove("3.0.swu"), []string{"--device", "3.0"}, "delta", "00000000,90A07530,90A07533", "1.0 +3.0"},
		{"native delta, stock library of 2.1", "all.json", "1.0", none, []string{"--device", "2.1"}, "full image", "00000000,90A07530,90A07533,90A07531", "1.0 +3.0"},
		{"native delta, a stock library's file", "all.json", "1.0", remove("3.0.swu"), []string{"--device", filepath.Join(tools, "libadudiffapi.so")}, "delta", "00000000,90A07530,90A07533", "1.0 +3.0"},
		{"delta for 3.0, stock library of 1.0", "all.json", "1.0", remove("1.0.diff", "1.0.native.diff"), []string{"--device", "1.0"}, "full image", "00000000,D0190194,D0190194,90A07531", "1.0 +3.0"},

		// What swupdate refuses stays out of the cache.
		{"unknown signer", "", "1.0", func(t *testing.T, d *device, _ object) {
			write(t, filepath.Join(d.dir, "cert.pem"), read(t, filepath.Join(updates, "other.pem")))
		}, nil, "failed", "30101001", "1.0"},
		{"swupdate dies", "", "1.0", func(t *testing.T, d *device, _ object) {
			d.program(t, "swupdate", "#!/bin/sh\nkill -ABRT $$\n")
		}, nil, "failed", "30101086", "1.0"},
		{"swupdate is one of 2022", "", "1.0", func(t *testing.T, d *device, _ object) {
			// It installs and ends with status 1, and leaves a child behind.
			d.program(t, "swupdate", "#!/bin/sh\nsleep 1000 &\n/usr/bin/swupdate \"$@\"\nexit 1\n")
		}, nil, "delta", "00000000", "1.0 +3.0"},

		// Before a delta is looked at.
		{"already in the sandbox", "", "1.0", func(t *testing.T, d *device, _ object) {
			sandbox(t, d, "3.0.swu", read(t, filepath.Join(updates, "3.0.swu")))
		}, []string{"--sandbox", "sandbox"}, "delta", "00000000", "1.0 +3.0"},
		{"something else in the sandbox", "", "1.0", func(t *testing.T, d *device, _ object) {
			sandbox(t, d, "3.0.swu", []byte("something else"))
		}, []string{"--sandbox", "sandbox"}, "delta", "00000000", "1.0 +3.0"},
		{"no download handler", "plain.json", "1.0", none, nil, "full image", "00000000", "1.0"},
		{"handler not registered", "", "1.0", edit(func(m object) { swu(m)["downloadHandler"] = object{"id": "contoso/delta:1"} }), nil, "full image", "00000000,90000001", "1.0"},
		{"handler of another generation", "", "1.0", none, []string{"--handler-error", "90000002"}, "full image", "00000000,90000002", "1.0 +3.0"},
		{"handler lacks a function", "", "1.0", none, []string{"--handler-error", "9010000c"}, "full image", "00000000,9010000C", "1.0 +3.0"},
		{"library without session", "", "1.0", none, []string{"--handler-error", "90800007"}, "full image", "00000000,90800007", "1.0 +3.0"},
		{"seed, agent up to 1.2", "seed.json", "", none, nil, "full image", "00000000,90800001", "+3.0"},
		{"seed, agent from 1.3", "seed.json", "", none, []string{agent13}, "full image", "00000000", "+3.0"},

		// What the agent's parser refuses takes the step with it.
		{"list of deltas is empty", "", "1.0", edit(func(m object) { swu(m)["relatedFiles"] = []any{} }), nil, "failed", "30100108", "1.0"},
		{"delta without hashes", "", "1.0", edit(func(m object) { clear(delta(m, 1)["hashes"].(object)) }), nil, "failed", "30100108", "1.0"},
		{"delta's hash is a number", "", "1.0", edit(func(m object) { delta(m, 1)["hashes"] = object{"sha256": 7} }), nil, "failed", "30100108", "1.0"},
		{"delta without properties key", "", "1.0", edit(func(m object) { m = delta(m, 1); m["properties"] = nil }), nil, "failed", "30100108", "1.0"},
		{"delta with empty properties", "", "1.0", edit(func(m object) { clear(properties(m, 1)) }), nil, "failed", "30100108", "1.0"},
		{"source hash is a number", "", "1.0", edit(func(m object) { properties(m, 1)["microsoft.sourceFileHash"] = 7 }), nil, "failed", "30100108", "1.0"},
		{"download handler without id", "", "1.0", edit(func(m object) { swu(m)["downloadHandler"] = object{} }), nil, "failed", "30100108", "1.0"},
		{"related files without handler are not read", "", "1.0", edit(func(m object) { delete(swu(m), "downloadHandler"); swu(m)["relatedFiles"] = []any{} }), nil, "full image", "00000000", "1.0"},
		{"keys are compared letter for letter", "", "1.0", edit(func(m object) { m = swu(m); m["RelatedFiles"] = m["relatedFiles"]; delete(m, "relatedFiles") }), nil, "full image", "00000000,90800001", "1.0 +3.0"},

		// A delta fails.
		{"no source hash", "", "2.0", edit(func(m object) { delete(properties(m, 0), "microsoft.sourceFileHash") }), nil, "delta", "00000000,90800003", "2.0 +3.0"},
		{"no source algorithm", "", "2.0", edit(func(m object) { properties(m, 0)["microsoft.sourceFileHashAlgorithm"] = "" }), nil, "delta", "00000000,90800003", "2.0 +3.0"},
		{"source hash in hexadecimal", "", "1.0", edit(func(m object) {
			properties(m, 0)["microsoft.sourceFileHash"] = digest.Sum(read(t, filepath.Join(updates, "1.0.swu"))).Hex()
		}), nil, "full image", "00000000,90800008,90800008", "1.0 +3.0"},
		{"algorithm in upper case", "", "1.0", edit(func(m object) { properties(m, 0)["microsoft.sourceFileHashAlgorithm"] = "SHA256" }), nil, "full image", "00000000,90800008,90800008", "1.0 +3.0"},
		{"other provider", "", "1.0", edit(func(m object) { m["updateId"].(object)["provider"] = "Contoso" }), nil, "full image", "00000000,90800008,90800008", "1.0 +Contoso/3.0"},
		{"source that its owner may not read", "", "1.0", func(t *testing.T, d *device, _ object) {
			if err := os.Chmod(d.cached(t, "1.0"), 0o044); err != nil {
				t.Fatal(err)
			}
		}, nil, "full image", "00000000,90800008,90800008", "1.0 +3.0"},
		{"delta cannot be had", "", "1.0 2.0", remove("1.0.diff"), nil, "delta", "00000000,D0190194", "1.0 2.0 +3.0"},
		{"delta cannot be had, with curl", "", "1.0 2.0", remove("1.0.diff"), []string{agent13}, "delta", "00000000,00100003", "1.0 2.0 +3.0"},
		{"delta damaged on the way", "", "1.0 2.0", damage("1.0.diff"), nil, "delta", "00000000,00100003", "1.0 2.0 +3.0"},
		{"delta's hash of no known kind", "", "1.0 2.0", edit(func(m object) { delta(m, 0)["hashes"] = object{"md5": otherHash} }), nil, "delta", "00000000,40000008", "1.0 2.0 +3.0"},
		{"delta's name leaves the sandbox", "", "1.0 2.0", edit(func(m object) { delta(m, 0)["filename"] = "../1.0.diff" }), nil, "delta", "00000000,90800004", "1.0 2.0 +3.0"},
		{"something else for the delta in the sandbox", "", "1.0 2.0", func(t *testing.T, d *device, _ object) {
			sandbox(t, d, "1.0.diff", []byte("something else"))
		}, []string{"--sandbox", "sandbox"}, "delta", "00000000", "1.0 2.0 +3.0"},
		{"no delta processor", "", "1.0", processor("#!/nonexistent\n"), script, "full image", "00000000,90800005,90800008", "1.0 +3.0"},
		{"delta processor crashes", "", "1.0", processor("#!/bin/sh\nkill -SEGV $$\n"), script, "full image", "00000000,90800006,90800008", "1.0 +3.0"},
		{"delta processor with a number", "", "1.0", processor("#!/bin/sh\necho 'x: bad (error 30009)' >&2\nexit 3\n"), script, "full image", "00000000,90A07539,90800008", "1.0 +3.0"},
		{"delta processor without a number", "", "1.0", processor("#!/bin/sh\necho no space >&2\nexit 1\n"), script, "full image", "00000000,90A00001,90800008", "1.0 +3.0"},
		{"bsapply is the delta processor", "", "1.0", processor("#!/bin/sh\nexec bsapply -q -o \"$3\" \"$1\" \"$2\"\n"), script, "delta", "00000000", "1.0 +3.0"},
		{"wrong file in the cache", "", "2.0", func(t *testing.T, d *device, _ object) {
			d.fill(t, "1.0", read(t, filepath.Join(updates, "2.0.swu")))
		}, nil, "delta", "00000000,90A07539", "2.0 1.0! +3.0"},
		{"cut file in the cache", "", "2.0", func(t *testing.T, d *device, _ object) {
			d.fill(t, "1.0", nil)
		}, nil, "delta", "00000000,90A0797C", "2.0 1.0! +3.0"},
		{"delta is no delta", "", "1.0", func(t *testing.T, d *device, m object) {
			write(t, filepath.Join(d.files, "1.0.diff"), []byte("no delta"))
			delta(m, 0)["hashes"] = object{"sha256": digest.Sum([]byte("no delta")).Base64()}
		}, nil, "full image", "00000000,90A07530,90800008", "1.0 +3.0"},
		{"no libzstd", "", "1.0", func(t *testing.T, d *device, m object) { zstdDelta(t, d, m) }, nil, "full image", "00000000,90A07BD6,90800008", "1.0! +3.0"},

		// After it.
		{"delta makes another file", "", "1.0", processor("#!/bin/sh\necho wrong >\"$3\"\n"), script, "failed", "4000000C", "1.0"},
		{"full image cannot be had", "", "", remove("3.0.swu"), nil, "failed", "D0190194,90800008,90800008", ""},
		{"full image cannot be had, with curl", "", "", remove("3.0.swu"), []string{agent13}, "failed", "00100003,90800008,90800008", ""},
		{"full image is not the manifest's", "plain.json", "", edit(func(m object) { swu(m)["hashes"] = object{"sha256": otherHash} }), nil, "failed", "00100003", ""},
		{"hash of no known kind", "plain.json", "", edit(func(m object) { swu(m)["hashes"] = object{"md5": otherHash} }), nil, "failed", "40000008", ""},
		{"name of the hash in upper case", "plain.json", "", edit(func(m object) { swu(m)["hashes"] = object{"SHA256": swu(m)["hashes"].(object)["sha256"]} }), nil, "full image", "00000000", ""},
		{"SHA-1", "plain.json", "", edit(func(m object) {
			sum := sha1.Sum(read(t, filepath.Join(updates, "3.0.swu")))
			swu(m)["hashes"] = object{"sha1": base64.StdEncoding.EncodeToString(sum[:])}
		}), nil, "full image", "00000000", ""},
		{"SHA-224", "plain.json", "", edit(func(m object) {
			sum := sha256.Sum224(read(t, filepath.Join(updates, "3.0.swu")))
			swu(m)["hashes"] = object{"sha224": base64.StdEncoding.EncodeToString(sum[:])}
		}), nil, "full image", "00000000", ""},

		// The cache.
		{"reboot, agent up to 1.2", "", "1.0", none, []string{"--reboot"}, "delta", "00000000", "1.0"},
		{"reboot, agent from 1.3", "", "1.0", none, []string{"--reboot", agent13}, "delta", "00000000", "1.0 +3.0"},
		{"version 1 of the handler reboots", "version1.json", "1.0", none, []string{agent10}, "delta", "00000000", "1.0"},
		{"sandbox beside the cache", "", "1.0", none, []string{"--sandbox", "sandbox"}, "delta", "00000000", "1.0 +3.0"},

		// Steps that the handler refuses.
		{"version 1 of the handler, agent from 1.1", "version1.json", "1.0", none, nil, "failed", "30000003", "1.0"},
		{"version 1 and an unknown signer", "version1.json", "1.0", func(t *testing.T, d *device, _ object) {
			write(t, filepath.Join(d.dir, "cert.pem"), read(t, filepath.Join(updates, "other.pem")))
		}, []string{agent10}, "failed", "00000001", "1.0"},
		{"version 1 and a file that is not described", "version1.json", "1.0", edit(func(m object) { step(m)["files"] = []any{"4.0.swu"} }), []string{agent10}, "failed", "30100104", "1.0"},
		{"two files for version 1", "version1.json", "1.0", edit(func(m object) { step(m)["files"] = []any{"3.0.swu", "install.sh"} }), []string{agent10}, "failed", "30100103", "1.0"},
		{"one file", "", "1.0", edit(func(m object) { step(m)["files"] = []any{"3.0.swu"} }), nil, "failed", "30100103", "1.0"},
		{"no script named", "", "1.0", edit(func(m object) { delete(step(m)["handlerProperties"].(object), "scriptFileName") }), nil, "failed", "30100007", "1.0"},
		{"script is not among the files", "", "1.0", edit(func(m object) { step(m)["handlerProperties"].(object)["scriptFileName"] = "other.sh" }), nil, "failed", "30100107", "1.0"},
		{"no SWU named", "", "1.0", edit(func(m object) { delete(step(m)["handlerProperties"].(object), "swuFileName") }), nil, "failed", "30100008", "1.0"},
		{"SWU is not among the files", "", "1.0", edit(func(m object) { step(m)["handlerProperties"].(object)["swuFileName"] = "4.0.swu" }), nil, "failed", "30100202", "1.0"},
		{"script is damaged on the way", "", "1.0", damage("install.sh"), nil, "failed", "00100003", "1.0"},
		{"other handler", "", "1.0", edit(func(m object) { step(m)["handler"] = "microsoft/apt:1" }), nil, "failed", "30000003", "1.0"},
		{"file that is not described", "", "1.0", edit(func(m object) { step(m)["files"] = []any{"install.sh", "4.0.swu"} }), nil, "failed", "30100108", "1.0"},
		{"no steps", "", "1.0", edit(func(m object) { m["instructions"] = object{"steps": []any{}} }), nil, "failed", "300001F9", "1.0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d := newDevice(t)
			write(t, filepath.Join(d.dir, "cert.pem"), read(t, filepath.Join(updates, "cert.pem")))
			for _, version := range strings.Fields(c.cache) {
				d.fill(t, version, read(t, filepath.Join(updates, version+".swu")))
			}
			if c.manifest == "" {
				c.manifest = "update.json"
			}
			var m object
			if err := json.Unmarshal(read(t, filepath.Join(updates, c.manifest)), &m); err != nil {
				t.Fatal(err)
			}
			c.prepare(t, d, m)
			b, err := json.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(d.files, "manifest.json"), b)

			args := append([]string{"--base", d.cache}, c.args...)
			args = append(args, "files/manifest.json", "--", "-k", "cert.pem", "-e", "stable,copy1", "-H", "board:1.0")
			status, stdout, stderr := d.run(t, args...)
			defer func() {
				if t.Failed() {
					t.Logf("%s%s", stdout, stderr)
				}
			}()
			d.check(t, status, stdout, stderr, c.outcome, c.codes, c.args)
			d.checkCache(t, c.after)
		})
	}
}

func sandbox(t *testing.T, d *device, name string, content []byte) {
	t.Helper()
	dir := filepath.Join(d.dir, "sandbox")
	if err := os.MkdirAll(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, name), content)
}

// check holds a run against the outcome and the codes that are wanted, and what
// the twin shows against those.
func (d *device) check(t *testing.T, status int, stdout, stderr, outcome, codes string, args []string) {
	t.Helper()
	type result struct {
		ResultCode          int
		ExtendedResultCode  *int
		ExtendedResultCodes string
		StepResults         map[string]result
	}
	var got struct {
		Outcome                            string
		ResultCode, ExtendedResultCode     int
		ExtendedResultCodes, ResultDetails string
		Twin                               struct {
			State             int
			LastInstallResult result
		}
	}
	if err := json.Unmarshal([]byte(stdout), &got); err != nil {
		t.Fatalf("%v, exit status %d", err, status)
	}
	wantStatus, wantResult, wantState, wantContent := 0, 700, 0, read(t, filepath.Join(updates, "rootfs.img"))
	if outcome == "failed" {
		wantStatus, wantResult, wantContent = 3, 0, []byte("old")
		// The agent is idle again where the installer or its script failed.
		if code := strings.Split(codes, ",")[0]; !strings.HasPrefix(code, "301010") && code != "30100202" && code != "00000001" {
			wantState = 255
		}
	}
	if status != wantStatus || got.ResultCode != wantResult || got.Outcome != outcome || got.ExtendedResultCodes != codes {
		t.Errorf("got exit status %d, %+v\nwant %d, %s, %d, %s", status, got, wantStatus, outcome, wantResult, codes)
	}
	number := func(code string) int {
		n, err := strconv.ParseUint(code, 16, 32)
		if err != nil {
			t.Fatal(err)
		}
		return int(int32(n))
	}
	list := strings.Split(codes, ",")
	if last := number(list[len(list)-1]); got.ExtendedResultCode != last {
		t.Errorf("got extendedResultCode %d, want %d", got.ExtendedResultCode, last)
	}
	if (got.ResultDetails == "") != (codes == "00000000") {
		t.Errorf("got details %q", got.ResultDetails)
	}
	// The errors of the delta handler stay on the device.
	twin := got.Twin.LastInstallResult
	if slices.Contains(args, "--agent=1.0") {
		if n := twin.ExtendedResultCode; n == nil || *n != number(list[0]) || twin.ExtendedResultCodes != "" {
			t.Errorf("twin: got %+v, want the number of %s", twin, list[0])
		}
	} else if twin.ExtendedResultCode != nil || twin.ExtendedResultCodes != list[0] {
		t.Errorf("twin: got %+v, want %s", twin, list[0])
	}
	if got.Twin.State != wantState || twin.ResultCode != wantResult {
		t.Errorf("twin: got %+v", got.Twin)
	}
	wantStep := wantResult
	if outcome == "already installed" || wantStatus == 0 && (slices.Contains(args, "--reboot") || slices.Contains(args, "--agent=1.0")) {
		wantStep = 603 // found installed, after the reboot too
	}
	if len(twin.StepResults) == 0 && outcome != "failed" {
		t.Error("twin: no results of steps")
	}
	for name, step := range twin.StepResults {
		if step.ResultCode != wantStep || outcome != "failed" && strings.Trim(step.ExtendedResultCodes, "0") != "" {
			t.Errorf("twin: got %s %+v", name, step)
		}
	}
	if codes == "00000000" && stderr != "" && !strings.Contains(stderr, "not cached") {
		t.Error("something is said although all is well")
	}
	if !bytes.Equal(read(t, filepath.Join(d.dir, "partition")), wantContent) {
		t.Error("wrong content of the partition")
	}
	if left, err := os.ReadDir(d.tmp); err != nil || len(left) != 0 {
		t.Errorf("left behind in TMPDIR: %v, %v", left, err)
	}
}

// zstdDelta puts a delta in the place of the first that makes a compressed image,
// and its source into the cache. The source lies under the place of 1.0.
func zstdDelta(t *testing.T, d *device, m object) {
	t.Helper()
	vector := func(name string) []byte {
		return read(t, filepath.Join(tooltest.Root(), "internal/pamz/testdata", name))
	}
	write(t, filepath.Join(d.files, "1.0.diff"), vector("zstdcomp.diff"))
	delta(m, 0)["hashes"] = object{"sha256": digest.Sum(vector("zstdcomp.diff")).Base64()}
	d.fill(t, "1.0", vector("zstdcomp.source"))
}

// checkCache wants exactly these files in the cache: "1.0" is that version's SWU
// at its place, "1.0!" something else there, "Contoso/1.0" the SWU in another
// provider's folder, "+1.0" the SWU and the script.
func (d *device) checkCache(t *testing.T, want string) {
	t.Helper()
	wanted := map[string]bool{}
	words := strings.Fields(want)
	for i, w := range words {
		if w, ok := strings.CutPrefix(w, "+"); ok {
			words[i] = w
			words = append(words, w[:strings.LastIndex(w, "/")+1]+"install.sh")
		}
	}
	for _, w := range words {
		provider, name, ok := strings.Cut(w, "/")
		if !ok {
			provider, name = "Contoso_Devices", w
		}
		version := strings.TrimSuffix(name, "!")
		file := filepath.Join(updates, version)
		if version != "install.sh" {
			file += ".swu"
		}
		b := read(t, file)
		path := filepath.Join(d.cache, provider, place(b))
		wanted[path] = true
		os.Chmod(path, 0o644) // where a test has taken that away
		got, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
		} else if bytes.Equal(got, b) == strings.HasSuffix(name, "!") {
			t.Errorf("%s in the cache: wrong content", w)
		}
	}
	err := filepath.WalkDir(d.cache, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() && !wanted[path] {
			t.Errorf("%s in the cache", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// TestUsage checks what is said before anything is done.
func TestUsage(t *testing.T) {
	makeUpdates(t)
	for _, c := range []struct {
		args   []string
		status int
		stderr string
	}{
		{nil, 2, "want at least 1"},
		{[]string{"--", "m"}, 2, "want at least 1"},
		{[]string{"--nonsense"}, 2, `unknown flag "--nonsense"`},
		{[]string{"--base"}, 2, "-base"},
		{[]string{"--agent", "new", "m"}, 2, `--agent: agent version "new"`},
		{[]string{"--downloader", "wget", "m"}, 2, `--downloader: got "wget", want curl or do`},
		{[]string{"--handler-error=1", "m"}, 2, "--handler-error"},
		{[]string{"--handler-error=80000001", "m"}, 2, "--handler-error"},
		{[]string{"m", "-e", "stable,copy1"}, 2, `flag "-e" comes after an operand`},
		{[]string{"absent"}, 1, "open absent: no such file"},
		{[]string{"partition"}, 3, "partition: not an import manifest"},
	} {
		d := newDevice(t)
		status, stdout, stderr := d.run(t, c.args...)
		if status != c.status || stdout != "" || !strings.Contains(stderr, c.stderr) {
			t.Errorf("%q: got %d %q %q, want %d and %q", c.args, status, stdout, stderr, c.status, c.stderr)
		}
	}
	d := newDevice(t)
	if status, stdout, stderr := d.run(t, "--help"); status != 0 || !strings.HasPrefix(stdout, "Usage: adu-deploy ") || stderr != "" {
		t.Errorf("--help: got %d %q %q", status, stdout, stderr)
	}
}

// TestSignal checks that nothing stays behind when it is told to stop while
// swupdate runs.
func TestSignal(t *testing.T) {
	makeUpdates(t)
	d := newDevice(t)
	write(t, filepath.Join(d.files, "manifest.json"), read(t, filepath.Join(updates, "plain.json")))
	started := filepath.Join(d.dir, "started")
	d.program(t, "swupdate", "#!/bin/sh\necho $$ >started.new\nmv started.new started\nexec sleep 1000\n")
	cmd := exec.Command(filepath.Join(tools, "adu-deploy"), "--base", d.cache, "files/manifest.json")
	cmd.Dir = d.dir
	cmd.Env = append(os.Environ(), "TMPDIR="+d.tmp, "PATH="+d.bin+":"+tools+":"+os.Getenv("PATH"))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(started); err == nil {
			break
		} else if time.Now().After(deadline) {
			cmd.Process.Kill()
			t.Fatal(err)
		}
	}
	cmd.Process.Signal(syscall.SIGTERM)
	cmd.Wait()
	if got := cmd.ProcessState.Sys().(syscall.WaitStatus); !got.Signaled() || got.Signal() != syscall.SIGTERM {
		t.Errorf("got %v, want to see the signal", cmd.ProcessState)
	}
	if left, err := os.ReadDir(d.tmp); err != nil || len(left) != 0 {
		t.Errorf("left behind in TMPDIR: %v, %v", left, err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(read(t, started))))
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		// A zombie, whom nobody may have waited for yet, has no command line.
		if line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); err != nil || len(line) == 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("swupdate still runs")
}
