// SPDX-License-Identifier: MIT

package tool

import (
	"strings"
	"testing"

	"swudelta/internal/progress"
)

// What several stages of a child deal with is added up; what is no progress is passed over.
func TestFollow(t *testing.T) {
	m := progress.New(nil)
	stage := m.Start("deltas", progress.Bytes, 0)
	in := strings.NewReader(`{"tool":"a","stage":"read","done":0,"total":9,"unit":"bytes"}
{"tool":"a","stage":"read","done":4,"total":9,"unit":"bytes"}
not progress
{"tool":"a","stage":"read","done":9,"total":9,"unit":"bytes"}
{"tool":"b","stage":"read","done":10,"total":0,"unit":"bytes"}
{"tool":"b","stage":"read","done":3,"total":0,"unit":"bytes"}
{"tool":"b","stage":"code","done":5,"total":5,"unit":"bytes"}
` + strings.Repeat("x", 1<<20) + "\n")
	follow(in, stage)
	if s, _ := m.Now(); s.Done != 9+10+3+5 {
		t.Errorf("got %d bytes", s.Done)
	}
	if in.Len() > 0 {
		t.Errorf("%d bytes are not read: whoever writes them waits", in.Len())
	}
}
