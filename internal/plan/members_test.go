// SPDX-License-Identifier: MIT

package plan

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"swudelta/internal/device/stock"
	"swudelta/internal/tooltest"
)

func desc(v string) member {
	return member{"sw-description", fmt.Appendf(nil, "software = { version = %q; };\n", v)}
}

// noted makes a delta that is applied and compared, and returns what the user was told.
func noted(t *testing.T, o Options, source, target []byte) (*Result, string) {
	t.Helper()
	var notes []string
	o.Note = func(s string) { notes = append(notes, s) }
	r, err := Make(input(source), input(target), o)
	if err != nil {
		t.Fatal(err)
	}
	if got := applied(t, source, r.Delta); !bytes.Equal(got, target) {
		t.Fatal("applying the delta does not give the target")
	}
	return r, strings.Join(notes, "\n")
}

// zstdTool compresses with the program, whose output need not be the device's.
func zstdTool(t *testing.T, data []byte, args ...string) []byte {
	t.Helper()
	tooltest.Need(t, "zstd")
	cmd := exec.Command("zstd", append([]string{"-q", "-c"}, args...)...)
	cmd.Stdin = bytes.NewReader(data)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// A member that did not change costs next to nothing, and nothing on the device,
// whatever it is and whatever its name is by now.
func TestMakeUnchanged(t *testing.T) {
	o := options(t)
	content := random(1, 1<<20)
	broken := gzipped(t, content)
	broken[len(broken)/2] ^= 1
	before := random(2, 40<<10)
	after := slices.Concat(before[:30<<10], random(3, 10<<10))
	for _, c := range []struct {
		name string
		data []byte
	}{
		{"plain", content},
		{"gzip", gzipped(t, content)},
		{"canonical zstd", canonical(t, content)},
		{"zstd of another level", zstdTool(t, content, "-19")},
		{"xz", append([]byte("\xfd7zXZ\x00"), content...)},
		{"broken gzip", broken},
		{"small", content[:1000]},
	} {
		t.Run(c.name, func(t *testing.T) {
			source := archive(t, desc("1"), member{"a", c.data}, member{"b", before})
			target := archive(t, desc("2"), member{"b", after}, member{"c", c.data})
			base, _ := noted(t, o, archive(t, desc("1"), member{"b", before}), archive(t, desc("2"), member{"b", after}))
			r, notes := noted(t, o, source, target)
			if more := len(r.Delta) - len(base.Delta); more > 500 {
				t.Errorf("the member costs %d bytes", more)
			}
			if r.DeviceTmp > base.DeviceTmp+100 {
				t.Errorf("the device needs %d bytes of temporary space, %d without the member", r.DeviceTmp, base.DeviceTmp)
			}
			if strings.Contains(notes, `target member "c"`) {
				t.Errorf("note: %s", notes)
			}
		})
	}
}

// What of a compressed member is the same as it is stored is matched as it is stored.
func TestMakePartlyUnchanged(t *testing.T) {
	o := options(t)
	a, b, c := gzipped(t, random(1, 1<<20)), gzipped(t, random(2, 50<<10)), gzipped(t, random(3, 50<<10))
	for _, x := range []struct {
		name           string
		source, target []byte
	}{
		{"concatenation", slices.Concat(a, b), slices.Concat(a, c)},
		{"in front of it", slices.Concat(b, a), slices.Concat(c, a)},
		{"xz", slices.Concat([]byte("\xfd7zXZ\x00"), a, b), slices.Concat([]byte("\xfd7zXZ\x00"), a, c)},
	} {
		t.Run(x.name, func(t *testing.T) {
			r, _ := noted(t, o, archive(t, desc("1"), member{"initrd", x.source}), archive(t, desc("2"), member{"initrd", x.target}))
			if len(r.Delta) > 54<<10 {
				t.Errorf("got %d bytes", len(r.Delta))
			}
		})
	}
}

// A source is compared with whatever is in it: what cannot be opened as it is stored,
// what can without its compression.
func TestMakeUnopenable(t *testing.T) {
	o := options(t)
	content := random(1, 1<<20)
	var bgzip []byte
	for at := 0; at < len(content); at += 32 << 10 {
		bgzip = append(bgzip, gzipped(t, content[at:at+32<<10])...)
	}
	cut := gzipped(t, content)
	cut = cut[:len(cut)/2]
	bad := gzipped(t, content)
	bad[len(bad)/2] ^= 1
	dict := filepath.Join(t.TempDir(), "dict")
	if err := os.WriteFile(dict, content[:100<<10], 0o600); err != nil {
		t.Fatal(err)
	}
	wide := zstdTool(t, content)
	wide[5] = (31 - 10) << 3 // RFC 8878 section 3.1.1.1.2
	const half = 1 << 19
	for _, c := range []struct {
		name string
		data []byte
		most int    // bytes of the delta to the content
		note string // of the source
	}{
		{"several gzip members", slices.Concat(gzipped(t, content[:half]), gzipped(t, content[half:])), 3 << 10, ""},
		{"padding", append(gzipped(t, content), make([]byte, 5000)...), 3 << 10, ""},
		{"something else", append(gzipped(t, content[:half]), content[half:]...), 3 << 10, ""},
		{"a broken second member", slices.Concat(gzipped(t, content), bad), 3 << 10, "gzip stream: "},
		{"gzip and zstd", slices.Concat(gzipped(t, content[:half]), zstdTool(t, content[half:])), 3 << 10, ""},
		{"zstd and something else", slices.Concat(zstdTool(t, content[:half]), []byte("PAD0"), content[half:]), 3 << 10, ""},
		{"bgzip", bgzip, 1100 << 10, "more than 16 compressed streams"},
		{"cut short", cut, 1100 << 10, "unexpected EOF"},
		{"corrupt", bad, 1100 << 10, "gzip stream: "},
		{"dictionary", zstdTool(t, content, "-D", dict), 1100 << 10, "zstd stream: "},
		{"wide window", wide, 1100 << 10, "window"},
		{"magic of gzip", []byte{0x1f, 0x8b, 8}, 1100 << 10, "gzip stream: "},
		{"magic of zstd", []byte{0x28, 0xb5, 0x2f, 0xfd}, 1100 << 10, "unexpected EOF"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, notes := noted(t, o, archive(t, desc("1"), member{"kernel", c.data}), archive(t, desc("2"), member{"kernel", append(bytes.Clone(content), make([]byte, 1<<20)...)}))
			if len(r.Delta) > c.most {
				t.Errorf("got %d bytes, want at most %d", len(r.Delta), c.most)
			}
			if !strings.Contains(notes, c.note) || c.note == "" && strings.Contains(notes, "source member") || strings.Count(notes, "source member") > 1 {
				t.Errorf("notes: %s", notes)
			}
		})
	}
	// In the target they are compared as they are stored.
	for _, c := range []struct {
		name string
		data []byte
	}{{"cut short", canonical(t, content)[:half]}, {"magic of zstd", append([]byte{0x28, 0xb5, 0x2f, 0xfd}, make([]byte, 20<<10)...)}} {
		t.Run("target "+c.name, func(t *testing.T) {
			_, notes := noted(t, o, archive(t, desc("1"), member{"kernel", content}), archive(t, desc("2"), member{"kernel", c.data}))
			if strings.Count(notes, `target member "kernel": zstd is compared as it is stored: `) != 1 {
				t.Errorf("notes: %s", notes)
			}
		})
	}
}

