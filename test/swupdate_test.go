// SPDX-License-Identifier: MIT

package test

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"swudelta/internal/tooltest"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// command runs a program in dir, which must succeed, and returns its output.
func command(t *testing.T, dir string, stdin io.Reader, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(name, args...)
	var stderr bytes.Buffer
	cmd.Dir, cmd.Stdin, cmd.Stderr = dir, stdin, &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s%s", name, args, err, out, &stderr)
	}
	return out
}

// swupdate runs the client in dir and reports whether it took the update.
//
// Its control sockets lie in TMPDIR, so each run has its own. It can leave a
// child behind that holds its output open: that goes to a file, and the process
// group is killed. Version 2022.12 ends with status 1 after a success now and
// then, if the update is small; its messages are right.
func swupdate(t *testing.T, dir string, args ...string) (bool, string) {
	t.Helper()
	tmp := t.TempDir()
	out := must(os.Create(filepath.Join(tmp, "out")))
	defer out.Close()
	cmd := exec.Command("swupdate", args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "TMPDIR="+tmp)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(time.Minute, func() { syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	cmd.Wait()
	timer.Stop()
	syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	log := string(must(os.ReadFile(out.Name())))
	return strings.Contains(log, "SWUPDATE successful") && !strings.Contains(log, "[ERROR]"), log
}

// device is a folder in which swupdate installs, with the certificate that it
// trusts and the key of those who sign.
type device struct {
	t         *testing.T
	dir       string
	key, cert string
}

func newDevice(t *testing.T) *device {
	t.Helper()
	d := &device{t: t, dir: t.TempDir()}
	d.key, d.cert = filepath.Join(d.dir, "key.pem"), filepath.Join(d.dir, "cert.pem")
	command(t, d.dir, nil, "openssl", "req", "-x509", "-newkey", "rsa:2048", "-noenc", "-keyout", d.key, "-out", d.cert,
		"-days", "2", "-subj", "/CN=test", "-addext", "extendedKeyUsage=emailProtection", "-addext", "keyUsage=digitalSignature")
	return d
}

// install checks the update, installs it, and compares what was written to each
// partition with its content. A device has the partitions before, and longer.
func (d *device) install(swu, copy string, want map[string][]byte) {
	d.t.Helper()
	for partition := range want {
		if err := os.WriteFile(filepath.Join(d.dir, partition), nil, 0o666); err != nil {
			d.t.Fatal(err)
		}
	}
	args := []string{"-k", d.cert, "-H", "board:1.0", "-e", "stable," + copy, "-i", swu}
	if ok, log := swupdate(d.t, d.dir, append([]string{"-c"}, args...)...); !ok {
		d.t.Fatalf("swupdate refuses %s:\n%s", swu, log)
	}
	if ok, log := swupdate(d.t, d.dir, args...); !ok {
		d.t.Fatalf("swupdate does not install %s:\n%s", swu, log)
	}
	for partition, content := range want {
		got := must(os.ReadFile(filepath.Join(d.dir, partition)))
		if !bytes.Equal(got, content) {
			d.t.Errorf("%s: %s has %d bytes of other content, want %d bytes", swu, partition, len(got), len(content))
		}
	}
}

// sign makes a signed SWU of one that is not, tool by tool.
func (d *device) sign(unsigned string) string {
	d.t.Helper()
	dir := d.t.TempDir()
	var list bytes.Buffer
	for _, line := range strings.SplitAfter(string(command(d.t, dir, nil, "swu-unpack", unsigned)), "\n") {
		list.WriteString(line)
		if strings.HasSuffix(line, "\tsw-description\n") {
			list.WriteString("sw-description.sig\n")
		}
	}
	command(d.t, dir, nil, "swu-sign", "--scheme", "cms", "--key", d.key, "--cert", d.cert, "-o", "sw-description.sig", "sw-description")
	command(d.t, dir, &list, "swu-pack", "-o", "signed.swu")
	return filepath.Join(dir, "signed.swu")
}

// image is the content of a gzip member of an SWU.
func image(t *testing.T, swu, member string) []byte {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(command(t, "", nil, "swu-unpack", "--member", member, swu)))
	if err != nil {
		t.Fatal(err)
	}
	return must(io.ReadAll(z))
}

// The real client takes what DiffGenTool makes and what bsapply makes of it,
// and writes the bytes of the images that went in.
func TestInstall(t *testing.T) {
	tooltest.Need(t, "swupdate", "openssl", "flock")
	d := newDevice(t)
	demo := filepath.Join(tooltest.Root(), "testdata", "demo")
	target := filepath.Join(demo, "target.swu")
	before := image(t, filepath.Join(demo, "source.swu"), "gateway-rootfs.ext4.gz")
	after := image(t, target, "gateway-rootfs.ext4.gz")

	source := d.sign(filepath.Join(demo, "source.swu"))
	d.install(source, "copy1", map[string][]byte{"rootfs1.img": before})

	ours := fmt.Sprintf(`swu-sign --scheme cms --key %s --cert %s -o "$1.sig"`, d.key, d.cert)
	openssl := fmt.Sprintf(`sh -c 'openssl cms -sign -in "$1" -out "$1.sig" -signer %s -inkey %s -outform DER -nosmimecap -binary' sign`, d.cert, d.key)
	for _, c := range []struct{ recompress, signing string }{
		{"zstd", ours},
		{"gzip", ours},
		{"none", openssl},
	} {
		dir := t.TempDir()
		command(t, dir, nil, "DiffGenTool", "-q", "--force", "--recompress", c.recompress, source, target, "delta", "logs", "work", "import.swu", c.signing)
		d.install(filepath.Join(dir, "import.swu"), "copy1", map[string][]byte{"rootfs1.img": after})
		command(t, dir, nil, "bsapply", "-o", "rebuilt.swu", source, "delta")
		d.install(filepath.Join(dir, "rebuilt.swu"), "copy2", map[string][]byte{"rootfs2.img": after})

		// So that the acceptance means something: a changed description is refused.
		list := command(t, dir, nil, "swu-unpack", "-C", "work/source", "--force", "import.swu")
		description := filepath.Join(dir, "work/source/sw-description")
		text := must(os.ReadFile(description))
		if err := os.WriteFile(description, bytes.Replace(text, []byte("1.5.0"), []byte("1.5.1"), 1), 0o666); err != nil {
			t.Fatal(err)
		}
		command(t, dir, bytes.NewReader(list), "swu-pack", "-C", "work/source", "-o", "changed.swu")
		if ok, log := swupdate(t, d.dir, "-c", "-k", d.cert, "-H", "board:1.0", "-e", "stable,copy1", "-i", filepath.Join(dir, "changed.swu")); ok {
			t.Errorf("%s: swupdate takes a changed description:\n%s", c.recompress, log)
		}
	}
}

// Three images for a board, in JSON: gzip under the older name, gzip, plain.
func TestInstallSeveral(t *testing.T) {
	tooltest.Need(t, "swupdate", "openssl", "flock")
	d := newDevice(t)
	update := func(version int) (swu string, want map[string][]byte) {
		dir := t.TempDir()
		want = map[string][]byte{}
		var images []map[string]any
		members := "sw-description\n"
		for i, compressed := range []any{true, "zlib", nil} {
			var content, stored bytes.Buffer
			for line := range 60000 {
				fmt.Fprintf(&content, "image %d, version %d, line %d\n", i, version*(line/1000), line*line)
			}
			name := fmt.Sprintf("image%d", i)
			partition := name + ".img"
			entry := map[string]any{"filename": name, "type": "raw", "device": partition}
			if compressed == nil {
				stored.Write(content.Bytes())
			} else {
				z := gzip.NewWriter(&stored)
				z.Write(content.Bytes())
				z.Close()
				entry["compressed"] = compressed
			}
			entry["sha256"] = fmt.Sprintf("%x", sha256.Sum256(stored.Bytes()))
			images = append(images, entry)
			want[partition] = content.Bytes()
			members += name + "\n"
			if err := os.WriteFile(filepath.Join(dir, name), stored.Bytes(), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		description := must(json.MarshalIndent(map[string]any{"software": map[string]any{
			"version": fmt.Sprint(version),
			"board": map[string]any{
				"hardware-compatibility": []string{"1.0"},
				"stable":                 map[string]any{"main": map[string]any{"images": images}},
			},
		}}, "", "  "))
		if err := os.WriteFile(filepath.Join(dir, "sw-description"), description, 0o666); err != nil {
			t.Fatal(err)
		}
		command(t, dir, strings.NewReader(members), "swu-pack", "-o", "update.swu")
		return filepath.Join(dir, "update.swu"), want
	}
	unsigned, before := update(1)
	source := d.sign(unsigned)
	d.install(source, "main", before)
	target, after := update(2)
	dir := t.TempDir()
	command(t, dir, nil, "DiffGenTool", "-q", source, target, "delta", "logs", "work", "import.swu",
		fmt.Sprintf(`swu-sign --scheme cms --key %s --cert %s -o "$1.sig"`, d.key, d.cert))
	command(t, dir, nil, "bsapply", "-o", "rebuilt.swu", source, "delta")
	if !bytes.Equal(must(os.ReadFile(filepath.Join(dir, "rebuilt.swu"))), must(os.ReadFile(filepath.Join(dir, "import.swu")))) {
		t.Error("bsapply makes another file than DiffGenTool")
	}
	d.install(filepath.Join(dir, "rebuilt.swu"), "main", after)
}
