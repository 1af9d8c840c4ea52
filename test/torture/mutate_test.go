// SPDX-License-Identifier: MIT

package torture

import (
	"bytes"
	"compress/flate"
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"swudelta/internal/bzip2"
	"swudelta/internal/fault"
	"swudelta/internal/pamz"
)

// parser is one that reads what others supply.
type parser struct {
	name string
	// seeds returns files that it takes.
	seeds func(*testing.T) [][]byte
	// mutate changes a file, with what checks it made right again: lengths, digests,
	// checksums. nil: the file has none, so that mutateBytes does.
	mutate func(*rand.Rand, []byte) []byte
	// parse reads a file to the end, and takes the result apart.
	parse func([]byte) error
}

// The most that one file of at most some 100 KiB may take, on a busy machine.
const (
	mostTime   = 20 * time.Second
	mostMemory = 512 << 20 // bytes, taken in all
)

var parsers = []parser{
	{"PAMZ delta", files("internal/pamz/testdata/*.diff"), mutatePAMZ, parsePAMZ},
	{"BSDIFF40 patch", patches, mutatePatch, parsePatch},
	{"SWU", files("internal/swu/testdata/*.swu"), mutateArchive, parseArchive},
	{"sw-description", files("internal/swdesc/testdata/sw-description/*"), mutateText, parseDescription},
	{"ext2, ext3, ext4 image", images, mutateImage, parseImage},
	{"gzip stream", gzips, mutateGzip, parseStream},
	{"zstd stream", zstds, nil, parseStream},
	{"bzip2 stream", bzip2s, nil, parseBzip2},
	{"signature", signatures, mutateDER, parseSignature},
	{"import manifest", files("internal/manifest/testdata/good/*.json"), mutateText, parseManifest},
	{"layout", files("internal/extfs/testdata/*.layout.json"), mutateText, parseLayout},
	{"table of devices", tables, mutateText, parseTable},
}

// TestMutations has each parser read files that were changed in a way that gets past the
// first checks. A trial is lost if it panics, takes much more than the file is worth, or
// ends with an error that is not one about the data.
func TestMutations(t *testing.T) {
	for _, p := range parsers {
		t.Run(p.name, func(t *testing.T) {
			seeds := p.seeds(t)
			if len(seeds) == 0 {
				t.Fatal("no files to change")
			}
			mutate := p.mutate
			if mutate == nil {
				mutate = mutateBytes
			}
			// Some are there for what is wrong with them.
			if !slices.ContainsFunc(seeds, func(s []byte) bool { return p.parse(s) == nil }) {
				t.Fatalf("none of %d files is taken as it is", len(seeds))
			}
			taken, lost := 0, 0
			n := 150 * *times
			first := seed()
			for i := range uint64(n) {
				r := rand.New(rand.NewPCG(first+i, 0))
				data := mutate(r, seeds[r.IntN(len(seeds))])
				if err := tryParse(t, p, data); err == nil {
					taken++
				} else if !fault.IsData(err) && !errors.Is(err, errEnough) {
					keep(t, p.name, data)
					t.Errorf("seed %d: %v", first+i, err)
					lost++
				}
			}
			record(t, "mutated: "+p.name, n, lost)
			if taken == n {
				t.Error("every file was taken: the test sees nothing")
			}
		})
	}
}

// errEnough ends a parse that has made as much as anyone wants.
var errEnough = errors.New("enough")

// tryParse is p.parse with its costs, and a panic as an error.
func tryParse(t *testing.T, p parser, data []byte) (err error) {
	defer func() {
		if e := recover(); e != nil {
			stack := make([]byte, 4096)
			err = fmt.Errorf("panic: %v\n%s", e, stack[:runtime.Stack(stack, false)])
		}
	}()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	err = p.parse(data)
	took := time.Since(start)
	runtime.ReadMemStats(&after)
	if memory := after.TotalAlloc - before.TotalAlloc; took > mostTime || memory > mostMemory {
		keep(t, p.name, data)
		t.Errorf("%d bytes took %v and %d MiB of memory in all", len(data), took, memory>>20)
	}
	return err
}

// keep writes a file that breaks something to where it can be looked at.
func keep(t *testing.T, name string, data []byte) {
	f, err := os.CreateTemp("", "torture-*")
	if err == nil {
		_, err = f.Write(data)
		f.Close()
		t.Logf("%s: %s, %v", name, f.Name(), err)
	}
}

// ------------------------------------------------------------- mutations ---

