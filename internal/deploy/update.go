// SPDX-License-Identifier: MIT

package deploy

import (
	"bytes"
	"encoding/json"
	"io"
	"path/filepath"
	"strings"
	"unicode"

	"swudelta/internal/fault"
	"swudelta/internal/manifest"
)

// ErrNoManifest says that a file is not an import manifest at all.
var ErrNoManifest = fault.Dataf("not an import manifest")

// Update is what an agent needs of an import manifest.
type Update struct {
	provider string
	steps    []step
	files    []json.RawMessage // read when they are needed, as the agent does
}

type step struct {
	handler    string
	files      []string
	properties map[string]string // those of handlerProperties that are text
}

// members returns the members of a JSON object by key, which must match letter
// for letter, as it must for the agent; nil if v is none.
func members(v json.RawMessage) map[string]json.RawMessage {
	var o manifest.Object
	if v == nil || json.Unmarshal(v, &o) != nil {
		return nil
	}
	m := map[string]json.RawMessage{}
	for _, member := range o {
		m[member.Key] = member.Value
	}
	return m
}

// items returns the items of a JSON array; nil if v is none.
func items(v json.RawMessage) (list []json.RawMessage) {
	if v == nil || json.Unmarshal(v, &list) != nil {
		return nil
	}
	return list
}

// ReadUpdate takes an import manifest of version 4.0 or 5.0 apart.
func ReadUpdate(r io.Reader) (*Update, error) {
	b, err := manifest.ReadAll(r)
	if err != nil {
		return nil, err
	}
	root := members(bytes.TrimPrefix(b, []byte("\uFEFF")))
	provider, ok := str(members(root["updateId"])["provider"])
	steps := items(members(root["instructions"])["steps"])
	u := &Update{provider: provider, files: items(root["files"])}
	if !ok || provider == "" || steps == nil || u.files == nil {
		return nil, ErrNoManifest
	}
	for i, raw := range steps {
		m := members(raw)
		s := step{properties: map[string]string{}}
		if s.handler, ok = str(m["handler"]); !ok {
			return nil, fault.Dataf("step %d refers to another update, which is not played", i)
		}
		for _, v := range items(m["files"]) {
			name, ok := str(v)
			if !ok {
				return nil, ErrNoManifest
			}
			s.files = append(s.files, name)
		}
		for key, v := range members(m["handlerProperties"]) {
			if text, ok := str(v); ok {
				s.properties[key] = text
			}
		}
		u.steps = append(u.steps, s)
	}
	return u, nil
}

// str returns a JSON value that is a string.
func str(v json.RawMessage) (string, bool) {
	var s *string
	if json.Unmarshal(v, &s) != nil || s == nil {
		return "", false
	}
	return *s, true
}

// file is a file entity: what the agent's parser makes of an entry of "files".
type file struct {
	name    string
	hashes  []hash
	handler string  // of the download; none: ""
	related []delta // nil: there are none
}

// hash is a hash of a file, in the manifest's order. The agent uses the first.
type hash struct{ algorithm, value string }

type delta struct {
	name       string
	hashes     []hash
	properties map[string]string
}

// file returns the file with a name. ok is false if the agent's parser fails on
// it, or there is none: then it takes the step with it.
func (u *Update) file(name string) (f file, ok bool) {
	for _, raw := range u.files {
		m := members(raw)
		if got, ok := str(m["filename"]); !ok || got != name {
			continue
		}
		f.name = name
		if f.hashes, ok = pairs(m["hashes"]); !ok {
			return f, false
		}
		return f, f.parseHandler(m)
	}
	return f, false
}

// names returns the names of all files, in order.
func (u *Update) names() (list []string) {
	for _, raw := range u.files {
		if name, ok := str(members(raw)["filename"]); ok {
			list = append(list, name)
		}
	}
	return list
}

// parseHandler reads the download handler and, only if there is one, the related
// files. A member of another kind than wanted counts as absent, as it does for
// the agent.
func (f *file) parseHandler(m map[string]json.RawMessage) bool {
	handler := members(m["downloadHandler"])
	if handler == nil {
		return true
	}
	if f.handler, _ = str(handler["id"]); f.handler == "" {
		return false
	}
	// In an import manifest this is an array; the service makes an object of it.
	related := items(m["relatedFiles"])
	if related == nil {
		return true
	}
	for _, raw := range related {
		m := members(raw)
		d := delta{properties: map[string]string{}}
		var ok bool
		if d.name, ok = str(m["filename"]); !ok {
			return false
		}
		if d.hashes, ok = pairs(m["hashes"]); !ok {
			return false
		}
		properties, ok := pairs(m["properties"])
		if !ok {
			return false
		}
		for _, p := range properties {
			d.properties[p.algorithm] = p.value
		}
		f.related = append(f.related, d)
	}
	return len(f.related) > 0
}

// pairs reads an object of strings that is not empty.
func pairs(raw json.RawMessage) (list []hash, ok bool) {
	var o manifest.Object
	if raw == nil || json.Unmarshal(raw, &o) != nil {
		return nil, false
	}
	for _, m := range o {
		value, ok := str(m.Value)
		if !ok {
			return nil, false
		}
		list = append(list, hash{m.Key, value})
	}
	return list, len(list) > 0
}

// safeName reports whether a name is one for a file in the sandbox. The agent
// does not ask; here a manifest must not write elsewhere.
func safeName(name string) bool {
	return name != "" && len(name) <= 255 && filepath.IsLocal(name) && filepath.Base(name) == name && name != "." &&
		strings.IndexFunc(name, unicode.IsControl) < 0
}
