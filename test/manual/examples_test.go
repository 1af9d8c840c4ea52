// SPDX-License-Identifier: MIT

package manual

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"swudelta/internal/tooltest"
)

// elsewhere are the beginnings of examples that want a device or somebody's programs.
var elsewhere = []string{
	"adu-deploy ", "adu-probe /usr/lib/libadudiffapi.so", "swu-sign --command 'ssh signer ", "release-deltas -o out --sign 'sign-ota' ",
}

// prepare makes what the examples name out of the pair of the demonstration.
const prepare = `set -e
cp "$ROOT/testdata/demo/source.swu" v1.swu
cp "$ROOT/testdata/demo/target.swu" v2.swu
cp v1.swu source.swu
cp v1.swu gw-1.0.swu
cp "$ROOT/scripts/samples/swu-update.sh" gw-update.sh
openssl req -x509 -newkey rsa:2048 -noenc -keyout key.pem -out cert.pem -days 30 -subj /CN=demo \
  -addext extendedKeyUsage=emailProtection -addext keyUsage=digitalSignature 2>/dev/null
swu-unpack --member gateway-rootfs.ext4.gz v2.swu > rootfs.ext4.gz
swu-unpack --member sw-description v2.swu | sed 's/gateway-rootfs/rootfs/' > sw-description
zrecompress --to plain -o rootfs.ext4 rootfs.ext4.gz
swu-sign --scheme cms --key key.pem --cert cert.pem -o sw-description.sig sw-description
printf '%s\n' sw-description sw-description.sig rootfs.ext4.gz | swu-pack -o update.swu
swu-recompress -q -o target.swu v2.swu
cp target.swu gw-2.0.swu
bsdelta -1 -o update.diff source.swu target.swu
cp update.diff gw-1.0-2.0.diff
zrecompress -o rootfs.ext4.zst rootfs.ext4.gz
mkdir new
`

// TestExamples runs the examples of the manual pages as they stand, each page in a folder
// of its own that has the files they name.
func TestExamples(t *testing.T) {
	tooltest.Need(t, "bash", "openssl", "flock", "jq")
	dir := t.TempDir()
	bin, scripts, files := filepath.Join(dir, "bin"), filepath.Join(dir, "scripts"), filepath.Join(dir, "files")
	build := exec.Command("go", "build", "-o", bin+"/", "./cmd/...")
	build.Dir = tooltest.Root()
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if err := os.CopyFS(scripts, os.DirFS(filepath.Join(tooltest.Root(), "scripts"))); err != nil {
		t.Fatal(err)
	}
	bash := func(dir, command string) ([]byte, error) {
		cmd := exec.Command("bash", "-euo", "pipefail", "-c", command)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "ROOT="+tooltest.Root(), "PATH="+scripts+":"+bin+":"+os.Getenv("PATH"))
		return cmd.CombinedOutput()
	}
	if err := os.Mkdir(files, 0o777); err != nil {
		t.Fatal(err)
	}
	if out, err := bash(files, prepare); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	ran := 0
	for page, path := range pages(t) {
		t.Run(page, func(t *testing.T) {
			work := t.TempDir()
			if err := os.CopyFS(work, os.DirFS(files)); err != nil {
				t.Fatal(err)
			}
			for _, command := range examples(read(t, path)) {
				if slices.ContainsFunc(elsewhere, func(e string) bool { return strings.HasPrefix(command, e) }) {
					continue
				}
				ran++
				if out, err := bash(work, command); err != nil {
					t.Errorf("%s\n%v\n%s", command, err, out)
				}
			}
		})
	}
	if ran < 20 {
		t.Errorf("ran %d examples only", ran)
	}
}

// examples returns the commands in the blocks of a page's examples: what stands behind
// $ where there is one, else all lines.
func examples(page string) (commands []string) {
	_, text, _ := strings.Cut(page, "\n# EXAMPLES\n")
	text, _, _ = strings.Cut(text, "\n# ")
	blocks := strings.Split(text, "```")
	for i := 1; i < len(blocks); i += 2 {
		lines := strings.Split(strings.Trim(blocks[i], "\n"), "\n")
		session := slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, "$ ") })
		for n := 0; n < len(lines); n++ {
			command, ok := strings.CutPrefix(lines[n], "$ ")
			if session && !ok {
				continue // what was printed
			}
			for strings.HasSuffix(command, `\`) && n+1 < len(lines) {
				n++
				command += "\n" + lines[n]
			}
			commands = append(commands, command)
		}
	}
	return commands
}
