// SPDX-License-Identifier: MIT

package bzip2

import (
	"encoding/binary"
	"errors"
	"io"
	"math/bits"

	"swudelta/internal/fault"
)

const (
	levelSize   = 100_000 // coded bytes of a block, for each level in the stream's header
	maxCode     = 20      // bits of a code
	lookupBits  = 10      // of a code that one look finds
	readSize    = 16 << 10
	firstBlock  = 16 << 10 // bytes for which a block's memory is taken first
	blockGrowth = 4        // by which it grows, up to what the level allows
)

// maxCoded returns how long a block with n bytes of content may be: the longest form
// is five bytes for four.
func maxCoded(n int64) int { return int(min(n, 9*levelSize)*5/4) + 1 }

// MaxMemory returns how much a [Reader] takes at most, in bytes, to decode n bytes
// of content, with blocks of any level.
func MaxMemory(n int64) int64 {
	room := int64(firstBlock)
	for room < int64(min(maxCoded(n), 9*levelSize)) {
		room = min(room*blockGrowth, 9*levelSize)
	}
	// While the memory grows, the old one is there beside the new.
	return 4*room + 4*room/blockGrowth + 64<<10
}

// Reader decodes one bzip2 stream, and stops at its end. It reads ahead.
//
// It takes what libbz2 takes, but for randomised blocks, which no encoder of this
// century makes, and codes that contradict each other. A malformed stream is a
// fault of the data with an offset in bytes from the start of the stream, and
// one that is cut short has [io.ErrUnexpectedEOF] as its cause. The sum over a block
// is verified with its last byte, the one over the stream with its end.
//
// The memory for a block is taken as the block fills, so that a short stream
// costs little; it is kept for the streams that follow a Reset.
type Reader struct {
	src  io.Reader
	err  error // what Read returns from now on
	buf  []byte
	next int    // of buf, the first byte that is not in acc
	base int64  // bytes of the stream before buf
	acc  uint64 // bits that were read and not used, from the top; behind them are zeros, or more of buf
	n    uint   // their number

	most  int    // coded bytes of a block, by Limit
	limit int    // the same, by the header, too; 0: that was not read yet
	sums  uint32 // over the sums of the blocks so far

	// The block that is being written out.
	block []uint32 // each coded byte, and above it, the place of the one that follows
	left  int      // coded bytes that were not looked at
	at    uint32   // the entry of the next
	last  byte
	same  int // bytes equal to last in a row, so far; 0 after a count
	more  int // times that last is to be repeated
	sum   runningSum
	want  uint32 // its sum

	selectors []uint8
	codes     [maxTables]decodingTable
}

// NewReader returns a reader of the stream that src starts with.
func NewReader(src io.Reader) *Reader {
	r := &Reader{buf: make([]byte, 0, readSize)}
	r.Reset(src)
	return r
}

// Reset makes r read the stream that src starts with.
func (r *Reader) Reset(src io.Reader) {
	r.src, r.err = src, nil
	r.buf, r.next, r.base, r.acc, r.n = r.buf[:0], 0, 0, 0, 0
	r.most, r.limit, r.sums = 9*levelSize, 0, 0
	r.block, r.left, r.same, r.more = r.block[:0], 0, 0, 0
}

// Limit says that the content has at most n bytes, until the next Reset, so that no
// stream makes the reader take more memory than [MaxMemory] says for it. Of longer
// streams some fail, others do not.
func (r *Reader) Limit(n int64) { r.most = maxCoded(n) }

// Memory returns how much memory the reader keeps, in bytes.
func (r *Reader) Memory() int64 { return 4*int64(cap(r.block)) + 64<<10 }

// Read decodes into p.
func (r *Reader) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) && r.err == nil {
		if len(r.block) == 0 {
			if r.err = r.readBlock(); r.err != nil {
				break
			}
		}
		got := r.expand(p[n:])
		r.sum.add(p[n : n+got])
		n += got
		if r.left == 0 && r.more == 0 {
			r.block = r.block[:0]
			if sum := r.sum.value(); sum != r.want {
				r.err = r.errorf("block with sum %08x, want %08x", sum, r.want)
			}
			r.sums = bits.RotateLeft32(r.sums, 1) ^ r.want
		}
	}
	return n, r.err
}

