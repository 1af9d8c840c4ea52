// SPDX-License-Identifier: MIT

// Sdc-path names files in the source update cache of a Device Update agent.
//
// Usage:
//
//	sdc-path --provider P [--base D] [SWU ...]
//	sdc-path --provider P [--base D] --sha256 DIGEST
//	sdc-path [--base D] --manifest FILE
//
// prints paths; --install, --verify, --list and --prune work on what is there.
// app.Description says how. Exit status 3 says that a file is not what its name,
// its digest or the manifest says.
//
//	$ sdc-path --provider Contoso gw-1.0.swu
//	/var/lib/adu/sdc/Contoso/sha256-YmFYwnEUddq2nZsBAn5v7gCRKdHx_2BTUntMz5tLwU_2B24_3D
package main

import (
	"swudelta/internal/sdc"
	"swudelta/internal/tool"
)

func main() { tool.Main(app) }

var app = &tool.Command{
	Name:    "sdc-path",
	Usage:   "[--provider P | --manifest F] [--base D] [--install | --verify | --list | --prune SIZE] [SWU ...]",
	Summary: "Print where a device's agent looks for an update that deltas start from.",
	Description: `
An agent finds the source of a delta by its path alone:

  BASE/PROVIDER/sha256-HASH

PROVIDER is that of the update being installed, with every byte that is no ASCII letter,
digit or dash made an underscore. HASH is the base64 SHA-256 of the source SWU, with _2B
for +, _2F for / and _3D for =. The agent hashes nothing before it uses a file, and
removes nothing, ever.

Which files are meant is said by operands (an SWU is hashed; none or - is standard
input), by digests (--sha256), or by an import manifest (--manifest): first what its
deltas start from, in its order, then the files that devices will have cached once the
update is installed. Paths come one on a line:

  (nothing else)   their paths, whether they are there or not
  --install        put each SWU at its path, unless it is there already; with --sha256
                   only if it has one of these digests, with --manifest only if the
                   manifest names it. Missing folders are made. The file appears under
                   its name only when it is complete, verified and on disk
  --verify         hash what is there. The paths of good files are printed, each bad one
                   gives a warning and exit status 3; exit status 1 if none is there.
                   Without SWU, digest or manifest: all of the cache, or of --provider;
                   empty files that an agent left there are bad
  --list           what is there, oldest first: all, or of --provider
  --prune SIZE     remove the oldest files of all providers until SIZE is enough for the
                   rest, and print what was removed. Files that are named by operand,
                   digest or manifest stay

Folders are left alone by --prune, as is every file whose name is not that of a cached
one, or of one whose installation was cut off. The .info file that agents from 1.3 on
keep beside a cached file goes with it.`,
	Example: `
$ sdc-path --provider Contoso gw-1.0.swu
/var/lib/adu/sdc/Contoso/sha256-YmFYwnEUddq2nZsBAn5v7gCRKdHx_2BTUntMz5tLwU_2B24_3D
# sdc-path --provider Contoso --install --owner adu:adu gw-1.0.swu
# sdc-path --manifest gw-2.0.importmanifest.json --prune 2G`,
	MaxArgs: -1,
	Flags: []tool.Flag{
		&tool.String{Name: "provider", Arg: "P", Help: "provider of the update to install (updateId.provider)"},
		&tool.String{Name: "base", Arg: "DIR", Value: sdc.DefaultBase, Help: "the cache"},
		&tool.Strings{Name: "sha256", Arg: "DIGEST", Help: "a digest in hex or base64; may be repeated"},
		&tool.String{Name: "manifest", Arg: "FILE", Help: "take provider and digests from an import manifest"},
		&tool.Bool{Name: "install", Help: "put the SWU there"},
		&tool.String{Name: "owner", Arg: "USER[:GROUP]", Help: "with --install: owner of the file and of folders made"},
		&tool.String{Name: "mode", Arg: "OCTAL", Value: "0644", Help: "with --install: mode of the file; folders get x where it has r"},
		&tool.Bool{Name: "verify", Help: "hash what is there"},
		&tool.Bool{Name: "list", Help: "print what is there"},
		&tool.Size{Name: "prune", Help: "remove the oldest files until SIZE bytes are enough"},
	},
	Run: func(c *tool.Context) error {
		s := &selection{Context: c, base: c.String("base")}
		modes := 0
		for _, name := range []string{"install", "verify", "list", "prune"} {
			if c.IsSet(name) {
				modes++
			}
		}
		if modes > 1 {
			return tool.Usagef("--install, --verify, --list and --prune exclude each other")
		}
		if !c.Bool("install") && (c.IsSet("owner") || c.IsSet("mode")) {
			return tool.Usagef("--owner and --mode go with --install")
		}
		if err := s.identify(); err != nil {
			return err
		}
		switch {
		case c.Bool("install"):
			return s.install()
		case c.Bool("verify"):
			return s.verify()
		case c.Bool("list"):
			return s.list()
		case c.IsSet("prune"):
			return s.prune(c.Size("prune"))
		}
		if err := s.operands(true); err != nil {
			return err
		}
		return s.print(s.paths)
	},
}
