package tune

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"
)

// diskRetry is the time between two tries to write to a full disk.
const diskRetry = 10 * time.Second

// diskFull says whether err is for want of space, which whoever runs the machine can make.
func diskFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// write does something that takes disk space, again and again while there is none: the run pauses, its last
// checkpoint stays, and the owner is told. It gives up when ctx ends. write must leave things as they were where
// it does not succeed.
func (r *run) write(ctx context.Context, what string, write func() error) error {
	for {
		err := error(nil)
		if r.o.disk != nil {
			err = r.o.disk(what)
		}
		if err == nil {
			err = write()
		}
		switch {
		case err == nil:
			return nil
		case !diskFull(err):
			return fmt.Errorf("save %s: %w", what, err)
		}
		var cause syscall.Errno
		errors.As(err, &cause)
		r.tell(Paused, fmt.Sprintf("the disk is full (%v): %s in %s waits; free space and the run goes on, or interrupt it: %s", cause, what, r.c.Out, r.kept()))
		if ctx.Err() != nil || r.o.Sleep(ctx, diskRetry) != nil {
			return &pausedError{what, r.kept()}
		}
	}
}

// kept says which checkpoint a resume would use.
func (r *run) kept() string {
	if r.lastSaved == "" {
		return "there is no checkpoint yet"
	}
	return "the last checkpoint, " + r.lastSaved + ", is safe"
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
