// SPDX-License-Identifier: MIT

package deploy

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"swudelta/internal/manifest"
)

// Results of a script's actions that mean more than success.
const (
	resultInstalled     = 900 // is-installed: it is
	resultInstallReboot = 605 // 605 to 608: reboot the device or restart the agent
	resultInstallLast   = 608
	resultApplyReboot   = 705 // 705 to 708: the same
	resultApplyLast     = 708
)

// downloadStep checks a step as its handler does and downloads its files. It
// reports whether the step's update is installed already.
func (d *deployment) downloadStep(i int, s step) (installed bool, err error) {
	swu, unparsed := s.properties["swuFileName"], codeFile
	switch {
	case s.handler == manifest.SWUpdateV1 && d.Agent.before(1, 1):
		if len(s.files) != 1 {
			return false, failf(codeFileCount, "step %d: %s takes one file", i, s.handler)
		}
		swu, unparsed = s.files[0], codeFileV1
	case s.handler == manifest.SWUpdateV2:
		if installed, err := d.prepareScript(i, s); installed || err != nil {
			return installed, err
		}
	default:
		return false, failStepf(codeNoHandler, "step %d: the handler %s is not registered", i, s.handler)
	}
	for _, name := range s.files {
		origin, err := d.downloadNamed(name, unparsed)
		if err != nil {
			return false, err
		}
		d.Verbosef("%s: from the %s", name, origin)
		// A script never has a delta; what an update was made of is said of its SWUs.
		if name == swu && d.outcome != FromDelta {
			d.outcome = origin
		}
	}
	if s.handler == manifest.SWUpdateV2 && d.RunScript {
		_, err = d.runScript(s, "download")
	}
	return false, err
}

// downloadNamed downloads a file that a step names. A file that the agent cannot
// parse has the code unparsed.
func (d *deployment) downloadNamed(name string, unparsed Code) (string, error) {
	f, ok := d.update.file(name)
	if !ok || !safeName(name) {
		return "", failf(unparsed, "%q is not described as it should be", name)
	}
	return d.download(f)
}

// prepareScript checks the properties of a step of microsoft/swupdate:2, gets its
// script and asks it whether the update is installed.
func (d *deployment) prepareScript(i int, s step) (installed bool, err error) {
	name, ok := s.properties["scriptFileName"]
	if !ok {
		return false, failf(codeNoScriptName, "step %d: scriptFileName is missing", i)
	}
	if len(s.files) < 2 {
		return false, failf(codeFileCount, "step %d: %s takes a script and an SWU", i, s.handler)
	}
	// The agent compares this name without regard to case.
	at := slices.IndexFunc(s.files, func(f string) bool { return strings.EqualFold(f, name) })
	if at < 0 {
		return false, failf(codeScriptFile, "step %d: the script %q is not among its files", i, name)
	}
	if _, err := d.downloadNamed(s.files[at], codeScriptFile); err != nil {
		return false, err
	}
	if name == "" {
		return false, failStepf(codeNoScriptName, "step %d: scriptFileName is empty", i)
	}
	if s.properties["swuFileName"] == "" {
		return false, failStepf(codeNoSWUName, "step %d: swuFileName is missing", i)
	}
	if !d.RunScript {
		return false, nil
	}
	result, err := d.runScript(s, "is-installed")
	if f := (*Failure)(nil); errors.As(err, &f) {
		d.Verbosef("%v", f) // the agent goes on
		return false, nil
	}
	return result == resultInstalled, err
}

// installStep installs and applies a step.
func (d *deployment) installStep(i int, s step) error {
	if s.handler == manifest.SWUpdateV2 && d.RunScript {
		return d.installByScript(s)
	}
	name, code := s.properties["swuFileName"], codeInstaller
	if s.handler == manifest.SWUpdateV1 {
		name, code = s.files[0], 0 // which passes on the exit status as it is
		d.reboot = true            // always
	}
	if info, err := os.Stat(d.path(name)); err != nil || !safeName(name) || !info.Mode().IsRegular() {
		return failStepf(codeNoImage, "step %d: %s is not in the sandbox", i, name)
	}
	return d.installBySWUpdate(d.path(name), code)
}

// installByScript runs the actions install and apply.
func (d *deployment) installByScript(s step) error {
	result, err := d.runScript(s, "install")
	if err != nil {
		return err
	}
	if result >= resultInstallReboot && result <= resultInstallLast {
		d.reboot = true
		return nil // the agent does not call apply then
	}
	result, err = d.runScript(s, "apply")
	if result >= resultApplyReboot && result <= resultApplyLast {
		d.reboot = true
	}
	return err
}

