// SPDX-License-Identifier: MIT

package displace

import (
	"bytes"
	"debug/elf"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"swudelta/internal/bsdiff"
	"swudelta/internal/bzip2"
)

// copiesOf makes the copies of a patch from old to new, which other levels of effort may change.
func copiesOf(old, new []byte) []Copy {
	patch := bsdiff.Diff(old, new, bsdiff.Options{Effort: bsdiff.Unchanging})
	var copies []Copy
	var at, pos int64
	for _, c := range patch.Controls {
		lo := max(0, -pos)
		if hi := min(c.Add, int64(len(old))-pos); lo < hi {
			copies = append(copies, Copy{New: at + lo, Old: pos + lo, Len: hi - lo})
		}
		at += c.Add + c.Extra
		pos += c.Add + c.Seek
	}
	return copies
}

// differences returns the difference stream of the copies, without and with
// prediction.
func differences(t testing.TB, p *Predictor, old, new []byte, copies []Copy) (plain, predicted []byte) {
	for _, c := range copies {
		was, is := old[c.Old:c.Old+c.Len], new[c.New:c.New+c.Len]
		got := bytes.Clone(was)
		if err := p.Predict(got, nil, c.New, c.Old); err != nil {
			t.Fatal(err)
		}
		for i := range is {
			plain = append(plain, is[i]-was[i])
			predicted = append(predicted, is[i]-got[i])
		}
	}
	return plain, predicted
}

func packed(t testing.TB, b []byte) int {
	var out bytes.Buffer
	if err := bzip2.Encode(&out, b, 1); err != nil {
		t.Fatal(err)
	}
	return out.Len()
}

// nonzero counts what is left to code.
func nonzero(b []byte) int { return len(b) - bytes.Count(b, []byte{0}) }

type measured struct{ files, size, plan, before, after, wrongBefore, wrongAfter int }

func (m *measured) add(o measured) {
	m.files += o.files
	m.size += o.size
	m.plan += o.plan
	m.before += o.before
	m.after += o.after
	m.wrongBefore += o.wrongBefore
	m.wrongAfter += o.wrongAfter
}

func (m measured) row(name string) string {
	return fmt.Sprintf("| %-40s | %5d | %9d | %6d | %8d | %8d | %8d | %8d | %5.1f %% |", name, m.files, m.size, m.plan,
		m.wrongBefore, m.wrongAfter, m.before, m.after, 100*float64(m.after)/float64(max(1, m.before)))
}

func measure(t testing.TB, old, new []byte) measured {
	copies := copiesOf(old, new)
	plan, better, err := Find(Image{R: bytes.NewReader(old), Size: int64(len(old))},
		Image{R: bytes.NewReader(new), Size: int64(len(new))}, copies, func() {})
	if err != nil {
		t.Fatal(err)
	}
	stated, err := plan.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	if plan, err = Parse(stated, int64(len(old)), int64(len(new))); err != nil {
		t.Fatal(err)
	}
	p, err := New(plan, better, bytes.NewReader(old))
	if err != nil {
		t.Fatal(err)
	}
	plain, _ := differences(t, p, old, new, copies)
	_, predicted := differences(t, p, old, new, better)
	if os.Getenv("SWUDELTA_DISPLACE_RANGES") != "" {
		report(t, p, old, new, better)
		fmt.Printf("  copies %d -> %d (%d -> %d bytes), moves %d\n", len(copies), len(better), lengthOf(copies), lengthOf(better), len(plan.moves))
	}
	return measured{1, len(new), len(stated), packed(t, plain), packed(t, predicted), nonzero(plain), nonzero(predicted)}
}

// report prints where differences are left, by section of the old file.
func report(t testing.TB, p *Predictor, old, new []byte, copies []Copy) {
	f, err := elf.NewFile(bytes.NewReader(old))
	if err != nil {
		return
	}
	type tally struct{ was, is, un int }
	sum := map[string]*tally{}
	marks := map[uint8]*[2]int{}
	for _, c := range copies {
		got := bytes.Clone(old[c.Old : c.Old+c.Len])
		mark := make([]byte, c.Len)
		if err := p.Predict(got, mark, c.New, c.Old); err != nil {
			t.Fatal(err)
		}
		for _, s := range f.Sections {
			lo, hi := max(c.Old, int64(s.Offset)), min(c.Old+c.Len, int64(s.Offset+s.Size))
			if s.Type == elf.SHT_NOBITS {
				continue
			}
			for o := lo; o < hi; o++ {
				y := sum[s.Name]
				if y == nil {
					y = &tally{}
					sum[s.Name] = y
				}
				n := new[o-c.Old+c.New]
				if n != old[o] {
					y.was++
				}
				g := got[o-c.Old] != n
				if g {
					y.is++
				}
				if mark[o-c.Old] != 0 {
					m := marks[mark[o-c.Old]&^7]
					if m == nil {
						m = &[2]int{}
						marks[mark[o-c.Old]&^7] = m
					}
					m[0]++
					if g {
						m[1]++
					}
				} else if g {
					y.un++
				}
			}
		}
	}
	for _, s := range f.Sections {
		if y := sum[s.Name]; y != nil && y.was+y.is > 0 {
			fmt.Printf("  %-20s %8d bytes: wrong before %7d after %7d (in no field %d)\n", s.Name, s.Size, y.was, y.is, y.un)
		}
	}
	for i := range 256 {
		if m := marks[uint8(i)]; m != nil {
			fmt.Printf("  mark %d/%d: %d bytes, %d wrong\n", i>>5, i>>3&3, m[0], m[1])
		}
	}
}

// TestMeasure prints the table of doc/engine.md for the programs that lie
// under the same name in two folders, or for two files.
// SWUDELTA_DISPLACE=OLD:NEW names them.
func TestMeasure(t *testing.T) {
	var all measured
	env := os.Getenv("SWUDELTA_DISPLACE")
	if env == "" {
		t.Skip("SWUDELTA_DISPLACE=OLD:NEW is not set: no programs to measure")
	}
	oldRoot, newRoot, ok := strings.Cut(env, ":")
	if !ok {
		t.Fatalf("SWUDELTA_DISPLACE=%s is not OLD:NEW", env)
	}
	err := filepath.WalkDir(newRoot, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		name, err := filepath.Rel(newRoot, path)
		if err != nil {
			return err
		}
		new, err := os.ReadFile(path)
		if err != nil || !bytes.HasPrefix(new, []byte(elf.ELFMAG)) {
			return err
		}
		old, err := os.ReadFile(filepath.Join(oldRoot, name))
		if err != nil || bytes.Equal(old, new) {
			return nil
		}
		m := measure(t, old, new)
		fmt.Println(m.row(name))
		all.add(m)
		return nil
	})
	if err != nil && err != io.EOF {
		t.Fatal(err)
	}
	fmt.Println(all.row("sum"))
}
