// SPDX-License-Identifier: MIT

package result

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// summary is a reading in a few words.
func summary(d Decoded) (out []string) {
	for _, r := range d.Readings {
		s := fmt.Sprintf("%s %s %s", map[string]string{KindResult: "rc", KindExtended: "erc", KindHRESULT: "hr"}[r.Kind], r.Notation[:3], r.Hex)
		out = append(out, strings.Join(append([]string{s}, r.Names...), " "))
	}
	return out
}

func TestDecode(t *testing.T) {
	const miss = "0x90800008 ADUC_ERC_DDH_SOURCE_UPDATE_CACHE_MISS"
	for _, c := range []struct {
		in   string
		want []string
	}{
		// One code in every notation.
		{"-1870659576", []string{"erc dec " + miss}},
		{"2424307720", []string{"erc dec " + miss}},
		{"0x90800008", []string{"erc hex " + miss}},
		{"0X90800008", []string{"erc hex " + miss}},
		{"0xffffffff90800008", []string{"erc hex " + miss}},
		{"90800008", []string{"erc hex " + miss}}, // the decimal number means nothing
		{`"90800008"`, []string{"erc hex " + miss}},
		// The service's lists.
		{"00000000,90800008", []string{"erc hex 0x00000000", "erc hex " + miss}},
		{`["00000000, 30100007"]`, []string{"erc hex 0x00000000", "erc hex 0x30100007 ADUC_ERC_SWUPDATE_HANDLER_MISSING_SCRIPT_FILE_NAME"}},
		{"12345678,90800008", []string{"erc hex 0x12345678", "erc hex " + miss}},
		{"700,-1870659576", []string{"rc dec 0x000002BC ADUC_Result_Apply_Success", "erc dec " + miss}},
		{"00000012", []string{"erc hex 0x00000012"}},
		// Small numbers.
		{"700", []string{"rc dec 0x000002BC ADUC_Result_Apply_Success"}},
		{"0x2BC", []string{"erc hex 0x000002BC"}},
		{"0", []string{"rc dec 0x00000000 ADUC_Result_Failure", "erc dec 0x00000000"}},
		{"1", []string{"rc dec 0x00000001 ADUC_Result_Success", "erc dec 0x00000001 ADUC_ERC_NOTPERMITTED"}},
		{"-1", []string{"rc dec 0xFFFFFFFF ADUC_Result_Failure_Cancelled"}},
		{"12", []string{"erc dec 0x0000000C ADUC_ERC_NOMEM"}},
		{"28", []string{"erc dec 0x0000001C"}},
		{"521", []string{"rc dec 0x00000209 ADUC_Result_Download_Handler_RequiredFullDownload"}},
		// Eight digits that mean nothing either way.
		{"12345678", []string{"erc hex 0x12345678", "erc dec 0x00BC614E"}},
		// Codes that were asked about in public.
		{"806355203", []string{"erc dec 0x30100103 ADUC_ERC_SWUPDATE_HANDLER_DOWNLOAD_FAILURE_WRONG_FILECOUNT"}},
		{"0x30100007", []string{"erc hex 0x30100007 ADUC_ERC_SWUPDATE_HANDLER_MISSING_SCRIPT_FILE_NAME"}},
		{"810549253", []string{"erc dec 0x30500005 ADUC_ERC_SCRIPT_HANDLER_MISSING_SCRIPTFILENAME_PROPERTY"}},
		{"-2143289331", []string{"erc dec 0x8040000D ADUC_ERC_UTILITIES_WORKFLOW_UTIL_COPY_UPDATE_ACTION_COPY_HANDLER_PROPERTIES_FAILED"}},
		// The delta processor's, also where upstream uses a number twice.
		{"0x90A07534", []string{"erc hex 0x90A07534 diff_archive_item_missing_recipe"}},
		{"-1868532423", []string{"erc dec 0x90A07539 diff_verify_hash_failure"}},
		{"90A04E8E", []string{"erc hex 0x90A04E8E io_zlib_writer_deflate_failed io_zlib_writer_inflateEnd_failed"}},
		{"90A00002", []string{"erc hex 0x90A00002"}},
		// HRESULTs, which Delivery Optimization's log has, and the codes that agents
		// make of them.
		{"-2133843966", []string{"hr dec 0x80D02002 DO_E_DOWNLOAD_NO_PROGRESS"}},
		{"0x80D01001", []string{"hr hex 0x80D01001 DO_E_NO_SERVICE"}},
		{"80D02013", []string{"hr hex 0x80D02013 DO_E_INVALID_STATE"}},
		{"-2147024809", []string{"hr dec 0x80070057 E_INVALIDARG"}},
		{"-1060110280", []string{"hr dec 0xC0D00038"}},
		{"80190194", []string{"hr hex 0x80190194 HTTP_E_STATUS_NOT_FOUND"}},
		{"0x80190195", []string{"hr hex 0x80190195"}},
		{"0xD0190194", []string{"erc hex 0xD0190194 HTTP_E_STATUS_NOT_FOUND"}},
		{"0x80300001", []string{"erc hex 0x80300001 ADUC_ERC_UTILITIES_UPDATE_DATA_PARSER_MANIFEST_VALIDATION_FAILED"}},
		{"0xC0000005", []string{"erc hex 0xC0000005"}},
		// Numbers that were extended to 64 bits.
		{"FFFFFFFF90800008", []string{"erc hex " + miss}},
		{"0000000090800008", []string{"erc hex " + miss}},
		{"ffffffff e0000083", []string{"erc hex 0xE0000083"}},
		{"0xFFFFFFFF 90800008", []string{"erc hex " + miss}},
		{"FFFFFFFF,90800008", []string{"erc hex 0xFFFFFFFF", "erc hex " + miss}},
		{"FFFFFFFF 10800008", []string{"erc hex 0xFFFFFFFF", "erc hex 0x10800008"}},
		{"18446744071838892040", []string{"erc dec " + miss}},
		// Decimals that lost their sign.
		{"1870659576", []string{"erc dec " + miss}},
		{"1868532423", []string{"erc dec 0x90A07539 diff_verify_hash_failure"}},
		{"2133843966", []string{"hr dec 0x80D02002 DO_E_DOWNLOAD_NO_PROGRESS"}},
		{"803667564", []string{"erc dec 0xD0190194 HTTP_E_STATUS_NOT_FOUND"}},
		{"806355203,1870659576", []string{"erc dec 0x30100103 ADUC_ERC_SWUPDATE_HANDLER_DOWNLOAD_FAILURE_WRONG_FILECOUNT", "erc dec " + miss}},
		// The ends of the range.
		{"-2147483648", []string{"hr dec 0x80000000"}},
		{"4294967295", []string{"rc dec 0xFFFFFFFF ADUC_Result_Failure_Cancelled"}},
		{"0xFFFFFFFE", []string{"erc hex 0xFFFFFFFE"}},
	} {
		list, err := Decode(c.in)
		var got []string
		for _, d := range list {
			got = append(got, summary(d)...)
		}
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q, %v, want %q", c.in, got, err, c.want)
		}
	}
	for _, in := range []string{"", ",", "x", "bad", "0x", "0xg", "-", "--5", "1.5", "4294967296", "-2147483649", "0x100000000", "0xFFFFFFFF7FFFFFFF", "FFFFFFFF7FFFFFFF", "18446744071562067967",
		"0x0000000100000000", "9080000890800008",
		"99999999999999999999999", "908000A", "9080000G", "1,x"} {
		if got, err := Decode(in); err == nil {
			t.Errorf("%q: got %v", in, got)
		}
	}
}

