// SPDX-License-Identifier: MIT

package deploy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"swudelta/internal/digest"
	"swudelta/internal/tooltest"
)

const sample = "scripts/samples/swu-update.sh"

// twoCopies is a device with two copies of its system, of which copy 1 runs, and
// an update from 1.0 to 2.0 in its files that carries the sample script.
func twoCopies(t *testing.T, handlerProperties ...string) *device {
	t.Helper()
	makeUpdates(t)
	d := newDevice(t)
	run := func(name string, args ...string) []byte {
		t.Helper()
		cmd := exec.Command(name, args...)
		cmd.Dir = d.dir
		cmd.Stdin = strings.NewReader("sw-description\nsw-description.sig\nrootfs.img\n")
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return out
	}
	image := bytes.Repeat([]byte("an image of one release after the other. "), 30000)
	for _, version := range []string{"1.0", "2.0"} {
		image = append(image, version...)
		write(t, filepath.Join(d.dir, "rootfs.img"), image)
		entry := func(n int) string {
			return fmt.Sprintf(`copy%d = { images: ( { filename = "rootfs.img"; type = "raw"; device = "copy%d"; sha256 = %q; } ); };`, n, n, digest.Sum(image))
		}
		write(t, filepath.Join(d.dir, "sw-description"), fmt.Appendf(nil, "software = { version = %q; hardware-compatibility = [ \"1.0\" ];\nstable = { %s %s }; }\n",
			version, entry(1), entry(2)))
		run(filepath.Join(tools, "swu-sign"), "--scheme", "cms", "--key", filepath.Join(updates, "key.pem"), "--cert", filepath.Join(updates, "cert.pem"), "-o", "sw-description.sig", "sw-description")
		run(filepath.Join(tools, "swu-pack"), "-o", filepath.Join(d.files, version+".swu"))
	}
	write(t, filepath.Join(d.dir, "cert.pem"), read(t, filepath.Join(updates, "cert.pem")))
	write(t, filepath.Join(d.files, "swu-update.sh"), read(t, filepath.Join(tooltest.Root(), sample)))
	run(filepath.Join(tools, "bsdelta"), "-o", filepath.Join(d.files, "1-2.diff"), filepath.Join(d.files, "1.0.swu"), filepath.Join(d.files, "2.0.swu"))
	args := []string{"--provider", "Contoso.Devices", "--name", "Gateway", "--version", "2.0", "--compat", "a=b",
		"--script", filepath.Join(d.files, "swu-update.sh"), "--delta", filepath.Join(d.files, "1-2.diff")}
	for _, p := range handlerProperties {
		args = append(args, "--property", p)
	}
	write(t, filepath.Join(d.files, "manifest.json"), run(filepath.Join(tools, "adu-manifest"), append(args, filepath.Join(d.files, "2.0.swu"))...))
	for _, name := range []string{"copy1", "copy2"} {
		write(t, filepath.Join(d.dir, name), []byte("old"))
	}
	write(t, filepath.Join(d.dir, "version"), []byte("1.0\n"))
	run(filepath.Join(tools, "sdc-path"), "--base", d.cache, "--provider", "Contoso.Devices", "--install", filepath.Join(d.files, "1.0.swu"))
	return d
}

// deploy runs the update's script with the options of the device's configuration.
func (d *device) deploy(t *testing.T, args, options []string) (status int, report map[string]any, stderr string) {
	t.Helper()
	args = append([]string{"--base", d.cache, "--run-script"}, args...)
	args = append(args, "files/manifest.json", "--", "--version-file", "version", "--key", "cert.pem", "--board", "board:1.0")
	status, stdout, stderr := d.run(t, append(args, options...)...)
	if err := json.Unmarshal([]byte(stdout), &report); err != nil {
		t.Fatalf("%v\n%s%s", err, stdout, stderr)
	}
	return status, report, stderr
}

// TestSample has the sample script install with the real swupdate, called as the
// handler calls it, for either form of the action.
func TestSample(t *testing.T) {
	for _, version := range []string{"", "apiVersion=1.1"} {
		for running, other := range map[string]string{"copy1": "copy2", "copy2": "copy1"} {
			t.Run(version+running, func(t *testing.T) {
				t.Parallel()
				properties := []string{"arguments=--copy1 copy1  --copy2 copy2 --provider Contoso.Devices"}
				if version != "" {
					properties = append(properties, version)
				}
				d := twoCopies(t, properties...)
				status, report, stderr := d.deploy(t, nil, []string{"--root", running, "--cache", d.cache})
				if status != 0 || report["outcome"] != "delta" || report["resultCode"] != 700.0 {
					t.Fatalf("got %d, %v\n%s", status, report, stderr)
				}
				if got := read(t, filepath.Join(d.dir, other)); !bytes.HasSuffix(got, []byte("2.0")) {
					t.Errorf("%s is not new: %d bytes", other, len(got))
				}
				if got := read(t, filepath.Join(d.dir, running)); string(got) != "old" {
					t.Errorf("%s runs, and was written to", running)
				}
				// The agent does not cache an update before a reboot. The script has.
				if !strings.Contains(stderr, "not cached") {
					t.Errorf("nothing is said of the agent's cache: %s", stderr)
				}
				swu := read(t, filepath.Join(d.files, "2.0.swu"))
				if got := read(t, filepath.Join(d.cache, "Contoso_Devices", place(swu))); !bytes.Equal(got, swu) {
					t.Error("the cache does not hold the update")
				}
				// After the reboot the update is installed, and nothing is done again.
				write(t, filepath.Join(d.dir, "version"), []byte("2.0\n"))
				if err := os.Remove(filepath.Join(d.files, "2.0.swu")); err != nil {
					t.Fatal(err)
				}
				status, report, stderr = d.deploy(t, nil, []string{"--root", other})
				if status != 0 || report["outcome"] != "already installed" {
					t.Errorf("again: got %d, %v\n%s", status, report, stderr)
				}
			})
		}
	}
}

