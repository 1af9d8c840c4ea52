// SPDX-License-Identifier: MIT

package codec

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"unsafe"

	"github.com/ebitengine/purego"
)

// LibraryError says that a C library, or a fitting one, was not found.
type LibraryError struct {
	Err  error
	hint string
}

func (e *LibraryError) Error() string { return e.Err.Error() }
func (e *LibraryError) Unwrap() error { return e.Err }

// Hint is what the user can do about it.
func (e *LibraryError) Hint() string { return e.hint }

// symbol is a C function and the Go variable through which it is called. C's
// int is int32, unsigned is uint32, long and size_t are uintptr, which holds
// for every Linux.
type symbol struct {
	name string
	fn   any // pointer to a variable of function type
}

// load opens the shared object at path, or by its soname through the loader's
// search path, and binds the symbols. The object stays loaded for good.
func load(path string, symbols ...symbol) error {
	lib, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return err // names the library
	}
	for _, s := range symbols {
		addr, err := purego.Dlsym(lib, s.name)
		if err != nil {
			return fmt.Errorf("%s has no function %s", path, s.name)
		}
		purego.RegisterFunc(s.fn, addr)
	}
	return nil
}

// Load opens the shared object at path, which is searched for if it is a bare name, and
// binds its functions, by name, to pointers to variables of function type. It is here
// because this package is the one that calls C. Such a function takes and returns
// what package purego can pass on.
func Load(path string, functions map[string]any) error {
	if strings.ContainsRune(path, '/') || fileExists(path) {
		var err error
		if path, err = libraryFile(path); err != nil {
			return err
		}
	}
	var list []symbol
	for name, fn := range functions {
		list = append(list, symbol{name, fn})
	}
	return load(path, list...)
}

func fileExists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// libraries holds what was loaded, by path, so that each is opened once in a
// process whoever asks. Failures are not kept.
type libraries[T any] struct {
	mu   sync.Mutex
	open map[string]*T
}

func (l *libraries[T]) get(path string, open func() (*T, error)) (*T, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if lib := l.open[path]; lib != nil {
		return lib, nil
	}
	lib, err := open()
	if err != nil {
		return nil, err
	}
	if l.open == nil {
		l.open = make(map[string]*T)
	}
	l.open[path] = lib
	return lib, nil
}

// libraryFile makes a user's path one that the loader takes as a path: it would
// search for a bare name.
func libraryFile(path string) (string, error) {
	if _, err := os.Stat(path); err != nil {
		return "", err
	}
	return filepath.Abs(path)
}

// packageFolder is where the Debian packages have their libzstd.
const packageFolder = "/usr/lib/swudelta"

// libraryFolders are where libraries of this project's lie, as NAME.so.VERSION: the
// package's folder, that of an archive that was unpacked anywhere, and the user's cache,
// where scripts/get-libzstd and get-libz leave them.
func libraryFolders() []string {
	dirs := []string{packageFolder}
	if program, err := os.Executable(); err == nil {
		dirs = append(dirs, filepath.Join(filepath.Dir(program), "..", "lib", "swudelta"))
	}
	if cache, err := os.UserCacheDir(); err == nil { // HOME or XDG_CACHE_HOME is set
		dirs = append(dirs, filepath.Join(cache, "swudelta"))
	}
	return dirs
}

// errMemory is what C's allocators mean by a null pointer.
var errMemory = errors.New("out of memory")

type libc struct {
	calloc  func(n, size uintptr) unsafe.Pointer
	free    func(unsafe.Pointer)
	mallopt func(param, value int32) int32
}

var openLibc = sync.OnceValues(func() (*libc, error) {
	c := new(libc)
	return c, load("libc.so.6", symbol{"calloc", &c.calloc}, symbol{"free", &c.free}, symbol{"mallopt", &c.mallopt})
})

// ReturnFreed has C libraries' memory go back to the system as soon as they free it, in blocks of
// 256 KiB or more, from now on. Otherwise the allocator keeps tens of megabytes that were freed
// once, and it does so for each thread that has allocated, on which other threads do not draw.
func ReturnFreed() {
	const mmapThreshold = -3 // M_MMAP_THRESHOLD of mallopt(3)
	if c, err := openLibc(); err == nil {
		c.mallopt(mmapThreshold, 256<<10)
	}
}

// block is C memory for one stream: the library's state structure T, to which
// the library keeps a pointer between calls (so that it must not be on the Go
// heap), and the buffers that T points to.
type block[T any] struct {
	libc    *libc
	state   *T
	in, out []byte
}

func newBlock[T any](in, out int) (*block[T], error) {
	c, err := openLibc()
	if err != nil {
		return nil, err
	}
	const align = 16
	var t T
	head := (int(unsafe.Sizeof(t)) + align - 1) &^ (align - 1)
	p := c.calloc(1, uintptr(head+in+out))
	if p == nil {
		return nil, errMemory
	}
	return &block[T]{
		libc:  c,
		state: (*T)(p),
		in:    unsafe.Slice((*byte)(unsafe.Add(p, head)), in),
		out:   unsafe.Slice((*byte)(unsafe.Add(p, head+in)), out),
	}, nil
}

func (b *block[T]) ptr() unsafe.Pointer { return unsafe.Pointer(b.state) }
func (b *block[T]) free()               { b.libc.free(b.ptr()) }

// address is for C structures in C memory, which hold no Go pointers.
func address(b []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(b))) }

var errWriteClosed = errors.New("codec: write after close")

// encoder is the writing end of a C library's stream. A piece is handed over
// only when more content arrives, or at the end: so the last one, full or not,
// goes together with the end.
type encoder struct {
	w     io.Writer
	piece []byte // C memory
	n     int    // bytes pending in piece

	// code takes the first n bytes of piece, the last ones of the stream if
	// so told, and writes what comes out to w.
	code    func(w io.Writer, n int, last bool) error
	free    func()
	cleanup runtime.Cleanup
	err     error // sticky
}

// newEncoder must be given functions that do not refer to the encoder: free is
// called when it is closed or has become unreachable.
func newEncoder(w io.Writer, piece []byte, code func(io.Writer, int, bool) error, free func()) *encoder {
	e := &encoder{w: w, piece: piece, code: code, free: free}
	e.cleanup = runtime.AddCleanup(e, func(free func()) { free() }, free)
	return e
}

func (e *encoder) Write(p []byte) (int, error) {
	total := len(p)
	for len(p) > 0 && e.err == nil {
		if e.n == len(e.piece) {
			e.err, e.n = e.code(e.w, e.n, false), 0
			continue
		}
		n := copy(e.piece[e.n:], p)
		e.n, p = e.n+n, p[n:]
	}
	return total - len(p), e.err
}

// Close completes the stream, unless a write has failed, and frees it.
func (e *encoder) Close() error {
	if e.piece == nil {
		return e.err
	}
	err := e.err
	if err == nil {
		err = e.code(e.w, e.n, true)
	}
	e.cleanup.Stop()
	e.free()
	e.piece = nil
	if e.err = err; err == nil {
		e.err = errWriteClosed
	}
	return err
}
