// SPDX-License-Identifier: MIT

package report

import (
	"bytes"
	"fmt"
	"html"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"swudelta/internal/layout"
)

// browse opens a page in a headless browser, and returns the document that it has become, and
// what it complained of. The test is skipped where there is no browser.
func browse(t *testing.T, page string) (document, complaints string) {
	t.Helper()
	browser, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("no chromium")
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "page.html")
	if err := os.WriteFile(path, []byte(page), 0o666); err != nil {
		t.Fatal(err)
	}
	// Nothing is resolved, so what wants the network complains.
	cmd := exec.Command(browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--user-data-dir="+filepath.Join(dir, "profile"),
		"--host-resolver-rules=MAP * ~NOTFOUND", "--enable-logging=stderr", "--virtual-time-budget=2000", "--dump-dom", "file://"+path)
	var out, messages bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &messages
	cmd.WaitDelay = time.Minute
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, messages.String())
	}
	for line := range strings.Lines(messages.String()) {
		if strings.Contains(line, ":CONSOLE") {
			complaints += line
		}
	}
	return out.String(), complaints
}

// example is a report of a delta between images with files.
func example(t *testing.T) *Report {
	t.Helper()
	source, target := pair()
	r, err := trace(delta(t, makeDevices(t)["1.0"], source, target))
	if err != nil {
		t.Fatal(err)
	}
	r.Name, r.Needs = "<update> & more.diff", "a device"
	l := &layout.Layout{Size: int64(len(target))}
	for at := int64(0); at < l.Size; at += 40000 {
		l.Files = append(l.Files, layout.File{Path: fmt.Sprintf("/usr/lib/<file> %d.so", at), Pieces: []layout.Piece{{Offset: at, Length: 40000}}})
	}
	r.Label(0, l.Size, "rootfs.ext4").Layout = l
	return r
}

