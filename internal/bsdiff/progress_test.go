// SPDX-License-Identifier: MIT

package bsdiff

import (
	"testing"

	"swudelta/internal/tooltest"
)

// All bytes of both sides are told, those of the old side while it is indexed.
func TestProgress(t *testing.T) {
	old := tooltest.Random(1, 1<<20)
	new := tooltest.Edits(old)
	for _, effort := range []Effort{Default, Fast, Thorough, Quick, Unchanging, Quickest} {
		told, most, early := int64(0), int64(0), 0 // how often what was told is of the old side
		var w Workspace
		w.Diff(old, new, nil, nil, Options{Effort: effort, Progress: func(n int64) {
			most = max(most, n)
			if told += n; n > 0 && told <= int64(len(old)) {
				early++
			}
		}})
		if want := int64(len(old) + len(new)); told != want {
			t.Errorf("effort %v: %d bytes were told, want %d", effort, told, want)
		}
		// Each index of steps, and each round of that of matches.
		least := 1
		if effort.sorts() {
			least = len(strides) + rounds
		}
		if early < least {
			t.Errorf("effort %v: told %d times of the old side, want %d at least", effort, early, least)
		}
		if most > int64(len(old)/2) && effort.sorts() {
			t.Errorf("effort %v: told of %d bytes at once", effort, most)
		}
	}
}
