// SPDX-License-Identifier: MIT

package result

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"testing"
)

// Every number that package errnum gives an error has an explanation here.
func TestErrorNumbers(t *testing.T) {
	f, err := parser.ParseFile(token.NewFileSet(), filepath.Join("..", "errnum", "errnum.go"), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	ast.Inspect(f, func(node ast.Node) bool {
		spec, ok := node.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 {
			return true
		}
		value, ok := spec.Values[0].(*ast.BasicLit)
		if !ok {
			return true
		}
		number, err := strconv.ParseUint(value.Value, 10, 32)
		if err != nil {
			t.Fatal(err)
		}
		n++
		if load().processor[uint32(number)] == nil {
			t.Errorf("%s, %d, is not explained", spec.Names[0], number)
		}
		return true
	})
	if n < 30 {
		t.Errorf("found %d numbers only", n)
	}
}
