// SPDX-License-Identifier: MIT

package plan

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"swudelta/internal/bsdiff"
	"swudelta/internal/pamz"
)

func TestRawBlocks(t *testing.T) {
	old := random(1, 1<<20)
	near := []span{{100, 200}, {5000, 5000 + 2*rawBlock}, {600000, 600000 + rawBlock/2}, {1 << 19, 1<<19 + 1}}
	slices.SortFunc(near, func(a, b span) int { return a.from - b.from })
	for _, ranges := range [][]span{near, {{0, len(old)}}, {{50, 400000}, {1 << 19, 900000}}} {
		var prefix, from []byte
		for _, s := range near {
			prefix = append(prefix, old[s.from:s.to]...)
		}
		for _, r := range ranges {
			from = append(from, old[r.from:r.to]...)
		}
		patch, raw := rawBlocks(old, ranges, near, prefix)
		got, err := patch.Apply(from)
		if err != nil || !bytes.Equal(got, raw) {
			t.Fatalf("%v: the patch does not make the blocks: %v", ranges, err)
		}
		var content []byte
		for len(raw) > 0 {
			h := int(raw[0]) | int(raw[1])<<8 | int(raw[2])<<16
			n := h >> 3
			if h&7 != 0 || n == 0 || n > rawBlock {
				t.Fatalf("block header %#x", h)
			}
			content = append(content, raw[3:3+n]...)
			raw = raw[3+n:]
		}
		if !bytes.Equal(content, prefix) {
			t.Errorf("%v: the blocks do not hold the prefix", ranges)
		}
	}
}

func TestInsertions(t *testing.T) {
	ranges := []span{{0, 100000}, {500000, 600000}}
	p := &bsdiff.Patch{Controls: []bsdiff.Control{
		{Add: 50000, Extra: 200},                // in the first range
		{Add: 10, Extra: 5, Seek: 60000},        // too short
		{Add: 40000, Extra: 300, Seek: -140000}, // in the second one, and where it goes on
		{Add: 10},
	}}
	sites := insertions(p, ranges, 128)
	around := arounds[0].each
	got := surroundings(sites, 1<<30)
	want := []span{{10010 - around, 10010 + around}, {50000 - around, 50000 + around}, {550010 - around, 550010 + around}}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	// With less room, less of each; with still less, fewer of them.
	small := arounds[len(arounds)-1].each
	if got, want := surroundings(sites, 6*small), []span{{10010 - small, 10010 + small}, {50000 - small, 50000 + small}, {550010 - small, 550010 + small}}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got, want := surroundings(sites, 6*small-1), []span{{10010 - small, 10010 + small}, {50000 - small, 50000 + small}}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// Fresh bytes may leave no room at all in the window.
func TestSurroundingsNoRoom(t *testing.T) {
	for _, sites := range [][]site{nil, {{at: 5000, span: span{0, 10000}}}} {
		for _, limit := range []int{0, -1} {
			if got := surroundings(sites, limit); len(got) != 0 {
				t.Errorf("limit %d: got %v", limit, got)
			}
		}
	}
}

func TestUnion(t *testing.T) {
	s := []span{{50, 60}, {10, 20}, {15, 30}, {30, 40}, {100, 100}}
	if got, want := union(s), []span{{10, 40}, {50, 60}}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// Fresh bytes that resemble what lies around them are coded behind it, and the
// device can still do it in the memory that it has.
func TestFreshBehindOld(t *testing.T) {
	o := options(t)
	old := random(1, 4<<20)
	var new []byte
	r := rand.New(rand.NewPCG(1, 2))
	for at := 0; at < len(old); at += 64 << 10 {
		new = append(new, old[at:at+64<<10]...)
		// Scraps of the surroundings: too short for a patch to copy them.
		for range 700 {
			from := at + 60000 + r.IntN(3000)
			new = append(new, old[from:from+6]...)
		}
	}
	result, err := Make(input(old), input(new), o)
	if err != nil {
		t.Fatal(err)
	}
	if got := applied(t, o, old, result.Delta); !bytes.Equal(got, new) {
		t.Error("applying the delta does not give the target")
	}
	var b bytes.Buffer
	if err := result.Explain(&b); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.String(), "of old content") {
		t.Errorf("no old content before the fresh bytes:\n%s", b.String())
	}
	if result.DeviceMemory > DefaultDeviceMemory {
		t.Errorf("the device needs %d bytes", result.DeviceMemory)
	}

	// The stock library may stand still where it reads a patch fast: that of the
	// pack, and that behind the fresh bytes.
	d, err := pamz.Decode(bytes.NewReader(result.Delta), int64(len(result.Delta)))
	if err != nil {
		t.Fatal(err)
	}
	tree, err := d.Describe()
	if err != nil {
		t.Fatal(err)
	}
	layers := patchLayers(tree.Chunks, 0)
	if want := []int{slowness, slowness}; !slices.Equal(layers, want) {
		t.Errorf("patches in that many layers: %v, want %v", layers, want)
	}
}

// patchLayers returns, for each patch that nodes are made with, how many concatenations
// of one part inside a delta stand right around it; n do around nodes themselves.
func patchLayers(nodes []*pamz.Node, n int) (layers []int) {
	for _, node := range nodes {
		inner := 0
		switch {
		case node.Op == "bsdiff":
			layers = append(layers, n)
		case node.Op == "concatenation" && len(node.Items) == 1:
			inner = n + 1
		}
		layers = append(layers, patchLayers(node.Items, inner)...)
		if node.Delta != nil {
			layers = append(layers, patchLayers(node.Delta.Chunks, 0)...)
		}
	}
	return layers
}
