// SPDX-License-Identifier: MIT

// Package deploy plays the Device Update agent for one deployment: it takes an
// update from a folder, rebuilds files from deltas and the source update cache,
// falls back to the full file, has the update installed and caches it, and tells
// with which result codes.
//
// The rules are those of the public agent (Azure/iot-hub-device-update): the
// extension manager's download, the delta download handler, the SWUpdate
// handlers, the cache and the reporting of branch develop of September 2024,
// which is agent 1.1; what other generations do otherwise is said where it is
// decided. Agents are not kind to faulty manifests, and neither is this package.
package deploy

import (
	"errors"
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"slices"
	"strconv"

	"swudelta/internal/processor"
)

// Agent is a generation of the agent. Versions below 1.1 are those of the
// documentation of 2022; 1.3 is the one of today's.
type Agent struct{ Major, Minor int }

var agentVersion = regexp.MustCompile(`^([0-9]{1,3})\.([0-9]{1,3})(\.[0-9]+)?$`)

// ParseAgent reads a version such as 1.1 or 1.1.0.
func ParseAgent(s string) (Agent, error) {
	m := agentVersion.FindStringSubmatch(s)
	if m == nil {
		return Agent{}, fmt.Errorf("agent version %q: want one such as 1.1", s)
	}
	major, _ := strconv.Atoi(m[1]) // at most three digits
	minor, _ := strconv.Atoi(m[2])
	return Agent{major, minor}, nil
}

// before reports whether the agent is older than a version.
func (a Agent) before(major, minor int) bool {
	return a.Major < major || a.Major == major && a.Minor < minor
}

// The downloaders that an agent can have.
const (
	Curl         = "curl" // the default of agents from 1.3 on
	Optimization = "do"   // Delivery Optimization, the default before
)

// DefaultDownloader returns the downloader that an agent has if nobody chose.
func (a Agent) DefaultDownloader() string {
	if a.before(1, 3) {
		return Optimization
	}
	return Curl
}

// Code is an extendedResultCode.
type Code uint32

// String returns the 8 hexadecimal digits that agents from 1.1 on report.
func (c Code) String() string { return fmt.Sprintf("%08X", uint32(c)) }

// The codes that this package gives by name; those of the delta handler first.
const (
	codeHandlerMissing   Code = 0x90000001
	codeNoDeltas         Code = 0x90800001
	codeNoSourceHash     Code = 0x90800003
	codeDeltaPath        Code = 0x90800004
	codeProcessorMissing Code = 0x90800005
	codeProcessorDied    Code = 0x90800006
	codeNotCached        Code = 0x90800008
	codeCachePath        Code = 0x90900006
	codeProcessor        Code = 0x90A00000 // and the delta processor's own number

	codeWrongDownload Code = 0x00100003 // the downloader's check
	codeHashKind      Code = 0x40000008
	codeWrongHash     Code = 0x4000000C // the agent's check of a file that was made or fetched
	codeCurl          Code = 0x40301000 // and curl's exit status
	codeNotFound      Code = 0xD0190194 // Delivery Optimization: HTTP status 404
	codeWriteFailed   Code = 0xD0D00017 // Delivery Optimization: libcurl's error 23

	codeNoHandler    Code = 0x30000003
	codeNoSteps      Code = 0x300001F9
	codeNoScriptName Code = 0x30100007
	codeNoSWUName    Code = 0x30100008
	codeFileCount    Code = 0x30100103
	codeScriptFile   Code = 0x30100107
	codeFileV1       Code = 0x30100104
	codeFile         Code = 0x30100108
	codeNoImage      Code = 0x30100202
	codeNoResult     Code = 0x30100205
	codeInstaller    Code = 0x30101000 // and the exit status of swupdate
)

// Failure is why a deployment, or something that an agent gets over, failed.
type Failure struct {
	Code Code
	Text string
	// inStep says that the agent records the code for the step too, not only
	// for the deployment.
	inStep bool
}

