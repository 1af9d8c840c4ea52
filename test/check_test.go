// SPDX-License-Identifier: MIT

package test

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"swudelta/internal/tooltest"
)

// stored are contents of an archive member, by what they are.
func stored(t *testing.T) map[string][]byte {
	t.Helper()
	raw := make([]byte, 40000)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range raw {
		raw[i] = byte(r.Uint32())
	}
	var gz, zl, small bytes.Buffer
	g := gzip.NewWriter(&gz)
	g.Write(raw)
	g.Close()
	g.Reset(&small)
	g.Write(raw[:100])
	g.Close()
	z := zlib.NewWriter(&zl)
	z.Write(raw)
	z.Close()
	pipe := func(name string, args ...string) []byte {
		return command(t, "", bytes.NewReader(raw), name, args...)
	}
	zstd := pipe("zstd", "-qc")
	dict := filepath.Join(t.TempDir(), "dict")
	if err := os.WriteFile(dict, raw[:20000], 0o666); err != nil {
		t.Fatal(err)
	}
	bad := bytes.Clone(gz.Bytes())
	bad[20000] ^= 0xff
	zeros := func(n int) []byte { return make([]byte, n) }
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	return map[string][]byte{
		"plain":              raw,
		"empty":              {},
		"gzip":               gz.Bytes(),
		"gzip, 8 zeros":      join(gz.Bytes(), zeros(8)),
		"gzip, 512 zeros":    join(gz.Bytes(), zeros(512)),
		"gzip, 100000 zeros": join(gz.Bytes(), zeros(100000)),
		"gzip, bad":          bad,
		"gzip, cut":          gz.Bytes()[:20000],
		"gzip, magic":        gz.Bytes()[:2],
		"gzip, twice":        join(gz.Bytes(), gz.Bytes()),
		"gzip, 8 more":       join(gz.Bytes(), []byte("more 123")),
		"gzip, much more":    join(gz.Bytes(), bytes.Repeat([]byte("more"), 10000)),
		"gzip, short, twice": join(small.Bytes(), small.Bytes()),
		"zlib":               zl.Bytes(),
		"lzma":               pipe("xz", "-c", "--format=lzma"),
		"xz":                 pipe("xz", "-c"),
		"bzip2":              pipe("bzip2", "-c"),
		"zstd":               zstd,
		"zstd, twice":        join(zstd, zstd),
		"zstd, skippable":    join([]byte("\x50\x2a\x4d\x18\x04\x00\x00\x00abcd"), zstd),
		"zstd, zeros":        join(zstd, zeros(512)),
		"zstd, cut":          zstd[:20000],
		"zstd, dictionary":   pipe("zstd", "-qc", "-D", dict),
		"zstd, long":         pipe("zstd", "-qc", "--long=31", "--ultra"),
	}
}

// checkBoth holds what swdesc --check says of an archive against what swupdate
// does with it.
func (d *device) checkBoth(t *testing.T, name, description string, members map[string][]byte) {
	t.Helper()
	dir := t.TempDir()
	list := "sw-description\nsw-description.sig\n"
	for _, member := range slices.Sorted(maps.Keys(members)) {
		if err := os.WriteFile(filepath.Join(dir, member), members[member], 0o666); err != nil {
			t.Fatal(err)
		}
		list += member + "\n"
	}
	if err := os.WriteFile(filepath.Join(dir, "sw-description"), []byte(description), 0o666); err != nil {
		t.Fatal(err)
	}
	command(t, dir, nil, "swu-sign", "--scheme", "cms", "--key", d.key, "--cert", d.cert, "-o", "sw-description.sig", "sw-description")
	command(t, dir, strings.NewReader(list), "swu-pack", "-o", "update.swu")
	takes, log := swupdate(t, d.dir, "-c", "-k", d.cert, "-H", "board:1.0", "-e", "stable,copy1", "-i", filepath.Join(dir, "update.swu"))

	cmd := exec.Command("swdesc", "--check", "update.swu")
	cmd.Dir = dir
	out, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 3) || (err == nil) != (len(out) == 0) {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
	class, _, _ := strings.Cut(string(out), "\t")
	switch {
	case !takes && err == nil:
		t.Errorf("%s: swupdate refuses it, and swdesc --check finds nothing:\n%s", name, log)
	case takes && err != nil && class != "part":
		t.Errorf("%s: swupdate takes it, and swdesc --check says:\n%s", name, out)
	}
	// The same from the files.
	cmd = exec.Command("swdesc", "--check", "-C", dir, filepath.Join(dir, "sw-description"))
	again, _ := cmd.Output()
	if !bytes.Equal(out, again) {
		t.Errorf("%s: from files\n%sfrom the SWU\n%s", name, again, out)
	}
}

