// SPDX-License-Identifier: MIT

package swu

import (
	"fmt"
	"path"
	"path/filepath"
	"strings"

	"swudelta/internal/fault"
)

const (
	// maxNameSize bounds what is allocated for a name; PATH_MAX on Linux.
	maxNameSize = 4096
	// maxMembers bounds what is kept in memory of all members. Real archives
	// have a few dozen.
	maxMembers = 1 << 16
	// maxSWUName is the longest name that swupdate reads, without its NUL
	// (swupdate, include/globals.h: MAX_IMAGE_FNAME 256).
	maxSWUName = 254
)

// The names that swupdate asks for: the first member, and behind it, where
// updates are signed, the second.
const (
	Description = "sw-description"
	Signature   = "sw-description.sig"
)

// CheckName returns a fault of the data unless name can be a file below a
// folder and means to swupdate what it means to a file system.
func CheckName(name string) error {
	switch {
	case name == "":
		return fault.Dataf("member has no name")
	case strings.HasPrefix(name, "./"):
		return fault.Dataf("member name %q: swupdate rejects it, as it takes \"./\" for a part of the name", name)
	case strings.HasPrefix(name, "/"):
		return fault.Dataf("member name %q: absolute", name)
	case !filepath.IsLocal(name):
		return fault.Dataf("member name %q: leaves the folder", name)
	case path.Clean(name) != name || name == "." || strings.Contains(name, "\x00"):
		return fault.Dataf("member name %q: not a plain relative path", name)
	case len(name) > maxSWUName:
		return fault.Dataf("member name %q: %d bytes long, swupdate reads at most %d", name, len(name), maxSWUName)
	case name == trailerName:
		return fault.Dataf("member name %q: reserved for the end of the archive", name)
	}
	return nil
}

// check returns a fault of the data unless swupdate reads the header's name, and
// it can be a file (see CheckName).
func (h *Header) check() error {
	if err := CheckName(h.Name); err != nil {
		return err
	}
	if size := h.nameSize() - 1; size > maxSWUName {
		return fault.Dataf("member name %q: %d bytes long with its padding, swupdate reads at most %d", h.Name, size, maxSWUName)
	}
	return nil
}

// checkFirst returns a fault unless member i may have that name.
func checkFirst(i int, name string) error {
	if i == 0 && name != Description {
		return fault.Dataf("no SWUpdate archive: first member is %q, want %q", name, Description)
	}
	return nil
}

// census knows the members so far and refuses what may occur once only.
type census struct {
	names map[string]bool
	links map[linkID]link
}

// linkID identifies a file on the machine where the archive was made.
type linkID struct{ ino, devMajor, devMinor uint32 }

// link is a hard-linked member.
type link struct {
	name  string
	empty bool
}

func (c *census) add(h *Header) error {
	if c.names == nil {
		c.names, c.links = map[string]bool{}, map[linkID]link{}
	}
	if c.names[h.Name] {
		return fmt.Errorf("second member with the name %q", h.Name)
	}
	if len(c.names) == maxMembers {
		return fmt.Errorf("more than %d members", maxMembers)
	}
	c.names[h.Name] = true

	// GNU cpio writes the data of hard-linked files once, with the last link,
	// and the others as empty members. Swupdate would install those empty.
	if h.Fields.Get(NLink) < 2 || h.Fields.Get(Mode)&modeType != modeRegular {
		return nil
	}
	id := linkID{h.Fields.Get(Ino), h.Fields.Get(DevMajor), h.Fields.Get(DevMinor)}
	this := link{h.Name, h.Size == 0}
	other, ok := c.links[id]
	if !ok {
		c.links[id] = this
		return nil
	}
	if other.empty != this.empty {
		if this.empty {
			this, other = other, this
		}
		return fmt.Errorf("member %q is a hard link to %q without data of its own, and empty to swupdate; pack a copy of the file", other.name, this.name)
	}
	return nil
}
