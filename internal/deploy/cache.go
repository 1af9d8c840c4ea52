// SPDX-License-Identifier: MIT

package deploy

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"swudelta/internal/digest"
	"swudelta/internal/manifest"
	"swudelta/internal/sdc"
)

// cache puts the update's files into the source update cache, as the delta
// handler does when the update is complete. What goes wrong here is reported to
// nobody: the deployment was a success.
func (d *deployment) cache() error {
	if !slices.ContainsFunc(d.update.names(), func(name string) bool {
		f, ok := d.update.file(name)
		return ok && f.handler == manifest.DeltaHandler // another one is not registered
	}) {
		d.Verbosef("the update has no download handler, so it is not cached")
		return nil
	}
	if d.reboot && d.Agent.before(1, 3) {
		d.Warnf("not cached: the agent empties its sandbox before the reboot, and caches after it; later deltas will not find " +
			"their source unless the device runs sdc-path --install")
		return nil
	}
	for _, name := range d.update.names() {
		f, ok := d.update.file(name)
		if !ok || !safeName(name) {
			return nil
		}
		if info, err := os.Stat(d.path(name)); err != nil || !info.Mode().IsRegular() {
			d.Warnf("not cached: %s is not in the sandbox", name)
			return nil
		}
		path, err := sdc.Path(d.Base, d.update.provider, f.hashes[0].algorithm, f.hashes[0].value)
		if err != nil {
			d.Warnf("not cached: %v", err)
			return nil
		}
		if err := d.cacheFile(name, path); err != nil {
			d.Warnf("the update is installed but not cached: %v; later deltas will not find their source", err)
			return nil
		}
	}
	return nil
}

// cacheFile puts a file of the sandbox at its place in the cache.
func (d *deployment) cacheFile(name, path string) error {
	f, err := os.Open(d.path(name))
	if err != nil {
		return err
	}
	defer f.Close()
	sum, size, err := digest.SumReader(f)
	if err != nil {
		return err
	}
	how := sdc.Installation{Mode: 0o644, Owner: sdc.KeepOwner, Write: d.WriteFile}
	if d.OwnSandbox && d.Agent.before(1, 3) && !sameFileSystem(d.Sandbox, d.Base) {
		// rename(2) fails, and the agent's way to copy keeps the file's name and
		// copies nothing.
		d.Warnf("not cached: the sandbox and the cache lie on different file systems, where the agent leaves an empty %s in the cache", name)
		path, sum, size = filepath.Join(filepath.Dir(path), name), digest.Sum(nil), 0
	}
	d.Verbosef("caching %s at %s", name, path)
	return sdc.Install(path, io.NewSectionReader(f, 0, size), size, sum, how)
}

// sameFileSystem reports whether a file can be moved from one folder to the other;
// of a path that is not there yet, the folder above counts.
func sameFileSystem(a, b string) bool {
	da, oka := device(a)
	db, okb := device(b)
	return oka && okb && da == db
}

func device(path string) (uint64, bool) {
	for {
		info, err := os.Stat(path)
		if err == nil {
			s, ok := info.Sys().(*syscall.Stat_t)
			return uint64(s.Dev), ok
		}
		up := filepath.Dir(path)
		if up == path {
			return 0, false
		}
		path = up
	}
}
