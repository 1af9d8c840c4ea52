// SPDX-License-Identifier: MIT

package deflate

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	kflate "github.com/klauspost/compress/flate"

	"swudelta/internal/fault"
	"swudelta/internal/tooltest"
)

// goDeflate compresses with the encoder of the standard library, and flushes
// where a part ends.
func goDeflate(t testing.TB, level int, parts ...[]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, level)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range parts {
		if i > 0 {
			w.Flush()
		}
		w.Write(p)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// program compresses with a program that writes a gzip file without a name.
func program(t testing.TB, content []byte, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Stdin = bytes.NewReader(content)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %v: %v", name, args, err)
	}
	return out[10 : len(out)-8]
}

// inflate is the content according to the standard library.
func inflate(t testing.TB, stream []byte) []byte {
	t.Helper()
	b, err := io.ReadAll(flate.NewReader(bytes.NewReader(stream)))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// text is content that looks like sources or documents, the same every time.
func text(n int) []byte {
	r := rand.New(rand.NewPCG(1, 2))
	words := make([]string, 600)
	for i := range words {
		b := make([]byte, 1+r.IntN(9))
		for j := range b {
			b[j] = 'a' + byte(r.IntN(26))
		}
		words[i] = string(b)
	}
	var b bytes.Buffer
	for b.Len() < n {
		w := words[min(r.IntN(600), r.IntN(600))]
		b.WriteString(w)
		b.WriteByte(" \n,.("[min(r.IntN(5), r.IntN(5))])
	}
	return b.Bytes()[:n]
}

func random(n int) []byte {
	r := rand.New(rand.NewPCG(3, 4))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// contents are small contents of different kinds.
var contents = map[string][]byte{
	"empty": {}, "byte": {'x'}, "two": []byte("ab"), "zeros": make([]byte, 150_000), "text": text(100_000),
	"random": random(70_000), "mixed": slicesJoin(text(50_000), random(70_000), make([]byte, 70_000), text(60_000)),
}

func slicesJoin(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// open opens a stream behind which others follow, and compares both of what it
// gets with the standard library's opinion.
func open(t testing.TB, stream []byte) *Stream {
	t.Helper()
	s, err := Open(append(bytes.Clone(stream), "what follows"...), 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	if s.Size != len(stream) {
		t.Errorf("size %d, want %d", s.Size, len(stream))
	}
	if !bytes.Equal(s.Content, inflate(t, stream)) {
		t.Error("the content is another")
	}
	var again bytes.Buffer
	if err := Close(&again, bytes.NewReader(s.Content), s.Script); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(again.Bytes(), stream) {
		t.Error("the stream was not closed as it was")
	}
	return s
}

func TestOpen(t *testing.T) {
	for name, content := range contents {
		for _, level := range []int{flate.HuffmanOnly, flate.NoCompression, 1, 2, 6, 9} {
			t.Run(fmt.Sprintf("%s/go%d", name, level), func(t *testing.T) { open(t, goDeflate(t, level, content)) })
		}
		for _, level := range []int{1, 4, 6} {
			t.Run(fmt.Sprintf("%s/klauspost%d", name, level), func(t *testing.T) {
				var b bytes.Buffer
				w, err := kflate.NewWriter(&b, level)
				if err != nil {
					t.Fatal(err)
				}
				w.Write(content)
				w.Close()
				open(t, b.Bytes())
			})
		}
		t.Run(name+"/flushed", func(t *testing.T) {
			third := len(content) / 3
			open(t, goDeflate(t, 6, content[:third], nil, content[third:2*third], content[2*third:]))
		})
	}
}

// TestPrograms bounds what the streams of programs cost.
func TestPrograms(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	code, err := os.ReadFile(exe)
	if err != nil {
		t.Fatal(err)
	}
	contents := map[string][]byte{"sources": sources(t)[:150_000], "code": code[:150_000]}
	programs := []struct {
		name   string
		args   []string
		levels string
		share  int // of the content that the script may be: one in so many bytes
	}{
		{"gzip", []string{"-n"}, "123456789", 2000},
		{"gzip", []string{"-n", "--rsyncable"}, "6", 400},
		{"pigz", []string{"-n", "-p4"}, "69", 1000},
		{"libdeflate-gzip", []string{"-n", "-c"}, "12345679", 250},
	}
	for _, p := range programs {
		for name, content := range contents {
			for _, level := range p.levels {
				args := append(slices.Clone(p.args), "-"+string(level))
				t.Run(p.name+strings.Join(args, "")+name, func(t *testing.T) {
					tooltest.Need(t, p.name)
					s := open(t, program(t, content, p.name, args...))
					if most := 48 + len(content)/p.share; len(s.Script) > most {
						t.Errorf("the script has %d bytes for %d of content, more than %d", len(s.Script), len(content), most)
					}
				})
			}
		}
	}
}

// sources are the sources of the module.
func sources(t testing.TB) []byte {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(tooltest.Root(), "internal", "*", "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatal("no sources: ", err)
	}
	var all []byte
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b...)
	}
	return all
}

// TestHandmade has what no encoder at hand makes.
func TestHandmade(t *testing.T) {
	write := func(blocks ...*block) []byte {
		var out bytes.Buffer
		w := &blockWriter{bitWriter: newBitWriter(&out, 1<<30), view: &view{}}
		for i, b := range blocks {
			b.final = i == len(blocks)-1
			if err := w.block(b, 0); err != nil {
				t.Fatal(err)
			}
		}
		w.put(5, w.room()) // bits that nobody looks at
		w.align()
		w.flush()
		return out.Bytes()
	}
	large := &block{kind: fixed}
	for i := range maxHeld + 5000 {
		large.tokens = append(large.tokens, token{uint16(i*i>>3) & 0xff, 0})
		if i%7 == 6 {
			large.tokens = append(large.tokens, token{3 + uint16(i)%256, 1 + uint16(i/2)%30000%uint16(i)})
		}
	}
	for name, blocks := range map[string][]*block{
		"a large block":          {large},
		"empty blocks":           {{kind: fixed}, {kind: stored}, {kind: stored, pad: 3}, {kind: fixed}},
		"a copy that is nearer":  {{kind: fixed, tokens: []token{{'a', 0}, {258, 1}, {258, 1}, {3, 1}, {'b', 0}, {4, 9}, {5, 200}}}},
		"many kinds of literals": {{kind: fixed, tokens: []token{{0, 0}, {255, 0}, {128, 0}}}, {kind: fixed, tokens: []token{{3, 3}, {7, 1}}}},
	} {
		t.Run(name, func(t *testing.T) { open(t, write(blocks...)) })
	}
}

// TestFaults has streams that are none, each with a message that names the place.
func TestFaults(t *testing.T) {
	for name, c := range map[string]struct{ stream, want string }{
		"empty":                {"", "offset 0"},
		"unknown kind":         {"\x07", "a block of no known kind"},
		"stored lengths":       {"\x01\x01\x00\x01\x00x", "complement"},
		"stored, cut":          {"\x01\x02\x00\xfd\xffx", "unexpected EOF"},
		"distance too far":     {"\x4b\x04\x22\x00", "beyond the start"},
		"too many symbols":     {"\xfd\xff\xff\xff\xff\xff\xff\xff", "more code lengths"},
		"code of no symbols":   {"\x05\x00\x00\x00\x00\x00\x00\x00", "no symbol"},
		"content over a limit": {string(goDeflate(t, 6, make([]byte, 1001))), "more than 1000 bytes"},
	} {
		_, err := Open([]byte(c.stream), 1000)
		if err == nil || !strings.Contains(err.Error(), c.want) || !fault.IsData(err) {
			t.Errorf("%s: got %v, want a data error with %q", name, err, c.want)
		}
	}
}

func TestTruncated(t *testing.T) {
	stream := goDeflate(t, 6, text(900), random(50))
	for n := range stream {
		if _, err := Open(stream[:n], 1<<20); !errors.Is(err, io.ErrUnexpectedEOF) || !fault.IsData(err) {
			t.Fatalf("%d of %d bytes: %v", n, len(stream), err)
		}
	}
	s := open(t, stream)
	for n := range s.Script {
		var out bytes.Buffer
		if err := Close(&out, bytes.NewReader(s.Content), s.Script[:n]); err == nil && bytes.Equal(out.Bytes(), stream) && n < len(s.Script)-4 {
			t.Errorf("%d of %d bytes of the script do as well", n, len(s.Script))
		}
	}
	for n := range s.Content {
		if err := Close(io.Discard, bytes.NewReader(s.Content[:n]), s.Script); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("%d of %d bytes of content: %v", n, len(s.Content), err)
		}
	}
}

// TestMemory keeps what closing a long stream takes below a megabyte.
func TestMemory(t *testing.T) {
	s := open(t, goDeflate(t, 1, bytes.Repeat(text(1<<20), 2)))
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	if err := Close(io.Discard, bytes.NewReader(s.Content), s.Script); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
		t.Errorf("closing allocated %d bytes", n)
	}
}

