// SPDX-License-Identifier: MIT

package bsdiff

import (
	"testing"

	"swudelta/internal/tooltest"
)

// All bytes of both sides are told, those of the old side while it is sorted.
func TestProgress(t *testing.T) {
	old := tooltest.Random(1, 1<<20)
	new := tooltest.Edits(old)
	for _, effort := range []Effort{Default, Fast, Thorough, Quick, Unchanging, Quickest} {
		told, early := int64(0), 0 // how often what was told is of the old side
		var w Workspace
		w.Diff(old, new, nil, nil, Options{Effort: effort, Progress: func(n int64) {
			if told += n; told <= int64(len(old)) {
				early++
			}
		}})
		if want := int64(len(old) + len(new)); told != want {
			t.Errorf("effort %v: %d bytes were told, want %d", effort, told, want)
		}
		if effort.sorts() && early < 6 {
			t.Errorf("effort %v: told %d times of the old side, want each pass of the sorting", effort, early)
		}
	}
}
