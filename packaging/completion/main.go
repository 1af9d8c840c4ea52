// SPDX-License-Identifier: MIT

// Completion writes what bash, zsh and fish need to complete the flags of programs and
// their values. What a program has is read from its own --help, so that tools and
// scripts are completed alike and nothing is listed twice.
//
// Usage: completion DIR PROGRAM...
//
// Below DIR the files lie where the shells of Debian look for them below /usr/share.
// How the help text calls a value says what can stand there: words with | between them
// are all that can, DIR is a folder, FILE and some others are files, and what else there
// is people know.
package main

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "completion: usage: completion DIR PROGRAM...")
		os.Exit(2)
	}
	for _, path := range os.Args[2:] {
		if err := generate(os.Args[1], path); err != nil {
			fmt.Fprintf(os.Stderr, "completion: %s: %v\n", path, err)
			os.Exit(1)
		}
	}
}

// shells are the generators, and where the file of a program goes below DIR.
var shells = []struct {
	path string // with NAME for the program's
	text func(*program) string
}{
	{"bash-completion/completions/NAME", bash},
	{"zsh/vendor-completions/_NAME", zsh},
	{"fish/vendor_completions.d/NAME.fish", fish},
}

func generate(dir, path string) error {
	help, err := exec.Command(path, "--help").Output()
	if err != nil {
		return fmt.Errorf("--help: %w", err)
	}
	p, err := parse(filepath.Base(path), string(help))
	if err != nil {
		return err
	}
	for _, s := range shells {
		file := filepath.Join(dir, strings.Replace(s.path, "NAME", p.name, 1))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(file, []byte(s.text(p)), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// program is what can be typed behind a program's name.
type program struct {
	name     string
	flags    []flag
	operands value
}

// flag is one flag of a program, by all its names.
type flag struct {
	names []string // with dashes
	arg   value
	text  string // what it is for, in one line
}

// value is what may stand in one place. Its zero value is nothing.
type value struct {
	name  string   // as the help text calls it
	words []string // all that there are, if there are not too many
	file  bool     // a file
	dir   bool     // a folder
}

func newValue(name string) value {
	v := value{name: name}
	switch {
	case strings.Contains(name, "|"):
		v.words = strings.Split(name, "|")
	case name == "DIR":
		v.dir = true
	default:
		name = name[strings.LastIndex(name, "]")+1:] // a file may do without the rest of [MEMBER=]FILE
		v.file = slices.Contains(files, name)
	}
	return v
}

// files are the names of values that are files.
var files = []string{"FILE", "OUTPUT", "KEY", "CERT", "SIG", "OLD", "TABLE", "PROGRAM", "COMMAND"}

// optionLine is a line that begins the description of a flag: its names, how its value
// is called, and the beginning of the text if there is room for it.
var optionLine = regexp.MustCompile(`^  (-[^\s,]+(?:, --\S+)?)(?: (\S+))?(?:   *(\S.*))?$`)

// levels is how help texts write the flags -0 to -9.
const levels = "  -0 ... -9"

func parse(name, help string) (*program, error) {
	p := &program{name: name, operands: value{file: true}}
	usage, _, _ := strings.Cut(help, "\n")
	if words := strings.Fields(usage); len(words) == 3 && strings.Contains(words[2], "|") {
		p.operands = newValue(words[2])
	}
	_, options, ok := strings.Cut(help, "\nOptions:\n")
	if !ok {
		return nil, fmt.Errorf("the help text has no options")
	}
	options, _, _ = strings.Cut(options, "\n\n")
	for line := range strings.Lines(options) {
		line = strings.TrimRight(line, "\n")
		if text, ok := strings.CutPrefix(line, levels); ok {
			for i := range 10 {
				p.flags = append(p.flags, flag{names: []string{fmt.Sprintf("-%d", i)}, text: strings.TrimSpace(text)})
			}
			continue
		}
		m := optionLine.FindStringSubmatch(line)
		if m == nil {
			if len(p.flags) == 0 || !strings.HasPrefix(line, "      ") {
				return nil, fmt.Errorf("cannot read the line %q of the help text", line)
			}
			last := &p.flags[len(p.flags)-1]
			last.text = strings.TrimSpace(last.text + " " + strings.TrimSpace(line))
			continue
		}
		p.flags = append(p.flags, flag{names: strings.Split(m[1], ", "), arg: newValue(m[2]), text: m[3]})
	}
	return p, nil
}

// brief is the text of a flag up to its first further thought.
func (f *flag) brief() string {
	text, _, _ := strings.Cut(f.text, "; ")
	return text
}

// made begins all that is written.
const made = "# Made from the help text.\n"

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// bash leaves files to readline, which knows about quotes and home folders, by
// offering nothing.
func bash(p *program) string {
	var b, all strings.Builder
	arms := map[string][]string{} // names of flags by what completes their values
	for _, f := range p.flags {
		fmt.Fprintf(&all, " %s", strings.Join(f.names, " "))
		if f.arg.name != "" {
			c := bashValue(f.arg)
			arms[c] = append(arms[c], f.names...)
		}
	}
	fmt.Fprintf(&b, made+`_swudelta_%s() {
  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}
  # --flag=value is three words.
  if [[ $cur == "=" ]]; then
    cur=
  elif [[ $prev == "=" ]]; then
    prev=${COMP_WORDS[COMP_CWORD-2]}
  fi
  COMPREPLY=()
  case $prev in
`, identifier(p.name))
	for _, c := range slices.Sorted(maps.Keys(arms)) {
		fmt.Fprintf(&b, "  %s)\n    %s\n    return\n    ;;\n", strings.Join(arms[c], " | "), c)
	}
	operands := ":"
	if p.operands.words != nil {
		operands = bashValue(p.operands)
	}
	fmt.Fprintf(&b, `  esac
  if [[ $cur == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W %s -- "$cur")
  else
    %s
  fi
}
complete -o default -F _swudelta_%s %s
`, quote(strings.TrimSpace(all.String())), operands, identifier(p.name), p.name)
	return b.String()
}

func bashValue(v value) string {
	switch {
	case v.words != nil:
		return `mapfile -t COMPREPLY < <(compgen -W ` + quote(strings.Join(v.words, " ")) + ` -- "$cur")`
	case v.dir:
		return `compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -- "$cur")`
	case v.file:
		return ":"
	}
	return "compopt +o default"
}

// identifier is the name of a program as a part of a function's.
func identifier(name string) string { return strings.ReplaceAll(name, "-", "_") }

func zsh(p *program) string {
	var b strings.Builder
	fmt.Fprintf(&b, "#compdef %s\n"+made+"_arguments -s -S", p.name)
	escape := strings.NewReplacer(`\`, `\\`, "[", `\[`, "]", `\]`, ":", `\:`).Replace
	for _, f := range p.flags {
		for _, name := range f.names {
			spec := name
			if strings.HasPrefix(name, "--") && f.arg.name != "" {
				spec += "="
			}
			spec += "[" + escape(f.brief()) + "]"
			if f.arg.name != "" {
				spec += ":" + escape(f.arg.name) + ":" + zshValue(f.arg)
			}
			// After one of its names a flag is no more offered, unless it may be repeated.
			once := "(" + strings.Join(f.names, " ") + ")"
			if strings.Contains(f.text, "may be repeated") {
				once = "*"
			}
			fmt.Fprintf(&b, " \\\n  %s", quote(once+spec))
		}
	}
	fmt.Fprintf(&b, " \\\n  %s\n", quote("*:operand:"+zshValue(p.operands)))
	return b.String()
}

func zshValue(v value) string {
	switch {
	case v.words != nil:
		return "(" + strings.Join(v.words, " ") + ")"
	case v.dir:
		return "_files -/"
	case v.file:
		return "_files"
	}
	return " "
}

func fish(p *program) string {
	var b strings.Builder
	b.WriteString(made)
	if p.operands.words != nil {
		fmt.Fprintf(&b, "complete -c %s -f -a %s\n", p.name, quote(strings.Join(p.operands.words, " ")))
	}
	for _, f := range p.flags {
		fmt.Fprintf(&b, "complete -c %s", p.name)
		for _, name := range f.names {
			if long, ok := strings.CutPrefix(name, "--"); ok {
				fmt.Fprintf(&b, " -l %s", long)
			} else {
				fmt.Fprintf(&b, " -s %s", name[1:])
			}
		}
		if f.arg.name != "" {
			b.WriteString(fishValue(f.arg))
		}
		fmt.Fprintf(&b, " -d %s\n", quote(f.brief()))
	}
	return b.String()
}

func fishValue(v value) string {
	switch {
	case v.words != nil:
		return " -x -a " + quote(strings.Join(v.words, " "))
	case v.dir:
		return " -x -a '(__fish_complete_directories)'"
	case v.file:
		return " -r -F"
	}
	return " -x"
}