func TestMeanings(t *testing.T) {
	for in, want := range map[string]string{
		"0x30101001": "the program that installs the SWU ended with exit status 1",
		"0x3050107F": "the script ended with exit status 127 (not found)",
		"0x30501089": "the script ended with exit status 137 (killed by signal 9, killed)",
		"0x40101002": "the helper of Delivery Optimization ended with exit status 2",
		"0xD0190194": "HRESULT 0x80190194 of Delivery Optimization: HTTP status 404",
		"0xD0D02002": "HRESULT 0x80D02002 of Delivery Optimization: the download made no progress for too long",
		"0xD0D03805": "HRESULT 0x80D03805 of Delivery Optimization: paused, because the network is gone",
		"0xD0D02999": "HRESULT 0x80D02999 of Delivery Optimization: error 0x2999 of Delivery Optimization",
		"0xD0D00038": "HRESULT 0xC0D00038 of Delivery Optimization: error 56 of libcurl (receiving failed) or errno 56 (invalid request code)",
		"0xD1230007": "HRESULT 0x81230007 of Delivery Optimization",
		"0x801901F7": "HTTP status 503",
		"0x80070003": "Windows error 3",
		"0xC0D0001C": "error 28 of libcurl (timed out) or errno 28 (no space left on device)",
		"0xC0D0FFFF": "error 65535 of the system or of libcurl",
		"0x40301017": "curl ended with exit status 23: writing failed: no space left, or no permission",
		"0x40301063": "curl ended with exit status 99",
		"0x0000001C": "no space left on device",
		"0xE000001C": "no space left on device (old agents reported errno values here)",
		"0x32000003": "when the agent set up the extension: not found or not registered",
		"0x70000020": "a number reserved for errors that extensions have in common",
		"0x90A0FFFF": "error 65535 of the delta processor",
		"0x00000C96": "",
		"0x80F00001": "",
	} {
		list, err := Decode(in)
		if err != nil || len(list) != 1 || len(list[0].Readings) != 1 || list[0].Readings[0].Meaning != want {
			t.Errorf("%s: got %+v, %v, want %q", in, list, err, want)
		}
	}
}

