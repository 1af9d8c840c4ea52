// SPDX-License-Identifier: MIT

//go:build !race

package pamz

const raceDetector = false
