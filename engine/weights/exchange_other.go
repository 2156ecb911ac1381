//go:build !linux

package weights

import "errors"

// exchange would swap two paths in one step, which Go reaches only on Linux.
func exchange(a, b string) error { return errors.ErrUnsupported }
