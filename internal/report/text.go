// SPDX-License-Identifier: MIT

package report

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// WriteText writes the report for people at a terminal, with the n dearest items.
func (r *Report) WriteText(w io.Writer, n int) error {
	size := float64(r.Size)
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %d bytes, %s of the target; %s\n", r.Name, r.Size, Percent(size, float64(r.Target.Length)), r.Format)
	fmt.Fprintf(&b, "from %d bytes, sha256 %s\n  to %d bytes, sha256 %s\n", r.Source.Length, r.Source.SHA256, r.Target.Length, r.Target.SHA256)
	fmt.Fprintf(&b, "needs %s of memory and %s of temporary space: %s\n", Size(r.Memory), Size(r.Tmp), r.Needs)
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "\nbytes\tshare\t  part of the file\n")
	for _, p := range r.Account {
		fmt.Fprintf(t, "%d\t%s\t  %s\n", p.Bytes, Percent(float64(p.Bytes), size), p.Name)
	}
	total := r.Total()
	fmt.Fprintf(t, "\ncost\tshare\t  origin of the content\n")
	for k := kinds; k > 0; k-- {
		k := k - 1
		if total.Bytes[k] > 0 {
			fmt.Fprintf(t, "%.0f\t%s\t  %v (%s)\n", total.Cost[k], Percent(total.Cost[k], size), k, Size(total.Bytes[k]))
		}
	}
	rest := size - total.Sum()
	fmt.Fprintf(t, "%.0f\t%s\t  nothing in particular\n", rest, Percent(rest, size))
	fmt.Fprintf(t, "\ncost\tshare\tsize\t  what, and why\n")
	for _, it := range r.Top(n) {
		fmt.Fprintf(t, "%.0f\t%s\t%s\t  %s: %s\n", it.Sum(), Percent(it.Sum(), size), Size(it.Len()), printable(it.Name), it.Reason)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for line := range strings.Lines(b.String()) {
		if _, err := io.WriteString(w, strings.TrimRight(line, " \n")+"\n"); err != nil {
			return err
		}
	}
	return nil
}

// Top returns the n dearest items that cost anything.
func (r *Report) Top(n int) []Item {
	list := r.Items()
	for i, it := range list {
		if i == n || it.Sum() < 0.5 {
			return list[:i]
		}
	}
	return list
}

// printable is a name without what a terminal would obey.
func printable(name string) string {
	quoted := fmt.Sprintf("%q", name)
	if plain := quoted[1 : len(quoted)-1]; plain == name {
		return name
	}
	return quoted
}