// runScript runs an action of the update's script with the arguments that the
// handler gives, and returns the resultCode that it wrote.
func (d *deployment) runScript(s step, action string) (int, error) {
	path, results := d.path(s.properties["scriptFileName"]), d.path("aduc_result.json")
	var args []string
	switch version, ok := s.properties["apiVersion"]; {
	case !ok || version == "1.0":
		args = append(args, "--action-"+action)
	case version == "1.1":
		args = append(args, "--action", action)
	}
	args = append(args, "--swu-file", d.path(s.properties["swuFileName"]))
	args = append(args, d.Installer...) // in a device's configuration of the handler
	args = append(args, strings.FieldsFunc(s.properties["arguments"], func(r rune) bool { return r == ' ' })...)
	args = append(args, "--work-folder", d.Sandbox, "--result-file", results)
	if criteria := s.properties["installedCriteria"]; criteria != "" {
		args = append(args, "--installed-criteria", criteria)
	}
	if err := os.Chmod(path, 0o755); err != nil {
		return 0, err
	}
	d.Verbosef("%s %s", path, strings.Join(args, " "))
	status, err := d.runGroup(path, args, d.Stderr, d.Stderr)
	if err != nil {
		return 0, err
	}
	if status != 0 {
		d.Warnf("%s of %s: exit status %d", action, filepath.Base(path), status)
	}
	var result struct {
		ResultCode         int    `json:"resultCode"`
		ExtendedResultCode int64  `json:"extendedResultCode"`
		ResultDetails      string `json:"resultDetails"`
	}
	b, err := os.ReadFile(results)
	if err == nil {
		err = json.Unmarshal(b, &result)
	}
	switch {
	case err != nil:
		return 0, failStepf(codeNoResult, "%s of %s: no result file: %v", action, filepath.Base(path), err)
	case result.ResultCode <= 0:
		return 0, failStepf(Code(uint32(result.ExtendedResultCode)), "%s of %s: %s", action, filepath.Base(path), result.ResultDetails)
	}
	return result.ResultCode, nil
}

// installBySWUpdate installs an SWU. A failure has the code to which the exit status
// is added.
func (d *deployment) installBySWUpdate(swu string, code Code) error {
	args := append(slices.Clone(d.Installer), "-i", swu)
	d.Verbosef("swupdate %s", strings.Join(args, " "))
	var stdout, stderr bytes.Buffer
	status, err := d.runGroup("swupdate", args, &stdout, &stderr)
	if err != nil {
		return err
	}
	d.Verbosef("%s", strings.TrimSpace(stdout.String()))
	// swupdate 2022.12 sometimes ends with status 1 after it has installed a small
	// SWU; then it says so and names no error.
	if status == 1 && bytes.Contains(stdout.Bytes(), []byte("SWUPDATE successful")) && !bytes.Contains(stderr.Bytes(), []byte("[ERROR]")) {
		status = 0
	}
	if status == 0 {
		return nil
	}
	d.Stderr.Write(stderr.Bytes())
	return failStepf(code+Code(status), "swupdate refuses %s", filepath.Base(swu))
}

// runGroup runs a program in a session of its own, ends what it leaves behind and
// returns its exit status, as a shell counts it. swupdate may leave a child that
// keeps its output open, so that goes to files.
func (d *deployment) runGroup(name string, args []string, stdout, stderr io.Writer) (int, error) {
	dir := filepath.Join(d.Scratch, "s") // short: paths of sockets have 107 bytes
	if err := os.Mkdir(dir, 0o700); err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	cmd := exec.Command(name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Env = append(os.Environ(), "TMPDIR="+dir) // two clients would disturb each other's sockets
	var files [2]*os.File
	for i, n := range []string{"stdout", "stderr"} {
		var err error
		if files[i], err = os.Create(filepath.Join(dir, n)); err != nil {
			return 0, err
		}
		defer files[i].Close()
	}
	cmd.Stdout, cmd.Stderr = files[0], files[1]
	done, err := d.Start(cmd)
	if err != nil {
		return 0, err
	}
	err = cmd.Wait()
	done()
	syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return 0, err
	}
	for i, w := range []io.Writer{stdout, stderr} {
		b, err := os.ReadFile(files[i].Name())
		if err != nil {
			return 0, err
		}
		if _, err := w.Write(b); err != nil {
			return 0, err
		}
	}
	if s := cmd.ProcessState.Sys().(syscall.WaitStatus); s.Signaled() {
		return 128 + int(s.Signal()), nil
	}
	return cmd.ProcessState.ExitCode(), nil
}