// errorf makes an error about what was read last.
func (r *Reader) errorf(format string, args ...any) error {
	return fault.At(r.base+int64(r.next)-int64(r.n/8), "bzip2: "+format, args...)
}

// expand writes bytes of the block to p, undoing the run-length code, until p is
// full or the block ends.
func (r *Reader) expand(p []byte) int {
	n := 0
	block, at, left, last, same := r.block, r.at, r.left, r.last, r.same
	for {
		if r.more > 0 {
			run := p[n:min(n+r.more, len(p))]
			for i := range run {
				run[i] = last
			}
			n += len(run)
			r.more -= len(run)
		}
		for n < len(p) && left > 0 && same < 4 {
			at = block[at]
			c := byte(at)
			at >>= 8
			left--
			if c == last {
				same++
			} else {
				same, last = 1, c
			}
			p[n] = c
			n++
		}
		if same < 4 || left == 0 {
			break
		}
		at = block[at]
		r.more = int(byte(at))
		at >>= 8
		left--
		same = 0
		if n == len(p) {
			break
		}
	}
	r.at, r.left, r.last, r.same = at, left, last, same
	return n
}

// fill makes at least n bits available, up to 32, or reports why not.
func (r *Reader) fill(n uint) error {
	for r.n < n {
		if r.next+8 <= len(r.buf) {
			r.refill()
			continue
		}
		if r.next < len(r.buf) {
			r.acc |= uint64(r.buf[r.next]) << (56 - r.n)
			r.next++
			r.n += 8
			continue
		}
		r.base += int64(len(r.buf))
		r.next = 0
		got, err := io.ReadAtLeast(r.src, r.buf[:cap(r.buf)], 1)
		r.buf = r.buf[:got]
		if got > 0 {
			continue
		}
		if errors.Is(err, io.EOF) {
			return r.errorf("the stream ends too early: %w", io.ErrUnexpectedEOF)
		}
		return err
	}
	return nil
}

// refill fills acc to 56 bits and more, from at least 8 bytes in buf.
func (r *Reader) refill() {
	r.acc |= binary.BigEndian.Uint64(r.buf[r.next:]) >> r.n
	taken := (63 - r.n) / 8
	r.next += int(taken)
	r.n += taken * 8
}

// bits reads a number of 1 to 32 bits.
func (r *Reader) bits(n uint) (uint32, error) {
	if err := r.fill(n); err != nil {
		return 0, err
	}
	v := uint32(r.acc >> (64 - n))
	r.drop(n)
	return v, nil
}

func (r *Reader) drop(n uint) {
	r.acc <<= n
	r.n -= n
}

// readBlock reads the next block, and the stream's header before the first. At the
// end of the stream the error is io.EOF.
func (r *Reader) readBlock() error {
	if r.limit == 0 {
		head, err := r.bits(32)
		if err != nil {
			return err
		}
		level := int(head&0xff) - '0'
		if head>>8 != streamMagic>>8 || level < 1 || level > 9 {
			return r.errorf("no bzip2 stream")
		}
		r.limit = min(level*levelSize, r.most)
	}
	high, err := r.bits(24)
	if err != nil {
		return err
	}
	low, err := r.bits(24)
	if err != nil {
		return err
	}
	if r.want, err = r.bits(32); err != nil {
		return err
	}
	switch uint64(high)<<24 | uint64(low) {
	case endMagic:
		if r.want != r.sums {
			return r.errorf("stream with sum %08x, want %08x", r.sums, r.want)
		}
		return io.EOF
	case blockMagic:
	default:
		return r.errorf("neither a block nor the end of the stream")
	}
	origin, err := r.bits(1 + 24)
	if err != nil {
		return err
	}
	if origin>>24 != 0 {
		return r.errorf("randomised block")
	}
	list, symbols, err := r.readBytes()
	if err != nil {
		return err
	}
	if err := r.readCodes(symbols); err != nil {
		return err
	}
	counts, err := r.readRanks(list, uint16(symbols))
	if err != nil {
		return err
	}
	if int(origin) >= len(r.block) {
		return r.errorf("block of %d bytes starts with number %d", len(r.block), origin)
	}
	r.link(counts)
	r.at = r.block[origin] >> 8
	r.left, r.same, r.more = len(r.block), 0, 0
	r.sum.reversed = 0
	return nil
}

