// SPDX-License-Identifier: MIT

// Adu-deploy plays the device for one deployment, with real parts.
//
// Usage:
//
//	adu-deploy [options] MANIFEST [-- INSTALLER_OPTION ...]
//
// app.Description says more. Exit status 3 says that the update is not installed.
//
//	# adu-deploy --files upload upload/Contoso.Gateway.2.0.0.importmanifest.json -- \
//	    -k /adukey/cert.pem -e stable,copy2 -H board:1.0
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"swudelta/internal/deploy"
	"swudelta/internal/fault"
	"swudelta/internal/processor"
	"swudelta/internal/sdc"
	"swudelta/internal/tool"
)

// installer holds what stands after "--", which is not for this program.
var installer []string

func main() {
	if i := slices.Index(os.Args, "--"); i > 0 {
		installer, os.Args = os.Args[i+1:], os.Args[:i]
	}
	tool.Main(app)
}

var app = &tool.Command{
	Name:    "adu-deploy",
	Usage:   "[options] MANIFEST [-- INSTALLER_OPTION ...]",
	Summary: "Deploy an update to this machine as a Device Update agent does it.",
	Description: `
Find a source in the cache, rebuild the SWU from the first delta that works, else take the
full image, check its hash, have it installed, and cache it for the next delta.

  MANIFEST          import manifest of the update, version 4.0 or 5.0
  INSTALLER_OPTION  for swupdate, such as -k cert.pem -e stable,copy1 -H board:1.0;
                    with --run-script for the script

What is printed is a JSON object. Its first part is what happens on the device, and what
the log there says:

  outcome              what the SWU was made of: "delta", "full image", or "sandbox"
                       if an earlier step brought it; "already installed"; "failed" if
                       nothing was installed
  resultCode           700: installed; 0: not
  extendedResultCode   0: nothing went wrong; else the last error of the delta
                       handler, or if it had none that of the step
  extendedResultCodes  the error of the step, then those of the delta handler (at
                       most 8)
  resultDetails        the errors in words

"twin" is what the cloud sees in the end: "state" (0 idle, 255 failed to download) and
"lastInstallResult", up to agent 1.0 with a number, from 1.1 on with hexadecimal text. An
installation that failed leaves the agent idle, with resultCode 0. The errors of the delta
handler are not in it: an update for which no delta worked looks there like one that was
made from a delta.

Agents differ. Up to 1.0 there is microsoft/swupdate:1, and the device reboots after it;
from 1.1 on there is microsoft/swupdate:2 alone. Up to 1.2 an update that reboots the
device is not cached, nor one whose download lies on another file system than the cache
(where --sandbox does). From 1.3 on curl is the downloader. Devices with two copies of the
system reboot (--reboot, or what the script says).

What the sandbox holds of the update is removed first. With --run-script the update's
script installs, called as microsoft/swupdate:2 calls it; without, swupdate does.

A delta is applied by what this project's libadudiffapi.so is made of. With --device of
a stock generation, a delta that its library does not read is refused first, as it does
it: a native delta with 90A07530 (30000), one for another generation with 90A07531 or
90A07533. --device also takes the path of a libadudiffapi.so, which is asked for its
generation as adu-probe does it. PROGRAM of --processor is called with SOURCE, DELTA and
TARGET in place of all that. An error has component 0A and the number of the delta
processor, as in 90A07539 for 30009.`,
	Example: `
# adu-deploy --files upload upload/Contoso.Gateway.2.0.0.importmanifest.json -- \
    -k /adukey/cert.pem -e stable,copy2 -H board:1.0
{
  "outcome": "delta",
  "resultCode": 700,
  ...`,
	MinArgs: 1,
	MaxArgs: 1,
	Flags: []tool.Flag{
		&tool.String{Name: "files", Arg: "DIR", Help: "folder of the update's files (default: that of MANIFEST)"},
		&tool.String{Name: "base", Arg: "DIR", Value: sdc.DefaultBase, Help: "the source update cache"},
		&tool.String{Name: "sandbox", Arg: "DIR", Help: "folder for downloads, which is kept (default: one that is removed)"},
		&tool.String{Name: "agent", Arg: "VERSION", Value: "1.1", Help: "the agent that is played"},
		&tool.String{Name: "downloader", Arg: "curl|do", Help: "its downloader: curl, or Delivery Optimization (default: the agent's)"},
		&tool.Bool{Name: "reboot", Help: "the device reboots before the update is complete"},
		&tool.Bool{Name: "run-script", Help: "have the update's script install, in place of swupdate"},
		&tool.String{Name: "device", Arg: strings.Join(processors(), "|") + "|LIBRARY", Value: native, Help: "the delta processor that the device has, or its file"},
		&tool.String{Name: "processor", Arg: "PROGRAM", Help: "have PROGRAM apply deltas"},
		&tool.String{Name: "handler-error", Arg: "CODE", Help: "have the delta handler fail with CODE before it looks at a delta"},
	},
	Run: run,
}

