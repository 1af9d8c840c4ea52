// SPDX-License-Identifier: MIT

//go:build cgo

// Libadudiffapi is a drop-in for the library of that name, through which a
// Device Update agent applies deltas. scripts/build-libadudiffapi builds it.
//
// It exports the six functions that an agent looks up, and behaves as the
// reference where that is well-defined:
//
//	void *adu_diff_apply_create_session(void);
//	void adu_diff_apply_close_session(void *session);
//	int adu_diff_apply(void *session, const char *source, const char *diff, const char *target);
//	size_t adu_diff_apply_get_error_count(void *session);
//	const char *adu_diff_apply_get_error_text(void *session, uint32_t index);
//	int adu_diff_apply_get_error_code(void *session, uint32_t index);
//
// adu_diff_apply returns the number of errors, 0 if the target was made. Texts
// belong to the session until its next apply or its end.
//
// Generations of the library differ in the width of counts and indices; these
// declarations serve callers of both.
//
// Handlers of signals that the host has stay in force, except of SIGURG, which
// the Go runtime takes for itself, and with SIGPIPE as with faults of the
// host's own code the runtime's handler passes on what is not its own. Those that were
// there before the library run on a stack of their own (SA_ONSTACK) from then on, for a thread
// may be on the small stack of a goroutine; later ones have to ask for that themselves.
package main

// #include <stdint.h>
// #include <stdlib.h>
import "C"

import (
	"runtime/debug"
	"sync"
	"unsafe"

	"swudelta/internal/diffapi"
)

func main() {}

// On a device, memory is dearer than the few per cent of time that it takes to
// collect garbage five times as often.
func init() { debug.SetGCPercent(20) }

// session is what a handle stands for. One call at a time may use it.
type session struct {
	diffapi.Session
	text *C.char // the error's, once it was asked for
}

// sessions finds a session by its handle, which is the address of a byte of C
// memory: C code must not keep Go pointers, and an unknown handle must not crash
// the host.
var sessions struct {
	sync.Mutex
	open map[unsafe.Pointer]*session
}

func find(handle unsafe.Pointer) *session {
	sessions.Lock()
	defer sessions.Unlock()
	return sessions.open[handle]
}

func (s *session) freeText() {
	C.free(unsafe.Pointer(s.text))
	s.text = nil
}

//export adu_diff_apply_create_session
func adu_diff_apply_create_session() unsafe.Pointer {
	handle := C.malloc(1)
	sessions.Lock()
	defer sessions.Unlock()
	if sessions.open == nil {
		sessions.open = make(map[unsafe.Pointer]*session)
	}
	sessions.open[handle] = new(session)
	return handle
}

//export adu_diff_apply_close_session
func adu_diff_apply_close_session(handle unsafe.Pointer) {
	s := find(handle)
	if s == nil {
		return
	}
	s.freeText()
	sessions.Lock()
	defer sessions.Unlock()
	delete(sessions.open, handle)
	C.free(handle)
}

//export adu_diff_apply
func adu_diff_apply(handle unsafe.Pointer, source, diff, target *C.char) C.int {
	s := find(handle)
	if s == nil {
		return 1
	}
	s.freeText()
	// The host may live on for months; the heap that a delta took is of no use
	// to it.
	defer debug.FreeOSMemory()
	return C.int(s.Apply(C.GoString(source), C.GoString(diff), C.GoString(target)))
}

//export adu_diff_apply_get_error_count
func adu_diff_apply_get_error_count(handle unsafe.Pointer) C.size_t {
	if s := find(handle); s != nil {
		return C.size_t(s.ErrorCount())
	}
	return 0
}

//export adu_diff_apply_get_error_text
func adu_diff_apply_get_error_text(handle unsafe.Pointer, index C.uint32_t) *C.char {
	s := find(handle)
	if s == nil {
		return nil
	}
	e := s.Error(int(index))
	if e == nil {
		return nil
	}
	if s.text == nil {
		s.text = C.CString(e.Text)
	}
	return s.text
}

//export adu_diff_apply_get_error_code
func adu_diff_apply_get_error_code(handle unsafe.Pointer, index C.uint32_t) C.int {
	if s := find(handle); s != nil {
		if e := s.Error(int(index)); e != nil {
			return C.int(e.Code)
		}
	}
	return 0
}
