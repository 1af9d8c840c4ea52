// SPDX-License-Identifier: MIT

package codec

import (
	"testing"
	"testing/synctest"
	"time"
)

// What takes no time is told at once; what takes long in parts, of which there are always some
// left; and all of it in the end.
func TestByClock(t *testing.T) {
	for _, took := range []time.Duration{0, time.Second, time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			const size = 1 << 40
			told, steps := int64(0), 0
			stop := byClock(size, func(n int64) { told, steps = told+n, steps+1 })
			time.Sleep(took)
			synctest.Wait()
			if before := told; before >= size || took > 0 && before == 0 {
				t.Errorf("%v: told %d of %d bytes before the end", took, before, int64(size))
			}
			stop()
			if want := int(took/clockStep) + 1; told != size || steps != want {
				t.Errorf("%v: told %d of %d bytes in %d steps, want %d", took, told, int64(size), steps, want)
			}
		})
	}
}
