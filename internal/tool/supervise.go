// SPDX-License-Identifier: MIT

package tool

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A Go process that the system refuses memory cannot be saved: the runtime prints
// the stacks of all goroutines and ends it with status 2, which means wrong usage
// here. Where memory can be refused at all, a command therefore runs in a child
// process, and its parent says in one line what has happened.

// childMark is the variable that tells a process that it is that child. Its value is a file
// descriptor: the standard error of the parent, which the progress of the child goes to.
const childMark = "SWUDELTA_SUPERVISED"

// standardError is where progress goes unless a flag says otherwise.
var standardError = os.Stderr

// memoryIsLimited reports whether the system may refuse memory: by a limit of this
// process (ulimit -v, -d), because it never promises more than it has, or because
// addresses have 32 bits. Else, without memory, it kills a process.
func memoryIsLimited() bool {
	const data, addresses = 2, 9 // RLIMIT_DATA and RLIMIT_AS of getrlimit(2)
	for _, resource := range []int{data, addresses} {
		var limit syscall.Rlimit
		if err := syscall.Getrlimit(resource, &limit); err == nil && limit.Cur < 1<<62 {
			return true
		}
	}
	overcommit, _ := os.ReadFile("/proc/sys/vm/overcommit_memory")
	return ^uint(0)>>32 == 0 || strings.TrimSpace(string(overcommit)) == "2"
}

// supervise runs this program once more as a child, with the same streams, signals
// and end, and returns its status. ok is false where it has not done so, and is not
// to: in the child, and where memory is not limited.
func supervise(name string) (status int, ok bool) {
	if mark := os.Getenv(childMark); mark != "" {
		os.Unsetenv(childMark) // is nothing for programs that the command runs
		if fd, err := strconv.Atoi(mark); err == nil {
			syscall.CloseOnExec(fd) // is nothing for them either
			standardError = os.NewFile(uintptr(fd), os.Stderr.Name())
		}
		return 0, false
	}
	if !memoryIsLimited() {
		return 0, false
	}
	program, err := os.Executable()
	if err != nil {
		return 0, false
	}
	terminal, err := syscall.Dup(syscall.Stderr) // not closed on exec, so the child has it
	if err != nil {
		return 0, false
	}
	// The kernel ends the child with the thread that started it.
	runtime.LockOSThread()
	cmd := &exec.Cmd{
		Path: program, Args: os.Args, Env: append(os.Environ(), fmt.Sprint(childMark, "=", terminal)),
		Stdin: os.Stdin, Stdout: os.Stdout,
		SysProcAttr: &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL},
	}
	r, w, err := os.Pipe()
	if err != nil {
		return 0, false
	}
	cmd.Stderr = w
	signals := make(chan os.Signal, 8)
	for _, s := range []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		if !signal.Ignored(s) {
			signal.Notify(signals, s)
		}
	}
	if err := cmd.Start(); err != nil {
		signal.Reset()
		return 0, false
	}
	w.Close()
	messages := &childMessages{File: r}
	crashes := make(chan []byte)
	go func() { crashes <- passMessages(os.Stderr, messages) }()
	go func() {
		for s := range signals {
			cmd.Process.Signal(s)
		}
	}()
	err = cmd.Wait()
	messages.end()
	crash := <-crashes
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		return exitEnvironment, true
	}
	state := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if state.Signaled() {
		dieOf(state.Signal())
	}
	if len(crash) > 0 && outOfMemory.Match(crash) {
		fmt.Fprintf(os.Stderr, "%s: out of memory\n", name)
		return exitEnvironment, true
	}
	os.Stderr.Write(crash)
	return state.ExitStatus(), true
}

// childMessages reads what the child writes to standard error. Whatever a program that the child
// leaves behind still has of that, there is no more of it once the child has ended.
type childMessages struct{ *os.File }

// end says that the child has ended. It wakes a Read that waits.
func (m *childMessages) end() { m.SetReadDeadline(time.Unix(1, 0)) }

func (m *childMessages) Read(b []byte) (n int, err error) {
	n, err = m.File.Read(b)
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return n, err
	}
	// What it wrote is there, and is read without waiting for more.
	conn, err := m.SyscallConn()
	if err != nil {
		return 0, err
	}
	m.SetReadDeadline(time.Time{})
	defer m.end()
	conn.Read(func(fd uintptr) bool {
		n, err = syscall.Read(int(fd), b)
		return true
	})
	if n <= 0 {
		return 0, io.EOF
	}
	return n, nil
}

// crashStart is the first line of what the Go runtime prints when it ends a process,
// and outOfMemory what it prints for want of memory, or of threads, which need some.
var (
	crashStart  = regexp.MustCompile(`^(runtime: |runtime/cgo: |fatal error: |panic: |SIG[A-Z]+: )`)
	outOfMemory = regexp.MustCompile(`(?m)^(fatal error: .*(out of memory|cannot allocate|cannot map|failed to (reserve|allocate|map)|newosproc|thread)|runtime: (out of memory|cannot (allocate|map)|failed to create new OS thread))`)
)

// passMessages copies lines from r to w up to one that begins a crash, and returns the
// rest.
func passMessages(w io.Writer, r io.Reader) (crash []byte) {
	in := bufio.NewReader(r)
	for {
		line, err := in.ReadSlice('\n')
		if crashStart.Match(line) {
			crash = bytes.Clone(line)
			rest, _ := io.ReadAll(io.LimitReader(in, 1<<20))
			io.Copy(io.Discard, in)
			return append(crash, rest...)
		}
		w.Write(line)
		if err != nil && err != bufio.ErrBufferFull {
			return nil
		}
	}
}

// dieOf ends this process as the child was ended.
func dieOf(s syscall.Signal) {
	signal.Reset()
	if s == syscall.SIGPIPE {
		// The runtime heeds it only where it comes of writing to standard output.
		if r, w, err := os.Pipe(); err == nil {
			r.Close()
			syscall.Dup3(int(w.Fd()), 1, 0)
			os.Stdout.Write([]byte{0})
		}
	}
	syscall.Kill(os.Getpid(), s)
	os.Exit(128 + int(s)) // one that does not end a Go process
}
