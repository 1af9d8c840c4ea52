// SPDX-License-Identifier: MIT

package manifest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"swudelta/internal/digest"
	"swudelta/internal/fault"
)

// Payload is a file of an update.
type Payload struct {
	Path   string // where it lies
	Name   string // under which it is uploaded
	Size   int64  // bytes
	SHA256 digest.SHA256
	Delta  *Delta // what its header says, if it is a delta
}

// Delta is what a delta's header says. Deltas of one form are read by the same devices.
type Delta struct {
	Source, Target digest.SHA256
	Form           string
}

// Update describes an update of one SWU. Its JSON form is what --config of
// adu-manifest reads.
type Update struct {
	Provider          string            `json:"provider"`
	Name              string            `json:"name"`
	Version           string            `json:"version"` // 2 to 4 numbers with dots between
	Description       string            `json:"description"`
	IsDeployable      *bool             `json:"isDeployable"`      // default: not said, which means true
	Compatibility     []Object          `json:"compatibility"`     // sets of device properties
	InstalledCriteria string            `json:"installedCriteria"` // default: Version
	Handler           string            `json:"handler"`           // default: SWUpdateV2
	HandlerProperties Object            `json:"handlerProperties"` // besides those that follow from the rest
	Script            string            `json:"script"`            // path
	Deltas            []string          `json:"deltas"`            // paths
	Target            string            `json:"target"`            // path
	Seed              bool              `json:"seed"`              // have agents cache the update although it has no deltas
	FileProperties    map[string]Object `json:"fileProperties"`    // by file name
	// Steps, if any, are the update's steps in place of the one that installs
	// Target with Handler. Their Files are paths. They need no Target: an update
	// may install something else, or refer to other updates alone.
	Steps []Step `json:"steps"`
}

// A DescriptionError is a fault of an Update, not of the files that it names.
type DescriptionError struct{ msg string }

func (e *DescriptionError) Error() string { return e.msg }

func badf(format string, args ...any) error {
	return &DescriptionError{fmt.Sprintf(format, args...)}
}

// ReadUpdate reads an Update as JSON. Relative paths in it start from dir, and
// keys that are not known are refused.
func ReadUpdate(r io.Reader, dir string) (*Update, error) {
	b, err := ReadAll(r)
	if err != nil {
		return nil, err
	}
	if _, err := parseJSON(b); err != nil { // finds duplicate keys
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(bytes.TrimPrefix(b, []byte("\uFEFF"))))
	dec.DisallowUnknownFields()
	u := new(Update)
	if err := dec.Decode(u); err != nil {
		return nil, fault.Data(err)
	}
	paths := []*string{&u.Target, &u.Script}
	for i := range u.Deltas {
		paths = append(paths, &u.Deltas[i])
	}
	for _, s := range u.Steps {
		for i := range s.Files {
			paths = append(paths, &s.Files[i])
		}
	}
	for _, p := range paths {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(dir, *p)
		}
	}
	return u, nil
}

// ParseCompatibility reads a set of device properties, KEY=VALUE,KEY=VALUE ...
func ParseCompatibility(s string) (Object, error) {
	var o Object
	for _, pair := range strings.Split(s, ",") {
		m, err := ParseProperty(pair)
		if err != nil {
			return nil, err
		}
		if o.Has(m.Key) {
			return nil, fmt.Errorf("%q: key %q occurs twice", s, m.Key)
		}
		o = append(o, m)
	}
	return o, nil
}

// ParseProperty reads KEY=VALUE.
func ParseProperty(s string) (Member, error) {
	key, value, ok := strings.Cut(s, "=")
	if !ok || key == "" || value == "" {
		return Member{}, fmt.Errorf("%q: want KEY=VALUE", s)
	}
	return Property(key, value), nil
}

// builder gathers the files of an update.
type builder struct {
	load     func(path string) (Payload, error)
	byPath   map[string]Payload
	payloads []Payload
}

// file loads a file once and makes sure that its name is its own.
func (b *builder) file(path string) (Payload, error) {
	if p, ok := b.byPath[path]; ok {
		return p, nil
	}
	p, err := b.load(path)
	if err != nil {
		return p, err
	}
	if other := slices.IndexFunc(b.payloads, func(o Payload) bool { return o.Name == p.Name }); other >= 0 {
		return p, badf("%q and %q: one update cannot have two files named %q", b.payloads[other].Path, path, p.Name)
	}
	if p.Size < 1 || p.Size > maxFileSize {
		return p, fault.Dataf("%s: got %d bytes, want 1 to %d", path, p.Size, maxFileSize)
	}
	b.byPath[path] = p
	b.payloads = append(b.payloads, p)
	return p, nil
}

