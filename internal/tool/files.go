// SPDX-License-Identifier: MIT

package tool

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/term"

	"swudelta/internal/newfile"
	"swudelta/internal/progress"
)

// pendingFiles are outputs that have not got their final name yet. They are
// removed when the command fails and when a signal ends it.
type pendingFiles struct {
	mu        sync.Mutex
	paths     map[string]bool
	processes map[*os.Process]bool // killed, with their groups, before the files go
	ending    bool
}

var pending = pendingFiles{paths: map[string]bool{}, processes: map[*os.Process]bool{}}

// create adds what make makes, a file or folder. A signal waits for it, and behind one
// nothing is made any more, so that none is left that nobody knows.
func (p *pendingFiles) create(make func() (path string, err error)) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ending {
		return os.ErrProcessDone
	}
	path, err := make()
	if err == nil {
		p.paths[path] = true
	}
	return err
}

// mkdir is os.MkdirTemp for a folder that is pending.
func (p *pendingFiles) mkdir(dir, pattern string) (path string, err error) {
	err = p.create(func() (string, error) {
		path, err = os.MkdirTemp(dir, pattern)
		return path, err
	})
	return path, err
}

func (p *pendingFiles) done(path string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.paths, path)
}

func (p *pendingFiles) removeAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ending = true
	for process := range p.processes {
		syscall.Kill(-process.Pid, syscall.SIGKILL)
	}
	clear(p.processes)
	for path := range p.paths {
		// What still runs may put files into a folder while it is removed.
		for range 100 {
			if os.RemoveAll(path) == nil {
				break
			}
			time.Sleep(time.Millisecond)
		}
	}
	clear(p.paths)
}

// signalled is true while a signal ends the process.
var signalled atomic.Bool

// handleSignals makes SIGINT, SIGTERM and SIGHUP remove the pending outputs
// and then end the process as if they had not been caught, so that a shell sees
// the signal. Signals that were ignored at the start stay ignored (nohup,
// background jobs). SIGPIPE is left to the runtime, which dies of it silently.
func handleSignals() {
	ch := make(chan os.Signal, 1)
	for _, s := range []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		if !signal.Ignored(s) {
			signal.Notify(ch, s)
		}
	}
	go func() {
		s := <-ch
		signalled.Store(true)
		screen.end()
		children.end()
		pending.removeAll()
		signal.Reset(s)
		syscall.Kill(os.Getpid(), s.(syscall.Signal))
	}()
}

// Input is an operand that is read from start to end.
type Input struct {
	io.Reader
	name string
	file *os.File
}

// Name returns the operand, or "standard input".
func (in *Input) Name() string { return in.name }

// Close closes the file.
func (in *Input) Close() error { return in.file.Close() }

const stdinName = "standard input"

// Input opens operand i for reading. An absent operand and "-" are standard
// input, which only one input can be.
func (c *Context) Input(i int) (*Input, error) {
	f, name, err := c.operand(i)
	if err != nil {
		return nil, err
	}
	return c.input(f, name), nil
}

// Open is Input for a path named by a flag.
func (c *Context) Open(path string) (*Input, error) {
	f, name, err := c.open(path)
	if err != nil {
		return nil, err
	}
	return c.input(f, name), nil
}

func (c *Context) input(f *os.File, name string) *Input {
	in := &Input{Reader: f, name: name, file: f}
	if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
		in.Reader = c.Progress().Start("read", progress.Bytes, info.Size()).Reader(f)
	}
	return in
}

func (c *Context) operand(i int) (*os.File, string, error) {
	if i >= len(c.args) {
		if term.IsTerminal(int(os.Stdin.Fd())) {
			return nil, "", Usagef("no input: %s %s", c.cmd.Name, c.cmd.Usage)
		}
		return c.open("-")
	}
	return c.open(c.args[i])
}

func (c *Context) open(path string) (*os.File, string, error) {
	if path == "-" {
		if c.stdinUsed {
			return nil, "", Usagef("two inputs are standard input")
		}
		c.stdinUsed = true
		return os.Stdin, stdinName, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, "", err
	}
	if info, err := f.Stat(); err != nil || info.IsDir() {
		f.Close()
		if err == nil {
			err = &fs.PathError{Op: "open", Path: path, Err: syscall.EISDIR}
		}
		return nil, "", err
	}
	return f, path, nil
}

