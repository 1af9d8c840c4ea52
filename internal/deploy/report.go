// SPDX-License-Identifier: MIT

package deploy

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// Report tells how a deployment ended: what the device's log says, and what the
// cloud sees in the device's twin.
type Report struct {
	Outcome    string `json:"outcome"`    // FromDelta and so on
	ResultCode int    `json:"resultCode"` // 700: installed; 0: not
	// ExtendedResultCode is the last error of the delta handler, or if it had
	// none that of the step; 0: nothing went wrong.
	ExtendedResultCode int32 `json:"extendedResultCode"`
	// ExtendedResultCodes are the error of the step and those of the delta
	// handler, which stay on the device.
	ExtendedResultCodes string `json:"extendedResultCodes"`
	ResultDetails       string `json:"resultDetails"` // the errors in words
	Twin                Twin   `json:"twin"`
}

// Twin is the part of the device's twin that the agent writes.
type Twin struct {
	State             int        `json:"state"` // 0: idle; 255: failed to download
	LastInstallResult TwinResult `json:"lastInstallResult"`
}

// TwinResult is a result as an agent reports it: up to 1.0 with a number, from
// 1.1 on with hexadecimal text.
type TwinResult struct {
	ResultCode          int                   `json:"resultCode"`
	ExtendedResultCode  *int32                `json:"extendedResultCode,omitempty"`
	ExtendedResultCodes string                `json:"extendedResultCodes,omitempty"`
	StepResults         map[string]TwinResult `json:"stepResults,omitempty"`
}

const (
	applySuccess   = 700
	installSkipped = 603 // a step that was installed before
	stateFailed    = 255
	maxSoft        = 8 // codes that are reported beside the first
)

// report makes the report of a deployment that failed with failure, or did not.
func (d *deployment) report(failure *Failure, failedStep int) *Report {
	r := &Report{Outcome: d.outcome, ResultCode: applySuccess}
	var code Code
	var details []string
	if failure != nil {
		r.Outcome, r.ResultCode, code = Failed, 0, failure.Code
		details = append(details, failure.details())
	}
	codes := []string{code.String()}
	last := code
	for i, f := range d.soft {
		details = append(details, f.details())
		last = f.Code
		if i < maxSoft {
			codes = append(codes, f.Code.String())
		}
	}
	r.ExtendedResultCode = int32(last)
	r.ExtendedResultCodes = strings.Join(codes, ",")
	r.ResultDetails = strings.Join(details, "; ")
	r.Twin = d.twin(r.ResultCode, failure, failedStep)
	return r
}

func (f *Failure) details() string { return f.Code.String() + " " + f.Text }

// twin makes what the cloud sees. The delta handler's errors are recorded for the
// workflow of the step, and the reporter looks at that of the deployment, so that
// they never get there. After a reboot the agent finds each step installed. After a failed
// installation the agent reports that it failed, restores what there is a backup of, and then
// reports that it is idle, with the same result.
func (d *deployment) twin(result int, failure *Failure, failedStep int) Twin {
	var code Code
	if failure != nil {
		code = failure.Code
	}
	t := Twin{LastInstallResult: d.twinResult(result, code)}
	if failure != nil && !d.installing {
		t.State = stateFailed
	}
	t.LastInstallResult.StepResults = map[string]TwinResult{}
	for i := range d.update.steps {
		result, code := result, Code(0)
		if d.done[i] || d.reboot && failure == nil {
			result = installSkipped
		}
		if failure != nil && failure.inStep && i == failedStep {
			code = failure.Code
		}
		t.LastInstallResult.StepResults[fmt.Sprintf("step_%d", i)] = d.twinResult(result, code)
	}
	return t
}

func (d *deployment) twinResult(result int, code Code) TwinResult {
	r := TwinResult{ResultCode: result}
	if d.Agent.before(1, 1) {
		n := int32(code)
		r.ExtendedResultCode = &n
	} else {
		r.ExtendedResultCodes = code.String()
	}
	return r
}

// Print writes the report as JSON.
func (r *Report) Print(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(r)
}
