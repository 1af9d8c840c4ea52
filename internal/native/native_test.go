// SPDX-License-Identifier: MIT

package native

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"swudelta/internal/digest"
	"swudelta/internal/errnum"
	"swudelta/internal/fault"
	"swudelta/internal/member"
	"swudelta/internal/newfile"
)

// scene is a delta and what it is made from.
type scene struct {
	source, target []byte
	in             Input
}

// randomBytes returns bytes that are neither even nor independent.
func randomBytes(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	words := []string{"config", "lib", "\x00\x00\x00\x01", "update", " the ", "\n", "\xe8\x10\x20", "0x"}
	for i := 0; i < n; {
		if r.Uint32()%3 == 0 {
			b[i] = byte(r.Uint32())
			i++
			continue
		}
		i += copy(b[i:], words[r.IntN(len(words))])
	}
	return b
}

// randomScene makes one with everything that operations can be, of one plain
// stream and one plain segment.
func randomScene(seed uint64) *scene {
	r := rand.New(rand.NewPCG(seed, 99))
	s := &scene{source: randomBytes(r, 1+r.IntN(200000))}
	for range 1 + r.IntN(30) {
		n := 1 + r.IntN(1<<r.IntN(16))
		o := Op{Kind: Kind(r.Uint32() % 4), Len: int64(n)}
		switch o.Kind {
		case Copy:
			n = min(n, len(s.source))
			at := r.IntN(len(s.source) - n + 1)
			o = Op{Copy, int64(n), int64(at)}
			from := len(s.target)
			s.target = append(s.target, s.source[at:at+n]...)
			for range r.IntN(1 + n/20) {
				s.target[from+r.IntN(n)] += byte(r.Uint32() % 4)
			}
		case Stored: // what cannot be made smaller
			o.Kind = Literal
			for range n {
				s.target = append(s.target, byte(r.Uint32()))
			}
		case Literal:
			s.target = append(s.target, randomBytes(r, n)...)
		case Fill:
			o.Old = int64(r.IntN(256))
			s.target = append(s.target, bytes.Repeat([]byte{byte(o.Old)}, n)...)
		}
		s.in.Ops = append(s.in.Ops, o)
	}
	s.in.Old = []Stream{{Length: int64(len(s.source)), Size: int64(len(s.source))}}
	s.in.New = []Segment{{Length: int64(len(s.target))}}
	s.in.OldSide, s.in.NewSide = s.source, s.target
	s.sums()
	return s
}

func (s *scene) sums() {
	s.in.SourceLength, s.in.SourceSHA256 = int64(len(s.source)), digest.Sum(s.source)
	s.in.TargetLength, s.in.TargetSHA256 = int64(len(s.target)), digest.Sum(s.target)
}

func (s *scene) encode(t testing.TB) []byte {
	t.Helper()
	b, err := Encode(&s.in)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func scratchIn(t testing.TB) func() (*os.File, error) {
	dir := t.TempDir()
	return func() (*os.File, error) { return os.CreateTemp(dir, "scratch") }
}

func options(t testing.TB) ApplyOptions {
	return ApplyOptions{Scratch: scratchIn(t)}
}

// apply opens and applies a delta.
func apply(delta, source []byte, o ApplyOptions) ([]byte, error) {
	d, err := Open(bytes.NewReader(delta), int64(len(delta)))
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err = d.Apply(&out, bytes.NewReader(source), int64(len(source)), o)
	return out.Bytes(), err
}

func (s *scene) check(t testing.TB, delta []byte, o ApplyOptions) {
	t.Helper()
	got, err := apply(delta, s.source, o)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, s.target) {
		t.Fatal("another target")
	}
}

func TestRoundTrip(t *testing.T) {
	for seed := range uint64(60) {
		s := randomScene(seed)
		source, target := bytes.Clone(s.source), bytes.Clone(s.target)
		delta := s.encode(t)
		if !bytes.Equal(source, s.source) || !bytes.Equal(target, s.target) {
			t.Fatalf("seed %d: encoding changed a side, which may be mapped from a file", seed)
		}
		s.check(t, delta, ApplyOptions{})
		if again := s.encode(t); !bytes.Equal(again, delta) {
			t.Fatalf("seed %d: another delta at the second time", seed)
		}
	}
}

