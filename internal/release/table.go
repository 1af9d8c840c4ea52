// SPDX-License-Identifier: MIT

package release

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"swudelta/internal/fault"
)

// Row is a line of a table of sources.
type Row struct {
	Source  string
	Devices int64 // how many run it
	Bytes   int64 // of its delta; Unknown: not told
}

// Unknown is the size of a delta that nobody told.
const Unknown = -1

var (
	devicesForm = regexp.MustCompile(`^[0-9]{1,12}$`)
	bytesForm   = regexp.MustCompile(`^(-|[0-9]{1,15})$`)
)

// ReadTable reads a table: a line for each source, with its name, the number of
// devices, and as the case may be the bytes of its delta, with a tab or comma between.
// A first line that is a heading, empty lines and lines that start with # are passed
// over. A table that cannot be read so is a fault of the data.
func ReadTable(r io.Reader) ([]Row, error) {
	var rows []Row
	seen := map[string]bool{}
	lines, first := bufio.NewScanner(r), true
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSuffix(lines.Text(), "\r")
		if text := strings.TrimLeft(line, " \t"); text == "" || text[0] == '#' {
			continue
		}
		separator := ","
		if strings.Contains(line, "\t") {
			separator = "\t"
		}
		field := strings.Split(line, separator)
		for i := range field {
			field[i] = strings.Trim(field[i], " ")
		}
		heading := first && (len(field) < 2 || field[1] == "" || field[1][0] < '0' || field[1][0] > '9')
		first = false
		if heading {
			continue
		}
		row := Row{Source: field[0], Bytes: Unknown}
		var err error
		switch {
		case len(field) < 2 || field[0] == "":
			err = fault.Dataf("line %d: want a source and its number of devices", n)
		case !devicesForm.MatchString(field[1]):
			err = fault.Dataf("line %d: %q is no number of devices", n, field[1])
		case len(field) > 2 && field[2] != "" && !bytesForm.MatchString(field[2]):
			err = fault.Dataf("line %d: %q is no number of bytes", n, field[2])
		case seen[row.Source]:
			err = fault.Dataf("line %d: there is a row for %q already", n, row.Source)
		}
		if err != nil {
			return nil, err
		}
		row.Devices, _ = strconv.ParseInt(field[1], 10, 64)
		if len(field) > 2 && field[2] != "" && field[2] != "-" {
			row.Bytes, _ = strconv.ParseInt(field[2], 10, 64)
		}
		seen[row.Source] = true
		rows = append(rows, row)
	}
	return rows, lines.Err()
}

// MaxDeltas is how many deltas an update can have.
const MaxDeltas = 4

// Ranked is a row and what its delta saves.
type Ranked struct {
	Row
	Saved  float64 // bytes that all its devices together do not download
	Share  float64 // of what all devices would download without deltas
	Update int     // the update that would carry the delta, from 1 on; 0: it saves nothing
}

// Rank orders rows by what their deltas save when the full image has full bytes, or
// could save at most where their size is unknown. What a set of deltas saves is the
// sum of what each saves, so the best MaxDeltas of all are the first ones.
func Rank(rows []Row, full int64) []Ranked {
	ranked := make([]Ranked, 0, len(rows))
	var all float64
	for _, row := range rows {
		r := Ranked{Row: row}
		// In floating point: devices times bytes may be more than 64 bits hold.
		if row.Bytes < full {
			r.Saved = float64(row.Devices) * float64(full-max(row.Bytes, 0))
		}
		all += float64(row.Devices) * float64(full)
		ranked = append(ranked, r)
	}
	slices.SortFunc(ranked, func(a, b Ranked) int {
		return cmp.Or(cmp.Compare(b.Saved, a.Saved), strings.Compare(a.Source, b.Source))
	})
	for i := range ranked {
		r := &ranked[i]
		if all > 0 {
			r.Share = r.Saved / all
		}
		if r.Saved > 0 {
			r.Update = i/MaxDeltas + 1
		}
	}
	return ranked
}

// WriteRanked writes the table that ranks rows, with a heading and tabs between.
func WriteRanked(w io.Writer, ranked []Ranked) error {
	if _, err := fmt.Fprintln(w, "source\tdevices\tbytes\tsaved\tshare\tupdate"); err != nil {
		return err
	}
	for _, r := range ranked {
		size, update := "-", "-"
		if r.Bytes != Unknown {
			size = strconv.FormatInt(r.Bytes, 10)
		}
		if r.Update > 0 {
			update = strconv.Itoa(r.Update)
		}
		if _, err := fmt.Fprintf(w, "%s\t%d\t%s\t%.0f\t%.4f\t%s\n", r.Source, r.Devices, size, r.Saved, r.Share, update); err != nil {
			return err
		}
	}
	return nil
}
