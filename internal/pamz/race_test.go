// SPDX-License-Identifier: MIT

//go:build race

package pamz

// raceDetector multiplies memory.
const raceDetector = true
