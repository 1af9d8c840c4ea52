// SPDX-License-Identifier: MIT

// Package tool is what every command shares: flags, operands, streams, files
// that appear whole or not at all, messages, and the exit status.
//
// A command is a value of type Command whose Run function opens its inputs,
// calls one or two domain functions and hands them the output. Everything that
// touches the process (arguments, standard streams, the terminal, signals,
// temporary files) happens here, so that domain packages stay free of it. It is
// the only package that imports urfave/cli, whose defaults do not suit tools
// that are used in pipes; app below says what is changed and why.
package tool

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"swudelta/internal/fault"
)

// Exit statuses, the same for every command.
const (
	exitEnvironment = 1 // open, read, write, no space, child process
	exitUsage       = 2 // unknown flag, wrong number of operands
	exitData        = 3 // malformed or truncated input, digest mismatch
)

// Command describes one tool.
type Command struct {
	Name        string // as typed
	Usage       string // operands and flags of the synopsis, without the name
	Summary     string // one line for the top of the help text
	Description string // paragraphs of the help text
	Example     string // a real session
	MinArgs     int    // least number of operands
	MaxArgs     int    // greatest number of operands; -1: any
	Flags       []Flag // besides those that every tool has
	// NegativeOperands lets an operand such as -15 stand without "--".
	NegativeOperands bool
	// OutputDir says that -o names a folder, which the command makes, and that there
	// is no default for it.
	OutputDir bool
	// Binary reports whether the product is not for people, so that it goes to a
	// terminal only where -o - asks for it; nil: it never is. It is asked before Run.
	Binary func(*Context) bool
	// Run does the work. Its error decides the exit status.
	Run func(*Context) error
}

// version is set at link time (-ldflags "-X swudelta/internal/tool.version=v1.2.3")
// where the build information has none.
var version string

func versionString() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

// Always is the Binary function of a command whose product is always binary.
func Always(*Context) bool { return true }

// Main runs the command with the arguments of the process and exits.
func Main(cmd *Command) {
	if status, ok := supervise(cmd.Name); ok {
		os.Exit(status)
	}
	handleSignals()
	os.Exit(run(cmd, os.Args[1:]))
}

// run returns the exit status. It is the one place that maps errors to it.
func run(cmd *Command, args []string) int {
	err := execute(cmd, args)
	if signalled.Load() {
		select {} // The signal ends the process, not an error that it has caused.
	}
	screen.end()
	pending.removeAll()
	if err == nil {
		return 0
	}
	fmt.Fprintf(os.Stderr, "%s: %v\n", cmd.Name, err)
	var h interface{ Hint() string } // a *hintError or a domain package's own
	var u *usageError
	switch {
	case errors.As(err, &h):
		fmt.Fprintf(os.Stderr, "%s: hint: %s\n", cmd.Name, h.Hint())
	case errors.As(err, &u):
		fmt.Fprintf(os.Stderr, "%s: hint: %q describes the flags and operands\n", cmd.Name, cmd.Name+" --help")
	}
	switch {
	case errors.As(err, &u):
		return exitUsage
	case fault.IsData(err):
		return exitData
	default:
		return exitEnvironment
	}
}

type usageError struct{ msg string }

func (e *usageError) Error() string { return e.msg }

// Usagef returns an error about how the command was called: exit status 2.
func Usagef(format string, args ...any) error {
	return &usageError{fmt.Sprintf(format, args...)}
}

// IsUsage reports whether err came from Usagef.
func IsUsage(err error) bool {
	var u *usageError
	return errors.As(err, &u)
}

type hintError struct {
	err  error
	hint string
}

func (e *hintError) Error() string { return e.err.Error() }
func (e *hintError) Unwrap() error { return e.err }
func (e *hintError) Hint() string  { return e.hint }

// Hint adds a line to err that says what to do next.
func Hint(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return &hintError{err, fmt.Sprintf(format, args...)}
}

