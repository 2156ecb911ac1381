//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package tune

import (
	"errors"
	"os"
	"syscall"
	"time"
)

// lock takes the file at path for this process alone, until unlock or the process's end, however it comes. A
// process that was just killed may hold it a moment longer, so a few tries are made.
func lock(path string) (unlock func() error, err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	for range 20 {
		if err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err == nil {
			return f.Close, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) { // a file system without locks
			return f.Close, nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return nil, errors.Join(err, f.Close())
}
