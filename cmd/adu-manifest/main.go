// SPDX-License-Identifier: MIT

// Adu-manifest makes and checks import manifests of Device Update for IoT Hub.
//
// Usage:
//
//	adu-manifest --provider P --name N --version V --compat KEY=VALUE,... [--delta F ...] TARGET
//	adu-manifest --config FILE [flags] [TARGET]
//	adu-manifest --check [--files DIR] [--source-manifest F ...] [MANIFEST]
//
// app.Description says more. Exit status 3 says that the files do not fit each
// other, or that a checked manifest is faulty.
//
//	$ adu-manifest --provider Contoso --name Gateway --version 2.0.0 \
//	    --compat manufacturer=Contoso,model=GW-100 --script gw-update.sh \
//	    --delta gw-1.0-2.0.diff --stage upload gw-2.0.swu
package main

import (
	"os"
	"slices"
	"strings"

	"swudelta/internal/tool"
)

func main() {
	os.Args = joinCompat(os.Args)
	tool.Main(app)
}

// joinCompat makes --compat KEY=VALUE KEY=VALUE, as the Azure CLI takes it, one
// argument with a comma between. The last argument is TARGET, whatever it looks
// like.
func joinCompat(args []string) []string {
	args = slices.Clone(args)
	for i := 1; i < len(args)-1 && args[i] != "--"; i++ {
		if args[i] != "--compat" && args[i] != "-compat" {
			continue
		}
		for i+3 < len(args) && !strings.HasPrefix(args[i+2], "-") && strings.Contains(args[i+2], "=") {
			args[i+1] += "," + args[i+2]
			args = slices.Delete(args, i+2, i+3)
		}
	}
	return args
}

var app = &tool.Command{
	Name:    "adu-manifest",
	Usage:   "--provider P --name N --version V --compat KEY=VALUE,... [--delta F ...] TARGET | --config F [TARGET] | --check [MANIFEST]",
	Summary: "Make the import manifest of an update, or check one.",
	Description: `
TARGET is the SWU that devices get. Each delta (of bsdelta or DiffGenTool, for any
device) says in its header which file it starts from and which it makes; it is refused if
it makes another file than TARGET, or is not smaller. An update has at most four. An
agent uses the first whose source it has cached.

Agents cache an update only if its manifest names a download handler, which one with
deltas does. --seed names it without deltas: give it for the release that comes before
the first delta, or no device will have a source.

The handler is microsoft/swupdate:2, which runs a script of the update on the device
(--script; scripts/samples/swu-update.sh is one). Agents up to 1.0 have
microsoft/swupdate:1, which runs one of their own; those from 1.1 on refuse it.
--property sets what the handler reads besides, such as apiVersion=1.1 or arguments=...

The same description makes the same bytes, but for createdDateTime: that is
SOURCE_DATE_EPOCH (seconds since 1970), else --created, else the clock.

FILE of --config is a JSON object; flags and TARGET go before what it says. Its keys are
provider, name, version, description, isDeployable, compatibility (array of objects),
installedCriteria, handler, handlerProperties, script, deltas (array of paths), target,
seed, fileProperties (object by file name), and steps: an array as in a manifest, with
paths in "files", for an update that does more than install TARGET, or has none. Relative
paths start from the folder of FILE.

--stage DIR puts the update's files and its manifest, PROVIDER.NAME.VERSION.importmanifest.json,
into DIR for upload, as hard links where that is possible, and prints their paths instead
of the manifest.

--compat takes KEY=VALUE pairs with commas between, or with blanks as the Azure CLI does.

--check prints what is wrong with a manifest of version 4.0 or 5.0, one finding a line,
and ends with status 3 if one of them is an error. It knows the public JSON schema, what
the service wants beyond it, and what keeps an agent from using a delta. --files holds
the files in DIR against it too, headers of deltas included.

--source-manifest, in both uses, names the manifest of the update that devices have, and
checks that they have it in their cache and will look for it there: same provider, a
download handler, a delta that starts from it, another installedCriteria.`,
	Example: `
$ adu-manifest --provider Contoso --name Gateway --version 2.0.0 \
    --compat manufacturer=Contoso,model=GW-100 --script gw-update.sh \
    --delta gw-1.0-2.0.diff --stage upload gw-2.0.swu
upload/gw-2.0.swu
upload/gw-update.sh
upload/gw-1.0-2.0.diff
upload/Contoso.Gateway.2.0.0.importmanifest.json
$ adu-manifest --check --files upload upload/*.importmanifest.json`,
	MaxArgs: 1,
	Flags: []tool.Flag{
		&tool.String{Name: "provider", Arg: "P", Help: "who makes the update; the provider of the source too"},
		&tool.String{Name: "name", Arg: "N", Help: "what is updated, such as a class of devices"},
		&tool.String{Name: "version", Arg: "V", Help: "version of the update: 2 to 4 numbers with dots between"},
		&tool.String{Name: "update-provider", Arg: "P", Help: "--provider, as the Azure CLI calls it"},
		&tool.String{Name: "update-name", Arg: "N", Help: "--name, as the Azure CLI calls it"},
		&tool.String{Name: "update-version", Arg: "V", Help: "--version, as the Azure CLI calls it"},
		&tool.String{Name: "up", Arg: "P", Help: "--provider, as the Azure CLI abbreviates it"},
		&tool.String{Name: "un", Arg: "N", Help: "--name, as the Azure CLI abbreviates it"},
		&tool.String{Name: "uv", Arg: "V", Help: "--version, as the Azure CLI abbreviates it"},
		&tool.Strings{Name: "compat", Arg: "KEY=VALUE,...", Help: "properties of the devices that it is for; may be repeated for more sets"},
		&tool.String{Name: "description", Arg: "TEXT", Help: "description of the update"},
		&tool.String{Name: "is-deployable", Arg: "true|false", Help: "false: only other updates may refer to it; default: not said (true)"},
		&tool.String{Name: "installed-criteria", Arg: "S", Help: "how the device tells that it is installed; default: the version"},
		&tool.String{Name: "script", Arg: "FILE", Help: "script that installs TARGET on the device"},
		&tool.String{Name: "handler", Arg: "ID", Help: "handler of the installation, VENDOR/NAME:VERSION"},
		&tool.Strings{Name: "property", Arg: "KEY=VALUE", Help: "a property for the handler; may be repeated"},
		&tool.Strings{Name: "delta", Arg: "FILE", Help: "a delta that makes TARGET; may be repeated"},
		&tool.Bool{Name: "seed", Help: "have devices cache the update although it has no delta"},
		&tool.String{Name: "created", Arg: "TIME", Help: "time of creation, such as 2025-01-15T10:00:00Z"},
		&tool.String{Name: "config", Arg: "FILE", Help: "read the description from FILE (JSON)"},
		&tool.String{Name: "stage", Arg: "DIR", Help: "put the files and the manifest into DIR"},
		&tool.Strings{Name: "source-manifest", Arg: "FILE", Help: "manifest of an update that a delta starts from; may be repeated"},
		&tool.Bool{Name: "check", Help: "check MANIFEST"},
		&tool.Bool{Name: "json", Help: "with --check: print a JSON array"},
		&tool.String{Name: "files", Arg: "DIR", Help: "with --check: the files of the update are in DIR; check them too"},
	},
	Run: func(c *tool.Context) error {
		if c.Bool("check") {
			return check(c)
		}
		for _, flag := range []string{"files", "json"} {
			if c.IsSet(flag) {
				return tool.Usagef("--%s goes with --check", flag)
			}
		}
		return build(c)
	},
}