// TestLostSign checks that a guess says what it is, and is made only where the
// number means nothing as it stands.
func TestLostSign(t *testing.T) {
	for in, want := range map[string]string{
		"1870659576":  "read as -1870659576: without the sign it means nothing",
		"806355203":   "",
		"1":           "",
		"+1870659576": "",
		"12345678":    "", // means nothing with the sign either
	} {
		list, err := Decode(in)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range list[0].Readings {
			if r.Note != want {
				t.Errorf("%s: got note %q, want %q", in, r.Note, want)
			}
		}
	}
}

// TestHRESULT checks what is printed of one: nothing of the agent's facilities.
func TestHRESULT(t *testing.T) {
	list, err := Decode("-2147024809")
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := Print(&b, list); err != nil {
		t.Fatal(err)
	}
	const want = `-2147024809: HRESULT 0x80070057 (signed -2147024809, unsigned 2147942487)
  name       E_INVALIDARG
  facility   0x7 FACILITY_WIN32: a Windows error number
  code       87 (0x0057)
  meaning    invalid argument
`
	if b.String() != want {
		t.Errorf("got\n%swant\n%s", b.String(), want)
	}
}

// TestTables checks that the tables hang together, whoever edits them.
func TestTables(t *testing.T) {
	tab := load()
	if len(tab.facilities) != 16 || len(tab.extended) != 289 || len(tab.results) != 44 {
		t.Fatalf("got %d facilities, %d and %d codes", len(tab.facilities), len(tab.extended), len(tab.results))
	}
	for i, f := range tab.facilities {
		if f.Value != uint32(i) || f.Name == "" || f.Text == "" {
			t.Errorf("facility %d: %+v", i, f)
		}
	}
	style := func(where, text, advice string) {
		if strings.HasSuffix(text, ".") || strings.HasPrefix(text, " ") || advice != "" && !strings.HasSuffix(advice, ".") && !strings.HasSuffix(advice, "?") {
			t.Errorf("%s: text %q, advice %q", where, text, advice)
		}
	}
	seen := map[string]bool{}
	for v, e := range tab.extended {
		r, ok := tab.extendedCode(v)
		if !ok || len(r.Names) != 1 || r.Component.Name == "" {
			t.Errorf("%s: %+v", r.Hex, r)
		}
		if seen[e.Name] && e.Name != "ADUC_ERC_APT_HANDLER_PACKAGE_CANCEL_FAILURE" { // changed its number in 1.1
			t.Errorf("%s occurs twice", e.Name)
		}
		seen[e.Name] = true
		style(e.Name, e.Text, e.Advice)
	}
	for v, e := range tab.hresults {
		r, ok := tab.hresult(v)
		if !ok && r.Facility.Name == "" || !tab.isHRESULT(v) || len(r.Names) != 1 || e.Text == "" {
			t.Errorf("%s: %+v", r.Hex, r)
		}
		style(e.Name, e.Text, e.Advice)
	}
	for v, e := range tab.results {
		if e.Name == "" || e.Text == "" || v < -1 || v > 1200 {
			t.Errorf("%d: %+v", v, e)
		}
		style(e.Name, e.Text, e.Advice)
	}
	n := 0
	for v, list := range tab.processor {
		for _, e := range list {
			n++
			if v > 0xFFFF || e.Text == "" || !regexp.MustCompile(`^[a-zA-Z0-9_]+$`).MatchString(e.Name) {
				t.Errorf("%d: %+v", v, e)
			}
			style(e.Name, e.Text, e.Advice)
		}
	}
	if n != 142 {
		t.Errorf("got %d codes of the delta processor", n)
	}
}