// opened returns the stream that opens what stored begins with.
func opened(t testing.TB, n member.Number, stored []byte) Stream {
	t.Helper()
	f, _ := member.Lookup(n)
	found, ok := f.Find(stored)
	if !ok {
		t.Fatalf("%v is not found", n)
	}
	return Stream{Format: n, Params: found.Params, Offset: int64(found.At)}
}

// closed returns the segment that makes stored of content.
func closed(t testing.TB, n member.Number, stored, content []byte, parts ...Segment) Segment {
	t.Helper()
	f, _ := member.Lookup(n)
	params, err := f.Analyse(stored, content, nil, func(int64) {})
	if err != nil {
		t.Fatal(err)
	}
	return Segment{Format: n, Length: int64(len(stored)), Params: params, Parts: parts}
}

// gzipHeader is the length of the header that gzipped writes, in bytes.
const gzipHeader = 10

func gzipped(b []byte) []byte {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	z.Write(b)
	z.Close()
	return out.Bytes()
}

// A target is divided into segments, and members nest in them; some of the source is compressed.
func TestStreamsAndSegments(t *testing.T) {
	for seed := range uint64(20) {
		s := randomScene(seed)
		old, new := s.source, s.target
		var zs bytes.Buffer
		a, b := len(old)/3, len(old)/2
		gz := gzipped(old[a:b])
		e, err := zstd.NewWriter(&zs, zstd.WithWindowSize(1<<17))
		if err != nil {
			t.Fatal(err)
		}
		e.Write(old[b:])
		e.Close()
		s.source = nil
		add := func(st Stream, stored []byte) {
			st.Offset += int64(len(s.source))
			st.Length = int64(len(s.source)+len(stored)) - st.Offset
			s.source = append(s.source, stored...)
			s.source = append(s.source, "between"...)
			s.in.Old = append(s.in.Old, st)
		}
		s.in.Old = nil
		add(Stream{Size: int64(a)}, old[:a])
		st := opened(t, member.Gzip, gz)
		st.Size, st.Hidden = int64(b-a), true
		add(st, gz)
		s.in.Old = append(s.in.Old, Stream{Parent: 2, Length: int64(b - a), Size: int64(b - a)})
		st = opened(t, member.Zstd, zs.Bytes())
		st.Size = int64(len(old) - b)
		add(st, zs.Bytes())

		k := len(new) / 2
		inner := gzipped(new[k/3 : k/2])[gzipHeader:]
		content := bytes.Join([][]byte{new[k/4 : k/3], inner, new[k/2 : k]}, nil)
		outer := gzipped(content)[gzipHeader:]
		s.target = bytes.Join([][]byte{new[:k/4], outer, new[k:]}, nil)
		plain := func(from, to int) Segment { return Segment{Length: int64(to - from)} }
		s.in.New = []Segment{
			plain(0, k/4),
			closed(t, member.Gzip, outer, content,
				plain(k/4, k/3), closed(t, member.Gzip, inner, new[k/3:k/2], plain(k/3, k/2)), plain(k/2, k)),
			plain(k, len(new)),
		}
		s.sums()
		delta := s.encode(t)
		s.check(t, delta, options(t))

		d, err := Open(bytes.NewReader(delta), int64(len(delta)))
		if err != nil {
			t.Fatal(err)
		}
		if want := int64(len(old) - a); d.Need.Scratch != want {
			t.Errorf("scratch need %d, want %d", d.Need.Scratch, want)
		}
		// It says in time what it lacks.
		o := options(t)
		o.Scratch = nil
		if _, err := apply(delta, s.source, o); err == nil || !strings.Contains(err.Error(), "needs scratch space") {
			t.Errorf("without scratch space: %v", err)
		}
		o = options(t)
		o.Memory = d.Need.Memory - 1
		if got, err := apply(delta, s.source, o); !errors.Is(err, ErrMemory) || len(got) > 0 || fault.IsData(err) {
			t.Errorf("with too little memory: %v and %d bytes", err, len(got))
		}
		freeSpace = func(*os.File) (int64, bool) { return d.Need.Scratch - 1, true }
		got, err := apply(delta, s.source, options(t))
		freeSpace = newfile.FreeSpace
		if !errors.Is(err, ErrScratch) || len(got) > 0 || fault.IsData(err) {
			t.Errorf("with too little scratch space: %v and %d bytes", err, len(got))
		}
	}
}