// Files that begin as SWUs do are files.
func TestMakeArchives(t *testing.T) {
	o := options(t)
	entry := func(name string, data []byte) string {
		pad := func(s string) string { return s + strings.Repeat("\x00", -len(s)&3) }
		return pad(fmt.Sprintf("070701%08X%08X%024X%08X%08X%040X%08X%08X%s\x00", 1, 0o100644, 2, 0, len(data), 0, len(name)+1, 0, name)) + pad(string(data))
	}
	end := entry("TRAILER!!!", nil)
	old := random(1, 200<<10)
	for _, c := range []struct {
		name           string
		source, target string
	}{
		{"hard links", entry("a", nil) + entry("a", nil) + entry("b", old) + end, entry("a", nil) + entry("a", nil) + entry("b", edits(old)) + end},
		{"second segment", entry("early", old) + end + string(gzipped(t, old)), entry("early", edits(old)) + end + string(gzipped(t, old))},
		{"many small files", entry("x", old[:9000]) + entry("y", old[9000:18000]) + end, entry("y", old[9000:18000]) + entry("x", old[:9000]) + end},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, _ := noted(t, o, []byte(c.source), []byte(c.target))
			if len(r.Delta) > 30<<10 {
				t.Errorf("got %d bytes", len(r.Delta))
			}
		})
	}
}

