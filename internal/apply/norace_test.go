// SPDX-License-Identifier: MIT

//go:build !race

package apply

const raceDetector = false