// What swdesc --check says of a label is what swupdate does. Of streams that are
// cut short, or go on, it installs a part, so there swdesc is the stricter one.
func TestCheckLabels(t *testing.T) {
	tooltest.Need(t, "swupdate", "openssl", "xz", "bzip2", "zstd")
	d := newDevice(t)
	members := stored(t)
	for _, label := range []string{`"zlib"`, `"zstd"`, "true", "1"} {
		for what, data := range members {
			_, rest, _ := strings.Cut(what, ",")
			if rest != "" && (label == `"zstd"`) != strings.HasPrefix(what, "zstd") || label[0] != '"' && what != "plain" && what != "gzip" && what != "zstd" {
				continue // says no more, and swupdate is slow
			}
			t.Run(label+" on "+what, func(t *testing.T) {
				t.Parallel()
				d.checkBoth(t, what, fmt.Sprintf(`software = { version = "1"; hardware-compatibility = [ "1.0" ];
					images: ( { filename = "x"; type = "raw"; device = "/dev/null"; compressed = %s; sha256 = "%x"; } ); };`,
					label, sha256.Sum256(data)), map[string][]byte{"x": data})
			})
		}
	}
}

// The same for words, names and the text as a whole.
func TestCheckDescriptions(t *testing.T) {
	tooltest.Need(t, "swupdate", "openssl", "xz", "bzip2", "zstd")
	d := newDevice(t)
	data := stored(t)["gzip"]
	sum := fmt.Sprintf("%x", sha256.Sum256(data))
	entry := fmt.Sprintf(`{ filename = "x"; type = "raw"; device = "/dev/null"; compressed = "zlib"; sha256 = "%s"; }`, sum)
	images := "images: ( " + entry + " );"
	const hardware = `hardware-compatibility = [ "1.0" ]; `
	software := func(s string) string { return "software = { " + hardware + s + " };" }
	collection := func(s string) string { return software("stable = { copy1 = { " + s + " }; };") }
	tests := map[string]string{
		"good":               software(`version = "1"; ` + images),
		"empty":              "",
		"no software":        `version = "1"; ` + images,
		"Software":           "S" + software(`version = "1"; ` + images)[1:],
		"no version":         software(images),
		"version in set":     collection(`version = "1"; ` + images),
		"version of board":   software(`board = { version = "1"; ` + images + `};`),
		"version, a number":  software("version = 1; " + images),
		"no images":          software(`version = "1";`),
		"no image":           software(`version = "1"; images: ();`),
		"image without file": software(`version = "1"; images: ( { device = "/dev/null"; } );`),
		"images, a group":    software(`version = "1"; images: ` + entry + `;`),
		"link to a list":     software(`version = "1"; images: { ref = "#./l"; }; l: ( ` + entry + ` );`),
		"bootenv alone":      software(`version = "1"; bootenv: ( { name = "a"; value = "b"; } );`),
		"vars alone":         software(`version = "1"; vars: ( { name = "a"; value = "b"; } );`),
		"script alone":       software(`version = "1"; scripts: ( { filename = "x"; type = "preinstall"; sha256 = "` + sum + `"; } );`),
		"script, labelled":   software(`version = "1"; scripts: ( { filename = "x"; type = "shellscript"; compressed = "zstd"; sha256 = "` + sum + `"; } );`),
		"file, labelled":     software(`version = "1"; files: ( { filename = "x"; path = "/tmp/x"; compressed = "zstd"; sha256 = "` + sum + `"; } );`),
		"no sha256":          software(`version = "1"; images: ( { filename = "x"; type = "raw"; device = "/dev/null"; } );`),
		"short sha256":       software(`version = "1"; ` + strings.Replace(images, sum, sum[:60], 1)),
		"other sha256":       software(`version = "1"; ` + strings.Replace(images, sum, strings.Repeat("0", 64), 1)),
		"upper case sha256":  software(`version = "1"; ` + strings.Replace(images, sum, strings.ToUpper(sum), 1)),
		"JSON":               fmt.Sprintf(`{"software":{"version":"1","hardware-compatibility":["1.0"],"images":[{"filename":"x","type":"raw","device":"/dev/null","compressed":"zlib","sha256":"%s"}]}}`, sum),
		"JSON, string true":  fmt.Sprintf(`{"software":{"version":"1","hardware-compatibility":["1.0"],"images":[{"filename":"x","type":"raw","device":"/dev/null","compressed":"true","sha256":"%s"}]}}`, sum),
	}
	for _, name := range []string{"./x", "x ", " x", "X", "y", "a/x"} {
		tests["file name "+name] = software(`version = "1"; ` + strings.Replace(images, `"x"`, `"`+name+`"`, 1))
	}
	for _, word := range []string{`"true"`, `"false"`, `"none"`, `""`, `"ZLIB"`, `"gzip"`, "false", "0", "TRUE", "1.0", `[ "zlib" ]`} {
		tests["compressed = "+word] = software(`version = "1"; ` + strings.Replace(images, `"zlib"`, word, 1))
	}
	for name, text := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d.checkBoth(t, name, text, map[string][]byte{"x": data})
		})
	}
}
