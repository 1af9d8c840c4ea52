// SPDX-License-Identifier: MIT

package codec

import "time"

// A function of a library that takes seconds may not say how far it is. It is reported by the
// clock then, always a part of what is left, as nobody knows how long it will take.
const (
	clockStep = 250 * time.Millisecond
	clockPart = 16
)

// byClock reports parts of n until stop is called, which returns after the rest was reported.
func byClock(n int64, report func(n int64)) (stop func()) {
	quit, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		ticks := time.NewTicker(clockStep)
		defer ticks.Stop()
		for left := n; ; {
			select {
			case <-quit:
				report(left)
				return
			case <-ticks.C:
				report(left / clockPart)
				left -= left / clockPart
			}
		}
	}()
	return func() {
		close(quit)
		<-ended
	}
}
