// SPDX-License-Identifier: MIT

package deploy

import (
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	stdhash "hash"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"

	"swudelta/internal/diffapi"
	"swudelta/internal/manifest"
	"swudelta/internal/sdc"
)

// path returns the place of a file in the sandbox.
func (d *deployment) path(name string) string { return filepath.Join(d.Sandbox, name) }

// newHash returns the function of a hash; the agent takes its name in either
// case.
func newHash(algorithm string) (stdhash.Hash, error) {
	switch strings.ToLower(algorithm) {
	case "sha1":
		return sha1.New(), nil
	case "sha224":
		return sha256.New224(), nil
	case "sha256":
		return sha256.New(), nil
	case "sha384":
		return sha512.New384(), nil
	case "sha512":
		return sha512.New(), nil
	}
	return nil, failf(codeHashKind, "the agent knows no hash %q", algorithm)
}

// hasHash reports whether a file has a hash. The agent compares the base64 text.
func hasHash(path string, want hash) (bool, error) {
	h, err := newHash(want.algorithm)
	if err != nil {
		return false, err
	}
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	if _, err := io.Copy(h, f); err != nil {
		return false, err
	}
	return base64.StdEncoding.EncodeToString(h.Sum(nil)) == want.value, nil
}

// emptySandbox removes what the update would find of itself in the sandbox. The agent makes the
// folder anew before it downloads anything; here it may hold more, which is left alone.
func (d *deployment) emptySandbox() error {
	for _, name := range d.update.names() {
		if !safeName(name) {
			continue
		}
		if err := os.Remove(d.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// download gets a file into the sandbox: what a step before has brought there, or what the
// download handler makes, or the whole. It returns what it came from.
func (d *deployment) download(f file) (origin string, err error) {
	want := f.hashes[0]
	if _, err := newHash(want.algorithm); err != nil {
		return "", err
	}
	path := d.path(f.name)
	if _, err := os.Lstat(path); err == nil {
		good, err := hasHash(path, want)
		if err != nil {
			return "", err
		}
		if good {
			return FromSandbox, nil
		}
		if err := os.Remove(path); err != nil {
			return "", err
		}
	}
	made, err := d.handle(f)
	if err != nil {
		return "", err
	}
	origin = FromDelta
	if !made {
		origin = FromFull
		if err := d.fetch(f.name, want); err != nil {
			return "", err
		}
	}
	// Here the agent does not fall back any more.
	if good, err := hasHash(path, want); err != nil {
		return "", err
	} else if !good {
		return "", failf(codeWrongHash, "%s does not have the hash of the manifest", f.name)
	}
	return origin, nil
}

// fetch brings a file from the folder of the update's files into the sandbox, and
// fails as the downloader does.
func (d *deployment) fetch(name string, want hash) error {
	in, err := os.Open(filepath.Join(d.Files, name))
	if errors.Is(err, fs.ErrNotExist) {
		if d.Downloader == Curl {
			// The agent runs curl without -f, which takes the server's error page for
			// the file.
			return failf(codeWrongDownload, "%s cannot be had", name)
		}
		return failf(codeNotFound, "%s cannot be had", name)
	}
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(d.path(name))
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err := errors.Join(err, out.Close()); err != nil {
		if !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EDQUOT) && !errors.Is(err, syscall.EFBIG) {
			return err
		}
		os.Remove(d.path(name))
		if d.Downloader == Curl {
			return failf(codeCurl|23, "%s cannot be written: %v", name, err)
		}
		return failf(codeWriteFailed, "%s cannot be written: %v", name, err)
	}
	if good, err := hasHash(d.path(name), want); err != nil {
		return err
	} else if !good {
		return failf(codeWrongDownload, "%s does not have the hash of the manifest", name)
	}
	return nil
}

// handle has the download handler make a file, and reports whether it did.
// Whatever goes wrong leads to the full file.
func (d *deployment) handle(f file) (made bool, err error) {
	switch {
	case f.handler == "":
		return false, nil
	case f.handler != manifest.DeltaHandler:
		return false, d.addSoft(failf(codeHandlerMissing, "%s: the download handler %s is not registered", f.name, f.handler))
	case d.HandlerError != 0:
		return false, d.addSoft(failf(d.HandlerError, "the delta handler fails, as asked for"))
	case f.related == nil:
		if d.Agent.before(1, 3) { // which take a seed for a fault
			err = d.addSoft(failf(codeNoDeltas, "%s has no deltas", f.name))
		}
		return false, err
	}
	for _, delta := range f.related {
		err := d.tryDelta(delta, f.name)
		if err == nil {
			return true, nil
		}
		if err := d.addSoft(err); err != nil {
			return false, err
		}
	}
	return false, nil
}

// tryDelta makes the file target out of the cache and a delta.
func (d *deployment) tryDelta(related delta, target string) error {
	value, algorithm := related.properties[manifest.SourceHash], related.properties[manifest.SourceAlgorithm]
	if value == "" || algorithm == "" {
		return failf(codeNoSourceHash, "%s: the source's hash is not in its properties", related.name)
	}
	source, err := sdc.Path(d.Base, d.update.provider, algorithm, value)
	if err != nil {
		return failf(codeCachePath, "%s: %v", related.name, err)
	}
	// The agent looks for a file that its owner may read, and nothing more.
	if info, err := os.Stat(source); err != nil || !info.Mode().IsRegular() || info.Mode()&0o400 == 0 {
		return failf(codeNotCached, "%s: its source is not in the cache", related.name)
	}
	if !safeName(related.name) || related.name == target {
		return failf(codeDeltaPath, "%q is not a name for a file in the sandbox", related.name)
	}
	if _, err := d.download(file{name: related.name, hashes: related.hashes}); err != nil {
		return err
	}
	path := d.path(related.name)
	defer os.Remove(path)
	d.Verbosef("applying %s to %s", related.name, source)
	err = d.apply(source, path, d.path(target))
	if err != nil {
		os.Remove(d.path(target))
	}
	return err
}

// apply applies a delta as libadudiffapi.so does, or with a program.
func (d *deployment) apply(source, diff, target string) error {
	if d.Processor != "" {
		return d.process(source, diff, target)
	}
	if err := d.readable(diff); err != nil {
		return err
	}
	var s diffapi.Session
	n := s.Apply(source, diff, target)
	if n == 0 {
		return nil
	}
	e := s.Error(n - 1) // the agent reports the last
	return failf(codeProcessor|Code(e.Code)&0xFFFFF, "%s cannot be applied: %s", filepath.Base(diff), e.Text)
}

// processorNumber finds the number of an error in the output of bsapply, and of the
// reference's applydiff, of 1.0 and 3.0.
var processorNumber = regexp.MustCompile(`(?:\((?:error )?|Code: )([0-9]{1,6})[),]`)

// process applies a delta with a program.
func (d *deployment) process(source, diff, target string) error {
	cmd := exec.Command(d.Processor, source, diff, target)
	output, err := cmd.CombinedOutput()
	name := filepath.Base(diff)
	var exit *exec.ExitError
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &exit):
		return failf(codeProcessorMissing, "%s cannot be started: %v", d.Processor, err)
	}
	d.Stderr.Write(output)
	if status := exit.Sys().(syscall.WaitStatus); status.Signaled() {
		return failf(codeProcessorDied, "%s: %s was killed by signal %d", name, d.Processor, status.Signal())
	}
	number := 1
	if all := processorNumber.FindAllSubmatch(output, -1); all != nil {
		number, _ = strconv.Atoi(string(all[len(all)-1][1])) // at most six digits
	}
	return failf(codeProcessor|Code(number)&0xFFFFF, "%s cannot be applied", name)
}
