// SPDX-License-Identifier: MIT

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"swudelta/internal/codec"
	"swudelta/internal/digest"
	"swudelta/internal/swdesc"
	"swudelta/internal/tool"
)

// readSets reads the files of all --set flags.
func readSets(c *tool.Context, d *swdesc.Description) (map[string]swdesc.Replacement, error) {
	entries := d.Entries()
	replacements := map[string]swdesc.Replacement{}
	for _, arg := range c.Strings("set") {
		name, newName, path, err := splitSet(arg, entries)
		if err != nil {
			return nil, tool.Usagef("--set %q: %v", arg, err)
		}
		if _, twice := replacements[name]; twice {
			return nil, tool.Usagef("--set %q: %q is set twice", arg, name)
		}
		r, err := readFile(c, path)
		if err != nil {
			return nil, err
		}
		r.NewName = newName
		replacements[name] = r
		warn(c, d, entries, name, r)
	}
	return replacements, nil
}

// splitSet takes a --set apart. Names may have any characters, = and : among
// them: NAME is the longest name that an entry has, and where NEWNAME=FILE can be
// split in several ways, FILE is the one that exists.
func splitSet(arg string, entries []swdesc.Entry) (name, newName, path string, err error) {
	for _, e := range entries {
		if rest, found := strings.CutPrefix(arg, e.Name); found && len(e.Name) > len(name) && rest != "" && (rest[0] == '=' || rest[0] == ':') {
			name = e.Name
		}
	}
	if name == "" {
		name = arg[:max(strings.IndexAny(arg, ":="), 0)]
	}
	rest := arg[len(name):]
	if renamed, found := strings.CutPrefix(rest, ":"); found {
		newName, path, err = splitNewName(renamed)
	} else if path, found = strings.CutPrefix(rest, "="); !found || path == "" {
		err = errSet
	}
	if name == "" {
		err = errSet
	}
	return name, newName, path, err
}

var errSet = errors.New("want NAME=FILE or NAME:NEWNAME=FILE")

// splitNewName takes NEWNAME=FILE apart.
func splitNewName(arg string) (newName, path string, err error) {
	found := 0
	for i := 1; i < len(arg)-1; i++ {
		if arg[i] != '=' {
			continue
		}
		if _, err := os.Stat(arg[i+1:]); err == nil || arg[i+1:] == "-" {
			found++
		} else if path != "" {
			continue // only the first, for the message that there is no such file
		}
		newName, path = arg[:i], arg[i+1:]
	}
	switch {
	case path == "":
		return "", "", errSet
	case found > 1:
		return "", "", errors.New("more than one = has an existing file behind it: call FILE by a name without =")
	}
	return newName, path, nil
}

// compressions are the kinds of file in the words of sw-description. SWUpdate
// has no bzip2; an entry that decompresses must not get such a file.
var compressions = map[codec.Kind]string{
	codec.KindGzip: "zlib", codec.KindZstd: "zstd", codec.KindXZ: "xz", codec.KindLZ4: "lz4", codec.KindBzip2: "bzip2",
}

func readFile(c *tool.Context, path string) (swdesc.Replacement, error) {
	f, err := c.Open(path)
	if err != nil {
		return swdesc.Replacement{}, err
	}
	defer f.Close()
	in := bufio.NewReader(f)
	head, err := in.Peek(codec.HeadSize)
	if err != nil && err != io.EOF {
		return swdesc.Replacement{}, fmt.Errorf("read %s: %w", f.Name(), err)
	}
	r := swdesc.Replacement{Compressed: compressions[codec.Detect(head)]}
	if r.SHA256, r.Size, err = digest.SumReader(in); err != nil {
		return r, fmt.Errorf("read %s: %w", f.Name(), err)
	}
	return r, nil
}

// warn speaks of what is not wrong but might be a surprise.
func warn(c *tool.Context, d *swdesc.Description, entries []swdesc.Entry, name string, r swdesc.Replacement) {
	readers := []string{"archive", "tar"} // handlers that recognise compressed files
	for _, e := range entries {
		if e.Name != name {
			continue
		}
		c.Verbosef("%s: %d bytes, compression %q", e.Path, r.Size, r.Compressed)
		if e.Compressed == "" && r.Compressed != "" && e.Kind != "scripts" && !slices.Contains(readers, e.Type) {
			c.Warnf("%s: %q is now a %s file, and the device will install it like that: the entry does not say compressed", e.Path, name, r.Compressed)
		}
	}
	if r.NewName == "" || r.NewName == name {
		return
	}
	for _, place := range d.Mentions(name) {
		c.Warnf("%s: mentions %q, which is now %q", place, name, r.NewName)
	}
}
