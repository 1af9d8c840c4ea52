// SPDX-License-Identifier: MIT

package tool

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"swudelta/internal/fault"
	"swudelta/internal/progress"
	"swudelta/internal/tooltest"
)

var hog [][]byte

// upper is a command with every part of the machinery: it copies its input in
// upper case, and fails in the ways that the flags ask for.
var upper = &Command{
	Name: "upper", Usage: "[-o OUTPUT] [INPUT]", Summary: "Copy in upper case.", MaxArgs: 2,
	Flags: []Flag{
		&String{Name: "fail", Help: "fail after half of the output: data, env, memory, panic or hang; or leave a program behind"},
		&Strings{Name: "say", Help: "print a word"},
		&Size{Name: "memory", Value: 96 << 20, Help: "unused"},
		&Bool{Name: "random", Help: "read at random"},
		&String{Name: "also", Help: "unused", Output: true},
		&Bool{Name: "raw", Help: "the product is called binary"},
		&Int{Name: "times", Value: 1, Help: "copies"},
		&Bool{Name: "stages", Help: "work for two seconds, in stages"},
	},
	NegativeOperands: true,
	Binary:           func(c *Context) bool { return c.Bool("raw") },
	Run: func(c *Context) error {
		for _, s := range c.Strings("say") {
			c.Warnf("%s %d", s, c.Size("memory"))
		}
		c.Verbosef("working")
		if c.Bool("stages") {
			work(c)
		}
		var in io.Reader
		if c.Bool("random") {
			f, err := c.InputAt(0)
			if err != nil {
				return err
			}
			defer f.Close()
			in = io.NewSectionReader(f, 0, f.Size())
		} else {
			f, err := c.Input(0)
			if err != nil {
				return err
			}
			defer f.Close()
			in = f
		}
		if c.Arg(1) != "" {
			if _, err := c.Input(1); err != nil {
				return err
			}
		}
		return c.TextOutput(func(w io.Writer) error {
			b, err := io.ReadAll(in)
			if err != nil {
				return err
			}
			io.WriteString(w, strings.ToUpper(string(b[:len(b)/2])))
			switch c.String("fail") {
			case "data":
				return fault.At(7, "upper: bad letter")
			case "env":
				return Hint(errors.New("no luck"), "try again")
			case "memory":
				for {
					hog = append(hog, make([]byte, 64<<20))
				}
			case "leave":
				left := exec.Command("sleep", "30")
				left.Stderr = os.Stderr
				if err := left.Start(); err != nil {
					return err
				}
				c.Warnf("%s", strings.Repeat("left ", 10000))
			case "panic":
				panic("out of memory, says who")
			case "hang":
				fmt.Fprintln(os.Stderr, "hanging")
				time.Sleep(time.Minute)
			}
			_, err = io.WriteString(w, strings.ToUpper(string(b[len(b)/2:])))
			return err
		})
	},
}

// work takes two seconds: one for a stage in parts, one for a stage that has nothing to say.
func work(c *Context) {
	s := c.Progress().Start("packs", progress.Bytes, 400)
	s.Divide(4)
	for range 4 {
		s.Next()
		time.Sleep(400 * time.Millisecond)
		s.Add(100)
	}
	c.Warnf("half of it")
	c.Progress().Start("code", progress.Bytes, 0)
	time.Sleep(400 * time.Millisecond)
}

func TestMain(m *testing.M) {
	tooltest.Main(m, map[string]func(){"upper": func() { Main(upper) }})
}

func TestScripts(t *testing.T) { tooltest.Scripts(t, "testdata/script") }

func TestSize(t *testing.T) {
	for _, c := range []struct {
		in   string
		want int64
		out  string
	}{
		{"0", 0, "0"}, {"500", 500, "500"}, {"500B", 500, "500"}, {"64K", 65536, "64KiB"}, {"64KiB", 65536, "64KiB"},
		{"96MiB", 96 << 20, "96MiB"}, {"2G", 2 << 30, "2GiB"}, {"1T", 1 << 40, "1TiB"},
		{"", -1, ""}, {"-1", -1, ""}, {"K", -1, ""}, {"1k", -1, ""}, {"1KB", -1, ""}, {"1.5G", -1, ""}, {"99999999999T", -1, ""}, {"1iB", -1, ""},
	} {
		var v sizeValue
		err := v.Set(c.in)
		if c.want < 0 {
			if err == nil {
				t.Errorf("%q: no error, got %d", c.in, v)
			}
			continue
		}
		if err != nil || int64(v) != c.want || v.String() != c.out {
			t.Errorf("%q: got %d %q, %v", c.in, v, v.String(), err)
		}
	}
}