func execute(cmd *Command, args []string) error {
	if cmd.NegativeOperands {
		if i := slices.IndexFunc(args, isNegative); i >= 0 && !slices.Contains(args[:i], "--") {
			args = slices.Insert(slices.Clone(args), i, "--")
		}
	}
	return app(cmd, args).Run(append([]string{cmd.Name}, args...))
}

func isNegative(arg string) bool {
	return len(arg) > 1 && arg[0] == '-' && arg[1] >= '0' && arg[1] <= '9'
}

// app wraps the command for urfave/cli. By default that library prints help on
// stdout (into the pipe) when a flag is wrong, exits on its own, splits values
// at commas, takes -v for the version, and adds a pseudo command named help.
func app(cmd *Command, args []string) *cli.App {
	flags := make([]cli.Flag, 0, len(cmd.Flags)+5)
	for _, f := range allFlags(cmd) {
		flags = append(flags, f.cli()...)
	}
	a := &cli.App{
		Name:                  cmd.Name,
		CustomAppHelpTemplate: strings.ReplaceAll(helpText(cmd), "{{", `{{"{{"}}`),
		HideHelpCommand:       true,
		HideVersion:           true,
		Flags:                 flags,
		Writer:                os.Stdout,
		ErrWriter:             os.Stderr,
		ExitErrHandler:        func(*cli.Context, error) {},
		OnUsageError: func(_ *cli.Context, err error, _ bool) error {
			if name, ok := strings.CutPrefix(err.Error(), "flag provided but not defined: -"); ok {
				return unknownFlag(cmd, args, name)
			}
			return Usagef("%s", err)
		},
	}
	a.Action = func(c *cli.Context) error {
		if name := versionFlag(cmd); c.Bool(name) {
			_, err := fmt.Printf("%s %s\n", cmd.Name, versionString())
			return err
		}
		operands := c.Args().Slice()
		if i := slices.Index(operands, "--"); i >= 0 && cmd.NegativeOperands {
			operands = slices.Delete(operands, i, i+1) // see execute: an operand came before the first negative one
		}
		ctx := &Context{cmd: cmd, cli: c, args: operands}
		if err := ctx.checkOperands(args); err != nil {
			return err
		}
		if err := ctx.checkOutputs(); err != nil {
			return err
		}
		if err := ctx.startProgress(); err != nil {
			return err
		}
		return cmd.Run(ctx)
	}
	return a
}

// unknownFlag is the error for a flag that the command does not have. Package flag
// passes on its name with one dash less than was typed, so it is shown as it stands
// in args.
func unknownFlag(cmd *Command, args []string, name string) error {
	typed := "-" + name
	if slices.ContainsFunc(args, func(a string) bool { a, _, _ = strings.Cut(a, "="); return a == "--"+name }) {
		typed = "--" + name
	}
	err := Usagef("unknown flag %q", typed)
	if len(name) == 1 {
		return err
	}
	long := []cli.Flag{&cli.BoolFlag{Name: "help"}}
	for _, f := range allFlags(cmd) {
		names, _, _ := f.help()
		for _, n := range names {
			if n, ok := strings.CutPrefix(n, "--"); ok {
				long = append(long, &cli.BoolFlag{Name: n})
			}
		}
	}
	return Hint(err, "the nearest is %s; %q describes all", cli.SuggestFlag(long, name, true), cmd.Name+" --help")
}

