// SPDX-License-Identifier: MIT

package release

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// choose returns the deltas that go into the manifest: those of the sources that save
// most, all of a source or none. Those for the first kind of device come first, for its
// devices cannot read the others or do worse with them, and others pass over what they
// cannot read; of one kind the smallest, for devices that have several sources in their
// cache.
func (r *run) choose(steps []*step) []*step {
	if len(r.Manifest) == 0 {
		return nil
	}
	bySource := map[string][]*step{}
	var rows []Row
	for _, s := range steps {
		if s.status == made {
			bySource[s.source.Name] = append(bySource[s.source.Name], s)
		}
	}
	for name, list := range bySource {
		row := Row{name, list[0].devices, 0}
		for _, s := range list {
			row.Bytes = max(row.Bytes, s.bytes) // who of its devices reads which is not known
		}
		rows = append(rows, row)
	}
	var chosen []*step
	for _, ranked := range Rank(rows, r.size) {
		list := bySource[ranked.Source]
		if len(chosen)+len(list) > MaxDeltas {
			break
		}
		chosen = append(chosen, list...)
	}
	slices.SortFunc(chosen, func(a, b *step) int {
		return cmp.Or(cmp.Compare(slices.Index(r.Devices, a.device), slices.Index(r.Devices, b.device)),
			cmp.Compare(a.bytes, b.bytes), strings.Compare(a.source.Name, b.source.Name))
	})
	return chosen
}

// summarise writes summary.tsv, and prints it with its columns aligned.
func (r *run) summarise(steps, chosen []*step) error {
	table := [][]string{{"source", "devices", "delta", "bytes", "ratio", "saved", "seconds", "status", "manifest"}}
	if len(r.Devices) > 1 {
		table[0] = append(table[0], "device")
	}
	for _, s := range steps {
		devices, known := r.DeviceCounts[s.source.Name]
		row := []string{s.source.Name, "-", "-", "-", "-", "-", orDash(s.seconds), cmp.Or(s.status, failed), "no"}
		if known {
			row[1] = strconv.FormatInt(devices, 10)
		}
		switch {
		case s.skipped:
			row[6], row[7] = "-", "skipped"
		case s.status == made:
			row[2] = filepath.Base(r.deltaPath(s))
			row[3] = strconv.FormatInt(s.bytes, 10)
			row[4] = fmt.Sprintf("%.4f", float64(s.bytes)/float64(r.size))
			if known {
				row[5] = fmt.Sprintf("%.0f", s.saves(r.size))
			}
			if slices.Contains(chosen, s) {
				row[8] = "yes"
			}
		}
		if len(r.Devices) > 1 {
			row = append(row, s.device)
		}
		table = append(table, row)
	}
	var tsv bytes.Buffer
	for _, row := range table {
		fmt.Fprintln(&tsv, strings.Join(row, "\t"))
	}
	if err := replaceFile(filepath.Join(r.Dir, "summary.tsv"), tsv.Bytes()); err != nil {
		return err
	}
	if len(steps) > 0 {
		for _, line := range align(table) {
			r.Tools.Say(line)
		}
	}
	return nil
}

// align makes lines of a table whose columns stand one below the other: words to the
// left, numbers to the right.
func align(table [][]string) []string {
	width := make([]int, len(table[0]))
	for _, row := range table {
		for i, cell := range row {
			width[i] = max(width[i], utf8.RuneCountInString(cell))
		}
	}
	var lines []string
	for _, row := range table {
		var line strings.Builder
		for i, cell := range row {
			w := width[i]
			if i == 0 || i == 2 || i >= 7 {
				w = -w
			}
			fmt.Fprintf(&line, "%*s  ", w, cell)
		}
		lines = append(lines, strings.TrimRight(line.String(), " "))
	}
	return lines
}

// manifest makes the folder to upload: the manifest and the files that it names.
func (r *run) manifest(chosen []*step) error {
	if len(r.Manifest) == 0 {
		return nil
	}
	upload := filepath.Join(r.Dir, "upload")
	part := upload + ".part"
	stage := func(more ...string) error {
		if err := os.RemoveAll(part); err != nil {
			return err
		}
		args := append(r.common(), r.Manifest...)
		args = append(args, more...)
		for _, s := range chosen {
			args = append(args, "--delta", r.deltaPath(s))
		}
		if len(chosen) == 0 {
			// Without a delta the update is still the source of later ones.
			args = append(args, "--seed")
		}
		_, err := r.output("adu-manifest", append(args, "--stage", part, r.full)...)
		return err
	}
	var kept []string
	old, _ := filepath.Glob(filepath.Join(upload, "*.importmanifest.json"))
	if r.KeepTime && len(old) == 1 {
		if created := createdTime(old[0]); created != "" {
			kept = []string{"--created", created}
		}
	}
	if err := stage(kept...); err != nil {
		return err
	}
	if kept != nil && !sameContent(old[0], filepath.Join(part, filepath.Base(old[0]))) {
		if err := stage(); err != nil {
			return err
		}
	}
	if sameFolder(upload, part) {
		return os.RemoveAll(part)
	}
	if err := os.RemoveAll(upload); err != nil {
		return err
	}
	if err := os.Rename(part, upload); err != nil {
		return err
	}
	files, err := os.ReadDir(upload)
	if err != nil {
		return err
	}
	line := "upload: "
	for _, f := range files {
		line += f.Name() + " "
	}
	r.Tools.Say(line)
	return nil
}

// createdTime returns a manifest's time of creation, or "".
func createdTime(path string) string {
	text, err := os.ReadFile(path)
	var m struct {
		CreatedDateTime string `json:"createdDateTime"`
	}
	if err != nil || json.Unmarshal(text, &m) != nil {
		return ""
	}
	return m.CreatedDateTime
}

// sameContent reports whether two files have the same bytes.
func sameContent(a, b string) bool {
	sumA, _, errA := sumFile(a)
	sumB, _, errB := sumFile(b)
	return errA == nil && errB == nil && sumA == sumB
}

// sameFolder reports whether two folders have the same files, none of which is itself
// a folder.
func sameFolder(a, b string) bool {
	inA, errA := os.ReadDir(a)
	inB, errB := os.ReadDir(b)
	return errA == nil && errB == nil && slices.EqualFunc(inA, inB, func(x, y fs.DirEntry) bool {
		return x.Name() == y.Name() && sameContent(filepath.Join(a, x.Name()), filepath.Join(b, y.Name()))
	})
}
