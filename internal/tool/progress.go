// SPDX-License-Identifier: MIT

package tool

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/term"

	"swudelta/internal/progress"
)

// Forms of progress, as --progress takes them.
const (
	progressAuto = "auto"
	progressJSON = "json"
	progressNone = "none"
)

const (
	// drawDelay is how long a command takes at least before its line is drawn: shorter ones
	// would only flicker.
	drawDelay = time.Second
	drawEvery = 200 * time.Millisecond
	jsonEvery = time.Second
	eraseLine = "\r\x1b[K"
)

// Progress is what the work of a command reports to. It is nil where nobody looks.
func (c *Context) Progress() *progress.Meter { return screen.meter }

// screen shows the progress of this process.
var screen display

// display shows a meter: as one line of a terminal that is drawn again and again, with a clock,
// so that it never stands still, and erased for messages and at the end; or as lines of JSON.
type display struct {
	mu    sync.Mutex
	name  string // of the command
	out   *os.File
	json  bool
	start time.Time
	shown bool // the line is on the terminal
	ended bool

	meter *progress.Meter
	quit  chan struct{}
}

// progressFlags are those of every command.
func progressFlags() []Flag {
	return []Flag{
		&String{Name: "progress", Arg: progressAuto + "|" + progressJSON + "|" + progressNone, Value: progressAuto, Help: "how far the work is: a line on a terminal, one JSON object a line, or nothing"},
		&Int{Name: "progress-fd", Arg: "N", Help: "file descriptor that progress goes to; default: standard error"},
	}
}

// startProgress begins to show the progress of the command, if anybody looks.
func (c *Context) startProgress() error {
	form := c.String("progress")
	if !slices.Contains([]string{progressAuto, progressJSON, progressNone}, form) {
		return Usagef("--progress %q: want %s, %s or %s", form, progressAuto, progressJSON, progressNone)
	}
	out := standardError
	if c.IsSet("progress-fd") {
		fd := c.Int("progress-fd")
		var info syscall.Stat_t
		if fd < 0 || syscall.Fstat(fd, &info) != nil {
			return Usagef("--progress-fd %d: it is not open", fd)
		}
		out = os.NewFile(uintptr(fd), fmt.Sprint("file descriptor ", fd))
		// Whoever waits for its end is not to wait for what a program that this command
		// runs leaves behind; children that are to have it get it (ShareProgress).
		if fd > syscall.Stderr {
			syscall.CloseOnExec(fd)
		}
	}
	screen.out = out // the descriptor is open as long as the file is used
	switch {
	case form == progressNone || c.Quiet():
		return nil
	case form == progressAuto && (!term.IsTerminal(int(out.Fd())) || os.Getenv("TERM") == "dumb"):
		return nil
	}
	screen.run(c.cmd.Name, form == progressJSON)
	return nil
}

// ShareProgress has a child, which is a tool of the project, show its own progress where that of
// this command goes. Meanwhile no stage is to be open here.
func (c *Context) ShareProgress(cmd *exec.Cmd) {
	if screen.meter == nil {
		progressOf(cmd, progressNone, nil)
		return
	}
	progressOf(cmd, c.String("progress"), screen.out)
}

// FollowProgress has a child, which is a tool of the project, report to a stage of this command
// what it deals with, in all its stages. If the stage is nil, it shows nothing. stop is to be called
// when the child has ended.
func (c *Context) FollowProgress(cmd *exec.Cmd, stage *progress.Stage) (stop func(), err error) {
	if stage == nil {
		progressOf(cmd, progressNone, nil)
		return func() {}, nil
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	progressOf(cmd, progressJSON, w)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		follow(r, stage)
	}()
	return func() {
		// What the child left behind may have it open: its end is not waited for.
		w.Close()
		r.Close()
		<-ended
	}, nil
}