// Build makes the manifest of an update. It hands the path of each file once to
// load, and returns the files too. Faults of the update's description are
// DescriptionErrors, files that do not fit each other are faults of the data.
func (u *Update) Build(created time.Time, load func(path string) (Payload, error)) (*Manifest, []Payload, error) {
	if err := u.complete(); err != nil {
		return nil, nil, err
	}
	b := &builder{load: load, byPath: map[string]Payload{}}
	var target Payload
	if u.Target != "" {
		var err error
		if target, err = b.file(u.Target); err != nil {
			return nil, nil, err
		}
		if target.Delta != nil {
			return nil, nil, fault.Dataf("%s: a delta, want the file that it makes", u.Target)
		}
	}
	m := &Manifest{
		UpdateID:        UpdateID{u.Provider, u.Name, u.Version},
		Description:     u.Description,
		IsDeployable:    u.IsDeployable,
		Compatibility:   u.Compatibility,
		CreatedDateTime: Timestamp(created),
		ManifestVersion: version5,
	}
	steps := u.Steps
	if len(steps) == 0 {
		steps = []Step{u.step(target.Name)}
	}
	for _, s := range steps {
		step := s
		step.Files = nil
		if step.Type == "" && step.UpdateID == nil {
			step.Type = "inline"
		}
		for _, path := range s.Files {
			p, err := b.file(path)
			if err != nil {
				return nil, nil, err
			}
			step.Files = append(step.Files, p.Name)
		}
		m.Instructions.Steps = append(m.Instructions.Steps, step)
	}
	m.Files = []File{}
	for _, p := range b.payloads {
		m.Files = append(m.Files, File{BaseFile: u.base(p)})
	}
	if u.Seed || len(u.Deltas) > 0 {
		m.Files[0].DownloadHandler = &DownloadHandler{DeltaHandler}
	}
	seen := map[Delta]string{}
	for _, path := range u.Deltas {
		p, err := b.file(path)
		if err != nil {
			return nil, nil, err
		}
		if err := fits(p, target); err != nil {
			return nil, nil, err
		}
		if other, ok := seen[*p.Delta]; ok {
			return nil, nil, badf("%s: %s starts from the same file, and the same devices read it", p.Path, other)
		}
		seen[*p.Delta] = p.Path
		related := u.base(p)
		related.Properties = append(Object{
			Property(SourceAlgorithm, sha256Name), Property(SourceHash, p.Delta.Source.Base64()),
		}, related.Properties...)
		m.Files[0].RelatedFiles = append(m.Files[0].RelatedFiles, related)
	}
	for name := range u.FileProperties {
		if !slices.ContainsFunc(b.payloads, func(p Payload) bool { return p.Name == name }) {
			return nil, nil, badf("properties of %q, which is no file of the update", name)
		}
	}
	return m, b.payloads, m.check()
}

func (u *Update) base(p Payload) BaseFile {
	return BaseFile{p.Name, p.Size, Hashes{p.SHA256}, u.FileProperties[p.Name]}
}

// complete refuses a description that lacks something, and fills in defaults.
func (u *Update) complete() error {
	for _, need := range []struct{ what, value string }{
		{"provider", u.Provider}, {"name", u.Name}, {"version", u.Version},
	} {
		if need.value == "" {
			return badf("no %s", need.what)
		}
	}
	if u.Target == "" && (len(u.Steps) == 0 || u.Seed || len(u.Deltas) > 0) {
		return badf("no target")
	}
	if len(u.Compatibility) == 0 {
		return badf("no compatibility: which devices is the update for?")
	}
	if len(u.Deltas) > MaxDeltas {
		return badf("got %d deltas, an update can have %d", len(u.Deltas), MaxDeltas)
	}
	if u.Seed && len(u.Deltas) > 0 {
		return badf("a seed is an update without deltas; with deltas agents cache it anyway")
	}
	if len(u.Steps) > 0 {
		if u.Script != "" || u.Handler != "" || u.InstalledCriteria != "" || len(u.HandlerProperties) > 0 {
			return badf("the steps are described one by one: script, handler, criteria and properties belong to them")
		}
		if u.Target != "" && !slices.ContainsFunc(u.Steps, func(s Step) bool { return slices.Contains(s.Files, u.Target) }) {
			return badf("no step installs %q", u.Target)
		}
		return nil
	}
	if u.InstalledCriteria == "" {
		u.InstalledCriteria = u.Version
	}
	if u.Handler == "" {
		u.Handler = SWUpdateV2
	}
	switch {
	case u.Handler == SWUpdateV1 && u.Script != "":
		return badf("%s runs no script", u.Handler)
	case u.Handler == SWUpdateV2 && u.Script == "":
		return badf("no script, which %s needs to install the update; agents up to 1.0 have %s, which needs none", u.Handler, SWUpdateV1)
	}
	return nil
}

// step returns the step that installs the target, with files as paths.
func (u *Update) step(target string) Step {
	s := Step{Type: "inline", Handler: u.Handler, Files: []string{u.Target}}
	own := Object{Property("installedCriteria", u.InstalledCriteria)}
	if u.Script != "" {
		s.Files = append(s.Files, u.Script)
		own = append(own, Property("swuFileName", target), Property("scriptFileName", filepath.Base(u.Script)))
	}
	for _, m := range u.HandlerProperties {
		own = own.With(m)
	}
	s.HandlerProperties = own
	return s
}

// fits tells whether a delta is one that makes target, and worth its transfer.
func fits(p, target Payload) error {
	switch {
	case p.Delta == nil:
		return fault.Dataf("%s: not a delta", p.Path)
	case p.Delta.Target != target.SHA256:
		return fault.Dataf("%s: makes a file with sha256 %s, but %s has %s", p.Path, p.Delta.Target, target.Path, target.SHA256)
	case p.Delta.Source == target.SHA256:
		return fault.Dataf("%s: starts from the file that it makes", p.Path)
	case p.Delta.Source.IsZero():
		return fault.Dataf("%s: starts from no file, so that a device could not look for one", p.Path)
	case p.Size >= target.Size:
		return fault.Dataf("%s: %d bytes, not less than the %d of %s", p.Path, p.Size, target.Size, target.Path)
	}
	return nil
}

// Document returns the manifest as it would be read.
func (m *Manifest) Document() (*Document, error) {
	var b bytes.Buffer
	if err := m.Encode(&b); err != nil {
		return nil, err
	}
	return Read(&b)
}

// check holds the manifest against every rule. What is wrong with it here can
// only come from the description.
func (m *Manifest) check() error {
	d, err := m.Document()
	if err != nil {
		return err
	}
	if list := Errors(d.Check()); len(list) > 0 {
		return badf("%s: %s", strings.TrimPrefix(list[0].Where, "."), list[0].Text)
	}
	return nil
}
