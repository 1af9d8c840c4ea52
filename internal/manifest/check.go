// SPDX-License-Identifier: MIT

package manifest

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"swudelta/internal/digest"
)

// Finding is something that is wrong with a manifest.
type Finding struct {
	// Where is the place, as a path that jq understands, such as
	// .files[0].hashes.sha256; "." is the whole manifest.
	Where string
	Text  string
	// Warning says that the service takes the manifest and devices can install
	// the update, though hardly as it was meant.
	Warning bool
	// Schema says that the public JSON schema finds this fault too.
	Schema bool
}

// String returns the finding as one line.
func (f Finding) String() string { return f.level() + ": " + f.Where + ": " + f.Text }

func (f Finding) level() string {
	if f.Warning {
		return "warning"
	}
	return "error"
}

// PrintJSON writes findings as a JSON array of objects with "level" (error or
// warning), "where", "text" and "schema".
func PrintJSON(w io.Writer, findings []Finding) error {
	type line struct {
		Level  string `json:"level"`
		Where  string `json:"where"`
		Text   string `json:"text"`
		Schema bool   `json:"schema"`
	}
	list := []line{}
	for _, f := range findings {
		list = append(list, line{f.level(), f.Where, f.Text, f.Schema})
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(list)
}

// Errors returns the findings that are no warnings.
func Errors(list []Finding) []Finding {
	return slices.DeleteFunc(slices.Clone(list), func(f Finding) bool { return f.Warning })
}

type checker struct {
	findings []Finding
	version  string // of the manifest's schema: version4 or version5
}

func (c *checker) schemaf(where, format string, args ...any) {
	c.findings = append(c.findings, Finding{Where: where, Text: fmt.Sprintf(format, args...), Schema: true})
}

func (c *checker) errorf(where, format string, args ...any) {
	c.findings = append(c.findings, Finding{Where: where, Text: fmt.Sprintf(format, args...)})
}

func (c *checker) warnf(where, format string, args ...any) {
	c.findings = append(c.findings, Finding{Where: where, Text: fmt.Sprintf(format, args...), Warning: true})
}

// Check holds the manifest against the public schema of its version, 4.0 or
// 5.0, and against what the service and the device agent want beyond it.
func (d *Document) Check() []Finding {
	c := &checker{version: version5}
	if d.bom {
		c.warnf(".", "begins with a byte order mark, which JSON does not have")
	}
	if d.root.kind != object {
		c.schemaf(".", "got %s, want an object", d.root.kind)
		return c.findings
	}
	c.checkRoot(d.root)
	return c.findings
}

var (
	identity  = regexp.MustCompile(`^[a-zA-Z0-9.-]+$`)
	dotted    = regexp.MustCompile(`^\d+(?:\.\d+)+$`)
	handlerID = regexp.MustCompile(`^\S+/\S+:\d{1,5}$`)
)

// wants reports whether n has the wanted kind; a missing value has none, and
// is no fault by itself.
func (c *checker) wants(n *node, k kind, where string) bool {
	if n == nil {
		return false
	}
	if n.kind != k {
		c.schemaf(where, "got %s, want %s", n.kind, k)
		return false
	}
	return true
}

// fields checks that an object has the required members and, unless others is
// true, none but these and the optional ones.
func (c *checker) fields(n *node, where string, required, optional []string, others bool) {
	for _, key := range required {
		if n.get(key) == nil {
			c.schemaf(where, "%q is missing%s", key, otherSpelling(n, key))
		}
	}
	for _, m := range n.members {
		if !others && !slices.Contains(required, m.key) && !slices.Contains(optional, m.key) {
			c.schemaf(at(where, m.key), "unknown key")
		}
	}
}

// otherSpelling names a member that differs from key in letter case only.
func otherSpelling(n *node, key string) string {
	for _, m := range n.members {
		if m.key != key && strings.EqualFold(m.key, key) {
			return fmt.Sprintf(" (there is %q)", m.key)
		}
	}
	return ""
}

// length checks a string's length in characters.
func (c *checker) length(n *node, where string, low, high int) bool {
	if !c.wants(n, text, where) {
		return false
	}
	if got := utf8.RuneCountInString(n.text); got < low || got > high {
		c.schemaf(where, "got %d characters, want %d to %d", got, low, high)
		return false
	}
	return true
}

// count checks a number of items or members.
func (c *checker) count(got int, what, where string, low, high int) {
	if got < low || got > high {
		c.schemaf(where, "got %d %s, want %d to %d", got, what, low, high)
	}
}

var plainKey = regexp.MustCompile(`^[A-Za-z_$][A-Za-z0-9_$]*$`)

// at returns the path of a member.
func at(where, key string) string {
	if where == "." {
		where = ""
	}
	if plainKey.MatchString(key) {
		return where + "." + key
	}
	return where + "[" + string(quote(key)) + "]"
}

// nth returns the path of an item.
func nth(where string, i int) string { return fmt.Sprintf("%s[%d]", where, i) }

// misplaced are keys of broken generators at the top level, with where their
// content belongs.
var misplaced = map[string]string{
	"relatedFiles":      `belongs to the file in "files" that the deltas make`,
	"downloadHandler":   `belongs to the file in "files" that the deltas make`,
	"downloadHandlerId": `is a name of the agent's; write "downloadHandler": {"id": ...} in the file`,
	"updateType":        `is of old manifests; a step's "handler" takes its place`,
	"fileUrls":          `is added by the service`,
	"installedCriteria": `belongs to a step's "handlerProperties"`,
}

func (c *checker) checkRoot(root *node) {
	version := root.get("manifestVersion")
	if c.wants(version, text, ".manifestVersion") {
		switch version.text {
		case version4, version5:
			c.version = version.text
		default:
			c.schemaf(".manifestVersion", "got %q, want %q (or %q for updates without deltas)", version.text, version5, version4)
		}
	}
	required := []string{"updateId", "compatibility", "instructions", "manifestVersion", "createdDateTime"}
	known := append([]string{"$schema", "description", "files", "isDeployable"}, required...)
	c.fields(root, ".", required, nil, true)
	for _, m := range root.members {
		if hint, ok := misplaced[m.key]; ok {
			c.errorf(at(".", m.key), "%s", hint)
		} else if !slices.Contains(known, m.key) {
			c.warnf(at(".", m.key), "unknown key%s", knownSpelling(known, m.key))
		}
	}
	c.wants(root.get("$schema"), text, `.["$schema"]`)
	id := c.checkUpdateID(root.get("updateId"), ".updateId")
	if d := root.get("description"); d != nil {
		c.length(d, ".description", 1, 512)
	}
	if d := root.get("isDeployable"); d != nil && d.kind != boolean {
		c.errorf(".isDeployable", "got %s, want true or false", d.kind)
	}
	c.checkCompatibility(root.get("compatibility"))
	files := c.checkFiles(root.get("files"))
	c.checkInstructions(root.get("instructions"), files, id)
	if created := root.get("createdDateTime"); c.wants(created, text, ".createdDateTime") {
		c.checkTime(created.text)
	}
}

// knownSpelling names the known key that differs in letter case only.
func knownSpelling(known []string, key string) string {
	for _, k := range known {
		if strings.EqualFold(k, key) {
			return fmt.Sprintf(", want %q", k)
		}
	}
	return ""
}

func (c *checker) checkTime(s string) {
	const where = ".createdDateTime"
	if _, err := time.Parse(time.RFC3339Nano, s); err == nil {
		return
	}
	if _, err := time.Parse("2006-01-02T15:04:05", s); err == nil {
		c.warnf(where, "got %q without a time zone, want one such as Z", s)
		return
	}
	c.errorf(where, "got %q, want a time such as 2025-01-15T10:00:00Z (ISO 8601)", s)
}

func (c *checker) checkUpdateID(n *node, where string) UpdateID {
	if !c.wants(n, object, where) {
		return UpdateID{}
	}
	c.fields(n, where, []string{"provider", "name", "version"}, nil, false)
	for _, key := range []string{"provider", "name"} {
		v := n.get(key)
		if v != nil && c.length(v, at(where, key), 1, 64) && !identity.MatchString(v.text) {
			c.schemaf(at(where, key), "got %q, want letters, digits, dots and dashes only", v.text)
		}
	}
	if v := n.get("version"); c.wants(v, text, at(where, "version")) {
		c.checkVersion(v.text, at(where, "version"))
	}
	return UpdateID{n.get("provider").str(), n.get("name").str(), n.get("version").str()}
}

func (c *checker) checkVersion(s, where string) {
	if !dotted.MatchString(s) {
		c.schemaf(where, "got %q, want numbers with dots between, such as 1.2.3", s)
		return
	}
	parts := strings.Split(s, ".")
	if len(parts) > 4 {
		c.errorf(where, "got %d parts, want 2 to 4", len(parts))
	}
	for _, p := range parts {
		if n, err := strconv.ParseUint(p, 10, 64); err != nil || n > maxPart {
			c.errorf(where, "part %s is too large, want at most %d", p, maxPart)
		} else if strconv.FormatUint(n, 10) != p {
			c.warnf(where, "part %s: the service drops leading zeros", p)
		}
	}
}

// compareVersions compares dotted numbers; equal also where one is malformed.
func compareVersions(a, b string) int {
	if !dotted.MatchString(a) || !dotted.MatchString(b) {
		return 0
	}
	return slices.CompareFunc(strings.Split(a, "."), strings.Split(b, "."), func(x, y string) int {
		x, y = strings.TrimLeft(x, "0"), strings.TrimLeft(y, "0")
		if len(x) != len(y) {
			return len(x) - len(y)
		}
		return strings.Compare(x, y)
	})
}

func (c *checker) checkCompatibility(n *node) {
	const where = ".compatibility"
	if !c.wants(n, array, where) {
		return
	}
	c.count(len(n.items), "sets", where, 1, 10)
	seen := map[string]int{}
	for i, set := range n.items {
		where := nth(where, i)
		if !c.wants(set, object, where) {
			continue
		}
		c.count(len(set.members), "properties", where, 1, 5)
		var all []string
		for _, m := range set.members {
			// The schema has the rule for names in a place where it has no
			// effect.
			if n := utf8.RuneCountInString(m.key); n < 1 || n > 32 {
				c.errorf(at(where, m.key), "name of %d characters, want 1 to 32", n)
			}
			c.length(m.value, at(where, m.key), 1, 64)
			all = append(all, m.key+"\x00"+m.value.str())
		}
		slices.Sort(all)
		key := strings.Join(all, "\x00")
		if first, ok := seen[key]; ok {
			c.warnf(where, "the same as set %d", first)
		} else {
			seen[key] = i
		}
	}
}

// fileSet is what the steps need to know of the files.
type fileSet struct {
	names map[string]bool // of "files"
	used  map[string]bool
	all   map[string]string // file name, of related files too -> path
}

func (c *checker) checkFiles(n *node) *fileSet {
	set := &fileSet{map[string]bool{}, map[string]bool{}, map[string]string{}}
	const where = ".files"
	if n != nil && n.kind == object {
		c.schemaf(where, "got an object, want an array (the agent's form of a manifest is not the one to import)")
		return set
	}
	if !c.wants(n, array, where) {
		return set
	}
	c.count(len(n.items), "files", where, 0, maxFiles)
	var sum, related int64
	relatedFiles := 0
	for i, f := range n.items {
		where := nth(where, i)
		if !c.wants(f, object, where) {
			continue
		}
		sum += c.checkFile(f, where, set)
		set.names[f.get("filename").str()] = true
		for _, r := range f.get("relatedFiles").list() {
			related += sizeOf(r)
			relatedFiles++
		}
	}
	switch {
	case sum > maxFileSize:
		c.errorf(where, "%d bytes in all, want at most %d", sum, maxFileSize)
	case sum+related > maxFileSize:
		c.warnf(where, "%d bytes in all with the related files; the service may count them towards its limit of %d", sum+related, maxFileSize)
	}
	if len(n.items) <= maxFiles && len(n.items)+relatedFiles > maxFiles {
		c.warnf(where, "%d files in all with the related files; the service may count them towards its limit of %d", len(n.items)+relatedFiles, maxFiles)
	}
	return set
}

// sizeOf returns a file's size in bytes, 0 where it has no proper one.
func sizeOf(f *node) int64 {
	n := f.get("sizeInBytes")
	if n == nil || n.kind != number {
		return 0
	}
	size, err := strconv.ParseInt(n.text, 10, 64)
	if err != nil || size < 0 || size > maxFileSize {
		return 0
	}
	return size
}

// checkBase checks what related files have too.
func (c *checker) checkBase(f *node, where string, set *fileSet, optional []string) {
	c.fields(f, where, []string{"filename", "sizeInBytes", "hashes"}, optional, c.version == version5)
	if name := f.get("filename"); name != nil && c.length(name, at(where, "filename"), 1, maxName) {
		c.checkName(name.text, at(where, "filename"), set)
	}
	if size := f.get("sizeInBytes"); c.wants(size, number, at(where, "sizeInBytes")) {
		c.checkSize(size.text, at(where, "sizeInBytes"))
	}
	if h := f.get("hashes"); c.wants(h, object, at(where, "hashes")) {
		c.checkHashes(h, at(where, "hashes"))
	}
	if p := f.get("properties"); c.version == version5 && c.wants(p, object, at(where, "properties")) {
		c.checkProperties(p, at(where, "properties"))
	}
}

func (c *checker) checkName(name, where string, set *fileSet) {
	if strings.ContainsAny(name, `/\`) || name == "." || name == ".." || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7F }) {
		c.errorf(where, "%q is not a plain file name", name)
	}
	if other, ok := set.all[name]; ok {
		c.errorf(where, "%q is the name of %s too", name, other)
		return
	}
	set.all[name] = where
}

func (c *checker) checkSize(s, where string) {
	n, err := strconv.ParseFloat(s, 64)
	if err != nil && !math.IsInf(n, 0) || n < 1 || n > float64(maxFileSize) {
		c.schemaf(where, "got %s, want 1 to %d bytes", s, maxFileSize)
		return
	}
	if _, err := strconv.ParseInt(s, 10, 64); err != nil {
		c.errorf(where, "got %s, want a number of bytes in digits only", s)
	}
}

// hashSizes are the lengths in bytes of the digests that are known.
var hashSizes = map[string]int{"sha256": 32, "sha384": 48, "sha512": 64}

func (c *checker) checkHashes(n *node, where string) {
	c.fields(n, where, []string{sha256Name}, nil, true)
	if len(n.members) > 2 {
		c.schemaf(where, "got %d hashes, want at most 2", len(n.members))
	}
	for i, m := range n.members {
		where := at(where, m.key)
		if !c.wants(m.value, text, where) {
			continue
		}
		if utf8.RuneCountInString(m.key) > 10 {
			c.errorf(where, "name of an algorithm longer than 10 characters")
		}
		if i == 0 && m.key != sha256Name && n.get(sha256Name) != nil {
			c.errorf(where, "stands before sha256, so that the agent caches the file under a name that no delta refers to")
		}
		c.checkHash(m.key, m.value.text, where)
	}
}

// checkHash wants the digest of an algorithm in base64 and reports whether it
// is there.
func (c *checker) checkHash(algorithm, value, where string) bool {
	size, ok := hashSizes[strings.ToLower(algorithm)]
	if !ok {
		return true
	}
	if b, err := hex.DecodeString(value); err == nil && len(b) == size {
		c.errorf(where, "hexadecimal, want base64: %s", base64.StdEncoding.EncodeToString(b))
		return false
	}
	if b, err := base64.StdEncoding.Strict().DecodeString(value); err != nil || len(b) != size || strings.ContainsAny(value, "\r\n") {
		c.errorf(where, "got %q, want base64 of %d bytes (%d characters)", value, size, base64.StdEncoding.EncodedLen(size))
		return false
	}
	return true
}

func (c *checker) checkProperties(n *node, where string) {
	if len(n.members) > 5 {
		c.warnf(where, "got %d properties, the service documents at most 5", len(n.members))
	}
	for _, m := range n.members {
		if len(m.key) > 64 {
			c.warnf(at(where, m.key), "name of %d characters, the service documents at most 64", len(m.key))
		}
		if v := m.value.str(); len(v) > 256 {
			c.warnf(at(where, m.key), "value of %d characters, the service documents at most 256", len(v))
		}
	}
}

// checkFile returns the file's size in bytes.
func (c *checker) checkFile(f *node, where string, set *fileSet) int64 {
	c.checkBase(f, where, set, nil)
	if c.version != version5 {
		return sizeOf(f)
	}
	handler := f.get("downloadHandler")
	var id string
	if c.wants(handler, object, at(where, "downloadHandler")) {
		where := at(where, "downloadHandler")
		c.fields(handler, where, []string{"id"}, nil, true)
		c.checkHandler(handler.get("id"), at(where, "id"))
		id = handler.get("id").str()
	}
	if f.get("downloadHandlerId") != nil {
		c.errorf(at(where, "downloadHandlerId"), `is a name of the agent's; write "downloadHandler": {"id": ...}`)
	}
	related := f.get("relatedFiles")
	if !c.wants(related, array, at(where, "relatedFiles")) {
		return sizeOf(f)
	}
	c.count(len(related.items), "related files", at(where, "relatedFiles"), 0, MaxDeltas)
	switch {
	case len(related.items) == 0 && handler != nil:
		c.errorf(at(where, "relatedFiles"), "empty, which an agent does not parse; leave the key out")
	case len(related.items) > 0 && handler == nil:
		c.errorf(where, `related files, but no "downloadHandler" to use them (want {"id": %q})`, DeltaHandler)
	case len(related.items) > 0 && id != DeltaHandler && id != "":
		c.warnf(at(at(where, "downloadHandler"), "id"), "got %q, deltas are for %q", id, DeltaHandler)
	}
	for i, r := range related.items {
		where := nth(at(where, "relatedFiles"), i)
		if !c.wants(r, object, where) {
			continue
		}
		c.checkBase(r, where, set, nil)
		if id == DeltaHandler || id == "" {
			c.checkDelta(f, r, where)
		}
	}
	return sizeOf(f)
}

// checkDelta checks a related file r of file f as a delta. Several may start from one
// source: devices take the first that they can read.
func (c *checker) checkDelta(f, r *node, where string) {
	size, full := sizeOf(r), sizeOf(f)
	own, target := f.get("hashes").get(sha256Name).str(), r.get("hashes").get(sha256Name).str()
	if isSWU(r) && !isSWU(f) {
		c.errorf(where, "%q is no delta: it and %q seem to have changed places", r.get("filename").str(), f.get("filename").str())
	} else if size > 0 && full > 0 && size >= full {
		c.errorf(where, "a delta of %d bytes, but the file that it makes has %d", size, full)
	}
	if own != "" && own == target {
		c.errorf(where, "has the hash of the file that it makes")
	}
	p := r.get("properties")
	if p == nil {
		c.errorf(where, `no "properties": the agent cannot parse the file then, and the step fails`)
		return
	}
	where = at(where, "properties")
	if p.kind != object {
		return
	}
	algorithm, source := p.get(SourceAlgorithm), p.get(SourceHash)
	for _, key := range []string{SourceAlgorithm, SourceHash} {
		switch v := p.get(key); {
		case v == nil:
			c.errorf(where, "%q is missing%s", key, otherSpelling(p, key))
		case v.kind != text || v.text == "":
			c.errorf(at(where, key), "got %s, want text", describe(v))
		}
	}
	if a := algorithm.str(); a != "" && a != sha256Name {
		c.errorf(at(where, SourceAlgorithm), "got %q, want %q, letter for letter", a, sha256Name)
	}
	s := source.str()
	if s == "" || !c.checkHash(sha256Name, s, at(where, SourceHash)) {
		return
	}
	if s == own {
		c.errorf(at(where, SourceHash), "the delta starts from the file that it makes")
	}
}

func describe(n *node) string {
	if n.kind == text {
		return "nothing"
	}
	return n.kind.String()
}

// isSWU reports whether a file's name says that it is an update image.
func isSWU(f *node) bool {
	return strings.HasSuffix(strings.ToLower(f.get("filename").str()), ".swu")
}

func (c *checker) checkHandler(n *node, where string) {
	if n != nil && c.length(n, where, 5, 32) && !handlerID.MatchString(n.text) {
		c.schemaf(where, "got %q, want VENDOR/NAME:VERSION, such as %s", n.text, SWUpdateV2)
	}
}

func (c *checker) checkInstructions(n *node, files *fileSet, id UpdateID) {
	where := ".instructions"
	if !c.wants(n, object, where) {
		return
	}
	c.fields(n, where, []string{"steps"}, nil, false)
	steps := n.get("steps")
	where = ".instructions.steps"
	if !c.wants(steps, array, where) {
		return
	}
	c.count(len(steps.items), "steps", where, 1, 10)
	for i, s := range steps.items {
		where := nth(where, i)
		if !c.wants(s, object, where) {
			continue
		}
		if s.get("type").str() == "reference" {
			c.checkReferenceStep(s, where, id)
		} else {
			c.checkInlineStep(s, where, files)
		}
	}
	for _, name := range slices.Sorted(keys(files.names)) {
		if !files.used[name] && name != "" {
			c.warnf(strings.TrimSuffix(files.all[name], ".filename"), "no step uses %q", name)
		}
	}
}

func keys(m map[string]bool) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func (c *checker) checkReferenceStep(s *node, where string, id UpdateID) {
	c.fields(s, where, []string{"type", "updateId"}, []string{"description"}, false)
	if d := s.get("description"); d != nil {
		c.length(d, at(where, "description"), 1, 64)
	}
	if other := c.checkUpdateID(s.get("updateId"), at(where, "updateId")); other == id && id != (UpdateID{}) {
		c.errorf(at(where, "updateId"), "the update refers to itself")
	}
}

func (c *checker) checkInlineStep(s *node, where string, files *fileSet) {
	c.fields(s, where, []string{"handler", "files"}, []string{"type", "description", "handlerProperties"}, false)
	if t := s.get("type"); t != nil && t.str() != "inline" {
		c.schemaf(at(where, "type"), `got %s, want "inline" or "reference"`, t.json())
	}
	if d := s.get("description"); d != nil {
		c.length(d, at(where, "description"), 1, 64)
	}
	c.checkHandler(s.get("handler"), at(where, "handler"))
	if p := s.get("handlerProperties"); p != nil {
		c.wants(p, object, at(where, "handlerProperties"))
	}
	list := s.get("files")
	if c.wants(list, array, at(where, "files")) {
		c.count(len(list.items), "files", at(where, "files"), 1, 10)
		seen := map[string]bool{}
		for i, f := range list.items {
			where := nth(at(where, "files"), i)
			if !c.length(f, where, 1, maxName) {
				continue
			}
			if !files.names[f.text] {
				c.errorf(where, `%q is not among the "files" of the update`, f.text)
			}
			if seen[f.text] {
				c.errorf(where, "%q for the second time", f.text)
			}
			seen[f.text], files.used[f.text] = true, true
		}
	}
	c.checkHandlerProperties(s, where)
}

// checkHandlerProperties knows what the agent's own handlers ask for.
func (c *checker) checkHandlerProperties(s *node, where string) {
	handler, p := s.get("handler").str(), s.get("handlerProperties")
	count, pwhere := len(s.get("files").list()), at(where, "handlerProperties")
	named := func(key string, level func(where, format string, args ...any)) {
		v := p.get(key)
		switch {
		case v == nil:
			level(pwhere, "%q is missing%s", key, otherSpellingIn(p, key))
		case v.str() == "":
			c.errorf(at(pwhere, key), "got %s, want text", describe(v))
		case strings.HasSuffix(key, "FileName") && !contains(s.get("files"), v.text):
			c.errorf(at(pwhere, key), `%q is not among the step's "files"`, v.text)
		}
	}
	switch handler {
	case DeltaHandler:
		c.errorf(at(where, "handler"), `%q makes files; it belongs to a file's "downloadHandler", not to a step`, handler)
	case SWUpdateV1:
		c.warnf(at(where, "handler"), "agents from 1.1 on do not have %s, and refuse the update; want %s", handler, SWUpdateV2)
		if count != 1 {
			c.errorf(at(where, "files"), "got %d files, %s takes exactly one", count, handler)
		}
		if p.get("scriptFileName") != nil {
			c.errorf(at(pwhere, "scriptFileName"), "%s runs no script; want %s", handler, SWUpdateV2)
		}
		named("installedCriteria", c.errorf)
	case SWUpdateV2:
		if count < 2 {
			c.errorf(at(where, "files"), "got %d files, %s takes the SWU and a script", count, handler)
		}
		named("scriptFileName", c.errorf)
		named("swuFileName", c.errorf)
		named("installedCriteria", c.warnf)
		if v := p.get("apiVersion"); v != nil && !slices.Contains([]string{"", "1.0", "1.1"}, v.str()) {
			c.warnf(at(pwhere, "apiVersion"), `got %s, known are "1.0" and "1.1"`, v.json())
		}
		if script := p.get("scriptFileName").str(); script != "" && script == p.get("swuFileName").str() {
			c.errorf(at(pwhere, "scriptFileName"), "%q is both the script and the SWU", script)
		}
	}
}

func otherSpellingIn(p *node, key string) string {
	if p == nil {
		return ""
	}
	return otherSpelling(p, key)
}

func contains(list *node, name string) bool {
	return slices.ContainsFunc(list.list(), func(n *node) bool { return n.str() == name })
}

// CheckFiles holds the files themselves against what the manifest says of them.
// load finds a file by the name that the manifest has for it; an error for
// which missing reports true is a finding, any other ends the check.
func (d *Document) CheckFiles(load func(name string) (Payload, error), missing func(error) bool) ([]Finding, error) {
	c := &checker{version: version5}
	// one returns the file, and whether it is there and what the manifest says.
	one := func(f *node, where string) (Payload, bool, error) {
		name := f.get("filename").str()
		if name == "" || strings.ContainsAny(name, `/\`) || name == ".." || name == "." {
			return Payload{}, false, nil // Check has said so
		}
		p, err := load(name)
		if err != nil {
			if missing(err) {
				c.errorf(where, "%v", err)
				err = nil
			}
			return p, false, err
		}
		same := true
		if size := sizeOf(f); size != 0 && size != p.Size {
			c.errorf(at(where, "sizeInBytes"), "got %d, but %q has %d bytes", size, name, p.Size)
			same = false
		}
		h := f.get("hashes").get(sha256Name).str()
		if want, err := digest.Parse(h); err == nil && want != p.SHA256 {
			c.errorf(at(at(where, "hashes"), sha256Name), "got %s, but that of %q is %s", h, name, p.SHA256.Base64())
			same = false
		}
		return p, same, nil
	}
	for i, f := range d.root.get("files").list() {
		where := nth(".files", i)
		target, targetOK, err := one(f, where)
		if err != nil {
			return nil, err
		}
		if target.Delta != nil {
			c.errorf(where, "%q is a delta: it and the file that it makes have changed places", target.Name)
			targetOK = false
		}
		for j, r := range f.get("relatedFiles").list() {
			where := nth(at(where, "relatedFiles"), j)
			p, ok, err := one(r, where)
			switch {
			case err != nil:
				return nil, err
			case !ok:
			case p.Delta == nil:
				c.errorf(where, "%q is no delta", p.Name)
			default:
				if s := r.get("properties").get(SourceHash).str(); s != "" && s != p.Delta.Source.Base64() {
					c.errorf(at(at(where, "properties"), SourceHash), "got %s, but %q starts from %s", s, p.Name, p.Delta.Source.Base64())
				}
				if targetOK && p.Delta.Target != target.SHA256 {
					c.errorf(where, "%q makes a file with sha256 %s, not %q", p.Name, p.Delta.Target, target.Name)
				}
			}
		}
	}
	return c.findings, nil
}

// CheckSource holds the manifest against the one of an earlier update that its
// deltas start from: whether devices have that update in their cache under a
// name that this update's deltas look for.
func (d *Document) CheckSource(source *Document) []Finding {
	c := &checker{version: version5}
	id, old := d.ID(), source.ID()
	label := fmt.Sprintf("the source %s %s %s", old.Provider, old.Name, old.Version)
	if id.Provider != old.Provider {
		c.errorf(".updateId.provider", "got %q, %s has another; an agent keeps each provider's updates apart", id.Provider, label)
	}
	if id.Name == old.Name && compareVersions(id.Version, old.Version) <= 0 {
		c.warnf(".updateId.version", "got %s, which is not after %s", id.Version, label)
	}
	starts := false
	targets := source.Targets()
	for _, s := range d.Sources() {
		starts = starts || slices.Contains(targets, s)
	}
	switch {
	case len(targets) == 0:
		c.errorf(".", `devices do not cache %s, for no file of it has a "downloadHandler"`, label)
	case !starts:
		c.errorf(".", "no delta starts from %s", label)
	}
	for _, a := range criteria(d) {
		if slices.Contains(criteria(source), a) {
			c.errorf(".instructions.steps", "installedCriteria %q is that of %s too: devices take the update for installed", a, label)
		}
	}
	return c.findings
}

// criteria returns the installedCriteria of the steps.
func criteria(d *Document) []string {
	var list []string
	for _, s := range d.root.get("instructions").get("steps").list() {
		if v := s.get("handlerProperties").get("installedCriteria").str(); v != "" {
			list = append(list, v)
		}
	}
	return list
}

// ValidIdentity reports whether s can be a provider or a name.
func ValidIdentity(s string) bool { return len(s) <= 64 && identity.MatchString(s) }