// Error returns the text and the code.
func (f *Failure) Error() string { return fmt.Sprintf("%s (%s)", f.Text, f.Code) }

func failf(code Code, format string, args ...any) error {
	return &Failure{Code: code, Text: fmt.Sprintf(format, args...)}
}

// failStepf is failf for what agents record for the step too.
func failStepf(code Code, format string, args ...any) error {
	return &Failure{code, fmt.Sprintf(format, args...), true}
}

// Options say what is played.
type Options struct {
	Device
	Host
	Files   string // folder from which the update's files are fetched
	Scratch string // folder for swupdate's sockets and logs
	// HandlerError, unless 0, is the code with which the delta handler fails
	// before it looks at a delta.
	HandlerError Code
}

// Device is the device that is played.
type Device struct {
	Agent      Agent
	Downloader string // Curl or Optimization
	Base       string // of the cache
	Sandbox    string // folder for downloads
	// OwnSandbox says that Sandbox lies where a device has it, so that it is
	// on the file system of the cache or is not.
	OwnSandbox bool
	// Reboot says that the device reboots, or the agent restarts, before the update
	// is complete. Agents up to 1.0 always reboot after microsoft/swupdate:1.
	Reboot bool
	// RunScript has the update's script install, as microsoft/swupdate:2 does, in
	// place of swupdate itself.
	RunScript bool
	Installer []string // options for swupdate or the script
	// Library is the delta processor of the device.
	Library processor.Generation
	// Processor is a program that applies deltas, called with source, delta and
	// target. "" is what libadudiffapi.so does.
	Processor string
}

// Host is what a deployment needs of the program that plays it.
type Host struct {
	Stderr   io.Writer
	Verbosef func(format string, args ...any)
	Warnf    func(format string, args ...any)
	// WriteFile makes a file appear under its name complete or not at all.
	WriteFile func(path string, write func(io.Writer) error) error
	// Start starts a process that shall be ended if this one is; done says that it
	// has ended.
	Start func(*exec.Cmd) (done func(), err error)
}

// Outcomes of a deployment: what the SWU was made of.
const (
	FromDelta   = "delta"
	FromFull    = "full image"
	FromSandbox = "sandbox" // an earlier step brought it
	Installed   = "already installed"
	Failed      = "failed"
)

// deployment is one run.
type deployment struct {
	Options
	update  *Update
	soft    []*Failure // what the agent got over, in order
	outcome string
	reboot  bool
	done    []bool // steps that were installed before
	// installing says that all steps are downloaded.
	installing bool
}

// Deploy deploys an update. Where the deployment fails the error is a *Failure, and
// the report says why too.
func Deploy(u *Update, o Options) (*Report, error) {
	d := &deployment{Options: o, update: u, reboot: o.Reboot}
	step, err := d.run()
	var failure *Failure
	if err != nil && !errors.As(err, &failure) {
		return nil, err
	}
	return d.report(failure, step), err
}

// run downloads all steps and then installs one after the other. It returns the
// step that failed.
func (d *deployment) run() (int, error) {
	steps := d.update.steps
	d.done = make([]bool, len(steps))
	if len(steps) == 0 {
		return 0, failf(codeNoSteps, "the update has no steps")
	}
	if err := d.emptySandbox(); err != nil {
		return 0, err
	}
	for i, s := range steps {
		var err error
		if d.done[i], err = d.downloadStep(i, s); err != nil {
			return i, err
		}
	}
	d.installing = true
	for i, s := range steps {
		if d.done[i] {
			continue
		}
		if err := d.installStep(i, s); err != nil {
			return i, err
		}
	}
	if !slices.Contains(d.done, false) {
		d.outcome = Installed
	}
	return 0, d.cache()
}

// addSoft records something that the agent gets over.
func (d *deployment) addSoft(err error) error {
	var f *Failure
	if !errors.As(err, &f) {
		return err
	}
	d.soft = append(d.soft, f)
	d.Warnf("%v", f)
	return nil
}
