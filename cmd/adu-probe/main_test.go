// SPDX-License-Identifier: MIT

package main

import (
	"testing"

	"swudelta/internal/tooltest"
)

func TestMain(m *testing.M) { tooltest.Main(m, map[string]func(){"adu-probe": main}) }

func TestScripts(t *testing.T) { tooltest.Scripts(t, "testdata/script") }
