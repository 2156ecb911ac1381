package main

import (
	"fmt"
	"os"
	"strconv"
	"syscall"
)

// yieldTo lowers this process's priority to the given niceness, so that a server on the same cores answers first.
// Linux keeps a priority for each thread; new threads take that of the thread which starts them.
func yieldTo(niceness int) error {
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return fmt.Errorf("lower the priority: %w", err)
	}
	for _, t := range tasks {
		id, err := strconv.Atoi(t.Name())
		if err != nil {
			continue
		}
		if err := syscall.Setpriority(syscall.PRIO_PROCESS, id, niceness); err != nil && err != syscall.ESRCH {
			return fmt.Errorf("lower the priority: %w", err)
		}
	}
	return nil
}