// TestSampleFails checks what the script reports when it cannot install.
func TestSampleFails(t *testing.T) {
	for _, c := range []struct {
		name    string
		prepare func(*device)
		options []string
		codes   string
	}{
		{"no copies", func(*device) {}, nil, "30101002"},
		{"another root", func(*device) {}, []string{"--copy1", "copy1", "--copy2", "copy2", "--root", "version"}, "30101003"},
		{"unknown signer", func(d *device) {
			write(t, filepath.Join(d.dir, "cert.pem"), read(t, filepath.Join(updates, "other.pem")))
		},
			[]string{"--copy1", "copy1", "--copy2", "copy2", "--root", "copy1"}, "30101001"},
		{"option without value", func(*device) {}, []string{"--set"}, "30100205"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := twoCopies(t)
			c.prepare(d)
			options := c.options
			if c.name == "option without value" { // the handler's own options come behind
				write(t, filepath.Join(d.files, "swu-update.sh"), append([]byte("#!/bin/sh\nset -- --set\n"), read(t, filepath.Join(tooltest.Root(), sample))...))
				var m object
				if err := json.Unmarshal(read(t, filepath.Join(d.files, "manifest.json")), &m); err != nil {
					t.Fatal(err)
				}
				m["files"].([]any)[1].(object)["hashes"] = object{"sha256": digest.Sum(read(t, filepath.Join(d.files, "swu-update.sh"))).Base64()}
				b, err := json.Marshal(m)
				if err != nil {
					t.Fatal(err)
				}
				write(t, filepath.Join(d.files, "manifest.json"), b)
				options = nil
			}
			status, report, stderr := d.deploy(t, nil, options)
			if status != 3 || report["extendedResultCodes"] != c.codes {
				t.Errorf("got %d, %v\n%s", status, report, stderr)
			}
			for _, name := range []string{"copy1", "copy2"} {
				if got := read(t, filepath.Join(d.dir, name)); string(got) != "old" {
					t.Errorf("%s was written to", name)
				}
			}
		})
	}
}

// TestOtherFileSystem plays what agents up to 1.2 do where the cache lies on another
// file system than the downloads: an empty file, which sdc-path finds.
func TestOtherFileSystem(t *testing.T) {
	makeUpdates(t)
	dir, err := os.MkdirTemp("/dev/shm", "sandbox")
	if err != nil {
		t.Skipf("no second file system: %v", err)
	}
	defer os.RemoveAll(dir)
	d := newDevice(t)
	var here, there syscall.Stat_t
	if syscall.Stat(d.cache, &here) != nil || syscall.Stat(dir, &there) != nil || here.Dev == there.Dev {
		t.Skip("no second file system")
	}
	write(t, filepath.Join(d.dir, "cert.pem"), read(t, filepath.Join(updates, "cert.pem")))
	write(t, filepath.Join(d.files, "manifest.json"), read(t, filepath.Join(updates, "seed.json")))
	deploy := func(agent string) string {
		t.Helper()
		status, stdout, stderr := d.run(t, "--base", d.cache, "--agent", agent, "--sandbox", dir, "files/manifest.json", "--", "-k", "cert.pem", "-e", "stable,copy1", "-H", "board:1.0")
		if status != 0 {
			t.Fatalf("got %d\n%s%s", status, stdout, stderr)
		}
		return stderr
	}
	verify := func() (string, int) {
		t.Helper()
		cmd := exec.Command(filepath.Join(tools, "sdc-path"), "--base", d.cache, "--verify")
		out, _ := cmd.CombinedOutput()
		return string(out), cmd.ProcessState.ExitCode()
	}
	if stderr := deploy("1.2"); !strings.Contains(stderr, "different file systems") {
		t.Errorf("nothing is said: %s", stderr)
	}
	empty := filepath.Join(d.cache, "Contoso_Devices", "3.0.swu")
	if got := read(t, empty); len(got) != 0 {
		t.Errorf("got %d bytes", len(got))
	}
	if out, status := verify(); status != 3 || !strings.Contains(out, "3.0.swu: empty") {
		t.Errorf("sdc-path --verify: got %d, %s", status, out)
	}
	for _, name := range []string{"3.0.swu", "install.sh"} {
		if err := os.Remove(filepath.Join(d.cache, "Contoso_Devices", name)); err != nil {
			t.Fatal(err)
		}
	}
	deploy("1.3")
	if out, status := verify(); status != 0 || strings.Count(out, "\n") != 2 {
		t.Errorf("agent 1.3: got %d, %s", status, out)
	}
}

// TestDiskFull has the sandbox on a file system that is too small for the image.
func TestDiskFull(t *testing.T) {
	makeUpdates(t)
	if os.Getuid() != 0 {
		t.Skip("only root can mount a file system")
	}
	for downloader, code := range map[string]string{"curl": "40301017", "do": "D0D00017"} {
		d := newDevice(t)
		dir := filepath.Join(d.dir, "small")
		if err := os.Mkdir(dir, 0o777); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=256k"); err != nil {
			t.Skipf("no file system can be mounted: %v", err)
		}
		defer syscall.Unmount(dir, 0)
		write(t, filepath.Join(d.files, "manifest.json"), read(t, filepath.Join(updates, "plain.json")))
		status, stdout, stderr := d.run(t, "--base", d.cache, "--downloader", downloader, "--sandbox", dir, "files/manifest.json")
		if status != 3 || !strings.Contains(stdout, `"extendedResultCodes": "`+code+`"`) {
			t.Errorf("got %d\n%s%s", status, stdout, stderr)
		}
	}
}
