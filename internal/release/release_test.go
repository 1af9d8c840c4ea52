// SPDX-License-Identifier: MIT

package release

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"swudelta/internal/fault"
)

func TestParseFile(t *testing.T) {
	for operand, want := range map[string]File{
		"v1.swu":         {"v1", "v1.swu"},
		"old/v1.swu":     {"v1", "old/v1.swu"},
		"old/v1.bin":     {"v1.bin", "old/v1.bin"},
		"N=old/v1.swu":   {"N", "old/v1.swu"},
		"N=a=b.swu":      {"N", "a=b.swu"},
		"d/x=y.swu":      {"x=y", "d/x=y.swu"},
		"with space.swu": {"with space", "with space.swu"},
	} {
		if got, err := ParseFile(operand); err != nil || got != want {
			t.Errorf("%q: got %+v, %v; want %+v", operand, got, err, want)
		}
	}
	for _, operand := range []string{"", "=x.swu", "a\nb=x.swu", ".swu", "..=x", "/"} {
		if got, err := ParseFile(operand); err == nil {
			t.Errorf("%q: got %+v, want an error", operand, got)
		}
	}
}

func TestReadTable(t *testing.T) {
	for text, want := range map[string][]Row{
		"":                        nil,
		"a,1":                     {{"a", 1, Unknown}},
		"source,devices\na,1\n":   {{"a", 1, Unknown}},
		"# x\n\n  \na\t7\t55\r\n": {{"a", 7, 55}},
		"a b, 7 , -\nc,0,\n":      {{"a b", 7, Unknown}, {"c", 0, Unknown}},
		"a,b\t7":                  {{"a,b", 7, Unknown}},
	} {
		if got, err := ReadTable(strings.NewReader(text)); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: got %v, %v; want %v", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"a,1\nb,x":                           `line 2: "x" is no number of devices`,
		"a,1\n\nb":                           "line 3: want a source and its number of devices",
		"a,1\n,2":                            "line 2: want a source and its number of devices",
		"a,1\na,2":                           `line 2: there is a row for "a" already`,
		"a,1234567890123":                    `line 1: "1234567890123" is no number of devices`,
		"a,1,2x":                             `line 1: "2x" is no number of bytes`,
		"a,1,1234567890123456":               `line 1: "1234567890123456" is no number of bytes`,
		"h,h\nh,h":                           `line 2: "h" is no number of devices`,
		"a,-1\nb,-1":                         `line 2: "-1" is no number of devices`,
		"a,1\n" + strings.Repeat("x", 1<<17): "bufio.Scanner: token too long",
	} {
		if _, err := ReadTable(strings.NewReader(text)); err == nil || err.Error() != want {
			t.Errorf("%.40q: got %v, want %s", text, err, want)
		}
	}
}

func FuzzReadTable(f *testing.F) {
	f.Add("source\tdevices\na\t1\t2\n# x\n\nb,7\r\n", int64(100))
	f.Fuzz(func(t *testing.T, text string, full int64) {
		rows, err := ReadTable(strings.NewReader(text))
		if err != nil || full < 0 || full > 1<<50 {
			return
		}
		// What is ranked is what was read, in another order.
		ranked := Rank(rows, full)
		for i, r := range ranked {
			if !slices.Contains(rows, r.Row) || r.Saved < 0 || i > 0 && r.Saved > ranked[i-1].Saved {
				t.Fatalf("%q: row %d: %+v", text, i, r)
			}
		}
		if len(ranked) != len(rows) {
			t.Fatalf("%q: %d rows became %d", text, len(rows), len(ranked))
		}
	})
}

func TestDevices(t *testing.T) {
	sources := []File{{"x", "old/a.swu"}, {"y", "b.swu"}}
	for _, words := range [][]string{{"x", "y"}, {"old/a.swu", "b.swu"}, {"a.swu", "y"}} {
		got, err := Devices(sources, []Row{{words[0], 1, Unknown}, {words[1], 2, Unknown}, {"gone", 3, Unknown}})
		if want := map[string]int64{"x": 1, "y": 2}; err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got %v, %v", words, got, err)
		}
	}
	_, err := Devices(sources, []Row{{"x", 1, Unknown}})
	if !fault.IsData(err) || err.Error() != "there is no row for y" {
		t.Errorf("got %v", err)
	}
}

// TestRecord writes records and reads them; what is cut short is none.
func TestRecord(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r")
	for _, r := range []record{
		{"k", "d", made, 5, "1.2"},
		{"k", "-", larger, 0, "0.1"},
		{"-", "-", failed, 3, "9.0"},
	} {
		if err := r.write(path); err != nil {
			t.Fatal(err)
		}
		if got := readRecord(path); got != r {
			t.Errorf("got %+v, want %+v", got, r)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		last := strings.LastIndex(string(text), "\t")
		for n := range last {
			if err := os.WriteFile(path, text[:n], 0o666); err != nil {
				t.Fatal(err)
			}
			if got := readRecord(path); got != (record{}) {
				t.Fatalf("%q: got %+v", text[:n], got)
			}
		}
	}
}

func TestLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "l")
	unlock, err := lock(path, false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lock(path, false); err != errLocked {
		t.Errorf("a second time: got %v", err)
	}
	unlock()
	unlock, err = lock(path, true)
	if err != nil {
		t.Fatal(err)
	}
	unlock()
}

func TestKeyOf(t *testing.T) {
	seen := map[string]string{}
	for _, parts := range [][]string{{}, {""}, {"a"}, {"a", ""}, {"a", "b"}, {"ab"}, {"a\nb"}, {"1:a\n1:b"}} {
		key := keyOf(parts...)
		if other, ok := seen[key]; ok {
			t.Errorf("%q and %s have the same key", parts, other)
		}
		seen[key] = fmt.Sprintf("%q", parts)
	}
}
