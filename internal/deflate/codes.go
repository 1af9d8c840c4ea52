// SPDX-License-Identifier: MIT

package deflate

import (
	"slices"

	"swudelta/internal/fault"
)

// codeTrees codes the codes of a dynamic block, of which s.guess is the
// prediction.
func (s *script) codeTrees(t *trees) error {
	if s.c.flag(&s.codes.same, !s.c.decoding && t.equal(&s.guess)) {
		t.copy(&s.guess)
		return nil
	}
	guess := &s.guess
	c := s.c
	if !c.flag(&s.codes.sameCount, t.litCount == guess.litCount && t.distCount == guess.distCount) {
		t.litCount = c.tree(s.codes.litCount[:], 5, t.litCount-257) + 257
		t.distCount = c.tree(s.codes.distCount[:], 5, t.distCount-1) + 1
		if t.litCount > litCodes || t.distCount > distCodes {
			return fault.Dataf("deflate script: more code lengths than there are symbols")
		}
	} else {
		t.litCount, t.distCount = guess.litCount, guess.distCount
	}
	codeLens := func(lens, guess []uint8) {
		for i := range lens {
			if c.flag(&s.codes.sameLen[guess[i]], lens[i] == guess[i]) {
				lens[i] = guess[i]
			} else {
				lens[i] = uint8(c.tree(s.codes.len[guess[i]][:], 4, int(lens[i])))
			}
		}
	}
	codeLens(t.lit[:t.litCount], guess.lit[:])
	codeLens(t.dist[:t.distCount], guess.dist[:])
	guess.lit, guess.dist = t.lit, t.dist
	guess.litCount, guess.distCount = t.litCount, t.distCount
	guess.predictRuns()
	if c.flag(&s.codes.sameRuns, !c.decoding && slices.Equal(t.runs, guess.runs)) {
		t.runs = append(t.runs[:0], guess.runs...)
	} else if err := s.codeRuns(t); err != nil {
		return err
	}
	guess.runs = append(guess.runs[:0], t.runs...)
	guess.predictLens(&s.huffman)
	if c.flag(&s.codes.sameLens, t.lens == guess.lens && t.lenCount == guess.lenCount) {
		t.lens, t.lenCount = guess.lens, guess.lenCount
		return nil
	}
	for i := range t.lens {
		t.lens[i] = uint8(c.tree(s.codes.lens[guess.lens[i]][:], 3, int(t.lens[i])))
	}
	t.lenCount = c.tree(s.codes.lenCount[:], 4, t.lenCount-4) + 4
	if t.lenCount > lenCodes {
		return fault.Dataf("deflate script: more lengths than there are symbols")
	}
	return nil
}

// codeRuns codes how the header describes the lengths of t.
func (s *script) codeRuns(t *trees) error {
	c := s.c
	all := append(append(make([]uint8, 0, 288+32), t.lit[:t.litCount]...), t.dist[:t.distCount]...)
	given := t.runs
	if c.decoding {
		t.runs = t.runs[:0]
	}
	for at, i := 0, 0; at < len(all); i++ {
		r := run{sym: all[at]}
		if !c.decoding {
			r = given[i]
		}
		kind := c.tree(s.codes.run[:], 2, max(int(r.sym)-15, 0))
		if r.sym = all[at]; kind > 0 {
			r.sym = uint8(15 + kind)
			r.extra = uint8(c.tree(s.codes.extra[kind-1][:], uint(runExtra[r.sym]), int(r.extra)))
		}
		value, n := r.expand()
		if r.sym == 16 {
			if at == 0 {
				return fault.Dataf("deflate script: the first code length repeats another")
			}
			value = all[at-1]
		}
		if n > len(all)-at {
			return fault.Dataf("deflate script: too many code lengths")
		}
		for _, v := range all[at : at+n] {
			if v != value {
				return fault.Dataf("deflate script: a run of code lengths that are not the same")
			}
		}
		if c.decoding {
			t.runs = append(t.runs, r)
		}
		at += n
	}
	return nil
}

func (t *trees) equal(u *trees) bool {
	return t.lit == u.lit && t.dist == u.dist && t.lens == u.lens && t.litCount == u.litCount &&
		t.distCount == u.distCount && t.lenCount == u.lenCount && slices.Equal(t.runs, u.runs)
}

// copy makes t equal to u, and shares nothing with it.
func (t *trees) copy(u *trees) {
	runs := append(t.runs[:0], u.runs...)
	*t = *u
	t.runs = runs
}
