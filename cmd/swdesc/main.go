// SPDX-License-Identifier: MIT

// Swdesc lists, checks and rewrites the file entries of a sw-description.
//
// Usage:
//
//	swdesc --set NAME[:NEWNAME]=FILE ... [-o OUTPUT] [INPUT]
//	swdesc --list [--json] [-o OUTPUT] [INPUT]
//	swdesc --check [--json] [-C DIR] [-o OUTPUT] [INPUT]
//
// It is the step between zrecompress and swu-sign: when a member of an archive
// has changed, the entries that name it get its digest, size and compression,
// and nothing else in the text changes. app.Description says more.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"swudelta/internal/fault"
	"swudelta/internal/swdesc"
	"swudelta/internal/tool"
)

func main() { tool.Main(app) }

var app = &tool.Command{
	Name:    "swdesc",
	Usage:   "--set NAME[:NEWNAME]=FILE ... [INPUT] | --list [--json] [INPUT] | --check [--json] [-C DIR] [INPUT]",
	Summary: "List, check or rewrite the file entries of a sw-description.",
	Description: `
INPUT is a sw-description in libconfig's syntax or in JSON. An entry is a group with a
filename, wherever in the tree it stands.

--set says that the archive member NAME is now FILE. In every entry that names it,
sha256 and size become those of FILE, where the entry has them. Where the entry says
compressed, it becomes FILE's compression: zlib (which is what sw-description calls
gzip), zstd, xz or lz4, as FILE's first bytes tell; it is taken out when FILE is not
compressed. An entry without it is for a device that wants the member as it is, and is
not given one. With :NEWNAME the file name changes too; where a name has a = in it, FILE
is what exists behind one. Nothing else in the text changes, not a blank and not a
comment.

--list prints a line for each entry: its fields, separated by TABs, - for an empty one:

  1 name        the archive member
  2 kind        section: images, files, scripts or other
  3 compressed  zlib, zstd, true (means zlib) or another word; - if stored plain
  4 sha256      digest of the member, lower case
  5 size        bytes, if stated
  6 type        handler, stated or implied
  7 encrypted   yes or no
  8 action      recompress: the device undoes a compression that can be redone
                leave: the member must stay as it is
                same: an entry before this one has the same name
  9 reason      why
 10 path        place in the tree

--check says what SWUpdate would refuse, or install otherwise than it was meant. INPUT is
a SWU, or a sw-description whose members are in DIR. It prints a line for each reason,
with fields as above, and ends with status 3 if there is one:

  1 class       description: no "software", no version, nothing to install
                missing: no member has exactly that name
                digest: sha256 is that of another file, or no digest
                label: compressed is a word that SWUpdate does not know, or it wants
                another compression than the member has
                stream: it has, but SWUpdate fails to decompress it: it is damaged, wants
                a dictionary or a window over 128 MiB, or has several gzip members
                part: SWUpdate installs a part of it and does not notice: it is cut short, or
                goes on behind the first gzip member
                padding: zeros behind gzip, where SWUpdate may not read
                size: that of another file
                unhashed: no sha256 in a signed archive
  2 name        the archive member
  3 path        place in the tree
  4 message

The rules are those of SWUpdate 2022.12, with xz, lz4 and size of later releases. What is
encrypted is not decompressed, and the signature is not verified (swu-sign does that).

Refused with status 3: what is no sw-description (templates that their build has yet to
fill in among them), an @include, an encrypted member, digests of chunks, a NAME that no
entry has, a NEWNAME that another member has.`,
	Example: `
$ swdesc --list sw-description
rootfs.ext4.gz	images	zlib	5ed6...	-	raw	no	recompress	compressed zlib	software.images[0]
$ zrecompress --to zstd -o rootfs.ext4.zst rootfs.ext4.gz
$ swdesc --check update.swu && echo good
good
$ swdesc --set rootfs.ext4.gz:rootfs.ext4.zst=rootfs.ext4.zst -o new/sw-description sw-description`,
	MaxArgs: 1,
	Flags: []tool.Flag{
		&tool.Strings{Name: "set", Arg: "NAME[:NEWNAME]=FILE", Help: "entries of NAME get FILE's digest, size and compression"},
		&tool.Bool{Name: "list", Help: "list the entries"},
		&tool.Bool{Name: "check", Help: "hold INPUT, a SWU or a sw-description, against the members"},
		&tool.String{Name: "directory", Short: "C", Arg: "DIR", Value: ".", Help: "with --check of a sw-description: the members are in DIR"},
		&tool.Bool{Name: "json", Help: "with --list and --check: as a JSON array, with all that is known"},
	},
	Run: func(c *tool.Context) error {
		modes := 0
		for _, set := range []bool{c.IsSet("set"), c.Bool("list"), c.Bool("check")} {
			if set {
				modes++
			}
		}
		switch {
		case modes != 1:
			return tool.Usagef("want one of --set, --list and --check")
		case c.Bool("json") && c.IsSet("set"):
			return tool.Usagef("--json goes with --list and --check")
		case c.IsSet("directory") && !c.Bool("check"):
			return tool.Usagef("-C goes with --check")
		case c.Bool("check"):
			return check(c)
		}
		in, err := c.Input(0)
		if err != nil {
			return err
		}
		defer in.Close()
		text, err := readText(in, in.Name())
		if err != nil {
			return err
		}
		d, err := swdesc.Parse(text)
		if err != nil {
			return fmt.Errorf("parse %s: %w", in.Name(), err)
		}
		if c.Bool("list") {
			return list(c, d.Entries())
		}
		replacements, err := readSets(c, d)
		if err != nil {
			return err
		}
		out, err := d.Rewrite(replacements)
		if err != nil {
			return fmt.Errorf("rewrite %s: %w", in.Name(), err)
		}
		return c.TextOutput(func(w io.Writer) error {
			_, err := w.Write(out)
			return err
		})
	},
}

func list(c *tool.Context, entries []swdesc.Entry) error {
	return c.TextOutput(func(w io.Writer) error {
		if c.Bool("json") {
			if i := slices.IndexFunc(entries, func(e swdesc.Entry) bool { return !utf8.ValidString(e.Name) }); i >= 0 {
				return fault.Dataf("name %q: not UTF-8, which JSON cannot tell", entries[i].Name)
			}
			return writeJSON(w, entries)
		}
		for _, e := range entries {
			size, encrypted := "", "no"
			if e.Size != 0 {
				size = strconv.FormatInt(e.Size, 10)
			}
			if e.Encrypted {
				encrypted = "yes"
			}
			if err := writeFields(w, e.Name, e.Kind, e.Compressed, e.SHA256, size, e.Type, encrypted, string(e.Action), e.Reason, e.Path); err != nil {
				return err
			}
		}
		return nil
	})
}

// writeFields writes a line of fields with TABs between them.
func writeFields(w io.Writer, fields ...string) error {
	for i, f := range fields {
		if strings.ContainsFunc(f, func(r rune) bool { return r < ' ' }) {
			return tool.Hint(fault.Dataf("%q: a line cannot hold it", f), "--json can")
		}
		if f == "" {
			fields[i] = "-"
		}
	}
	_, err := io.WriteString(w, strings.Join(fields, "\t")+"\n")
	return err
}

func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// readText reads a sw-description. What is too long for one, Parse refuses.
func readText(r io.Reader, name string) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, swdesc.MaxSize+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return text, nil
}
