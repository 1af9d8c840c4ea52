// SPDX-License-Identifier: MIT

package result

import (
	"fmt"
	"strings"
	"syscall"
)

// HRESULTs are what Delivery Optimization returns and logs: bit 31 says
// failure, bit 30 marks errors of the system below, bits 16 to 26 are the
// facility and the low 16 bits the code. Sources: hresult_helpers.h and
// do_error.h of microsoft/do-client. An agent reports one with its four highest
// bits replaced by 0xD.
const (
	hresultFacilityMask = 0x7FF
	hresultCodeMask     = 0xFFFF

	hresultWin32        = 0x007
	hresultHTTP         = 0x019
	hresultOptimization = 0x0D0

	// systemError begins the HRESULTs in which Delivery Optimization packs
	// results of libcurl and errno values.
	systemError = 0xC0D0
	// leastOwn is the least code of an error that Delivery Optimization has a
	// name for.
	leastOwn = 0x1000
)

// hresultFacilities are the facilities that occur on devices.
var hresultFacilities = map[uint32]Part{
	0x000:               {Name: "FACILITY_NULL", Meaning: "errors that any component has"},
	hresultWin32:        {Name: "FACILITY_WIN32", Meaning: "a Windows error number"},
	0x00C:               {Name: "FACILITY_INTERNET", Meaning: "URLs"},
	hresultHTTP:         {Name: "FACILITY_HTTP", Meaning: "an HTTP status"},
	hresultOptimization: {Name: "FACILITY_DELIVERY_OPTIMIZATION", Meaning: "Delivery Optimization, the download service"},
	0x375:               {Name: "FACILITY_WEB", Meaning: "JSON and web services"},
}

// curlErrors are the results of libcurl that downloads end with, which are also
// the exit statuses of curl(1).
var curlErrors = map[uint32]string{
	1:  "protocol not supported",
	3:  "malformed URL",
	5:  "the proxy's name was not resolved",
	6:  "the server's name was not resolved",
	7:  "no connection to the server",
	16: "an error of HTTP/2",
	18: "only a part of the file came",
	22: "an HTTP status of 400 or above",
	23: "writing failed: no space left, or no permission",
	27: "out of memory",
	28: "timed out",
	33: "the server does not support ranges",
	35: "the TLS handshake failed",
	47: "too many redirections",
	52: "the server answered nothing",
	55: "sending failed",
	56: "receiving failed",
	58: "a fault of the client's certificate",
	60: "the server's certificate is not trusted",
	77: "the file of trusted certificates cannot be read",
	92: "an error of HTTP/2",
}

// isHRESULT reports whether v, which has no meaning as an extendedResultCode,
// has the form of an HRESULT.
func (t *tables) isHRESULT(v uint32) bool {
	return v>>16 == systemError || v>>28 == 8 && t.component(v).Name == ""
}

// hresult reads v as an HRESULT; ok tells whether its facility or it itself is
// known.
func (t *tables) hresult(v uint32) (r Reading, ok bool) {
	r = numbers(KindHRESULT, v)
	facility, code := v>>16&hresultFacilityMask, v&hresultCodeMask
	part, ok := hresultFacilities[facility]
	part.Value = facility
	r.Facility, r.Code = &part, &code
	if facility == hresultOptimization || facility == hresultHTTP {
		r.Advice = downloadAdvice
	}
	e, named := t.hresults[v]
	switch {
	case named:
		r.Names = append(r.Names, e.Name)
		r.describe(e.Text, e.Advice)
	case v>>16 == systemError:
		r.describe(systemErrorText(code), "")
	case facility == hresultHTTP:
		r.describe(fmt.Sprintf("HTTP status %d", code), "")
	case facility == hresultWin32:
		r.describe(fmt.Sprintf("Windows error %d", code), "")
	case facility == hresultOptimization:
		r.describe(fmt.Sprintf("error 0x%04X of Delivery Optimization", code), "")
	default:
		ok = false
	}
	return r, ok
}

// systemErrorText tells what a result of libcurl or an errno value means: which
// of them it is was lost.
func systemErrorText(code uint32) string {
	var can []string
	if text := curlErrors[code]; text != "" {
		can = append(can, fmt.Sprintf("error %d of libcurl (%s)", code, text))
	}
	if text := syscall.Errno(code).Error(); !strings.HasPrefix(text, "errno ") {
		can = append(can, fmt.Sprintf("errno %d (%s)", code, text))
	}
	if len(can) == 0 {
		return fmt.Sprintf("error %d of the system or of libcurl", code)
	}
	return strings.Join(can, " or ")
}

const downloadAdvice = "Try the file's URL from the device; check that deliveryoptimization-agent runs, and look at its log."

// optimization reads the low 28 bits of an HRESULT of Delivery Optimization in
// an extendedResultCode. The lost bits are known from the rest: codes below
// leastOwn are errors of the system. ok is as for hresult.
func (t *tables) optimization(v uint32, r *Reading) (ok bool) {
	v = 8<<28 | v&(1<<28-1)
	if v>>16&hresultFacilityMask == hresultOptimization && v&hresultCodeMask < leastOwn {
		v |= 1 << 30
	}
	h, ok := t.hresult(v)
	r.Names = append(r.Names, h.Names...)
	r.Meaning = fmt.Sprintf("HRESULT %s of Delivery Optimization", h.Hex)
	if ok {
		r.Meaning += ": " + h.Meaning
	}
	r.Advice = downloadAdvice
	if h.Advice != "" {
		r.Advice = h.Advice
	}
	return ok
}