func TestPrint(t *testing.T) {
	list, err := Decode("12345678,1")
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := Print(&b, list); err != nil {
		t.Fatal(err)
	}
	const want = `12345678 as hexadecimal: extendedResultCode 0x12345678 (signed 305419896, unsigned 305419896)
  name       not known
  facility   0x1 ADUC_FACILITY_LOWERLAYER: the agent's lower layer: carrying out what the cloud asked for
  component  0x23
  code       284280 (0x45678)

12345678 as decimal: extendedResultCode 0x00BC614E (signed 12345678, unsigned 12345678)
  name       not known
  facility   0x0 ADUC_FACILITY_UNKNOWN: errors without a known source: errno values and a few of the agent's own
  component  0x0B
  code       811342 (0xC614E)

1: resultCode 1
  name       ADUC_Result_Success
  outcome    success
  meaning    done

1: extendedResultCode 0x00000001 (signed 1, unsigned 1)
  name       ADUC_ERC_NOTPERMITTED
  facility   0x0 ADUC_FACILITY_UNKNOWN: errors without a known source: errno values and a few of the agent's own
  component  0x00 ERRNO: errno of a system call
  code       1 (0x00001)
  meaning    operation not permitted (EPERM)
  advice     Look at the device's log for the file or call that failed just before.
`
	if b.String() != want {
		t.Errorf("got\n%s", b.String())
	}
	b.Reset()
	if err := PrintJSON(&b, list); err != nil {
		t.Fatal(err)
	}
	var back []Decoded
	if err := json.Unmarshal(b.Bytes(), &back); err != nil || fmt.Sprint(summary(back[1])) != fmt.Sprint(summary(list[1])) {
		t.Errorf("got %v, %v", back, err)
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{"-1870659576", "00000000,90800008", "0x90A07534", `["1", 700]`, "12345678", "0090800008", "1870659576", "-2133843966", "FFFFFFFF E0000083"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		list, err := Decode(s)
		if err != nil {
			return
		}
		for _, d := range list {
			if len(d.Readings) == 0 {
				t.Fatalf("%q: no reading", d.Input)
			}
			for _, r := range d.Readings {
				// Each form of the number is the same number. The sign keeps eight
				// decimal digits from being taken for hexadecimal ones.
				again, err := Decode(fmt.Sprintf("%+d,+%d,%s", r.Signed, r.Unsigned, r.Hex))
				if err != nil {
					t.Fatal(err)
				}
				for _, a := range again {
					if !slices.ContainsFunc(a.Readings, func(b Reading) bool { return b.Unsigned == r.Unsigned }) {
						t.Fatalf("%q: %+v, but %q is %+v", d.Input, r, a.Input, a.Readings)
					}
				}
			}
		}
		if err := Print(&bytes.Buffer{}, list); err != nil {
			t.Fatal(err)
		}
	})
}
