// SPDX-License-Identifier: MIT

package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"path"
	"slices"
)

const (
	cellCount   = 2048 // of the map, about
	tileCount   = 150  // of the treemap, and one for the others
	tileAspect  = 1.9  // of the treemap
	rowsOfTable = 20
)

//go:embed page.html
var page string

var pageTemplate = template.Must(template.New("page").Parse(page))

// WriteHTML writes the report as a page that needs nothing else: no network, no other file.
func (r *Report) WriteHTML(w io.Writer) error { return pageTemplate.Execute(w, r.view()) }

// pageView is what the page shows. What it shows as numbers adds up.
type pageView struct {
	*Report
	Share, SizeText, TargetText, MemoryText, TmpText string

	Account []pageRow // parts of the file
	Origins []pageRow // of the content
	Map     []pageMap
	CellOf  string
	Tiles   []pageTile
	Top     []pageItem
	Layouts bool // items are files
}

type pageRow struct {
	Name, Class, Share, Content string
	Bytes                       int64
	Percent                     float64
}

type pageMap struct {
	Name, Note string
	Cells      []pageCell
}

type pageCell struct{ Class, Title string }

type pageTile struct {
	rect
	Class, Title, Label string
}

type pageItem struct {
	Name, Class, Share, Size, Reason string
	Bytes                            int64
}

func (r *Report) view() *pageView {
	size := float64(r.Size)
	v := &pageView{
		Report: r, Share: Percent(size, float64(r.Target.Length)), SizeText: Size(r.Size), TargetText: Size(r.Target.Length),
		MemoryText: Size(r.Memory), TmpText: Size(r.Tmp),
	}
	for _, p := range r.Account {
		v.Account = append(v.Account, pageRow{Name: p.Name, Bytes: p.Bytes, Share: Percent(float64(p.Bytes), size), Percent: 100 * float64(p.Bytes) / size})
	}
	v.origins()
	v.cells()
	items := r.Items()
	v.tiles(items)
	for _, it := range items[:min(len(items), rowsOfTable)] {
		if it.Sum() < 0.5 {
			break
		}
		v.Top = append(v.Top, pageItem{it.Name, it.class(), Percent(it.Sum(), size), Size(it.Len()), it.Reason, int64(math.Round(it.Sum()))})
	}
	v.Layouts = slices.ContainsFunc(r.Members, func(m *Member) bool { return m.Layout != nil })
	return v
}

func (v *pageView) origins() {
	total := v.Total()
	costs := append(slices.Clone(total.Cost[:]), float64(v.Size)-total.Sum())
	rounded := round(costs, v.Size)
	add := func(i int, name, class, content string) {
		v.Origins = append(v.Origins, pageRow{
			Name: name, Class: class, Content: content, Bytes: rounded[i],
			Percent: 100 * costs[i] / float64(v.Size), Share: Percent(costs[i], float64(v.Size)),
		})
	}
	for i := kinds; i > 0; i-- {
		if k := i - 1; total.Bytes[k] > 0 {
			add(int(k), k.String(), k.String(), Size(total.Bytes[k]))
		}
	}
	add(int(kinds), "nothing in particular", "rest", "headers")
}

// round rounds values, whose sum is total, so that it still is: those that lose most are
// rounded up.
func round(values []float64, total int64) []int64 {
	out := make([]int64, len(values))
	order := make([]int, len(values))
	for i, v := range values {
		order[i] = i
		out[i] = int64(math.Floor(v))
		total -= out[i]
	}
	slices.SortStableFunc(order, func(a, b int) int {
		if lost := values[b] - math.Floor(values[b]) - values[a] + math.Floor(values[a]); lost != 0 {
			return int(math.Copysign(1, lost))
		}
		return 0
	})
	for i := 0; total > 0 && i < len(order); i++ {
		out[order[i]]++
		total--
	}
	return out
}

func (v *pageView) cells() {
	cells := v.Cells(cellCount)
	for i := range cells {
		c := &cells[i]
		if i == 0 || c.Member != cells[i-1].Member {
			m := pageMap{Name: c.Member.Name, Note: Size(c.Member.Size)}
			if c.Closed != "" {
				m.Note += ", compressed with " + c.Closed + " to " + Size(c.Stored)
			}
			v.Map = append(v.Map, m)
		}
		m := &v.Map[len(v.Map)-1]
		title := fmt.Sprintf("at %s, %s: costs %s", Size(c.Off), Size(c.Total.Len()), Size(int64(math.Round(c.Sum()))))
		for k := range kinds {
			if c.Bytes[k] > 0 {
				title += fmt.Sprintf("; %d %% %v", 100*c.Bytes[k]/c.Total.Len(), k)
			}
		}
		m.Cells = append(m.Cells, pageCell{c.Kind().String(), title})
		if c.Off == 0 && c.Len < c.Member.Size || v.CellOf == "" {
			v.CellOf = Size(c.Len)
		}
	}
}

func (v *pageView) tiles(items []Item) {
	var values []float64
	var rest Item
	others := 0
	for i, it := range items {
		if it.Sum() <= 0 {
			break
		}
		if i < tileCount {
			values = append(values, it.Sum())
			continue
		}
		others++
		for k := range kinds {
			rest.Bytes[k] += it.Bytes[k]
			rest.Cost[k] += it.Cost[k]
		}
	}
	shown := slices.Clone(items[:len(values)])
	if others > 0 {
		rest.Name, rest.Reason = fmt.Sprintf("%d others", others), "each of them costs less than those shown"
		// They have a tile of their own at the end, so that the others keep their order.
		i, _ := slices.BinarySearchFunc(values, rest.Sum(), func(a, b float64) int { return int(math.Copysign(1, b-a)) })
		values, shown = slices.Insert(values, i, rest.Sum()), slices.Insert(shown, i, rest)
	}
	for i, r := range squarify(values, tileAspect) {
		it := shown[i]
		t := pageTile{rect: r, Class: it.class(), Title: fmt.Sprintf("%s: costs %s, %s; %s of content: %s",
			it.Name, Size(int64(math.Round(it.Sum()))), Percent(it.Sum(), float64(v.Size)), Size(it.Len()), it.Reason)}
		if r.W > 5 && r.H > 5 {
			t.Label = path.Base(it.Name)
		}
		v.Tiles = append(v.Tiles, t)
	}
}

// class is the kind that costs most.
func (it *Item) class() string {
	best := Zero
	for k := range kinds {
		if it.Cost[k] > it.Cost[best] {
			best = k
		}
	}
	return best.String()
}
