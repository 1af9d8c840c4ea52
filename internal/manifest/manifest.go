// SPDX-License-Identifier: MIT

// Package manifest makes and checks import manifests: the JSON file that tells
// Device Update for IoT Hub which files an update has, which devices it suits,
// and from which installed version each delta starts.
//
// The format is that of the public schema
// https://json.schemastore.org/azure-deviceupdate-import-manifest-5.0.json. Much
// that decides whether a delta is ever used is in no schema; Check knows it.
package manifest

import (
	"encoding/json"
	"io"
	"time"

	"swudelta/internal/digest"
)

// Names that the device agent compares byte for byte.
const (
	DeltaHandler    = "microsoft/delta:1"    // download handler of deltas
	SWUpdateV1      = "microsoft/swupdate:1" // installs one SWU with the agent's own script
	SWUpdateV2      = "microsoft/swupdate:2" // installs with a script of the update's own
	SourceHash      = "microsoft.sourceFileHash"
	SourceAlgorithm = "microsoft.sourceFileHashAlgorithm"
	sha256Name      = "sha256"
)

// Limits of the service and its schema.
const (
	MaxDeltas   = 4                 // related files of a file
	maxFiles    = 10                // of an update
	maxFileSize = int64(2147483648) // bytes of one file, and of all files of an update
	maxName     = 255               // characters of a file name
	maxPart     = 2147483647        // of a version
)

// Versions of manifests.
const (
	version4 = "4.0" // knows no deltas
	version5 = "5.0"
)

// UpdateID names an update.
type UpdateID struct {
	Provider string `json:"provider"`
	Name     string `json:"name"`
	Version  string `json:"version"`
}

// Manifest is an import manifest of version 5.0. Its fields stand in the order
// in which they are written.
type Manifest struct {
	UpdateID        UpdateID     `json:"updateId"`
	Description     string       `json:"description,omitempty"`
	IsDeployable    *bool        `json:"isDeployable,omitempty"`
	Compatibility   []Object     `json:"compatibility"`
	Instructions    Instructions `json:"instructions"`
	Files           []File       `json:"files"`
	CreatedDateTime string       `json:"createdDateTime"`
	ManifestVersion string       `json:"manifestVersion"`
}

// Instructions are the steps of an installation.
type Instructions struct {
	Steps []Step `json:"steps"`
}

// Step installs files with a handler on the device, or, where Type is
// "reference", another update.
type Step struct {
	Type              string    `json:"type,omitempty"`
	Description       string    `json:"description,omitempty"`
	Handler           string    `json:"handler,omitempty"`
	Files             []string  `json:"files,omitempty"`
	HandlerProperties Object    `json:"handlerProperties,omitempty"`
	UpdateID          *UpdateID `json:"updateId,omitempty"`
}

// File is a file that devices download, or make from a related file.
type File struct {
	BaseFile
	RelatedFiles    []BaseFile       `json:"relatedFiles,omitempty"`
	DownloadHandler *DownloadHandler `json:"downloadHandler,omitempty"`
}

// BaseFile is what is said of every file.
type BaseFile struct {
	Filename    string `json:"filename"`
	SizeInBytes int64  `json:"sizeInBytes"`
	Hashes      Hashes `json:"hashes"`
	Properties  Object `json:"properties,omitempty"`
}

// Hashes holds the digest of a file, in base64. There is one only, since an
// agent files an update in its cache under whichever comes first.
type Hashes struct{ SHA256 digest.SHA256 }

// MarshalJSON writes the digest in base64.
func (h Hashes) MarshalJSON() ([]byte, error) {
	return Object{Property(sha256Name, h.SHA256.Base64())}.MarshalJSON()
}

// DownloadHandler makes a file from its related files. An agent caches only
// updates with a file that has one.
type DownloadHandler struct {
	ID string `json:"id"`
}

// Filename returns the name under which the service's other tools keep the
// manifest.
func (m *Manifest) Filename() string {
	id := m.UpdateID
	return id.Provider + "." + id.Name + "." + id.Version + ".importmanifest.json"
}

// Encode writes the manifest: the same bytes for the same manifest.
func (m *Manifest) Encode(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(m)
}

// Timestamp writes a time as a manifest has it: UTC, to the second.
func Timestamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

// Document is an import manifest of any making, as it was read.
type Document struct {
	root *node
	bom  bool // begins with a byte order mark
}

// Read reads a manifest. Only what is not JSON is an error; Check tells whether
// it is a good manifest.
func Read(r io.Reader) (*Document, error) {
	b, err := ReadAll(r)
	if err != nil {
		return nil, err
	}
	root, err := parseJSON(b)
	if err != nil {
		return nil, err
	}
	return &Document{root, len(b) > 2 && string(b[:3]) == "\uFEFF"}, nil
}

// ID returns the update's identity; parts that are missing are empty.
func (d *Document) ID() UpdateID {
	id := d.root.get("updateId")
	return UpdateID{id.get("provider").str(), id.get("name").str(), id.get("version").str()}
}

// Cached is a hash under which an agent looks for a file in its cache, letter
// for letter as the manifest has it.
type Cached struct{ Algorithm, Hash string }

// SHA256 returns the hash as a digest, if it is one that an agent finds: in
// base64, and with the algorithm's name in lower case.
func (c Cached) SHA256() (digest.SHA256, bool) {
	d, err := digest.Parse(c.Hash)
	return d, err == nil && c.Hash == d.Base64() && c.Algorithm == sha256Name
}

// Sources returns what the deltas start from, in their order, each once.
func (d *Document) Sources() []Cached {
	var list []Cached
	for _, f := range d.root.get("files").list() {
		for _, r := range f.get("relatedFiles").list() {
			p := r.get("properties")
			list = add(list, Cached{p.get(SourceAlgorithm).str(), p.get(SourceHash).str()})
		}
	}
	return list
}

// Targets returns the files with a download handler: what an agent has in its
// cache, and deltas of later updates can start from, once the update is
// installed. (It caches files without one too, but only beside such a file.)
func (d *Document) Targets() []Cached {
	var list []Cached
	for _, f := range d.root.get("files").list() {
		h := f.get("hashes")
		if f.get("downloadHandler").get("id").str() != "" && h != nil && len(h.members) > 0 {
			list = add(list, Cached{h.members[0].key, h.members[0].value.str()})
		}
	}
	return list
}

func add(list []Cached, c Cached) []Cached {
	for _, have := range list {
		if have == c {
			return list
		}
	}
	if c.Algorithm == "" || c.Hash == "" {
		return list
	}
	return append(list, c)
}