// checkOperands refuses what urfave/cli takes silently: flags behind the first
// operand, and any number of operands.
func (c *Context) checkOperands(raw []string) error {
	afterDashes := len(raw) > len(c.args) && raw[len(raw)-len(c.args)-1] == "--"
	if !afterDashes {
		for _, a := range c.args {
			if len(a) > 1 && a[0] == '-' && !(c.cmd.NegativeOperands && isNegative(a)) {
				return Hint(Usagef("flag %q comes after an operand", a),
					"flags come before operands: %s %s; put -- before an operand that starts with -", c.cmd.Name, c.cmd.Usage)
			}
		}
	}
	n := len(c.args)
	switch {
	case n < c.cmd.MinArgs:
		return Usagef("got %d operands, want at least %d: %s %s", n, c.cmd.MinArgs, c.cmd.Name, c.cmd.Usage)
	case c.cmd.MaxArgs >= 0 && n > c.cmd.MaxArgs:
		return Usagef("got %d operands, want at most %d: %s %s", n, c.cmd.MaxArgs, c.cmd.Name, c.cmd.Usage)
	}
	return nil
}

// Context is what a running command sees of its call.
type Context struct {
	cmd       *Command
	cli       *cli.Context
	args      []string
	stdinUsed bool
}

// Args returns the operands.
func (c *Context) Args() []string { return c.args }

// Arg returns operand i, or "" when there are fewer.
func (c *Context) Arg(i int) string {
	if i < len(c.args) {
		return c.args[i]
	}
	return ""
}

// String returns the value of a String flag.
func (c *Context) String(name string) string { return c.cli.String(name) }

// Strings returns the values of a Strings flag, in order.
func (c *Context) Strings(name string) []string {
	if v, ok := c.cli.Generic(name).(*stringsValue); ok {
		return *v
	}
	return nil
}

// Values returns the values of a flag of any kind that was given, as text.
func (c *Context) Values(name string) []string {
	switch v := c.cli.Generic(name).(type) {
	case *sizeValue:
		return []string{v.String()}
	case *stringsValue:
		return *v
	}
	return []string{fmt.Sprint(c.cli.Value(name))}
}

// Bool returns the value of a Bool flag.
func (c *Context) Bool(name string) bool { return c.cli.Bool(name) }

// Int returns the value of an Int flag.
func (c *Context) Int(name string) int { return c.cli.Int(name) }

// Size returns the value of a Size flag in bytes.
func (c *Context) Size(name string) int64 {
	if v, ok := c.cli.Generic(name).(*sizeValue); ok {
		return int64(*v)
	}
	return 0
}

// Level returns the value of the command's Level flag.
func (c *Context) Level() (int, error) {
	level := -1
	for _, f := range c.cmd.Flags {
		f, ok := f.(*Level)
		if !ok {
			continue
		}
		for i := range 10 {
			switch set := c.cli.Bool(strconv.Itoa(i)); {
			case set && level >= 0:
				return 0, Usagef("-%d and -%d: want one of them", level, i)
			case set:
				level = i
			}
		}
		if level < 0 {
			level = f.Value
		}
	}
	return level, nil
}

// IsSet reports whether the flag was given.
func (c *Context) IsSet(name string) bool { return c.cli.IsSet(name) }

// Quiet reports whether -q was given.
func (c *Context) Quiet() bool { return c.cli.Bool("quiet") }

// Verbose reports whether -v was given.
func (c *Context) Verbose() bool { return c.cli.Bool("verbose") }

// Warnf prints a warning on stderr, unless -q.
func (c *Context) Warnf(format string, args ...any) {
	if !c.Quiet() {
		c.message("warning: "+format, args...)
	}
}

// Verbosef prints a line on stderr if -v.
func (c *Context) Verbosef(format string, args ...any) {
	if c.Verbose() {
		c.message(format, args...)
	}
}

func (c *Context) message(format string, args ...any) {
	screen.message(os.Stderr, c.cmd.Name+": "+fmt.Sprintf(format, args...)+"\n")
}

// Println prints a line on standard output.
func (c *Context) Println(line string) { screen.message(os.Stdout, line+"\n") }

// Failf prints an error that does not end the command.
func (c *Context) Failf(format string, args ...any) { c.message(format, args...) }

// Stderr is where a child process may write its messages.
func (c *Context) Stderr() io.Writer { return os.Stderr }