// readBytes reads which bytes a block has and returns them, and the number of
// symbols: one for each byte except rank 0, and RUNA, RUNB and the end of the block.
func (r *Reader) readBytes() (list [256]byte, symbols int, err error) {
	groups, err := r.bits(16)
	if err != nil {
		return list, 0, err
	}
	n := 0
	for g := range 16 {
		if groups>>(15-g)&1 == 0 {
			continue
		}
		set, err := r.bits(16)
		if err != nil {
			return list, 0, err
		}
		for i := range 16 {
			if set>>(15-i)&1 != 0 {
				list[n] = byte(16*g + i)
				n++
			}
		}
	}
	if n == 0 {
		return list, 0, r.errorf("block without bytes")
	}
	return list, n + 2, nil
}

// readCodes reads the selectors and the tables.
func (r *Reader) readCodes(symbols int) error {
	head, err := r.bits(3 + 15)
	if err != nil {
		return err
	}
	tables, groups := head>>15, head&(1<<15-1)
	if tables < 2 || tables > maxTables {
		return r.errorf("block with %d tables", tables)
	}
	if groups == 0 {
		return r.errorf("block without selectors")
	}
	r.selectors = r.selectors[:0]
	order := initial
	for range groups {
		place := 0
		for {
			bit, err := r.bits(1)
			if err != nil {
				return err
			}
			if bit == 0 {
				break
			}
			if place++; place >= int(tables) {
				return r.errorf("selector for a table that is not there")
			}
		}
		order.use(place)
		r.selectors = append(r.selectors, order[0])
	}
	for t := range tables {
		var l lengths
		n, err := r.bits(5)
		if err != nil {
			return err
		}
		for s := range symbols {
			for {
				if n < 1 || n > maxCode {
					return r.errorf("code of %d bits", n)
				}
				step, err := r.bits(1)
				if err != nil {
					return err
				}
				if step == 0 {
					break
				}
				if step, err = r.bits(1); err != nil {
					return err
				}
				n += 1 - 2*step
			}
			l[s] = uint8(n)
		}
		if !r.codes[t].make(l[:symbols]) {
			return r.errorf("table with too many codes")
		}
	}
	return nil
}

// decodingTable finds the symbol that some bits start with. Codes of the same
// length are consecutive numbers, and greater than all shorter ones when filled up to
// the same length.
type decodingTable struct {
	quick  [1 << lookupBits]uint16 // by the first bits: symbol << 5 | length of its code; 0 if that is longer
	limit  [maxCode + 1]uint32     // by length: what the next maxCode bits must be below
	first  [maxCode + 1]uint32     // by length: its first code
	start  [maxCode + 1]uint16     // by length: the place of the first code's symbol in sorted
	sorted [maxSymbols]uint16      // symbols by code
}

// make makes the table for codes of the given lengths. It reports whether there
// is room for so many.
func (d *decodingTable) make(l []uint8) bool {
	var count [maxCode + 1]uint32
	for _, n := range l {
		count[n]++
	}
	clear(d.quick[:])
	var code uint32
	var places [maxCode + 1]uint16
	place := uint16(0)
	for n := 1; n <= maxCode; n++ {
		d.first[n], d.start[n], places[n] = code, place, place
		code += count[n]
		place += uint16(count[n])
		if code > 1<<n {
			return false
		}
		d.limit[n] = code << (maxCode - n)
		code <<= 1
	}
	for s, n := range l {
		p := places[n]
		places[n]++
		d.sorted[p] = uint16(s)
		if n <= lookupBits {
			code := d.first[n] + uint32(p-d.start[n])
			from := code << (lookupBits - n)
			quick := d.quick[from : from+1<<(lookupBits-n)]
			for i := range quick {
				quick[i] = uint16(s)<<5 | uint16(n)
			}
		}
	}
	return true
}