// mutateBytes changes some bytes, or takes out, doubles or swaps runs of them.
func mutateBytes(r *rand.Rand, b []byte) []byte {
	b = bytes.Clone(b)
	for range 1 + r.IntN(3) {
		if len(b) == 0 {
			return []byte{0}
		}
		i, n := r.IntN(len(b)), 1+r.IntN(16)
		run := b[i:min(i+n, len(b))]
		switch r.IntN(6) {
		case 0:
			b[i] ^= 1 << r.IntN(8)
		case 1:
			b[i] = []byte{0, 1, 0x7f, 0x80, 0xff}[r.IntN(5)]
		case 2:
			b = slices.Delete(b, i, i+len(run))
		case 3:
			b = slices.Insert(b, i, bytes.Clone(run)...)
		case 4:
			copy(b[r.IntN(len(b)):], bytes.Clone(run))
		case 5:
			b = b[:i]
		}
	}
	return b
}

// mutateText exchanges, doubles or drops words, or changes numbers, so that most of the
// syntax stays.
func mutateText(r *rand.Rand, b []byte) []byte {
	words := splitText(string(b))
	for range 1 + r.IntN(4) {
		i, j := r.IntN(len(words)), r.IntN(len(words))
		switch r.IntN(5) {
		case 0:
			words[i], words[j] = words[j], words[i]
		case 1:
			words[i] = words[j]
		case 2:
			words = slices.Delete(words, i, i+1)
		case 3:
			words = slices.Insert(words, i, words[j])
		case 4:
			words[i] = []string{"-1", "0", "18446744073709551616", "1e999", "null", "{}", "[]", "\"\"", "\"\x00\"", "\"../x\"",
				"true", "\xff", "@include", strings.Repeat("[", 2000), "\"" + strings.Repeat("a", 5000) + "\""}[r.IntN(15)]
		}
		if len(words) == 0 {
			return nil
		}
	}
	return []byte(strings.Join(words, ""))
}

// splitText cuts a text into words, numbers, marks and what is between them.
func splitText(s string) (words []string) {
	class := func(c byte) int {
		switch {
		case c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c == '.' || c == '-':
			return 0
		case c == ' ' || c == '\n' || c == '\t':
			return 1
		}
		return 2 + int(c)
	}
	for i := 0; i < len(s); {
		j := i + 1
		for j < len(s) && class(s[j]) == class(s[i]) && class(s[i]) < 2 {
			j++
		}
		words = append(words, s[i:j])
		i = j
	}
	return words
}

// mutatePAMZ changes the recipes of a delta, and has it encoded anew: all lengths are
// right, and digests are those of what is there no more.
func mutatePAMZ(r *rand.Rand, b []byte) []byte {
	d, err := pamz.Decode(bytes.NewReader(b), int64(len(b)))
	if err != nil || r.IntN(4) == 0 {
		return mutateBytes(r, b)
	}
	var items []*pamz.Item
	for _, c := range d.Chunks {
		items = within(items, c)
	}
	for range 1 + r.IntN(3) {
		mutateItem(r, items[r.IntN(len(items))], items)
	}
	if r.IntN(8) == 0 {
		d.TargetLength = mutateNumber(r, d.TargetLength)
	}
	var out bytes.Buffer
	if err := pamz.Encode(&out, d); err != nil {
		return mutateBytes(r, b) // what cannot be written down
	}
	return out.Bytes()
}

// within appends an item to a list, and all that are within it and not in the list.
func within(list []*pamz.Item, it *pamz.Item) []*pamz.Item {
	if it == nil || slices.Contains(list, it) {
		return list
	}
	list = append(list, it)
	if it.Recipe != nil {
		for _, p := range it.Recipe.Params {
			list = within(list, p.Item)
		}
	}
	return list
}

func mutateItem(r *rand.Rand, it *pamz.Item, all []*pamz.Item) {
	other := all[r.IntN(len(all))]
	if slices.Contains(within(nil, other), it) {
		return // no file can say that something is within itself
	}
	if it.Recipe == nil || len(it.Recipe.Params) == 0 || r.IntN(3) == 0 {
		switch r.IntN(3) {
		case 0:
			it.Length = mutateNumber(r, it.Length)
		case 1:
			it.SHA256 = other.SHA256
		case 2:
			it.Recipe = other.Recipe
		}
		return
	}
	p := &it.Recipe.Params[r.IntN(len(it.Recipe.Params))]
	switch {
	case r.IntN(4) == 0:
		it.Recipe.Op = pamz.Op(r.IntN(16))
	case p.Item != nil:
		p.Item = other
	default:
		p.Number = uint64(mutateNumber(r, int64(p.Number)))
	}
}

func mutateNumber(r *rand.Rand, n int64) int64 {
	return []int64{0, 1, n - 1, n + 1, 2 * n, -1, 1 << 31, 1 << 62, n ^ 1<<r.IntN(40)}[r.IntN(9)]
}

