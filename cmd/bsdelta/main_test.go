// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"swudelta/internal/device/devices"
	"swudelta/internal/tooltest"
)

func TestMain(m *testing.M) { tooltest.Main(m, map[string]func(){"bsdelta": main}) }

func TestScripts(t *testing.T) { tooltest.Scripts(t, "testdata/script") }

// The process stays within --memory, whatever the device, or says that it cannot.
func TestMemoryIsABound(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	dir := t.TempDir()
	old := slices.Concat(tooltest.Random(1, 12<<20), bytes.Repeat(tooltest.Random(3, 5000), 1<<10))
	source, target := filepath.Join(dir, "source"), filepath.Join(dir, "target")
	if err := os.WriteFile(source, old, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(target, tooltest.Edits(old), 0o666); err != nil {
		t.Fatal(err)
	}
	for _, kind := range devices.All {
		if kind.Name == "2.1" {
			continue // that of 3.0 with another version number
		}
		for _, mib := range []int64{32, 80, 96, 128} {
			var stderr bytes.Buffer
			delta := filepath.Join(dir, "delta")
			cmd := exec.Command("bsdelta", "--device", kind.Name, "--memory", fmt.Sprint(mib, "MiB"), "-o", delta, source, target)
			cmd.Stderr = &stderr
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			done := make(chan error)
			go func() { done <- cmd.Wait() }()
			peak, err := watch(cmd.Process.Pid, done)
			t.Logf("%s, %d MiB: peak %d MiB, %v, %s", kind.Name, mib, peak, err, stderr.String())
			refused := cmd.ProcessState.ExitCode() == 1 && strings.Contains(stderr.String(), "hint: allow more with --memory")
			switch {
			case err != nil && !refused:
				t.Errorf("%s, %d MiB: %v: %s", kind.Name, mib, err, stderr.String())
			case refused && mib >= 128 || !refused && mib < 64:
				t.Errorf("%s, %d MiB: refused %v", kind.Name, mib, refused)
			case !refused && peak > mib:
				t.Errorf("%s, %d MiB: took %d MiB", kind.Name, mib, peak)
			}
			if _, err := os.Stat(delta); (err == nil) == refused {
				t.Errorf("%s, %d MiB: refused %v, and the delta is there: %v", kind.Name, mib, refused, err == nil)
			}
			os.Remove(delta)
		}
	}
}

// watch waits for a process, and returns the peak of its resident memory in MiB. What wait(2)
// tells of it includes that of its parent, as it was before exec.
func watch(pid int, done chan error) (peak int64, err error) {
	for {
		select {
		case err := <-done:
			return peak >> 10, err
		case <-time.After(2 * time.Millisecond):
			status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
			if _, value, ok := strings.Cut(string(status), "VmHWM:"); ok {
				fmt.Sscan(value, &peak) // the last that is seen counts: exec begins anew
			}
		}
	}
}
