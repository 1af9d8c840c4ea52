// SPDX-License-Identifier: MIT

package plan

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"swudelta/internal/apply"
	"swudelta/internal/pamz"
)

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
	if got := applied(t, old, result.Delta); !bytes.Equal(got, new) {
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
	tree, err := d.Describe(apply.NewViewer())
	if err != nil {
		t.Fatal(err)
	}
	layers := patchLayers(tree.Chunks, 0)
	if want := []int{4, 4}; !slices.Equal(layers, want) {
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