// What closing makes is held against what is stated, and against the parameters.
func TestClosingFails(t *testing.T) {
	content := bytes.Repeat([]byte("content that is closed, "), 100)
	stored := gzipped(content)[gzipHeader:]
	whole := Segment{Length: int64(len(content))}
	scene := func(change func(*Segment)) *scene {
		s := &scene{source: content, target: stored}
		s.in.Old = []Stream{{Length: whole.Length, Size: whole.Length}}
		s.in.New = []Segment{closed(t, member.Gzip, stored, content, whole)}
		s.in.Ops = []Op{{Copy, whole.Length, 0}}
		s.in.OldSide, s.in.NewSide = content, content
		s.sums()
		change(&s.in.New[0])
		if n := s.in.New[0].Length; n != int64(len(stored)) {
			s.in.TargetLength = n
		}
		return s
	}
	for name, c := range map[string]struct {
		change func(*Segment)
		want   string
	}{
		"nothing":    {func(*Segment) {}, ""},
		"too short":  {func(s *Segment) { s.Length-- }, "error 60002"},
		"too long":   {func(s *Segment) { s.Length++ }, "1 bytes fewer than stated"},
		"no library": {func(s *Segment) { s.Format, s.Params = member.Zstd, []byte{1, 5, 0, 3, 0, 3, 0} }, "no libzstd"},
		"content left": {func(s *Segment) {
			s.Params = closed(t, member.Gzip, gzipped(content[1:])[gzipHeader:], content[1:]).Params
		}, ""},
	} {
		s := scene(c.change)
		_, err := apply(s.encode(t), s.source, options(t))
		switch {
		case name == "nothing" && err == nil:
		case name == "nothing" || err == nil || !strings.Contains(err.Error(), c.want):
			t.Errorf("%s: %v", name, err)
		}
	}
	// Parameters that no format takes are found when the delta is made.
	s := scene(func(s *Segment) { s.Format, s.Params = member.Zstd, []byte{77} })
	if _, err := Encode(&s.in); !fault.IsData(err) {
		t.Errorf("level 77: %v", err)
	}
}

// Nothing is written for a source that is not the one.
func TestWrongSource(t *testing.T) {
	s := randomScene(3)
	delta := s.encode(t)
	other := bytes.Clone(s.source)
	other[len(other)/2] ^= 1
	for _, source := range [][]byte{other, other[1:], nil} {
		got, err := apply(delta, source, ApplyOptions{})
		if !fault.IsData(err) || !strings.Contains(err.Error(), "source") || len(got) > 0 {
			t.Errorf("error %v, %d bytes", err, len(got))
		}
	}
}

// reseal makes the digests in a delta right again. What it cannot make sense of stays.
func reseal(delta []byte) []byte {
	delta = bytes.Clone(delta)
	if len(delta) < headSize {
		return delta
	}
	count := int64(binary.LittleEndian.Uint32(delta[12:]))
	end := headSize + count*sectionSize
	if count > maxSections || end+sumSize > int64(len(delta)) {
		return delta
	}
	at := end + sumSize
	for i := range count {
		row := delta[headSize+i*sectionSize:]
		n := binary.LittleEndian.Uint64(row[8:])
		if n > uint64(int64(len(delta))-at) {
			break
		}
		sum := digest.Sum(delta[at : at+int64(n)])
		copy(row[16:], sum[:])
		at += int64(n)
	}
	sum := digest.Sum(delta[:end])
	copy(delta[end:], sum[:])
	return delta
}