func run(c *tool.Context) error {
	o, err := options(c)
	if err != nil {
		return err
	}
	path := c.Arg(0)
	in, err := c.Input(0)
	if err != nil {
		return err
	}
	defer in.Close()
	update, err := deploy.ReadUpdate(in)
	if errors.Is(err, deploy.ErrNoManifest) {
		err = tool.Hint(err, "adu-manifest --check says more")
	}
	if err != nil {
		return fmt.Errorf("%s: %w", in.Name(), err)
	}
	if o.Files == "" {
		o.Files = filepath.Dir(path)
	}
	if !o.RunScript {
		if _, err := exec.LookPath("swupdate"); err != nil {
			return err
		}
	}
	work, remove, err := c.ScratchDir()
	if err != nil {
		return err
	}
	defer remove()
	o.Scratch = work
	if o.OwnSandbox = o.Sandbox != ""; !o.OwnSandbox {
		o.Sandbox = filepath.Join(work, "sandbox")
	}
	if err := os.MkdirAll(o.Sandbox, 0o777); err != nil {
		return err
	}
	if o.Sandbox, err = filepath.Abs(o.Sandbox); err != nil {
		return err
	}
	report, err := deploy.Deploy(update, o)
	if report != nil {
		if err := c.TextOutput(report.Print); err != nil {
			return err
		}
	}
	var failure *deploy.Failure
	if errors.As(err, &failure) {
		return tool.Hint(fault.Dataf("not installed: %w", err), "adu-result %s says more", failure.Code)
	}
	return err
}

// options reads the flags.
func options(c *tool.Context) (deploy.Options, error) {
	o := deploy.Options{
		Device: deploy.Device{
			Base: c.String("base"), Sandbox: c.String("sandbox"), Downloader: c.String("downloader"),
			Reboot: c.Bool("reboot"), RunScript: c.Bool("run-script"), Processor: c.String("processor"), Installer: installer,
		},
		Host:  deploy.Host{Stderr: c.Stderr(), Verbosef: c.Verbosef, Warnf: c.Warnf, WriteFile: c.WriteFile, Start: c.StartWithUs},
		Files: c.String("files"),
	}
	var err error
	if o.Agent, err = deploy.ParseAgent(c.String("agent")); err != nil {
		return o, tool.Usagef("--agent: %v", err)
	}
	switch o.Downloader {
	case "":
		o.Downloader = o.Agent.DefaultDownloader()
	case deploy.Curl, deploy.Optimization:
	default:
		return o, tool.Usagef("--downloader: got %q, want %s or %s", o.Downloader, deploy.Curl, deploy.Optimization)
	}
	if o.Library, err = library(c.String("device")); err != nil {
		return o, err
	}
	if s := c.String("handler-error"); s != "" {
		n, err := strconv.ParseUint(s, 16, 32)
		if err != nil || len(s) != 8 || n>>28 != 9 {
			return o, tool.Usagef("--handler-error: got %q, want 8 hexadecimal digits, the first a 9", s)
		}
		o.HandlerError = deploy.Code(n)
	}
	return o, nil
}

// native is the name of our own library, as --device of other tools has it.
const native = "native"

// processors are the names of all delta processors.
func processors() []string {
	names := []string{native}
	for _, g := range processor.Stock {
		names = append(names, g.Name)
	}
	return names
}

// library returns the delta processor of that name, or that a file is.
func library(name string) (processor.Generation, error) {
	if name == native {
		return processor.Ours, nil
	}
	for _, g := range processor.Stock {
		if g.Name == name {
			return g, nil
		}
	}
	if !strings.Contains(name, "/") {
		return processor.Generation{}, tool.Usagef("--device: got %q, want %s, or the path of a library with a slash in it", name, strings.Join(processors(), ", "))
	}
	g, err := processor.Probe(name)
	if err != nil {
		return g, fmt.Errorf("%s: %w", name, err)
	}
	return g, nil
}