// follow adds to a stage what lines of JSON tell of others, as display writes them.
func follow(r io.Reader, stage *progress.Stage) {
	var last line
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		var now line
		if json.Unmarshal(lines.Bytes(), &now) != nil {
			continue
		}
		if now.Tool != last.Tool || now.Stage != last.Stage || now.Done < last.Done {
			last.Done = 0 // another stage
		}
		stage.Add(now.Done - last.Done)
		last = now
	}
	io.Copy(io.Discard, r) // whoever writes is not to wait
}

// line is one of JSON.
type line struct {
	Tool string `json:"tool"`
	progress.State
}

// progressOf has a child show its progress in some form on a file.
func progressOf(cmd *exec.Cmd, form string, out *os.File) {
	flags := []string{"--progress", form}
	if out != nil {
		cmd.ExtraFiles = append(cmd.ExtraFiles, out)
		const first = 3 // descriptor of ExtraFiles
		flags = append(flags, "--progress-fd", strconv.Itoa(first+len(cmd.ExtraFiles)-1))
	}
	cmd.Args = slices.Insert(cmd.Args, 1, flags...)
}

func (d *display) run(name string, json bool) {
	d.name, d.json = name, json
	d.start, d.quit = time.Now(), make(chan struct{})
	d.meter = progress.New(d.note)
	every := drawEvery
	if json {
		every = jsonEvery
	}
	go func() {
		ticks := time.NewTicker(every)
		defer ticks.Stop()
		for {
			select {
			case <-d.quit:
				return
			case <-ticks.C:
				if s, ok := d.meter.Now(); ok {
					d.show(s)
				}
			}
		}
	}()
}

// note is called when a stage begins, and when it is over.
func (d *display) note(s progress.State, over bool) {
	if over && !d.json {
		d.erase()
		return
	}
	d.show(s)
}

func (d *display) show(s progress.State) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.ended:
	case d.json:
		b, _ := json.Marshal(line{d.name, s})
		d.out.Write(append(b, '\n'))
	case time.Since(d.start) >= drawDelay:
		line := []rune(progressLine(d.name, time.Since(d.start), s))
		if width, _, err := term.GetSize(int(d.out.Fd())); err == nil && width > 0 {
			line = line[:min(len(line), width-1)] // a longer one could not be erased
		}
		fmt.Fprint(d.out, eraseLine+string(line))
		d.shown = true
	}
}

// erase removes the line. The next one is drawn where the cursor is by then.
func (d *display) erase() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.eraseLocked()
}

func (d *display) eraseLocked() {
	if d.shown {
		fmt.Fprint(d.out, eraseLine)
		d.shown = false
	}
}

// message writes what people are to read.
func (d *display) message(w io.Writer, text string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.eraseLocked()
	io.WriteString(w, text)
}

// end shows nothing any more.
func (d *display) end() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.eraseLocked()
	if !d.ended && d.quit != nil {
		close(d.quit)
	}
	d.ended = true
}

// progressLine is one such as "bsdelta 1:13: packs 3 of 12, 25 %, 0:41 left".
func progressLine(name string, since time.Duration, s progress.State) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s: %s", name, clock(since), s.Stage)
	if s.Parts > 0 {
		fmt.Fprintf(&b, " %d of %d", s.Part, s.Parts)
	}
	switch {
	case s.Total > 0:
		fmt.Fprintf(&b, ", %d %%", int64(100*float64(s.Done)/float64(s.Total)))
	case s.Unit == progress.Bytes && s.Done > 0:
		fmt.Fprintf(&b, ", %d MB", s.Done/1_000_000)
	}
	if left, ok := s.Left(); ok {
		fmt.Fprintf(&b, ", %s left", clock(left))
	}
	return b.String()
}

// clock writes a time as minutes and seconds, and hours if there are any.
func clock(d time.Duration) string {
	s := int64(d.Round(time.Second) / time.Second)
	if s < 3600 {
		return fmt.Sprintf("%d:%02d", s/60, s%60)
	}
	return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
}

// untilShown is a writer of the product to a terminal: from its first byte on there is no
// progress, which would be drawn into it.
type untilShown struct{ io.Writer }

func (w untilShown) Write(b []byte) (int, error) {
	screen.end()
	return w.Writer.Write(b)
}