// small is a small delta that has everything.
func small(t testing.TB) *scene {
	s := &scene{}
	r := rand.New(rand.NewPCG(5, 5))
	old := randomBytes(r, 3000)
	s.target = append(bytes.Clone(old[100:2100]), "fresh bytes, fresh bytes, fresher bytes"...)
	for i := range 100 {
		s.target = fmt.Appendf(s.target, "%d,", i)
	}
	literal := int64(len(s.target) - 2000)
	for i := 30; i < 2000; i += 37 {
		s.target[i]++
	}
	incompressible := make([]byte, 300)
	for i := range incompressible {
		incompressible[i] = byte(r.Uint32())
	}
	s.target = append(s.target, make([]byte, 100)...)
	s.target = append(s.target, incompressible...)
	gz := gzipped(old[1500:])
	s.source = append(old[:1500:1500], gz...)
	st := opened(t, member.Gzip, gz)
	st.Offset, st.Length, st.Size = st.Offset+1500, int64(len(gz))-st.Offset, 1500
	s.in.Old = []Stream{{Length: 1500, Size: 1500}, st}
	s.in.Ops = []Op{{Copy, 2000, 100}, {Literal, literal, 0}, {Fill, 100, 0}, {Literal, 300, 0}}
	s.in.OldSide, s.in.NewSide = old, s.target
	// A member in a member.
	inner := gzipped(s.target[900:1900])[gzipHeader:]
	content := bytes.Join([][]byte{s.target[700:900], inner, s.target[1900:2100]}, nil)
	outer := gzipped(content)[gzipHeader:]
	s.in.New = []Segment{
		{Length: 700},
		closed(t, member.Gzip, outer, content, Segment{Length: 200}, closed(t, member.Gzip, inner, s.target[900:1900], Segment{Length: 1000}), Segment{Length: 200}),
		{Length: int64(len(s.target) - 2100)},
	}
	s.target = bytes.Join([][]byte{s.target[:700], outer, s.target[2100:]}, nil)
	s.sums()
	return s
}