// tableSum is the sum of the column of bytes in a table of a document.
func tableSum(t *testing.T, document, id string, column int) (sum int64) {
	t.Helper()
	_, table, ok := strings.Cut(document, `id="`+id+`"`)
	table, _, end := strings.Cut(table, "</table>")
	if !ok || !end {
		t.Fatalf("no table %s", id)
	}
	for _, row := range strings.Split(table, "<tr>")[2:] {
		cells := regexp.MustCompile(`<td[^>]*>(.*?)</td>`).FindAllStringSubmatch(row, -1)
		if len(cells) <= column {
			t.Fatalf("table %s: row %q", id, row)
		}
		n, err := strconv.ParseInt(cells[column][1], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		sum += n
	}
	return sum
}

func TestPage(t *testing.T) {
	r := example(t)
	var page bytes.Buffer
	if err := r.WriteHTML(&page); err != nil {
		t.Fatal(err)
	}
	if link := regexp.MustCompile(`(?i)(src|href)="[^d][^"]*"|url\(|@import|https?://`).FindString(page.String()); link != "" {
		t.Errorf("the page refers to something else: %s", link)
	}
	// A page around it looks at it with the width of a telephone, taps on what it shows, and
	// writes down what it sees.
	script := `<script>
onload = () => {
  const frame = document.querySelector("iframe"), page = frame.contentDocument, out = {};
  out.width = page.documentElement.scrollWidth;
  out.cells = page.querySelectorAll(".map i").length;
  out.tiles = page.querySelectorAll(".tree i").length;
  const area = page.querySelector(".tree").getBoundingClientRect();
  let sum = 0;
  for (const tile of page.querySelectorAll(".tree i")) {
    const r = tile.getBoundingClientRect();
    if (r.right > area.right + 1 || r.bottom > area.bottom + 1) out.outside = tile.title;
    sum += r.width * r.height;
  }
  out.covered = Math.round(100 * sum / (area.width * area.height));
  page.querySelector(".map i").click();
  out.said = page.getElementById("said").textContent;
  out.dark = frame.contentWindow.getComputedStyle(page.body).backgroundColor;
  for (const [k, v] of Object.entries(out)) document.body.dataset[k] = v;
};
</script>`
	frame := `<!DOCTYPE html><meta charset="utf-8"><link rel="icon" href="data:,"><body>` + script +
		`<iframe style="width:400px;height:4000px;border:0" srcdoc="` + html.EscapeString(page.String()) + `"></iframe>`
	document, complaints := browse(t, frame)
	if complaints != "" {
		t.Errorf("the browser complains:\n%s", complaints)
	}
	seen := func(name string) string {
		m := regexp.MustCompile(`<body[^>]* data-` + name + `="([^"]*)"`).FindStringSubmatch(document)
		if m == nil {
			return ""
		}
		return m[1]
	}
	if w, _ := strconv.Atoi(seen("width")); w == 0 || w > 400 {
		t.Errorf("the page is %d pixels wide in 400", w)
	}
	if n, _ := strconv.Atoi(seen("cells")); n != len(r.Cells(cellCount)) {
		t.Errorf("%d cells, want %d", n, len(r.Cells(cellCount)))
	}
	if n, _ := strconv.Atoi(seen("covered")); n < 97 || n > 103 || seen("outside") != "" {
		t.Errorf("tiles cover %d %% of their area; outside of it: %s", n, seen("outside"))
	}
	if said := seen("said"); !strings.HasPrefix(said, "at 0 B, ") {
		t.Errorf("a tap on the first cell says %q", said)
	}
	alone, complaints := browse(t, page.String())
	if complaints != "" {
		t.Errorf("the browser complains:\n%s", complaints)
	}
	if n := tableSum(t, alone, "account", 1); n != r.Size {
		t.Errorf("the account adds up to %d, want %d", n, r.Size)
	}
	if n := tableSum(t, alone, "origins", 2); n != r.Size {
		t.Errorf("the origins add up to %d, want %d", n, r.Size)
	}
	if !strings.Contains(alone, "&lt;file&gt;") {
		t.Error("names are not shown as they are")
	}
}

// Colours of either scheme are readable: the contrast of text is at least 4.5 (WCAG 2).
func TestColours(t *testing.T) {
	light, dark, ok := strings.Cut(page, "prefers-color-scheme: dark")
	if !ok {
		t.Fatal("no colours for the dark")
	}
	colours := func(css string) map[string]float64 {
		out := map[string]float64{}
		for _, m := range regexp.MustCompile(`--([a-z]+): #([0-9a-f]{6})`).FindAllStringSubmatch(css, -1) {
			v, err := strconv.ParseUint(m[2], 16, 32)
			if err != nil {
				t.Fatal(err)
			}
			out[m[1]] = luminance(v)
		}
		return out
	}
	for name, c := range map[string]map[string]float64{"light": colours(light), "dark": colours(dark)} {
		for _, pair := range [][2]string{{"ink", "page"}, {"ink", "panel"}, {"soft", "page"}, {"soft", "panel"}} {
			a, b := c[pair[0]], c[pair[1]]
			if ratio := (max(a, b) + 0.05) / (min(a, b) + 0.05); ratio < 4.5 {
				t.Errorf("%s: %s on %s has a contrast of %.1f", name, pair[0], pair[1], ratio)
			}
		}
	}
}

// luminance is the relative luminance of a colour, as WCAG 2 has it.
func luminance(rgb uint64) float64 {
	sum := 0.0
	for i, weight := range []float64{0.0722, 0.7152, 0.2126} {
		v := float64(rgb>>(8*i)&0xff) / 255
		if v <= 0.04045 {
			v /= 12.92
		} else {
			v = math.Pow((v+0.055)/1.055, 2.4)
		}
		sum += weight * v
	}
	return sum
}

// What the browser is asked for is what it says: an error on its console is one.
func TestBrowse(t *testing.T) {
	document, complaints := browse(t, `<body><script>document.body.dataset.seen = 1; missing();</script>`)
	if !strings.Contains(document, `data-seen="1"`) || !strings.Contains(complaints, "missing is not defined") {
		t.Errorf("got %q, and complaints %q", document, complaints)
	}
}
