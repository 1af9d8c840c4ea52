// SPDX-License-Identifier: MIT

package release

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"swudelta/internal/progress"
)

// step is the delta from one source for one kind of device, and what became of it.
type step struct {
	source  File
	device  string
	devices int64
	skipped bool // it cannot be among the best: nothing was done
	record
	err error // why there is no record
}

// stem is what a step's files are called. Where there are deltas for several kinds of
// devices, the kind is part of it.
func (r *run) stem(s *step) string {
	stem := s.source.Name + "-to-" + r.Target.Name
	if len(r.Devices) > 1 {
		stem += "." + s.device
	}
	return stem
}

// name is what messages call a step.
func (r *run) name(s *step) string {
	if len(r.Devices) > 1 {
		return s.source.Name + " for " + s.device
	}
	return s.source.Name
}

func (r *run) deltaPath(s *step) string { return filepath.Join(r.Dir, r.stem(s)+".diff") }

// makeDeltas makes the deltas of all sources, or where the numbers of devices are known
// and there is one kind of device those that the best can be among. Its steps are in the
// order of the sources, those of one source in that of the kinds.
func (r *run) makeDeltas() []*step {
	var steps []*step
	for _, s := range r.Sources {
		devices, known := r.DeviceCounts[s.Name]
		if !known {
			devices = 1
		}
		for _, device := range r.Devices {
			steps = append(steps, &step{source: s, device: device, devices: devices})
		}
	}
	if r.DeviceCounts == nil || r.All || len(r.Devices) > 1 || r.DeltasOnly || len(steps) <= MaxDeltas {
		r.makeAll(steps)
	} else {
		r.makeCandidates(steps)
	}
	return steps
}

// makeCandidates makes the deltas that the best are among: of the sources with most
// devices, as many as an update takes that have a delta, then those that would save
// more than the worst of these if their delta was empty. Which they are does not
// depend on the number of jobs.
func (r *run) makeCandidates(steps []*step) {
	rest := slices.Clone(steps)
	slices.SortFunc(rest, func(a, b *step) int {
		return cmp.Or(cmp.Compare(b.devices, a.devices), strings.Compare(a.source.Name, b.source.Name))
	})
	var first []*step
	for len(first) < MaxDeltas && len(rest) > 0 {
		round := rest[:min(MaxDeltas-len(first), len(rest))]
		rest = rest[len(round):]
		r.makeAll(round)
		for _, s := range round {
			if s.err != nil {
				// The run fails, so there is nothing to choose.
				for _, s := range rest {
					s.skipped = true
				}
				return
			}
			if s.status == made {
				first = append(first, s)
			}
		}
	}
	if len(first) == 0 {
		return
	}
	worst := first[0].saves(r.size)
	for _, s := range first {
		worst = min(worst, s.saves(r.size))
	}
	var more []*step
	for _, s := range rest {
		if float64(s.devices)*float64(r.size) > worst {
			more = append(more, s)
		} else {
			s.skipped = true
		}
	}
	r.makeAll(more)
}

// saves is what a delta that was made saves, in bytes of all its devices together.
func (s *step) saves(full int64) float64 { return float64(s.devices) * float64(full-s.bytes) }

// makeAll makes deltas, r.Jobs at a time. All are tried.
func (r *run) makeAll(steps []*step) {
	var stage *progress.Stage // one delta after the other shows its own progress
	if r.Jobs > 1 {
		stage = r.Tools.Progress.Start("deltas", progress.Bytes, 0)
		stage.Divide(len(steps))
		defer stage.End()
	}
	todo := make(chan *step)
	var workers sync.WaitGroup
	for range min(r.Jobs, len(steps)) {
		workers.Go(func() {
			for s := range todo {
				stage.Next()
				if s.record, s.err = r.makeDelta(s, stage); s.err != nil {
					r.Tools.Fail(fmt.Sprintf("%s: %v", r.name(s), s.err))
				}
			}
		})
	}
	for _, s := range steps {
		todo <- s
	}
	close(todo)
	workers.Wait()
}

// firstFailure sums up what failed. The exit status is that of the first.
func firstFailure(steps []*step) error {
	var first error
	n := 0
	for _, s := range steps {
		if s.err != nil {
			n++
			first = cmp.Or(first, s.err)
		}
	}
	if n == 0 {
		return nil
	}
	return fmt.Errorf("%d of %d deltas failed: %w", n, len(steps), first)
}

// deltaError says that DiffGenTool made none.
type deltaError struct {
	logs  string
	child error
}

func (e *deltaError) Error() string { return "no delta, see " + e.logs }
func (e *deltaError) Unwrap() error { return e.child }

