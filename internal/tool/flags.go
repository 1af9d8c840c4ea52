// SPDX-License-Identifier: MIT

package tool

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/urfave/cli/v2"
)

// Flag is one of String, Strings, Bool, Int, Size and Level.
type Flag interface {
	cli() []cli.Flag
	help() (names []string, arg, text string)
}

// String is a flag with one value.
type String struct {
	Name, Short string // without dashes; Short is one letter or empty
	Arg         string // how the help text calls the value; default VALUE
	Value       string // default
	Help        string
	Output      bool // the value names a file to write, which must be possible
}

// Strings is a flag that may be given several times. Its values stay as they are.
type Strings struct{ Name, Arg, Help string }

// Bool is a flag without a value.
type Bool struct{ Name, Short, Help string }

// Int is a flag with a number.
type Int struct {
	Name, Short, Arg string
	Value            int
	Help             string
}

// Size is a flag with a number of bytes, such as 500, 64K, 64KiB, 96MiB or 2G.
type Size struct {
	Name, Short, Arg string
	Value            int64
	Help             string
}

// Level is the flags -0 to -9, of which one may be given. Value is the default.
type Level struct {
	Value int
	Help  string
}

func aliases(short string) []string {
	if short == "" {
		return nil
	}
	return []string{short}
}

func (f *String) cli() []cli.Flag {
	return []cli.Flag{&cli.StringFlag{Name: f.Name, Aliases: aliases(f.Short), Value: f.Value}}
}
func (f *Strings) cli() []cli.Flag {
	return []cli.Flag{&cli.GenericFlag{Name: f.Name, Value: &stringsValue{}}}
}
func (f *Bool) cli() []cli.Flag {
	return []cli.Flag{&cli.BoolFlag{Name: f.Name, Aliases: aliases(f.Short)}}
}
func (f *Int) cli() []cli.Flag {
	return []cli.Flag{&cli.IntFlag{Name: f.Name, Aliases: aliases(f.Short), Value: f.Value}}
}
func (f *Size) cli() []cli.Flag {
	v := sizeValue(f.Value)
	return []cli.Flag{&cli.GenericFlag{Name: f.Name, Aliases: aliases(f.Short), Value: &v}}
}
func (f *Level) cli() (list []cli.Flag) {
	for i := range 10 {
		list = append(list, &cli.BoolFlag{Name: strconv.Itoa(i)})
	}
	return list
}

func names(name, short string) []string {
	long := "--" + name
	if len(name) == 1 {
		long = "-" + name
	}
	if short == "" {
		return []string{long}
	}
	return []string{"-" + short, long}
}

func orValue(s string) string {
	if s == "" {
		return "VALUE"
	}
	return s
}

func (f *String) help() ([]string, string, string) {
	text := f.Help
	if f.Value != "" {
		text += fmt.Sprintf(" (default %s)", f.Value)
	}
	return names(f.Name, f.Short), orValue(f.Arg), text
}

func (f *Strings) help() ([]string, string, string) {
	return names(f.Name, ""), orValue(f.Arg), f.Help
}

func (f *Bool) help() ([]string, string, string) { return names(f.Name, f.Short), "", f.Help }

func (f *Int) help() ([]string, string, string) {
	text := f.Help
	if f.Value != 0 {
		text += fmt.Sprintf(" (default %d)", f.Value)
	}
	return names(f.Name, f.Short), orValue(f.Arg), text
}

func (f *Size) help() ([]string, string, string) {
	text := f.Help
	if f.Value != 0 {
		v := sizeValue(f.Value)
		text += fmt.Sprintf(" (default %s)", v.String())
	}
	arg := f.Arg
	if arg == "" {
		arg = "SIZE"
	}
	return names(f.Name, f.Short), arg, text
}

func (f *Level) help() ([]string, string, string) {
	return []string{"-0 ... -9"}, "", fmt.Sprintf("%s (default -%d)", f.Help, f.Value)
}

// stringsValue is the values of a flag. The library's own type for that takes the
// blanks around each, which file names can have.
type stringsValue []string

// Set implements flag.Value.
func (v *stringsValue) Set(s string) error {
	*v = append(*v, s)
	return nil
}

