package weights

import (
	"errors"

	"golang.org/x/sys/unix"
)

// exchange swaps two paths in one step, so that a reader sees either one or the other.
func exchange(a, b string) error {
	err := unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE)
	if err == unix.EINVAL || err == unix.ENOSYS || err == unix.ENOTSUP {
		return errors.ErrUnsupported // the file system has no such operation
	}
	return err
}
