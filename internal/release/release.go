// SPDX-License-Identifier: MIT

// Package release makes all that is published for one release: the recompressed
// target, a delta from each source, a table of what each costs, and the import
// manifest. It decides what has to be made, in which order and with how much memory;
// the work itself is done by programs of the project (swu-recompress, DiffGenTool,
// adu-manifest), which it runs as children.
//
// Each step leaves a record of what it was made from, so that a run that was ended
// goes on where it stopped, several processes can share a folder, and what is damaged
// is made again.
package release

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"

	"swudelta/internal/fault"
	"swudelta/internal/progress"
)

// File is an SWU, and what it is called in the names of products.
type File struct{ Name, Path string }

var fileName = regexp.MustCompile(`^[^/[:cntrl:]]+$`)

// ParseFile reads an operand, [NAME=]PATH. The default of NAME is the file name
// without .swu; what has a slash before the = is a path.
func ParseFile(operand string) (File, error) {
	name, path, named := strings.Cut(operand, "=")
	if !named || strings.Contains(name, "/") {
		path = operand
		name = strings.TrimSuffix(filepath.Base(path), ".swu")
	}
	if !fileName.MatchString(name) || name == "." || name == ".." {
		return File{}, fmt.Errorf("%q: %q cannot be a file's name", operand, name)
	}
	return File{name, path}, nil
}

// Options describe a release and how to make it.
type Options struct {
	Dir     string // where all of it goes
	Target  File
	Sources []File
	Tools   Tools

	AsIs       bool   // Target is recompressed already
	DeltasOnly bool   // no summary and no manifest
	Sign       string // shell command that signs sw-description; empty: none
	// DeviceCounts maps the name of each source to the number of devices that run it;
	// nil: not known.
	DeviceCounts map[string]int64
	All          bool // make also deltas that cannot be among the best

	// Devices are the kinds of devices that get deltas, as DiffGenTool has them, in the order
	// of the manifest.
	Devices  []string
	KeepTime bool // a manifest in which nothing else changed keeps its time of creation

	Flags
	Memory int64 // bytes for all deltas together; 0: half of what is free
	Jobs   int   // deltas at a time; 0: as memory and processors allow
}

// Flags are passed on to the programs that do the work.
type Flags struct {
	Recompress []string // for swu-recompress
	Delta      []string // for DiffGenTool, but for --device
	Manifest   []string // for adu-manifest; none: no manifest
	Libzstd    string   // path, for all that take one; empty: they find one
	Quiet      bool     // for all
}

// release is what the target is called without a note that it is recompressed.
func (o *Options) release() string { return strings.TrimSuffix(o.Target.Name, "-recompressed") }

// FullPath is that of the recompressed target.
func (o *Options) FullPath() string {
	if o.AsIs {
		return o.Target.Path
	}
	return filepath.Join(o.Dir, o.release()+"-recompressed.swu")
}

// Tools are what the caller's process does for this package.
type Tools struct {
	// Run runs a child, which must end when the process does.
	Run func(*exec.Cmd) error
	// Say prints a line of the product, Warn a warning, and Fail an error that does not
	// end the run. They may be called from several goroutines.
	Say, Warn, Fail func(string)
	// Share has a child show its own progress, while no stage of Progress is open.
	Share func(*exec.Cmd)
	// Follow has a child report its progress to a stage, which may be nil, until stop is called.
	Follow   func(*exec.Cmd, *progress.Stage) (stop func(), err error)
	Progress *progress.Meter
}

// ChildError says that a program ended with an exit status of its own.
type ChildError struct {
	Program string
	Status  int
}

func (e *ChildError) Error() string {
	return fmt.Sprintf("%s ended with status %d", e.Program, e.Status)
}

// run is a release in the making.
type run struct {
	Options
	work      string // folder of records
	version   string // of the tools
	zstd      string // digest of Libzstd
	full      string // path of the recompressed target
	sum       string // its digest
	size      int64  // its bytes
	processor int    // processors for each job
}

// Make makes the release. Where a delta fails the others are made nevertheless, and
// the first failure, in the order of the sources, is returned.
func Make(o Options) error {
	r := &run{Options: o, work: filepath.Join(o.Dir, "work")}
	for _, dir := range []string{r.work, filepath.Join(o.Dir, "logs")} {
		if err := os.MkdirAll(dir, 0o777); err != nil {
			return err
		}
	}
	if !o.DeltasOnly {
		unlock, err := lock(filepath.Join(r.work, "lock"), false)
		if errors.Is(err, errLocked) {
			return fmt.Errorf("%s is in use by another run of release-deltas", o.Dir)
		} else if err != nil {
			return err
		}
		defer unlock()
	}
	if err := r.prepare(); err != nil {
		return err
	}
	if err := r.recompress(); err != nil {
		return err
	}
	if err := r.share(); err != nil {
		return err
	}
	steps := r.makeDeltas()
	if !o.DeltasOnly {
		chosen := r.choose(steps)
		if err := r.summarise(steps, chosen); err != nil {
			return err
		}
		if err := firstFailure(steps); err != nil {
			return err
		}
		return r.manifest(chosen)
	}
	return firstFailure(steps)
}

// prepare learns what the keys of all steps have in common.
func (r *run) prepare() error {
	out, err := r.output("DiffGenTool", "--version")
	if err != nil {
		return err
	}
	r.version = strings.TrimSpace(out)
	if r.Libzstd != "" {
		if r.zstd, _, err = sumFile(r.Libzstd); err != nil {
			return err
		}
	}
	return nil
}