// String implements flag.Value.
func (v *stringsValue) String() string { return strings.Join(*v, " ") }

// sizeValue is a number of bytes as a flag.
type sizeValue int64

const sizeUnits = "KMGT" // powers of 1024

// Set implements flag.Value.
func (v *sizeValue) Set(s string) error {
	digits := strings.TrimRight(s, "KMGTiB")
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < 0 {
		return fmt.Errorf("size %q: want a number of bytes, with K, M, G or T (KiB, MiB ...) for powers of 1024", s)
	}
	switch unit := s[len(digits):]; {
	case unit == "" || unit == "B":
	case strings.Contains(sizeUnits, unit[:1]) && (unit[1:] == "" || unit[1:] == "iB"):
		shift := 10 * (strings.Index(sizeUnits, unit[:1]) + 1)
		if n > math.MaxInt64>>shift {
			return fmt.Errorf("size %q: too large", s)
		}
		n <<= shift
	default:
		return fmt.Errorf("size %q: unknown unit %q", s, unit)
	}
	*v = sizeValue(n)
	return nil
}

// String implements flag.Value.
func (v *sizeValue) String() string {
	n, unit := int64(*v), ""
	for i := 0; i < len(sizeUnits) && n != 0 && n%1024 == 0; i++ {
		n, unit = n/1024, sizeUnits[i:i+1]+"iB"
	}
	return strconv.FormatInt(n, 10) + unit
}

// versionFlag is the name of the flag that prints the tool's version. It steps
// aside where a command has another use for --version.
func versionFlag(cmd *Command) string {
	for _, f := range cmd.Flags {
		if n, _, _ := f.help(); n[len(n)-1] == "--version" {
			return "tool-version"
		}
	}
	return "version"
}

func allFlags(cmd *Command) []Flag {
	output := &String{Name: "output", Short: "o", Arg: "FILE", Output: true, Help: "write to FILE, which appears complete or not at all; default and -: standard output"}
	if cmd.OutputDir {
		output = &String{Name: "output", Short: "o", Arg: "DIR", Help: "where all of it goes"}
	}
	return append(append(append([]Flag{}, cmd.Flags...), progressFlags()...),
		output,
		&Bool{Name: "quiet", Short: "q", Help: "no progress and no warnings"},
		&Bool{Name: "verbose", Short: "v", Help: "say more on standard error"},
		&Bool{Name: versionFlag(cmd), Help: "print the version of the tool"},
	)
}

// wrap breaks text between words into lines of at most width characters, which only
// a longer word exceeds.
func wrap(text string, width int) []string {
	lines := []string{""}
	for _, word := range strings.Fields(text) {
		last := &lines[len(lines)-1]
		switch {
		case *last == "":
			*last = word
		case utf8.RuneCountInString(*last)+1+utf8.RuneCountInString(word) <= width:
			*last += " " + word
		default:
			lines = append(lines, word)
		}
	}
	return lines
}

func helpText(cmd *Command) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Usage: %s\n\n%s\n\nOptions:\n", strings.Join(wrap(cmd.Name+" "+cmd.Usage, 90), "\n       "), cmd.Summary)
	line := func(names []string, arg, text string) {
		left := strings.Join(names, ", ")
		if arg != "" {
			left += " " + arg
		}
		if len(left) > 24 {
			fmt.Fprintf(&b, "  %s\n", left)
			left = ""
		}
		for _, l := range wrap(text, 72) {
			fmt.Fprintf(&b, "  %-24s  %s\n", left, l)
			left = ""
		}
	}
	for _, f := range allFlags(cmd) {
		line(f.help())
	}
	line([]string{"-h", "--help"}, "", "print this text")
	if cmd.Description != "" {
		fmt.Fprintf(&b, "\n%s\n", strings.TrimSpace(cmd.Description))
	}
	b.WriteString("\nExit status: 0 done; 1 the environment failed (open, read, write, no space, child\nprocess); 2 wrong usage; 3 the data is wrong.\n")
	if cmd.Example != "" {
		fmt.Fprintf(&b, "\nExample:\n")
		for _, l := range strings.Split(strings.TrimSpace(cmd.Example), "\n") {
			fmt.Fprintf(&b, "  %s\n", l)
		}
	}
	return b.String()
}