// TestVector holds the format: the file in testdata was made by this encoder on amd64, and
// every architecture makes the same, and applies it.
func TestVector(t *testing.T) {
	s := small(t)
	delta := s.encode(t)
	path := func(name string) string { return filepath.Join("testdata", "vector", name) }
	if os.Getenv("UPDATE_VECTOR") != "" {
		for name, b := range map[string][]byte{"source": s.source, "target": s.target, "delta": delta} {
			if err := os.WriteFile(path(name), b, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	read := func(name string) []byte {
		b, err := os.ReadFile(path(name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	if !bytes.Equal(delta, read("delta")) {
		t.Error("the encoder makes another delta")
	}
	got, err := apply(read("delta"), read("source"), options(t))
	if err != nil || !bytes.Equal(got, read("target")) {
		t.Errorf("the target is another one, error %v", err)
	}
	d, err := Open(bytes.NewReader(delta), int64(len(delta)))
	if err != nil {
		t.Fatal(err)
	}
	types := ""
	for _, s := range d.Sections {
		types += fmt.Sprint(s.Type, " ")
	}
	if want := "content operations differences literals stored closing "; types != want {
		t.Errorf("sections %s, want %s", types, want)
	}
}

// A delta that is cut anywhere is refused before anything is written.
func TestTruncated(t *testing.T) {
	s := small(t)
	delta := s.encode(t)
	for n := range delta {
		for _, b := range [][]byte{delta[:n], reseal(delta[:n])} {
			got, err := apply(b, s.source, options(t))
			if !fault.IsData(err) || len(got) > 0 {
				t.Fatalf("cut at %d of %d: %v, %d bytes", n, len(delta), err, len(got))
			}
		}
	}
	got, err := apply(append(bytes.Clone(delta), 0), s.source, options(t))
	if !fault.IsData(err) || len(got) > 0 {
		t.Fatalf("with a byte more: %v, %d bytes", err, len(got))
	}
}

// A bit that has changed anywhere is noticed before anything is written.
func TestDamaged(t *testing.T) {
	s := small(t)
	delta := s.encode(t)
	for i := range delta {
		b := bytes.Clone(delta)
		b[i] ^= 1 << (i % 8)
		got, err := apply(b, s.source, options(t))
		if !fault.IsData(err) || len(got) > 0 {
			t.Fatalf("bit at %d: %v, %d bytes", i, err, len(got))
		}
	}
}

// mutate changes a delta and makes its digests right again.
func mutate(r *rand.Rand, delta []byte) []byte {
	b := bytes.Clone(delta)
	for range 1 + r.IntN(3) {
		i := r.IntN(len(b))
		switch r.IntN(5) {
		case 0:
			b[i] ^= 1 << r.IntN(8)
		case 1:
			b[i] = byte(r.Uint32())
		case 2: // in the numbers of the header and the table
			i = 8 + r.IntN(min(len(b)-8, headSize+3*sectionSize))
			b[i] = []byte{0, 1, 0x7f, 0x80, 0xff}[r.IntN(5)]
		case 3: // something is taken out, and the length of a section fits that
			n := min(1+r.IntN(8), len(b)-i)
			b = append(b[:i], b[i+n:]...)
			resize(b, i, -n)
		case 4:
			n := 1 + r.IntN(8)
			b = append(b[:i:i], append(make([]byte, n), b[i:]...)...)
			resize(b, i, n)
		}
		if len(b) == 0 {
			b = []byte{0}
		}
	}
	return reseal(b)
}

// resize adds n to the length of the section in which i lies.
func resize(b []byte, i, n int) {
	if len(b) < headSize {
		return
	}
	count := int(binary.LittleEndian.Uint32(b[12:]))
	at := headSize + count*sectionSize + int(sumSize)
	for k := 0; k < min(count, maxSections); k++ {
		row := headSize + k*sectionSize + 8
		if row+8 > len(b) {
			return
		}
		size := int(binary.LittleEndian.Uint64(b[row:]))
		if i >= at && i < at+size {
			binary.LittleEndian.PutUint64(b[row:], uint64(size+n))
			return
		}
		at += size
	}
}

// Whatever a delta says, the result is the target or a fault of the data.
func TestMutated(t *testing.T) {
	rounds := 10000
	if testing.Short() {
		rounds = 2000
	}
	mutated(t, small(t), rounds)
}

// The same for one with predicted displacements.
func TestMutatedPrograms(t *testing.T) {
	rounds := 2000
	if testing.Short() {
		rounds = 200
	}
	name := filepath.Join("..", "displace", "testdata", "x86-64.")
	old, err := os.ReadFile(name + "1")
	if err != nil {
		t.Fatal(err)
	}
	new, err := os.ReadFile(name + "2")
	if err != nil {
		t.Fatal(err)
	}
	mutated(t, patched(old, new), rounds)
}

func mutated(t *testing.T, s *scene, rounds int) {
	delta := s.encode(t)
	o := options(t)
	o.Memory = 48 << 20
	applied := 0
	for seed := range uint64(rounds) {
		b := mutate(rand.New(rand.NewPCG(seed, 1)), delta)
		got, err := applyBounded(bytes.NewReader(b), int64(len(b)), bytes.NewReader(s.source), int64(len(s.source)), o)
		switch {
		case err == nil && !bytes.Equal(got, s.target):
			t.Fatalf("seed %d: another target and no error", seed)
		case err == nil:
			applied++
		case !fault.IsData(err) && !errors.Is(err, ErrMemory) && !errors.Is(err, ErrScratch) && !errors.Is(err, errEnough):
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
	t.Logf("%d of %d still make the target", applied, rounds)
	if applied > rounds/2 {
		t.Errorf("%d of %d changed nothing: the test sees little", applied, rounds)
	}
}

// turning reads one content up to some read, and another one from there on.
type turning struct {
	before, after []byte
	reads         int // that are left of before
}

func (r *turning) ReadAt(b []byte, off int64) (int, error) {
	r.reads--
	if r.reads < 0 {
		return bytes.NewReader(r.after).ReadAt(b, off)
	}
	return bytes.NewReader(r.before).ReadAt(b, off)
}

// A delta, or a source, that changes while it is read, after it was verified, gives the
// target or an error, too.
func TestChanging(t *testing.T) {
	s := small(t)
	delta := s.encode(t)
	count := &turning{before: delta, reads: math.MaxInt}
	o := options(t)
	o.Memory = 48 << 20
	size := int64(len(delta))
	if _, err := applyBounded(count, size, bytes.NewReader(s.source), int64(len(s.source)), o); err != nil {
		t.Fatal(err)
	}
	reads := math.MaxInt - count.reads
	t.Logf("%d reads of the delta", reads)
	rounds := 400
	if testing.Short() {
		rounds = 60
	}
	failed := 0
	for seed := range uint64(rounds) {
		r := rand.New(rand.NewPCG(seed, 2))
		d := &turning{before: delta, after: delta, reads: r.IntN(reads)}
		source := &turning{before: s.source, after: s.source, reads: r.IntN(10)}
		if seed%4 > 0 {
			d.after = mutate(r, delta)
		} else {
			source.after = bytes.Clone(s.source)
			source.after[r.IntN(len(s.source))] ^= 1 << r.IntN(8)
		}
		got, err := applyBounded(d, size, source, int64(len(s.source)), o)
		switch {
		case err == nil && !bytes.Equal(got, s.target):
			t.Fatalf("seed %d: another target and no error", seed)
		case err != nil && !fault.IsData(err) && !errors.Is(err, ErrMemory) && !errors.Is(err, ErrScratch) && !errors.Is(err, errEnough) &&
			!errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
			t.Fatalf("seed %d: %v", seed, err)
		case err != nil:
			failed++
		}
	}
	t.Logf("%d of %d failed", failed, rounds)
	if failed < rounds/4 {
		t.Errorf("%d of %d failed: the test sees little", failed, rounds)
	}
}

var errEnough = errors.New("enough")

// applyBounded applies a delta until it has made 1 MiB, since a hostile one may make any
// number of bytes.
func applyBounded(delta io.ReaderAt, size int64, source io.ReaderAt, sourceSize int64, o ApplyOptions) ([]byte, error) {
	d, err := Open(delta, size)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err = d.Apply(writerFunc(func(b []byte) (int, error) {
		if out.Len() > 1<<20 {
			return 0, errEnough
		}
		return out.Write(b)
	}), source, sourceSize, o)
	return out.Bytes(), err
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// What a later version may have is told from damage.
func TestNewer(t *testing.T) {
	s := small(t)
	delta := s.encode(t)
	content := headSize + 6*sectionSize + int(sumSize)
	for name, change := range map[string]func(b []byte){
		"version":              func(b []byte) { b[8] = 2 },
		"flags":                func(b []byte) { b[10] = 1 },
		"section type 99":      func(b []byte) { b[headSize+4*sectionSize] = 99 },
		"flags 0x1 of section": func(b []byte) { b[headSize+4] = 1 },
		"stream of format 99":  func(b []byte) { b[content+1] = 99 },
		"stream of format 0":   func(b []byte) { b[content+2]--; b[content+8] = 0 },
		"segment of format 99": func(b []byte) { copy(b[bytes.Index(b[content:], []byte{3, 0, 2, 188, 5})+content:], []byte{3, 99}) },
	} {
		b := bytes.Clone(delta)
		change(b)
		_, err := apply(reseal(b), s.source, options(t))
		if strings.HasSuffix(name, "format 0") { // cut parameters are damage
			if !fault.IsData(err) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		var e *Error
		if !errors.Is(err, ErrNewer) || !errors.As(err, &e) || e.Code != errnum.Newer || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Ops and copies may end and begin anywhere; positions go beyond 32 bits.
func TestFarOperations(t *testing.T) {
	ops := []Op{{Copy, 1 << 33, 5}, {Fill, 1 << 35, 7}, {Literal, 3, 0}, {Copy, 1, 1<<40 - 1}, {Stored, 1 << 34, 0}, {Copy, 9, 1 << 39}}
	b, err := encodeOps(ops)
	if err != nil {
		t.Fatal(err)
	}
	size := int64(0)
	for _, o := range ops {
		size += o.Len
	}
	read := func(oldSize, newSize int64) (list []Op, err error) {
		d := &Delta{
			Size: int64(len(b)), file: bytes.NewReader(b), Sections: []Section{{Type: TypeOperations, Length: int64(len(b))}},
			Old: []Stream{{Size: oldSize}}, New: []Segment{{Length: newSize}},
		}
		err = d.eachOp(func(o Op) error {
			list = append(list, o)
			return nil
		})
		return list, err
	}
	got, err := read(1<<40, size)
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(got) != fmt.Sprint(ops) {
		t.Errorf("operations %v, want %v", got, ops)
	}
	for _, bad := range [][2]int64{{1<<40 - 1, size}, {1 << 40, size - 1}, {1 << 40, size + 1}} {
		if _, err := read(bad[0], bad[1]); !fault.IsData(err) {
			t.Errorf("old side of %d, new side of %d: %v", bad[0], bad[1], err)
		}
	}
}

func TestIsDelta(t *testing.T) {
	if !IsDelta(bytes.NewReader(small(t).encode(t))) || IsDelta(strings.NewReader("PAMZ")) || IsDelta(strings.NewReader("")) {
		t.Error("IsDelta is wrong")
	}
}

// Applying reports its progress and writes nothing else.
func TestProgress(t *testing.T) {
	s := randomScene(8)
	delta := s.encode(t)
	sum := int64(0)
	s.check(t, delta, ApplyOptions{Progress: func(n int64) { sum += n }})
	if sum != int64(len(s.target)) {
		t.Errorf("progress of %d bytes, want %d", sum, len(s.target))
	}
}

func FuzzApply(f *testing.F) {
	s := small(f)
	delta := s.encode(f)
	f.Add(delta)
	for seed := range uint64(20) {
		f.Add(mutate(rand.New(rand.NewPCG(seed, 2)), delta))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		o := options(t)
		o.Memory = 48 << 20
		b := reseal(data)
		got, err := applyBounded(bytes.NewReader(b), int64(len(b)), bytes.NewReader(s.source), int64(len(s.source)), o)
		if err == nil && digest.Sum(got) != digestOf(data) {
			t.Fatal("another target and no error")
		}
	})
}

func digestOf(delta []byte) (sum digest.SHA256) {
	copy(sum[:], delta[24:])
	return sum
}

// What is read from a goroutine is what it wrote; its error comes last, and it ends when nobody
// reads on.
func TestAhead(t *testing.T) {
	want := randomBytes(rand.New(rand.NewPCG(1, 1)), 3*aheadSize*aheadChunks)
	broken := errors.New("broken")
	for _, fail := range []error{nil, broken} {
		for _, size := range []int{1, 1000, aheadSize, len(want)} {
			a := goAhead(func(w io.Writer) error {
				for b := want; len(b) > 0; b = b[min(size, len(b)):] {
					if _, err := w.Write(b[:min(size, len(b))]); err != nil {
						return err
					}
				}
				return fail
			})
			got, err := io.ReadAll(a)
			if !bytes.Equal(got, want) || err != fail || a.end() != fail {
				t.Errorf("writes of %d: %d bytes, error %v", size, len(got), err)
			}
			a.close()
		}
	}
	left := make(chan error, 1)
	a := goAhead(func(w io.Writer) error {
		_, err := w.Write(want)
		left <- err
		return err
	})
	if _, err := io.ReadFull(a, make([]byte, aheadSize+1)); err != nil {
		t.Error(err)
	}
	a.close()
	if err := <-left; err != errAbandoned {
		t.Errorf("a goroutine that nobody reads from ends with %v", err)
	}
	a = goAhead(func(w io.Writer) error { return nil })
	defer a.close()
	if err := a.end(); err != nil {
		t.Errorf("nothing left: %v", err)
	}
	b := goAhead(func(w io.Writer) error { _, err := w.Write(want[:1]); return err })
	defer b.close()
	if err := b.end(); !fault.IsData(err) {
		t.Errorf("one byte left: %v", err)
	}
}
