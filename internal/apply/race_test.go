// SPDX-License-Identifier: MIT

//go:build race

package apply

// raceDetector multiplies memory.
const raceDetector = true