// long finds a symbol whose code is longer than lookupBits. Its length is 0 if the
// bits, of which there are maxCode, are no code.
func (d *decodingTable) long(v uint32) (symbol uint16, length uint) {
	for n := uint(lookupBits + 1); n <= maxCode; n++ {
		if v < d.limit[n] {
			return d.sorted[uint32(d.start[n])+v>>(maxCode-n)-d.first[n]], n
		}
	}
	return 0, 0
}

// Symbols below two are digits of a run's length.
const firstRank = 2

// readRanks reads the symbols of the block, of which end is the last, and fills
// block with the bytes that they stand for. It returns how often each byte occurs.
func (r *Reader) readRanks(list [256]byte, end uint16) (counts [256]uint32, err error) {
	end-- // the highest symbol
	n := 0
	room := r.block[:min(cap(r.block), r.limit)]
	run, digit := 0, 1
	for _, t := range r.selectors {
		table := &r.codes[t]
		for range groupSize {
			if r.n < maxCode {
				// More than any code follows the last symbol, too.
				if r.next+8 <= len(r.buf) {
					r.refill()
				} else if err := r.fill(maxCode); err != nil {
					return counts, err
				}
			}
			e := table.quick[r.acc>>(64-lookupBits)]
			symbol, length := e>>5, uint(e&31)
			if e == 0 {
				if symbol, length = table.long(uint32(r.acc >> (64 - maxCode))); length == 0 {
					return counts, r.errorf("bits that are no code")
				}
			}
			r.drop(length)
			if symbol < firstRank {
				run += digit << symbol
				if digit <<= 1; run > r.limit {
					return counts, r.errorf("block of more than %d bytes", r.limit)
				}
				continue
			}
			if run > 0 {
				if n+run > len(room) {
					if room, err = r.grow(room, n, run); err != nil {
						return counts, err
					}
				}
				c := list[0]
				counts[c] += uint32(run)
				fill := room[n : n+run]
				for i := range fill {
					fill[i] = uint32(c)
				}
				n += run
				run, digit = 0, 1
			}
			if symbol >= end {
				r.block = room[:n]
				return counts, nil
			}
			rank := int(symbol-1) & 0xff
			c := list[rank]
			if rank < 16 {
				for ; rank > 0; rank-- {
					list[rank] = list[rank-1]
				}
			} else {
				copy(list[1:rank+1], list[:rank])
			}
			list[0] = c
			counts[c]++
			if n == len(room) {
				if room, err = r.grow(room, n, 1); err != nil {
					return counts, err
				}
			}
			room[n] = uint32(c)
			n++
		}
	}
	return counts, r.errorf("block has more symbols than selectors are for")
}

// grow returns room, of which n are in use, with place for k more.
func (r *Reader) grow(room []uint32, n, k int) ([]uint32, error) {
	if n+k > r.limit {
		return nil, r.errorf("block of more than %d bytes", r.limit)
	}
	size := firstBlock
	for size < n+k {
		size *= blockGrowth
	}
	larger := make([]uint32, min(size, r.limit))
	copy(larger, room[:n])
	r.block = larger[:0]
	return larger, nil
}

// link puts into each entry of the block where the byte that follows lies: the sorted
// rotations start with the block's bytes in order, and equal ones keep their order.
func (r *Reader) link(counts [256]uint32) {
	sum := uint32(0)
	for c, n := range counts {
		counts[c] = sum
		sum += n
	}
	block := r.block
	for i := range block {
		c := byte(block[i])
		block[counts[c]] |= uint32(i) << 8
		counts[c]++
	}
}