// File is an operand that is read at random.
type File struct {
	*os.File
	name string
	size int64
}

// Name returns the operand, or "standard input".
func (f *File) Name() string { return f.name }

// Size returns the number of bytes.
func (f *File) Size() int64 { return f.size }

// InputAt opens operand i for reading at random, with Input's rules for
// standard input. What is no regular file is first copied to scratch space.
func (c *Context) InputAt(i int) (*File, error) {
	f, name, err := c.operand(i)
	if err != nil {
		return nil, err
	}
	return c.randomAccess(f, name)
}

// OpenAt is InputAt for a path named by a flag.
func (c *Context) OpenAt(path string) (*File, error) {
	f, name, err := c.open(path)
	if err != nil {
		return nil, err
	}
	return c.randomAccess(f, name)
}

func (c *Context) randomAccess(f *os.File, name string) (*File, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Mode()&fs.ModeDevice != 0 && info.Mode()&fs.ModeCharDevice == 0 {
		// A block device is as good as a file, but stat does not know its size.
		size, err := f.Seek(0, io.SeekEnd)
		if err != nil {
			return nil, err
		}
		return &File{f, name, size}, nil
	}
	if info.Mode().IsRegular() {
		// Standard input may stand in the middle of a file: what counts is
		// what a reader would get.
		if at, err := f.Seek(0, io.SeekCurrent); err == nil && at == 0 {
			return &File{f, name, info.Size()}, nil
		}
	}
	defer f.Close()
	spool, err := c.Scratch()
	if err != nil {
		return nil, err
	}
	size, err := io.Copy(spool, c.Progress().Start("read", progress.Bytes, 0).Reader(f))
	if err != nil {
		spool.Close()
		return nil, fmt.Errorf("copy %s to scratch space: %w", name, err)
	}
	return &File{spool, name, size}, nil
}

// Scratch returns newfile.Unnamed of the command.
func (c *Context) Scratch() (*os.File, error) { return newfile.Unnamed(c.cmd.Name) }

// ScratchDir returns a private folder for temporary files; remove deletes it,
// and so do failure and signals.
func (c *Context) ScratchDir() (dir string, remove func(), err error) {
	if dir, err = pending.mkdir("", c.cmd.Name+".*"); err != nil {
		return "", nil, err
	}
	return dir, func() { os.RemoveAll(dir); pending.done(dir) }, nil
}