// recompress makes the full image, unless it is there.
func (r *run) recompress() (err error) {
	r.full = r.FullPath()
	r.Target.Name = r.release()
	if !r.AsIs {
		if err := r.recompressTo(r.full); err != nil {
			return err
		}
	}
	r.sum, r.size, err = sumFile(r.full)
	return err
}

func (r *run) recompressTo(path string) error {
	name := filepath.Join(r.work, r.Target.Name+".target")
	unlock, err := lock(name+".lock", true)
	if err != nil {
		return err
	}
	defer unlock()
	sum, before, err := sumFile(r.Target.Path)
	if err != nil {
		return err
	}
	key := keyOf(append([]string{"recompress", r.version, r.zstd, sum, r.Sign}, r.Recompress...)...)
	if old := readRecord(name); old.key == key {
		if intact, err := old.isIntact(path); intact || err != nil {
			return err
		}
	}
	args := append(r.common(), r.Recompress...)
	args = append(args, r.libzstd()...)
	if r.Sign != "" {
		args = append(args, "--sign", r.Sign)
	}
	cmd, err := r.command("swu-recompress", append(args, "-o", path, "--", r.Target.Path)...)
	if err != nil {
		return err
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	r.Tools.Share(cmd)
	if err := r.Tools.Run(cmd); err != nil {
		return asChildError("swu-recompress", err)
	}
	sum, after, err := sumFile(path)
	if err != nil {
		return err
	}
	r.Tools.Say(fmt.Sprintf("%s: recompressed, %d to %d bytes", r.Target.Name, before, after))
	return record{key, sum, made, after, "0"}.write(name)
}

// share finds how many deltas to make at a time, and each one's part of the memory
// and of the processors.
func (r *run) share() error {
	processors := runtime.NumCPU()
	if r.Memory == 0 {
		var err error
		if r.Memory, err = halfOfFree(); err != nil {
			return err
		}
	}
	if r.Jobs == 0 {
		// bsdelta takes about this much for an image of that size.
		r.Jobs = int(min(r.Memory/(512<<20+8*r.size), int64(processors)))
	}
	r.Jobs = max(1, min(r.Jobs, len(r.Sources)*len(r.Devices)))
	r.processor = max(1, processors/r.Jobs)
	return nil
}

// common are the flags that every child gets.
func (r *run) common() []string {
	if r.Quiet {
		return []string{"-q"}
	}
	return nil
}

func (r *run) libzstd() []string {
	if r.Libzstd == "" {
		return nil
	}
	return []string{"--libzstd", r.Libzstd}
}

// command prepares a program of the project, which lies beside this one, in ../bin or
// ../scripts from there, or on PATH.
func (r *run) command(name string, args ...string) (*exec.Cmd, error) {
	path, err := find(name)
	if err != nil {
		return nil, err
	}
	return exec.Command(path, args...), nil
}

func find(name string) (string, error) {
	if self, err := os.Executable(); err == nil {
		if resolved, err := filepath.EvalSymlinks(self); err == nil {
			self = resolved
		}
		for _, dir := range []string{".", "../scripts", "../bin"} {
			if path, err := exec.LookPath(filepath.Join(filepath.Dir(self), dir, name)); err == nil {
				return path, nil
			}
		}
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("%s: not found beside release-deltas, in ../scripts or ../bin from there, or on PATH", name)
	}
	return path, nil
}

// output runs a program for what it prints.
func (r *run) output(name string, args ...string) (string, error) {
	cmd, err := r.command(name, args...)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	if err := r.Tools.Run(cmd); err != nil {
		return "", asChildError(name, err)
	}
	return out.String(), nil
}

// asChildError makes a ChildError of one that says that the child has ended. What a
// signal ended has status 1: it may be worth another try.
func asChildError(name string, err error) error {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return fmt.Errorf("run %s: %w", name, err)
	}
	status := exit.ExitCode()
	if status < 0 || status > 3 {
		return fmt.Errorf("%s: %w", name, err)
	}
	return &ChildError{name, status}
}

// Devices finds the number of devices of each source in a table, whose rows may call
// it by its name, its path or its file name. A name that fits no source is passed
// over; a source without a row is a fault of the data.
func Devices(sources []File, rows []Row) (map[string]int64, error) {
	const several = "/" // no source is called that
	index := map[string]string{}
	for _, s := range sources {
		words := []string{s.Path}
		if base := filepath.Base(s.Path); base != s.Path {
			words = append(words, base)
		}
		for _, word := range words {
			if index[word] == "" {
				index[word] = s.Name
			} else {
				index[word] = several
			}
		}
	}
	for _, s := range sources {
		index[s.Name] = s.Name
	}
	counts := map[string]int64{}
	for _, row := range rows {
		switch name := index[row.Source]; name {
		case "":
		case several:
			return nil, fault.Dataf("several sources are called %q", row.Source)
		default:
			counts[name] = row.Devices
		}
	}
	for _, s := range sources {
		if _, ok := counts[s.Name]; !ok {
			return nil, fault.Dataf("there is no row for %s", s.Name)
		}
	}
	return counts, nil
}

// halfOfFree is half of the memory that the machine, or the container, has left.
func halfOfFree() (int64, error) {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, err
	}
	var free int64
	for line := range strings.Lines(string(text)) {
		if _, err := fmt.Sscanf(line, "MemAvailable: %d kB", &free); err == nil {
			free <<= 10
			break
		}
	}
	limit, err := os.ReadFile("/sys/fs/cgroup/memory.max")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	var n int64
	if _, err := fmt.Sscanf(string(limit), "%d", &n); err == nil && n < free {
		free = n
	}
	return free / 2, nil
}
