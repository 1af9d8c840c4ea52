// SPDX-License-Identifier: MIT

package tool

import (
	"os/exec"
	"sync"
	"syscall"
)

// childGroups are the process groups of the children that run.
type childGroups struct {
	mu     sync.Mutex
	groups map[int]bool
}

var children = childGroups{groups: map[int]bool{}}

// end ends all children with what they have started. It is the last use of the
// groups: whoever wants to start a child after it waits for the end of the process.
func (g *childGroups) end() {
	g.mu.Lock()
	for id := range g.groups {
		syscall.Kill(-id, syscall.SIGTERM)
	}
}

func (g *childGroups) start(cmd *exec.Cmd) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := cmd.Start(); err != nil {
		return err
	}
	g.groups[cmd.Process.Pid] = true
	return nil
}

func (g *childGroups) done(id int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.groups, id)
}

// RunChild is cmd.Run for a child that has children of its own, such as a script: it
// runs in a process group, which a signal to this process ends as a whole.
func (c *Context) RunChild(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := children.start(cmd); err != nil {
		return err
	}
	err := cmd.Wait()
	children.done(cmd.Process.Pid)
	return err
}