// makeDelta makes the delta of a step, unless it is there or there cannot be one. It reports to the
// stage, if that is not nil.
func (r *run) makeDelta(s *step, stage *progress.Stage) (record, error) {
	path := filepath.Join(r.work, r.stem(s)+".delta")
	unlock, err := lock(path+".lock", true)
	if err != nil {
		return record{}, err
	}
	defer unlock()
	sum, _, err := sumFile(s.source.Path)
	if err != nil {
		return record{}, err
	}
	key := keyOf(append([]string{"delta", r.version, r.zstd, s.device, sum, r.sum}, r.Delta...)...)
	if old := readRecord(path); old.key == key {
		switch old.status {
		case larger, same:
			return old, nil
		case made:
			if intact, err := old.isIntact(r.deltaPath(s)); intact || err != nil {
				return old, err
			}
		}
	}
	for _, stale := range []string{path, r.deltaPath(s)} {
		if err := os.Remove(stale); err != nil && !os.IsNotExist(err) {
			return record{}, err
		}
	}
	if sum == r.sum {
		r.Tools.Say(r.name(s) + ": is the target")
		rec := record{key: key, status: same, seconds: "0"}
		return rec, rec.write(path)
	}
	start := time.Now()
	rec, err := r.runDiffGenTool(s, stage)
	tenths := time.Since(start).Milliseconds() / 100
	rec.seconds = fmt.Sprintf("%d.%d", tenths/10, tenths%10)
	var failure *deltaError
	switch {
	case errors.As(err, &failure):
		// Without a key: it is tried again.
		var child *ChildError
		rec = record{key: "-", status: failed, bytes: 1, seconds: rec.seconds}
		if errors.As(err, &child) {
			rec.bytes = int64(child.Status)
		}
		return rec, errors.Join(err, rec.write(path))
	case err != nil:
		return record{}, err
	case rec.status == larger:
		r.Tools.Warn(r.name(s) + ": no delta, it would not be smaller than the full image")
	default:
		r.Tools.Say(fmt.Sprintf("%s: %d bytes, %d.%02d %% of the full image, %s s",
			r.name(s), rec.bytes, rec.bytes*100/r.size, rec.bytes*10000/r.size%100, rec.seconds))
	}
	rec.key = key
	return rec, rec.write(path)
}

// runDiffGenTool makes a delta in a folder of its own, and moves it to its place.
func (r *run) runDiffGenTool(s *step, stage *progress.Stage) (record, error) {
	folder := filepath.Join(r.work, r.stem(s))
	logs := filepath.Join(r.Dir, "logs", r.stem(s))
	for _, dir := range []string{folder, logs} {
		if err := os.MkdirAll(dir, 0o777); err != nil {
			return record{}, err
		}
	}
	delta := filepath.Join(folder, "delta")
	args := append(r.common(), r.Delta...)
	args = append(args, r.libzstd()...)
	args = append(args, "--device", s.device, "--memory", strconv.FormatInt(r.Memory/int64(r.Jobs), 10), "--", s.source.Path, r.full, delta, logs, filepath.Join(folder, "work"))
	cmd, err := r.command("DiffGenTool", args...)
	if err != nil {
		return record{}, err
	}
	cmd.Env = append(os.Environ(), "GOMAXPROCS="+strconv.Itoa(r.processor))
	output, err := os.Create(filepath.Join(logs, "output"))
	if err != nil {
		return record{}, err
	}
	defer output.Close()
	messages, err := os.OpenFile(filepath.Join(logs, "messages"), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o666)
	if err != nil {
		return record{}, err
	}
	defer messages.Close()
	cmd.Stdout, cmd.Stderr = output, messages
	if r.Jobs == 1 {
		r.Tools.Share(cmd)
	} else {
		stop, err := r.Tools.Follow(cmd, stage)
		if err != nil {
			return record{}, err
		}
		defer stop()
	}
	summary := filepath.Join(logs, "bsdelta.json")
	if err := os.Remove(summary); err != nil && !os.IsNotExist(err) {
		return record{}, err
	}
	childErr := r.Tools.Run(cmd)
	if childErr != nil && isNotSmaller(summary) {
		return record{status: larger}, os.RemoveAll(folder)
	}
	if _, err := messages.Seek(0, io.SeekStart); err != nil {
		return record{}, err
	}
	if _, err := io.Copy(os.Stderr, messages); err != nil {
		return record{}, err
	}
	if childErr != nil {
		return record{}, &deltaError{logs, asChildError("DiffGenTool", childErr)}
	}
	sum, size, err := sumFile(delta)
	if err != nil {
		return record{}, err
	}
	if err := os.Rename(delta, r.deltaPath(s)); err != nil {
		return record{}, err
	}
	return record{digest: sum, status: made, bytes: size}, os.RemoveAll(folder)
}

// isNotSmaller reports whether bsdelta's summary says that a delta would not be smaller
// than its target. After any other failure there is no summary.
func isNotSmaller(path string) bool {
	text, err := os.ReadFile(path)
	var summary struct{ Result string }
	return err == nil && json.Unmarshal(text, &summary) == nil && summary.Result == "not-smaller"
}
