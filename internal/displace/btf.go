// SPDX-License-Identifier: MIT

package displace

import (
	"debug/elf"
	"encoding/binary"
	"math"
	"slices"
)

// The descriptions of a kernel's types (.BTF; Documentation/bpf/btf.rst) are records of
// different lengths, which name each other by number, from 1 on in their order,
// and their names by offset. When types are inserted, the numbers of those behind them
// change. Numbers are taken as addresses of a space of their own, which holds
// nothing that could be copied: where they go is learned, and stated as moves.

const (
	typeHead = 12 // name, info, and a size or the number of a type

	// typesLargest is how many bytes of types a plan may state: what is
	// remembered of them takes a sixty-fourth of that.
	typesLargest = 64 << 20

	// typeSpace is how far behind the last segment of a module the numbers of
	// its types lie, as addresses.
	typeSpace = 1 << 32
)

// A typeShape says what follows the head of a record: so many bytes for each of its
// members or, if it has none, once; and where there names and numbers of types lie.
// The third field of the head is a number if reference is true.
type typeShape struct {
	size      int
	members   bool
	names     bool // a name at 0
	types     []int
	reference bool
}

// typeShapes are the shapes by kind.
var typeShapes = [32]typeShape{
	1:  {size: 4},                                                               // INT
	2:  {reference: true},                                                       // PTR
	3:  {size: 12, types: []int{0, 4}},                                          // ARRAY
	4:  {size: 12, members: true, names: true, types: []int{4}},                 // STRUCT
	5:  {size: 12, members: true, names: true, types: []int{4}},                 // UNION
	6:  {size: 8, members: true, names: true},                                   // ENUM
	8:  {reference: true},                                                       // TYPEDEF
	9:  {reference: true},                                                       // VOLATILE
	10: {reference: true},                                                       // CONST
	11: {reference: true},                                                       // RESTRICT
	12: {reference: true},                                                       // FUNC
	13: {size: 8, members: true, names: true, types: []int{4}, reference: true}, // FUNC_PROTO
	14: {size: 4, reference: true},                                              // VAR
	15: {size: 12, members: true, types: []int{0}},                              // DATASEC
	17: {size: 4, reference: true},                                              // DECL_TAG
	18: {reference: true},                                                       // TYPE_TAG
	19: {size: 12, members: true, names: true},                                  // ENUM64
}

// typeShapeOf returns the shape that info states, and how many times what
// follows the head is there.
func typeShapeOf(info uint32) (shape *typeShape, n int) {
	shape = &typeShapes[info>>24&31]
	switch {
	case shape.members:
		n = int(info & 0xFFFF)
	case shape.size > 0:
		n = 1
	}
	return shape, n
}

// A typeStart is the record in which a block starts.
type typeStart struct {
	at   int64 // from the start of the range
	info uint32
}

// typeStarts returns the record in which each block of r starts. It reads the
// range once.
func (p *Predictor) typeStarts(r *codeRange) ([]typeStart, error) {
	if starts, ok := p.types[r.off]; ok {
		return starts, nil
	}
	var starts []typeStart
	for at := int64(0); r.cut == 0 && at+typeHead <= r.len; {
		b, err := p.read(r.off+at, r.off+at+typeHead)
		if err != nil {
			return nil, err
		}
		info := binary.LittleEndian.Uint32(b[4:])
		shape, n := typeShapeOf(info)
		next := at + typeHead + int64(shape.size)*int64(n)
		for int64(len(starts))*blockSize < next && int64(len(starts))*blockSize < r.len {
			starts = append(starts, typeStart{at, info})
		}
		at = next
	}
	p.types[r.off] = starts
	return starts, nil
}

// scanTypes finds names and numbers in the records of a block. The references are the
// names and the address of number 0.
func scanTypes(c *context, out []site) []site {
	if c.record == nil {
		return out
	}
	start, ok := c.record()
	if !ok {
		return out
	}
	at, info := int(start.at-c.first), start.info
	for {
		shape, n := typeShapeOf(info)
		out = c.base32(out, at)
		if shape.reference {
			out = c.number(out, at+8)
		}
		body := at + typeHead
		for k := firstMember(c.start-body, shape.size); k < n; k++ {
			m := body + k*shape.size
			if m >= c.end {
				break
			}
			if shape.names {
				out = c.base32(out, m)
			}
			for _, t := range shape.types {
				out = c.number(out, m+t)
			}
		}
		if at = body + n*shape.size; at >= c.end {
			return out
		}
		v, ok := c.u32(at + 4)
		if !ok {
			return out
		}
		info = v
	}
}

// firstMember returns which member of size bytes holds the byte at n, if n is
// positive.
func firstMember(n, size int) int {
	if n <= 0 || size == 0 {
		return 0
	}
	return n / size
}

// number adds the 4-byte number of a type at b[i]; 0 is none.
func (c *context) number(out []site, i int) []site {
	v, ok := c.u32(i)
	if !ok || v == 0 {
		return out
	}
	return c.add(out, site{at: int32(i), enc: encNumber32, size: 4, form: formRel, word: uint64(v),
		target: c.ref2 + uint64(v), from: c.ref2})
}

// typeRange returns the range of the records of s, a section .BTF that lies at
// address addr; end is the address behind the last segment.
func typeRange(s *elf.Section, addr, end uint64) (codeKind, bool) {
	var head [24]byte
	if _, err := s.ReadAt(head[:], 0); err != nil || binary.LittleEndian.Uint16(head[:]) != 0xEB9F {
		return codeKind{}, false
	}
	word := func(i int) uint64 { return uint64(binary.LittleEndian.Uint32(head[i:])) }
	size := word(4)
	first, n, names := size+word(8), word(12), size+word(16)
	if n == 0 || first+n > s.Size || s.Offset > math.MaxInt64-first {
		return codeKind{}, false
	}
	return codeKind{off: int64(s.Offset + first), len: int64(n), kind: Types, ref: addr + names, ref2: end + typeSpace}, true
}

// limitTypes leaves out the types that a plan may not state any more.
func (s side) limitTypes() {
	var sum int64
	for i := range s {
		s[i].ranges = slices.DeleteFunc(s[i].ranges, func(r codeKind) bool {
			if r.kind == Types {
				sum += r.len
			}
			return r.kind == Types && sum > typesLargest
		})
	}
}