// Each of several members is made of the old one of its name, and the device unpacks no
// other.
func TestMakeManyMembers(t *testing.T) {
	o := options(t)
	source, target := []member{desc("1")}, []member{desc("2")}
	const size = 1 << 20
	for i := range 6 {
		name := fmt.Sprintf("app%d.img", i)
		old := random(uint64(i), size)
		source = append(source, member{name + ".gz", gzipped(t, old)})
		target = append(target, member{name + ".zst", canonical(t, edits(old))})
	}
	r, _ := noted(t, o, archive(t, source...), archive(t, target...))
	if r.DeviceTmp > 4*size {
		t.Errorf("the device needs %d bytes of temporary space", r.DeviceTmp)
	}
	if len(r.Delta) > 6*170<<10 {
		t.Errorf("got %d bytes", len(r.Delta))
	}
}

// What a region cannot reach is reached by the next one, and the user is told what none
// does.
func TestRegions(t *testing.T) {
	o := options(t)
	content := random(1, 1<<20)
	source := gzipped(t, content)
	for _, c := range []struct {
		max  int64
		most int
		told bool
	}{{1 << 19, 3 << 10, false}, {1<<19 - 1, 3 << 10, true}, {1 << 18, 530 << 10, true}} {
		var notes []string
		o.Note = func(s string) { notes = append(notes, s) }
		zstd, _ := libraries(t)
		o.Device = stock.New(stock.Options{Zstd: zstd, Scratch: scratch(t), MaxRegion: c.max})
		r, err := Make(input(source), input(content), o)
		if err != nil {
			t.Fatal(err)
		}
		if got := applied(t, source, r.Delta); !bytes.Equal(got, content) {
			t.Error("applying the delta does not give the target")
		}
		if len(r.Delta) > c.most {
			t.Errorf("regions of %d bytes: delta of %d, want at most %d", c.max, len(r.Delta), c.most)
		}
		if told := strings.Contains(strings.Join(notes, ""), "is not looked at"); told != c.told {
			t.Errorf("regions of %d bytes: notes %q", c.max, notes)
		}
	}
}

// A delta that is large for its target is no surprise to the user.
func TestLargeDeltaIsTold(t *testing.T) {
	o := options(t)
	old := hex.AppendEncode(nil, random(1, 512<<10))
	for _, c := range []struct {
		name   string
		target member
		want   string
	}{
		{"closed", member{"rootfs", gzipped(t, edits(old))}, `target member "rootfs" (gzip is compared as it is stored: not as the device writes it`},
		{"new", member{"rootfs", random(2, 1<<20)}, `target member "rootfs" (little of its content is in the source)`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, notes := noted(t, o, archive(t, desc("1"), member{"rootfs", gzipped(t, old)}), archive(t, desc("2"), c.target, member{"zeros", make([]byte, 300<<10)}))
			if !strings.Contains(notes, c.want) {
				t.Errorf("notes: %s", notes)
			}
		})
	}
	if _, notes := noted(t, o, old, edits(old)); notes != "" {
		t.Errorf("notes: %s", notes)
	}
}