// mutatePatch changes the control triples of a BSDIFF40 patch, which are compressed anew.
func mutatePatch(r *rand.Rand, b []byte) []byte {
	const head = 32
	if len(b) < head || r.IntN(4) == 0 {
		return mutateBytes(r, b)
	}
	le := binary.LittleEndian
	end := head + int(le.Uint64(b[8:]))
	control, err := io.ReadAll(bzip2.NewReader(bytes.NewReader(b[head:end])))
	if err != nil || len(control) == 0 {
		return mutateBytes(r, b)
	}
	for range 1 + r.IntN(3) {
		at := r.IntN(len(control)/8) * 8
		le.PutUint64(control[at:], uint64(mutateNumber(r, int64(le.Uint64(control[at:])))))
	}
	var coded bytes.Buffer
	if err := bzip2.Encode(&coded, control, 1); err != nil {
		return mutateBytes(r, b)
	}
	out := slices.Concat(b[:head], coded.Bytes(), b[end:])
	le.PutUint64(out[8:], uint64(coded.Len()))
	return out
}

// mutateArchive changes fields of the headers of an SWU, with another value in their hex
// digits, and makes checksums right again.
func mutateArchive(r *rand.Rand, b []byte) []byte {
	const head, name, check = 110, 94, 102 // bytes of a header; where the length of its name and the checksum are
	b = bytes.Clone(b)
	var starts []int
	for at := 0; ; {
		i := bytes.Index(b[at:], []byte("07070"))
		if i < 0 || at+i+head > len(b) {
			break
		}
		starts = append(starts, at+i)
		at += i + head
	}
	if len(starts) == 0 || r.IntN(4) == 0 {
		return mutateBytes(r, b)
	}
	at := starts[r.IntN(len(starts))]
	field := at + 6 + 8*r.IntN(13)
	if r.IntN(3) == 0 { // its name, behind the fields
		copy(b[at+head:min(len(b), at+head+8)], [][]byte{[]byte("../x\x00"), []byte("/x\x00"), {0}, []byte("a/b\n")}[r.IntN(4)])
	} else {
		copy(b[field:], fmt.Sprintf("%08X", uint32(mutateNumber(r, int64(r.Uint32N(1<<12))))))
	}
	var size, length int
	fmt.Sscanf(string(b[at+54:at+62]), "%08X", &size)
	fmt.Sscanf(string(b[at+name:at+name+8]), "%08X", &length)
	from := (at + head + length + 3) &^ 3
	if size < 0 || from < 0 || from > len(b) || size > len(b)-from {
		return b
	}
	sum := uint32(0)
	for _, c := range b[from : from+size] {
		sum += uint32(c)
	}
	copy(b[at+check:], fmt.Sprintf("%08X", sum))
	return b
}

// mutateImage changes words in the metadata at the start of a file system and in inodes
// and folders behind; its checksums are none of what is read here.
func mutateImage(r *rand.Rand, b []byte) []byte {
	b = bytes.Clone(b)
	for range 1 + r.IntN(6) {
		at := 1024 + 2*r.IntN(512)
		if r.IntN(3) > 0 {
			at = 2 * r.IntN(len(b)/2-4)
		}
		binary.LittleEndian.PutUint32(b[at:], uint32(mutateNumber(r, int64(binary.LittleEndian.Uint32(b[at:])))))
	}
	return b
}

// mutateGzip changes the deflated data, and gives the checksum of what that makes, if it
// makes anything.
func mutateGzip(r *rand.Rand, b []byte) []byte {
	const head, tail = 10, 8 // without a name
	b = bytes.Clone(b)
	for range 1 + r.IntN(3) {
		b[head+r.IntN(len(b)-head-tail)] ^= 1 << r.IntN(8)
	}
	made, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(b[head:])), 1<<22))
	if err == nil {
		binary.LittleEndian.PutUint32(b[len(b)-8:], crc32.ChecksumIEEE(made))
		binary.LittleEndian.PutUint32(b[len(b)-4:], uint32(len(made)))
	}
	return b
}

// mutateDER changes one value inside a structure of ASN.1, and the lengths around it.
func mutateDER(r *rand.Rand, b []byte) []byte {
	var v asn1.RawValue
	rest, err := asn1.Unmarshal(b, &v)
	if err != nil || r.IntN(5) == 0 {
		return mutateBytes(r, b)
	}
	var parts [][]byte
	if v.IsCompound {
		for inner := v.Bytes; len(inner) > 0; {
			var w asn1.RawValue
			next, err := asn1.Unmarshal(inner, &w)
			if err != nil {
				break
			}
			parts, inner = append(parts, w.FullBytes), next
		}
	}
	if len(parts) == 0 {
		v.Bytes = mutateBytes(r, v.Bytes)
	} else {
		i := r.IntN(len(parts))
		switch r.IntN(8) {
		case 0:
			parts = slices.Delete(parts, i, i+1)
		case 1:
			parts = slices.Insert(parts, i, parts[r.IntN(len(parts))])
		case 2:
			v.Tag = r.IntN(31)
		default:
			parts[i] = mutateDER(r, parts[i])
		}
		v.Bytes = slices.Concat(parts...)
	}
	v.FullBytes = nil
	out, err := asn1.Marshal(v)
	if err != nil {
		return mutateBytes(r, b)
	}
	return append(out, rest...)
}