// StartWithUs starts a child process, which must lead its own process group, and
// has it killed when the command fails and when a signal ends it. done says that it
// has ended.
func (c *Context) StartWithUs(cmd *exec.Cmd) (done func(), err error) {
	pending.mu.Lock() // a signal waits until it is known whom to kill
	defer pending.mu.Unlock()
	if pending.ending {
		return nil, os.ErrProcessDone
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	pending.processes[cmd.Process] = true
	return func() {
		pending.mu.Lock()
		defer pending.mu.Unlock()
		delete(pending.processes, cmd.Process)
	}, nil
}

// StagingDir returns an empty hidden folder in dir, for outputs that get their
// names only when all of them are complete; remove deletes it, and so do failure
// and signals.
func (c *Context) StagingDir(dir string) (staging string, remove func(), err error) {
	if staging, err = pending.mkdir(dir, "."+c.cmd.Name+".*"); err != nil {
		return "", nil, err
	}
	return staging, func() { os.RemoveAll(staging); pending.done(staging) }, nil
}

// Output hands write the product's destination: the file named by -o, which
// gets its name only if write returns nil, or standard output. Standard output
// must not be a terminal unless -o - insists. The file, unlike standard output,
// also implements io.ReaderAt and io.WriterAt.
func (c *Context) Output(write func(io.Writer) error) error {
	if err := c.checkTerminal(); err != nil {
		return err
	}
	return c.TextOutput(write)
}

// TextOutput is Output for a product that a terminal can show.
func (c *Context) TextOutput(write func(io.Writer) error) error {
	if path := c.String("output"); path != "" && path != "-" {
		return c.WriteFile(path, write)
	}
	out := io.Writer(struct{ io.Writer }{os.Stdout})
	if term.IsTerminal(int(os.Stdout.Fd())) {
		out = untilShown{out}
	}
	w := bufio.NewWriterSize(out, 64<<10)
	if err := write(w); err != nil {
		return err
	}
	return w.Flush()
}

// checkTerminal refuses to write what is binary to a terminal.
func (c *Context) checkTerminal() error {
	if c.String("output") == "" && term.IsTerminal(int(os.Stdout.Fd())) {
		return Hint(Usagef("the output is binary and standard output is a terminal"), "name a file with -o, or force it with -o -")
	}
	return nil
}

// checkOutputs tells before the work begins what could not be written at its end:
// the file of -o and those of other flags that name an output, and a binary product
// on a terminal unless -o - insists.
func (c *Context) checkOutputs() error {
	if c.cmd.Binary != nil && c.cmd.Binary(c) {
		if err := c.checkTerminal(); err != nil {
			return err
		}
	}
	for _, f := range allFlags(c.cmd) {
		f, ok := f.(*String)
		if !ok || !f.Output {
			continue
		}
		if path := c.String(f.Name); path != "" && path != "-" {
			if err := checkWritable(path); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkWritable reports why WriteFile could not write path.
func checkWritable(path string) error {
	d, err := findDestination(path)
	if err != nil {
		return err
	}
	if d.special {
		// Opening a pipe would wait for its reader.
		if err := syscall.Access(d.path, accessWrite); err != nil {
			return &fs.PathError{Op: "open", Path: path, Err: err}
		}
		return nil
	}
	f, err := createBeside(d.path)
	if err != nil {
		return err
	}
	defer pending.done(f.Name())
	defer os.Remove(f.Name())
	return f.Close()
}

// accessWrite is W_OK of access(2).
const accessWrite = 2

// destination is where an output goes.
type destination struct {
	path    string      // without symbolic links, if there is a file
	mode    fs.FileMode // of the file to replace; 0: there is none
	special bool        // a device, a pipe, or a file without a name: written directly
}

// findDestination follows the links of path. A folder is no destination.
func findDestination(path string) (destination, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return destination{path: path}, nil
	case err != nil:
		if named := (*fs.PathError)(nil); errors.As(err, &named) {
			named.Op = "open" // a file where a folder should be, a ring of links
		}
		return destination{}, err
	case info.IsDir():
		return destination{}, &fs.PathError{Op: "write", Path: path, Err: syscall.EISDIR}
	case !info.Mode().IsRegular():
		return destination{path: path, special: true}, nil
	}
	resolved, err := filepath.EvalSymlinks(path)
	if errors.Is(err, fs.ErrNotExist) {
		// A file that has no name any more, behind /dev/stdout.
		return destination{path: path, special: true}, nil
	}
	return destination{path: resolved, mode: info.Mode().Perm()}, err
}

// WriteFile writes a file that appears under its name complete or not at all:
// it is written beside its place, brought to disk, and renamed. An existing
// file is replaced and keeps its mode. What is no regular file (a device, a
// pipe) is written directly.
func (c *Context) WriteFile(path string, write func(io.Writer) error) error {
	d, err := findDestination(path)
	if err != nil {
		return err
	}
	if d.special {
		return writeDirectly(d.path, write)
	}
	path = d.path
	f, err := createBeside(path)
	if err != nil {
		return err
	}
	defer f.Close()
	defer os.Remove(f.Name())
	defer pending.done(f.Name())
	if d.mode != 0 {
		if err := f.Chmod(d.mode); err != nil {
			return err
		}
	}
	if err := write(f); err != nil {
		return err
	}
	return newfile.Commit(f, path)
}

func writeDirectly(path string, write func(io.Writer) error) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0) // a file may have been longer
	if err != nil {
		return err
	}
	defer f.Close()
	w := bufio.NewWriterSize(struct{ io.Writer }{f}, 64<<10)
	if err := write(w); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return f.Close()
}

// createBeside makes a file with an unused name in the folder of path, which goes if the
// command ends before it is done.
func createBeside(path string) (*os.File, error) {
	var f *os.File
	err := pending.create(func() (name string, err error) {
		if f, err = newfile.Create(path); err == nil {
			name = f.Name()
		}
		return name, err
	})
	return f, err
}

// Passphrase asks for a secret on the terminal without echoing it.
func (c *Context) Passphrase(prompt string) ([]byte, error) {
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("no terminal to ask for a passphrase: %w", err)
	}
	defer tty.Close()
	screen.message(tty, prompt)
	defer fmt.Fprintln(tty)
	return term.ReadPassword(int(tty.Fd()))
}