// A deep search finds what one finds that looks at each place, whatever tokens an encoder chose.
func TestDeep(t *testing.T) {
	exe, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	all := maps.Clone(contents)
	all["program"] = exe[1<<20:][:200_000]
	all["few symbols"] = random(90_000)
	for i, b := range all["few symbols"] {
		all["few symbols"][i] = 'a' + b&1
	}
	all["periods"] = bytes.Repeat(slicesJoin(text(700), random(9), make([]byte, 40)), 120)
	for name, content := range all {
		for i, p := range allLevels[4:zlibLevels] {
			for _, change := range []func(*params){func(p *params) {}, func(p *params) { p.hashBits = 9 }, func(p *params) { p.window = 1 << 10 }, func(p *params) { p.fresh = true }} {
				change(&p)
				deep, plain := newMatcher(p, bytes.NewReader(content), int64(len(content))), newMatcher(p, bytes.NewReader(content), int64(len(content)))
				plain.quads = nil
				deep.begin(int64(len(content)) / 2)
				plain.begin(int64(len(content)) / 2)
				r := rand.New(rand.NewPCG(5, 6))
				for deep.pos < int64(len(content)) {
					if deep.pos == deep.end {
						deep.begin(int64(len(content)))
						plain.begin(int64(len(content)))
					}
					got, err := deep.predict()
					want, plainErr := plain.predict()
					if err != nil || plainErr != nil || got != want || deep.here != plain.here || deep.next != plain.next {
						t.Fatalf("%s, level %d, %+v: at %d: %v, want %v: %v, %v", name, 5+i, p, deep.pos, got, want, err, plainErr)
					}
					chosen := want
					if r.IntN(20) == 0 {
						chosen = plain.literal
					}
					deep.accept(chosen, want)
					plain.accept(chosen, want)
				}
			}
		}
	}
}

func FuzzOpen(f *testing.F) {
	for _, c := range contents {
		f.Add(goDeflate(f, 6, c[:min(len(c), 2000)]))
		f.Add(goDeflate(f, 0, c[:min(len(c), 200)]))
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		s, err := Open(stream, 1<<20)
		if err != nil {
			if s != nil || !fault.IsData(err) && !errors.Is(err, ErrOdd) {
				t.Fatalf("%v with %v", err, s)
			}
			return
		}
		if want := inflate(t, stream); !bytes.Equal(s.Content, want) {
			t.Fatal("the content is another")
		}
		var again bytes.Buffer
		if err := Close(&again, bytes.NewReader(s.Content), s.Script); err != nil || !bytes.Equal(again.Bytes(), stream[:s.Size]) {
			t.Fatalf("the stream was not closed as it was: %v", err)
		}
	})
}

func FuzzClose(f *testing.F) {
	for _, level := range []int{0, 1, 6} {
		c := contents["mixed"][48_000:53_000]
		s, err := Open(goDeflate(f, level, c, c), 1<<20)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(s.Content, s.Script)
	}
	f.Fuzz(func(t *testing.T, content, script []byte) {
		if err := Close(io.Discard, bytes.NewReader(content), script); err != nil && !fault.IsData(err) {
			t.Fatal(err)
		}
	})
}

// BenchmarkClose closes what GNU gzip made of a program and of sources, and says how many times as
// much processor time that takes as gzip does.
func BenchmarkClose(b *testing.B) {
	exe, err := os.ReadFile(os.Args[0])
	if err != nil {
		b.Fatal(err)
	}
	for name, content := range map[string][]byte{"program": exe[:3<<20], "sources": sources(b)} {
		for _, level := range []string{"1", "4", "6", "9"} {
			b.Run(name+"-"+level, func(b *testing.B) {
				gzip := used(b, syscall.RUSAGE_CHILDREN)
				stream := program(b, content, "gzip", "-n"+level)
				gzip = used(b, syscall.RUSAGE_CHILDREN) - gzip
				s := open(b, stream)
				b.SetBytes(int64(len(content)))
				own := used(b, syscall.RUSAGE_SELF)
				for b.Loop() {
					if err := Close(io.Discard, bytes.NewReader(content), s.Script); err != nil {
						b.Fatal(err)
					}
				}
				own = (used(b, syscall.RUSAGE_SELF) - own) / time.Duration(b.N)
				b.ReportMetric(own.Seconds()/gzip.Seconds(), "x-gzip")
				b.ReportMetric(float64(len(content))/1e6/own.Seconds(), "MB/cpu-s")
			})
		}
	}
}

// used is the processor time that the process, or those that it started, took.
func used(b *testing.B, who int) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(who, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// TestEncoders prints what streams of many encoders cost, for a folder of raw
// deflate streams that SWUDELTA_DEFLATE names: CONTENT.ENCODER.
func TestEncoders(t *testing.T) {
	dir := os.Getenv("SWUDELTA_DEFLATE")
	if dir == "" {
		t.Skip("SWUDELTA_DEFLATE names no folder of streams")
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.*"))
	if err != nil || len(files) == 0 {
		t.Fatal("no streams: ", err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		s, err := Open(b, 1<<32)
		if err != nil {
			t.Errorf("%s: %v", f, err)
			continue
		}
		mib := float64(len(s.Content)) / (1 << 20)
		t.Logf("%-24s %8d %8d %9.0f bytes a MiB", filepath.Base(f), s.Size, len(s.Script), float64(len(s.Script))/mib)
	}
}
